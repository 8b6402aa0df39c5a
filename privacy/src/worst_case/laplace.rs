//! The three-outcome mechanism with Laplace noise, the worst over the whole plane, by branch and bound.
//!
//! Scores are in units of b, f(x) = e^-|x|/2, F its distribution function, and the neighbour of (u, v) is at (u - δ, v + δ). The reduction
//! of the Gaussian case holds for any continuous noise; only the bounds on a square differ, because f has a kink.
//!
//! - A shift of f by x changes it by a factor of at most e^|x|: ln q is 1-Lipschitz in u and in v, so |L| <= 2δ everywhere.
//! - The second derivatives of g = ln q are bounded, though not continuous. For p_i = ∫_0^∞ f(x-u) F(x-v) dx: ∂²p/∂u² is p less
//!   F(u-v) where u > 0, and there p >= ∫_u^∞ f(x-u) F(u-v) dx = F(u-v)/2; |∂²p/∂v²| <= p and |∂²p/∂u∂v| <= p, because |f'| = f <= F. With
//!   |∂p| <= p, ∂²g is at least -2 in u and in v; it is at most 0 (g is concave, Prékopa), and the mixed one at most 2 by that.
//!   "Another" has g = ln F(-u) + ln F(-v), with ∂² between -2 and 0. So ∂L/∂u and ∂L/∂v are at most 4δ.
//! - In a square of half side r, then, q is at most q e^(2r) of its centre, and L within 8δr of it.
//!
//! The supremum is at a kink or on a smooth line through one, so these first-order bounds do: few squares compete.
//!
//! Beyond |u|, |v| <= R an outcome with q <= e^-R adds at most e^-R ψ(2δ), and what remains is a pair on a line, exactly as in the Gaussian
//! case: (F(v), F(-v)) with shift δ where i (or j) is rare, and, where another is rare, the difference of two Laplace variables
//! with shift 2δ. Both have log-concave distribution functions, so log ratios are monotone on a line and cells are bounded by their ends.

use super::line::Cell;
use crate::data_dependent::psi;
use libm::{exp, expm1, log, log1p};
use std::collections::BinaryHeap;

/// A square by its centre and half its side, in units of b.
#[derive(Debug, Clone, Copy)]
struct Square {
    u: f64,
    v: f64,
    half: f64,
}

/// Where one of three outcomes is rare: the most that the other two give when log ratios may be off by `slack`.
#[derive(Debug, Clone, Copy)]
struct Ridge {
    slack: f64,
    /// If i or j is rare, and if another is.
    pairs: [f64; 2],
    /// ψ(2δ).
    most: f64,
}

/// An upper bound on the largest Σ p^α q^(1-α) - 1 over the plane, for one vote in units of b; the divergence is within `tolerance` of the
/// supremum, in relative terms, unless more than [`SQUARES_MAX`] squares compete.
pub(super) fn supremum(shift: f64, alpha: f64, tolerance: f64) -> f64 {
    let ceiling = |excess| super::ceiling(excess, tolerance);
    let pair = |slack| {
        let test = line(shift, alpha, tolerance, laplace_cdf, slack);
        [test, line(2.0 * shift, alpha, tolerance, difference_cdf, slack)]
    };
    // Where a third outcome is rare, and what it adds.
    let most = psi(alpha, 2.0 * shift + ERROR);
    // Two outcomes of at most `rest` each, and a certain one, where a second is rare too.
    let rest = exp(2.0 * shift - RARE);
    let rare = 2.0 * rest * most + psi(alpha, -log1p(-2.0 * rest));
    let [test, two_classes] = pair(SLACK);
    let strips = test.max(two_classes) + rare;
    let ridge = Ridge { slack: LOOSE * shift, pairs: pair(LOOSE * shift), most };
    let mut best = 0.0_f64;
    let mut squares = BinaryHeap::new();
    let push = |squares: &mut BinaryHeap<Cell<Square>>, best: &mut f64, place: Square| {
        let (value, bound) = place.excess(shift, alpha, &ridge);
        *best = best.max(value);
        if bound > ceiling(*best).max(strips) {
            squares.push(Cell { bound, place });
        }
    };
    let cells = 2 * RADIUS;
    for x in 0..cells {
        for y in 0..cells {
            let place = |index: i32| f64::from(index - RADIUS) + 0.5;
            push(&mut squares, &mut best, Square { u: place(x), v: place(y), half: 0.5 });
        }
    }
    let mut searched = 0;
    while let Some(Cell { bound, place }) = squares.pop() {
        searched += 1;
        if bound <= ceiling(best).max(strips) || searched > SQUARES_MAX {
            // The heap gives the largest bound first, and what was not put into it is below the ceiling.
            return bound.max(ceiling(best)).max(strips) * (1.0 + ROUNDING);
        }
        for quarter in place.quarters() {
            push(&mut squares, &mut best, quarter);
        }
    }
    ceiling(best).max(strips) * (1.0 + ROUNDING)
}

