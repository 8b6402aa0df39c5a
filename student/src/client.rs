//! The campaign, as the student sees it: propose queries, follow their answers until all are settled.
//!
//! Every call may be repeated: a query is asked once however often it is proposed, and answers are read from a position
//! that stays valid when the aggregator restarts.

use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

use conclave_learning::Label;
use conclave_proto::campaign::v1::campaign_service_client::CampaignServiceClient;
use conclave_proto::campaign::v1::{
    CampaignState, GetContractRequest, GetStatusRequest, GetStatusResponse, ListAnswersRequest,
    ListAnswersResponse, SubmitQueriesRequest,
};
use conclave_proto::common::v1::answer::Outcome;
use conclave_proto::common::v1::{Abstention, Answer as WireAnswer, Interrupted};
use conclave_proto::ids::{QueryId, join_query_ids};
use conclave_service::channel::{self, Jitter, RetryPolicy};
use conclave_service::{ChannelLimits, ClientTransport, Refusal, Repeats};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tonic::Status;
use tonic::transport::Channel;

use crate::error::{Fault, Result, StudentError};
use crate::label_store::{Answer, LabelStore, Tally};
use crate::status::call_failed;
use crate::terms::Terms;

/// How long the student waits for the aggregator. In TOML every field may be left out; units are in the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Patience {
    /// Bounds of the connection and of each call.
    pub channel: ChannelLimits,
    /// How often and how patiently a call is repeated while the aggregator is away, for example restarting.
    pub retry: RetryPolicy,
    /// How long one call waits at the aggregator for a further answer.
    pub answer_wait_ms: u32,
    /// How long the campaign may stay below its quorum before the student stops following. By default an hour:
    /// silos come back in their own time, and the log says that they are waited for.
    pub quorum_wait_ms: u64,
    /// How long following may take in all.
    pub answers_deadline_ms: u64,
    /// Most queries that one call proposes; 32 bytes each, so that a call stays under the aggregator's message limit.
    pub queries_per_call_max: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            channel: ChannelLimits::default(),
            // About a minute: enough for a restart with a verified ledger.
            retry: RetryPolicy { attempts_max: 30, delay_first_ms: 100, delay_max_ms: 5_000 },
            answer_wait_ms: 1_000,
            quorum_wait_ms: HOUR_MS,
            answers_deadline_ms: 24 * HOUR_MS,
            queries_per_call_max: 10_000,
        }
    }
}

impl Patience {
    /// What does not fit, each under `prefix`.
    pub(crate) fn faults(&self, prefix: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut require = |fits: bool, field: &str, value: u64, fix: &str| {
            if !fits {
                faults.push(Fault::new(format!("{prefix}.{field}"), value, fix));
            }
        };
        require(self.retry.attempts_max > 0, "retry.attempts_max", 0, "try at least once");
        require(self.channel.connect_timeout_ms > 0, "channel.connect_timeout_ms", 0, "allow at least 1 ms");
        require(self.channel.call_timeout_ms > 0, "channel.call_timeout_ms", 0, "allow at least 1 ms");
        require(
            u64::from(self.answer_wait_ms) < self.channel.call_timeout_ms,
            "answer_wait_ms",
            self.answer_wait_ms.into(),
            "wait less than channel.call_timeout_ms",
        );
        require(self.answers_deadline_ms > 0, "answers_deadline_ms", 0, "allow at least 1 ms");
        require(
            (1..=QUERIES_PER_CALL_MAX).contains(&self.queries_per_call_max),
            "queries_per_call_max",
            self.queries_per_call_max as u64,
            "propose 1 to 100000 queries at once",
        );
        faults
    }
}

/// What the aggregator made of proposed queries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Submitted {
    /// New to the campaign.
    pub admitted: u64,
    /// Answered already, or already waiting.
    pub repeated: u64,
}

/// How far following has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Of the asked queries, how many have ended.
    pub settled: usize,
    /// How many were asked.
    pub asked: usize,
    /// All answers so far, those to queries that others asked included.
    pub tally: Tally,
}

