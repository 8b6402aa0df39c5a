//! Tickets: the right to take the next step, in hand only once the step before it is durable.

use conclave_privacy::mechanism::Outcome;

use crate::error::{LedgerError, Result};
use crate::keys::{CampaignKey, Digest, QueryKey};
use crate::state::State;

/// A budget set aside: its holder may ask for votes, then draw or abandon. Not cloneable.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a reservation holds budget until it is drawn or abandoned"]
pub struct Reservation {
    number: u64,
    campaign: CampaignKey,
    queries: Vec<(QueryKey, u8)>,
}

/// A frozen vote set whose worst case is durably spent unless released: its holder may draw noise, once. Not
/// cloneable.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a draw is spent in full unless it is released"]
pub struct DrawPermit {
    reservation: Reservation,
    vote_set: Digest,
}

/// Something that exists only if the transaction commits: nothing in it can be reached before.
#[must_use = "return it from the transaction to get what it holds"]
pub struct Staged<T>(T);

/// Proof of a commit; made by the book alone.
#[derive(Debug)]
pub struct Committed(());

/// What may be returned from a transaction, and what becomes of it after the commit.
pub trait Settle {
    /// What the caller gets.
    type Durable;

    /// Opens every staged part.
    fn settle(self, committed: &Committed) -> Self::Durable;
}

impl Reservation {
    /// The ticket of an undrawn reservation.
    pub(crate) fn of(state: &State, number: u64) -> Result<Self> {
        let open = state.open(number)?;
        Ok(Self { number, campaign: state.campaign_key_of(open).clone(), queries: open.queries.clone() })
    }

    pub(super) fn into_number(self) -> u64 {
        self.number
    }

    /// The number under which the ledger holds it.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The campaign.
    pub const fn campaign(&self) -> &CampaignKey {
        &self.campaign
    }

    /// The queries, each with the number of its attempt, from 1.
    pub fn queries(&self) -> &[(QueryKey, u8)] {
        &self.queries
    }
}

impl DrawPermit {
    pub(crate) fn of(state: &State, number: u64) -> Result<Self> {
        Ok(Self { reservation: Reservation::of(state, number)?, vote_set: state.vote_set(number)? })
    }

    pub(super) fn into_number(self) -> u64 {
        self.reservation.number
    }

    pub(super) fn into_parts(self) -> (CampaignKey, Vec<(QueryKey, u8)>) {
        (self.reservation.campaign, self.reservation.queries)
    }

    /// The number of its reservation.
    pub const fn number(&self) -> u64 {
        self.reservation.number
    }

    /// The campaign.
    pub const fn campaign(&self) -> &CampaignKey {
        &self.reservation.campaign
    }

    /// The queries, each with the number of its attempt, from 1. Answers are handed over in this order.
    pub fn queries(&self) -> &[(QueryKey, u8)] {
        &self.reservation.queries
    }

    /// The digest of the votes that may be counted under it.
    pub const fn vote_set(&self) -> Digest {
        self.vote_set
    }

    /// The outcomes in the order of the queries, or what does not fit.
    pub(crate) fn outcomes(&self, answers: Vec<(QueryKey, Outcome)>) -> Result<Vec<Outcome>> {
        let same = answers.len() == self.queries().len()
            && answers.iter().zip(self.queries()).all(|((answered, _), (drawn, _))| answered == drawn);
        if !same {
            let what = "the answers are not for the drawn queries";
            return Err(LedgerError::WrongAnswers { number: self.number(), what });
        }
        Ok(answers.into_iter().map(|(_, outcome)| outcome).collect())
    }
}

impl<T> Staged<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(value)
    }
}

/// Says nothing: an answer is not one before it is durable.
impl<T> std::fmt::Debug for Staged<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Staged(redacted)")
    }
}

impl Committed {
    pub(super) const fn new() -> Self {
        Self(())
    }
}

impl<T> Settle for Staged<T> {
    type Durable = T;

    fn settle(self, _: &Committed) -> T {
        self.0
    }
}

/// Asks for the proof itself, for a writer that settles many callers' parts one by one.
pub(crate) struct Proof;

impl Settle for Proof {
    type Durable = Committed;

    fn settle(self, _: &Committed) -> Committed {
        Committed(())
    }
}

impl Settle for () {
    type Durable = ();

    fn settle(self, _: &Committed) {}
}

impl<S: Settle, E> Settle for Result<S, E> {
    type Durable = Result<S::Durable, E>;

    fn settle(self, committed: &Committed) -> Self::Durable {
        self.map(|staged| staged.settle(committed))
    }
}

impl<S: Settle> Settle for Vec<S> {
    type Durable = Vec<S::Durable>;

    fn settle(self, committed: &Committed) -> Self::Durable {
        self.into_iter().map(|staged| staged.settle(committed)).collect()
    }
}

impl<A: Settle, B: Settle> Settle for (A, B) {
    type Durable = (A::Durable, B::Durable);

    fn settle(self, committed: &Committed) -> Self::Durable {
        (self.0.settle(committed), self.1.settle(committed))
    }
}
