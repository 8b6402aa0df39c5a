//! Promise 1: charge before noise, and before release; a crash loses no charge and releases nothing uncharged.
//!
//! The aggregator is killed again and again while it answers. Afterwards the ledger and everything that an outsider ever
//! received are laid side by side. The same comparison is made with two builds that break the promise, and must see it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use conclave_ledger::{Answer, CampaignKey, QueryKey, Snapshot, export, verify};
use conclave_proto::campaign::v1::CampaignState;
use conclave_proto::common::v1::answer::Outcome;
use conclave_service::Role;
use conclave_service::channel::Jitter;
use serde_json::Value;

use crate::cluster::{Aggregator, CAMPAIGN, Campaign, Cluster, Recorder, conclave, pause, query, slow};

/// How a build is made to suffer.
struct Ordeal {
    binary: PathBuf,
    weakness: Option<&'static str>,
    kills: u32,
    /// Longest life after being ready, in milliseconds.
    life_ms_max: u64,
    seed: u64,
}

/// What is left of it.
struct Aftermath {
    received: Vec<(Vec<u8>, Outcome)>,
    ledger: PathBuf,
    _cluster: Cluster,
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_random_instants_lose_no_charge_and_release_nothing_uncharged() {
    let kills = if slow() { 50 } else { 6 };
    let seed = 20_261_124;
    let ordeal = Ordeal { binary: conclave(), weakness: None, kills, life_ms_max: 60, seed };
    let aftermath = suffer(&ordeal).await;
    let violations = violations(&aftermath);
    assert!(violations.is_empty(), "seed {seed}:\n{}", violations.join("\n"));
    assert!(!aftermath.received.is_empty(), "the recorder has heard nothing: the test saw no campaign");
    if slow() {
        let interrupted =
            entries(&aftermath.ledger).iter().filter(|entry| entry["kind"] == "interrupt").count();
        assert!(interrupted > 0, "no kill fell between DRAW and RELEASE: the test did not test");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_that_break_the_promise_are_seen_to_break_it() {
    if !slow() {
        println!(
            "SKIPPED: building the weakened aggregator takes minutes; set CONCLAVE_SLOW_TESTS to run it"
        );
        return;
    }
    let binary = weakened_build();
    for (weakness, seen) in [("answers-before-durable", "was received"), ("redraws", "does not verify")] {
        let ordeal =
            Ordeal { binary: binary.clone(), weakness: Some(weakness), kills: 20, life_ms_max: 120, seed: 7 };
        let violations = violations(&suffer(&ordeal).await);
        assert!(
            violations.iter().any(|violation| violation.contains(seen)),
            "{weakness} went unseen: {violations:?}"
        );
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_halts_the_campaign_in_clear_words_and_releases_nothing_uncharged() {
    let cluster = Cluster::of_silos(2, 1_500).await;
    let flow = "retry_ms = 50\nbatch_queries_max = 3\nbatches_in_flight_max = 2";
    let config = cluster.config(&Campaign { flow, ..Campaign::default() });
    let binary = on_a_small_disk(&cluster);
    let mut aggregator = Aggregator::spawn(&binary, &config, &[], &cluster.path("log"));
    aggregator.ready(&cluster).await;
    let mut service = cluster.caller(Role::Student).await;
    let queries: Vec<_> = (0..1_500).map(query).collect();
    let mut recorder = Recorder::default();
    assert_eq!(recorder.ask(&mut service, &queries).await, CampaignState::Halted, "{}", cluster.log());
    let before = recorder.answers().len();
    assert!((1..1_500).contains(&before), "{before} answers: the disk filled at the wrong time");
    let log = cluster.log();
    for words in
        ["the storage of", "ledger.db failed while", "give the ledger's disk room", "before a restart"]
    {
        assert!(log.contains(words), "{words}: {log}");
    }
    aggregator.interrupt().await;

    // There is room again: the campaign goes on where it was, and no answer is another one now.
    let mut aggregator = Aggregator::spawn(&conclave(), &config, &[], &cluster.path("log"));
    aggregator.ready(&cluster).await;
    let mut service = cluster.caller(Role::Student).await;
    let few: Vec<_> = queries.iter().copied().take(before + 100).collect();
    recorder.ask(&mut service, &few).await;
    assert!(recorder.answers().len() > before);
    aggregator.interrupt().await;
    let (received, ledger) = (recorder.received, cluster.ledger());
    let violations = violations(&Aftermath { received, ledger, _cluster: cluster });
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

/// The binary where no file grows beyond a megabyte: to a program, a disk that is full (`setrlimit(2)`, `RLIMIT_FSIZE`).
#[cfg(target_os = "linux")]
fn on_a_small_disk(cluster: &Cluster) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = cluster.path("conclave-on-a-small-disk");
    // Blocks of 512 bytes. A write beyond fails; the signal that would come with it is not sent.
    let script = format!("#!/bin/sh\ntrap '' XFSZ\nulimit -f 2048\nexec '{}' \"$@\"\n", conclave().display());
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

/// One campaign under kills; afterwards it is let run to its end.
async fn suffer(ordeal: &Ordeal) -> Aftermath {
    const QUERIES: u32 = 1_500;
    let cluster = Cluster::of_silos(2, QUERIES).await;
    let campaign = Campaign {
        flow: "retry_ms = 50\nbatch_queries_max = 3\nbatches_in_flight_max = 2",
        ..Campaign::default()
    };
    let config = cluster.config(&campaign);
    let environment: Vec<_> = ordeal.weakness.map(|name| ("CONCLAVE_WEAKNESS", name)).into_iter().collect();
    let queries: Vec<_> = (0..QUERIES).map(query).collect();
    let mut recorder = Recorder::default();
    let mut jitter = Jitter::seeded(ordeal.seed);
    for _ in 0..ordeal.kills {
        let mut aggregator = Aggregator::spawn(&ordeal.binary, &config, &environment, &cluster.path("log"));
        aggregator.ready(&cluster).await;
        let life = pause(jitter.up_to(ordeal.life_ms_max));
        let mut service = cluster.caller(Role::Student).await;
        let outside = async {
            let _ = recorder.submit(&mut service, &queries).await;
            // Ends when the connection does.
            let _ = recorder.listen(&mut service).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = life => aggregator.kill(),
            () = outside => {}
        }
    }
    // The weakness shows at the kills; what is left is finished by whoever still can.
    let mut aggregator = Aggregator::spawn(&ordeal.binary, &config, &[], &cluster.path("log"));
    aggregator.ready(&cluster).await;
    let mut service = cluster.caller(Role::Student).await;
    let few: Vec<_> = queries.iter().copied().take(300).collect();
    let _ = recorder.submit(&mut service, &few).await;
    let _ = recorder.listen(&mut service).await;
    aggregator.interrupt().await;
    Aftermath { received: recorder.received, ledger: cluster.ledger(), _cluster: cluster }
}

/// Everything by which the promise is seen to be broken.
fn violations(aftermath: &Aftermath) -> Vec<String> {
    let mut found = Vec::new();
    let verification = verify(&aftermath.ledger).unwrap();
    if let Some(fault) = &verification.first_bad {
        found.push(format!("the ledger does not verify: {fault}"));
        return found;
    }
    let ledger = Snapshot::read(&aftermath.ledger).unwrap();
    let campaign = CampaignKey::new(CAMPAIGN).unwrap();
    let mut first = HashMap::new();
    for (query, outcome) in &aftermath.received {
        if *first.entry(query.clone()).or_insert(*outcome) != *outcome {
            found.push("an answer was received in two versions".to_owned());
        }
        let key = QueryKey::new(query.as_slice().try_into().unwrap());
        match ledger.answer(&campaign, &key).map(|released| released.answer()) {
            None => found.push(format!("an answer to {key} was received and is not in the ledger")),
            Some(stored) if wire(stored) != *outcome => {
                found.push(format!("an answer to {key} was received that differs from the stored one"));
            }
            Some(_) => {}
        }
    }
    found.extend(accounting_faults(&ledger, &entries(&aftermath.ledger)));
    found
}

/// The sums of the ledger, worked out from its export alone.
fn accounting_faults(ledger: &Snapshot, entries: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    let campaign = ledger.campaign(&CampaignKey::new(CAMPAIGN).unwrap()).unwrap();
    let price = campaign.price().units();
    let (mut size, mut drawn, mut spent, mut answered) =
        (HashMap::new(), HashSet::new(), 0_u64, HashMap::new());
    for entry in entries {
        let fields = &entry["fields"];
        let number = fields["reservation"].as_u64().unwrap_or_default();
        let queries = size.get(&number).map_or(0, |queries: &Vec<String>| queries.len() as u64);
        match entry["kind"].as_str().unwrap() {
            "reserve" => {
                let names = fields["queries"].as_array().unwrap().iter();
                size.insert(number, names.map(|name| name.as_str().unwrap().to_owned()).collect());
            }
            "draw" if !drawn.insert(number) => found.push(format!("reservation {number} was drawn twice")),
            "release" => {
                if fields["charge_units"].as_u64() != Some(queries * price) {
                    found.push(format!("reservation {number} was released at another price"));
                }
                spent += queries * price;
                for query in &size[&number] {
                    if answered.insert(query.clone(), number).is_some() {
                        found.push(format!("query {query} was released twice"));
                    }
                }
            }
            "interrupt" => spent += queries * price,
            _ => {}
        }
        if matches!(entry["kind"].as_str(), Some("release" | "interrupt")) && !drawn.contains(&number) {
            found.push(format!("reservation {number} ended as if drawn, without a DRAW"));
        }
    }
    for account in ledger.accounts() {
        if account.spent().units() != spent {
            found.push(format!(
                "{}: {} spent, {spent} expected",
                account.terms().data,
                account.spent().units()
            ));
        }
    }
    found
}

fn entries(ledger: &Path) -> Vec<Value> {
    let mut lines = Vec::new();
    export::export(ledger, &mut lines).unwrap();
    String::from_utf8(lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn wire(answer: Answer) -> Outcome {
    match answer {
        Answer::Label(class) => Outcome::Label(class.0),
        Answer::Abstained => Outcome::Abstention(conclave_proto::common::v1::Abstention {}),
        Answer::Interrupted => Outcome::Interrupted(conclave_proto::common::v1::Interrupted {}),
    }
}

/// The door with switchable weaknesses, in a target folder of its own.
pub(crate) fn weakened_build() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("weakened");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--package", "conclave", "--bin", "conclave", "--target-dir"])
        .arg(&target)
        .env("RUSTFLAGS", "--cfg conclave_weakened=\"selectable\"")
        .status()
        .unwrap();
    assert!(status.success(), "the weakened build failed");
    target.join("debug/conclave")
}
