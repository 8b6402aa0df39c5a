//! Reserve, draw, release, abandon, interrupt: the life of a batch of queries, and where its charge is.
//!
//! `reserve` holds the worst case in the campaign and in every member's account. `draw` lets go of the silos
//! that did not vote. From there `release` replaces what is held by the price of what ran, and `interrupt` by
//! the worst case; before it, `abandon` gives everything back.

use std::collections::HashSet;

use conclave_privacy::filter::Charge;
use conclave_privacy::mechanism::Outcome;
use conclave_privacy::quantity::Rho;

use super::opening::spent;
use super::{Answer, At, Campaign, Drawn, Open, Released, Standing, State};
use crate::entry::{ATTEMPTS_MAX, Abandon, Draw, Interrupt, Release, Reserve};
use crate::error::{LedgerError, Result, Wall};
use crate::keys::{CampaignKey, DataKey, Digest, QueryKey};
use crate::terms::{QUERIES_PER_RESERVATION_MAX, in_range};

impl State {
    /// The reservation of `queries`, as it would stand in the ledger.
    pub(crate) fn plan_reserve(&self, key: &CampaignKey, queries: &[QueryKey]) -> Result<Reserve> {
        let campaign = &self.campaigns[self.campaign_index(key)?];
        let members = (0..campaign.members.len()).map(position).collect::<Result<_>>()?;
        let attempt = |query: &QueryKey| match campaign.standing.get(query) {
            Some(Standing::Cut(times)) => times + 1,
            _ => 1,
        };
        Ok(Reserve {
            number: self.last_reservation + 1,
            epoch: self.epoch,
            campaign: key.clone(),
            price: campaign.state.price,
            members,
            queries: queries.iter().map(|query| (*query, attempt(query))).collect(),
        })
    }

    /// The draw of reservation `number` from the votes of `silos`, as it would stand in the ledger.
    pub(crate) fn plan_draw(&self, number: u64, vote_set: Digest, silos: &[DataKey]) -> Result<Draw> {
        let open = self.undrawn_reservation(number, "drawn")?;
        let members = &self.campaigns[open.campaign].state.terms.members;
        let mut positions = silos
            .iter()
            .map(|silo| {
                let found = members.iter().position(|member| member == silo);
                position(found.ok_or_else(|| LedgerError::UnknownAccount(silo.clone()))?)
            })
            .collect::<Result<Vec<_>>>()?;
        positions.sort_unstable();
        Ok(Draw { number, epoch: self.epoch, vote_set, silos: positions })
    }

    /// The release of draw `number`; the charge is worked out here and taken from nobody.
    pub(crate) fn plan_release(&self, number: u64, answers: Vec<Outcome>) -> Result<Release> {
        let (open, _) = self.drawn_reservation(number, "released")?;
        let charge = self.campaigns[open.campaign].charge(&answers)?;
        Ok(Release { number, epoch: self.epoch, charge, answers })
    }

    /// The interruption of draw `number`.
    pub(crate) fn plan_interrupt(&self, number: u64) -> Result<Interrupt> {
        let (open, _) = self.drawn_reservation(number, "interrupted")?;
        Ok(Interrupt { number, epoch: self.epoch, closed: open.last_attempts()? })
    }

    /// An open reservation, drawn or not.
    pub(crate) fn open(&self, number: u64) -> Result<&Open> {
        self.open.get(&number).ok_or_else(|| wrong_stage(number, ENDED, "held"))
    }

    /// The frozen vote set of an open draw.
    pub(crate) fn vote_set(&self, number: u64) -> Result<Digest> {
        self.drawn_reservation(number, "held").map(|(_, drawn)| drawn.vote_set)
    }

    pub(super) fn apply_reserve(&mut self, entry: &Reserve) -> Result<()> {
        self.check_epoch(entry.number, entry.epoch)?;
        let index = self.campaign_index(&entry.campaign)?;
        if *entry != self.plan_reserve(&entry.campaign, &entry.query_keys())? {
            return Err(wrong_stage(entry.number, "not what the ledger would reserve", "recorded"));
        }
        let campaign = &self.campaigns[index];
        campaign.check_free(entry)?;
        let worst = campaign.worst(entry.queries.len())?;
        for &member in &campaign.members {
            let account = &self.accounts[member];
            account.check_not_superseded()?;
            if worst.rho() > account.left() {
                return Err(spent(Wall::Account(account.terms.data.clone()), &account.filter, worst.rho()));
            }
        }

        let campaign = &mut self.campaigns[index];
        campaign.state.filter.reserve(worst)?;
        for &member in &campaign.members {
            self.accounts[member].filter.reserve(worst)?;
        }
        for (query, _) in &entry.queries {
            campaign.standing.insert(*query, Standing::InFlight);
        }
        campaign.state.held = campaign.standing.len() as u64;
        self.last_reservation = entry.number;
        let open = Open { campaign: index, queries: entry.queries.clone(), drawn: None };
        self.open.insert(entry.number, open);
        Ok(())
    }

