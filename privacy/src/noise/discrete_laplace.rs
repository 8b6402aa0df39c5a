//! The discrete Laplace law on the lattice: pmf(k) ∝ exp(-|k|/b) for every integer k.
//!
//! Canonne, Kamath and Steinke 2020, Algorithm 2, for an integer b: write |k| = vb + u with 0 <= u < b; u is
//! uniform and kept with probability exp(-u/b), v is geometric with ratio exp(-1), and the sign is fair, but
//! zero has only one.

use super::bernoulli::{exp_minus, fair, uniform_below};
use crate::noise::NoiseGenerator;
use crate::quantity::NoiseScale;

/// One draw of the discrete Laplace law with parameter b = `scale`, in lattice steps.
pub fn discrete_laplace<G: NoiseGenerator + ?Sized>(scale: NoiseScale, generator: &mut G) -> i128 {
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
        let negative = fair(generator);
        if negative && u == 0 && v == 0 {
            continue;
        }
        let size = i128::from(v) * i128::from(scale) + i128::from(u);
        return if negative { -size } else { size };
    }
}
