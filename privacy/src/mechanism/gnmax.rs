//! GNMax: argmax_j (n_j + N(0, σ²)), with discrete Gaussian noise on the lattice.
//!
//! Papernot, Song, Mironov, Raghunathan, Talwar and Erlingsson, *Scalable Private Learning with PATE* (ICLR
//! 2018), Section 4.1. Emits [`PrivacyEvent::GaussianNoisyMax`].

use super::noisy_max::noisy_max;
use super::{Draw, Outcome, Ran};
use crate::counts::VoteCounts;
use crate::event::PrivacyEvent;
use crate::noise::{NoiseGenerator, discrete_gaussian};
use crate::quantity::NoiseScale;
use serde::{Deserialize, Serialize};

/// The noisy max with Gaussian noise of parameter σ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GnMax {
    sigma: NoiseScale,
}

impl GnMax {
    /// With Gaussian noise of this parameter on each count.
    pub const fn new(sigma: NoiseScale) -> Self {
        Self { sigma }
    }

    /// The Gaussian parameter σ.
    pub const fn sigma(&self) -> NoiseScale {
        self.sigma
    }

    /// What it must say to be priced.
    pub const fn event(&self) -> PrivacyEvent {
        PrivacyEvent::GaussianNoisyMax { sigma: self.sigma }
    }

    pub(super) fn release<G: NoiseGenerator + ?Sized>(&self, counts: &VoteCounts, generator: &mut G) -> Draw {
        let class = noisy_max(counts, self.sigma.lattice(), generator, |g| discrete_gaussian(self.sigma, g));
        Draw { outcome: Outcome::Label(class), ran: Ran::NoisyMax }
    }
}
