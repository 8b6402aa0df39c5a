//! The Gaussian mechanism, exactly: Balle and Wang, *Improving the Gaussian Mechanism for Differential Privacy* (ICML 2018).

use crate::numerics::{log_normal_cdf, normal_cdf};
use crate::quantity::Delta;
use libm::exp;

/// δ(ε) = Φ(μ/2 - ε/μ) - e^ε Φ(-μ/2 - ε/μ) for μ-GDP, rounded up; 0 for μ = 0.
pub fn gaussian_delta(mu: f64, epsilon: f64) -> f64 {
    if mu <= 0.0 {
        return 0.0;
    }
    let (gain, loss) = (0.5 * mu - epsilon / mu, -0.5 * mu - epsilon / mu);
    let (first, second) = (normal_cdf(gain), exp(epsilon + log_normal_cdf(loss)));
    let exponent = epsilon.abs() + loss * loss;
    ((first - second) + 8.0 * f64::EPSILON * (first + second * exponent)).clamp(0.0, 1.0)
}

/// The smallest ε >= 0 with [`gaussian_delta`] <= `delta`, rounded up.
pub fn gaussian_epsilon(mu: f64, delta: Delta) -> f64 {
    let fits = |epsilon: f64| gaussian_delta(mu, epsilon) <= delta.get();
    if fits(0.0) {
        return 0.0;
    }
    let mut high = 1.0;
    while !fits(high) {
        high *= 2.0;
    }
    let mut low = 0.5 * high * f64::from(high > 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if fits(middle) { high = middle } else { low = middle }
    }
    high
}

/// From an interval as wide as its upper end to its last digit.
const HALVINGS: usize = 54;
