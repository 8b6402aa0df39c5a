//! `conclave attack evasion`: rows moved a little until a model in a file no longer says their label.
//!
//! No ledger, no campaign: the attacker holds the model. With `--format json` stdout carries one JSON line for each ε. Nothing is promised
//! about evasion, so whatever is found ends with exit status 0.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Instant;

use clap::ValueEnum;
use conclave_attack_harness::access::HeldNetwork;
use conclave_attack_harness::attacks::evasion::{self, Evasion, Method, STEPS_MAX, threat_model};
use conclave_attack_harness::meter::{Budget, Meter};
use conclave_attack_harness::proportion::Proportion;
use conclave_attack_harness::threat_model::Norm;
use conclave_learning::datasets::DatasetSpec;
use conclave_learning::network::Network;
use conclave_learning::{Dataset, Label, onnx};
use serde::Serialize;

use crate::attacks;
use crate::cli::values::{at_least_one, number};
use crate::cli::{Console, Exit, Fault, Format, Progress};
use crate::simulate::plan::fresh_seed;

#[derive(Debug, clap::Args)]
pub(super) struct EvasionArgs {
    /// An ONNX model of dense layers and ReLUs
    #[arg(long, value_name = "FILE.onnx")]
    model: PathBuf,
    /// Rows to move: values in 0..=1, scaled as the model reads them
    #[arg(long, value_name = "FILE.npy")]
    inputs: PathBuf,
    /// The right label of each row, a whole number
    #[arg(long, value_name = "FILE.npy")]
    labels: PathBuf,
    /// How rows are moved: fgsm (one step), pgd (many)
    #[arg(long, value_name = "NAME", hide_possible_values = true)]
    attack: Name,
    /// What ε measures: linf (the largest change of one value), l2 (the Euclidean length of the change)
    #[arg(long, value_name = "NORM", hide_possible_values = true)]
    norm: NormName,
    /// How far a row may be moved; one attack for each
    #[arg(long, value_name = "E[,E...]", required = true, value_delimiter = ',', value_parser = eps, allow_negative_numbers = true)]
    eps: Vec<f64>,
    /// Of pgd: steps from each start
    #[arg(long, value_name = "N", default_value_t = STEPS, value_parser = whole("steps", 1..=STEPS_MAX))]
    steps: u32,
    /// Of pgd: random starts, besides the row itself and where fgsm ends
    #[arg(long, value_name = "N", default_value_t = RESTARTS, value_parser = whole("restarts", 0..=STEPS_MAX))]
    restarts: u32,
    /// Rows that the model may be asked about at each ε, for labels and gradients together [default: any number]
    #[arg(long, value_name = "N", value_parser = at_least_one("queries"))]
    queries: Option<u32>,
    /// Seeds the random starts [default: fresh, and printed]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Name {
    Fgsm,
    Pgd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum NormName {
    Linf,
    L2,
}

/// What one ε came to.
#[derive(Debug, Serialize)]
struct Line {
    attack: Name,
    eps: f64,
    /// An upper bound: a stronger attack may leave fewer rows right. Those wrong from the start count as lost.
    robust_accuracy: f64,
    median_norm: Option<f64>,
    queries: u64,
    seconds: f64,
    samples: u64,
    norm: NormName,
    /// Before anything is moved.
    accuracy: f64,
    /// The budget of queries ended the attack before its last step.
    cut_short: bool,
    /// What random starts were drawn from; FGSM has none.
    seed: Option<u64>,
}

/// Attacks a model in a file, and says what came of it.
pub(super) fn run(args: &EvasionArgs, console: &Console) -> Result<Exit, Fault> {
    let (network, data) = load(args)?;
    let (rows, labels) = (data.features(), data.labels().unwrap_or_default());
    let said = network.predict(rows)?;
    let right = Proportion::count(said.iter().zip(labels).map(|(said, label)| said == label));
    let seed = args.seed.map_or_else(fresh_seed, Ok)?;
    let (progress, mut headed) = (Progress::on(console), false);
    for &eps in &args.eps {
        let step =
            progress.step(&format!("Moving {} rows by {} within ε = {eps}", right.of, args.attack.word()));
        let line = attack(args, &network, rows, labels, (eps, seed), right)?;
        drop(step);
        if console.format() == Format::Text && !std::mem::replace(&mut headed, true) {
            console.write(head(args, right, seed).as_bytes())?;
        }
        console.result(|| to_text(&line), &line)?;
    }
    console.note("What stays right is an upper bound: a stronger attack may leave less.");
    Ok(Exit::Done)
}

fn load(args: &EvasionArgs) -> Result<(Network, Dataset), Fault> {
    let network = onnx::read(&args.model)?;
    let spec = DatasetSpec::Npy {
        examples: args.inputs.clone(),
        labels: args.labels.clone(),
        classes: u16::try_from(network.classes()).ok(),
    };
    let data = spec.load()?;
    let (found, read) = (data.features().ncols(), network.inputs());
    if found != read {
        let problem = format!("its rows have {found} values");
        let fix = format!("give rows of the {read} values that the model reads");
        return Err(Fault::input(
            "invalid-value",
            "--inputs",
            args.inputs.display().to_string(),
            problem,
            fix,
        ));
    }
    Ok((network, data))
}

fn attack(
    args: &EvasionArgs,
    network: &Network,
    rows: &ndarray::Array2<f32>,
    labels: &[Label],
    (eps, seed): (f64, u64),
    right: Proportion,
) -> Result<Line, Fault> {
    #[expect(clippy::cast_possible_truncation, reason = "as precise as the rows; checked when it was read")]
    let attack =
        Evasion { rows, labels, method: args.method(), norm: args.norm.norm(), eps: eps as f32, seed };
    let mut target = Meter::new(HeldNetwork(network.clone()), args.budget());
    let began = Instant::now();
    let evaded = evasion::run(&attack, &mut target, &mut HeldNetwork(network.clone())).map_err(fault)?;
    Ok(Line {
        attack: args.attack,
        eps,
        robust_accuracy: evaded.robust.share(),
        median_norm: evaded.median_norm,
        queries: target.spent().rows,
        seconds: began.elapsed().as_secs_f64(),
        samples: evaded.robust.of,
        norm: args.norm,
        accuracy: right.share(),
        cut_short: evaded.cut_short,
        seed: (args.attack == Name::Pgd).then_some(seed),
    })
}

impl EvasionArgs {
    const fn method(&self) -> Method {
        match self.attack {
            Name::Fgsm => Method::Fgsm,
            Name::Pgd => Method::Pgd { steps: self.steps, restarts: self.restarts },
        }
    }

