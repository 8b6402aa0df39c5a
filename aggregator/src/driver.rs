//! The loop around [`Campaign`]: it performs what the campaign decides, one task per batch, and tells it how each ended.
//!
//! The life of a batch: reserve → ask every node that is there → freeze → DRAW durable → noise → RELEASE durable →
//! published. Every arrow consumes what the step before gave. The loop takes no decision of its own.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use conclave_ledger::{AbandonReason, DrawPermit, LedgerError, Reservation};
use conclave_privacy::noise::NoiseSource;
use conclave_proto::ids::QueryId;
use conclave_proto::teacher::v1::{VoteRequest, VoteResponse};
use conclave_trust::{Contract, Rejection};
use rand::TryRng as _;
use rand::rngs::SysRng;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admission::{Ledger, Refused};
use crate::campaign::{Admitted, Campaign, Ended, Next, Phase, TooMany};
use crate::enrolment::{self, Hindrance};
use crate::published::Published;
use crate::query::{Batch, Frozen};
use crate::release;
use crate::sessions::{Session, Silence};
use crate::settings::Settings;
use crate::status::{Rejections, Standing};

/// What the outside asks of the loop.
#[derive(Debug)]
pub(crate) enum Command {
    /// Take these queries.
    Submit { queries: Vec<QueryId>, reply: oneshot::Sender<Result<Admitted, TooMany>> },
    /// A node is back.
    TeachersReturned,
    /// Ask no more than so many queries in a minute from now on.
    Pace(Option<NonZeroU32>),
}

/// The members of the campaign, as far as they can be reached.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    pub(crate) sessions: Vec<Arc<Session>>,
    pub(crate) rejections: Rejections,
    /// Batches that were given up because too few votes had come.
    pub(crate) quorum_misses: AtomicU64,
    /// By organisation: the data id under which its votes count, and how many there are.
    members: HashMap<String, (String, u32)>,
}

impl Nodes {
    pub(crate) fn new(sessions: Vec<Arc<Session>>, contract: &Contract) -> Self {
        let member = |member: &conclave_trust::Member| {
            (member.organisation.to_string(), (member.data.to_string(), member.teachers))
        };
        let members = contract.members.iter().map(member).collect();
        Self { sessions, rejections: Rejections::default(), quorum_misses: AtomicU64::new(0), members }
    }

    fn teachers_present(&self) -> u32 {
        self.sessions
            .iter()
            .filter(|session| session.is_present())
            .map(|session| self.member(session).1)
            .sum()
    }

    /// The data id and the teachers behind a session. Every session was checked against the contract.
    fn member(&self, session: &Session) -> (&str, u32) {
        let found = self.members.get(session.node().organisation.as_str());
        found.map_or(("", 0), |(data, teachers)| (data, *teachers))
    }
}

/// Everything that a batch needs; shared by all of them.
pub(crate) struct Engine<N> {
    pub(crate) settings: Arc<Settings>,
    pub(crate) contract: Arc<Contract>,
    pub(crate) ledger: Ledger,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) published: Published,
    pub(crate) noise: Arc<Mutex<N>>,
    /// Counts the openings of the ledger: tells a batch that is asked again from the first time.
    pub(crate) epoch: u32,
    pub(crate) stop: CancellationToken,
}

/// How a batch ended, and for which queries.
struct Report {
    queries: Vec<QueryId>,
    how: Ended,
    /// Of an interrupted draw: those that the ledger has closed.
    closed: Vec<QueryId>,
}

/// What a batch begins with.
enum Start {
    New(Vec<QueryId>),
    /// Reserved by an earlier process, and not drawn.
    Reserved(Reservation),
}

