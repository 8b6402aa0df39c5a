//! Special functions in log space, with their accuracy: a probability here may be 10^-300 or 1 - 10^-300.
//!
//! Each is within a few units in the last place of its result unless it says otherwise; whoever turns a result
//! into a bound widens it. [`widen_up`] is how.

use libm::{erfc, exp, expm1, log, log1p, sqrt};
use std::f64::consts::{FRAC_1_SQRT_2, LN_2, TAU};

/// ln(2π)/2.
const HALF_LN_TWO_PI: f64 = 0.918_938_533_204_672_7;

/// ln(1 - e^x) for x < 0, without cancellation at either end (Mächler 2012).
pub(crate) fn log1mexp(x: f64) -> f64 {
    if x > -LN_2 { log(-expm1(x)) } else { log1p(-exp(x)) }
}

/// ln(e^x + e^y).
pub(crate) fn log_add(x: f64, y: f64) -> f64 {
    let (low, high) = if x < y { (x, y) } else { (y, x) };
    if low == f64::NEG_INFINITY { high } else { high + log1p(exp(low - high)) }
}

/// ln Σ e^x; minus infinity for no terms.
pub(crate) fn log_sum(terms: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = terms.clone().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + log(terms.map(|term| exp(term - largest)).sum())
}

/// The standard normal distribution function Φ(x), with its relative accuracy kept for every x > -37.
pub(crate) fn normal_cdf(x: f64) -> f64 {
    0.5 * erfc(-x * FRAC_1_SQRT_2)
}

/// ln Φ(x).
pub(crate) fn log_normal_cdf(x: f64) -> f64 {
    if x > 0.0 {
        return log1p(-normal_cdf(-x));
    }
    if x > -30.0 {
        return log(normal_cdf(x));
    }
    // Mills' ratio: Φ(x) = φ(x)/|x| · (1 - 1/x² + 3/x⁴ - ...); beyond 30 the first term left out is 10^-14.
    let inverse = 1.0 / (x * x);
    let series =
        1.0 - inverse * (1.0 - inverse * (3.0 - inverse * (15.0 - inverse * (105.0 - 945.0 * inverse))));
    -0.5 * x * x - HALF_LN_TWO_PI - log(-x) + log(series)
}

/// ln φ(x) of the standard normal density.
pub(crate) fn log_normal_density(x: f64) -> f64 {
    -0.5 * x * x - HALF_LN_TWO_PI
}

/// Φ⁻¹(e^log_p), by Newton's method on ln Φ, which is concave: it converges from the left of the root.
pub(crate) fn normal_quantile(log_p: f64) -> f64 {
    if log_p >= 0.0 {
        return f64::INFINITY;
    }
    // The asymptotic root where p is small; -1 is left of the others.
    let twice = -2.0 * log_p;
    let mut z = if log_p < -2.0 { -sqrt(twice - log(TAU * (twice - 1.0).max(1.0))) } else { -1.0 };
    for _ in 0..NEWTON_STEPS {
        let value = log_normal_cdf(z);
        let slope = exp(log_normal_density(z) - value);
        let step = (log_p - value) / slope;
        z += step;
        // Convergence is quadratic: the next step would be below the last digit.
        if step.abs() <= 1e-8 * z.abs().max(1.0) {
            break;
        }
    }
    z
}

/// Newton doubles its digits each time.
const NEWTON_STEPS: usize = 60;
/// e^x - 1 - x, with its relative accuracy kept around 0.
pub(crate) fn exp_minus_tangent(x: f64) -> f64 {
    if x.abs() > 0.5 {
        return expm1(x) - x;
    }
    // x² (1/2! + x/3! + ...); at |x| <= 1/2 the first term left out is below 10^-17 of the sum.
    x * x * INVERSE_FACTORIALS.iter().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

/// 1/15!, ..., 1/2!.
const INVERSE_FACTORIALS: [f64; 14] = [
    1.0 / 1_307_674_368_000.0,
    1.0 / 87_178_291_200.0,
    1.0 / 6_227_020_800.0,
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    1.0 / 2.0,
];

/// `value >= 0` moved up by the relative error `relative`.
pub(crate) fn widen_up(value: f64, relative: f64) -> f64 {
    value * (1.0 + relative)
}

/// The largest difference between the gaps of a standard normal that matter here: beyond it, e^(-x²/2) < 10^-17.
pub(crate) const NORMAL_REACH: f64 = 9.0;

/// Where the mode of the largest of `classes` standard normals cannot be exceeded: sqrt(2 ln K) + 1.
pub(crate) fn extreme_mode(classes: f64) -> f64 {
    sqrt(2.0 * log(classes)) + 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: f64, expected: f64, tolerance: f64) {
        assert!((found / expected - 1.0).abs() <= tolerance, "{found:e}, not {expected:e}");
    }

    #[test]
    fn the_normal_tails_agree_with_high_precision_values() {
        // mpmath, 40 digits.
        assert_close(log_normal_cdf(-1.0), -1.841_021_645_009_263_5, 1e-15);
        assert_close(log_normal_cdf(-20.0), -203.917_155_371_097_27, 1e-15);
        assert_close(log_normal_cdf(-40.0), -804.608_442_013_753_8, 1e-15);
        assert_close(log_normal_cdf(8.0), -6.220_960_574_271_786e-16, 1e-14);
        let (before, after) = (log_normal_cdf(-30.0 + 1e-9), log_normal_cdf(-30.0 - 1e-9));
        assert!((before - after - 2e-9 * 30.0).abs() < 1e-9, "the two branches meet");
    }

    #[test]
    fn the_exponential_without_its_tangent_keeps_its_digits() {
        assert_close(exp_minus_tangent(1e-8), 5.000_000_016_666_667e-17, 1e-14);
        assert_close(exp_minus_tangent(-1e-3), 4.998_333_749_916_681e-7, 1e-13);
        assert_close(exp_minus_tangent(0.499_999), exp_minus_tangent(0.500_001), 1e-4);
        assert_close(exp_minus_tangent(0.5), 0.148_721_270_700_128_15, 1e-14);
        assert_close(exp_minus_tangent(3.0), 16.085_536_923_187_668, 1e-15);
    }

    #[test]
    fn complements_and_sums_keep_their_digits() {
        assert_close(log1mexp(-1e-20), -46.051_701_859_880_914, 1e-15);
        assert_close(log1mexp(-50.0), -1.928_749_847_963_918e-22, 1e-14);
        assert_close(log_add(-1000.0, -1000.0), -1000.0 + LN_2, 1e-15);
        assert!(log_sum([f64::NEG_INFINITY].into_iter()) == f64::NEG_INFINITY);
        assert_close(log_sum([0.0; 4].into_iter()), 4.0 * LN_2 / 2.0, 1e-15);
    }
}
