//! Intervals that contain what they stand for, whatever the rounding: every result is moved outwards by more than its error.

use libm::{exp, expm1, log, sqrt};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// All numbers from `low` to `high`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Interval {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Interval {
    /// What lies between two numbers that are known to `error`, absolutely.
    pub(super) const fn within(low: f64, high: f64, error: f64) -> Self {
        Self { low: (low - error).next_down(), high: (high + error).next_up() }
    }

    /// One number, as it stands.
    pub(super) const fn of(value: f64) -> Self {
        Self { low: value, high: value }
    }

    /// A function that grows, known to a few units in the last place.
    fn growing(self, function: fn(f64) -> f64) -> Self {
        let (low, high) = (function(self.low), function(self.high));
        Self { low: low - LIBM * low.abs(), high: high + LIBM * high.abs() }
    }

    /// e^x.
    pub(super) fn exp(self) -> Self {
        self.growing(exp)
    }

    /// 1 - e^-x.
    pub(super) fn one_minus_exp_minus(self) -> Self {
        -(-self).growing(expm1)
    }

    /// x^power for x > 0.
    pub(super) fn power(self, power: f64) -> Self {
        (Self::of(power) * self.growing(log)).exp()
    }

    /// √x for x >= 0.
    pub(super) fn sqrt(self) -> Self {
        self.growing(sqrt)
    }

    /// Where both are; the first if rounding kept them apart, which cannot be.
    pub(super) fn and(self, other: Self) -> Self {
        let both = Self { low: self.low.max(other.low), high: self.high.min(other.high) };
        if both.low <= both.high { both } else { self }
    }

    /// Its middle, or a number near it.
    pub(super) const fn middle(self) -> f64 {
        f64::midpoint(self.low, self.high)
    }
}

impl Neg for Interval {
    type Output = Self;
    fn neg(self) -> Self {
        Self { low: -self.high, high: -self.low }
    }
}

impl Add for Interval {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::within(self.low + other.low, self.high + other.high, 0.0)
    }
}

impl Sub for Interval {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Interval {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let corners =
            [self.low * other.low, self.low * other.high, self.high * other.low, self.high * other.high];
        let low = corners.into_iter().fold(f64::INFINITY, f64::min);
        Self::within(low, corners.into_iter().fold(f64::NEG_INFINITY, f64::max), 0.0)
    }
}

/// By what is above 0.
impl Div for Interval {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        self * Self::within(1.0 / other.high, 1.0 / other.low, 0.0)
    }
}

/// What elementary functions are off by at most, relatively: four times what `libm` states.
const LIBM: f64 = 4.0 * f64::EPSILON;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn interval(a: f64, b: f64) -> Interval {
        Interval { low: a.min(b), high: a.max(b) }
    }

    proptest! {
        #[test]
        fn whatever_is_computed_inside_stays_inside(
            ends in prop::array::uniform4(-5.0_f64..5.0), at in 0.0_f64..=1.0, there in 0.0_f64..=1.0,
        ) {
            let (x, y) = (interval(ends[0], ends[1]), interval(ends[2], ends[3]));
            let inside = |of: Interval, at: f64| (of.low + at * (of.high - of.low)).clamp(of.low, of.high);
            let (a, b) = (inside(x, at), inside(y, there));
            let contains = |of: Interval, value: f64| of.low <= value && value <= of.high;
            prop_assert!(contains(x + y, a + b) && contains(x - y, a - b) && contains(x * y, a * b));
            prop_assert!(contains(x.exp(), a.exp()) && contains(x.one_minus_exp_minus(), -(-a).exp_m1()));
            let (above, b) = (y.exp(), b.exp());
            prop_assert!(contains(x / above, a / b) && contains(above.sqrt(), b.sqrt()));
            prop_assert!(contains(above.power(-1.7), b.powf(-1.7)));
        }
    }
}
