//! `student`: learns from a campaign's released labels, and serves predictions.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use conclave_service::lifecycle::{self, Failure};
use conclave_service::{config, health, telemetry};
use conclave_student::config::{ENV_PREFIX, StudentConfig};

/// Learns from a campaign's released labels, and serves predictions.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The settings file; every setting can also be given as CONCLAVE_STUDENT__SECTION__NAME.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// What to log, such as info or conclave_student=debug.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Only ask the process that runs with these settings whether it is ready; exit status 0 says that it is.
    #[arg(long)]
    probe: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    lifecycle::run("student", async |shutdown| {
        telemetry::start(arguments.log.as_deref()).map_err(Failure::from)?;
        let loaded = config::load::<StudentConfig>(Some(&arguments.config), ENV_PREFIX, toml::Table::new())?;
        if arguments.probe {
            return health::probe(loaded.value.listen, loaded.value.kit.as_deref()).await;
        }
        conclave_student::run(&loaded, shutdown).await
    })
}
