//! Refusals on the wire: rich `google.rpc.Status` made in one place, and read back into words in the same place.
//!
//! A refusal has a code, a reason that programs may match on, a message, and where it applies the field, its value and
//! the fix. Standard details carry them, so that clients in other languages see them too: ErrorInfo (reason, domain
//! `conclave`), BadRequest (field), QuotaFailure (whose limit, what is left) and RetryInfo (when to come back).
//! Nothing private may be put here: it leaves the process.

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use tonic::{Code, Status, TimeoutExpired};
use tonic_types::{ErrorDetails, StatusExt};

/// Why a call was refused, as the server made it or as the client read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    code: Code,
    reason: Cow<'static, str>,
    message: String,
    // Boxed, because refusals are the unlikely half of many results.
    details: Box<Details>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Details {
    field: Option<String>,
    value: Option<String>,
    fix: Option<String>,
    quotas: Vec<Quota>,
    retry_after: Option<Duration>,
}

/// One limit that would have been passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Whose limit: a data id, an organisation.
    pub subject: String,
    /// The limit, what was asked and what is left, in words.
    pub description: String,
}

impl Refusal {
    /// `reason` is a constant in capitals (`CLASS_OUT_OF_RANGE`) that never changes its meaning.
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason: Cow::Borrowed(reason), message: message.into(), details: Box::default() }
    }

    /// A field of the request that cannot be accepted: INVALID_ARGUMENT with field, value and fix.
    pub fn invalid(field: impl Into<String>, value: impl fmt::Display, fix: impl Into<String>) -> Self {
        let (field, fix) = (field.into(), fix.into());
        Self::new(Code::InvalidArgument, "INVALID_FIELD", format!("{field} cannot be accepted"))
            .field(field)
            .value(value)
            .fix(fix)
    }

    /// The budget does not allow it: FAILED_PRECONDITION, so that nobody retries.
    pub fn budget(subject: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(Code::FailedPrecondition, REASON_BUDGET, "the privacy budget does not allow this")
            .quota(subject, description)
    }

    /// Too much at once: RESOURCE_EXHAUSTED, with the time after which a retry may succeed.
    pub fn overloaded(message: impl Into<String>, retry_after: Duration) -> Self {
        let mut refusal = Self::new(Code::ResourceExhausted, "OVERLOADED", message);
        refusal.details.retry_after = Some(retry_after);
        refusal
    }

    /// Names the field: `votes[3].class`.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.details.field = Some(field.into());
        self
    }

    /// Shows the offending value, clipped.
    #[must_use]
    pub fn value(mut self, value: impl fmt::Display) -> Self {
        self.details.value = Some(value.to_string().chars().take(VALUE_CHARS_MAX).collect());
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.details.fix = Some(fix.into());
        self
    }

    /// Adds a limit that would have been passed.
    #[must_use]
    pub fn quota(mut self, subject: impl Into<String>, description: impl Into<String>) -> Self {
        self.details.quotas.push(Quota { subject: subject.into(), description: description.into() });
        self
    }

    /// The status to answer with.
    pub fn into_status(self) -> Status {
        let mut facts = HashMap::new();
        if let Some(value) = &self.details.value {
            facts.insert(FACT_VALUE.to_owned(), value.clone());
        }
        if let Some(fix) = &self.details.fix {
            facts.insert(FACT_FIX.to_owned(), fix.clone());
        }
        let mut details = ErrorDetails::with_error_info(self.reason.as_ref(), DOMAIN, facts);
        if let Some(field) = &self.details.field {
            details.add_bad_request_violation(field, self.to_string());
        }
        for quota in &self.details.quotas {
            details.add_quota_failure_violation(&quota.subject, &quota.description);
        }
        if self.details.retry_after.is_some() {
            details.set_retry_info(self.details.retry_after);
        }
        Status::with_error_details(self.code, self.message, details)
    }

    /// Reads a status that a call returned, whoever made it.
    pub fn read(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN);
        let fact = |name: &str| info.and_then(|info| info.metadata.get(name)).cloned();
        let field = details.bad_request().and_then(|request| request.field_violations.first());
        let quotas = details.quota_failure().map(|failure| failure.violations.as_slice()).unwrap_or_default();
        let quotas = quotas
            .iter()
            .map(|quota| Quota { subject: quota.subject.clone(), description: quota.description.clone() });
        Self {
            code: code(status),
            reason: Cow::Owned(info.map(|info| info.reason.clone()).unwrap_or_default()),
            message: status.message().to_owned(),
            details: Box::new(Details {
                field: field.map(|violation| violation.field.clone()),
                value: fact(FACT_VALUE),
                fix: fact(FACT_FIX),
                quotas: quotas.collect(),
                retry_after: details.retry_info().and_then(|info| info.retry_delay),
            }),
        }
    }

    /// The gRPC code.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The constant that programs match on; empty when the status did not come from Conclave.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What happened, in words.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The field at fault.
    pub fn faulty_field(&self) -> Option<&str> {
        self.details.field.as_deref()
    }

    /// The value at fault.
    pub fn faulty_value(&self) -> Option<&str> {
        self.details.value.as_deref()
    }

    /// What to do about it.
    pub fn suggested_fix(&self) -> Option<&str> {
        self.details.fix.as_deref()
    }

    /// Limits that would have been passed.
    pub fn quotas(&self) -> &[Quota] {
        &self.details.quotas
    }

    /// When a retry may succeed.
    pub fn retry_after(&self) -> Option<Duration> {
        self.details.retry_after
    }

    /// Whether the privacy budget refused.
    pub fn is_budget(&self) -> bool {
        self.reason == REASON_BUDGET
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match (&self.details.field, &self.details.value) {
            (Some(field), Some(value)) => write!(f, " ({field} is {value})")?,
            (Some(field), None) => write!(f, " ({field})")?,
            _ => {}
        }
        for quota in &self.details.quotas {
            write!(f, "; {}: {}", quota.subject, quota.description)?;
        }
        if let Some(fix) = &self.details.fix {
            write!(f, "; {fix}")?;
        }
        if let Some(delay) = self.details.retry_after {
            write!(f, "; try again in {} ms", delay.as_millis())?;
        }
        Ok(())
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        refusal.into_status()
    }
}

