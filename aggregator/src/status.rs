//! What an aggregator tells about itself: progress and budget, all of it data-independent; and its refusals in words.

use std::sync::atomic::{AtomicU64, Ordering};

use conclave_ledger::{Book, CampaignKey};
use conclave_privacy::accountant::rho_to_epsilon_within;
use conclave_proto::campaign::v1::{
    AccountStatus, CampaignState as WireState, GetStatusResponse, NodeStatus,
};
use conclave_service::Refusal;
use conclave_trust::Rejection;
use tonic::Code;

use crate::campaign::{Phase, TooMany};
use crate::driver::Nodes;
use crate::sessions::Session;

/// Where the campaign stands, as its driver last told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) phase: Phase,
    pub(crate) admitted: u32,
}

/// How many submissions were rejected, by reason.
#[derive(Debug, Default)]
pub(crate) struct Rejections([AtomicU64; Rejection::ALL.len()]);

impl Rejections {
    /// One more.
    pub(crate) fn count(&self, rejection: Rejection) {
        let of_reason = Rejection::ALL.iter().zip(&self.0).find(|(reason, _)| **reason == rejection);
        if let Some((_, counter)) = of_reason {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every reason by its name, with its number.
    pub(crate) fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let named =
            |(reason, counter): (&Rejection, &AtomicU64)| (reason.name(), counter.load(Ordering::Relaxed));
        Rejection::ALL.iter().zip(&self.0).map(named)
    }
}

impl From<Phase> for WireState {
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

/// The status as far as the ledger knows it; `None` if the campaign is not in it.
pub(crate) fn of_ledger(book: &Book, campaign: &CampaignKey) -> Option<GetStatusResponse> {
    let campaign = book.campaign(campaign)?;
    let (terms, answers) = (campaign.terms(), campaign.answers());
    let count = |figure: u64| u32::try_from(figure).unwrap_or(u32::MAX);
    let accounts = terms.members.iter().filter_map(|data| {
        let account = book.account(data)?;
        Some(AccountStatus {
            data_id: data.to_string(),
            organisation: account.terms().organisation.clone(),
            rho_cap_units: account.cap().units(),
            rho_spent_units: account.spent().units(),
            rho_reserved_units: account.reserved().units(),
        })
    });
    Some(GetStatusResponse {
        queries_answered: count(answers.labels),
        queries_abstained: count(answers.abstained),
        queries_interrupted: count(answers.interrupted),
        rho_cap_units: campaign.sub_cap().units(),
        rho_spent_units: campaign.spent().units(),
        rho_reserved_units: campaign.reserved().units(),
        delta: terms.delta.get(),
        epsilon_cap: terms.epsilon.get(),
        epsilon_spent: rho_to_epsilon_within(campaign.spent(), terms.delta, terms.filter_order),
        accounts: accounts.collect(),
        ..GetStatusResponse::default()
    })
}

/// Adds what the driver and the sessions know.
pub(crate) fn complete(
    mut status: GetStatusResponse,
    standing: Standing,
    nodes: &Nodes,
) -> GetStatusResponse {
    let ended = status.queries_answered + status.queries_abstained + status.queries_interrupted;
    status.state = WireState::from(standing.phase).into();
    status.queries_admitted = standing.admitted;
    status.queries_waiting = standing.admitted.saturating_sub(ended);
    status.nodes = nodes.sessions.iter().map(|session| node_status(session)).collect();
    let count = |nodes: usize| u32::try_from(nodes).unwrap_or(u32::MAX);
    status.nodes_present = count(status.nodes.iter().filter(|node| node.present).count());
    status.nodes_total = count(status.nodes.len());
    status.rejected = nodes.rejections.by_name().map(|(reason, count)| (reason.to_owned(), count)).collect();
    status
}

/// A node as it stands: there or not, and why it refused last.
pub(crate) fn node_status(session: &Session) -> NodeStatus {
    NodeStatus {
        organisation: session.node().organisation.to_string(),
        node: session.node().node.to_string(),
        present: session.is_present(),
        last_answer_s: session.silent_for().map(|silent| u32::try_from(silent.as_secs()).unwrap_or(u32::MAX)),
        refused: session.refused().unwrap_or_default().to_owned(),
    }
}

impl From<TooMany> for Refusal {
    fn from(TooMany { queries_max, left, asked }: TooMany) -> Self {
        Self::new(Code::FailedPrecondition, "QUERIES_MAX", "the contract allows no such number of queries")
            .quota(
                "campaign",
                format!("{queries_max} queries in all, {left} left, {asked} new ones proposed"),
            )
            .fix("propose fewer queries, or open a new campaign")
    }
}

/// A name of no campaign of this ledger, which holds `known`, oldest first; `current` is open, or was last.
pub(crate) fn unknown_campaign(asked: &str, known: &[String], current: Option<&str>) -> Refusal {
    let shown = known.iter().rev().take(CAMPAIGNS_SHOWN);
    let mut names: Vec<&str> = shown.map(String::as_str).collect();
    if known.len() > names.len() {
        names.push("…");
    }
    let fix = match (names.is_empty(), current) {
        (true, Some(current)) => format!("it runs {current}"),
        (true, None) => "start one with `conclave campaign start`".to_owned(),
        (false, None) => format!("name one of those in its ledger: {}", names.join(", ")),
        (false, Some(current)) => {
            format!("it runs {current}; name one of those in its ledger: {}", names.join(", "))
        }
    };
    Refusal::new(Code::NotFound, "CAMPAIGN_UNKNOWN", "this aggregator does not run that campaign")
        .field("campaign_id")
        .value(asked)
        .fix(fix)
}

/// Nothing was ever started.
pub(crate) fn no_campaign() -> Refusal {
    Refusal::new(Code::Unavailable, "NO_CAMPAIGN", "no campaign is open here yet")
        .fix("have an operator start one with `conclave campaign start`, then call again")
}

/// Nothing more is asked in it.
pub(crate) fn ended(campaign: &str) -> Refusal {
    Refusal::new(
        Code::FailedPrecondition,
        "CAMPAIGN_ENDED",
        "the campaign was stopped; it takes no more queries",
    )
    .field("campaign_id")
    .value(campaign)
    .fix("read its answers, or have an operator start it again")
}

/// A campaign of the ledger that cannot be read.
pub(crate) fn unreadable(error: &crate::Error) -> Refusal {
    tracing::error!(%error, "a campaign of the ledger cannot be read");
    Refusal::new(Code::Unavailable, "LEDGER_UNREADABLE", "the campaign cannot be read from the ledger")
        .fix("see the aggregator's log")
}

/// A query that is no example of the pool.
pub(crate) fn unknown_query(position: usize, query: impl std::fmt::Display) -> Refusal {
    Refusal::new(Code::InvalidArgument, "QUERY_UNKNOWN", "not an example of this campaign's pool")
        .field(format!("query_ids[{position}]"))
        .value(query)
        .fix("propose examples of the pool that the contract names")
}

/// A position behind the last answer.
pub(crate) fn unknown_position(position: u64, answers: usize) -> Refusal {
    Refusal::new(Code::OutOfRange, "POSITION_UNKNOWN", "there are not that many answers")
        .field("position")
        .value(position)
        .fix(format!("read on from a position of 0 to {answers}"))
}

/// The aggregator is on its way out.
pub(crate) fn stopping() -> Refusal {
    Refusal::new(Code::Unavailable, "STOPPING", "the aggregator is stopping")
        .fix("call again when it is back; answers are kept")
}

/// The ledger does not answer.
pub(crate) fn no_ledger(error: &conclave_ledger::LedgerError) -> Refusal {
    tracing::error!(%error, "the ledger cannot be read");
    Refusal::new(Code::Unavailable, "LEDGER_CLOSED", "the ledger cannot be read")
        .fix("see the aggregator's log")
}

/// Details travel in the trailers, whose size peers bound.
const CAMPAIGNS_SHOWN: usize = 10;
