//! What the ledger refuses, and why: every text names the field, the value and the way out.
//!
//! No variant carries a vote, a count or any figure that depends on one; a class that was released is public.

use std::path::PathBuf;

use conclave_privacy::quantity::Rho;
use serde::Serialize;

use crate::keys::{CampaignKey, DataKey, QueryKey};

/// The result of a ledger operation.
pub type Result<T, E = LedgerError> = std::result::Result<T, E>;

/// A refusal or a failure of the ledger.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Text that may not stand in a ledger.
    #[error("{field}: {bytes} bytes given; use 1 to {bytes_max} bytes without control characters")]
    Text {
        /// What the text is for.
        field: &'static str,
        /// Its length.
        bytes: usize,
        /// The longest accepted.
        bytes_max: usize,
    },
    /// A figure outside its range.
    #[error("{field} is {value}: give a value from {min} to {max}")]
    OutOfRange {
        /// What the figure is.
        field: &'static str,
        /// The figure.
        value: u64,
        /// The least accepted.
        min: u64,
        /// The most accepted.
        max: u64,
    },
    /// Statements that cannot be true together.
    #[error("{field} of {of}: {found} does not fit {expected}; {fix}")]
    Mismatch {
        /// The field that does not fit.
        field: &'static str,
        /// Whose field.
        of: String,
        /// What was given.
        found: String,
        /// What it has to fit.
        expected: String,
        /// What to do about it.
        fix: &'static str,
    },
    /// The budget does not allow what was asked. Decided from public prices alone.
    #[error(transparent)]
    BudgetSpent(Box<BudgetSpent>),
    /// The query has its stored answer; ask the ledger for it, at no charge.
    #[error("query {query} of campaign {campaign} is answered; read its stored answer, which costs nothing")]
    AlreadyAnswered {
        /// The campaign.
        campaign: CampaignKey,
        /// The query.
        query: QueryKey,
    },
    /// The query is reserved or drawn at this moment.
    #[error("query {query} of campaign {campaign} is in flight; wait for its answer")]
    InFlight {
        /// The campaign.
        campaign: CampaignKey,
        /// The query.
        query: QueryKey,
    },
    /// The same query stands twice in one request.
    #[error("query {query} stands twice in one request; name each query once")]
    Repeated {
        /// The query.
        query: QueryKey,
    },
    /// The campaign has as many queries as its contract allows.
    #[error(
        "campaign {campaign} holds {held} of {queries_max} queries and {asked} more were asked; \
         ask at most {left}, or open a new campaign"
    )]
    QueriesSpent {
        /// The campaign.
        campaign: CampaignKey,
        /// Queries that hold a place already.
        held: u64,
        /// Queries that were asked for.
        asked: u64,
        /// Places in the contract.
        queries_max: u64,
        /// Places left.
        left: u64,
    },
    /// A campaign that the ledger does not hold.
    #[error("campaign {0} is not in this ledger; open it first")]
    UnknownCampaign(CampaignKey),
    /// An account that the ledger does not hold.
    #[error("data id {0} has no account in this ledger; open it first")]
    UnknownAccount(DataKey),
    /// The organisation has an account already, and the new one does not say how its people relate.
    #[error(
        "organisation {organisation} has an account for data id {latest}; name it as predecessor: its spend \
         is inherited unless the operator declares that no person is in both"
    )]
    PredecessorUnnamed {
        /// The organisation.
        organisation: String,
        /// The data id of its latest account.
        latest: DataKey,
    },
    /// The account ended when a later one inherited its spend.
    #[error("data id {data} was followed by {successor}, which inherited its spend; use that one")]
    Superseded {
        /// The account that ended.
        data: DataKey,
        /// The one that goes on.
        successor: DataKey,
    },
    /// A ticket that does not stand for an open reservation or draw.
    #[error(
        "reservation {number} is {found}, so it cannot be {asked}; reclaim open reservations, or reserve anew"
    )]
    WrongStage {
        /// The reservation.
        number: u64,
        /// Where it stands.
        found: &'static str,
        /// What was asked.
        asked: &'static str,
    },
    /// The answers handed over are not those of the draw.
    #[error("reservation {number}: {what}; hand over one answer per drawn query, in the order of the permit")]
    WrongAnswers {
        /// The reservation.
        number: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A storage error happened earlier; nothing more is written.
    #[error("the ledger is halted: {reason}; repair the storage and restart, nothing was released meanwhile")]
    Halted {
        /// The first error.
        reason: String,
    },
    /// The command queue is full.
    #[error("{waiting_max} commands are waiting for the ledger; try again later")]
    Overloaded {
        /// The bound of the queue.
        waiting_max: usize,
    },
    /// The writer thread has ended.
    #[error("the ledger is closed; restart the process that holds it")]
    Closed,
    /// Another process holds the file.
    #[error("ledger {path} is in use by another process; stop that one first, a ledger has one writer")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// There is no such file.
    #[error("ledger {path} does not exist; check the path, or create it")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// There is such a file already.
    #[error("{path} exists already; open it instead, or choose another path")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{path} is not a ledger: {why}; give the file that the aggregator wrote")]
    NotALedger {
        /// The file.
        path: PathBuf,
        /// How that shows.
        why: String,
    },
    /// The file is a ledger, and it was changed or damaged.
    #[error("ledger {path} is corrupt: {fault}; restore a good copy, this one is refused")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The first thing that is wrong.
        fault: Fault,
    },
    /// The storage engine failed.
    #[error(
        "the storage of {path} failed while it was to {doing}: {source}; give its disk room and let this user write there, \
         then start again: nothing left that is not stored"
    )]
    Storage {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The engine's own error.
        source: rusqlite::Error,
    },
    /// A file operation failed.
    #[error(
        "cannot {doing} {path}: {source}; check that it is there, that this user may use it, and that its disk has room"
    )]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's own error.
        source: std::io::Error,
    },
    /// A price or conversion was refused by the mathematics.
    #[error(transparent)]
    Privacy(#[from] conclave_privacy::Error),
    /// The silo's own cap on answered queries is reached.
    #[error(
        "the silo's guard allows {cap_queries} queries, {used} are used and {asked} more were asked; \
         raise the cap, or stop"
    )]
    GuardSpent {
        /// The cap that the silo set.
        cap_queries: u64,
        /// Queries already allowed.
        used: u64,
        /// New queries in the request.
        asked: u64,
    },
}

