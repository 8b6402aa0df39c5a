//! Labels spread from few rows to all over a graph of nearest neighbours: local and global consistency (Zhou, Bousquet,
//! Lal, Weston, Schölkopf, NIPS 2003) with locally scaled weights (Zelnik-Manor and Perona, NIPS 2004).
//!
//! With W the symmetric graph's weights, D its degrees and S = D^(−1/2)·W·D^(−1/2), the scores are the limit of
//! F ← α·S·F + Y, where Y holds the known labels.

use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::linear_algebra::{nearest, row};
use crate::{Error, Label, Result};

/// The graph and how far labels spread on it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PropagationSpec {
    /// Nearest neighbours that each row is joined to, at least 1; all other rows when there are fewer.
    pub neighbours: usize,
    /// Share of a row's score that comes from its neighbours, in 0..1. Nearer to 1 spreads farther and trusts the known
    /// labels less.
    pub alpha: f32,
    /// Rounds of spreading, 1 to 10,000; what is missing from the limit shrinks like α to this power.
    pub rounds: usize,
}

impl Default for PropagationSpec {
    fn default() -> Self {
        Self { neighbours: 10, alpha: 0.9, rounds: 60 }
    }
}

impl PropagationSpec {
    pub(crate) fn check(&self) -> Result<()> {
        if self.neighbours == 0 {
            return Err(Error::argument("propagation.neighbours", 0, "join each row to at least one other"));
        }
        if !(0.0..1.0).contains(&self.alpha) {
            return Err(Error::argument("propagation.alpha", self.alpha, "use a share in 0..1, 1 excluded"));
        }
        if !(1..=10_000).contains(&self.rounds) {
            return Err(Error::argument("propagation.rounds", self.rounds, "use 1 to 10000 rounds"));
        }
        Ok(())
    }
}

/// Scores of every row (rows × classes) after the labels of some rows have spread over the graph of all rows. A row
/// that no label reaches has scores 0.
///
/// `released` names rows of `features` with their labels; a row named twice counts twice. Refused: settings out of
/// range, a row or a label out of range.
pub fn propagate(
    features: &Array2<f32>,
    released: &[(usize, Label)],
    classes: usize,
    spec: &PropagationSpec,
) -> Result<Array2<f32>> {
    spec.check()?;
    let known = known(features.nrows(), released, classes)?;
    Ok(Graph::of(features, spec.neighbours).spread(&known, spec))
}

/// Y of the module's formula. Refused: a row or a label out of range.
pub(crate) fn known(rows: usize, released: &[(usize, Label)], classes: usize) -> Result<Array2<f32>> {
    let mut known = Array2::zeros((rows, classes));
    for &(at, label) in released {
        let cell = known.get_mut((at, label.index())).ok_or_else(|| {
            Error::argument(
                "released label",
                format!("class {} of row {at}", label.get()),
                format!("rows run from 0 to {}, classes from 0 to {}", rows - 1, classes - 1),
            )
        })?;
        *cell += 1.0;
    }
    Ok(known)
}

/// S of the module's formula, as each row's neighbours with their weights.
pub(crate) struct Graph {
    edges: Vec<Vec<(usize, f32)>>,
}

impl Graph {
    /// Joins each row to its nearest ones and each of those back to it.
    pub(crate) fn of(features: &Array2<f32>, neighbours: usize) -> Self {
        let features = features.as_standard_layout().into_owned();
        let near: Vec<Vec<(usize, f32)>> = (0..features.nrows())
            .into_par_iter()
            .map(|index| nearest(row(&features, index), &features, neighbours, Some(index)))
            .collect();
        // Each row's own unit of distance: how far its farthest neighbour is.
        let reach: Vec<f32> =
            near.iter().map(|near| near.last().map_or(0.0, |&(_, distance)| libm::sqrtf(distance))).collect();
        let mut edges = vec![Vec::new(); near.len()];
        for (index, near) in near.iter().enumerate() {
            for &(other, distance) in near {
                let unit = (reach[index] * reach[other]).max(f32::MIN_POSITIVE);
                let weight = libm::expf(-distance / unit);
                edges[index].push((other, weight));
                edges[other].push((index, weight));
            }
        }
        for edges in &mut edges {
            edges.sort_unstable_by_key(|&(other, _)| other);
            edges.dedup_by_key(|&mut (other, _)| other);
        }
        let degrees: Vec<f32> =
            edges.iter().map(|edges| edges.iter().map(|&(_, weight)| weight).sum()).collect();
        for (index, edges) in edges.iter_mut().enumerate() {
            for (other, weight) in edges {
                // A product of degrees that underflows joins nothing.
                let scale = libm::sqrtf(degrees[index]) * libm::sqrtf(degrees[*other]);
                *weight = if scale > 0.0 { *weight / scale } else { 0.0 };
            }
        }
        Self { edges }
    }

