//! What an operator is told before a role is started: everything at once, with field, value and fix.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use conclave_service::authority::Authority;
use conclave_service::clock::WallClock;
use conclave_service::{Identity, Role};
use serde_json::Value;

use crate::binary::{Running, conclave, json, stdout};
use crate::consortium::{Consortium, free_port};

fn preflight(consortium: &Consortium, role: &str, file: &str) -> Output {
    conclave(&["--format", "json", "preflight", role, "--config", &consortium.path(file)])
}

/// The checks of one kind, with their verdicts.
fn verdicts<'a>(told: &'a Value, check: &str) -> Vec<&'a str> {
    let checks = told["checks"].as_array().expect("a list");
    let of_kind = checks.iter().filter(|finding| finding["check"] == check);
    of_kind.map(|finding| finding["verdict"].as_str().expect("a word")).collect()
}

/// Expects exactly one problem, of this kind, with this exit status; its words must hold `says`.
fn one_problem(output: &Output, check: &str, status: i32, says: &[&str]) {
    let told = json(output);
    assert_eq!(output.status.code(), Some(status), "{told:#}");
    assert_eq!(told["ready"], false);
    let checks = told["checks"].as_array().expect("a list");
    let problems: Vec<_> = checks.iter().filter(|finding| finding["verdict"] == "problem").collect();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert_eq!(problems[0]["check"], check, "{told:#}");
    let error = &told["error"];
    for key in ["code", "field", "fix"] {
        assert!(error[key].as_str().is_some_and(|text| !text.is_empty()), "{key} of {error:#}");
    }
    for said in says {
        assert!(problems[0].to_string().contains(said), "{said}: {:#}", problems[0]);
    }
}

#[test]
fn every_role_of_a_sound_consortium_is_ready_and_nothing_is_changed_by_looking() {
    let consortium = Consortium::new();
    let before = preflight(&consortium, "teacher", "teacher-1.toml");
    let told = json(&before);
    assert_eq!((before.status.code(), &told["ready"]), (Some(0), &Value::Bool(true)), "{told:#}");
    assert!(!fs::exists(consortium.path("state-1")).unwrap(), "looking makes no state");
    for check in ["kit", "certificate", "listen", "storage", "guard", "settings", "pool", "data"] {
        assert_eq!(verdicts(&told, check), ["good"], "{check}: {told:#}");
    }

    let _silos = consortium.run_silos();
    let told = json(&preflight(&consortium, "aggregator", "aggregator.toml"));
    assert_eq!(told["ready"], true, "{told:#}");
    assert!(!fs::exists(consortium.path("state")).unwrap(), "looking makes no ledger");
    for check in ["peer", "clock", "enrolment"] {
        assert_eq!(verdicts(&told, check), ["good", "good"], "{check}: {told:#}");
    }

    let mut aggregator = consortium.run_aggregator();
    let told = json(&preflight(&consortium, "student", "student.toml"));
    assert_eq!(told["ready"], true, "{told:#}");
    for check in ["peer", "clock", "contract", "pool"] {
        assert_eq!(verdicts(&told, check), ["good"], "{check}: {told:#}");
    }
    let words = stdout(&conclave(&["preflight", "student", "--config", &consortium.path("student.toml")]));
    assert!(words.ends_with("The student is ready to start.\n") || words.contains("can start"), "{words}");
    assert_eq!(aggregator.stop(), Some(0));
    // The campaign is in the ledger now, and so the settings must read the same.
    let told = json(&preflight(&consortium, "aggregator", "aggregator.toml"));
    assert_eq!(verdicts(&told, "permissions"), ["good"], "{told:#}");
    assert_eq!((verdicts(&told, "ledger"), verdicts(&told, "contract")), (vec!["good"], vec!["good"]));
    consortium.change("aggregator.toml", "sigma = 4.0", "sigma = 3.0");
    let lowered = preflight(&consortium, "aggregator", "aggregator.toml");
    one_problem(&lowered, "contract", 2, &["campaign.mechanism", "another contract"]);
}

