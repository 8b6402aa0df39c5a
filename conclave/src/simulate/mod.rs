//! A whole consortium on one machine: the production services on loopback, from one seed.
//!
//! | step | module |
//! |---|---|
//! | what was asked for | [`scenario`] |
//! | data, noise and price, checked before anybody is asked | [`plan`] |
//! | silos, aggregator and student over mutual TLS | [`world`] |
//! | attacks on it while it runs | [`attacked`] |
//! | what to compare the student with | [`baselines`] |
//! | what is told | [`evidence`], [`report`], [`summary`], [`labels`] |
//!
//! What a simulation makes is marked `simulated`: its noise can be repeated, so none of it is private. In return its
//! report may show what no real campaign shows.

pub mod attacked;
pub mod baselines;
pub mod evidence;
pub mod labels;
pub mod place;
pub mod plan;
pub mod report;
pub mod scenario;
pub mod summary;
pub mod world;

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use conclave_learning::Label;
use conclave_learning::features::FeatureSpace;
use conclave_privacy::mechanism::Outcome;
use conclave_privacy::{ClassIndex, VoteCounts};
use conclave_proto::campaign::v1::GetStatusResponse;
use conclave_proto::ids::QueryId;
use conclave_service::lifecycle;
use conclave_student::client::Ended;
use conclave_student::label_store::{Answer, LabelStore};
use conclave_student::query_selection::{manifest, query_ids};
use conclave_student::training::train;
use conclave_student::{StudentError, StudentModel};
use tokio_util::sync::CancellationToken;

use crate::cli::simulate::Overrides;
use crate::cli::{Exit, Fault, Progress};
use attacked::attacks;
use attacked::repeat::Repeat;
use attacked::suite::{Part, Suite};
use evidence::Evidence;
use plan::Plan;
use report::{ReportData, Seconds, Setting, Shortfall, Student};
use scenario::Scenario;
use world::{World, broken, fault, interrupted};

/// What a simulation leaves behind.
#[derive(Debug)]
pub struct Finished {
    /// Everything that the report tells.
    pub report: ReportData,
    /// Files that were written.
    pub artifacts: Artifacts,
    /// Why it stopped early, if it did; the rest is then about what was released before.
    pub refusal: Option<Fault>,
}

/// Files of a simulation; absent where none was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Artifacts {
    /// The HTML report.
    pub report: Option<PathBuf>,
    /// The released labels, as CSV.
    pub labels: Option<PathBuf>,
    /// The budget's ledger.
    pub ledger: Option<PathBuf>,
    /// The student model.
    pub student: Option<PathBuf>,
    /// A folder with a log of each silo, where silos were processes of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logs: Option<PathBuf>,
}

/// Runs the scenario under the overrides.
pub fn run(scenario: Option<&Path>, overrides: &Overrides, progress: Progress) -> Result<Finished, Fault> {
    let began = Instant::now();
    let step = progress.step("Reading the data");
    let loaded = Scenario::load(scenario, overrides)?;
    loaded.value.out.as_deref().map_or(Ok(()), place::refuse_if_occupied)?;
    let plan = Plan::of(&loaded)?;
    let settings = settings_in_effect(&loaded, &plan)?;
    let out = place::make(loaded.value.out.as_deref())?;
    drop(step);
    let command = command(scenario, overrides, plan.seed);
    let repeat = Repeat::of_simulation(scenario, overrides, plan.seed);
    let told = Told { out, settings, command, repeat, progress, began };
    lifecycle::outcome("conclave simulate", async |shutdown| Ok(simulate(&plan, told, &shutdown).await))?
}

/// The scenario with every setting in effect, as TOML.
pub fn effective_scenario(scenario: Option<&Path>, overrides: &Overrides) -> Result<String, Fault> {
    let loaded = Scenario::load(scenario, overrides)?;
    let plan = Plan::of(&loaded)?;
    plan.scenario.to_toml()
}

/// Where to write, what the report repeats, and where progress is told.
struct Told {
    out: PathBuf,
    settings: Vec<Setting>,
    command: String,
    /// What the attacks repeat.
    repeat: Repeat,
    progress: Progress,
    began: Instant,
}

