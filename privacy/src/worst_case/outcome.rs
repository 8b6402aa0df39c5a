//! What one outcome adds to the Rényi sum, and how much it can add in a neighbourhood.
//!
//! For an outcome with probability p at z and q at the neighbour, the summand is q ψ(L), L = ln(p/q)
//! (see `data_dependent/divergence.rs`). As functions of z, the probabilities are those of convex sets under a standard
//! normal around z, so with g = ln q:
//!
//! - the Hessian of g lies between -1 and 0 (log-concave by Prékopa; g + |z|²/2 is a log moment generating function);
//! - |∇g|² <= 2 ln(1/q): ∇g is the mean of the normal given the set, and the divergence of the conditioned normal from
//!   the normal, ln(1/q), is at least half the square of that mean (transport inequality, Talagrand 1996);
//! - third derivatives by unit directions a, a, e are at most 2: they are mixed central moments E\[A²E\] of a law that is at least
//!   as log-concave as the normal, so of A² - E\[A²\], whose variance is at most 4 Var A <= 4 (Poincaré's inequality), and of E, whose
//!   variance is at most 1 (Brascamp and Lieb 1976); the rest is Cauchy's inequality.

use crate::data_dependent::{psi, psi_slope};
use libm::{exp, expm1, log, log1p, sqrt};
use std::f64::consts::SQRT_2;

/// An outcome at a point of the plane and at its neighbour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// ln p - ln q, moved away from 0 by more than its error.
    pub(super) ratio: f64,
    /// q, rounded up.
    pub(super) q: f64,
    /// ∇ ln p and ∇ ln q.
    pub(super) slope_p: [f64; 2],
    pub(super) slope_q: [f64; 2],
}

impl Outcome {
    /// q ψ(L).
    pub(super) fn excess(&self, alpha: f64) -> f64 {
        self.q * psi(alpha, self.ratio)
    }

    /// ∇(q ψ(L)) = q ψ ∇ln q + q ψ' (∇ln p - ∇ln q).
    pub(super) fn gradient(&self, alpha: f64) -> [f64; 2] {
        let (value, slope) = (psi(alpha, self.ratio), psi_slope(alpha, self.ratio));
        [0, 1].map(|axis| {
            self.q * (value * self.slope_q[axis] + slope * (self.slope_p[axis] - self.slope_q[axis]))
        })
    }

    /// An upper bound on q ψ(L) within `radius`, when the neighbour is at distance `step`.
    pub(super) fn most_within(&self, alpha: f64, step: f64, radius: f64) -> f64 {
        // ψ falls below 0 and rises above: largest at an end of the interval in which L stays.
        let ends = [self.ratio - step * radius, self.ratio + step * radius];
        self.q_within(radius) * ends.map(|ratio| psi(alpha, ratio)).into_iter().fold(0.0, f64::max)
    }

    /// An upper bound on the second derivative of q ψ(L) in any direction within `radius`.
    pub(super) fn curvature_within(&self, alpha: f64, step: f64, radius: f64) -> f64 {
        let (lowest, highest) = (self.ratio - step * radius, self.ratio + step * radius);
        let value = psi(alpha, lowest).max(psi(alpha, highest));
        // |ψ'| grows with L above 0; below, it is at most α(α-1)|L| and at most α.
        let below = (alpha * (alpha - 1.0) * -lowest.min(0.0)).min(alpha);
        let steepest = psi_slope(alpha, highest.max(0.0)).max(below);
        // ψ'' grows with L above 0; below, it is at most ψ''(0) = α(α-1).
        let bend = if highest > 0.0 {
            let above_one = alpha - 1.0;
            alpha * exp(highest) * (alpha * expm1(above_one * highest) + above_one)
        } else {
            alpha * (alpha - 1.0)
        };
        let slope = norm(self.slope_q) + radius;
        // L' and L'' come from the Hessian of ln over the step, and from its change.
        let (first, second) = (step, (THIRD_MAX * step).min(1.0));
        self.q_within(radius)
            * (slope * slope * value
                + 2.0 * slope * steepest * first
                + bend * first * first
                + steepest * second)
    }

    /// An upper bound on the odds of `self` against `other` within `radius`, here and at the neighbour.
    pub(super) fn odds_within(&self, other: &Self, radius: f64) -> f64 {
        // ln q rises by at most its slope, and falls by at most that and half the square of the radius.
        let fall = |slope: [f64; 2]| (norm(slope) + 0.5 * radius) * radius;
        let there = self.q_within(radius) / other.q * exp(fall(other.slope_q));
        let here = self.q * exp(self.ratio.max(0.0) + norm(self.slope_p) * radius)
            / (other.q * exp(other.ratio.min(0.0)));
        there.max(here * exp(fall(other.slope_p))) * (1.0 + 1e-9)
    }

    /// q within `radius`: ln q is concave.
    fn q_within(&self, radius: f64) -> f64 {
        self.q * exp(norm(self.slope_q) * radius)
    }
}

/// The most that an outcome can add whose probability is at most `q` at the neighbour, at distance `step`, when its log
/// ratio may be off by `slack`; `q` must be below Φ(-[`rare_from`]).
///
/// L is at most the step times the slope at the neighbour, which is at most x = sqrt(2 ln 1/q), and at least minus the step times
/// the slope here, which is larger by at most the step; ψ(-L) <= ψ(L) for L > 0.
pub(super) fn rare(q: f64, alpha: f64, step: f64, slack: f64) -> f64 {
    q * psi(alpha, step * (sqrt(-2.0 * log(q)) + step) + slack)
}

/// The depth x from which on [`rare`] only falls with q = e^(-x²/2): ψ'/ψ <= α + 2/L for L > 0, because α(α-1)(e^L - 1) L <= 2ψ,
/// so its logarithm changes by at most -x + α·step + 2/(x + step) for each unit of x.
pub(super) fn rare_from(alpha: f64, step: f64) -> f64 {
    (alpha * step + 2.0).max(4.0)
}

/// The most that an outcome can add whose probability is at least 1 - `rest` in both worlds.
pub(super) fn certain(rest: f64, alpha: f64, slack: f64) -> f64 {
    psi(alpha, slack - log1p(-rest))
}

pub(super) fn norm([x, y]: [f64; 2]) -> f64 {
    sqrt(x * x + y * y)
}

/// The most that a third derivative of ln q by unit directions can be.
const THIRD_MAX: f64 = 2.0;

/// How far the neighbour is in the plane: (u - δ, v + δ).
pub(super) const fn step_of(shift: f64) -> f64 {
    SQRT_2 * shift
}
