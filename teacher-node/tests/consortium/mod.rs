//! A small consortium for tests: a throw-away authority, one silo with votes or rows, and callers of any role.

use std::path::Path;
use std::sync::Arc;

use conclave_learning::partition::PartitionKey;
use conclave_learning::{Dataset, Label, Schema, TeacherSpec};
use conclave_privacy::ClassIndex;
use conclave_privacy::mechanism::{GnMax, Mechanism};
use conclave_privacy::quantity::{Delta, Epsilon, FilterOrder, Lattice, NoiseScale, Rho};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, VotingScheme};
use conclave_proto::PROTOCOL;
use conclave_proto::common::v1 as wire;
use conclave_proto::ids::{
    CampaignId, ContractDigest, FeaturesDigest, NodeId, OrganisationId, PartitionDigest, QueryId,
    join_query_ids,
};
use conclave_proto::pool::PoolManifest;
use conclave_proto::teacher::v1::teacher_service_client::TeacherServiceClient;
use conclave_proto::teacher::v1::{
    AcceptContractRequest, AcceptContractResponse, DescribeRequest, DescribeResponse, VoteRequest,
    VoteResponse,
};
use conclave_service::authority::Authority;
use conclave_service::clock::WallClock;
use conclave_service::{
    ChannelLimits, ClientTransport, Identity, Kit, Refusal, Role, ServerLimits, ServerTransport, channel,
};
use conclave_teacher_node::{
    PublicPool, Result, Running, Settings, Shard, SiloLimits, TeacherNode, Teachers,
};
use conclave_trust::{Contract, Member, TrustMode};
use ndarray::Array2;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// One authority, one silo's state, and who may call it.
pub(crate) struct Consortium {
    authority: Authority,
    pub(crate) dir: TempDir,
}

/// A silo that listens.
pub(crate) struct Silo {
    running: Running,
    shutdown: CancellationToken,
    node: Identity,
}

/// Somebody who calls it.
pub(crate) struct Caller(pub(crate) TeacherServiceClient<Channel>);

impl Consortium {
    pub(crate) fn new() -> Self {
        let authority = Authority::create("demo", WallClock::now_ms()).unwrap();
        Self { authority, dir: tempfile::tempdir().unwrap() }
    }

    /// Teachers with precomputed votes, `votes[teacher][query]`.
    pub(crate) async fn silo(&self, settings: Settings, votes: &[Vec<u16>]) -> Silo {
        self.serve(node(settings, votes).unwrap()).await
    }

    pub(crate) async fn serve(&self, node: TeacherNode) -> Silo {
        let identity = identity(Role::Teacher, node.member().node.as_str());
        let transport = ServerTransport::Mutual(self.kit(&identity));
        let shutdown = CancellationToken::new();
        let running = node.serve("127.0.0.1:0".parse().unwrap(), transport, shutdown.clone()).await.unwrap();
        Silo { running, shutdown, node: identity }
    }

    pub(crate) async fn caller(&self, silo: &Silo, role: Role) -> Caller {
        let kit = Arc::new(self.kit(&identity(role, "caller")));
        let transport = ClientTransport::Mutual { kit, expected: silo.node.clone() };
        let address = silo.running.address().to_string();
        let channel = channel::connect(&address, &transport, &ChannelLimits::default()).await.unwrap();
        Caller(TeacherServiceClient::new(channel))
    }

    fn kit(&self, identity: &Identity) -> Kit {
        self.authority.issue(identity, 1, WallClock::now_ms()).unwrap()
    }
}

impl Silo {
    pub(crate) fn member(&self) -> Member {
        self.running.member().clone()
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.running.finished().await.unwrap();
    }
}

impl Caller {
    pub(crate) async fn describe(&mut self) -> Result<DescribeResponse, Refusal> {
        let request = DescribeRequest { protocol: Some(PROTOCOL) };
        Ok(self.0.describe(request).await.map_err(|status| Refusal::read(&status))?.into_inner())
    }

    pub(crate) async fn accept(
        &mut self,
        contract: wire::Contract,
    ) -> Result<AcceptContractResponse, Refusal> {
        let request = AcceptContractRequest { contract: Some(contract) };
        Ok(self.0.accept_contract(request).await.map_err(|status| Refusal::read(&status))?.into_inner())
    }

    pub(crate) async fn vote(
        &mut self,
        contract: &Contract,
        queries: &[QueryId],
    ) -> Result<VoteResponse, Refusal> {
        self.send(VoteRequest {
            campaign_id: contract.campaign.to_string(),
            contract_digest: contract.digest().as_bytes().to_vec(),
            batch_id: 7,
            attempt: 2,
            query_ids: join_query_ids(queries),
        })
        .await
    }

