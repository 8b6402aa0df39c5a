//! The Gaussian mechanism, exactly: Balle and Wang, *Improving the Gaussian Mechanism for Differential Privacy* (ICML 2018).

use crate::numerics::{log_normal_cdf, normal_cdf};
use crate::quantity::{Delta, Epsilon, Mu};
use libm::exp;

/// δ(ε) = Φ(μ/2 - ε/μ) - e^ε Φ(-μ/2 - ε/μ) for μ-GDP, rounded up; 0 for μ = 0.
pub fn gaussian_delta(mu: Mu, epsilon: Epsilon) -> f64 {
    delta_at(mu, epsilon.get())
}

/// The smallest ε >= 0 with [`gaussian_delta`] <= `delta`, rounded up.
pub fn gaussian_epsilon(mu: Mu, delta: Delta) -> f64 {
    let fits = |epsilon: f64| delta_at(mu, epsilon) <= delta.get();
    if fits(0.0) {
        return 0.0;
    }
    let mut high = 1.0;
    // It ends: past 40μ + μ²/2 the first term alone is 0.
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

/// [`gaussian_delta`] for ε >= 0.
pub(super) fn delta_at(mu: Mu, epsilon: f64) -> f64 {
    let mu = mu.get();
    if mu == 0.0 {
        return 0.0;
    }
    let (half, shift) = (0.5 * mu, epsilon / mu);
    let (gain, loss) = (half - shift, -half - shift);
    let (first, second) = (normal_cdf(gain), exp(epsilon + log_normal_cdf(loss)));
    let exponent = epsilon + loss * loss;
    let difference = (first - second) + 8.0 * f64::EPSILON * (first + second * exponent);
    // Where μ is so large that the second term has no digits, or is no number, the first alone is a bound.
    let alone = normal_cdf(half * (1.0 + ROUNDING) - shift * (1.0 - ROUNDING)) * (1.0 + 2.0 * ROUNDING);
    difference.min(alone).clamp(0.0, 1.0)
}

/// More than a few operations, each within a unit in the last place.
const ROUNDING: f64 = 4.0 * f64::EPSILON;
/// From an interval as wide as its upper end to its last digit.
const HALVINGS: usize = 54;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mu_has_an_epsilon_that_is_found_in_finite_time_and_covers_its_delta() {
        let delta = Delta::new(1e-5).unwrap();
        let mut before = 0.0;
        for mu in [0.0, 1e-300, 1e-9, 1.0, 40.0, 1e5, 1e9, 1e20, 1e80, 1e150].map(|mu| Mu::new(mu).unwrap()) {
            let epsilon = gaussian_epsilon(mu, delta);
            assert!(epsilon >= before && epsilon.is_finite(), "{mu:?}: {epsilon}");
            assert!(delta_at(mu, epsilon) <= 1e-5, "{mu:?}");
            // P[loss > ε] is at least δ and the loss N(μ²/2, μ²), so ε is at least the mean if δ is below a half.
            let mean = 0.5 * mu.get() * mu.get();
            if mu.get() > 10.0 {
                assert!(
                    epsilon >= mean && epsilon <= (mean + 6.0 * mu.get()) * (1.0 + 1e-12),
                    "{mu:?}: {epsilon}"
                );
            }
            before = epsilon;
        }
    }

    #[test]
    fn a_delta_is_never_no_number() {
        for mu in [0.0, 1e-300, 1e-9, 1.0, 1e9, 1e80, 1e150].map(|mu| Mu::new(mu).unwrap()) {
            for epsilon in [0.0, 1e-300, 1.0, 700.0, 1e9, 1e160, 1e300, f64::MAX] {
                let delta = delta_at(mu, epsilon);
                assert!((0.0..=1.0).contains(&delta), "{mu:?} {epsilon}: {delta}");
            }
        }
    }
}
