//! Sessions with the teacher nodes, one each: who must be there, whether it is, and the three questions.
//!
//! A node that listens is called over a channel; one that dials in finds the same questions at its desk.
//!
//! A session that did not answer in time, or refused, is absent: batches go on without it, and it is looked for again
//! in the background. Absence is a public fact about a node; it never depends on what its teachers would have said.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use conclave_proto::PROTOCOL;
use conclave_proto::common::v1 as common;
use conclave_proto::teacher::v1::lease::Work;
use conclave_proto::teacher::v1::submit_work_request::Outcome;
use conclave_proto::teacher::v1::teacher_service_client::TeacherServiceClient;
use conclave_proto::teacher::v1::{
    AcceptContractRequest, Declined, DescribeRequest, DescribeResponse, VoteRequest, VoteResponse,
};
use conclave_service::channel::{self, with_deadline};
use conclave_service::metrics::known_reason;
use conclave_service::wire_error;
use conclave_service::{ClientTransport, Identity, Refusal, Repeats, Role};
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use crate::desk::{Desk, Desks};
use crate::error::{Error, Result};
use crate::settings::{NodeSettings, Settings, Transport};

/// One teacher node.
#[derive(Debug)]
pub(crate) struct Session {
    node: NodeSettings,
    line: Line,
    /// Describing and agreeing may take this long.
    call_timeout: Duration,
    present: AtomicBool,
    /// When it last answered, whatever the answer was.
    answered_at: Mutex<Option<Instant>>,
    /// Why it refused last, until it agrees or votes: for whoever asks how the campaign stands.
    refused: Mutex<Option<&'static str>>,
    /// How often in a row it was asked for votes in vain.
    in_vain: AtomicU32,
    /// What the log said last about this node, so that it is not said twice.
    told: Mutex<String>,
    /// And lately: a node that comes and goes must not bury the log.
    said: Repeats,
}

/// How a node is asked.
#[derive(Debug)]
enum Line {
    /// It listens: over a channel that reconnects by itself.
    Dialled(Box<Dialled>),
    /// It dials in.
    DialsIn(Arc<Desk>),
}

/// A node that listens.
#[derive(Debug)]
struct Dialled {
    service: TeacherServiceClient<Channel>,
    transport: ClientTransport,
    address: String,
}

/// Why a node gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Not there, or not in time; may pass.
    Absent(String),
    /// The deadline passed first.
    Late,
    /// It does not know the contract: it was restarted, and is to be asked to agree again.
    Forgot,
    /// It answered that it will not.
    Refused(String),
}

impl Session {
    /// A session with `node`; nothing is sent before the first call.
    pub(crate) fn open(
        node: NodeSettings,
        settings: &Settings,
        transport: &Transport,
        desks: &Desks,
    ) -> Result<Self> {
        let line = match (desks.of_node(&node), &node.address) {
            (Some(desk), None) => Line::DialsIn(desk),
            (_, Some(address)) => {
                let transport = dialled(&node, transport)?;
                let channel = channel::connect_lazily(address, &transport, &settings.channel)?;
                let service = TeacherServiceClient::new(channel);
                Line::Dialled(Box::new(Dialled { service, transport, address: address.clone() }))
            }
            (None, None) => {
                return Err(Error::setting(
                    "nodes.address",
                    &"absent",
                    "give HOST:PORT, or let the node dial in",
                ));
            }
        };
        Ok(Self {
            node,
            line,
            call_timeout: Duration::from_millis(settings.channel.call_timeout_ms),
            present: AtomicBool::new(false),
            answered_at: Mutex::default(),
            refused: Mutex::default(),
            in_vain: AtomicU32::new(0),
            told: Mutex::new(String::new()),
            said: Repeats::default(),
        })
    }

    /// The same session, for votes of `teachers` on at most `queries` at once: larger answers are not read.
    ///
    /// Refused: votes of a node that dials in, when they would not fit what the server reads.
    pub(crate) fn expecting(self, teachers: u32, queries: usize, message_bytes_max: usize) -> Result<Self> {
        let votes = (teachers as usize).saturating_mul(queries).saturating_mul(VOTE_BYTES_MAX);
        let limit = votes.saturating_add(ENVELOPE_BYTES);
        let line = match self.line {
            Line::Dialled(dialled) => {
                let Dialled { service, transport, address } = *dialled;
                let service = service.max_decoding_message_size(limit);
                Line::Dialled(Box::new(Dialled { service, transport, address }))
            }
            Line::DialsIn(_) if limit > message_bytes_max => {
                let fix = format!(
                    "{teachers} teachers of {} on {queries} queries come to {limit} bytes: raise it, or lower \
                     flow.batch_queries_max",
                    self.node.organisation
                );
                return Err(Error::setting("server.message_bytes_max", &message_bytes_max, fix));
            }
            line @ Line::DialsIn(_) => line,
        };
        Ok(Self { line, ..self })
    }

