//! Why a command did not do what it was asked: once, for people and for scripts.
//!
//! A fault names what it is about, the value that was given and the way out. On a terminal it is one sentence on stderr;
//! with `--format json` it is `{"error": {code, field, value, fix}}` on stdout.

use std::fmt;

use conclave_learning::Error as LearningError;
use conclave_service::ServiceError;
use conclave_service::lifecycle::Failure;
use serde::Serialize;

pub use conclave_service::lifecycle::ExitStatus as Exit;

/// A failure of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The exit status that it leads to.
    #[serde(skip)]
    pub exit: Exit,
    /// What kind of failure, in a word or two with hyphens; scripts may rely on it.
    pub code: &'static str,
    /// What it is about: a flag, a key of a file, a file.
    pub field: String,
    /// What was given or found there.
    pub value: String,
    /// What is wrong, in one sentence that names field and value.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

impl Fault {
    /// Bad usage or input: a `value` of `field` that cannot be used.
    pub fn input(
        code: &'static str,
        field: impl Into<String>,
        value: impl Into<String>,
        problem: impl fmt::Display,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(Exit::BadInput, code, field, value, problem, fix)
    }

    /// Any failure; the message becomes `field value: problem`.
    pub fn new(
        exit: Exit,
        code: &'static str,
        field: impl Into<String>,
        value: impl Into<String>,
        problem: impl fmt::Display,
        fix: impl Into<String>,
    ) -> Self {
        let (field, value) = (field.into(), value.into());
        let subject = [field.as_str(), value.as_str()].into_iter().filter(|part| !part.is_empty());
        let subject = subject.collect::<Vec<_>>().join(" ");
        let message = if subject.is_empty() { problem.to_string() } else { format!("{subject}: {problem}") };
        Self { exit, code, field, value, message, fix: fix.into() }
    }

    /// A text of another crate, which by our convention ends in `; how to fix it`.
    pub(crate) fn from_words(exit: Exit, code: &'static str, field: &str, value: &str, words: &str) -> Self {
        let (problem, fix) = words.split_once("; ").unwrap_or((words, "see `conclave help`"));
        Self {
            exit,
            code,
            field: field.to_owned(),
            value: if value.is_empty() { problem.to_owned() } else { value.to_owned() },
            message: problem.to_owned(),
            fix: fix.to_owned(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joint = if self.message.ends_with('\n') { "" } else { "; " };
        write!(f, "{}{joint}{}", self.message, self.fix)
    }
}

impl std::error::Error for Fault {}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        let code = match failure.status {
            Exit::Done | Exit::Other => "failed",
            Exit::BadInput => "bad-input",
            Exit::Budget => "budget-spent",
            Exit::Verification => "not-verified",
            Exit::Peer => "peer-missing",
        };
        Self::from_words(failure.status, code, &failure.field, &failure.value, &failure.message)
    }
}

impl From<ServiceError> for Fault {
    fn from(error: ServiceError) -> Self {
        let code = match &error {
            ServiceError::InvalidName { .. } => "invalid-name",
            ServiceError::InvalidRole { .. } => "invalid-role",
            ServiceError::InvalidIdentity { .. } => "invalid-identity",
            ServiceError::KitFile { .. } => "unusable-kit",
            ServiceError::CannotIssue { .. } => "cannot-issue",
            ServiceError::InvalidAddress { .. } => "invalid-address",
            ServiceError::NotLoopback { .. } => "not-loopback",
            ServiceError::AddressInUse { .. } => "address-in-use",
            ServiceError::Unreachable { .. } => "peer-missing",
            ServiceError::Telemetry { .. } => "invalid-value",
            _ => "service",
        };
        let (field, value) = error.about();
        // The flag by which it was given.
        let field = if field == "log" { "--log" } else { field };
        let words = error.to_string();
        let exit = Failure::from(error).status;
        Self::from_words(exit, code, field, &value, &words)
    }
}

impl From<LearningError> for Fault {
    fn from(error: LearningError) -> Self {
        let (code, field, value) = match &error {
            LearningError::Io { path, .. } => {
                ("unreadable-file", "file".to_owned(), path.display().to_string())
            }
            LearningError::Format { file, field, value, .. } => {
                ("malformed-file", format!("{file}: {field}"), value.clone())
            }
            LearningError::Cell { file, line, column, value, .. } => {
                ("malformed-file", format!("{file}, line {line}, column {column}"), value.clone())
            }
            LearningError::Argument { field, value, .. } => ("invalid-value", field.clone(), value.clone()),
        };
        Self::from_words(Exit::BadInput, code, &field, &value, &error.to_string())
    }
}

impl From<conclave_privacy::Error> for Fault {
    fn from(error: conclave_privacy::Error) -> Self {
        let (exit, code) = match &error {
            conclave_privacy::Error::BudgetExceeded { .. } | conclave_privacy::Error::Unreachable { .. } => {
                (Exit::Budget, "budget-spent")
            }
            _ => (Exit::BadInput, "invalid-value"),
        };
        let words = error.to_string();
        // These texts put the fix after the last colon.
        let (problem, fix) = words.rsplit_once(": ").unwrap_or((&words, "see `conclave help`"));
        let field = problem.split(" is ").next().unwrap_or_default().to_owned();
        let value = problem.split(" is ").nth(1).unwrap_or_default();
        let value = value.split(',').next().unwrap_or_default().to_owned();
        Self { exit, code, field, value, message: problem.to_owned(), fix: fix.to_owned() }
    }
}
