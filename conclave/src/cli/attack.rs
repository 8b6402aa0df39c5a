//! `conclave attack`: the attacks of the harness, on a simulation, on a student or an aggregator that runs, or on a model in a file.
//!
//! With `--format json` stdout carries one JSON line for each point that was measured. An attack that passes its bound ends with exit
//! status 4.

mod evasion;
mod repeats;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use conclave_attack_harness::report::{Measurement, Verdict};
use conclave_service::clock::WallClock;
use conclave_service::{ClientTransport, Identity, Kit, Role};
use serde_json::{Map, Value, json};

use super::{Console, Exit, Fault, Format, Progress};
use crate::attacks::{Attacked, Target, page};
use crate::cli::simulate::Overrides;
use crate::simulate;
use crate::simulate::attacked::suite::Part;
use crate::simulate::world::Door;

/// Attack what a campaign releases and what a student serves, and say what came of it beside what is promised
///
/// Without a server, the attacks run against a simulation of the scenario: the production services on loopback. Evasion runs on a model
/// in a file, and no bound is promised there; repeats run on an aggregator that is there already.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true)]
pub struct AttackArgs {
    #[command(subcommand)]
    attack: AttackKind,
}

#[derive(Debug, Subcommand)]
enum AttackKind {
    /// Copy the student from its labels: agreement against the number of queries
    #[command(after_help = JSON_LINES)]
    Extraction(ServedArgs),
    /// Silos that lie with their records, teachers that lie with their votes: labels and student against their number
    #[command(after_help = JSON_LINES)]
    Poisoning(SimulatedArgs),
    /// What releases tell about votes and records: repeated queries, and an audit of ε beside the charge
    #[command(after_help = JSON_LINES)]
    Inference(SimulatedArgs),
    /// The answers of a campaign on a running aggregator, asked for again: whether that says or costs more than asking once
    #[command(after_help = JSON_LINES)]
    Repeats(repeats::RepeatsArgs),
    /// Rows moved a little until a model in a file no longer says their label: accuracy against how far
    #[command(after_help = JSON_LINES)]
    Evasion(evasion::EvasionArgs),
    /// All attacks on a campaign and its student, and one HTML page with curves, threat models and MITRE ATLAS techniques
    #[command(after_help = JSON_LINES)]
    Report(ReportArgs),
}

const JSON_LINES: &str =
    "With --format json, stdout carries JSON lines: one object for each point that was measured.";

#[derive(Debug, clap::Args)]
struct SimulatedArgs {
    /// A scenario as of `conclave simulate`; the default one when absent
    #[arg(value_name = "SCENARIO.toml")]
    scenario: Option<PathBuf>,
    /// Seeds everything but the noise of the audit [default: fresh, and printed]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct ServedArgs {
    #[command(flatten)]
    simulated: SimulatedArgs,
    /// In place of a simulation: the address of a running student; the scenario then says which rows to ask it about
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<String>,
    /// Our own kit, a client's, made by `conclave provision`
    #[arg(long, value_name = "DIR", requires = "server")]
    kit: Option<PathBuf>,
    /// Who must be there: the student's organisation and name, as in its kit
    #[arg(long, value_name = "ORGANISATION/NAME", default_value = "hub/student")]
    student: String,
    /// No TLS, for a student on this machine that was told the same
    #[arg(long, conflicts_with = "kit", requires = "server")]
    plaintext: bool,
}

#[derive(Debug, clap::Args)]
struct ReportArgs {
    #[command(flatten)]
    served: ServedArgs,
    /// With a server: the student's model file, for an attacker who has it; rows are then moved with its gradients, too
    #[arg(long, value_name = "FILE", requires = "server")]
    published: Option<PathBuf>,
    /// Where to write the page: a new file
    #[arg(long, value_name = "FILE", default_value = "attacks.html")]
    report: PathBuf,
}

/// Attacks, and says what came of it.
pub fn run(args: &AttackArgs, console: &Console) -> Result<Exit, Fault> {
    let progress = Progress::on(console);
    let simulated = |args: &SimulatedArgs, part| {
        let overrides = Overrides { seed: args.seed, ..Overrides::default() };
        simulate::attacked::attack(args.scenario.as_deref(), &overrides, part, progress)
    };
    let served = |args: &ServedArgs, published: Option<&Path>, part| match door(args)? {
        Some(door) => {
            let overrides = Overrides { seed: args.simulated.seed, ..Overrides::default() };
            simulate::attacked::attack_student(
                args.simulated.scenario.as_deref(),
                &overrides,
                (&door, &target_flags(args), published),
                part,
                progress,
            )
        }
        None => simulated(&args.simulated, part),
    };
    let attacked = match &args.attack {
        AttackKind::Extraction(args) => served(args, None, Part::Extraction)?.1,
        AttackKind::Poisoning(args) => simulated(args, Part::Poisoning)?.1,
        AttackKind::Inference(args) => simulated(args, Part::Inference)?.1,
        AttackKind::Repeats(args) => vec![repeats::run(args)?],
        AttackKind::Evasion(args) => return evasion::run(args, console),
        AttackKind::Report(args) => {
            refuse_existing(&args.report)?;
            let (target, attacked) = served(&args.served, args.published.as_deref(), Part::All)?;
            write(&args.report, &target, &attacked, args.served.server.is_none())?;
            console.note(&format!("Report: {}", args.report.display()));
            attacked
        }
    };
    match console.format() {
        Format::Text => console.write(to_text(&attacked).as_bytes())?,
        Format::Json => {
            for line in attacked.iter().flat_map(lines) {
                console.result(String::new, &line)?;
            }
        }
    }
    let broken: Vec<&str> = attacked
        .iter()
        .filter(|attacked| attacked.finding.verdict == Verdict::Broken)
        .map(|attacked| attacked.finding.attack)
        .collect();
    if broken.is_empty() {
        return Ok(Exit::Done);
    }
    console.note(&format!("conclave: broke a promise: {}", broken.join(", ")));
    Ok(Exit::Verification)
}

