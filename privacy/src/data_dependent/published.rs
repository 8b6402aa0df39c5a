//! The data-dependent bounds that the PATE papers published.
//!
//! With q >= Pr\[output ≠ the most frequent vote\], at order α:
//!
//! - GNMax: Papernot et al. 2018, Theorem 6, with q from their Proposition 7 and μ₁, μ₂ from their Proposition 10;
//! - the threshold test: the same theorem for the less likely outcome, whose noise is that of a GNMax with √2·σ1;
//! - LNMax: Papernot et al. 2017, Theorem 3, with q from their Lemma 4.
//!
//! Each is capped by the data-independent bound of its mechanism. **Direction**: Theorem 6 and Theorem 3 bound the
//! divergence of the law at these votes from that at a neighbour, D(M(x) ‖ M(x')), and not the reverse, which can be
//! larger (votes 5 : 0, σ = 1, α = 1.5: 0.243 against 0.037). The sums here reproduce the papers; see
//! [`super::ExactArgmax`] for both directions. Values are rounded up by more than their rounding error.

use super::law::ArgmaxNoise;
use crate::counts::VoteCounts;
use crate::numerics::{exp_minus_tangent, log_add, log_normal_cdf, log_sum, log1mexp, widen_up};
use crate::quantity::{RdpOrder, Scale};
use libm::{exp, expm1, log, log1p, sqrt};
use std::collections::HashMap;
use std::f64::consts::SQRT_2;

/// ln of an upper bound on Pr\[GNMax does not answer the most frequent vote\]: 2018, Proposition 7, capped at 1 - 1/K.
pub(crate) fn gnmax_log_q(counts: &VoteCounts, sigma: Scale) -> f64 {
    let per_gap = 1.0 / (SQRT_2 * sigma.get());
    log_q(counts, |gap| log_normal_cdf(-gap * per_gap))
}

/// ln of an upper bound on Pr\[LNMax does not answer the most frequent vote\]: 2017, Lemma 4, capped at 1 - 1/K.
pub(super) fn lnmax_log_q(counts: &VoteCounts, scale: Scale) -> f64 {
    log_q(counts, |gap| {
        let gap = gap / scale.get();
        log((2.0 + gap) / 4.0) - gap
    })
}

/// The union bound over all classes but the first of the most frequent.
fn log_q(counts: &VoteCounts, mut overtaken: impl FnMut(f64) -> f64) -> f64 {
    let counts = counts.as_slice();
    let (top, &most) = counts
        .iter()
        .enumerate()
        .rev()
        .max_by_key(|(_, count)| **count)
        .expect("vote counts have at least two classes");
    let others = counts.iter().enumerate().filter(|(class, _)| *class != top);
    let mut terms: Vec<_> = others.map(|(_, count)| (most - count) as f64).collect();
    // The same votes for other classes cost the same to the last digit: sums depend on their order. The widest gap has the
    // smallest term; of many classes most have the same.
    terms.sort_unstable_by(|a, b| b.total_cmp(a));
    let mut known = (f64::NAN, 0.0);
    for term in &mut terms {
        #[expect(clippy::float_cmp, reason = "whole numbers, and a first that equals none")]
        if *term != known.0 {
            known = (*term, overtaken(*term));
        }
        *term = known.1;
    }
    let bound = log_sum(terms.into_iter());
    bound.min(log1p(-1.0 / counts.len() as f64))
}

/// Theorem 6 of 2018 at ln q for noise σ, at each of `orders`; never above α/σ².
pub(crate) fn gaussian_rdp(log_q: f64, sigma: Scale, orders: &[RdpOrder]) -> Vec<f64> {
    if log_q == f64::NEG_INFINITY {
        return vec![0.0; orders.len()];
    }
    let per_order = 1.0 / (sigma.get() * sigma.get());
    let independent = |order: &RdpOrder| widen_up(order.get() * per_order, ROUNDING);
    let Some(bound) = Theorem6::at(log_q, per_order) else { return orders.iter().map(independent).collect() };
    orders.iter().map(|order| bound.rdp_below(order.get(), independent(order))).collect()
}

/// What Theorem 6 needs to know about q and σ, whatever the order.
pub(crate) struct Theorem6 {
    q: f64,
    not_q: f64,
    log_a: f64,
    log_b: f64,
    log_q: f64,
    mu1: f64,
}

impl Theorem6 {
    /// `None` where the conditions of the theorem do not hold; `per_order` is 1/σ².
    pub(crate) fn at(log_q: f64, per_order: f64) -> Option<Self> {
        // Proposition 10: μ₂ = σ sqrt(ln 1/q), μ₁ = μ₂ + 1, and ε_i = μ_i/σ².
        let mu2 = sqrt(-log_q / per_order);
        let mu1 = mu2 + 1.0;
        if mu2 <= 1.0 {
            return None;
        }
        let (epsilon1, epsilon2) = (mu1 * per_order, mu2 * per_order);
        let monotone = (mu2 - 1.0) * epsilon2 - mu2 * (log1p(1.0 / (mu1 - 1.0)) + log1p(1.0 / (mu2 - 1.0)));
        if log_q > monotone || -log_q <= epsilon2 {
            return None;
        }
        let log_a = log1mexp(log_q) - log1mexp((log_q + epsilon2) * (1.0 - 1.0 / mu2));
        let log_b = epsilon1 - log_q / (mu1 - 1.0);
        let q = exp(log_q);
        Some(Self { q, not_q: -expm1(log_q), log_a, log_b, log_q, mu1 })
    }

