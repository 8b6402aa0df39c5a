//! The money of this project: zero-concentrated privacy loss in whole units of 2^-40 nats.
//!
//! ρ-zCDP (Bun and Steinke 2016, Definition 1.1): the Rényi divergence of order α between the output laws on
//! any two neighbouring data sets is at most ρα, for every α > 1. It adds up under adaptive composition
//! (their Lemma 1.7), so an account is one integer. **Costs are rounded up, what is left is rounded down**,
//! and every comparison that decides an admission is between integers; floating point appears only in what
//! people are shown.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An amount ρ of zCDP in units of 2^-40 nats (about 10^-12 nats).
///
/// A budget of ε = 3 at δ = 1e-5 is about 0.22 nats, or 2.4 × 10^11 units; the largest amount is 2^24 nats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rho(u64);

impl Rho {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount that can be written down, just under 2^24 nats.
    pub const MAX: Self = Self(u64::MAX);
    /// One nat is `2^FRACTION_BITS` units.
    pub const FRACTION_BITS: u32 = 40;

    /// `units` × 2^-40 nats.
    pub const fn from_units(units: u64) -> Self {
        Self(units)
    }

    /// The amount in units of 2^-40 nats.
    pub const fn units(self) -> u64 {
        self.0
    }

    /// The sum, or `None` if it cannot be written down.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(units) => Some(Self(units)),
            None => None,
        }
    }

    /// `times` times the amount, or `None` if it cannot be written down.
    pub const fn checked_mul(self, times: u64) -> Option<Self> {
        match self.0.checked_mul(times) {
            Some(units) => Some(Self(units)),
            None => None,
        }
    }

    /// The difference, or `None` if `other` is the larger.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(units) => Some(Self(units)),
            None => None,
        }
    }

    /// The difference, or nothing if `other` is the larger: for what is left, never for what is spent.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The amount in nats, rounded up to a double.
    pub fn to_f64_up(self) -> f64 {
        let nearest = self.0 as f64;
        // u64::MAX as f64 is 2^64, which u128 holds; both casts below are exact.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number in 0..=2^64"
        )]
        let units = if (nearest as u128) < u128::from(self.0) { nearest.next_up() } else { nearest };
        units / UNITS_PER_NAT
    }

    /// `nats`, rounded up to a whole unit; `None` if they are negative, not finite or too many to be written down.
    pub fn from_nats_up(nats: f64) -> Option<Self> {
        let units = libm::ceil(nats * UNITS_PER_NAT);
        // 2^64 - 2048 is the last double below 2^64.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
        (nats >= 0.0 && units < 18_446_744_073_709_549_568.0).then_some(Self(units as u64))
    }

    /// `numerator · 2^shift / denominator` nats, rounded up to a whole unit; exact at any size.
    ///
    /// Refuses with [`Error::CostOverflow`] on behalf of `field` what [`Rho::MAX`] cannot hold.
    ///
    /// The denominator must be in 1..2^127 (doubling a remainder may not overflow).
    pub(crate) fn ratio_up(
        field: &'static str,
        numerator: u128,
        shift: u32,
        denominator: u128,
    ) -> Result<Self, Error> {
        debug_assert!((1..1 << 127).contains(&denominator), "callers square at most 2^62 and double once");
        // Schoolbook division, one bit of quotient at a time: the numerator need not fit any machine word.
        let mut quotient =
            u64::try_from(numerator / denominator).map_err(|_| Error::CostOverflow { field })?;
        let mut remainder = numerator % denominator;
        for _ in 0..shift + Self::FRACTION_BITS {
            quotient = quotient.checked_mul(2).ok_or(Error::CostOverflow { field })?;
            remainder *= 2;
            if remainder >= denominator {
                remainder -= denominator;
                quotient += 1; // even before, so this cannot overflow
            }
        }
        let round_up = u64::from(remainder > 0);
        quotient.checked_add(round_up).map(Self).ok_or(Error::CostOverflow { field })
    }
}

/// In nats, rounded up in the last place shown.
impl fmt::Display for Rho {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: u128 = 1_000_000_000;
        let scaled = (u128::from(self.0) * SHOWN).div_ceil(1 << Self::FRACTION_BITS);
        write!(f, "rho {}.{:09}", scaled / SHOWN, scaled % SHOWN)
    }
}

const UNITS_PER_NAT: f64 = (1_u64 << Rho::FRACTION_BITS) as f64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_ratio_is_rounded_up_to_the_next_unit() {
        assert_eq!(Rho::ratio_up("x", 1, 0, 1).unwrap(), Rho::from_units(1 << 40));
        assert_eq!(Rho::ratio_up("x", 1, 0, 3).unwrap(), Rho::from_units((1_u64 << 40).div_ceil(3)));
        assert_eq!(Rho::ratio_up("x", 1, 0, 1 << 126).unwrap(), Rho::from_units(1));
        assert_eq!(Rho::ratio_up("x", 0, 64, 7).unwrap(), Rho::ZERO);
    }

    #[test]
    fn an_amount_that_cannot_be_written_down_is_refused() {
        assert_eq!(Rho::ratio_up("price", 1 << 24, 0, 1), Err(Error::CostOverflow { field: "price" }));
        assert_eq!(Rho::ratio_up("price", u128::MAX, 0, 1), Err(Error::CostOverflow { field: "price" }));
        assert_eq!(Rho::ratio_up("price", (1 << 24) - 1, 0, 1).unwrap().units(), u64::MAX - ((1 << 40) - 1));
        assert_eq!(Rho::MAX.checked_add(Rho::from_units(1)), None);
        assert_eq!(Rho::MAX.checked_mul(2), None);
        assert_eq!(Rho::ZERO.checked_sub(Rho::from_units(1)), None);
        assert_eq!(Rho::ZERO.saturating_sub(Rho::from_units(1)), Rho::ZERO);
    }

    #[test]
    fn what_people_see_is_never_below_the_amount() {
        assert_eq!(Rho::from_units(1).to_string(), "rho 0.000000001");
        assert_eq!(Rho::ZERO.to_string(), "rho 0.000000000");
        assert_eq!(Rho::from_units(3 << 39).to_string(), "rho 1.500000000");
        assert!(Rho::from_units((1 << 53) + 1).to_f64_up() > 8192.0);
    }

    proptest! {
        #[test]
        fn small_ratios_agree_with_plain_integer_division(n in 0_u128..1 << 20, d in 1_u128..1 << 60, shift in 0_u32..32) {
            let exact = (n << (40 + shift)).div_ceil(d);
            match Rho::ratio_up("x", n, shift, d) {
                Ok(rho) => prop_assert_eq!(u128::from(rho.units()), exact),
                Err(_) => prop_assert!(exact > u128::from(u64::MAX)),
            }
        }

        #[test]
        fn a_double_is_never_below_the_units(units in any::<u64>()) {
            let nats = Rho::from_units(units).to_f64_up();
            // Scaling by a power of two is exact, and so is the way into 128 bits.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number in 0..=2^64")]
            let in_units = |nats: f64| (nats * UNITS_PER_NAT) as u128;
            prop_assert!(in_units(nats) >= u128::from(units));
            prop_assert!(units == 0 || in_units(nats.next_down()) < u128::from(units));
        }
    }
}
