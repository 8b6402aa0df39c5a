//! The binary in mode `dial-out`, against an aggregator by hand: it listens to nobody, and is killed in the middle.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use conclave_learning::datasets::{CsvSource, DatasetSpec};
use conclave_learning::features::FeatureSpec;
use conclave_ledger::guard::GuardBook;
use conclave_privacy::mechanism::{GnMax, Mechanism};
use conclave_privacy::quantity::{Delta, FilterOrder, Lattice, NoiseScale, Rho};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, VotingScheme};
use conclave_proto::PROTOCOL;
use conclave_proto::ids::{CampaignId, DataId, NodeId, OrganisationId, PartitionDigest, join_query_ids};
use conclave_proto::pool::PoolManifest;
use conclave_proto::teacher::v1::lease::Work;
use conclave_proto::teacher::v1::submit_work_request::Outcome;
use conclave_proto::teacher::v1::work_service_server::{WorkService, WorkServiceServer};
use conclave_proto::teacher::v1::{
    AcceptContractRequest, DescribeRequest, Lease, LeaseWorkRequest, LeaseWorkResponse, SubmitWorkRequest,
    SubmitWorkResponse, VoteRequest,
};
use conclave_service::authority::Authority;
use conclave_service::clock::WallClock;
use conclave_service::{Identity, Refusal, Role, RoleTable, Server, ServerLimits, ServerTransport};
use conclave_teacher_node::{GUARD_BOOK, PublicPool};
use conclave_trust::{Contract, Member, TrustMode};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

const ROLES: RoleTable = RoleTable::new(&[
    ("/conclave.teacher.v1.WorkService/LeaseWork", &[Role::Teacher]),
    ("/conclave.teacher.v1.WorkService/SubmitWork", &[Role::Teacher]),
]);

/// Whoever asks gets the next question of the test; what is handed in goes to the test.
struct Aggregator {
    questions: Mutex<mpsc::Receiver<Lease>>,
    outcomes: mpsc::Sender<SubmitWorkRequest>,
}

#[tonic::async_trait]
impl WorkService for Aggregator {
    async fn lease_work(
        &self,
        request: Request<LeaseWorkRequest>,
    ) -> Result<Response<LeaseWorkResponse>, Status> {
        let wait = Duration::from_millis(request.get_ref().wait_ms.into());
        let mut questions = self.questions.lock().await;
        let lease = tokio::time::timeout(wait, questions.recv()).await.ok().flatten();
        Ok(Response::new(LeaseWorkResponse { lease }))
    }

    async fn submit_work(
        &self,
        request: Request<SubmitWorkRequest>,
    ) -> Result<Response<SubmitWorkResponse>, Status> {
        self.outcomes.send(request.into_inner()).await.unwrap();
        Ok(Response::new(SubmitWorkResponse { repeated_before: false }))
    }
}

/// The test's side of the aggregator.
struct Asker {
    questions: mpsc::Sender<Lease>,
    outcomes: mpsc::Receiver<SubmitWorkRequest>,
    lease: u64,
}

impl Asker {
    async fn receive(dir: &Path) -> (Self, SocketAddr) {
        let authority = Authority::create("demo", WallClock::now_ms()).unwrap();
        let kit = authority.issue(&identity(Role::Aggregator, "hub", "aggregator"), 1, WallClock::now_ms());
        let (questions, asked) = mpsc::channel(16);
        let (handed_in, outcomes) = mpsc::channel(16);
        let aggregator = Aggregator { questions: Mutex::new(asked), outcomes: handed_in };
        let server = Server::new(ServerTransport::Mutual(kit.unwrap()), ROLES, ServerLimits::default())
            .add_service(WorkServiceServer::new(aggregator))
            .bind("127.0.0.1:0".parse().unwrap(), CancellationToken::new())
            .await
            .unwrap();
        let kit = authority.issue(&identity(Role::Teacher, "clinic", "ward-1"), 1, WallClock::now_ms());
        kit.unwrap().save(&dir.join("kit")).unwrap();
        (Self { questions, outcomes, lease: 0 }, server.address())
    }

