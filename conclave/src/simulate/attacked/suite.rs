//! Which attacks are carried out on a simulation, and how long.

use std::time::Instant;

use conclave_attack_harness::access::Ballots;
use conclave_attack_harness::attacks::extraction::{self, Copied, Extraction};
use conclave_attack_harness::attacks::poisoning::{self, Honest};
use conclave_attack_harness::attacks::served_evasion::Hands;
use conclave_attack_harness::attacks::{lying_teachers, repeated_query};
use conclave_attack_harness::audit::{self, Audited, Source};
use conclave_attack_harness::law::ArgmaxLaw;
use conclave_attack_harness::meter::{Budget, Meter, Spent};
use conclave_attack_harness::proportion::Proportion;
use conclave_attack_harness::report::Finding;
use conclave_attack_harness::world::Campaigned;
use conclave_learning::features::FeatureSpace;
use conclave_learning::models::{Classifier as _, ModelSpec};
use conclave_learning::student::Learner;
use conclave_learning::{Dataset, Label, Predictor};
use conclave_privacy::VoteCounts;
use conclave_privacy::mechanism::Outcome;
use conclave_privacy::noise::{NoiseSource as _, ReleaseNoise, SimulationNoise};
use conclave_proto::ids::QueryId;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::consortium::Consortium;
use super::evading;
use super::repeat::Repeat;
use crate::attacks::targets::{CampaignAnswers, ServedStudent};
use crate::attacks::{Attacked, Cost, fault};
use crate::cli::{Fault, Progress};
use crate::simulate::label_of;
use crate::simulate::plan::Plan;
use crate::simulate::world::{CAMPAIGN, broken, interrupted};

/// How much is attacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// Every attack, as short as its verdict allows.
    Quick,
}

/// Which attacks of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of them.
    All,
    /// Copying the student.
    Extraction,
    /// Silos and teachers that lie.
    Poisoning,
    /// What releases tell about votes and records.
    Inference,
}

impl Part {
    /// Its subcommand of `conclave attack`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::All => "report",
            Self::Extraction => "extraction",
            Self::Poisoning => "poisoning",
            Self::Inference => "inference",
        }
    }
}

/// A simulation that has ended its campaign and still runs.
#[derive(Debug)]
pub struct Victim {
    /// What it was.
    pub plan: Plan,
    /// The features of its contract.
    pub space: FeatureSpace,
    /// Its queries, in the order of the plan, all of them answered.
    pub queries: Vec<QueryId>,
    /// Who voted what on them.
    pub ballots: Vec<Vec<Label>>,
    /// How it ended.
    pub clean: Campaigned,
    /// Its student, as it is published.
    pub published: Option<Predictor>,
    /// Its served student; the second only measures.
    pub student: Option<(ServedStudent, ServedStudent)>,
    /// A student's place in its campaign.
    pub campaign: CampaignAnswers,
    /// How to repeat an attack on it.
    pub repeat: Repeat,
}

/// Attacks a student that is served somewhere: `part` of what can be done from there. The first connection counts, the second only
/// measures; `published` is the student's file, where the attacker has it.
pub async fn served(
    plan: Plan,
    space: FeatureSpace,
    student: (ServedStudent, ServedStudent),
    published: Option<Predictor>,
    part: Part,
    (repeat, progress): (Repeat, Progress),
) -> Result<Vec<Attacked>, Fault> {
    let attacking = tokio::task::spawn_blocking(move || {
        let mut attacked = Vec::new();
        let told = |part, finding, spent, began| {
            attacked.push(as_told(repeat.command(part), finding, spent, began, &plan));
        };
        attack_served(&plan, &space, student, published, part, progress, told)?;
        Ok(attacked)
    });
    attacking.await.map_err(|error| broken("attacking", &error))?
}

fn as_told(command: String, finding: Finding, spent: Spent, began: Instant, plan: &Plan) -> Attacked {
    let seconds = began.elapsed().as_secs_f64();
    let cost = Cost::of(spent, seconds, plan.scenario.delta, plan.filter_order);
    Attacked { finding, cost, seed: Some(plan.seed), command, terms: plan.terms() }
}

/// Copies the student, and moves rows with the copy and with its published model.
fn attack_served(
    plan: &Plan,
    space: &FeatureSpace,
    (student, judge): (ServedStudent, ServedStudent),
    published: Option<Predictor>,
    part: Part,
    progress: Progress,
    mut told: impl FnMut(Part, Finding, Spent, Instant),
) -> Result<(), Fault> {
    let began = Instant::now();
    let (copies, finding, spent, mut student) = extract(plan, space, student, judge, progress)?;
    told(Part::Extraction, finding, spent, began);
    if part != Part::All {
        return Ok(());
    }
    let mut held = Vec::new();
    if let Some(copied) = copies.into_iter().next_back() {
        let queries = copied.queries as u64;
        held.push((evading::copy(plan, space, copied.model)?, Hands::Copy { queries }));
    }
    held.extend(published.map(|published| (published, Hands::Published)));
    for (held, hands) in held {
        let (evaded, back) = evading::evade(plan, held, hands, student, progress)?;
        student = back;
        if let Some((finding, spent, began)) = evaded {
            // No command moves rows alone: a copy has to be made first.
            told(Part::All, finding, spent, began);
        }
    }
    Ok(())
}

