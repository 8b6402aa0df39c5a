//! `aggregator`: one campaign behind gRPC, with its ledger.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use conclave_service::lifecycle::{self, Failure};
use conclave_service::{config, telemetry};

/// Collects a campaign's votes, spends its privacy budget and releases labels.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The settings file; every setting can also be given as CONCLAVE_AGGREGATOR__SECTION__NAME.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// What to log, such as info or conclave_aggregator=debug.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    lifecycle::run("aggregator", async |shutdown| {
        telemetry::start(arguments.log.as_deref()).map_err(Failure::from)?;
        let loaded =
            config::load(Some(&arguments.config), conclave_aggregator::ENV_PREFIX, toml::Table::new())?;
        conclave_aggregator::run(&loaded, shutdown).await
    })
}