fn door(args: &ServedArgs) -> Result<Option<Door>, Fault> {
    let Some(address) = &args.server else { return Ok(None) };
    let address = address.clone();
    let Some(dir) = &args.kit else {
        if args.plaintext {
            return Ok(Some(Door { address, transport: ClientTransport::PlaintextLoopback }));
        }
        let fix = "give a client's --kit, or --plaintext for a student on this machine";
        return Err(Fault::input(
            "missing-argument",
            "--kit",
            "",
            "whom the student shall see is missing",
            fix,
        ));
    };
    let kit = Kit::load(dir, WallClock::now_ms())?;
    let Some((organisation, name)) = args.student.split_once('/') else {
        let fix = "write for example hub/student";
        return Err(Fault::input(
            "invalid-party",
            "--student",
            &args.student,
            "is not ORGANISATION/NAME",
            fix,
        ));
    };
    let expected = Identity::new(kit.identity().consortium(), Role::Student, organisation, name)?;
    Ok(Some(Door { address, transport: ClientTransport::Mutual { kit: Arc::new(kit), expected } }))
}

/// The flags that name the target, to repeat the attack.
fn target_flags(args: &ServedArgs) -> Vec<(&'static str, String)> {
    let mut flags: Vec<_> = args.server.iter().map(|address| ("--server", address.clone())).collect();
    match &args.kit {
        Some(dir) => {
            flags.extend([("--kit", dir.display().to_string()), ("--student", args.student.clone())]);
        }
        None => flags.push(("--plaintext", String::new())),
    }
    flags
}

/// One line for each value of what was varied, with all that was measured there.
fn lines(attacked: &Attacked) -> Vec<Value> {
    let finding = &attacked.finding;
    let mut lines: Vec<(&Measurement, Map<String, Value>)> = Vec::new();
    for one in &finding.measurements {
        let same = |(first, _): &(&Measurement, _)| {
            first.variable == one.variable && first.at.to_bits() == one.at.to_bits()
        };
        let index = lines.iter().position(same).unwrap_or_else(|| {
            let mut line = Map::new();
            line.insert("attack".to_owned(), json!(finding.attack));
            line.insert(key(one.variable), whole(one.at));
            lines.push((one, line));
            lines.len() - 1
        });
        let (line, name) = (&mut lines[index].1, key(one.measure));
        for (suffix, value) in [("_low", one.low), ("_high", one.high), ("_bound", one.bound)] {
            if let Some(value) = value {
                line.insert(format!("{name}{suffix}"), json!(value));
            }
        }
        if let Some(n) = one.n {
            line.insert(format!("{name}_n"), json!(n));
        }
        line.insert(name, json!(one.value));
    }
    let ended = |(_, mut line): (&Measurement, Map<String, Value>)| {
        line.insert("verdict".to_owned(), json!(finding.verdict));
        line.insert("asked".to_owned(), json!(attacked.cost.queries));
        line.insert("seconds".to_owned(), json!(attacked.cost.seconds));
        line.insert("seed".to_owned(), json!(attacked.seed));
        Value::Object(line)
    };
    lines.into_iter().map(ended).collect()
}

fn key(words: &str) -> String {
    words.replace('ε', "epsilon").replace('ρ', "rho").replace(' ', "_")
}

/// A count without a point.
fn whole(value: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "only where nothing is lost")]
    if value.fract().abs() < f64::EPSILON && value >= 0.0 { json!(value as u64) } else { json!(value) }
}

fn to_text(attacked: &[Attacked]) -> String {
    let told = |attacked: &Attacked| {
        let finding = &attacked.finding;
        let (title, verdict, result) = (finding.title, finding.verdict_in_words(), &finding.result);
        format!("{title}: {verdict}\n  {result}\n  To repeat: {}\n", attacked.command)
    };
    attacked.iter().map(told).collect()
}

fn refuse_existing(path: &Path) -> Result<(), Fault> {
    if !path.exists() {
        return Ok(());
    }
    let problem = "it is there already, and nothing is ever overwritten";
    Err(Fault::input("occupied-file", "--report", path.display().to_string(), problem, "name a new file"))
}

fn write(path: &Path, target: &Target, attacked: &[Attacked], simulated: bool) -> Result<(), Fault> {
    let fault = |error: std::io::Error| {
        let fix = "give the path of a new file in a directory that can be written";
        Fault::input("unwritable-file", "--report", path.display().to_string(), error, fix)
    };
    let html = page::to_html("Attacks on a consortium", target, attacked, simulated);
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(fault)?;
    file.write_all(html.as_bytes()).map_err(fault)
}
