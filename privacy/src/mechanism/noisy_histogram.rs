//! The one-shot noisy histogram: every count of every cell with its own noise, released once for a whole campaign.
//!
//! For votes of records rather than of teachers: a public codebook divides the queries into cells, and each private record adds
//! to at most k counts of (cell, class) pairs, however many queries there are (Zhu, Yu, Chandraker and Wang, *Private-kNN*,
//! CVPR 2020, bound records in this way). The sensitivity is [`HistogramSensitivity`]; with scale b or σ in votes
//!
//! - discrete Laplace noise: ε = L1/b, and ρ = L2²/(2b²), since a count that moves by v costs ε = v/b, hence ρ = v²/(2b²), and
//!   independent counts add up;
//! - discrete Gaussian noise: ρ = L2²/(2σ²) (Canonne, Kamath and Steinke 2020, Proposition 5).
//!
//! It emits [`PrivacyEvent::LaplaceHistogram`] or [`PrivacyEvent::GaussianHistogram`], with the sensitivity of its counts. That of one query's
//! teacher votes is [`HistogramSensitivity::of_votes`]: 2m and 2m², so that Gaussian noise costs m²/σ², what its argmax is published at.
//!
//! Both hold on the lattice as they stand. **Noise falls on every count, the empty ones too**, and none is left out: which
//! cells are empty is as private as the counts. Labels and abstentions are computed from the noisy counts alone, which is
//! post-processing and free.

use super::Outcome;
use super::noisy_max::in_steps;
use crate::Error;
use crate::counts::{ClassIndex, VoteCounts};
use crate::event::PrivacyEvent;
use crate::noise::{NoiseGenerator, discrete_gaussian, discrete_laplace};
use crate::quantity::{Lattice, NoiseScale, Rho, Threshold};
use crate::unit::HistogramSensitivity;

/// The noise of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoisyHistogram {
    /// Discrete Laplace noise of scale b on each count.
    Laplace(NoiseScale),
    /// Discrete Gaussian noise of parameter σ on each count.
    Gaussian(NoiseScale),
}

/// Noisy counts: released, hence public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoisyCounts {
    lattice: Lattice,
    classes: usize,
    /// In lattice steps, cell by cell.
    steps: Vec<i128>,
}

impl NoisyHistogram {
    /// b or σ.
    pub const fn scale(&self) -> NoiseScale {
        match *self {
            Self::Laplace(scale) | Self::Gaussian(scale) => scale,
        }
    }

    /// Adds fresh noise to every count of every cell. Call it once, and only when its price is charged.
    ///
    /// Refuses no cells, and cells with different numbers of classes.
    pub fn release<G: NoiseGenerator + ?Sized>(
        &self,
        cells: &[VoteCounts],
        generator: &mut G,
    ) -> Result<NoisyCounts, Error> {
        let classes = cells.first().map_or(0, VoteCounts::classes);
        if cells.is_empty() || cells.iter().any(|cell| cell.classes() != classes) {
            let fix = "give at least one cell, and every cell as many classes";
            return Err(Error::OutOfRange { field: "cells", value: cells.len() as f64, fix });
        }
        let lattice = self.scale().lattice();
        let mut noise = || match *self {
            Self::Laplace(scale) => discrete_laplace(scale, generator),
            Self::Gaussian(sigma) => discrete_gaussian(sigma, generator),
        };
        let counts = cells.iter().flat_map(VoteCounts::as_slice);
        let steps = counts.map(|count| in_steps(*count, lattice) + noise()).collect();
        Ok(NoisyCounts { lattice, classes, steps })
    }

    /// What the release is charged as by the account of the unit and adjacency of `moved`: once, for the whole campaign.
    pub const fn event(&self, moved: &HistogramSensitivity) -> PrivacyEvent {
        match *self {
            Self::Laplace(scale) => PrivacyEvent::LaplaceHistogram { scale, moved: *moved },
            Self::Gaussian(sigma) => PrivacyEvent::GaussianHistogram { sigma, moved: *moved },
        }
    }

    /// The price of the release in zCDP, for the whole campaign; data-independent, rounded up.
    pub fn price(&self, sensitivity: &HistogramSensitivity) -> Result<Rho, Error> {
        sensitivity.rho(self.scale())
    }

    /// The pure ε of the release in nats, rounded up. Refuses Gaussian noise, which has none.
    pub fn pure_epsilon(&self, sensitivity: &HistogramSensitivity) -> Result<f64, Error> {
        let Self::Laplace(scale) = *self else {
            let (event, fix) = ("Gaussian noise", "use zcdp, or Laplace noise");
            return Err(Error::UnsupportedEvent { accountant: "pure", event, fix });
        };
        Ok(sensitivity.pure_epsilon(scale)?.to_f64_up())
    }
}

impl NoisyCounts {
    /// The noisy counts of each cell, in steps of [`NoisyCounts::lattice`]; they may be negative.
    pub fn cells(&self) -> impl Iterator<Item = &[i128]> {
        self.steps.chunks(self.classes)
    }

    /// The lattice of the counts.
    pub const fn lattice(&self) -> Lattice {
        self.lattice
    }

    /// The class with the largest noisy count in each cell, the first of several; an abstention where it leads by less than
    /// `margin`. Refuses a margin on another lattice.
    pub fn labels(&self, margin: Threshold) -> Result<Vec<Outcome>, Error> {
        if margin.lattice() != self.lattice {
            let (found, expected) = (margin.lattice().bits(), self.lattice.bits());
            return Err(Error::LatticeMismatch { field: "margin", found, expected });
        }
        Ok(self.cells().map(|cell| label(cell, i128::from(margin.steps()))).collect())
    }
}

fn label(cell: &[i128], margin: i128) -> Outcome {
    let (mut best, mut first, mut second) = (ClassIndex(0), i128::MIN, i128::MIN);
    for (class, steps) in (0..).map(ClassIndex).zip(cell) {
        if *steps > first {
            (best, first, second) = (class, *steps, first);
        } else {
            second = second.max(*steps);
        }
    }
    // A cell has at least two classes, so both were met.
    if first - second >= margin { Outcome::Label(best) } else { Outcome::Abstained }
}
