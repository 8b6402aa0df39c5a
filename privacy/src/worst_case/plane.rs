//! Two reals: the three-outcome mechanism, the worst over the whole plane, by branch and bound.
//!
//! At z = (u, v): i wins with p_i = ∫_0^∞ φ(x-u) Φ(x-v) dx, j likewise, another with Φ(-u) Φ(-v). The neighbour is at
//! (u - δ, v + δ). In a square of half diagonal r around z, the Rényi excess F = Σ q ψ(ln(p/q)) is at most
//! the smaller of F(z) + |∇F(z)| r + M r²/2 and the sum of each outcome's own maximum; M and the maxima are those of
//! [`super::outcome`]. Squares are cut in four, largest bound first, until the largest bound is within the tolerance of
//! the best value found.
//!
//! The plane beyond |u|, |v| <= R is three strips, in each of which one outcome has a probability of at most Φ(δ - R) in both worlds
//! and the other two are nearly a pair on a line. Where u < -R, p_j >= Φ(v) Φ(-u) and another has Φ(-v) Φ(-u): the pair
//! (Φ(v), Φ(-v)) with each log ratio off by less than 2Φ(-R). Likewise v < -R, where the neighbour's v + δ makes it 2Φ(δ - R). Where u > R or v > R, (i, j) is the pair on a line
//! with d = (u-v)/√2 and shift √2 δ, the two-class limit: p_i is between Φ(d) - Φ(δ - R) and Φ(d), p_j likewise, which moves a log ratio
//! by at most 2Φ(δ - R)/ε unless one of the two is below ε in one world; then it is below Φ(√2 δ - deep) in the other, with
//! ε = Φ(-deep), and two rare outcomes and a certain one add at most half of the best value found. The same bound serves squares inside in which another is
//! rare: i loses to it at most what it has, so each log ratio is off by at most the odds of another against i or j. Along this
//! ridge the value hardly changes, and squares could not be told apart by their own bounds.

use super::ceiling;
use super::line::{self, Cell};
use super::outcome::{Outcome, certain, norm, rare, rare_from, step_of};
use crate::data_dependent::psi;
use crate::numerics::{log_normal_cdf, log_normal_density, normal_cdf};
use libm::{exp, log};
use std::collections::{BinaryHeap, HashMap};
use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

/// The plane for one noise; laws at the centres of squares are kept for the next order.
#[derive(Debug)]
pub(super) struct Plane {
    shift: f64,
    tolerance: f64,
    laws: HashMap<Square, [Outcome; 3]>,
}

/// A square by its level (side 2^-level) and indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Square {
    level: u8,
    x: i64,
    y: i64,
}

/// Where another than i and j is rare: the most that two classes give when log ratios may be off by `slack`.
#[derive(Debug, Clone, Copy)]
struct Ridge {
    slack: f64,
    two_classes: f64,
}

impl Plane {
    pub(super) fn new(shift: f64, tolerance: f64) -> Self {
        Self { shift, tolerance, laws: HashMap::new() }
    }

    /// An upper bound on the largest Σ p^α q^(1-α) - 1 over the plane: within the tolerance of it, or at most `enough`.
    pub(super) fn supremum(&mut self, alpha: f64, enough: f64) -> f64 {
        let (step, shift, tolerance) = (step_of(self.shift), self.shift, self.tolerance);
        let mut best = self.excess(Square { level: 0, x: 0, y: 0 }, alpha);
        // What log ratios may be off by grows with what the divergence may be.
        let slack = SLACK * (ceiling(best, tolerance) / best - 1.0) * shift / (1.0 + alpha * shift);
        let (radius, rest) = far(alpha, shift, slack, best);
        let two_classes = line::supremum(SQRT_2 * shift, alpha, slack, tolerance);
        let strips = two_classes.max(line::supremum(shift, alpha, slack, tolerance)) + rest;
        let ridge = Ridge { slack, two_classes };
        let mut squares = BinaryHeap::new();
        for x in -radius..radius {
            for y in -radius..radius {
                let place = Square { level: 0, x, y };
                best = best.max(self.excess(place, alpha));
                squares.push(Cell { bound: self.bound(place, alpha, step, ridge), place });
            }
        }
        while let Some(Cell { bound, place }) = squares.pop() {
            if bound <= ceiling(best, tolerance).max(strips).max(enough) || place.level >= LEVEL_MAX {
                // The heap gives the largest bound first: nothing left is above this one.
                return bound.max(best).max(strips) * (1.0 + 1e-12);
            }
            for quarter in place.quarters() {
                best = best.max(self.excess(quarter, alpha));
                squares
                    .push(Cell { bound: self.bound(quarter, alpha, step, ridge).min(bound), place: quarter });
            }
        }
        best.max(strips)
    }

