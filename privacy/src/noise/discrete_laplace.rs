//! The discrete Laplace law on the lattice: pmf(k) ∝ exp(-|k|/b) for every integer k.
//!
//! Canonne, Kamath and Steinke 2020, Algorithm 2, for an integer b: |k| has the discrete exponential law, and the sign is
//! fair, but zero has only one.

use super::bernoulli::fair;
use super::discrete_exponential::discrete_exponential;
use crate::noise::NoiseGenerator;
use crate::quantity::NoiseScale;

/// One draw of the discrete Laplace law with parameter b = `scale`, in lattice steps.
pub fn discrete_laplace<G: NoiseGenerator + ?Sized>(scale: NoiseScale, generator: &mut G) -> i128 {
    loop {
        let size = discrete_exponential(scale, generator);
        let negative = fair(generator);
        if negative && size == 0 {
            continue;
        }
        return if negative { -size } else { size };
    }
}
