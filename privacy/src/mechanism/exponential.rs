//! The exponential mechanism: class j with probability ∝ exp(n_j/b).
//!
//! McSherry and Talwar, *Mechanism Design via Differential Privacy* (FOCS 2007), with the counts as scores. The same law is
//! that of argmax_j (n_j + Gumbel(b)). Emits [`PrivacyEvent::GumbelNoisyMax`].
//!
//! Sampled without the noise: draw a class uniformly and keep it with probability exp(-(max n - n_j)/b), else draw again.
//! Whole numbers decide, so the law is exact, and no tie is possible.
//!
//! **Time**: how often it draws again depends on the counts (K/Σ exp(-(max n - n_j)/b) draws on average, from 1 to K). Whoever
//! can time single draws learns something about the counts, which no price covers: it is for those who hold the counts,
//! and no service offers it.

use super::{Draw, Outcome, Ran};
use crate::counts::{ClassIndex, VoteCounts};
use crate::event::PrivacyEvent;
use crate::noise::{NoiseGenerator, exp_minus_ratio, uniform_below};
use crate::quantity::NoiseScale;
use serde::{Deserialize, Serialize};

/// The exponential mechanism with scale b.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExponentialMechanism {
    scale: NoiseScale,
}

impl ExponentialMechanism {
    /// With classes weighed by exp(n/`scale`).
    pub const fn new(scale: NoiseScale) -> Self {
        Self { scale }
    }

    /// The scale b.
    pub const fn scale(&self) -> NoiseScale {
        self.scale
    }

    /// What it must say to be priced.
    pub const fn event(&self) -> PrivacyEvent {
        PrivacyEvent::GumbelNoisyMax { scale: self.scale }
    }

    /// Draws one class. Call it only when its price is charged.
    #[expect(clippy::missing_panics_doc, reason = "vote counts have at least two classes")]
    pub fn release<G: NoiseGenerator + ?Sized>(&self, counts: &VoteCounts, generator: &mut G) -> Draw {
        let counts = counts.as_slice();
        let largest = counts.iter().copied().max().expect("vote counts have at least two classes");
        let class = loop {
            let class = uniform_below(counts.len() as u64, generator);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "below the number of classes, at most a million"
            )]
            let class = ClassIndex(class as u32);
            let gap = u128::from(largest - counts[class.position()]) << self.scale.lattice().bits();
            if exp_minus_ratio(gap, self.scale.steps(), generator) {
                break class;
            }
        };
        Draw { outcome: Outcome::Label(class), ran: Ran::NoisyMax }
    }
}
