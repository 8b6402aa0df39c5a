//! A Rényi-DP curve: R(α) on a list of orders.
//!
//! (α, R)-RDP (Mironov 2017, Definition 4): the Rényi divergence of order α between the output laws on any
//! two neighbouring data sets is at most R. Curves on the same orders add up under adaptive composition
//! (Proposition 1).

use super::RdpOrder;
use crate::Error;

/// R(α) in nats, one finite value >= 0 for each of at least one order.
#[derive(Debug, Clone, PartialEq)]
pub struct RdpCurve {
    orders: Vec<RdpOrder>,
    values: Vec<f64>,
}

impl RdpCurve {
    /// Checks that there is one finite value >= 0 for each order.
    pub fn new(orders: Vec<RdpOrder>, values: Vec<f64>) -> Result<Self, Error> {
        let malformed = orders.is_empty()
            || orders.len() != values.len()
            || values.iter().any(|value| !value.is_finite() || *value < 0.0);
        if malformed {
            return Err(Error::RdpCurve { orders: orders.len(), values: values.len() });
        }
        Ok(Self { orders, values })
    }

    /// The orders, as given.
    pub fn orders(&self) -> &[RdpOrder] {
        &self.orders
    }

    /// R(α) in nats for each of [`RdpCurve::orders`].
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The points (α, R(α)).
    pub fn points(&self) -> impl Iterator<Item = (RdpOrder, f64)> + '_ {
        self.orders.iter().copied().zip(self.values.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_needs_one_finite_value_for_each_order() {
        let orders = |n: u8| (0..n).map(|i| RdpOrder::new(2.0 + f64::from(i)).unwrap()).collect::<Vec<_>>();
        assert!(RdpCurve::new(orders(2), vec![0.0, 1.0]).is_ok());
        for (n, values) in
            [(0, vec![]), (2, vec![1.0]), (1, vec![f64::NAN]), (1, vec![-0.1]), (1, vec![f64::INFINITY])]
        {
            assert!(matches!(RdpCurve::new(orders(n), values), Err(Error::RdpCurve { .. })));
        }
    }
}
