//! RBF kernel ridge regression on one-hot targets: good from a few dozen rows on.
//!
//! Scores are k(x)ᵀ·(K + λI)⁻¹·Y with K the matrix of exp(−γ·‖x−y‖²) (Saunders, Gammerman, Vovk 1998).

use ndarray::Array2;
use rayon::prelude::*;

use super::{one_hot, score_rows};
use crate::linear_algebra::{row, solve_positive_definite, squared_distance};
use crate::{Error, Label, Result};

/// Most rows to train on: the kernel matrix has their square, 200 MB at this size.
const ROWS_MAX: usize = 5_000;

/// The training rows with their weight for each class.
#[derive(Clone, PartialEq)]
pub struct KernelMachine {
    pub(crate) gamma: f32,
    pub(crate) rows: Array2<f32>,
    pub(crate) weights: Array2<f32>,
}

impl KernelMachine {
    /// Solves the regression. `gamma` > 0 per squared unit of the feature space, `ridge` > 0.
    pub(super) fn train(
        features: &Array2<f32>,
        labels: &[Label],
        classes: usize,
        gamma: f32,
        ridge: f32,
    ) -> Result<Self> {
        for (field, value) in [("model.gamma", gamma), ("model.ridge", ridge)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::argument(field, value, "use a finite number above 0"));
            }
        }
        let n = features.nrows();
        if n > ROWS_MAX {
            return Err(Error::argument(
                "training rows of a kernel machine",
                n,
                format!("use at most {ROWS_MAX} rows, or the model linear or nearest-neighbours"),
            ));
        }
        let rows = features.as_standard_layout().into_owned();
        let mut kernel = Array2::<f64>::zeros((n, n));
        kernel
            .as_slice_mut()
            .expect("a new array is in standard layout")
            .par_chunks_mut(n)
            .enumerate()
            .for_each(|(i, line)| {
                // The solver reads the lower triangle only.
                for (j, cell) in line.iter_mut().enumerate().take(i) {
                    *cell = f64::from(rbf(gamma, row(&rows, i), row(&rows, j)));
                }
                line[i] = 1.0 + f64::from(ridge);
            });
        let weights = solve_positive_definite(kernel, &one_hot(labels, classes).view());
        #[expect(
            clippy::cast_possible_truncation,
            reason = "stored as features are; at most 1/ridge in size"
        )]
        let weights = weights.mapv(|weight| weight as f32);
        Ok(Self { gamma, rows, weights })
    }

    pub(super) fn scores(&self, features: &Array2<f32>) -> Array2<f32> {
        score_rows(features, self.weights.ncols(), |from, to| {
            for index in 0..self.rows.nrows() {
                let likeness = rbf(self.gamma, from, row(&self.rows, index));
                to.iter_mut()
                    .zip(row(&self.weights, index))
                    .for_each(|(to, weight)| *to += likeness * weight);
            }
        })
    }
}

fn rbf(gamma: f32, a: &[f32], b: &[f32]) -> f32 {
    libm::expf(-gamma * squared_distance(a, b))
}
