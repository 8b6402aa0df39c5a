//! Principal components (Pearson 1901; Hotelling 1933): the orthogonal directions along which rows vary most.

use ndarray::Array2;

use crate::eigen;
use crate::linear_algebra::{gram, row};

/// A direction whose variance is this share of the largest is rounding, and becomes 0.
const LEAST_VARIANCE: f64 = 1e-12;

/// The mean of some rows and the directions in which they vary, by falling variance, each of length 1 with its largest entry positive.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Components {
    /// One per column.
    pub(crate) means: Vec<f32>,
    /// Components × columns; rows of 0 where there is no variance left.
    pub(crate) axes: Array2<f32>,
}

impl Components {
    /// The `count` first components of `rows`; `count` is at most the number of columns.
    pub(super) fn fit(rows: &Array2<f32>, count: usize) -> Self {
        let width = rows.ncols();
        let means = means(rows);
        let found = eigen::largest(covariance(rows, &means), width, count);
        let least = found.first().map_or(0.0, |(largest, _)| largest * LEAST_VARIANCE);
        let mut axes = Array2::zeros((count, width));
        for (mut axis, (_, vector)) in
            axes.outer_iter_mut().zip(found.iter().take_while(|(variance, _)| *variance > least))
        {
            axis.iter_mut().zip(vector).for_each(|(to, &value)| *to = narrow(value));
        }
        Self { means: means.into_iter().map(narrow).collect(), axes }
    }
}

fn means(rows: &Array2<f32>) -> Vec<f64> {
    let mut sums = vec![0.0_f64; rows.ncols()];
    for index in 0..rows.nrows() {
        sums.iter_mut().zip(row(rows, index)).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    sums.into_iter().map(|sum| sum / rows.nrows() as f64).collect()
}

/// Columns × columns, row-major; divided by the number of rows.
fn covariance(rows: &Array2<f32>, means: &[f64]) -> Vec<f64> {
    let width = rows.ncols();
    let mut sums = gram(rows.nrows(), width, |row, column| f64::from(rows[(row, column)]) - means[column]);
    for i in 0..width {
        for j in 0..=i {
            let value = sums[(i, j)] / rows.nrows() as f64;
            sums[(i, j)] = value;
            sums[(j, i)] = value;
        }
    }
    sums.into_raw_vec_and_offset().0
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "means of f32 values and entries of unit vectors fit an f32"
)]
fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::super::reference::{Reference, assert_near};
    use super::*;

    fn table(reference: &Reference) -> Array2<f32> {
        let size = reference.size("rows", "columns");
        Array2::from_shape_vec(size, reference.values("values").into_iter().map(narrow).collect()).unwrap()
    }

    #[test]
    fn components_are_those_of_scikit_learn() {
        let reference = Reference::of("pca");
        let rows = table(&reference);
        let found = Components::fit(&rows, 6);
        assert_near(found.means.iter().map(|&mean| f64::from(mean)), &reference.values("means"), 1e-5);
        assert_near(found.axes.iter().map(|&v| f64::from(v)), &reference.values("components"), 1e-6);
        let few = Components::fit(&rows, 2);
        assert_eq!(
            few.axes,
            found.axes.select(ndarray::Axis(0), &[0, 1]),
            "fewer components are the first ones"
        );
    }

    #[test]
    fn a_line_has_one_component_and_nothing_beside_it() {
        // Along (3, 4): the unit vector (0.6, 0.8).
        let rows = array![[0.0_f32, 0.0], [3.0, 4.0], [6.0, 8.0], [-3.0, -4.0]];
        let found = Components::fit(&rows, 2);
        assert_near(found.axes.iter().map(|&v| f64::from(v)), &[0.6, 0.8, 0.0, 0.0], 1e-7);
        let same = Components::fit(&Array2::ones((5, 3)), 3);
        assert!(same.axes.iter().all(|value| *value == 0.0), "rows that do not vary have no direction");
    }

    #[test]
    fn rows_beyond_one_step_and_any_number_of_threads_give_the_same_bits() {
        let rows = Array2::from_shape_fn((1_100, 70), |(i, j)| ((i * 37 + j * j * 11 + i * j) % 101) as f32);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Components::fit(&rows, 10))
        };
        assert!(with(1) == with(3));
        // What is found explains itself: the variance along an axis is that of the rows projected on it.
        let Components { means, axes } = with(1);
        let along = |axis: usize| {
            let squares = rows.outer_iter().map(|row| {
                let dot: f32 =
                    row.iter().zip(&means).zip(axes.row(axis)).map(|((v, m), a)| (v - m) * a).sum();
                f64::from(dot) * f64::from(dot)
            });
            squares.sum::<f64>() / 1_100.0
        };
        assert!((1..10).all(|axis| along(axis) <= along(axis - 1) * 1.0001), "by falling variance");
    }
}
