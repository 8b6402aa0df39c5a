//! `conclave budget plan`: what a target buys, before anything is spent.

mod words;

use std::path::PathBuf;

use conclave_privacy::accountant::{Direction, filter_order_for};
use conclave_privacy::analysis::Answered;
use conclave_privacy::data_dependent::NoisyVote;
use conclave_privacy::planning::{Aim, PLANS_MAX, Plan, PlanAccount, PublicVotes, Target, plans};
use conclave_privacy::quantity::{Delta, Epsilon, FilterOrder, Scale};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};
use serde::Serialize;

use super::super::values::{adjacency, at_least_one, delta, epsilon, positive, unit};
use super::super::{Console, Exit, Fault, Progress};
use super::groups::{NamedGroup, Section, group};
use super::votes;

/// What a target buys before anything is spent: noise, threshold, expected right answers
///
/// Expectations come from a vote model: a file of public or simulated vote counts, or an assumed one. Never give the private
/// votes: a plan chosen by them tells about them.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("aim").required(true).args(["epsilon", "sigma"]))]
pub(super) struct PlanArgs {
    /// How many teachers vote
    #[arg(long, value_name = "N", value_parser = at_least_one("teachers"), allow_hyphen_values = true)]
    teachers: u32,
    /// How many classes there are (with --vote-model: as many as the file has)
    #[arg(long, value_name = "N", value_parser = at_least_one("classes"), allow_hyphen_values = true)]
    classes: u32,
    /// How many queries are to be asked
    #[arg(long, value_name = "N", value_parser = at_least_one("queries"), allow_hyphen_values = true)]
    queries: u32,
    /// The probability with which the guarantee may fail
    #[arg(long, value_name = "D", value_parser = delta, allow_hyphen_values = true)]
    delta: Delta,
    /// The privacy loss to spend; the noise follows
    #[arg(long, value_name = "E", value_parser = epsilon, allow_hyphen_values = true)]
    epsilon: Option<Epsilon>,
    /// Standard deviation of the noise on each count, in votes; the privacy loss follows
    #[arg(long, value_name = "S", value_parser = positive("sigma"), allow_hyphen_values = true)]
    sigma: Option<f64>,
    /// Who is protected: record, subject:SILOS or organisation:TEACHERS
    #[arg(long, value_name = "UNIT", default_value = "record", value_parser = unit)]
    unit: PrivacyUnit,
    /// How neighbouring data differ: add-remove or replace
    #[arg(long, value_name = "NAME", default_value = "add-remove", value_parser = adjacency)]
    adjacency: Adjacency,
    /// Public or simulated vote counts, a row per query [default: an assumed model]
    #[arg(long, value_name = "FILE")]
    vote_model: Option<PathBuf>,
    /// The last column of the vote model is the true class of its row, counted from 0: plan for right answers
    #[arg(long)]
    truth: bool,
    /// Records with a budget of their own, as a share of the teachers; once for each group, shares adding up to 1. Plans three ways
    /// to serve them under one noise, which follows from their budgets
    #[arg(long = "group", value_name = "NAME:SHARE:EPSILON", value_parser = group, allow_hyphen_values = true)]
    groups: Vec<NamedGroup>,
}

#[derive(Serialize)]
struct Told {
    teachers: u32,
    classes: u32,
    queries: u32,
    delta: f64,
    epsilon: Option<f64>,
    unit: &'static str,
    adjacency: &'static str,
    protects: String,
    vote_model: String,
    plans: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Section>,
}

#[derive(Serialize)]
struct Row {
    mechanism: &'static str,
    sigma: f64,
    sigma1: Option<f64>,
    threshold: Option<f64>,
    expected_answers: f64,
    expected_agreement: f64,
    expected_accuracy: Option<f64>,
    accounts: Vec<Cost>,
}

#[derive(Serialize)]
struct Cost {
    accountant: &'static str,
    /// `stated`: a cap on the answers, the expected number rounded up. `expected` and `joint` are as `budget account` has them.
    answered: &'static str,
    epsilon: f64,
    direction: &'static str,
    /// Whether it would hold for private votes and may be published for them; otherwise it is a property of the vote model.
    publishable: bool,
    #[serde(skip)]
    errs: &'static str,
}

