//! The command line as people and scripts meet it: the built binary, its words, its JSON, its exit statuses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

mod attack;
mod binary;
mod budget;
#[cfg(unix)]
mod consortium;
mod ledger;
#[cfg(unix)]
mod operations_page;
#[cfg(unix)]
mod preflight;
#[cfg(unix)]
mod refused;
#[cfg(unix)]
mod student;

use binary::{Scratch, conclave, json, stderr, stdout};

// ---- Help ----

#[test]
fn help_texts_are_as_pinned() {
    let pinned: [(&str, &[&str]); 31] = [
        ("conclave", &[]),
        ("simulate", &["simulate"]),
        ("budget", &["budget"]),
        ("budget-account", &["budget", "account"]),
        ("budget-plan", &["budget", "plan"]),
        ("ledger", &["ledger"]),
        ("ledger-show", &["ledger", "show"]),
        ("ledger-verify", &["ledger", "verify"]),
        ("ledger-export", &["ledger", "export"]),
        ("ledger-certificate", &["ledger", "certificate"]),
        ("data", &["data"]),
        ("data-manifest", &["data", "manifest"]),
        ("data-partition", &["data", "partition"]),
        ("aggregator", &["aggregator"]),
        ("student", &["student"]),
        ("student-predict", &["student", "predict"]),
        ("preflight", &["preflight"]),
        ("campaign", &["campaign"]),
        ("campaign-create", &["campaign", "create"]),
        ("campaign-start", &["campaign", "start"]),
        ("campaign-status", &["campaign", "status"]),
        ("campaign-labels", &["campaign", "labels"]),
        ("campaign-stop", &["campaign", "stop"]),
        ("status", &["status"]),
        ("provision", &["provision"]),
        ("attack", &["attack"]),
        ("attack-evasion", &["attack", "evasion"]),
        ("attack-extraction", &["attack", "extraction"]),
        ("attack-repeats", &["attack", "repeats"]),
        ("attack-report", &["attack", "report"]),
        ("completions", &["completions"]),
    ];
    let mut differing = Vec::new();
    for (name, path) in pinned {
        let output = conclave(&[path, &["--help"]].concat());
        assert_eq!(output.status.code(), Some(0), "{name}");
        let text = stdout(&output);
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/{name}.txt"));
        if PINNING {
            fs::write(&file, &text).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        if text != expected {
            differing.push(format!("---- {}\n{}", file.display(), difference(&expected, &text)));
        }
    }
    assert!(
        differing.is_empty(),
        "help has changed. If that is meant, set PINNING to true in {}, run once, set it back, and commit the files.\n{}",
        file!(),
        differing.join("\n")
    );
}

/// See the message above.
const PINNING: bool = false;

#[test]
fn what_is_not_built_is_not_in_the_help() {
    let help = stdout(&conclave(&["data", "--help"]));
    assert!(!help.lines().any(|line| line.trim_start().starts_with("fetch ")), "{help}");
}

#[test]
fn help_asked_for_is_a_result_and_help_by_default_is_bad_usage() {
    assert_eq!(conclave(&["help"]).status.code(), Some(0));
    assert_eq!(conclave(&["--version"]).status.code(), Some(0));
    let bare = conclave(&[]);
    assert_eq!(bare.status.code(), Some(2));
    assert!(stdout(&bare).is_empty() && stderr(&bare).contains("simulate"), "{}", stderr(&bare));
}

// ---- Bad usage ----

#[test]
fn an_unknown_command_is_refused_with_those_that_exist() {
    let output = conclave(&["defend", "all"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).is_empty());
    let words = stderr(&output);
    assert_eq!(words.lines().count(), 1, "{words}");
    for named in ["defend", "simulate", "ledger", "provision", "completions"] {
        assert!(words.contains(named), "{named}: {words}");
    }
    let nested = stderr(&conclave(&["ledger", "repair", "x"]));
    assert!(nested.contains("show, verify, export, certificate"), "{nested}");
}

#[test]
fn an_unknown_flag_is_refused_with_the_nearest_or_all_that_exist() {
    let near = conclave(&["simulate", "--epsilom", "3"]);
    assert_eq!(near.status.code(), Some(2));
    assert!(stderr(&near).contains("--epsilon"), "{}", stderr(&near));
    let far = conclave(&["simulate", "--zzzz"]);
    assert!(stderr(&far).contains("--teachers"), "{}", stderr(&far));
}

#[test]
fn a_value_that_does_not_exist_is_refused_with_those_that_do() {
    for (flag, value, exists) in [
        ("--mechanism", "interactive-gnmax", "lnmax, gnmax, confident-gnmax"),
        ("--scheme", "neighbours", "ensemble"),
        ("--partition", "alphabetical", "iid, dirichlet:ALPHA, by:COLUMN"),
        ("--dataset", "cifar", "optdigits, mnist"),
    ] {
        let output = conclave(&["simulate", flag, value]);
        assert_eq!(output.status.code(), Some(2), "{flag}");
        let words = stderr(&output);
        for part in [flag, value, exists] {
            assert!(words.contains(part), "{part}: {words}");
        }
    }
}

#[test]
fn figures_out_of_range_are_refused_with_flag_value_and_fix() {
    for (flag, value) in [
        ("--epsilon", "0"),
        ("--epsilon", "-1"),
        ("--epsilon", "NaN"),
        ("--epsilon", "inf"),
        ("--delta", "0"),
        ("--delta", "1"),
        ("--scale", "0"),
        ("--sigma", "-3"),
        ("--sigma", "NaN"),
        ("--sigma1", "inf"),
        ("--threshold", "-0.5"),
        ("--teachers", "0"),
        ("--organisations", "-2"),
        ("--queries", "1.5"),
    ] {
        let output = conclave(&["--format", "json", "simulate", &format!("{flag}={value}")]);
        assert_eq!(output.status.code(), Some(2), "{flag} {value}");
        let error = &json(&output)["error"];
        assert_eq!((error["field"].as_str(), error["value"].as_str()), (Some(flag), Some(value)), "{error}");
        assert!(error["fix"].as_str().unwrap().starts_with("give "), "{error}");
    }
}

#[test]
fn every_failure_has_the_same_shape_in_json_and_says_nothing_else() {
    let cases: [(&[&str], &str, i32); 8] = [
        (&["bugdet"], "unknown-command", 2),
        (&[], "missing-command", 2),
        (&["ledger"], "missing-command", 2),
        (&["simulate", "--zzzz"], "unknown-flag", 2),
        (&["simulate", "--mechanism", "best"], "invalid-value", 2),
        (&["simulate", "--epsilon"], "missing-value", 2),
        (&["ledger", "verify"], "missing-argument", 2),
        (&["ledger", "verify", "no-such-file"], "missing-ledger", 2),
    ];
    for (args, code, status) in cases {
        for format in [&["--format", "json"][..], &["--format=json"]] {
            let output = conclave(&[format, args].concat());
            assert_eq!(output.status.code(), Some(status), "{args:?}");
            assert!(stderr(&output).is_empty(), "{args:?}: {}", stderr(&output));
            let error = &json(&output)["error"];
            assert_eq!(error["code"], code, "{args:?}: {error}");
            for key in ["field", "value", "fix"] {
                assert!(error[key].is_string(), "{args:?}: {key} of {error}");
            }
            assert!(!error["fix"].as_str().unwrap().is_empty(), "{args:?}: {error}");
        }
    }
}

#[test]
fn in_text_a_failure_is_told_once_on_stderr_alone() {
    let output = conclave(&["ledger", "verify", "no-such-file"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).is_empty());
    assert_eq!(stderr(&output).matches("no-such-file").count(), 1, "{}", stderr(&output));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_conclave"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(0));
}

// ---- Data ----

#[test]
fn built_in_data_are_listed_with_licence_and_source_and_described() {
    let listed = json(&conclave(&["--format", "json", "data", "list"]));
    assert_eq!(listed["datasets"][0]["name"], "optdigits");
    assert!(listed["datasets"][0]["licence"].as_str().unwrap().contains("CC BY"));
    assert_eq!(listed["datasets"][0]["here"]["state"], "built-in");
    let described = json(&conclave(&["--format", "json", "data", "describe", "optdigits"]));
    assert_eq!(described["rows"], 3823);
    assert_eq!(described["files"], listed["datasets"][0]["files"]);
    assert_eq!(described["shape"], serde_json::json!([8, 8]));
    assert_eq!(described["classes"].as_array().unwrap().len(), 10);
    let words = stdout(&conclave(&["data", "describe", "optdigits"]));
    assert!(words.contains("3823") && words.contains("8×8 (64 features)"), "{words}");
}

#[test]
fn data_that_are_not_here_are_listed_with_what_would_bring_them() {
    let scratch = Scratch::new();
    let list = |folder: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_conclave"));
        let listed =
            command.args(["--format", "json", "data", "list"]).env("CONCLAVE_DATA_DIR", folder).output();
        json(&listed.unwrap())["datasets"][1].clone()
    };
    let absent = list("");
    assert_eq!((&absent["name"], &absent["shape"]), (&"mnist".into(), &serde_json::json!([28, 28])));
    assert!(absent["licence"].as_str().unwrap().contains("CC BY-SA"));
    assert_eq!(absent["files"].as_array().unwrap().len(), 4);
    assert_eq!(absent["here"]["state"], "absent");
    assert!(absent["here"]["fix"].as_str().unwrap().contains("CONCLAVE_DATA_DIR"), "{absent}");
    fs::create_dir_all(scratch.path("data/mnist")).unwrap();
    for file in absent["files"].as_array().unwrap() {
        assert_eq!(list(&scratch.path("data"))["here"]["state"], "absent");
        scratch.file(&format!("data/mnist/{}.gz", file["name"].as_str().unwrap()), b"");
    }
    assert_eq!(list(&scratch.path("data"))["here"]["state"], "present");
}

