//! Between (ε, δ) and the ρ of an account that bounds the Rényi orders up to ω.
//!
//! Such an account promises D_α <= αρ at each of its orders ([`FilterOrder::orders`]) and nothing at any other. So ε is the
//! smallest over those orders alone, by the tight conversion: the minimum may be taken afterwards and δ is not split, since
//! all of them hold at once. Without a limit these are [`rho_to_epsilon`] and [`epsilon_to_rho`].

use super::conversion::{Conversion, largest_rho, rdp_to_epsilon};
use super::{epsilon_to_rho, rho_to_epsilon};
use crate::quantity::{Delta, Epsilon, FilterOrder, RdpCurve, RdpOrder, Rho};

/// ε at `delta` of an amount in an account of order `order`, rounded up; 0 for nothing.
#[expect(clippy::missing_panics_doc, reason = "the orders are above 1, and there is a value for each")]
pub fn rho_to_epsilon_within(rho: Rho, delta: Delta, order: FilterOrder) -> f64 {
    if order.is_unbounded() || rho == Rho::ZERO {
        return rho_to_epsilon(rho, delta);
    }
    let nats = rho.to_f64_up();
    let orders = order.orders().iter().map(|&alpha| RdpOrder::new(alpha).expect("above 1")).collect();
    let losses = order.orders().iter().map(|&alpha| (alpha * nats).next_up()).collect();
    let curve = RdpCurve::new(orders, losses).expect("a finite loss for each order");
    rdp_to_epsilon(&curve, delta, Conversion::Tight).epsilon
}

/// The largest whole number of units of ρ whose [`rho_to_epsilon_within`] at `delta` is at most `epsilon`: rounded **down**.
/// Zero if ω is too small for such an ε.
pub fn epsilon_to_rho_within(epsilon: Epsilon, delta: Delta, order: FilterOrder) -> Rho {
    largest_rho(|rho| rho_to_epsilon_within(rho, delta, order) <= epsilon.get())
}

/// The order for a new account with this cap: [`FilterOrder::DEFAULT`], or a larger one where ε is so small that the best
/// order of the conversion is far above it, down to plain zCDP.
///
/// It rests on the cap alone, which was fixed before anything was asked.
pub fn filter_order_for(epsilon: Epsilon, delta: Delta) -> FilterOrder {
    let plain = epsilon_to_rho(epsilon, delta);
    let holds_most = |order: &FilterOrder| {
        let cap = epsilon_to_rho_within(epsilon, delta, *order);
        u128::from(cap.units()) * 10 >= u128::from(plain.units()) * 9
    };
    FilterOrder::CANDIDATES.into_iter().find(holds_most).unwrap_or(FilterOrder::UNBOUNDED)
}
