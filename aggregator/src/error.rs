//! What keeps an aggregator from starting, or stopped it. Nothing in here holds a vote, a count or a draw.

use std::path::{Path, PathBuf};

use conclave_ledger::LedgerError;
use conclave_proto::ids::IdError;
use conclave_proto::pool::PoolError;
use conclave_service::ServiceError;
use conclave_service::lifecycle::{ExitStatus, Failure};
use conclave_trust::ContractError;

/// Why an aggregator does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that no campaign can run on.
    #[error("{field} is {value}; {fix}")]
    Setting {
        /// The setting.
        field: String,
        /// What it is.
        value: String,
        /// What to do about it.
        fix: String,
    },
    /// A node that answers, but not as this campaign needs it.
    #[error("teacher node {node}: {problem}{}; {fix}", besides(.others))]
    Node {
        /// `ORGANISATION/NODE`.
        node: String,
        /// What does not fit.
        problem: String,
        /// Further nodes that do not take part, and why.
        others: Vec<String>,
        /// What to do about it.
        fix: String,
    },
    /// Nodes that a new campaign needs and that did not answer.
    #[error("a new campaign needs every silo's agreement, and not all could be asked: {}", .0.join("; "))]
    Absent(Vec<String>),
    /// The campaign in the ledger was agreed to in other words.
    #[error(
        "campaign {campaign} is in the ledger with another contract: {field} was {agreed} and is {now}; a campaign keeps \
         its contract, so restore the setting or choose a new campaign.id"
    )]
    ContractChanged {
        /// The campaign.
        campaign: String,
        /// The first field that differs.
        field: &'static str,
        /// What was agreed.
        agreed: String,
        /// What the settings say now.
        now: String,
    },
    /// The account of a silo's data was opened under other terms.
    #[error(
        "silo {organisation}: its data id {data} has its account in the ledger, where {field} is {agreed}, and now it is \
         {now}; an account keeps its terms for the life of the data, so give {agreed}"
    )]
    AccountChanged {
        /// Whose data.
        organisation: String,
        /// The data.
        data: String,
        /// The first term that differs.
        field: String,
        /// What is on record.
        agreed: String,
        /// What the settings or the node say now.
        now: String,
    },
    /// One campaign at a time.
    #[error(
        "campaign {open} is open, and {asked} cannot be started beside it; stop it first, with `conclave \
         campaign stop`"
    )]
    CampaignOpen {
        /// The one that is open.
        open: String,
        /// The one that was to be started.
        asked: String,
    },
    /// There is nothing to stop.
    #[error("campaign {asked} is not open; {}", open_instead(.open.as_deref()))]
    NotOpen {
        /// The one that was to be stopped.
        asked: String,
        /// The one that is open, if one is.
        open: Option<String>,
    },
    /// Another operator is starting or stopping a campaign.
    #[error("another campaign is being started or stopped at this moment; try again when that is done")]
    AtWork,
    /// A contract that is none.
    #[error(transparent)]
    Contract(#[from] ContractError),
    /// The pool manifest.
    #[error("{}: {source}", path.display())]
    Pool {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PoolError,
    },
    /// A file that cannot be read or made.
    #[error("{}: {problem}; {fix}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        fix: &'static str,
    },
    /// The ledger refuses, or its storage failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes ({0}); nothing is drawn without them")]
    NoEntropy(String),
    /// Identity, certificates, serving or calling.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// Stopped before the campaign was open.
    #[error("interrupted before the campaign was open; nothing was asked, start the aggregator again")]
    Interrupted,
}

impl Error {
    pub(crate) fn file(path: &Path, problem: &impl ToString, fix: &'static str) -> Self {
        Self::File { path: path.to_owned(), problem: problem.to_string(), fix }
    }

    pub(crate) fn setting(field: &str, value: &impl ToString, fix: impl Into<String>) -> Self {
        Self::Setting { field: field.to_owned(), value: value.to_string(), fix: fix.into() }
    }
}

fn besides(others: &[String]) -> String {
    if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) }
}

fn open_instead(open: Option<&str>) -> String {
    open.map_or_else(|| "no campaign is".to_owned(), |open| format!("the one that is open is {open}"))
}

impl Error {
    /// What it is about, and what was given or found there.
    fn about(&self) -> (String, String) {
        let named = |field: &str, value: String| (field.to_owned(), value);
        match self {
            Self::Setting { field, value, .. } => (field.clone(), value.clone()),
            Self::Node { node, .. } => named("node", node.clone()),
            Self::Absent(nodes) => named("nodes", nodes.join("; ")),
            Self::ContractChanged { field, now, .. } => named(field, now.clone()),
            Self::AccountChanged { field, now, .. } => (field.clone(), now.clone()),
            Self::CampaignOpen { asked, .. } | Self::NotOpen { asked, .. } => {
                named("campaign", asked.clone())
            }
            Self::AtWork | Self::Interrupted => named("", String::new()),
            Self::Contract(error) => named("contract", error.to_string()),
            Self::Pool { path, .. } | Self::File { path, .. } => named("file", path.display().to_string()),
            Self::Ledger(error) => named("ledger", error.to_string()),
            Self::NoEntropy(problem) => named("entropy", problem.clone()),
            Self::Service(error) => {
                let (field, value) = error.about();
                named(field, value)
            }
        }
    }
}

impl From<IdError> for Error {
    fn from(error: IdError) -> Self {
        Self::Contract(error.into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let (field, value) = error.about();
        let status = match error {
            Error::Service(error) => return error.into(),
            Error::Absent(_) => ExitStatus::Peer,
            Error::Ledger(LedgerError::Corrupt { .. } | LedgerError::NotALedger { .. }) => {
                ExitStatus::Verification
            }
            Error::Ledger(LedgerError::BudgetSpent(_)) => ExitStatus::Budget,
            Error::Ledger(
                LedgerError::Storage { .. }
                | LedgerError::File { .. }
                | LedgerError::Halted { .. }
                | LedgerError::InUse { .. }
                | LedgerError::Overloaded { .. }
                | LedgerError::Closed,
            )
            | Error::NoEntropy(_)
            | Error::Interrupted => ExitStatus::Other,
            Error::Ledger(_)
            | Error::Setting { .. }
            | Error::Node { .. }
            | Error::ContractChanged { .. }
            | Error::AccountChanged { .. }
            | Error::CampaignOpen { .. }
            | Error::NotOpen { .. }
            | Error::AtWork
            | Error::Contract(_)
            | Error::Pool { .. }
            | Error::File { .. } => ExitStatus::BadInput,
        };
        Self::new(status, message).about(field, value)
    }
}

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;
