//! `conclave campaign`: plan a campaign, have a running aggregator open it, follow it, and end it.
//!
//! Planning needs no server. Starting and stopping need an operator's kit that the aggregator's settings name; looking
//! needs any kit that may read.

mod create;
mod labels;
mod operate;
mod page;
mod watch;

use super::{Console, Exit, Fault};

/// Plan a campaign, start it on a running aggregator, follow it, stop it
#[derive(Debug, clap::Args)]
pub struct CampaignArgs {
    #[command(subcommand)]
    action: CampaignAction,
}

#[derive(Debug, clap::Subcommand)]
enum CampaignAction {
    Create(create::CreateArgs),
    Start(operate::StartArgs),
    Status(watch::WatchArgs),
    Labels(labels::LabelsArgs),
    Stop(operate::StopArgs),
}

/// Does what the action says.
pub fn run(args: &CampaignArgs, console: &Console) -> Result<Exit, Fault> {
    match &args.action {
        CampaignAction::Create(args) => create::run(args, console),
        CampaignAction::Start(args) => operate::start(args, console),
        CampaignAction::Status(args) => watch::run(args, console),
        CampaignAction::Labels(args) => labels::run(args, console),
        CampaignAction::Stop(args) => operate::stop(args, console),
    }
}

/// Variables of the environment do not reach into a campaign: it is what its file says.
fn no_variables() -> impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)> {
    std::iter::empty()
}

/// No variable begins with it; see [`no_variables`].
const VARIABLES: &str = "CONCLAVE_CAMPAIGN";