/// What came out of the services.
pub(crate) struct Campaign {
    model: Option<StudentModel>,
    pub(crate) measured: Option<(f64, report::Confusion)>,
    /// By query, in the order of the plan; what was not answered counts as an abstention.
    pub(crate) outcomes: Vec<Outcome>,
    counts: Vec<VoteCounts>,
    refused: Option<GetStatusResponse>,
    data_ids: Vec<String>,
    voting: Duration,
    student: Duration,
}

async fn simulate(plan: &Plan, told: Told, shutdown: &CancellationToken) -> Result<Finished, Fault> {
    let Told { out, settings, command, repeat, progress, began } = told;
    let (teachers, organisations) = (plan.teachers.iter().sum::<u32>(), plan.shards.len());
    let step = progress.counted(
        &format!("{teachers} teachers in {organisations} organisations learn"),
        (organisations * plan.pool.rows()) as u64,
    );
    let step = Arc::new(step);
    let bar = Arc::clone(&step);
    let training = Instant::now();
    let logs = plan.scenario.processes.then(|| out.join("logs"));
    let mut world =
        World::with_silos(plan, logs.as_deref(), move |done, _| bar.reached(done), shutdown).await?;
    let training = training.elapsed();
    drop(step);

    let space = &plan.space;
    let queries = query_ids(&plan.pool.select(&plan.queries));
    let ledger = out.join(LEDGER);
    let outcome = async {
        let campaign = campaign(&mut world, plan, space, &queries, &ledger, progress, shutdown).await?;
        let attacked = match plan.scenario.attacks {
            Some(Suite::Quick) => {
                let told = (&repeat, progress);
                attacks(&world, plan, space, &queries, &campaign, Part::All, told, shutdown).await?
            }
            None => Vec::new(),
        };
        Ok::<_, Fault>((campaign, attacked))
    };
    let outcome = outcome.await;
    let stopped = world.stop().await;
    let (campaign, attacked) = outcome?;
    stopped?;

    let step = progress.step("Comparing, and writing the report");
    let comparing = Instant::now();
    let evidence = Evidence::read(plan, &queries, &ledger)?;
    let finished = tell(plan, space, &queries, &evidence, campaign, |student, voting| Seconds {
        teachers: training.as_secs_f64(),
        voting: voting.as_secs_f64(),
        student: (student + comparing.elapsed()).as_secs_f64(),
        total: began.elapsed().as_secs_f64(),
    });
    let (mut report, model, refusal) = finished?;
    report.settings = settings;
    report.command = command;
    report.attacks = attacked;
    let artifacts = write(&out, &report, &evidence.labels(&queries), model.as_ref(), &ledger)?;
    let artifacts = Artifacts { logs, ..artifacts };
    drop(step);
    Ok(Finished { report, artifacts, refusal })
}

/// Asks, learns, serves, and looks where only a simulation can.
pub(crate) async fn campaign(
    world: &mut World,
    plan: &Plan,
    space: &FeatureSpace,
    queries: &[QueryId],
    ledger: &Path,
    progress: Progress,
    shutdown: &CancellationToken,
) -> Result<Campaign, Fault> {
    let voting = Instant::now();
    let step = progress.counted(&format!("{} queries are asked", queries.len()), queries.len() as u64);
    let manifest = manifest(&plan.pool, space).map_err(fault)?;
    let mut client = world.open_campaign(plan, manifest, ledger, shutdown).await?;
    let mut labels = LabelStore::new();
    let asking = async {
        client.submit(queries).await?;
        client.follow(queries, &mut labels, |progress| step.reached(progress.settled as u64)).await
    };
    let asking = shutdown.run_until_cancelled(asking);
    let ended = tokio::select! {
        ended = asking => ended.ok_or_else(interrupted)?.map_err(fault)?,
        fault = world.silo_lost() => return Err(fault),
    };
    let refused = match ended {
        Ended::Completed => None,
        Ended::BudgetSpent => Some(client.status().await.map_err(fault)?),
        Ended::BelowQuorum => {
            return Err(ended_early(Exit::Peer, "the votes of all teachers did not arrive in time"));
        }
        Ended::Stopped => return Err(ended_early(Exit::Other, "somebody has stopped the campaign")),
        Ended::Halted => return Err(ended_early(Exit::Other, "the ledger could not be written")),
    };
    let voting = voting.elapsed();
    drop(step);

    let step = progress.step("The student learns, and is asked over the wire");
    let learning = Instant::now();
    let terms = client.contract().clone();
    let (pool, space, spec, seed) = (plan.pool.clone(), space.clone(), plan.scenario.student, plan.seed);
    let outcomes = queries.iter().map(|query| outcome(labels.get(query))).collect();
    let trained = tokio::task::spawn_blocking(move || {
        train(&pool.without_labels(), &space, &labels, &terms, &spec, seed)
    });
    let trained = shutdown.run_until_cancelled(trained).await.ok_or_else(interrupted)?;
    let model = match trained.map_err(|error| broken("training the student", &error))? {
        Ok(model) => Some(model),
        // Nothing but abstentions: there is no student, and the report says so.
        Err(StudentError::NoLabels { .. }) => None,
        Err(error) => return Err(fault(error)),
    };
    let measured = match &model {
        Some(model) => {
            let predicted = world.predictions(model.clone(), plan.test.features()).await?;
            evidence::measured(plan, &predicted)?
        }
        None => None,
    };
    drop(step);
    // A campaign cut short has unanswered queries, on which the silos' guards would count the votes.
    let answered = if refused.is_none() { queries } else { &[] };
    let counts = world.counts(answered).await?;
    let data_ids = world.data_ids();
    Ok(Campaign { model, measured, outcomes, counts, refused, data_ids, voting, student: learning.elapsed() })
}

