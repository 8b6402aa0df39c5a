//! Everything that can go wrong for a student, each with the field, its value and what to do about it.
//!
//! All of it concerns public data: released labels, the pool, models learned from them, and peers.

use std::path::PathBuf;

use conclave_proto::ids::QueryId;
use conclave_proto::pool::PoolError;
use conclave_service::{Refusal, ServiceError};

/// What this crate returns.
pub type Result<T> = std::result::Result<T, StudentError>;

/// A refusal by this crate, or by a peer.
#[derive(Debug, thiserror::Error)]
pub enum StudentError {
    /// A kit, an address or a connection.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// A peer was reached and refused the call.
    #[error("{call}: {refusal}")]
    Refused {
        /// What was asked of the peer.
        call: &'static str,
        /// Its answer.
        refusal: Box<Refusal>,
    },
    /// Data, features or a model.
    #[error(transparent)]
    Learning(#[from] conclave_learning::Error),
    /// The pool cannot be described.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Settings or arguments that do not fit, all of them at once.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Settings(Vec<Fault>),
    /// What we hold is not what the campaign's contract speaks of.
    #[error("{0}")]
    ContractMismatch(Fault),
    /// A peer answered with something that the protocol does not allow.
    #[error("the {peer} broke the protocol: {fault}")]
    Protocol {
        /// Who.
        peer: &'static str,
        /// What was wrong.
        fault: Fault,
    },
    /// A released answer came again as another one; the aggregator's ledger can no longer be trusted.
    #[error(
        "answer to query {query} is {now}, but was {before}: a released answer never changes; \
         verify the aggregator's ledger with `conclave ledger verify`"
    )]
    AnswerChanged {
        /// Whose answer.
        query: QueryId,
        /// What was released first.
        before: String,
        /// What came now.
        now: String,
    },
    /// The campaign released no label at all, so there is nothing to learn from.
    #[error(
        "released labels: none (of {answers} answers); ask more queries, lower the threshold, or bring back the teachers"
    )]
    NoLabels {
        /// How many answers there were: abstentions and interrupted queries.
        answers: usize,
    },
    /// The answers did not all arrive in the time allowed.
    #[error(
        "answers: {settled} of {asked} arrived within {waited_ms} ms; raise answers_deadline_ms, or ask less"
    )]
    Overdue {
        /// Queries that have an answer.
        settled: usize,
        /// Queries that were asked.
        asked: usize,
        /// How long was waited.
        waited_ms: u64,
    },
    /// The file of a trained student cannot be written, read or trusted.
    #[error("model file {}: {problem}; {fix}", path.display())]
    ModelFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        fix: &'static str,
    },
    /// A task of ours ended without a result.
    #[error("{task} was cut short: {reason}; this is a defect, please report it")]
    Interrupted {
        /// What it was doing.
        task: &'static str,
        /// What the runtime said.
        reason: String,
    },
}

/// One thing that does not fit: the field, its value and the fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}; {fix}")]
pub struct Fault {
    /// Setting, argument or message field.
    pub field: String,
    /// What it is.
    pub value: String,
    /// What to do.
    pub fix: String,
}

impl Fault {
    pub(crate) fn new(
        field: impl Into<String>,
        value: impl std::fmt::Display,
        fix: impl Into<String>,
    ) -> Self {
        Self { field: field.into(), value: value.to_string(), fix: fix.into() }
    }
}

impl StudentError {
    pub(crate) fn setting(
        field: impl Into<String>,
        value: impl std::fmt::Display,
        fix: impl Into<String>,
    ) -> Self {
        Self::Settings(vec![Fault::new(field, value, fix)])
    }
}