    pub(super) fn apply_draw(&mut self, entry: &Draw) -> Result<()> {
        self.check_epoch(entry.number, entry.epoch)?;
        #[cfg(conclave_weakened = "selectable")]
        self.forget_draw(entry.number)?;
        let open = self.undrawn_reservation(entry.number, "drawn")?;
        let campaign = &self.campaigns[open.campaign];
        let ascending = entry.silos.windows(2).all(|pair| pair[0] < pair[1]);
        let known = entry.silos.last().is_some_and(|last| usize::from(*last) < campaign.members.len());
        if !ascending || !known {
            return Err(wrong_stage(entry.number, "not voted on by distinct members", "drawn"));
        }
        let worst = campaign.worst(open.queries.len())?;

        let absent =
            (0_u16..).zip(&campaign.members).filter(|(at, _)| entry.silos.binary_search(at).is_err());
        for (_, &member) in absent {
            self.accounts[member].filter.release(worst)?;
        }
        let drawn = Drawn { epoch: entry.epoch, vote_set: entry.vote_set, silos: entry.silos.clone() };
        if let Some(open) = self.open.get_mut(&entry.number) {
            open.drawn = Some(drawn);
        }
        Ok(())
    }

    pub(super) fn apply_release(&mut self, at: At, entry: &Release) -> Result<()> {
        self.check_epoch(entry.number, entry.epoch)?;
        let (open, drawn) = self.drawn_reservation(entry.number, "released")?;
        if drawn.epoch != entry.epoch {
            return Err(wrong_stage(entry.number, "a draw of an earlier epoch", "released"));
        }
        let wrong = |what| LedgerError::WrongAnswers { number: entry.number, what };
        if entry.answers.len() != open.queries.len() {
            return Err(wrong("there are not as many answers as queries"));
        }
        let campaign = &self.campaigns[open.campaign];
        let classes = campaign.state.terms.classes.len();
        let unknown =
            |answer: &Outcome| matches!(answer, Outcome::Label(class) if class.position() >= classes);
        if entry.answers.iter().any(unknown) {
            return Err(wrong("an answer names a class that the campaign does not have"));
        }
        if campaign.charge(&entry.answers)? != entry.charge {
            return Err(wrong("the charge is not the price of what ran"));
        }
        let worst = campaign.worst(open.queries.len())?;

        let open = self.settle(entry.number, worst, entry.charge)?;
        let campaign = &mut self.campaigns[open.campaign];
        for ((query, attempt), outcome) in open.queries.into_iter().zip(&entry.answers) {
            campaign.store(query, (*outcome).into(), attempt, at.seq);
        }
        Ok(())
    }

    pub(super) fn apply_abandon(&mut self, entry: &Abandon) -> Result<()> {
        self.check_epoch(entry.number, entry.epoch)?;
        let open = self.undrawn_reservation(entry.number, "abandoned")?;
        let worst = self.campaigns[open.campaign].worst(open.queries.len())?;

        let open = self.settle(entry.number, worst, Rho::ZERO)?;
        let campaign = &mut self.campaigns[open.campaign];
        for (query, attempt) in open.queries {
            if attempt > 1 {
                campaign.standing.insert(query, Standing::Cut(attempt - 1));
            } else {
                campaign.standing.remove(&query);
            }
        }
        campaign.state.held = campaign.standing.len() as u64;
        Ok(())
    }

    pub(super) fn apply_interrupt(&mut self, at: At, entry: &Interrupt) -> Result<()> {
        self.check_epoch(entry.number, entry.epoch)?;
        if *entry != self.plan_interrupt(entry.number)? {
            return Err(wrong_stage(
                entry.number,
                "not cut for the last time in these queries",
                "interrupted",
            ));
        }
        let (open, _) = self.drawn_reservation(entry.number, "interrupted")?;
        let worst = self.campaigns[open.campaign].worst(open.queries.len())?;

        let open = self.settle(entry.number, worst, worst.rho())?;
        let campaign = &mut self.campaigns[open.campaign];
        for (query, attempt) in open.queries {
            if attempt >= ATTEMPTS_MAX {
                campaign.store(query, Answer::Interrupted, attempt, at.seq);
            } else {
                campaign.standing.insert(query, Standing::Cut(attempt));
            }
        }
        Ok(())
    }

    /// Ends a reservation: `worst` is let go and `charge` is spent, in the campaign and in every account that
    /// still holds its part.
    fn settle(&mut self, number: u64, worst: Charge, charge: Rho) -> Result<Open> {
        let open = self.open.remove(&number).ok_or_else(|| wrong_stage(number, ENDED, "settled"))?;
        let campaign = &mut self.campaigns[open.campaign];
        let charge = Charge::new(charge, campaign.state.terms.filter_order);
        campaign.state.filter.settle(worst, charge)?;
        for (position, &member) in (0_u16..).zip(&campaign.members) {
            let holds = open.drawn.as_ref().is_none_or(|drawn| drawn.silos.binary_search(&position).is_ok());
            if holds {
                self.accounts[member].filter.settle(worst, charge)?;
            }
        }
        Ok(open)
    }

