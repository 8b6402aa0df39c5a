//! `conclave teacher`, `conclave aggregator`, `conclave student`: the roles of a cluster from this binary, and a client of the student.

mod predict;

use std::path::PathBuf;

use clap::Subcommand;
use conclave_aggregator::{AggregatorConfig, ENV_PREFIX as AGGREGATOR_VARIABLES};
use conclave_service::config::{self, ConfigError, Loaded};
use conclave_service::lifecycle::{self, Failure};
use conclave_student::config::{ENV_PREFIX as STUDENT_VARIABLES, StudentConfig};
use conclave_teacher_node::TeacherNodeConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::{Console, Exit, Fault};

/// Run a silo's teacher node: it answers queries from private records that stay where they are
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true)]
pub struct TeacherArgs {
    #[command(subcommand)]
    action: TeacherAction,
}

#[derive(Debug, Subcommand)]
enum TeacherAction {
    /// Train the teachers, then answer until stopped
    ///
    /// Settings in the environment (CONCLAVE_TEACHER__SECTION__NAME) win over the file.
    Run(RunArgs),
}

/// Run a campaign's aggregator: it collects votes, spends the budget and releases labels
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true)]
pub struct AggregatorArgs {
    #[command(subcommand)]
    action: AggregatorAction,
}

#[derive(Debug, Subcommand)]
enum AggregatorAction {
    /// Agree with every silo on the campaign, then run it until stopped
    ///
    /// Settings in the environment (CONCLAVE_AGGREGATOR__SECTION__NAME) win over the file.
    Run(RunArgs),
}

/// Run a student, or ask one
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true)]
pub struct StudentArgs {
    #[command(subcommand)]
    action: StudentAction,
}

#[derive(Debug, Subcommand)]
enum StudentAction {
    /// Learn from a campaign's labels, unless a trained model is there, and serve predictions until stopped
    ///
    /// Settings in the environment (CONCLAVE_STUDENT__SECTION__NAME) win over the file.
    Run(RunArgs),
    /// Ask a running student for the labels of the rows of a file
    Predict(predict::PredictArgs),
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Settings in TOML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print the settings in effect with their origins, and do nothing else
    #[arg(long)]
    print_config: bool,
    /// Stop when standard input ends, as on a signal: for a parent process that must not leave this one behind
    #[arg(long)]
    until_input_ends: bool,
}

impl RunArgs {
    /// Asks the role to stop when standard input ends, if that was wanted.
    fn watch_input(&self, shutdown: &CancellationToken) {
        if !self.until_input_ends {
            return;
        }
        let shutdown = shutdown.clone();
        // A thread of its own: one that reads cannot be cancelled, and must not keep the runtime from ending.
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            shutdown.cancel();
        });
    }
}

/// Runs a teacher node.
pub fn teacher(args: TeacherArgs, console: &Console) -> Result<Exit, Fault> {
    let TeacherAction::Run(args) = args.action;
    let Some(loaded) = settings::<TeacherNodeConfig>(&args, TEACHER_VARIABLES, console)? else {
        return Ok(Exit::Done);
    };
    lifecycle::outcome("teacher", async |shutdown| {
        args.watch_input(&shutdown);
        conclave_teacher_node::run(&loaded, shutdown).await
    })?;
    Ok(Exit::Done)
}

/// Runs an aggregator.
pub fn aggregator(args: AggregatorArgs, console: &Console) -> Result<Exit, Fault> {
    let AggregatorAction::Run(args) = args.action;
    let Some(loaded) = settings::<AggregatorConfig>(&args, AGGREGATOR_VARIABLES, console)? else {
        return Ok(Exit::Done);
    };
    lifecycle::outcome("aggregator", async |shutdown| {
        args.watch_input(&shutdown);
        conclave_aggregator::run(&loaded, shutdown).await
    })?;
    Ok(Exit::Done)
}

/// Runs a student, or asks one.
pub fn student(args: StudentArgs, console: &Console) -> Result<Exit, Fault> {
    let args = match args.action {
        StudentAction::Run(args) => args,
        StudentAction::Predict(args) => return predict::run(&args, console),
    };
    let Some(loaded) = settings::<StudentConfig>(&args, STUDENT_VARIABLES, console)? else {
        return Ok(Exit::Done);
    };
    lifecycle::outcome("student", async |shutdown| {
        args.watch_input(&shutdown);
        conclave_student::run(&loaded, shutdown).await
    })?;
    Ok(Exit::Done)
}

/// Settings to run on; `None` once they have been printed instead.
fn settings<T>(args: &RunArgs, variables: &str, console: &Console) -> Result<Option<Loaded<T>>, Fault>
where
    T: Serialize + DeserializeOwned,
{
    let loaded = config::load::<T>(Some(&args.config), variables, toml::Table::new())?;
    if !args.print_config {
        return Ok(Some(loaded));
    }
    let settings: Vec<String> = loaded.settings()?.iter().map(ToString::to_string).collect();
    console.result(|| settings.join("\n") + "\n", &serde_json::json!({ "settings": settings }))?;
    Ok(None)
}

impl From<ConfigError> for Fault {
    fn from(error: ConfigError) -> Self {
        let ConfigError::Faults(faults) = &error else { return Failure::from(error).into() };
        let [first, others @ ..] = &faults[..] else { return Failure::from(error).into() };
        let value = first.value.clone().unwrap_or_default();
        let mut fault =
            Self::from_words(Exit::BadInput, "invalid-setting", &first.key, &value, &first.to_string());
        if !others.is_empty() {
            let lines: Vec<String> = faults.iter().map(|fault| format!("\n  {fault}")).collect();
            fault.message = format!("{} settings cannot be used:{}\n", faults.len(), lines.concat());
            "correct each of them".clone_into(&mut fault.fix);
        }
        fault
    }
}

/// Names of environment variables of a teacher node begin with this.
pub(crate) const TEACHER_VARIABLES: &str = "CONCLAVE_TEACHER";
