//! The largest eigenvalues of a symmetric matrix with their vectors, the same bits for any number of threads.
//!
//! Three textbook steps (Golub and Van Loan, *Matrix Computations*, 8.3 to 8.4): Householder reflections make the matrix tridiagonal,
//! bisection on Sturm counts finds the wanted eigenvalues, and inverse iteration with orthogonalisation their vectors.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;

use crate::linear_algebra::dot;

/// Steps of bisection: each halves the interval, and 2⁻⁶⁰ of the matrix's size is below rounding.
const BISECTIONS: usize = 60;
/// Steps of inverse iteration; one is enough for an eigenvalue that is known to rounding.
const INVERSE_STEPS: usize = 3;
/// What stands for the size of a matrix of zeros, so that nothing is divided by 0.
const LEAST_SIZE: f64 = 1e-100;
/// Rows that one thread takes at a time.
const ROWS_PER_TASK: usize = 32;

/// The `count` largest eigenvalues of `matrix` (n × n, row-major, symmetric), in descending order, each with its vector of length 1 whose
/// largest entry is positive. Vectors of equal eigenvalues are some orthonormal basis of their space.
pub(crate) fn largest(mut matrix: Vec<f64>, n: usize, count: usize) -> Vec<(f64, Vec<f64>)> {
    let Tridiagonal { diagonal, beside, reflections } = Tridiagonal::of(&mut matrix, n);
    let size = (0..n).map(|i| diagonal[i].abs() + beside[i].abs()).fold(LEAST_SIZE, f64::max);
    let mut found: Vec<(f64, Vec<f64>)> = Vec::with_capacity(count);
    for rank in 0..count.min(n) {
        let value = eigenvalue(&diagonal, &beside, rank, 2.0 * size);
        let vector = eigenvector(&diagonal, &beside, value, size, &found);
        found.push((value, vector));
    }
    found.par_iter_mut().for_each(|(_, vector)| {
        for (step, reflection) in reflections.iter().enumerate().rev() {
            reflect(&mut vector[step + 1..], reflection);
        }
        let largest = vector.iter().fold(0.0_f64, |most, &v| if v.abs() > most.abs() { v } else { most });
        if largest < 0.0 {
            for v in vector {
                *v = -*v;
            }
        }
    });
    found
}

/// Q·T·Qᵀ: the diagonals of T, and Q as reflections I − v·vᵀ, each of the rows below its step.
struct Tridiagonal {
    diagonal: Vec<f64>,
    /// `beside[i]` stands between rows i and i + 1; the last is 0.
    beside: Vec<f64>,
    reflections: Vec<Vec<f64>>,
}

impl Tridiagonal {
    fn of(matrix: &mut [f64], n: usize) -> Self {
        let mut beside = vec![0.0; n];
        let mut reflections = Vec::with_capacity(n.saturating_sub(2));
        for step in 0..n.saturating_sub(2) {
            let column: Vec<f64> = (step + 1..n).map(|row| matrix[row * n + step]).collect();
            let (v, reflected) = reflection(column);
            beside[step] = reflected;
            // B ← (I − vvᵀ)·B·(I − vvᵀ) = B − v·wᵀ − w·vᵀ for the rest B, with p = B·v and w = p − (pᵀv / 2)·v.
            let rest = &mut matrix[(step + 1) * n..];
            let mut w: Vec<f64> =
                rest.par_chunks(n).with_min_len(ROWS_PER_TASK).map(|row| dot(&row[step + 1..], &v)).collect();
            let half = dot(&w, &v) / 2.0;
            w.iter_mut().zip(&v).for_each(|(w, v)| *w -= half * v);
            rest.par_chunks_mut(n).with_min_len(ROWS_PER_TASK).enumerate().for_each(|(i, row)| {
                let (vi, wi) = (v[i], w[i]);
                for ((cell, v), w) in row[step + 1..].iter_mut().zip(&v).zip(&w) {
                    *cell -= vi * w + wi * v;
                }
            });
            reflections.push(v);
        }
        if n > 1 {
            beside[n - 2] = matrix[(n - 1) * n + n - 2];
        }
        let diagonal = (0..n).map(|i| matrix[i * n + i]).collect();
        Self { diagonal, beside, reflections }
    }
}

