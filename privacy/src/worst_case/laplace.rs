//! The three-outcome mechanism with Laplace noise, the worst over the whole plane, by branch and bound.
//!
//! Scores are in units of b, f(x) = e^-|x|/2, F its distribution function, and the neighbour of (u, v) is at (u - δ, v + δ). The reduction
//! of the Gaussian case holds for any continuous noise; only the bounds on a square differ, because f has a kink. What they rest on holds
//! for every log-concave f, but for the last point:
//!
//! - g = ln p_i is concave (Prékopa), and ∂g/∂v grows with u. With p_i = ∫_0^∞ f(x-u) F(x-v) dx it is the mean of -f/F at X - v,
//!   which grows with X because F is log-concave, for X of density f(x-u) F(x-v); a larger u multiplies that by f(x-u')/f(x-u), which grows
//!   with x. So ∂g/∂u falls in u and grows with v, and ∂g/∂v the other way round. For j likewise, and for another g = ln F(-u) + ln F(-v).
//! - **Log ratios are monotone.** L(u, v) = g(u, v) - g(u - δ, v + δ), so ∂L/∂u <= 0 <= ∂L/∂v, for all three outcomes. In a square
//!   of half side r each lies between its values at (u + r, v - r) and (u - r, v + r).
//! - **So are probabilities**: q_i is largest at (u + r, v - r), q_j at (u - r, v + r), that of another at (u - r, v - r). ψ is largest at an end of an interval, so the sum
//!   of each outcome's largest q ψ(L) is the first bound. It is off by a multiple of r.
//! - **The slope of the excess** is Σ α(e^((α-1)L) - 1) ∂p - (α-1)(e^(αL) - 1) ∂q, because Σ ∂p = Σ ∂q = 0. ∂p is made of the densities on
//!   the borders: i/j has ∫_0^∞ f(x-u) f(x-v) dx, i/another f(u) F(-v), j/another f(v) F(-u). Since f changes by a factor of at most
//!   e^|x| when moved by x, and F too, all of them, and each ∂p, which adds up one or two of the same sign, stay within e^(±2r) of
//!   the centre. With L between its corners this bounds both slopes, and the excess is at most that at the centre and r times each: the
//!   second bound, by the mean-value theorem. The slopes are continuous, so no kink matters, and it is off by a multiple of r².
//!
//! Beyond |u|, |v| <= R one outcome has q <= F(δ - R) and adds at most that times ψ(2δ), because a shift of f by x changes every probability by a
//! factor of at most e^|x| (where two are rare, each adds its own, and the third next to nothing), and what remains is a pair on a line, exactly as in the Gaussian case: (F(v), F(-v)) with shift δ where i (or j) is
//! rare, and, where another is rare, the difference of two Laplace variables with shift 2δ. Both have log-concave distribution functions, so
//! log ratios are monotone on a line and cells are bounded by their ends.

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

/// What one vote may do at a point.
#[derive(Debug, Clone, Copy)]
struct Pair {
    /// q, the law at the neighbour.
    there: [f64; 3],
    /// ln(p/q).
    ratios: [f64; 3],
}

/// An upper bound on the largest Σ p^α q^(1-α) - 1 over the plane, for one vote in units of b; the divergence is within `tolerance` of the
/// supremum, in relative terms, unless more than [`SQUARES_MAX`] squares compete.
pub(super) fn supremum(shift: f64, alpha: f64, tolerance: f64) -> f64 {
    let inside = squares(shift, alpha, tolerance);
    strips(shift, alpha, tolerance, inside) * (1.0 + ROUNDING)
}

/// The same for |u|, |v| <= R.
fn squares(shift: f64, alpha: f64, tolerance: f64) -> f64 {
    let ceiling = |best| super::ceiling(best, tolerance);
    let mut best = 0.0_f64;
    let mut squares = BinaryHeap::new();
    squares.push(Cell { bound: f64::INFINITY, place: Square { u: 0.0, v: 0.0, half: RADIUS } });
    let mut searched = 0;
    // The heap gives the largest bound first, and what is not put into it is below the ceiling.
    while let Some(Cell { bound, place }) = squares.pop() {
        searched += 1;
        if bound <= ceiling(best) {
            break;
        }
        if searched > SQUARES_MAX {
            return bound;
        }
        for quarter in place.quarters() {
            let (value, bound) = quarter.excess(shift, alpha, ceiling(best));
            best = best.max(value);
            if bound > ceiling(best) {
                squares.push(Cell { bound, place: quarter });
            }
        }
    }
    ceiling(best)
}

