//! `conclave campaign labels`: every answer that was released, and what the campaign came to.
//!
//! One line per query: its id, what it was answered with, and the label's name. No truths, no counts: nothing here that
//! is not public.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use conclave_proto::campaign::v1::campaign_service_client::CampaignServiceClient;
use conclave_proto::campaign::v1::{CampaignState, GetStatusRequest, GetStatusResponse, ListAnswersRequest};
use conclave_proto::common::v1::Answer;
use conclave_proto::common::v1::answer::Outcome;
use conclave_proto::ids::QueryId;
use conclave_trust::Contract;
use serde::Serialize;

use super::page;
use crate::cli::console::Format;
use crate::cli::reach::{Reach, ReachArgs, asking};
use crate::cli::status::{self, Told};
use crate::cli::{Console, Exit, Fault};
use crate::simulate::labels::field;

/// Every label that a campaign has released, and what the campaign came to
///
/// Reading costs nothing: what is released stays what it is.
#[derive(Debug, clap::Args)]
pub(super) struct LabelsArgs {
    #[command(flatten)]
    reach: ReachArgs,
    /// Which campaign [default: the one that is open, or was last]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    campaign: String,
    /// Where to put the labels as CSV; a file that is there is replaced [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where to put a report to open in a browser; a file that is there is replaced
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Wait until every query that was proposed is answered, or the campaign is over
    #[arg(long)]
    follow: bool,
}

#[derive(Debug, Serialize)]
struct Read {
    #[serde(flatten)]
    told: Told,
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<Vec<Released>>,
    labels: Option<PathBuf>,
    report: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
pub(super) struct Released {
    query_id: String,
    pub(super) outcome: &'static str,
    pub(super) label: Option<String>,
}

pub(super) fn run(args: &LabelsArgs, console: &Console) -> Result<Exit, Fault> {
    let reach = args.reach.reach()?;
    let asked =
        asking("campaign labels", "ask again: reading is free", read(&reach, &args.campaign, args.follow));
    let (answers, contract, status) = asked?;
    let table = csv(&answers);
    if let Some(path) = &args.report {
        let page = page::to_html(&contract, &status, &answers);
        let page = page.map_err(|error| reach.unreadable("the contract", &error))?;
        write("--report", path, page.as_bytes())?;
    }
    let exit = match status.state() {
        CampaignState::Halted => Exit::Other,
        CampaignState::BudgetSpent if status.queries_waiting > 0 => Exit::Budget,
        _ => Exit::Done,
    };
    let told = status::tell(&reach, &contract, status)?;
    let report = args.report.clone();
    let mut words = status::in_words(&told);
    for (name, path) in [("Labels", &args.out), ("Report", &report)] {
        if let Some(path) = path {
            // Writing to a string cannot fail.
            let _ = writeln!(words, "{name:<11}{}", path.display());
        }
    }
    match (&args.out, console.format()) {
        (Some(path), _) => {
            write("--out", path, &table)?;
            console.result(|| words, &Read { told, answers: None, labels: Some(path.clone()), report })?;
        }
        (None, Format::Json) => {
            console.result(String::new, &Read { told, answers: Some(answers), labels: None, report })?;
        }
        (None, Format::Text) => {
            console.write(&table)?;
            console.note(words.trim_end());
        }
    }
    // Reading succeeded; that the rest will not come is what whoever waited for it must know.
    Ok(if args.follow { exit } else { Exit::Done })
}

/// All answers, and where the campaign stood after them.
async fn read(
    reach: &Reach,
    campaign: &str,
    follow: bool,
) -> Result<(Vec<Released>, Contract, GetStatusResponse), Fault> {
    let mut service = CampaignServiceClient::new(reach.connect().await?);
    let contract = status::contract(&mut service, reach, campaign).await?;
    let name = contract.campaign.to_string();
    let mut answers = Vec::new();
    let mut position = 0;
    loop {
        let wait_ms = if follow { WAIT_MS } else { 0 };
        let request = ListAnswersRequest { campaign_id: name.clone(), position, wait_ms };
        let page = service.list_answers(request).await.map_err(|status| reach.refused(&status))?.into_inner();
        let state = page.state();
        let (sent, next) = (page.answers.len(), page.next_position);
        for answer in page.answers {
            answers
                .push(released(&answer, &contract).map_err(|error| reach.unreadable("an answer", &error))?);
        }
        position = next;
        if sent > 0 {
            continue;
        }
        let over = match state {
            CampaignState::Idle => {
                // Nothing was proposed yet: that is no end.
                let request = GetStatusRequest { campaign_id: name.clone() };
                let status = service.get_status(request).await.map_err(|status| reach.refused(&status))?;
                let idle = status.into_inner();
                if idle.queries_admitted == 0 {
                    tokio::time::sleep(std::time::Duration::from_millis(WAIT_MS.into())).await;
                }
                idle.queries_admitted > 0
            }
            CampaignState::BudgetSpent | CampaignState::Halted | CampaignState::Ended => true,
            CampaignState::Asking | CampaignState::BelowQuorum | CampaignState::Unspecified => false,
        };
        if over || !follow {
            break;
        }
    }
    let (contract, status) = status::ask(reach, &name).await?;
    Ok((answers, contract, status))
}

fn released(answer: &Answer, contract: &Contract) -> Result<Released, String> {
    let query_id = QueryId::from_slice(&answer.query_id).map_err(|error| error.to_string())?.to_string();
    let (outcome, label) = match &answer.outcome {
        Some(Outcome::Label(class)) => {
            let name = contract.class_names.get(*class as usize);
            ("label", Some(name.ok_or_else(|| format!("class {class} has no name"))?.clone()))
        }
        Some(Outcome::Abstention(_)) => ("abstained", None),
        Some(Outcome::Interrupted(_)) => ("interrupted", None),
        None => return Err("it has no outcome".to_owned()),
    };
    Ok(Released { query_id, outcome, label })
}

/// A header and one line per answer, as RFC 4180 wants it.
fn csv(answers: &[Released]) -> Vec<u8> {
    let mut table = "query_id,outcome,label\n".to_owned();
    for Released { query_id, outcome, label } in answers {
        let label = label.as_deref().map(field).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{query_id},{outcome},{label}");
    }
    table.into_bytes()
}

fn write(flag: &str, path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let written = std::fs::File::create(path).and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| {
        let shown = path.display().to_string();
        Fault::input("unwritable-file", flag, shown, error, "name a file that can be made")
    })
}

/// How long one call waits for a further answer.
const WAIT_MS: u32 = 2_000;
