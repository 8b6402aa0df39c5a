//! The least noise that fits a target (ε, δ) for a number of queries.
//!
//! The target is converted once into ρ, rounded down ([`epsilon_to_rho_within`]); the answer is found on the integer
//! grid by the prices that the filter enforces, so the scale that is returned fits exactly. With published prices one lattice
//! step less does not; with exact ones, each of which is a search, one thousandth less does not.

use crate::Error;
use crate::accountant::epsilon_to_rho_within;
use crate::event::PrivacyEvent;
use crate::quantity::{Delta, Epsilon, FilterOrder, Lattice, NoiseScale, Rho, in_range};
use crate::unit::Sensitivity;

/// The smallest σ with which GNMax answers `queries` queries within (`epsilon`, `delta`).
pub fn gnmax_sigma_for(
    epsilon: Epsilon,
    delta: Delta,
    order: FilterOrder,
    queries: u64,
    sensitivity: &Sensitivity,
    lattice: Lattice,
) -> Result<NoiseScale, Error> {
    let budget = Budget::of(epsilon, delta, order, queries)?;
    let steps = budget.least(NoiseScale::STEPS_MAX, |steps, order| {
        let sigma = NoiseScale::from_steps(steps, lattice)?;
        PrivacyEvent::GaussianNoisyMax { sigma }.price_within(sensitivity, order)
    })?;
    NoiseScale::from_steps(steps, lattice)
}

/// The smallest Laplace scale b with which LNMax answers `queries` queries within (`epsilon`, `delta`).
pub fn lnmax_scale_for(
    epsilon: Epsilon,
    delta: Delta,
    order: FilterOrder,
    queries: u64,
    sensitivity: &Sensitivity,
    lattice: Lattice,
) -> Result<NoiseScale, Error> {
    let budget = Budget::of(epsilon, delta, order, queries)?;
    let steps = budget.least(NoiseScale::STEPS_MAX, |steps, order| {
        let scale = NoiseScale::from_steps(steps, lattice)?;
        PrivacyEvent::LaplaceNoisyMax { scale }.price_within(sensitivity, order)
    })?;
    NoiseScale::from_steps(steps, lattice)
}

/// The smallest (σ1, σ2) with σ1 = `ratio`·σ2, rounded up to a step, with which Confident-GNMax handles
/// `queries` queries within (`epsilon`, `delta`) even if it answers all of them.
///
/// `ratio` is finite and greater than 0; the papers use between 2 and 5.
pub fn confident_gnmax_sigmas_for(
    epsilon: Epsilon,
    delta: Delta,
    order: FilterOrder,
    queries: u64,
    ratio: f64,
    sensitivity: &Sensitivity,
    lattice: Lattice,
) -> Result<(NoiseScale, NoiseScale), Error> {
    let fix = "give sigma1 / sigma2, a number between 2^-20 and 2^20 such as 3.0";
    let bound = f64::from(1 << 20);
    let ratio = in_range("sigma_ratio", ratio, |x| (1.0 / bound..=bound).contains(&x), fix)?;
    let scales = |steps: u64| {
        let sigma1 = libm::ceil(steps as f64 * ratio);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number >= 1, saturating"
        )]
        let sigma1 = NoiseScale::from_steps(sigma1 as u64, lattice)?;
        Ok((sigma1, NoiseScale::from_steps(steps, lattice)?))
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and below 2^63")]
    let steps_max = (NoiseScale::STEPS_MAX as f64 / ratio.max(1.0)) as u64;
    let steps = Budget::of(epsilon, delta, order, queries)?.least(steps_max, |steps, order| {
        let (sigma1, sigma) = scales(steps)?;
        let threshold = PrivacyEvent::GaussianThreshold { sigma1 }.price_within(sensitivity, order)?;
        let noisy_max = PrivacyEvent::GaussianNoisyMax { sigma }.price_within(sensitivity, order)?;
        threshold.checked_add(noisy_max).ok_or(Error::CostOverflow { field: "price" })
    })?;
    scales(steps)
}

/// What `queries` equal charges may cost together.
struct Budget {
    cap: Rho,
    order: FilterOrder,
    queries: u64,
}

impl Budget {
    fn of(epsilon: Epsilon, delta: Delta, order: FilterOrder, queries: u64) -> Result<Self, Error> {
        if queries == 0 {
            return Err(Error::OutOfRange { field: "queries", value: 0.0, fix: "give at least one query" });
        }
        Ok(Self { cap: epsilon_to_rho_within(epsilon, delta, order), order, queries })
    }

    /// A number of steps in 1..=`steps_max` whose price, `queries` times, fits: the smallest by published prices, then
    /// smaller where exact prices allow it.
    fn least(
        &self,
        steps_max: u64,
        price: impl Fn(u64, FilterOrder) -> Result<Rho, Error>,
    ) -> Result<u64, Error> {
        let each = self.cap.units() / self.queries;
        // A price that overflows does not fit; any other refusal is impossible for steps in range.
        let fits = |steps: u64| price(steps, FilterOrder::UNBOUNDED).is_ok_and(|rho| rho.units() <= each);
        if !fits(steps_max) {
            return Err(Error::Unreachable { queries: self.queries, cap: self.cap });
        }
        let (mut below, mut fitting) = (0, steps_max);
        while fitting - below > 1 {
            let middle = below + (fitting - below) / 2;
            if fits(middle) {
                fitting = middle;
            } else {
                below = middle;
            }
        }
        if self.order.is_unbounded() {
            return Ok(fitting);
        }
        let share = |steps: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "positive, below 2^63"
            )]
            let price = price(libm::ceil(steps) as u64, self.order);
            price.map_or(f64::INFINITY, |rho| rho.units() as f64 / each as f64)
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most `fitting`")]
        let refined = libm::ceil(refine(fitting as f64, share)) as u64;
        Ok(refined.min(fitting))
    }
}

/// A scale of at most `fitting` whose `share` of the budget is at most 1, within a thousandth of the least such scale where
/// the share is that of exact prices: σ² times an exact price hardly changes with σ, so a few steps find it.
///
/// `fitting` itself is taken to fit.
pub(crate) fn refine(fitting: f64, mut share: impl FnMut(f64) -> f64) -> f64 {
    let (mut best, mut guess) = (fitting, fitting * EXACT_OVER_PUBLISHED);
    for _ in 0..ROUNDS {
        let found = share(guess);
        if found <= 1.0 {
            best = best.min(guess);
        }
        if (1.0 - 1e-3..=1.0).contains(&found) {
            break;
        }
        guess *= libm::sqrt(found) * (1.0 + 2e-4);
        if guess >= best {
            break;
        }
    }
    best
}

/// The root of 0.645, the usual ratio of exact and published prices: where to begin.
const EXACT_OVER_PUBLISHED: f64 = 0.803;
const ROUNDS: usize = 6;
