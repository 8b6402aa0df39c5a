//! A gRPC server with every bound in place: who may call, how much, how long, and how it ends.
//!
//! ```no_run
//! # async fn example(kit: conclave_service::Kit) -> Result<(), conclave_service::ServiceError> {
//! use conclave_service::{RoleTable, Server, ServerLimits, ServerTransport};
//! let shutdown = tokio_util::sync::CancellationToken::new();
//! let server = Server::new(ServerTransport::Mutual(kit), RoleTable::new(&[]), ServerLimits::default())
//!     // .add_service(TeacherServiceServer::new(..).max_decoding_message_size(limits.message_bytes_max))
//!     .bind("127.0.0.1:0".parse().expect("an address"), shutdown.clone())
//!     .await?;
//! server.readiness().set(true).await;
//! println!("listening on {}", server.address());
//! server.finished().await
//! # }
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use http::{Request, Response};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::RoutesBuilder;
use tower::Service;
use tower::util::MapResponseLayer;

use crate::authorise::{AuthoriseLayer, Proof, RoleTable, is_loopback};
use crate::connection;
use crate::deadline::DeadlineLayer;
use crate::error::ServiceError;
use crate::health::Readiness;
use crate::kit::Kit;
use crate::metrics::Refusals;

/// How callers reach a server.
#[derive(Debug, Clone)]
pub enum ServerTransport {
    /// Mutual TLS with this kit: the default everywhere.
    Mutual(Kit),
    /// Plain text without identities, on loopback addresses only; must be asked for explicitly.
    PlaintextLoopback,
}

/// Bounds of a server. In TOML every field may be left out; units are in the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerLimits {
    /// Largest message that a service should decode. tonic bounds it per service: pass it to
    /// `max_decoding_message_size` of each. A larger message is answered with OUT_OF_RANGE.
    pub message_bytes_max: usize,
    /// Open HTTP/2 streams per connection.
    pub streams_per_connection_max: u32,
    /// Calls that are handled at once per connection; further ones wait within their deadline.
    pub calls_per_connection_max: usize,
    /// Open connections, handshakes included; further ones wait in the system's backlog.
    pub connections_max: usize,
    /// A TLS handshake that takes longer is cut off.
    pub handshake_timeout_ms: u64,
    /// A silent connection is asked for a sign of life this often.
    pub keep_alive_interval_ms: u64,
    /// A connection that does not give one within this time is closed.
    pub keep_alive_timeout_ms: u64,
    /// A connection of this age is asked to reconnect, so that an expired certificate does not live on.
    pub connection_age_max_ms: u64,
    /// No call lasts longer, whatever deadline its caller asks for.
    pub call_timeout_max_ms: u64,
    /// Headers of one call, in bytes after decompression.
    pub header_bytes_max: u32,
    /// How long open calls may go on after a shutdown was asked for.
    pub drain_timeout_ms: u64,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            message_bytes_max: 4 << 20,
            streams_per_connection_max: 128,
            calls_per_connection_max: 64,
            connections_max: 1024,
            handshake_timeout_ms: 5_000,
            keep_alive_interval_ms: 20_000,
            keep_alive_timeout_ms: 10_000,
            connection_age_max_ms: 30 * 60 * 1000,
            call_timeout_max_ms: 60_000,
            header_bytes_max: 16 << 10,
            drain_timeout_ms: 10_000,
        }
    }
}

impl ServerLimits {
    fn check(&self) -> Result<(), ServiceError> {
        let limits = [
            ("message_bytes_max", self.message_bytes_max as u64),
            ("streams_per_connection_max", u64::from(self.streams_per_connection_max)),
            ("calls_per_connection_max", self.calls_per_connection_max as u64),
            ("connections_max", self.connections_max as u64),
            ("handshake_timeout_ms", self.handshake_timeout_ms),
            ("keep_alive_interval_ms", self.keep_alive_interval_ms),
            ("keep_alive_timeout_ms", self.keep_alive_timeout_ms),
            ("connection_age_max_ms", self.connection_age_max_ms),
            ("call_timeout_max_ms", self.call_timeout_max_ms),
            ("header_bytes_max", u64::from(self.header_bytes_max)),
        ];
        match limits.into_iter().find(|(_, value)| *value == 0) {
            Some((field, value)) => Err(ServiceError::InvalidLimit { field, value }),
            None => Ok(()),
        }
    }
}

/// A server that does not listen yet.
#[derive(Debug)]
pub struct Server {
    transport: ServerTransport,
    table: RoleTable,
    limits: ServerLimits,
    routes: RoutesBuilder,
    refusals: Option<Refusals>,
}

impl Server {
    /// A server that refuses every call that `table` does not allow.
    pub fn new(transport: ServerTransport, table: RoleTable, limits: ServerLimits) -> Self {
        Self { transport, table, limits, routes: RoutesBuilder::default(), refusals: None }
    }

