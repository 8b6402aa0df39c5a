//! `conclave simulate`: flags to overrides of a scenario, and the outcome to words, JSON and an exit status.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use conclave_learning::datasets::{KNOWN, Known};
use conclave_learning::dealing::Dealing;
use conclave_privacy::quantity::{Delta, Epsilon};
use conclave_privacy::unit::VotingScheme;
use serde::{Deserialize, Serialize};

use super::values::{at_least_one, delta, epsilon, positive, unknown};
use super::{Console, Exit, Fault, Progress};
use crate::simulate;
use crate::simulate::attacked::suite::Suite;

/// Run everything on this machine: silos, votes, noise, budget, student, report
///
/// The production services run over mutual TLS on loopback, in one process unless --processes is given. Without arguments: handwritten digits, dealt
/// to organisations, with noise calibrated to the budget. The noise comes from a seed, so nothing that a simulation
/// makes is private.
#[derive(Debug, clap::Args)]
pub struct SimulateArgs {
    /// A scenario; flags win over it
    #[arg(value_name = "SCENARIO.toml")]
    scenario: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
    /// Print the scenario with every setting in effect, and do nothing else
    #[arg(long)]
    print_scenario: bool,
}

/// What the flags change of a scenario; what is absent stands as the scenario, or its default, has it.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub struct Overrides {
    /// optdigits (built in), mnist (from the folder CONCLAVE_DATA_DIR), or a CSV file
    #[arg(long, value_name = "NAME|PATH", help_heading = DATA)]
    pub dataset: Option<DatasetName>,
    /// The label column of a CSV file [default: the last]
    #[arg(long, value_name = "COLUMN", help_heading = DATA)]
    pub label: Option<String>,
    /// How many organisations take part [default: 5, of mnist 10]
    #[arg(long, value_name = "N", value_parser = at_least_one("organisations"), help_heading = DATA)]
    pub organisations: Option<u32>,
    /// How many teachers in all, over all organisations
    #[arg(long, value_name = "N", value_parser = at_least_one("teachers"), help_heading = DATA)]
    pub teachers: Option<u32>,
    /// How records are dealt to organisations: iid, dirichlet:ALPHA, by:COLUMN, or sizes:A,B,...
    #[arg(long, value_name = "PARTITION", value_parser = partition, help_heading = DATA)]
    pub partition: Option<Dealing>,
    /// How records turn into votes: ensemble
    #[arg(long, value_name = "SCHEME", value_parser = scheme, help_heading = VOTING)]
    pub scheme: Option<VotingScheme>,
    /// What is drawn per query: lnmax, gnmax, confident-gnmax
    #[arg(long, value_name = "MECHANISM", help_heading = VOTING)]
    pub mechanism: Option<MechanismName>,
    /// Laplace scale b on each count, in votes (lnmax)
    #[arg(long, value_name = "B", value_parser = positive("scale"), allow_hyphen_values = true, help_heading = VOTING)]
    pub scale: Option<f64>,
    /// Standard deviation of the noise on each count, in votes (gnmax, confident-gnmax)
    #[arg(long, value_name = "S", value_parser = positive("sigma"), allow_hyphen_values = true, help_heading = VOTING)]
    pub sigma: Option<f64>,
    /// Votes that the largest count must reach, noise included (confident-gnmax)
    #[arg(long, value_name = "T", value_parser = positive("threshold"), allow_hyphen_values = true, help_heading = VOTING)]
    pub threshold: Option<f64>,
    /// Standard deviation of the noise of the threshold test, in votes (confident-gnmax)
    #[arg(long, value_name = "S", value_parser = positive("sigma1"), allow_hyphen_values = true, help_heading = VOTING)]
    pub sigma1: Option<f64>,
    /// The cap on the privacy loss, at delta; without noise flags, the noise is calibrated to it
    #[arg(long, value_name = "E", value_parser = epsilon, allow_hyphen_values = true, help_heading = BUDGET)]
    pub epsilon: Option<Epsilon>,
    /// The probability with which the guarantee may fail
    #[arg(long, value_name = "D", value_parser = delta, allow_hyphen_values = true, help_heading = BUDGET)]
    pub delta: Option<Delta>,
    /// How many queries to ask
    #[arg(long, value_name = "N", value_parser = at_least_one("queries"), help_heading = BUDGET)]
    pub queries: Option<u32>,
    /// Seeds everything, the noise too [default: fresh, and printed]
    #[arg(long, value_name = "N", help_heading = RUN)]
    pub seed: Option<u64>,
    /// Carry attacks out on it, and report what they came to: quick
    #[arg(long, value_name = "SUITE", hide_possible_values = true, help_heading = RUN)]
    pub attacks: Option<Suite>,
    /// Run every organisation in an operating-system process of its own, from files of its own; same labels, a little slower
    #[arg(long, help_heading = RUN)]
    pub processes: bool,
    /// Leave out what the student is compared with: a model of all records without privacy, and other budgets
    #[arg(long, help_heading = RUN)]
    pub no_baseline: bool,
    /// A new directory for report, labels, student and ledger
    #[arg(long, value_name = "DIR", help_heading = RUN)]
    pub out: Option<PathBuf>,
}

