//! Advanced composition of pure ε-DP: Kairouz, Oh and Viswanath, *The Composition Theorem for Differential Privacy* (ICML 2015).
//!
//! Every ε-DP mechanism is, on two given neighbours, post-processing of randomised response (their Theorem 2.1 and its
//! converse), so k of them, chosen adaptively, lose no more than k randomised responses. Their loss is (k-2l)ε with probability
//! C(k,l) e^((k-l)ε)/(1+e^ε)^k, and therefore
//!
//! - **equal ε** (Theorem 3.3, which states it where ε' is a multiple of ε): δ(ε') = Σ_l C(k,l) (e^((k-l)ε) - e^(ε'+lε))⁺/(1+e^ε)^k. No smaller
//!   figure holds for all ε-DP mechanisms, so this is exact for randomised response and an upper bound for any other;
//! - **different ε** (Theorem 3.5): with m = Σ ε(e^ε-1)/(e^ε+1) and s² = Σ ε², the least of Σε, m + s√(2 ln 1/δ) and
//!   m + s√(2 ln(e + s/δ)). Exact figures are as hard to have as counting; a privacy-loss distribution of the mechanism itself
//!   is tighter ([`crate::pld`]).
//!
//! The number of steps and their ε are fixed before; which mechanisms they are may depend on earlier answers. It is no filter.
//! Both round towards more loss: probabilities up, by a bound on the error of the recurrence that makes them.

use super::pure::{self, PureAccountant};
use super::{Accountant, Loss};
use crate::Error;
use crate::analysis::AccountantName;
use crate::event::PrivacyEvent;
use crate::quantity::{Delta, Rho};
use crate::unit::Sensitivity;
use libm::{exp, expm1, floor, log, sqrt, tanh};
use std::f64::consts::E;

/// Composes the pure ε of Laplace, exponential and Gumbel noise with a δ.
#[derive(Debug, Clone, Default)]
pub struct AdvancedAccountant {
    basic: PureAccountant,
    /// ε of one step in whole units, and how often.
    steps: Vec<(Rho, u64)>,
}

impl AdvancedAccountant {
    /// Nothing spent.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Accountant for AdvancedAccountant {
    fn accountant(&self) -> AccountantName {
        AccountantName::Advanced
    }

    fn add(&mut self, event: &PrivacyEvent, sensitivity: &Sensitivity, times: u64) -> Result<(), Error> {
        let each = pure::epsilon(event, sensitivity, self.name())?;
        self.basic.add(event, sensitivity, times)?;
        match self.steps.iter_mut().find(|(epsilon, _)| *epsilon == each) {
            // The sum of ε fits into 64 bits and each ε is at least one unit, so their number fits too.
            Some((_, so_far)) => *so_far += times,
            None => self.steps.push((each, times)),
        }
        Ok(())
    }

    fn loss(&self, delta: Delta) -> Loss {
        let steps: Vec<_> =
            self.steps.iter().map(|(epsilon, times)| (epsilon.to_f64_up(), *times as f64)).collect();
        let largest = steps.iter().map(|(epsilon, _)| *epsilon).fold(0.0, f64::max);
        let times: f64 = steps.iter().map(|(_, times)| times).sum();
        // As if all cost what the dearest costs: optimal if they do, and now and then the less of the two if they do not.
        let alike = advanced_epsilon(largest, times, delta);
        Loss::off_grid(alike.min(of_different(&steps, delta)).min(self.basic.loss(delta).epsilon), None)
    }
}

/// The smallest ε' at `delta` of `times` mechanisms that are `epsilon`-DP each (`epsilon` in nats, at least 0), rounded up.
pub(crate) fn advanced_epsilon(epsilon: f64, times: f64, delta: Delta) -> f64 {
    let basic = epsilon * times * (1.0 + 2.0 * f64::EPSILON);
    let bound = basic.min(of_different(&[(epsilon, times)], delta));
    let Some(losses) = Losses::of(epsilon, times) else { return bound };
    let fits = |above: f64| losses.delta(above) <= delta.get();
    if fits(0.0) {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, bound);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if fits(middle) { high = middle } else { low = middle }
    }
    high
}

/// Theorem 3.5 for steps of (ε, how often), rounded up.
fn of_different(steps: &[(f64, f64)], delta: Delta) -> f64 {
    let sum =
        |of: &dyn Fn(f64) -> f64| steps.iter().map(|(epsilon, times)| times * of(*epsilon)).sum::<f64>();
    let basic = sum(&|epsilon| epsilon);
    let mean = sum(&|epsilon| epsilon * tanh(0.5 * epsilon));
    let root = sqrt(sum(&|epsilon| epsilon * epsilon));
    let tail = |log_odds: f64| mean + root * sqrt(2.0 * log_odds);
    let least = basic.min(tail(-log(delta.get()))).min(tail(log(E + root / delta.get())));
    least * (1.0 + (8.0 + steps.len() as f64) * f64::EPSILON)
}

/// The law of the loss of randomised responses.
struct Losses {
    /// Upper bounds on losses in descending order, with upper bounds on their probabilities.
    each: Vec<(f64, f64)>,
    /// What lies above the first of them.
    above: f64,
    /// The relative error of a sum over them.
    rounding: f64,
}