    /// Counts every call that is refused, by whatever layer, in `refusals`.
    #[must_use]
    pub fn counting(mut self, refusals: Refusals) -> Self {
        self.refusals = Some(refusals);
        self
    }

    /// Adds a generated service.
    #[must_use]
    pub fn add_service<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.routes.add_service(service);
        self
    }

    /// Listens on `address` (port 0: a free one) and serves until `shutdown` is cancelled: then readiness ends, no new
    /// connection is taken, open calls finish, and what is still open after the drain timeout is cut.
    pub async fn bind(
        mut self,
        address: SocketAddr,
        shutdown: CancellationToken,
    ) -> Result<RunningServer, ServiceError> {
        self.limits.check()?;
        let limits = self.limits;
        let builder = tonic::transport::Server::builder()
            .max_concurrent_streams(limits.streams_per_connection_max)
            .concurrency_limit_per_connection(limits.calls_per_connection_max)
            .http2_keepalive_interval(Some(Duration::from_millis(limits.keep_alive_interval_ms)))
            .http2_keepalive_timeout(Some(Duration::from_millis(limits.keep_alive_timeout_ms)))
            .http2_max_header_list_size(limits.header_bytes_max)
            .max_connection_age(Duration::from_millis(limits.connection_age_max_ms));
        let (proof, gate) = match &self.transport {
            ServerTransport::Mutual(kit) => {
                let gate = kit.gate(Duration::from_millis(limits.handshake_timeout_ms))?;
                let proof = Proof::Certificate { consortium: kit.identity().consortium().to_owned() };
                (proof, Some(gate))
            }
            ServerTransport::PlaintextLoopback if is_loopback(&address) => (Proof::Loopback, None),
            ServerTransport::PlaintextLoopback => {
                return Err(ServiceError::NotLoopback { address: address.to_string() });
            }
        };

        let refused = |source| ServiceError::listening("listen", address, source);
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;

        let (readiness, health) = Readiness::new().await;
        self.routes.add_service(health);
        let cut = CancellationToken::new();
        let incoming = connection::accept(listener, limits.connections_max, shutdown.clone(), cut.clone());
        let refusals = self.refusals;
        let mut builder = builder
            // Outermost, so that it sees what the others refuse.
            .layer(MapResponseLayer::new(move |response: Response<Body>| {
                if let Some(refusals) = &refusals {
                    refusals.count_response(response.headers());
                }
                response
            }))
            .layer(DeadlineLayer::new(Duration::from_millis(limits.call_timeout_max_ms)))
            .layer(AuthoriseLayer::new(self.table, proof));
        let router = builder.add_routes(self.routes.routes());
        let stop = shutdown.clone().cancelled_owned();
        let serving: Serving = match gate {
            Some(gate) => Box::pin(router.serve_with_incoming_shutdown(gate.admit(incoming), stop)),
            None => Box::pin(router.serve_with_incoming_shutdown(incoming, stop)),
        };

        let drain_timeout = Duration::from_millis(limits.drain_timeout_ms);
        let drained = readiness.clone();
        let task = tokio::spawn(async move {
            let overdue = async {
                shutdown.cancelled().await;
                drained.set(false).await;
                tokio::time::sleep(drain_timeout).await;
            };
            let mut serving = serving;
            let result = tokio::select! {
                result = &mut serving => result,
                () = overdue => {
                    tracing::warn!(%address, "calls still open after the drain timeout are cut");
                    cut.cancel();
                    serving.await
                }
            };
            result.map_err(|fault| ServiceError::Serving { address, problem: with_causes(&fault) })
        });
        Ok(RunningServer { address, readiness, task })
    }
}

/// A server at work, with or without TLS.
type Serving = Pin<Box<dyn Future<Output = Result<(), tonic::transport::Error>> + Send>>;

/// A server that listens. Dropping it does not stop it: cancel the token that it was bound with.
#[derive(Debug)]
pub struct RunningServer {
    address: SocketAddr,
    readiness: Readiness,
    task: JoinHandle<Result<(), ServiceError>>,
}

impl RunningServer {
    /// Where it listens, with the port that was chosen.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// To say when it is ready.
    pub const fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Waits until the server has stopped and drained.
    pub async fn finished(self) -> Result<(), ServiceError> {
        match self.task.await {
            Ok(result) => result,
            Err(fault) => Err(ServiceError::Serving { address: self.address, problem: fault.to_string() }),
        }
    }
}

pub(crate) fn tls_setup(kit: &Kit, fault: &dyn Error) -> ServiceError {
    ServiceError::TlsSetup { subject: kit.identity().to_string(), problem: with_causes(fault) }
}

/// An error with its causes, because the outermost one is often just "transport error".
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let own = error.to_string();
        if !text.contains(&own) {
            text.push_str(": ");
            text.push_str(&own);
        }
        cause = error.source();
    }
    text
}
