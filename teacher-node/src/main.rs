//! `teacher-node`: one silo's teachers behind gRPC.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use conclave_service::lifecycle::{self, Failure};
use conclave_service::{config, telemetry};
use conclave_teacher_node::TeacherNodeConfig;

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
    /// Only ask the process that runs with these settings whether it is ready; exit status 0 says that it is.
    #[arg(long)]
    probe: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    lifecycle::run("teacher-node", async |shutdown| {
        telemetry::start(arguments.log.as_deref()).map_err(Failure::from)?;
        let loaded = config::load::<TeacherNodeConfig>(
            Some(&arguments.config),
            "CONCLAVE_TEACHER",
            toml::Table::new(),
        )?;
        if arguments.probe {
            return conclave_teacher_node::probe(&loaded.value).await;
        }
        conclave_teacher_node::run(&loaded, shutdown).await
    })
}
