//! Ridge regression with an intercept on one-hot targets: small, fast, and enough where classes lie apart.

use ndarray::Array2;
use rayon::prelude::*;

use super::{one_hot, score_rows};
use crate::linear_algebra::{row, solve_positive_definite};
use crate::{Error, Label, Result};

/// Most features to train on: the normal equations have their square.
const FEATURES_MAX: usize = 5_000;

/// One weight per feature and class; the last row is the intercept.
#[derive(Clone, PartialEq)]
pub struct Linear {
    pub(crate) weights: Array2<f32>,
}

impl Linear {
    /// Solves (XᵀX + λ·n·I)·W = XᵀY, where X has a column of ones. `ridge` = λ > 0, per row.
    pub(super) fn train(
        features: &Array2<f32>,
        labels: &[Label],
        classes: usize,
        ridge: f32,
    ) -> Result<Self> {
        if !(ridge > 0.0 && ridge.is_finite()) {
            return Err(Error::argument("model.ridge", ridge, "use a finite number above 0"));
        }
        let width = features.ncols() + 1;
        if width > FEATURES_MAX {
            return Err(Error::argument(
                "features of a linear model",
                features.ncols(),
                format!("use fewer than {FEATURES_MAX} features, or the model kernel-machine"),
            ));
        }
        let columns: Vec<Vec<f64>> = features
            .columns()
            .into_iter()
            .map(|column| column.iter().map(|&value| f64::from(value)).collect())
            .chain([vec![1.0; features.nrows()]])
            .collect();
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        let mut gram = Array2::<f64>::zeros((width, width));
        let penalty = f64::from(ridge) * features.nrows() as f64;
        gram.as_slice_mut()
            .expect("a new array is in standard layout")
            .par_chunks_mut(width)
            .enumerate()
            .for_each(|(i, line)| {
                for (cell, column) in line.iter_mut().zip(&columns).take(i + 1) {
                    *cell = product(&columns[i], column);
                }
                line[i] += penalty;
            });
        let targets = one_hot(labels, classes);
        let moments = Array2::from_shape_fn((width, classes), |(i, class)| {
            columns[i].iter().zip(targets.column(class)).map(|(x, y)| x * y).sum::<f64>()
        });
        let weights = solve_positive_definite(gram, &moments.view());
        #[expect(clippy::cast_possible_truncation, reason = "stored as features are")]
        let weights = weights.mapv(|weight| weight as f32);
        Ok(Self { weights })
    }

    pub(super) fn scores(&self, features: &Array2<f32>) -> Array2<f32> {
        let intercept = self.weights.nrows() - 1;
        score_rows(features, self.weights.ncols(), |from, to| {
            to.copy_from_slice(row(&self.weights, intercept));
            for (index, value) in from.iter().enumerate() {
                to.iter_mut().zip(row(&self.weights, index)).for_each(|(to, weight)| *to += value * weight);
            }
        })
    }
}
