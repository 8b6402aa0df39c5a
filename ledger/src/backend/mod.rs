//! Where rows are kept: an append-only list that is durable once [`Store::append`] returns.
//!
//! A backend stores rows and knows nothing of budgets. Calls block; the book's writer thread is the only caller.

#[cfg(test)]
pub(crate) mod crashing;
mod embedded;

pub(crate) use embedded::{
    Embedded, FileKind, GUARD_VERSION, SCHEMA, SCHEMA_VERSION, SCHEMA_VERSION_PLAIN, check_integrity,
    check_schema, read_rows, sqlite_fault,
};

use crate::chain::Head;
use crate::error::Result;

/// Durable, append-only storage of rows.
pub(crate) trait Store: Send {
    /// Makes all of `rows` durable, or none of them.
    fn append(&mut self, rows: &[Row]) -> Result<()>;

    /// Reads every row in order.
    fn rows(&self, visit: &mut dyn FnMut(Row) -> Result<()>) -> Result<()>;

    /// Ends the storage cleanly: one file, and nothing beside it.
    fn close(self: Box<Self>) -> Result<()>;
}

/// One stored row: the body, its place in the chain, and the columns that auditors read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) seq: u64,
    pub(crate) recorded_at_ms: u64,
    pub(crate) columns: Columns,
    pub(crate) body: Vec<u8>,
    pub(crate) hash: Head,
}

/// What a row says about itself in plain SQL. Each is a copy of something in the body, and checked against it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) kind: String,
    pub(crate) campaign: Option<String>,
    pub(crate) reservation: Option<u64>,
    pub(crate) account: Option<String>,
}
