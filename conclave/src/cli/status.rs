//! `conclave status`: how far a running campaign is, and what is left of the budget.
//!
//! Everything that it shows is public: the contract, counts of queries, charges, and who is there.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use conclave_privacy::accountant::rho_to_epsilon_within;
use conclave_privacy::quantity::Rho;
use conclave_proto::campaign::v1::campaign_service_client::CampaignServiceClient;
use conclave_proto::campaign::v1::{CampaignState, GetContractRequest, GetStatusRequest, GetStatusResponse};
use conclave_trust::Contract;
use serde::Serialize;
use tonic::transport::Channel;

use super::reach::{Reach, ReachArgs, asking};
use super::{Console, Exit, Fault};
use crate::simulate::report::figure_up;

/// Ask a running aggregator how far its campaign is and what is left of the budget
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    reach: ReachArgs,
}

#[derive(Debug, Serialize)]
pub(super) struct Told {
    campaign: String,
    contract: String,
    phase: &'static str,
    #[serde(skip)]
    meaning: &'static str,
    queries: Queries,
    nodes: Nodes,
    privacy: Privacy,
    silos: Vec<Silo>,
    rejected: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
struct Queries {
    most: u32,
    proposed: u32,
    answered: u32,
    abstained: u32,
    interrupted: u32,
    waiting: u32,
}

#[derive(Debug, Serialize)]
struct Nodes {
    present: u32,
    total: u32,
    /// `ORGANISATION/NODE: REASON` of each that refused last.
    refused: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Privacy {
    unit: &'static str,
    adjacency: &'static str,
    delta: f64,
    epsilon: f64,
    epsilon_spent: f64,
    queries_left: u64,
    simulated: bool,
}

#[derive(Debug, Serialize)]
struct Silo {
    organisation: String,
    data_id: String,
    epsilon_spent: f64,
    /// Of the cap, in per cent, rounded up.
    spent_per_cent: u64,
}

/// Asks and tells.
pub fn run(args: &StatusArgs, console: &Console) -> Result<Exit, Fault> {
    let reach = args.reach.reach()?;
    let (contract, status) = asking("status", "ask again", ask(&reach, ""))?;
    let told = tell(&reach, &contract, status)?;
    console.result(|| in_words(&told), &told)?;
    Ok(Exit::Done)
}

/// The contract of `campaign` (empty: the one that is open, or was last), and how it stands.
pub(super) async fn ask(reach: &Reach, campaign: &str) -> Result<(Contract, GetStatusResponse), Fault> {
    let mut service = CampaignServiceClient::new(reach.connect().await?);
    let contract = contract(&mut service, reach, campaign).await?;
    let request = GetStatusRequest { campaign_id: contract.campaign.to_string() };
    let status = service.get_status(request).await.map_err(|status| reach.refused(&status))?.into_inner();
    Ok((contract, status))
}

/// What there is to tell about it.
pub(super) fn tell(reach: &Reach, contract: &Contract, status: GetStatusResponse) -> Result<Told, Fault> {
    told(contract, status).map_err(|error| reach.unreadable("the contract", &error))
}

/// The contract of `campaign` (empty: the one that is open, or was last).
pub(super) async fn contract(
    service: &mut CampaignServiceClient<Channel>,
    reach: &Reach,
    campaign: &str,
) -> Result<Contract, Fault> {
    let request = GetContractRequest { campaign_id: campaign.to_owned() };
    let answer = service.get_contract(request).await.map_err(|status| reach.refused(&status))?.into_inner();
    let sent = answer.contract.ok_or_else(|| reach.unreadable("the contract", &"it is absent"))?;
    Contract::try_from(sent).map_err(|error| reach.unreadable("the contract", &error))
}

fn told(contract: &Contract, status: GetStatusResponse) -> Result<Told, conclave_trust::ContractError> {
    let price = contract.price_per_query()?.units().max(1);
    let left =
        |cap: u64, spent: u64, reserved: u64| cap.saturating_sub(spent.saturating_add(reserved)) / price;
    let campaign = left(status.rho_cap_units, status.rho_spent_units, status.rho_reserved_units);
    let accounts = status.accounts.iter();
    let queries_left = accounts
        .map(|account| left(account.rho_cap_units, account.rho_spent_units, account.rho_reserved_units))
        .fold(campaign, u64::min);
    let silos = status.accounts.iter().map(|account| Silo {
        organisation: account.organisation.clone(),
        data_id: account.data_id.clone(),
        epsilon_spent: rho_to_epsilon_within(
            Rho::from_units(account.rho_spent_units),
            contract.delta,
            contract.filter_order,
        ),
        spent_per_cent: (account.rho_spent_units.saturating_mul(100)).div_ceil(account.rho_cap_units.max(1)),
    });
    let refusing = status.nodes.iter().filter(|node| !node.refused.is_empty());
    Ok(Told {
        campaign: contract.campaign.to_string(),
        contract: contract.digest().to_string(),
        phase: phase(status.state()),
        meaning: meaning(status.state()),
        queries: Queries {
            most: contract.queries_max,
            proposed: status.queries_admitted,
            answered: status.queries_answered,
            abstained: status.queries_abstained,
            interrupted: status.queries_interrupted,
            waiting: status.queries_waiting,
        },
        nodes: Nodes {
            present: status.nodes_present,
            total: status.nodes_total,
            refused: refusing
                .map(|node| format!("{}/{}: {}", node.organisation, node.node, node.refused))
                .collect(),
        },
        privacy: Privacy {
            unit: contract.unit.name(),
            adjacency: contract.adjacency.name(),
            delta: status.delta,
            epsilon: status.epsilon_cap,
            epsilon_spent: status.epsilon_spent,
            queries_left,
            simulated: contract.simulated,
        },
        silos: silos.collect(),
        rejected: status.rejected.into_iter().collect(),
    })
}

/// One word for scripts.
fn phase(state: CampaignState) -> &'static str {
    match state {
        CampaignState::Idle => "idle",
        CampaignState::Asking => "asking",
        CampaignState::BudgetSpent => "budget-spent",
        CampaignState::BelowQuorum => "below-quorum",
        CampaignState::Halted => "halted",
        CampaignState::Ended => "ended",
        CampaignState::Unspecified => "unknown",
    }
}

/// The same for people.
pub(super) fn meaning(state: CampaignState) -> &'static str {
    match state {
        CampaignState::Idle => "every proposed query is answered",
        CampaignState::Asking => "queries are being asked",
        CampaignState::BudgetSpent => "not one query more fits under the caps",
        CampaignState::BelowQuorum => "too few teachers answer; it goes on when they are back",
        CampaignState::Halted => "the ledger cannot be written; see the aggregator's log",
        CampaignState::Ended => "it was stopped, and asks nothing more; its answers can be read",
        CampaignState::Unspecified => "it says something that this version does not know",
    }
}

