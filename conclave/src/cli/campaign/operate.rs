//! `conclave campaign start` and `stop`: what an operator asks of a running aggregator.

use std::fmt::Write as _;
use std::path::PathBuf;

use conclave_aggregator::{CampaignFile, CampaignSettings};
use conclave_proto::campaign::v1::campaign_service_client::CampaignServiceClient;
use conclave_proto::campaign::v1::operator_service_client::OperatorServiceClient;
use conclave_proto::campaign::v1::{CampaignTerms, StartCampaignRequest, StopCampaignRequest};
use conclave_proto::common::v1::VotingScheme;
use conclave_service::config;
use conclave_trust::Contract;
use conclave_trust::contract::{mechanism_to_wire, unit_to_wire};
use serde::Serialize;

use super::watch::Member;
use super::{VARIABLES, no_variables};
use crate::cli::reach::{Reach, ReachArgs, asking};
use crate::cli::status;
use crate::cli::values::at_least_one;
use crate::cli::{Console, Exit, Fault};
use crate::simulate::plan::noise_in_words;

/// Have a running aggregator open a campaign: every silo is asked for its agreement
///
/// The same campaign again goes on where it was. Needs an operator's kit that the aggregator's settings name.
#[derive(Debug, clap::Args)]
pub(super) struct StartArgs {
    /// The campaign, from `conclave campaign create`
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    reach: ReachArgs,
    /// Ask no more than so many queries in a minute [default: as the aggregator's settings say]
    #[arg(long, value_name = "N", value_parser = at_least_one("queries-per-minute"))]
    queries_per_minute: Option<u32>,
}

/// End a campaign: nothing more is asked, and what was released stays readable
#[derive(Debug, clap::Args)]
pub(super) struct StopArgs {
    /// Which campaign [default: the one that is open]
    #[arg(value_name = "NAME")]
    campaign: Option<String>,
    #[command(flatten)]
    reach: ReachArgs,
}

#[derive(Debug, Serialize)]
struct Opened {
    campaign: String,
    contract: String,
    resumed: bool,
    answers: u64,
    silos: usize,
    teachers: u64,
    queries_max: u32,
    noise: String,
    quorum: u32,
    /// Of the silos that have agreed.
    teachers_present: u64,
    members: Vec<Member>,
}

#[derive(Debug, Serialize)]
struct Ended {
    campaign: String,
    answers: u64,
    stopped_before: bool,
}

pub(super) fn start(args: &StartArgs, console: &Console) -> Result<Exit, Fault> {
    let loaded =
        config::load_from::<CampaignFile>(Some(&args.file), VARIABLES, no_variables(), toml::Table::new())?;
    let plan = CampaignFile::check(&loaded)?;
    let reach = args.reach.reach()?;
    let request = StartCampaignRequest {
        terms: Some(terms(&plan)),
        queries_per_minute_max: args.queries_per_minute.unwrap_or_default(),
    };
    let resume = "it may be open all the same: see `conclave campaign status`, or start it again";
    let opened = asking("campaign start", resume, ask_to_start(&reach, request))?;
    console.result(|| opened.in_words(), &opened)?;
    Ok(Exit::Done)
}

async fn ask_to_start(reach: &Reach, request: StartCampaignRequest) -> Result<Opened, Fault> {
    let mut service = OperatorServiceClient::new(reach.connect().await?);
    let answer = service.start_campaign(request).await.map_err(|status| reach.refused(&status))?.into_inner();
    let contract = answer.contract.ok_or_else(|| reach.unreadable("the contract", &"it is absent"))?;
    let contract = Contract::try_from(contract).map_err(|error| reach.unreadable("the contract", &error))?;
    let members: Vec<_> = answer.nodes.into_iter().map(Member::from).collect();
    let agreed = |silo: &conclave_trust::Member| {
        members.iter().any(|member| member.present && member.organisation == silo.organisation.as_str())
    };
    let present = contract.members.iter().filter(|silo| agreed(silo));
    Ok(Opened {
        campaign: contract.campaign.to_string(),
        contract: contract.digest().to_string(),
        resumed: answer.resumed,
        answers: answer.answers,
        silos: contract.members.len(),
        teachers: contract.teachers(),
        queries_max: contract.queries_max,
        noise: noise_in_words(&contract.mechanism),
        quorum: contract.teachers_quorum_min,
        teachers_present: present.map(|silo| u64::from(silo.teachers)).sum(),
        members,
    })
}

