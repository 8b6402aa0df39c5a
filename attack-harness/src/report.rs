//! What is told of an attack: its threat model, what was measured with how much doubt, what was promised, and the verdict.
//!
//! Plain data. Pages and lines are made of it elsewhere; every sentence about an attack is written beside that attack. An ε in them
//! stands with its unit, adjacency and δ, which attacks are given in words.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::proportion::Proportion;
use crate::threat_model::ThreatModel;

/// One attack and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Its name on the command line.
    pub attack: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Who attacked, with what.
    pub threat: ThreatModel,
    /// How it was done: every parameter, how rows and queries were chosen and changes drawn, and how many there were.
    pub method: String,
    /// What an attacker of this kind could do besides, and this one did not.
    pub not_tried: String,
    /// What was asked or drawn, by kind; nothing where there is one kind.
    pub asked: Vec<Asked>,
    /// What it cost in privacy, where the ledger was charged nothing for the attacker's questions.
    pub privacy_cost: String,
    /// What came out, in a sentence or two, with its numbers.
    pub result: String,
    /// What is promised, why, and what is not.
    pub bound: String,
    /// When that promise counts as broken.
    pub broken_if: String,
    /// Whether the promise held.
    pub verdict: Verdict,
    /// The verdict in words, where [`Verdict::word`] would say too much.
    pub verdict_words: Option<String>,
    /// The figures, in the order in which they were measured.
    pub measurements: Vec<Measurement>,
    /// Of each measure: what was counted, and what its interval is taken over.
    pub captions: BTreeMap<&'static str, String>,
}

/// So many questions or draws of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// In words that follow the number.
    pub what: String,
    /// How many.
    pub times: u64,
}

impl Asked {
    /// So many of these.
    pub fn new(times: u64, what: impl Into<String>) -> Self {
        Self { what: what.into(), times }
    }
}

impl Finding {
    /// The verdict for people.
    pub fn verdict_in_words(&self) -> &str {
        self.verdict_words.as_deref().unwrap_or(self.verdict.word())
    }
}

/// Whether a promise held against an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The attack stayed within its bound.
    Held,
    /// The attack passed its bound, beyond chance: something is wrong.
    Broken,
    /// Nothing is promised here; the figure is what it is.
    Measured,
}

/// One figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measurement {
    /// What was measured.
    pub measure: &'static str,
    /// What was varied.
    pub variable: &'static str,
    /// The value of what was varied.
    pub at: f64,
    /// What came out.
    pub value: f64,
    /// A 95 % interval, where it was counted.
    pub low: Option<f64>,
    /// Its other end.
    pub high: Option<f64>,
    /// How many it was counted from: rows, labels or runs.
    pub n: Option<u64>,
    /// What is promised of it.
    pub bound: Option<f64>,
    /// On which side of the figure that promise is.
    pub bound_is: Option<Limit>,
    /// A share, in 0..=1.
    pub share: bool,
}

/// What a bound is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// The figure must not lie below it, beyond chance.
    Floor,
    /// The figure must not lie above it, beyond chance.
    Ceiling,
}

impl Measurement {
    /// A figure without interval and bound.
    pub const fn new(measure: &'static str, variable: &'static str, at: f64, value: f64) -> Self {
        let (low, high, n, bound, bound_is) = (None, None, None, None, None);
        Self { measure, variable, at, value, low, high, n, bound, bound_is, share: false }
    }

    /// A share that was counted, with its interval.
    pub fn of_share(measure: &'static str, variable: &'static str, at: f64, counted: Proportion) -> Self {
        let (low, high) = counted.interval();
        let (low, high, share) = (Some(low), Some(high), true);
        Self { low, high, share, ..Self::new(measure, variable, at, counted.share()) }
            .counted_from(counted.of)
    }

    /// The same, counted from so many.
    #[must_use]
    pub const fn counted_from(self, n: u64) -> Self {
        Self { n: Some(n), ..self }
    }

    /// The same, with what it must not lie below.
    #[must_use]
    pub const fn with_floor(self, floor: f64) -> Self {
        Self { bound: Some(floor), bound_is: Some(Limit::Floor), ..self }
    }

    /// The same, with what it must not lie above.
    #[must_use]
    pub const fn with_ceiling(self, ceiling: f64) -> Self {
        Self { bound: Some(ceiling), bound_is: Some(Limit::Ceiling), ..self }
    }
}

impl Verdict {
    /// In a few words.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Held => "promise kept",
            Self::Broken => "PROMISE BROKEN",
            Self::Measured => "no promise to hold it against",
        }
    }
}
