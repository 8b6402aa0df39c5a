//! Logs: text for people on a terminal, JSON lines for machines, always on stderr so that stdout stays for results.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::error::ServiceError;

/// Starts logging for this process, once. `filter` (from a flag) wins over `CONCLAVE_LOG`; without both it is `info`.
/// A filter is a level (`debug`) or targets with levels (`conclave_aggregator=debug,info`).
pub fn start(filter: Option<&str>) -> Result<(), ServiceError> {
    let filter = filter.map(str::to_owned).or_else(|| environment(FILTER_VARIABLE));
    let filter = filter.unwrap_or_else(|| DEFAULT_FILTER.to_owned());
    let fault = |problem: String| ServiceError::Telemetry { filter: filter.clone(), problem };
    let parsed = EnvFilter::try_new(&filter).map_err(|error| fault(error.to_string()))?;

    let lines = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(io::stderr)
        // Telling on stderr that stderr is gone panics: a service whose log reader left could not even be stopped.
        .log_internal_errors(false);
    let started = if io::stderr().is_terminal() {
        // https://no-color.org: set and not empty means no colours.
        let colours = environment("NO_COLOR").is_none_or(|value| value.is_empty());
        lines.with_ansi(colours).finish().try_init()
    } else {
        lines.json().flatten_event(true).finish().try_init()
    };
    started.map_err(|error| fault(error.to_string()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "logging starts before settings are read, and is steered by flag or environment"
)]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

const FILTER_VARIABLE: &str = "CONCLAVE_LOG";
const DEFAULT_FILTER: &str = "info";
