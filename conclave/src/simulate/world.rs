//! The consortium of a simulation: the production services in one process, over mutual TLS on loopback.
//!
//! A throw-away authority certifies everybody. Every silo's node, the aggregator and the student are those of a cluster;
//! only the noise differs, which comes from the seed. The simulation holds every key, so it may look where no party of a
//! real campaign can: [`World::counts`] asks the nodes for votes as the aggregator does. With `processes`, every silo's
//! node is an operating-system process of its own (`process`); labels and charges are the same.

mod node;
mod process;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use conclave_aggregator::{
    AccountSettings, Aggregator, CampaignSettings, Flow, NodeSettings, Settings, Transport,
};
use conclave_learning::Label;
use conclave_privacy::VoteCounts;
use conclave_privacy::noise::SimulationNoise;
use conclave_proto::ids::{CampaignId, NodeId, OrganisationId, QueryId, join_query_ids};
use conclave_proto::pool::PoolManifest;
use conclave_proto::teacher::v1::VoteRequest;
use conclave_proto::teacher::v1::teacher_service_client::TeacherServiceClient;
use conclave_service::authority::Authority;
use conclave_service::channel::{self, describe_status};
use conclave_service::clock::WallClock;
use conclave_service::lifecycle::Failure;
use conclave_service::{ChannelLimits, ClientTransport, Identity, Kit, Role, ServerLimits, ServerTransport};
use conclave_student::client::{CampaignClient, Patience};
use conclave_student::serving::{ServingLimits, serve};
use conclave_student::{PredictionClient, StudentModel};
use conclave_teacher_node::{PublicPool, Shard, SiloLimits, TeacherNode};
use conclave_trust::trusted_aggregator::Shape;
use conclave_trust::{Contract, VoteSet};
use ndarray::Array2;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::node::{Node, Place};
use self::process::Starting;
use super::plan::Plan;
use crate::cli::{Exit, Fault};

/// The campaign of every simulation.
pub const CAMPAIGN: &str = "simulation";

/// Where a service listens, and how somebody gets in there.
#[derive(Debug, Clone)]
pub struct Door {
    /// `HOST:PORT`.
    pub address: String,
    /// Whose kit, and who is expected.
    pub transport: ClientTransport,
}

/// Nodes that listen, and the aggregator once it is there.
pub struct World {
    authority: Authority,
    nodes: Vec<Node>,
    aggregator: Option<conclave_aggregator::Running>,
    student: Option<conclave_service::RunningServer>,
    stop: CancellationToken,
    /// Cancelled when a process of a silo has ended.
    lost: CancellationToken,
    /// The silos' files; gone with the simulation.
    silos: TempDir,
}

impl World {
    /// Trains every silo's teachers, and lets the nodes listen. `progress` is told how many votes of how many are cast. Nodes
    /// in processes of their own log into `logs`, if anywhere.
    pub async fn with_silos(
        plan: &Plan,
        logs: Option<&Path>,
        progress: impl Fn(u64, u64) + Clone + Send + Sync + 'static,
        shutdown: &CancellationToken,
    ) -> Result<Self, Fault> {
        let authority = Authority::create(CONSORTIUM, WallClock::now_ms())?;
        let silos = tempfile::tempdir().map_err(|error| {
            Fault::new(Exit::Other, "no-directory", "temporary directory", "", error, "make room for it")
        })?;
        let (stop, lost) = (CancellationToken::new(), CancellationToken::new());
        let nodes = Vec::new();
        let mut world = Self { authority, nodes, aggregator: None, student: None, stop, lost, silos };
        let starting = async {
            if plan.scenario.processes {
                world.start_processes(plan, logs, progress).await
            } else {
                world.start_nodes(plan, progress).await
            }
        };
        shutdown.run_until_cancelled(starting).await.ok_or_else(interrupted)??;
        Ok(world)
    }

