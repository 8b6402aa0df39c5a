//! The little linear algebra that the models share, written so that the same input gives the same bits for any number
//! of threads and on any CPU: fixed order of summation, no fused multiply-add, transcendental functions from `libm`.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

/// Partial sums kept side by side, so that the compiler may use vector registers without reordering anything.
const LANES: usize = 8;
/// Columns of a Cholesky panel: 64 doubles of a row stay in the first-level cache.
const PANEL: usize = 64;
/// Rows that [`gram`] sums at a time; a column's part stays in the first-level cache.
const GRAM_ROWS: usize = 256;
/// What is left of a pivot, as a share of its first size, below which rounding is all that is left.
const DEPENDENT: f64 = 1e-13;

/// Σ (a−b)², for slices of the same length.
pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    pair::<Difference>(a, b)
}

/// Σ a·b, for slices of the same length.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0_f64; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    lanes.iter().sum::<f64>() + rest
}

/// What two rows come to, summed over their columns in [`LANES`] partial sums.
trait Pairing {
    fn of(x: f32, y: f32) -> f32;
}

struct Difference;
struct Product;

// Inlined whatever the units of code generation: a call for each pair of numbers takes ten times as long.
impl Pairing for Difference {
    #[inline]
    fn of(x: f32, y: f32) -> f32 {
        (x - y) * (x - y)
    }
}

impl Pairing for Product {
    #[inline]
    fn of(x: f32, y: f32) -> f32 {
        x * y
    }
}

/// Σ (a−b)² for every row of `a` with every row of `b`, as [`squared_distance`] has it: rows of `a` × rows of `b`.
pub(crate) fn squared_distances(a: &[f32], b: &[f32], width: usize, out: &mut [f32]) {
    all_pairs::<Difference>(a, b, width, out);
}

/// a·bᵀ: rows of `a` × rows of `b`.
pub(crate) fn products(a: &[f32], b: &[f32], width: usize, out: &mut [f32]) {
    all_pairs::<Product>(a, b, width, out);
}

/// Two rows by two at a time, so that what is loaded is used twice; each pair's sum has the order of a single pair's.
fn all_pairs<P: Pairing>(a: &[f32], b: &[f32], width: usize, out: &mut [f32]) {
    let columns = b.len() / width;
    for (a, out) in a.chunks(2 * width).zip(out.chunks_mut(2 * columns)) {
        let Some((first, second)) = a.split_at_checked(width).filter(|(_, second)| !second.is_empty()) else {
            b.chunks_exact(width).zip(out).for_each(|(b, to)| *to = pair::<P>(a, b));
            continue;
        };
        let (above, below) = out.split_at_mut(columns);
        let mut at = 0;
        for b in b.chunks(2 * width) {
            if b.len() < 2 * width {
                (above[at], below[at]) = (pair::<P>(first, b), pair::<P>(second, b));
            } else {
                let (left, right) = b.split_at(width);
                let [l, r, ll, rr] = two_by_two::<P>(first, second, left, right);
                (above[at], above[at + 1], below[at], below[at + 1]) = (l, r, ll, rr);
            }
            at += 2;
        }
    }
}

fn pair<P: Pairing>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LANES {
            lanes[lane] += P::of(x[lane], y[lane]);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| P::of(*x, *y)).sum();
    lanes.iter().sum::<f32>() + rest
}

fn two_by_two<P: Pairing>(a: &[f32], aa: &[f32], b: &[f32], bb: &[f32]) -> [f32; 4] {
    let mut lanes = [[0.0_f32; LANES]; 4];
    let blocks = |row| <[f32]>::as_chunks::<LANES>(row).0;
    for (((x, xx), y), yy) in blocks(a).iter().zip(blocks(aa)).zip(blocks(b)).zip(blocks(bb)) {
        for lane in 0..LANES {
            lanes[0][lane] += P::of(x[lane], y[lane]);
            lanes[1][lane] += P::of(x[lane], yy[lane]);
            lanes[2][lane] += P::of(xx[lane], y[lane]);
            lanes[3][lane] += P::of(xx[lane], yy[lane]);
        }
    }
    let rest = |a: &[f32], b: &[f32]| {
        let rests = |row| <[f32]>::as_chunks::<LANES>(row).1;
        rests(a).iter().zip(rests(b)).map(|(x, y)| P::of(*x, *y)).sum::<f32>()
    };
    let rests = [rest(a, b), rest(a, bb), rest(aa, b), rest(aa, bb)];
    std::array::from_fn(|pair| lanes[pair].iter().sum::<f32>() + rests[pair])
}

