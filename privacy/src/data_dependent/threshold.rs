//! The exact cost of the threshold test at given votes: a Bernoulli pair.
//!
//! A neighbour's largest count is larger by one, smaller by one, or the same. With p = Pr\[pass\] here and p' there,
//! (α-1)·D = ln(p^α p'^(1-α) + (1-p)^α (1-p')^(1-α)): Zhu, Yu, Chandraker and Wang, *Private-kNN* (CVPR 2020), Theorem
//! 7, in both directions.

use super::divergence::Pair;
use super::published::threshold_log_probabilities;
use crate::quantity::Scale;

/// The two outcomes, pass first, with their probabilities here and where the largest count is `change` larger.
pub(super) fn outcomes(largest: f64, change: f64, threshold: f64, sigma1: Scale) -> [Pair; 2] {
    let here = threshold_log_probabilities(largest, threshold, sigma1);
    let there = threshold_log_probabilities(largest + change, threshold, sigma1);
    // ln Φ is accurate to a few units in the last place of itself and of its argument times its slope, |z| + 1.
    let z = (largest - threshold).abs() / sigma1.get() + 1.0 / sigma1.get() + 2.0;
    let widened = 16.0 * f64::EPSILON * z * z;
    [Pair::new(1.0, here.0, there.0, widened), Pair::new(1.0, here.1, there.1, widened)]
}
