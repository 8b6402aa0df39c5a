//! What queries cost under the mechanisms that select with pure differential privacy: the exponential mechanism and permute-and-flip.
//!
//! Their prices depend on the scale alone, so there is nothing data-dependent to ask, and no exact worst case is known here.

use super::sum::zcdp_loss;
use super::{Account, AccountantName, ROUNDING, too_little_noise};
use crate::Error;
use crate::accountant::{Conversion, Loss, advanced_epsilon, rdp_to_epsilon};
use crate::data_dependent::NoisyVote;
use crate::quantity::{Delta, RdpCurve, RdpOrder, Rho, Scale};

/// A mechanism that answers one class with pure ε = 2/b, in votes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Selection {
    /// Class j with probability in proportion to e^(n_j/b): its log ratios lie in a range of 2/b, which makes ρ = 1/(2b²).
    Exponential {
        /// b.
        scale: Scale,
    },
    /// The largest count after exponential noise of mean b: ρ = 2/b².
    PermuteAndFlip {
        /// b.
        scale: Scale,
    },
}

impl Selection {
    /// The accountants that price it.
    pub const ACCOUNTANTS: [AccountantName; 4] =
        [AccountantName::Pure, AccountantName::Advanced, AccountantName::Zcdp, AccountantName::Rdp];

    /// The account of `queries` queries, publishable before and after; ε and costs rounded up.
    ///
    /// Refuses the accountants that are not in [`Selection::ACCOUNTANTS`].
    pub fn account(
        self,
        accountant: AccountantName,
        queries: usize,
        delta: Delta,
        orders: &[RdpOrder],
        conversion: Conversion,
    ) -> Result<Account, Error> {
        let (name, scale, rho) = match self {
            Self::Exponential { scale } => ("the exponential mechanism", scale, 0.5),
            Self::PermuteAndFlip { scale } => ("permute-and-flip", scale, 2.0),
        };
        let times = queries as f64;
        let too_little = too_little_noise(&NoisyVote::LnMax { scale });
        let scale = scale.get();
        let (epsilon, rho) = (2.0 / scale * (1.0 + ROUNDING), rho / (scale * scale) * (1.0 + ROUNDING));
        let loss = match accountant {
            AccountantName::Pure => Loss::off_grid(times * epsilon * (1.0 + ROUNDING), None),
            AccountantName::Advanced => Loss::off_grid(advanced_epsilon(epsilon, times, delta), None),
            AccountantName::Zcdp => {
                let sum = Rho::from_nats_up(times * rho * (1.0 + ROUNDING));
                zcdp_loss(sum.ok_or(too_little)?, delta, conversion)
            }
            AccountantName::Rdp => {
                let cost = |order: &RdpOrder| times * (order.get() * rho).min(epsilon) * (1.0 + ROUNDING);
                let costs = orders.iter().map(cost).collect();
                let curve = RdpCurve::new(orders.to_vec(), costs);
                let curve = curve.map_err(|refusal| if orders.is_empty() { refusal } else { too_little })?;
                rdp_to_epsilon(&curve, delta, conversion)
            }
            _ => {
                let fix = "use pure, advanced, zcdp or rdp";
                return Err(Error::UnsupportedEvent { accountant: accountant.as_str(), event: name, fix });
            }
        };
        Ok(Account {
            accountant,
            queries,
            answered: times,
            loss,
            at_published_price: 0,
            publishable: true,
            cost_publishable: true,
        })
    }
}