/// One row of `rows` as a slice. Every matrix of this crate is row-major.
pub(crate) fn row(rows: &Array2<f32>, index: usize) -> &[f32] {
    let width = rows.ncols();
    &rows.as_slice().expect("matrices of this crate are in standard layout")
        [index * width..(index + 1) * width]
}

/// The `count` rows nearest to `from`, by distance and then by index, with their squared distances; `except` is left
/// out.
pub(crate) fn nearest(
    from: &[f32],
    rows: &Array2<f32>,
    count: usize,
    except: Option<usize>,
) -> Vec<(usize, f32)> {
    let mut all: Vec<(usize, f32)> = (0..rows.nrows())
        .filter(|&index| Some(index) != except)
        .map(|index| (index, squared_distance(from, row(rows, index))))
        .collect();
    let order = |a: &(usize, f32), b: &(usize, f32)| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0));
    if count < all.len() {
        all.select_nth_unstable_by(count, order);
        all.truncate(count);
    }
    all.sort_unstable_by(order);
    all
}

/// Σ over rows of value(row, i)·value(row, j) for all columns i ≥ j: columns × columns, of which the lower triangle is filled.
pub(crate) fn gram(rows: usize, columns: usize, value: impl Fn(usize, usize) -> f64 + Sync) -> Array2<f64> {
    let mut sums = Array2::zeros((columns, columns));
    let cells = sums.as_slice_mut().expect("a new array is in standard layout");
    for start in (0..rows).step_by(GRAM_ROWS) {
        let end = (start + GRAM_ROWS).min(rows);
        // Column by column, so that each sum runs along memory.
        let turned: Vec<f64> = (0..columns)
            .into_par_iter()
            .flat_map_iter(|column| (start..end).map(move |row| (row, column)))
            .map(|(row, column)| value(row, column))
            .collect();
        let column = |index: usize| &turned[index * (end - start)..(index + 1) * (end - start)];
        cells.par_chunks_mut(columns).enumerate().for_each(|(i, sums)| {
            for (j, sum) in sums.iter_mut().enumerate().take(i + 1) {
                *sum += dot(column(i), column(j));
            }
        });
    }
    sums
}

/// Solves A·X = B for a symmetric positive definite A by Cholesky's factorisation, blocked and parallel over rows.
///
/// Only the lower triangle of `a` is read. It never fails: an unknown that double precision cannot tell from a
/// combination of earlier ones gets the value 0. So no private row can stop its teacher from being trained.
pub(crate) fn solve_positive_definite(mut a: Array2<f64>, b: &ArrayView2<'_, f64>) -> Array2<f64> {
    let n = a.nrows();
    let matrix = a.as_slice_mut().expect("the caller built the matrix in standard layout");
    factorise(matrix, n);
    let mut x = b.to_owned();
    for mut column in x.columns_mut() {
        let mut values = column.to_vec();
        for i in 0..n {
            values[i] = (values[i] - dot(&matrix[i * n..i * n + i], &values[..i])) / matrix[i * n + i];
        }
        for i in (0..n).rev() {
            values[i] /= matrix[i * n + i];
            let (above, at) = values.split_at_mut(i);
            for (value, factor) in above.iter_mut().zip(&matrix[i * n..i * n + i]) {
                *value -= factor * at[0];
            }
        }
        column.iter_mut().zip(values).for_each(|(to, from)| *to = from);
    }
    x
}

