//! The sample parses, and everything wrong is told at once.

use std::ffi::OsString;
use std::path::Path;

use conclave_service::config::load_from;

use super::*;

const SAMPLE: &str = include_str!("../../../deploy/config/teacher.toml");

fn load(text: &str) -> Result<Settings, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("teacher.toml");
    std::fs::write(&path, text).unwrap();
    let nothing = std::iter::empty::<(OsString, OsString)>();
    let loaded =
        load_from::<TeacherNodeConfig>(Some(&path), "CONCLAVE_TEACHER", nothing, toml::Table::new())?;
    let (organisation, node) = (OrganisationId::new("clinic").unwrap(), NodeId::new("ward-1").unwrap());
    TeacherNodeConfig::check(&loaded, organisation, node)
}

#[test]
fn the_sample_is_what_a_node_can_run_on() {
    let settings = load(SAMPLE).unwrap();
    assert_eq!(settings.teachers, 25);
    assert_eq!(settings.data, Some(DataId::new("ward-2026").unwrap()));
    assert_eq!(settings.unit, PrivacyUnit::Subject { max_silos_per_subject: 1 });
    assert_eq!(settings.limits.noise_min.steps(), 10 << 20);
    assert_eq!(settings.state_dir, Path::new("state"));
    assert!(!settings.simulated);
}

#[test]
fn the_trial_cluster_can_be_run_on_too() {
    let settings = load(include_str!("../../../deploy/compose/teacher.toml")).unwrap();
    assert_eq!(settings.teachers, 20);
    let settings = load(include_str!("../../../deploy/compose/teacher-dial-out.toml")).unwrap();
    assert_eq!(settings.teachers, 20);
}

#[test]
fn the_declaration_in_the_sample_is_well_formed() {
    let declared = SAMPLE.replace("# changed = {", "changed = {");
    let changed = load(&declared).unwrap().changed.unwrap();
    assert_eq!((changed.predecessor.as_str(), changed.people), ("ward-2025", People::Same));
    let unclear = declared.replace("people = \"same\"", "people = \"maybe\"");
    assert!(load(&unclear).unwrap_err().to_string().contains("maybe"));
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    let refusal = load(&SAMPLE.replace("queries_max = 1000", "query_max = 1000")).unwrap_err().to_string();
    assert!(refusal.contains("query_max") && refusal.contains("queries_max"), "{refusal}");
}

#[test]
fn every_fault_is_told_with_its_key_value_and_line() {
    let refusal = load(
        &SAMPLE
            .replace("epsilon_max = 3.0", "epsilon_max = nan")
            .replace("delta_max = 1e-5", "delta_max = 1.0")
            .replace("noise_min_votes = 10.0", "noise_min_votes = -1.0")
            .replace("id = \"ward-2026\"", "id = \"Ward 2026\"")
            .replace("teachers = 25", "teachers = 0")
            .replace("# listen = \"127.0.0.1:9464\"", "listen = \"0.0.0.0:9464\""),
    )
    .unwrap_err()
    .to_string();
    for (key, value) in [
        ("limits.epsilon_max", "NaN"),
        ("limits.delta_max", "1"),
        ("limits.noise_min_votes", "-1"),
        ("data.id", "Ward 2026"),
        ("teachers", "= 0"),
        ("admin.listen", "0.0.0.0:9464"),
    ] {
        let told = refusal
            .lines()
            .any(|line| line.contains(key) && line.contains(value) && line.contains("teacher.toml:"));
        assert!(told, "{key}: {refusal}");
    }
}

#[test]
fn figures_that_no_node_can_run_on_are_refused() {
    for (written, instead, key) in [
        ("teachers = 25", "teachers = 0", "teachers"),
        ("queries_max = 1000", "queries_max = 0", "limits.queries_max"),
        ("batch_queries_max = 1024", "batch_queries_max = 100000", "limits.batch_queries_max"),
        (
            "{ subject = { max_silos_per_subject = 1 } }",
            "{ organisation = { teachers_max = 24 } }",
            "teachers",
        ),
    ] {
        let refusal = load(&SAMPLE.replace(written, instead)).unwrap_err().to_string();
        assert!(refusal.contains(key), "{key}: {refusal}");
    }
}

#[test]
fn who_dials_whom_is_said_once_and_completely() {
    let listen = "listen = \"0.0.0.0:7401\"";
    let mode = "mode = \"dial-out\"";
    let aggregator =
        r#"aggregator = { address = "hub:7404", identity = "conclave://demo/aggregator/hub/aggregator" }"#;
    let with = |lines: &[&str]| load(&SAMPLE.replace(listen, &lines.join("\n")));
    with(&[mode, aggregator]).unwrap();
    with(&["mode = \"listen\"", listen]).unwrap();
    for (lines, told) in [
        (vec![], "listen = absent"),
        (vec![mode], "aggregator = absent"),
        (vec![mode, listen, aggregator], "listen = 0.0.0.0:7401"),
        (vec![listen, aggregator], "aggregator.address = hub:7404"),
        (vec![mode, &aggregator.replace("/aggregator/", "/student/")], "aggregator.identity"),
        (vec![mode, &aggregator.replace("identity", "identities")], "identities"),
        (vec!["mode = \"dial-in\"", listen], "dial-in"),
    ] {
        let refusal = with(&lines).unwrap_err().to_string();
        assert!(refusal.contains(told), "{told}: {refusal}");
    }
    let nameless = SAMPLE.replace(listen, &[mode, aggregator].join("\n")).replace("kit = \"kit\"", "");
    assert!(load(&nameless).unwrap_err().to_string().contains("kit = absent"));
}

#[test]
fn classes_are_never_learned_from_private_rows() {
    let undeclared = SAMPLE.replacen("classes = [\"healthy\", \"ill\"]", "", 1);
    let refusal = load(&undeclared).unwrap_err().to_string();
    assert!(refusal.contains("data.source.classes"), "{refusal}");
}
