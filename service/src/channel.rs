//! Calling another party: who it must be, how long it may take, when to try again, and what to tell the operator.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::CertificateError;
use serde::{Deserialize, Serialize};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::authorise::is_loopback;
use crate::certificate::dates;
use crate::clock::WallClock;
use crate::dialling::Dialler;
use crate::error::ServiceError;
use crate::identity::Identity;
use crate::kit::Kit;
use crate::server::with_causes;
use crate::wire_error::{self, Refusal};

/// How to reach a server, and who must be there.
#[derive(Debug, Clone)]
pub enum ClientTransport {
    /// Mutual TLS: we show `kit`, and refuse anybody but `expected`.
    Mutual {
        /// Our own kit.
        kit: Arc<Kit>,
        /// The party that we mean to call.
        expected: Identity,
    },
    /// Plain text without identities, to loopback addresses only; must be asked for explicitly.
    PlaintextLoopback,
}

impl ClientTransport {
    fn peer(&self) -> String {
        match self {
            Self::Mutual { expected, .. } => format!("{} {}", expected.role(), expected.name()),
            Self::PlaintextLoopback => "server".to_owned(),
        }
    }
}

/// Bounds of a channel. In TOML every field may be left out; units are in the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChannelLimits {
    /// TCP, TLS and HTTP/2 set-up together.
    pub connect_timeout_ms: u64,
    /// No call takes longer; [`with_deadline`] gives a call a shorter time, and tells the server.
    pub call_timeout_ms: u64,
    /// A silent connection is asked for a sign of life this often.
    pub keep_alive_interval_ms: u64,
    /// A connection that does not give one within this time is given up.
    pub keep_alive_timeout_ms: u64,
}

impl Default for ChannelLimits {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 5_000,
            call_timeout_ms: 60_000,
            keep_alive_interval_ms: 20_000,
            keep_alive_timeout_ms: 10_000,
        }
    }
}

/// Connects to `address` (`HOST:PORT`) and makes sure that both sides accept each other, or says in words why not.
///
/// Under TLS 1.3 a client believes itself connected before the server has looked at its certificate; hence one call of
/// the health service, which is open to every role, before the channel is handed out.
pub async fn connect(
    address: &str,
    transport: &ClientTransport,
    limits: &ChannelLimits,
) -> Result<Channel, ServiceError> {
    let way = way(address, transport, limits)?;
    let unreachable = |(problem, fix)| ServiceError::Unreachable {
        peer: transport.peer(),
        address: address.to_owned(),
        problem,
        fix,
    };
    let greeted = tokio::time::timeout(Duration::from_millis(limits.connect_timeout_ms), async {
        let channel = way.connect().await.map_err(|fault| explain(&fault, transport))?;
        let greeting = HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await;
        match greeting {
            Ok(_) => Ok(channel),
            Err(status) => Err(explain_status(&status, transport)),
        }
    });
    match greeted.await {
        Ok(result) => result.map_err(unreachable),
        Err(_) => Err(unreachable((
            format!("no answer within {} ms", limits.connect_timeout_ms),
            "check address and firewall, or raise connect_timeout_ms".to_owned(),
        ))),
    }
}

/// A channel that connects at its first call and reconnects after a loss; faults appear as the status of a call
/// (see [`describe_status`]).
pub fn connect_lazily(
    address: &str,
    transport: &ClientTransport,
    limits: &ChannelLimits,
) -> Result<Channel, ServiceError> {
    let Way { endpoint, dialler } = way(address, transport, limits)?;
    Ok(match dialler {
        Some(dialler) => endpoint.connect_with_connector_lazy(dialler),
        None => endpoint.connect_lazy(),
    })
}

/// Where a channel goes, and how it dials there under TLS.
struct Way {
    endpoint: Endpoint,
    dialler: Option<Dialler>,
}

impl Way {
    async fn connect(self) -> Result<Channel, tonic::transport::Error> {
        match self.dialler {
            Some(dialler) => self.endpoint.connect_with_connector(dialler).await,
            None => self.endpoint.connect().await,
        }
    }
}

