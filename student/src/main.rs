//! `student`: learns from a campaign's released labels, and serves predictions.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use conclave_service::lifecycle::Failure;
use conclave_service::{config, lifecycle, telemetry};
use conclave_student::config::{ENV_PREFIX, StudentConfig};

/// Learns from a campaign's released labels, and serves predictions.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Learn, unless a trained model is there, and serve until stopped.
    Run {
        /// The settings file; every setting can also be given as CONCLAVE_STUDENT__SECTION__NAME.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// What to log, such as info or conclave_student=debug.
        #[arg(long, value_name = "FILTER")]
        log: Option<String>,
        /// Print the settings in effect with their origins, and stop.
        #[arg(long)]
        print_config: bool,
    },
}

fn main() -> ExitCode {
    let Command::Run { config, log, print_config } = Arguments::parse().command;
    lifecycle::run("student", async |shutdown| {
        telemetry::start(log.as_deref())?;
        let loaded = config::load::<StudentConfig>(Some(&config), ENV_PREFIX, toml::Table::new())?;
        if print_config {
            return print(&loaded.settings()?);
        }
        conclave_student::run(&loaded, shutdown).await
    })
}

#[expect(clippy::print_stdout, reason = "the settings are what was asked for")]
fn print(settings: &[config::Setting]) -> Result<(), Failure> {
    for setting in settings {
        println!("{setting}");
    }
    Ok(())
}
