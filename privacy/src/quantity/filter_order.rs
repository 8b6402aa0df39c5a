//! ω, up to which Rényi order an account bounds the loss of its data.
//!
//! Plain zCDP bounds every order by one number, and pays for it: as the order grows, the worst case of a noisy argmax
//! becomes the published one. No conversion to (ε, δ) ever needs such orders. An account that bounds only a fixed list
//! of orders up to ω charges less for the same answers; what it may no longer do is convert at an order that it does
//! not bound.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The largest order ω of an account's filter, as it is written down: a whole number, with 0 for no limit (plain zCDP).
///
/// Fixed when the account is opened. Amounts of different ω are different currencies: they are never added or compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct FilterOrder(u32);

impl FilterOrder {
    /// No limit: plain zCDP.
    pub const UNBOUNDED: Self = Self(0);
    /// ω = 16: for ε from about 1 to 10 at δ = 1e-5 the best orders lie between 3 and 16.
    pub const DEFAULT: Self = Self(16);

    /// What a new account may get by default, the usual one first.
    pub(crate) const CANDIDATES: [Self; 3] = [Self(16), Self(32), Self(64)];

    /// Checks ω: 0 for no limit, else a whole order of [`FilterOrder::ORDERS`] from 2 on.
    pub fn new(order: u32) -> Result<Self, Error> {
        if order == 0 || Self::ORDERS.iter().any(|known| f64::from(order).total_cmp(known).is_eq()) {
            return Ok(Self(order));
        }
        let fix = "give 16 (the default), another whole order from 2 to 16, one of 20, 24, 32, 48 and 64, or 0 for no limit";
        Err(Error::OutOfRange { field: "filter_order", value: order.into(), fix })
    }

    /// ω as it is written down; 0 for no limit.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Whether there is no limit: plain zCDP.
    pub const fn is_unbounded(self) -> bool {
        self.0 == 0
    }

    /// The orders that are bounded, ascending: those of [`FilterOrder::ORDERS`] up to ω. All of them, and every other
    /// order as well, if there is no limit.
    pub fn orders(self) -> &'static [f64] {
        let bounded =
            Self::ORDERS.iter().take_while(|order| self.is_unbounded() || **order <= f64::from(self.0));
        &Self::ORDERS[..bounded.count()]
    }

    /// The list from which accounts take their orders. A ledger's figures depend on it, so it never changes.
    pub const ORDERS: [f64; 26] = [
        1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0,
        15.0, 16.0, 20.0, 24.0, 32.0, 48.0, 64.0,
    ];
}

impl Default for FilterOrder {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl TryFrom<u32> for FilterOrder {
    type Error = Error;
    fn try_from(order: u32) -> Result<Self, Error> {
        Self::new(order)
    }
}

impl From<FilterOrder> for u32 {
    fn from(order: FilterOrder) -> Self {
        order.0
    }
}

impl fmt::Display for FilterOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_unbounded() { f.write_str("unbounded") } else { write!(f, "{}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_outside_the_list_is_refused_and_the_orders_end_at_omega() {
        for order in [1, 17, 65, u32::MAX] {
            assert!(matches!(FilterOrder::new(order), Err(Error::OutOfRange { field: "filter_order", .. })));
        }
        let sixteen = FilterOrder::new(16).unwrap();
        assert_eq!((sixteen, sixteen.orders().last()), (FilterOrder::DEFAULT, Some(&16.0)));
        assert_eq!(FilterOrder::new(2).unwrap().orders(), [1.25, 1.5, 1.75, 2.0]);
        assert_eq!(FilterOrder::UNBOUNDED.orders().len(), FilterOrder::ORDERS.len());
        assert!(serde_json::from_str::<FilterOrder>("17").is_err());
        assert_eq!(serde_json::to_string(&sixteen).unwrap(), "16");
    }
}
