//! The plan: a scenario with its data, its noise and its price, checked before anybody is asked anything.
//!
//! What a scenario leaves open follows here from the data: how many teachers and queries suit it, and which noise fits
//! the cap. A plan that would pass the cap is refused.

use std::collections::HashSet;
use std::path::Path;

use conclave_learning::Dataset;
use conclave_learning::datasets::{CsvSource, DatasetSpec, KNOWN, Known, Splits};
use conclave_learning::features::{FeatureSpace, FeatureSpec};
use conclave_learning::partition::PartitionKey;
use conclave_privacy::accountant::{epsilon_to_rho_within, filter_order_for, rho_to_epsilon_within};
use conclave_privacy::calibrate::Goal;
use conclave_privacy::mechanism::{ConfidentGnMax, GnMax, LnMax, Mechanism};
use conclave_privacy::quantity::{FilterOrder, Lattice, NoiseScale, Rho, Threshold};
use conclave_privacy::unit::Sensitivity;
use conclave_service::config::Loaded;
use conclave_student::query_selection::{query_ids, select};
use rand::TryRng as _;
use rand::rngs::SysRng;

use super::report::words;
use super::scenario::{Files, Scenario, invalid};
use super::world::fault;
use crate::cli::data::data_dir;
use crate::cli::simulate::{DatasetName, MechanismName};
use crate::cli::{Exit, Fault};

/// A scenario that can be run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Every setting, none of them open.
    pub scenario: Scenario,
    /// The seed of everything.
    pub seed: u64,
    /// The data set's name.
    pub dataset: String,
    /// Private rows by organisation.
    pub shards: Vec<Dataset>,
    /// How many organisations take part.
    pub organisations: u32,
    /// Teachers by organisation.
    pub teachers: Vec<u32>,
    /// All private rows, for the comparison without privacy.
    pub private: Dataset,
    /// Public examples; their labels, where known, serve only to measure.
    pub pool: Dataset,
    /// Rows that measure the student.
    pub test: Dataset,
    /// Which features suit the data.
    pub features: FeatureSpec,
    /// The representation in which everybody learns, fitted on the pool.
    pub space: FeatureSpace,
    /// The rows of the pool to ask about, in order.
    pub queries: Vec<usize>,
    /// What is drawn per query.
    pub mechanism: Mechanism,
    /// Whether the noise was calibrated to the cap.
    pub calibrated: bool,
    /// How far the votes of neighbouring data sets differ.
    pub sensitivity: Sensitivity,
    /// ω of the silos' accounts.
    pub filter_order: FilterOrder,
    /// The cap.
    pub rho_cap: Rho,
}

impl Plan {
    /// Loads the data of a scenario and settles what it leaves open.
    ///
    /// Refused with exit 3: noise and queries that come to more than the cap.
    pub fn of(loaded: &Loaded<Scenario>) -> Result<Self, Fault> {
        let mut scenario = loaded.value.clone();
        let seed = match scenario.seed {
            Some(seed) => seed,
            None => fresh_seed()?,
        };
        let Source { name: dataset, splits: Splits { private, pool, test }, features } =
            split(&scenario, seed)?;
        let usual = usual(&scenario);
        let organisations = scenario.organisations.unwrap_or(usual.organisations);
        let teachers = teachers(scenario.teachers, organisations, usual.teachers, private.rows())?;
        let shards = scenario.partition.deal(&private, organisations, seed)?;
        for (number, (shard, teachers)) in (1..).zip(shards.iter().zip(&teachers)) {
            if (shard.rows() as u64) < u64::from(*teachers) {
                let fix = format!(
                    "organisation {number} holds {} rows for {teachers} teachers; use fewer teachers, or more data",
                    shard.rows()
                );
                return Err(invalid("teachers", teachers, &fix));
            }
        }
        let space = FeatureSpace::fit(&features, &pool)?;
        let asked =
            scenario.queries.map_or_else(|| different(&pool).min(QUERIES), |queries| queries as usize);
        let queries = select(scenario.selection, &pool, &space, asked, seed).map_err(fault)?;

        let sensitivity = Sensitivity::of(scenario.unit, scenario.adjacency, scenario.scheme)?;
        let all: u32 = teachers.iter().sum();
        let (mechanism, calibrated) = mechanism(&scenario, all, queries.len() as u64, &sensitivity, false)?;
        let filter_order = filter_order_for(scenario.epsilon, scenario.delta);
        let rho_cap = epsilon_to_rho_within(scenario.epsilon, scenario.delta, filter_order);
        check_cap(&scenario, &mechanism, &sensitivity, rho_cap, queries.len())?;

        scenario.seed = Some(seed);
        scenario.organisations = Some(organisations);
        scenario.teachers = Some(all);
        scenario.queries = u32::try_from(queries.len()).ok();
        Ok(Self {
            scenario,
            seed,
            dataset,
            shards,
            organisations,
            teachers,
            private,
            pool,
            test,
            features,
            space,
            queries,
            mechanism,
            calibrated,
            sensitivity,
            filter_order,
            rho_cap,
        })
    }

