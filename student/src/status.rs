//! Errors between wire, words and exit status, in one place.

use conclave_service::channel::describe_status;
use conclave_service::lifecycle::{ExitStatus, Failure};
use conclave_service::{ClientTransport, Refusal};
use tonic::{Code, Status};

use crate::error::{Fault, StudentError};

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
        let words = error.to_string();
        let (field, value) = about(&error);
        let status = match error {
            StudentError::Service(error) => return error.into(),
            StudentError::Refused { refusal, .. } => return Self { message: words, ..Self::from(*refusal) },
            StudentError::Learning(_)
            | StudentError::Pool(_)
            | StudentError::Settings(_)
            | StudentError::ContractMismatch(_)
            | StudentError::ModelFile { .. } => ExitStatus::BadInput,
            StudentError::AnswerChanged { .. } => ExitStatus::Verification,
            StudentError::Protocol { .. } | StudentError::Overdue { .. } => ExitStatus::Peer,
            StudentError::NoLabels { .. } | StudentError::Interrupted { .. } => ExitStatus::Other,
        };
        Self::new(status, words).about(field, value)
    }
}

/// What an error is about, and what was given or found there; not for those that carry their own.
fn about(error: &StudentError) -> (String, String) {
    let named = |field: &str, value: String| (field.to_owned(), value);
    let of_fault = |fault: &Fault| (fault.field.clone(), fault.value.clone());
    match error {
        StudentError::Service(_) | StudentError::Refused { .. } | StudentError::Interrupted { .. } => {
            named("", String::new())
        }
        StudentError::Learning(error) => named("data", error.to_string()),
        StudentError::Pool(error) => named("pool", error.to_string()),
        StudentError::Settings(faults) => faults.first().map(of_fault).unwrap_or_default(),
        StudentError::ContractMismatch(fault) | StudentError::Protocol { fault, .. } => of_fault(fault),
        StudentError::AnswerChanged { query, now, .. } => named(&format!("query {query}"), now.clone()),
        StudentError::NoLabels { answers } => named("released labels", format!("none of {answers} answers")),
        StudentError::Overdue { settled, asked, .. } => named("answers", format!("{settled} of {asked}")),
        StudentError::ModelFile { path, .. } => named("file", path.display().to_string()),
    }
}
