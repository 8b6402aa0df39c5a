//! The loss of one campaign stated in several ways, each with what it holds for.
//!
//! All are about the most answers that certainly fit into the campaign's part of the budget, a number that was fixed when the
//! campaign opened. None depends on a vote, so all may be published, and all are upper bounds; only the first is what the ledger
//! enforces. They follow from the campaign's terms, which are under the chain: whoever holds a ledger can work them out again, and
//! [`verify`](crate::verify::verify) does.

use std::f64::consts::SQRT_2;

use conclave_privacy::accountant::{Direction, rho_to_epsilon, rho_to_epsilon_within};
use conclave_privacy::analysis::{AccountantName, InAdvance};
use conclave_privacy::data_dependent::NoisyVote;
use conclave_privacy::mechanism::Mechanism;
use conclave_privacy::pld::{FixedPlan, PlannedNoise};
use conclave_privacy::quantity::{NoiseScale, Rho, Scale};
use serde::Serialize;

use crate::error::Result;
use crate::keys::CampaignKey;
use crate::state::CampaignState;

/// ε of the answers that fit, at the campaign's δ, as one accountant states it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// `ledger`, `zcdp`, `rdp`, `exact-worst-case`, `gaussian`, `pure`, `advanced` or `pld`; those of continuous noise on fine lattices only.
    pub accountant: &'static str,
    /// ε, rounded up.
    pub epsilon: f64,
    /// What it holds for.
    pub holds: &'static str,
    /// On which side of the loss it lies: `upper`.
    pub direction: &'static str,
    /// `adaptive`: questions may be chosen by earlier answers; `fixed-plan`: all was fixed beforehand.
    pub covers: &'static str,
    /// The Rényi order at which it was found, fixed by the campaign's terms.
    pub order: Option<f64>,
}

/// The figures of one campaign, with what they are about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CampaignFigures {
    /// Names the campaign.
    pub campaign: CampaignKey,
    /// How many answers certainly fitted into the campaign's part when it opened.
    pub answers_that_fit: u64,
    /// ε of these many answers, stated in several ways.
    pub figures: Vec<Figure>,
}

impl CampaignFigures {
    /// Worked out from the terms of `campaign`.
    pub(crate) fn of(campaign: &CampaignState) -> Result<Self> {
        let answers_that_fit = answers_that_fit(campaign);
        Ok(Self {
            campaign: campaign.terms().key.clone(),
            answers_that_fit,
            figures: figures(campaign, answers_that_fit)?,
        })
    }
}

/// How many answers certainly fit into the part of a fresh `campaign`.
fn answers_that_fit(campaign: &CampaignState) -> u64 {
    (campaign.sub_cap().units() / campaign.price().units().max(1)).min(campaign.terms().queries_max)
}

