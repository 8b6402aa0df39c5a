//! The sample parses, and everything wrong is told at once.

use std::ffi::OsString;

use conclave_proto::ids::{FeaturesDigest, QueryId};
use conclave_service::config::load_from;

use super::*;

const SAMPLE: &str = include_str!("../../../deploy/config/aggregator.toml");

/// With the campaign that most of the settings below have.
fn load(text: &str) -> Result<Settings, ConfigError> {
    let settings = load_any(text)?;
    let campaign = settings.campaign.clone().unwrap();
    Ok(settings.with(campaign))
}

fn load_any(text: &str) -> Result<Settings<Option<CampaignSettings>>, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("aggregator.toml");
    std::fs::write(&path, text).unwrap();
    let nothing = std::iter::empty::<(OsString, OsString)>();
    let loaded = load_from::<AggregatorConfig>(Some(&path), ENV_PREFIX, nothing, toml::Table::new())?;
    let classes = vec!["no".to_owned(), "yes".to_owned()];
    let pool = PoolManifest::new(classes, FeaturesDigest::new([0; 32]), [QueryId::new([1; 32])]).unwrap();
    AggregatorConfig::check(&loaded, pool)
}

#[test]
fn the_sample_is_what_an_aggregator_can_run_on() {
    let settings = load(SAMPLE).unwrap();
    assert_eq!(settings.nodes.len(), 3);
    let dials_in: Vec<bool> = settings.nodes.iter().map(|node| node.address.is_none()).collect();
    assert_eq!(dials_in, [false, false, true]);
    assert!(settings.nodes_listen.is_some());
    assert_eq!(settings.campaign.mechanism.name(), "gnmax");
    assert_eq!(settings.flow, Flow::default());
    assert_eq!(settings.accounts.max_silos_per_subject, 1);
}

#[test]
fn the_trial_cluster_can_be_run_on_too() {
    let settings = load(include_str!("../../../deploy/compose/aggregator.toml")).unwrap();
    assert_eq!((settings.nodes.len(), settings.campaign.teachers_quorum_min), (5, 80));
    let dials_in: Vec<bool> = settings.nodes.iter().map(|node| node.address.is_none()).collect();
    assert_eq!(dials_in, [false, false, false, true, true]);
}