    /// Who it is and where.
    pub(crate) fn node(&self) -> &NodeSettings {
        &self.node
    }

    /// `ORGANISATION/NODE`.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.node.organisation, self.node.node)
    }

    /// Whether it agreed to the contract and has answered since.
    pub(crate) fn is_present(&self) -> bool {
        self.present.load(Ordering::Relaxed)
    }

    /// Notes that it is there, or not; tells whether that is news.
    pub(crate) fn set_present(&self, present: bool) -> bool {
        self.present.swap(present, Ordering::Relaxed) != present
    }

    /// How long ago it last answered; `None` if it never did.
    pub(crate) fn silent_for(&self) -> Option<Duration> {
        self.answered_at.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }

    /// Why it refused last, if it has neither agreed nor voted since.
    pub(crate) fn refused(&self) -> Option<&'static str> {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that it refused, or was refused, for this reason; or that it did what it was asked.
    pub(crate) fn set_refused(&self, reason: Option<&'static str>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// Notes that its votes came in time, and counted.
    pub(crate) fn was_in_time(&self) {
        self.set_refused(None);
        self.in_vain.store(0, Ordering::Relaxed);
    }

    /// Notes that it gave no votes that count. Once for all batches that are under way: it is away from the first of them on.
    pub(crate) fn was_in_vain(&self) {
        if self.set_present(false) {
            self.in_vain.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many pauses to leave between two attempts: doubles with every time in a row that it was asked in vain, up to
    /// 2^[`PATIENCE_DOUBLINGS_MAX`].
    pub(crate) fn patience(&self) -> u32 {
        let in_vain = self.in_vain.load(Ordering::Relaxed).saturating_sub(1);
        1 << in_vain.min(PATIENCE_DOUBLINGS_MAX)
    }

    /// Logs what keeps the node away, unless that was the last thing said about it, or was said lately.
    pub(crate) fn tell(&self, words: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != words && self.said.to_say(words).is_some() {
            words.clone_into(&mut told);
            tracing::warn!(node = self.name(), "{words}");
        }
    }

    /// Logs that the node is here and agrees, if something else was said last about it.
    pub(crate) fn tell_of_return(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != RETURNED {
            RETURNED.clone_into(&mut told);
            tracing::info!(node = self.name(), "{RETURNED}");
        }
    }

    /// Asks who it is and which data it holds.
    pub(crate) async fn describe(&self) -> Result<DescribeResponse, Silence> {
        let request = DescribeRequest { protocol: Some(common::ProtocolVersion { ..PROTOCOL }) };
        match &self.line {
            Line::Dialled(dialled) => {
                let answer =
                    dialled.service.clone().describe(with_deadline(request, self.call_timeout)).await;
                self.heard(answer)
            }
            Line::DialsIn(desk) => {
                match self.asked(desk, Work::Describe(request), self.call_timeout).await? {
                    Outcome::Described(answer) => Ok(answer),
                    other => Err(self.declined(other)),
                }
            }
        }
    }

    /// Asks for its agreement, and returns the digest of the contract as the node computed it.
    pub(crate) async fn accept(&self, contract: common::Contract) -> Result<Vec<u8>, Silence> {
        let request = AcceptContractRequest { contract: Some(contract) };
        let answer = match &self.line {
            Line::Dialled(dialled) => {
                let answer =
                    dialled.service.clone().accept_contract(with_deadline(request, self.call_timeout)).await;
                self.heard(answer)?
            }
            Line::DialsIn(desk) => {
                match self.asked(desk, Work::AcceptContract(request), self.call_timeout).await? {
                    Outcome::Accepted(answer) => answer,
                    other => return Err(self.declined(other)),
                }
            }
        };
        Ok(answer.contract_digest)
    }

    /// Asks for the votes of its teachers, to be here within `time`.
    pub(crate) async fn vote(&self, request: VoteRequest, time: Duration) -> Result<VoteResponse, Silence> {
        match &self.line {
            Line::Dialled(dialled) => {
                let answer = dialled.service.clone().vote(with_deadline(request, time)).await;
                self.heard(answer)
            }
            Line::DialsIn(desk) => match self.asked(desk, Work::Vote(request), time).await? {
                Outcome::Voted(answer) => Ok(answer),
                other => Err(self.declined(other)),
            },
        }
    }

    fn heard<T>(&self, answer: Result<Response<T>, Status>) -> Result<T, Silence> {
        let answer = answer.map(Response::into_inner).map_err(|status| self.silence(&status));
        if matches!(answer, Ok(_) | Err(Silence::Refused(_) | Silence::Forgot)) {
            self.answered();
        }
        answer
    }

    /// A question at the node's desk; to decline is an answer too.
    async fn asked(&self, desk: &Desk, work: Work, time: Duration) -> Result<Outcome, Silence> {
        let outcome = desk.ask(work, time).await?;
        self.answered();
        Ok(outcome)
    }

    fn answered(&self) {
        *self.answered_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// A node that dials in declines with the status that it would have answered a caller with. Its desk has seen to it
    /// that what is no refusal is of the kind that was asked for.
    fn declined(&self, outcome: Outcome) -> Silence {
        let Outcome::Declined(Declined { code, message, details }) = outcome else {
            return Silence::Absent("it answered something else than it was asked".to_owned());
        };
        self.silence(&Status::with_details(Code::from_i32(code), message, details.into()))
    }

    fn silence(&self, status: &Status) -> Silence {
        let refusal = Refusal::read(status);
        let words = || match &self.line {
            Line::Dialled(dialled) => {
                channel::describe_status(status, &dialled.address, &dialled.transport).to_string()
            }
            Line::DialsIn(_) => refusal.to_string(),
        };
        // The node's own words, however many: they are logged and remembered.
        let clipped = |words: String| words.chars().take(WORDS_CHARS_MAX).collect::<String>();
        match wire_error::code(status) {
            _ if refusal.reason() == REASON_CONTRACT_UNKNOWN => Silence::Forgot,
            Code::DeadlineExceeded => Silence::Late,
            Code::Unavailable | Code::ResourceExhausted | Code::Cancelled => {
                Silence::Absent(clipped(words()))
            }
            _ if refusal.reason().is_empty() => Silence::Absent(clipped(words())),
            _ => {
                self.set_refused(Some(known_reason(Role::Teacher, &refusal)));
                Silence::Refused(clipped(refusal.to_string()))
            }
        }
    }
}

/// How the node is dialled, and who must be there.
fn dialled(node: &NodeSettings, transport: &Transport) -> Result<ClientTransport> {
    Ok(match transport {
        Transport::Mutual(kit) => {
            let consortium = kit.identity().consortium();
            let (organisation, name) = (node.organisation.as_str(), node.node.as_str());
            let expected = Identity::new(consortium, Role::Teacher, organisation, name)?;
            ClientTransport::Mutual { kit: Arc::new((**kit).clone()), expected }
        }
        Transport::PlaintextLoopback => ClientTransport::PlaintextLoopback,
    })
}

impl std::fmt::Display for Silence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent(words) | Self::Refused(words) => f.write_str(words),
            Self::Late => f.write_str("no answer before the deadline"),
            Self::Forgot => f.write_str("it does not know the contract: it was restarted"),
        }
    }
}

/// The reason of a node that the aggregator itself keeps out: another member, or on other ground, than was agreed to.
pub(crate) const MISFIT: &str = "MISFIT";
/// What a node says when it was restarted since it agreed (proto/conclave/teacher/v1).
const REASON_CONTRACT_UNKNOWN: &str = "CONTRACT_UNKNOWN";
/// What is logged about a node that is there.
const RETURNED: &str = "it is here and agrees to the contract";
/// Of the words of a node that declines.
const WORDS_CHARS_MAX: usize = 1_000;
/// With a pause of a second: about a minute.
const PATIENCE_DOUBLINGS_MAX: u32 = 6;
/// A class index on the wire has one byte or two.
const VOTE_BYTES_MAX: usize = 2;
/// Everything of a message that is not votes.
const ENVELOPE_BYTES: usize = 64 << 10;
