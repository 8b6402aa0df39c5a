//! The aggregator's figures for whoever watches it: what the ledger, the sessions and the driver say at that moment.
//!
//! All of it is data-independent, and nearly all of it is what `GetStatus` tells; the set is closed in
//! [`conclave_service::metrics`].

use std::sync::atomic::Ordering;

use conclave_ledger::{AccountState, Book, BookHandle, CampaignKey};
use conclave_service::Role;
use conclave_service::clock::WallClock;
use conclave_service::kit::Expiry;
use conclave_service::metrics::{
    AccountFigures, AggregatorFigures, CampaignFigures, CampaignState, Figures, FlushTimes, Refusals,
};
use tokio::sync::oneshot;

use crate::campaign::Phase;
use crate::current::Current;
use crate::driver::Nodes;

/// What is counted over the life of the process, whatever it runs.
#[derive(Debug, Clone)]
pub(crate) struct Meters {
    pub(crate) flushes: FlushTimes,
    pub(crate) refusals: Refusals,
}

impl Default for Meters {
    fn default() -> Self {
        Self { flushes: FlushTimes::default(), refusals: Refusals::of(Role::Aggregator) }
    }
}

/// Reads the figures of a running aggregator, whichever campaign is open then.
#[derive(Debug, Clone)]
pub struct Observer {
    pub(crate) current: Current,
    pub(crate) book: BookHandle,
    pub(crate) meters: Meters,
}

impl Observer {
    /// The figures now, with the days that `certificate` has left; `None` if the ledger is closed.
    pub async fn figures(&self, certificate: Option<Expiry>) -> Option<Figures> {
        let open = self.current.get();
        let key = match &open {
            Some(open) => Some(CampaignKey::new(open.contract.campaign.as_str()).ok()?),
            None => None,
        };
        let (found, finding) = oneshot::channel();
        self.book
            .read(move |book| {
                let campaign = key.and_then(|key| campaign_of(book, &key));
                // Nobody waits for it any more: then it is of no use.
                let _ = found.send((campaign, accounts_of(book), book.entries()));
            })
            .ok()?;
        let (mut campaign, accounts, ledger_entries) = finding.await.ok()?;
        if let (Some(campaign), Some(open)) = (&mut campaign, &open) {
            let standing = open.standing();
            let ended = campaign.queries_answered + campaign.queries_abstained + campaign.queries_interrupted;
            campaign.state = standing.phase.into();
            campaign.queries_admitted = standing.admitted.into();
            campaign.queries_waiting = campaign.queries_admitted.saturating_sub(ended);
        }
        let none = Nodes::default();
        let nodes = open.as_ref().map_or(&none, |open| &open.nodes);
        Some(Figures::Aggregator(AggregatorFigures {
            campaign,
            accounts,
            nodes_present: nodes.sessions.iter().filter(|session| session.is_present()).count() as u64,
            nodes_expected: nodes.sessions.len() as u64,
            quorum_misses: nodes.quorum_misses.load(Ordering::Relaxed),
            submissions_rejected: nodes.rejections.by_name().collect(),
            ledger_entries,
            ledger_flushes: self.meters.flushes.clone(),
            refusals: self.meters.refusals.clone(),
            certificate_days_left: certificate.map(|expiry| expiry.days_left(WallClock::now_ms())),
        }))
    }
}

/// What is durable of a campaign; `None` if the ledger does not hold it.
fn campaign_of(book: &Book, campaign: &CampaignKey) -> Option<CampaignFigures> {
    let campaign = book.campaign(campaign)?;
    let (terms, answers) = (campaign.terms(), campaign.answers());
    Some(CampaignFigures {
        name: terms.key.to_string(),
        state: CampaignState::Idle,
        epsilon_cap: terms.epsilon.get(),
        rho_cap: campaign.sub_cap().to_f64_up(),
        rho_spent: campaign.spent().to_f64_up(),
        rho_reserved: campaign.reserved().to_f64_up(),
        queries_admitted: 0,
        queries_answered: answers.labels,
        queries_abstained: answers.abstained,
        queries_interrupted: answers.interrupted,
        queries_waiting: 0,
    })
}

fn accounts_of(book: &Book) -> Vec<AccountFigures> {
    let figures = |account: &AccountState| AccountFigures {
        organisation: account.terms().organisation.clone(),
        data: account.terms().data.to_string(),
        epsilon_cap: account.terms().epsilon.get(),
        rho_cap: account.cap().to_f64_up(),
        rho_spent: account.spent().to_f64_up(),
        rho_reserved: account.reserved().to_f64_up(),
    };
    book.accounts().iter().map(figures).collect()
}

impl From<Phase> for CampaignState {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Idle => Self::Idle,
            Phase::Asking => Self::Asking,
            Phase::BudgetSpent => Self::BudgetSpent,
            Phase::BelowQuorum => Self::BelowQuorum,
            Phase::Halted => Self::Halted,
            Phase::Ended => Self::Ended,
        }
    }
}