#[test]
fn a_role_that_runs_already_with_these_settings_is_recognised_and_is_no_problem() {
    let consortium = Consortium::new();
    consortium.change("student.toml", "127.0.0.1:0", &free_port().to_string());
    let admin = free_port();
    let shown = format!("[admin]\nlisten = '{admin}'\n[data.source]");
    consortium.change("teacher-1.toml", "[data.source]", &shown);
    let _silos = consortium.run_silos();
    let _aggregator = consortium.run_aggregator();
    let _student = Running::start("student", &consortium.path("student.toml"), "listening");
    for (role, file, books) in [
        ("teacher", "teacher-1.toml", vec!["guard"]),
        ("teacher", "teacher-2.toml", vec!["guard"]),
        ("aggregator", "aggregator.toml", vec!["ledger"]),
        ("student", "student.toml", vec![]),
    ] {
        let output = preflight(&consortium, role, file);
        let told = json(&output);
        assert_eq!(output.status.code(), Some(0), "{told:#}");
        assert_eq!((&told["running"], &told["ready"]), (&Value::Bool(true), &Value::Bool(true)), "{told:#}");
        let addresses = if file == "teacher-1.toml" { 2 } else { 1 };
        assert_eq!(verdicts(&told, "listen"), vec!["running"; addresses], "{told:#}");
        for book in books {
            assert_eq!(verdicts(&told, book), ["good", "running"], "{told:#}");
            assert!(told.to_string().contains("has it open: the role itself"), "{told:#}");
        }
        let words = stdout(&conclave(&["preflight", role, "--config", &consortium.path(file)]));
        assert!(words.contains(&format!("The {role} is running here already")), "{words}");
    }

    // The same book with another address, and the same address with another book.
    let (own, other) = (consortium.aggregator.to_string(), free_port().to_string());
    consortium.change("aggregator.toml", &own, &other);
    let open = preflight(&consortium, "aggregator", "aggregator.toml");
    one_problem(&open, "ledger", 1, &["state/ledger.db", "process", "has it open", "stop that process"]);
    consortium.change("aggregator.toml", &other, &own);
    consortium.change("aggregator.toml", "state/ledger.db", "other/ledger.db");
    let elsewhere = preflight(&consortium, "aggregator", "aggregator.toml");
    one_problem(&elsewhere, "listen", 2, &[&own, "a process with this kit", "on other files"]);
}

#[test]
fn an_address_for_figures_that_somebody_else_has_is_a_problem_by_its_setting() {
    let consortium = Consortium::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (role, file, section) in [
        ("teacher", "teacher-1.toml", "[data.source]"),
        ("aggregator", "aggregator.toml", "[campaign]"),
        ("student", "student.toml", "[aggregator]"),
    ] {
        consortium.change(file, section, &format!("[admin]\nlisten = '{address}'\n{section}"));
        let told = json(&preflight(&consortium, role, file));
        let checks = told["checks"].as_array().unwrap().iter();
        let found: Vec<_> = checks.filter(|finding| finding["field"] == "admin.listen").collect();
        assert_eq!(found.len(), 1, "{told:#}");
        assert_eq!((&found[0]["verdict"], &found[0]["value"]), (&"problem".into(), &address.clone().into()));
    }
}

