//! `conclave campaign create`: a campaign's settings file, and in plain words what it would buy.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use conclave_aggregator::config::{CampaignConfig, MechanismConfig};
use conclave_aggregator::{CampaignFile, CampaignSettings};
use conclave_privacy::accountant::{epsilon_to_rho_within, filter_order_for};
use conclave_privacy::mechanism::Mechanism;
use conclave_privacy::quantity::{Delta, Epsilon, FilterOrder, Lattice};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};
use conclave_proto::campaign::v1::campaign_service_client::CampaignServiceClient;
use conclave_proto::campaign::v1::{CampaignState, GetContractRequest, GetStatusRequest, GetStatusResponse};
use conclave_service::{Refusal, config};
use conclave_trust::Contract;
use serde::Serialize;

use super::{VARIABLES, no_variables};
use crate::cli::reach::{AGGREGATOR, Reach, asking};
use crate::cli::simulate::MechanismName;
use crate::cli::status;
use crate::cli::values::{adjacency, at_least_one, delta, epsilon, positive, unit};
use crate::cli::{Console, Exit, Fault};
use crate::simulate::plan::{check_cap, figure, mechanism, noise_in_words};
use crate::simulate::report::figure_up;
use crate::simulate::scenario::Scenario;

/// Write the settings of a campaign, and say in plain words what it would buy
///
/// Without noise flags the noise is calibrated: the least with which all queries fit under the cap. Nothing is spent or
/// asked; with --server it is also compared with what a running aggregator tells about its silos and their budgets.
#[derive(Debug, clap::Args)]
pub(super) struct CreateArgs {
    /// Names the campaign; another name is another campaign
    #[arg(value_name = "NAME")]
    name: String,
    /// The settings file to make, to be given to `conclave campaign start`
    #[arg(long, value_name = "FILE.toml")]
    out: PathBuf,
    /// Most queries that the campaign may ask
    #[arg(long, value_name = "N", value_parser = at_least_one("queries"))]
    queries: u32,
    /// Fewest teachers whose votes must have arrived for a draw
    #[arg(long, value_name = "N", value_parser = at_least_one("quorum"))]
    quorum: u32,
    /// The campaign's part of the budget of every silo's data, at delta
    #[arg(long, value_name = "E", value_parser = epsilon, allow_hyphen_values = true)]
    epsilon: Epsilon,
    /// The probability with which the guarantee may fail
    #[arg(long, value_name = "D", value_parser = delta, allow_hyphen_values = true, default_value = "1e-5")]
    delta: Delta,
    /// What is drawn per query: lnmax, gnmax or confident-gnmax
    #[arg(long, value_name = "NAME", default_value = "gnmax")]
    mechanism: MechanismName,
    /// lnmax: the scale of the Laplace noise on each count, in votes
    #[arg(long, value_name = "B", value_parser = positive("scale"), allow_hyphen_values = true)]
    scale: Option<f64>,
    /// gnmax, confident-gnmax: standard deviation of the noise on each count, in votes
    #[arg(long, value_name = "S", value_parser = positive("sigma"), allow_hyphen_values = true)]
    sigma: Option<f64>,
    /// confident-gnmax: votes that the largest count must reach [default: 0.6 of the quorum]
    #[arg(long, value_name = "T", value_parser = positive("threshold"), allow_hyphen_values = true)]
    threshold: Option<f64>,
    /// confident-gnmax: standard deviation of the noise of the threshold test, in votes
    #[arg(long, value_name = "S", value_parser = positive("sigma1"), allow_hyphen_values = true)]
    sigma1: Option<f64>,
    /// Who is protected: record, subject:M (rows in up to M silos) or organisation:M (up to M teachers in one silo)
    #[arg(long, value_name = "UNIT", default_value = "record", value_parser = unit)]
    unit: PrivacyUnit,
    /// How neighbouring data sets differ: add-remove or replace
    #[arg(long, value_name = "NAME", default_value = "add-remove", value_parser = adjacency)]
    adjacency: Adjacency,
    /// How long votes are waited for, in milliseconds
    #[arg(long, value_name = "MS", default_value = "10000", value_parser = at_least_one("vote-deadline"))]
    vote_deadline: u32,
    /// Compare it with what the aggregator at this address tells
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<String>,
    /// Our own kit, made by `conclave provision`; plain text without one
    #[arg(long, value_name = "DIR", requires = "server")]
    kit: Option<PathBuf>,
    /// Who must be there: the aggregator's organisation and name, as in its kit
    #[arg(long, value_name = "ORGANISATION/NAME", default_value = AGGREGATOR)]
    aggregator: String,
}

