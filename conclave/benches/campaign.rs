//! How fast a whole campaign runs: `cargo bench -p conclave --bench campaign`.
//!
//! The production services on loopback: teacher nodes with precomputed votes, an aggregator with release noise, mutual
//! TLS, durable ledger and guards. Prints the figures that the README names:
//!
//! - released labels per second in batches of 100, 250 teachers on 10 nodes, as a student receives them;
//! - one label at a time, beside three flushes of the same disk, measured just before;
//! - 1,000 teachers × 1,000 queries, with the peak memory of this process.
//!
//! Every figure includes its flushes; a busy machine or a slow disk shows.

#![allow(clippy::print_stdout, reason = "figures are what it is for")]

use std::error::Error;
use std::fs::{File, read_to_string};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use conclave_aggregator::{
    AccountSettings, Aggregator, CampaignSettings, Flow, NodeSettings, Settings, Transport,
};
use conclave_privacy::ClassIndex;
use conclave_privacy::mechanism::GnMax;
use conclave_privacy::noise::ReleaseNoise;
use conclave_privacy::quantity::{Delta, Epsilon, Lattice, NoiseScale};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, VotingScheme};
use conclave_proto::ids::{CampaignId, FeaturesDigest, NodeId, OrganisationId, PartitionDigest, QueryId};
use conclave_proto::pool::PoolManifest;
use conclave_service::authority::Authority;
use conclave_service::clock::WallClock;
use conclave_service::{ChannelLimits, ClientTransport, Identity, Role, ServerLimits, ServerTransport};
use conclave_student::client::{CampaignClient, Ended, Patience};
use conclave_student::label_store::LabelStore;
use conclave_teacher_node::{SiloLimits, TeacherNode, Teachers};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

type Outcome<T> = Result<T, Box<dyn Error>>;

const CLASSES: u16 = 10;

#[tokio::main]
async fn main() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let flush = flush_time(folder.path())?;
    println!("one flush of this disk            {:>9.3} ms", millis(flush));

    let mut cluster = Cluster::start(10, 25, 20_000, Flow::default()).await?;
    cluster.answer(0..2_000).await?;
    let (queries, time) = cluster.answer(2_000..18_000).await?;
    println!("labels in batches of 100          {:>9.0} per second", queries as f64 / time.as_secs_f64());
    let mut single = Vec::new();
    for query in 18_000..18_200 {
        single.push(cluster.answer(query..query + 1).await?.1);
    }
    single.sort_unstable();
    let three_flushes = 3 * flush_time(folder.path())?;
    println!("one label, median                 {:>9.3} ms", millis(single[single.len() / 2]));
    println!("three flushes                     {:>9.3} ms", millis(three_flushes));
    println!(
        "one label beyond three flushes    {:>9.3} ms",
        millis(single[single.len() / 2].saturating_sub(three_flushes))
    );
    cluster.stop().await?;

    let began = Instant::now();
    let mut cluster = Cluster::start(10, 100, 1_000, Flow::default()).await?;
    let (_, time) = cluster.answer(0..1_000).await?;
    cluster.stop().await?;
    println!(
        "1,000 teachers x 1,000 queries    {:>9.3} s, start and stop included {:.3} s",
        time.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    println!("peak memory of all of it          {:>9} MiB", peak_memory_mib());
    Ok(())
}

/// Ten organisations, their nodes, an aggregator, and a student that asks.
struct Cluster {
    stop: CancellationToken,
    nodes: Vec<conclave_teacher_node::Running>,
    aggregator: conclave_aggregator::Running,
    student: CampaignClient,
    labels: LabelStore,
    _folder: TempDir,
}