    /// Every silo's node in this process.
    async fn start_nodes(
        &mut self,
        plan: &Plan,
        progress: impl Fn(u64, u64) + Clone + Send + 'static,
    ) -> Result<(), Fault> {
        let pool = Arc::new(PublicPool::in_space(plan.pool.clone(), plan.space.clone()).map_err(fault)?);
        let total = (plan.shards.len() * pool.manifest().queries().len()) as u64;
        let done = Arc::new(AtomicU64::new(0));
        let mut preparing = JoinSet::new();
        for (index, shard) in plan.shards.iter().enumerate() {
            let settings = silo(plan, index, self.silos.path().join(organisation(index)))?;
            let (shard, key, pool) = (shard.clone(), plan.partition_key(index), Arc::clone(&pool));
            let (done, progress) = (Arc::clone(&done), progress.clone());
            preparing.spawn_blocking(move || -> Result<_, conclave_teacher_node::Error> {
                let shard = Shard::from_dataset(shard, key)?;
                let before = AtomicU64::new(0);
                let told = |cast: usize, _: usize| {
                    let new = (cast as u64).saturating_sub(before.swap(cast as u64, Ordering::Relaxed));
                    progress(done.fetch_add(new, Ordering::Relaxed) + new, total);
                };
                Ok((index, TeacherNode::prepare(settings, &shard, &pool, told)?))
            });
        }
        let mut prepared = Vec::new();
        while let Some(node) = preparing.join_next().await {
            prepared.push(node.map_err(|error| broken("training the teachers", &error))?.map_err(fault)?);
        }
        prepared.sort_by_key(|(index, _)| *index);
        for (index, node) in prepared {
            let kit = self.kit(Role::Teacher, &organisation(index), NODE)?;
            let transport = ServerTransport::Mutual(kit);
            let running = node.serve(loopback(), transport, self.stop.clone()).await.map_err(fault)?;
            self.nodes.push(Node::here(running));
        }
        Ok(())
    }

    /// Every silo's node in a process of its own; all of them start at the same time.
    async fn start_processes(
        &mut self,
        plan: &Plan,
        logs: Option<&Path>,
        progress: impl Fn(u64, u64),
    ) -> Result<(), Fault> {
        let pool = process::Pool::write(plan, &self.silos.path().join("pool"))?;
        if let Some(logs) = logs {
            process::make_folder(logs)?;
        }
        let (votes, silos) = (plan.pool.rows() as u64, plan.shards.len());
        let mut starting = Vec::with_capacity(silos);
        for index in 0..silos {
            let organisation = organisation(index);
            let kit = self.kit(Role::Teacher, &organisation, NODE)?;
            let log = logs.map(|folder| folder.join(format!("{organisation}.log")));
            let folder = self.silos.path().join(&organisation);
            starting.push(Starting::process(plan, index, &kit, &pool, &folder, log.as_deref())?);
        }
        for (ready, silo) in (1..).zip(starting) {
            self.nodes.push(silo.listening(self.lost.clone()).await?);
            progress(ready * votes, silos as u64 * votes);
        }
        Ok(())
    }

    /// Starts the aggregator, with its ledger at `ledger`, and a student's connection to it.
    pub async fn open_campaign(
        &mut self,
        plan: &Plan,
        manifest: PoolManifest,
        ledger: &Path,
        shutdown: &CancellationToken,
    ) -> Result<CampaignClient, Fault> {
        let hub = self.kit(Role::Aggregator, HUB, "aggregator")?;
        let expected = hub.identity().clone();
        let settings = self.campaign_settings(plan, manifest, ledger)?;
        let noise = SimulationNoise::new(plan.seed);
        let aggregator = Aggregator::prepare(settings, Transport::Mutual(Box::new(hub)), noise, shutdown);
        let aggregator = aggregator.await.map_err(|error| match error {
            conclave_aggregator::Error::Interrupted => interrupted(),
            error => fault(error),
        })?;
        let running = aggregator.serve(loopback(), self.stop.clone()).await.map_err(fault)?;
        let address = running.address().to_string();
        self.aggregator = Some(running);
        let kit = Arc::new(self.kit(Role::Student, HUB, "student")?);
        let transport = ClientTransport::Mutual { kit, expected };
        // Its nodes are its own: one that is gone does not come back.
        let patience = Patience { quorum_wait_ms: QUORUM_WAIT_MS, ..Patience::default() };
        CampaignClient::connect(&address, &transport, &patience).await.map_err(fault)
    }

    /// Serves the student, and asks it, as any client would, for the labels of raw rows.
    pub async fn predictions(&mut self, model: StudentModel, raw: &Array2<f32>) -> Result<Vec<Label>, Fault> {
        let Door { address, transport } = self.serve_student(model).await?;
        let limits = ChannelLimits::default();
        let client = PredictionClient::connect(&address, &transport, &limits).await;
        client.map_err(fault)?.predict(raw).await.map_err(fault)
    }

    /// Serves the student; how a client reaches it.
    async fn serve_student(&mut self, model: StudentModel) -> Result<Door, Fault> {
        let kit = self.kit(Role::Student, HUB, "student")?;
        let expected = kit.identity().clone();
        let transport = ServerTransport::Mutual(kit);
        let limits = ServingLimits::default();
        let running = serve(model, loopback(), transport, limits, self.stop.clone()).await.map_err(fault)?;
        self.student = Some(running);
        self.student_door(expected).map(|door| door.expect("the student was just put there"))
    }

    /// How a client reaches the student, once one is served.
    pub fn client_of_student(&self) -> Result<Option<Door>, Fault> {
        self.student_door(identity(Role::Student, HUB, "student")?)
    }

