//! The kinds of entries, and nothing else: what each one says. Their bytes are in [`encoding`].
//!
//! | kind | written when |
//! |---|---|
//! | `genesis` | the ledger is created; always entry 1 |
//! | `start` | the ledger is opened: a new epoch |
//! | `account` | data get a budget |
//! | `campaign` | a campaign opens inside the budgets of its members |
//! | `reserve` | before votes are asked: the worst case of a batch of queries is set aside |
//! | `draw` | before noise: the vote set is frozen, silos that did not vote get their part back |
//! | `release` | before an answer leaves: answers, and the charge of what ran |
//! | `abandon` | a batch is given up before its draw; all of it is given back |
//! | `interrupt` | a draw did not reach its release: spent in full |

mod encoding;
#[cfg(test)]
mod tests;

use conclave_privacy::mechanism::Outcome;
use conclave_privacy::quantity::Rho;
use serde::Serialize;

use crate::keys::{CampaignKey, Digest, QueryKey};
use crate::terms::{AccountTerms, CampaignTerms, Genesis};

/// What one entry of the ledger says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    Genesis(Created),
    Start(Start),
    Account(AccountOpened),
    Campaign(CampaignOpened),
    Reserve(Reserve),
    Draw(Draw),
    Release(Release),
    Abandon(Abandon),
    Interrupt(Interrupt),
}

/// The ledger was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Created {
    /// The version of its format.
    pub(crate) schema: u16,
    pub(crate) terms: Genesis,
}

/// The ledger was opened by a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// Counts openings from 1; rows of a process carry it.
    pub(crate) epoch: u64,
}

/// An account with the figures that follow from its terms.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AccountOpened {
    pub(crate) terms: AccountTerms,
    /// The cap (ε, δ) as ρ, rounded down once.
    pub(crate) cap: Rho,
    /// What the predecessor had spent or reserved, if it is inherited.
    pub(crate) inherited: Rho,
}

/// A campaign with the figures that follow from its terms.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CampaignOpened {
    pub(crate) terms: CampaignTerms,
    /// The sub-cap (ε, δ) as ρ, rounded down once.
    pub(crate) sub_cap: Rho,
    /// The worst case of one query.
    pub(crate) price: Rho,
    /// What an abstention costs. Written only with a filter order; without, it follows from the mechanism.
    pub(crate) abstention: Option<Rho>,
}

/// The worst case of some queries is set aside in the campaign and in every member's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reserve {
    /// Counts reservations from 1.
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    pub(crate) campaign: CampaignKey,
    /// Worst case per query.
    pub(crate) price: Rho,
    /// Positions, in the campaign's list of members, of the accounts that are charged.
    pub(crate) members: Vec<u16>,
    /// Each query with the number of its attempt, from 1.
    pub(crate) queries: Vec<(QueryKey, u8)>,
}

/// The vote set of a reservation is frozen: from here on it is spent unless released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draw {
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    pub(crate) vote_set: Digest,
    /// Positions, in the campaign's list of members, of those whose votes are in the set; ascending.
    pub(crate) silos: Vec<u16>,
}

/// The answers of a draw, one per query in the order of its reservation, with their charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    /// The price of what ran, summed over the answers.
    pub(crate) charge: Rho,
    pub(crate) answers: Vec<Outcome>,
}

/// A reservation ends without a draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Abandon {
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    pub(crate) reason: AbandonReason,
}

/// A draw ends without a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interrupt {
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    /// Positions, in the reservation, of the queries whose last attempt this was: their stored answer is
    /// `interrupted` from here on.
    pub(crate) closed: Vec<u32>,
}

/// Why a reservation was given up before its draw. None depends on a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AbandonReason {
    /// Too few silos answered before the deadline.
    NoQuorum,
    /// Somebody stopped the campaign.
    Stopped,
    /// A silo's own guard refused.
    GuardRefused,
    /// The aggregator failed before it froze the votes.
    Failed,
}

/// How often a query may be drawn in vain before its stored answer is `interrupted`.
pub const ATTEMPTS_MAX: u8 = 3;
