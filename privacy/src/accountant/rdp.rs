//! Rényi-DP (Mironov 2017) with the published data-independent costs of the PATE mechanisms.
//!
//! With m moves and σ, b in votes, per event at order α:
//!
//! - noisy max with Gaussian noise: αm²/σ² (Papernot et al. 2018, Proposition 8, for m = 1);
//! - threshold test: αm²/(2σ1²) (Mironov 2017, Proposition 7: a Gaussian on a statistic that changes by at
//!   most m);
//! - noisy max with Laplace noise: min(2αm²/b², 2m/b) (Papernot et al. 2017, Theorem 2, and pure DP with ε =
//!   2m/b), and with exponential noise, for the same reason;
//! - noisy max with Gumbel noise: min(αm²/(2b²), 2m/b) (Cesar and Rogers 2021: a range of η = 2m/b gives αη²/8).
//!
//! - a noisy histogram: αL2²/(2σ²), and min(αL2²/(2b²), L1/b) with Laplace noise;
//! - a sanitised cost: [`crate::smooth_sensitivity::release_cost`], one moved vote, at orders where it is bounded.
//!
//! Values are doubles, rounded up.

use super::conversion::rdp_to_epsilon;
use super::{Accountant, Conversion, Loss};
use crate::Error;
use crate::analysis::AccountantName;
use crate::event::PrivacyEvent;
use crate::quantity::{Delta, RdpCurve, RdpOrder};
use crate::smooth_sensitivity::sanitised_cost;
use crate::unit::{HistogramSensitivity, Sensitivity};

/// Adds up R(α) on a list of orders.
#[derive(Debug, Clone)]
pub struct RdpAccountant {
    curve: RdpCurve,
    conversion: Conversion,
}

impl RdpAccountant {
    /// Nothing spent, on [`RdpAccountant::default_orders`].
    #[expect(clippy::missing_panics_doc, reason = "the default orders are never empty")]
    pub fn new(conversion: Conversion) -> Self {
        Self::with_orders(Self::default_orders(), conversion).expect("the default orders are not empty")
    }

    /// Nothing spent, on `orders`. Refuses an empty list.
    pub fn with_orders(orders: Vec<RdpOrder>, conversion: Conversion) -> Result<Self, Error> {
        let values = vec![0.0; orders.len()];
        Ok(Self { curve: RdpCurve::new(orders, values)?, conversion })
    }

    /// Orders from 1.05 to about 10^6, each α - 1 five per cent above the last: close enough to the best
    /// order that ε is within a thousandth of the continuous optimum.
    pub fn default_orders() -> Vec<RdpOrder> {
        let less_one = std::iter::successors(Some(0.05), |less_one| Some(less_one * 1.05));
        less_one
            .take_while(|less_one| *less_one < 1e6)
            .flat_map(|less_one| RdpOrder::new(1.0 + less_one))
            .collect()
    }

    /// R(α) of all that was added.
    pub const fn curve(&self) -> &RdpCurve {
        &self.curve
    }
}

/// R(α) of one `event` in nats, rounded up.
fn cost(event: &PrivacyEvent, order: RdpOrder, sensitivity: &Sensitivity) -> f64 {
    let alpha = order.get();
    // Divided by the scale in votes; steps above 2^53 are rounded, which round_up covers.
    let in_scales =
        |votes: f64| votes * event.scale().lattice().steps_per_vote() as f64 / event.scale().steps() as f64;
    let ratio = in_scales(f64::from(sensitivity.shift()));
    let squares = |moved: &HistogramSensitivity| in_scales(in_scales(moved.l2_square() as f64));
    let cost = match event {
        PrivacyEvent::GaussianNoisyMax { .. } => alpha * ratio * ratio,
        PrivacyEvent::GaussianThreshold { .. } => alpha * ratio * ratio / 2.0,
        PrivacyEvent::LaplaceNoisyMax { .. } | PrivacyEvent::ExponentialNoisyMax { .. } => {
            (2.0 * alpha * ratio * ratio).min(2.0 * ratio)
        }
        PrivacyEvent::GumbelNoisyMax { .. } => (alpha * ratio * ratio / 2.0).min(2.0 * ratio),
        PrivacyEvent::GaussianHistogram { moved, .. } => alpha * squares(moved) / 2.0,
        PrivacyEvent::LaplaceHistogram { moved, .. } => {
            (alpha * squares(moved) / 2.0).min(in_scales(moved.l1() as f64))
        }
        PrivacyEvent::SanitisedCost { beta, sigma } => {
            let bounded = sensitivity.is_one_moved_vote();
            sanitised_cost(alpha, *beta, *sigma).filter(|_| bounded).unwrap_or(f64::INFINITY)
        }
    };
    round_up(cost)
}

/// Above the exact value after at most six operations on positive numbers, each within half a unit in the
/// last place.
fn round_up(value: f64) -> f64 {
    value * (1.0 + 8.0 * f64::EPSILON)
}

impl Accountant for RdpAccountant {
    fn accountant(&self) -> AccountantName {
        AccountantName::Rdp
    }

    fn add(&mut self, event: &PrivacyEvent, sensitivity: &Sensitivity, times: u64) -> Result<(), Error> {
        if let PrivacyEvent::LaplaceHistogram { moved, .. } | PrivacyEvent::GaussianHistogram { moved, .. } =
            event
        {
            event.check_moved(moved, sensitivity, self.name())?;
        }
        if self.curve.orders().iter().any(|order| cost(event, *order, sensitivity).is_infinite()) {
            let fix = "give orders below 1/(2 beta) only, and a unit that moves one vote";
            return Err(Error::UnsupportedEvent { accountant: self.name(), event: event.name(), fix });
        }
        let sums = self.curve.points().map(|(order, so_far)| {
            let added = cost(event, order, sensitivity) * times as f64;
            round_up(so_far + added)
        });
        let orders = self.curve.orders().to_vec();
        self.curve =
            RdpCurve::new(orders, sums.collect()).map_err(|_| Error::CostOverflow { field: "rdp" })?;
        Ok(())
    }

    fn loss(&self, delta: Delta) -> Loss {
        rdp_to_epsilon(&self.curve, delta, self.conversion)
    }
}
