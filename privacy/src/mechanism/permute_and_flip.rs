//! Permute-and-flip: argmax_j (n_j + Exp(b)), with discrete exponential noise on the lattice.
//!
//! McKenna and Sheldon, *Permute-and-Flip: A New Mechanism for Differentially Private Selection* (NeurIPS 2020), where classes
//! are tried in random order and accepted with probability exp(-(max n - n_j)/b), each at most once. Ding et al., *The
//! Permute-and-Flip Mechanism is Identical to Report-Noisy-Max with Exponential Noise* (2021), give the form that is drawn
//! here. It errs less often than the exponential mechanism of the same ε. Emits [`PrivacyEvent::ExponentialNoisyMax`].
//!
//! **The law is exact on every lattice**, down to whole votes: a continuous exponential variable is a whole number of
//! steps plus an independent part of a step, and counts are whole numbers of steps. So the largest noisy count in whole
//! steps is the largest noisy count, and among equals the largest parts decide, which are independent and alike: a
//! uniform coin.

use super::noisy_max::noisy_max;
use super::{Draw, Outcome, Ran};
use crate::counts::VoteCounts;
use crate::event::PrivacyEvent;
use crate::noise::{NoiseGenerator, discrete_exponential};
use crate::quantity::NoiseScale;
use serde::{Deserialize, Serialize};

/// The noisy max with exponential noise of mean b.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermuteAndFlip {
    scale: NoiseScale,
}

impl PermuteAndFlip {
    /// With exponential noise of this mean on each count.
    pub const fn new(scale: NoiseScale) -> Self {
        Self { scale }
    }

    /// The scale b.
    pub const fn scale(&self) -> NoiseScale {
        self.scale
    }

    /// What it must say to be priced.
    pub const fn event(&self) -> PrivacyEvent {
        PrivacyEvent::ExponentialNoisyMax { scale: self.scale }
    }

    /// Draws fresh noise for every class, the empty ones too, and takes one decision. Call it only when its price is charged.
    pub fn release<G: NoiseGenerator + ?Sized>(&self, counts: &VoteCounts, generator: &mut G) -> Draw {
        let class =
            noisy_max(counts, self.scale.lattice(), generator, |g| discrete_exponential(self.scale, g));
        Draw { outcome: Outcome::Label(class), ran: Ran::NoisyMax }
    }
}
