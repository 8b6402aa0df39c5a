//! RBF kernel ridge regression on one-hot targets: good from a few dozen rows on.
//!
//! Scores are k(x)ᵀ·(K + λI)⁻¹·Y with K the matrix of exp(−γ·‖x−y‖²) (Saunders, Gammerman, Vovk 1998). With many rows only
//! some of them, drawn by the seed, carry a weight, fitted to the labels of all: (K_mnᵀ·K_mn + λ·K_mm)⁻¹·K_mnᵀ·Y (subset of
//! regressors, Smola and Schölkopf 2000; as accurate as all rows once there are enough of them, Rudi et al. 2015).

use ndarray::{Array2, Axis};
use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;

use super::one_hot;
use crate::linear_algebra::{
    gram, products, row, solve_positive_definite, squared_distance, squared_distances,
};
use crate::{Error, Label, Result};

/// Most rows that each carry a weight.
const EXACT_ROWS_MAX: usize = 2_000;
/// Rows that carry a weight where there are more.
const LANDMARKS: usize = 1_500;
/// Added to the kernel's diagonal among the rows that carry a weight: near copies would otherwise get huge weights of opposite signs,
/// which 32-bit floats cannot hold.
const OWN_PART: f64 = 0.01;
/// Rows that are compared with all others at a time: their distances stay in the cache.
const ROWS_PER_STEP: usize = 32;

/// Training rows with their weight for each class.
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
        (gamma, ridge): (f32, f32),
        seed: u64,
    ) -> Result<Self> {
        for (field, value) in [("model.gamma", gamma), ("model.ridge", ridge)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::argument(field, value, "use a finite number above 0"));
            }
        }
        let features = features.as_standard_layout().into_owned();
        let (rows, system, right) = if features.nrows() <= EXACT_ROWS_MAX {
            let mut kernel = likeness_among(gamma, &features);
            kernel.diag_mut().mapv_inplace(|one| one + f64::from(ridge));
            (features, kernel, one_hot(labels, classes))
        } else {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let chosen = index::sample(&mut rng, features.nrows(), LANDMARKS).into_vec();
            let landmarks = features.select(Axis(0), &chosen);
            // All rows × landmarks.
            let likeness = likeness(gamma, &features, &landmarks);
            let mut system =
                gram(features.nrows(), LANDMARKS, |row, column| f64::from(likeness[(row, column)]));
            let mut among = likeness_among(gamma, &landmarks);
            among.diag_mut().mapv_inplace(|one| one + OWN_PART);
            system.scaled_add(f64::from(ridge), &among);
            let mut right = Array2::zeros((LANDMARKS, classes));
            for (likeness, label) in likeness.outer_iter().zip(labels) {
                let mut column = right.column_mut(label.index());
                column.iter_mut().zip(likeness).for_each(|(sum, &value)| *sum += f64::from(value));
            }
            (landmarks, system, right)
        };
        let weights = solve_positive_definite(system, &right.view());
        #[expect(
            clippy::cast_possible_truncation,
            reason = "stored as features are; at most 1/ridge in size for each label"
        )]
        let weights = weights.mapv(|weight| weight as f32);
        Ok(Self { gamma, rows, weights })
    }

    pub(super) fn scores(&self, features: &Array2<f32>) -> Array2<f32> {
        let classes = self.weights.ncols();
        let weights = self.weights.t().as_standard_layout().into_owned();
        let weights = weights.as_slice().expect("it was just put in standard layout");
        by_blocks(self.gamma, features, &self.rows, classes, |likeness, to| {
            products(likeness, weights, self.rows.nrows(), to);
        })
    }
}

/// exp(−γ·‖x−y‖²) of each row of `features` with each of `rows`.
fn likeness(gamma: f32, features: &Array2<f32>, rows: &Array2<f32>) -> Array2<f32> {
    by_blocks(gamma, features, rows, rows.nrows(), |likeness, to| to.copy_from_slice(likeness))
}

/// Fills some rows of the result, of `width` columns, at a time from the likeness of as many features with `rows`.
fn by_blocks(
    gamma: f32,
    features: &Array2<f32>,
    rows: &Array2<f32>,
    width: usize,
    fill: impl Fn(&[f32], &mut [f32]) + Sync,
) -> Array2<f32> {
    let columns = features.ncols();
    let features = features.as_standard_layout();
    let from = features.as_slice().expect("it was just put in standard layout");
    let others = rows.as_slice().expect("matrices of this crate are in standard layout");
    let mut out = Array2::zeros((features.nrows(), width));
    out.as_slice_mut()
        .expect("a new array is in standard layout")
        .par_chunks_mut(width * ROWS_PER_STEP)
        .zip(from.par_chunks(columns * ROWS_PER_STEP))
        .for_each(|(to, from)| {
            let mut likeness = vec![0.0; from.len() / columns * rows.nrows()];
            squared_distances(from, others, columns, &mut likeness);
            for value in &mut likeness {
                *value = libm::expf(-gamma * *value);
            }
            fill(&likeness, to);
        });
    out
}

/// The kernel matrix of some rows: 1 on the diagonal; of the rest, the lower triangle, which is all that the solver reads.
fn likeness_among(gamma: f32, rows: &Array2<f32>) -> Array2<f64> {
    let n = rows.nrows();
    let mut kernel = Array2::<f64>::zeros((n, n));
    kernel.as_slice_mut().expect("a new array is in standard layout").par_chunks_mut(n).enumerate().for_each(
        |(i, line)| {
            for (j, cell) in line.iter_mut().enumerate().take(i) {
                let distance = squared_distance(row(rows, i), row(rows, j));
                *cell = f64::from(libm::expf(-gamma * distance));
            }
            line[i] = 1.0;
        },
    );
    kernel
}
