//! `conclave budget plan`: what a target buys, before anything is spent.

use std::fmt::Write as _;
use std::path::PathBuf;

use conclave_privacy::accountant::filter_order_for;
use conclave_privacy::data_dependent::NoisyVote;
use conclave_privacy::planning::{Aim, Plan, PublicVotes, Target, assumed_model, plans};
use conclave_privacy::quantity::{Delta, Epsilon, FilterOrder, Scale};
use serde::Serialize;

use super::super::values::{at_least_one, delta, epsilon, positive};
use super::super::{Console, Exit, Fault, Progress};
use super::groups::{NamedGroup, Section, group};
use super::votes;
use crate::simulate::report::figure_up;

/// What a target buys before anything is spent: noise, threshold, expected answers
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
    /// Public or simulated vote counts, a row per query [default: an assumed model]
    #[arg(long, value_name = "FILE")]
    vote_model: Option<PathBuf>,
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
    accounts: Vec<Cost>,
}

#[derive(Serialize)]
struct Cost {
    accountant: &'static str,
    epsilon: f64,
}

pub(super) fn run(args: &PlanArgs, console: &Console) -> Result<Exit, Fault> {
    let model = match &args.vote_model {
        Some(path) => {
            // Whoever gives this flag says so.
            let model = PublicVotes::declared_public(votes::read(path)?).map_err(|refusal| Fault {
                field: "--vote-model".to_owned(),
                value: path.display().to_string(),
                ..refusal.into()
            })?;
            let found = model.classes();
            if found != args.classes as usize {
                let fix = format!("give --classes {found}, or another file");
                let problem = format!("the file has {found} classes");
                return Err(Fault::input(
                    "invalid-value",
                    "--classes",
                    args.classes.to_string(),
                    problem,
                    fix,
                ));
            }
            model.scaled_to(args.teachers)?
        }
        None => assumed_model(args.teachers, args.classes as usize)?,
    };
    let aim = match (args.epsilon, args.sigma) {
        (Some(epsilon), _) => Aim::Budget(epsilon),
        (None, sigma) => Aim::Noise(Scale::new(sigma.unwrap_or_default())?),
    };
    let order = args.epsilon.map_or(FilterOrder::DEFAULT, |epsilon| filter_order_for(epsilon, args.delta));
    let target = Target { queries: args.queries, delta: args.delta, order, aim };
    let step = Progress::on(console).step("Planning");
    let found = plans(&target, args.teachers, &model)?;
    let groups = Section::of(&args.groups, (args.teachers, args.queries, args.delta), &model)?;
    drop(step);
    let told = Told {
        teachers: args.teachers,
        classes: args.classes,
        queries: args.queries,
        delta: args.delta.get(),
        epsilon: args.epsilon.map(Epsilon::get),
        unit: "record",
        adjacency: "add-remove",
        vote_model: args
            .vote_model
            .as_ref()
            .map_or_else(|| "assumed".to_owned(), |path| path.display().to_string()),
        plans: found.iter().map(Row::from).collect(),
        groups,
    };
    console.result(|| words(&told), &told)?;
    Ok(Exit::Done)
}

fn words(told: &Told) -> String {
    let mut text = format!(
        "{} queries to {} teachers; unit {}, adjacency {}, δ = {:e}; vote model: {}\n\n{:<16}{:>10} {:>10} {:>9} {:>10}{:>8}{:>10}{:>9}{:>9}{:>12}\n",
        told.queries,
        told.teachers,
        told.unit,
        told.adjacency,
        told.delta,
        told.vote_model,
        "mechanism",
        "sigma",
        "sigma1",
        "T",
        "answers",
        "agree",
        "ε ledger",
        "ε zcdp",
        "ε pld",
        "ε exact-wc"
    );
    let or_dash = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value}"));
    for row in &told.plans {
        let epsilons: Vec<String> = row.accounts.iter().map(|cost| figure_up(cost.epsilon)).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<16}{:>10} {:>10} {:>9} {:>10.0}{:>7.1}%{:>10}{:>9}{:>9}{:>12}",
            row.mechanism,
            row.sigma,
            or_dash(row.sigma1),
            or_dash(row.threshold),
            row.expected_answers,
            row.expected_agreement * 100.0,
            epsilons[0],
            epsilons[1],
            epsilons[2],
            epsilons[3],
        );
    }
    text.push_str(
        "\nagree: the expected share of answers that are the most frequent vote. ledger is what accounts are charged; zcdp\n\
         is what plain zCDP would say, pld holds for a plan that is fixed, exact-worst-case for a cap on the answers that is\n\
         stated before the votes. Most right answers first.\n",
    );
    if told.vote_model == "assumed" {
        text.push_str(
            "The vote model is assumed (97 of 100 teachers agree on two questions of five, fewer on the others): give --vote-model\n\
             with public or simulated votes for expectations of your own.\n",
        );
    }
    text.push_str(&told.groups.as_ref().map(Section::words).unwrap_or_default());
    text
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
        let cost = |(name, epsilon): &(conclave_privacy::analysis::AccountantName, f64)| Cost {
            accountant: name.as_str(),
            epsilon: *epsilon,
        };
        let ledger = Cost { accountant: "ledger", epsilon: plan.charged };
        Self {
            mechanism,
            sigma,
            sigma1,
            threshold,
            expected_answers: plan.answers,
            expected_agreement: plan.agreement,
            accounts: [ledger].into_iter().chain(plan.epsilons.iter().map(cost)).collect(),
        }
    }
}