/// The figures for these many answers.
fn figures(campaign: &CampaignState, answers: u64) -> Result<Vec<Figure>> {
    let terms = campaign.terms();
    let sensitivity = terms.sensitivity()?;
    let most = |price: Rho| price.checked_mul(answers).unwrap_or(Rho::MAX);
    let published = terms.mechanism.worst_case(&sensitivity)?;
    let mut figures = vec![
        adaptive(
            "ledger",
            rho_to_epsilon_within(most(campaign.price()), terms.delta, terms.filter_order),
            "what is charged for so many answers, whichever they are and however they are chosen",
        ),
        adaptive(
            "zcdp",
            rho_to_epsilon(most(published), terms.delta),
            "the same by published prices, which bound every Renyi order",
        ),
    ];
    let votes = |scale: NoiseScale| Scale::new(scale.votes());
    let moves = f64::from(sensitivity.shift());
    let gaussian = |scale: NoiseScale, shift: f64| -> Result<PlannedNoise> {
        Ok(PlannedNoise::Gaussian { scale: votes(scale)?, shift, times: answers as f64 })
    };
    let (mechanism, plan) = match &terms.mechanism {
        Mechanism::GnMax(gnmax) => (
            NoisyVote::GnMax { sigma: votes(gnmax.sigma())? },
            vec![gaussian(gnmax.sigma(), SQRT_2 * moves)?],
        ),
        Mechanism::ConfidentGnMax(confident) => {
            let (sigma1, sigma2) = (confident.sigma1(), confident.sigma2());
            let mechanism = NoisyVote::ConfidentGnMax {
                // What is charged in advance does not depend on it.
                threshold: 0.0,
                sigma1: votes(sigma1)?,
                sigma2: votes(sigma2)?,
            };
            (mechanism, vec![gaussian(sigma1, moves)?, gaussian(sigma2, SQRT_2 * moves)?])
        }
        Mechanism::LnMax(lnmax) => (NoisyVote::LnMax { scale: votes(lnmax.scale())? }, Vec::new()),
    };
    let fine = match &terms.mechanism {
        Mechanism::GnMax(gnmax) => is_fine(gnmax.sigma()),
        Mechanism::ConfidentGnMax(confident) => is_fine(confident.sigma1()) && is_fine(confident.sigma2()),
        Mechanism::LnMax(lnmax) => is_fine(lnmax.scale()),
    };
    // A loss beyond what an accountant's figures reach has none there: the ledger is as valid as before.
    let of_plan = if plan.is_empty() || !fine { None } else { FixedPlan::new(&plan).ok() };
    if let Some(plan) = of_plan {
        let holds =
            "whoever sees the noisy counts, too: a plan fixed beforehand, of continuous Gaussian noise";
        let epsilon = plan.epsilon(terms.delta);
        figures.push(Figure { covers: FIXED_PLAN, ..adaptive("gaussian", epsilon, holds) });
    }
    let (delta, queries) = (terms.delta, answers);
    let plan = InAdvance { mechanism, sensitivity, delta, queries, answers };
    let continuous = |name| matches!(name, AccountantName::ExactWorstCase | AccountantName::Pld);
    let accounts = plan.accounts().unwrap_or_default().into_iter();
    for (name, loss) in accounts.filter(|(name, _)| fine || !continuous(*name)) {
        let (covers, holds) = match name {
            AccountantName::Rdp => (ADAPTIVE, "published Renyi costs of so many answers, at most: any use"),
            AccountantName::ExactWorstCase => (
                ADAPTIVE,
                "the exact worst case over all votes at one Renyi order: any use, of continuous noise",
            ),
            AccountantName::Pure => (ADAPTIVE, "any use, with delta 0"),
            AccountantName::Advanced => {
                (ADAPTIVE, "as many randomised responses: any questions, their number fixed beforehand")
            }
            AccountantName::Pld if matches!(mechanism, NoisyVote::LnMax { .. }) => (
                FIXED_PLAN,
                "whoever sees the noisy counts, too: a plan fixed beforehand, of continuous Laplace noise",
            ),
            // The figures above say as much.
            _ => continue,
        };
        // More than the rounding of scales from whole steps.
        let epsilon = loss.epsilon * (1.0 + 1e-12);
        figures.push(Figure { covers, order: loss.order, ..adaptive(name.as_str(), epsilon, holds) });
    }
    Ok(figures)
}

/// Whether figures of continuous noise may stand for what is drawn: on a coarser lattice it tells more than they say (14.94 for 16.00, at a
/// scale of two steps), on this one less than their last digit.
const fn is_fine(scale: NoiseScale) -> bool {
    scale.steps() >= STEPS_MIN
}

fn adaptive(accountant: &'static str, epsilon: f64, holds: &'static str) -> Figure {
    let direction = Direction::UpperBound.name();
    Figure { accountant, epsilon, holds, direction, covers: ADAPTIVE, order: None }
}

/// Steps of a lattice in one scale.
const STEPS_MIN: u64 = 1 << 20;
const ADAPTIVE: &str = "adaptive";
const FIXED_PLAN: &str = "fixed-plan";