/// Runs the campaign until the engine's token is cancelled and every batch has ended.
pub(crate) async fn drive<N: NoiseSource + 'static>(
    engine: Arc<Engine<N>>,
    mut campaign: Campaign,
    resumed: Vec<Reservation>,
    mut commands: mpsc::Receiver<Command>,
    standing: watch::Sender<Standing>,
) {
    let began = Instant::now();
    let now_ms = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut batches: JoinSet<Report> = JoinSet::new();
    for reservation in resumed {
        campaign.resume(&queries_of(&reservation));
        batches.spawn(Arc::clone(&engine).batch(Start::Reserved(reservation)));
    }
    while !engine.stop.is_cancelled() {
        let quorum_present = engine.nodes.teachers_present() >= engine.contract.teachers_quorum_min;
        let wake_at = match campaign.next(now_ms(), quorum_present) {
            Next::Ask(queries) => {
                batches.spawn(Arc::clone(&engine).batch(Start::New(queries)));
                continue;
            }
            Next::WaitUntil(at_ms) => Some(began + Duration::from_millis(at_ms)),
            Next::Wait => None,
        };
        tell(&standing, &campaign);
        tokio::select! {
            biased;
            () = engine.stop.cancelled() => {}
            Some(ended) = batches.join_next() => take(&mut campaign, ended, now_ms()),
            command = commands.recv() => match command {
                Some(Command::Submit { queries, reply }) => {
                    let admitted = campaign.submit(&queries);
                    // Known before the caller hears of it, so that it never finds the campaign idle.
                    tell(&standing, &campaign);
                    // A caller that has gone can propose again.
                    let _ = reply.send(admitted);
                }
                Some(Command::TeachersReturned) => campaign.teachers_returned(),
                Some(Command::Pace(pace)) => campaign.set_pace(pace),
                None => break,
            },
            () = sleep_until(wake_at) => {}
        }
    }
    commands.close();
    while let Some(ended) = batches.join_next().await {
        take(&mut campaign, ended, now_ms());
    }
    tell(&standing, &campaign);
}

fn take(campaign: &mut Campaign, ended: Result<Report, tokio::task::JoinError>, now_ms: u64) {
    match ended {
        Ok(Report { queries, how, closed }) => {
            campaign.ended(&queries, how, now_ms);
            campaign.settle(closed);
        }
        Err(fault) => {
            // It is unknown how far it came: reopening the ledger finds out.
            tracing::error!(%fault, "a batch broke off; nothing more is asked before a restart");
            campaign.ended(&[], Ended::Halted, now_ms);
        }
    }
}