    /// What a silo's rows are dealt to its teachers with: from the seed, as everything in a simulation.
    pub fn partition_key(&self, organisation: usize) -> PartitionKey {
        PartitionKey::new(self.partition_key_bytes(organisation))
    }

    /// That key as it stands in the silo's file.
    pub fn partition_key_bytes(&self, organisation: usize) -> [u8; 32] {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&(organisation as u64).to_le_bytes());
        key
    }

    /// What a query costs at worst.
    pub fn price(&self) -> Result<Rho, Fault> {
        Ok(self.mechanism.worst_case_within(&self.sensitivity, self.filter_order)?)
    }

    /// Unit, adjacency and δ of every ε of this plan, in words.
    pub fn terms(&self) -> String {
        let Scenario { unit, adjacency, delta, .. } = &self.scenario;
        words::terms_of(unit.name(), adjacency.name(), delta.get())
    }

    /// The guarantee: ε of the cap, with its terms.
    pub fn guarantee(&self) -> String {
        words::epsilon_under(self.scenario.epsilon.get(), &self.terms())
    }

    /// The mechanism with its noise, in words.
    pub fn noise_in_words(&self) -> String {
        let noise = noise_in_words(&self.mechanism);
        if self.calibrated { format!("{noise}, calibrated to the cap") } else { noise }
    }
}

/// A mechanism with its noise, in words.
pub(crate) fn noise_in_words(mechanism: &Mechanism) -> String {
    let votes = |scale: NoiseScale| figure(scale.votes());
    match mechanism {
        Mechanism::LnMax(lnmax) => {
            format!("Laplace noise of scale {} votes on each count", votes(lnmax.scale()))
        }
        Mechanism::GnMax(gnmax) => {
            format!("Gaussian noise of standard deviation {} votes on each count", votes(gnmax.sigma()))
        }
        Mechanism::ConfidentGnMax(confident) => format!(
            "Gaussian noise of standard deviation {} votes on the largest count against a threshold of {} votes, then \
             {} votes on each count",
            votes(confident.sigma1()),
            figure(confident.threshold().votes()),
            votes(confident.sigma2())
        ),
    }
}

