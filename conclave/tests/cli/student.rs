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
use serde_json::Value;

use crate::binary::{Running, Scratch, conclave, json, stderr, stdout};

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

/// What a security engineer does with a client's kit, and with the model's file where it is published.
#[test]
fn a_running_student_is_copied_and_moved_rows_are_sent_to_it_and_a_page_tells_all_of_it() {
    let scratch = Scratch::new();
    let kits = scratch.path("kits");
    conclave(&["provision", "--consortium", "north", "--silos", "1", "--out", &kits]);
    let model = scratch.path("student.model");
    save_a_student(&model, &scratch.path("rows.csv"));
    let settings = scratch.file("student.toml", config(&kits, &model).as_bytes());
    let running = Running::start("student", &settings, "ready");
    let (page, kit) = (scratch.path("attacks.html"), format!("{kits}/client-hub-client"));
    let attack = |kind: &str, kit: &str, more: &[&str]| {
        let server = ["--server", running.address.as_str(), "--kit", kit];
        let words = ["--format", "json", "attack", kind];
        conclave(&[&words[..], more, &["--seed", "7"], &server].concat())
    };

    let report = ["--report", page.as_str(), "--published", &model];
    let output = attack("report", &kit, &report);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let lines: Vec<Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is an object"))
        .collect();
    let figures = |attack: &str, key: &str| -> Vec<f64> {
        lines.iter().filter(|line| line["attack"] == attack).filter_map(|line| line[key].as_f64()).collect()
    };
    let agreement = figures("extraction", "agreement");
    assert!(agreement.last() > Some(&0.8), "400 labels make a copy: {agreement:?}");
    let mut left = Vec::new();
    for attack in ["evasion-by-copy", "evasion-with-the-model"] {
        let random = figures(attack, "right_after_random_changes");
        let moved = figures(attack, "right_after_many_steps_(PGD)");
        assert!(random[0] > 0.8 && moved.len() == 6, "clean, over the wire: {random:?}");
        assert!(moved[5] + 0.2 < random[5], "{attack}: {moved:?} beside {random:?}");
        left.push(moved[4]);
    }
    assert!(left[1] <= left[0], "the model itself is no worse a guide than a copy: {left:?}");
    let html = fs::read_to_string(&page).expect("it was written");
    for told in ["AML.T0024.002", "AML.T0043.002", "AML.T0043.000", "AML.T0015", &running.address] {
        assert!(html.contains(told), "{told} is missing from the page");
    }
    assert!(!html.contains("Simulated."), "what runs is no simulation");

    let stranger = attack("extraction", &format!("{kits}/teacher-silo-1-node"), &[]);
    assert_eq!(stranger.status.code(), Some(5), "{}", stdout(&stranger));
    let wards = "age,weight,state\n".to_owned() + &"40,50,ill\n61,52,well\n".repeat(200);
    let wards = scratch.file("wards.csv", wards.as_bytes());
    let scenario = scratch
        .file("wards.toml", format!("dataset = '{wards}'\norganisations = 2\nteachers = 4\n").as_bytes());
    let other = attack("extraction", &kit, &[&scenario]);
    assert_eq!(other.status.code(), Some(2), "{}{}", stdout(&other), stderr(&other));
    assert_eq!(json(&other)["error"]["field"], "scenario", "{}", stdout(&other));
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
