//! Every figure that a process shows to whoever watches it, and no other: one struct for each role, with named fields.
//!
//! What is shown must not depend on private data: budgets, progress that `GetStatus` tells anybody, refusals, who is
//! there, how long the disk takes, days. Never a vote, a count, a margin, a class, an accuracy, the size of a shard, or a
//! duration that could follow from one. To hold that by construction the set is closed: a name stands in [`Metric`], a
//! label in a private enum, a word of a label in a list here or in the ledger (names of silos and campaigns, which the
//! contract publishes). There is no call that takes a name or a label from its caller.
//!
//! Figures are read when they are asked for ([`crate::admin`]), from whoever keeps them; so a campaign that is over leaves
//! nothing behind here.

mod page;
mod refusals;

use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

pub use page::{CONTENT_TYPE, page};
pub use refusals::{Refusals, known_reason};

/// What one process shows.
#[derive(Debug)]
pub enum Figures {
    /// Of an aggregator.
    Aggregator(AggregatorFigures),
    /// Of a teacher node.
    Teacher(TeacherFigures),
    /// Of a student.
    Student(StudentFigures),
}

/// What an aggregator shows: all of it is in `GetStatus` and the certificate of its ledger as well, or is about its own
/// disk and its callers.
#[derive(Debug)]
pub struct AggregatorFigures {
    /// The campaign that is open, or was last; `None` before the first.
    pub campaign: Option<CampaignFigures>,
    /// Every account in the ledger.
    pub accounts: Vec<AccountFigures>,
    /// Teacher nodes that are there.
    pub nodes_present: u64,
    /// Teacher nodes of the campaign.
    pub nodes_expected: u64,
    /// Batches of the campaign that were given up because too few teachers' votes had come, since it began or went on.
    pub quorum_misses: u64,
    /// Submissions of votes that were not counted, likewise, by reason. Reasons are those of the protocol.
    pub submissions_rejected: Vec<(&'static str, u64)>,
    /// Entries in the ledger: the height of its chain.
    pub ledger_entries: u64,
    /// How long commits to the ledger took.
    pub ledger_flushes: FlushTimes,
    /// Calls that were refused.
    pub refusals: Refusals,
    /// Whole days until the certificate expires; `None` without a kit.
    pub certificate_days_left: Option<i64>,
}

/// A campaign: its budget, and how far it is.
#[derive(Debug)]
pub struct CampaignFigures {
    /// Its name in the contract.
    pub name: String,
    /// Where it stands.
    pub state: CampaignState,
    /// ε of its cap.
    pub epsilon_cap: f64,
    /// ρ of its cap, in nats.
    pub rho_cap: f64,
    /// ρ that was charged, in nats.
    pub rho_spent: f64,
    /// ρ that is set aside for queries under way, in nats.
    pub rho_reserved: f64,
    /// Queries that were admitted.
    pub queries_admitted: u64,
    /// Queries that got a label.
    pub queries_answered: u64,
    /// Queries on which the mechanism abstained, as released.
    pub queries_abstained: u64,
    /// Queries that were closed after too many interrupted draws.
    pub queries_interrupted: u64,
    /// Queries that still wait.
    pub queries_waiting: u64,
}

/// Where a campaign stands, as `GetStatus` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CampaignState {
    /// Nothing waits.
    Idle,
    /// Votes are collected.
    Asking,
    /// The next batch would pass a cap.
    BudgetSpent,
    /// Too few teachers are there.
    BelowQuorum,
    /// The ledger takes no more writes.
    Halted,
    /// An operator has stopped it.
    Ended,
}

impl CampaignState {
    const ALL: [(Self, &str); 6] = [
        (Self::Idle, "idle"),
        (Self::Asking, "asking"),
        (Self::BudgetSpent, "budget_spent"),
        (Self::BelowQuorum, "below_quorum"),
        (Self::Halted, "halted"),
        (Self::Ended, "ended"),
    ];
}

/// The account of one silo's data, for the life of the data.
#[derive(Debug)]
pub struct AccountFigures {
    /// The organisation, as in the contract.
    pub organisation: String,
    /// The data id, as in the contract.
    pub data: String,
    /// ε of the cap.
    pub epsilon_cap: f64,
    /// ρ of the cap, in nats.
    pub rho_cap: f64,
    /// ρ that was charged, in nats.
    pub rho_spent: f64,
    /// ρ that is set aside for queries under way, in nats.
    pub rho_reserved: f64,
}

