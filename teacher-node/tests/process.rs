//! The binary as an operator runs it: it starts from files, says where it listens, and ends when asked to.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[expect(dead_code, reason = "the other tests need more of it")]
mod consortium;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use conclave_learning::datasets::{CsvSource, DatasetSpec};
use conclave_learning::features::FeatureSpec;
use conclave_proto::ids::{DataId, NodeId, OrganisationId, PartitionDigest};
use conclave_proto::teacher::v1::teacher_service_client::TeacherServiceClient;
use conclave_service::{ChannelLimits, ClientTransport, channel};
use conclave_teacher_node::PublicPool;
use conclave_trust::Member;

use consortium::{Caller, contract};

const PRIVATE: &str = "x,y,state\n1,2,ill\n2,1,ill\n-1,-2,well\n-2,-1,well\n";
const POOL: &str = "x,y,state\n1,1,ill\n-1,-1,well\n";
const SETTINGS: &str = r#"
listen = "127.0.0.1:0"
plaintext_loopback = { organisation = "clinic", node = "ward-1" }
state_dir = "state"
teachers = 2
data.source = { kind = "csv", path = "private.csv", classes = ["ill", "well"] }
pool.source = { kind = "csv", path = "pool.csv", classes = ["ill", "well"] }
protects.unit = "record"
limits = { epsilon_max = 3.0, delta_max = 1e-5, noise_min_votes = 10.0, queries_max = 100 }
"#;

#[test]
fn a_node_starts_from_files_listens_and_stops_when_asked() {
    let dir = folder(SETTINGS, PRIVATE);
    for start in ["first", "again, with the key and the record of the first"] {
        let mut node = Node(start_in(dir.path()));
        let mut log = log(&mut node.0).inspect(|line| assert!(!line.contains("ERROR"), "{line}"));
        assert!(log.any(|line| line.contains("listening") && line.contains("127.0.0.1:")), "{start}");
        let asked = Command::new("kill").args(["-TERM", &node.0.id().to_string()]).status().unwrap();
        assert!(asked.success());
        assert!(log.any(|line| line.contains("stopped")), "{start}");
        assert_eq!(node.0.wait().unwrap().code(), Some(0), "{start}");
    }
}

#[test]
fn what_cannot_be_started_exits_2_and_says_what_to_mend() {
    let no_transport = SETTINGS.replace("plaintext_loopback", "# plaintext_loopback");
    let elsewhere = SETTINGS.replace("127.0.0.1:0", "0.0.0.0:0");
    let crowded = SETTINGS.replace("teachers = 2", "teachers = 5");
    let unknown = SETTINGS.replace("state_dir", "state_dri");
    for (settings, private, told) in [
        (no_transport.as_str(), PRIVATE, "kit"),
        (&elsewhere, PRIVATE, "loopback"),
        (&crowded, PRIVATE, "more teachers than private rows"),
        (&unknown, PRIVATE, "state_dri"),
        (SETTINGS, "x,y,state\n1,2,dead\n", "dead"),
        (SETTINGS, "x,y,state\n1,ill\n", "line 2"),
        (SETTINGS, "", "private.csv"),
    ] {
        let dir = folder(settings, private);
        let ended = start_in(dir.path()).wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{said}");
        assert!(said.contains(told), "{told}: {said}");
    }
}

#[tokio::test]
async fn a_full_disk_halts_voting_and_what_was_allowed_survives() {
    let examples = (0..200).fold("x,y,state\n".to_owned(), |mut csv, row| {
        writeln!(csv, "{row},1,ill").unwrap();
        csv
    });
    let dir = folder(SETTINGS, PRIVATE);
    std::fs::write(dir.path().join("pool.csv"), examples).unwrap();
    let mut source = CsvSource::new(dir.path().join("pool.csv"));
    source.classes = Some(vec!["ill".to_owned(), "well".to_owned()]);
    let examples = DatasetSpec::Csv(source).load().unwrap();
    let features = FeatureSpec::for_schema(examples.schema());
    let pool = PublicPool::new(examples, &features).unwrap();
    let queries = pool.manifest().queries();

    // A limit on the size of files stands in for a full disk; its signal is ignored, so that writing fails.
    let mut node = Node(start(
        dir.path(),
        Command::new("sh").args(["-c", "trap '' XFSZ; ulimit -f 256; exec \"$0\" \"$@\""]),
    ));
    let mut caller = caller(&mut node).await;
    let mut contract = contract(member(&mut caller).await, pool.manifest());
    contract.queries_max = 100;
    caller.agree(&contract).await;
    let mut allowed = 0;
    let halted = loop {
        match caller.vote(&contract, &queries[allowed..=allowed]).await {
            Ok(_) => allowed += 1,
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(halted.reason(), "GUARD_HALTED", "after {allowed}: {halted}");
    assert!(allowed > 0);
    let repeated = caller.vote(&contract, &queries[..1]).await.unwrap_err();
    assert_eq!(repeated.reason(), "GUARD_HALTED", "not even what was allowed before");
    drop(node);

    let mut node = Node(start_in(dir.path()));
    let mut caller = self::caller(&mut node).await;
    caller.agree(&contract).await;
    caller.vote(&contract, &queries[..allowed]).await.unwrap();
    caller
        .vote(&contract, &queries[allowed..100])
        .await
        .expect("the cap was not used up by what was refused");
    caller.vote(&contract, &queries[100..=100]).await.expect_err("nor did it forget what was allowed");
}

/// Calls the node at the address that its log tells.
async fn caller(node: &mut Node) -> Caller {
    let mut log = log(&mut node.0);
    let line = log.find(|line| line.contains("listening")).unwrap();
    std::thread::spawn(|| log.for_each(drop));
    let port = line.split("127.0.0.1:").nth(1).unwrap().split('"').next().unwrap();
    let address = format!("127.0.0.1:{port}");
    let transport = ClientTransport::PlaintextLoopback;
    let channel = channel::connect(&address, &transport, &ChannelLimits::default()).await.unwrap();
    Caller(TeacherServiceClient::new(channel))
}

/// The node as it describes itself.
async fn member(caller: &mut Caller) -> Member {
    let described = caller.describe().await.unwrap();
    Member {
        organisation: OrganisationId::new(&described.organisation).unwrap(),
        node: NodeId::new(&described.node).unwrap(),
        data: DataId::new(&described.data_id).unwrap(),
        partition: PartitionDigest::from_slice(&described.partition_digest).unwrap(),
        teachers: described.teachers,
    }
}

fn log(node: &mut Child) -> impl Iterator<Item = String> + use<> {
    BufReader::new(node.stderr.take().unwrap()).lines().map_while(Result::ok)
}

/// Not left behind by a test that fails.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn folder(settings: &str, private: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [("teacher.toml", settings), ("private.csv", private), ("pool.csv", POOL)] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn start_in(dir: &Path) -> Child {
    start(dir, &mut Command::new("env"))
}

/// Starts the node by `launcher`, a program that runs its arguments.
fn start(dir: &Path, launcher: &mut Command) -> Child {
    launcher
        .args([env!("CARGO_BIN_EXE_teacher-node"), "--config", "teacher.toml", "--log", "info"])
        .current_dir(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}
