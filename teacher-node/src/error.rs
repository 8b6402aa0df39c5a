//! What can go wrong: what keeps a node from starting ([`Error`]), and why a call is refused ([`CallError`]).
//!
//! Neither holds a vote, a row, or any figure that depends on them. An [`Error`] is for the silo's own operator; a
//! [`CallError`] crosses the wire (`status.rs`) and so names only what the campaign knows anyway.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use conclave_ledger::LedgerError;
use conclave_proto::ids::{CampaignId, ContractDigest, IdError, QueryId};
use conclave_proto::pool::PoolError;
use conclave_service::ServiceError;
use conclave_trust::ContractError;

/// Why a node does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Data that cannot be read, split or learned from.
    #[error(transparent)]
    Learning(#[from] conclave_learning::Error),
    /// A public pool that cannot be voted on.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Settings that do not fit together.
    #[error("{field} is {value}; {fix}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// What it is.
        value: String,
        /// What to do about it.
        fix: String,
    },
    /// The data or their split are not those that this silo voted with before.
    #[error(
        "these are not the data that this silo voted with: on record is data id `{recorded}` with partition {was}, today it is \
         `{data}` with {now}; a partition changes with rows, classes and their order, teachers and partition key: restore these \
         and the id, or, if the change was meant, give the new data an id of their own and write under [data]: changed = \
         {{ predecessor = \"{recorded}\", people = \"same\" }} (or \"others\", if no person is in both)"
    )]
    DataChanged {
        /// The data id on record.
        recorded: String,
        /// The partition digest on record.
        was: String,
        /// Today's data id.
        data: String,
        /// Today's partition digest.
        now: String,
    },
    /// A file of the silo that cannot be used.
    #[error("{}: {problem}; {fix}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        fix: &'static str,
    },
    /// The guard's book.
    #[error("the silo's budget guard: {0}")]
    Guard(#[from] LedgerError),
    /// Identity, certificates or serving.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl Error {
    pub(crate) fn file(path: &Path, problem: &impl Display, fix: &'static str) -> Self {
        Self::File { path: path.to_owned(), problem: problem.to_string(), fix }
    }

    pub(crate) fn setting(field: &'static str, value: &impl Display, fix: impl Into<String>) -> Self {
        Self::Setting { field, value: value.to_string(), fix: fix.into() }
    }
}

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CallError {
    /// The caller speaks another protocol.
    #[error("protocol version {offered} is not spoken here; this node speaks {major}.x", major = conclave_proto::PROTOCOL.major)]
    Protocol {
        /// The caller's major version; 0 when it named none.
        offered: u32,
    },
    /// A contract that is none.
    #[error(transparent)]
    Contract(ContractError),
    /// A contract that this silo does not agree to.
    #[error("this silo does not agree: contract, {field} is {offered}; here it is {ours}")]
    Disagreement {
        /// The field of the contract.
        field: &'static str,
        /// What the contract says.
        offered: String,
        /// What this silo says.
        ours: String,
        /// What to do about it.
        fix: &'static str,
    },
    /// A campaign keeps its contract.
    #[error("campaign {campaign} was voted on under contract {agreed}, and contract {offered} is offered")]
    ContractChanged {
        /// The campaign.
        campaign: String,
        /// Digest of the contract under which queries were answered.
        agreed: String,
        /// Digest of the contract that is offered.
        offered: String,
    },
    /// Nothing was agreed to under this name and digest since the node started.
    #[error("this node has not agreed to campaign {campaign} with contract {offered}")]
    ContractUnknown {
        /// The campaign.
        campaign: CampaignId,
        /// The contract that is named.
        offered: ContractDigest,
    },
    /// An identifier that is none.
    #[error("{field} cannot be read")]
    Id {
        /// The field of the request.
        field: &'static str,
        /// What is wrong with it.
        source: IdError,
    },
    /// An empty or too large batch.
    #[error("a batch of {queries} queries is not voted on")]
    BatchSize {
        /// Queries in the batch.
        queries: usize,
        /// Most queries in one batch.
        queries_max: usize,
    },
    /// An example that is not in this node's pool.
    #[error("query {query} is not in the public pool of this node")]
    QueryUnknown {
        /// The query.
        query: QueryId,
        /// Its place in the batch.
        position: usize,
    },
    /// The same query twice in one batch.
    #[error("query {query} stands twice in one batch")]
    QueryRepeated {
        /// The query.
        query: QueryId,
        /// The place where it stands again.
        position: usize,
    },
    /// The silo's own cap.
    #[error(
        "this silo answers {cap} queries in the life of its data: {used} are used, {asked} more were asked"
    )]
    SiloBudgetSpent {
        /// The cap.
        cap: u64,
        /// Queries answered so far.
        used: u64,
        /// New queries in the request.
        asked: u64,
    },
    /// The guard's book cannot be written.
    #[error("this silo's budget guard has stopped, so nothing is voted on")]
    GuardHalted,
    /// More calls wait for the guard than it takes.
    #[error("too many calls wait for this silo's budget guard")]
    Overloaded,
}

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;
