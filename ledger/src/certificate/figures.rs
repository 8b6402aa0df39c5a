//! The loss of one campaign stated in several ways, each with what it holds for.
//!
//! All are about the most answers that certainly fit into the campaign's part of the budget, a number that was fixed when the
//! campaign opened. None depends on a vote, so all may be published, and all are upper bounds; only the first is what the ledger
//! enforces. They follow from the campaign's terms, which are under the chain: whoever holds a ledger can work them out again, and
//! [`verify`](crate::verify::verify) does.

use conclave_privacy::accountant::{Direction, rho_to_epsilon, rho_to_epsilon_within};
use conclave_privacy::analysis::{AccountantName, InAdvance};
use conclave_privacy::data_dependent::NoisyVote;
use conclave_privacy::mechanism::Mechanism;
use conclave_privacy::quantity::{Delta, FilterOrder, NoiseScale, Rho, Scale};
use conclave_privacy::unit::Sensitivity;
use serde::Serialize;

use crate::error::Result;
use crate::keys::CampaignKey;
use crate::state::CampaignState;

/// ε of the answers that fit, at the campaign's δ, as one accountant states it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// `ledger`, `zcdp`, `rdp`, `exact-worst-case`, `gaussian`, `pure`, `advanced` or `pld`, those that its noise has.
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
    /// Worked out from the terms of each campaign, in their order. Exact worst cases are searched, so equal terms are worked out once.
    pub(crate) fn of_all<'a>(campaigns: impl Iterator<Item = &'a CampaignState>) -> Result<Vec<Self>> {
        let mut known: Vec<(Said<'a>, Vec<Figure>)> = Vec::new();
        campaigns
            .map(|campaign| {
                let said = Said::of(campaign)?;
                let earlier = known.iter().find(|(other, _)| *other == said);
                let figures = if let Some((_, figures)) = earlier {
                    figures.clone()
                } else {
                    let figures = figures(&said)?;
                    known.push((said, figures.clone()));
                    figures
                };
                let answers_that_fit = answers_that_fit(campaign);
                Ok(Self { campaign: campaign.terms().key.clone(), answers_that_fit, figures })
            })
            .collect()
    }
}

/// All that the figures of a campaign depend on.
#[derive(PartialEq)]
struct Said<'a> {
    mechanism: &'a Mechanism,
    sensitivity: Sensitivity,
    delta: Delta,
    filter_order: FilterOrder,
    price: Rho,
    answers: u64,
}

impl<'a> Said<'a> {
    fn of(campaign: &'a CampaignState) -> Result<Self> {
        let terms = campaign.terms();
        Ok(Self {
            mechanism: &terms.mechanism,
            sensitivity: terms.sensitivity()?,
            delta: terms.delta,
            filter_order: terms.filter_order,
            price: campaign.price(),
            answers: answers_that_fit(campaign),
        })
    }
}

/// How many answers certainly fit into the part of a fresh `campaign`.
fn answers_that_fit(campaign: &CampaignState) -> u64 {
    (campaign.sub_cap().units() / campaign.price().units().max(1)).min(campaign.terms().queries_max)
}

/// The figures of the answers that fit.
fn figures(said: &Said<'_>) -> Result<Vec<Figure>> {
    let Said { sensitivity, delta, answers, .. } = *said;
    let most = |price: Rho| price.checked_mul(answers).unwrap_or(Rho::MAX);
    let published = said.mechanism.worst_case(&sensitivity)?;
    let mut figures = vec![
        adaptive(
            "ledger",
            rho_to_epsilon_within(most(said.price), delta, said.filter_order),
            "what is charged for so many answers, whichever they are and however they are chosen",
        ),
        adaptive(
            "zcdp",
            rho_to_epsilon(most(published), delta),
            "the same by published prices, which bound every Renyi order",
        ),
    ];
    let votes = |scale: NoiseScale| Scale::new(scale.votes());
    let mechanism = match said.mechanism {
        Mechanism::GnMax(gnmax) => NoisyVote::GnMax { sigma: votes(gnmax.sigma())? },
        Mechanism::ConfidentGnMax(confident) => NoisyVote::ConfidentGnMax {
            // What is charged in advance does not depend on it.
            threshold: 0.0,
            sigma1: votes(confident.sigma1())?,
            sigma2: votes(confident.sigma2())?,
        },
        Mechanism::LnMax(lnmax) => NoisyVote::LnMax { scale: votes(lnmax.scale())? },
    };
    let lattice = Some(said.mechanism.lattice());
    let plan = InAdvance { mechanism, lattice, sensitivity, delta, queries: answers, answers };
    for (name, loss) in plan.accounts()? {
        let (accountant, covers, holds) = match name {
            AccountantName::Rdp => {
                (name.as_str(), ADAPTIVE, "published Renyi costs of so many answers, at most: any use")
            }
            AccountantName::ExactWorstCase => {
                (name.as_str(), ADAPTIVE, "the exact worst case over all votes at one Renyi order: any use")
            }
            AccountantName::Pure => (name.as_str(), ADAPTIVE, "any use, with delta 0"),
            AccountantName::Advanced => (
                name.as_str(),
                ADAPTIVE,
                "as many randomised responses: any questions, their number fixed beforehand",
            ),
            AccountantName::Gdp => {
                ("gaussian", FIXED_PLAN, "whoever sees the noisy counts, too: a plan fixed beforehand")
            }
            AccountantName::Pld if matches!(mechanism, NoisyVote::LnMax { .. }) => {
                (name.as_str(), FIXED_PLAN, "whoever sees the noisy counts, too: a plan fixed beforehand")
            }
            // The figures above say as much.
            _ => continue,
        };
        // More than the rounding of scales from whole steps.
        let epsilon = loss.epsilon * (1.0 + 1e-12);
        figures.push(Figure { covers, order: loss.order, ..adaptive(accountant, epsilon, holds) });
    }
    Ok(figures)
}

fn adaptive(accountant: &'static str, epsilon: f64, holds: &'static str) -> Figure {
    let direction = Direction::UpperBound.name();
    Figure { accountant, epsilon, holds, direction, covers: ADAPTIVE, order: None }
}

const ADAPTIVE: &str = "adaptive";
const FIXED_PLAN: &str = "fixed-plan";
