//! Rényi divergences of finite laws, summed so that small ones keep their digits, and rounded up.
//!
//! For laws p and q over the same outcomes, Σ p^α q^(1-α) - 1 = Σ q ψ(ln(p/q)) with
//! ψ(L) = e^(αL) - 1 - α(e^L - 1), because Σ p = Σ q = 1. Every ψ is >= 0, falls to its minimum at 0 and rises from there (ψ' = α(e^(αL) - e^L)), so nothing
//! cancels, and an error of L is covered by evaluating at a point that much further from 0.

use crate::numerics::exp_minus_tangent;
use libm::{exp, expm1, log, log1p};

/// One outcome, or several of the same probabilities, under two laws p and q.
#[derive(Clone, Copy)]
pub(super) struct Pair {
    /// How many outcomes.
    times: f64,
    p: f64,
    q: f64,
    /// ln(p/q), moved away from 0 by more than its error.
    ratio: f64,
    log_p: f64,
    log_q: f64,
}

impl Pair {
    /// `error` bounds the relative errors of p and of q, and the absolute error of their logarithms.
    pub(super) fn new(times: f64, log_p: f64, log_q: f64, error: f64) -> Self {
        let ratio = log_p - log_q;
        let ratio = ratio + if ratio < 0.0 { -2.0 * error } else { 2.0 * error };
        let up = 1.0 + 2.0 * error;
        Self {
            times,
            p: exp(log_p) * up,
            q: exp(log_q) * up,
            ratio,
            log_p: log_p + error,
            log_q: log_q + error,
        }
    }

    /// The same from p = e^log_p and q themselves.
    pub(super) fn of(times: f64, (p, log_p): (f64, f64), q: f64, error: f64) -> Self {
        let ratio = log(p / q);
        let log_q = log_p - ratio;
        let ratio = ratio + if ratio < 0.0 { -2.0 * error } else { 2.0 * error };
        let up = 1.0 + 2.0 * error;
        Self { times, p: p * up, q: q * up, ratio, log_p: log_p + error, log_q: log_q + error }
    }

    /// The same outcome with p and q exchanged.
    pub(super) const fn reversed(self) -> Self {
        let Self { times, p, q, ratio, log_p, log_q } = self;
        Self { times, p: q, q: p, ratio: -ratio, log_p: log_q, log_q: log_p }
    }

    /// (p/q)^(α-1) p, the summand of the Rényi sum, in log space; rounded up.
    pub(super) fn log_summand(&self, alpha: f64) -> f64 {
        self.log_q + (alpha * self.ratio).max(alpha * (self.log_p - self.log_q))
    }

    /// An upper bound on times·q·ψ(ln(p/q)).
    fn excess(&self, alpha: f64) -> f64 {
        let exponent = alpha * self.ratio;
        if exponent > FAR {
            // e^(αL) alone may be too large for a double while q times it is not.
            return self.times * exp(self.log_q + exponent);
        }
        self.times * self.q * psi(alpha, self.ratio)
    }

    /// ψ at this outcome is at most `curvature`·L², for every α with ψ_α(reach)/reach² = curvature and reach >= |L|.
    pub(super) fn squared(&self) -> f64 {
        self.times * self.q * self.ratio * self.ratio
    }

    pub(super) const fn ratio(&self) -> f64 {
        self.ratio
    }
}

/// ψ(L) = e^(αL) - 1 - α(e^L - 1), which is >= 0.
///
/// As e^L (E((α-1)L) + (α-1) E(-L)) with E(x) = e^x - 1 - x: two terms of one sign, so nothing cancels, however close α is
/// to 1. (As the difference of E(αL) and α E(L) it is wrong by a part of 10^-16/(α-1) of itself.)
pub(crate) fn psi(alpha: f64, ratio: f64) -> f64 {
    let above_one = alpha - 1.0;
    if ratio < -FAR {
        // The supremum over L < 0, which is reached to double precision.
        return above_one;
    }
    exp(ratio) * (exp_minus_tangent(above_one * ratio) + above_one * exp_minus_tangent(-ratio))
}

/// ψ'(L) = α(e^(αL) - e^L).
pub(crate) fn psi_slope(alpha: f64, ratio: f64) -> f64 {
    alpha * exp(ratio) * expm1((alpha - 1.0) * ratio)
}

/// Σ p^α q^(1-α) - 1, rounded up: `excess` with D_α = ln(1 + excess)/(α-1).
pub(super) fn excess(pairs: impl Iterator<Item = Pair>, alpha: f64) -> f64 {
    pairs.map(|pair| pair.excess(alpha)).sum::<f64>() * (1.0 + ROUNDING)
}

/// D_α for an excess, rounded up.
pub(super) fn divergence(excess: f64, alpha: f64) -> f64 {
    log1p(excess) / (alpha - 1.0) * (1.0 + ROUNDING)
}

/// Beyond this exponent ψ is e^(αL) to double precision.
const FAR: f64 = 40.0;

/// The relative error of a sum of ψ.
const ROUNDING: f64 = 1e-13;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn psi_keeps_its_digits_next_to_order_one_and_far_out() {
        // mpmath, 50 digits.
        for (alpha, ratio, expected) in [
            (1.0 + 1e-12, 0.01, 5.033_906_144_774_07e-17),
            (1.0 + 1e-12, -0.02, 1.973_707_719_266_05e-16),
            (1.000_000_1, 1e-4, 5.000_333_848_803_2e-16),
            (3.0, 0.5, 1.535_525_258_237_68),
            (3.0, -0.5, 0.403_538_181_010_53),
            (2.0, -60.0, 1.0),
        ] {
            let found = psi(alpha, ratio);
            assert!((found / expected - 1.0).abs() < 1e-13, "{alpha} {ratio}: {found:e}, not {expected:e}");
        }
    }
}