    fn excess(&mut self, square: Square, alpha: f64) -> f64 {
        self.law(square).iter().map(|outcome| outcome.excess(alpha)).sum()
    }

    fn bound(&mut self, square: Square, alpha: f64, step: f64, ridge: Ridge) -> f64 {
        let law @ [i, j, other] = self.law(square);
        let radius = square.half_diagonal();
        if other.odds_within(&i, radius).max(other.odds_within(&j, radius)) <= 0.5 * ridge.slack {
            return ridge.two_classes + other.most_within(alpha, step, radius);
        }
        let crude: f64 = law.iter().map(|outcome| outcome.most_within(alpha, step, radius)).sum();
        let value: f64 = law.iter().map(|outcome| outcome.excess(alpha)).sum();
        let gradient = law
            .iter()
            .map(|outcome| outcome.gradient(alpha))
            .fold([0.0; 2], |[x, y], [dx, dy]| [x + dx, y + dy]);
        let curvature: f64 = law.iter().map(|outcome| outcome.curvature_within(alpha, step, radius)).sum();
        crude.min(value + norm(gradient) * radius + 0.5 * curvature * radius * radius)
    }

    fn law(&mut self, square: Square) -> [Outcome; 3] {
        let shift = self.shift;
        *self.laws.entry(square).or_insert_with(|| {
            let (u, v) = square.centre();
            let (here, there) = (log_law(u, v), log_law(u - shift, v + shift));
            [0, 1, 2].map(|outcome| {
                let ((log_p, slope_p), (log_q, slope_q)) = (here[outcome], there[outcome]);
                let ratio = log_p - log_q;
                let error = LAW_ERROR * (1.0 + log_q.abs());
                let ratio = ratio + if ratio < 0.0 { -2.0 * error } else { 2.0 * error };
                Outcome { ratio, q: exp(log_q) * (1.0 + error), slope_p, slope_q }
            })
        })
    }
}

impl Square {
    fn side(self) -> f64 {
        exp(-f64::from(self.level) * std::f64::consts::LN_2)
    }

    fn centre(self) -> (f64, f64) {
        ((self.x as f64 + 0.5) * self.side(), (self.y as f64 + 0.5) * self.side())
    }

    fn half_diagonal(self) -> f64 {
        FRAC_1_SQRT_2 * self.side() * (1.0 + 1e-12)
    }

    fn quarters(self) -> [Self; 4] {
        let Self { level, x, y } = self;
        [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(dx, dy)| Self {
            level: level + 1,
            x: 2 * x + dx,
            y: 2 * y + dy,
        })
    }
}

/// A value of Σ p^α q^(1-α) - 1 in the plane that is nearly the largest: uphill from the best of a few points. No bound on anything.
pub(super) fn climb(shift: f64, alpha: f64) -> f64 {
    let value = |[u, v]: [f64; 2]| -> f64 {
        let (here, there) = (log_law(u, v), log_law(u - shift, v + shift));
        (0..3).map(|k| exp(there[k].0) * psi(alpha, here[k].0 - there[k].0)).sum()
    };
    let start = (-CLIMB_FROM..=CLIMB_FROM)
        .flat_map(|x| (-CLIMB_FROM..=CLIMB_FROM).map(move |y| [x, y].map(f64::from)));
    let mut best = start
        .map(|place| (value(place), place))
        .fold((0.0, [0.0; 2]), |best, at| if at.0 > best.0 { at } else { best });
    let mut stride = 0.5;
    while stride > 0.02 {
        let (_, [u, v]) = best;
        let around = [[u + stride, v], [u - stride, v], [u, v + stride], [u, v - stride]];
        match around.map(|place| (value(place), place)).into_iter().find(|at| at.0 > best.0) {
            Some(higher) => best = higher,
            None => stride *= 0.5,
        }
    }
    best.0
}