#[test]
fn every_mechanism_of_the_comment_can_be_written() {
    for (mechanism, name) in [
        (r#"{ kind = "lnmax", scale = 20.0 }"#, "lnmax"),
        (r#"{ kind = "confident-gnmax", threshold = 60.0, sigma1 = 30.0, sigma = 20.0 }"#, "confident-gnmax"),
    ] {
        let settings = load(&SAMPLE.replace(r#"{ kind = "gnmax", sigma = 40.0 }"#, mechanism)).unwrap();
        assert_eq!(settings.campaign.mechanism.name(), name);
    }
}

#[test]
fn an_unknown_key_is_refused_by_name_wherever_it_stands() {
    for (known, unknown) in [
        ("queries_max = 1000", "query_max = 1000"),
        ("ledger = ", "ledgers = "),
        ("sigma = 40.0", "sigmas = 40.0"),
        ("node = \"teacher-1\"", "nodes = \"teacher-1\""),
    ] {
        let refusal = load(&SAMPLE.replace(known, unknown)).unwrap_err().to_string();
        let key = unknown.split(' ').next().unwrap();
        assert!(refusal.contains(key), "{unknown}: {refusal}");
    }
}

#[test]
fn every_fault_is_told_with_its_key_and_value() {
    let bad = SAMPLE
        .replace("id = \"digits-1\"", "id = \"Digits 1\"")
        .replace("sigma = 40.0", "sigma = -1.0")
        .replace("epsilon = 2.0", "epsilon = nan")
        .replace("delta = 1e-5", "delta = 1.0")
        .replace("teachers_quorum_min = 80", "teachers_quorum_min = 0")
        .replace("queries_max = 1000", "queries_max = 0")
        .replace("epsilon = 3.0", "epsilon = 0.0")
        .replace("organisation = \"hospital-b\"", "organisation = \"hospital-a\"")
        .replace("# retry_ms = 1000", "retry_ms = 0");
    let refusal = load(&bad).unwrap_err().to_string();
    for told in [
        "campaign.id",
        "Digits 1",
        "campaign.mechanism.sigma",
        "campaign.epsilon",
        "NaN",
        "campaign.delta",
        "campaign.teachers_quorum_min",
        "campaign.queries_max",
        "accounts.epsilon",
        "nodes[1].organisation",
        "flow.retry_ms",
    ] {
        assert!(refusal.contains(told), "{told} is missing in:\n{refusal}");
    }
}

#[test]
fn who_dials_whom_is_said_once_and_completely() {
    let kit = "kit = \"kit\"";
    for (written, instead, told) in [
        ("nodes_listen = \"0.0.0.0:7404\"", "", "nodes_listen = absent"),
        (
            "nodes_listen = \"0.0.0.0:7404\"",
            "nodes_listen = \"0.0.0.0:7402\"",
            "another port than that of listen",
        ),
        ("mode = \"dial-out\"", "mode = \"listen\"", "nodes[2].address = absent"),
        ("mode = \"dial-out\"", "mode = \"listen\"\naddress = \"c:7401\"", "nodes_listen = 0.0.0.0:7404"),
        ("mode = \"dial-out\"", "mode = \"dial-out\"\naddress = \"c:7401\"", "nodes[2].address = c:7401"),
        ("mode = \"dial-out\"", "mode = \"dialout\"", "dialout"),
        (kit, "plaintext_loopback = true", "plaintext_loopback = true"),
    ] {
        let refusal = load(&SAMPLE.replace(written, instead)).unwrap_err().to_string();
        assert!(refusal.contains(told), "{told}: {refusal}");
    }
}

#[test]
fn figures_are_shown_beyond_this_machine_only_when_that_is_allowed() {
    let admin = |lines: &str| load(&SAMPLE.replace("[admin]", &format!("[admin]\n{lines}")));
    let refusal = admin("listen = \"0.0.0.0:9464\"").unwrap_err().to_string();
    assert!(
        refusal.contains("admin.listen = 0.0.0.0:9464") && refusal.contains("beyond_loopback"),
        "{refusal}"
    );
    admin("listen = \"0.0.0.0:9464\"\nbeyond_loopback = true").unwrap();
    admin("listen = \"127.0.0.1:9464\"").unwrap();
    let refusal = admin("listens = \"127.0.0.1:9464\"").unwrap_err().to_string();
    assert!(refusal.contains("admin.listens"), "{refusal}");
}

#[test]
fn a_campaign_above_the_cap_of_its_accounts_is_refused() {
    let refusal = load(&SAMPLE.replace("epsilon = 2.0", "epsilon = 3.5")).unwrap_err().to_string();
    assert!(refusal.contains("campaign.epsilon = 3.5") && refusal.contains("at most 3"), "{refusal}");
}

#[test]
fn a_campaign_may_be_left_out_where_operators_start_them() {
    let (before, rest) = SAMPLE.split_once("[campaign]").unwrap();
    let (_, after) = rest.split_once("[accounts]").unwrap();
    let without = format!("{before}[accounts]{after}");
    let words = load_any(&without).unwrap_err().to_string();
    assert!(words.contains("campaign = absent") && words.contains("name in operators"), "{words}");
    let settings = load_any(&format!("operators = ['hub/operator']\n{without}")).unwrap();
    assert!(settings.campaign.is_none());
    for bad in ["hub", "hub/a/b", "hub/", "Hub/operator"] {
        let words = load_any(&format!("operators = ['{bad}']\n{SAMPLE}")).unwrap_err().to_string();
        assert!(words.contains(&format!("operators[0] = {bad}")), "{words}");
    }
    assert!(load_any(&SAMPLE.replace("[flow]", "[flow]\nqueries_per_minute_max = 0")).is_err());
}

#[test]
fn a_campaign_file_is_the_section_of_the_settings_and_is_checked_alike() {
    let (_, rest) = SAMPLE.split_once("[campaign]").unwrap();
    let (section, _) = rest.split_once("# The budget of every").unwrap();
    let read = |section: &str| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("campaign.toml");
        std::fs::write(&path, format!("[campaign]{section}")).unwrap();
        let nothing = std::iter::empty::<(OsString, OsString)>();
        CampaignFile::check(&load_from(Some(&path), "NONE", nothing, toml::Table::new())?)
    };
    assert_eq!(read(section).unwrap(), load(SAMPLE).unwrap().campaign);
    let words = read(&section.replace("epsilon = 2.0", "epsilon = -2.0")).unwrap_err().to_string();
    assert!(words.contains("campaign.epsilon = -2"), "{words}");
    assert!(read(&format!("{section}\n[accounts]\nepsilon = 3.0")).is_err(), "nothing else may stand there");
}
