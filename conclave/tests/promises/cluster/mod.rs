//! A small consortium for tests: silos in this process, an aggregator as a child process, and callers of any role.

mod aggregator;
mod cuttable;
mod recorder;
mod watch;

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use conclave_learning::TeacherSpec;
use conclave_privacy::ClassIndex;
use conclave_privacy::quantity::{Delta, Epsilon, Lattice, NoiseScale};
use conclave_privacy::unit::{Adjacency, PrivacyUnit};
use conclave_proto::campaign::v1::campaign_service_client::CampaignServiceClient;
use conclave_proto::ids::{FeaturesDigest, NodeId, OrganisationId, PartitionDigest, QueryId};
use conclave_proto::pool::PoolManifest;
use conclave_service::authority::Authority;
use conclave_service::clock::WallClock;
use conclave_service::{
    ChannelLimits, ClientTransport, Identity, Kit, Role, ServerLimits, ServerTransport, channel,
};
use conclave_teacher_node::{DialOut, Observer, Settings, SiloLimits, Succession, TeacherNode, Teachers};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

pub(crate) use aggregator::{Aggregator, conclave};
pub(crate) use cuttable::Cuttable;
pub(crate) use recorder::Recorder;
pub(crate) use watch::{Page, watch};

/// Class names of every campaign here.
pub(crate) const CLASSES: [&str; 3] = ["a", "b", "c"];
pub(crate) const CONSORTIUM: &str = "test";
pub(crate) const CAMPAIGN: &str = "campaign-1";

/// Parties and files; gone at the end.
pub(crate) struct Cluster {
    pub(crate) folder: TempDir,
    pub(crate) authority: Authority,
    pub(crate) pool: PoolManifest,
    pub(crate) silos: Vec<Silo>,
    /// Where the aggregator listens, now and after a restart.
    pub(crate) listen: SocketAddr,
    /// Where it receives nodes that dial in.
    pub(crate) nodes_listen: SocketAddr,
}

/// A teacher node of this process.
pub(crate) struct Silo {
    pub(crate) organisation: String,
    pub(crate) reach: Reach,
    /// Of a node that runs in this process.
    pub(crate) observer: Option<Observer>,
    stop: CancellationToken,
    running: Option<Running>,
}

/// Who dials whom.
#[derive(Clone, Copy)]
pub(crate) enum Reach {
    /// The aggregator dials the node here.
    Listens(SocketAddr),
    /// The node dials here.
    Dials(SocketAddr),
}

enum Running {
    Listening(conclave_teacher_node::Running),
    Dialling(conclave_teacher_node::Dialling),
}

/// What one silo brings.
pub(crate) struct Data {
    pub(crate) partition: u8,
    pub(crate) id: Option<&'static str>,
    pub(crate) changed: Option<Succession>,
    /// `votes[teacher][query]`
    pub(crate) votes: Vec<Vec<u16>>,
    pub(crate) simulated: bool,
}

/// A campaign's settings; the rest is the same everywhere.
pub(crate) struct Campaign {
    pub(crate) id: &'static str,
    pub(crate) epsilon: f64,
    pub(crate) account_epsilon: f64,
    pub(crate) mechanism: String,
    pub(crate) quorum: u32,
    pub(crate) queries_max: u32,
    pub(crate) vote_deadline_ms: u32,
    pub(crate) flow: &'static str,
    pub(crate) ledger: &'static str,
    /// As in the settings: who may start and stop campaigns.
    pub(crate) operators: &'static str,
}

impl Default for Campaign {
    fn default() -> Self {
        Self {
            id: CAMPAIGN,
            epsilon: 8.0,
            account_epsilon: 8.0,
            mechanism: "{ kind = 'gnmax', sigma = 400.0 }".to_owned(),
            quorum: 4,
            queries_max: 5_000,
            vote_deadline_ms: 5_000,
            flow: "retry_ms = 100",
            ledger: "ledger.db",
            operators: "[]",
        }
    }
}

