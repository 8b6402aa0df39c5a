//! Which public examples to ask about, and what each of them is called.
//!
//! Labels are dear and the pool is free: by default the queries are the centres of the larger clusters of the pool, which
//! teach more than as many random examples, and which teachers read more surely (docs/decisions/0016). Everything here is public.

use std::collections::HashSet;

use conclave_learning::Dataset;
use conclave_learning::features::{FeatureSpace, centres};
use conclave_proto::ids::{FeaturesDigest, QueryId};
use conclave_proto::pool::PoolManifest;
use ndarray::Axis;
use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha20Rng;
use serde::{Deserialize, Serialize};

use crate::error::{Result, StudentError};

/// How the rows that are asked about are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// The row nearest to the mean of each of the larger clusters in the feature space.
    #[default]
    Centres,
    /// Uniformly, without repetition.
    Random,
}

/// `queries` rows of `pool`, the most useful first, no two of which hold the same example.
///
/// The same seed chooses the same rows. Propose them in this order: a campaign whose budget ends early has then asked
/// about the commonest examples. Refused: no queries, or more than the pool has different examples.
pub fn select(
    selection: Selection,
    pool: &Dataset,
    space: &FeatureSpace,
    queries: usize,
    seed: u64,
) -> Result<Vec<usize>> {
    // An example that is in the pool twice has one name and one answer: asking for both would waste a query.
    let mut seen = HashSet::new();
    let rows: Vec<usize> = query_ids(pool)
        .into_iter()
        .enumerate()
        .filter(|(_, id)| seen.insert(*id))
        .map(|(row, _)| row)
        .collect();
    if queries == 0 || queries > rows.len() {
        return Err(StudentError::setting(
            "queries",
            queries,
            format!("ask 1 to {}, the number of different examples in the pool", rows.len()),
        ));
    }
    let chosen = match selection {
        Selection::Centres => {
            centres(&space.transform(&pool.features().select(Axis(0), &rows)), queries, seed)?
        }
        Selection::Random => {
            index::sample(&mut ChaCha20Rng::seed_from_u64(seed), rows.len(), queries).into_vec()
        }
    };
    Ok(chosen.into_iter().map(|index| rows[index]).collect())
}

/// The name of every row: by its content, so that whoever holds the same public example calls it the same.
pub fn query_ids(pool: &Dataset) -> Vec<QueryId> {
    let schema = pool.schema();
    let digest = schema.digest();
    let name =
        |row: ndarray::ArrayView1<'_, f32>| QueryId::of_example(&digest, schema.shape(), &row.to_vec());
    pool.features().outer_iter().map(name).collect()
}

/// What the aggregator needs to know of a pool: class names, the feature space's digest and the examples' names.
pub fn manifest(pool: &Dataset, space: &FeatureSpace) -> Result<PoolManifest> {
    let classes = pool.schema().class_names().to_vec();
    Ok(PoolManifest::new(classes, FeaturesDigest::new(space.digest()), query_ids(pool))?)
}

#[cfg(test)]
mod tests {
    use conclave_learning::Schema;
    use conclave_learning::features::FeatureSpec;
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;

    fn pool(values: Vec<f32>) -> (Dataset, FeatureSpace) {
        let classes = vec!["no".to_owned(), "yes".to_owned()];
        let schema = Schema::new("line", vec![1], vec!["x".to_owned()], classes).unwrap();
        let features = Array2::from_shape_vec((values.len(), 1), values).unwrap();
        let pool = Dataset::new(schema, features, None, None).unwrap();
        let space = FeatureSpace::fit(&FeatureSpec::Scaled, &pool).unwrap();
        (pool, space)
    }

    #[test]
    fn centres_visit_every_cluster_and_repeat_by_seed() {
        let values = (0..30).map(|row| (row % 3) as f32 * 100.0 + row as f32 / 10.0).collect();
        let (pool, space) = pool(values);
        let rows = select(Selection::Centres, &pool, &space, 3, 1).unwrap();
        let mut clusters: Vec<usize> = rows.iter().map(|row| row % 3).collect();
        clusters.sort_unstable();
        assert_eq!(clusters, [0, 1, 2]);
        assert_eq!(rows, select(Selection::Centres, &pool, &space, 3, 1).unwrap());
    }

    #[test]
    fn random_rows_depend_on_the_seed_alone() {
        let (pool, space) = pool((0..100).map(|row| row as f32).collect());
        let rows = |seed| select(Selection::Random, &pool, &space, 10, seed).unwrap();
        assert_eq!(rows(1), rows(1));
        assert_ne!(rows(1), rows(2));
    }

    #[test]
    fn no_queries_or_more_than_there_are_different_examples_are_refused() {
        let (pool, space) = pool(vec![1.0, 1.0, 2.0]);
        for selection in [Selection::Centres, Selection::Random] {
            for queries in [0, 3] {
                let message = select(selection, &pool, &space, queries, 1).unwrap_err().to_string();
                assert!(message.contains(&format!("queries is {queries}; ask 1 to 2")), "{message}");
            }
        }
    }

    #[test]
    fn a_name_depends_on_content_and_schema_and_on_nothing_else() {
        let (pool, space) = pool(vec![1.0, 0.0, -0.0, 1.0]);
        let ids = query_ids(&pool);
        assert_eq!((ids[0], ids[1]), (ids[3], ids[2]));
        assert_ne!(ids[0], ids[1]);
        assert_eq!(query_ids(&pool.select(&[3, 1])), [ids[0], ids[1]]);

        let classes = vec!["yes".to_owned(), "no".to_owned()];
        let other = Schema::new("line", vec![1], vec!["x".to_owned()], classes).unwrap();
        let other = Dataset::new(other, pool.features().clone(), None, None).unwrap();
        assert_ne!(query_ids(&other)[0], ids[0]);

        let manifest = manifest(&pool, &space).unwrap();
        assert_eq!(manifest.queries(), &ids[..2]);
        assert_eq!(manifest.class_names(), ["no", "yes"]);
        assert_eq!(manifest.features().as_bytes(), &space.digest());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn no_example_is_asked_twice(
            values in prop::collection::vec(0u8..20, 1..40), part in 0..=100usize, seed: u64, random: bool,
        ) {
            let (pool, space) = pool(values.into_iter().map(f32::from).collect());
            let selection = if random { Selection::Random } else { Selection::Centres };
            let different: HashSet<QueryId> = query_ids(&pool).into_iter().collect();
            let queries = (different.len() * part).div_ceil(100).max(1);
            let rows = select(selection, &pool, &space, queries, seed).unwrap();
            let asked: HashSet<QueryId> = query_ids(&pool.select(&rows)).into_iter().collect();
            prop_assert_eq!((rows.len(), asked.len()), (queries, queries));
        }
    }
}
