//! Evasion of the served student: with its published model in hand, or with a copy that labels made.

use std::time::Instant;

use conclave_attack_harness::attacks::served_evasion::{self, Hands, ServedEvasion};
use conclave_attack_harness::meter::{Budget, Meter, Spent};
use conclave_attack_harness::range::{HeldPredictor, Range, Ranged};
use conclave_attack_harness::report::Finding;
use conclave_learning::Predictor;
use conclave_learning::features::FeatureSpace;
use conclave_learning::models::Model;
use ndarray::{Axis, concatenate};

use crate::attacks::fault;
use crate::attacks::targets::ServedStudent;
use crate::cli::{Fault, Progress};
use crate::simulate::plan::Plan;
use crate::simulate::world::broken;

/// What came of it; the connection is given back. Nothing where the test rows have no labels.
pub(super) type Evaded = (Option<(Finding, Spent, Instant)>, ServedStudent);

/// A copy of a student of this plan, as a predictor on raw rows.
pub(super) fn copy(plan: &Plan, space: &FeatureSpace, model: Model) -> Result<Predictor, Fault> {
    Ok(Predictor::new(plan.pool.schema().clone(), space.clone(), model)?)
}

/// Moves test rows with the gradients of `held`, and asks the served student about them.
pub(super) fn evade(
    plan: &Plan,
    held: Predictor,
    hands: Hands,
    student: ServedStudent,
    progress: Progress,
) -> Result<Evaded, Fault> {
    let began = Instant::now();
    let width = plan.test.features().ncols();
    let rows = (VALUES_MAX / width.max(1)).clamp(ROWS_MIN, ROWS_MAX).min(plan.test.rows());
    let chosen = plan.test.select(&(0..rows).collect::<Vec<_>>());
    let Some(labels) = chosen.labels().filter(|labels| !labels.is_empty()) else {
        return Ok((None, student));
    };
    let seen = concatenate(Axis(0), &[plan.pool.features().view(), chosen.features().view()]);
    let seen = seen.map_err(|error| broken("reading the range of values", &error))?;
    let range = Range::of(&seen, plan.pool.schema().shape().len() > 1).map_err(fault)?;
    let shares = range.shares(chosen.features());
    let attack = ServedEvasion {
        rows: &shares,
        labels,
        hands,
        eps: &EPS,
        steps: STEPS,
        restarts: RESTARTS,
        seed: plan.seed,
    };
    let step = progress.counted(
        match hands {
            Hands::Published => "Attack: moving rows, with the student's model",
            Hands::Copy { .. } => "Attack: moving rows, with a copy",
        },
        EPS.len() as u64,
    );
    let mut held = HeldPredictor::new(held, range.clone());
    let mut meter = Meter::new(Ranged::new(student, range), Budget::default());
    let served = served_evasion::run(&attack, &mut held, &mut meter, || step.advance(1)).map_err(fault)?;
    let spent = meter.spent();
    let finding = served_evasion::finding(&served, &attack);
    Ok((Some((finding, spent, began)), meter.into_target().into_target()))
}

/// Largest changes, as shares of the range of a value.
const EPS: [f32; 5] = [0.02, 0.05, 0.1, 0.15, 0.2];
/// From each start.
const STEPS: u32 = 10;
/// Besides the row itself, and where one full step ends.
const RESTARTS: u32 = 1;
/// Rows that are moved: enough for shares within 15 points.
const ROWS_MAX: usize = 50;
/// A gradient costs one transformation of the row for each of its values, so wide rows are fewer.
const VALUES_MAX: usize = 3_200;
const ROWS_MIN: usize = 10;
