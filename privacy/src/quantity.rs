//! Quantities that cannot hold a wrong value: private fields, validating constructors, also through serde.
//!
//! | type | symbol | unit | range |
//! |---|---|---|---|
//! | [`Epsilon`] | ε | nats | finite, > 0 |
//! | [`Delta`] | δ | probability | 0 < δ < 1 |
//! | [`RdpOrder`] | α | none | finite, > 1 |
//! | [`RdpCurve`] | R(α) | nats | finite, >= 0, on a list of orders |
//! | [`Mu`] | μ of Gaussian DP | none | 0 to 10^150 |
//! | [`Scale`] | σ or b | votes, real | finite, > 0 |
//! | [`FilterOrder`] | ω | none, integer | 2 to 64 from a fixed list, or 0 for no limit |
//! | [`Rho`] | ρ | 2^-40 nats of zCDP, integer | 0 to 2^64 - 1 units (2^24 nats) |
//! | [`MuSquared`] | μ² | 2^-40, integer | 0 to 2^64 - 1 units |
//! | [`RenyiLoss`] | R(α) | 2^-40 nats, integer | 0 to 2^64 - 1 units |
//! | [`Lattice`] | k | steps of 2^-k votes | 0 to 32 |
//! | [`NoiseScale`] | σ or b | lattice steps, integer | 1 to 2^62 steps |
//! | [`Threshold`] | T | lattice steps, integer | 0 to 2^62 steps |

mod filter_order;
mod fixed_point;
mod lattice;
mod rdp_curve;
mod rho;

pub use filter_order::FilterOrder;
pub use fixed_point::{Amount, MuSquared, RenyiLoss};
pub use lattice::{Lattice, NoiseScale, Threshold};
pub use rdp_curve::RdpCurve;
pub use rho::Rho;

use crate::Error;
use serde::{Deserialize, Serialize};

/// A privacy loss ε in nats: finite and greater than zero.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Epsilon(f64);

/// The probability δ that the loss may exceed ε: strictly between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Delta(f64);

/// An order α of the Rényi divergence: finite and greater than 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct RdpOrder(f64);

/// The parameter μ of Gaussian differential privacy (Dong, Roth and Su 2022): from 0 to 10^150, so that its square is finite.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Mu(f64);

impl Epsilon {
    /// Checks `value`, in nats.
    pub fn new(value: f64) -> Result<Self, Error> {
        let fix = "give a privacy loss in nats greater than 0, such as 3.0";
        in_range("epsilon", value, |x| x > 0.0, fix).map(Self)
    }

    /// The value in nats.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Delta {
    /// Checks `value`, a probability.
    pub fn new(value: f64) -> Result<Self, Error> {
        let fix = "give a probability strictly between 0 and 1, such as 1e-5";
        in_range("delta", value, |x| x > 0.0 && x < 1.0, fix).map(Self)
    }

    /// The value, a probability.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Mu {
    /// Checks `value`.
    pub fn new(value: f64) -> Result<Self, Error> {
        let fix = "give a number from 0 to 1e150, such as 1.0: use more noise or fewer queries";
        in_range("mu", value, |x| (0.0..=1e150).contains(&x), fix).map(Self)
    }

    /// The value.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl RdpOrder {
    /// Checks `value`.
    pub fn new(value: f64) -> Result<Self, Error> {
        in_range("order", value, |x| x > 1.0, "give a Renyi order greater than 1, such as 8").map(Self)
    }

    /// The value.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// The scale of continuous noise, in votes: the standard deviation σ of a Gaussian, or the scale b of a Laplace law.
///
/// For accounting of mechanisms as papers state them. Noise that is drawn here has a [`NoiseScale`].
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Scale(f64);

impl Scale {
    /// Checks `value`, in votes.
    pub fn new(value: f64) -> Result<Self, Error> {
        in_range("scale", value, |x| x > 0.0, "give a noise scale in votes greater than 0, such as 40")
            .map(Self)
    }

    /// The value in votes.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// `value` if it is finite and `holds`, else the refusal that names `field`.
pub(crate) fn in_range(
    field: &'static str,
    value: f64,
    holds: impl Fn(f64) -> bool,
    fix: &'static str,
) -> Result<f64, Error> {
    if !value.is_finite() {
        return Err(Error::NotFinite { field, value, fix });
    }
    if !holds(value) {
        return Err(Error::OutOfRange { field, value, fix });
    }
    Ok(value)
}

macro_rules! convert_through_new {
    ($($name:ident),*) => {$(
        impl TryFrom<f64> for $name {
            type Error = Error;
            fn try_from(value: f64) -> Result<Self, Error> {
                Self::new(value)
            }
        }
        impl From<$name> for f64 {
            fn from(quantity: $name) -> f64 {
                quantity.get()
            }
        }
    )*};
}
convert_through_new!(Epsilon, Delta, Mu, RdpOrder, Scale);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_refuse_what_is_outside_their_range_and_say_how_to_fix_it() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(matches!(Epsilon::new(value), Err(Error::NotFinite { field: "epsilon", .. })));
            assert!(matches!(Delta::new(value), Err(Error::NotFinite { field: "delta", .. })));
            assert!(matches!(RdpOrder::new(value), Err(Error::NotFinite { field: "order", .. })));
        }
        for value in [0.0, -0.0, -1.0] {
            assert!(matches!(Epsilon::new(value), Err(Error::OutOfRange { field: "epsilon", .. })));
            assert!(matches!(Delta::new(value), Err(Error::OutOfRange { field: "delta", .. })));
        }
        assert!(matches!(Delta::new(1.0), Err(Error::OutOfRange { .. })));
        assert!(matches!(RdpOrder::new(1.0), Err(Error::OutOfRange { .. })));
        let said = Delta::new(2.0).unwrap_err().to_string();
        assert!(said.contains("delta") && said.contains('2') && said.contains("1e-5"), "{said}");
    }

    #[test]
    fn a_quantity_cannot_be_smuggled_in_through_serde() {
        assert!(serde_json::from_str::<Epsilon>("-1.0").is_err());
        assert!(serde_json::from_str::<Delta>("1.0").is_err());
        assert!(serde_json::from_str::<RdpOrder>("0.5").is_err());
        let epsilon: Epsilon = serde_json::from_str("2.5").unwrap();
        assert_eq!(serde_json::to_string(&epsilon).unwrap(), "2.5");
    }
}
