//! The Work service: where nodes that dial in are received, on an address of its own, closed to everybody else.
//!
//! It opens before enrolment, because a node that cannot be dialled must be able to say who it is. What the nodes send
//! is translated by their sessions, like what is answered by nodes that listen.

use std::net::SocketAddr;
use std::time::Duration;

use conclave_proto::teacher::v1::work_service_server::{WorkService, WorkServiceServer};
use conclave_proto::teacher::v1::{
    LeaseWorkRequest, LeaseWorkResponse, SubmitWorkRequest, SubmitWorkResponse,
};
use conclave_service::metrics::Refusals;
use conclave_service::{
    Refusal, Repeats, Role, RoleTable, RunningServer, Server, ServerLimits, ServerTransport, peer_identity,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Code, Request, Response, Status};

use crate::desk::{Desk, Desks};
use crate::error::{Error, Result};
use crate::leases::NotTaken;
use crate::rpc::caller;
use crate::settings::{Settings, Transport};

/// Only teacher nodes ask for work.
pub const WORK_ROLES: RoleTable = RoleTable::new(&[
    ("/conclave.teacher.v1.WorkService/LeaseWork", &[Role::Teacher]),
    ("/conclave.teacher.v1.WorkService/SubmitWork", &[Role::Teacher]),
]);

/// The server of the Work service; it stops when dropped, and waits for its end when asked to.
#[derive(Debug)]
pub(crate) struct WorkServer {
    server: RunningServer,
    stop: DropGuard,
}

impl WorkServer {
    /// Receives the nodes that have a desk; `None` when nobody dials in.
    pub(crate) async fn open<C>(
        settings: &Settings<C>,
        transport: &Transport,
        desks: &Desks,
        refusals: &Refusals,
    ) -> Result<Option<Self>> {
        let (address, kit) = match (settings.nodes_listen, transport) {
            _ if desks.is_empty() => return Ok(None),
            (Some(address), Transport::Mutual(kit)) => (address, kit),
            (None, _) => {
                return Err(Error::setting(
                    "nodes_listen",
                    &"absent",
                    "give the address at which nodes dial in",
                ));
            }
            (Some(_), Transport::PlaintextLoopback) => {
                let fix = "a node that dials in is known by its certificate alone: give a kit";
                return Err(Error::setting("plaintext_loopback", &true, fix));
            }
        };
        let limits = ServerLimits {
            calls_per_connection_max: settings.server.calls_per_connection_max.min(CALLS_PER_NODE_MAX),
            ..settings.server
        };
        let stop = CancellationToken::new();
        let handlers = WorkRpc { desks: desks.clone(), said: Repeats::default(), stop: stop.clone() };
        let service = WorkServiceServer::new(handlers).max_decoding_message_size(limits.message_bytes_max);
        let server = Server::new(ServerTransport::Mutual((**kit).clone()), WORK_ROLES, limits)
            .add_service(service)
            .counting(refusals.clone())
            .bind(address, stop.clone())
            .await
            .map_err(|error| error.of_setting("nodes_listen"))?;
        server.readiness().set(true).await;
        tracing::info!(address = %server.address(), "receiving teacher nodes that dial in");
        Ok(Some(Self { server, stop: stop.drop_guard() }))
    }

    /// Where nodes dial in.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Stops receiving, and waits for the end.
    pub(crate) async fn finish(self) -> Result<()> {
        drop(self.stop);
        Ok(self.server.finished().await?)
    }
}

/// The handlers.
struct WorkRpc {
    desks: Desks,
    /// What the log said lately about refused calls.
    said: Repeats,
    stop: CancellationToken,
}

#[tonic::async_trait]
impl WorkService for WorkRpc {
    async fn lease_work(
        &self,
        request: Request<LeaseWorkRequest>,
    ) -> Result<Response<LeaseWorkResponse>, Status> {
        let desk = self.desk("LeaseWork", &request)?;
        let LeaseWorkRequest { held, wait_ms } = request.get_ref();
        if held.len() > HELD_MAX {
            let fix = format!("work at no more than {HELD_MAX} leases at once");
            return Err(self.refuse("LeaseWork", &request, Refusal::invalid("held", held.len(), fix)));
        }
        let wait = Duration::from_millis((*wait_ms).into());
        match self.stop.run_until_cancelled(desk.lease(held, wait)).await {
            Some(Ok(lease)) => Ok(Response::new(LeaseWorkResponse { lease })),
            Some(Err(_)) => {
                let words = "another connection of this node waits for work in place of this one";
                let refusal = Refusal::new(Code::Aborted, "DISPLACED", words)
                    .fix("run one process with this kit; one that lost its connection need do nothing");
                Err(self.refuse("LeaseWork", &request, refusal))
            }
            None => Err(Refusal::new(Code::Unavailable, "STOPPING", "the aggregator is stopping")
                .fix("dial again")
                .into_status()),
        }
    }

    async fn submit_work(
        &self,
        request: Request<SubmitWorkRequest>,
    ) -> Result<Response<SubmitWorkResponse>, Status> {
        let desk = self.desk("SubmitWork", &request)?;
        let lease = request.get_ref().lease_id;
        let submitted = desk.submit(request.get_ref().clone());
        let refused = match submitted {
            Ok(repeated_before) => return Ok(Response::new(SubmitWorkResponse { repeated_before })),
            Err(refused) => refused,
        };
        let refusal =
            |code, reason, words: &str| Refusal::new(code, reason, words).field("lease_id").value(lease);
        let refusal = match refused {
            NotTaken::Changed => refusal(
                Code::AlreadyExists,
                "OUTCOME_CHANGED",
                "something else was handed in for this lease before, and stands",
            )
            .fix("hand in one outcome per lease; run one process with this kit"),
            NotTaken::OfOtherWork => {
                Refusal::invalid("outcome", "of another kind", "hand in what the lease asks for, or decline")
            }
            NotTaken::NotOpen => refusal(
                Code::FailedPrecondition,
                "LEASE_NOT_OPEN",
                "no such lease of this node is open: it is too late",
            )
            .fix("drop it and ask for work; what is still wanted is asked again"),
        };
        Err(self.refuse("SubmitWork", &request, refusal))
    }
}

impl WorkRpc {
    /// The desk of the node that the caller's certificate names.
    fn desk<T: Sync>(&self, call: &'static str, request: &Request<T>) -> Result<&Desk, Status> {
        let desk = peer_identity(request).and_then(|caller| self.desks.of_caller(caller));
        desk.ok_or_else(|| {
            let words = "this node is not one of those that dial in here";
            let refusal = Refusal::new(Code::PermissionDenied, "NOT_A_MEMBER", words)
                .fix("have the aggregator list it under [[nodes]] with mode = \"dial-out\", by the names in its kit");
            self.refuse(call, request, refusal)
        })
    }

    fn refuse<T>(&self, call: &'static str, request: &Request<T>, refusal: Refusal) -> Status {
        self.said.refuse(call, &caller(request), refusal)
    }
}

/// One call that waits, and a few that hand in; further ones wait within their deadline.
const CALLS_PER_NODE_MAX: usize = 8;
/// More leases than a campaign has batches under way: a longer list is no node of ours.
const HELD_MAX: usize = 1_100;