fn tell(standing: &watch::Sender<Standing>, campaign: &Campaign) {
    let now = Standing { phase: campaign.phase(), admitted: campaign.admitted() };
    standing.send_if_modified(|told| {
        let news = *told != now;
        if told.phase != now.phase {
            match now.phase {
                // Back and forth with every proposal: of interest to nobody but us.
                Phase::Idle | Phase::Asking => tracing::debug!(phase = ?now.phase, "the campaign"),
                Phase::BudgetSpent => tracing::warn!(admitted = now.admitted, "the budget is spent"),
                Phase::BelowQuorum => tracing::warn!("too few teachers are there; waiting for them"),
                Phase::Halted => tracing::error!("nothing more is released before a restart"),
                Phase::Ended => tracing::info!("the campaign has ended"),
            }
        }
        *told = now;
        news
    });
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl<N: NoiseSource + 'static> Engine<N> {
    /// One batch from its reservation to its release.
    async fn batch(self: Arc<Self>, start: Start) -> Report {
        let (queries, reservation) = match start {
            Start::Reserved(reservation) => (queries_of(&reservation), reservation),
            Start::New(queries) => match self.ledger.admit(&queries).await {
                Ok(reservation) => (queries, reservation),
                Err(refused) => {
                    let how = match refused {
                        Refused::OverBudget { fitting } => Ended::OverBudget { fitting },
                        Refused::Later => Ended::Postponed,
                        Refused::Halted => Ended::Halted,
                    };
                    return Report { queries, how, closed: Vec::new() };
                }
            },
        };
        let (how, closed) = match self.collect(&queries, &reservation).await {
            Err((reason, how)) => (self.give_up(reservation, reason, how).await, Vec::new()),
            Ok(frozen) => self.draw_and_release(reservation, frozen).await,
        };
        Report { queries, how, closed }
    }

    /// Asks every node that is there, and freezes what came in time; or says why nothing may be drawn.
    async fn collect(
        &self,
        queries: &[QueryId],
        reservation: &Reservation,
    ) -> Result<Frozen, (AbandonReason, Ended)> {
        let mut batch = Batch::new(&self.contract, reservation.number(), self.epoch, queries);
        let deadline = Instant::now() + Duration::from_millis(self.contract.vote_deadline_ms.into());
        let mut asked = JoinSet::new();
        let mut silent: HashMap<_, _> = HashMap::new();
        for session in self.nodes.sessions.iter().filter(|session| session.is_present()) {
            let asking = Self::ask(
                Arc::clone(&self.settings),
                Arc::clone(&self.contract),
                Arc::clone(session),
                batch.request().clone(),
                deadline,
            );
            silent.insert(asked.spawn(asking).id(), session);
        }
        loop {
            let answer = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err((AbandonReason::Stopped, Ended::Postponed)),
                answer = asked.join_next_with_id() => answer,
                () = tokio::time::sleep_until(deadline) => break,
            };
            let Some(answer) = answer else { break };
            let id = answer.as_ref().map_or_else(tokio::task::JoinError::id, |(id, _)| *id);
            let Some(session) = silent.remove(&id) else { continue };
            match answer {
                Ok((_, Ok(votes))) => match batch.submit(self.nodes.member(session).0, votes) {
                    Ok(()) => session.was_in_time(),
                    Err(rejection) => {
                        self.nodes.rejections.count(rejection);
                        session.tell(&format!("its votes were rejected as {rejection}"));
                        session.was_in_vain();
                    }
                },
                Ok((_, Err(silence))) => self.note(session, &silence),
                Err(fault) => session.tell(&format!("asking it broke off: {fault}")),
            }
        }
        for session in silent.into_values() {
            self.note(session, &Silence::Late);
        }
        if !batch.has_quorum() {
            self.nodes.quorum_misses.fetch_add(1, Ordering::Relaxed);
            return Err((AbandonReason::NoQuorum, Ended::BelowQuorum));
        }
        let failed = |words: &dyn std::fmt::Display| {
            tracing::error!("votes cannot be frozen: {words}");
            (AbandonReason::Failed, Ended::Postponed)
        };
        let mut salt = [0; 32];
        SysRng.try_fill_bytes(&mut salt).map_err(|error| failed(&error))?;
        batch.freeze(salt).map_err(|error| failed(&error))
    }

    /// One node's votes; a node that was restarted is asked to agree again first.
    async fn ask(
        settings: Arc<Settings>,
        contract: Arc<Contract>,
        session: Arc<Session>,
        request: VoteRequest,
        deadline: Instant,
    ) -> Result<VoteResponse, Silence> {
        let left = || deadline.saturating_duration_since(Instant::now());
        match session.vote(request.clone(), left()).await {
            Err(Silence::Forgot) => {}
            answer => return answer,
        }
        match enrolment::rejoin(&session, &settings, &contract).await {
            Ok(()) => session.vote(request, left()).await,
            Err(Hindrance::Passing(words)) => Err(Silence::Absent(words)),
            Err(Hindrance::Lasting(error)) => Err(Silence::Absent(error.to_string())),
        }
    }

    /// A node without votes: counted if it was late, and looked for, whatever it says: if it counted as there, a quorum that needs it
    /// would be reserved for and given up without end, and the ledger would grow by it.
    fn note(&self, session: &Session, silence: &Silence) {
        session.tell(&silence.to_string());
        if *silence == Silence::Late {
            self.nodes.rejections.count(Rejection::Late);
        }
        session.was_in_vain();
    }

    async fn give_up(&self, reservation: Reservation, reason: AbandonReason, how: Ended) -> Ended {
        match self.ledger.abandon(reservation, reason).await {
            Ok(()) => how,
            Err(error) => halted("a reservation cannot be given up", &error),
        }
    }

    async fn draw_and_release(&self, reservation: Reservation, frozen: Frozen) -> (Ended, Vec<QueryId>) {
        let drawn = self.ledger.draw(reservation, frozen.commitment(), frozen.silos()).await;
        let permit = match drawn {
            Ok(permit) => permit,
            Err(error) => return (halted("a draw cannot be recorded", &error), Vec::new()),
        };
        match release::draw(permit, frozen, &self.contract.mechanism, &self.noise) {
            Err(failed) => {
                let (permit, words) = *failed;
                tracing::error!("a draw failed and stays charged: {words}");
                self.interrupt(permit).await
            }
            Ok(drawn) => match drawn.release(&self.ledger, &self.published).await {
                Ok(()) => (Ended::Released, Vec::new()),
                Err(error) => (halted("answers cannot be stored, so they are not given", &error), Vec::new()),
            },
        }
    }

    /// The draw stays spent; queries that were cut short too often are closed with a stored answer.
    async fn interrupt(&self, permit: DrawPermit) -> (Ended, Vec<QueryId>) {
        let queries: Vec<_> = permit.queries().iter().map(|(query, _)| *query).collect();
        if let Err(error) = self.ledger.interrupt(permit).await {
            return (halted("an interrupted draw cannot be recorded", &error), Vec::new());
        }
        let published = self.published.clone();
        let closed = self.ledger.read(move |book, campaign| {
            published.append(&book.answers(campaign, published.len() as u64, usize::MAX));
            let answered = queries.into_iter().filter(|query| book.answer(campaign, query).is_some());
            answered.map(|query| QueryId::new(*query.as_bytes())).collect()
        });
        match closed.await {
            Ok(closed) => (Ended::Interrupted, closed),
            Err(error) => (halted("the ledger cannot be read", &error), Vec::new()),
        }
    }
}

