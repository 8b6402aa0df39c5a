//! Mechanisms: from vote counts to a label or an abstention.
//!
//! A [`Mechanism`] knows its noise, says what it costs at worst before anything is drawn
//! ([`Mechanism::worst_case`]), draws ([`Mechanism::release`]), and says what a draw has cost
//! ([`Mechanism::charge`]). Each one has a file that opens with its definition and source. To add one, write
//! its file, give it an event if it needs a new one, and the compiler lists the rest.
//!
//! A [`Mechanism`] is what a campaign contract can name. [`ExponentialMechanism`], [`PermuteAndFlip`],
//! [`InteractiveGnMax`] and [`NoisyHistogram`] are for those who hold the votes themselves: no contract names them yet, so
//! they are not in that list.

mod confident_gnmax;
mod exponential;
mod gnmax;
mod interactive_gnmax;
mod lnmax;
mod noisy_histogram;
mod noisy_max;
mod permute_and_flip;

pub use confident_gnmax::ConfidentGnMax;
pub use exponential::ExponentialMechanism;
pub use gnmax::GnMax;
pub use interactive_gnmax::{InteractiveGnMax, StudentPrediction};
pub use lnmax::LnMax;
pub use noisy_histogram::{NoisyCounts, NoisyHistogram};
pub use permute_and_flip::PermuteAndFlip;

use crate::Error;
use crate::counts::{ClassIndex, VoteCounts};
use crate::event::PrivacyEvent;
use crate::noise::NoiseGenerator;
use crate::quantity::{FilterOrder, Lattice, NoiseScale, Rho};
use crate::unit::Sensitivity;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A mechanism with its parameters, as a campaign contract names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mechanism {
    /// Laplace noise on each count.
    #[serde(rename = "lnmax")]
    LnMax(LnMax),
    /// Gaussian noise on each count.
    #[serde(rename = "gnmax")]
    GnMax(GnMax),
    /// A noisy threshold test, then Gaussian noise on each count.
    #[serde(rename = "confident-gnmax")]
    ConfidentGnMax(ConfidentGnMax),
}

/// What leaves the aggregator for one query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// A label.
    Label(ClassIndex),
    /// An answer all the same: the teachers did not agree enough.
    Abstained,
}

/// Which noisy steps of a mechanism ran. It follows from the outcome, or is released and paid for with it, so it reveals
/// nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ran {
    /// The noisy max alone.
    NoisyMax,
    /// The threshold test alone.
    Threshold,
    /// The threshold test, then the noisy max.
    ThresholdThenNoisyMax,
}

/// One draw: its outcome, which must stay in memory until it is durable, and what ran.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The label or abstention.
    pub outcome: Outcome,
    /// What ran to get it.
    pub ran: Ran,
}

impl Mechanism {
    /// The name on the command line and in contracts.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::LnMax(_) => "lnmax",
            Self::GnMax(_) => "gnmax",
            Self::ConfidentGnMax(_) => "confident-gnmax",
        }
    }

    /// The lattice on which all of its noise is drawn.
    pub const fn lattice(&self) -> Lattice {
        match self {
            Self::LnMax(mechanism) => mechanism.scale().lattice(),
            Self::GnMax(mechanism) => mechanism.sigma().lattice(),
            Self::ConfidentGnMax(mechanism) => mechanism.sigma2().lattice(),
        }
    }

    /// The smallest scale among its steps: what a silo looks at that allows no less noise than so much.
    pub fn least_noise(&self) -> NoiseScale {
        match self {
            Self::LnMax(mechanism) => mechanism.scale(),
            Self::GnMax(mechanism) => mechanism.sigma(),
            Self::ConfidentGnMax(mechanism) => {
                let (threshold, argmax) = (mechanism.sigma1(), mechanism.sigma2());
                if threshold.steps() < argmax.steps() { threshold } else { argmax }
            }
        }
    }

    /// Draws fresh noise for every class, the empty ones too, and takes one decision.
    ///
    /// Call it only when the worst case is durably charged: the guarantee of an account covers only draws
    /// that are in it.
    pub fn release<G: NoiseGenerator + ?Sized>(&self, counts: &VoteCounts, generator: &mut G) -> Draw {
        match self {
            Self::LnMax(mechanism) => mechanism.release(counts, generator),
            Self::GnMax(mechanism) => mechanism.release(counts, generator),
            Self::ConfidentGnMax(mechanism) => mechanism.release(counts, generator),
        }
    }

    /// The price of one query if everything runs that may run; data-independent, rounded up.
    pub fn worst_case(&self, sensitivity: &Sensitivity) -> Result<Rho, Error> {
        price_of(&self.worst_case_events(), sensitivity)
    }

    /// [`Mechanism::worst_case`] for an account that bounds the orders up to `order`.
    pub fn worst_case_within(&self, sensitivity: &Sensitivity, order: FilterOrder) -> Result<Rho, Error> {
        sum_of(self.worst_case_events().iter().map(|event| event.price_within(sensitivity, order)))
    }

    /// [`Mechanism::charge`] for an account that bounds the orders up to `order`.
    pub fn charge_within(
        &self,
        outcome: &Outcome,
        sensitivity: &Sensitivity,
        order: FilterOrder,
    ) -> Result<Rho, Error> {
        sum_of(self.events(outcome).iter().map(|event| event.price_within(sensitivity, order)))
    }

    /// The price of what ran to reach `outcome`; never above the worst case, rounded up.
    pub fn charge(&self, outcome: &Outcome, sensitivity: &Sensitivity) -> Result<Rho, Error> {
        price_of(&self.events(outcome), sensitivity)
    }

    /// All events that one query may cause.
    pub fn worst_case_events(&self) -> Vec<PrivacyEvent> {
        match self {
            Self::LnMax(mechanism) => vec![mechanism.event()],
            Self::GnMax(mechanism) => vec![mechanism.event()],
            Self::ConfidentGnMax(mechanism) => vec![mechanism.threshold_event(), mechanism.noisy_max_event()],
        }
    }

    /// The events that led to `outcome`.
    pub fn events(&self, outcome: &Outcome) -> Vec<PrivacyEvent> {
        match (self, outcome) {
            (Self::ConfidentGnMax(mechanism), Outcome::Abstained) => vec![mechanism.threshold_event()],
            _ => self.worst_case_events(),
        }
    }
}

