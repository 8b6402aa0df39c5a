//! Precedence, suggestions, origins, masks, and that no text makes it panic.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::{Role, ServerLimits};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Settings {
    listen: String,
    #[serde(default)]
    role: Option<Role>,
    #[serde(default)]
    quorum: Quorum,
    #[serde(default)]
    mechanism: Mechanism,
    #[serde(default)]
    noise: Option<Noise>,
    #[serde(default)]
    peers: Vec<Peer>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    limits: ServerLimits,
    #[serde(default)]
    partition_key: Option<String>,
    #[serde(default)]
    key_file: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Quorum {
    teachers_min: u32,
    share: f64,
    strict: bool,
    names: Vec<String>,
}

impl Default for Quorum {
    fn default() -> Self {
        Self { teachers_min: 5, share: 0.5, strict: true, names: Vec::new() }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Peer {
    address: String,
    port: u16,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mechanism {
    #[default]
    Lnmax,
    ConfidentGnmax {
        sigma: f64,
    },
}

/// A choice that is told by one of its own fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
enum Noise {
    Gaussian { sigma: f64, seed: Option<String>, exact: Option<bool>, places: Option<Vec<u8>> },
}

fn load_all(file: &str, variables: &[(&str, &str)], flags: &str) -> Result<Loaded<Settings>, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.toml");
    std::fs::write(&path, file).unwrap();
    let environment = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    load_from(Some(&path), "CONCLAVE_NODE", environment, flags.parse().unwrap())
}

fn refusal(file: &str, variables: &[(&str, &str)]) -> String {
    load_all(file, variables, "").unwrap_err().to_string()
}

const MINIMAL: &str = "listen = 'a:1'\n";

#[test]
fn flags_win_over_the_environment_and_that_over_the_file_key_by_key() {
    let loaded = load_all(
        "listen = 'file:1'\n[quorum]\nteachers_min = 1\nshare = 0.1\nstrict = false\n",
        &[
            ("CONCLAVE_NODE__QUORUM__TEACHERS_MIN", "2"),
            ("CONCLAVE_NODE__QUORUM__SHARE", "0.2"),
            ("CONCLAVE_NODE__QUORUM__NAMES", "[\"a\", \"b\"]"),
            ("CONCLAVE_OTHER__LISTEN", "other:1"),
            ("CONCLAVE_NODELISTEN", "other:1"),
        ],
        "quorum.teachers_min = 3",
    )
    .unwrap();
    let quorum = &loaded.value.quorum;
    assert_eq!((quorum.teachers_min, quorum.share, quorum.strict), (3, 0.2, false));
    assert_eq!(quorum.names, ["a", "b"]);
    assert_eq!(loaded.value.listen, "file:1");
    assert_eq!(loaded.origin("quorum.teachers_min"), Origin::Flag);
    assert_eq!(
        loaded.origin("quorum.share"),
        Origin::Environment { variable: "CONCLAVE_NODE__QUORUM__SHARE".to_owned() }
    );
    assert!(matches!(loaded.origin("quorum.strict"), Origin::File { line: 5, .. }));
    assert_eq!(loaded.origin("limits.connections_max"), Origin::Default);
}

#[test]
fn text_that_looks_like_a_number_stays_text_where_text_is_wanted() {
    let loaded =
        load_all("", &[("CONCLAVE_NODE__LISTEN", "7401"), ("CONCLAVE_NODE__ROLE", "teacher")], "").unwrap();
    assert_eq!((loaded.value.listen.as_str(), loaded.value.role), ("7401", Some(Role::Teacher)));
}

#[test]
fn unknown_keys_are_all_refused_with_line_and_suggestion() {
    let message = refusal(
        "listen = 'a:1'\nlsiten = 'b:2'\n[quorum]\nteacher_min = 3\nzebra = 1\n[[peers]]\naddress='x'\nport=1\nprot=2\n",
        &[("CONCLAVE_NODE__LIMITS__CONNECTION_MAX", "3")],
    );
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines.len(), 5, "{message}");
    for (key, origin, fix) in [
        ("lsiten = \"b:2\"", "node.toml:2", "did you mean listen?"),
        ("quorum.teacher_min = 3", "node.toml:4", "did you mean teachers_min?"),
        ("quorum.zebra = 1", "node.toml:5", "known are: teachers_min, share, strict, names"),
        ("peers[0].prot = 2", "node.toml:9", "did you mean port?"),
        (
            "limits.connection_max = \"3\"",
            "environment CONCLAVE_NODE__LIMITS__CONNECTION_MAX",
            "did you mean connections_max?",
        ),
    ] {
        assert!(
            lines.iter().any(|line| line.contains(key) && line.contains(origin) && line.contains(fix)),
            "{key} {origin} {fix} not in:\n{message}"
        );
    }
}

#[test]
fn values_that_do_not_fit_are_refused_with_key_value_origin_and_fix() {
    for (file, variables, words) in [
        ("", vec![], vec!["setting listen is missing", "set it"]),
        ("listen = 3", vec![], vec!["setting listen = 3", "node.toml:1", "wrong type", "give a string"]),
        (
            "listen='a'\n[quorum]\nteachers_min = -1",
            vec![],
            vec!["quorum.teachers_min = -1", ":3)", "give u32"],
        ),
        ("listen='a'\n[quorum]\nshare = 'x'", vec![], vec!["quorum.share = \"x\"", "wrong type", "give f64"]),
        ("listen='a'\nquorum = 3", vec![], vec!["setting quorum = 3", "not a section", "teachers_min"]),
        ("listen='a'\nrole = 'teachr'", vec![], vec!["setting role = \"teachr\"", "aggregator, teacher"]),
        ("listen='a'\nmechanism = 'lnmx'", vec![], vec!["mechanism = \"lnmx\"", "did you mean lnmax?"]),
        ("listen='a'\nmechanism = 3", vec![], vec!["mechanism = 3", "known are: lnmax, confident-gnmax"]),
        (
            "listen='a'\n[mechanism.confident-gnmax]\nsigmo = 1.0",
            vec![],
            vec!["sigmo = 1", "did you mean sigma?"],
        ),
        (
            "listen='a'\n[[peers]]\naddress = 'x'",
            vec![],
            vec!["setting peers[0].port (", "node.toml:2) is missing"],
        ),
        (
            "listen='a'\n[quorum]\nteachers_min = 99999999999999999999",
            vec![],
            vec!["teachers_min = ", "give u32"],
        ),
        (MINIMAL, vec![("CONCLAVE_NODE__QUORUM__TEACHERS_MIN", "many")], vec!["= \"many\"", "not a number"]),
        (MINIMAL, vec![("CONCLAVE_NODE__QUORUM__STRICT", "yes")], vec!["= \"yes\"", "true or false"]),
        (MINIMAL, vec![("CONCLAVE_NODE__QUORUM__NAMES", "a,b")], vec!["= \"a,b\"", "write it as in TOML"]),
        (MINIMAL, vec![("CONCLAVE_NODE__QUORUM____SHARE", "1")], vec!["has an empty part"]),
    ] {
        let message = refusal(file, &variables);
        for word in words {
            assert!(message.contains(word), "{word:?} not in: {message}");
        }
    }
}

#[test]
fn a_file_that_is_missing_binary_or_malformed_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.toml");
    let message = |text: Option<&[u8]>| {
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let result = load_from::<Settings>(Some(&path), "CONCLAVE_NODE", [], toml::Table::new());
        result.unwrap_err().to_string()
    };
    assert!(message(None).contains("node.toml: is missing"));
    assert!(message(Some(&[0xff, 0xfe])).contains("is not text"));
    let malformed = message(Some(b"listen = 'a'\nquorum = [\n"));
    assert!(malformed.contains("node.toml") && malformed.contains("line 2"), "{malformed}");
}

