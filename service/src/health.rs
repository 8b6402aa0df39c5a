//! Readiness: whether a server wants calls, told by the standard gRPC health service.
//!
//! A server starts as not serving. Its owner says when it is ready (ledger verified, teachers trained); a shutdown takes
//! the readiness away first, so that callers turn elsewhere while open calls finish.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus as Told;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::{HealthReporter, HealthService};

use crate::channel::{self, ChannelLimits, ClientTransport};
use crate::clock::WallClock;
use crate::kit::Kit;
use crate::lifecycle::{ExitStatus, Failure};

/// Tells callers whether this server is ready. Clones share one state.
#[derive(Debug, Clone)]
pub struct Readiness {
    reporter: HealthReporter,
}

impl Readiness {
    /// Not ready yet, with the service that says so.
    pub(crate) async fn new() -> (Self, HealthServer<impl Health>) {
        let readiness = Self { reporter: HealthReporter::new() };
        readiness.set(false).await;
        let service = HealthServer::new(HealthService::from_health_reporter(readiness.reporter.clone()));
        (readiness, service)
    }

    /// Changes the answer of the health service, and tells everybody who watches it.
    pub async fn set(&self, ready: bool) {
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.reporter.set_service_status(WHOLE_SERVER, status).await;
    }
}

/// Fails unless the process of this machine that listens on `listen` is ready; see [`look`]. For the health checks of
/// containers.
pub async fn probe(listen: SocketAddr, kit: Option<&Path>) -> Result<(), Failure> {
    if look(listen, kit).await? {
        return Ok(());
    }
    Err(Failure::new(ExitStatus::Peer, "not ready yet; see its log for what it waits for"))
}

/// Asks the process of this machine that listens on `listen` whether it is ready, with its own kit (or in plain text, if it
/// has none). Fails unless it answers and, with a kit, shows that very party's certificate.
pub async fn look(listen: SocketAddr, kit: Option<&Path>) -> Result<bool, Failure> {
    let transport = match kit {
        Some(folder) => {
            let kit = Kit::load(folder, WallClock::now_ms())?;
            let expected = kit.identity().clone();
            ClientTransport::Mutual { kit: Arc::new(kit), expected }
        }
        None => ClientTransport::PlaintextLoopback,
    };
    let address = reachable(listen).to_string();
    let channel = channel::connect(&address, &transport, &ChannelLimits::default()).await?;
    let told = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
    let told = told.map_err(|status| channel::describe_status(&status, &address, &transport))?;
    Ok(told.into_inner().status() == Told::Serving)
}

/// Where a listener of this machine is reached: loopback, if it listens everywhere.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The health protocol's name for the server as a whole.
const WHOLE_SERVER: &str = "";
