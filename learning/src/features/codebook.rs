//! The rows of the pool that are worth a query: medoids of a clustering, which sees the public pool only.

use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;

use crate::linear_algebra::{row, squared_distance};
use crate::{Error, Result};

/// Lloyd's iterations at most; the pools at hand settle within twenty.
const ROUNDS_MAX: usize = 50;

/// `k` distinct rows of `features`, each nearest to the mean of one cluster: seeded k-means++ (Arthur and
/// Vassilvitskii 2007), then Lloyd's iterations.
///
/// Larger clusters come first, so that a campaign cut short has asked about the commonest shapes. Refused: `k` = 0 or
/// more than there are rows.
pub fn centres(features: &Array2<f32>, k: usize, seed: u64) -> Result<Vec<usize>> {
    if k == 0 || k > features.nrows() {
        return Err(Error::argument(
            "queries",
            k,
            format!("ask between 1 and {} queries, the rows of the pool", features.nrows()),
        ));
    }
    let features = features.as_standard_layout().into_owned();
    let mut means: Vec<Vec<f32>> =
        spread_out(&features, k, seed).into_iter().map(|index| row(&features, index).to_vec()).collect();
    let mut homes = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let moved = nearest_means(&features, &means);
        if moved == homes {
            break;
        }
        homes = moved;
        means = means_of(&features, &homes, means);
    }
    Ok(medoids(&features, &homes, &means))
}

/// k-means++: each further row is drawn with probability proportional to its squared distance from those chosen.
fn spread_out(features: &Array2<f32>, k: usize, seed: u64) -> Vec<usize> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut chosen = vec![rng.random_range(0..features.nrows())];
    let mut gaps = vec![f32::INFINITY; features.nrows()];
    while chosen.len() < k {
        let last = row(features, chosen[chosen.len() - 1]);
        gaps.par_iter_mut().enumerate().for_each(|(index, gap)| {
            *gap = gap.min(squared_distance(row(features, index), last));
        });
        let total: f64 = gaps.iter().map(|&gap| f64::from(gap)).sum();
        let mut left = rng.random::<f64>() * total;
        let drawn = gaps.iter().position(|&gap| {
            left -= f64::from(gap);
            gap > 0.0 && left <= 0.0
        });
        // Without a drawn row (only copies of chosen rows are left, or rounding ate the remainder) any other row will do.
        let next = drawn.or_else(|| (0..gaps.len()).find(|index| !chosen.contains(index)));
        chosen.extend(next);
    }
    chosen
}

fn nearest_means(features: &Array2<f32>, means: &[Vec<f32>]) -> Vec<usize> {
    (0..features.nrows())
        .into_par_iter()
        .map(|index| {
            let from = row(features, index);
            let mut best = (0, f32::INFINITY);
            for (cluster, mean) in means.iter().enumerate() {
                let distance = squared_distance(from, mean);
                if distance < best.1 {
                    best = (cluster, distance);
                }
            }
            best.0
        })
        .collect()
}

/// The mean of each cluster; one that lost all its rows keeps the mean it had.
fn means_of(features: &Array2<f32>, homes: &[usize], old: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    let mut sums = vec![vec![0.0_f64; features.ncols()]; old.len()];
    let mut sizes = vec![0_u32; old.len()];
    for (index, &home) in homes.iter().enumerate() {
        sizes[home] += 1;
        sums[home].iter_mut().zip(row(features, index)).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    #[expect(clippy::cast_possible_truncation, reason = "a mean of f32 values fits an f32")]
    let mean = |sum: Vec<f64>, size: u32| sum.into_iter().map(|s| (s / f64::from(size)) as f32).collect();
    sums.into_iter()
        .zip(sizes)
        .zip(old)
        .map(|((sum, size), old)| if size == 0 { old } else { mean(sum, size) })
        .collect()
}

/// For each cluster, largest first, the row nearest to its mean that no earlier cluster has taken.
fn medoids(features: &Array2<f32>, homes: &[usize], means: &[Vec<f32>]) -> Vec<usize> {
    let mut sizes = vec![0_usize; means.len()];
    for &home in homes {
        sizes[home] += 1;
    }
    let mut clusters: Vec<usize> = (0..means.len()).collect();
    clusters.sort_by_key(|&cluster| std::cmp::Reverse(sizes[cluster]));
    let mut taken = vec![false; features.nrows()];
    let mut rows = Vec::with_capacity(means.len());
    for cluster in clusters {
        // A cluster without rows (copies of one row filled the pool) takes the nearest row that is left.
        let nearest = (0..features.nrows())
            .filter(|&index| !taken[index] && (homes[index] == cluster || sizes[cluster] == 0))
            .min_by(|&a, &b| {
                let distance = |index| squared_distance(row(features, index), &means[cluster]);
                distance(a).total_cmp(&distance(b)).then(a.cmp(&b))
            })
            .or_else(|| taken.iter().position(|taken| !taken));
        if let Some(index) = nearest {
            taken[index] = true;
            rows.push(index);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ndarray::Array2;

    use super::*;

    #[test]
    fn every_cluster_far_from_the_others_gets_one_query_and_the_largest_comes_first() {
        // Rows 0..4 near 0, 4..7 near 100, 7..9 near 200.
        let at = [0.0_f32, 1.0, 2.0, 1.1, 100.0, 101.0, 102.0, 200.0, 201.0];
        let features = Array2::from_shape_fn((9, 1), |(i, _)| at[i]);
        for seed in 0..20 {
            let rows = centres(&features, 3, seed).unwrap();
            assert!([1, 3].contains(&rows[0]), "seed {seed}: {rows:?}");
            assert_eq!(rows[1], 5);
            assert!(rows[2] >= 7);
        }
    }

    #[test]
    fn queries_are_distinct_even_when_all_rows_are_equal() {
        let features = Array2::<f32>::ones((12, 3));
        let rows = centres(&features, 12, 7).unwrap();
        assert_eq!(rows.iter().collect::<BTreeSet<_>>().len(), 12);
    }

    #[test]
    fn no_queries_and_more_queries_than_rows_are_refused_with_the_range() {
        let features = Array2::<f32>::ones((12, 3));
        for k in [0, 13] {
            let refusal = centres(&features, k, 7).unwrap_err().to_string();
            assert!(
                refusal.contains(&format!("queries is {k}")) && refusal.contains("between 1 and 12"),
                "{refusal}"
            );
        }
    }
}