    pub(crate) async fn send(&mut self, request: VoteRequest) -> Result<VoteResponse, Refusal> {
        Ok(self.0.vote(request).await.map_err(|status| Refusal::read(&status))?.into_inner())
    }

    /// Accepts and returns the digest that the node computed.
    pub(crate) async fn agree(&mut self, contract: &Contract) -> ContractDigest {
        let response = self.accept(contract.into()).await.unwrap();
        ContractDigest::from_slice(&response.contract_digest).unwrap()
    }
}

pub(crate) fn identity(role: Role, name: &str) -> Identity {
    Identity::new("demo", role, "clinic", name).unwrap()
}

pub(crate) fn query(index: u8) -> QueryId {
    QueryId::new([index; 32])
}

/// Ten queries, three classes.
pub(crate) fn manifest() -> PoolManifest {
    let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
    PoolManifest::new(classes, FeaturesDigest::new([5; 32]), (0..10).map(query)).unwrap()
}

/// `(teacher + query) mod 3`.
pub(crate) fn votes(teachers: u16) -> Vec<Vec<u16>> {
    (0..teachers).map(|teacher| (0..10).map(|query| (teacher + query) % 3).collect()).collect()
}

pub(crate) fn node(settings: Settings, votes: &[Vec<u16>]) -> Result<TeacherNode> {
    let votes = votes
        .iter()
        .map(|of_teacher| of_teacher.iter().map(|&class| ClassIndex::from(class)).collect())
        .collect();
    let teachers = Teachers::from_votes(votes, manifest().class_names().len())?;
    TeacherNode::with_votes(settings, PartitionDigest::new([4; 32]), manifest(), teachers)
}

/// A silo of two teachers whose guard allows five queries.
pub(crate) fn settings(dir: &Path) -> Settings {
    Settings {
        organisation: OrganisationId::new("clinic").unwrap(),
        node: NodeId::new("ward-1").unwrap(),
        data: None,
        changed: None,
        teachers: 2,
        teacher: TeacherSpec::default(),
        seed: 0,
        unit: PrivacyUnit::Record,
        adjacency: Adjacency::AddRemove,
        limits: SiloLimits {
            epsilon_max: Epsilon::new(3.0).unwrap(),
            delta_max: Delta::new(1e-5).unwrap(),
            noise_min: NoiseScale::from_votes(10.0, Lattice::DEFAULT).unwrap(),
            queries_max: 5,
            batch_queries_max: 4,
        },
        state_dir: dir.join("state"),
        simulated: false,
        server: ServerLimits { message_bytes_max: 64 << 10, ..ServerLimits::default() },
    }
}

/// A contract that the silo of [`settings`] agrees to.
pub(crate) fn contract(member: Member, pool: &PoolManifest) -> Contract {
    Contract {
        campaign: CampaignId::new("demo").unwrap(),
        protocol_major: PROTOCOL.major,
        trust_mode: TrustMode::TrustedAggregator,
        scheme: VotingScheme::Ensemble,
        mechanism: Mechanism::from(GnMax::new(NoiseScale::from_votes(10.0, Lattice::DEFAULT).unwrap())),
        unit: PrivacyUnit::Record,
        adjacency: Adjacency::AddRemove,
        class_names: pool.class_names().to_vec(),
        delta: Delta::new(1e-5).unwrap(),
        rho_cap: Rho::from_units(1 << 36),
        filter_order: FilterOrder::DEFAULT,
        teachers_quorum_min: 1,
        queries_max: 5,
        vote_deadline_ms: 1000,
        pool: pool.digest(),
        features: pool.features(),
        simulated: false,
        members: vec![member],
    }
}

/// Rows on a line: class `a` left of zero, class `b` right of it. `classes` are the campaign's.
pub(crate) fn rows(count: usize, classes: &[&str]) -> Dataset {
    let value = |row: usize| {
        let size = 1.0 + row as f32 / 16.0;
        if row.is_multiple_of(2) { -size } else { size }
    };
    let features = Array2::from_shape_fn((count, 1), |(row, _)| value(row));
    let labels = (0..count).map(|row| Label::new(u16::from(row % 2 == 1))).collect();
    let classes = classes.iter().map(|&class| class.to_owned()).collect();
    let schema = Schema::new("line", vec![1], vec!["x".to_owned()], classes).unwrap();
    Dataset::new(schema, features, Some(labels), None).unwrap()
}

pub(crate) fn pool() -> PublicPool {
    let spec = conclave_learning::features::FeatureSpec::Scaled;
    PublicPool::new(rows(10, &["a", "b"]), &spec).unwrap()
}

pub(crate) fn shard(rows: Dataset) -> Shard {
    Shard::from_dataset(rows, PartitionKey::new([9; 32])).unwrap()
}