/// v with (I − v·vᵀ)·column = (reflected, 0, …, 0).
fn reflection(mut column: Vec<f64>) -> (Vec<f64>, f64) {
    let length = dot(&column, &column).sqrt();
    if length == 0.0 {
        return (column, 0.0);
    }
    let reflected = if column[0] > 0.0 { -length } else { length };
    column[0] -= reflected;
    // |column|² is now 2·length·(length + |first|): above 0, and v = column·√2 / |column|.
    let scale = (2.0 / dot(&column, &column)).sqrt();
    for v in &mut column {
        *v *= scale;
    }
    (column, reflected)
}

fn reflect(x: &mut [f64], v: &[f64]) {
    let along = dot(x, v);
    x.iter_mut().zip(v).for_each(|(x, v)| *x -= along * v);
}

/// The eigenvalue with `rank` larger ones; all lie within ± `bound`.
fn eigenvalue(diagonal: &[f64], beside: &[f64], rank: usize, bound: f64) -> f64 {
    let (mut low, mut high) = (-bound, bound);
    for _ in 0..BISECTIONS {
        let middle = f64::midpoint(low, high);
        if above(diagonal, beside, middle, bound) > rank { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// How many eigenvalues lie above `x`: the positive pivots of T − x·I (Sylvester's law of inertia).
fn above(diagonal: &[f64], beside: &[f64], x: f64, bound: f64) -> usize {
    let mut pivot = 1.0_f64;
    let mut before = 0.0_f64;
    let mut positive = 0;
    for (d, b) in diagonal.iter().zip(beside) {
        pivot = d - x - before * before / pivot;
        if pivot.abs() < f64::EPSILON * f64::EPSILON * bound {
            pivot = -f64::EPSILON * f64::EPSILON * bound;
        }
        positive += usize::from(pivot > 0.0);
        before = *b;
    }
    positive
}

/// The eigenvector of `value`, orthogonal to those found before.
fn eigenvector(
    diagonal: &[f64],
    beside: &[f64],
    value: f64,
    size: f64,
    before: &[(f64, Vec<f64>)],
) -> Vec<f64> {
    // Another start for each: equal eigenvalues give the same direction for the same start.
    let mut rng = ChaCha20Rng::seed_from_u64(before.len() as u64);
    let mut x: Vec<f64> = diagonal.iter().map(|_| rng.random_range(-1.0..1.0)).collect();
    for _ in 0..INVERSE_STEPS {
        solve_shifted(diagonal, beside, value, f64::EPSILON * size, &mut x);
        // Twice: after one pass what is left may be mostly rounding.
        for _ in 0..2 {
            for (_, other) in before {
                let along = dot(&x, other);
                x.iter_mut().zip(other).for_each(|(x, o)| *x -= along * o);
            }
            let length = dot(&x, &x).sqrt();
            for x in &mut x {
                *x /= length;
            }
        }
    }
    x
}

/// x ← (T − value·I)⁻¹·x up to its length, by elimination with partial pivoting; pivots of nearly 0 become `least`.
fn solve_shifted(diagonal: &[f64], beside: &[f64], value: f64, least: f64, x: &mut [f64]) {
    let n = diagonal.len();
    // Row i of the upper triangle: its pivot and the two entries right of it.
    let mut upper: Vec<[f64; 3]> = Vec::with_capacity(n);
    let mut current = [diagonal[0] - value, beside[0], 0.0];
    for i in 0..n {
        if i + 1 == n {
            upper.push(current);
            break;
        }
        let mut next = [beside[i], diagonal[i + 1] - value, beside[i + 1]];
        if next[0].abs() > current[0].abs() {
            std::mem::swap(&mut next, &mut current);
            x.swap(i, i + 1);
        }
        if current[0].abs() < least {
            current[0] = least;
        }
        let factor = next[0] / current[0];
        x[i + 1] -= factor * x[i];
        upper.push(current);
        current = [next[1] - factor * current[1], next[2] - factor * current[2], 0.0];
    }
    for i in (0..n).rev() {
        let [pivot, first, second] = upper[i];
        let pivot = if pivot.abs() < least { least } else { pivot };
        let right = |offset: usize| x.get(i + offset).copied().unwrap_or(0.0);
        let value = (x[i] - first * right(1) - second * right(2)) / pivot;
        x[i] = value;
    }
    // The solution of a nearly singular system is huge; what counts is its direction.
    let largest = x.iter().fold(f64::MIN_POSITIVE, |most, x| most.max(x.abs()));
    for x in x {
        *x /= largest;
    }
}

#[cfg(test)]
mod tests;
