//! Pure ε-DP by basic composition (Dwork, McSherry, Nissim and Smith 2006).

use super::{Accountant, Loss};
use crate::Error;
use crate::analysis::AccountantName;
use crate::event::PrivacyEvent;
use crate::quantity::{Delta, Rho};
use crate::unit::Sensitivity;

/// Adds up pure ε. It prices Laplace, exponential and Gumbel noise: Gaussian noise has no pure ε.
///
/// Moving one vote shifts two counts by one, so a noisy max of scale b costs 2/b with each of them (one count falls and another
/// rises, so the scores are not monotone), and m moves cost 2m/b; a histogram costs what its counts move, over b; kept in whole units of 2^-40 nats, rounded up.
#[derive(Debug, Clone, Default)]
pub struct PureAccountant {
    epsilon_units: Rho,
}

impl PureAccountant {
    /// Nothing spent.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Accountant for PureAccountant {
    fn accountant(&self) -> AccountantName {
        AccountantName::Pure
    }

    fn add(&mut self, event: &PrivacyEvent, sensitivity: &Sensitivity, times: u64) -> Result<(), Error> {
        let each = epsilon(event, sensitivity, self.name())?;
        let sum = each.checked_mul(times).and_then(|cost| cost.checked_add(self.epsilon_units));
        self.epsilon_units = sum.ok_or(Error::CostOverflow { field: "epsilon" })?;
        Ok(())
    }

    fn loss(&self, _delta: Delta) -> Loss {
        Loss::off_grid(self.epsilon_units.to_f64_up(), None)
    }
}

/// ε of one `event`, rounded up; refuses Gaussian noise in the name of `accountant`.
pub(super) fn epsilon(
    event: &PrivacyEvent,
    sensitivity: &Sensitivity,
    accountant: &'static str,
) -> Result<Rho, Error> {
    let scale = match *event {
        PrivacyEvent::LaplaceNoisyMax { scale }
        | PrivacyEvent::ExponentialNoisyMax { scale }
        | PrivacyEvent::GumbelNoisyMax { scale } => scale,
        PrivacyEvent::LaplaceHistogram { scale, ref moved } => {
            event.check_moved(moved, sensitivity, accountant)?;
            return moved.pure_epsilon(scale);
        }
        PrivacyEvent::GaussianNoisyMax { .. }
        | PrivacyEvent::GaussianHistogram { .. }
        | PrivacyEvent::GaussianThreshold { .. }
        | PrivacyEvent::SanitisedCost { .. } => {
            let fix = "use zcdp or rdp for Gaussian noise";
            return Err(Error::UnsupportedEvent { accountant, event: event.name(), fix });
        }
    };
    let numerator = 2 * u128::from(sensitivity.shift());
    Rho::ratio_up("epsilon", numerator, scale.lattice().bits().into(), scale.steps().into())
}
