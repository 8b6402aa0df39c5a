//! Attacks on a simulation while it still runs, or on a student that runs elsewhere.

pub mod consortium;
mod evading;
pub(super) mod repeat;
pub mod suite;

use std::path::Path;

use conclave_attack_harness::proportion::Proportion;
use conclave_attack_harness::world::Campaigned;
use conclave_learning::features::FeatureSpace;
use conclave_proto::ids::QueryId;
use conclave_service::lifecycle;
use conclave_student::StudentModel;
use conclave_student::query_selection::query_ids;
use tokio_util::sync::CancellationToken;

use self::repeat::Repeat;
use self::suite::{Part, Victim};
use super::evidence::accountant_in_words;
use super::plan::Plan;
use super::scenario::Scenario;
use super::world::{Door, World, broken, fault};
use super::{Campaign, campaign};
use crate::attacks::targets::{CampaignAnswers, ServedStudent};
use crate::attacks::{Attacked, Target};
use crate::cli::simulate::Overrides;
use crate::cli::{Exit, Fault, Progress};

/// Runs the scenario, and `part` of the attacks on it; nothing is left behind.
pub fn attack(
    scenario: Option<&Path>,
    overrides: &Overrides,
    part: Part,
    progress: Progress,
) -> Result<(Target, Vec<Attacked>), Fault> {
    let loaded = Scenario::load(scenario, overrides)?;
    let plan = Plan::of(&loaded)?;
    let repeat = Repeat::of_scenario(scenario, plan.seed);
    let attacked = lifecycle::outcome("conclave attack", async |shutdown| {
        Ok(simulated(&plan, part, (&repeat, progress), &shutdown).await)
    })??;
    let teachers: u32 = plan.teachers.iter().sum();
    let of_the_campaign = [
        ("Teachers", format!("{teachers} in {} organisations", plan.organisations)),
        ("Guarantee", format!("{}: that of the cap", plan.guarantee())),
        ("Noise", format!("{}, on each of {} queries", plan.noise_in_words(), plan.queries.len())),
        ("Accountant", accountant_in_words(plan.filter_order)),
    ];
    Ok((target(&plan, scenario, of_the_campaign.into()), attacked))
}

/// What a page of its own says of what was attacked.
fn target(plan: &Plan, scenario: Option<&Path>, more: Target) -> Target {
    let scenario = scenario.map_or_else(|| "the default one".to_owned(), |path| path.display().to_string());
    let mut target = vec![("Scenario", scenario), ("Data", plan.dataset.clone())];
    target.extend(more);
    target.push(("Seed", plan.seed.to_string()));
    target
}

/// Attacks a student that runs at `door`, which `flags` name on the command line, with the pool and the test rows of the scenario;
/// `published` is its file, where the attacker has it.
pub fn attack_student(
    scenario: Option<&Path>,
    overrides: &Overrides,
    (door, flags, published): (&Door, &[(&str, String)], Option<&Path>),
    part: Part,
    progress: Progress,
) -> Result<(Target, Vec<Attacked>), Fault> {
    let loaded = Scenario::load(scenario, overrides)?;
    let plan = Plan::of(&loaded)?;
    let repeat = Repeat::of_scenario(scenario, plan.seed).on_a_student(flags, published);
    let attacked = lifecycle::outcome("conclave attack", async |shutdown| {
        let attacking = async {
            let space = plan.space.clone();
            let published = published.map(StudentModel::load).transpose().map_err(fault)?;
            let student = connected(door, &shutdown).await?;
            fits(&plan, &student.0, published.as_ref())?;
            let published = published.map(|student| student.predictor().clone());
            suite::served(plan.clone(), space, student, published, part, (repeat, progress)).await
        };
        Ok(attacking.await)
    })??;
    let elsewhere = [
        (
            "Student",
            format!(
                "the one that runs at {}; the scenario only says which rows it is asked about",
                door.address
            ),
        ),
        (
            "Guarantee",
            "that of the campaign that it learned from, which its certificate states; it is not known here"
                .to_owned(),
        ),
    ];
    Ok((target(&plan, scenario, elsewhere.into()), attacked))
}

