//! `teacher-node`: one silo's teachers behind gRPC.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use conclave_service::lifecycle::{self, Failure};
use conclave_service::{config, telemetry};

/// Answers a campaign's queries from private data that stay here.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The settings file; every setting can also be given as CONCLAVE_TEACHER__SECTION__NAME.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// What to log, such as info or conclave_teacher_node=debug.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    lifecycle::run("teacher-node", async |shutdown| {
        telemetry::start(arguments.log.as_deref()).map_err(Failure::from)?;
        let loaded = config::load(Some(&arguments.config), "CONCLAVE_TEACHER", toml::Table::new())?;
        conclave_teacher_node::run(&loaded, shutdown).await
    })
}
