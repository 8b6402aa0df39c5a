//! `conclave campaign status`: what `conclave status` tells, and every node by name.

use std::fmt::Write as _;

use conclave_proto::campaign::v1::NodeStatus;
use serde::Serialize;

use crate::cli::reach::{ReachArgs, asking};
use crate::cli::status::{self, Told};
use crate::cli::{Console, Exit, Fault};

/// How far a campaign is, what is left of the budget, and which nodes answer
#[derive(Debug, clap::Args)]
pub(super) struct WatchArgs {
    #[command(flatten)]
    reach: ReachArgs,
    /// Which campaign [default: the one that is open, or was last]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    campaign: String,
}

#[derive(Debug, Serialize)]
struct Watched {
    #[serde(flatten)]
    told: Told,
    members: Vec<Member>,
}

/// A silo's node, as the aggregator sees it.
#[derive(Debug, Serialize)]
pub(super) struct Member {
    pub(super) organisation: String,
    pub(super) node: String,
    pub(super) present: bool,
    /// Seconds since its last answer; null if it never answered to this process.
    last_answer_s: Option<u32>,
    /// The reason of its last refusal; null once it has agreed or voted since.
    pub(super) refused: Option<String>,
}

pub(super) fn run(args: &WatchArgs, console: &Console) -> Result<Exit, Fault> {
    let reach = args.reach.reach()?;
    let asked = status::ask(&reach, &args.campaign);
    let (contract, status) = asking("campaign status", "ask again", asked)?;
    let nodes = status.nodes.clone();
    let told = status::tell(&reach, &contract, status)?;
    let watched = Watched { told, members: nodes.into_iter().map(Member::from).collect() };
    console.result(|| in_words(&watched), &watched)?;
    Ok(Exit::Done)
}

impl From<NodeStatus> for Member {
    fn from(node: NodeStatus) -> Self {
        let NodeStatus { organisation, node, present, last_answer_s, refused } = node;
        let refused = (!refused.is_empty()).then_some(refused);
        Self { organisation, node, present, last_answer_s, refused }
    }
}

fn in_words(watched: &Watched) -> String {
    let mut text = status::in_words(&watched.told);
    for Member { organisation, node, present, last_answer_s, refused } in &watched.members {
        let there = match (refused, present) {
            (Some(reason), _) => format!("refused: {reason}"),
            (None, true) => "there".to_owned(),
            (None, false) => "away".to_owned(),
        };
        let heard = last_answer_s
            .map_or_else(|| "has not answered yet".to_owned(), |ago| format!("answered {ago} s ago"));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<11}{organisation}/{node}: {there}, {heard}", "Node");
    }
    text
}