/// What a teacher node shows: nothing that its aggregator does not know.
#[derive(Debug)]
pub struct TeacherFigures {
    /// Batches that were voted on since the start.
    pub batches_answered: u64,
    /// Different queries that the silo has allowed, over all campaigns.
    pub guard_queries_spent: u64,
    /// Different queries that the silo will still allow.
    pub guard_queries_left: u64,
    /// Calls that were refused.
    pub refusals: Refusals,
    /// Whole days until the certificate expires; `None` without a kit.
    pub certificate_days_left: Option<i64>,
}

/// What a student shows.
#[derive(Debug)]
pub struct StudentFigures {
    /// Examples that were predicted since the start, of whatever class.
    pub predictions_served: u64,
    /// Released labels that the served model learned from; `None` while there is no model.
    pub labels_learned_from: Option<u64>,
    /// Calls that were refused.
    pub refusals: Refusals,
    /// Whole days until the certificate expires; `None` without a kit.
    pub certificate_days_left: Option<i64>,
}

/// How long something took that does not depend on votes: commits to a ledger. Clones share it.
#[derive(Debug, Clone)]
pub struct FlushTimes(Histogram);

impl FlushTimes {
    /// One more commit.
    pub fn took(&self, time: Duration) {
        self.0.observe(time.as_secs_f64());
    }
}

impl Default for FlushTimes {
    fn default() -> Self {
        Self(Histogram::new(FLUSH_SECONDS))
    }
}

/// Upper bounds of the buckets, in seconds: from a fast SSD to a disk that ought to be replaced.
const FLUSH_SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// What kind of figure a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up, from 0 at the start of the process; served under its name with `_total`.
    Counter,
    /// Served under its name with `_bucket`, `_sum` and `_count`.
    Histogram,
}

/// The closed set of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// See [`AccountFigures`].
    AccountEpsilonCap,
    /// See [`AccountFigures`].
    AccountRhoCap,
    /// See [`AccountFigures`].
    AccountRhoSpent,
    /// See [`AccountFigures`].
    AccountRhoReserved,
    /// Cap less what is spent and reserved.
    AccountRhoLeft,
    /// See [`CampaignFigures`].
    CampaignEpsilonCap,
    /// See [`CampaignFigures`].
    CampaignRhoCap,
    /// See [`CampaignFigures`].
    CampaignRhoSpent,
    /// See [`CampaignFigures`].
    CampaignRhoReserved,
    /// Cap less what is spent and reserved.
    CampaignRhoLeft,
    /// See [`CampaignFigures`].
    CampaignQueries,
    /// See [`CampaignState`]: 1 for the state that it is in, 0 for the others.
    CampaignState,
    /// See [`AggregatorFigures`].
    NodesPresent,
    /// See [`AggregatorFigures`].
    NodesExpected,
    /// See [`AggregatorFigures`].
    QuorumMisses,
    /// See [`AggregatorFigures`].
    SubmissionsRejected,
    /// See [`AggregatorFigures`].
    LedgerEntries,
    /// See [`AggregatorFigures`].
    LedgerFlush,
    /// See [`TeacherFigures`].
    BatchesAnswered,
    /// See [`TeacherFigures`].
    GuardQueriesSpent,
    /// See [`TeacherFigures`].
    GuardQueriesLeft,
    /// See [`StudentFigures`].
    PredictionsServed,
    /// See [`StudentFigures`].
    LabelsLearnedFrom,
    /// Every role.
    Refusals,
    /// Every role.
    CertificateDaysLeft,
}

impl Metric {
    /// Every metric of every role.
    pub const ALL: [Self; 25] = [
        Self::AccountEpsilonCap,
        Self::AccountRhoCap,
        Self::AccountRhoSpent,
        Self::AccountRhoReserved,
        Self::AccountRhoLeft,
        Self::CampaignEpsilonCap,
        Self::CampaignRhoCap,
        Self::CampaignRhoSpent,
        Self::CampaignRhoReserved,
        Self::CampaignRhoLeft,
        Self::CampaignQueries,
        Self::CampaignState,
        Self::NodesPresent,
        Self::NodesExpected,
        Self::QuorumMisses,
        Self::SubmissionsRejected,
        Self::LedgerEntries,
        Self::LedgerFlush,
        Self::BatchesAnswered,
        Self::GuardQueriesSpent,
        Self::GuardQueriesLeft,
        Self::PredictionsServed,
        Self::LabelsLearnedFrom,
        Self::Refusals,
        Self::CertificateDaysLeft,
    ];