/// Why following ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every asked query has its answer.
    Completed,
    /// The next batch would pass a cap of the privacy budget; what was released has been collected.
    BudgetSpent,
    /// Too few teachers answer, and did not come back in time.
    BelowQuorum,
    /// The aggregator cannot write its ledger.
    Halted,
    /// An operator stopped the campaign; what was released has been collected.
    Stopped,
}

/// A connection to a campaign's aggregator.
#[derive(Debug)]
pub struct CampaignClient {
    caller: Caller,
    terms: Terms,
}

impl CampaignClient {
    /// Connects to `address` (`HOST:PORT`) and reads the contract; waits for an aggregator that is not up yet as long
    /// as `patience.retry` allows.
    pub async fn connect(address: &str, transport: &ClientTransport, patience: &Patience) -> Result<Self> {
        let faults = patience.faults("patience");
        if !faults.is_empty() {
            return Err(StudentError::Settings(faults));
        }
        let mut caller = Caller {
            service: CampaignServiceClient::new(channel::connect_lazily(
                address,
                transport,
                &patience.channel,
            )?),
            address: address.to_owned(),
            transport: transport.clone(),
            patience: *patience,
            jitter: Jitter::fresh(),
            said: Repeats::default(),
        };
        let answer = caller
            .call("reading the contract", |mut service, _| async move {
                service.get_contract(GetContractRequest::default()).await.map(tonic::Response::into_inner)
            })
            .await?;
        let terms = Terms::read(&answer.contract.unwrap_or_default(), &answer.contract_digest)?;
        Ok(Self { caller, terms })
    }

    /// What of the contract a student must know.
    pub const fn contract(&self) -> &Terms {
        &self.terms
    }

    /// Proposes queries, in calls that stay under the aggregator's message limit. Idempotent.
    pub async fn submit(&mut self, queries: &[QueryId]) -> Result<Submitted> {
        let chunk = self.caller.patience.queries_per_call_max;
        let requests = proposals(self.terms.campaign.as_str(), chunk, queries);
        self.caller.call("proposing queries", |service, _| propose(service, requests.clone())).await
    }

    /// Collects answers into `labels`, from its position on, until every query of `asked` has one or the campaign can
    /// give no more. Calls `on_progress` whenever answers arrive. What was collected stays in `labels` after an error.
    ///
    /// While the aggregator is away the call is repeated, and the unanswered queries are proposed again.
    pub async fn follow(
        &mut self,
        asked: &[QueryId],
        labels: &mut LabelStore,
        mut on_progress: impl FnMut(Progress),
    ) -> Result<Ended> {
        let mut seen = HashSet::new();
        let asked: Vec<QueryId> = asked.iter().copied().filter(|query| seen.insert(*query)).collect();
        let limit = Duration::from_millis(self.caller.patience.answers_deadline_ms);
        let followed = tokio::time::timeout(limit, self.follow_patiently(&asked, labels, &mut on_progress));
        // Dropping the future in the middle is safe: labels change only between its awaits.
        let Ok(ended) = followed.await else {
            return Err(StudentError::Overdue {
                settled: settled(&asked, labels),
                asked: asked.len(),
                waited_ms: self.caller.patience.answers_deadline_ms,
            });
        };
        ended
    }

    /// Progress and what is left of the budget, as the aggregator tells it.
    pub async fn status(&mut self) -> Result<GetStatusResponse> {
        let request = GetStatusRequest { campaign_id: self.terms.campaign.to_string() };
        self.caller
            .call("reading the campaign's status", |mut service, _| {
                let request = request.clone();
                async move { service.get_status(request).await.map(tonic::Response::into_inner) }
            })
            .await
    }

