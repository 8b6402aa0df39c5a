//! What the entries add up to. One function, [`State::apply`], decides whether an entry may follow the ones
//! before it; writing, recovery and verification all go through it, so none can be laxer than the others.
//!
//! Every decision rests on integers and on figures that do not depend on any vote.

mod drawing;
mod opening;
#[cfg(conclave_weakened = "selectable")]
mod weakened;

use std::collections::{BTreeMap, HashMap};

use conclave_privacy::counts::ClassIndex;
use conclave_privacy::filter::ZcdpFilter;
use conclave_privacy::mechanism::Outcome;
use conclave_privacy::quantity::Rho;

use crate::entry::{Created, Entry};
use crate::error::{LedgerError, Result};
use crate::keys::{CampaignKey, DataKey, Digest, QueryKey};
use crate::terms::{AccountTerms, CampaignTerms, Genesis};

/// The sum of a ledger's entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    created: Option<Created>,
    epoch: u64,
    accounts: Vec<AccountState>,
    account_of: HashMap<DataKey, usize>,
    latest_of: HashMap<String, usize>,
    campaigns: Vec<Campaign>,
    campaign_of: HashMap<CampaignKey, usize>,
    open: BTreeMap<u64, Open>,
    last_reservation: u64,
}

/// An account as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountState {
    terms: AccountTerms,
    filter: ZcdpFilter,
    inherited: Rho,
    successor: Option<DataKey>,
    opened_at_ms: u64,
}

/// A campaign as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct CampaignState {
    terms: CampaignTerms,
    filter: ZcdpFilter,
    price: Rho,
    abstention: Rho,
    held: u64,
    answers: AnswerTotals,
    opened_at_ms: u64,
}

/// How many stored answers of each kind a campaign has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerTotals {
    /// Labels.
    pub labels: u64,
    /// Abstentions.
    pub abstained: u64,
    /// Queries closed after [`crate::ATTEMPTS_MAX`] interrupted draws.
    pub interrupted: u64,
}

/// A stored answer. It exists only after its charge is durable, and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    query: QueryKey,
    answer: Answer,
    attempt: u8,
    position: u64,
    entry: u64,
}

/// What a query got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// A label.
    Label(ClassIndex),
    /// The teachers did not agree enough.
    Abstained,
    /// Its draws were cut short too often; it is drawn no more.
    Interrupted,
}

/// A campaign with its answers.
#[derive(Clone, Debug)]
struct Campaign {
    state: CampaignState,
    /// Positions of the members among the accounts.
    members: Vec<usize>,
    released: Vec<Released>,
    standing: HashMap<QueryKey, Standing>,
}

/// Where a query of a campaign stands.
#[derive(Clone, Copy, Debug)]
enum Standing {
    /// In an open reservation.
    InFlight,
    /// Drawn in vain this many times, free to be reserved again.
    Cut(u8),
    /// Answered: its position among the released.
    Answered(usize),
}

/// A reservation that has not ended.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    campaign: usize,
    pub(crate) queries: Vec<(QueryKey, u8)>,
    drawn: Option<Drawn>,
}

/// The frozen vote set of a reservation.
#[derive(Clone, Debug)]
struct Drawn {
    epoch: u64,
    vote_set: Digest,
    silos: Vec<u16>,
}

/// Where an entry stands in the ledger.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(crate) seq: u64,
    pub(crate) recorded_at_ms: u64,
}

impl State {
    /// Adds an entry, or says why it may not stand here and changes nothing.
    pub(crate) fn apply(&mut self, at: At, entry: &Entry) -> Result<()> {
        if let Entry::Genesis(genesis) = entry {
            if self.created.is_some() || at.seq != 1 {
                return Err(misplaced("genesis", "entry 1 alone is the genesis"));
            }
            self.created = Some(*genesis);
            return Ok(());
        }
        if self.created.is_none() {
            return Err(misplaced(entry.kind(), "entry 1 must be the genesis"));
        }
        match entry {
            Entry::Genesis(_) => unreachable!("handled above"),
            Entry::Start(start) => {
                if start.epoch != self.epoch + 1 {
                    return Err(misplaced("start", "epochs count up by one"));
                }
                self.epoch = start.epoch;
                Ok(())
            }
            Entry::Account(account) => self.apply_account(at, account),
            Entry::Campaign(campaign) => self.apply_campaign(at, campaign),
            Entry::Reserve(reserve) => self.apply_reserve(reserve),
            Entry::Draw(draw) => self.apply_draw(draw),
            Entry::Release(release) => self.apply_release(at, release),
            Entry::Abandon(abandon) => self.apply_abandon(abandon),
            Entry::Interrupt(interrupt) => self.apply_interrupt(at, interrupt),
        }
    }

    pub(crate) const fn created(&self) -> Option<Created> {
        self.created
    }

    pub(crate) fn genesis(&self) -> Option<Genesis> {
        self.created.map(|created| created.terms)
    }

    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Accounts in the order of their opening.
    pub(crate) fn accounts(&self) -> &[AccountState] {
        &self.accounts
    }

    pub(crate) fn account(&self, data: &DataKey) -> Option<&AccountState> {
        self.account_of.get(data).map(|&index| &self.accounts[index])
    }

    /// Campaigns in the order of their opening.
    pub(crate) fn campaigns(&self) -> impl Iterator<Item = &CampaignState> {
        self.campaigns.iter().map(|campaign| &campaign.state)
    }

