//! Accountants: what a sequence of events amounts to, as (ε, δ).
//!
//! | accountant | composes | events | δ |
//! |---|---|---|---|
//! | [`PureAccountant`] | ε, by addition | all without Gaussian noise | any; it holds at δ = 0 |
//! | [`AdvancedAccountant`] | ε, as randomised responses compose | all without Gaussian noise | of the theorem |
//! | [`ZcdpAccountant`] | ρ, by addition of whole units | all | by conversion |
//! | [`RdpAccountant`] | R(α) at each order, by addition | all | by conversion |
//!
//! All of them are data-independent, so what they say may be published. Each says which events it can price and
//! refuses the others with [`Error::UnsupportedEvent`]: never a guess. All round towards more loss.
//! Enforcement uses none of them but the integers of [`crate::filter`]; these are for planning, for reports
//! and for comparison with the literature.

mod advanced;
mod conversion;
mod pure;
mod rdp;
mod truncated;
mod zcdp;

pub use advanced::AdvancedAccountant;
pub(crate) use advanced::advanced_epsilon;
pub(crate) use conversion::rho_to_loss;
pub use conversion::{
    Conversion, epsilon_to_rho, rdp_to_delta, rdp_to_epsilon, rho_to_epsilon, rho_to_epsilon_classic,
};
pub use pure::PureAccountant;
pub use rdp::RdpAccountant;
pub use truncated::{epsilon_to_rho_within, filter_order_for, rho_to_epsilon_within};
pub use zcdp::ZcdpAccountant;

use crate::Error;
use crate::event::PrivacyEvent;
use crate::quantity::Delta;
use crate::unit::Sensitivity;

/// Sums up the loss of events for one privacy unit.
pub trait Accountant {
    /// The name on the command line and in reports.
    fn name(&self) -> &'static str;

    /// Adds `times` occurrences of `event`. Refuses events that it cannot price, and sums that overflow; then
    /// nothing changes.
    fn add(&mut self, event: &PrivacyEvent, sensitivity: &Sensitivity, times: u64) -> Result<(), Error>;

    /// An upper bound on ε at `delta` for all that was added.
    fn loss(&self, delta: Delta) -> Loss;
}

/// An upper bound on the privacy loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// ε in nats; 0 if nothing was spent.
    pub epsilon: f64,
    /// The Rényi order at which it was found, for accountants that have orders.
    pub order: Option<f64>,
    /// **Warning**: that order is the lowest or the highest of a grid, so other orders may give less.
    pub order_at_end: bool,
}

impl Loss {
    /// A bound that was not found on a grid of orders.
    pub(crate) const fn off_grid(epsilon: f64, order: Option<f64>) -> Self {
        Self { epsilon, order, order_at_end: false }
    }
}