/// Overwrites the lower triangle of `matrix` (n × n, row-major) with its Cholesky factor. A dependent column gets an
/// infinite pivot, by which everything is only ever divided.
fn factorise(matrix: &mut [f64], n: usize) {
    let whole: Vec<f64> = (0..n).map(|j| matrix[j * n + j]).collect();
    for start in (0..n).step_by(PANEL) {
        let end = (start + PANEL).min(n);
        let (upper, below) = matrix.split_at_mut(end * n);
        for j in start..end {
            let (earlier, current) = upper.split_at_mut(j * n);
            for k in start..j {
                let pivot_row = &earlier[k * n + start..k * n + k];
                current[k] = (current[k] - dot(&current[start..k], pivot_row)) / earlier[k * n + k];
            }
            let rest = current[j] - dot(&current[start..j], &current[start..j]);
            current[j] = if rest > DEPENDENT * whole[j] { rest.sqrt() } else { f64::INFINITY };
        }
        let diagonal = &upper[start * n..];
        below.par_chunks_mut(n).for_each(|row| {
            for k in start..end {
                let pivot = &diagonal[(k - start) * n..];
                row[k] = (row[k] - dot(&row[start..k], &pivot[start..k])) / pivot[k];
            }
        });
        subtract_panel(below, n, start, end);
    }
}

/// The part of the matrix right of the panel, less the panel's outer product.
fn subtract_panel(below: &mut [f64], n: usize, start: usize, end: usize) {
    let panel: Vec<f64> = below.chunks(n).flat_map(|row| row[start..end].iter().copied()).collect();
    let width = end - start;
    below.par_chunks_mut(n).enumerate().for_each(|(i, row)| {
        let own = &panel[i * width..(i + 1) * width];
        for (j, other) in panel.chunks(width).take(i + 1).enumerate() {
            row[end + j] -= dot(own, other);
        }
    });
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    #[test]
    fn all_pairs_have_the_bits_of_single_pairs_and_the_values_of_the_formula() {
        for (rows, others, width) in [(1, 1, 1), (2, 2, 8), (3, 5, 21), (4, 3, 16), (5, 2, 100)] {
            let value =
                |seed: usize| (0..seed * width).map(move |at| ((at * 37 + seed) % 19) as f32 / 4.0 - 2.0);
            let (a, b): (Vec<f32>, Vec<f32>) = (value(rows).collect(), value(others).collect());
            let (mut distances, mut dots) = (vec![0.0; rows * others], vec![0.0; rows * others]);
            squared_distances(&a, &b, width, &mut distances);
            products(&a, &b, width, &mut dots);
            for (i, x) in a.chunks(width).enumerate() {
                for (j, y) in b.chunks(width).enumerate() {
                    let at = i * others + j;
                    assert_eq!(distances[at].to_bits(), squared_distance(x, y).to_bits());
                    // Quarters of small whole numbers: every sum is exact.
                    let distance: f32 = x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum();
                    let dot: f32 = x.iter().zip(y).map(|(x, y)| x * y).sum();
                    assert!((distances[at] - distance).abs() < 1e-9 && (dots[at] - dot).abs() < 1e-9);
                }
            }
        }
    }

    #[test]
    fn a_solution_solves_the_system_beyond_one_panel() {
        let n = 150;
        let a = Array2::from_shape_fn((n, n), |(i, j)| {
            1.0 / (1.0 + (i as f64 - j as f64).abs()) + if i == j { 2.0 } else { 0.0 }
        });
        let truth = Array2::from_shape_fn((n, 2), |(i, j)| (i as f64 * 0.1).sin() + j as f64);
        let x = solve_positive_definite(a.clone(), &a.dot(&truth).view());
        assert!((&x - &truth).iter().all(|error| error.abs() < 1e-10));
    }

    #[test]
    fn an_unknown_that_depends_on_earlier_ones_gets_the_value_0_and_the_rest_is_solved() {
        let a = array![[4.0, 4.0, 0.0], [4.0, 4.0, 0.0], [0.0, 0.0, 4.0]];
        let x = solve_positive_definite(a, &array![[8.0], [8.0], [12.0]].view());
        assert_eq!(x, array![[2.0], [0.0], [3.0]]);
    }

    #[test]
    fn the_nearest_rows_come_in_order_of_distance_and_then_of_index() {
        let rows = array![[3.0_f32], [1.0], [1.0], [0.0], [9.0]];
        let found: Vec<usize> =
            nearest(&[0.0], &rows, 3, Some(3)).into_iter().map(|(index, _)| index).collect();
        assert_eq!(found, [1, 2, 0]);
    }
}
