//! Mode `dial-out`: the same handlers over a connection that the node opens itself. It listens to nobody.
//!
//! The node asks the aggregator what there is to do, does it as if it had been called, and hands in what came of it. Work
//! that is under way outlives the connection: its outcome is handed in over the next one, as long as the lease lasts. The
//! guard's book is before every vote, so an outcome that was handed in twice, or done twice after a crash, is the same
//! votes at no further cost. After a loss the node dials again, at once and then ever more patiently, with jitter.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use conclave_proto::teacher::v1::lease::Work;
use conclave_proto::teacher::v1::submit_work_request::Outcome;
use conclave_proto::teacher::v1::teacher_service_server::TeacherService;
use conclave_proto::teacher::v1::work_service_client::WorkServiceClient;
use conclave_proto::teacher::v1::{Declined, Lease, LeaseWorkRequest, SubmitWorkRequest};
use conclave_service::channel::{self, Jitter, RetryPolicy, with_deadline};
use conclave_service::{Backoff, ChannelLimits, ClientTransport, Identity, Kit, Refusal, wire_error};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::contact::Contact;
use crate::rpc::TeacherRpc;

/// The aggregator that a node dials.
#[derive(Debug, Clone)]
pub struct DialOut {
    /// `HOST:PORT`: the aggregator's `nodes_listen`.
    pub address: String,
    /// The node's own kit.
    pub kit: Kit,
    /// Who must be there.
    pub aggregator: Identity,
    /// Bounds of the connection.
    pub limits: ChannelLimits,
}

/// A node's side of the connection.
pub(crate) struct Session {
    dial: DialOut,
    transport: ClientTransport,
    work: Arc<Worker>,
    contact: Contact,
    connected: watch::Sender<Option<WorkServiceClient<Channel>>>,
    /// What the log said last, so that it is not said twice.
    told: String,
    /// Whether another process with this kit took this one's place last: being known again is then no news.
    displaced: bool,
}

/// Why a connection was lost.
struct Lost {
    words: String,
    /// The aggregator's word for it, if it said one.
    reason: String,
}

/// What does the work of a lease; shared by all that are held.
struct Worker {
    handlers: TeacherRpc,
    aggregator: Identity,
    held: Mutex<BTreeSet<u64>>,
}

impl Session {
    pub(crate) fn new(handlers: TeacherRpc, dial: DialOut, contact: Contact) -> Self {
        let transport =
            ClientTransport::Mutual { kit: Arc::new(dial.kit.clone()), expected: dial.aggregator.clone() };
        let work = Arc::new(Worker { handlers, aggregator: dial.aggregator.clone(), held: Mutex::default() });
        let connected = watch::Sender::new(None);
        Self { dial, transport, work, contact, connected, told: String::new(), displaced: false }
    }

    /// Dials, works and dials again until `shutdown`; then hands in what is under way, for a while.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut backoff = Backoff::new(PATIENCE, Jitter::fresh());
        let mut jobs = JoinSet::new();
        while !shutdown.is_cancelled() {
            let lost = shutdown.run_until_cancelled(self.connection(&mut backoff, &mut jobs)).await;
            let Some(Lost { words, reason }) = lost else { break };
            self.connected.send_replace(None);
            if self.is_news(&words) {
                tracing::warn!(reason, "{words}; dialling again");
            }
            // Another process with this kit is there: dialling at once would take its place, and it ours, without end.
            self.displaced = reason == DISPLACED;
            let wait = if self.displaced { DISPLACED_WAIT } else { backoff.next_wait() };
            shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
        self.contact.end();
        let finished = async { while jobs.join_next().await.is_some() {} };
        if tokio::time::timeout(FINISH_MAX, finished).await.is_err() {
            tracing::warn!("stopped before all was handed in; the aggregator asks again after a restart");
        }
    }

    /// One connection from its beginning to its loss, and why it was lost.
    async fn connection(&mut self, backoff: &mut Backoff, jobs: &mut JoinSet<()>) -> Lost {
        let DialOut { address, limits, .. } = &self.dial;
        let channel = match channel::connect(address, &self.transport, limits).await {
            Ok(channel) => channel,
            Err(error) => return Lost { words: error.to_string(), reason: String::new() },
        };
        let mut client = WorkServiceClient::new(channel).max_decoding_message_size(LEASE_BYTES_MAX);
        self.connected.send_replace(Some(client.clone()));
        // The first answer tells that the aggregator knows this node; it must not be waited for.
        let mut wait = Duration::ZERO;
        loop {
            while jobs.try_join_next().is_some() {}
            if jobs.len() >= LEASES_HELD_MAX {
                jobs.join_next().await;
                continue;
            }
            let held = self.work.held().iter().copied().collect();
            let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
            let request = with_deadline(LeaseWorkRequest { held, wait_ms }, wait + ANSWER_TIME);
            let answer = match client.lease_work(request).await {
                Ok(answer) => answer.into_inner(),
                Err(status) => return self.lost(&status),
            };
            if !self.displaced && self.is_news("known") {
                let (address, aggregator) = (&self.dial.address, &self.dial.aggregator);
                tracing::info!(address, %aggregator, "the aggregator knows this node, and asks it over this connection");
            }
            backoff.succeeded();
            self.contact.made().await;
            wait = WORK_WAIT;
            if let Some(lease) = answer.lease {
                self.work.held().insert(lease.lease_id);
                jobs.spawn(Arc::clone(&self.work).work(lease, self.connected.subscribe()));
            }
        }
    }

