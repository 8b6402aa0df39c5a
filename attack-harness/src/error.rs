//! What can stop an attack.

use std::fmt;

/// Why an attack was not carried out, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting cannot be used.
    #[error("{field} = {value}: {fix}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// Its value.
        value: String,
        /// What to do about it.
        fix: String,
    },
    /// The budget of the threat model is used up: what was measured before stands.
    #[error("the budget of {limit} {what} is used up; allow more, or report what was measured before")]
    BudgetExhausted {
        /// What the budget counts.
        what: &'static str,
        /// How much was allowed.
        limit: u64,
    },
    /// The target failed, refused, or broke its protocol.
    #[error("the target did not answer: {0}")]
    Target(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Training or measuring failed.
    #[error(transparent)]
    Learning(#[from] conclave_learning::Error),
    /// A quantity or a mechanism was refused.
    #[error(transparent)]
    Privacy(#[from] conclave_privacy::Error),
}

/// With [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A setting that cannot be used, and what to do about it.
    pub fn setting(field: &'static str, value: impl fmt::Display, fix: impl Into<String>) -> Self {
        Self::Setting { field, value: value.to_string(), fix: fix.into() }
    }

    /// A failure of what is attacked.
    pub fn target(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Target(cause.into())
    }
}
