//! The least noise that fits a target (ε, δ) for a number of queries.
//!
//! The target is converted once into ρ, rounded down ([`epsilon_to_rho_within`]); the answer is found on the integer
//! grid by the prices that the filter enforces, so the scale that is returned fits exactly. With published prices one lattice
//! step less does not; with exact ones, each of which is a search, one thousandth less does not. Where to search is told by
//! estimates, which cost next to nothing; for pictures they are enough ([`Goal::near`]).

use crate::Error;
use crate::accountant::epsilon_to_rho_within;
use crate::event::PrivacyEvent;
use crate::quantity::{Delta, Epsilon, FilterOrder, Lattice, NoiseScale, Rho, in_range};
use crate::unit::Sensitivity;

/// What noise is calibrated for.
#[derive(Debug, Clone, Copy)]
pub struct Goal<'a> {
    /// ε of the whole.
    pub epsilon: Epsilon,
    /// δ of the whole.
    pub delta: Delta,
    /// ω of the accounts that pay.
    pub order: FilterOrder,
    /// How many queries are asked, at least one.
    pub queries: u64,
    /// What one unit moves.
    pub sensitivity: &'a Sensitivity,
    /// The lattice of the noise.
    pub lattice: Lattice,
    /// Whether an estimate of exact prices will do: within a thousandth or so of the least scale, on either side, and a hundred
    /// times as fast. For what-ifs in a report; a campaign's noise is calibrated without.
    pub near: bool,
}

impl Goal<'_> {
    /// The smallest σ with which GNMax answers the queries.
    pub fn gnmax_sigma(&self) -> Result<NoiseScale, Error> {
        let steps = self.least(NoiseScale::STEPS_MAX, |steps| {
            Ok(vec![PrivacyEvent::GaussianNoisyMax { sigma: self.scale(steps)? }])
        })?;
        self.scale(steps)
    }

    /// The smallest Laplace scale b with which LNMax answers the queries.
    pub fn lnmax_scale(&self) -> Result<NoiseScale, Error> {
        let steps = self.least(NoiseScale::STEPS_MAX, |steps| {
            Ok(vec![PrivacyEvent::LaplaceNoisyMax { scale: self.scale(steps)? }])
        })?;
        self.scale(steps)
    }

    /// The smallest (σ1, σ2) with σ1 = `ratio`·σ2, rounded up to a step, with which Confident-GNMax handles the queries
    /// even if it answers all of them.
    ///
    /// `ratio` is finite and greater than 0; the papers use between 2 and 5.
    pub fn confident_gnmax_sigmas(&self, ratio: f64) -> Result<(NoiseScale, NoiseScale), Error> {
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
            let sigma1 = self.scale(sigma1 as u64)?;
            Ok((sigma1, self.scale(steps)?))
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive and below 2^63"
        )]
        let steps_max = (NoiseScale::STEPS_MAX as f64 / ratio.max(1.0)) as u64;
        let steps = self.least(steps_max, |steps| {
            let (sigma1, sigma) = scales(steps)?;
            Ok(vec![PrivacyEvent::GaussianThreshold { sigma1 }, PrivacyEvent::GaussianNoisyMax { sigma }])
        })?;
        scales(steps)
    }

    fn scale(&self, steps: u64) -> Result<NoiseScale, Error> {
        NoiseScale::from_steps(steps, self.lattice)
    }

    /// A number of steps in 1..=`steps_max` at which the events of one query, as often as there are queries, fit: the smallest
    /// by published prices, then smaller where exact prices allow it.
    fn least(
        &self,
        steps_max: u64,
        events: impl Fn(u64) -> Result<Vec<PrivacyEvent>, Error>,
    ) -> Result<u64, Error> {
        if self.queries == 0 {
            return Err(Error::OutOfRange { field: "queries", value: 0.0, fix: "give at least one query" });
        }
        let cap = epsilon_to_rho_within(self.epsilon, self.delta, self.order);
        let each = cap.units() / self.queries;
        let price = |steps: u64, order: FilterOrder| {
            events(steps)?.iter().try_fold(Rho::ZERO, |sum, event| {
                let price = event.price_within(self.sensitivity, order)?;
                sum.checked_add(price).ok_or(Error::CostOverflow { field: "price" })
            })
        };
        // A price that overflows does not fit; any other refusal is impossible for steps in range.
        let fits = |steps: u64| price(steps, FilterOrder::UNBOUNDED).is_ok_and(|rho| rho.units() <= each);
        if !fits(steps_max) {
            return Err(Error::Unreachable { queries: self.queries, cap });
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
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, below 2^63")]
        let whole = |steps: f64| libm::ceil(steps) as u64;
        let each = Rho::from_units(each).to_f64_up();
        let near = |steps: f64| {
            let prices = events(whole(steps)).and_then(|events| {
                events
                    .iter()
                    .map(|event| event.price_near(self.sensitivity, self.order))
                    .sum::<Result<f64, _>>()
            });
            prices.map_or(f64::INFINITY, |price| price / each)
        };
        let exact =
            |steps: f64| price(whole(steps), self.order).map_or(f64::INFINITY, |rho| rho.to_f64_up() / each);
        let refined =
            if self.near { estimate(fitting as f64, near) } else { refine(fitting as f64, near, exact) };
        Ok(whole(refined).min(fitting))
    }
}

/// A scale of at most `fitting` whose `exact` share of the budget is at most 1, within a thousandth of the least such scale:
/// σ² times an exact price hardly changes with σ, so a search or two find it from where shares by estimates are 1.
///
/// `fitting` itself is taken to fit.
pub(crate) fn refine(fitting: f64, near: impl FnMut(f64) -> f64, mut exact: impl FnMut(f64) -> f64) -> f64 {
    let (mut best, mut guess) = (fitting, estimate(fitting, near) * (1.0 + MARGIN));
    for _ in 0..ROUNDS {
        if guess >= best {
            break;
        }
        let found = exact(guess);
        if found <= 1.0 {
            best = guess;
        }
        if (1.0 - 1e-3..=1.0).contains(&found) {
            break;
        }
        guess *= libm::sqrt(found) * (1.0 + MARGIN);
    }
    best
}

/// A scale of at most `fitting` whose share of the budget is about 1, by estimates.
pub(crate) fn estimate(fitting: f64, mut near: impl FnMut(f64) -> f64) -> f64 {
    let mut guess = fitting * EXACT_OVER_PUBLISHED;
    for _ in 0..ROUNDS {
        let found = near(guess);
        guess = (guess * libm::sqrt(found)).min(fitting);
        if (found - 1.0).abs() < 1e-4 {
            break;
        }
    }
    guess
}

/// The root of 0.645, the usual ratio of exact and published prices: where to begin.
const EXACT_OVER_PUBLISHED: f64 = 0.803;
const ROUNDS: usize = 8;
/// By how much a guess is above what estimates say, which is below what is charged by a few parts in ten thousand.
const MARGIN: f64 = 2e-4;
