//! `conclave simulate` from the outside: what it leaves, what it refuses, and that a seed repeats it.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use conclave_ledger::verify;
use serde_json::Value;
use tempfile::TempDir;

/// A folder to run in.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_conclave"));
        command.current_dir(self.0.path()).args(["simulate", "--format", "json"]).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }
}

/// Few teachers and queries: the shape of the whole in a second.
const SMALL: [&str; 8] = ["--organisations", "3", "--teachers", "30", "--queries", "40", "--seed", "11"];

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stdout)))
}

fn refused(output: &Output, code: i32, told: &[&str]) {
    let error = json(output)["error"].to_string();
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(told.iter().all(|told| error.contains(told)), "{told:?}: {error}");
}

#[test]
fn a_run_leaves_report_labels_student_and_a_sound_ledger_all_marked_as_simulated() {
    let scratch = Scratch::new();
    let output = scratch.run(&SMALL);
    let result = json(&output);
    assert_eq!(output.status.code(), Some(0), "{result}");
    assert_eq!(result["simulated"], true);
    assert_eq!((&result["organisations"], &result["teachers"]), (&3.into(), &30.into()));
    assert_eq!(result["queries"]["asked"], 40);
    let artifact = |name: &str| scratch.path(result["artifacts"][name].as_str().unwrap());
    let verification = verify(&artifact("ledger")).unwrap();
    assert!(verification.valid && verification.simulated);
    assert!(verification.epsilon_spent.unwrap() <= 3.0);
    assert_eq!(std::fs::read_to_string(artifact("labels")).unwrap().lines().count(), 41);
    let report = std::fs::read_to_string(artifact("report")).unwrap();
    assert!(report.contains("isible only in a simulation") && report.contains("δ = 1e-5"));
    assert!(std::fs::read(artifact("student")).unwrap().starts_with(b"conclave student 1"));
    assert!(result["student"]["test_accuracy"].as_f64().unwrap() > 0.3, "{result}");
    // Another run takes another name; nothing is overwritten.
    let again = json(&scratch.run(&SMALL));
    assert_ne!(again["artifacts"], result["artifacts"]);
}

#[test]
fn a_seed_repeats_everything_but_the_time_whatever_the_threads() {
    let scratch = Scratch::new();
    let mut runs = Vec::new();
    for threads in ["1", "4"] {
        let output = scratch.command(&SMALL).env("RAYON_NUM_THREADS", threads).output().unwrap();
        let mut result = json(&output);
        let labels = std::fs::read(scratch.path(result["artifacts"]["labels"].as_str().unwrap())).unwrap();
        let student = std::fs::read(scratch.path(result["artifacts"]["student"].as_str().unwrap())).unwrap();
        result.as_object_mut().unwrap().retain(|key, _| key != "seconds" && key != "artifacts");
        runs.push((result, labels, student.len()));
    }
    assert!(runs[0] == runs[1], "{:?}\n{:?}", runs[0].0, runs[1].0);
    let other = json(&scratch.run(&[&SMALL[..6], &["--seed", "12"]].concat()));
    assert_ne!(other["labels"], runs[0].0["labels"]);
}

#[test]
fn silos_in_processes_of_their_own_vote_as_those_in_one_process_and_each_leaves_a_log() {
    let scratch = Scratch::new();
    let row = |row: usize| {
        let state = ["ill", "well"][row % 2];
        format!("{},{},{},{state}", row % 2 * 3 + row % 5, row * 7 % 11, row % 90)
    };
    let rows: Vec<String> = (0..400).map(row).collect();
    let table = scratch.file("wards.csv", &format!("a,\"b, c\",patient,state\n{}\n", rows.join("\n")));
    let subject = scratch.file(
        "subject.toml",
        &format!(
            "dataset = {table:?}\nsubject = 'patient'\norganisations = 2\nteachers = 20\nqueries = 15\nseed = 3\n\
             epsilon = 8.0\nunit = {{ subject = {{ max_silos_per_subject = 1 }} }}\npartition = 'by:subject'\n"
        ),
    );
    for (case, silos) in [(SMALL.to_vec(), 3), (vec![subject.to_str().unwrap()], 2)] {
        let run = |more: &[&str]| {
            let mut result = json(&scratch.run(&[&case, more].concat()));
            let labels = result["artifacts"]["labels"].as_str().unwrap_or_else(|| panic!("{result}"));
            let labels = std::fs::read(scratch.path(labels)).unwrap();
            let artifacts = result["artifacts"].take();
            result
                .as_object_mut()
                .unwrap()
                .retain(|key, _| !["seconds", "artifacts", "command"].contains(&key.as_str()));
            (result, labels, artifacts)
        };
        let (here, apart) = (run(&[]), run(&["--processes"]));
        assert_eq!(here.0, apart.0);
        assert_eq!(here.1, apart.1, "the labels, byte by byte");
        assert_eq!(here.2.get("logs"), None);
        let logs = scratch.path(apart.2["logs"].as_str().unwrap());
        for silo in 1..=silos {
            let log = std::fs::read_to_string(logs.join(format!("organisation-{silo}.log"))).unwrap();
            assert!(log.contains("listening") && log.contains("the guard's book is closed"), "{log}");
        }
    }
}