    /// Kind, name without the suffix that the kind adds, and what it is, for people.
    pub const fn described(self) -> (Kind, &'static str, &'static str) {
        use Kind::{Counter, Gauge, Histogram};
        match self {
            Self::AccountEpsilonCap => {
                (Gauge, "conclave_account_epsilon_cap", "Epsilon of the cap of a silo's data, for their life")
            }
            Self::AccountRhoCap => {
                (Gauge, "conclave_account_rho_cap", "The cap of a silo's data in nats of zCDP")
            }
            Self::AccountRhoSpent => (Gauge, "conclave_account_rho_spent", "What a silo's data were charged"),
            Self::AccountRhoReserved => {
                (Gauge, "conclave_account_rho_reserved", "What is set aside for queries under way")
            }
            Self::AccountRhoLeft => {
                (Gauge, "conclave_account_rho_left", "The cap less what is spent and set aside")
            }
            Self::CampaignEpsilonCap => {
                (Gauge, "conclave_campaign_epsilon_cap", "Epsilon of the campaign's part of the budget")
            }
            Self::CampaignRhoCap => {
                (Gauge, "conclave_campaign_rho_cap", "The campaign's part of the budget in nats of zCDP")
            }
            Self::CampaignRhoSpent => (Gauge, "conclave_campaign_rho_spent", "What the campaign was charged"),
            Self::CampaignRhoReserved => {
                (Gauge, "conclave_campaign_rho_reserved", "What is set aside for queries under way")
            }
            Self::CampaignRhoLeft => {
                (Gauge, "conclave_campaign_rho_left", "The campaign's cap less what is spent and set aside")
            }
            Self::CampaignQueries => (
                Gauge,
                "conclave_campaign_queries",
                "Queries of the campaign by state, as GetStatus tells them",
            ),
            Self::CampaignState => (
                Gauge,
                "conclave_campaign_state",
                "1 for the state that the campaign is in, 0 for the others",
            ),
            Self::NodesPresent => (Gauge, "conclave_nodes_present", "Teacher nodes that are there"),
            Self::NodesExpected => (Gauge, "conclave_nodes_expected", "Teacher nodes of the campaign"),
            Self::QuorumMisses => {
                (Counter, "conclave_quorum_misses", "Batches that were given up for want of teachers")
            }
            Self::SubmissionsRejected => {
                (Counter, "conclave_submissions_rejected", "Submissions of votes that were not counted")
            }
            Self::LedgerEntries => {
                (Gauge, "conclave_ledger_entries", "Entries in the ledger: its chain's height")
            }
            Self::LedgerFlush => {
                (Histogram, "conclave_ledger_flush_seconds", "How long commits to the ledger took")
            }
            Self::BatchesAnswered => {
                (Counter, "conclave_teacher_batches_answered", "Batches that this node's teachers voted on")
            }
            Self::GuardQueriesSpent => {
                (Gauge, "conclave_guard_queries_spent", "Different queries that the silo has allowed")
            }
            Self::GuardQueriesLeft => {
                (Gauge, "conclave_guard_queries_left", "Different queries that the silo will still allow")
            }
            Self::PredictionsServed => {
                (Counter, "conclave_student_predictions_served", "Examples that were predicted")
            }
            Self::LabelsLearnedFrom => {
                (Gauge, "conclave_student_labels_learned_from", "Released labels behind the served model")
            }
            Self::Refusals => (Counter, "conclave_refusals", "Calls that were refused, by reason"),
            Self::CertificateDaysLeft => (
                Gauge,
                "conclave_certificate_days_left",
                "Whole days until this process's certificate expires",
            ),
        }
    }

    /// The names under which it is served.
    pub fn series(self) -> Vec<String> {
        let (kind, name, _) = self.described();
        let suffixes: &[&str] = match kind {
            Kind::Gauge => &[""],
            Kind::Counter => &["_total"],
            Kind::Histogram => &["_bucket", "_sum", "_count"],
        };
        suffixes.iter().map(|suffix| format!("{name}{suffix}")).collect()
    }
}

#[cfg(test)]
mod tests;
