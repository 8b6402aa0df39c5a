//! One real: an event of probability Φ(z) here and Φ(z - s) there, the worst over all z.
//!
//! This is the threshold test (s = 1/σ1), and each strip of the plane in which one of three outcomes has disappeared.
//! With z in \[a, b\], each factor is bounded at the end where it is largest: ln Φ is concave, so L = ln Φ(z) - ln Φ(z-s)
//! falls in z, and so does ln Φ(-z) - ln Φ(s-z). Cells are halved until the bound is within the tolerance of the best value
//! found.

use super::ceiling;
use super::outcome::{certain, rare, rare_from};
use crate::data_dependent::psi;
use crate::numerics::{log_normal_cdf, normal_cdf};
use std::collections::BinaryHeap;

/// A cell of the line or of the plane with the bound on what it holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell<T> {
    pub(super) bound: f64,
    pub(super) place: T,
}

impl<T> PartialEq for Cell<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl<T> Eq for Cell<T> {}
impl<T> PartialOrd for Cell<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Cell<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bound.total_cmp(&other.bound)
    }
}

/// An upper bound, within the tolerance, on sup over z of Σ p^α q^(1-α) - 1 for the pair (Φ(z), Φ(z-s)), when each
/// log ratio may be off by `slack`.
pub(super) fn supremum(shift: f64, alpha: f64, slack: f64, tolerance: f64) -> f64 {
    // z = s/2 is the symmetric point, a good value to start from.
    let mut best = value(0.5 * shift, 0.5 * shift, shift, alpha, slack);
    // Beyond the reach one outcome is so rare and the other so certain that both add no more than half of that.
    let reach = reach(shift, alpha, slack, best);
    let mut cells = BinaryHeap::new();
    let first = (reach / FIRST_CELL).ceil();
    let mut low = -first * FIRST_CELL;
    while low < reach + shift {
        let place = (low, low + FIRST_CELL);
        cells.push(Cell { bound: value(place.0, place.1, shift, alpha, slack), place });
        low += FIRST_CELL;
    }
    loop {
        let Some(Cell { bound, place: (low, high) }) = cells.pop() else { return ceiling(best, tolerance) };
        if bound <= ceiling(best, tolerance) {
            return ceiling(best, tolerance);
        }
        let middle = f64::midpoint(low, high);
        best = best.max(value(middle, middle, shift, alpha, 0.0));
        for place in [(low, middle), (middle, high)] {
            cells.push(Cell { bound: value(place.0, place.1, shift, alpha, slack), place });
        }
    }
}

/// An upper bound for z in `low..=high`; the value itself, up to the slack, if they are equal.
fn value(low: f64, high: f64, shift: f64, alpha: f64, slack: f64) -> f64 {
    // ln Φ is accurate to units in the last place of itself and of its argument times its slope.
    let depth = low.abs().max(high.abs()) + shift;
    let slack = slack + LOG_CDF_ERROR * (2.0 + depth * depth);
    let gains = log_normal_cdf(low) - log_normal_cdf(low - shift) + slack;
    let loses = log_normal_cdf(-high) - log_normal_cdf(shift - high) - slack;
    (normal_cdf(high - shift) * psi(alpha, gains) + normal_cdf(shift - low) * psi(alpha, loses))
        * (1.0 + 1e-13)
}

/// Beyond |z| = reach both outcomes together add at most half of `best`.
fn reach(shift: f64, alpha: f64, slack: f64, best: f64) -> f64 {
    let mut reach = rare_from(alpha, shift);
    let adds = |reach: f64| {
        let q = normal_cdf(-reach);
        rare(q, alpha, shift, slack) + certain(q, alpha, slack)
    };
    while adds(reach) > 0.5 * best {
        reach += 0.5;
    }
    reach + shift
}

/// Twice the error of ln Φ(z), per 2 + z².
const LOG_CDF_ERROR: f64 = 2e-15;

const FIRST_CELL: f64 = 0.25;