impl Square {
    /// The excess at the centre, and an upper bound for the whole square.
    fn excess(&self, shift: f64, alpha: f64, ridge: &Ridge) -> (f64, f64) {
        let (here, there) = (law(self.u, self.v), law(self.u - shift, self.v + shift));
        let moved = 8.0 * shift * self.half + ERROR;
        let grows = exp(2.0 * self.half) * (1.0 + ROUNDING);
        let (mut value, mut bound) = (0.0, 0.0);
        for (p, q) in here.into_iter().zip(there) {
            let ratio = log(p / q);
            value += q * psi(alpha, ratio);
            // ψ is convex: largest at an end; and ψ(-L) <= ψ(L) for L > 0.
            let highest = psi(alpha, (ratio + moved).min(2.0 * shift + ERROR));
            bound += q * if ratio >= 0.0 {
                highest
            } else {
                highest.max(psi(alpha, (ratio - moved).max(-2.0 * shift - ERROR)))
            };
        }
        bound *= grows;
        // i or j is rare: the others have F(v) F(-u) at least and F(v) at most, and so on.
        let loses =
            |end: f64| if end < 0.0 { -log1p(-0.5 * exp(end)) * (1.0 + ROUNDING) } else { f64::INFINITY };
        for (rare, end) in [(0, self.u), (1, self.v + shift)] {
            if loses(end + self.half) <= 0.5 * ridge.slack {
                bound = bound.min(ridge.pairs[0] + there[rare] * grows * ridge.most);
            }
        }
        // Another is rare: it takes from i and from j no more than it has. Odds grow by at most e^(4r).
        let odds = [0, 1].map(|k| (here[2] / here[k]).max(there[2] / there[k]));
        if odds[0].max(odds[1]) * grows * grows <= 0.5 * ridge.slack {
            bound = bound.min(ridge.pairs[1] + there[2] * grows * ridge.most);
        }
        (value, bound)
    }

    fn quarters(self) -> [Self; 4] {
        let half = 0.5 * self.half;
        [(-half, -half), (-half, half), (half, -half), (half, half)].map(|(du, dv)| Self {
            u: self.u + du,
            v: self.v + dv,
            half,
        })
    }
}

/// The probabilities that i, j and another win.
fn law(u: f64, v: f64) -> [f64; 3] {
    [wins(u, v), wins(v, u), laplace_cdf(-u) * laplace_cdf(-v)]
}

/// ∫_0^∞ f(x-u) F(x-v) dx, piece by piece; no difference loses more than one bit.
fn wins(u: f64, v: f64) -> f64 {
    let (low, high) = (u.min(v).max(0.0), u.max(v).max(0.0));
    // Left of both: e^(2x-u-v)/4.
    let left = -0.125 * exp(2.0 * low - u - v) * expm1(-2.0 * low);
    let between = if u < v {
        0.25 * exp(u - v) * (high - low)
    } else {
        // f rises towards u, F is at least a half.
        -0.5 * exp(high - u) * expm1(low - high) - 0.25 * exp(v - u) * (high - low)
    };
    // Right of both: e^(u-x)/2 (1 - e^(v-x)/2).
    let right = 0.5 * exp(u - high) * (1.0 - 0.25 * exp(v - high));
    left + between + right
}

fn laplace_cdf(x: f64) -> f64 {
    if x < 0.0 { 0.5 * exp(x) } else { 1.0 - 0.5 * exp(-x) }
}

/// Pr\[Z - Z' <= x\] for two Laplace variables.
fn difference_cdf(x: f64) -> f64 {
    let tail = |x: f64| 0.5 * exp(-x) * (1.0 + 0.5 * x);
    if x < 0.0 { tail(-x) } else { 1.0 - tail(x) }
}