/// Data that a simulation can run on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub enum DatasetName {
    /// One that is known by name.
    Known(&'static Known),
    /// A text table.
    File(PathBuf),
}

/// A mechanism by name; its noise is set apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum MechanismName {
    /// Laplace noise on each count.
    LnMax,
    /// Gaussian noise on each count.
    GnMax,
    /// A noisy threshold test, then Gaussian noise on each count.
    ConfidentGnMax,
}

/// Runs the simulation, or prints its scenario.
pub fn run(args: SimulateArgs, console: &Console) -> Result<Exit, Fault> {
    let SimulateArgs { scenario, overrides, print_scenario } = args;
    if print_scenario {
        let text = simulate::effective_scenario(scenario.as_deref(), &overrides)?;
        console.result(|| text.clone(), &serde_json::json!({ "scenario": text }))?;
        return Ok(Exit::Done);
    }
    let finished = simulate::run(scenario.as_deref(), &overrides, Progress::on(console))?;
    let json = simulate::summary::to_json(&finished.report, &finished.artifacts, finished.refusal.as_ref());
    console.result(|| simulate::summary::to_text(&finished.report, &finished.artifacts), &json)?;
    let Some(refusal) = finished.refusal else { return Ok(Exit::Done) };
    console.note(&format!("conclave: {refusal}"));
    Ok(refusal.exit)
}

impl FromStr for DatasetName {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        if let Some(known) = Known::named(text) {
            return Ok(Self::Known(known));
        }
        if Path::new(text).is_file() {
            return Ok(Self::File(PathBuf::from(text)));
        }
        Err(Fault::input(
            "unknown-dataset",
            "dataset",
            text,
            "neither known by name nor a file",
            format!("use {} or the path of a CSV file", KNOWN.map(|known| known.name).join(", ")),
        ))
    }
}

// Not derived: the derive would tie the name's lifetime to the text that is read.
impl<'de> Deserialize<'de> for DatasetName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(known) => f.write_str(known.name),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl MechanismName {
    /// All that are built.
    pub const ALL: [Self; 3] = [Self::LnMax, Self::GnMax, Self::ConfidentGnMax];

    /// The name as in contracts and scenarios.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LnMax => "lnmax",
            Self::GnMax => "gnmax",
            Self::ConfidentGnMax => "confident-gnmax",
        }
    }
}

impl FromStr for MechanismName {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.as_str() == text)
            .ok_or_else(|| unknown("mechanism", text, &Self::ALL.map(Self::as_str)))
    }
}

impl fmt::Display for MechanismName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! through_text {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = Fault;

            fn try_from(text: String) -> Result<Self, Fault> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.to_string()
            }
        }
    )*};
}
through_text!(DatasetName, MechanismName);

/// Reads a partition, or says which exist.
pub fn partition(text: &str) -> Result<Dealing, Fault> {
    text.parse()
        .map_err(|_| unknown("partition", text, &["iid", "dirichlet:ALPHA", "by:COLUMN", "sizes:A,B,..."]))
}

/// Reads a voting scheme, or says which exist.
pub fn scheme(text: &str) -> Result<VotingScheme, Fault> {
    [VotingScheme::Ensemble]
        .into_iter()
        .find(|scheme| scheme.name() == text)
        .ok_or_else(|| unknown("scheme", text, &[VotingScheme::Ensemble.name()]))
}

const DATA: &str = "Data";
const VOTING: &str = "Voting and noise";
const BUDGET: &str = "Budget";
const RUN: &str = "Run";
