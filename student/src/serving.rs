//! The student as a service: the only model that anyone outside ever queries.
//!
//! The port is opened first, so that a busy one is found before a campaign is waited for; until a model is published,
//! the health service says that the student is not ready and calls are told to come back.

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use conclave_proto::student::v1::student_service_server::StudentServiceServer;
use conclave_service::clock::WallClock;
use conclave_service::kit::Expiry;
use conclave_service::metrics::{Figures, Refusals, StudentFigures};
use conclave_service::{Role, RoleTable, RunningServer, Server, ServerLimits, ServerTransport, ServiceError};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::error::{Fault, Result, StudentError};
use crate::rpc::{Predictions, Served, VALUE_BYTES};
use crate::training::StudentModel;

/// Bounds of the prediction service. In TOML every field may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServingLimits {
    /// Most examples of one call. Fewer are announced when so many would not fit into a message.
    pub examples_max: usize,
    /// Calls that compute at once; further ones wait within their deadline.
    pub predictions_max: usize,
    /// Bounds of the server itself.
    pub server: ServerLimits,
}

impl Default for ServingLimits {
    fn default() -> Self {
        Self { examples_max: 4096, predictions_max: 4, server: ServerLimits::default() }
    }
}

/// Which role may call what. Teachers and the aggregator have no business with the student.
pub const ROLES: RoleTable = RoleTable::new(&[
    ("/conclave.student.v1.StudentService/Describe", &[Role::Client, Role::Student]),
    ("/conclave.student.v1.StudentService/Predict", &[Role::Client, Role::Student]),
]);

/// Serves `model` on `address` (port 0: a free one) until `shutdown`; ready when this returns.
pub async fn serve(
    model: StudentModel,
    address: SocketAddr,
    transport: ServerTransport,
    limits: ServingLimits,
    shutdown: CancellationToken,
) -> Result<RunningServer> {
    let serving = Serving::open(address, transport, limits, shutdown).await?;
    serving.publish(model).await?;
    Ok(serving.into_running())
}

/// A service that listens, and has no model until one is published.
#[derive(Debug)]
pub struct Serving {
    running: RunningServer,
    predictions: Predictions,
    limits: ServingLimits,
    refusals: Refusals,
}

/// Reads the figures of a student: what it has served and refused, of whatever class.
#[derive(Debug, Clone)]
pub struct Observer {
    predictions: Predictions,
    refusals: Refusals,
}

impl Observer {
    /// The figures now, with the days that `certificate` has left.
    pub fn figures(&self, certificate: Option<Expiry>) -> Figures {
        Figures::Student(StudentFigures {
            predictions_served: self.predictions.predicted(),
            labels_learned_from: self.predictions.labels_learned_from(),
            refusals: self.refusals.clone(),
            certificate_days_left: certificate.map(|expiry| expiry.days_left(WallClock::now_ms())),
        })
    }
}

impl Serving {
    /// Listens on `address` until `shutdown`; not ready yet.
    pub async fn open(
        address: SocketAddr,
        transport: ServerTransport,
        limits: ServingLimits,
        shutdown: CancellationToken,
    ) -> Result<Self> {
        let calls_max = NonZeroUsize::new(limits.predictions_max)
            .ok_or(ServiceError::InvalidLimit { field: "predictions_max", value: 0 })?;
        let predictions = Predictions::new(calls_max);
        let service = StudentServiceServer::new(predictions.clone())
            .max_decoding_message_size(limits.server.message_bytes_max);
        let refusals = Refusals::of(Role::Student);
        let server =
            Server::new(transport, ROLES, limits.server).add_service(service).counting(refusals.clone());
        Ok(Self { running: server.bind(address, shutdown).await?, predictions, limits, refusals })
    }

    /// Answers with `model` from now on, and says that the student is ready. A first model is never replaced.
    pub async fn publish(&self, model: StudentModel) -> Result<()> {
        let examples_max = self.limits.examples_max(model.schema().width())?;
        let digest = model.digest();
        self.predictions.publish(Served { model, digest, examples_max });
        self.running.readiness().set(true).await;
        Ok(())
    }

    /// Where it listens, with the port that was chosen.
    pub const fn address(&self) -> SocketAddr {
        self.running.address()
    }

    /// Its figures, at any time.
    pub fn observer(&self) -> Observer {
        Observer { predictions: self.predictions.clone(), refusals: self.refusals.clone() }
    }

    /// The server, to wait for its end.
    pub fn into_running(self) -> RunningServer {
        self.running
    }
}

impl ServingLimits {
    /// Examples of `width` features that one call may hold: what was configured, or what fits into a message.
    fn examples_max(&self, width: usize) -> Result<NonZeroUsize> {
        let fitting =
            self.server.message_bytes_max.saturating_sub(MESSAGE_BYTES_ELSE) / (width * VALUE_BYTES);
        NonZeroUsize::new(self.examples_max.min(fitting)).ok_or_else(|| {
            let needed = width * VALUE_BYTES + MESSAGE_BYTES_ELSE;
            let mut faults = Vec::new();
            if self.examples_max == 0 {
                faults.push(Fault::new("examples_max", 0, "allow at least one example"));
            }
            if fitting == 0 {
                let fix = format!("allow at least {needed}, one example of {width} features");
                faults.push(Fault::new("server.message_bytes_max", self.server.message_bytes_max, fix));
            }
            StudentError::Settings(faults)
        })
    }
}

/// What a request holds beside the examples: tags, lengths and the number of features, rounded up.
const MESSAGE_BYTES_ELSE: usize = 64;