fn way(address: &str, transport: &ClientTransport, limits: &ChannelLimits) -> Result<Way, ServiceError> {
    let invalid = || ServiceError::InvalidAddress { value: address.to_owned() };
    let authority: http::uri::Authority = address.parse().map_err(|_| invalid())?;
    if authority.port_u16().is_none() || authority.host().is_empty() || address.contains('@') {
        return Err(invalid());
    }
    let connect_timeout = Duration::from_millis(limits.connect_timeout_ms);
    let (scheme, dialler) = match transport {
        ClientTransport::Mutual { kit, expected } => ("https", Some(kit.dialler(expected, connect_timeout)?)),
        ClientTransport::PlaintextLoopback => {
            let local = authority.host() == "localhost"
                || address.parse::<SocketAddr>().is_ok_and(|address| is_loopback(&address));
            if !local {
                return Err(ServiceError::NotLoopback { address: address.to_owned() });
            }
            ("http", None)
        }
    };
    let origin = format!("{scheme}://{authority}").parse().map_err(|_| invalid())?;
    // Whoever dials does the TLS: to tonic the connection is a plain one.
    let endpoint = Endpoint::from_shared(format!("http://{authority}"))
        .map_err(|_| invalid())?
        .origin(origin)
        .connect_timeout(connect_timeout)
        .timeout(Duration::from_millis(limits.call_timeout_ms))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_millis(limits.keep_alive_interval_ms))
        .keep_alive_timeout(Duration::from_millis(limits.keep_alive_timeout_ms));
    Ok(Way { endpoint, dialler })
}

/// Gives a call its deadline, which the server honours too.
pub fn with_deadline<T>(message: T, deadline: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

/// How often and how patiently an idempotent call is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts_max: u32,
    /// The longest wait before the second attempt; it doubles with each further one.
    pub delay_first_ms: u64,
    /// The longest wait ever.
    pub delay_max_ms: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts_max: 5, delay_first_ms: 100, delay_max_ms: 5_000 }
    }
}

/// Repeats `call` while it fails for a passing reason: UNAVAILABLE, DEADLINE_EXCEEDED, or RESOURCE_EXHAUSTED by a server
/// that says when to come back. Anything else, and the last failure, is returned at once.
///
/// Only for calls that may arrive twice (with an idempotency key, or without effect): the first may have succeeded.
/// The waits are drawn uniformly from zero to their bound ("full jitter"), so that parties that failed together do not
/// come back together. `call` is given the number of the attempt, from 1.
pub async fn retry<T, C, F>(policy: &RetryPolicy, jitter: &mut Jitter, mut call: C) -> Result<T, Status>
where
    C: FnMut(u32) -> F,
    F: Future<Output = Result<T, Status>>,
{
    let mut attempt = 1;
    loop {
        let status = match call(attempt).await {
            Ok(answer) => return Ok(answer),
            Err(status) => status,
        };
        let refusal = Refusal::read(&status);
        if attempt >= policy.attempts_max || !is_passing(&refusal) {
            return Err(status);
        }
        tokio::time::sleep(wait_before(policy, jitter, attempt, refusal.retry_after())).await;
        attempt += 1;
    }
}

fn is_passing(refusal: &Refusal) -> bool {
    match refusal.code() {
        Code::Unavailable | Code::DeadlineExceeded => true,
        // A quota that names no time will not be better in a moment.
        Code::ResourceExhausted => refusal.retry_after().is_some(),
        _ => false,
    }
}

fn wait_before(policy: &RetryPolicy, jitter: &mut Jitter, attempt: u32, asked: Option<Duration>) -> Duration {
    let doubled = policy.delay_first_ms.saturating_mul(1u64.checked_shl(attempt - 1).unwrap_or(u64::MAX));
    let bound_ms = doubled.min(policy.delay_max_ms);
    let asked = asked.unwrap_or_default().min(Duration::from_millis(policy.delay_max_ms));
    asked + Duration::from_millis(jitter.up_to(bound_ms))
}

/// Uniform numbers that spread retries in time (SplitMix64). Nothing secret or private depends on them, so they need no
/// cryptographic generator, and the release noise's generator must not be spent or observed here.
#[derive(Clone)]
pub struct Jitter(u64);

impl Jitter {
    /// Reproducible, for simulations and tests.
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Different in each process and call: from the keys that the standard library draws for its hash maps.
    pub fn fresh() -> Self {
        Self(RandomState::new().hash_one(0u8))
    }

    /// A number in `0..=bound`.
    pub fn up_to(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        // The bias of the remainder is below bound / 2^64.
        bound.checked_add(1).map_or(mixed, |count| mixed % count)
    }
}

impl fmt::Debug for Jitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Jitter")
    }
}

/// The failure of a call, in words for the operator: the server's own refusal, or what happened to the connection.
pub fn describe_status(status: &Status, address: &str, transport: &ClientTransport) -> ServiceError {
    let (problem, fix) = explain_status(status, transport);
    ServiceError::Unreachable { peer: transport.peer(), address: address.to_owned(), problem, fix }
}

