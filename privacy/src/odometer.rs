//! What has been spent, at any moment that one cares to look: **ex post**, and no guarantee.
//!
//! For steps chosen adaptively with R_t bounding the Rényi divergence at one order α given the past,
//! exp((α-1)(L_t - ΣR)) is a supermartingale that starts at 1, L_t being the realised privacy loss of all that was released. Ville's
//! inequality (1939) bounds its largest value: except with probability δ, **at all times at once**,
//!
//! L_t <= ΣR + ln(1/δ)/(α-1),
//!
//! which is the classic conversion at this order. It tells about the loss of this run, after the fact, and may grow
//! without end; the guarantee of an account is that of a [filter](crate::filter)'s cap. Neither the tight conversion nor another
//! order is covered, and so order and δ are fixed when the odometer is made. Compare Rogers, Roth, Ullman and Vadhan 2016 and
//! Lécuyer 2021.

use crate::Error;
use crate::accountant::{Conversion, rdp_to_epsilon};
use crate::quantity::{Amount, Delta, RdpCurve, RdpOrder, RenyiLoss};

/// A running bound on the realised loss of steps chosen adaptively; ex post.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExPostOdometer {
    order: RdpOrder,
    delta: Delta,
    spent: RenyiLoss,
}

impl ExPostOdometer {
    /// Nothing spent, for one order and one δ.
    pub fn new(order: RdpOrder, delta: Delta) -> Self {
        Self { order, delta, spent: RenyiLoss::ZERO }
    }

    /// Adds a step that cost `loss` at this order. Refuses a sum that cannot be written down, and keeps the old one.
    pub fn add(&mut self, loss: RenyiLoss) -> Result<(), Error> {
        self.spent = self.spent.plus(loss).ok_or(Error::CostOverflow { field: "spent" })?;
        Ok(())
    }

    /// α.
    pub const fn order(&self) -> RdpOrder {
        self.order
    }

    /// ΣR.
    pub const fn spent(&self) -> RenyiLoss {
        self.spent
    }

    /// ε ex post: what the realised loss has not exceeded at any time so far, except with probability δ. Rounded up.
    pub fn epsilon_ex_post(&self) -> Result<f64, Error> {
        let curve = RdpCurve::new(vec![self.order], vec![self.spent.to_f64_up()])?;
        Ok(rdp_to_epsilon(&curve, self.delta, Conversion::Classic).epsilon)
    }
}
