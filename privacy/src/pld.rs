//! Privacy-loss distributions: the tightest account of a **fixed plan**.
//!
//! The loss L = ln(p/q) of independent mechanisms adds up, so the law of the sum is a convolution, and
//! δ(ε) = E\[(1 - e^(ε-L))⁺\] (Meiser and Mohammadi 2018; Sommer, Meiser and Mohammadi 2019). The composition of Gaussians
//! is one Gaussian and needs no grid: δ(ε) = Φ(μ/2 - ε/μ) - e^ε Φ(-μ/2 - ε/μ), Balle and Wang 2018, Theorem 8. Laplace
//! losses are put on a grid by connecting the dots (Doroshenko, Ghazi, Kamath, Kumar and Manurangsi 2022): the grid law's δ(ε)
//! equals the true one at grid points and is above it between them. Convolution is by FFT; its rounding error,
//! and the tails that do not fit the window, are added.
//!
//! [`FixedPlan`] is the pessimistic side, never below what the plan loses; [`PlanFloor`] the optimistic one, never above it. Between them lies
//! the truth, and their distance is what rounding may have cost.
//!
//! A plan is fixed when it is made: how many times which noise. Stopping a run when *this* account is exhausted would not
//! be private if queries are chosen adaptively (the composed curve is no filter), which is why nothing here can be added to
//! once it is made, and no filter takes it; admissions use [`crate::filter`]. A plan is complete before it says anything:
//!
//! ```
//! use conclave_privacy::pld::{FixedPlan, PlannedNoise};
//! use conclave_privacy::quantity::{Delta, Scale};
//! let noise = PlannedNoise::Laplace { scale: Scale::new(20.0)?, shift: 1.0, times: 200 };
//! let plan = FixedPlan::new(&[noise])?;
//! assert!(plan.epsilon(Delta::new(1e-5)?) < 2.9);
//! # Ok::<(), conclave_privacy::Error>(())
//! ```
//!
//! Reserving from it does not compile,
//!
//! ```compile_fail,E0599
//! use conclave_privacy::pld::{FixedPlan, PlannedNoise};
//! use conclave_privacy::quantity::{Delta, Scale};
//! let noise = PlannedNoise::Laplace { scale: Scale::new(20.0)?, shift: 1.0, times: 200 };
//! let mut plan = FixedPlan::new(&[noise])?;
//! plan.reserve(noise)?;
//! # Ok::<(), conclave_privacy::Error>(())
//! ```
//!
//! and neither does adding to it later as to an [`Accountant`](crate::accountant::Accountant):
//!
//! ```compile_fail,E0277
//! use conclave_privacy::{accountant::Accountant, pld::FixedPlan};
//! fn grows(_: &impl Accountant) {}
//! grows(&FixedPlan::new(&[])?);
//! # Ok::<(), conclave_privacy::Error>(())
//! ```

mod below;
mod composition;
mod gaussian;
mod grid;
mod lattice;

pub use below::PlanFloor;
pub use gaussian::{gaussian_delta, gaussian_epsilon};

use crate::Error;
use crate::quantity::{Delta, Epsilon, Lattice, Mu, Scale};
use composition::Composition;
use grid::GridLaw;
use libm::sqrt;

/// One kind of noise in a plan, and how often it is used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PlannedNoise {
    /// N(0, σ²) on each of several statistics that change by `shift` in Euclidean norm.
    Gaussian {
        /// σ.
        scale: Scale,
        /// The largest change, in the unit of the scale.
        shift: f64,
        /// How often; not a whole number where an expected number is meant.
        times: f64,
    },
    /// Laplace noise of scale b on one statistic that changes by `shift`.
    Laplace {
        /// b.
        scale: Scale,
        /// The largest change, in the unit of the scale.
        shift: f64,
        /// How often.
        times: u64,
    },
}

/// A plan that was fixed before anything was drawn.
#[derive(Debug, Clone)]
pub struct FixedPlan {
    mu: Mu,
    mixed: Option<Composition>,
    /// A probability with which all may be told besides.
    left_out: f64,
}

impl FixedPlan {
    /// The grid of losses, in nats.
    pub const GRID: f64 = 1e-4;

    /// The composition of all of `noises`, as continuous noise.
    ///
    /// Refuses shifts or numbers that are negative or not finite, Gaussian plans whose μ is above 10^150, and Laplace plans so long that the grid would have more
    /// than 2^26 points (a loss of some thousand nats).
    pub fn new(noises: &[PlannedNoise]) -> Result<Self, Error> {
        let Parts { mu, laplace } = Parts::of(noises)?;
        let mu = Mu::new(mu * (1.0 + 1e-14))?;
        let laws = laplace.iter().map(|(shift, times)| Ok((GridLaw::laplace(*shift, Self::GRID)?, *times)));
        let mut parts = laws.collect::<Result<Vec<_>, Error>>()?;
        if !parts.is_empty() && mu.get() > 0.0 {
            parts.push((GridLaw::gaussian(mu.get(), Self::GRID)?, 1));
        }
        let mixed = if parts.is_empty() { None } else { Some(Composition::of(&parts)?) };
        Ok(Self { mu, mixed, left_out: 0.0 })
    }

    /// The same of noise that is drawn on `lattice`, on statistics that change by whole votes: an upper bound on what *that* plan loses.
    /// (`privacy/src/pld/lattice.rs` has the proof.)
    pub fn on_lattice(noises: &[PlannedNoise], lattice: Lattice) -> Result<Self, Error> {
        let (continuous, left_out) = lattice::continuous(noises, lattice)?;
        Ok(Self { left_out, ..Self::new(&continuous)? })
    }

    /// An upper bound on ε at `delta`; infinite if `delta` is below what the tails, rounding and the lattice leave open.
    pub fn epsilon(&self, delta: Delta) -> f64 {
        let rest = delta.get() - self.left_out;
        let rest = if self.left_out > 0.0 { rest.next_down() } else { rest };
        let Ok(delta) = Delta::new(rest) else { return f64::INFINITY };
        match &self.mixed {
            Some(law) => law.epsilon(delta.get()),
            None => gaussian_epsilon(self.mu, delta),
        }
    }

    /// An upper bound on δ at `epsilon`.
    pub fn delta(&self, epsilon: Epsilon) -> f64 {
        let continuous = match &self.mixed {
            Some(law) => law.delta(epsilon.get()),
            None => gaussian_delta(self.mu, epsilon),
        };
        (continuous + self.left_out).min(1.0)
    }
}

/// What a plan is made of: μ of all Gaussian noise, and each kind of Laplace noise as shift/scale and how often.
struct Parts {
    mu: f64,
    laplace: Vec<(f64, u64)>,
}

impl Parts {
    fn of(noises: &[PlannedNoise]) -> Result<Self, Error> {
        let (mut mu_squared, mut laplace) = (0.0, Vec::new());
        for noise in noises {
            match *noise {
                PlannedNoise::Gaussian { scale, shift, times } => {
                    let mu = not_negative("shift", shift)? / scale.get();
                    mu_squared += mu * mu * not_negative("times", times)?;
                }
                PlannedNoise::Laplace { times: 0, .. } => {}
                PlannedNoise::Laplace { scale, shift, times } => {
                    laplace.push((not_negative("shift", shift)? / scale.get(), times));
                }
            }
        }
        Ok(Self { mu: sqrt(mu_squared), laplace })
    }
}

fn not_negative(field: &'static str, value: f64) -> Result<f64, Error> {
    crate::quantity::in_range(field, value, |x| x >= 0.0, "give a finite number of at least 0")
}