/// A class of a data set as its label.
fn label_of(class: ClassIndex) -> Label {
    Label::new(u16::try_from(class.0).expect("a data set has at most 65,535 classes"))
}

fn outcome(answer: Option<Answer>) -> Outcome {
    match answer {
        Some(Answer::Label(label)) => Outcome::Label(label.get().into()),
        Some(Answer::Abstention | Answer::Interrupted) | None => Outcome::Abstained,
    }
}

/// Everything that the report tells, but for settings and command.
fn tell(
    plan: &Plan,
    space: &FeatureSpace,
    queries: &[QueryId],
    evidence: &Evidence<'_>,
    campaign: Campaign,
    seconds: impl FnOnce(Duration, Duration) -> Seconds,
) -> Result<(ReportData, Option<StudentModel>, Option<Fault>), Fault> {
    let Campaign { model, measured, counts, refused, data_ids, voting, student, .. } = campaign;
    let teachers: u32 = plan.teachers.iter().sum();
    let totals = evidence.totals();
    let refusal = refused.map(|status| refusal(plan, &status, totals.asked)).transpose()?;
    let (shortfall, refusal) = refusal.unzip();
    let (accuracy, confusion) = measured.unzip();
    let compared = plan.scenario.baseline;
    let curve = if counts.is_empty() || !compared {
        Vec::new()
    } else {
        baselines::curve(plan, space, queries, &counts)?
    };
    let report = ReportData {
        title: format!(
            "{}: {teachers} teachers in {} organisations, seed {}",
            plan.dataset,
            plan.shards.len(),
            plan.seed
        ),
        dataset: plan.dataset.clone(),
        class_names: plan.pool.schema().class_names().to_vec(),
        scheme: plan.scenario.scheme.name().to_owned(),
        organisations: plan.organisations,
        teachers,
        command: String::new(),
        settings: Vec::new(),
        queries: totals,
        label_accuracy: evidence.label_accuracy(),
        student: Student {
            model: model.as_ref().map_or_else(
                || "none: no label was released".to_owned(),
                |model| format!("label propagation, then a {}", model.origin().model),
            ),
            test_size: plan.test.rows() as u64,
            test_accuracy: accuracy,
            nonprivate_accuracy: if compared { baselines::nonprivate(plan, space)? } else { None },
            public_alone_accuracy: baselines::public_alone(&plan.test),
            public_alone: baselines::PUBLIC_ALONE.to_owned(),
        },
        privacy: evidence.privacy(),
        shortfall,
        curve,
        budget: evidence.budget()?,
        top_vote_shares: counts.iter().map(evidence::top_share).collect(),
        outcomes: evidence.outcomes(),
        confusion,
        examples: evidence.examples(&counts),
        silos: evidence.silos(&data_ids),
        attacks: Vec::new(),
        seconds: seconds(student, voting),
    };
    Ok((report, model, refusal))
}

