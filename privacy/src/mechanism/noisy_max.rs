//! The index of the largest noisy count, ties by a fresh uniform coin.

use crate::counts::{ClassIndex, VoteCounts};
use crate::noise::{NoiseGenerator, uniform_below};
use crate::quantity::Lattice;

/// Adds one `noise` to every count and returns the class of the largest; among equals each is as likely as
/// the others.
pub(super) fn noisy_max<G: NoiseGenerator + ?Sized>(
    counts: &VoteCounts,
    lattice: Lattice,
    generator: &mut G,
    mut noise: impl FnMut(&mut G) -> i128,
) -> ClassIndex {
    let mut best = ClassIndex(0);
    let mut best_score = i128::MIN;
    let mut ties = 1;
    for (class, count) in counts.by_class() {
        let score = in_steps(count, lattice) + noise(generator);
        if score > best_score {
            (best, best_score, ties) = (class, score, 1);
        } else if score == best_score {
            // The n-th of n equals replaces the one kept with probability 1/n, which makes all equally
            // likely.
            ties += 1;
            if uniform_below(ties, generator) == 0 {
                best = class;
            }
        }
    }
    best
}

/// `count` votes in lattice steps: at most 2^85.
pub(super) fn in_steps(count: u64, lattice: Lattice) -> i128 {
    i128::from(count) << lattice.bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{NoiseSource, SimulationNoise};

    #[test]
    fn each_of_several_equals_is_as_likely_as_the_others() {
        const DRAWS: u32 = 60_000;
        let counts = VoteCounts::new(vec![3, 9, 9, 1, 9, 9, 0]).unwrap();
        let mut generator = SimulationNoise::new(5).generator("ties", &[0; 32], 0).unwrap();
        let mut answers = [0_u32; 7];
        for _ in 0..DRAWS {
            let ClassIndex(class) = noisy_max(&counts, Lattice::DEFAULT, &mut generator, |_| 0);
            answers[class as usize] += 1;
        }
        // A quarter each, within 5.5 standard deviations: a false alarm of 2 × 10^-7.
        let allowed = 5.5 * (f64::from(DRAWS) * 0.25 * 0.75).sqrt();
        for (class, answers) in answers.into_iter().enumerate() {
            let expected = if [1, 2, 4, 5].contains(&class) { f64::from(DRAWS) / 4.0 } else { 0.0 };
            let deviation = (f64::from(answers) - expected).abs();
            assert!(deviation <= if expected > 0.0 { allowed } else { 0.0 }, "class {class}: {answers}");
        }
    }
}