#[derive(Debug, Serialize)]
struct Planned {
    campaign: String,
    file: PathBuf,
    epsilon: f64,
    delta: f64,
    unit: &'static str,
    adjacency: &'static str,
    mechanism: &'static str,
    noise: String,
    calibrated: bool,
    queries: u32,
    /// As many would fit under the cap at this noise.
    queries_fitting: u64,
    /// Between the two largest counts, in votes, so that noise turns their order around once in 20 times.
    lead_votes: f64,
    quorum: u32,
    /// Compared with a running aggregator.
    server: Option<String>,
}

pub(super) fn run(args: &CreateArgs, console: &Console) -> Result<Exit, Fault> {
    let scenario = Scenario {
        mechanism: args.mechanism,
        scale: args.scale,
        sigma: args.sigma,
        threshold: args.threshold,
        sigma1: args.sigma1,
        epsilon: args.epsilon,
        delta: args.delta,
        unit: args.unit,
        adjacency: args.adjacency,
        ..Scenario::default()
    };
    let sensitivity = Sensitivity::of(args.unit, args.adjacency, VotingScheme::Ensemble)?;
    let (mechanism, calibrated) =
        mechanism(&scenario, args.quorum, args.queries.into(), &sensitivity, false)?;
    let order = filter_order_for(args.epsilon, args.delta);
    let cap = epsilon_to_rho_within(args.epsilon, args.delta, order);
    check_cap(&scenario, &mechanism, &sensitivity, cap, args.queries as usize)?;
    let file = CampaignFile { campaign: config_of(args, &mechanism) };
    let plan = checked(&file)?;
    if let Some(server) = &args.server {
        let reach = Reach::new(server, args.kit.as_ref(), &args.aggregator)?;
        asking("campaign create", "nothing was written", compare(&reach, &plan))?;
    }
    write(&args.out, &file)?;
    let planned = Planned {
        campaign: args.name.clone(),
        file: args.out.clone(),
        epsilon: args.epsilon.get(),
        delta: args.delta.get(),
        unit: args.unit.name(),
        adjacency: args.adjacency.name(),
        mechanism: mechanism.name(),
        noise: noise_in_words(&mechanism),
        calibrated,
        queries: args.queries,
        queries_fitting: fitting(&mechanism, &sensitivity, cap.units(), order)?,
        lead_votes: lead(&mechanism),
        quorum: args.quorum,
        server: args.server.clone(),
    };
    console.result(|| planned.in_words(), &planned)?;
    Ok(Exit::Done)
}

fn config_of(args: &CreateArgs, mechanism: &Mechanism) -> CampaignConfig {
    let drawn = match mechanism {
        Mechanism::LnMax(lnmax) => MechanismConfig::LnMax { scale: lnmax.scale().votes() },
        Mechanism::GnMax(gnmax) => MechanismConfig::GnMax { sigma: gnmax.sigma().votes() },
        Mechanism::ConfidentGnMax(confident) => MechanismConfig::ConfidentGnMax {
            threshold: confident.threshold().votes(),
            sigma1: confident.sigma1().votes(),
            sigma: confident.sigma2().votes(),
        },
    };
    CampaignConfig {
        id: args.name.clone(),
        mechanism: drawn,
        lattice_bits: Lattice::DEFAULT.bits(),
        unit: args.unit,
        adjacency: args.adjacency,
        epsilon: args.epsilon.get(),
        delta: args.delta.get(),
        teachers_quorum_min: args.quorum,
        queries_max: args.queries,
        vote_deadline_ms: args.vote_deadline,
    }
}