    async fn follow_patiently(
        &mut self,
        asked: &[QueryId],
        labels: &mut LabelStore,
        on_progress: &mut impl FnMut(Progress),
    ) -> Result<Ended> {
        // In the order in which they were asked: what comes first is worth most.
        let mut unsettled = asked.to_vec();
        let mut below_quorum_since = None;
        loop {
            unsettled.retain(|query| labels.get(query).is_none());
            if unsettled.is_empty() {
                return Ok(Ended::Completed);
            }
            let called = Instant::now();
            let page = self.list(labels.position(), &unsettled).await?;
            if !page.answers.is_empty() {
                self.collect(&page, labels)?;
                on_progress(Progress {
                    settled: settled(asked, labels),
                    asked: asked.len(),
                    tally: labels.tally(),
                });
                continue;
            }
            // Only an empty page shows that everything released so far has been read, so that the state is final.
            match page.state() {
                CampaignState::BudgetSpent => return Ok(Ended::BudgetSpent),
                CampaignState::Halted => return Ok(Ended::Halted),
                CampaignState::Ended => return Ok(Ended::Stopped),
                CampaignState::BelowQuorum => {
                    if let Some(before) = self.caller.said.to_say(BELOW_QUORUM) {
                        let most_ms = self.caller.patience.quorum_wait_ms;
                        tracing::warn!(
                            unsaid_before = before,
                            most_ms,
                            "{BELOW_QUORUM}; waiting for the silos"
                        );
                    }
                    let since = *below_quorum_since.get_or_insert(called);
                    if since.elapsed() >= Duration::from_millis(self.caller.patience.quorum_wait_ms) {
                        return Ok(Ended::BelowQuorum);
                    }
                }
                CampaignState::Asking => below_quorum_since = None,
                // It restarted between two calls and has forgotten what nobody had been asked yet.
                CampaignState::Idle => {
                    below_quorum_since = None;
                    self.submit(&unsettled).await?;
                }
                CampaignState::Unspecified => return Err(broken("state", page.state, KNOWN_STATES)),
            }
            // An aggregator that does not wait as asked must not be called in a tight loop.
            tokio::time::sleep_until(called + CALL_INTERVAL_MIN).await;
        }
    }

    /// One page of answers; repeated while the aggregator is away, with the unsettled queries proposed again.
    async fn list(&mut self, position: u64, unsettled: &[QueryId]) -> Result<ListAnswersResponse> {
        let request = ListAnswersRequest {
            campaign_id: self.terms.campaign.to_string(),
            position,
            wait_ms: self.caller.patience.answer_wait_ms,
        };
        let (campaign, chunk) = (self.terms.campaign.as_str(), self.caller.patience.queries_per_call_max);
        self.caller
            .call("following answers", |mut service, attempt| {
                let request = request.clone();
                let forgotten = if attempt > 1 { proposals(campaign, chunk, unsettled) } else { Vec::new() };
                async move {
                    propose(service.clone(), forgotten).await?;
                    service.list_answers(request).await.map(tonic::Response::into_inner)
                }
            })
            .await
    }

    /// Adds a page of answers to `labels`.
    fn collect(&self, page: &ListAnswersResponse, labels: &mut LabelStore) -> Result<()> {
        let expected = labels.position() + page.answers.len() as u64;
        if page.next_position != expected {
            let fix =
                format!("{expected} follows from the answers that were sent; check the aggregator's version");
            return Err(broken("next_position", page.next_position, &fix));
        }
        for (index, answer) in page.answers.iter().enumerate() {
            let (query, answer) = read_answer(index, answer, self.terms.class_names.len())?;
            labels.record(query, answer)?;
        }
        labels.advance_to(expected);
        Ok(())
    }
}

/// Calls with retries, and failures in words.
#[derive(Debug)]
struct Caller {
    service: CampaignServiceClient<Channel>,
    address: String,
    transport: ClientTransport,
    patience: Patience,
    jitter: Jitter,
    /// What the log said lately about calls that failed.
    said: Repeats,
}