/// An upper bound beyond the radius, where one outcome is rare in both worlds; `enough`, if it is no more than that.
fn strips(shift: f64, alpha: f64, tolerance: f64, enough: f64) -> f64 {
    // Two outcomes of at most `rest` each, and a certain one, where a second is rare too.
    let rest = exp(2.0 * shift - RARE);
    let rare = 2.0 * rest * psi(alpha, 2.0 * shift + ERROR) + psi(alpha, -log1p(-2.0 * rest));
    let test = line(shift, alpha, tolerance, laplace_cdf, enough - rare);
    line(2.0 * shift, alpha, tolerance, difference_cdf, test) + rare
}

impl Square {
    /// The largest of some values in it, and an upper bound for all of it: the first one if that is `enough`.
    fn excess(&self, shift: f64, alpha: f64, enough: f64) -> (f64, f64) {
        let Self { u, v, half } = *self;
        let corners = self.corners(shift);
        let [lowest, highest] = &corners;
        let another = laplace_cdf(shift + half - u) * laplace_cdf(half - shift - v);
        let largest = [lowest.there[0], highest.there[1], another];
        let value = lowest.excess(alpha).max(highest.excess(alpha));
        let most = |[low, high]: [f64; 2]| psi(alpha, low).max(psi(alpha, high));
        let bound: f64 = (0..3).map(|k| largest[k] * most(ends(&corners, k))).sum::<f64>() * (1.0 + ROUNDING);
        if bound <= enough || half > SMALL {
            return (value, bound);
        }
        let centre = Pair::at(u, v, shift).excess(alpha);
        let [by_u, by_v] = self.steepest(shift, alpha, &corners);
        (value.max(centre), bound.min((centre + half * (by_u + by_v)) * (1.0 + ROUNDING)))
    }

    /// Where all log ratios are smallest, and where they are largest.
    fn corners(&self, shift: f64) -> [Pair; 2] {
        let Self { u, v, half } = *self;
        [Pair::at(u + half, v - half, shift), Pair::at(u - half, v + half, shift)]
    }

