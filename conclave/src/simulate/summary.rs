//! A simulation in a few lines: words for the terminal, keys for scripts.

use serde::Serialize;

use super::Artifacts;
use super::report::{QueryTotals, ReportData, Seconds, words};
use crate::cli::Fault;

/// What `--format json` prints; `error` is there only if the budget stopped the campaign early.
#[derive(Debug, Serialize)]
pub struct Json<'a> {
    simulated: bool,
    dataset: &'a str,
    scheme: &'a str,
    organisations: u32,
    teachers: u32,
    queries: QueryTotals,
    labels: LabelsJson,
    student: StudentJson<'a>,
    privacy: PrivacyJson<'a>,
    seconds: Seconds,
    artifacts: &'a Artifacts,
    command: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attacks: &'a [crate::attacks::Attacked],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Fault>,
}

#[derive(Debug, Serialize)]
struct LabelsJson {
    accuracy: Option<f64>,
}

#[derive(Debug, Serialize)]
struct StudentJson<'a> {
    model: &'a str,
    test_accuracy: Option<f64>,
    nonprivate_accuracy: Option<f64>,
    public_alone_accuracy: Option<f64>,
    test_size: u64,
}

#[derive(Debug, Serialize)]
struct PrivacyJson<'a> {
    unit: &'a str,
    adjacency: &'a str,
    delta: f64,
    epsilon: f64,
    epsilon_spent: f64,
    accountant: &'a str,
    publishable: bool,
    mechanism: &'a str,
}

/// The JSON object of the command-line contract.
pub fn to_json<'a>(report: &'a ReportData, artifacts: &'a Artifacts, refusal: Option<&'a Fault>) -> Json<'a> {
    let (student, privacy) = (&report.student, &report.privacy);
    Json {
        simulated: true,
        dataset: &report.dataset,
        scheme: &report.scheme,
        organisations: report.organisations,
        teachers: report.teachers,
        queries: report.queries,
        labels: LabelsJson { accuracy: report.label_accuracy },
        student: StudentJson {
            model: &student.model,
            test_accuracy: student.test_accuracy,
            nonprivate_accuracy: student.nonprivate_accuracy,
            public_alone_accuracy: student.public_alone_accuracy,
            test_size: student.test_size,
        },
        privacy: PrivacyJson {
            unit: &privacy.unit,
            adjacency: &privacy.adjacency,
            delta: privacy.delta,
            epsilon: privacy.epsilon,
            epsilon_spent: privacy.epsilon_spent,
            accountant: &privacy.accountant,
            publishable: privacy.publishable,
            mechanism: &privacy.mechanism,
        },
        seconds: report.seconds,
        artifacts,
        command: &report.command,
        attacks: &report.attacks,
        error: refusal,
    }
}

/// At most 25 lines for a terminal, figures aligned.
pub fn to_text(report: &ReportData, artifacts: &Artifacts) -> String {
    let mut lines = vec![report.title.clone(), String::new()];
    lines.extend(words::plainly(report).map(|(question, answer)| entry(question, &answer)));
    lines.push(entry("Labels", &labels(report)));
    lines.push(entry(
        "Noise",
        &format!("{} (accountant {})", report.privacy.noise, report.privacy.accountant),
    ));
    let Seconds { teachers, voting, student, total } = report.seconds;
    lines.push(entry(
        "Time",
        &format!("{total:.1} s: teachers {teachers:.1}, voting {voting:.1}, student {student:.1}"),
    ));
    if let Some(shortfall) = &report.shortfall {
        lines.push(entry("Stopped", &words::stopped(shortfall, &report.privacy)));
    }
    for attacked in &report.attacks {
        let verdict = attacked.finding.verdict_in_words();
        lines.push(entry("Attack", &format!("{}: {verdict}", attacked.finding.title)));
    }
    lines.push(String::new());
    let files = [
        ("Report", &artifacts.report),
        ("Labels as CSV", &artifacts.labels),
        ("Ledger", &artifacts.ledger),
        ("Student model", &artifacts.student),
        ("Logs of silos", &artifacts.logs),
    ];
    for (what, path) in files.into_iter().filter_map(|(what, path)| Some((what, path.as_ref()?))) {
        lines.push(format!("{what:<NAMES$}{}", path.display()));
    }
    lines.push(format!("{:<NAMES$}{}", "To repeat", report.command));
    lines.push(String::new());
    lines.push(entry("SIMULATED", words::NOTICE));
    lines.join("\n") + "\n"
}