    /// ln[(1-q) A^(α-1) + q B^(α-1)]/(α-1); infinite if α >= μ₁.
    pub(crate) fn rdp(&self, alpha: f64) -> f64 {
        self.rdp_below(alpha, f64::INFINITY)
    }

    /// The smaller of that and `cap`.
    fn rdp_below(&self, alpha: f64, cap: f64) -> f64 {
        if alpha >= self.mu1 {
            return cap;
        }
        let less_one = alpha - 1.0;
        let (log_a, log_b) = (less_one * self.log_a, less_one * self.log_b);
        if self.log_q + log_b > FAR {
            // q alone may be too small for a double, and B^(α-1) too large.
            let log_sum = log_add(log1mexp(self.log_q) + log_a, self.log_q + log_b);
            return widen_up(log_sum / less_one, ROUNDING).min(cap);
        }
        // (1-q)(A^(α-1) - 1) + q(B^(α-1) - 1): the sum less one, which keeps its digits when it is small.
        let raised = if log_b < 0.5 {
            self.q * (log_b + exp_minus_tangent(log_b))
        } else {
            exp(self.log_q + log_b) - self.q
        };
        let excess = self.not_q * expm1(log_a) + raised;
        // ln(1 + x) >= 2x/(2 + x): most of what is above the cap is so without a logarithm.
        if 2.0 * excess >= less_one * cap * (2.0 + excess) {
            return cap;
        }
        widen_up(log1p(excess) / less_one, ROUNDING).min(cap)
    }
}

/// The threshold test at these votes: ln of the probabilities that it passes and that it does not.
pub(super) fn threshold_log_probabilities(largest: f64, threshold: f64, sigma1: Scale) -> (f64, f64) {
    let z = (largest - threshold) / sigma1.get();
    (log_normal_cdf(z), log_normal_cdf(-z))
}

/// Theorem 6 of 2018 for the threshold test, as its authors use it: q is the less likely outcome.
pub(crate) fn threshold_rdp(largest: f64, threshold: f64, sigma1: Scale, orders: &[RdpOrder]) -> Vec<f64> {
    let (passes, fails) = threshold_log_probabilities(largest, threshold, sigma1);
    let as_argmax = Scale::new(SQRT_2 * sigma1.get()).unwrap_or(sigma1);
    gaussian_rdp(passes.min(fails), as_argmax, orders)
}

/// Theorem 3 of 2017 at ln q for Laplace noise, at each of `orders`; never above min(2α/b², 2/b).
pub(super) fn laplace_rdp(log_q: f64, scale: Scale, orders: &[RdpOrder]) -> Vec<f64> {
    let epsilon = 2.0 / scale.get();
    let q = exp(log_q);
    // The theorem holds for q < (e^ε - 1)/(e^2ε - 1) = 1/(e^ε + 1).
    let holds = log_q < -log_add(epsilon, 0.0);
    let log_a = log1mexp(log_q) - log1mexp(log_q + epsilon);
    let at = |order: &RdpOrder| {
        let (alpha, less_one) = (order.get(), order.get() - 1.0);
        let independent = (0.5 * epsilon * epsilon * alpha).min(epsilon);
        if !holds {
            return widen_up(independent, ROUNDING);
        }
        let log_b = less_one * epsilon;
        let raised = if log_b < 0.5 { q * expm1(log_b) } else { exp(log_q + log_b) - q };
        let excess = -expm1(log_q) * expm1(less_one * log_a) + raised;
        widen_up(independent.min(log1p(excess) / less_one), ROUNDING)
    };
    orders.iter().map(at).collect()
}

/// A dozen operations on well-conditioned positive quantities, with a wide margin.
const ROUNDING: f64 = 1e-13;

/// Beyond this exponent, 1 is lost in a sum and logarithms take over.
const FAR: f64 = 30.0;

/// Costs of argmax steps by the sorted gaps, on which alone they depend.
#[derive(Default)]
pub(super) struct Memo {
    by_log_q: HashMap<u64, Vec<f64>>,
    /// ln of the chance to be overtaken over a gap of so many votes; not a number where it was not asked for yet.
    by_gap: Vec<f64>,
}

