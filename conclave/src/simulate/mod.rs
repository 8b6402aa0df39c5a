//! A whole consortium on one machine: the production services on loopback, from one seed.
//!
//! What a simulation makes is marked `simulated`: its noise can be repeated, so none of it is private. In return its
//! report may show what no real campaign shows.

pub mod labels;
pub mod report;
pub mod summary;

use std::path::{Path, PathBuf};

use crate::cli::simulate::Overrides;
use crate::cli::{Fault, Progress};
use report::ReportData;

/// What a simulation leaves behind.
#[derive(Debug)]
pub struct Finished {
    /// Everything that the report tells.
    pub report: ReportData,
    /// Files that were written.
    pub artifacts: Artifacts,
    /// Why it stopped early, if it did; the rest is then about what was released before.
    pub refusal: Option<Fault>,
}

/// Files of a simulation; absent where none was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Artifacts {
    /// The HTML report.
    pub report: Option<PathBuf>,
    /// The released labels, as CSV.
    pub labels: Option<PathBuf>,
    /// The budget's ledger.
    pub ledger: Option<PathBuf>,
    /// The student model.
    pub student: Option<PathBuf>,
}

/// Runs the scenario under the overrides.
pub fn run(scenario: Option<&Path>, overrides: &Overrides, progress: Progress) -> Result<Finished, Fault> {
    let _ = (scenario, overrides, progress);
    Err(not_built())
}

/// The scenario with every setting in effect, as TOML.
pub fn effective_scenario(scenario: Option<&Path>, overrides: &Overrides) -> Result<String, Fault> {
    let _ = (scenario, overrides);
    Err(not_built())
}

fn not_built() -> Fault {
    Fault::input("not-built", "simulate", "", "is being built", "use another command")
}
