//! Zero-concentrated DP (Bun and Steinke 2016): one ρ, added up in the same whole units as the ledger.

use super::conversion::rho_to_loss;
use super::{Accountant, Conversion, Loss, rho_to_epsilon_classic};
use crate::Error;
use crate::analysis::AccountantName;
use crate::event::PrivacyEvent;
use crate::quantity::{Delta, Rho};
use crate::unit::Sensitivity;

/// Adds up ρ by the prices of [`crate::event`], those that the filter enforces.
#[derive(Debug, Clone, Default)]
pub struct ZcdpAccountant {
    rho: Rho,
    conversion: Conversion,
}

impl ZcdpAccountant {
    /// Nothing spent.
    pub const fn new(conversion: Conversion) -> Self {
        Self { rho: Rho::ZERO, conversion }
    }

    /// ρ of all that was added.
    pub const fn rho(&self) -> Rho {
        self.rho
    }
}

impl Accountant for ZcdpAccountant {
    fn accountant(&self) -> AccountantName {
        AccountantName::Zcdp
    }

    fn add(&mut self, event: &PrivacyEvent, sensitivity: &Sensitivity, times: u64) -> Result<(), Error> {
        let cost = event.price(sensitivity)?.checked_mul(times);
        let sum = cost.and_then(|cost| self.rho.checked_add(cost));
        self.rho = sum.ok_or(Error::CostOverflow { field: "rho" })?;
        Ok(())
    }

    fn loss(&self, delta: Delta) -> Loss {
        match self.conversion {
            Conversion::Tight => rho_to_loss(self.rho, delta),
            Conversion::Classic => Loss::off_grid(rho_to_epsilon_classic(self.rho, delta), None),
        }
    }
}
