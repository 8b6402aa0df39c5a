//! Readiness: whether a server wants calls, told by the standard gRPC health service.
//!
//! A server starts as not serving. Its owner says when it is ready (ledger verified, teachers trained); a shutdown takes
//! the readiness away first, so that callers turn elsewhere while open calls finish.

use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::{HealthReporter, HealthService};

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

/// The health protocol's name for the server as a whole.
const WHOLE_SERVER: &str = "";
