//! `conclave ledger` over a real book, a damaged one, and files that are none.

use std::fs;
use std::path::Path;

use conclave_ledger::{
    AccountTerms, Book, CampaignKey, CampaignTerms, DataKey, Digest, Genesis, LedgerId, Predecessor, QueryKey,
};
use conclave_privacy::counts::ClassIndex;
use conclave_privacy::mechanism::{GnMax, Outcome};
use conclave_privacy::quantity::{Delta, Epsilon, FilterOrder, Lattice, NoiseScale};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, VotingScheme};
use serde_json::Value;

use crate::binary::{Scratch, conclave, json, stderr, stdout};

#[test]
fn a_sound_ledger_is_valid_and_its_figures_stand_in_the_json() {
    let scratch = Scratch::new();
    let ledger = a_small_book(&scratch);
    let output = conclave(&["--format", "json", "ledger", "verify", &ledger]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let found = json(&output);
    assert_eq!(found["valid"], true);
    assert_eq!(found["entries"], 7, "genesis, start, account, campaign, reserve, draw, release");
    assert_eq!((found["epsilon"].as_f64(), found["delta"].as_f64()), (Some(3.0), Some(1e-5)));
    assert_eq!(found["unit"], "record");
    assert_eq!(found["head"].as_str().map(str::len), Some(64));
    assert!(found.get("error").is_none());
    // The figures of a certificate, worked out from the ledger's public parts.
    let certificate = json(&conclave(&["--format", "json", "ledger", "certificate", &ledger]));
    let (verified, certified) = (&found["campaigns"][0], &certificate["campaigns"][0]);
    assert!(certified["figures"].as_array().unwrap().len() > 3);
    for field in ["campaign", "answers_that_fit", "figures"] {
        assert_eq!(verified[field], certified[field], "{field}");
    }

    let words = stdout(&conclave(&["ledger", "verify", &ledger]));
    assert!(words.starts_with("VALID") && words.contains("SIMULATED"), "{words}");
    assert!(words.contains("ε = 3 (unit record, adjacency add-remove, δ = 1e-5)"), "{words}");
    assert!(words.contains("worked out again") && words.contains("by exact-worst-case"), "{words}");
}

#[test]
fn a_changed_entry_is_named_with_exit_4() {
    let scratch = Scratch::new();
    let ledger = a_small_book(&scratch);
    let mut bytes = fs::read(&ledger).unwrap();
    // The campaign's contract, in entry 4: its text stands in the file as it is.
    let at = bytes.windows(CONTRACT.len()).position(|window| window == CONTRACT).unwrap();
    bytes[at] ^= 1;
    fs::write(&ledger, bytes).unwrap();
    let output = conclave(&["--format", "json", "ledger", "verify", &ledger]);
    assert_eq!(output.status.code(), Some(4));
    let found = json(&output);
    assert_eq!((&found["valid"], &found["first_bad"]["entry"]), (&Value::from(false), &Value::from(4)));
    assert_eq!(found["error"]["code"], "corrupt-ledger");
    assert_eq!(found["error"]["field"], "entry 4");
    let text = conclave(&["ledger", "verify", &ledger]);
    assert_eq!(text.status.code(), Some(4));
    assert!(stdout(&text).starts_with("NOT VALID") && stderr(&text).contains("entry 4"), "{}", stderr(&text));
    for action in ["show", "export", "certificate"] {
        let refused = conclave(&["ledger", action, &ledger]);
        assert_eq!(refused.status.code(), Some(4), "{action}");
        assert!(stderr(&refused).contains("entry 4"), "{action}: {}", stderr(&refused));
    }
}

#[test]
fn a_certificate_speaks_plainly_and_an_export_has_a_line_per_entry() {
    let scratch = Scratch::new();
    let ledger = a_small_book(&scratch);
    let words = stdout(&conclave(&["ledger", "certificate", &ledger]));
    for said in ["Who is protected", "Against whom", "Guarantee", "ex post", "PROTECTS NOBODY"] {
        assert!(words.contains(said), "{said}: {words}");
    }
    let lines = stdout(&conclave(&["ledger", "export", &ledger]));
    let kinds: Vec<String> =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["kind"].to_string()).collect();
    assert_eq!(kinds.len(), 7, "{kinds:?}");
    let out = scratch.path("ledger.jsonl");
    let written = json(&conclave(&["--format", "json", "ledger", "export", &ledger, "--out", &out]));
    assert_eq!(written["entries"], 7);
    assert_eq!(fs::read_to_string(out).unwrap(), lines);
}

#[test]
fn show_tells_accounts_campaigns_and_the_latest_entries() {
    let scratch = Scratch::new();
    let ledger = a_small_book(&scratch);
    let words = stdout(&conclave(&["ledger", "show", &ledger, "--last", "2"]));
    for said in ["north/1", "digits", "gnmax", "record", "add-remove", "1e-5", "release"] {
        assert!(words.contains(said), "{said}: {words}");
    }
    assert!(!words.contains("genesis"), "{words}");
    let shown = json(&conclave(&["--format", "json", "ledger", "show", &ledger, "--last", "2"]));
    let latest: Vec<&str> =
        shown["latest"].as_array().unwrap().iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(latest, ["draw", "release"]);
    assert_eq!(shown["campaigns"][0]["labels"], 1);
    assert_eq!(shown["campaigns"][0]["abstained"], 0);
}