    /// How a student reaches the aggregator, once there is one.
    pub fn student_of_campaign(&self) -> Result<Option<Door>, Fault> {
        let Some(aggregator) = &self.aggregator else { return Ok(None) };
        let kit = Arc::new(self.kit(Role::Student, HUB, "student")?);
        let expected = identity(Role::Aggregator, HUB, "aggregator")?;
        let transport = ClientTransport::Mutual { kit, expected };
        Ok(Some(Door { address: aggregator.address().to_string(), transport }))
    }

    fn student_door(&self, expected: Identity) -> Result<Option<Door>, Fault> {
        let Some(student) = &self.student else { return Ok(None) };
        let kit = Arc::new(self.kit(Role::Client, HUB, "client")?);
        let transport = ClientTransport::Mutual { kit, expected };
        Ok(Some(Door { address: student.address().to_string(), transport }))
    }

    /// The raw counts of answered queries, which no real campaign shows to anybody: the nodes are asked again, as the
    /// aggregator asked them. It costs their guards nothing, for the queries are answered.
    pub async fn counts(&self, queries: &[QueryId]) -> Result<Vec<VoteCounts>, Fault> {
        let Some(contract) = self.contract() else { return Ok(Vec::new()) };
        let mut counts = Vec::with_capacity(queries.len());
        for batch in queries.chunks(QUERIES_PER_CALL) {
            let mut votes = VoteSet::new(&contract, batch.len());
            for (data, packed) in self.votes(batch).await? {
                let accepted = votes.submit(&data, packed);
                accepted.map_err(|rejection| broken("reading votes", &rejection))?;
            }
            counts.extend(votes.freeze([0; 32])?.into_counts());
        }
        Ok(counts)
    }

    fn contract(&self) -> Option<Arc<Contract>> {
        self.aggregator.as_ref().and_then(conclave_aggregator::Running::contract)
    }

    /// What every node sends for one batch, by data id.
    async fn votes(&self, batch: &[QueryId]) -> Result<Vec<(String, Vec<u8>)>, Fault> {
        let Some(contract) = self.contract() else { return Ok(Vec::new()) };
        let kit = Arc::new(self.kit(Role::Aggregator, HUB, "aggregator")?);
        let mut votes = Vec::with_capacity(self.nodes.len());
        for (index, node) in self.nodes.iter().enumerate() {
            let expected = identity(Role::Teacher, &organisation(index), NODE)?;
            let transport = ClientTransport::Mutual { kit: Arc::clone(&kit), expected };
            let packed = ask(node, &transport, &contract, batch).await?;
            votes.push((node.data.clone(), packed));
        }
        Ok(votes)
    }

    /// Who voted what on answered queries, by query, then by teacher in the order of the organisations.
    pub async fn ballots(&self, queries: &[QueryId]) -> Result<Vec<Vec<Label>>, Fault> {
        let mut ballots = vec![Vec::new(); queries.len()];
        for (number, batch) in queries.chunks(QUERIES_PER_CALL).enumerate() {
            for (_, packed) in self.votes(batch).await? {
                let classes = self.contract().map_or(0, |contract| contract.class_names.len());
                let width = Shape { teachers: 1, queries: 1, classes }.vote_bytes();
                // Packed teacher by teacher, each query by query.
                for (index, vote) in packed.chunks_exact(width).enumerate() {
                    let class = u16::from_le_bytes([vote[0], vote.get(1).copied().unwrap_or(0)]);
                    ballots[number * QUERIES_PER_CALL + index % batch.len()].push(Label::new(class));
                }
            }
        }
        Ok(ballots)
    }

