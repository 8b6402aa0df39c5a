//! Promise 7: no silo is trusted blindly. A node that sends what it should not is rejected and counted; the rest goes on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use conclave_proto::PROTOCOL;
use conclave_proto::campaign::v1::CampaignState;
use conclave_proto::common::v1::ProtocolVersion;
use conclave_proto::teacher::v1::teacher_service_server::{TeacherService, TeacherServiceServer};
use conclave_proto::teacher::v1::{
    AcceptContractRequest, AcceptContractResponse, DescribeRequest, DescribeResponse, VoteRequest,
    VoteResponse,
};
use conclave_service::{Role, Server, ServerLimits, ServerTransport};
use conclave_teacher_node::ROLES;
use conclave_trust::Contract;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::cluster::{Aggregator, Campaign, Cluster, Reach, Recorder, conclave, pause, query};

/// How a node lies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lie {
    None,
    /// Votes of one teacher too many.
    TooMany,
    /// A class that does not exist.
    NoSuchClass,
    /// Another batch than it was asked about.
    AnotherBatch,
    /// After the deadline.
    Late,
    /// No votes, and no reason.
    Breaks,
}

/// A node under the test's control, with two teachers.
#[derive(Clone)]
struct Liar {
    cluster_pool: Arc<conclave_proto::pool::PoolManifest>,
    lie: Lie,
    major: Arc<AtomicU32>,
}

#[tonic::async_trait]
impl TeacherService for Liar {
    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        let pool = &self.cluster_pool;
        Ok(Response::new(DescribeResponse {
            protocol: Some(ProtocolVersion { major: self.major.load(Ordering::Relaxed), ..PROTOCOL }),
            organisation: "liar".to_owned(),
            node: "node".to_owned(),
            data_id: "liars-data".to_owned(),
            partition_digest: vec![7; 32],
            teachers: 2,
            class_names: pool.class_names().to_vec(),
            pool_digest: pool.digest().as_bytes().to_vec(),
            features_digest: pool.features().as_bytes().to_vec(),
            ..DescribeResponse::default()
        }))
    }

    async fn accept_contract(
        &self,
        request: Request<AcceptContractRequest>,
    ) -> Result<Response<AcceptContractResponse>, Status> {
        let contract = Contract::try_from(request.into_inner().contract.unwrap()).unwrap();
        Ok(Response::new(AcceptContractResponse { contract_digest: contract.digest().as_bytes().to_vec() }))
    }

    async fn vote(&self, request: Request<VoteRequest>) -> Result<Response<VoteResponse>, Status> {
        let VoteRequest { campaign_id, batch_id, attempt, query_ids, .. } = request.into_inner();
        let queries = query_ids.len() / 32;
        let mut answer =
            VoteResponse { campaign_id, batch_id, attempt, teachers: 2, packed_votes: vec![0; 2 * queries] };
        match self.lie {
            Lie::None => {}
            Lie::TooMany => answer.packed_votes.extend(vec![0; queries]),
            Lie::NoSuchClass => answer.packed_votes[0] = 3,
            Lie::AnotherBatch => answer.batch_id += 1,
            Lie::Late => pause(2_000).await,
            Lie::Breaks => return Err(Status::internal("it broke")),
        }
        Ok(Response::new(answer))
    }
}