#[test]
fn the_effective_settings_show_origins_and_defaults_but_no_secret() {
    let loaded = load_all(
        "listen = 'a:1'\npartition_key = 'hunter2'\nkey_file = '/etc/key.pem'\n[[peers]]\naddress = 'x'\nport = 1\n",
        &[],
        "quorum.strict = false",
    )
    .unwrap();
    let lines: Vec<String> = loaded.settings().unwrap().iter().map(Setting::to_string).collect();
    let text = lines.join("\n");
    for line in
        ["quorum.strict = false  # flag", "quorum.teachers_min = 5  # default", "partition_key = \"***\"  # "]
    {
        assert!(text.contains(line), "{line} not in:\n{text}");
    }
    assert!(
        lines.iter().any(|line| line.starts_with("listen = \"a:1\"  # ") && line.ends_with("node.toml:1"))
    );
    assert!(
        lines.iter().any(|line| line.starts_with("peers[0].port = 1  # ") && line.ends_with("node.toml:6"))
    );
    assert!(text.contains("/etc/key.pem") && !text.contains("hunter2"));
}

#[test]
fn a_secret_of_the_wrong_type_or_place_is_not_repeated_in_the_message() {
    for (file, variables) in [
        ("listen = 'a'\npartition_key = 271828", vec![]),
        ("listen = 'a'\n[quorum]\napi_token = 271828", vec![]),
        (MINIMAL, vec![("CONCLAVE_NODE__QUORUM__PASSWORD", "271828")]),
    ] {
        let message = refusal(file, &variables);
        assert!(!message.contains("271828") && message.contains("***"), "{message}");
    }
}

