//! Against spectra known in closed form, and against the definition.

use super::*;

fn times(matrix: &[f64], n: usize, x: &[f64]) -> Vec<f64> {
    (0..n).map(|i| dot(&matrix[i * n..(i + 1) * n], x)).collect()
}

/// Each is an eigenpair, and together they are orthonormal.
fn check(matrix: &[f64], n: usize, found: &[(f64, Vec<f64>)], tolerance: f64) {
    for (index, (value, vector)) in found.iter().enumerate() {
        let image = times(matrix, n, vector);
        let residual = image.iter().zip(vector).map(|(i, v)| (i - value * v).abs()).fold(0.0, f64::max);
        assert!(residual < tolerance, "pair {index}: {residual}");
        for (other, (_, earlier)) in found[..=index].iter().enumerate() {
            let expected = f64::from(u8::from(other == index));
            assert!((dot(vector, earlier) - expected).abs() < 1e-12, "vectors {other} and {index}");
        }
        let most = |sign: f64| vector.iter().map(|v| sign * v).fold(0.0, f64::max);
        assert!(most(1.0) > (1.0 - 1e-9) * most(-1.0), "the largest entry is positive, but for rounding");
    }
}

#[test]
fn the_second_difference_has_the_eigenvalues_of_its_closed_form() {
    // 2 beside the diagonal of −1: 2 − 2·cos(kπ / (n + 1)), k = 1..n.
    let n = 90;
    let matrix: Vec<f64> = (0..n * n)
        .map(|at: usize| match (at / n).abs_diff(at % n) {
            0 => 2.0,
            1 => -1.0,
            _ => 0.0,
        })
        .collect();
    let found = largest(matrix.clone(), n, n);
    for (rank, (value, _)) in found.iter().enumerate() {
        let k = (n - rank) as f64;
        let expected = 2.0 - 2.0 * (k * std::f64::consts::PI / (n as f64 + 1.0)).cos();
        assert!((value - expected).abs() < 1e-13, "{rank}: {value}, not {expected}");
    }
    check(&matrix, n, &found, 1e-12);
}

#[test]
fn equal_eigenvalues_have_orthonormal_vectors() {
    // a·aᵀ + 3·I with |a|² = Σ i²: one eigenvalue 3 + |a|², and 3 for all others.
    let n = 40;
    let matrix: Vec<f64> = (0..n * n)
        .map(|at| ((at / n) * (at % n)) as f64 + if at / n == at % n { 3.0 } else { 0.0 })
        .collect();
    let found = largest(matrix.clone(), n, n);
    let squares: usize = (0..n).map(|i| i * i).sum();
    assert!((found[0].0 - 3.0 - squares as f64).abs() < 1e-9);
    assert!(found[1..].iter().all(|(value, _)| (value - 3.0).abs() < 1e-9));
    check(&matrix, n, &found, 1e-9);
}

#[test]
fn small_split_and_empty_matrices_are_no_special_case() {
    for (matrix, n, values) in [
        (vec![7.0], 1, vec![7.0]),
        (vec![2.0, 1.0, 1.0, 2.0], 2, vec![3.0, 1.0]),
        // Two blocks that know nothing of each other, with an eigenvalue in common.
        (vec![2.0, 1.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 3.0], 3, vec![3.0, 3.0, 1.0]),
        (vec![0.0; 16], 4, vec![0.0; 4]),
        (vec![-1.0, 0.0, 0.0, -4.0], 2, vec![-1.0, -4.0]),
    ] {
        let found = largest(matrix.clone(), n, n);
        for ((value, _), expected) in found.iter().zip(&values) {
            assert!((value - expected).abs() < 1e-14, "{matrix:?}: {value}, not {expected}");
        }
        check(&matrix, n, &found, 1e-13);
    }
}
