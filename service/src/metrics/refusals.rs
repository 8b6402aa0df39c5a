//! How many calls were refused, by reason. Clones count together.
//!
//! The reasons of a role are a list; what is not in it, and whatever a library answers without a reason of ours, counts
//! as [`OTHER`]. So no text from a caller or a message becomes a label.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use tonic::{Code, Status};

use crate::identity::Role;
use crate::wire_error::Refusal;

/// Counts refusals of one process.
#[derive(Debug, Clone)]
pub struct Refusals(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    /// Reason and how often. The last is [`OTHER`].
    of: Vec<(&'static str, AtomicU64)>,
}

/// The reason with which a peer of this role refused, if it is one of its list, else `OTHER`: what may be shown to others.
pub fn known_reason(role: Role, refusal: &Refusal) -> &'static str {
    reasons(role).find(|reason| *reason == refusal.reason()).unwrap_or(OTHER)
}

/// All reasons of a role, [`OTHER`] last.
fn reasons(role: Role) -> impl Iterator<Item = &'static str> {
    let own: &[&str] = match role {
        Role::Aggregator => &AGGREGATOR,
        Role::Teacher => &TEACHER,
        Role::Student => &STUDENT,
        Role::Client | Role::Operator => &[],
    };
    SHELL.iter().chain(own).chain(&[OTHER]).copied()
}

impl Refusals {
    /// Nothing was refused yet by a process with this role.
    pub fn of(role: Role) -> Self {
        Self(Arc::new(Counts { of: reasons(role).map(|reason| (reason, AtomicU64::new(0))).collect() }))
    }

    /// One more, if `status` is a refusal.
    pub fn count(&self, status: &Status) {
        if status.code() == Code::Ok {
            return;
        }
        let refusal = Refusal::read(status);
        let of = &self.0.of;
        let known = of.iter().find(|(reason, _)| *reason == refusal.reason());
        if let Some((_, count)) = known.or(of.last()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One more, if the headers of a response say that the call was refused.
    pub(crate) fn count_response(&self, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.count(&status);
        }
    }

    /// Every reason with its number, also those that never occurred.
    pub(super) fn by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.of.iter().map(|(reason, count)| (*reason, count.load(Ordering::Relaxed)))
    }
}

/// Any other reason, and none.
const OTHER: &str = "OTHER";

/// Reasons of the shell, so of every role.
const SHELL: [&str; 11] = [
    "BAD_CERTIFICATE",
    "BUDGET_EXHAUSTED",
    "DEADLINE",
    "FOREIGN_CONSORTIUM",
    "INVALID_FIELD",
    "NOT_AN_OPERATOR",
    "NOT_LOOPBACK",
    "NO_CERTIFICATE",
    "OVERLOADED",
    "UNKNOWN_METHOD",
    "WRONG_ROLE",
];
const AGGREGATOR: [&str; 22] = [
    "ACCOUNT_CHANGED",
    "AGGREGATOR_FAILED",
    "AT_WORK",
    "CAMPAIGN_ENDED",
    "CAMPAIGN_NOT_OPEN",
    "CAMPAIGN_OPEN",
    "CAMPAIGN_UNKNOWN",
    "CONTRACT_CHANGED",
    "CONTRACT_INVALID",
    "DISPLACED",
    "LEASE_NOT_OPEN",
    "LEDGER_CLOSED",
    "LEDGER_UNREADABLE",
    "NOT_A_MEMBER",
    "NO_CAMPAIGN",
    "OUTCOME_CHANGED",
    "POSITION_UNKNOWN",
    "QUERIES_MAX",
    "QUERY_UNKNOWN",
    "SILOS_ABSENT",
    "SILO_REFUSED",
    "STOPPING",
];
const TEACHER: [&str; 10] = [
    "BATCH_SIZE",
    "CONTRACT_CHANGED",
    "CONTRACT_INVALID",
    "CONTRACT_REFUSED",
    "CONTRACT_UNKNOWN",
    "GUARD_HALTED",
    "PROTOCOL_VERSION",
    "QUERY_REPEATED",
    "QUERY_UNKNOWN",
    "SILO_BUDGET_SPENT",
];
const STUDENT: [&str; 2] = ["NOT_READY", "PREDICTION_FAILED"];