/// The mechanism of a scenario, with noise from its settings or calibrated to its cap; and which of both. `near`: an
/// estimate of calibrated noise will do ([`Goal::near`]).
pub fn mechanism(
    scenario: &Scenario,
    teachers: u32,
    queries: u64,
    sensitivity: &Sensitivity,
    near: bool,
) -> Result<(Mechanism, bool), Fault> {
    refuse_misfits(scenario)?;
    let lattice = Lattice::DEFAULT;
    let scale = |votes| NoiseScale::from_votes(votes, lattice);
    let (epsilon, delta) = (scenario.epsilon, scenario.delta);
    let order = filter_order_for(epsilon, delta);
    let goal = Goal { epsilon, delta, order, queries, sensitivity, lattice, near };
    Ok(match scenario.mechanism {
        MechanismName::LnMax => match scenario.scale {
            Some(b) => (LnMax::new(scale(b)?).into(), false),
            None => (LnMax::new(goal.lnmax_scale()?).into(), true),
        },
        MechanismName::GnMax => match scenario.sigma {
            Some(sigma) => (GnMax::new(scale(sigma)?).into(), false),
            None => (GnMax::new(goal.gnmax_sigma()?).into(), true),
        },
        MechanismName::ConfidentGnMax => {
            let votes = scenario.threshold.unwrap_or_else(|| f64::from(teachers) * THRESHOLD_SHARE);
            let threshold = Threshold::from_votes(votes, lattice)?;
            if let (Some(sigma1), Some(sigma)) = (scenario.sigma1, scenario.sigma) {
                (ConfidentGnMax::new(threshold, scale(sigma1)?, scale(sigma)?)?.into(), false)
            } else {
                let (sigma1, sigma) = goal.confident_gnmax_sigmas(SIGMA_RATIO)?;
                (ConfidentGnMax::new(threshold, sigma1, sigma)?.into(), true)
            }
        }
    })
}

/// Noise settings that the mechanism does not have, or that only make sense together.
fn refuse_misfits(scenario: &Scenario) -> Result<(), Fault> {
    let name = scenario.mechanism;
    let (uses, fix): (&[&str], _) = match name {
        MechanismName::LnMax => (&["scale"], "with lnmax give --scale"),
        MechanismName::GnMax => (&["sigma"], "with gnmax give --sigma"),
        MechanismName::ConfidentGnMax => {
            (&["threshold", "sigma1", "sigma"], "with confident-gnmax give --threshold, --sigma1 and --sigma")
        }
    };
    let given = [
        ("scale", scenario.scale),
        ("sigma", scenario.sigma),
        ("threshold", scenario.threshold),
        ("sigma1", scenario.sigma1),
    ];
    let misfit =
        given.iter().find_map(|(key, votes)| votes.filter(|_| !uses.contains(key)).map(|v| (*key, v)));
    if let Some((key, votes)) = misfit {
        let problem = format!("mechanism {name} has no such noise");
        return Err(Fault::input("misfit", key, votes.to_string(), problem, fix));
    }
    if name == MechanismName::ConfidentGnMax && scenario.sigma.is_some() != scenario.sigma1.is_some() {
        let (given, missing) =
            if scenario.sigma.is_some() { ("sigma", "sigma1") } else { ("sigma1", "sigma") };
        let votes = scenario.sigma.or(scenario.sigma1).unwrap_or_default();
        let problem = format!("{missing} is missing beside it");
        return Err(Fault::input(
            "misfit",
            given,
            votes.to_string(),
            problem,
            "give both, or neither to calibrate",
        ));
    }
    Ok(())
}

/// Refuses queries that come to more than the cap at this noise.
pub(crate) fn check_cap(
    scenario: &Scenario,
    mechanism: &Mechanism,
    sensitivity: &Sensitivity,
    cap: Rho,
    queries: usize,
) -> Result<(), Fault> {
    let order = filter_order_for(scenario.epsilon, scenario.delta);
    let price = mechanism.worst_case_within(sensitivity, order)?;
    let asked = price.checked_mul(queries as u64);
    if asked.is_some_and(|asked| asked <= cap) {
        return Ok(());
    }
    let fitting = cap.units().checked_div(price.units()).unwrap_or(0);
    let asked = asked.unwrap_or(Rho::MAX);
    let problem = format!(
        "{queries} queries at this noise come to epsilon {} (unit {}, adjacency {}, delta {:e}), above the cap; asked rho \
         {:.6}, left rho {:.6}, enough for {fitting} queries; nothing was asked",
        super::report::figure_up(rho_to_epsilon_within(asked, scenario.delta, order)),
        scenario.unit.name(),
        scenario.adjacency.name(),
        scenario.delta.get(),
        asked.to_f64_up(),
        cap.to_f64_up(),
    );
    let fix = format!("ask at most {fitting} queries, add noise, or raise epsilon");
    let value = scenario.epsilon.get().to_string();
    Err(Fault::new(Exit::Budget, "budget-spent", "epsilon", value, problem, fix))
}

