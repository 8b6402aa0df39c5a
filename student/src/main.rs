//! `student`: learns from a campaign's released labels, and serves predictions.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use conclave_service::lifecycle::{self, Failure};
use conclave_service::{config, telemetry};
use conclave_student::config::ENV_PREFIX;

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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    lifecycle::run("student", async |shutdown| {
        telemetry::start(arguments.log.as_deref()).map_err(Failure::from)?;
        let loaded = config::load(Some(&arguments.config), ENV_PREFIX, toml::Table::new())?;
        conclave_student::run(&loaded, shutdown).await
    })
}
