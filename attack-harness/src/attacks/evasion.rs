//! Evasion with gradients: rows moved a little, within ε and within the range of raw values, so that the model no longer says their label.
//!
//! [`Method::Fgsm`] is Goodfellow, Shlens and Szegedy 2015 (arXiv 1412.6572), [`Method::Pgd`] is Madry et al. 2018 (arXiv 1706.06083): the
//! largest step on the cross-entropy, projected back. A row counts as robust when the model is right on it and no step that was tried
//! changed that, so the figure is an upper bound on robust accuracy, and a stronger attack may find it lower.
//!
//! It needs [`Gradients`], so it does not compile against a served student: that is [`super::served_evasion`].

use conclave_learning::Label;
use ndarray::{Array1, Array2, ArrayView1, Axis, Zip};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, StandardNormal};

use crate::access::{Gradients, LabelOnly};
use crate::meter::{Budget, Meter};
use crate::proportion::Proportion;
use crate::threat_model::{EVADE_MODEL, FULL_MODEL_ACCESS, Norm, ThreatModel, WHITE_BOX_OPTIMIZATION};
use crate::{Error, Result};

/// Most steps from one start, and most random starts.
pub const STEPS_MAX: u32 = 10_000;

/// How a row is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// One step of length ε.
    Fgsm,
    /// Many short steps: from the row, from where FGSM ends, and from random rows of the ball.
    Pgd {
        /// From each start, 1 to [`STEPS_MAX`].
        steps: u32,
        /// Random starts, at most [`STEPS_MAX`].
        restarts: u32,
    },
}

/// Which rows are moved, and how far.
#[derive(Debug, Clone, Copy)]
pub struct Evasion<'a> {
    /// Raw rows, every value in 0..=1.
    pub rows: &'a Array2<f32>,
    /// What the model should say of each.
    pub labels: &'a [Label],
    /// How they are moved.
    pub method: Method,
    /// What ε measures.
    pub norm: Norm,
    /// How far they may be moved, above 0.
    pub eps: f32,
    /// Draws the random starts.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaded {
    /// The rows as they were moved; unmoved where nothing was found or the model was wrong from the start.
    pub rows: Array2<f32>,
    /// Rows on which the model stays right. Those on which it was wrong from the start count as lost.
    pub robust: Proportion,
    /// The median length of the moves that changed a right label, where there are any.
    pub median_norm: Option<f64>,
    /// Whether the budget ended the attack before its last step.
    pub cut_short: bool,
}

/// The attacker of this file.
pub fn threat_model(norm: Norm, eps: Vec<f64>, budget: Budget) -> ThreatModel {
    ThreatModel {
        goal: "any label but the right one",
        knowledge: "the model with its weights, and the right labels",
        capability: "moves every value of a row, within ε and within the range of values",
        norm: Some(norm),
        eps,
        budget,
        poisoned_silos_max: 0,
        colluders_max: 0,
        atlas: vec![FULL_MODEL_ACCESS, WHITE_BOX_OPTIMIZATION, EVADE_MODEL],
    }
}

/// Carries the attack out.
///
/// `judge` is another access to the same model: only rows that it finds fooled, in range and within ε count. A budget that is
/// used up ends the attack, and what was found before stands.
pub fn run<T: Gradients>(
    attack: &Evasion<'_>,
    target: &mut Meter<T>,
    judge: &mut impl LabelOnly,
) -> Result<Evaded> {
    check(attack, target.classes())?;
    let right: Vec<bool> =
        judge.labels(attack.rows)?.iter().zip(attack.labels).map(|(said, label)| said == label).collect();
    let mut search = Search {
        attack,
        moved: attack.rows.clone(),
        open: (0..attack.rows.nrows()).filter(|&row| right[row]).collect(),
    };
    let cut_short = match search.all_starts(target) {
        Ok(()) => false,
        Err(Error::BudgetExhausted { .. }) => true,
        Err(error) => return Err(error),
    };
    let said = judge.labels(&search.moved)?;
    let mut norms = Vec::new();
    let mut robust = vec![false; right.len()];
    for row in (0..right.len()).filter(|&row| right[row]) {
        let (from, to) = (attack.rows.row(row), search.moved.row(row));
        let moved = length(attack.norm, &from, &to);
        let allowed = moved <= f64::from(attack.eps) * (1.0 + ROUNDING) + ROUNDING && in_range(&to);
        if allowed && said[row] != attack.labels[row] {
            norms.push(moved);
        } else {
            robust[row] = true;
        }
    }
    norms.sort_by(f64::total_cmp);
    let middle = norms.len() / 2;
    let median_norm = match norms.len() {
        0 => None,
        even if even % 2 == 0 => Some(f64::midpoint(norms[middle - 1], norms[middle])),
        _ => Some(norms[middle]),
    };
    Ok(Evaded { rows: search.moved, robust: Proportion::count(robust), median_norm, cut_short })
}