/// What a scenario runs on.
struct Source {
    name: String,
    splits: Splits,
    features: FeatureSpec,
}

/// Private rows, pool and test rows, what the data set is called, and the features that suit it.
fn split(scenario: &Scenario, seed: u64) -> Result<Source, Fault> {
    if let Some(files) = &scenario.files {
        let splits = from_files(scenario, files)?;
        let features = FeatureSpec::for_schema(splits.pool.schema());
        return Ok(Source { name: files.private.display().to_string(), splits, features });
    }
    let spec = match &scenario.dataset {
        DatasetName::Known(known) => {
            for (key, column) in [("label", &scenario.label), ("subject", &scenario.subject)] {
                if let Some(column) = column {
                    return Err(invalid(key, column, "leave it out: this data set has no named columns"));
                }
            }
            known.spec(data_dir().as_deref())?
        }
        DatasetName::File(path) => DatasetSpec::Csv(table(scenario, path)),
    };
    let splits = spec.splits(seed)?;
    let features = spec.features(splits.pool.schema());
    Ok(Source { name: scenario.dataset.to_string(), splits, features })
}

/// One file for each role, with the classes that occur in the private one.
fn from_files(scenario: &Scenario, files: &Files) -> Result<Splits, Fault> {
    let private = table(scenario, &files.private).load()?;
    let classes = private.schema().class_names().to_vec();
    let public = |path: &Path| CsvSource { classes: Some(classes.clone()), ..table(scenario, path) }.load();
    Ok(Splits { pool: public(&files.pool)?, test: public(&files.test)?, private })
}

fn table(scenario: &Scenario, path: &Path) -> CsvSource {
    let (label, subject) = (scenario.label.clone(), scenario.subject.clone());
    CsvSource { label, subject, ..CsvSource::new(path) }
}

/// How many different examples a pool has; one that is there twice has one name and one answer.
fn different(pool: &Dataset) -> usize {
    query_ids(pool).into_iter().collect::<HashSet<_>>().len()
}

/// The data set whose usual organisations and teachers hold where nobody says: the scenario's own, or of other data the
/// first of those known.
fn usual(scenario: &Scenario) -> &'static Known {
    match (&scenario.dataset, &scenario.files) {
        (DatasetName::Known(known), None) => known,
        _ => &KNOWN[0],
    }
}

/// Teachers by organisation, as equal as can be: `asked` in all, or as many as suit the rows, `usual` at most.
fn teachers(asked: Option<u32>, organisations: u32, usual: u32, rows: usize) -> Result<Vec<u32>, Fault> {
    let suiting = u32::try_from(rows / ROWS_PER_TEACHER).unwrap_or(u32::MAX).clamp(1, usual);
    let all = asked.unwrap_or_else(|| suiting.max(organisations));
    if all < organisations {
        let fix = format!("give at least one for each of the {organisations} organisations");
        return Err(invalid("teachers", &all, &fix));
    }
    Ok((0..organisations)
        .map(|number| all / organisations + u32::from(number < all % organisations))
        .collect())
}

/// A seed for a run that was given none; as short as people copy it.
pub(crate) fn fresh_seed() -> Result<u64, Fault> {
    let mut bytes = [0; 4];
    SysRng.try_fill_bytes(&mut bytes).map_err(|error| {
        Fault::new(Exit::Other, "no-entropy", "seed", "", error, "give a seed with --seed")
    })?;
    Ok(u32::from_le_bytes(bytes).into())
}