#[test]
fn a_manifest_names_every_example_of_the_pool_and_is_never_overwritten() {
    let scratch = Scratch::new();
    let (trial, out) = (scratch.path("trial"), scratch.path("pool.manifest"));
    conclave(&["data", "partition", "optdigits", "--organisations", "2", "--out", &trial]);
    let pool = format!("{trial}/pool/optdigits.csv");
    let args = ["--format", "json", "data", "manifest", &pool, "--out", &out];
    let written = json(&conclave(&args));
    let text = fs::read_to_string(&out).unwrap();
    let queries = text.lines().filter(|line| line.starts_with("query ")).count();
    assert_eq!(written["queries"], queries);
    // Equal examples are one query.
    assert!((890..=900).contains(&queries), "{queries}");
    assert_eq!(text.lines().filter(|line| line.starts_with("class ")).count(), 10);
    let again = conclave(&args);
    assert_eq!(again.status.code(), Some(2));
    assert_eq!(fs::read_to_string(&out).unwrap(), text);
}

#[test]
fn dealt_rows_can_be_read_back_and_each_is_dealt_once() {
    let scratch = Scratch::new();
    let out = scratch.path("trial");
    let args = ["--format", "json", "data", "partition", "optdigits", "--organisations", "3", "--out", &out];
    let dealt = json(&conclave(&args));
    let parts = dealt["parts"].as_array().unwrap();
    let rows = |part: &Value| part["rows"].as_u64().unwrap();
    assert_eq!(parts.iter().map(rows).sum::<u64>(), 3823 + 1797);
    for part in parts {
        let described =
            json(&conclave(&["--format", "json", "data", "describe", part["path"].as_str().unwrap()]));
        assert_eq!(described["rows"], part["rows"]);
        assert_eq!(
            (described["name"].as_str(), described["features"].as_u64()),
            (Some("optdigits"), Some(64))
        );
    }
    assert_eq!(conclave(&args).status.code(), Some(2), "a second run overwrites nothing");
}

