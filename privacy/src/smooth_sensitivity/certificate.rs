//! The certificate that conditions C5 and C6 of Papernot et al. 2018 hold, for all votes at once.
//!
//! With q = (K-1) Φ(z) and t = √(ln 1/q), the Theorem 6 cost is R = ln F/(α-1), where the μ's of Proposition 10 make of A and B
//!
//! F(t) = (1-e^(-t²))^α (1-e^(-u²))^(1-α) + e^(-t² + (α-1)(2t/σ + 1/σ²)), u = t - 1/σ.
//!
//! One vote moves z by s = √2/σ. C5 says that R falls with t; C6 that R(z+s) - R(z) does not fall with z up to z0 - s, for which it is
//! enough that **R is convex in z up to z0**. With c = α-1 and e^(-t²) N = -F′(t),
//!
//! - N = g₂ + g₃ - g₁, g₁ = 2αt(1-q)^c V^(-c), g₂ = 2cu e^(2t/σ - 1/σ²)(1-q)^α V^(-α), g₃ = 2(t - c/σ) e^(c(2t/σ + 1/σ²)), V = 1 - e^(-u²);
//! - R falls with t if and only if N > 0;
//! - dt/dz = -m/(2t) with m = φ(z)/Φ(z), and m′ = -m(z+m), so the second derivative of R by z has the sign of
//!   N(2t|z|/m + 1/t) - N′ - qN²/F for z < 0. (q <= 1/e from t = 1 on, so z is below 0.)
//!
//! Both are shown by interval arithmetic on cells of z that are halved until each is decided, N by its mean value form.
//!
//! **The tail** z <= Z is one step. Let T = t(Z), κ = α V_T^(-c) e^(-c(2T/σ + 1/σ²))/(1 - c/(σT)). Then g₁ <= κ g₃ from T on, since V
//! and the exponential grow; N >= (1-κ)(g₂+g₃), which is C5 if κ < 1. Each of the three has a logarithmic derivative of size at most
//! Λ = 1/min(u_T, T - c/σ) + 2 max(1,c)/σ + 2α(T q_T/(1-q_T) + u_T e^(-u_T²)/V_T), so |N′| <= Λ(1+κ)/(1-κ) N. q(g₂+g₃) falls where
//! 2T > Λ + 1/T, so it is at most its value at T; m < |z| + 1/|z|, and F >= (1-q)^α >= 1 - αq. It is enough that
//! 2T Z²/(Z²+1) >= Λ(1+κ)/(1-κ) + q_T(g₂+g₃)/(1-αq_T) at Z.

use super::interval::Interval;
use crate::numerics::{log_normal_cdf, log_normal_density};
use libm::{exp, expm1, log, sqrt};

/// What a certificate is about: the cost at noise σ, K-1 other classes and one order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) sigma: f64,
    pub(super) others: f64,
    pub(super) alpha: f64,
}

/// Which condition could not be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    C5,
    C6,
}

/// What one cell of z shows.
struct Cell {
    /// N, which C5 wants positive.
    falls: Interval,
    /// The sign of the second derivative.
    convex: Interval,
}

impl Cost {
    /// Shows both conditions for every z up to `highest`, which is below 0.
    pub(super) fn certify(&self, highest: f64) -> Result<(), Condition> {
        let lowest = self.tail(highest).ok_or(Condition::C6)?;
        let mut open = vec![(lowest, highest)];
        for _ in 0..CELLS_MAX {
            let Some((low, high)) = open.pop() else { return Ok(()) };
            let cell = self.cell(low, high);
            if cell.falls.low > 0.0 && cell.convex.low >= 0.0 {
                continue;
            }
            let refuted = cell.falls.high <= 0.0 || cell.convex.high < 0.0;
            if refuted || high - low < NARROWEST * -low {
                return Err(if cell.falls.low > 0.0 { Condition::C6 } else { Condition::C5 });
            }
            let middle = f64::midpoint(low, high);
            open.extend([(low, middle), (middle, high)]);
        }
        Err(Condition::C6)
    }