/// How far the plane is searched so that in the strips no log ratio is off by more than `slack`, and what the rare outcomes
/// add there.
fn far(alpha: f64, shift: f64, slack: f64, best: f64) -> (i64, f64) {
    let step = step_of(shift);
    let mut deep = rare_from(alpha, step) + step;
    let adds = |deep: f64| {
        let q = normal_cdf(step - deep);
        2.0 * rare(q, alpha, step, 0.0) + certain(2.0 * q, alpha, 0.0)
    };
    while adds(deep) > 0.5 * best {
        deep += 0.5;
    }
    let epsilon = normal_cdf(-deep);
    let mut radius = deep.ceil();
    let outside = |radius: f64| normal_cdf(shift - radius);
    let left = |radius: f64| rare(outside(radius), alpha, step, 0.0);
    while 2.0 * outside(radius) / epsilon > slack || left(radius) > 1e-9 * best {
        radius += 1.0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a few dozen")]
    let squares = radius as i64;
    (squares, left(radius))
}

/// ln of the three probabilities at (u, v) with their gradients.
fn log_law(u: f64, v: f64) -> [(f64, [f64; 2]); 3] {
    let log_i = log_wins(u, v);
    let log_j = log_wins(v, u);
    let log_other = log_normal_cdf(-u) + log_normal_cdf(-v);
    // The densities on the borders: i/j on the diagonal above 0, i/other at x = 0 below j, j/other likewise.
    let border = log_normal_density((u - v) * FRAC_1_SQRT_2) + log_normal_cdf((u + v) * FRAC_1_SQRT_2)
        - 0.5 * std::f64::consts::LN_2;
    let i_other = log_normal_density(u) + log_normal_cdf(-v);
    let j_other = log_normal_density(v) + log_normal_cdf(-u);
    let of_i = [exp(border - log_i) + exp(i_other - log_i), -exp(border - log_i)];
    let of_j = [-exp(border - log_j), exp(border - log_j) + exp(j_other - log_j)];
    let of_other =
        [-exp(log_normal_density(u) - log_normal_cdf(-u)), -exp(log_normal_density(v) - log_normal_cdf(-v))];
    [(log_i, of_i), (log_j, of_j), (log_other, of_other)]
}

/// ln ∫_0^∞ φ(x-u) Φ(x-v) dx.
///
/// The integrand is log-concave with a curvature of at least 1, so nothing counts beyond 9 from its mode on the half
/// line, nor beyond 40 e-foldings where it falls from the border. 16-point Gauss-Legendre on pieces of length 4 (or over four
/// e-foldings) leaves less than 10^-17: its error is (ℓ/4)^32 max|f^(32)|/32!, and the derivatives of a normal density grow
/// like sqrt(32!).
fn log_wins(u: f64, v: f64) -> f64 {
    let hazard = |x: f64| normal_density(x - v) / normal_cdf(x - v);
    // The mode solves x - u = φ(x-v)/Φ(x-v), between u and max(u, v) + 1; its place need not be exact.
    let (mut low, mut high) = (u.max(0.0), (u.max(v) + 1.0).max(0.0));
    while high - low > 0.25 {
        let middle = f64::midpoint(low, high);
        if middle - u < hazard(middle) { low = middle } else { high = middle }
    }
    let mode = low;
    let slope = (mode - u - hazard(mode)).max(0.0);
    let (width, reach) = (4.0 / (1.0 + slope), (40.0 / slope.max(1.0)).min(9.5));
    let at_mode = normal_cdf(mode - v);
    let relative = |x: f64| exp(0.5 * (mode - x) * (mode + x - 2.0 * u)) * normal_cdf(x - v) / at_mode;
    let mut sum = 0.0;
    let mut from = mode;
    while from < mode + reach {
        sum += piece(from, from + width, relative);
        from += width;
    }
    let mut to = mode;
    while to > (mode - 9.5).max(0.0) {
        let from = (to - 4.0).max(0.0);
        sum += piece(from, to, relative);
        to = from;
    }
    log_normal_density(mode - u) + log(at_mode) + log(sum)
}

fn normal_density(x: f64) -> f64 {
    exp(log_normal_density(x))
}

fn piece(from: f64, to: f64, f: impl Fn(f64) -> f64) -> f64 {
    let (middle, half) = (f64::midpoint(from, to), 0.5 * (to - from));
    let at = |(place, weight): &(f64, f64)| weight * (f(middle - half * place) + f(middle + half * place));
    half * crate::data_dependent::GAUSS_LEGENDRE.iter().map(at).sum::<f64>()
}

/// Relative error of the quadrature and of the normal tails, per nat of depth.
const LAW_ERROR: f64 = 4e-15;

/// By how much log ratios may be off where an outcome is neglected, as a part of the tolerance.
const SLACK: f64 = 0.1;

/// Climbing starts at the best whole point at most so far from 0 on either axis.
const CLIMB_FROM: i32 = 3;

/// Squares are not cut below 2^-40; the bound is then whatever it is.
const LEVEL_MAX: u8 = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use libm::sqrt;

    #[test]
    fn the_three_outcomes_are_all_there_are() {
        for (u, v) in [(0.0, 0.0), (1.0, -2.0), (-3.0, 0.5), (6.0, 5.0), (-7.0, -6.0), (12.0, -12.0)] {
            let sum: f64 = log_law(u, v).iter().map(|(log_p, _)| exp(*log_p)).sum();
            assert!((sum - 1.0).abs() < 1e-13, "({u}, {v}): {sum}");
        }
    }

    #[test]
    fn log_probabilities_are_as_accurate_as_stated_wherever_the_counts_are() {
        // mpmath, 30 digits, Gauss-Legendre on short pieces (tanh-sinh stops too early where probabilities are small).
        for (u, v, expected) in [
            (-10.3125, 8.1875, -91.617_360_953_632_8),
            (-3.0, 5.0, -18.741_805_918_406_18),
            (1.0, -2.0, -0.175_876_962_476_482_44),
            (-2.0, 3.0, -8.693_434_211_048_264),
            (3.0, 9.0, -11.413_510_222_541_06),
            (9.0, 3.0, -1.104_530_949_849_91e-5),
        ] {
            let (found, _) = log_law(u, v)[0];
            let allowed = LAW_ERROR * (1.0 + f64::abs(expected));
            assert!((found - expected).abs() <= allowed, "({u}, {v}): {found}, not {expected}");
        }
    }

    #[test]
    fn slopes_are_the_derivatives_and_never_steeper_than_the_transport_inequality_allows() {
        let h = 1e-5;
        for (u, v) in [(0.3, -0.2), (1.0, 2.0), (-3.0, 0.5), (4.0, 4.5)] {
            for outcome in 0..3 {
                let (log_p, [by_u, by_v]) = log_law(u, v)[outcome];
                let difference = |du: f64, dv: f64| {
                    (log_law(u + du, v + dv)[outcome].0 - log_law(u - du, v - dv)[outcome].0) / (2.0 * h)
                };
                assert!((by_u - difference(h, 0.0)).abs() < 1e-6, "({u}, {v}), outcome {outcome}, by u");
                assert!((by_v - difference(0.0, h)).abs() < 1e-6, "({u}, {v}), outcome {outcome}, by v");
                assert!(norm([by_u, by_v]) <= sqrt(-2.0 * log_p) + 1e-9);
            }
        }
    }

    #[test]
    fn the_bound_of_a_square_holds_for_the_points_in_it() {
        let mut plane = Plane::new(0.2, super::super::TOLERANCE);
        for alpha in [1.5, 8.0, 20.0] {
            for level in [0, 2, 4] {
                for (x, y) in [(0, 0), (1, -2), (-3, 2), (2, 2)] {
                    let square = Square { level, x, y };
                    let bound =
                        plane.bound(square, alpha, step_of(0.2), Ridge { slack: 0.0, two_classes: 0.0 });
                    let (u, v) = square.centre();
                    for (du, dv) in [(-0.49, -0.49), (0.49, 0.3), (0.0, 0.45), (-0.2, 0.49)] {
                        let (u, v) = (u + du * square.side(), v + dv * square.side());
                        let (here, there) = (log_law(u, v), log_law(u - 0.2, v + 0.2));
                        let inside: f64 =
                            (0..3).map(|k| exp(there[k].0) * psi(alpha, here[k].0 - there[k].0)).sum();
                        assert!(inside <= bound * (1.0 + 1e-9), "{alpha} {square:?}: {inside} above {bound}");
                    }
                }
            }
        }
    }
}