#[test]
fn unusable_tables_are_refused_with_the_place() {
    let scratch = Scratch::new();
    for (name, text, place) in [
        ("ragged.csv", "a,b,label\n1,2,x\n1,y\n", "line 3"),
        ("words.csv", "a,b,label\n1,2,x\n1,two,y\n", "two"),
        ("empty.csv", "", "empty.csv"),
    ] {
        let file = scratch.file(name, text.as_bytes());
        let output = conclave(&["data", "describe", &file]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(stderr(&output).contains(place), "{name}: {}", stderr(&output));
    }
}

// ---- Provision, roles, completions ----

#[test]
fn provision_makes_an_authority_and_a_kit_per_party_with_keys_for_their_owner_only() {
    let scratch = Scratch::new();
    let out = scratch.path("consortium");
    let args = ["--format", "json", "provision", "--consortium", "north", "--out", &out, "--silos", "2"];
    let made = json(&conclave(&args));
    assert_eq!(made["kits"].as_array().unwrap().len(), 6);
    assert_eq!(made["fingerprint"].as_str().unwrap().split(' ').count(), 16);
    for kit in made["kits"].as_array().unwrap() {
        let directory = PathBuf::from(kit["directory"].as_str().unwrap());
        for name in ["ca.pem", "cert.pem", "key.pem"] {
            assert!(directory.join(name).is_file(), "{}", directory.display());
        }
        assert_owner_only(&directory.join("key.pem"));
        assert!(!directory.join("ca-key.pem").exists(), "the authority's key goes to nobody");
    }
    let authority = Path::new(&out).join("authority");
    assert_owner_only(&authority.join("ca-key.pem"));

    assert_eq!(conclave(&args).status.code(), Some(2), "a directory in use is refused");
    let authority = authority.display().to_string();
    let added = json(&conclave(&[
        "--format",
        "json",
        "provision",
        "--authority",
        &authority,
        "--out",
        &out,
        "--party",
        "teacher/south/node",
    ]));
    assert_eq!(added["fingerprint"], made["fingerprint"]);
    assert_eq!(added["kits"][0]["identity"], "conclave://north/teacher/south/node");
    let foreign = [
        "provision",
        "--authority",
        &authority,
        "--consortium",
        "south",
        "--out",
        &out,
        "--party",
        "teacher/a/b",
    ];
    assert_eq!(conclave(&foreign).status.code(), Some(2));
}

#[test]
fn malformed_parties_are_refused_and_nothing_is_written() {
    let scratch = Scratch::new();
    let out = scratch.path("consortium");
    for (party, says) in [
        ("teacher/north", "ROLE/ORGANISATION/NAME"),
        ("doctor/north/node", "teacher"),
        ("teacher/North/node", "a-z"),
    ] {
        let output = conclave(&["provision", "--consortium", "c", "--out", &out, "--party", party]);
        assert_eq!(output.status.code(), Some(2), "{party}");
        assert!(stderr(&output).contains(says), "{party}: {}", stderr(&output));
        assert!(!Path::new(&out).exists());
    }
    let twice = ["--party", "teacher/a/b", "--party", "teacher/a/b"];
    let output = conclave(&[&["provision", "--consortium", "c", "--out", &out][..], &twice].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(!Path::new(&out).exists());
}

#[test]
fn a_role_without_its_settings_is_bad_input_and_a_student_that_is_not_there_a_missing_peer() {
    let scratch = Scratch::new();
    for role in ["teacher", "aggregator", "student"] {
        let missing = conclave(&["--format", "json", role, "run", "--config", &scratch.path("missing.toml")]);
        assert_eq!(missing.status.code(), Some(2), "{role}");
        let unknown = scratch.file("unknown.toml", b"lissten = \"127.0.0.1:0\"\n");
        let refused = conclave(&["--format", "json", role, "run", "--config", &unknown]);
        assert_eq!(refused.status.code(), Some(2), "{role}");
        assert!(
            json(&refused)["error"]["message"].as_str().unwrap().contains("lissten"),
            "{}",
            stdout(&refused)
        );
    }
    let rows = scratch.file("rows.csv", b"1,2\n3,4\n");
    // Port 1 of this machine: nobody listens there.
    let args = [
        "--format",
        "json",
        "student",
        "predict",
        "--server",
        "127.0.0.1:1",
        "--plaintext",
        "--input",
        &rows,
    ];
    let alone = conclave(&args);
    assert_eq!(alone.status.code(), Some(5), "{}", stdout(&alone));
    assert_eq!(json(&alone)["error"]["code"], "peer-missing");
}

#[test]
fn an_attack_on_nothing_is_refused_before_anything_runs() {
    let scratch = Scratch::new();
    let page = scratch.path("page.html");
    fs::write(&page, "mine").unwrap();
    for (args, told) in [
        (&["attack", "report", "--report", &page][..], "overwritten"),
        (&["attack", "extraction", "--server", "127.0.0.1:1"], "--kit"),
        (&["attack", "extraction", "--server", "127.0.0.1:1", "--kit", "nowhere"], "nowhere"),
        (&["attack", "poisoning", "nowhere.toml"], "nowhere.toml"),
        (&["attack", "poisoning", "--server", "127.0.0.1:1"], "--server"),
    ] {
        let output = conclave(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(told), "{args:?}: {}", stderr(&output));
    }
    assert_eq!(fs::read_to_string(&page).unwrap(), "mine");
}

#[test]
fn completions_know_the_commands_in_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&conclave(&["completions", shell]));
        for word in ["simulate", "certificate", "mechanism"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(conclave(&["completions", "cmd"]).status.code(), Some(2));
}

// ---- Comparing ----

/// Lines that only one of two texts has.
fn difference(expected: &str, found: &str) -> String {
    let only = |mark: char, text: &str, other: &str| {
        let others: Vec<&str> = other.lines().collect();
        let lines = text.lines().filter(|line| !others.contains(line)).map(|line| format!("{mark} {line}\n"));
        lines.collect::<String>()
    };
    only('-', expected, found) + &only('+', found, expected)
}

#[cfg(unix)]
fn assert_owner_only(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).expect("it was just made").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "{}", path.display());
}

#[cfg(not(unix))]
fn assert_owner_only(path: &Path) {
    assert!(path.is_file());
}
