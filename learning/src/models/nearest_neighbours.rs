//! The average of what the nearest rows say, nearer ones more. Rows may say several classes in part, so this also
//! carries scores that were spread over a graph to rows that were not on it.

use ndarray::Array2;

use super::{one_hot, score_rows};
use crate::linear_algebra::{nearest, row};
use crate::{Error, Label, Result};

/// The rows and what each says (rows × classes).
#[derive(Clone, PartialEq)]
pub struct NearestNeighbours {
    pub(crate) count: usize,
    pub(crate) rows: Array2<f32>,
    pub(crate) says: Array2<f32>,
}

impl NearestNeighbours {
    pub(super) fn train(
        features: &Array2<f32>,
        labels: &[Label],
        classes: usize,
        count: usize,
    ) -> Result<Self> {
        if count == 0 {
            return Err(Error::argument("model.count", 0, "ask at least one neighbour"));
        }
        let says = one_hot(labels, classes).mapv(|one| if one > 0.0 { 1.0 } else { 0.0 });
        Ok(Self { count, rows: features.as_standard_layout().into_owned(), says })
    }

    /// Rows with scores ≥ 0 instead of labels; each row's scores are scaled to the sum 1 (or stay 0).
    pub(crate) fn from_scores(rows: Array2<f32>, mut scores: Array2<f32>, count: usize) -> Self {
        for mut scores in scores.rows_mut() {
            let sum: f32 = scores.iter().sum();
            if sum > 0.0 {
                scores.mapv_inplace(|score| score / sum);
            }
        }
        Self { count, rows, says: scores }
    }

    pub(super) fn scores(&self, features: &Array2<f32>) -> Array2<f32> {
        score_rows(features, self.says.ncols(), |from, to| {
            let near = nearest(from, &self.rows, self.count, None);
            let unit = near.last().map_or(0.0, |&(_, distance)| distance).max(f32::MIN_POSITIVE);
            for (index, distance) in near {
                let weight = libm::expf(-distance / unit);
                to.iter_mut().zip(row(&self.says, index)).for_each(|(to, says)| *to += weight * says);
            }
        })
    }
}