    fn campaign_index(&self, key: &CampaignKey) -> Result<usize> {
        self.campaign_of.get(key).copied().ok_or_else(|| LedgerError::UnknownCampaign(key.clone()))
    }

    fn check_epoch(&self, number: u64, epoch: u64) -> Result<()> {
        if epoch == self.epoch {
            return Ok(());
        }
        Err(wrong_stage(number, "of another epoch", "recorded"))
    }

    fn undrawn_reservation(&self, number: u64, asked: &'static str) -> Result<&Open> {
        match self.open.get(&number) {
            Some(open) if open.drawn.is_none() => Ok(open),
            Some(_) => Err(wrong_stage(number, "drawn", asked)),
            None => Err(wrong_stage(number, ENDED, asked)),
        }
    }

    fn drawn_reservation(&self, number: u64, asked: &'static str) -> Result<(&Open, &Drawn)> {
        match self.open.get(&number) {
            Some(open @ Open { drawn: Some(drawn), .. }) => Ok((open, drawn)),
            Some(_) => Err(wrong_stage(number, "not drawn", asked)),
            None => Err(wrong_stage(number, ENDED, asked)),
        }
    }
}

impl Campaign {
    /// Refuses queries that are answered, in flight, named twice or too many; then a sum past the sub-cap.
    fn check_free(&self, entry: &Reserve) -> Result<()> {
        let asked = entry.queries.len();
        in_range("queries of one reservation", asked as u64, 1, QUERIES_PER_RESERVATION_MAX as u64)?;
        let campaign = || self.state.terms.key.clone();
        let mut named = HashSet::with_capacity(asked);
        let mut places = 0;
        for (query, _) in &entry.queries {
            let query = *query;
            match self.standing.get(&query) {
                Some(Standing::Answered(_)) => {
                    return Err(LedgerError::AlreadyAnswered { campaign: campaign(), query });
                }
                Some(Standing::InFlight) => {
                    return Err(LedgerError::InFlight { campaign: campaign(), query });
                }
                Some(Standing::Cut(_)) => {}
                None => places += 1,
            }
            if !named.insert(query) {
                return Err(LedgerError::Repeated { query });
            }
        }
        let (held, queries_max) = (self.state.held, self.state.terms.queries_max);
        let left = queries_max - held;
        if places > left {
            let campaign = campaign();
            return Err(LedgerError::QueriesSpent { campaign, held, asked: places, queries_max, left });
        }
        let worst = self.worst(asked)?;
        if worst.rho() > self.state.filter.left() {
            return Err(spent(Wall::Campaign(campaign()), &self.state.filter, worst.rho()));
        }
        Ok(())
    }

    pub(super) fn worst(&self, queries: usize) -> Result<Charge> {
        let worst = self.state.price.checked_mul(queries as u64).ok_or(OVERFLOW)?;
        Ok(Charge::new(worst, self.state.terms.filter_order))
    }

    /// The price of what ran to reach `answers`.
    fn charge(&self, answers: &[Outcome]) -> Result<Rho> {
        let abstained = answers.iter().filter(|answer| matches!(answer, Outcome::Abstained)).count();
        let labelled = answers.len() - abstained;
        // A label costs the worst case, whichever class it names: everything ran.
        let parts = [(self.state.price, labelled), (self.state.abstention, abstained)];
        Ok(parts.into_iter().try_fold(Rho::ZERO, |sum, (price, times)| {
            sum.checked_add(price.checked_mul(times as u64).ok_or(OVERFLOW)?).ok_or(OVERFLOW)
        })?)
    }

    fn store(&mut self, query: QueryKey, answer: Answer, attempt: u8, entry: u64) {
        let position = self.released.len();
        self.standing.insert(query, Standing::Answered(position));
        self.released.push(Released { query, answer, attempt, position: position as u64, entry });
        let totals = &mut self.state.answers;
        match answer {
            Answer::Label(_) => totals.labels += 1,
            Answer::Abstained => totals.abstained += 1,
            Answer::Interrupted => totals.interrupted += 1,
        }
    }
}

impl Open {
    /// Positions of the queries that have no further attempt.
    fn last_attempts(&self) -> Result<Vec<u32>> {
        let last = self.queries.iter().enumerate().filter(|(_, (_, attempt))| *attempt >= ATTEMPTS_MAX);
        last.map(|(at, _)| Ok(u32::try_from(at).map_err(|_| OVERFLOW)?)).collect()
    }
}

impl Reserve {
    fn query_keys(&self) -> Vec<QueryKey> {
        self.queries.iter().map(|(query, _)| *query).collect()
    }
}

const ENDED: &str = "not open";
const OVERFLOW: conclave_privacy::Error = conclave_privacy::Error::CostOverflow { field: "worst case" };

fn wrong_stage(number: u64, found: &'static str, asked: &'static str) -> LedgerError {
    LedgerError::WrongStage { number, found, asked }
}

fn position(index: usize) -> Result<u16> {
    Ok(u16::try_from(index).map_err(|_| OVERFLOW)?)
}
