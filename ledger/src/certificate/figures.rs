//! The loss of one campaign stated in several ways, each with what it holds for.
//!
//! All are about the most answers that certainly fit into the campaign's part of the budget, a number that was fixed when the
//! campaign opened. None depends on a vote, so all may be published; only the first is what the ledger enforces.

use std::f64::consts::SQRT_2;

use conclave_privacy::accountant::{rho_to_epsilon, rho_to_epsilon_within};
use conclave_privacy::mechanism::Mechanism;
use conclave_privacy::pld::{FixedPlan, PlannedNoise};
use conclave_privacy::quantity::{NoiseScale, Rho, Scale};
use serde::Serialize;

use crate::error::Result;
use crate::state::CampaignState;

/// ε of the answers that fit, at the campaign's δ, as one accountant states it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// `ledger`, `zcdp`, `gaussian` or `pure`.
    pub accountant: &'static str,
    /// ε, rounded up.
    pub epsilon: f64,
    /// What it holds for.
    pub holds: &'static str,
}

/// How many answers certainly fit into the part of a fresh `campaign`.
pub(super) fn answers_that_fit(campaign: &CampaignState) -> u64 {
    (campaign.sub_cap().units() / campaign.price().units().max(1)).min(campaign.terms().queries_max)
}

/// The figures for these many answers.
pub(super) fn of(campaign: &CampaignState, answers: u64) -> Result<Vec<Figure>> {
    let terms = campaign.terms();
    let sensitivity = terms.sensitivity()?;
    let most = |price: Rho| price.checked_mul(answers).unwrap_or(Rho::MAX);
    let published = terms.mechanism.worst_case(&sensitivity)?;
    let mut figures = vec![
        Figure {
            accountant: "ledger",
            epsilon: rho_to_epsilon_within(most(campaign.price()), terms.delta, terms.filter_order),
            holds: "what is charged: any use, questions and stopping chosen by the answers included",
        },
        Figure {
            accountant: "zcdp",
            epsilon: rho_to_epsilon(most(published), terms.delta),
            holds: "the same by published prices, which bound every Renyi order",
        },
    ];
    let moves = f64::from(sensitivity.moves());
    let gaussian = |scale: NoiseScale, shift: f64| -> Result<PlannedNoise> {
        Ok(PlannedNoise::Gaussian { scale: Scale::new(scale.votes())?, shift, times: answers as f64 })
    };
    let plan = match &terms.mechanism {
        Mechanism::GnMax(gnmax) => vec![gaussian(gnmax.sigma(), SQRT_2 * moves)?],
        Mechanism::ConfidentGnMax(confident) => {
            vec![gaussian(confident.sigma1(), moves)?, gaussian(confident.sigma2(), SQRT_2 * moves)?]
        }
        Mechanism::LnMax(lnmax) => {
            figures.push(Figure {
                accountant: "pure",
                epsilon: 2.0 * moves * answers as f64 / lnmax.scale().votes() * (1.0 + 1e-12),
                holds: "any use, with delta 0",
            });
            return Ok(figures);
        }
    };
    figures.push(Figure {
        accountant: "gaussian",
        epsilon: FixedPlan::new(&plan)?.epsilon(terms.delta),
        holds: "whoever sees the noisy counts, too: a plan fixed beforehand, of continuous Gaussian noise",
    });
    Ok(figures)
}