fn price_of(events: &[PrivacyEvent], sensitivity: &Sensitivity) -> Result<Rho, Error> {
    sum_of(events.iter().map(|event| event.price(sensitivity)))
}

fn sum_of(mut prices: impl Iterator<Item = Result<Rho, Error>>) -> Result<Rho, Error> {
    prices.try_fold(Rho::ZERO, |sum, price| {
        sum.checked_add(price?).ok_or(Error::CostOverflow { field: "price" })
    })
}

impl From<LnMax> for Mechanism {
    fn from(mechanism: LnMax) -> Self {
        Self::LnMax(mechanism)
    }
}

impl From<GnMax> for Mechanism {
    fn from(mechanism: GnMax) -> Self {
        Self::GnMax(mechanism)
    }
}

impl From<ConfidentGnMax> for Mechanism {
    fn from(mechanism: ConfidentGnMax) -> Self {
        Self::ConfidentGnMax(mechanism)
    }
}

/// For people: what is drawn, with every parameter that a contract fixes.
impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LnMax(mechanism) => write!(f, "{} with scale {}", self.name(), mechanism.scale())?,
            Self::GnMax(mechanism) => write!(f, "{} with sigma {}", self.name(), mechanism.sigma())?,
            Self::ConfidentGnMax(mechanism) => write!(
                f,
                "{} with threshold {}, sigma1 {}, sigma {}",
                self.name(),
                mechanism.threshold(),
                mechanism.sigma1(),
                mechanism.sigma2()
            )?,
        }
        write!(f, ", in steps of {}", self.lattice())
    }
}

/// Says nothing: a draw is not an answer before it is durable.
impl fmt::Debug for Draw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Draw(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::Threshold;

    #[test]
    fn two_mechanisms_that_differ_read_differently() {
        let sigma = |votes: f64, bits| NoiseScale::from_votes(votes, Lattice::new(bits).unwrap()).unwrap();
        let threshold = |votes: f64| Threshold::from_votes(votes, Lattice::new(20).unwrap()).unwrap();
        let words = |mechanism: Mechanism| mechanism.to_string();
        let confident = |at, sigma1, sigma2| {
            let made = ConfidentGnMax::new(threshold(at), sigma(sigma1, 20), sigma(sigma2, 20));
            words(made.unwrap().into())
        };
        let read = [
            words(LnMax::new(sigma(20.0, 20)).into()),
            words(GnMax::new(sigma(20.0, 20)).into()),
            words(GnMax::new(sigma(40.0, 20)).into()),
            words(GnMax::new(sigma(40.0, 10)).into()),
            confident(100.0, 40.0, 40.0),
            confident(200.0, 40.0, 40.0),
            confident(200.0, 80.0, 40.0),
            confident(200.0, 80.0, 20.0),
        ];
        assert_eq!(read[1], "gnmax with sigma 20 votes, in steps of 2^-20 votes");
        for (index, one) in read.iter().enumerate() {
            assert!(!read[..index].contains(one), "{one}");
        }
    }

    #[test]
    fn debug_of_a_draw_does_not_show_its_outcome() {
        let draw = Draw { outcome: Outcome::Label(ClassIndex(7)), ran: Ran::NoisyMax };
        assert_eq!(format!("{draw:?}"), "Draw(redacted)");
    }
}
