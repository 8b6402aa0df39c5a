//! The money of the other filters: like [`Rho`], whole units of 2^-40, costs rounded up, what is left rounded down.

use super::{RdpOrder, Rho, Scale};
use crate::Error;
use std::fmt;

/// An amount that adds up under adaptive composition, in whole units of 2^-40.
pub trait Amount: Copy + Ord + fmt::Debug + fmt::Display {
    /// Nothing.
    const ZERO: Self;
    /// What is added up, as refusals call it.
    const MEASURE: &'static str;
    /// The sum, or `None` if it cannot be written down.
    fn plus(self, other: Self) -> Option<Self>;
    /// The difference, or `None` if `other` is the larger.
    fn minus(self, other: Self) -> Option<Self>;
    /// The amount as a double, rounded up.
    fn rounded_up(self) -> f64;
}

macro_rules! fixed_point {
    ($(#[$doc:meta])* $name:ident, $measure:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(u64);

        impl $name {
            /// `units` × 2^-40.
            pub const fn from_units(units: u64) -> Self {
                Self(units)
            }

            /// The amount in units of 2^-40.
            pub const fn units(self) -> u64 {
                self.0
            }

            /// `value` rounded up to a whole unit; `None` if it is negative, not finite or 2^24 or more.
            pub fn from_f64_up(value: f64) -> Option<Self> {
                Rho::from_nats_up(value).map(|amount| Self(amount.units()))
            }

            /// The amount, rounded up to a double.
            pub fn to_f64_up(self) -> f64 {
                Rho::from_units(self.0).to_f64_up()
            }
        }

        impl Amount for $name {
            const ZERO: Self = Self(0);
            const MEASURE: &'static str = $measure;
            fn plus(self, other: Self) -> Option<Self> {
                self.0.checked_add(other.0).map(Self)
            }
            fn minus(self, other: Self) -> Option<Self> {
                self.0.checked_sub(other.0).map(Self)
            }
            fn rounded_up(self) -> f64 {
                self.to_f64_up()
            }
        }

        /// Rounded up in the last place shown.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} {:.9}", $measure, self.to_f64_up() + 5e-10)
            }
        }
    };
}

fixed_point! {
    /// The squared parameter μ² of Gaussian differential privacy (Dong, Roth and Su 2022), which adds up.
    MuSquared, "mu^2"
}

fixed_point! {
    /// R(α) in nats at one Rényi order, which whoever adds it up has fixed.
    RenyiLoss, "renyi"
}

impl Amount for Rho {
    const ZERO: Self = Self::ZERO;
    const MEASURE: &'static str = "rho";
    fn plus(self, other: Self) -> Option<Self> {
        self.checked_add(other)
    }
    fn minus(self, other: Self) -> Option<Self> {
        self.checked_sub(other)
    }
    fn rounded_up(self) -> f64 {
        self.to_f64_up()
    }
}

impl MuSquared {
    /// The price of Gaussian noise on statistics whose squared Euclidean change is at most `change_squared`:
    /// change²/σ², rounded up to a unit, with σ taken for the exact number that the double is.
    ///
    /// One moved vote has 2 for a noisy max and 1 for a threshold test; m moves m² times that.
    pub fn of_gaussian(change_squared: u32, sigma: Scale) -> Result<Self, Error> {
        quotient_up("mu^2", u128::from(change_squared), 0, sigma).map(Self)
    }
}

impl RenyiLoss {
    /// The price α·change²/(2σ²) of the same noise at order α (Mironov 2017, Proposition 7), rounded up to a unit; exact
    /// for the doubles that α and σ are.
    pub fn of_gaussian(change_squared: u32, sigma: Scale, order: RdpOrder) -> Result<Self, Error> {
        let (mantissa, exponent) = dyadic(order.get());
        quotient_up("renyi loss", u128::from(change_squared) * u128::from(mantissa), exponent - 1, sigma)
            .map(Self)
    }
}

/// `numerator`·2^`exponent`/σ² in units of 2^-40, rounded up.
fn quotient_up(field: &'static str, numerator: u128, exponent: i32, sigma: Scale) -> Result<u64, Error> {
    let (mantissa, sigma_exponent) = dyadic(sigma.get());
    let denominator = u128::from(mantissa) * u128::from(mantissa);
    let shift = exponent - 2 * sigma_exponent;
    if let Ok(shift) = u32::try_from(shift) {
        return Rho::ratio_up(field, numerator, shift, denominator).map(Rho::units);
    }
    // The quotient is divided by 2^-shift: all that falls off rounds up.
    let whole = Rho::ratio_up(field, numerator, 0, denominator)?.units();
    let down = shift.unsigned_abs();
    Ok(if down >= u64::BITS { u64::from(whole > 0) } else { whole.div_ceil(1 << down) })
}

/// A positive double as mantissa·2^exponent, with an odd mantissa below 2^53.
fn dyadic(value: f64) -> (u64, i32) {
    const FRACTION: u64 = (1 << 52) - 1;
    let bits = value.to_bits();
    let biased = i32::try_from(bits >> 52).unwrap_or(0);
    let (mantissa, exponent) =
        if biased == 0 { (bits & FRACTION, -1074) } else { (bits & FRACTION | 1 << 52, biased - 1075) };
    let zeros = mantissa.trailing_zeros();
    (mantissa >> zeros, exponent + i32::try_from(zeros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_double_is_taken_apart_exactly() {
        for value in [1.0, 40.0, 0.1, 1e-300, 5e-324, f64::MAX, 3.5] {
            let (mantissa, exponent) = dyadic(value);
            // In two steps, since 2^-1074 alone is the smallest double.
            let half = exponent / 2;
            let back = mantissa as f64 * libm::ldexp(1.0, half) * libm::ldexp(1.0, exponent - half);
            assert_eq!((back.to_bits(), mantissa % 2), (value.to_bits(), 1), "{value:e}");
        }
    }

    #[test]
    fn noise_at_its_extremes_costs_a_unit_or_is_refused() {
        let scale = |value| Scale::new(value).unwrap();
        assert_eq!(MuSquared::of_gaussian(2, scale(1e300)).unwrap(), MuSquared::from_units(1));
        assert_eq!(MuSquared::of_gaussian(2, scale(1.0)).unwrap(), MuSquared::from_units(2 << 40));
        assert_eq!(MuSquared::of_gaussian(2, scale(4096.0)).unwrap(), MuSquared::from_units(1 << 17));
        assert!(matches!(MuSquared::of_gaussian(2, scale(1e-300)), Err(Error::CostOverflow { .. })));
        let half = RenyiLoss::of_gaussian(1, scale(2.0), RdpOrder::new(1.5).unwrap()).unwrap();
        assert_eq!(half, RenyiLoss::from_units(3 << 36), "1.5/8");
        assert_eq!(half.to_string(), "renyi 0.187500001");
    }
}