    async fn post(&mut self, work: Work) {
        self.lease += 1;
        let lease = Lease { lease_id: self.lease, time_left_ms: 20_000, work: Some(work) };
        self.questions.send(lease).await.unwrap();
    }

    async fn outcome(&mut self) -> Outcome {
        loop {
            let handed_in = tokio::time::timeout(Duration::from_secs(20), self.outcomes.recv()).await;
            let handed_in = handed_in.unwrap().unwrap();
            // An earlier one was asked before a kill.
            if handed_in.lease_id == self.lease {
                return handed_in.outcome.unwrap();
            }
        }
    }

    async fn ask(&mut self, work: Work) -> Outcome {
        self.post(work).await;
        self.outcome().await
    }

    /// The contract of a campaign with this node alone, as it describes itself, and agreed to.
    async fn enrol(&mut self, pool: &PoolManifest) -> Contract {
        let describe = Work::Describe(DescribeRequest { protocol: Some(PROTOCOL) });
        let Outcome::Described(described) = self.ask(describe).await else { panic!("not described") };
        let contract = contract(
            pool,
            Member {
                organisation: OrganisationId::new(&described.organisation).unwrap(),
                node: NodeId::new(&described.node).unwrap(),
                data: DataId::new(&described.data_id).unwrap(),
                partition: PartitionDigest::from_slice(&described.partition_digest).unwrap(),
                teachers: described.teachers,
            },
        );
        let accept = Work::AcceptContract(AcceptContractRequest { contract: Some((&contract).into()) });
        let Outcome::Accepted(accepted) = self.ask(accept).await else { panic!("not accepted") };
        assert_eq!(accepted.contract_digest, contract.digest().as_bytes());
        contract
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dials_out_listens_to_nobody_and_a_kill_loses_and_repeats_no_vote() {
    let dir = tempfile::tempdir().unwrap();
    let (mut asker, address) = Asker::receive(dir.path()).await;
    let pool = write(dir.path(), address);
    assert_eq!(probe(dir.path()).code(), Some(5), "nobody runs yet");

    let mut node = Node::start(dir.path());
    let contract = asker.enrol(&pool).await;
    assert_eq!(node.listening(), Vec::<String>::new(), "a port is open");
    assert_eq!(probe(dir.path()).code(), Some(0));
    let vote = |queries: std::ops::Range<usize>| {
        Work::Vote(VoteRequest {
            campaign_id: contract.campaign.to_string(),
            contract_digest: contract.digest().as_bytes().to_vec(),
            batch_id: 1,
            attempt: 1,
            query_ids: join_query_ids(&pool.queries()[queries]),
        })
    };
    let Outcome::Voted(votes) = asker.ask(vote(0..3)).await else { panic!("no votes") };

    // Killed while a batch is at the node, at whatever point of it; then asked again.
    asker.post(vote(0..6)).await;
    node.kill();
    let mut node = Node::start(dir.path());
    assert_eq!(asker.enrol(&pool).await, contract, "the same node, the same data");
    assert_eq!(asker.ask(vote(0..3)).await, Outcome::Voted(votes), "the same query, the same votes");
    let Outcome::Voted(all) = asker.ask(vote(0..6)).await else { panic!("no votes") };
    assert_eq!(all.packed_votes.len(), 2 * 6);

    // What it would refuse a caller, it declines in the same words; and its guard stays in force.
    let Outcome::Declined(declined) = asker.ask(vote(0..9)).await else { panic!("over the silo's cap") };
    let status = Status::with_details(declined.code.into(), declined.message, declined.details.into());
    assert_eq!(Refusal::read(&status).reason(), "SILO_BUDGET_SPENT");
    node.kill();
    assert_eq!(GuardBook::open(&dir.path().join("state").join(GUARD_BOOK), 8, 0).unwrap().used(), 6);
}

#[test]
fn what_cannot_dial_exits_2_and_says_what_to_mend() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "127.0.0.1:1".parse().unwrap());
    let authority = Authority::create("demo", WallClock::now_ms()).unwrap();
    let refused = |told: &str| {
        let ended = Node::command(dir.path()).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(2), "{said}");
        assert!(said.contains(told), "{told}: {said}");
    };
    refused("kit");
    let year_ms = 365 * 24 * 60 * 60 * 1_000;
    let kits = [
        (Role::Student, WallClock::now_ms(), "give the kit of a teacher node"),
        (Role::Teacher, WallClock::now_ms() - year_ms, "expired"),
    ];
    for (role, issued_ms, told) in kits {
        let _ = fs::remove_dir_all(dir.path().join("kit"));
        authority
            .issue(&identity(role, "clinic", "ward-1"), 1, issued_ms)
            .unwrap()
            .save(&dir.path().join("kit"))
            .unwrap();
        refused(told);
    }
}

