//! From continuous noise to the noise that is drawn: a lattice law is continuous noise, rounded, but for a small probability.
//!
//! In lattice steps, let d be the law that is drawn and r that of continuous noise rounded to the nearest step. If (1-γ) r(k) <= d(k)
//! at every k, then d = (1-γ) r + γ w for some law w: with probability 1-γ, the same in both worlds, the noise is rounded continuous
//! noise. Counts move by whole steps, so rounding is something done afterwards, and at most a γ of probability is left to tell all. So a
//! plan of n such draws has δ(ε) <= δ'(ε) + nγ, where δ' is that of the continuous noise.
//!
//! - *Laplace*, d(k) = tanh(h) e^(-|k|/b) with h = 1/(2b). Rounding the same b gives r(k) = sinh(h) e^(-|k|/b), and r(0) = 1 - e^-h. So
//!   r <= cosh(h) d, and γ = 1 - 1/cosh(h), about 1/(8b²).
//! - *Gaussian*, d(k) = e^(-k²/2σ²)/N. For s = σ² - 1/6, r(k) of variance s is at most e^(-k²/2s) sinh(t)/t / √(2πs) with t = k/(2s), since
//!   e^(-x²/2s) <= 1; and sinh(t)/t <= e^(t²/6). So the exponent of r is -(k²/2s)(1 - 1/(12s)), which is at most -k²/2σ² if s² + σ²/12 <= σ²s,
//!   that is, 1/36 <= σ²/12. By Poisson summation N <= √(2π)σ (1 + ε) with ε <= 3e^(-2π²σ²). So r <= (σ/√s)(1 + ε) d, and
//!   γ = 1 - √(1 - 1/(6σ²))/(1 + ε), about 1/(12σ²).
//!
//! `docs/privacy-accounting.md`, section 12, has it too.

use super::PlannedNoise;
use crate::Error;
use crate::quantity::{Lattice, Scale};
use libm::{ceil, cosh, exp, sinh, sqrt};
use std::f64::consts::PI;

/// Continuous noise for each of `noises`, and the probability that this leaves out, in all.
///
/// Statistics are whole numbers of votes. A Gaussian's shift v is the norm of what they change by, so at most v² of them change.
pub(super) fn continuous(
    noises: &[PlannedNoise],
    lattice: Lattice,
) -> Result<(Vec<PlannedNoise>, f64), Error> {
    let steps = |scale: Scale| scale.get() * lattice.steps_per_vote() as f64;
    let mut left_out = 0.0;
    let mut part = |noise: &PlannedNoise| match *noise {
        PlannedNoise::Laplace { scale, times, .. } => {
            left_out += times as f64 * laplace(steps(scale));
            Ok(*noise)
        }
        PlannedNoise::Gaussian { scale, shift, times } => {
            let sigma = steps(scale);
            left_out += times * ceil(shift * shift * (1.0 - ROUNDING)) * gaussian(sigma);
            // Coarser than this all of it is left out.
            let part =
                if sigma < 1.0 { 1.0 } else { sqrt(1.0 - 1.0 / (6.0 * sigma * sigma)) * (1.0 - ROUNDING) };
            Ok(PlannedNoise::Gaussian { scale: Scale::new(scale.get() * part)?, shift, times })
        }
    };
    let noises = noises.iter().map(&mut part).collect::<Result<Vec<_>, Error>>()?;
    Ok((noises, left_out * (1.0 + ROUNDING)))
}

/// γ of the discrete Laplace law of scale b > 0, in steps: without the cancellation of 1 - 1/cosh(h).
fn laplace(b: f64) -> f64 {
    let h = 0.5 / b;
    let half = sinh(0.5 * h);
    let left_out = 2.0 * half * half / cosh(h);
    // Beyond what cosh can write down it is 1.
    if left_out < 1.0 { left_out } else { 1.0 }
}

/// γ of the discrete Gaussian law of parameter σ > 0, in steps: 1 below a step.
fn gaussian(sigma: f64) -> f64 {
    if sigma < 1.0 {
        return 1.0;
    }
    let square = 1.0 / (6.0 * sigma * sigma);
    let normalisation = 3.0 * exp(-2.0 * PI * PI * sigma * sigma);
    square / (1.0 + sqrt(1.0 - square)) + normalisation
}

/// More than a few operations, each within units in the last place.
const ROUNDING: f64 = 1e-14;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::normal_cdf;
    use libm::tanh;

    #[test]
    fn a_laplace_law_on_the_lattice_is_rounded_continuous_noise_but_for_what_is_left_out() {
        for b in [0.3, 1.0, 2.0, 7.5, 300.0] {
            let h = 0.5 / b;
            let mut least = f64::INFINITY;
            for k in (0..).map(f64::from).take_while(|k| *k < 40.0 * b) {
                let tail = |x: f64| 0.5 * exp(-x / b);
                let rounded = if k > 0.0 { tail(k - 0.5) - tail(k + 0.5) } else { 1.0 - 2.0 * tail(0.5) };
                least = least.min(tanh(h) * exp(-k / b) / rounded);
            }
            // Not above, or it would not hold; and not far below, or it would give too much away.
            assert!(
                (least / (1.0 - laplace(b)) - 1.0).abs() < 1e-9,
                "b {b}: {least} not {}",
                1.0 - laplace(b)
            );
        }
    }

    #[test]
    fn a_gaussian_law_on_the_lattice_is_rounded_continuous_noise_but_for_what_is_left_out() {
        for sigma in [1.0, 1.3, 2.0, 7.5, 100.0] {
            let s = sqrt(sigma * sigma - 1.0 / 6.0);
            let density = |k: f64| exp(-0.5 * (k / sigma) * (k / sigma));
            let places = || (0..).map(f64::from).take_while(|k| *k < 12.0 * sigma);
            let mass: f64 = 2.0 * places().map(density).sum::<f64>() - 1.0;
            let mut least = f64::INFINITY;
            for k in places() {
                // Below the mean, where a difference of tails loses no digits.
                let rounded = normal_cdf((0.5 - k) / s) - normal_cdf((-0.5 - k) / s);
                least = least.min(density(k) / mass / rounded);
            }
            let proven = 1.0 - gaussian(sigma);
            assert!(least >= proven * (1.0 - 1e-9), "sigma {sigma}: {least} below {proven}");
            assert!(1.0 - least >= 0.4 * (1.0 - proven), "sigma {sigma}: {least} far from {proven}");
        }
    }

    #[test]
    fn every_scale_leaves_out_a_probability_and_a_finer_lattice_less() {
        for law in [laplace, gaussian] {
            let mut before = 1.0;
            for scale in [f64::MIN_POSITIVE, 1e-9, 0.5, 1.0, 2.0, 1e3, 1e6, 1e12, 1e18] {
                let left_out = law(scale);
                assert!(left_out <= before && left_out > 0.0, "{scale:e}: {left_out:e}");
                before = left_out;
            }
            assert!(before < 1e-35);
        }
    }
}
