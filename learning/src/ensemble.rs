//! The teachers that one silo hosts: one per sub-shard, trained and voting in parallel.

use ndarray::{Array2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::features::FeatureSpace;
use crate::linear_algebra::{nearest, row};
use crate::models::{Classifier, Model, ModelSpec, NearestNeighbours, train};
use crate::partition::Partition;
use crate::propagation::{Graph, PropagationSpec};
use crate::{Dataset, Error, Label, Result};

/// Rows of the pool through which a private record enters the graph.
const ENTRY_ROWS: usize = 3;

/// How each teacher learns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TeacherSpec {
    /// From the records of its sub-shard alone.
    Records {
        /// What is trained on them.
        model: ModelSpec,
    },
    /// From its records and the unlabelled public pool: the records' labels spread over the graph of the pool.
    PoolGraph {
        /// The graph, and how far labels spread on it.
        propagation: PropagationSpec,
    },
}

impl Default for TeacherSpec {
    fn default() -> Self {
        Self::Records { model: ModelSpec::default() }
    }
}

/// Trained teachers. Private: `Debug` shows only how many there are.
pub struct Ensemble {
    teachers: Vec<Model>,
    space: FeatureSpace,
}

impl Ensemble {
    /// One teacher per sub-shard of `partition`, which must be that of `shard`. `pool` is the public pool that
    /// `space` was fitted on. A teacher without rows always votes class 0.
    pub fn train(
        spec: &TeacherSpec,
        space: &FeatureSpace,
        pool: &Dataset,
        shard: &Dataset,
        partition: &Partition,
        seed: u64,
    ) -> Result<Self> {
        let labels = shard.labels().ok_or_else(|| {
            Error::argument("private labels", "absent", "teachers learn from labelled rows")
        })?;
        if partition.assignment().len() != shard.rows() {
            return Err(Error::argument(
                "partition",
                "of other rows",
                "partition this silo's own shard, after the last change to it",
            ));
        }
        for (field, dataset) in [("pool", pool), ("private rows", shard)] {
            if dataset.schema().width() != space.input_width() {
                return Err(Error::argument(
                    field,
                    format!("{} features", dataset.schema().width()),
                    format!("bring the {} features of the campaign's feature space", space.input_width()),
                ));
            }
        }
        let features = space.transform(shard.features());
        let classes = shard.schema().classes();
        let school = School::open(spec, space, pool)?;
        let teachers = (0..partition.sub_shards())
            .into_par_iter()
            .map(|sub_shard| {
                let rows = partition.rows_of(sub_shard);
                let own: Vec<Label> = rows.iter().map(|&row| labels[row]).collect();
                school.teach(
                    &features.select(Axis(0), &rows),
                    &own,
                    classes,
                    seed.wrapping_add(u64::from(sub_shard)),
                )
            })
            .collect::<Result<Vec<Model>>>()?;
        Ok(Self { teachers, space: space.clone() })
    }

    /// Number of teachers.
    pub fn teachers(&self) -> usize {
        self.teachers.len()
    }

    /// One vote per teacher for each raw row: `votes[row][teacher]`. The same row always gets the same votes.
    /// Refused: another number of columns, values that are not finite.
    pub fn votes(&self, raw: &Array2<f32>) -> Result<Vec<Vec<Label>>> {
        self.space.check(raw)?;
        let features = self.space.transform(raw);
        let by_teacher: Vec<Vec<Label>> =
            self.teachers.par_iter().map(|teacher| teacher.predict(&features)).collect();
        Ok((0..raw.nrows()).map(|row| by_teacher.iter().map(|votes| votes[row]).collect()).collect())
    }
}

impl std::fmt::Debug for Ensemble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ensemble").field("teachers", &self.teachers.len()).finish_non_exhaustive()
    }
}

/// What all teachers share: settings, and the public graph where they use it.
enum School {
    Records(ModelSpec),
    PoolGraph { pool: Array2<f32>, graph: Graph, spec: PropagationSpec },
}

impl School {
    fn open(spec: &TeacherSpec, space: &FeatureSpace, pool: &Dataset) -> Result<Self> {
        Ok(match *spec {
            TeacherSpec::Records { model } => Self::Records(model),
            TeacherSpec::PoolGraph { propagation } => {
                propagation.check()?;
                let pool = space.transform(pool.features());
                Self::PoolGraph { graph: Graph::of(&pool, propagation.neighbours), pool, spec: propagation }
            }
        })
    }

    fn teach(&self, records: &Array2<f32>, labels: &[Label], classes: usize, seed: u64) -> Result<Model> {
        match self {
            Self::PoolGraph { pool, graph, spec } if !labels.is_empty() => {
                let known = entries(records, labels, classes, pool);
                let scores = graph.spread(&known, spec);
                Ok(Model::NearestNeighbours(NearestNeighbours::from_scores(
                    pool.clone(),
                    scores,
                    spec.neighbours,
                )))
            }
            Self::PoolGraph { .. } => Ok(Model::Constant { classes, label: Label::new(0) }),
            Self::Records(model) => train(model, records, labels, classes, seed),
        }
    }
}

/// Each record's label, shared among the rows of the pool nearest to it.
fn entries(records: &Array2<f32>, labels: &[Label], classes: usize, pool: &Array2<f32>) -> Array2<f32> {
    let mut known = Array2::zeros((pool.nrows(), classes));
    for (record, label) in labels.iter().enumerate() {
        let near = nearest(row(records, record), pool, ENTRY_ROWS, None);
        let unit = near.last().map_or(0.0, |&(_, distance)| distance).max(f32::MIN_POSITIVE);
        let weights: Vec<f32> = near.iter().map(|&(_, distance)| libm::expf(-distance / unit)).collect();
        let total: f32 = weights.iter().sum();
        for (&(at, _), weight) in near.iter().zip(&weights) {
            known[(at, label.index())] += weight / total;
        }
    }
    known
}

#[cfg(test)]
mod tests;
