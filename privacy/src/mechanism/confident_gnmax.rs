//! Confident-GNMax: answer by GNMax with σ2 only if max_j n_j + N(0, σ1²) >= T, abstain otherwise.
//!
//! Papernot et al., *Scalable Private Learning with PATE* (ICLR 2018), Algorithm 1. The two noises are
//! independent. An abstention costs the threshold test alone; whether the test passed is itself released, so
//! paying for what ran is adaptive composition. Emits [`PrivacyEvent::GaussianThreshold`], and
//! [`PrivacyEvent::GaussianNoisyMax`] when answered.

use super::noisy_max::in_steps;
use super::{Draw, GnMax, Outcome, Ran};
use crate::Error;
use crate::counts::VoteCounts;
use crate::event::PrivacyEvent;
use crate::noise::{NoiseGenerator, discrete_gaussian};
use crate::quantity::{NoiseScale, Threshold};
use serde::{Deserialize, Serialize};

/// The threshold test with noise σ1 at T, then the noisy max with noise σ2, all on one lattice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct ConfidentGnMax {
    threshold: Threshold,
    sigma1: NoiseScale,
    sigma2: NoiseScale,
}

impl ConfidentGnMax {
    /// Answers with noise `sigma2` if the largest count, with noise `sigma1`, reaches `threshold`.
    ///
    /// Refuses parts on different lattices.
    pub fn new(threshold: Threshold, sigma1: NoiseScale, sigma2: NoiseScale) -> Result<Self, Error> {
        let lattice = sigma2.lattice();
        for (field, found) in [("threshold", threshold.lattice()), ("sigma1", sigma1.lattice())] {
            if found != lattice {
                return Err(Error::LatticeMismatch { field, found: found.bits(), expected: lattice.bits() });
            }
        }
        Ok(Self { threshold, sigma1, sigma2 })
    }

    /// T, in votes.
    pub const fn threshold(&self) -> Threshold {
        self.threshold
    }

    /// The noise of the threshold test.
    pub const fn sigma1(&self) -> NoiseScale {
        self.sigma1
    }

    /// The noise of the noisy max.
    pub const fn sigma2(&self) -> NoiseScale {
        self.sigma2
    }

    /// What the threshold test must say to be priced.
    pub const fn threshold_event(&self) -> PrivacyEvent {
        PrivacyEvent::GaussianThreshold { sigma1: self.sigma1 }
    }

    /// What the noisy max must say to be priced.
    pub const fn noisy_max_event(&self) -> PrivacyEvent {
        PrivacyEvent::GaussianNoisyMax { sigma: self.sigma2 }
    }

    pub(super) fn release<G: NoiseGenerator + ?Sized>(&self, counts: &VoteCounts, generator: &mut G) -> Draw {
        let largest = counts.as_slice().iter().copied().max().expect("vote counts have at least two classes");
        let noisy = in_steps(largest, self.sigma1.lattice()) + discrete_gaussian(self.sigma1, generator);
        if noisy < i128::from(self.threshold.steps()) {
            return Draw { outcome: Outcome::Abstained, ran: Ran::Threshold };
        }
        let answered = GnMax::new(self.sigma2).release(counts, generator);
        Draw { ran: Ran::ThresholdThenNoisyMax, ..answered }
    }
}

/// How the mechanism is written down; reading checks the lattices.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    threshold: Threshold,
    sigma1: NoiseScale,
    sigma2: NoiseScale,
}

impl TryFrom<Parts> for ConfidentGnMax {
    type Error = Error;
    fn try_from(parts: Parts) -> Result<Self, Error> {
        Self::new(parts.threshold, parts.sigma1, parts.sigma2)
    }
}

impl From<ConfidentGnMax> for Parts {
    fn from(mechanism: ConfidentGnMax) -> Self {
        Self { threshold: mechanism.threshold, sigma1: mechanism.sigma1, sigma2: mechanism.sigma2 }
    }
}
