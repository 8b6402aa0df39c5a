//! Accountants: what a sequence of events amounts to, as (ε, δ).
//!
//! | accountant | composes | events | δ |
//! |---|---|---|---|
//! | [`PureAccountant`] | ε, by addition | all without Gaussian noise | any; it holds at δ = 0 |
//! | [`AdvancedAccountant`] | ε, as randomised responses compose | all without Gaussian noise | of the theorem |
//! | [`ZcdpAccountant`] | ρ, by addition of whole units | all | by conversion |
//! | [`RdpAccountant`] | R(α) at each order, by addition | all | by conversion |
//!
//! Each says whether its result may be published, and in which [`Direction`] it errs; [`AccountantName`] has all ten, of which those that depend
//! on votes, and those of fixed plans, are asked in [`crate::analysis`]. Each says which events it can price and refuses the others with [`Error::UnsupportedEvent`]: never a guess.
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
use crate::analysis::AccountantName;
use crate::event::PrivacyEvent;
use crate::quantity::Delta;
use crate::unit::Sensitivity;

/// Sums up the loss of events for one privacy unit.
pub trait Accountant {
    /// Which of the accountants it is.
    fn accountant(&self) -> AccountantName;

    /// Adds `times` occurrences of `event`. Refuses events that it cannot price, and sums that overflow; then
    /// nothing changes.
    fn add(&mut self, event: &PrivacyEvent, sensitivity: &Sensitivity, times: u64) -> Result<(), Error>;

    /// ε at `delta` for all that was added; it errs as [`Accountant::direction`] says.
    fn loss(&self, delta: Delta) -> Loss;

    /// The name on the command line and in reports.
    fn name(&self) -> &'static str {
        self.accountant().as_str()
    }

    /// Whether its result is the same for all votes, so that it may be published.
    fn publishable(&self) -> bool {
        self.accountant().cost_publishable() && self.accountant().is_guarantee()
    }

    /// Where its result lies beside the loss that it is about.
    fn direction(&self) -> Direction {
        self.accountant().direction()
    }
}

/// Where a result lies beside what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Never below it.
    UpperBound,
    /// The Rényi costs are those of the law, but for a quadrature error that is proven and added; ε is above its own by what the conversion
    /// of Rényi costs leaves open, and never below. Where quadrature ends (Laplace noise and more than 128 classes, say) an upper bound stands
    /// in.
    Exact,
    /// Never below the loss from the given votes to a neighbour; the loss from the neighbour may be larger.
    OneDirection,
    /// Never above it.
    LowerBound,
}

impl Direction {
    /// The direction as one word: `upper`, `exact`, `one-direction` or `lower`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UpperBound => "upper",
            Self::Exact => "exact",
            Self::OneDirection => "one-direction",
            Self::LowerBound => "lower",
        }
    }

    /// What it says, in a few words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::UpperBound => "upper bound",
            Self::Exact => "exact costs, rounded up",
            Self::OneDirection => "upper bound in one direction of two",
            Self::LowerBound => "lower bound",
        }
    }
}

/// The privacy loss, as one accountant states it.
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
