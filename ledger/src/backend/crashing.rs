//! A disk in memory whose power can be cut at any append, before or after the rows are on it.

use std::path::Path;
use std::sync::{Arc, Mutex};

use super::{Row, Store};
use crate::book::{Book, Recovery, Replay};
use crate::entry::{Created, Entry};
use crate::error::{LedgerError, Result};
use crate::fixture::{NOON_MS, genesis};

/// The disk; it outlives the books that run on it.
#[derive(Clone)]
pub(crate) struct Disk(Arc<Mutex<Platter>>);

/// When the power goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// Nothing of the append is on the disk.
    BeforeWrite,
    /// All of it is, and nobody was told.
    AfterWrite,
}

struct Platter {
    rows: Vec<Row>,
    /// Appends that still succeed, and what happens to the one after them.
    fuse: Option<(usize, Cut)>,
}

impl Disk {
    /// A disk with a ledger's first entry.
    pub(crate) fn formatted() -> Self {
        let first = Replay::default()
            .stage(NOON_MS, &Entry::Genesis(Created { schema: 2, terms: genesis() }))
            .expect("entry 1");
        Self(Arc::new(Mutex::new(Platter { rows: vec![first], fuse: None })))
    }

    /// Starts a process on the disk, with the power on for good.
    pub(crate) fn boot(&self) -> (Book, Recovery) {
        self.0.lock().expect("not poisoned").fuse = None;
        let replay = Replay::of(Path::new("disk"), |visit| self.rows(visit)).expect("a good ledger");
        Book::recover(Box::new(self.clone()), Path::new("disk"), replay, NOON_MS).expect("recovered")
    }

    /// Lets `appends` more succeed, then cuts the power.
    pub(crate) fn cut_after(&self, appends: usize, cut: Cut) {
        self.0.lock().expect("not poisoned").fuse = Some((appends, cut));
    }

    pub(crate) fn entries(&self) -> usize {
        self.0.lock().expect("not poisoned").rows.len()
    }
}

impl Store for Disk {
    fn append(&mut self, rows: &[Row]) -> Result<()> {
        let mut platter = self.0.lock().expect("not poisoned");
        match &mut platter.fuse {
            Some((0, cut)) => {
                if matches!(cut, Cut::AfterWrite) {
                    platter.rows.extend_from_slice(rows);
                }
                platter.fuse = Some((0, Cut::BeforeWrite));
                Err(LedgerError::Storage {
                    doing: "commit",
                    path: "disk".into(),
                    source: rusqlite::Error::InvalidQuery,
                })
            }
            fuse => {
                if let Some((left, _)) = fuse {
                    *left -= 1;
                }
                platter.rows.extend_from_slice(rows);
                Ok(())
            }
        }
    }

    fn rows(&self, visit: &mut dyn FnMut(Row) -> Result<()>) -> Result<()> {
        let rows = self.0.lock().expect("not poisoned").rows.clone();
        rows.into_iter().try_for_each(visit)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
