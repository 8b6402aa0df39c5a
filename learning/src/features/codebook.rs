//! The rows of the pool that are worth a query: medoids of a clustering, which sees the public pool only.
//!
//! There are half as many clusters again as queries, and the smallest get none: a clustering spends its smallest clusters on outliers,
//! which teachers misread and from which a student learns little (docs/decisions/0016). So a shape of which the pool has a handful of
//! rows among thousands may be left out.

use ndarray::{Array2, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;

use crate::linear_algebra::{row, squared_distance, squared_distances};
use crate::{Error, Result};

/// Lloyd's iterations at most; the pools at hand settle within twenty.
const ROUNDS_MAX: usize = 50;
/// Rows that are compared with all means at a time: what of the means is in the cache then serves all of them.
const ROWS_PER_STEP: usize = 32;

/// `k` distinct rows of `features`, each nearest to the mean of one of the `k` largest of 3k/2 clusters: seeded k-means++ (Arthur and
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
    let clusters = (k + k / 2).min(features.nrows());
    let mut means = features.select(Axis(0), &spread_out(&features, clusters, seed));
    let mut homes = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let moved = nearest_means(&features, &means);
        if moved == homes {
            break;
        }
        homes = moved;
        means = means_of(&features, &homes, means);
    }
    let mut rows = medoids(&features, &homes, &means);
    rows.truncate(k);
    Ok(rows)
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

/// The mean that each row is nearest to, the first of equals.
fn nearest_means(features: &Array2<f32>, means: &Array2<f32>) -> Vec<usize> {
    let width = features.ncols();
    let [from, to] =
        [features, means].map(|rows| rows.as_slice().expect("matrices of this crate are in standard layout"));
    from.par_chunks(ROWS_PER_STEP * width)
        .flat_map_iter(|some| {
            let mut distances = vec![0.0; some.len() / width * means.nrows()];
            squared_distances(some, to, width, &mut distances);
            let nearest = |row: &[f32]| {
                (0..row.len())
                    .min_by(|&a, &b| row[a].total_cmp(&row[b]))
                    .expect("there is a cluster for each query")
            };
            distances.chunks_exact(means.nrows()).map(nearest).collect::<Vec<_>>()
        })
        .collect()
}

/// The mean of each cluster; one that lost all its rows keeps the mean it had.
fn means_of(features: &Array2<f32>, homes: &[usize], mut means: Array2<f32>) -> Array2<f32> {
    let mut sums = Array2::<f64>::zeros(means.dim());
    let mut sizes = vec![0_u32; means.nrows()];
    for (index, &home) in homes.iter().enumerate() {
        sizes[home] += 1;
        sums.row_mut(home)
            .iter_mut()
            .zip(row(features, index))
            .for_each(|(sum, &value)| *sum += f64::from(value));
    }
    for ((mut mean, sum), &size) in
        means.outer_iter_mut().zip(sums.outer_iter()).zip(&sizes).filter(|(_, size)| **size > 0)
    {
        #[expect(clippy::cast_possible_truncation, reason = "a mean of f32 values fits an f32")]
        mean.iter_mut().zip(sum).for_each(|(mean, sum)| *mean = (sum / f64::from(size)) as f32);
    }
    means
}

/// For each cluster, largest first, the row nearest to its mean that no earlier cluster has taken.
fn medoids(features: &Array2<f32>, homes: &[usize], means: &Array2<f32>) -> Vec<usize> {
    let mut sizes = vec![0_usize; means.nrows()];
    for &home in homes {
        sizes[home] += 1;
    }
    let mut clusters: Vec<usize> = (0..means.nrows()).collect();
    clusters.sort_by_key(|&cluster| std::cmp::Reverse(sizes[cluster]));
    let mut taken = vec![false; features.nrows()];
    let mut rows = Vec::with_capacity(means.nrows());
    for cluster in clusters {
        // A cluster without rows (copies of one row filled the pool) takes the nearest row that is left.
        let nearest = (0..features.nrows())
            .filter(|&index| !taken[index] && (homes[index] == cluster || sizes[cluster] == 0))
            .min_by(|&a, &b| {
                let distance = |index| squared_distance(row(features, index), row(means, cluster));
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
    fn the_largest_clusters_get_one_query_each_largest_first_and_the_smallest_gets_none() {
        // Rows 0..4 near 0, 4..7 near 100, 7..9 near 200: three clusters for two queries.
        let at = [0.0_f32, 1.0, 2.0, 1.1, 100.0, 101.0, 102.0, 200.0, 201.0];
        let features = Array2::from_shape_fn((9, 1), |(i, _)| at[i]);
        for seed in 0..20 {
            let rows = centres(&features, 2, seed).unwrap();
            assert!(rows.len() == 2 && [1, 3].contains(&rows[0]) && rows[1] == 5, "seed {seed}: {rows:?}");
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
