//! LNMax: argmax_j (n_j + Lap(b)), with discrete Laplace noise on the lattice.
//!
//! Papernot, Abadi, Erlingsson, Goodfellow and Talwar, *Semi-supervised Knowledge Transfer for Deep Learning
//! from Private Training Data* (ICLR 2017), Section 2.1, where 1/b is called γ. Emits
//! [`PrivacyEvent::LaplaceNoisyMax`].

use super::noisy_max::noisy_max;
use super::{Draw, Outcome, Ran};
use crate::counts::VoteCounts;
use crate::event::PrivacyEvent;
use crate::noise::{NoiseGenerator, discrete_laplace};
use crate::quantity::NoiseScale;
use serde::{Deserialize, Serialize};

/// The noisy max with Laplace noise of scale b.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LnMax {
    scale: NoiseScale,
}

impl LnMax {
    /// With Laplace noise of this scale on each count.
    pub const fn new(scale: NoiseScale) -> Self {
        Self { scale }
    }

    /// The Laplace scale b.
    pub const fn scale(&self) -> NoiseScale {
        self.scale
    }

    /// What it must say to be priced.
    pub const fn event(&self) -> PrivacyEvent {
        PrivacyEvent::LaplaceNoisyMax { scale: self.scale }
    }

    pub(super) fn release<G: NoiseGenerator + ?Sized>(&self, counts: &VoteCounts, generator: &mut G) -> Draw {
        let class = noisy_max(counts, self.scale.lattice(), generator, |g| discrete_laplace(self.scale, g));
        Draw { outcome: Outcome::Label(class), ran: Ran::NoisyMax }
    }
}
