//! What would keep a role from starting or from working, found before it starts: nothing is changed by looking.
//!
//! | looked at | module |
//! |---|---|
//! | kit, certificate, address, the peers' clocks | [`identity`], [`peers`] |
//! | is the disk writable, durable and large enough; is the book in order | [`storage`] |
//! | what each role needs beside that | [`teacher`], [`aggregator`], [`student`] |
//!
//! A role that is at work here already, with the same kit, addresses and book, is an outcome of its own and no problem.
//! Every finding names field, value and fix. The exit status is that of the first problem, and the same that the role
//! itself would end with. It reads what the role may read and tells what the role tells: digests, never a row.

pub mod aggregator;
pub mod identity;
pub mod peers;
pub mod storage;
pub mod student;
pub mod teacher;

use std::fmt::Write as _;

use conclave_service::config::ConfigError;
use serde::{Serialize, Serializer};

use crate::cli::{Exit, Fault};

/// What one look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works; somebody should know.
    Warning,
    /// The role itself is at work there.
    Running,
    /// Not looked at, for the reason told.
    Unchecked,
    /// The role would not start, or not work.
    Problem(Exit),
}

impl Verdict {
    const fn word(&self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Running => "running",
            Self::Unchecked => "unchecked",
            Self::Problem(_) => "problem",
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// One look and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, in one word.
    pub check: &'static str,
    /// What it came to.
    pub verdict: Verdict,
    /// The setting, file or peer.
    pub field: String,
    /// What stands there.
    pub value: String,
    /// What was found, in words.
    pub message: String,
    /// What to do about it; empty where nothing is to be done.
    pub fix: String,
}

/// Everything that was looked at for one role.
#[derive(Debug, Serialize)]
pub struct Preflight {
    role: &'static str,
    /// Whether nothing keeps the role from working.
    ready: bool,
    /// Whether it works here already, with these settings.
    running: bool,
    checks: Vec<Finding>,
    /// The first problem, in the shape of every failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Fault>,
}

impl Preflight {
    /// Nothing looked at yet.
    pub const fn of(role: &'static str) -> Self {
        Self { role, ready: true, running: false, checks: Vec::new(), error: None }
    }

    /// What is taken here is taken by the role itself.
    pub(crate) const fn recognised(&mut self) {
        self.running = true;
    }

    /// The first problem.
    pub const fn error(&self) -> Option<&Fault> {
        self.error.as_ref()
    }

    /// What was found so far.
    pub fn checks(&self) -> &[Finding] {
        &self.checks
    }

    #[expect(clippy::needless_pass_by_value, reason = "so that callers hand over names and figures alike")]
    pub(crate) fn good(
        &mut self,
        check: &'static str,
        field: &str,
        value: impl ToString,
        message: impl Into<String>,
    ) {
        self.note(check, Verdict::Good, field, &value, message, "");
    }

    #[expect(clippy::needless_pass_by_value, reason = "so that callers hand over names and figures alike")]
    pub(crate) fn warn(
        &mut self,
        check: &'static str,
        field: &str,
        value: impl ToString,
        message: impl Into<String>,
        fix: &str,
    ) {
        self.note(check, Verdict::Warning, field, &value, message, fix);
    }

    #[expect(clippy::needless_pass_by_value, reason = "so that callers hand over names and figures alike")]
    pub(crate) fn runs(
        &mut self,
        check: &'static str,
        field: &str,
        value: impl ToString,
        message: impl Into<String>,
    ) {
        self.note(check, Verdict::Running, field, &value, message, "");
    }

    pub(crate) fn unchecked(&mut self, check: &'static str, field: &str, why: &str) {
        self.note(check, Verdict::Unchecked, field, &"", why, "");
    }

    /// A fault that does not say what it is about is about what was looked at.
    pub(crate) fn problem(&mut self, check: &'static str, mut fault: Fault) {
        if fault.field.is_empty() {
            about(check).clone_into(&mut fault.field);
            fault.value.clear();
        }
        let Fault { exit, field, value, message, fix, .. } = fault.clone();
        self.ready = false;
        self.error.get_or_insert(fault);
        self.note(check, Verdict::Problem(exit), &field, &value, message, &fix);
    }

    /// Every fault of the settings, each with its key.
    pub(crate) fn settings(&mut self, error: ConfigError) {
        let ConfigError::Faults(faults) = error else {
            return self.problem("settings", error.into());
        };
        for fault in faults {
            let value = fault.value.clone().unwrap_or_default();
            let words = fault.to_string();
            let fault = Fault::from_words(Exit::BadInput, "invalid-setting", &fault.key, &value, &words);
            self.problem("settings", fault);
        }
    }

    fn note(
        &mut self,
        check: &'static str,
        verdict: Verdict,
        field: &str,
        value: &dyn ToString,
        message: impl Into<String>,
        fix: &str,
    ) {
        self.checks.push(Finding {
            check,
            verdict,
            field: field.to_owned(),
            value: value.to_string(),
            message: message.into(),
            fix: fix.to_owned(),
        });
    }

    /// For people: one line for each look, and what it comes to.
    pub fn in_words(&self) -> String {
        let mut text = String::new();
        for Finding { check, verdict, field, value, message, fix } in &self.checks {
            let mark = match verdict {
                Verdict::Good => "ok",
                Verdict::Running => "RUNS",
                Verdict::Unchecked => "-",
                Verdict::Warning => "WARNING",
                Verdict::Problem(_) => "PROBLEM",
            };
            // A problem's words name field and value themselves.
            let named = message.contains(value.as_str()) && message.contains(field.as_str());
            let subject = match (value.is_empty(), named) {
                (_, true) => String::new(),
                (true, false) => format!("{field}: "),
                (false, false) => format!("{field} {value}: "),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{mark:<8} {check:<12} {subject}{}", message.trim_end());
            if !fix.is_empty() {
                let _ = writeln!(text, "{:<21} → {fix}", "");
            }
        }
        let count =
            |wanted: &str| self.checks.iter().filter(|finding| finding.verdict.word() == wanted).count();
        let (problems, warnings) = (count("problem"), count("warning"));
        let role = self.role;
        let verdict = match (self.running, problems, warnings) {
            (true, 0, 0) => format!("The {role} is running here already; there is nothing to start."),
            (true, ..) => {
                format!("The {role} is running here already; problems: {problems}, warnings: {warnings}.")
            }
            (false, 0, 0) => format!("The {role} is ready to start."),
            (false, 0, _) => format!("The {role} can start; warnings: {warnings}."),
            (false, ..) => format!("The {role} is NOT ready; problems: {problems}, warnings: {warnings}."),
        };
        text + "\n" + &verdict + "\n"
    }
}

/// The setting behind a check.
fn about(check: &'static str) -> &'static str {
    match check {
        "settings" => "--config",
        "data" => "data.source",
        "pool" => "pool",
        "contract" => "campaign",
        "enrolment" => "nodes",
        other => other,
    }
}
