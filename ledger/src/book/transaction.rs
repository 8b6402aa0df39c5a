//! One transaction: entries staged one by one, each allowed by the state with those before it.

use std::collections::HashSet;

use conclave_privacy::mechanism::Outcome;

use super::Replay;
use super::ticket::{DrawPermit, Reservation, Staged};
use crate::backend::Row;
use crate::entry::{Abandon, AbandonReason, Entry, Start};
use crate::error::Result;
use crate::keys::{CampaignKey, DataKey, Digest, QueryKey};
use crate::state::{Released, State};
use crate::terms::{AccountTerms, CampaignTerms};

/// Entries on their way into the ledger; made by [`super::Book::transact`].
pub struct Transaction<'book> {
    ledger: &'book mut Replay,
    held: &'book mut HashSet<u64>,
    rows: Vec<Row>,
    now_ms: u64,
}

impl<'book> Transaction<'book> {
    pub(super) const fn new(ledger: &'book mut Replay, held: &'book mut HashSet<u64>, now_ms: u64) -> Self {
        Self { ledger, held, rows: Vec::new(), now_ms }
    }

    /// Opens an account. The same terms again change nothing; other terms for the same data are refused.
    pub fn open_account(&mut self, terms: AccountTerms) -> Result<()> {
        if self.ledger.state.account(&terms.data).is_some_and(|account| *account.terms() == terms) {
            return Ok(());
        }
        let account = self.ledger.state.plan_account(terms);
        self.stage(&Entry::Account(account))
    }

    /// Opens a campaign. The same terms again change nothing; other terms under the same name are refused.
    pub fn open_campaign(&mut self, terms: CampaignTerms) -> Result<()> {
        if self.ledger.state.campaign(&terms.key).is_some_and(|campaign| *campaign.terms() == terms) {
            return Ok(());
        }
        let campaign = State::plan_campaign(terms)?;
        self.stage(&Entry::Campaign(campaign))
    }

    /// Sets the worst case of `queries` aside, in the campaign and in every member's account, or refuses all of
    /// it. To be durable before votes are asked.
    pub fn reserve(&mut self, campaign: &CampaignKey, queries: &[QueryKey]) -> Result<Staged<Reservation>> {
        let reserve = self.ledger.state.plan_reserve(campaign, queries)?;
        let number = reserve.number;
        self.stage(&Entry::Reserve(reserve))?;
        self.held.insert(number);
        Ok(Staged::new(Reservation::of(&self.ledger.state, number)?))
    }

    /// Freezes the votes of `silos` on the reservation's queries. To be durable before noise. Members that are
    /// not named get back what the reservation holds of theirs.
    ///
    /// A refusal leaves the reservation open; [`super::Book::reclaim`] hands it out again.
    pub fn draw(
        &mut self,
        reservation: Reservation,
        vote_set: Digest,
        silos: &[DataKey],
    ) -> Result<Staged<DrawPermit>> {
        let number = self.take(reservation);
        let draw = self.ledger.state.plan_draw(number, vote_set, silos)?;
        self.stage(&Entry::Draw(draw))?;
        Ok(Staged::new(DrawPermit::of(&self.ledger.state, number)?))
    }

    /// Stores the answers of a draw together with the charge of what ran, which is worked out here. To be
    /// durable before an answer leaves. One answer per query, in the order of the permit.
    ///
    /// A refusal leaves the draw spent; its queries come free at the next opening, or by `interrupt`.
    pub fn release(
        &mut self,
        permit: DrawPermit,
        answers: Vec<(QueryKey, Outcome)>,
    ) -> Result<Staged<Vec<Released>>> {
        let outcomes = permit.outcomes(answers)?;
        let release = self.ledger.state.plan_release(permit.number(), outcomes)?;
        self.stage(&Entry::Release(release))?;
        let (campaign, queries) = permit.into_parts();
        let stored = queries.iter().filter_map(|(query, _)| self.ledger.state.answer(&campaign, query));
        Ok(Staged::new(stored.collect()))
    }

    /// Gives a reservation up before its draw: everything that it holds is given back.
    pub fn abandon(&mut self, reservation: Reservation, reason: AbandonReason) -> Result<()> {
        let number = self.take(reservation);
        let epoch = self.ledger.state.epoch();
        self.stage(&Entry::Abandon(Abandon { number, epoch, reason }))
    }

    /// Gives a draw up: it is spent in full, its queries may be reserved anew, and those that were drawn in vain
    /// [`crate::ATTEMPTS_MAX`] times get the stored answer `interrupted`.
    pub fn interrupt(&mut self, permit: DrawPermit) -> Result<()> {
        let interrupt = self.ledger.state.plan_interrupt(permit.into_number())?;
        self.stage(&Entry::Interrupt(interrupt))
    }

    /// Begins an epoch, and spends the draws that the one before it left behind.
    pub(super) fn recover(&mut self, epoch: u64, interrupted: &[u64]) -> Result<()> {
        self.stage(&Entry::Start(Start { epoch }))?;
        for &number in interrupted {
            let interrupt = self.ledger.state.plan_interrupt(number)?;
            self.stage(&Entry::Interrupt(interrupt))?;
        }
        Ok(())
    }

    pub(super) fn into_rows(self) -> Vec<Row> {
        self.rows
    }

    fn stage(&mut self, entry: &Entry) -> Result<()> {
        let row = self.ledger.stage(self.now_ms, entry)?;
        self.rows.push(row);
        Ok(())
    }

    /// Ends a ticket; if its use is refused, the reservation can be reclaimed.
    fn take(&mut self, reservation: Reservation) -> u64 {
        let number = reservation.into_number();
        self.held.remove(&number);
        number
    }
}