/// The plan as a message.
fn terms(plan: &CampaignSettings) -> CampaignTerms {
    let conclave_privacy::unit::VotingScheme::Ensemble = plan.scheme;
    CampaignTerms {
        campaign_id: plan.id.to_string(),
        mechanism: Some(mechanism_to_wire(&plan.mechanism)),
        lattice_bits: plan.mechanism.lattice().bits().into(),
        unit: Some(unit_to_wire(plan.unit, plan.adjacency)),
        scheme: VotingScheme::Ensemble.into(),
        epsilon: plan.epsilon.get(),
        delta: plan.delta.get(),
        teachers_quorum_min: plan.teachers_quorum_min,
        queries_max: plan.queries_max,
        vote_deadline_ms: plan.vote_deadline_ms,
    }
}

impl Opened {
    fn in_words(&self) -> String {
        let Self { campaign, contract, resumed, answers, silos, teachers, queries_max, noise, .. } = self;
        let how = if *resumed {
            format!("goes on, with {answers} answers so far")
        } else {
            format!("is open: {silos} silos with {teachers} teachers have agreed")
        };
        let mut text = format!(
            "Campaign {campaign} {how}.\n\nContract   {contract}\nQueries    at most {queries_max}\nNoise      {noise}\n"
        );
        // Writing to a string cannot fail.
        for Member { organisation, node, present, refused, .. } in &self.members {
            let stands = match (refused, present) {
                (Some(reason), _) => format!("refused: {reason}; both logs say more"),
                (None, true) => "agrees".to_owned(),
                (None, false) => "is not there; it is looked for".to_owned(),
            };
            let _ = writeln!(text, "Silo       {organisation}/{node} {stands}");
        }
        let (there, quorum) = (self.teachers_present, self.quorum);
        if !self.members.is_empty() && there < quorum.into() {
            let _ = writeln!(
                text,
                "Quorum     NOT reached: {there} of {teachers} teachers are there, and nothing is drawn before {quorum} are"
            );
        }
        text
    }
}

pub(super) fn stop(args: &StopArgs, console: &Console) -> Result<Exit, Fault> {
    let reach = args.reach.reach()?;
    let campaign = args.campaign.clone().unwrap_or_default();
    let ended = asking("campaign stop", "ask again", ask_to_stop(&reach, campaign))?;
    let words = || {
        let Ended { campaign, answers, stopped_before } = &ended;
        let how = if *stopped_before { "was stopped before" } else { "is stopped" };
        format!("Campaign {campaign} {how}; its {answers} answers stay readable.\n")
    };
    console.result(words, &ended)?;
    Ok(Exit::Done)
}

async fn ask_to_stop(reach: &Reach, named: String) -> Result<Ended, Fault> {
    let channel = reach.connect().await?;
    let campaign = if named.is_empty() {
        let mut service = CampaignServiceClient::new(channel.clone());
        status::contract(&mut service, reach, "").await?.campaign.to_string()
    } else {
        named
    };
    let request = StopCampaignRequest { campaign_id: campaign.clone() };
    let answer = OperatorServiceClient::new(channel).stop_campaign(request).await;
    let answer = answer.map_err(|status| reach.refused(&status))?.into_inner();
    Ok(Ended { campaign, answers: answer.answers, stopped_before: answer.stopped_before })
}
