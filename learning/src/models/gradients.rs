//! How the scores of a model change with its features: what whoever holds a published model can compute.

use ndarray::{Array2, Axis};
use rayon::prelude::*;

use super::{KernelMachine, Model, NearestNeighbours};
use crate::linear_algebra::{nearest, row, squared_distance};

impl Model {
    /// The gradient, by every feature of a row, of the weighted sum of its scores: rows × features. `weights` is rows × classes.
    ///
    /// Nearest neighbours are differentiated as they stand: where the set of neighbours changes, scores jump and have none.
    ///
    /// # Panics
    /// When rows and weights differ in number, or have not the columns of the training rows and its classes.
    pub fn score_gradients(&self, features: &Array2<f32>, weights: &Array2<f32>) -> Array2<f32> {
        assert_eq!(features.nrows(), weights.nrows(), "give weights for every row");
        match self {
            Self::Constant { .. } => Array2::zeros(features.dim()),
            Self::KernelMachine(model) => {
                by_row(features, weights, |from, weights, to| model.gradient(from, weights, to))
            }
            Self::Linear(model) => {
                let without_intercept = model.weights.nrows() - 1;
                let (slopes, _) = model.weights.view().split_at(Axis(0), without_intercept);
                weights.dot(&slopes.t()).as_standard_layout().into_owned()
            }
            Self::NearestNeighbours(model) => {
                by_row(features, weights, |from, weights, to| model.gradient(from, weights, to))
            }
        }
    }
}

impl KernelMachine {
    /// −2γ·Σ_i (u·w_i)·k(x, x_i)·(x − x_i).
    fn gradient(&self, from: &[f32], weights: &[f32], to: &mut [f32]) {
        for index in 0..self.rows.nrows() {
            let known = row(&self.rows, index);
            let likeness = libm::expf(-self.gamma * squared_distance(from, known));
            let slope = -2.0 * self.gamma * likeness * product(weights, row(&self.weights, index));
            for ((to, from), known) in to.iter_mut().zip(from).zip(known) {
                *to += slope * (from - known);
            }
        }
    }
}

impl NearestNeighbours {
    /// A neighbour at squared distance d counts exp(−d/e), where e is that of the farthest: both change.
    fn gradient(&self, from: &[f32], weights: &[f32], to: &mut [f32]) {
        let near = nearest(from, &self.rows, self.count, None);
        let Some(&(farthest, unit)) = near.last().filter(|(_, unit)| *unit > 0.0) else { return };
        let farthest = row(&self.rows, farthest);
        for (index, distance) in near {
            let known = row(&self.rows, index);
            let share = distance / unit;
            let slope = -2.0 * libm::expf(-share) * product(weights, row(&self.says, index)) / unit;
            for (((to, from), known), farthest) in to.iter_mut().zip(from).zip(known).zip(farthest) {
                *to += slope * ((from - known) - share * (from - farthest));
            }
        }
    }
}

fn product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Fills the gradient of each row in parallel; `judge` finds it at 0.
fn by_row(
    features: &Array2<f32>,
    weights: &Array2<f32>,
    judge: impl Fn(&[f32], &[f32], &mut [f32]) + Sync,
) -> Array2<f32> {
    let (features, weights) =
        (features.as_standard_layout().into_owned(), weights.as_standard_layout().into_owned());
    let mut gradients = Array2::zeros(features.dim());
    gradients
        .as_slice_mut()
        .expect("a new array is in standard layout")
        .par_chunks_mut(features.ncols().max(1))
        .enumerate()
        .for_each(|(index, to)| judge(row(&features, index), row(&weights, index), to));
    gradients
}