    /// Upper bounds on the slopes of the excess in the square, by u and by v, up or down.
    fn steepest(&self, shift: f64, alpha: f64, corners: &[Pair; 2]) -> [f64; 2] {
        let grows = exp(2.0 * self.half) * (1.0 + ROUNDING);
        // The largest of a term that is within a factor of `grows` of this, either way.
        let up = |term: f64| if term > 0.0 { term * grows } else { term / grows };
        let (here, there) = (slopes(self.u, self.v), slopes(self.u - shift, self.v + shift));
        [0, 1].map(|axis| {
            let (mut rises, mut falls) = (0.0, 0.0);
            for k in 0..3 {
                for (slope, power) in
                    [(alpha * here[axis][k], alpha - 1.0), ((1.0 - alpha) * there[axis][k], alpha)]
                {
                    let [one, other] = ends(corners, k).map(|ratio| slope * expm1(power * ratio));
                    rises += up(one.max(other));
                    falls += up(-one.min(other));
                }
            }
            f64::max(rises, falls)
        })
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

/// Between which the log ratio of outcome k lies in a square with these corners.
fn ends([lowest, highest]: &[Pair; 2], k: usize) -> [f64; 2] {
    [lowest.ratios[k] - ERROR, highest.ratios[k] + ERROR]
}

impl Pair {
    fn at(u: f64, v: f64, shift: f64) -> Self {
        let (here, there) = (law(u, v), law(u - shift, v + shift));
        Self { there, ratios: [0, 1, 2].map(|k| log(here[k] / there[k])) }
    }

    /// Σ q ψ(L), each log ratio moved away from zero by its error.
    fn excess(&self, alpha: f64) -> f64 {
        let ratios = self.ratios.map(|ratio| ratio + ERROR.copysign(ratio));
        self.there.into_iter().zip(ratios).map(|(q, ratio)| q * psi(alpha, ratio)).sum()
    }
}

/// ∂p/∂u and ∂p/∂v of the three outcomes.
fn slopes(u: f64, v: f64) -> [[f64; 3]; 2] {
    let both = border(u, v);
    let (i_another, j_another) = (density(u) * laplace_cdf(-v), density(v) * laplace_cdf(-u));
    [[both + i_another, -both, -i_another], [-both, both + j_another, -j_another]]
}

/// ∫_0^∞ f(x-u) f(x-v) dx, piece by piece.
fn border(u: f64, v: f64) -> f64 {
    let (low, high) = (u.min(v).max(0.0), u.max(v).max(0.0));
    let left = -0.125 * exp(2.0 * low - u - v) * expm1(-2.0 * low);
    let between = 0.25 * exp(-(u - v).abs()) * (high - low);
    let right = 0.125 * exp(u + v - 2.0 * high);
    left + between + right
}

fn density(x: f64) -> f64 {
    0.5 * exp(-x.abs())
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
/// off by at most [`SLACK`]; `enough`, if it is no more than that.
fn line(shift: f64, alpha: f64, tolerance: f64, cdf: fn(f64) -> f64, enough: f64) -> f64 {
    let ceiling = |best| super::ceiling(best, tolerance).max(enough);
    let value = |low: f64, high: f64| {
        let gains = log(cdf(low) / cdf(low - shift)) + SLACK + ERROR;
        let loses = log(cdf(-high) / cdf(shift - high)) - SLACK - ERROR;
        (cdf(high - shift) * psi(alpha, gains) + cdf(shift - low) * psi(alpha, loses)) * (1.0 + ROUNDING)
    };
    let mut best = value(0.5 * shift, 0.5 * shift);
    let mut cells = BinaryHeap::new();
    cells.push(Cell { bound: f64::INFINITY, place: (-RADIUS, RADIUS) });
    while let Some(Cell { bound, place: (low, high) }) = cells.pop() {
        if bound <= ceiling(best) {
            break;
        }
        let middle = f64::midpoint(low, high);
        best = best.max(value(middle, middle));
        for place in [(low, middle), (middle, high)] {
            cells.push(Cell { bound: value(place.0, place.1), place });
        }
    }
    // Beyond the radius one outcome is rare and the other certain.
    let rest = exp(6.0 - RADIUS);
    ceiling(best).max(rest * psi(alpha, shift + SLACK) + psi(alpha, SLACK - log1p(-rest)))
}

/// R, in units of b.
const RADIUS: f64 = 44.0;
/// An outcome below e^-RARE in one world is below e^(2δ-RARE) in the other.
const RARE: f64 = 20.0;
/// By how much log ratios are off where an outcome of at most F(δ-R) is left out and all others are at least e^-RARE: 2 F(1-R) e^RARE
/// is 1.03·10^-10.
const SLACK: f64 = 1.6e-10;
/// Slopes are of use in squares of at most half this side: e^(4r) in them is at most 1.65.
const SMALL: f64 = 0.125;
/// Twice the error of a log ratio: a dozen operations on each side, and exponents and coordinates of up to 2R.
const ERROR: f64 = 1e-13;
/// A few operations on positive terms, or on each term of a sum, with exponents of up to 2R.
const ROUNDING: f64 = 1e-12;
/// More squares than this are not searched, and the bound is then whatever it is; a few thousand are seen.
const SQUARES_MAX: usize = 200_000;

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
    fn slopes_are_the_derivatives() {
        let h = 1e-6;
        for [x, y] in points(200) {
            let (u, v) = (6.0 * x, 6.0 * y);
            let [by_u, by_v] = slopes(u, v);
            for k in 0..3 {
                let difference = |du, dv| (law(u + du, v + dv)[k] - law(u - du, v - dv)[k]) / (2.0 * h);
                assert!((by_u[k] - difference(h, 0.0)).abs() < 1e-7, "({u}, {v}), outcome {k}, by u");
                assert!((by_v[k] - difference(0.0, h)).abs() < 1e-7, "({u}, {v}), outcome {k}, by v");
            }
        }
    }

    #[test]
    fn log_ratios_and_probabilities_are_monotone_and_within_their_error() {
        for shift in [1e-3, 0.05, 0.3, 1.0] {
            for (index, [x, y]) in points(3000).enumerate() {
                // Around the kinks, among the counts that matter and anywhere at all.
                let reach = [2.0 * shift, 4.0, RADIUS][index % 3];
                let (u, v, step) = (reach * x, reach * y, 0.1 * reach);
                let at = Pair::at(u, v, shift);
                let (right, above) = (Pair::at(u + step, v, shift), Pair::at(u, v + step, shift));
                let place = format!("({u}, {v}), shift {shift}");
                for k in 0..3 {
                    assert!(right.ratios[k] <= at.ratios[k] + ERROR, "{place}, outcome {k}");
                    assert!(above.ratios[k] >= at.ratios[k] - ERROR, "{place}, outcome {k}");
                    assert!(at.ratios[k].abs() <= 2.0 * shift + 0.5 * ERROR, "{place}, outcome {k}");
                }
                let falls = |low: f64, high: f64| low <= high * (1.0 + ROUNDING);
                let ([i, j, other], [i_right, j_right, other_right], [i_above, j_above, other_above]) =
                    (at.there, right.there, above.there);
                assert!(falls(i, i_right) && falls(j_right, j) && falls(other_right, other), "{place}");
                assert!(falls(i_above, i) && falls(j, j_above) && falls(other_above, other), "{place}");
            }
        }
    }

    #[test]
    fn both_bounds_of_a_square_hold_for_the_points_in_it() {
        let mut crossed = 0;
        for (shift, alpha) in [
            (1.0, 1.0 + 1e-9),
            (1.0, 6.5),
            (0.2, 1.5),
            (0.2, 16.0),
            (0.025, 32.0),
            (1e-3, 2.0),
            (1e-3, 6500.0),
        ] {
            for (index, [x, y]) in points(300).enumerate() {
                let reach = [2.0 * shift, 2.0, 10.0][index % 3];
                let half = [4.0, 1.0, SMALL, 0.3 * SMALL, 0.3 * shift, 0.02 * shift][index / 3 % 6];
                let square = Square { u: reach * x, v: reach * y, half };
                let kinks = [square.u, square.v, square.u - square.v, square.u - shift, square.v + shift];
                crossed += usize::from(kinks.iter().any(|kink| kink.abs() < half));
                let (_, by_corners) = square.excess(shift, alpha, f64::INFINITY);
                let (_, by_slopes) = square.excess(shift, alpha, 0.0);
                let corners = [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0], [0.0, 0.0]];
                let mut most = 0.0_f64;
                for [du, dv] in points(12).chain(corners) {
                    let point = Pair::at(square.u + du * half, square.v + dv * half, shift);
                    let value: f64 = (0..3).map(|k| point.there[k] * psi(alpha, point.ratios[k])).sum();
                    assert!(
                        value <= by_corners,
                        "{shift} {alpha} {square:?}: {value:e} above {by_corners:e}"
                    );
                    assert!(value <= by_slopes, "{shift} {alpha} {square:?}: {value:e} above {by_slopes:e}");
                    most = most.max(value);
                }
                // They are no looser than their order in the side says, either.
                if half < 0.025 * shift {
                    assert!(
                        by_corners <= most * 1.5 && by_slopes <= most * 1.1,
                        "{shift} {alpha} {square:?}"
                    );
                }
            }
        }
        assert!(crossed > 500, "{crossed}");
    }

    #[test]
    fn slopes_of_the_excess_are_within_their_bounds() {
        for (shift, alpha) in [(1.0, 1.25), (0.2, 16.0), (0.01, 300.0)] {
            for (index, [x, y]) in points(300).enumerate() {
                let reach = [2.0 * shift, 3.0][index % 2];
                let half = [SMALL, 0.1 * shift][index / 2 % 2];
                let square = Square { u: reach * x, v: reach * y, half };
                let [by_u, by_v] = square.steepest(shift, alpha, &square.corners(shift));
                let h = 1e-4 * half;
                for [du, dv] in points(8) {
                    let (u, v) = (square.u + du * half, square.v + dv * half);
                    let value = |u, v| Pair::at(u, v, shift).excess(alpha);
                    let difference = [value(u + h, v) - value(u - h, v), value(u, v + h) - value(u, v - h)]
                        .map(|d| d / (2.0 * h));
                    // What the difference of two values loses.
                    let lost = 1e-14 * value(u, v) / h * (1.0 + alpha / shift);
                    assert!(
                        difference[0].abs() <= by_u * (1.0 + 1e-3) + lost,
                        "{shift} {alpha} {square:?}, by u"
                    );
                    assert!(
                        difference[1].abs() <= by_v * (1.0 + 1e-3) + lost,
                        "{shift} {alpha} {square:?}, by v"
                    );
                }
            }
        }
    }

    #[test]
    fn beyond_the_radius_nothing_is_above_the_strips() {
        for (shift, alpha) in [(1.0, 1.25), (1.0, 6.5), (0.2, 16.0), (1e-3, 2.0), (1e-3, 6500.0)] {
            let bound = strips(shift, alpha, 1e-5, 0.0);
            let mut most = 0.0_f64;
            for [x, y] in points(2000) {
                let far = RADIUS + 10.0 * (1.0 + y);
                for near in [4.0 * x, shift * (1.0 + x), RADIUS * x] {
                    for (u, v) in [(-far, near), (near, -far), (far, near), (near, far), (far, far - near)] {
                        let value = Pair::at(u, v, shift).excess(alpha);
                        assert!(value <= bound, "{shift} {alpha} ({u}, {v}): {value:e} above {bound:e}");
                        most = most.max(value);
                    }
                }
            }
            assert!(bound <= most * (1.0 + 1e-3), "{shift} {alpha}: {bound:e} far above {most:e}");
            assert!(strips(shift, alpha, 1e-5, 2.0 * bound) <= 2.0 * bound * (1.0 + ROUNDING));
        }
    }

    /// Points of the square of half side 1, evenly spread.
    fn points(count: u32) -> impl Iterator<Item = [f64; 2]> {
        (0..count).map(|k| {
            [0.754_877_666_246_693, 0.569_840_290_998_053_3]
                .map(|step| 2.0 * (f64::from(k) * step).fract() - 1.0)
        })
    }
}
