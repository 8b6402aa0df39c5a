//! A student from kit to prediction, as its operator and its users run it: over mutual TLS, by the built binary.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use conclave_learning::datasets::DatasetSpec;
use conclave_learning::features::{FeatureSpace, FeatureSpec};
use conclave_learning::student::StudentSpec;
use conclave_proto::ids::{CampaignId, ContractDigest};
use conclave_student::query_selection::manifest;
use conclave_student::training::train;
use conclave_student::{Answer, LabelStore, Terms};
use serde_json::Value;

use crate::binary::{Scratch, conclave, json, stdout};

#[test]
fn a_trained_student_predicts_for_clients_of_its_consortium_and_for_nobody_else() {
    let scratch = Scratch::new();
    let kits = scratch.path("kits");
    conclave(&["provision", "--consortium", "north", "--silos", "1", "--out", &kits]);
    let truths = save_a_student(&scratch.path("student.model"), &scratch.path("rows.csv"));
    let config = scratch.file("student.toml", config(&kits, &scratch.path("student.model")).as_bytes());
    let mut running = Running::start(&config);

    let rows = scratch.path("rows.csv");
    let ask = |kit: &str| {
        let kit = format!("{kits}/{kit}");
        conclave(&[
            "--format",
            "json",
            "student",
            "predict",
            "--server",
            &running.address,
            "--kit",
            &kit,
            "--input",
            &rows,
        ])
    };
    let output = ask("client-hub-client");
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let answered = json(&output);
    assert_eq!(answered["simulated"], true);
    let labels: Vec<&str> =
        answered["labels"].as_array().unwrap().iter().map(|label| label.as_str().unwrap()).collect();
    let right = labels.iter().zip(&truths).filter(|(label, truth)| label == truth).count();
    assert_eq!(labels.len(), truths.len());
    assert!(right * 10 > truths.len() * 8, "{right} of {} right", truths.len());

    let wrong_role = ask("teacher-silo-1-node");
    assert_eq!(wrong_role.status.code(), Some(5), "{}", stdout(&wrong_role));
    let foreign = scratch.path("foreign");
    conclave(&["provision", "--consortium", "north", "--silos", "1", "--out", &foreign]);
    let stranger = ask("../foreign/client-hub-client");
    assert_eq!(stranger.status.code(), Some(5), "{}", stdout(&stranger));

    assert_eq!(running.stop(), Some(0), "a service that was asked to stop is done");
}

/// Trains on the truths of a hundred rows of the pool, saves the model, and writes forty other rows to ask about.
fn save_a_student(model: &str, rows: &str) -> Vec<String> {
    let pool = DatasetSpec::Optdigits.splits(7).expect("sound data").pool;
    let (classes, truths) =
        (pool.schema().class_names().to_vec(), pool.labels().expect("the digits are labelled"));
    let space = FeatureSpace::fit(&FeatureSpec::for_schema(pool.schema()), &pool).expect("sound data");
    let known = manifest(&pool, &space).expect("sound data");
    let mut labels = LabelStore::new();
    for (row, query) in conclave_student::query_selection::query_ids(&pool).into_iter().enumerate().take(100)
    {
        labels.record(query, Answer::Label(truths[row])).expect("sound data");
    }
    let terms = Terms {
        campaign: CampaignId::new("digits").expect("sound data"),
        contract: ContractDigest::new([7; 32]),
        class_names: classes.clone(),
        pool: known.digest(),
        features: known.features(),
        queries_max: 100,
        simulated: true,
    };
    let student = train(&pool, &space, &labels, &terms, &StudentSpec::default(), 7).expect("sound data");
    student.save(Path::new(model)).expect("sound data");
    let asked = 200..240;
    let lines: Vec<String> = asked
        .clone()
        .map(|row| pool.row(row).iter().map(f32::to_string).collect::<Vec<_>>().join(","))
        .collect();
    fs::write(rows, lines.join("\n")).expect("sound data");
    asked.map(|row| classes[truths[row].index()].clone()).collect()
}

fn config(kits: &str, model: &str) -> String {
    format!(
        "listen = \"127.0.0.1:0\"\n\
         kit = \"{kits}/student-hub-student\"\n\
         campaign = \"digits\"\n\
         model_path = \"{model}\"\n\
         [aggregator]\n\
         address = \"127.0.0.1:1\"\n\
         identity = \"conclave://north/aggregator/hub/aggregator\"\n\
         [pool]\n\
         source = {{ kind = \"optdigits\" }}\n\
         features = {{ kind = \"standardised\" }}\n"
    )
}

/// `conclave student run` as a process of its own.
struct Running {
    process: Child,
    address: String,
}

impl Running {
    /// Starts it and waits until its log says that it is ready, and where. Then nobody reads the log any more, which
    /// must not keep the process from working or from being stopped.
    fn start(config: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_conclave"))
            .args(["student", "run", "--config", config, "--log", "info"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let log = BufReader::new(process.stderr.take().expect("stderr is piped"));
        let mut told = String::new();
        let ready = log.lines().map_while(Result::ok).find_map(|line| {
            told += &line;
            let line: Value = serde_json::from_str(&line).ok()?;
            let ready = line["message"].as_str()?.starts_with("ready");
            ready.then(|| line["address"].as_str().map(str::to_owned))?
        });
        let address = ready.unwrap_or_else(|| panic!("never ready: {told}"));
        Self { process, address }
    }

    /// Asks it to stop, and tells its exit status.
    fn stop(&mut self) -> Option<i32> {
        let pid = self.process.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().expect("a process can be signalled");
        self.process.wait().expect("it was started here").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone, unless the test failed before it stopped the student.
        let _ = self.process.kill();
    }
}