    /// F of the module's formula after the stated rounds, from Y = `known` (rows × classes).
    pub(crate) fn spread(&self, known: &Array2<f32>, spec: &PropagationSpec) -> Array2<f32> {
        let known = known.as_standard_layout().into_owned();
        let classes = known.ncols();
        let mut scores = known.clone();
        let mut next = known.clone();
        for _ in 0..spec.rounds {
            next.as_slice_mut()
                .expect("a copy of a row-major array is row-major")
                .par_chunks_mut(classes.max(1))
                .with_min_len(64)
                .zip(&self.edges)
                .enumerate()
                .for_each(|(index, (to, edges))| {
                    to.fill(0.0);
                    for &(other, weight) in edges {
                        to.iter_mut().zip(row(&scores, other)).for_each(|(to, from)| *to += weight * from);
                    }
                    to.iter_mut().zip(row(&known, index)).for_each(|(to, own)| *to = spec.alpha * *to + own);
                });
            std::mem::swap(&mut scores, &mut next);
        }
        scores
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;
    use crate::models::best;

    /// Two lines of ten rows each, far apart.
    fn two_lines() -> Array2<f32> {
        Array2::from_shape_fn((20, 2), |(i, j)| match j {
            0 => (i % 10) as f32,
            _ => (i / 10) as f32 * 50.0,
        })
    }

    #[test]
    fn one_label_per_cluster_labels_every_row_of_the_cluster() {
        let scores = propagate(
            &two_lines(),
            &[(0, Label::new(1)), (15, Label::new(0))],
            2,
            &PropagationSpec { neighbours: 2, ..PropagationSpec::default() },
        )
        .unwrap();
        let expected: Vec<Label> = (0..20).map(|i| Label::new(u16::from(i < 10))).collect();
        assert_eq!(best(&scores), expected);
    }

    #[test]
    fn a_row_that_no_label_reaches_has_no_scores() {
        let spec = PropagationSpec { neighbours: 2, ..PropagationSpec::default() };
        let scores = propagate(&two_lines(), &[(0, Label::new(1))], 2, &spec).unwrap();
        assert!(scores.row(12).iter().all(|&score| score == 0.0));
        assert!(scores.row(9).iter().any(|&score| score > 0.0));
    }

    #[test]
    fn many_rounds_reach_the_solution_of_the_linear_system() {
        let spec = PropagationSpec { neighbours: 3, alpha: 0.5, rounds: 60 };
        let features = two_lines();
        let known = {
            let mut known = Array2::zeros((20, 1));
            known[(4, 0)] = 1.0;
            known
        };
        let graph = Graph::of(&features, 3);
        let scores = graph.spread(&known, &spec);
        for (index, edges) in graph.edges.iter().enumerate() {
            let from_others: f32 = edges.iter().map(|&(other, weight)| weight * scores[(other, 0)]).sum();
            let residual = scores[(index, 0)] - 0.5 * from_others - known[(index, 0)];
            assert!(residual.abs() < 1e-6, "row {index}: {residual}");
        }
    }

    #[test]
    fn copies_of_one_row_share_their_labels_and_stay_finite() {
        let scores =
            propagate(&Array2::ones((8, 3)), &[(0, Label::new(1))], 2, &PropagationSpec::default()).unwrap();
        assert!(scores.iter().all(|score| score.is_finite()));
        assert_eq!(best(&scores), vec![Label::new(1); 8]);
    }

    #[test]
    fn settings_rows_and_labels_out_of_range_are_refused_by_name() {
        let features = array![[0.0_f32], [1.0]];
        let good = PropagationSpec::default();
        for (released, spec, expected) in [
            ((2, 0), good, "class 0 of row 2"),
            ((0, 2), good, "class 2 of row 0"),
            ((0, 0), PropagationSpec { neighbours: 0, ..good }, "propagation.neighbours is 0"),
            ((0, 0), PropagationSpec { alpha: 1.0, ..good }, "propagation.alpha is 1"),
            ((0, 0), PropagationSpec { alpha: f32::NAN, ..good }, "propagation.alpha is NaN"),
            ((0, 0), PropagationSpec { rounds: 0, ..good }, "propagation.rounds is 0"),
        ] {
            let released = [(released.0, Label::new(released.1))];
            let refusal = propagate(&features, &released, 2, &spec).unwrap_err().to_string();
            assert!(refusal.contains(expected), "{refusal}");
        }
    }
}
