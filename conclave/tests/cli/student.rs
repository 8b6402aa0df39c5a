//! A student from kit to prediction, as its operator and its users run it: over mutual TLS, by the built binary.

use std::fs;
use std::path::Path;

use conclave_learning::datasets::DatasetSpec;
use conclave_learning::features::{FeatureSpace, FeatureSpec};
use conclave_learning::student::StudentSpec;
use conclave_proto::ids::{CampaignId, ContractDigest};
use conclave_student::query_selection::manifest;
use conclave_student::training::train;
use conclave_student::{Answer, LabelStore, Terms};

use crate::binary::{Running, Scratch, conclave, json, stdout};

#[test]
fn a_trained_student_predicts_for_clients_of_its_consortium_and_for_nobody_else() {
    let scratch = Scratch::new();
    let kits = scratch.path("kits");
    conclave(&["provision", "--consortium", "north", "--silos", "1", "--out", &kits]);
    let truths = save_a_student(&scratch.path("student.model"), &scratch.path("rows.csv"));
    let config = scratch.file("student.toml", config(&kits, &scratch.path("student.model")).as_bytes());
    let mut running = Running::start("student", &config, "ready");

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
