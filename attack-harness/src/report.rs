//! What is told of an attack: its threat model, what was measured with how much doubt, what was promised, and the verdict.
//!
//! Plain data. Pages and lines are made of it elsewhere.

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
    /// What came out, in a sentence or two.
    pub result: String,
    /// What is promised, why, and what is not.
    pub bound: String,
    /// Whether the promise held.
    pub verdict: Verdict,
    /// The figures, in the order in which they were measured.
    pub measurements: Vec<Measurement>,
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
    /// What is promised of it.
    pub bound: Option<f64>,
    /// A share, in 0..=1.
    pub share: bool,
}

impl Measurement {
    /// A figure without interval and bound.
    pub const fn new(measure: &'static str, variable: &'static str, at: f64, value: f64) -> Self {
        Self { measure, variable, at, value, low: None, high: None, bound: None, share: false }
    }

    /// A share that was counted, with its interval.
    pub fn of_share(measure: &'static str, variable: &'static str, at: f64, counted: Proportion) -> Self {
        let (low, high) = counted.interval();
        let (low, high, share) = (Some(low), Some(high), true);
        Self { low, high, share, ..Self::new(measure, variable, at, counted.share()) }
    }
}

impl Verdict {
    /// In a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Broken => "BROKEN",
            Self::Measured => "measured",
        }
    }
}
