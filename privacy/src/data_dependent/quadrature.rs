//! Where the argmax integral is evaluated, and why that is accurate: the proof of the error bound.
//!
//! With scores in units of the noise scale, Pr\[class k wins\] = ∫ f_k(t) dt, f_k(t) = φ(t-n_k) Π_{l≠k} Φ(t-n_l).
//!
//! **Gaussian noise**: the trapezoidal rule with step h. |φ(x+iy)| = φ(x) e^(y²/2), and |Φ(x+iy)| <= Φ(x) e^(y²/2)
//! since Φ(x+iy) = ∫_0^∞ φ(x+iy-u) du. So |f_k(x+iy)| <= f_k(x) e^(Ky²/2) for K classes, and the error of the infinite
//! rule (Trefethen and Weideman 2014, Theorem 5.1) is at most 2 e^(Ky²/2 - 2πy/h) Pr\[k\]/(1 - e^(-2πy/h)) for every
//! y > 0: with y = 2π/(hK) a *relative* error of 2 e^(-2π²/(h²K)), which [`gaussian_step`] makes 10^-17.
//! Truncation: ln f_k has a second derivative between -K and -1 (f_k is a product of log-concave functions), so f_k
//! falls from its mode at least like e^(-t²/2) and no faster than e^(-Kt²/2): what lies more than 9 from the mode is below
//! 2·sqrt(K)·Q(9)·2 <= 5·10^-19·sqrt(K) of the whole. The mode lies between (n_k + max n)/2, because φ(x)/Φ(x) > -x, and
//! max n + sqrt(2 ln K) + 1.
//!
//! **Laplace noise**: between the places where a count (or its neighbour) lies, f_k is c e^(λt) Π (1 - w_l e^(-t)/2) with
//! w_l <= 1: a sum of exponentials with |exponents| <= K. On an interval of length ℓ, n-point Gauss-Legendre has the
//! error ℓ^(2n+1) (n!)^4/((2n+1) (2n)!^3)·max|f^(2n)|, and |λ|^(2n) <= (2n)! r^(-2n) e^(r|λ|) for every r > 0. So with x from the left
//! end, where a class whose count is above the piece is w e^x and one whose count is below it is 1 - w e^(-x), w <= 1/2 in the latter,
//! the sum Σ|c_S||λ_S|^(2n) e^(λ_S x) is at most (2n)! r^(-2n) e^r Π w e^(r+ℓ) Π (1 + w e^r), where f itself is at least e^(-ℓ) Π w Π (1 - w):
//! each class adds r + ℓ or ln((1 + w e^r)/(1 - w)) to the logarithm of the relative error. A count may be one vote higher or lower in the
//! neighbour, on the other side of the piece even, and which of the two is larger depends on ℓ: the largest over the three places counts.
//! [`laplace_pieces`] halves ℓ until that is below 10^-17.

use crate::numerics::{NORMAL_REACH, extreme_mode};
use libm::{exp, log, sqrt};
use std::f64::consts::PI;

/// Places and weights.
#[derive(Clone, Default)]
pub(super) struct Nodes {
    pub(super) places: Vec<f64>,
    pub(super) weights: Vec<f64>,
}

/// The step of the trapezoidal rule for K classes, in units of σ: 2π²/(h²K) = 40.
pub(super) fn gaussian_step(classes: f64) -> f64 {
    PI * sqrt(2.0 / (40.0 * classes))
}

/// From where to where the rule must go, relative to the largest count, when the smallest is `range` below it and
/// counts may move by `shift`; all in units of σ.
pub(super) fn gaussian_reach(classes: f64, range: f64, shift: f64) -> (f64, f64) {
    (-0.5 * range - NORMAL_REACH - shift, extreme_mode(classes) + NORMAL_REACH + shift)
}

/// Equidistant nodes from `low` to at least `high`.
pub(super) fn trapezoid((low, high): (f64, f64), step: f64) -> Nodes {
    let last = ((high - low) / step).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and below 2^32 for 10^6 classes"
    )]
    let places: Vec<f64> = (0..=last as u32).map(|index| low + f64::from(index) * step).collect();
    Nodes { weights: vec![step; places.len()], places }
}

/// Nodes for Laplace noise: `values` are the distinct counts with their multiplicities, in units of the scale and in
/// descending order; neighbours have counts `shift` away.
pub(super) fn laplace_pieces(values: &[(f64, f64)], shift: f64) -> Nodes {
    let mut nodes = Nodes::default();
    for ends in kinks(values, shift).windows(2) {
        let mut from = ends[0];
        while from < ends[1] {
            let mut length = (ends[1] - from).min(LONGEST);
            while log_relative_error(values, shift, from, length) > LOG_ACCURACY {
                length *= 0.5;
            }
            let to = if ends[1] - from <= length * (1.0 + 1e-9) { ends[1] } else { from + length };
            nodes.add_gauss_legendre(from, to);
            from = to;
        }
    }
    nodes
}

/// Nodes for one probability under Laplace noise, for any number of classes: the integrand is smooth on the scale of one between the
/// counts. It is accurate to some 10^-12, which is not proven, unlike [`laplace_pieces`]: for expectations, not for bounds.
pub(super) fn even_pieces(values: &[(f64, f64)]) -> Nodes {
    let mut nodes = Nodes::default();
    for ends in kinks(values, 0.0).windows(2) {
        let pieces = ((ends[1] - ends[0]) / EVEN_LENGTH).ceil().max(1.0);
        let length = (ends[1] - ends[0]) / pieces;
        let mut piece = 0.0;
        while piece < pieces {
            nodes.add_gauss_legendre(ends[0] + piece * length, ends[0] + (piece + 1.0) * length);
            piece += 1.0;
        }
    }
    nodes
}