/// Two honest silos and a liar, whose node is served until the token is cancelled.
async fn among_honest_silos(lie: Lie) -> (Cluster, Liar, CancellationToken) {
    let mut cluster = Cluster::of_silos(2, 20).await;
    let liar = Liar {
        cluster_pool: Arc::new(cluster.pool.clone()),
        lie,
        major: Arc::new(AtomicU32::new(PROTOCOL.major)),
    };
    let stop = CancellationToken::new();
    let transport = ServerTransport::Mutual(cluster.kit(Role::Teacher, "liar", "node"));
    let server = Server::new(transport, ROLES, ServerLimits::default())
        .add_service(TeacherServiceServer::new(liar.clone()))
        .bind(SocketAddr::from(([127, 0, 0, 1], 0)), stop.clone())
        .await
        .unwrap();
    server.readiness().set(true).await;
    cluster.list("liar", Reach::Listens(server.address()));
    (cluster, liar, stop)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_should_not_send_is_rejected_and_counted_and_the_campaign_goes_on() {
    for (lie, reason) in [
        (Lie::TooMany, "malformed"),
        (Lie::NoSuchClass, "malformed"),
        (Lie::AnotherBatch, "foreign"),
        (Lie::Late, "late"),
    ] {
        let (cluster, _liar, _stop) = among_honest_silos(lie).await;
        let campaign = Campaign { vote_deadline_ms: 400, ..Campaign::default() };
        let _aggregator = cluster.aggregator(&campaign).await;
        let mut service = cluster.caller(Role::Student).await;
        let mut recorder = Recorder::default();
        let queries: Vec<_> = (0..20).map(query).collect();
        assert_eq!(recorder.ask(&mut service, &queries).await, CampaignState::Idle, "{lie:?}");
        assert_eq!(recorder.answers().len(), 20, "{lie:?}");
        let status = recorder.status(&mut service).await;
        assert!(status.rejected[reason] >= 1, "{lie:?}: {:?}", status.rejected);
        let liars = status.accounts.iter().find(|account| account.data_id == "liars-data").unwrap();
        assert_eq!(liars.rho_spent_units, 0, "{lie:?}: votes that were not counted cost nothing");
        assert!(status.rho_spent_units > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_that_a_liar_must_fill_is_reserved_for_ever_more_seldom() {
    // It agrees every time, and its votes never count.
    for lie in [Lie::NoSuchClass, Lie::Breaks] {
        let (cluster, _liar, _stop) = among_honest_silos(lie).await;
        let campaign =
            Campaign { quorum: 6, flow: "retry_ms = 50\nbatch_queries_max = 1", ..Campaign::default() };
        let _aggregator = cluster.aggregator(&campaign).await;
        let mut service = cluster.caller(Role::Student).await;
        let queries: Vec<_> = (0..20).map(query).collect();
        Recorder::default().submit(&mut service, &queries).await.unwrap();
        pause(4_000).await;
        let entries = conclave_ledger::Snapshot::read(&cluster.ledger()).unwrap().entries();
        // The first batches were under way together, and then the pauses double: 80 pauses have room for six.
        assert!((4..60).contains(&entries), "{lie:?}: {entries} entries");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_quorum_nothing_is_drawn_or_charged_until_the_teachers_are_back() {
    let mut cluster = Cluster::of_silos(2, 20).await;
    let _aggregator = cluster.aggregator(&Campaign::default()).await;
    let mut service = cluster.caller(Role::Student).await;
    let mut recorder = Recorder::default();
    cluster.silos[1].stop().await;
    let queries: Vec<_> = (0..20).map(query).collect();
    assert_eq!(recorder.ask(&mut service, &queries).await, CampaignState::BelowQuorum);
    let status = recorder.status(&mut service).await;
    assert_eq!((status.rho_spent_units, status.rho_reserved_units), (0, 0));
    assert!(recorder.received.is_empty());

    cluster.restart_silo(1, crate::cluster::Data::agreeing(2, 20)).await;
    let status = recorder.status_when(&mut service, |status| status.queries_waiting == 0).await;
    assert_eq!((status.queries_answered, status.nodes_present), (20, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_speaks_another_protocol_is_refused_by_name() {
    let (cluster, liar, _stop) = among_honest_silos(Lie::None).await;
    liar.major.store(2, Ordering::Relaxed);
    let config = cluster.config(&Campaign::default());
    let mut aggregator = Aggregator::spawn(&conclave(), &config, &[], &cluster.path("log"));
    assert_eq!(aggregator.ended().await.code(), Some(2));
    let words = cluster.log();
    assert!(words.contains("liar/node") && words.contains("protocol version is 2, here it is 1"), "{words}");
}