/// The sum that did not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the budget of {wall} is too small: asked {}, left {} of {} (spent {}, reserved {}), in units of 2^-40 rho; \
     ask for less, or stop: a cap lasts for the life of the data",
    asked.units(), left.units(), cap.units(), spent.units(), reserved.units()
)]
pub struct BudgetSpent {
    /// Whose budget.
    pub wall: Wall,
    /// The worst case of what was asked.
    pub asked: Rho,
    /// Spent so far, inherited spend included.
    pub spent: Rho,
    /// Held by open reservations and draws.
    pub reserved: Rho,
    /// The whole budget.
    pub cap: Rho,
    /// `cap - spent - reserved`.
    pub left: Rho,
}

/// Whose budget a refusal speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wall {
    /// The cap of the data, which lasts for its life.
    Account(DataKey),
    /// The campaign's part of it.
    Campaign(CampaignKey),
}

/// The first thing that is wrong with a ledger file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The number of the entry, counted from 1, where the damage belongs to one.
    pub entry: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Wall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Account(data) => write!(f, "data id {data}"),
            Self::Campaign(campaign) => write!(f, "campaign {campaign}"),
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.entry {
            Some(entry) => write!(f, "entry {entry}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl LedgerError {
    /// What is wrong, without what to do about it: for a text that has a fix of its own.
    pub(crate) fn problem(&self) -> String {
        let words = self.to_string();
        words.split_once("; ").map_or_else(|| words.clone(), |(problem, _)| problem.to_owned())
    }
}

impl From<BudgetSpent> for LedgerError {
    fn from(spent: BudgetSpent) -> Self {
        Self::BudgetSpent(Box::new(spent))
    }
}