/// What the budget refused, for the report and for the exit status.
fn refusal(plan: &Plan, status: &GetStatusResponse, asked: u64) -> Result<(Shortfall, Fault), Fault> {
    let price = plan.price()?;
    let left = status.rho_cap_units.saturating_sub(status.rho_spent_units + status.rho_reserved_units);
    let left = conclave_privacy::quantity::Rho::from_units(left);
    let unasked = (plan.queries.len() as u64).saturating_sub(asked);
    let shortfall = Shortfall {
        wall: format!("campaign {}", world::CAMPAIGN),
        rho_asked: price.to_f64_up(),
        rho_left: left.to_f64_up(),
        queries_unasked: unasked,
    };
    let problem = format!(
        "the budget refused the next query: spent rho {:.6}, asked {:.6}, left {:.6}; {unasked} queries were not asked, what was \
         released stands",
        status.rho_spent_units as f64 / (1_u64 << conclave_privacy::quantity::Rho::FRACTION_BITS) as f64,
        shortfall.rho_asked,
        shortfall.rho_left
    );
    let value = plan.scenario.epsilon.get().to_string();
    let fix = "ask fewer queries, add noise, or raise epsilon in a new run";
    Ok((shortfall, Fault::new(Exit::Budget, "budget-spent", "epsilon", value, problem, fix)))
}

/// Labels, model and report beside the ledger.
fn write(
    out: &Path,
    report: &ReportData,
    released: &[labels::ReleasedLabel],
    model: Option<&StudentModel>,
    ledger: &Path,
) -> Result<Artifacts, Fault> {
    let cannot = |path: &Path, error: &dyn std::fmt::Display| {
        let shown = path.display().to_string();
        Fault::new(
            Exit::Other,
            "unwritable-file",
            "out",
            shown,
            error,
            "make room, or name another directory",
        )
    };
    let labels = out.join("labels.csv");
    let file = File::create(&labels).map_err(|error| cannot(&labels, &error))?;
    labels::write_labels(BufWriter::new(file), released).map_err(|error| cannot(&labels, &error))?;
    let student = out.join("student.model");
    if let Some(model) = model {
        model.save(&student).map_err(fault)?;
    }
    let page = out.join("report.html");
    std::fs::write(&page, report::to_html(report)).map_err(|error| cannot(&page, &error))?;
    Ok(Artifacts {
        report: Some(page),
        labels: Some(labels),
        ledger: Some(ledger.to_owned()),
        student: model.map(|_| student),
        logs: None,
    })
}

fn settings_in_effect(
    loaded: &conclave_service::config::Loaded<Scenario>,
    plan: &Plan,
) -> Result<Vec<Setting>, Fault> {
    let mut settings = scenario::settings(loaded)?;
    let mut from_data = |name: &str, value: String, origin: &str| {
        if !settings.iter().any(|setting| setting.name == name) {
            settings.push(Setting { name: name.to_owned(), value, origin: origin.to_owned() });
        }
    };
    from_data("organisations", plan.teachers.len().to_string(), "default");
    from_data("teachers", plan.teachers.iter().sum::<u32>().to_string(), "default");
    from_data("queries", plan.queries.len().to_string(), "default");
    from_data("seed", plan.seed.to_string(), "fresh");
    from_data("noise", plan.noise_in_words(), if plan.calibrated { "calibrated" } else { "as given" });
    Ok(settings)
}

/// The command that repeats this run, in another directory.
fn command(scenario: Option<&Path>, overrides: &Overrides, seed: u64) -> String {
    let mut words = vec!["conclave simulate".to_owned()];
    words.extend(scenario.map(|path| quoted(&path.display().to_string())));
    let overrides = Overrides { seed: Some(seed), out: None, ..overrides.clone() };
    for (key, value) in scenario::flags(&overrides).unwrap_or_default() {
        words.push(match value {
            toml::Value::Boolean(on) => format!("--{}{key}", if on { "" } else { "no-" }),
            value => format!("--{key} {}", value.as_str().map_or_else(|| value.to_string(), quoted)),
        });
    }
    words.join(" ")
}

/// For a shell.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,".contains(letter);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn ended_early(exit: Exit, problem: &str) -> Fault {
    let fix = "run it again on a machine that is less busy, or with fewer teachers";
    Fault::new(exit, "ended-early", "", "", problem, fix)
}

const LEDGER: &str = "ledger.db";
