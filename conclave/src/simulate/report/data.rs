//! What a report tells, as plain data: filled in by the simulation, read by report, summary and JSON.

use serde::{Deserialize, Serialize};

/// Everything about one simulated campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportData {
    /// A few words that tell this run from others.
    pub title: String,
    /// The data set's name.
    pub dataset: String,
    /// Classes in the order of their indices.
    pub class_names: Vec<String>,
    /// The voting scheme's name.
    pub scheme: String,
    /// How many organisations took part.
    pub organisations: u32,
    /// Teachers over all organisations.
    pub teachers: u32,
    /// The command that repeats this run.
    pub command: String,
    /// All settings in effect, in the order in which to show them.
    pub settings: Vec<Setting>,
    /// What was asked and answered.
    pub queries: QueryTotals,
    /// The share of released labels that are right, where any was released and the truth is known.
    pub label_accuracy: Option<f64>,
    /// What the labels bought.
    pub student: Student,
    /// What it cost.
    pub privacy: Privacy,
    /// Set if the budget stopped the campaign early.
    pub shortfall: Option<Shortfall>,
    /// Student accuracy had the campaign been given other budgets, in ascending ε.
    pub curve: Vec<CurvePoint>,
    /// The spending after each batch, in the order of the campaign; the first point may be (0, 0, 0).
    pub budget: Vec<BudgetPoint>,
    /// The largest count's share of all votes, one per query. Visible only in a simulation.
    pub top_vote_shares: Vec<f64>,
    /// What happened to the queries of each true class. Visible only in a simulation.
    pub outcomes: Vec<ClassOutcomes>,
    /// Student against truth on the test rows.
    pub confusion: Option<Confusion>,
    /// Some queries, to look at.
    pub examples: Vec<QueryExample>,
    /// One account per silo.
    pub silos: Vec<SiloAccount>,
    /// What attacks came to, where any was carried out.
    #[serde(skip)]
    pub attacks: Vec<crate::attacks::Attacked>,
    /// How long it took.
    pub seconds: Seconds,
}

/// One setting in effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// As in a scenario.
    pub name: String,
    /// With its unit.
    pub value: String,
    /// Where it came from: `flag`, `scenario` or `default`.
    pub origin: String,
}

/// Queries of the campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryTotals {
    /// Public examples in the pool.
    pub pool: u64,
    /// Queries asked.
    pub asked: u64,
    /// Queries answered with a label.
    pub answered: u64,
    /// Queries answered with an abstention.
    pub abstained: u64,
}

/// The student and what to compare it with; accuracies are shares of the test rows, in 0..=1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Student {
    /// The model in words.
    pub model: String,
    /// Test rows.
    pub test_size: u64,
    /// The student; absent if no label was released.
    pub test_accuracy: Option<f64>,
    /// A model trained on all private records together, without privacy.
    pub nonprivate_accuracy: Option<f64>,
    /// What the public pool gives without any teacher.
    pub public_alone_accuracy: Option<f64>,
    /// How the public pool alone was made to predict, in words.
    pub public_alone: String,
}

/// The guarantee and the spending.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Privacy {
    /// The privacy unit in one word.
    pub unit: String,
    /// The adjacency in one word.
    pub adjacency: String,
    /// Unit and adjacency in plain words, such as "one record added or removed".
    pub protects: String,
    /// δ, for the life of the data.
    pub delta: f64,
    /// ε of the cap: the guarantee.
    pub epsilon: f64,
    /// ε of what ran: a figure after the fact.
    pub epsilon_spent: f64,
    /// ρ of the cap, in nats.
    pub rho_cap: f64,
    /// ρ of what ran, in nats.
    pub rho_spent: f64,
    /// Who kept the account, such as `zcdp`.
    pub accountant: String,
    /// The accounting is data-independent.
    pub publishable: bool,
    /// The mechanism's name.
    pub mechanism: String,
    /// The mechanism with its noise in words, such as "Laplace noise of scale 20 votes on each count".
    pub noise: String,
}

/// A refusal of the budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shortfall {
    /// Whose budget: an account or the campaign.
    pub wall: String,
    /// ρ that was asked for, in nats.
    pub rho_asked: f64,
    /// ρ that was left, in nats.
    pub rho_left: f64,
    /// Queries that were not asked.
    pub queries_unasked: u64,
}

/// One point of the trade-off.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// ε of the cap at the campaign's δ.
    pub epsilon: f64,
    /// Student accuracy, 0..=1.
    pub accuracy: f64,
    /// Labels behind it.
    pub labels: u64,
}

/// One point of the campaign's spending.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BudgetPoint {
    /// Queries released so far.
    pub queries: u64,
    /// ρ spent so far, in nats.
    pub rho: f64,
    /// ε of it, at the campaign's δ.
    pub epsilon: f64,
}

/// Queries whose true class is one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassOutcomes {
    /// Answered with the true class.
    pub right: u64,
    /// Answered with another class.
    pub wrong: u64,
    /// Answered with an abstention.
    pub abstained: u64,
}

/// Test rows by true class (outer) and predicted class (inner).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion(pub Vec<Vec<u64>>);

/// One query to look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryExample {
    /// Row of the pool.
    pub row: u64,
    /// Height and width, where the example is an image; the pixels then have that many entries, row by row.
    pub shape: Option<(u32, u32)>,
    /// Raw values, 0 is paper; scaled by the largest value over all examples when shown.
    pub values: Vec<f32>,
    /// The released class; `None` is an abstention.
    pub label: Option<u16>,
    /// The true class.
    pub truth: Option<u16>,
    /// The largest count's share of all votes. Visible only in a simulation.
    pub top_vote_share: Option<f64>,
}

/// The account of one silo's data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiloAccount {
    /// The organisation.
    pub organisation: String,
    /// The data id under which the ledger keeps it.
    pub data_id: String,
    /// Teachers that it hosts.
    pub teachers: u32,
    /// Records that it holds. Visible only in a simulation.
    pub records: Option<u64>,
    /// ε of the cap, at δ.
    pub epsilon_cap: f64,
    /// ε spent, after the fact.
    pub epsilon_spent: f64,
    /// ρ of the cap, in nats.
    pub rho_cap: f64,
    /// ρ spent, in nats.
    pub rho_spent: f64,
}

/// Wall-clock seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Training the teachers.
    pub teachers: f64,
    /// Asking, voting, drawing, releasing.
    pub voting: f64,
    /// Training and measuring the student.
    pub student: f64,
    /// Everything.
    pub total: f64,
}