#[test]
fn a_kit_that_cannot_be_used_is_named_with_its_file_and_the_command_that_mends_it() {
    let consortium = Consortium::new();
    let kit = consortium.kit("teacher-silo-1-node");
    let key = format!("{kit}/key.pem");
    let looked = || preflight(&consortium, "teacher", "teacher-1.toml");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    one_problem(&looked(), "kit", 2, &["key.pem", "mode 644", "chmod 600"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&key, format!("{kit}/away.pem")).unwrap();
    one_problem(&looked(), "kit", 2, &["key.pem", "is missing"]);
    fs::rename(&kit, format!("{kit}-away")).unwrap();
    one_problem(&looked(), "kit", 2, &["ca.pem", "is missing"]);
    fs::rename(format!("{kit}-away"), &kit).unwrap();
    fs::rename(format!("{kit}/away.pem"), &key).unwrap();
    consortium.change("teacher-1.toml", "teacher-silo-1-node", "student-hub-student");
    one_problem(&looked(), "kit", 2, &["conclave://north/student/hub/student", "kit of a teacher"]);
}

#[test]
fn a_clock_two_days_off_is_found_by_the_certificates_dates() {
    let consortium = Consortium::new();
    let authority = Authority::load(consortium.path("kits/authority").as_ref()).unwrap();
    let identity = Identity::new("north", Role::Teacher, "silo-1", "node").unwrap();
    let two_days_ms = 2 * 24 * 60 * 60 * 1_000;
    let now_ms = WallClock::now_ms();
    // To a machine whose clock is two days behind, today's certificate is not yet valid; to one whose clock is ahead, a
    // certificate may have expired.
    for (name, made_ms, says) in
        [("behind", now_ms + two_days_ms, "not yet valid"), ("ahead", now_ms - two_days_ms, "expired")]
    {
        let kit = authority.issue(&identity, 1, made_ms).unwrap();
        let folder = consortium.path(name);
        kit.save(folder.as_ref()).unwrap();
        consortium.scratch.file("clock.toml", consortium.teacher(1).as_bytes());
        consortium.change("clock.toml", &consortium.kit("teacher-silo-1-node"), &folder);
        one_problem(
            &preflight(&consortium, "teacher", "clock.toml"),
            "kit",
            2,
            &["cert.pem", says, "valid from", "this machine's date is"],
        );
    }
}

#[test]
fn a_busy_port_a_missing_node_and_another_pool_are_told_together() {
    let consortium = Consortium::new();
    let mut silos = consortium.run_silos();
    assert_eq!(silos.pop().unwrap().stop(), Some(0));
    let missing = preflight(&consortium, "aggregator", "aggregator.toml");
    let address = consortium.silos[1].to_string();
    one_problem(&missing, "peer", 5, &["nodes[1].address", &address, "is the teacher node running"]);
    assert_eq!(verdicts(&json(&missing), "enrolment"), ["good", "unchecked"]);

    let busy = TcpListener::bind(consortium.aggregator).unwrap();
    let both = preflight(&consortium, "aggregator", "aggregator.toml");
    assert_eq!(both.status.code(), Some(2), "the first problem decides: {}", stdout(&both));
    assert_eq!(
        (verdicts(&json(&both), "listen"), verdicts(&json(&both), "peer")),
        (vec!["problem"], vec!["good", "problem"])
    );
    drop(busy);

    // A manifest of another pool: the node that answers does not fit the campaign.
    let other = fs::read_to_string(consortium.path("pool.csv")).unwrap();
    let other = other.lines().take(20).collect::<Vec<_>>().join("\n");
    fs::create_dir(consortium.path("other")).unwrap();
    let file = consortium.scratch.file("other/pool.csv", other.as_bytes());
    let manifest = consortium.path("other/pool.manifest");
    conclave(&["data", "manifest", &file, "--out", &manifest]);
    consortium.change("aggregator.toml", &consortium.path("pool.manifest"), &manifest);
    let told = json(&preflight(&consortium, "aggregator", "aggregator.toml"));
    assert_eq!(verdicts(&told, "enrolment"), ["problem", "unchecked"], "{told:#}");
    assert!(told.to_string().contains("its pool digest is"), "{told:#}");
}

#[test]
fn a_ledger_that_does_not_verify_is_exit_4_and_is_left_as_it_is() {
    let consortium = Consortium::new();
    let silos = consortium.run_silos();
    assert_eq!(consortium.run_aggregator().stop(), Some(0));
    let ledger = consortium.path("state/ledger.db");
    let sound = fs::read(&ledger).unwrap();
    let name = sound.windows(5).position(|bytes| bytes == b"wards").expect("the campaign is in its ledger");
    let mut damaged = sound.clone();
    damaged[name] ^= 1;
    fs::write(&ledger, &damaged).unwrap();
    let told = json(&preflight(&consortium, "aggregator", "aggregator.toml"));
    assert_eq!(
        (verdicts(&told, "ledger"), told["error"]["code"].as_str()),
        (vec!["problem"], Some("corrupt-ledger"))
    );
    assert_eq!(preflight(&consortium, "aggregator", "aggregator.toml").status.code(), Some(4));
    assert_eq!(fs::read(&ledger).unwrap(), damaged);
    drop(silos);
}

#[test]
fn data_that_changed_since_the_silo_voted_are_found_before_the_start() {
    let consortium = Consortium::new();
    for mut silo in consortium.run_silos() {
        assert_eq!(silo.stop(), Some(0));
    }
    let looked = || preflight(&consortium, "teacher", "teacher-1.toml");
    let told = json(&looked());
    assert_eq!((&told["ready"], verdicts(&told, "guard")), (&Value::Bool(true), vec!["good"]), "{told:#}");

    let key = consortium.path("state-1/partition.key");
    fs::rename(&key, consortium.path("away")).unwrap();
    one_problem(&looked(), "data", 2, &["partition.key", "backup of state_dir"]);
    assert!(!fs::exists(&key).unwrap(), "no other key is made by looking");
    fs::rename(consortium.path("away"), &key).unwrap();

    let rows = consortium.path("private-1.csv");
    let text = fs::read_to_string(&rows).unwrap();
    fs::write(&rows, text.lines().take(50).collect::<Vec<_>>().join("\n")).unwrap();
    one_problem(
        &looked(),
        "data",
        2,
        &["not the data that this silo voted with", "partition", "changed = {"],
    );
}

#[test]
fn a_student_on_another_campaign_or_without_its_aggregator_is_told_so() {
    let consortium = Consortium::new();
    let alone = preflight(&consortium, "student", "student.toml");
    one_problem(&alone, "peer", 5, &["aggregator.address", &consortium.aggregator.to_string()]);
    let _silos = consortium.run_silos();
    let _aggregator = consortium.run_aggregator();
    consortium.change("student.toml", "campaign = 'wards'", "campaign = 'other'");
    let wrong = preflight(&consortium, "student", "student.toml");
    one_problem(&wrong, "contract", 2, &["other", "runs campaign wards"]);
}

#[test]
fn settings_are_refused_with_every_fault_and_a_role_that_does_not_exist_with_those_that_do() {
    let consortium = Consortium::new();
    consortium.change("teacher-1.toml", "epsilon_max = 8.0", "epsilon_max = -1.0");
    consortium.change("teacher-1.toml", "noise_min_votes = 2.0", "noise_min_votes = 0.0");
    let output = preflight(&consortium, "teacher", "teacher-1.toml");
    let told = json(&output);
    assert_eq!(
        (output.status.code(), verdicts(&told, "settings")),
        (Some(2), vec!["problem", "problem"]),
        "{told:#}"
    );
    let missing = preflight(&consortium, "aggregator", "nowhere.toml");
    one_problem(&missing, "settings", 2, &["nowhere.toml"]);
    let address = free_port().to_string();
    let none = conclave(&["preflight", "doctor", "--config", &address]);
    assert_eq!(none.status.code(), Some(2));
    let words = crate::binary::stderr(&none);
    assert!(words.contains("teacher, aggregator, student"), "{words}");
}