/// The same check that the file will meet at its start.
fn checked(file: &CampaignFile) -> Result<CampaignSettings, Fault> {
    let table = toml::Table::try_from(file).map_err(|error| unwritable(Path::new(""), &error))?;
    let loaded = config::load_from::<CampaignFile>(None, VARIABLES, no_variables(), table)?;
    Ok(CampaignFile::check(&loaded)?)
}

/// What a running aggregator tells about its accounts and silos, against the plan. It is public, and may change.
async fn compare(reach: &Reach, plan: &CampaignSettings) -> Result<(), Fault> {
    let mut service = CampaignServiceClient::new(reach.connect().await?);
    let request = GetContractRequest { campaign_id: plan.id.to_string() };
    match service.get_contract(request).await {
        Ok(_) => return Err(taken(plan)),
        Err(status) if Refusal::read(&status).reason() == REASON_CAMPAIGN_UNKNOWN => {}
        Err(status) => return Err(reach.refused(&status)),
    }
    let contract = status::contract(&mut service, reach, "").await?;
    let request = GetStatusRequest { campaign_id: contract.campaign.to_string() };
    let status = service.get_status(request).await.map_err(|status| reach.refused(&status))?.into_inner();
    misfit(plan, &contract, &status).map_or(Ok(()), Err)
}

/// A name stands for the same terms for ever.
fn taken(plan: &CampaignSettings) -> Fault {
    let problem = "the aggregator's ledger has a campaign of this name already";
    Fault::input("misfit", "NAME", plan.id.to_string(), problem, "choose another name")
}

/// The first of what can be compared that would be refused. Each silo's own limits are its own: it is asked at the start.
fn misfit(plan: &CampaignSettings, contract: &Contract, status: &GetStatusResponse) -> Option<Fault> {
    let differs = |flag: &str, ours: String, theirs: String| {
        let fix = format!("give {theirs}: the accounts of this ledger have it for the life of the data");
        Fault::input("misfit", flag, ours, "the aggregator's accounts have another", fix)
    };
    if plan.delta != contract.delta {
        return Some(differs("--delta", plan.delta.get().to_string(), contract.delta.get().to_string()));
    }
    if plan.adjacency != contract.adjacency {
        return Some(differs("--adjacency", plan.adjacency.name().into(), contract.adjacency.name().into()));
    }
    if plan.unit != contract.unit {
        return Some(differs("--unit", format!("{:?}", plan.unit), format!("{:?}", contract.unit)));
    }
    if u64::from(plan.teachers_quorum_min) > contract.teachers() {
        let problem = format!("the aggregator's silos have {} teachers", contract.teachers());
        let quorum = plan.teachers_quorum_min.to_string();
        return Some(Fault::input("misfit", "--quorum", quorum, problem, "give at most as many"));
    }
    let sensitivity = contract.sensitivity().ok()?;
    let price = plan.mechanism.worst_case_within(&sensitivity, contract.filter_order).ok()?.units().max(1);
    let asked = price.saturating_mul(plan.queries_max.into());
    status.accounts.iter().find_map(|account| {
        let taken = account.rho_spent_units.saturating_add(account.rho_reserved_units);
        let left = account.rho_cap_units.saturating_sub(taken);
        (asked > left).then(|| {
            let fits = left / price;
            let problem =
                format!("the account of {} has room for {fits} of them at this noise", account.organisation);
            let open = status.state() != CampaignState::Ended;
            let fix = if open { "; the campaign that is open may use it up" } else { "" };
            let fix = format!("ask at most {fits} queries, or use more noise{fix}");
            let queries = plan.queries_max.to_string();
            Fault::new(Exit::Budget, "budget-spent", "--queries", queries, problem, fix)
        })
    })
}

