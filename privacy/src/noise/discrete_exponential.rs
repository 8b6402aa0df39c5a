//! The discrete exponential law on the lattice: pmf(k) ∝ exp(-k/b) for every integer k >= 0.
//!
//! The first half of Canonne, Kamath and Steinke 2020, Algorithm 2, for an integer b: write k = vb + u with 0 <= u < b; u
//! is uniform and kept with probability exp(-u/b), v is geometric with ratio exp(-1).
//!
//! It is the whole part, in steps, of a continuous exponential variable of mean b, whose fractional part is independent of
//! it: what remains after a whole number of steps has the law of the start.

use super::bernoulli::{exp_minus, uniform_below};
use crate::noise::NoiseGenerator;
use crate::quantity::NoiseScale;

/// One draw of the discrete exponential law with parameter b = `scale`, in lattice steps; never negative.
pub fn discrete_exponential<G: NoiseGenerator + ?Sized>(scale: NoiseScale, generator: &mut G) -> i128 {
    let scale = scale.steps();
    loop {
        let u = uniform_below(scale, generator);
        if !exp_minus(u, scale, generator) {
            continue;
        }
        let mut v: u64 = 0;
        while exp_minus(1, 1, generator) {
            v += 1;
        }
        return i128::from(v) * i128::from(scale) + i128::from(u);
    }
}