/// Carries the attacks out. Blocks; `shutdown` ends it.
pub async fn run(
    victim: Victim,
    part: Part,
    progress: Progress,
    shutdown: &CancellationToken,
) -> Result<Vec<Attacked>, Fault> {
    let stop = shutdown.clone();
    let runtime = tokio::runtime::Handle::current();
    let attacking = tokio::task::spawn_blocking(move || {
        let _inside = runtime.enter();
        attack(victim, part, progress, &stop)
    });
    attacking.await.map_err(|error| broken("attacking", &error))?
}

fn attack(
    victim: Victim,
    part: Part,
    progress: Progress,
    shutdown: &CancellationToken,
) -> Result<Vec<Attacked>, Fault> {
    let Victim { plan, space, queries, ballots, clean, published, student, campaign, repeat } = victim;
    let truth: Option<Vec<Label>> =
        plan.pool.labels().map(|labels| plan.queries.iter().map(|row| labels[*row]).collect());
    let ballots = Ballots::new(plan.pool.schema().classes(), ballots).map_err(fault)?;
    let told = |part, finding, spent, began| as_told(repeat.command(part), finding, spent, began, &plan);
    let mut attacked = Vec::new();
    let includes = |one: Part| part == Part::All || part == one;

    if let (true, Some(student)) = (includes(Part::Extraction), student) {
        let told = |part, finding, spent, began| attacked.push(told(part, finding, spent, began));
        attack_served(&plan, &space, student, published, part, progress, told)?;
    }
    if let (true, Some(truth)) = (includes(Part::Poisoning), &truth) {
        let began = Instant::now();
        let counts = lying_teachers::counts(&ballots, truth, 0);
        let teachers = &plan.teachers;
        let honest = Honest { counts: &counts, truth, teachers, mechanism: &plan.mechanism };
        let silos: Vec<u32> = (0..=SILOS_MAX.min(plan.organisations)).collect();
        let step = progress.counted("Attack: poisoned silos", silos.len() as u64);
        let mut world = Consortium::new(plan.clone(), space.clone(), clean, shutdown);
        let poisoned = poisoning::run(&mut world, &honest, &silos, || step.advance(1)).map_err(fault)?;
        let campaigns = silos.iter().filter(|silos| **silos > 0).count() as u64;
        let spent = Spent { rows: campaigns * queries.len() as u64, calls: campaigns, ..Spent::default() };
        let finding = poisoning::finding(&poisoned, &honest, &plan.guarantee());
        attacked.push(told(Part::Poisoning, finding, spent, began));
        drop(step);

        let began = Instant::now();
        let finding = lie(&plan, &space, &queries, &ballots, truth, progress, shutdown)?;
        attacked.push(told(Part::Poisoning, finding, Spent::default(), began));
    }
    if includes(Part::Inference) {
        let began = Instant::now();
        let asked: Vec<usize> = (0..queries.len().min(REPEATED_QUERIES)).collect();
        let step = progress.counted("Attack: repeated queries", REPEATS * asked.len() as u64);
        let mut meter = Meter::new(campaign, Budget::default());
        let heard = repeated_query::run(&asked, REPEATS, ballots.classes(), &mut meter, || step.advance(1))
            .map_err(fault)?;
        let no_truth = vec![Label::new(0); queries.len()];
        let counts = lying_teachers::counts(&ballots, truth.as_ref().unwrap_or(&no_truth), 0);
        let spent = meter.spent();
        let known = Some((ArgmaxLaw::of(&plan.mechanism), counts.as_slice()));
        let finding = repeated_query::finding(&heard, spent.rows, known);
        attacked.push(told(Part::Inference, finding, spent, began));

        let began = Instant::now();
        let finding = audit_mechanism(&plan, progress, shutdown)?;
        attacked.push(told(Part::Inference, finding, Spent::default(), began));
    }
    Ok(attacked)
}

/// Audits the mechanism of this build with the noise of a cluster, which no seed repeats. No aggregator takes part: the one that runs here
/// draws seeded noise, and hundreds of thousands of answers would take it minutes.
fn audit_mechanism(plan: &Plan, progress: Progress, shutdown: &CancellationToken) -> Result<Finding, Fault> {
    let audited = Audited {
        mechanism: &plan.mechanism,
        sensitivity: &plan.sensitivity,
        delta: plan.scenario.delta,
        order: plan.filter_order,
        teachers: plan.teachers.iter().copied().map(u64::from).sum(),
        classes: plan.pool.schema().classes(),
    };
    let all = u32::try_from(plan.queries.len()).unwrap_or(u32::MAX);
    let mut sizes = vec![1, all.div_ceil(8), all];
    sizes.dedup();
    let step = progress.counted("Attack: audit of the mechanism", sizes.len() as u64);
    let mut bounded = Vec::new();
    for queries in sizes {
        let draw = |counts: &VoteCounts, run: u64, query: u32| {
            if shutdown.is_cancelled() {
                return Err(conclave_attack_harness::Error::target(interrupted()));
            }
            let mut id = [0; 32];
            id[..8].copy_from_slice(&run.to_le_bytes());
            let mut generator = ReleaseNoise.generator(CAMPAIGN, &id, query)?;
            Ok(plan.mechanism.release(counts, &mut generator).outcome)
        };
        bounded.push(audited.run(queries, AUDIT_RUNS, draw).map_err(fault)?);
        step.advance(1);
    }
    Ok(audit::finding(&bounded, &audited, Source::Mechanism, &plan.terms()))
}