/// Three decimals, without zeros that say nothing.
pub(crate) fn figure(votes: f64) -> String {
    let text = format!("{votes:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Fewer private rows than this for each teacher, and there are fewer teachers.
const ROWS_PER_TEACHER: usize = 20;
/// Queries where the pool is large enough.
const QUERIES: usize = 80;
/// The threshold of Confident-GNMax, as a share of the teachers.
pub(crate) const THRESHOLD_SHARE: f64 = 0.6;
/// σ1/σ2 of Confident-GNMax; the papers use 2 to 5.
pub(crate) const SIGMA_RATIO: f64 = 3.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::simulate::Overrides;

    fn plan(overrides: Overrides) -> Result<Plan, Fault> {
        let overrides = Overrides { seed: Some(1), ..overrides };
        Plan::of(&Scenario::load(None, &overrides)?)
    }

    #[test]
    fn the_default_fits_its_cap_and_one_query_more_at_its_noise_does_not() {
        let default = plan(Overrides::default()).unwrap();
        assert_eq!((default.teachers.clone(), default.queries.len()), (vec![20; 5], 80));
        assert!(default.calibrated);
        let Mechanism::GnMax(gnmax) = default.mechanism else { panic!("{:?}", default.mechanism) };
        let again = |queries| Overrides {
            sigma: Some(gnmax.sigma().votes()),
            queries: Some(queries),
            ..Overrides::default()
        };
        assert!(!plan(again(80)).unwrap().calibrated);
        let refusal = plan(again(81)).unwrap_err();
        assert_eq!((refusal.exit, refusal.code), (Exit::Budget, "budget-spent"));
        for told in ["81 queries", "enough for 80 queries", "unit record", "delta 1e-5"] {
            assert!(refusal.to_string().contains(told), "{told}: {refusal}");
        }
    }

    #[test]
    fn noise_that_the_mechanism_does_not_have_is_refused() {
        use MechanismName::{ConfidentGnMax, LnMax};
        let misfits = [
            (Overrides { scale: Some(20.0), ..Overrides::default() }, "scale 20"),
            (
                Overrides { mechanism: Some(LnMax), sigma: Some(20.0), ..Overrides::default() },
                "with lnmax give --scale",
            ),
            (
                Overrides { mechanism: Some(ConfidentGnMax), sigma: Some(20.0), ..Overrides::default() },
                "sigma1 is missing",
            ),
        ];
        for (overrides, told) in misfits {
            let refusal = plan(overrides).unwrap_err();
            assert_eq!(refusal.exit, Exit::BadInput);
            assert!(refusal.to_string().contains(told), "{told}: {refusal}");
        }
    }

    #[test]
    fn every_mechanism_is_calibrated_to_the_cap_when_no_noise_is_given() {
        for mechanism in MechanismName::ALL {
            let plan = plan(Overrides { mechanism: Some(mechanism), ..Overrides::default() }).unwrap();
            assert!(plan.calibrated);
            let asked = plan.price().unwrap().checked_mul(80).unwrap();
            assert!(asked <= plan.rho_cap && asked.units() > plan.rho_cap.units() / 100 * 99, "{mechanism}");
        }
    }

    #[test]
    fn more_teachers_than_rows_or_fewer_than_organisations_are_refused() {
        let refusal = plan(Overrides { teachers: Some(4_000), ..Overrides::default() }).unwrap_err();
        assert!(refusal.to_string().contains("holds 765 rows for 800 teachers"), "{refusal}");
        let refusal = plan(Overrides { teachers: Some(4), ..Overrides::default() }).unwrap_err();
        assert!(refusal.to_string().contains("at least one for each of the 5"), "{refusal}");
        let refusal = plan(Overrides { queries: Some(901), ..Overrides::default() }).unwrap_err();
        assert!(refusal.to_string().contains("901"), "{refusal}");
    }
}