/// The code of a status, corrected where the client itself made it: tonic says CANCELLED when its own timer ends a call,
/// and UNKNOWN or CANCELLED when the connection is lost in the middle of one.
pub fn code(status: &Status) -> Code {
    // A status that came over the wire has no source.
    let mut cause = status.source();
    let made_here = cause.is_some();
    while let Some(error) = cause {
        if error.is::<TimeoutExpired>() {
            return Code::DeadlineExceeded;
        }
        let not_tls = |error: &io::Error| error.kind() == io::ErrorKind::InvalidData;
        if error.downcast_ref().is_some_and(not_tls) {
            // The peers do not understand or accept each other: trying again does not help, whatever tonic calls it.
            return Code::Unauthenticated;
        }
        cause = error.source();
    }
    match status.code() {
        Code::Unknown | Code::Cancelled if made_here => Code::Unavailable,
        code => code,
    }
}

/// The domain of every ErrorInfo that Conclave makes.
pub const DOMAIN: &str = "conclave";
/// The reason of every refusal by the privacy budget.
pub const REASON_BUDGET: &str = "BUDGET_EXHAUSTED";
const FACT_VALUE: &str = "value";
const FACT_FIX: &str = "fix";
/// Details travel in the trailers, whose size peers bound.
const VALUE_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_the_wire() {
        let made = Refusal::invalid("votes[3].class", 11, "vote for a class in 0..10")
            .quota("north", "cap 3.0, spent 2.9, asked 0.2");
        let read = Refusal::read(&made.clone().into_status());
        assert_eq!(read, made);
        assert_eq!(
            read.to_string(),
            "votes[3].class cannot be accepted (votes[3].class is 11); north: cap 3.0, spent 2.9, asked 0.2; \
             vote for a class in 0..10"
        );

        let busy = Refusal::overloaded("64 calls are waiting", Duration::from_millis(250));
        assert_eq!(Refusal::read(&busy.clone().into_status()), busy);
        assert!(!busy.is_budget());
        assert!(Refusal::read(&Refusal::budget("north", "0.1 left").into_status()).is_budget());
    }

    #[test]
    fn a_plain_status_is_read_without_inventing_anything() {
        let read = Refusal::read(&Status::unavailable("gone"));
        assert_eq!((read.code(), read.reason(), read.message()), (Code::Unavailable, "", "gone"));
        assert_eq!((read.faulty_field(), read.suggested_fix(), read.retry_after()), (None, None, None));
    }

    #[test]
    fn details_of_another_domain_are_not_taken_for_ours() {
        let details = ErrorDetails::with_error_info(REASON_BUDGET, "example.org", HashMap::new());
        let status = Status::with_error_details(Code::FailedPrecondition, "other", details);
        assert!(!Refusal::read(&status).is_budget());
    }

    #[test]
    fn a_huge_value_is_clipped_so_that_the_refusal_still_fits_the_trailers() {
        let status = Refusal::invalid("name", "x".repeat(1 << 20), "shorten it").into_status();
        assert!(status.details().len() < 2_000);
    }
}
