//! The filter of Gaussian differential privacy: a sum of μ² for Gaussian steps.
//!
//! If each step is, given the past, a Gaussian mechanism of parameter μ_t, and Σμ_t² never exceeds μ², then all that is
//! released is μ-GDP, however the steps are chosen: Smith and Thakurta, *Fully Adaptive Composition for Gaussian Differential
//! Privacy* (2022); Koskela, Tobaben and Honkela, *Individual Privacy Accounting with Gaussian Differential Privacy* (ICLR
//! 2023, arXiv 2209.15596). ε is then exact: no Rényi order is lost on the way.
//!
//! The price is that of **continuous** Gaussian noise, as papers have it, which is why it is made from a
//! [`Scale`] and not from the [`NoiseScale`](crate::quantity::NoiseScale) of lattice noise: the discrete Gaussian is not exactly
//! μ-GDP. An account that draws on the lattice uses [`ZcdpFilter`](super::ZcdpFilter).

use super::allowance::Allowance;
use crate::Error;
use crate::pld::{gaussian_delta, gaussian_epsilon};
use crate::quantity::{Delta, Epsilon, Mu, MuSquared, Scale};
use libm::sqrt;

/// Admits Gaussian steps while Σμ² stays within its cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GdpFilter(Allowance<MuSquared>);

impl GdpFilter {
    /// A fresh account.
    pub const fn new(cap: MuSquared) -> Self {
        Self(Allowance::new(cap))
    }

    /// The largest cap whose answers are (ε, δ)-DP, rounded down.
    pub fn for_target(epsilon: Epsilon, delta: Delta) -> Self {
        let fits = |units: u64| gaussian_delta(mu(MuSquared::from_units(units)), epsilon) <= delta.get();
        // Invariant: `low` fits. Whatever is returned does.
        let (mut low, mut high) = (0, u64::MAX);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if fits(middle) { low = middle } else { high = middle }
        }
        // δ and ε round up each in its own way: what is granted must not read as more than was asked, not even in the last digit.
        let mut filter = Self::new(MuSquared::from_units(low));
        while low > 0 && filter.epsilon(delta) > epsilon.get() {
            low -= 1;
            filter = Self::new(MuSquared::from_units(low));
        }
        filter
    }

    /// Sets `worst_case` aside, or refuses with [`Error::FilterExceeded`] and changes nothing.
    pub fn reserve(&mut self, worst_case: MuSquared) -> Result<(), Error> {
        self.0.reserve(worst_case)
    }

    /// Replaces a reservation by what was charged, and gives back the rest; refuses to settle more than was reserved.
    pub fn settle(&mut self, reservation: MuSquared, charged: MuSquared) -> Result<(), Error> {
        self.0.settle(reservation, charged)
    }

    /// The noise of `steps` steps with squared change `change_squared` that this cap admits: the smallest σ.
    pub fn sigma_for(&self, change_squared: u32, steps: u32) -> Result<Scale, Error> {
        let cap = self.cap().units() as f64 / (1_u64 << 40) as f64;
        Scale::new(sqrt(f64::from(change_squared) * f64::from(steps) / cap) * (1.0 + 4.0 * f64::EPSILON))
    }

    /// The cap: what the guarantee is about.
    pub const fn cap(&self) -> MuSquared {
        self.0.cap()
    }

    /// What settled charges have spent; a figure after the fact.
    pub const fn spent(&self) -> MuSquared {
        self.0.spent()
    }

    /// The largest worst case that would be granted now.
    pub fn left(&self) -> MuSquared {
        self.0.left()
    }

    /// ε of the cap at `delta`, rounded up: Balle and Wang 2018, Theorem 8.
    pub fn epsilon(&self, delta: Delta) -> f64 {
        gaussian_epsilon(mu(self.cap()), delta)
    }
}

/// μ, rounded up.
fn mu(squared: MuSquared) -> Mu {
    Mu::new(sqrt(squared.to_f64_up()).next_up()).expect("the root of an amount below 2^24")
}
