//! The Rényi filter at one order that was fixed beforehand.
//!
//! If each step has, given the past, a Rényi divergence of at most R_t at order α, and ΣR_t never exceeds the cap, then all that
//! is released has D_α at most the cap, however the steps are chosen: Feldman and Zrnic, *Individual Privacy Accounting
//! via a Rényi Filter* (NeurIPS 2021), Theorem 3.1; Lécuyer 2021. It takes any Rényi curve, the exact ones too, but ε
//! holds at this order alone: looking for a better order afterwards is not covered.

use super::allowance::Allowance;
use crate::Error;
use crate::accountant::{Conversion, rdp_to_epsilon};
use crate::event::PrivacyEvent;
use crate::quantity::{Delta, Epsilon, RdpCurve, RdpOrder, RenyiLoss};
use crate::unit::Sensitivity;

/// Admits steps while the sum of their R(α) stays within its cap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FixedOrderFilter {
    order: RdpOrder,
    allowance: Allowance<RenyiLoss>,
}

impl FixedOrderFilter {
    /// A fresh account at `order`.
    pub const fn new(order: RdpOrder, cap: RenyiLoss) -> Self {
        Self { order, allowance: Allowance::new(cap) }
    }

    /// The largest cap at `order` whose answers are (ε, δ)-DP, rounded down.
    ///
    /// Refuses an order at which not even nothing would be: one too small for this ε and δ.
    pub fn for_target(
        epsilon: Epsilon,
        delta: Delta,
        order: RdpOrder,
        conversion: Conversion,
    ) -> Result<Self, Error> {
        let fits = |units: u64| {
            let cap = RenyiLoss::from_units(units);
            order_epsilon(cap, order, delta, conversion).is_ok_and(|found| found <= epsilon.get())
        };
        let (mut low, mut high) = (0, u64::MAX);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if fits(middle) { low = middle } else { high = middle }
        }
        let filter = Self::new(order, RenyiLoss::from_units(low));
        // A cap that δ covers all by itself is no use of this order.
        if low == 0 || filter.epsilon(delta, conversion)? <= 0.0 {
            let fix = "choose a larger order, a larger epsilon or a larger delta: nothing fits at this order";
            return Err(Error::OutOfRange { field: "order", value: order.get(), fix });
        }
        Ok(filter)
    }

    /// The price of a step on the lattice at this order: α times its ρ, or its pure ε if that is less; rounded up.
    pub fn price(&self, event: &PrivacyEvent, sensitivity: &Sensitivity) -> Result<RenyiLoss, Error> {
        let by_rho = event.price(sensitivity)?.to_f64_up() * self.order.get() * (1.0 + f64::EPSILON);
        let pure = match event {
            PrivacyEvent::LaplaceNoisyMax { scale } => {
                let steps = f64::from(sensitivity.shift()) * scale.lattice().steps_per_vote() as f64;
                2.0 * steps / scale.steps() as f64 * (1.0 + 4.0 * f64::EPSILON)
            }
            PrivacyEvent::LaplaceHistogram { scale, moved } => {
                let steps = moved.l1() as f64 * scale.lattice().steps_per_vote() as f64;
                steps / scale.steps() as f64 * (1.0 + 4.0 * f64::EPSILON)
            }
            _ => f64::INFINITY,
        };
        RenyiLoss::from_f64_up(by_rho.min(pure)).ok_or(Error::CostOverflow { field: "price" })
    }

    /// Sets `worst_case` aside, or refuses with [`Error::FilterExceeded`] and changes nothing.
    pub fn reserve(&mut self, worst_case: RenyiLoss) -> Result<(), Error> {
        self.allowance.reserve(worst_case)
    }

    /// Replaces a reservation by what was charged, and gives back the rest; refuses to settle more than was reserved.
    pub fn settle(&mut self, reservation: RenyiLoss, charged: RenyiLoss) -> Result<(), Error> {
        self.allowance.settle(reservation, charged)
    }

    /// α.
    pub const fn order(&self) -> RdpOrder {
        self.order
    }

    /// The cap: what the guarantee is about.
    pub const fn cap(&self) -> RenyiLoss {
        self.allowance.cap()
    }

    /// What settled charges have spent; a figure after the fact.
    pub const fn spent(&self) -> RenyiLoss {
        self.allowance.spent()
    }

    /// The largest worst case that would be granted now.
    pub fn left(&self) -> RenyiLoss {
        self.allowance.left()
    }

    /// ε of the cap at `delta`, at this order, rounded up.
    pub fn epsilon(&self, delta: Delta, conversion: Conversion) -> Result<f64, Error> {
        order_epsilon(self.cap(), self.order, delta, conversion)
    }
}

fn order_epsilon(
    cap: RenyiLoss,
    order: RdpOrder,
    delta: Delta,
    conversion: Conversion,
) -> Result<f64, Error> {
    let curve = RdpCurve::new(vec![order], vec![cap.to_f64_up()])?;
    Ok(rdp_to_epsilon(&curve, delta, conversion).epsilon)
}
