//! The command line: one file per subcommand, each turning flags into a call and its outcome into words and a status.
//!
//! | exit | meaning |
//! |---|---|
//! | 0 | done |
//! | 2 | bad usage or input |
//! | 3 | refused by the budget |
//! | 4 | verification failed |
//! | 5 | a peer or the quorum is missing |
//! | 1 | anything else, an interrupt included |
//!
//! What is not built is not listed, and is refused like a misspelt word: with exit 2 and a list of what exists.

pub mod attack;
pub mod budget;
pub mod campaign;
pub mod completions;
pub mod console;
pub mod data;
pub mod fault;
pub mod ledger;
pub mod preflight;
pub mod progress;
pub mod provision;
mod reach;
pub mod roles;
pub mod simulate;
pub mod status;
mod usage;
mod values;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser, Subcommand};

pub use console::{Console, Format};
pub use fault::{Exit, Fault};
pub use progress::Progress;

/// Organisations that may not share their data get one model that all of them may use.
///
/// Every silo trains teachers on its own records; they vote on public examples; an aggregator adds noise, charges a
/// durable privacy budget and releases one label per example; a student learns from those labels.
#[derive(Debug, Parser)]
#[command(name = "conclave", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: GlobalFlags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Args)]
struct GlobalFlags {
    /// How to write results and failures, text or json; with json, stdout carries exactly one JSON object, or JSON lines where a command
    /// says so
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "text",
        value_name = "FORMAT",
        hide_possible_values = true,
        help_heading = EVERYWHERE
    )]
    format: Format,
    /// What to log on stderr: a level (info), or targets with levels (conclave_aggregator=debug,info)
    #[arg(long, global = true, value_name = "FILTER", env = "CONCLAVE_LOG", help_heading = EVERYWHERE)]
    log: Option<String>,
    /// Log more: once for info, twice for debug
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "log", help_heading = EVERYWHERE)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    Simulate(simulate::SimulateArgs),
    Budget(budget::BudgetArgs),
    Ledger(ledger::LedgerArgs),
    Data(data::DataArgs),
    Teacher(roles::TeacherArgs),
    Aggregator(roles::AggregatorArgs),
    Student(roles::StudentArgs),
    Preflight(preflight::PreflightArgs),
    Campaign(campaign::CampaignArgs),
    Status(status::StatusArgs),
    Provision(provision::ProvisionArgs),
    Attack(attack::AttackArgs),
    Completions(completions::CompletionsArgs),
}

const EVERYWHERE: &str = "Everywhere";

/// Runs the command that `args` name (the first is the program) and tells how it ended.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    match Cli::try_parse_from(&args) {
        Ok(cli) => {
            let console = Console::new(cli.global.format);
            let outcome = start_logging(&cli).and_then(|()| cli.command.run(&console));
            ended(outcome, &console)
        }
        Err(error) => ended(explain(&error, &args), &Console::new(usage::format_of(&args))),
    }
}

impl Command {
    fn run(self, console: &Console) -> Result<Exit, Fault> {
        match self {
            Self::Simulate(args) => simulate::run(args, console),
            Self::Budget(args) => budget::run(args, console),
            Self::Ledger(args) => ledger::run(args, console),
            Self::Data(args) => data::run(args, console),
            Self::Teacher(args) => roles::teacher(args, console),
            Self::Aggregator(args) => roles::aggregator(args, console),
            Self::Student(args) => roles::student(args, console),
            Self::Preflight(args) => preflight::run(&args, console),
            Self::Campaign(args) => campaign::run(&args, console),
            Self::Status(args) => status::run(&args, console),
            Self::Provision(args) => provision::run(&args, console),
            Self::Attack(args) => attack::run(&args, console),
            Self::Completions(args) => completions::run(&args, console),
        }
    }
}

/// The grammar of the whole command line, for completions.
pub fn grammar() -> clap::Command {
    Cli::command()
}

/// Commands that end say little unless asked; services tell their life.
fn start_logging(cli: &Cli) -> Result<(), Fault> {
    let serves = matches!(cli.command, Command::Teacher(_) | Command::Aggregator(_) | Command::Student(_));
    let by_count = match cli.global.verbose + u8::from(serves) {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    Ok(conclave_service::telemetry::start(Some(cli.global.log.as_deref().unwrap_or(by_count)))?)
}

/// Help and version are results; everything else that clap reports is a fault.
fn explain(error: &clap::Error, args: &[OsString]) -> Result<Exit, Fault> {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let text = Console::new(Format::Text);
        // `Error::print` would panic on a closed pipe.
        text.write(error.render().to_string().as_bytes())?;
        return Ok(Exit::Done);
    }
    let mut command = grammar();
    command.build();
    Err(usage::fault_of(error, &command, args))
}

fn ended(outcome: Result<Exit, Fault>, console: &Console) -> ExitCode {
    outcome
        .unwrap_or_else(|fault| {
            console.fail(&fault);
            fault.exit
        })
        .into()
}