    /// Data ids by organisation.
    pub fn data_ids(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.data.clone()).collect()
    }

    /// Waits until a silo's process is gone that should be there; for ever if none is.
    pub async fn silo_lost(&mut self) -> Fault {
        self.lost.cancelled().await;
        for node in &mut self.nodes {
            if let Place::Apart(process) = &mut node.place
                && let Some(fault) = process.gone().await
            {
                return fault;
            }
        }
        broken("waiting for the silos", &"one closed its log, and all of them are there")
    }

    /// Stops everything in order; afterwards the ledger is one closed file.
    pub async fn stop(self) -> Result<(), Fault> {
        self.stop.cancel();
        if let Some(aggregator) = self.aggregator {
            aggregator.finished().await.map_err(fault)?;
        }
        if let Some(student) = self.student {
            student.finished().await?;
        }
        for node in self.nodes {
            node.finished().await?;
        }
        Ok(())
    }

    fn campaign_settings(
        &self,
        plan: &Plan,
        manifest: PoolManifest,
        ledger: &Path,
    ) -> Result<Settings, Fault> {
        let scenario = &plan.scenario;
        let nodes = self.nodes.iter().map(|node| NodeSettings {
            organisation: node.organisation.clone(),
            node: node.name.clone(),
            address: Some(node.address.to_string()),
        });
        Ok(Settings {
            campaign: CampaignSettings {
                id: CampaignId::new(CAMPAIGN).map_err(|error| broken("naming the campaign", &error))?,
                mechanism: plan.mechanism,
                unit: scenario.unit,
                adjacency: scenario.adjacency,
                scheme: scenario.scheme,
                epsilon: scenario.epsilon,
                delta: scenario.delta,
                teachers_quorum_min: plan.teachers.iter().sum(),
                queries_max: u32::try_from(plan.queries.len()).unwrap_or(u32::MAX),
                vote_deadline_ms: VOTE_DEADLINE_MS,
            },
            accounts: AccountSettings {
                epsilon: scenario.epsilon,
                max_silos_per_subject: match scenario.unit {
                    conclave_privacy::unit::PrivacyUnit::Subject { max_silos_per_subject } => {
                        max_silos_per_subject
                    }
                    _ => 1,
                },
            },
            pool: manifest,
            ledger: ledger.to_owned(),
            nodes: nodes.collect(),
            nodes_listen: None,
            operators: Vec::new(),
            flow: Flow::default(),
            server: ServerLimits::default(),
            channel: ChannelLimits::default(),
        })
    }

    fn kit(&self, role: Role, organisation: &str, name: &str) -> Result<Kit, Fault> {
        let identity = identity(role, organisation, name)?;
        Ok(self.authority.issue(&identity, KIT_DAYS, WallClock::now_ms())?)
    }
}

/// What happened when the simulation was stopped before its end.
pub fn interrupted() -> Fault {
    Fault::new(
        Exit::Other,
        "interrupted",
        "",
        "",
        "interrupted; what was released stands in the ledger of this run",
        "run it again with the same --seed and another --out: the labels will be the same",
    )
}

/// A failure of one of the services.
pub fn fault(error: impl Into<Failure>) -> Fault {
    error.into().into()
}

/// Something that only a defect can bring about.
pub fn broken(doing: &str, error: &dyn std::fmt::Display) -> Fault {
    Fault::new(Exit::Other, "failed", doing, "", error, "report it with the scenario and seed")
}

async fn ask(
    node: &Node,
    transport: &ClientTransport,
    contract: &Contract,
    queries: &[QueryId],
) -> Result<Vec<u8>, Fault> {
    let address = node.address.to_string();
    let channel = channel::connect(&address, transport, &ChannelLimits::default()).await?;
    let request = VoteRequest {
        campaign_id: contract.campaign.to_string(),
        contract_digest: contract.digest().as_bytes().to_vec(),
        batch_id: 0,
        attempt: 0,
        query_ids: join_query_ids(queries),
    };
    let mut service = TeacherServiceClient::new(channel).max_decoding_message_size(VOTES_BYTES_MAX);
    let answer =
        service.vote(request).await.map_err(|status| describe_status(&status, &address, transport))?;
    Ok(answer.into_inner().packed_votes)
}

fn silo(plan: &Plan, index: usize, state_dir: PathBuf) -> Result<conclave_teacher_node::Settings, Fault> {
    let scenario = &plan.scenario;
    Ok(conclave_teacher_node::Settings {
        organisation: named(OrganisationId::new(&organisation(index)))?,
        node: named(NodeId::new(NODE))?,
        data: None,
        changed: None,
        teachers: plan.teachers[index],
        teacher: scenario.teacher,
        seed: plan.seed,
        unit: scenario.unit,
        adjacency: scenario.adjacency,
        limits: SiloLimits {
            epsilon_max: scenario.epsilon,
            delta_max: scenario.delta,
            noise_min: plan.mechanism.least_noise(),
            queries_max: plan.queries.len() as u64,
            batch_queries_max: QUERIES_PER_CALL,
        },
        state_dir,
        simulated: true,
        server: ServerLimits::default(),
    })
}

fn named<T>(id: Result<T, conclave_proto::ids::IdError>) -> Result<T, Fault> {
    id.map_err(|error| broken("naming a silo", &error))
}

fn identity(role: Role, organisation: &str, name: &str) -> Result<Identity, Fault> {
    Ok(Identity::new(CONSORTIUM, role, organisation, name)?)
}

/// The name of an organisation of a simulation, counted from 1.
pub fn organisation(index: usize) -> String {
    format!("organisation-{}", index + 1)
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

const CONSORTIUM: &str = "simulation";
const HUB: &str = "hub";
const NODE: &str = "node";
const KIT_DAYS: u32 = 1;
/// A simulation's nodes are never away, only slow.
const VOTE_DEADLINE_MS: u32 = 120_000;
const QUORUM_WAIT_MS: u64 = 30_000;
const QUERIES_PER_CALL: usize = 1_024;
const VOTES_BYTES_MAX: usize = 256 << 20;
