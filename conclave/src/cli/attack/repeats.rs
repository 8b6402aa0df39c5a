//! `conclave attack repeats`: on a running aggregator, whether an answer that is asked for again says or costs more.
//!
//! The attacker is a student of the campaign, and asks only what is answered already. Where stored answers are served, this costs
//! nothing and changes nothing; where they are not, it is what should be known.

use std::time::Instant;

use conclave_attack_harness::attacks::repeated_query;
use conclave_attack_harness::meter::{Budget, Meter};
use conclave_service::lifecycle;
use tokio_util::sync::CancellationToken;

use crate::attacks::targets::CampaignAnswers;
use crate::attacks::{Attacked, Cost, fault};
use crate::cli::reach::{Reach, ReachArgs};
use crate::cli::{Exit, Fault, status};
use crate::simulate::world::broken;

#[derive(Debug, clap::Args)]
pub(super) struct RepeatsArgs {
    #[command(flatten)]
    reach: ReachArgs,
}

/// Asks again, and says what came of it.
pub(super) fn run(args: &RepeatsArgs) -> Result<Attacked, Fault> {
    let reach = args.reach.reach()?;
    let command = format!("conclave attack repeats {}", args.reach.flags());
    lifecycle::outcome("conclave attack", async |shutdown| Ok(attack(&reach, command, &shutdown).await))?
}

async fn attack(reach: &Reach, command: String, shutdown: &CancellationToken) -> Result<Attacked, Fault> {
    let began = Instant::now();
    let (contract, stands) = status::ask(reach, "").await?;
    let campaign = contract.campaign.to_string();
    if stands.queries_waiting > 0 {
        let problem = format!(
            "{} queries wait for their answers, whose charges would be mixed up",
            stands.queries_waiting
        );
        return Err(Fault::input(
            "busy-campaign",
            "campaign",
            campaign,
            problem,
            "repeat this when they are answered",
        ));
    }
    let mut student = CampaignAnswers::connect(&reach.door(), Vec::new(), shutdown).await?;
    let before = student.answered().await?;
    if before.is_empty() {
        let fix = "repeat this when the campaign has answered a query";
        return Err(Fault::input(
            "no-answers",
            "campaign",
            campaign,
            "nothing was answered that could be asked again",
            fix,
        ));
    }
    let asked: Vec<_> = before.iter().copied().take(QUERIES).collect();
    let (numbers, classes) = ((0..asked.len()).collect::<Vec<_>>(), contract.class_names.len());
    let mut meter = Meter::new(student.asking_about(asked.clone()), Budget::default());
    let asking = tokio::task::spawn_blocking(move || {
        let heard = repeated_query::run(&numbers, TIMES, classes, &mut meter, || ());
        (heard, meter.spent(), meter.into_target())
    });
    let (heard, spent, mut student) = asking.await.map_err(|error| broken("attacking", &error))?;
    let finding = repeated_query::finding(&heard.map_err(fault)?, spent.rows, None);
    // What others were answered meanwhile was charged too, and nobody could tell it from what the repeats were.
    let after = student.answered().await?;
    if after.iter().skip(before.len()).any(|query| !asked.contains(query)) {
        let problem =
            "it has answered other queries meanwhile, whose charges cannot be told from those of the repeats";
        return Err(Fault::new(
            Exit::Other,
            "busy-campaign",
            "campaign",
            campaign,
            problem,
            "repeat this when it rests",
        ));
    }
    let cost = Cost::of(spent, began.elapsed().as_secs_f64(), contract.delta, contract.filter_order);
    let (unit, adjacency) = (contract.unit.name(), contract.adjacency.name());
    let terms = format!("unit {unit}, adjacency {adjacency}, δ = {:e}", contract.delta.get());
    Ok(Attacked { finding, cost, seed: None, command, terms })
}

/// Queries that are asked again.
const QUERIES: usize = 5;
/// How often each.
const TIMES: u64 = 40;