/// An upper bound on sup over z of Σ p^α q^(1-α) - 1 for the pair (H(z), H(z-s)) of a symmetric law with log-concave H, each log ratio
/// off by at most `slack`.
fn line(shift: f64, alpha: f64, tolerance: f64, cdf: fn(f64) -> f64, slack: f64) -> f64 {
    let value = |low: f64, high: f64| {
        let gains = log(cdf(low) / cdf(low - shift)) + slack + ERROR;
        let loses = log(cdf(-high) / cdf(shift - high)) - slack - ERROR;
        (cdf(high - shift) * psi(alpha, gains) + cdf(shift - low) * psi(alpha, loses)) * (1.0 + ROUNDING)
    };
    let mut best = value(0.5 * shift, 0.5 * shift);
    let mut cells = BinaryHeap::new();
    for low in -RADIUS - 1..=RADIUS {
        let place = (f64::from(low), f64::from(low) + 1.0);
        cells.push(Cell { bound: value(place.0, place.1), place });
    }
    while let Some(Cell { bound, place: (low, high) }) = cells.pop() {
        if bound <= super::ceiling(best, tolerance) {
            break;
        }
        let middle = f64::midpoint(low, high);
        best = best.max(value(middle, middle));
        for place in [(low, middle), (middle, high)] {
            cells.push(Cell { bound: value(place.0, place.1), place });
        }
    }
    // Beyond the radius one outcome is rare and the other certain.
    let rest = exp(6.0 - f64::from(RADIUS));
    super::ceiling(best, tolerance).max(rest * psi(alpha, shift + slack) + psi(alpha, slack - log1p(-rest)))
}

/// R, in units of b.
const RADIUS: i32 = 44;
/// An outcome below e^-RARE in one world is below e^(2δ-RARE) in the other.
const RARE: f64 = 20.0;
/// By how much log ratios are off where an outcome below e^(δ-R) is left out and all others are at least e^-RARE: twice their ratio.
const SLACK: f64 = 1.6e-10;
/// The slack, in units of δ, with which a rare outcome is left out inside: a bound that is only used where it suffices.
const LOOSE: f64 = 0.05;
/// Twice the error of a log ratio: a dozen operations on each side.
const ERROR: f64 = 1e-14;
/// A few operations on positive terms.
const ROUNDING: f64 = 1e-12;
/// More squares than this are not searched; the bound is then whatever it is.
const SQUARES_MAX: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_outcomes_are_all_there_are_and_agree_with_quadrature() {
        for (u, v) in
            [(0.0, 0.0), (1.0, -2.0), (-3.0, 0.5), (6.0, 5.0), (2.0, 7.5), (-7.0, -6.0), (12.0, -12.0)]
        {
            assert!((law(u, v).iter().sum::<f64>() - 1.0).abs() < 1e-14, "({u}, {v})");
            let steps = 400_000;
            let width = 60.0 / f64::from(steps);
            let at = |x: f64| 0.5 * exp(-(x - u).abs()) * laplace_cdf(x - v);
            let sum: f64 = (0..steps).map(|k| at((f64::from(k) + 0.5) * width) * width).sum();
            assert!((wins(u, v) / sum - 1.0).abs() < 1e-7, "({u}, {v}): {} not {sum}", wins(u, v));
        }
    }

    #[test]
    fn the_bound_of_a_square_holds_for_the_points_in_it() {
        for (shift, alpha) in [(0.2, 1.5), (0.2, 16.0), (0.025, 32.0), (1.0, 4.0)] {
            for half in [0.5, 0.125, 0.01] {
                for (u, v) in [
                    (0.0, 0.0),
                    (0.5, -0.5),
                    (-1.5, 2.5),
                    (0.1, 0.2),
                    (3.5, 3.5),
                    (-2.5, -2.5),
                    (9.0, 8.0),
                    (-9.0, 0.5),
                    (1.0, -9.0),
                ] {
                    let square = Square { u, v, half };
                    let pair = |cdf, moves: f64| line(moves * shift, alpha, 1e-6, cdf, LOOSE * shift);
                    let pairs = [pair(laplace_cdf, 1.0), pair(difference_cdf, 2.0)];
                    let ridge = Ridge { slack: LOOSE * shift, pairs, most: psi(alpha, 2.0 * shift) };
                    let (_, bound) = square.excess(shift, alpha, &ridge);
                    for (du, dv) in
                        [(-1.0, -1.0), (1.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (0.3, -0.7), (0.0, 0.9)]
                    {
                        let point = Square { u: u + du * half, v: v + dv * half, half: 0.0 };
                        let (value, _) = point.excess(shift, alpha, &ridge);
                        assert!(value <= bound, "{shift} {alpha} {square:?}: {value:e} above {bound:e}");
                    }
                }
            }
        }
    }
}