fn explain_status(status: &Status, transport: &ClientTransport) -> (String, String) {
    let refusal = Refusal::read(status);
    if !refusal.reason().is_empty() {
        let fix = refusal.suggested_fix().unwrap_or("see the server's log").to_owned();
        return (refusal.message().to_owned(), fix);
    }
    match (wire_error::code(status), status.source()) {
        (Code::DeadlineExceeded, _) => {
            ("the call took too long".to_owned(), "allow more time, or ask for less at once".to_owned())
        }
        (_, Some(cause)) => explain(cause, transport),
        (code, None) => (format!("{code}: {}", status.message()), "see its log".to_owned()),
    }
}

/// Problem and fix behind an error of tonic: walks down to what the TLS library or the system said.
fn explain(error: &(dyn Error + 'static), transport: &ClientTransport) -> (String, String) {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(words) = explain_tls(error, transport).or_else(|| explain_io(error, transport)) {
            return words;
        }
        // An io::Error hides the error that it carries from `source`.
        let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = carried.map_or_else(|| error.source(), |carried| Some(carried));
    }
    // Below HTTP/2 only the text survives.
    let text = with_causes(error);
    match text.split_once("fatal alert: ") {
        Some((_, alert)) => {
            let alert = alert.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or(alert);
            explain_alert(alert, transport)
        }
        None => (text, "check that both sides use the same transport and version".to_owned()),
    }
}

fn explain_tls(error: &(dyn Error + 'static), transport: &ClientTransport) -> Option<(String, String)> {
    use CertificateError as Bad;
    let expected = match transport {
        ClientTransport::Mutual { expected, .. } => expected.to_string(),
        ClientTransport::PlaintextLoopback => String::new(),
    };
    let fault = error.downcast_ref::<rustls::Error>()?;
    let (problem, fix) = match fault {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::Expired | Bad::ExpiredContext { .. } => (
                format!("its certificate has expired{}", dates(fault)),
                "issue its kit again, or set this machine's clock",
            ),
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => (
                format!("its certificate is not yet valid{}", dates(fault)),
                "set the clocks of both machines",
            ),
            Bad::UnknownIssuer | Bad::BadSignature => (
                "another authority signed its certificate".to_owned(),
                "compare the fingerprints of both authorities: the kits must come from one",
            ),
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => (
                format!("wrong party or role: its certificate is not that of {expected}"),
                "check the address and the identity that is expected there",
            ),
            other => (format!("its certificate was refused ({other})"), "issue its kit again"),
        },
        rustls::Error::AlertReceived(alert) => return Some(explain_alert(&format!("{alert:?}"), transport)),
        rustls::Error::InvalidMessage(_) => {
            ("it does not speak TLS".to_owned(), "is it running in plaintext mode, or is it another program?")
        }
        _ => return None,
    };
    Some((problem, fix.to_owned()))
}

/// What the server's TLS library said about us, by the name of the alert (RFC 8446, section 6.2).
fn explain_alert(alert: &str, transport: &ClientTransport) -> (String, String) {
    let ours = match transport {
        ClientTransport::Mutual { kit, .. } => kit.validity_in_words(WallClock::now_ms()),
        ClientTransport::PlaintextLoopback => String::new(),
    };
    let (problem, fix) = match alert {
        // One alert for both: which of them it is, only its log says.
        "CertificateExpired" => (
            format!("it says that our certificate has expired, or is not yet valid: {ours}"),
            "issue our kit again, or set the clocks of both machines",
        ),
        "UnknownCA" | "DecryptError" | "BadCertificate" => (
            "it does not accept the authority of our certificate".to_owned(),
            "compare the fingerprints of both authorities: the kits must come from one",
        ),
        "CertificateRequired" => ("it wants a certificate and we showed none".to_owned(), "call with a kit"),
        other => (format!("it ended the TLS handshake ({other})"), "see its log"),
    };
    (problem, fix.to_owned())
}

fn explain_io(error: &(dyn Error + 'static), transport: &ClientTransport) -> Option<(String, String)> {
    let error = error.downcast_ref::<io::Error>()?;
    let peer = transport.peer();
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            Some(("connection refused".to_owned(), format!("is the {peer} running and listening there?")))
        }
        io::ErrorKind::TimedOut => Some((
            "no answer in time".to_owned(),
            "check address and firewall, or raise connect_timeout_ms".to_owned(),
        )),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Some(("no route to it".to_owned(), "check address and network".to_owned()))
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
            if error.get_ref().is_none_or(|inner| !inner.is::<rustls::Error>()) =>
        {
            let fix =
                format!("is the {peer} in the same mode (mutual TLS or plain text), or was it stopped?");
            Some(("it closed the connection".to_owned(), fix))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