impl Memo {
    /// The published bound for one argmax, at each order.
    pub(super) fn argmax(
        &mut self,
        noise: ArgmaxNoise,
        counts: &VoteCounts,
        orders: &[RdpOrder],
    ) -> &Vec<f64> {
        let log_q = match noise {
            ArgmaxNoise::Gaussian(sigma) => {
                let per_gap = 1.0 / (SQRT_2 * sigma.get());
                let known = &mut self.by_gap;
                log_q(counts, |gap| known_gap(known, gap, |gap| log_normal_cdf(-gap * per_gap)))
            }
            ArgmaxNoise::Laplace(scale) => lnmax_log_q(counts, scale),
        };
        let cost = || match noise {
            ArgmaxNoise::Gaussian(sigma) => gaussian_rdp(log_q, sigma, orders),
            ArgmaxNoise::Laplace(scale) => laplace_rdp(log_q, scale, orders),
        };
        self.by_log_q.entry(log_q.to_bits()).or_insert_with(cost)
    }
}

/// `term` of a whole number of votes, worked out once for each of the smaller ones.
fn known_gap(known: &mut Vec<f64>, gap: f64, term: impl Fn(f64) -> f64) -> f64 {
    if gap >= GAPS_KNOWN as f64 {
        return term(gap);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number below the length"
    )]
    let at = gap as usize;
    if known.is_empty() {
        known.resize(GAPS_KNOWN, f64::NAN);
    }
    if known[at].is_nan() {
        known[at] = term(gap);
    }
    known[at]
}

/// Gaps up to here are looked up: 32 KB.
const GAPS_KNOWN: usize = 1 << 12;

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Oracle {
        orders: Vec<f64>,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        logq: serde_json::Value,
        sigma: f64,
        rdp_dep_mp: Vec<String>,
        rdp_dep_tfp: Vec<f64>,
    }

    #[test]
    fn theorem_6_holds_where_its_conditions_do_and_gives_what_the_oracle_says_on_both_sides_of_them() {
        let oracle: Oracle =
            serde_json::from_str(include_str!("../../tests/vectors/gnmax_rdp_from_logq.json")).unwrap();
        let orders: Vec<_> = oracle.orders.iter().map(|order| RdpOrder::new(*order).unwrap()).collect();
        assert_eq!(oracle.cases.len(), 112);
        for case in oracle.cases {
            let log_q = case.logq.as_f64().unwrap_or(f64::NEG_INFINITY);
            let found = gaussian_rdp(log_q, Scale::new(case.sigma).unwrap(), &orders);
            assert!([case.rdp_dep_mp.len(), case.rdp_dep_tfp.len(), found.len()] == [oracle.orders.len(); 3]);
            let both = case.rdp_dep_mp.iter().zip(&case.rdp_dep_tfp);
            for ((found, (expected, tfp)), order) in found.iter().zip(both).zip(&oracle.orders) {
                let expected: f64 = expected.parse().unwrap();
                let name =
                    format!("ln q {log_q}, sigma {}, order {order}: {found:e}, not {expected:e}", case.sigma);
                assert!((found - expected).abs() <= 1e-10 * expected + 1e-300, "{name}");
                assert!((found - tfp).abs() <= 1e-9 * tfp + 1e-300, "{name}, and not {tfp:e}");
            }
        }
    }

    #[derive(Deserialize)]
    struct Bounds {
        #[serde(alias = "gnmax_cases")]
        cases: Vec<Bound>,
    }

    #[derive(Deserialize)]
    struct Bound {
        votes: Vec<u64>,
        #[serde(alias = "lambda")]
        sigma: f64,
        /// With 25 digits.
        logq_mp: Option<String>,
        #[serde(alias = "logq")]
        logq_tfp: f64,
    }

    type LogQ = fn(&VoteCounts, Scale) -> f64;

    #[test]
    fn the_bound_on_a_wrong_answer_is_what_the_oracle_says() {
        let oracle = |text| serde_json::from_str::<Bounds>(text).unwrap().cases;
        let gnmax = oracle(include_str!("../../tests/vectors/gnmax_rdp.json"));
        let lnmax = oracle(include_str!("../../tests/vectors/lnmax.json"));
        let smooth = oracle(include_str!("../../tests/vectors/smooth_sensitivity.json"));
        assert_eq!([gnmax.len(), lnmax.len(), smooth.len()], [87, 86, 11]);
        for (cases, log_q) in [(gnmax, gnmax_log_q as LogQ), (lnmax, lnmax_log_q), (smooth, gnmax_log_q)] {
            for case in cases {
                let counts = VoteCounts::new(case.votes).unwrap();
                let found = log_q(&counts, Scale::new(case.sigma).unwrap());
                if let Some(expected) = case.logq_mp {
                    let expected: f64 = expected.parse().unwrap();
                    assert!((found / expected - 1.0).abs() < 1e-10, "{counts:?}: {found}, not {expected}");
                }
                assert!(
                    (found / case.logq_tfp - 1.0).abs() < 1e-9,
                    "{counts:?}: {found}, not {}",
                    case.logq_tfp
                );
            }
        }
    }
}