/// Rows that are still open, and what was found for the others.
struct Search<'a> {
    attack: &'a Evasion<'a>,
    moved: Array2<f32>,
    /// Right at first and not fooled yet.
    open: Vec<usize>,
}

impl Search<'_> {
    fn all_starts<T: Gradients>(&mut self, target: &mut Meter<T>) -> Result<()> {
        let eps = self.attack.eps;
        // One full step: the whole of FGSM, and PGD's first, so that PGD is never the weaker of the two.
        let mut start = self.rows();
        self.walk(&mut start, eps, 1, target)?;
        let Method::Pgd { steps, restarts } = self.attack.method else { return Ok(()) };
        #[expect(clippy::cast_precision_loss, reason = "at most 10,000")]
        let step = eps * STEPS_ACROSS / steps as f32;
        self.walk(&mut start, step, steps, target)?;
        let mut start = self.rows();
        self.walk(&mut start, step, steps, target)?;
        let mut generator = ChaCha8Rng::seed_from_u64(self.attack.seed);
        for _ in 0..restarts {
            let mut start = random_starts(self.attack.norm, eps, &self.rows(), &mut generator);
            self.walk(&mut start, step, steps, target)?;
        }
        Ok(())
    }

    /// The open rows as they are.
    fn rows(&self) -> Array2<f32> {
        self.attack.rows.select(Axis(0), &self.open)
    }

    /// Steps from `start` (one row for each open one) until a row is fooled; keeps that row and closes it.
    fn walk<T: Gradients>(
        &mut self,
        start: &mut Array2<f32>,
        step: f32,
        steps: u32,
        target: &mut Meter<T>,
    ) -> Result<()> {
        for _ in 0..steps {
            if self.open.is_empty() {
                return Ok(());
            }
            let labels: Vec<Label> = self.open.iter().map(|&row| self.attack.labels[row]).collect();
            let gradients = target.loss_gradients(start, &labels)?;
            for ((mut to, gradient), &row) in
                start.rows_mut().into_iter().zip(gradients.rows()).zip(&self.open)
            {
                let moved = &to + &(direction(self.attack.norm, &gradient) * step);
                to.assign(&project(self.attack.norm, self.attack.eps, &self.attack.rows.row(row), moved));
            }
            let said = target.labels(start)?;
            let mut left = Vec::with_capacity(self.open.len());
            for (at, &row) in self.open.iter().enumerate() {
                if said[at] == labels[at] {
                    left.push(at);
                } else {
                    self.moved.row_mut(row).assign(&start.row(at));
                }
            }
            *start = start.select(Axis(0), &left);
            self.open = left.into_iter().map(|at| self.open[at]).collect();
        }
        Ok(())
    }
}

/// The nearest allowed row, first in the ball and then in the range: the range cannot lead out of the ball again.
pub(super) fn project(norm: Norm, eps: f32, from: &ArrayView1<'_, f32>, mut to: Array1<f32>) -> Array1<f32> {
    match norm {
        Norm::Linf => {
            Zip::from(&mut to).and(from).for_each(|to, &from| *to = to.clamp(from - eps, from + eps));
        }
        Norm::L2 => {
            let change = &to - from;
            let long = change.dot(&change).sqrt();
            if long > eps {
                to = from + &(change * (eps / long));
            }
        }
    }
    to.mapv_into(|value| value.clamp(0.0, 1.0))
}