    /// t at z.
    fn t(&self, z: f64) -> f64 {
        sqrt(-(log_normal_cdf(z) + log(self.others)))
    }

    /// The first Z below `highest` at which the tail is shown to hold.
    fn tail(&self, highest: f64) -> Option<f64> {
        let steps =
            (1..TAIL_STEPS).map(|step| highest - 0.5 * f64::from(step) - 0.02 * f64::from(step * step));
        steps.into_iter().find(|lowest| self.holds_below(*lowest))
    }

    fn holds_below(&self, lowest: f64) -> bool {
        let (c, per, square) = (self.alpha - 1.0, 1.0 / self.sigma, lowest * lowest);
        // Rounding is far below the share that is given away here.
        let t = self.t(lowest) * (1.0 - SHARE);
        let u = t - per;
        if !(u > 1.0 && t > 2.0 * c * per) {
            return false;
        }
        let (q, v) = (exp(-t * t), -expm1(-u * u));
        let growth = c * (2.0 * t * per + per * per);
        let kappa = self.alpha * exp(-c * log(v) - growth) / (1.0 - c * per / t) * (1.0 + SHARE);
        let small = t * q / (1.0 - q) + u * exp(-u * u) / v;
        let slope = 1.0 / u.min(t - c * per) + 2.0 * c.max(1.0) * per + 2.0 * self.alpha * small;
        let rare =
            2.0 * c * u * exp(2.0 * t * per - t * t - self.alpha * log(v)) + 2.0 * t * exp(growth - t * t);
        let needed = slope * (1.0 + kappa) / (1.0 - kappa) + rare / (1.0 - self.alpha * q);
        kappa < 1.0
            && self.alpha * q < 0.5
            && 2.0 * t > slope + 1.0 / t
            && 2.0 * t * square / (square + 1.0) > needed * (1.0 + SHARE)
    }

    /// Enclosures for all z from `low` to `high`, which are below 0.
    fn cell(&self, low: f64, high: f64) -> Cell {
        let error = slack(low);
        let log_q = |z: f64| log_normal_cdf(z) + log(self.others);
        let lambda = Interval::within(-log_q(high), -log_q(low), error);
        let t = lambda.sqrt();
        // φ/Φ falls with z.
        let hazard = |z: f64| exp(log_normal_density(z) - log_normal_cdf(z));
        let m = Interval::within(hazard(high), hazard(low), error * hazard(low));
        let away = Interval { low: -high, high: -low };
        let (falls_here, slope) = self.falls_and_slope(t);
        let (falls_at_middle, _) = self.falls_and_slope(Interval::of(t.middle()));
        let falls = falls_here.and(falls_at_middle + slope * (t - Interval::of(t.middle())));
        let sum = self.first(t) + (-lambda + self.growth(t)).exp();
        let bend = falls * (Interval::of(2.0) * t * away / m + Interval::of(1.0) / t);
        let convex = bend - slope - (-lambda).exp() * falls * falls / sum;
        Cell { falls, convex }
    }

    /// c(2t/σ + 1/σ²).
    fn growth(&self, t: Interval) -> Interval {
        let per = Interval::of(1.0) / Interval::of(self.sigma);
        (Interval::of(self.alpha) - Interval::of(1.0)) * (Interval::of(2.0) * t * per + per * per)
    }

    /// (1-q)^α V^-c.
    fn first(&self, t: Interval) -> Interval {
        let u = t - Interval::of(1.0) / Interval::of(self.sigma);
        (t * t).one_minus_exp_minus().power(self.alpha)
            * (u * u).one_minus_exp_minus().power(1.0 - self.alpha)
    }