impl Losses {
    /// None if the law has too many values to be written down.
    fn of(epsilon: f64, times: f64) -> Option<Self> {
        let less_likely = 1.0 / (1.0 + exp(epsilon));
        let width = sqrt(times * less_likely) * REACH + REACH;
        if !(width < WIDEST && times < COUNTED_MAX && epsilon * times < f64::MAX) {
            return None;
        }
        // From the most likely number l of losses of -ε outwards: p(l+1)/p(l) = (k-l)/(l+1)·e^-ε.
        let mode = floor((times + 1.0) * less_likely).min(times);
        let (fewer, more) = (exp(epsilon), exp(-epsilon));
        let mut up = Vec::new();
        let (mut at, mut mass) = (mode, 1.0);
        while at > 0.0 && mass > LEAST {
            mass *= at / (times - at + 1.0) * fewer;
            at -= 1.0;
            up.push((at, mass));
        }
        let above = at * mass;
        let mut all: Vec<(f64, f64)> = up.into_iter().rev().collect();
        all.push((mode, 1.0));
        let (mut at, mut mass) = (mode, 1.0);
        while at < times && mass > LEAST {
            mass *= (times - at) / (at + 1.0) * more;
            at += 1.0;
            all.push((at, mass));
        }
        // What lies below is left out of the sum, which makes the other probabilities larger.
        let sum: f64 = all.iter().map(|(_, mass)| mass).sum();
        let rounding = 12.0 * f64::EPSILON * (all.len() as f64 + 4.0);
        let up = (1.0 + rounding) / sum;
        let loss = |at: f64| (times - 2.0 * at) * epsilon * (1.0 + 2.0 * f64::EPSILON);
        let each = all.into_iter().map(|(at, mass)| (loss(at), mass * up));
        Some(Self { each: each.take_while(|(loss, _)| *loss > 0.0).collect(), above: above * up, rounding })
    }

    /// δ(ε') for ε' >= 0, rounded up.
    fn delta(&self, epsilon: f64) -> f64 {
        let over = self.each.iter().take_while(|(loss, _)| *loss > epsilon);
        let sum: f64 = over.map(|(loss, mass)| mass * -expm1(epsilon - loss)).sum();
        (sum * (1.0 + self.rounding) + self.above).min(1.0)
    }
}

/// From an interval as wide as its upper end to its last digit.
const HALVINGS: usize = 56;
/// Standard deviations within which a binomial law is above [`LEAST`], on either side, with room.
const REACH: f64 = 80.0;
/// A probability, relative to the largest, that no δ of anybody sees.
const LEAST: f64 = 1e-290;
/// The most losses that are written down.
const WIDEST: f64 = 16_777_216.0;
/// Whole numbers up to here are exact in doubles.
const COUNTED_MAX: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// Theorem 3.3 by its formula, for ε' = (k-2i)ε.
    fn theorem(epsilon: f64, k: i32, i: i32) -> f64 {
        let binomial = |l: i32| (0..l).map(|j| f64::from(k - j) / f64::from(j + 1)).product::<f64>();
        let term = |l: i32| {
            binomial(l) * (exp(f64::from(k - l) * epsilon) - exp(f64::from(k - 2 * i + l) * epsilon))
        };
        (0..i).map(term).sum::<f64>() / (1.0 + exp(epsilon)).powi(k)
    }

    #[test]
    fn equal_steps_have_the_delta_of_the_theorem_and_never_less() {
        for (epsilon, k) in [(0.1, 4), (0.1, 25), (1.0, 9), (0.5, 30), (3.0, 12)] {
            let losses = Losses::of(epsilon, f64::from(k)).unwrap();
            for i in 0..=k / 2 {
                let (found, exact) = (losses.delta(f64::from(k - 2 * i) * epsilon), theorem(epsilon, k, i));
                assert!(found >= exact * (1.0 - 1e-11), "{epsilon} {k} {i}: {found:e} below {exact:e}");
                assert!(
                    found <= exact * (1.0 + 1e-11) + 1e-13,
                    "{epsilon} {k} {i}: {found:e} above {exact:e}"
                );
            }
        }
    }

    /// δ(ε') of randomised responses of different ε, by trying all outcomes.
    fn all_outcomes(epsilons: &[f64], above: f64) -> f64 {
        let outcomes = 0..1_u32 << epsilons.len();
        let each = outcomes.map(|bits| {
            let sign = |i: usize| if bits >> i & 1 == 0 { 1.0 } else { -1.0 };
            let signed = || epsilons.iter().enumerate().map(|(i, epsilon)| sign(i) * epsilon);
            let mass: f64 = signed().map(|loss| 1.0 / (1.0 + exp(-loss))).product();
            mass * (-expm1(above - signed().sum::<f64>())).max(0.0)
        });
        each.sum()
    }

    #[test]
    fn different_steps_lose_no_more_than_stated() {
        for epsilons in
            [&[0.1, 0.2, 0.05, 0.3, 0.02, 0.15, 0.1, 0.25][..], &[0.01; 12], &[2.0, 0.1, 0.1, 1.0]]
        {
            let steps: Vec<_> = epsilons.iter().map(|epsilon| (*epsilon, 1.0)).collect();
            for delta in [1e-6, 1e-3, 0.05, 0.3] {
                let stated = of_different(&steps, Delta::new(delta).unwrap());
                let exact = all_outcomes(epsilons, stated);
                assert!(exact <= delta, "{epsilons:?}: {exact:e} at {stated}, more than {delta}");
            }
        }
    }

    #[test]
    fn many_steps_and_large_ones_stay_finite_and_below_the_sum() {
        let delta = Delta::new(1e-6).unwrap();
        for (epsilon, times) in
            [(1e-3, 1e6), (1e-9, 1e12), (0.1, 1e15), (800.0, 3.0), (0.1, 0.0), (0.0, 5.0), (40.0, 1e4)]
        {
            let found = advanced_epsilon(epsilon, times, delta);
            assert!(found >= 0.0 && found <= epsilon * times * (1.0 + 1e-12), "{epsilon} x {times}: {found}");
        }
        assert!(advanced_epsilon(0.01, 1_000.0, delta) < 1.6);
    }
}