    fn lost(&self, status: &Status) -> Lost {
        let words = channel::describe_status(status, &self.dial.address, &self.transport).to_string();
        Lost { words, reason: Refusal::read(status).reason().to_owned() }
    }

    /// Whether something else was said last about the connection.
    fn is_news(&mut self, words: &str) -> bool {
        let news = self.told != words;
        words.clone_into(&mut self.told);
        news
    }
}

impl Worker {
    /// Does the work of one lease, and hands in what came of it while the lease lasts.
    async fn work(
        self: Arc<Self>,
        lease: Lease,
        connected: watch::Receiver<Option<WorkServiceClient<Channel>>>,
    ) {
        let Lease { lease_id, time_left_ms, work } = lease;
        let until = Instant::now() + Duration::from_millis(time_left_ms.into());
        if let Some(work) = work {
            let outcome = self.outcome(work).await;
            let request = SubmitWorkRequest { lease_id, outcome: Some(outcome) };
            let handed_in = tokio::time::timeout_at(until, hand_in(request, connected)).await;
            match handed_in {
                Ok(Ok(())) => {}
                Ok(Err(refusal)) => {
                    tracing::warn!(lease = lease_id, "what was handed in was refused: {refusal}");
                    // Still held, so that it is not told again before it ends.
                    tokio::time::sleep_until(until).await;
                }
                Err(_) => tracing::warn!(lease = lease_id, "its time passed before it could be handed in"),
            }
        } else {
            tracing::warn!(lease = lease_id, "it asks for something that this version does not know");
            tokio::time::sleep_until(until).await;
        }
        self.held().remove(&lease_id);
    }

    /// The handlers' answer, as if the aggregator had called.
    async fn outcome(&self, work: Work) -> Outcome {
        let answered = match work {
            Work::Describe(message) => self
                .handlers
                .describe(self.called(message))
                .await
                .map(|answer| Outcome::Described(answer.into_inner())),
            Work::AcceptContract(message) => self
                .handlers
                .accept_contract(self.called(message))
                .await
                .map(|answer| Outcome::Accepted(answer.into_inner())),
            Work::Vote(message) => TeacherService::vote(&self.handlers, self.called(message))
                .await
                .map(|answer| Outcome::Voted(answer.into_inner())),
        };
        answered.unwrap_or_else(|status| {
            self.handlers.meters.refusals.count(&status);
            Outcome::Declined(Declined {
                code: status.code().into(),
                message: status.message().to_owned(),
                details: status.details().to_vec(),
            })
        })
    }

    /// A call by the party that this node dialled, and whose certificate it has seen.
    fn called<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.extensions_mut().insert(self.aggregator.clone());
        request
    }

    fn held(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands in over whatever connection there is, again after every loss; or tells why it is not taken.
async fn hand_in(
    request: SubmitWorkRequest,
    mut connected: watch::Receiver<Option<WorkServiceClient<Channel>>>,
) -> Result<(), Refusal> {
    let mut backoff = Backoff::new(PATIENCE, Jitter::fresh());
    loop {
        let client = connected.borrow_and_update().clone();
        if let Some(mut client) = client {
            let Err(status) = client.submit_work(with_deadline(request.clone(), ANSWER_TIME)).await else {
                return Ok(());
            };
            let passing = matches!(
                wire_error::code(&status),
                Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Unknown
            );
            if !passing {
                return Err(Refusal::read(&status));
            }
        }
        tokio::select! {
            // The sender is dropped when the node stops; the time of the lease still runs.
            Ok(()) = connected.changed() => {}
            () = tokio::time::sleep(backoff.next_wait()) => {}
        }
    }
}

/// How long the node's call waits for work; the aggregator misses a node that has not called for a little longer.
const WORK_WAIT: Duration = Duration::from_secs(4);
/// An answer that takes longer than that is given up with its connection.
const ANSWER_TIME: Duration = Duration::from_secs(4);
/// Waits between attempts to reach the aggregator.
const PATIENCE: RetryPolicy =
    RetryPolicy { attempts_max: u32::MAX, delay_first_ms: 100, delay_max_ms: 5_000 };
/// The aggregator's word for a node whose place another connection with the same kit has taken.
const DISPLACED: &str = "DISPLACED";
/// Before such a node dials again.
const DISPLACED_WAIT: Duration = Duration::from_secs(15);
/// More leases than that wait at the aggregator.
const LEASES_HELD_MAX: usize = 64;
/// A contract with its members and classes, or 32 bytes for each query of a batch.
const LEASE_BYTES_MAX: usize = 4 << 20;
/// What a stopping node gives to work that is under way; less than a process is given to drain.
const FINISH_MAX: Duration = Duration::from_secs(5);