impl Cluster {
    async fn start(nodes: u8, teachers: u32, queries: u32, flow: Flow) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let stop = CancellationToken::new();
        let authority = Authority::create("bench", WallClock::now_ms())?;
        let kit = |role, organisation: &str, name: &str| -> Outcome<_> {
            let identity = Identity::new("bench", role, organisation, name)?;
            Ok(authority.issue(&identity, 1, WallClock::now_ms())?)
        };
        let pool = pool(queries)?;
        let local = "127.0.0.1:0".parse()?;
        let (mut running, mut listed) = (Vec::new(), Vec::new());
        for index in 0..nodes {
            let organisation = format!("silo-{index}");
            let settings = silo(&organisation, teachers, folder.path())?;
            let node = TeacherNode::with_votes(
                settings,
                PartitionDigest::new([index + 1; 32]),
                pool.clone(),
                Teachers::from_votes(votes(index, teachers, queries), CLASSES.into())?,
            )?;
            let transport = ServerTransport::Mutual(kit(Role::Teacher, &organisation, "teacher")?);
            let node = node.serve(local, transport, stop.clone()).await?;
            listed.push(NodeSettings {
                organisation: OrganisationId::new(&organisation)?,
                node: NodeId::new("teacher")?,
                address: Some(node.address().to_string()),
            });
            running.push(node);
        }
        let settings = Settings {
            campaign: CampaignSettings {
                id: CampaignId::new("bench")?,
                mechanism: GnMax::new(NoiseScale::from_votes(400.0, Lattice::DEFAULT)?).into(),
                unit: PrivacyUnit::Record,
                adjacency: Adjacency::AddRemove,
                scheme: VotingScheme::Ensemble,
                epsilon: Epsilon::new(8.0)?,
                delta: Delta::new(1e-5)?,
                teachers_quorum_min: u32::from(nodes) * teachers,
                queries_max: queries,
                vote_deadline_ms: 10_000,
            },
            accounts: AccountSettings { epsilon: Epsilon::new(8.0)?, max_silos_per_subject: 1 },
            pool,
            ledger: folder.path().join("ledger.db"),
            nodes: listed,
            nodes_listen: None,
            operators: Vec::new(),
            flow,
            server: ServerLimits::default(),
            channel: ChannelLimits::default(),
        };
        let hub = kit(Role::Aggregator, "hub", "aggregator")?;
        let expected = hub.identity().clone();
        let transport = Transport::Mutual(Box::new(hub));
        let aggregator = Aggregator::prepare(settings, transport, ReleaseNoise, &stop).await?;
        let aggregator = aggregator.serve(local, stop.clone()).await?;
        let transport =
            ClientTransport::Mutual { kit: Arc::new(kit(Role::Student, "hub", "student")?), expected };
        let address = aggregator.address().to_string();
        let student = CampaignClient::connect(&address, &transport, &Patience::default()).await?;
        Ok(Self { stop, nodes: running, aggregator, student, labels: LabelStore::new(), _folder: folder })
    }

    /// Asks these examples of the pool, and how long it takes until the student has all answers.
    async fn answer(&mut self, range: std::ops::Range<u32>) -> Outcome<(usize, Duration)> {
        let queries: Vec<QueryId> = range.map(query).collect();
        let began = Instant::now();
        self.student.submit(&queries).await?;
        let ended = self.student.follow(&queries, &mut self.labels, |_| {}).await?;
        match ended {
            Ended::Completed => Ok((queries.len(), began.elapsed())),
            other => Err(format!("the campaign ended early: {other:?}").into()),
        }
    }

    async fn stop(self) -> Outcome<()> {
        self.stop.cancel();
        self.aggregator.finished().await?;
        for node in self.nodes {
            node.finished().await?;
        }
        Ok(())
    }
}

fn silo(organisation: &str, teachers: u32, folder: &Path) -> Outcome<conclave_teacher_node::Settings> {
    Ok(conclave_teacher_node::Settings {
        organisation: OrganisationId::new(organisation)?,
        node: NodeId::new("teacher")?,
        data: None,
        changed: None,
        teachers,
        teacher: conclave_learning::TeacherSpec::default(),
        seed: 0,
        unit: PrivacyUnit::Record,
        adjacency: Adjacency::AddRemove,
        limits: SiloLimits {
            epsilon_max: Epsilon::new(8.0)?,
            delta_max: Delta::new(1e-5)?,
            noise_min: NoiseScale::from_votes(1.0, Lattice::DEFAULT)?,
            queries_max: 1_000_000,
            batch_queries_max: 1_024,
        },
        state_dir: folder.join(organisation),
        simulated: false,
        server: ServerLimits::default(),
    })
}

fn pool(queries: u32) -> Outcome<PoolManifest> {
    let classes = (0..CLASSES).map(|class| class.to_string()).collect();
    Ok(PoolManifest::new(classes, FeaturesDigest::new([7; 32]), (0..queries).map(query))?)
}

fn query(index: u32) -> QueryId {
    let mut name = [0; 32];
    name[..4].copy_from_slice(&index.to_le_bytes());
    QueryId::new(name)
}

/// Nine of ten teachers agree on each query.
fn votes(node: u8, teachers: u32, queries: u32) -> Vec<Vec<ClassIndex>> {
    let classes = u32::from(CLASSES);
    let vote = |teacher: u32, query: u32| {
        let dissent = u32::from((teacher + query).is_multiple_of(10)) * (1 + u32::from(node) % (classes - 1));
        ClassIndex((query + dissent) % classes)
    };
    (0..teachers).map(|teacher| (0..queries).map(|query| vote(teacher, query)).collect()).collect()
}

/// The median of 100 flushes of a small append.
fn flush_time(folder: &Path) -> Outcome<Duration> {
    let mut file = File::create(folder.join("flush"))?;
    let mut times = Vec::new();
    for _ in 0..100 {
        file.write_all(&[0; 4096])?;
        let began = Instant::now();
        file.sync_data()?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The high-water mark of this process, as Linux tells it; 0 elsewhere.
fn peak_memory_mib() -> u64 {
    let status = read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}