/// The processes that `parent` has started, once they are `count`.
#[cfg(target_os = "linux")]
fn children(parent: u32, count: usize) -> Vec<u32> {
    for _ in 0..1_000 {
        let found = Command::new("pgrep").args(["--parent", &parent.to_string()]).output().unwrap();
        let found: Vec<u32> =
            String::from_utf8(found.stdout).unwrap().lines().map(|pid| pid.parse().unwrap()).collect();
        if found.len() == count {
            return found;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{parent} never had {count} children")
}

#[cfg(target_os = "linux")]
fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
}

#[cfg(target_os = "linux")]
#[test]
fn a_silo_whose_process_dies_ends_the_run_with_its_name() {
    let scratch = Scratch::new();
    let run =
        scratch.command(&[&SMALL[..], &["--processes"]].concat()).stdout(Stdio::piped()).spawn().unwrap();
    kill(children(run.id(), 3)[1]);
    let output = run.wait_with_output().unwrap();
    refused(&output, 5, &["silo-ended", "organisation-", "signal: 9"]);
}

#[cfg(target_os = "linux")]
#[test]
fn silos_in_processes_of_their_own_never_outlive_the_simulation() {
    let scratch = Scratch::new();
    let mut run =
        scratch.command(&[&SMALL[..], &["--processes"]].concat()).stdout(Stdio::null()).spawn().unwrap();
    let silos = children(run.id(), 3);
    kill(run.id());
    run.wait().unwrap();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while silos.iter().any(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
        assert!(std::time::Instant::now() < end, "a silo is left behind");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_budget_one_release_short_is_refused_with_the_numbers_and_asks_nothing() {
    let scratch = Scratch::new();
    let with = |queries: &str| scratch.run(&["--seed", "1", "--sigma", "15.43", "--queries", queries]);
    refused(&with("81"), 3, &["budget-spent", "81 queries", "enough for 80 queries", "left rho"]);
    assert_eq!(std::fs::read_dir(scratch.0.path()).unwrap().count(), 0, "nothing was written either");
    assert_eq!(with("80").status.code(), Some(0));
}

#[test]
fn what_cannot_be_meant_is_bad_input_with_field_value_and_fix() {
    let scratch = Scratch::new();
    let unknown = scratch.file("unknown.toml", "organisation = 3\n");
    let negative = scratch.file("negative.toml", "sigma = -4.0\n");
    let ragged = scratch.file("ragged.csv", "x,y,class\n1,2,a\n3,b\n");
    let word = scratch.file("word.csv", "x,y,class\n1,2,a\n3,tall,b\n");
    let binary = scratch.path("binary.csv");
    std::fs::write(&binary, [0, 159, 146, 150, 10, 0]).unwrap();
    let truncated = scratch.path("truncated.csv.gz");
    std::fs::write(&truncated, [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 75]).unwrap();
    let text = |path: &Path| path.display().to_string();
    scratch.file("occupied", "");
    for (args, told) in [
        (vec![text(&unknown)], vec!["organisation", "organisations"]),
        (vec![text(&negative)], vec!["sigma", "-4", "above 0"]),
        (vec!["--dataset".to_owned(), text(&ragged)], vec!["ragged.csv", "line 3"]),
        (vec!["--dataset".to_owned(), text(&word)], vec!["word.csv", "line 3", "tall"]),
        (vec!["--dataset".to_owned(), text(&binary)], vec!["binary.csv"]),
        (vec!["--dataset".to_owned(), text(&truncated)], vec!["truncated.csv.gz"]),
        (vec!["--scale".to_owned(), "20".to_owned()], vec!["scale", "20", "--sigma"]),
        (vec!["--teachers".to_owned(), "5000".to_owned()], vec!["teachers", "fewer teachers"]),
        (vec!["--queries".to_owned(), "901".to_owned()], vec!["901", "900"]),
        (vec!["--out".to_owned(), ".".to_owned()], vec!["not empty"]),
    ] {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        refused(&scratch.run(&args), 2, &told);
    }
}

#[test]
fn a_printed_scenario_runs_as_the_command_that_printed_it() {
    let scratch = Scratch::new();
    let printed =
        scratch.run(&[&SMALL[..], &["--mechanism", "confident-gnmax", "--print-scenario"]].concat());
    let text = json(&printed)["scenario"].as_str().unwrap().to_owned();
    assert!(text.contains("seed = 11") && text.contains("mechanism = \"confident-gnmax\""), "{text}");
    let file = scratch.file("scenario.toml", &text);
    let from_file = json(&scratch.run(&[file.to_str().unwrap()]));
    let from_flags = json(&scratch.run(&[&SMALL[..], &["--mechanism", "confident-gnmax"]].concat()));
    for key in ["labels", "queries", "student", "privacy"] {
        assert_eq!(from_file[key], from_flags[key], "{key}");
    }
    assert!(from_flags["queries"]["abstained"].as_u64().unwrap() > 0, "the threshold was never missed");
    let spent = from_flags["privacy"]["epsilon_spent"].as_f64().unwrap();
    assert!(spent < 2.9, "abstentions cost less: {spent}");
}

#[test]
fn a_table_of_ones_own_with_its_label_column_is_enough() {
    let scratch = Scratch::new();
    let mut text = "ill,age,weight\n".to_owned();
    for row in 0..400 {
        let ill = row % 2;
        let line = format!("{},{},{}\n", ["no", "yes"][ill], 40 + 20 * ill + row % 7, 60 + row % 11);
        text += &line;
    }
    let table = scratch.file("ward.csv", &text);
    let result = json(&scratch.run(&[
        "--dataset",
        table.to_str().unwrap(),
        "--label",
        "ill",
        "--organisations",
        "2",
        "--seed",
        "5",
    ]));
    assert_eq!(result["student"]["test_size"], 40, "{result}");
    assert!(result["student"]["test_accuracy"].as_f64().is_some());
    assert_eq!(result["privacy"]["epsilon"], 3.0);
}

#[test]
fn mnist_is_refused_with_the_variable_and_the_files_when_it_is_not_there() {
    let scratch = Scratch::new();
    let run = |folder: Option<&str>| {
        let mut command = scratch.command(&["--dataset", "mnist", "--seed", "1"]);
        command.env_remove("CONCLAVE_DATA_DIR");
        command.envs(folder.map(|folder| ("CONCLAVE_DATA_DIR", folder))).output().unwrap()
    };
    refused(&run(None), 2, &["CONCLAVE_DATA_DIR", "not set", "train-images-idx3-ubyte"]);
    refused(
        &run(Some("nowhere")),
        2,
        &["nowhere/mnist", "t10k-labels-idx1-ubyte", "missing", "CONCLAVE_DATA_DIR"],
    );
    std::fs::create_dir_all(scratch.path("data/mnist")).unwrap();
    scratch.file("data/mnist/t10k-labels-idx1-ubyte", "other bytes");
    refused(
        &run(Some("data")),
        2,
        &["t10k-labels-idx1-ubyte", "SHA-256", "ff7bcfd416de3373", "CONCLAVE_DATA_DIR"],
    );
    let left: Vec<_> =
        std::fs::read_dir(scratch.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["data"], "nothing was written");
}

#[test]
fn mnist_runs_where_its_folder_is_and_a_student_reads_digits() {
    let Some(folder) = std::env::var_os("CONCLAVE_DATA_DIR") else {
        println!("SKIPPED: CONCLAVE_DATA_DIR is not set; it names the folder that holds mnist/");
        return;
    };
    let scratch = Scratch::new();
    let small =
        ["--dataset", "mnist", "--organisations", "2", "--teachers", "120", "--queries", "60", "--seed", "1"];
    let output =
        scratch.command(&[&small[..], &["--no-baseline"]].concat()).env("CONCLAVE_DATA_DIR", folder).output();
    let result = json(&output.unwrap());
    assert_eq!(
        result["queries"],
        serde_json::json!({"pool": 9000, "asked": 60, "answered": 60, "abstained": 0})
    );
    assert_eq!((&result["organisations"], &result["teachers"]), (&2.into(), &120.into()));
    assert_eq!(result["student"]["test_size"], 1000);
    assert!(result["student"]["nonprivate_accuracy"].is_null(), "{result}");
    assert!(result["command"].as_str().unwrap().contains("--no-baseline"), "{result}");
    assert!(result["student"]["test_accuracy"].as_f64().unwrap() > 0.85, "{result}");
    assert!(result["labels"]["accuracy"].as_f64().unwrap() > 0.9, "{result}");
}

#[test]
fn an_interrupt_in_any_phase_ends_it_and_says_how_to_repeat() {
    let scratch = Scratch::new();
    // A line of progress begins each phase; the interrupt follows it at once.
    for phase in ["teachers in", "queries are asked", "The student learns", "Comparing"] {
        let out = scratch.path(&phase.replace(' ', "-"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_conclave"))
            .args(["simulate", "--seed", "3", "--out"])
            .arg(&out)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
        assert!(lines.any(|line| line.unwrap().contains(phase)), "{phase}");
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        let status = child.wait().unwrap();
        // The last phase may be over before the signal arrives.
        let over = phase == "Comparing" && status.code() == Some(0);
        assert!(over || status.code() == Some(1), "{phase}: {status}: {rest:?}");
        assert!(over || rest.iter().any(|line| line.contains("--seed")), "{phase}: {rest:?}");
        let ledger = out.join("ledger.db");
        if ledger.exists() {
            assert!(verify(&ledger).unwrap().valid, "{phase}");
        }
    }
}

#[test]
fn quick_attacks_stay_under_their_bounds_and_the_report_tells_each_with_its_threat_model() {
    let scratch = Scratch::new();
    let output = scratch.run(&[&SMALL[..], &["--attacks", "quick", "--out", "run"]].concat());
    let result = json(&output);
    assert_eq!(output.status.code(), Some(0), "{result}");
    let attacks = result["attacks"].as_array().unwrap();
    let names: Vec<&str> = attacks.iter().map(|attack| attack["attack"].as_str().unwrap()).collect();
    for name in [
        "extraction",
        "evasion-by-copy",
        "evasion-with-the-model",
        "poisoning",
        "lying-teachers",
        "repeated-query",
        "audit",
    ] {
        assert!(names.contains(&name), "{name} is missing from {names:?}");
    }
    for attack in attacks {
        assert_ne!(attack["verdict"], "broken", "{attack}");
        assert!(!attack["measurements"].as_array().unwrap().is_empty(), "{attack}");
        assert!(attack["command"].as_str().unwrap().contains("--seed 11"), "{attack}");
    }
    let values = |attack: &str, measure: &str| -> Vec<f64> {
        let attack = attacks.iter().find(|one| one["attack"] == attack).unwrap();
        let of_measure =
            attack["measurements"].as_array().unwrap().iter().filter(|one| one["measure"] == measure);
        of_measure.map(|one| one["value"].as_f64().unwrap()).collect()
    };
    let copies = values("extraction", "agreement");
    assert!(copies.last() > copies.first(), "more queries copy better: {copies:?}");
    let right = |attack: &str, how: &str| values(attack, &format!("right after {how}"));
    let (one, many) = ("one step (FGSM)", "many steps (PGD)");
    for attack in ["evasion-by-copy", "evasion-with-the-model"] {
        let (random, one, many) = (right(attack, "random changes"), right(attack, one), right(attack, many));
        assert_eq!(random.len(), 6, "unmoved, and five sizes: {random:?}");
        assert!(random[0] > 0.8, "clean, over the wire: {random:?}");
        assert!(one.iter().zip(&many).all(|(one, many)| many <= one), "{one:?} {many:?}");
        assert!(many[5] + 0.2 < random[5], "gradients are worth something: {many:?} {random:?}");
    }
    let bits = values("repeated-query", "bits beyond the first answer");
    assert!(bits.iter().all(|bits| *bits <= 0.0), "{bits:?}");
    let labels = values("lying-teachers", "labels right");
    assert!(labels.last() < labels.first(), "lies work, or the attack is none: {labels:?}");

    let page = std::fs::read_to_string(scratch.path("run/report.html")).unwrap();
    for told in [
        "AML.T0024.002",
        "AML.T0020",
        "AML.T0043.002",
        "AML.T0043.000",
        "Knowledge",
        "To repeat",
        "95 % interval",
    ] {
        assert!(page.contains(told), "{told} is missing from the page");
    }
}