fn labels(report: &ReportData) -> String {
    let QueryTotals { pool, asked, answered, abstained } = report.queries;
    let right = report
        .label_accuracy
        .map_or_else(String::new, |share| format!(", {} of them right", words::per_cent(share)));
    format!("{answered} released{right}, {abstained} abstentions; {asked} of {pool} public examples asked")
}

/// A name, then words broken to the width of a terminal under each other.
fn entry(name: &str, text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WORDS_WIDTH {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    format!("{name:<NAMES$}{}", lines.join(&format!("\n{:NAMES$}", "")))
}

const NAMES: usize = 18;
const WORDS_WIDTH: usize = 92;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::report::{Shortfall, sample};
    use std::path::PathBuf;

    fn artifacts() -> Artifacts {
        Artifacts {
            report: Some(PathBuf::from("run/report.html")),
            labels: Some(PathBuf::from("run/labels.csv")),
            ledger: Some(PathBuf::from("run/ledger.sqlite")),
            student: None,
            logs: None,
        }
    }

    #[test]
    fn the_summary_fits_a_terminal_and_says_what_an_epsilon_means() {
        let mut report = sample::digits();
        report.shortfall = Some(Shortfall {
            wall: "data id organisation-1".into(),
            rho_asked: 0.01,
            rho_left: 0.002,
            queries_unasked: 12,
        });
        let text = to_text(&report, &artifacts());
        assert!(text.lines().count() <= 25, "{} lines:\n{text}", text.lines().count());
        for line in text.lines() {
            assert!(line.chars().count() <= NAMES + WORDS_WIDTH, "{line}");
        }
        for line in text.lines().filter(|line| line.contains("ε =")) {
            assert!(line.contains("unit record, adjacency add-remove, δ = 1e-5"), "{line}");
        }
        assert!(
            text.contains("SIMULATED") && text.contains("run/labels.csv") && !text.contains("Student model")
        );
    }

    #[test]
    fn the_json_has_the_keys_that_scripts_rely_on() {
        let json = serde_json::to_value(to_json(&sample::digits(), &artifacts(), None)).unwrap();
        let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        for key in [
            "simulated",
            "dataset",
            "scheme",
            "organisations",
            "teachers",
            "queries",
            "labels",
            "student",
            "privacy",
            "seconds",
            "artifacts",
        ] {
            assert!(keys(&json).contains(&key.to_owned()), "{key}");
        }
        assert_eq!(json["simulated"], true);
        assert_eq!(
            json["queries"],
            serde_json::json!({"pool": 900, "asked": 60, "answered": 57, "abstained": 3})
        );
        assert_eq!(json["labels"], serde_json::json!({"accuracy": 0.965}));
        for key in ["model", "test_accuracy", "nonprivate_accuracy", "test_size"] {
            assert!(keys(&json["student"]).contains(&key.to_owned()), "{key}");
        }
        for key in [
            "unit",
            "adjacency",
            "delta",
            "epsilon",
            "epsilon_spent",
            "accountant",
            "publishable",
            "mechanism",
        ] {
            assert!(keys(&json["privacy"]).contains(&key.to_owned()), "{key}");
        }
        assert_eq!(json["artifacts"]["student"], serde_json::Value::Null);
        assert_eq!(json["artifacts"]["labels"], "run/labels.csv");
        assert!(json.get("error").is_none());
    }

    #[test]
    fn a_campaign_cut_short_by_the_budget_says_so_in_its_json() {
        let fault =
            Fault::new(crate::cli::Exit::Budget, "budget-spent", "epsilon", "3", "is spent", "ask less");
        let json = serde_json::to_value(to_json(&sample::digits(), &artifacts(), Some(&fault))).unwrap();
        assert_eq!(json["error"]["code"], "budget-spent");
        assert_eq!(json["error"]["fix"], "ask less");
    }
}