fn extract(
    plan: &Plan,
    space: &FeatureSpace,
    student: ServedStudent,
    mut judge: ServedStudent,
    progress: Progress,
) -> Result<(Vec<Copied>, Finding, Spent, ServedStudent), Fault> {
    let (candidates, unseen) = (plan.pool.features(), plan.test.features());
    let sizes: Vec<usize> =
        COPY_QUERIES.into_iter().filter(|queries| *queries <= candidates.nrows()).collect();
    let attack =
        Extraction { candidates, unseen, queries: &sizes, substitute: ModelSpec::default(), seed: plan.seed };
    let step = progress.counted("Attack: copying the student", sizes.last().copied().unwrap_or(0) as u64);
    let mut meter = Meter::new(student, Budget::default());
    let features = |raw: &ndarray::Array2<f32>| space.transform(raw);
    let copies = extraction::run(&attack, &mut meter, &mut judge, features, |done| step.reached(done as u64));
    let copies = copies.map_err(fault)?;
    let finding = extraction::finding(&copies, &attack);
    Ok((copies, finding, meter.spent(), meter.into_target()))
}

fn lie(
    plan: &Plan,
    space: &FeatureSpace,
    queries: &[QueryId],
    ballots: &Ballots,
    truth: &[Label],
    progress: Progress,
    shutdown: &CancellationToken,
) -> Result<Finding, Fault> {
    let teachers = ballots.teachers();
    let mut liars: Vec<usize> = LIAR_SHARES.iter().map(|percent| teachers * percent / 100).collect();
    liars.dedup();
    let step = progress.counted("Attack: lying teachers", liars.len() as u64);
    let mut noise = SimulationNoise::new(plan.seed);
    let draw = |query: usize, draw: u32| {
        if shutdown.is_cancelled() {
            return Err(conclave_attack_harness::Error::target(interrupted()));
        }
        // Draws of the campaign are numbered from 1, and these are none of them.
        let attempt = u32::MAX - draw;
        Ok(noise.generator(CAMPAIGN, queries[query].as_bytes(), attempt)?)
    };
    let lied = lying_teachers::run(ballots, truth, &plan.mechanism, &liars, DRAWS, draw).map_err(fault)?;
    let (pool, test) = (space.transform(plan.pool.features()), space.transform(plan.test.features()));
    let learner = Learner::on(&pool, plan.scenario.student)?;
    let mut students = Vec::with_capacity(lied.len());
    for lied in &lied {
        if shutdown.is_cancelled() {
            return Err(interrupted());
        }
        students.push(student_right(plan, &learner, &test, &lied.outcomes)?);
        step.advance(1);
    }
    Ok(lying_teachers::finding(&lied, &students, ballots, &plan.mechanism, DRAWS))
}

/// Test rows that a student of these labels judges rightly.
fn student_right(
    plan: &Plan,
    learner: &Learner<'_>,
    test: &ndarray::Array2<f32>,
    outcomes: &[Outcome],
) -> Result<Option<Proportion>, Fault> {
    let released: Vec<(usize, Label)> = plan
        .queries
        .iter()
        .zip(outcomes)
        .filter_map(|(row, outcome)| match outcome {
            Outcome::Label(class) => Some((*row, label_of(*class))),
            Outcome::Abstained => None,
        })
        .collect();
    let Some(truth) = Dataset::labels(&plan.test).filter(|_| !released.is_empty()) else { return Ok(None) };
    let classes = plan.pool.schema().classes();
    let model = learner.learn(&released, classes, plan.seed)?;
    let predicted = model.predict(test);
    Ok(Some(Proportion::count(predicted.iter().zip(truth).map(|(a, b)| a == b))))
}

/// Sizes of copies, in queries.
const COPY_QUERIES: [usize; 6] = [10, 25, 50, 100, 200, 400];
/// Silos that are poisoned, at most.
const SILOS_MAX: u32 = 2;
/// Teachers that lie, in per cent.
const LIAR_SHARES: [usize; 8] = [0, 5, 10, 20, 30, 40, 50, 60];
/// Draws of the noise for each number of liars: enough for a bound that is passed by 5 points to be seen.
const DRAWS: u32 = 40;
/// Queries that are asked again.
const REPEATED_QUERIES: usize = 5;
/// How often each.
const REPEATS: u64 = 40;
/// Campaigns in each world of an audit.
const AUDIT_RUNS: usize = 4_000;