/// A new file; one that is there may be somebody's campaign.
fn write(path: &Path, file: &CampaignFile) -> Result<(), Fault> {
    let text = toml::to_string(file).map_err(|error| unwritable(path, &error))?;
    let made = OpenOptions::new().write(true).create_new(true).open(path);
    made.and_then(|mut made| made.write_all(format!("{HEADER}{text}").as_bytes()))
        .map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &dyn std::fmt::Display) -> Fault {
    let shown = path.display().to_string();
    Fault::input("unwritable-file", "--out", shown, error, "name a new file in a folder that is there")
}

fn fitting(
    mechanism: &Mechanism,
    sensitivity: &Sensitivity,
    cap_units: u64,
    order: FilterOrder,
) -> Result<u64, Fault> {
    Ok(cap_units / mechanism.worst_case_within(sensitivity, order)?.units().max(1))
}

/// How far the two largest counts must be apart, in votes, for their noise to turn their order around in one of 20 draws:
/// the 95 % quantile of the difference of two independent draws. Gaussian: 1.645 · √2 · σ. Laplace: the root of
/// e^-x (2 + x) / 4 = 0.05, times the scale.
fn lead(mechanism: &Mechanism) -> f64 {
    match mechanism {
        Mechanism::LnMax(lnmax) => LAPLACE_DIFFERENCE_95 * lnmax.scale().votes(),
        Mechanism::GnMax(gnmax) => GAUSSIAN_DIFFERENCE_95 * gnmax.sigma().votes(),
        Mechanism::ConfidentGnMax(confident) => GAUSSIAN_DIFFERENCE_95 * confident.sigma2().votes(),
    }
}

impl Planned {
    fn in_words(&self) -> String {
        let mut text = format!(
            "Campaign {} is written to {}; nothing was asked.\n\n",
            self.campaign,
            self.file.display()
        );
        let mut line = |name: &str, words: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<11}{words}");
        };
        line(
            "Guarantee",
            format!(
                "ε = {} (unit {}, adjacency {}, δ = {:e}) at most, for all that it releases together",
                figure_up(self.epsilon),
                self.unit,
                self.adjacency,
                self.delta
            ),
        );
        line(
            "Queries",
            format!("{}; {} would fit under the cap at this noise", self.queries, self.queries_fitting),
        );
        let calibrated = if self.calibrated { ", the least that fits" } else { "" };
        line("Noise", format!("{}{calibrated}", self.noise));
        line(
            "Labels",
            format!(
                "a class that leads another by {} votes stays ahead of it in 95 of 100 draws",
                figure(self.lead_votes)
            ),
        );
        line("Quorum", format!("{} teachers must have voted, or nothing is drawn or charged", self.quorum));
        if let Some(server) = &self.server {
            line(
                "Compared",
                format!(
                    "with what {server} tells: the name is free, and unit, adjacency, δ, teachers and what is left in \
                     each account allow it today; what each silo itself allows is not known here: it is asked at the start"
                ),
            );
        }
        line("Next", format!("conclave campaign start {} --server HOST:PORT --kit DIR", self.file.display()));
        text
    }
}

/// What an aggregator says about a name that its ledger does not hold (proto/conclave/campaign/v1).
const REASON_CAMPAIGN_UNKNOWN: &str = "CAMPAIGN_UNKNOWN";
const HEADER: &str = "# A campaign, from `conclave campaign create`. To change a term, choose another id.\n";
const GAUSSIAN_DIFFERENCE_95: f64 = 1.644_853_626_951_472_7 * std::f64::consts::SQRT_2;
const LAPLACE_DIFFERENCE_95: f64 = 3.271_812;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lead_is_the_95_percent_quantile_of_a_difference_of_two_draws() {
        let x = LAPLACE_DIFFERENCE_95;
        assert!(((-x).exp() * (2.0 + x) / 4.0 - 0.05).abs() < 1e-6);
        // P(N(0, 2) > 2.326) = 0.05: tables.
        assert!((GAUSSIAN_DIFFERENCE_95 - 2.326_174).abs() < 1e-6);
    }
}