/// Rows uniform in the ball around each of `rows`, cut to the range.
pub(super) fn random_starts(
    norm: Norm,
    eps: f32,
    rows: &Array2<f32>,
    generator: &mut ChaCha8Rng,
) -> Array2<f32> {
    let mut starts = rows.clone();
    let width = starts.ncols();
    for (mut start, from) in starts.rows_mut().into_iter().zip(rows.rows()) {
        let change: Array1<f32> = match norm {
            Norm::Linf => {
                Array1::from_shape_simple_fn(width, || eps * (2.0 * generator.random::<f32>() - 1.0))
            }
            Norm::L2 => {
                let normal = Array1::from_shape_simple_fn(width, || StandardNormal.sample(generator));
                #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^23")]
                let radius = eps * generator.random::<f32>().powf(1.0 / width as f32);
                direction(Norm::L2, &normal.view()) * radius
            }
        };
        start.assign(&project(norm, eps, &from, &from + &change));
    }
    starts
}

/// The direction of length 1 in which the loss grows fastest; nowhere where it does not grow.
pub(super) fn direction(norm: Norm, gradient: &ArrayView1<'_, f32>) -> Array1<f32> {
    match norm {
        Norm::Linf => gradient.mapv(|value| if value == 0.0 { 0.0 } else { value.signum() }),
        Norm::L2 => {
            // Gradients of a sure model are tiny: their squares vanish unless they are scaled first.
            let largest = gradient.fold(0.0_f32, |largest, value| largest.max(value.abs()));
            if largest == 0.0 {
                return Array1::zeros(gradient.len());
            }
            let scaled = gradient.mapv(|value| value / largest);
            let long = scaled.dot(&scaled).sqrt();
            scaled / long
        }
    }
}

fn length(norm: Norm, from: &ArrayView1<'_, f32>, to: &ArrayView1<'_, f32>) -> f64 {
    let changes = from.iter().zip(to.iter()).map(|(&from, &to)| (f64::from(to) - f64::from(from)).abs());
    match norm {
        Norm::Linf => changes.fold(0.0, f64::max),
        Norm::L2 => changes.map(|change| change * change).sum::<f64>().sqrt(),
    }
}

fn in_range(row: &ArrayView1<'_, f32>) -> bool {
    row.iter().all(|value| (0.0..=1.0).contains(value))
}

fn check(attack: &Evasion<'_>, classes: usize) -> Result<()> {
    let rows = attack.rows.nrows();
    if rows == 0 || attack.labels.len() != rows {
        let shown = format!("{} for {rows} rows", attack.labels.len());
        return Err(Error::setting("labels", shown, "give one label for each row, and at least one row"));
    }
    if let Some(odd) = attack.labels.iter().find(|label| label.index() >= classes) {
        return Err(Error::setting(
            "label",
            odd.index(),
            format!("the model has classes 0 to {}", classes - 1),
        ));
    }
    if let Some(odd) = attack.rows.rows().into_iter().position(|row| !in_range(&row)) {
        return Err(Error::setting(
            "rows",
            format!("row {odd}"),
            "scale every value to 0..=1, as the model reads it",
        ));
    }
    if !(attack.eps.is_finite() && attack.eps > 0.0) {
        return Err(Error::setting("eps", attack.eps, "give a finite length above 0"));
    }
    match attack.method {
        Method::Pgd { steps, .. } if !(1..=STEPS_MAX).contains(&steps) => {
            Err(Error::setting("steps", steps, format!("give 1 to {STEPS_MAX}")))
        }
        Method::Pgd { restarts, .. } if restarts > STEPS_MAX => {
            Err(Error::setting("restarts", restarts, format!("give at most {STEPS_MAX}")))
        }
        _ => Ok(()),
    }
}

/// All steps of a start together, in ε: enough to cross the ball from one side to the other.
pub(super) const STEPS_ACROSS: f32 = 2.5;
/// What 32-bit rounding may add to the length of a move.
const ROUNDING: f64 = 1e-6;