/// Refuses a scenario, or a file, of other rows or classes than those of the student that runs.
fn fits(plan: &Plan, student: &ServedStudent, published: Option<&StudentModel>) -> Result<(), Fault> {
    let served = student.client().description();
    let shown =
        |features: usize, classes: &[String]| format!("{features} values, classes {}", classes.join(", "));
    let expected = shown(served.features, &served.class_names);
    let schema = plan.pool.schema();
    let of_file = published
        .map(|student| ("--published", student.schema(), "give the file of the student at --server"));
    let of_scenario = ("scenario", schema, "give a scenario whose data set the student learned from");
    for (field, schema, fix) in [Some(of_scenario), of_file].into_iter().flatten() {
        let found = shown(schema.width(), schema.class_names());
        if found != expected {
            let problem = format!("the student at the other end has {expected}");
            return Err(Fault::input("other-data", field, found, problem, fix));
        }
    }
    Ok(())
}

async fn simulated(
    plan: &Plan,
    part: Part,
    told: (&Repeat, Progress),
    shutdown: &CancellationToken,
) -> Result<Vec<Attacked>, Fault> {
    let folder = tempfile::tempdir().map_err(|error| broken("making a temporary directory", &error))?;
    let ledger = folder.path().join("ledger.db");
    let space = &plan.space;
    let queries = query_ids(&plan.pool.select(&plan.queries));
    let step = told.1.step("Teachers learn");
    let mut world = World::with_silos(plan, None, |_, _| (), shutdown).await?;
    drop(step);
    let outcome = async {
        let campaign = campaign(&mut world, plan, space, &queries, &ledger, told.1, shutdown).await?;
        attacks(&world, plan, space, &queries, &campaign, part, told, shutdown).await
    };
    let outcome = outcome.await;
    let stopped = world.stop().await;
    let attacked = outcome?;
    stopped?;
    Ok(attacked)
}

/// Carries the attacks out on a campaign that was answered to its end.
#[expect(clippy::too_many_arguments, reason = "what a simulation has in hand at its end")]
pub(super) async fn attacks(
    world: &World,
    plan: &Plan,
    space: &FeatureSpace,
    queries: &[QueryId],
    campaign: &Campaign,
    part: Part,
    told: (&Repeat, Progress),
    shutdown: &CancellationToken,
) -> Result<Vec<Attacked>, Fault> {
    if campaign.refused.is_some() {
        let problem = "the budget ended the campaign before all its queries were answered";
        let fix = "attack a campaign that is answered to its end: ask fewer queries, or raise epsilon";
        return Err(Fault::new(Exit::Budget, "budget-spent", "attacks", "", problem, fix));
    }
    let (repeat, progress) = told;
    let student = match world.client_of_student()? {
        Some(door) => Some(connected(&door, shutdown).await?),
        None => None,
    };
    let Some(door) = world.student_of_campaign()? else { return Ok(Vec::new()) };
    let victim = Victim {
        plan: plan.clone(),
        space: space.clone(),
        queries: queries.to_vec(),
        ballots: world.ballots(queries).await?,
        clean: campaigned(plan, campaign),
        published: campaign.model.as_ref().map(|student| student.predictor().clone()),
        student,
        campaign: CampaignAnswers::connect(&door, queries.to_vec(), shutdown).await?,
        repeat: repeat.clone(),
    };
    suite::run(victim, part, progress, shutdown).await
}

/// Two connections: the attacker's, which is counted, and one that only measures.
async fn connected(
    door: &Door,
    shutdown: &CancellationToken,
) -> Result<(ServedStudent, ServedStudent), Fault> {
    Ok((ServedStudent::connect(door, shutdown).await?, ServedStudent::connect(door, shutdown).await?))
}

/// What a campaign came to, as attacks see it.
pub(crate) fn campaigned(plan: &Plan, campaign: &Campaign) -> Campaigned {
    let of = plan.test.rows() as u64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a number of rows"
    )]
    let times = |share: f64| (share * of as f64).round() as u64;
    Campaigned {
        outcomes: campaign.outcomes.clone(),
        student: campaign.measured.as_ref().map(|(share, _)| Proportion { of, times: times(*share) }),
    }
}
