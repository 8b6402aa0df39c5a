//! The discrete Gaussian on the lattice: pmf(k) ∝ exp(-k²/(2σ²)) for every integer k.
//!
//! Karney, *Sampling exactly from the normal distribution* (2016), Algorithm D, for mean 0 and an integer σ.
//! Write
//! |k| = iσ + j with 0 <= j < σ, and x = j/σ: then exp(-k²/(2σ²)) = exp(-i²/2) · exp(-ix) · exp(-x²/2). Draw i with
//! probability ∝ exp(-i²/2), j uniformly, and accept with the remaining two factors; start again on a
//! refusal. Each factor is a coin of [`super::bernoulli`], so the law is exact at every σ and in every tail.

use super::bernoulli::{exp_minus, exp_minus_half, exp_minus_half_square, fair, uniform_below};
use crate::noise::NoiseGenerator;
use crate::quantity::NoiseScale;

/// One draw of the discrete Gaussian with parameter σ = `sigma`, in lattice steps.
pub fn discrete_gaussian<G: NoiseGenerator + ?Sized>(sigma: NoiseScale, generator: &mut G) -> i128 {
    let sigma = sigma.steps();
    loop {
        let i = whole_sigmas(generator);
        let j = uniform_below(sigma, generator);
        let negative = fair(generator);
        if negative && i == 0 && j == 0 {
            continue; // zero has one sign only
        }
        if (0..i).all(|_| exp_minus(j, sigma, generator)) && exp_minus_half_square(j, sigma, generator) {
            let size = i128::from(i) * i128::from(sigma) + i128::from(j);
            return if negative { -size } else { size };
        }
    }
}

/// i >= 0 with probability ∝ exp(-i²/2): geometric with ratio exp(-1/2), kept with probability
/// exp(-i(i-1)/2).
fn whole_sigmas<G: NoiseGenerator + ?Sized>(generator: &mut G) -> u64 {
    loop {
        let mut i: u64 = 0;
        while exp_minus_half(generator) {
            i += 1;
        }
        if (0..i * i.saturating_sub(1)).all(|_| exp_minus_half(generator)) {
            return i;
        }
    }
}
