//! The student: released labels and the unlabelled rest of the pool to one model that judges unseen rows.
//!
//! Post-processing only: nothing here costs privacy, so several recipes may be tried on the same labels.

use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};

use crate::models::{Model, ModelSpec, best, train};
use crate::propagation::{Graph, PropagationSpec, known};
use crate::{Error, Label, Result};

/// How the student learns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StudentSpec {
    /// How the released labels spread over the pool.
    pub propagation: PropagationSpec,
    /// What is trained on the pool with its spread labels.
    pub model: ModelSpec,
}

impl Default for StudentSpec {
    fn default() -> Self {
        // Spread labels are partly wrong: the ridge is larger than a teacher's, whose labels are right.
        Self {
            propagation: PropagationSpec::default(),
            model: ModelSpec::KernelMachine { gamma: 2.0, ridge: 0.3 },
        }
    }
}

/// Trains on the pool (rows of the feature space) from the released labels, each a row of the pool with its label: a [`Learner`] that
/// learns once.
pub fn train_student(
    pool: &Array2<f32>,
    released: &[(usize, Label)],
    classes: usize,
    spec: &StudentSpec,
    seed: u64,
) -> Result<Model> {
    Learner::on(pool, *spec)?.learn(released, classes, seed)
}

/// A student before its labels: the pool with its graph, which is the dear part of learning and the same whatever the labels.
pub struct Learner<'a> {
    pool: &'a Array2<f32>,
    graph: Graph,
    spec: StudentSpec,
}

impl<'a> Learner<'a> {
    /// Joins the rows of the pool, which are in the feature space. Refused: settings of the graph out of range.
    pub fn on(pool: &'a Array2<f32>, spec: StudentSpec) -> Result<Self> {
        spec.propagation.check()?;
        Ok(Self { pool, graph: Graph::of(pool, spec.propagation.neighbours), spec })
    }

    /// A model from the released labels, each a row of the pool with its label.
    ///
    /// The labels spread over the graph of the pool; every row that they reach then counts with its likeliest class, the
    /// released rows included, since a released label may be noise. Refused: no labels, a row outside the pool, a label
    /// out of range, settings of the model out of range.
    pub fn learn(&self, released: &[(usize, Label)], classes: usize, seed: u64) -> Result<Model> {
        if released.is_empty() {
            return Err(Error::argument("released labels", 0, "a student needs at least one answered query"));
        }
        let known = known(self.pool.nrows(), released, classes)?;
        let scores = self.graph.spread(&known, &self.spec.propagation);
        let reached: Vec<usize> =
            (0..self.pool.nrows()).filter(|&row| scores.row(row).iter().any(|&score| score > 0.0)).collect();
        let labels = best(&scores.select(Axis(0), &reached));
        train(&self.spec.model, &self.pool.select(Axis(0), &reached), &labels, classes, seed)
    }
}

#[cfg(test)]
mod tests;