pub(super) fn run(args: &PlanArgs, console: &Console) -> Result<Exit, Fault> {
    if args.truth && args.vote_model.is_none() {
        let problem = "--truth needs a file whose last column is the true class";
        let fix = "give --vote-model FILE, or leave out --truth";
        return Err(Fault::input("missing-argument", "--vote-model", "", problem, fix));
    }
    if let PrivacyUnit::Organisation { teachers_max } = args.unit
        && teachers_max > args.teachers
    {
        let (problem, fix) = ("more teachers than vote", "give at most --teachers");
        return Err(Fault::input(
            "invalid-value",
            "--unit",
            format!("organisation:{teachers_max}"),
            problem,
            fix,
        ));
    }
    let model = match &args.vote_model {
        Some(path) => votes::model(path, args.classes as usize, args.truth)?.scaled_to(args.teachers)?,
        None => PublicVotes::assumed(args.teachers, args.classes as usize)?,
    };
    let aim = match (args.epsilon, args.sigma) {
        (Some(epsilon), _) => Aim::Budget(epsilon),
        (None, sigma) => Aim::Noise(Scale::new(sigma.unwrap_or_default())?),
    };
    let order = args.epsilon.map_or(FilterOrder::DEFAULT, |epsilon| filter_order_for(epsilon, args.delta));
    let sensitivity = Sensitivity::of(args.unit, args.adjacency, VotingScheme::Ensemble)?;
    if !args.groups.is_empty() && (args.unit, args.adjacency) != (PrivacyUnit::Record, Adjacency::AddRemove) {
        let fix = "leave out --unit and --adjacency, or --group";
        let problem = "budgets of groups are of records added or removed";
        return Err(Fault::input("superfluous-flag", "--group", "", problem, fix));
    }
    let target = Target { queries: args.queries, delta: args.delta, order, sensitivity, aim };
    let step = Progress::on(console).counted("Planning", PLANS_MAX);
    let found = plans(&target, args.teachers, &model, || step.advance(1))?;
    let groups = Section::of(&args.groups, (args.teachers, args.queries, args.delta), &model)?;
    drop(step);
    let told = Told {
        teachers: args.teachers,
        classes: args.classes,
        queries: args.queries,
        delta: args.delta.get(),
        epsilon: args.epsilon.map(Epsilon::get),
        unit: args.unit.name(),
        adjacency: args.adjacency.name(),
        protects: sensitivity.words(),
        vote_model: args
            .vote_model
            .as_ref()
            .map_or_else(|| "assumed".to_owned(), |path| path.display().to_string()),
        plans: found.iter().map(Row::from).collect(),
        groups,
    };
    console.result(|| words::of(&told), &told)?;
    Ok(Exit::Done)
}

impl From<&Plan> for Row {
    fn from(plan: &Plan) -> Self {
        let (mechanism, sigma, sigma1, threshold) = match plan.mechanism {
            NoisyVote::LnMax { scale } => ("lnmax", scale.get(), None, None),
            NoisyVote::GnMax { sigma } => ("gnmax", sigma.get(), None, None),
            NoisyVote::ConfidentGnMax { threshold, sigma1, sigma2 } => {
                ("confident-gnmax", sigma2.get(), Some(sigma1.get()), Some(threshold))
            }
        };
        Self {
            mechanism,
            sigma,
            sigma1,
            threshold,
            expected_answers: plan.answers,
            expected_agreement: plan.agreement,
            expected_accuracy: plan.accuracy,
            accounts: [Cost::of_ledger(plan)]
                .into_iter()
                .chain(plan.accounts.iter().map(Cost::from))
                .collect(),
        }
    }
}

impl Cost {
    fn of_ledger(plan: &Plan) -> Self {
        let direction = Direction::UpperBound;
        Self {
            accountant: "ledger",
            answered: "stated",
            epsilon: plan.charged,
            direction: direction.name(),
            publishable: true,
            errs: direction.words(),
        }
    }
}

impl From<&PlanAccount> for Cost {
    fn from(account: &PlanAccount) -> Self {
        let direction = account.accountant.direction();
        Self {
            accountant: account.accountant.as_str(),
            answered: match account.answered {
                Answered::Joint => "joint",
                Answered::Expected => "expected",
                Answered::All | Answered::Stated(_) => "stated",
            },
            epsilon: account.loss.epsilon,
            direction: direction.name(),
            publishable: account.holds_for_all_votes(),
            errs: direction.words(),
        }
    }
}
