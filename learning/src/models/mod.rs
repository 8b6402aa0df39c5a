//! What a teacher or a student can be. Adding one: a file here, a variant of [`ModelSpec`] and of [`Model`], its
//! layout in [`crate::checkpoint`].

mod gradients;
mod kernel_machine;
mod linear;
mod nearest_neighbours;
#[cfg(test)]
mod tests;

use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::linear_algebra::row;
use crate::{Error, Label, Result};
pub use kernel_machine::KernelMachine;
pub use linear::Linear;
pub use nearest_neighbours::NearestNeighbours;

/// A trained judge of rows that are already in the feature space.
pub trait Classifier {
    /// Number of classes.
    fn classes(&self) -> usize;

    /// Rows × classes; the largest score of a row is its class. Scores of different models do not compare.
    ///
    /// # Panics
    /// When the rows have not the columns of the training rows.
    fn scores(&self, features: &Array2<f32>) -> Array2<f32>;

    /// The class with the largest score of each row, the lowest of equals.
    fn predict(&self, features: &Array2<f32>) -> Vec<Label> {
        best(&self.scores(features))
    }
}

/// Which model to train, and its settings. Distances are in the unit of the feature space, where two rows of the pool
/// lie at a mean squared distance of 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ModelSpec {
    /// RBF kernel ridge regression; beyond 2,000 rows, 1,500 of them carry the weights.
    KernelMachine {
        /// γ in exp(−γ·‖x−y‖²), above 0.
        gamma: f32,
        /// Added to the kernel's diagonal, above 0.
        ridge: f32,
    },
    /// Ridge regression.
    Linear {
        /// Penalty per training row, above 0.
        ridge: f32,
    },
    /// A weighted vote of the nearest training rows.
    NearestNeighbours {
        /// How many of them, at least 1.
        count: usize,
    },
}

impl Default for ModelSpec {
    /// What serves teachers with 20 to 300 rows best.
    fn default() -> Self {
        Self::KernelMachine { gamma: 1.0, ridge: 0.01 }
    }
}

/// A trained model. Private when its rows were: `Debug` shows only its kind.
#[derive(Clone, PartialEq)]
pub enum Model {
    /// Always the same class: what no rows train.
    Constant {
        /// Number of classes.
        classes: usize,
        /// The class.
        label: Label,
    },
    /// See [`ModelSpec::KernelMachine`].
    KernelMachine(KernelMachine),
    /// See [`ModelSpec::Linear`].
    Linear(Linear),
    /// See [`ModelSpec::NearestNeighbours`].
    NearestNeighbours(NearestNeighbours),
}

/// Trains on rows of the feature space with one label each, all below `classes`.
///
/// No rows at all give a model that always says class 0: whether a teacher votes must not depend on its data. `seed`
/// draws the rows that carry a kernel machine's weights when there are many; nothing else is drawn. Refused: lengths
/// that differ, labels out of range, settings out of range.
pub fn train(
    spec: &ModelSpec,
    features: &Array2<f32>,
    labels: &[Label],
    classes: usize,
    seed: u64,
) -> Result<Model> {
    if labels.len() != features.nrows() {
        return Err(Error::argument(
            "labels",
            format!("{} for {} rows", labels.len(), features.nrows()),
            "give one label per row",
        ));
    }
    if classes == 0 || classes > usize::from(u16::MAX) {
        return Err(Error::argument("classes", classes, "use 1 to 65535 classes"));
    }
    if let Some(label) = labels.iter().find(|label| label.index() >= classes) {
        return Err(Error::argument("label", label.get(), format!("labels run from 0 to {}", classes - 1)));
    }
    if labels.is_empty() {
        return Ok(Model::Constant { classes, label: Label::new(0) });
    }
    Ok(match *spec {
        ModelSpec::KernelMachine { gamma, ridge } => {
            Model::KernelMachine(KernelMachine::train(features, labels, classes, (gamma, ridge), seed)?)
        }
        ModelSpec::Linear { ridge } => Model::Linear(Linear::train(features, labels, classes, ridge)?),
        ModelSpec::NearestNeighbours { count } => {
            Model::NearestNeighbours(NearestNeighbours::train(features, labels, classes, count)?)
        }
    })
}

impl Model {
    /// Number of features that it expects; any number for a constant.
    pub(crate) fn width(&self) -> Option<usize> {
        match self {
            Self::Constant { .. } => None,
            Self::KernelMachine(model) => Some(model.rows.ncols()),
            Self::Linear(model) => Some(model.weights.nrows() - 1),
            Self::NearestNeighbours(model) => Some(model.rows.ncols()),
        }
    }

    /// Its name in [`ModelSpec`].
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Constant { .. } => "constant",
            Self::KernelMachine(_) => "kernel-machine",
            Self::Linear(_) => "linear",
            Self::NearestNeighbours(_) => "nearest-neighbours",
        }
    }
}

impl Classifier for Model {
    fn classes(&self) -> usize {
        match self {
            Self::Constant { classes, .. } => *classes,
            Self::KernelMachine(model) => model.weights.ncols(),
            Self::Linear(model) => model.weights.ncols(),
            Self::NearestNeighbours(model) => model.says.ncols(),
        }
    }

    fn scores(&self, features: &Array2<f32>) -> Array2<f32> {
        if let Some(width) = self.width() {
            assert_eq!(features.ncols(), width, "rows must have the columns of the training rows");
        }
        match self {
            Self::Constant { classes, label } => {
                score_rows(features, *classes, |_, to| to[label.index()] = 1.0)
            }
            Self::KernelMachine(model) => model.scores(features),
            Self::Linear(model) => model.scores(features),
            Self::NearestNeighbours(model) => model.scores(features),
        }
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Model({})", self.kind())
    }
}

/// The class with the largest score of each row, the lowest of equals.
pub(crate) fn best(scores: &Array2<f32>) -> Vec<Label> {
    let highest = |row: ndarray::ArrayView1<'_, f32>| {
        let mut best = 0;
        for (class, score) in row.iter().enumerate() {
            if *score > row[best] {
                best = class;
            }
        }
        Label::new(u16::try_from(best).expect("models have at most 65535 classes"))
    };
    scores.outer_iter().map(highest).collect()
}

/// Rows × classes of 0 and 1.
fn one_hot(labels: &[Label], classes: usize) -> Array2<f64> {
    Array2::from_shape_fn((labels.len(), classes), |(row, class)| {
        f64::from(u8::from(labels[row].index() == class))
    })
}

/// Fills the scores of each row in parallel; `judge` finds them at 0.
fn score_rows(
    features: &Array2<f32>,
    classes: usize,
    judge: impl Fn(&[f32], &mut [f32]) + Sync,
) -> Array2<f32> {
    let features = features.as_standard_layout().into_owned();
    let mut scores = Array2::zeros((features.nrows(), classes));
    scores
        .as_slice_mut()
        .expect("a new array is in standard layout")
        .par_chunks_mut(classes)
        .enumerate()
        .for_each(|(index, to)| judge(row(&features, index), to));
    scores
}