pub(super) fn in_words(told: &Told) -> String {
    let Told { campaign, meaning, queries, nodes, privacy, silos, rejected, .. } = told;
    let terms = format!("(unit {}, adjacency {}, δ = {:e})", privacy.unit, privacy.adjacency, privacy.delta);
    let mut text = format!("Campaign {campaign}: {meaning}\n\n");
    let mut line = |name: &str, words: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<11}{words}");
    };
    line(
        "Queries",
        format!(
            "{} of at most {} proposed: {} labels, {} abstentions, {} interrupted, {} waiting",
            queries.proposed,
            queries.most,
            queries.answered,
            queries.abstained,
            queries.interrupted,
            queries.waiting
        ),
    );
    let refused = nodes.refused.join(", ");
    let refused = if refused.is_empty() { refused } else { format!("; refused by {refused}") };
    line("Nodes", format!("{} of {} are there{refused}", nodes.present, nodes.total));
    line("Guarantee", format!("ε = {} {terms}: that of the campaign's cap", figure_up(privacy.epsilon)));
    line("Spent", format!("ε = {} {terms}: after the fact", figure_up(privacy.epsilon_spent)));
    line("Left", format!("{} queries, at the price of one that is answered", privacy.queries_left));
    for silo in silos {
        let Silo { organisation, data_id, epsilon_spent, spent_per_cent } = silo;
        let spent = figure_up(*epsilon_spent);
        line(
            "Account",
            format!("{organisation}, {data_id}: {spent_per_cent} % of its cap spent, ε = {spent} {terms}"),
        );
    }
    let rejected: Vec<String> = rejected
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    if !rejected.is_empty() {
        line("Rejected", format!("{} submissions", rejected.join(", ")));
    }
    if privacy.simulated {
        line("SIMULATED", "the noise comes from a seed: nothing here is private".to_owned());
    }
    text
}