fn contract(pool: &PoolManifest, member: Member) -> Contract {
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
        queries_max: 8,
        vote_deadline_ms: 1_000,
        pool: pool.digest(),
        features: pool.features(),
        simulated: false,
        members: vec![member],
    }
}

fn identity(role: Role, organisation: &str, name: &str) -> Identity {
    Identity::new("demo", role, organisation, name).unwrap()
}

/// Files of a silo that dials `aggregator`, and the pool that they come to.
fn write(dir: &Path, aggregator: SocketAddr) -> PoolManifest {
    let settings = format!(
        r#"
mode = "dial-out"
aggregator = {{ address = "{aggregator}", identity = "conclave://demo/aggregator/hub/aggregator" }}
kit = "kit"
state_dir = "state"
teachers = 2
data.source = {{ kind = "csv", path = "private.csv", classes = ["ill", "well"] }}
pool.source = {{ kind = "csv", path = "pool.csv", classes = ["ill", "well"] }}
protects.unit = "record"
limits = {{ epsilon_max = 3.0, delta_max = 1e-5, noise_min_votes = 10.0, queries_max = 8 }}
"#
    );
    let examples = (0..10).map(|row| format!("{row},1,ill")).collect::<Vec<_>>().join("\n");
    for (name, text) in [
        ("teacher.toml", settings.as_str()),
        ("private.csv", "x,y,state\n1,2,ill\n2,1,ill\n-1,-2,well\n-2,-1,well\n"),
        ("pool.csv", &format!("x,y,state\n{examples}")),
    ] {
        fs::write(dir.join(name), text).unwrap();
    }
    let mut source = CsvSource::new(dir.join("pool.csv"));
    source.classes = Some(vec!["ill".to_owned(), "well".to_owned()]);
    let examples = DatasetSpec::Csv(source).load().unwrap();
    let features = FeatureSpec::for_schema(examples.schema());
    PublicPool::new(examples, &features).unwrap().manifest().clone()
}

fn probe(dir: &Path) -> ExitStatus {
    Node::command(dir).arg("--probe").stderr(Stdio::null()).status().unwrap()
}

/// The process; not left behind by a test that fails.
struct Node(Child);

impl Node {
    fn command(dir: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_teacher-node"));
        command.args(["--config", "teacher.toml", "--log", "info"]).current_dir(dir).stdout(Stdio::null());
        command
    }

    fn start(dir: &Path) -> Self {
        Self(Self::command(dir).stderr(Stdio::null()).spawn().unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Every TCP address at which the process listens, as the kernel writes it.
    fn listening(&self) -> Vec<String> {
        let own = format!("/proc/{}", self.0.id());
        let sockets: Vec<String> = fs::read_dir(format!("{own}/fd"))
            .unwrap()
            .filter_map(|fd| Some(fs::read_link(fd.ok()?.path()).ok()?.to_str()?.to_owned()))
            .collect();
        assert!(
            sockets.iter().any(|link| link.starts_with("socket:")),
            "not even the connection to the aggregator"
        );
        let tables = ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("{own}/net/{table}")).unwrap());
        let rows = tables.iter().flat_map(|table| table.lines().skip(1));
        // Address, state (0A: listening) and inode of each socket (proc(5)).
        let fields = rows.map(|row| row.split_whitespace().collect::<Vec<_>>());
        let own = fields.filter(|row| row[3] == "0A" && sockets.contains(&format!("socket:[{}]", row[9])));
        own.map(|row| row[1].to_owned()).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