#[test]
fn looking_at_a_ledger_changes_nothing_beside_it() {
    let scratch = Scratch::new();
    let ledger = a_small_book(&scratch);
    let before = fs::read(&ledger).unwrap();
    for action in ["show", "verify", "export", "certificate"] {
        assert_eq!(conclave(&["ledger", action, &ledger]).status.code(), Some(0), "{action}");
    }
    assert_eq!(fs::read(&ledger).unwrap(), before);
    assert_eq!(fs::read_dir(scratch.path("")).unwrap().count(), 1);
}

#[test]
fn a_file_that_is_no_ledger_is_refused_by_every_action() {
    let scratch = Scratch::new();
    let file = scratch.file("notes.txt", b"Dear diary, this is not a budget book.\n");
    for action in ["show", "verify", "export", "certificate"] {
        let output = conclave(&["--format", "json", "ledger", action, &file]);
        assert_eq!(output.status.code(), Some(2), "{action}");
        assert_eq!(json(&output)["error"]["code"], "not-a-ledger", "{action}");
        assert!(json(&output)["error"]["value"].as_str().unwrap().contains("notes.txt"), "{action}");
        let missing = conclave(&["ledger", action, &scratch.path("missing")]);
        assert_eq!(missing.status.code(), Some(2), "{action}");
    }
    let names: Vec<_> =
        fs::read_dir(scratch.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["notes.txt"], "nothing is written beside a file that is looked at");
}

#[test]
fn a_failed_export_leaves_no_file_and_overwrites_none() {
    let scratch = Scratch::new();
    let (file, out) = (scratch.file("notes.txt", b"no ledger"), scratch.path("out.jsonl"));
    assert_eq!(conclave(&["ledger", "export", &file, "--out", &out]).status.code(), Some(2));
    assert!(!Path::new(&out).exists());
    let kept = scratch.file("kept.jsonl", b"precious");
    assert_eq!(conclave(&["ledger", "export", &file, "--out", &kept]).status.code(), Some(2));
    assert_eq!(fs::read(&kept).unwrap(), b"precious");
}

const CONTRACT: &[u8] = b"what every silo agreed to";

/// One silo, one campaign, one answered query.
fn a_small_book(scratch: &Scratch) -> String {
    let path = scratch.path("ledger.sqlite");
    let genesis = Genesis { ledger_id: LedgerId::new([7; 16]), simulated: true };
    let mut book = Book::create(Path::new(&path), genesis, NOON_MS).expect("a new ledger");
    let (data, key) =
        (DataKey::new("north/1").expect("in range"), CampaignKey::new("digits").expect("in range"));
    let (epsilon, delta) = (Epsilon::new(3.0).expect("in range"), Delta::new(1e-5).expect("in range"));
    let account = AccountTerms {
        data: data.clone(),
        organisation: "north".to_owned(),
        partition: Digest::new([1; 32]),
        epsilon,
        delta,
        filter_order: FilterOrder::DEFAULT,
        unit: PrivacyUnit::Record,
        adjacency: Adjacency::AddRemove,
        max_silos_per_subject: 1,
        predecessor: Predecessor::None,
    };
    let sigma = NoiseScale::from_votes(40.0, Lattice::DEFAULT).expect("in range");
    let campaign = CampaignTerms {
        key: key.clone(),
        contract_digest: Digest::new([2; 32]),
        contract: CONTRACT.to_vec(),
        mechanism: GnMax::new(sigma).into(),
        unit: PrivacyUnit::Record,
        adjacency: Adjacency::AddRemove,
        scheme: VotingScheme::Ensemble,
        epsilon,
        delta,
        filter_order: FilterOrder::DEFAULT,
        queries_max: 100,
        classes: vec!["no".to_owned(), "yes".to_owned()],
        members: vec![data.clone()],
        simulated: true,
    };
    let query = QueryKey::new([9; 32]);
    let opened = book.transact(NOON_MS, |transaction| {
        transaction.open_account(account)?;
        transaction.open_campaign(campaign)
    });
    opened.expect("durable").expect("allowed");
    let reservation = book
        .transact(NOON_MS, |transaction| transaction.reserve(&key, &[query]))
        .expect("durable")
        .expect("allowed");
    let drawn =
        book.transact(NOON_MS, |transaction| transaction.draw(reservation, Digest::new([3; 32]), &[data]));
    let permit = drawn.expect("durable").expect("allowed");
    let answers = vec![(query, Outcome::Label(ClassIndex(1)))];
    book.transact(NOON_MS, |transaction| transaction.release(permit, answers))
        .expect("durable")
        .expect("allowed");
    book.close().expect("closed");
    path
}

const NOON_MS: u64 = 1_700_000_000_000;