#[test]
fn a_fault_found_by_the_owner_names_the_origin_too() {
    let loaded = load_all("listen = 'a'\n[quorum]\nshare = 7.0", &[], "").unwrap();
    let fault = loaded.fault("quorum.share", loaded.value.quorum.share, "give a share between 0 and 1");
    let message = ConfigError::Faults(vec![fault]).to_string();
    assert!(message.contains("quorum.share = 7") && message.contains("node.toml:3"), "{message}");
}

proptest! {
    #[test]
    fn arbitrary_files_and_variables_never_panic(file in "\\PC{0,80}", name in "[A-Z_]{0,12}", value in "\\PC{0,20}") {
        let name = format!("CONCLAVE_NODE__{name}");
        let _ = load_all(&file, &[(&name, &value)], "");
    }

    #[test]
    fn toml_shaped_files_never_panic(file in "([a-z]{1,6}|listen|quorum|peers|mechanism|\\[|\\]|=|'|\"|[0-9.]|\\{|\\}|,| |\n){0,30}") {
        let _ = load_all(&file, &[], "");
    }
}

#[test]
fn a_variable_reaches_into_a_choice_that_is_told_by_its_own_field() {
    let file = "listen = 'a:1'\nnoise = { kind = 'gaussian', sigma = 40.0, seed = 'old' }\n";
    let loaded = load_all(
        file,
        &[
            ("CONCLAVE_NODE__NOISE__SIGMA", "400.5"),
            ("CONCLAVE_NODE__NOISE__SEED", "\"7401\""),
            ("CONCLAVE_NODE__NOISE__EXACT", "true"),
            ("CONCLAVE_NODE__NOISE__PLACES", "[1, 2]"),
        ],
        "",
    );
    let (seed, places) = (Some("7401".to_owned()), Some(vec![1, 2]));
    let expected = Noise::Gaussian { sigma: 400.5, seed, exact: Some(true), places };
    assert_eq!(loaded.unwrap().value.noise, Some(expected));
    let whole = load_all(
        "listen = 'a:1'\n",
        &[
            ("CONCLAVE_NODE__NOISE__KIND", "gaussian"),
            ("CONCLAVE_NODE__NOISE__SIGMA", "400"),
            ("CONCLAVE_NODE__NOISE__SEED", "a word"),
        ],
        "",
    );
    let seed = Some("a word".to_owned());
    let expected = Noise::Gaussian { sigma: 400.0, seed, exact: None, places: None };
    assert_eq!(whole.unwrap().value.noise, Some(expected));

    let words = refusal(file, &[("CONCLAVE_NODE__NOISE__SIGMA", "much")]);
    assert!(words.contains("noise") && words.contains("wrong type"), "{words}");
}
