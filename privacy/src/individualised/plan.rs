//! Three ways, and one budget for all: what each pays, the noise that keeps every group within its ε, and what answers it buys.
//!
//! The mechanism is GNMax, which answers every query, so a campaign costs what its queries cost and no expectation enters a charge.

use super::design::Planner;
use crate::Error;
use crate::planning::PublicVotes;
use crate::quantity::{Delta, Epsilon, FilterOrder, Rho, Scale, in_range};

/// Records that are protected alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    pub(super) share: f64,
    epsilon: Epsilon,
}

/// What is planned for.
#[derive(Debug, Clone, Copy)]
pub struct IndividualTarget<'a> {
    /// The groups; their shares add up to one.
    pub groups: &'a [Group],
    /// How many teachers there are, each with as many records as the others.
    pub teachers: u32,
    /// How many queries are to be asked.
    pub queries: u32,
    /// δ of every group.
    pub delta: Delta,
    /// ω of the accounts of all groups.
    pub order: FilterOrder,
}

/// How groups come to pay differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// They do not: all have the smallest of the budgets.
    Uniform,
    /// Records of groups with larger budgets are in several shards. Teachers have as many records as before, so there are more of
    /// them.
    Upsampling,
    /// Votes weigh as much as the budget allows; one on average.
    Weighting,
    /// Groups with smaller budgets vote on a share of the queries.
    Vanishing,
}

/// One way to do it.
#[derive(Debug, Clone, PartialEq)]
pub struct IndividualPlan {
    /// Which way.
    pub method: Method,
    /// The noise on each count, in votes of weight one, which is the same for all. Prices are those of the default lattice.
    pub sigma: Scale,
    /// How many teachers are trained.
    pub teachers: u32,
    /// The sum of the weights that vote on a query, on average over the queries.
    pub votes: f64,
    /// The expected share of answers that are the most frequent vote, if teachers of all groups vote alike.
    pub agreement: f64,
    /// What each group does and pays, in the order of the groups.
    pub groups: Vec<GroupCharge>,
}

/// What the records of one group do and pay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupCharge {
    /// In how many shards each record is.
    pub copies: u32,
    /// What a vote weighs, in votes.
    pub weight: f64,
    /// On how many of the queries each teacher votes.
    pub queries: u32,
    /// The price of one of these; data-independent, rounded up.
    pub per_query: Rho,
    /// The price of all of them.
    pub campaign: Rho,
    /// The most that the group's ε allows, rounded down; never below the campaign.
    pub cap: Rho,
    /// ε of the campaign, rounded up: a view of it. The guarantee is that of the cap.
    pub epsilon: f64,
}

impl Group {
    /// `share` of the teachers and of the records, within (0, 1], with a budget of `epsilon`.
    pub fn new(share: f64, epsilon: Epsilon) -> Result<Self, Error> {
        let fix = "give a part of the teachers above 0 and at most 1, such as 0.25";
        Ok(Self { share: in_range("share", share, |share| share > 0.0 && share <= 1.0, fix)?, epsilon })
    }

    /// Its budget.
    pub const fn epsilon(&self) -> Epsilon {
        self.epsilon
    }
}

impl Method {
    /// The method as one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Upsampling => "upsampling",
            Self::Weighting => "weighting",
            Self::Vanishing => "vanishing",
        }
    }
}

impl IndividualPlan {
    /// Votes on a query over the σ of its noise: the more, the more often the most frequent vote is answered.
    pub fn votes_per_sigma(&self) -> f64 {
        self.votes / self.sigma.get()
    }
}

/// A plan by every [`Method`], the most right answers first, equal ones with the simpler method first.
///
/// Refuses shares that do not add up to one or are of less than one teacher, and
/// budgets that no noise fits.
pub fn plans(target: &IndividualTarget<'_>, model: &PublicVotes) -> Result<Vec<IndividualPlan>, Error> {
    let planner = Planner::new(target)?;
    let designs = [planner.uniform()?, planner.upsampling()?, planner.weighting()?, planner.vanishing()?];
    let mut plans =
        designs.iter().map(|design| planner.plan(design, model)).collect::<Result<Vec<_>, Error>>()?;
    plans.sort_by(|a, b| b.agreement.total_cmp(&a.agreement));
    Ok(plans)
}