/// Where a Laplace integrand is not smooth, in ascending order, and where it may end.
fn kinks(values: &[(f64, f64)], shift: f64) -> Vec<f64> {
    let classes: f64 = values.iter().map(|(_, times)| times).sum();
    let mut kinks: Vec<f64> =
        values.iter().flat_map(|(value, _)| [value - shift, *value, value + shift]).collect();
    kinks.sort_by(f64::total_cmp);
    kinks.dedup();
    // Left of all counts f falls like e^(Kt), right of them like e^(-t): 40 e-foldings each way.
    let (first, last) = (kinks[0], kinks[kinks.len() - 1]);
    kinks.insert(0, first - REACH / classes);
    kinks.push(last + REACH);
    kinks
}

/// ln of the bound on the relative error of Gauss-Legendre on a piece, for the best of a few r.
fn log_relative_error(values: &[(f64, f64)], shift: f64, from: f64, length: f64) -> f64 {
    let points = 2.0 * POINTS as f64;
    let at = |r: f64| {
        // (n!)^4/(2n)!^2 <= (π n) 2^(-4n) e^(1/n).
        let mut log_bound = points * log(length / (4.0 * r)) + log(PI * points) + r + length;
        for (value, times) in values {
            let at_count = |count: f64| {
                let depth = from - count;
                if depth < 0.0 {
                    return r + length;
                }
                let weight = 0.5 * exp(-depth);
                log((1.0 + weight * exp(r)) / (1.0 - weight))
            };
            let places = [value - shift, *value, value + shift];
            log_bound += times * places.map(at_count).into_iter().fold(0.0, f64::max);
        }
        log_bound
    };
    [0.25, 0.5, 1.0, 2.0, 4.0].into_iter().map(at).fold(f64::INFINITY, f64::min)
}

impl Nodes {
    pub(super) fn add_gauss_legendre(&mut self, from: f64, to: f64) {
        let (middle, half) = (f64::midpoint(from, to), 0.5 * (to - from));
        for (place, weight) in GAUSS_LEGENDRE {
            for side in [-1.0, 1.0] {
                self.places.push(middle + side * half * place);
                self.weights.push(half * weight);
            }
        }
    }
}

/// e-foldings after which a Laplace tail is left out.
const REACH: f64 = 40.0;
/// The longest piece, in units of the scale.
const LONGEST: f64 = 6.0;
/// The longest piece where no bound is asked for.
const EVEN_LENGTH: f64 = 0.5;
/// ln 10^-17.
const LOG_ACCURACY: f64 = -39.1;
/// How many nodes a piece has.
pub(crate) const POINTS: usize = 16;

/// The positive nodes and weights of the 16-point rule on [-1, 1] (Abramowitz and Stegun, table 25.4).
#[expect(clippy::unreadable_literal, clippy::excessive_precision, reason = "digits as in the table")]
pub(crate) const GAUSS_LEGENDRE: [(f64, f64); POINTS / 2] = [
    (0.0950125098376374402, 0.1894506104550684963),
    (0.2816035507792589132, 0.1826034150449235889),
    (0.4580167776572273863, 0.1691565193950025382),
    (0.6178762444026437484, 0.1495959888165767321),
    (0.7554044083550030339, 0.1246289712555338720),
    (0.8656312023878317439, 0.0951585116824927848),
    (0.9445750230732325761, 0.0622535239386478929),
    (0.9894009349916499326, 0.0271524594117540949),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauss_legendre_is_exact_for_polynomials_up_to_its_degree() {
        for degree in [0, 2, 10, 30] {
            let mut nodes = Nodes::default();
            nodes.add_gauss_legendre(-1.0, 1.0);
            let sum: f64 = nodes.places.iter().zip(&nodes.weights).map(|(x, w)| w * x.powi(degree)).sum();
            assert!((sum * f64::from(degree + 1) / 2.0 - 1.0).abs() < 1e-13, "{degree}: {sum}");
        }
    }

    #[test]
    fn the_error_of_a_piece_covers_a_class_on_either_side_of_it() {
        // Noise about as large as a vote: the moved count lies above the piece where the count itself lies below it.
        for (shift, classes) in [(0.5, 3.0), (0.9, 30.0), (1.0, 30.0), (1.1, 300.0), (2.0, 10.0)] {
            for (from, length) in [(0.0, 0.01), (0.0, 0.05), (0.0, 0.3), (0.3, 0.02), (-0.4, 0.1)] {
                let stated = log_relative_error(&[(0.0, classes)], shift, from, length);
                for count in [-shift, 0.0, shift] {
                    // As if no vote moved: the count lies on one side only.
                    let there = log_relative_error(&[(count, classes)], 0.0, from, length);
                    assert!(stated >= there, "shift {shift}, from {from}: {stated} below {there} at {count}");
                }
            }
        }
    }

    #[test]
    fn nodes_cover_what_they_must_in_steps_that_shrink_with_the_classes() {
        let nodes = trapezoid(gaussian_reach(10.0, 6.25, 0.025), gaussian_step(10.0));
        assert!(nodes.places[0] <= -12.0 && *nodes.places.last().unwrap() > 12.0);
        assert!((80..200).contains(&nodes.places.len()), "{}", nodes.places.len());
        let pieces = laplace_pieces(&[(9.0, 1.0), (1.0, 2.0), (0.0, 7.0)], 0.05);
        assert!(pieces.places.len() < 2_000, "{}", pieces.places.len());
        let length: f64 = pieces.weights.iter().sum();
        assert!((length - (9.1 + 4.0 + 40.0)).abs() < 1e-9, "{length}");
    }
}
