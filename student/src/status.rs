//! Errors between wire, words and exit status, in one place.

use conclave_service::channel::describe_status;
use conclave_service::lifecycle::{ExitStatus, Failure};
use conclave_service::{ClientTransport, Refusal};
use tonic::{Code, Status};

use crate::error::StudentError;

/// A failed call: the peer's own refusal, or what happened on the way.
pub(crate) fn call_failed(
    call: &'static str,
    status: &Status,
    address: &str,
    transport: &ClientTransport,
) -> StudentError {
    let refusal = Refusal::read(status);
    if refusal.reason().is_empty() {
        return describe_status(status, address, transport).into();
    }
    StudentError::Refused { call, refusal: Box::new(refusal) }
}

/// A call of ours that came before there is a model.
pub(crate) fn not_ready() -> Refusal {
    Refusal::new(Code::Unavailable, "NOT_READY", "the student is still learning")
        .fix("ask the health service when it is ready, and call again")
}

/// A valid request that could not be answered all the same. The cause stays in our log.
pub(crate) fn failed(error: &StudentError) -> Refusal {
    tracing::error!(%error, "a prediction failed");
    Refusal::new(Code::Internal, "PREDICTION_FAILED", "the student could not judge these examples")
        .fix("see the student's log")
}

impl From<StudentError> for Failure {
    fn from(error: StudentError) -> Self {
        let status = match error {
            StudentError::Service(error) => return error.into(),
            StudentError::Refused { call, refusal } => {
                let failure = Self::from(*refusal);
                return Self::new(failure.status, format!("{call}: {}", failure.message));
            }
            StudentError::Learning(_)
            | StudentError::Pool(_)
            | StudentError::Settings(_)
            | StudentError::ContractMismatch(_)
            | StudentError::ModelFile { .. } => ExitStatus::BadInput,
            StudentError::AnswerChanged { .. } => ExitStatus::Verification,
            StudentError::Protocol { .. } | StudentError::Overdue { .. } => ExitStatus::Peer,
            StudentError::NoLabels { .. } | StudentError::Interrupted { .. } => ExitStatus::Other,
        };
        Self::new(status, error.to_string())
    }
}