    fn budget(&self) -> Budget {
        self.queries.map_or_else(Budget::default, |rows| Budget::rows(rows.into()))
    }
}

impl Name {
    const fn word(self) -> &'static str {
        match self {
            Self::Fgsm => "FGSM",
            Self::Pgd => "PGD",
        }
    }
}

impl NormName {
    const fn norm(self) -> Norm {
        match self {
            Self::Linf => Norm::Linf,
            Self::L2 => Norm::L2,
        }
    }
}

fn head(args: &EvasionArgs, right: Proportion, seed: u64) -> String {
    let how = match args.method() {
        Method::Fgsm => "one step".to_owned(),
        Method::Pgd { steps, restarts } => {
            format!("{steps} steps from each start, random starts: {restarts}, seed {seed}")
        }
    };
    let measured = match args.norm {
        NormName::Linf => "the largest change of one value (L∞)",
        NormName::L2 => "the Euclidean length of the change (L2)",
    };
    let attacker = threat_model(args.norm.norm(), args.eps.clone(), args.budget());
    format!(
        "{}: {how}\n\
         The attacker has {},\nand {}.\n\
         ε is {measured}. Unmoved, the model is right on {} of {} rows.\n\n\
         {:>10}{:>14}{:>15}{:>12}{:>10}\n",
        args.attack.word(),
        attacker.knowledge,
        attacker.capability,
        right.times,
        right.of,
        "ε",
        "stays right",
        "median change",
        "queries",
        "seconds",
    )
}

fn to_text(line: &Line) -> String {
    let median = line.median_norm.map_or_else(|| "none".to_owned(), |norm| format!("{norm:.4}"));
    let ended = if line.cut_short { "  cut short: --queries is used up" } else { "" };
    format!(
        "{:>10}{:>13.1}%{median:>15}{:>12}{:>10.2}{ended}\n",
        line.eps,
        100.0 * line.robust_accuracy,
        line.queries,
        line.seconds,
    )
}

/// What the harness refuses, by the flag that gave it.
fn fault(error: conclave_attack_harness::Error) -> Fault {
    let fault = attacks::fault(error);
    let flag = match fault.field.as_str() {
        "rows" => "--inputs",
        "label" | "labels" => "--labels",
        _ => return fault,
    };
    Fault::input(fault.code, flag, fault.value, "cannot be used", fault.fix)
}

fn eps(text: &str) -> Result<f64, Fault> {
    let eps = number("eps", text)?;
    #[expect(clippy::cast_possible_truncation, reason = "what it becomes is looked at")]
    let moved = eps as f32;
    if moved.is_finite() && moved > 0.0 {
        return Ok(eps);
    }
    let fix = "give a finite length above 0, such as 0.1";
    Err(Fault::input("invalid-value", "eps", text, "out of range", fix))
}

fn whole(field: &'static str, allowed: RangeInclusive<u32>) -> impl Fn(&str) -> Result<u32, Fault> + Clone {
    move |text| {
        text.parse().ok().filter(|count| allowed.contains(count)).ok_or_else(|| {
            let fix = format!("give a whole number from {} to {}", allowed.start(), allowed.end());
            Fault::input("invalid-value", field, text, "out of range", fix)
        })
    }
}

const STEPS: u32 = 40;
const RESTARTS: u32 = 1;