impl Caller {
    /// `call` is given the number of the attempt, from 1.
    async fn call<T, C, F>(&mut self, what: &'static str, mut call: C) -> Result<T>
    where
        C: FnMut(CampaignServiceClient<Channel>, u32) -> F,
        F: Future<Output = std::result::Result<T, Status>>,
    {
        let (address, transport, said) = (&self.address, &self.transport, &self.said);
        let outcome = channel::retry(&self.patience.retry, &mut self.jitter, |attempt| {
            let answer = call(self.service.clone(), attempt);
            async move {
                let answer = answer.await;
                if let Err(status) = &answer {
                    let reason = channel::describe_status(status, address, transport);
                    if let Some(before) = said.to_say(&format!("{what}: {reason}")) {
                        tracing::warn!(attempt, %reason, unsaid_before = before, "{what} failed");
                    }
                }
                answer
            }
        });
        outcome.await.map_err(|status| call_failed(what, &status, address, transport))
    }
}

/// Queries in messages of `chunk` each.
fn proposals(campaign: &str, chunk: usize, queries: &[QueryId]) -> Vec<SubmitQueriesRequest> {
    let request =
        |part| SubmitQueriesRequest { campaign_id: campaign.to_owned(), query_ids: join_query_ids(part) };
    queries.chunks(chunk).map(request).collect()
}

async fn propose(
    mut service: CampaignServiceClient<Channel>,
    requests: Vec<SubmitQueriesRequest>,
) -> std::result::Result<Submitted, Status> {
    let mut submitted = Submitted::default();
    for request in requests {
        let answer = match service.submit_queries(request).await {
            Ok(answer) => answer.into_inner(),
            // It takes no more; whoever follows reads what was released, and that it was stopped.
            Err(status) if Refusal::read(&status).reason() == REASON_CAMPAIGN_ENDED => return Ok(submitted),
            Err(status) => return Err(status),
        };
        submitted.admitted += u64::from(answer.admitted);
        submitted.repeated += u64::from(answer.repeated_before);
    }
    Ok(submitted)
}

/// Wire to words: a name of 32 bytes, and exactly one outcome, whose label is a class of the contract.
fn read_answer(index: usize, answer: &WireAnswer, classes: usize) -> Result<(QueryId, Answer)> {
    let query = QueryId::from_slice(&answer.query_id).map_err(|fault| {
        broken(&format!("answers[{index}].query_id"), fault, "check the aggregator's version")
    })?;
    let outcome = match &answer.outcome {
        Some(Outcome::Label(class)) => match u16::try_from(*class) {
            Ok(class) if usize::from(class) < classes => Answer::Label(Label::new(class)),
            _ => {
                let fix = format!("labels run from 0 to {}; check the aggregator's version", classes - 1);
                return Err(broken(&format!("answers[{index}].label"), class, &fix));
            }
        },
        Some(Outcome::Abstention(Abstention {})) => Answer::Abstention,
        Some(Outcome::Interrupted(Interrupted {})) => Answer::Interrupted,
        None => {
            return Err(broken(
                &format!("answers[{index}].outcome"),
                "absent",
                "check the aggregator's version",
            ));
        }
    };
    Ok((query, outcome))
}

fn settled(asked: &[QueryId], labels: &LabelStore) -> usize {
    asked.iter().filter(|query| labels.get(query).is_some()).count()
}

fn broken(field: &str, value: impl std::fmt::Display, fix: &str) -> StudentError {
    StudentError::Protocol { peer: "aggregator", fault: Fault::new(field, value, fix) }
}

const BELOW_QUORUM: &str = "too few teachers answer the campaign";
const HOUR_MS: u64 = 60 * 60 * 1_000;
/// Keeps a call under 4 MiB, the default message limit of every server.
const QUERIES_PER_CALL_MAX: usize = 100_000;
/// What an aggregator says to proposals once an operator has stopped the campaign (proto/conclave/campaign/v1).
const REASON_CAMPAIGN_ENDED: &str = "CAMPAIGN_ENDED";
const CALL_INTERVAL_MIN: Duration = Duration::from_millis(20);
const KNOWN_STATES: &str = "1 to 6 are known; run the aggregator's version";
