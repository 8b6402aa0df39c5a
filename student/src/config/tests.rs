//! The sample parses, and what makes no sense is refused, all of it at once.

use std::path::Path;

use conclave_service::authority::Authority;
use conclave_service::clock::WallClock;
use conclave_service::config::load_from;

use super::*;

fn sample() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config/student.toml");
    std::fs::read_to_string(path).unwrap()
}

fn load(text: &str) -> Result<Loaded<StudentConfig>, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("student.toml");
    std::fs::write(&path, text).unwrap();
    load_from(Some(&path), ENV_PREFIX, [], toml::Table::new())
}

/// All that is wrong, a line each.
fn faults(text: &str) -> Vec<String> {
    let refused =
        load(text).and_then(|loaded| Settings::check(&loaded, WallClock::now_ms()).map(drop)).unwrap_err();
    refused.to_string().lines().map(str::to_owned).collect()
}

/// The sample with the kit of `role` in `folder`.
fn sample_with_kit(folder: &Path, role: Role, consortium: &str) -> String {
    let now = WallClock::now_ms();
    let identity = Identity::new(consortium, role, "hub", "one").unwrap();
    let kit = Authority::create(consortium, now).unwrap().issue(&identity, 1, now).unwrap();
    kit.save(folder).unwrap();
    sample().replace("/etc/conclave/kit", &folder.display().to_string())
}

#[test]
fn the_sample_is_complete_and_shows_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = load(&sample_with_kit(folder.path(), Role::Student, "demo")).unwrap();
    let settings = Settings::check(&loaded, WallClock::now_ms()).unwrap();
    assert_eq!(settings.campaign.as_str(), "digits-1");
    assert!(matches!(settings.server, ServerTransport::Mutual(_)));

    // With its comments taken away every default that the sample tells is set, and changes nothing.
    let told = sample().replace("# plaintext", "plaintext").replace("# seed", "seed");
    let told: String = told
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|line| line.contains(" = ") || line.starts_with('['))
                .unwrap_or(line)
        })
        .fold(String::new(), |text, line| text + line + "\n");
    assert_eq!(load(&told).unwrap().value, load(&sample()).unwrap().value);
}

#[test]
fn unknown_keys_are_refused_with_a_suggestion() {
    let faults = faults(&sample().replace("answers_deadline_ms", "answer_deadline_ms"));
    assert_eq!(faults.len(), 1);
    assert!(faults[0].contains("did you mean answers_deadline_ms?"), "{faults:?}");
}

#[test]
fn everything_that_makes_no_sense_is_told_at_once() {
    let text = sample()
        .replace("digits-1", "Digits 1")
        .replace("count = 400", "count = 0")
        .replace("# examples_max = 4096", "examples_max = 0")
        .replace("# answer_wait_ms = 1000", "answer_wait_ms = 60000")
        .replace("attempts_max = 30", "attempts_max = 0")
        .replace("#listen = \"127.0.0.1:9464\"", "listen = \"192.0.2.1:9464\"");
    let faults = faults(&text);
    for words in [
        "setting campaign = Digits 1 (",
        "setting queries.count = 0 (",
        "setting serving.examples_max = 0 (",
        "setting patience.answer_wait_ms = 60000 (",
        "setting patience.retry.attempts_max = 0 (",
        "setting admin.listen = 192.0.2.1:9464 (",
        "setting kit = /etc/conclave/kit (",
    ] {
        assert!(faults.iter().any(|fault| fault.contains(words)), "{words} is not told: {faults:#?}");
    }
    assert_eq!(faults.len(), 7);
}

#[test]
fn a_kit_of_another_role_or_consortium_is_refused() {
    for (role, consortium, words) in [
        (Role::Teacher, "demo", "use a kit with role student"),
        (Role::Student, "other", "name an aggregator of other"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let faults = faults(&sample_with_kit(folder.path(), role, consortium));
        assert!(faults.len() == 1 && faults[0].contains(words), "{faults:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let text =
        sample_with_kit(folder.path(), Role::Student, "demo").replace("demo/aggregator", "demo/teacher");
    assert!(faults(&text)[0].contains("name a party with role aggregator"));
}

#[test]
fn plain_text_must_be_asked_for_and_excludes_identities() {
    let kit = "kit = \"/etc/conclave/kit\"\n";
    let identity = "identity = \"conclave://demo/aggregator/hub/aggregator\"\n";
    let bare = sample().replace(kit, "").replace(identity, "");
    let missing = faults(&bare);
    assert_eq!(missing.len(), 2);
    assert!(
        missing[0].contains("setting kit = absent") && missing[1].contains("aggregator.identity = absent")
    );

    let plain = bare.replace("# plaintext_loopback = false", "plaintext_loopback = true");
    let settings = Settings::check(&load(&plain).unwrap(), 0).unwrap();
    assert!(matches!(settings.aggregator, ClientTransport::PlaintextLoopback));

    let both = sample().replace("# plaintext_loopback = false", "plaintext_loopback = true");
    assert!(faults(&both)[0].contains("plain text knows no identities"));
}