    /// N and N′.
    fn falls_and_slope(&self, t: Interval) -> (Interval, Interval) {
        let (one, two) = (Interval::of(1.0), Interval::of(2.0));
        let per = one / Interval::of(self.sigma);
        let (alpha, c) = (Interval::of(self.alpha), Interval::of(self.alpha) - one);
        let u = t - per;
        let (q, overtaken) = ((-(t * t)).exp(), (-(u * u)).exp());
        let (not_q, v) = ((t * t).one_minus_exp_minus(), (u * u).one_minus_exp_minus());
        let (by_q, by_v) = (two * t * q / not_q, two * u * overtaken / v);
        let shift = t - c * per;
        let first = two * alpha * t * (not_q / v).power(self.alpha - 1.0);
        let second = two * c * u * (two * t * per - per * per).exp() * (not_q / v).power(self.alpha);
        let third = two * shift * self.growth(t).exp();
        let first_slope = first * (one / t + c * (by_q - by_v));
        let second_slope = second * (one / u + two * per + alpha * (by_q - by_v));
        let third_slope = third * (one / shift + two * c * per);
        (second + third - first, second_slope + third_slope - first_slope)
    }
}

/// What ln Φ and ln φ are off by at most, at z and above: rounding of the argument, and the series far out.
fn slack(z: f64) -> f64 {
    16.0 * f64::EPSILON * (1.0 + z * z) + 4e-14
}

/// Cells narrower than this share of |z| are not halved again.
const NARROWEST: f64 = 1e-9;
/// How many cells are looked at before giving up: a second or so.
const CELLS_MAX: usize = 1 << 18;
/// How far out a tail is looked for.
const TAIL_STEPS: u32 = 400;
/// The share of both sides of an inequality that covers their rounding.
const SHARE: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dependent::Theorem6;

    fn cost(sigma: f64, classes: f64, alpha: f64) -> Cost {
        Cost { sigma, others: classes - 1.0, alpha }
    }

    #[test]
    fn cells_enclose_the_differences_of_the_cost() {
        for (sigma, classes, alpha) in
            [(40.0, 10.0, 14.0), (20.0, 10.0, 25.0), (0.5, 3.0, 1.5), (250.0, 5.0, 10.0)]
        {
            let cost = cost(sigma, classes, alpha);
            let rdp = |z: f64| {
                let log_q = log_normal_cdf(z) + log(cost.others);
                Theorem6::at(log_q, 1.0 / (sigma * sigma)).unwrap().rdp(alpha)
            };
            for z in [-4.0, -5.0, -7.5] {
                let (h, t) = (1e-3, cost.t(z));
                let cell = cost.cell(z - 1e-9, z + 1e-9);
                // R′ by z is q N m/(2tcF), R″ is q m²/(4t²cF) times the other.
                let m = exp(log_normal_density(z) - log_normal_cdf(z));
                let q = exp(-t * t);
                let scale = q * m / (2.0 * t * (alpha - 1.0) * exp((alpha - 1.0) * rdp(z)));
                let slope = (rdp(z + h) - rdp(z - h)) / (2.0 * h);
                let bend = (rdp(z + h) - 2.0 * rdp(z) + rdp(z - h)) / (h * h);
                let name = format!("{sigma} {classes} {alpha} at {z}");
                assert!((cell.falls.middle() * scale / slope - 1.0).abs() < 1e-4, "{name}: slope");
                let found = cell.convex.middle() * scale * m / (2.0 * t);
                assert!((found - bend).abs() < 1e-3 * slope.abs(), "{name}: {found:e}, not {bend:e}");
                assert!(cell.falls.high - cell.falls.low < 1e-3 * cell.falls.high, "{name}: a wide cell");
            }
        }
    }

    #[test]
    fn a_cost_that_bends_the_other_way_has_no_certificate() {
        assert_eq!(cost(20.0, 10.0, 25.0).certify(-2.541), Err(Condition::C6));
        assert_eq!(cost(20.0, 10.0, 25.0).certify(-3.3), Ok(()));
        assert_eq!(cost(40.0, 10.0, 14.0).certify(-2.679), Ok(()));
    }
}