impl Cluster {
    /// `queries` public examples and nobody yet.
    pub(crate) fn new(queries: u32) -> Self {
        let classes = CLASSES.map(str::to_owned).to_vec();
        let pool = PoolManifest::new(classes, FeaturesDigest::new([5; 32]), (0..queries).map(query)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pool.manifest"), pool.to_text()).unwrap();
        let authority = Authority::create(CONSORTIUM, WallClock::now_ms()).unwrap();
        let cluster = Self {
            folder,
            authority,
            pool,
            silos: Vec::new(),
            listen: free_port(),
            nodes_listen: free_port(),
        };
        cluster.kit(Role::Aggregator, "hub", "aggregator").save(&cluster.path("kit")).unwrap();
        cluster
    }

    /// `silos` silos of two agreeing teachers each: query i belongs to class i mod 3.
    pub(crate) async fn of_silos(silos: u8, queries: u32) -> Self {
        let mut cluster = Self::new(queries);
        for number in 1..=silos {
            cluster.join(&format!("silo-{number}"), Data::agreeing(number, queries)).await;
        }
        cluster
    }

    /// Lets a silo join, with its node listening.
    pub(crate) async fn join(&mut self, organisation: &str, data: Data) {
        let silo = self.start(organisation, Reach::Listens(free_port()), data).await;
        self.silos.push(silo);
    }

    /// Lets a silo join, with its node dialling the aggregator at `address`.
    pub(crate) async fn join_from_inside(&mut self, organisation: &str, address: SocketAddr, data: Data) {
        let silo = self.start(organisation, Reach::Dials(address), data).await;
        self.silos.push(silo);
    }

    /// Starts a silo's node anew, where it listened before, with other data.
    pub(crate) async fn restart_silo(&mut self, index: usize, data: Data) {
        let (organisation, reach) = {
            let silo = &mut self.silos[index];
            silo.stop().await;
            (silo.organisation.clone(), silo.reach)
        };
        self.silos[index] = self.start(&organisation, reach, data).await;
    }

    /// Lists a node that the test itself serves, or that is not there.
    pub(crate) fn list(&mut self, organisation: &str, reach: Reach) {
        let organisation = organisation.to_owned();
        let stop = CancellationToken::new();
        self.silos.push(Silo { organisation, reach, observer: None, stop, running: None });
    }

    async fn start(&self, organisation: &str, reach: Reach, data: Data) -> Silo {
        let Data { partition, id, changed, votes, simulated } = data;
        let settings = Settings {
            organisation: OrganisationId::new(organisation).unwrap(),
            node: NodeId::new("node").unwrap(),
            data: id.map(|id| conclave_proto::ids::DataId::new(id).unwrap()),
            changed,
            teachers: u32::try_from(votes.len()).unwrap(),
            teacher: TeacherSpec::default(),
            seed: 0,
            unit: PrivacyUnit::Record,
            adjacency: Adjacency::AddRemove,
            limits: SiloLimits {
                epsilon_max: Epsilon::new(10_000.0).unwrap(),
                delta_max: Delta::new(1e-5).unwrap(),
                noise_min: NoiseScale::from_votes(0.001, Lattice::DEFAULT).unwrap(),
                queries_max: 1_000_000,
                batch_queries_max: 1_024,
            },
            state_dir: self.path(&format!("state-{organisation}")),
            simulated,
            server: ServerLimits::default(),
        };
        let votes =
            votes.into_iter().map(|of_teacher| of_teacher.into_iter().map(ClassIndex::from).collect());
        let teachers = Teachers::from_votes(votes.collect(), CLASSES.len()).unwrap();
        let partition = PartitionDigest::new([partition; 32]);
        let node = TeacherNode::with_votes(settings, partition, self.pool.clone(), teachers).unwrap();
        let observer = Some(node.observer());
        let kit = self.kit(Role::Teacher, organisation, "node");
        let stop = CancellationToken::new();
        let running = match reach {
            Reach::Listens(address) => {
                let transport = ServerTransport::Mutual(kit);
                Running::Listening(node.serve(address, transport, stop.clone()).await.unwrap())
            }
            Reach::Dials(address) => {
                let aggregator = identity(Role::Aggregator, "hub", "aggregator");
                let limits = ChannelLimits::default();
                let dial = DialOut { address: address.to_string(), kit, aggregator, limits };
                Running::Dialling(node.dial_out(dial, stop.clone()))
            }
        };
        Silo { organisation: organisation.to_owned(), reach, observer, stop, running: Some(running) }
    }

    /// Writes the settings file of an aggregator.
    pub(crate) fn config(&self, campaign: &Campaign) -> PathBuf {
        let Campaign {
            id,
            epsilon,
            account_epsilon,
            mechanism,
            quorum,
            queries_max,
            vote_deadline_ms,
            flow,
            ledger,
            operators,
        } = campaign;
        let mut text = format!(
            "listen = '{}'\noperators = {operators}\nkit = '{}'\nledger = '{}'\npool = '{}'\n[campaign]\nid = '{id}'\n\
             mechanism = {mechanism}\nunit = 'record'\nepsilon = {epsilon:?}\ndelta = 1e-5\n\
             teachers_quorum_min = {quorum}\nqueries_max = {queries_max}\nvote_deadline_ms = {vote_deadline_ms}\n\
             [accounts]\nepsilon = {account_epsilon:?}\n[flow]\n{flow}\n",
            self.listen,
            self.path("kit").display(),
            self.path(ledger).display(),
            self.path("pool.manifest").display(),
        );
        for Silo { organisation, reach, .. } in &self.silos {
            let how = match reach {
                Reach::Listens(address) => format!("address = '{address}'"),
                Reach::Dials(_) => "mode = 'dial-out'".to_owned(),
            };
            write!(text, "[[nodes]]\norganisation = '{organisation}'\nnode = 'node'\n{how}\n").unwrap();
        }
        if self.silos.iter().any(|silo| matches!(silo.reach, Reach::Dials(_))) {
            text.insert_str(0, &format!("nodes_listen = '{}'\n", self.nodes_listen));
        }
        let path = self.path("aggregator.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Starts an aggregator and waits until it is ready.
    pub(crate) async fn aggregator(&self, campaign: &Campaign) -> Aggregator {
        let mut aggregator = Aggregator::spawn(&conclave(), &self.config(campaign), &[], &self.path("log"));
        aggregator.ready(self).await;
        aggregator
    }

    /// A caller of the aggregator.
    pub(crate) async fn caller(&self, role: Role) -> CampaignServiceClient<Channel> {
        CampaignServiceClient::new(self.channel(role).await.unwrap())
    }

    /// A connection to the aggregator.
    pub(crate) async fn channel(&self, role: Role) -> Result<Channel, conclave_service::ServiceError> {
        let kit = Arc::new(self.kit(role, "hub", role.as_str()));
        let expected = identity(Role::Aggregator, "hub", "aggregator");
        let transport = ClientTransport::Mutual { kit, expected };
        channel::connect(&self.listen.to_string(), &transport, &ChannelLimits::default()).await
    }

    pub(crate) fn kit(&self, role: Role, organisation: &str, name: &str) -> Kit {
        self.authority.issue(&identity(role, organisation, name), 1, WallClock::now_ms()).unwrap()
    }

    /// The ledger of [`Campaign::default`].
    pub(crate) fn ledger(&self) -> PathBuf {
        self.path("ledger.db")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the aggregators have logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Silo {
    /// Stops the node and waits for its end.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        match self.running.take() {
            Some(Running::Listening(running)) => running.finished().await.unwrap(),
            Some(Running::Dialling(dialling)) => dialling.finished().await,
            None => {}
        }
    }
}

impl Data {
    /// Two teachers that agree: query i belongs to class i mod 3.
    pub(crate) fn agreeing(partition: u8, queries: u32) -> Self {
        let votes: Vec<u16> = (0..queries).map(|query| u16::try_from(query % 3).unwrap()).collect();
        Self { partition, id: None, changed: None, votes: vec![votes; 2], simulated: false }
    }
}

pub(crate) fn identity(role: Role, organisation: &str, name: &str) -> Identity {
    Identity::new(CONSORTIUM, role, organisation, name).unwrap()
}

/// The name of the `index`-th public example.
pub(crate) fn query(index: u32) -> QueryId {
    let mut name = [0xA5; 32];
    name[..4].copy_from_slice(&index.to_le_bytes());
    QueryId::new(name)
}

pub(crate) fn free_port() -> SocketAddr {
    // Below the ports that systems give to whoever dials out: one that is free now is not taken by the next call of another
    // test. Processes begin at different ones.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(211).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 12_000 + u16::try_from(number % 20_000).expect("below 20,000");
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().unwrap();
        }
    }
}

/// Whether the long half of a test is to run.
pub(crate) fn slow() -> bool {
    std::env::var_os("CONCLAVE_SLOW_TESTS").is_some()
}

pub(crate) async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}
