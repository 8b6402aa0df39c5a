//! No sampler ends before the tail does. Its loops count up to 2^64 and stop only where a coin says so, so there are bits for
//! every integer of the law; here they are written down, far beyond what anybody could wait for.

use super::generator::scripted::Scripted;
use super::{discrete_exponential, discrete_gaussian, discrete_laplace};
use crate::quantity::{Lattice, NoiseScale};
use std::iter::{once, repeat_n};

/// A word above every fraction but one, and one below every fraction but zero.
const HIGH: u64 = u64::MAX;
const LOW: u64 = 0;

fn scale(votes: f64) -> NoiseScale {
    NoiseScale::from_votes(votes, Lattice::DEFAULT).unwrap()
}

/// The word for which a uniform draw below `n` is `j`.
fn word_of(j: u64, n: u64) -> u64 {
    u64::try_from(((u128::from(j) << 64) + (1 << 63)) / u128::from(n)).unwrap()
}

#[test]
fn the_discrete_gaussian_reaches_every_distance_and_both_signs() {
    let sigma = scale(40.0);
    for i in [0, 1, 7, 9, 12, 13, 39, 150_u64] {
        for j in [1, sigma.steps() / 2, sigma.steps() - 1] {
            for negative in [0, 1] {
                let words = repeat_n(HIGH, usize::try_from(i).unwrap()) // one more σ, i times
                    .chain([LOW, HIGH]) // no more
                    .chain(repeat_n(HIGH, usize::try_from(i * i.saturating_sub(1)).unwrap())) // kept
                    .chain([word_of(j, sigma.steps()), negative])
                    .chain(repeat_n(HIGH, usize::try_from(i).unwrap() + 1)); // kept again
                let mut generator = Scripted(words);
                let size = i128::from(i * sigma.steps() + j);
                let expected = if negative == 1 { -size } else { size };
                assert_eq!(discrete_gaussian(sigma, &mut generator), expected);
                assert_eq!(generator.0.next(), None, "no word was left over");
            }
        }
    }
}

#[test]
fn the_discrete_laplace_and_exponential_reach_every_distance() {
    let b = scale(40.0);
    for v in [0, 1, 12, 40, 1000, 100_000_u64] {
        for u in [1, b.steps() - 1] {
            let size = || {
                once(word_of(u, b.steps()))
                    .chain(once(HIGH)) // kept
                    .chain([LOW, HIGH].into_iter().cycle().take(2 * usize::try_from(v).unwrap())) // one more b, v times
                    .chain(once(HIGH)) // no more
            };
            let expected = i128::from(v * b.steps() + u);
            let mut generator = Scripted(size());
            assert_eq!(discrete_exponential(b, &mut generator), expected);
            assert_eq!(generator.0.next(), None);
            for (negative, expected) in [(0, expected), (1, -expected)] {
                assert_eq!(discrete_laplace(b, &mut Scripted(size().chain([negative]))), expected);
            }
        }
    }
}

#[test]
fn at_the_largest_scale_a_draw_of_many_sigmas_does_not_overflow() {
    let sigma = NoiseScale::from_steps(NoiseScale::STEPS_MAX, Lattice::DEFAULT).unwrap();
    let i = 300;
    let words = repeat_n(HIGH, i)
        .chain([LOW, HIGH])
        .chain(repeat_n(HIGH, i * (i - 1)))
        .chain([HIGH, 1])
        .chain(repeat_n(HIGH, i + 1));
    let largest = i128::from(sigma.steps()) * 301 - 1;
    assert_eq!(discrete_gaussian(sigma, &mut Scripted(words)), -largest);
}