    pub(crate) fn campaign(&self, key: &CampaignKey) -> Option<&CampaignState> {
        self.campaign_of.get(key).map(|&index| &self.campaigns[index].state)
    }

    pub(crate) fn answer(&self, key: &CampaignKey, query: &QueryKey) -> Option<Released> {
        let campaign = &self.campaigns[*self.campaign_of.get(key)?];
        match campaign.standing.get(query)? {
            Standing::Answered(position) => Some(campaign.released[*position]),
            Standing::InFlight | Standing::Cut(_) => None,
        }
    }

    /// Stored answers from `position` on, in release order.
    pub(crate) fn answers(&self, key: &CampaignKey, position: u64, max: usize) -> &[Released] {
        let Some(&index) = self.campaign_of.get(key) else { return &[] };
        let released = &self.campaigns[index].released;
        let from = usize::try_from(position).map_or(released.len(), |from| from.min(released.len()));
        &released[from..from.saturating_add(max).min(released.len())]
    }

    pub(crate) fn campaign_key_of(&self, open: &Open) -> &CampaignKey {
        &self.campaigns[open.campaign].state.terms.key
    }

    /// Reservations of a campaign that hold budget and were not drawn.
    pub(crate) fn undrawn(&self, key: &CampaignKey) -> Vec<u64> {
        let Some(&campaign) = self.campaign_of.get(key) else { return Vec::new() };
        let undrawn = self.open.iter().filter(|(_, open)| open.campaign == campaign && open.drawn.is_none());
        undrawn.map(|(number, _)| *number).collect()
    }

    /// How many reservations hold budget and were not drawn, over all campaigns.
    pub(crate) fn undrawn_total(&self) -> usize {
        self.open.values().filter(|open| open.drawn.is_none()).count()
    }

    /// Draws that did not reach their release.
    pub(crate) fn unreleased_draws(&self) -> Vec<u64> {
        self.open.iter().filter(|(_, open)| open.drawn.is_some()).map(|(number, _)| *number).collect()
    }
}

impl AccountState {
    /// What was agreed when the account was opened.
    pub const fn terms(&self) -> &AccountTerms {
        &self.terms
    }

    /// The cap, for the life of the data.
    pub const fn cap(&self) -> Rho {
        self.filter.cap()
    }

    /// Spent so far: what ran, after the fact, with what was inherited.
    pub const fn spent(&self) -> Rho {
        self.filter.spent()
    }

    /// Held by open reservations and draws.
    pub const fn reserved(&self) -> Rho {
        self.filter.reserved()
    }

    /// `cap - spent - reserved`.
    pub const fn left(&self) -> Rho {
        self.filter.left()
    }

    /// The part of `spent` that came from the predecessor.
    pub const fn inherited(&self) -> Rho {
        self.inherited
    }

    /// The data id that inherited this account's spend, if there is one: this account has ended.
    pub const fn successor(&self) -> Option<&DataKey> {
        self.successor.as_ref()
    }

    /// When it was opened, Unix time in milliseconds.
    pub const fn opened_at_ms(&self) -> u64 {
        self.opened_at_ms
    }
}

impl CampaignState {
    /// What was agreed when the campaign was opened.
    pub const fn terms(&self) -> &CampaignTerms {
        &self.terms
    }

    /// The campaign's part of its members' budgets.
    pub const fn sub_cap(&self) -> Rho {
        self.filter.cap()
    }

    /// The worst case of one query, in every member's account.
    pub const fn price(&self) -> Rho {
        self.price
    }

    /// What an abstention costs; the same as an answer where the mechanism has none.
    pub const fn abstention_price(&self) -> Rho {
        self.abstention
    }

    /// Spent so far: what ran, after the fact.
    pub const fn spent(&self) -> Rho {
        self.filter.spent()
    }

    /// Held by open reservations and draws.
    pub const fn reserved(&self) -> Rho {
        self.filter.reserved()
    }

    /// `sub_cap - spent - reserved`.
    pub const fn left(&self) -> Rho {
        self.filter.left()
    }

    /// Queries that hold a place: answered, in flight, or cut short and not yet answered.
    pub const fn queries_held(&self) -> u64 {
        self.held
    }

    /// Stored answers by kind.
    pub const fn answers(&self) -> AnswerTotals {
        self.answers
    }

    /// When it was opened, Unix time in milliseconds.
    pub const fn opened_at_ms(&self) -> u64 {
        self.opened_at_ms
    }
}

impl AnswerTotals {
    /// All stored answers.
    pub const fn total(&self) -> u64 {
        self.labels + self.abstained + self.interrupted
    }
}

impl Released {
    /// The query.
    pub const fn query(&self) -> QueryKey {
        self.query
    }

    /// Its stored answer.
    pub const fn answer(&self) -> Answer {
        self.answer
    }

    /// The attempt that was released, from 1; for `interrupted`, the last one that was cut.
    pub const fn attempt(&self) -> u8 {
        self.attempt
    }

    /// Its place in the campaign's release order, from 0.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The number of the ledger entry that holds it.
    pub const fn entry(&self) -> u64 {
        self.entry
    }
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Label(class) => Self::Label(class),
            Outcome::Abstained => Self::Abstained,
        }
    }
}

/// An entry that no writer of ours would have put there.
fn misplaced(kind: &'static str, rule: &'static str) -> LedgerError {
    LedgerError::Mismatch {
        field: "kind",
        of: "an entry".to_owned(),
        found: kind.to_owned(),
        expected: rule.to_owned(),
        fix: "the entries are not those of one ledger",
    }
}
