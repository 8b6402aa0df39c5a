//! What the student is compared with: all private records without privacy, the public pool alone, and other budgets.
//!
//! All of it needs what only a simulation has: the private records together, or raw counts.

use conclave_learning::features::FeatureSpace;
use conclave_learning::models::{Classifier as _, ModelSpec, train};
use conclave_learning::student::Learner;
use conclave_learning::{Dataset, metrics};
use conclave_privacy::VoteCounts;
use conclave_privacy::mechanism::Outcome;
use conclave_privacy::noise::{NoiseSource as _, SimulationNoise};
use conclave_privacy::quantity::Epsilon;
use conclave_proto::ids::QueryId;

use super::label_of;
use super::plan::{Plan, mechanism};
use super::report::CurvePoint;
use super::scenario::Scenario;
use super::world::CAMPAIGN;
use crate::cli::Fault;

/// What the comparison without privacy is, in words.
pub const NONPRIVATE: &str = "5 nearest neighbours";
/// What the comparison with the pool alone is, in words.
pub const PUBLIC_ALONE: &str = "one class for every row: a pool without labels teaches no more";

/// Accuracy on the test rows of a model that may see every private record.
pub fn nonprivate(plan: &Plan, space: &FeatureSpace) -> Result<Option<f64>, Fault> {
    let (Some(labels), Some(truth)) = (plan.private.labels(), plan.test.labels()) else { return Ok(None) };
    let rows = space.transform(plan.private.features());
    let spec = ModelSpec::NearestNeighbours { count: 5.min(labels.len()) };
    let model = train(&spec, &rows, labels, plan.private.schema().classes(), plan.seed)?;
    let predicted = model.predict(&space.transform(plan.test.features()));
    Ok(Some(metrics::accuracy(&predicted, truth)?))
}

/// Accuracy of the best constant guess on the test rows.
pub fn public_alone(test: &Dataset) -> Option<f64> {
    let labels = test.labels()?;
    let mut rows_of = vec![0_u64; test.schema().classes()];
    for label in labels {
        rows_of[label.index()] += 1;
    }
    let most = rows_of.into_iter().max().unwrap_or(0);
    Some(most as f64 / labels.len() as f64)
}

/// The student's accuracy had the cap been another, with as many queries and noise calibrated to each cap.
///
/// A cap that no noise fits is left out, and one under which no label would be released as well.
pub fn curve(
    plan: &Plan,
    space: &FeatureSpace,
    queries: &[QueryId],
    counts: &[VoteCounts],
) -> Result<Vec<CurvePoint>, Fault> {
    let Some(truth) = plan.test.labels() else { return Ok(Vec::new()) };
    let (pool, test) = (space.transform(plan.pool.features()), space.transform(plan.test.features()));
    let learner = Learner::on(&pool, plan.scenario.student)?;
    let classes = plan.pool.schema().classes();
    let teachers = plan.teachers.iter().sum();
    let mut points = Vec::new();
    for factor in FACTORS {
        let epsilon = plan.scenario.epsilon.get() * factor;
        let at = Scenario {
            epsilon: Epsilon::new(epsilon)?,
            scale: None,
            sigma: None,
            sigma1: None,
            ..plan.scenario.clone()
        };
        let Ok((mechanism, _)) = mechanism(&at, teachers, queries.len() as u64, &plan.sensitivity, true)
        else {
            continue;
        };
        let mut accuracies = Vec::new();
        let mut labels = 0;
        for repetition in 0..REPETITIONS {
            let mut noise = SimulationNoise::new(plan.seed.wrapping_add(repetition));
            let mut released = Vec::new();
            for ((row, query), counts) in plan.queries.iter().zip(queries).zip(counts) {
                let mut generator = noise.generator(CAMPAIGN, query.as_bytes(), CURVE_ATTEMPT)?;
                if let Outcome::Label(class) = mechanism.release(counts, &mut generator).outcome {
                    released.push((*row, label_of(class)));
                }
            }
            labels = released.len() as u64;
            if released.is_empty() {
                continue;
            }
            let model = learner.learn(&released, classes, plan.seed)?;
            accuracies.push(metrics::accuracy(&model.predict(&test), truth)?);
        }
        if !accuracies.is_empty() {
            let accuracy = accuracies.iter().sum::<f64>() / accuracies.len() as f64;
            points.push(CurvePoint { epsilon, accuracy, labels });
        }
    }
    Ok(points)
}

/// Budgets relative to that of the run.
const FACTORS: [f64; 7] = [1.0 / 6.0, 1.0 / 3.0, 0.5, 2.0 / 3.0, 1.0, 1.5, 2.0];
/// Draws of the noise behind each point.
const REPETITIONS: u64 = 3;
/// Noise of the curve is no noise of the campaign: draws of a campaign are numbered from 1.
const CURVE_ATTEMPT: u32 = 0;
