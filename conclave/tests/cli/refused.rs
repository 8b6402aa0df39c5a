//! Who does not fit is refused, and both operators read why in their own log: the silo's and the aggregator's.
//!
//! Each case is played with a node that listens and with one that dials out.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use conclave_proto::teacher::v1::LeaseWorkRequest;
use conclave_proto::teacher::v1::work_service_client::WorkServiceClient;
use conclave_service::authority::Authority;
use conclave_service::channel::{self, describe_status};
use conclave_service::clock::WallClock;
use conclave_service::{ChannelLimits, ClientTransport, Identity, Kit};

use crate::binary::{conclave, json};
use crate::consortium::{Consortium, free_port};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const AGGREGATOR: &str = "conclave://north/aggregator/hub/aggregator";

/// How the first silo's node meets the aggregator.
#[derive(Clone, Copy, Debug)]
enum Mode {
    Listens,
    DialsOut,
}

/// A role at work, with its log in a file.
struct Side {
    process: Child,
    log: PathBuf,
}

impl Side {
    fn start(consortium: &Consortium, role: &str, file: &str) -> Self {
        Self::run(consortium, Command::new(env!("CARGO_BIN_EXE_conclave")), role, file)
    }

    /// Where no file grows beyond `blocks` of 512 bytes: to a program, a disk that is full. The signal that would come with
    /// a refused write is not sent.
    #[cfg(target_os = "linux")]
    fn start_on_a_small_disk(consortium: &Consortium, blocks: u32, role: &str, file: &str) -> Self {
        let mut shell = Command::new("sh");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_conclave")]);
        Self::run(consortium, shell, role, file)
    }

