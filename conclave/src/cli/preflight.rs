//! `conclave preflight`: everything that would keep a role from working, before it is started.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use conclave_aggregator::{AggregatorConfig, ENV_PREFIX as AGGREGATOR_VARIABLES};
use conclave_service::config::{self, ConfigError, Loaded};
use conclave_service::lifecycle::{self, Failure};
use conclave_student::config::{ENV_PREFIX as STUDENT_VARIABLES, StudentConfig};
use conclave_teacher_node::TeacherNodeConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::roles::TEACHER_VARIABLES;
use super::{Console, Exit, Fault};
use crate::preflight::{Preflight, aggregator, student, teacher};

/// Look at everything that a role needs before it is started: kit, address, disk, ledger, peers, clocks, digests
///
/// Nothing is changed. Each problem is told with its field, its value and how to put it right; the exit status is that of
/// the first: 1 for a book that another process has open, 2 for settings, kit or machine, 4 for a ledger that does not verify, 5 for a
/// peer that is missing. A role that runs here already is no problem.
#[derive(Debug, clap::Args)]
pub struct PreflightArgs {
    /// Which role: teacher, aggregator or student
    #[arg(value_enum, hide_possible_values = true)]
    role: RoleName,
    /// The settings that the role would run with
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RoleName {
    Teacher,
    Aggregator,
    Student,
}

/// Looks and tells.
pub fn run(args: &PreflightArgs, console: &Console) -> Result<Exit, Fault> {
    let path = args.config.as_path();
    let flight = lifecycle::outcome("preflight", |shutdown| async move {
        let looking = async {
            match args.role {
                RoleName::Teacher => match settings::<TeacherNodeConfig>(path, TEACHER_VARIABLES) {
                    Ok(loaded) => teacher::look(loaded).await,
                    Err(error) => unreadable("teacher", error),
                },
                RoleName::Aggregator => match settings::<AggregatorConfig>(path, AGGREGATOR_VARIABLES) {
                    Ok(loaded) => aggregator::look(loaded).await,
                    Err(error) => unreadable("aggregator", error),
                },
                RoleName::Student => match settings::<StudentConfig>(path, STUDENT_VARIABLES) {
                    Ok(loaded) => student::look(loaded).await,
                    Err(error) => unreadable("student", error),
                },
            }
        };
        let looked = Box::pin(shutdown.run_until_cancelled(looking)).await;
        looked.ok_or_else(|| Failure::interrupted("nothing was changed; look again"))
    })?;
    console.result(|| flight.in_words(), &flight)?;
    Ok(flight.error().map_or(Exit::Done, |fault| fault.exit))
}

fn settings<T: Serialize + DeserializeOwned>(path: &Path, variables: &str) -> Result<Loaded<T>, ConfigError> {
    config::load::<T>(Some(path), variables, toml::Table::new())
}

fn unreadable(role: &'static str, error: ConfigError) -> Preflight {
    let mut flight = Preflight::of(role);
    flight.settings(error);
    flight
}