/// Looks for one node whenever it is away, until `stop`.
pub(crate) async fn look_for(
    session: Arc<Session>,
    settings: Arc<Settings>,
    contract: Arc<Contract>,
    commands: mpsc::Sender<Command>,
    stop: CancellationToken,
) {
    let retry = Duration::from_millis(settings.flow.retry_ms);
    let looking = async {
        loop {
            if !session.is_present() {
                // A node that is often late, or refuses, holds up every batch: it is tried again less and less often.
                tokio::time::sleep(retry * (session.patience() - 1)).await;
                match enrolment::rejoin(&session, &settings, &contract).await {
                    Ok(()) => {
                        session.set_present(true);
                        session.tell_of_return();
                        // Without a loop there is nobody to tell.
                        let _ = commands.send(Command::TeachersReturned).await;
                    }
                    Err(Hindrance::Passing(words)) => session.tell(&words),
                    Err(Hindrance::Lasting(error)) => session.tell(&error.to_string()),
                }
            }
            tokio::time::sleep(retry).await;
        }
    };
    stop.run_until_cancelled(looking).await;
}

fn halted(what: &str, error: &LedgerError) -> Ended {
    tracing::error!(%error, "{what}; {HALTED}");
    Ended::Halted
}

/// What an operator can do about storage that fails.
pub(crate) const HALTED: &str = "nothing more is asked or released before a restart: give the ledger's disk room, or \
                                 repair it, and start the aggregator again; what was released and charged stays";

fn queries_of(reservation: &Reservation) -> Vec<QueryId> {
    reservation.queries().iter().map(|(query, _)| QueryId::new(*query.as_bytes())).collect()
}