    fn run(consortium: &Consortium, mut command: Command, role: &str, file: &str) -> Self {
        let log = PathBuf::from(consortium.path(&format!("{file}.log")));
        let process = command
            .args([role, "run", "--config", &consortium.path(file), "--log", "info"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("a scratch directory can be written"))
            .spawn()
            .expect("the binary runs");
        Self { process, log }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("it was made at the start")
    }

    /// Waits until one line of the log holds all of `words`, and returns it.
    fn says(&self, words: &[&str]) -> String {
        let began = Instant::now();
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| words.iter().all(|word| line.contains(word))) {
                return line.to_owned();
            }
            assert!(began.elapsed() < WITHIN, "{words:?} in no line of:\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn ended(&mut self) -> Option<i32> {
        let began = Instant::now();
        while began.elapsed() < WITHIN {
            if let Some(status) = self.process.try_wait().expect("it was started here") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("it does not end:\n{}", self.log());
    }

    fn stop(mut self) {
        let pid = self.process.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().expect("a process can be signalled");
        assert_eq!(self.ended(), Some(0));
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const WITHIN: Duration = Duration::from_mins(1);

/// A consortium whose first silo is reached in `mode`, and where nodes dial in.
fn consortium(mode: Mode) -> (Consortium, String) {
    let consortium = Consortium::new();
    let (own, nodes) = (consortium.silos[0], free_port());
    if let Mode::DialsOut = mode {
        let dials =
            format!("mode = 'dial-out'\naggregator = {{ address = '{nodes}', identity = '{AGGREGATOR}' }}");
        consortium.change("teacher-1.toml", &format!("listen = '{own}'"), &dials);
        consortium.change("aggregator.toml", &format!("address = '{own}'"), "mode = 'dial-out'");
        consortium.change("aggregator.toml", "listen = ", &format!("nodes_listen = '{nodes}'\nlisten = "));
        // A node that dials waits up to five seconds between two attempts.
        consortium.change("aggregator.toml", "enrolment_wait_ms = 3000", "enrolment_wait_ms = 12000");
    }
    (consortium, nodes.to_string())
}

/// Starts both silos.
fn silos(consortium: &Consortium) -> (Side, Side) {
    let start = |file| Side::start(consortium, "teacher", file);
    let both = (start("teacher-1.toml"), start("teacher-2.toml"));
    for silo in [&both.0, &both.1] {
        silo.says(&["teachers are ready"]);
    }
    both
}

fn aggregator(consortium: &Consortium) -> Side {
    Side::start(consortium, "aggregator", "aggregator.toml")
}

#[test]
fn other_data_than_were_agreed_to_are_refused_in_both_logs_and_only_once_a_minute() {
    for mode in [Mode::Listens, Mode::DialsOut] {
        let (consortium, _) = consortium(mode);
        consortium.change("teacher-1.toml", "[data.source]", "[data]\nid = 'ward'\n[data.source]");
        let (first, _second) = silos(&consortium);
        let opened = aggregator(&consortium);
        opened.says(&["the campaign is open"]);
        opened.stop();
        first.stop();
        let rows = fs::read_to_string(consortium.path("private-1.csv")).unwrap() + "40.1,3,ill\n";
        consortium.scratch.file("private-1.csv", rows.as_bytes());
        // With its record the node would not even start: it asks for a declaration first.
        fs::remove_file(consortium.path("state-1/data.toml")).unwrap();
        let first = Side::start(&consortium, "teacher", "teacher-1.toml");
        first.says(&["teachers are ready"]);
        let aggregator = aggregator(&consortium);

        let words =
            ["WARN", "silo-1/node", "its data (partition digest) changed", "agreed was", "restore the data"];
        aggregator.says(&words);
        let words = ["WARN", AGGREGATOR, "CONTRACT_REFUSED", "members.partition_digest is", "here it is"];
        first.says(&words);
        std::thread::sleep(Duration::from_secs(1));
        let told = first.log().matches("CONTRACT_REFUSED").count();
        assert_eq!(told, 1, "{mode:?}: it is asked ten times a second:\n{}", first.log());
    }
}

#[test]
fn a_certificate_that_ran_out_while_the_node_ran_is_refused_in_both_logs() {
    for mode in [Mode::Listens, Mode::DialsOut] {
        let (consortium, _) = consortium(mode);
        let now_ms = WallClock::now_ms();
        let authority = Authority::create("north", now_ms - 2 * DAY_MS).unwrap();
        let issue = |uri: &str, name: &str, from_ms: u64, days: u32| {
            let dir = consortium.kit(name);
            fs::remove_dir_all(&dir).unwrap();
            let identity: Identity = uri.parse().unwrap();
            authority.issue(&identity, days, from_ms).unwrap().save(dir.as_ref()).unwrap();
        };
        issue(AGGREGATOR, "aggregator-hub-aggregator", now_ms, 30);
        issue("conclave://north/teacher/silo-2/node", "teacher-silo-2-node", now_ms, 30);
        let until_ms = WallClock::now_ms() + VALID_MS;
        issue("conclave://north/teacher/silo-1/node", "teacher-silo-1-node", until_ms - DAY_MS, 1);
        let (first, _second) = silos(&consortium);
        std::thread::sleep(Duration::from_millis(until_ms.saturating_sub(WallClock::now_ms()) + 1_500));

        let mut aggregator = aggregator(&consortium);
        assert_eq!(aggregator.ended(), Some(5), "{}", aggregator.log());
        match mode {
            Mode::Listens => {
                aggregator.says(&["silo-1/node", "its certificate has expired", "issue its kit again"]);
                first.says(&["WARN", "REFUSED_US_EXPIRED", "teacher/silo-1/node", "issue our kit again"]);
            }
            Mode::DialsOut => {
                let who = "claiming to be conclave://north/teacher/silo-1/node";
                aggregator.says(&["WARN", "CERTIFICATE_EXPIRED", who, "kit issued again"]);
                aggregator.says(&["needs every silo's agreement", "silo-1/node"]);
                first.says(&["WARN", "our certificate has expired", "issue our kit again"]);
            }
        }
    }
}

/// Time enough to start a node on a busy machine.
const VALID_MS: u64 = 6_000;

#[test]
fn the_kit_of_another_party_is_refused_in_both_logs() {
    for mode in [Mode::Listens, Mode::DialsOut] {
        let (consortium, _) = consortium(mode);
        // The second silo listens: whoever dials in with its kit is at the wrong door.
        let (own, strange) = (consortium.kit("teacher-silo-1-node"), consortium.kit("teacher-silo-2-node"));
        consortium.change("teacher-1.toml", &own, &strange);
        let (first, _second) = silos(&consortium);
        let mut aggregator = aggregator(&consortium);
        assert_eq!(aggregator.ended(), Some(5), "{}", aggregator.log());
        match mode {
            Mode::Listens => {
                aggregator.says(&["wrong party or role", "teacher/silo-1/node", "check the address"]);
                first.says(&[
                    "WARN",
                    "REFUSED_US_OTHER_PARTY",
                    "teacher/silo-2/node",
                    "give this process the kit",
                ]);
            }
            Mode::DialsOut => {
                aggregator.says(&["WARN", "teacher/silo-2/node", "NOT_A_MEMBER"]);
                first.says(&["WARN", "not one of those that dial in here", "by the names in its kit"]);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kit_of_another_role_starts_no_node_and_gets_no_work() {
    let (consortium, nodes) = consortium(Mode::DialsOut);
    let student = consortium.kit("student-hub-student");
    consortium.change("teacher-2.toml", &consortium.kit("teacher-silo-2-node"), &student);
    let mut second = Side::start(&consortium, "teacher", "teacher-2.toml");
    assert_eq!(second.ended(), Some(2));
    second.says(&["student/hub/student", "give the kit of a teacher node"]);

    // A program that does not look at its own kit.
    let aggregator = aggregator(&consortium);
    aggregator.says(&["receiving teacher nodes"]);
    let kit = Arc::new(Kit::load(student.as_ref(), WallClock::now_ms()).unwrap());
    let transport = ClientTransport::Mutual { kit, expected: AGGREGATOR.parse().unwrap() };
    let channel = channel::connect(&nodes, &transport, &ChannelLimits::default()).await.unwrap();
    let asked = WorkServiceClient::new(channel).lease_work(LeaseWorkRequest::default()).await;
    let words = describe_status(&asked.unwrap_err(), &nodes, &transport).to_string();
    assert!(words.contains("role student may not call") && words.contains("role teacher"), "{words}");
    aggregator.says(&[
        "WARN",
        "WRONG_ROLE",
        "student/hub/student at 127.0.0.1",
        "use a kit with role teacher",
    ]);
}

#[test]
fn less_noise_than_a_silo_allows_is_refused_in_both_logs() {
    for mode in [Mode::Listens, Mode::DialsOut] {
        let (consortium, _) = consortium(mode);
        consortium.change("aggregator.toml", "sigma = 4.0", "sigma = 1.0");
        let (first, _second) = silos(&consortium);
        let mut aggregator = aggregator(&consortium);
        assert_eq!(aggregator.ended(), Some(2), "{mode:?}: {}", aggregator.log());
        let both = ["mechanism is noise of 1 votes", "here it is at least 2 votes", "use more noise"];
        aggregator.says(&[&both[..], &["silo-1/node"]].concat());
        first.says(&[&both[..], &["WARN", AGGREGATOR]].concat());
    }
}

#[test]
fn classes_that_a_silo_does_not_know_are_refused_in_both_logs() {
    for mode in [Mode::Listens, Mode::DialsOut] {
        let (consortium, _) = consortium(mode);
        for _ in 0..2 {
            consortium.change("teacher-1.toml", "['ill', 'well']", "['ill', 'well', 'cured']");
        }
        let (first, _second) = silos(&consortium);
        let mut aggregator = aggregator(&consortium);
        assert_eq!(aggregator.ended(), Some(2), "{mode:?}: {}", aggregator.log());
        let ours = "3 names: ill, well, cured";
        aggregator.says(&["silo-1/node", "its list of classes is", ours, "2 names: ill, well"]);
        first.says(&["WARN", "CONTRACT_REFUSED", "class_names is 2 names: ill, well", ours]);
    }
}

#[test]
fn an_organisation_that_never_comes_is_named_and_the_start_ends() {
    for mode in [Mode::Listens, Mode::DialsOut] {
        let (consortium, _) = consortium(mode);
        let second = Side::start(&consortium, "teacher", "teacher-2.toml");
        second.says(&["teachers are ready"]);
        let mut aggregator = aggregator(&consortium);
        assert_eq!(aggregator.ended(), Some(5), "{mode:?}: {}", aggregator.log());
        let told = aggregator.says(&["needs every silo's agreement", "silo-1"]);
        assert!(!told.contains("silo-2"), "{told}");
    }
}

#[test]
fn a_campaign_in_the_ledger_names_what_its_settings_said_and_say() {
    let (consortium, _) = consortium(Mode::Listens);
    let (_first, _second) = silos(&consortium);
    let running = aggregator(&consortium);
    running.says(&["the campaign is open"]);
    running.stop();
    consortium.change("aggregator.toml", "sigma = 4.0", "sigma = 5.0");
    let mut again = aggregator(&consortium);
    assert_eq!(again.ended(), Some(2), "{}", again.log());
    let was = "campaign.mechanism was gnmax with sigma 4 votes, in steps of 2^-20 votes";
    again.says(&[was, "and is gnmax with sigma 5 votes", "choose a new campaign.id"]);
}

#[test]
fn what_keeps_a_role_from_starting_is_told_to_scripts_with_its_field_and_the_fix() {
    let (consortium, _) = consortium(Mode::Listens);
    let kit = consortium.kit("teacher-silo-1-node");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = |field: &str, fix: &str| {
        let path = consortium.path("teacher-1.toml");
        let ended = conclave(&["--format", "json", "teacher", "run", "--config", &path]);
        let told = json(&ended);
        let error = &told["error"];
        assert_eq!(ended.status.code(), Some(2), "{told}");
        assert!(error["field"].as_str().is_some_and(|told| told.contains(field)), "{field}: {told}");
        assert!(error["fix"].as_str().is_some_and(|told| told.contains(fix)), "{fix}: {told}");
        assert!(error["value"].as_str().is_some_and(|told| !told.is_empty()), "{told}");
    };
    let (own, used) = (consortium.silos[0].to_string(), taken.local_addr().unwrap().to_string());
    for (from, to, field, fix) in [
        (own.as_str(), used.as_str(), "listen", "choose another port"),
        ("queries_max = 1000", "queries_max = 0", "limits.queries_max", ""),
        ("state_dir = ", "state_dri = ", "state_dri", "correct each of them"),
        ("noise_min_votes = 2.0", "noise_min_votes = 'much'", "limits.noise_min_votes", "give"),
        (kit.as_str(), "nowhere", "file", "conclave provision"),
    ] {
        consortium.change("teacher-1.toml", from, to);
        refused(field, fix);
        consortium.change("teacher-1.toml", to, from);
    }
    let key = format!("{kit}/key.pem");
    fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    refused("file", "chmod 600");
    fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(format!("{kit}/cert.pem"), "half a certificate").unwrap();
    refused("file", "issue the kit again");
}

#[cfg(target_os = "linux")]
#[test]
fn a_silo_whose_disk_is_full_says_so_once_with_path_and_fix_and_the_status_says_that_it_refuses() {
    let (consortium, _) = consortium(Mode::Listens);
    consortium.change(
        "aggregator.toml",
        "retry_ms = 100",
        "retry_ms = 100\nbatch_queries_max = 1\nbatches_in_flight_max = 1",
    );
    let first = Side::start_on_a_small_disk(&consortium, 100, "teacher", "teacher-1.toml");
    let second = Side::start(&consortium, "teacher", "teacher-2.toml");
    for silo in [&first, &second] {
        silo.says(&["teachers are ready"]);
    }
    let aggregator = aggregator(&consortium);
    aggregator.says(&["listening"]);
    let _student = Side::start(&consortium, "student", "student.toml");
    let book = consortium.path("state-1/guard.db");
    first.says(&["ERROR", "budget guard has stopped", &book, "give its disk room"]);
    aggregator.says(&["silo-1/node", "budget guard has stopped"]);
    // Long enough for ten further attempts; none of them may leave anything in the ledger.
    let entries = || {
        let ledger = consortium.path("state/ledger.db");
        json(&conclave(&["--format", "json", "ledger", "verify", &ledger]))["entries"].as_u64()
    };
    std::thread::sleep(Duration::from_millis(500));
    let before = entries();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(entries(), before, "a quorum that cannot be had is not reserved for");
    let told = first.log().matches("budget guard has stopped").count();
    assert_eq!(told, 3, "its own line and the refused calls (votes, contract), each once:\n{}", first.log());

    let server = consortium.aggregator.to_string();
    let kit = consortium.kit("client-hub-client");
    let asked = ["--format", "json", "campaign", "status", "--server", &server, "--kit", &kit];
    let told = json(&conclave(&asked));
    let silo = &told["members"][0];
    assert_eq!(
        (&silo["organisation"], &silo["present"], &silo["refused"]),
        (&"silo-1".into(), &false.into(), &"GUARD_HALTED".into()),
        "{told:#}"
    );
    let words = crate::binary::stdout(&conclave(&asked[2..]));
    assert!(words.contains("silo-1/node: refused: GUARD_HALTED"), "{words}");
}
