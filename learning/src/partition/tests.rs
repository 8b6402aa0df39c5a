//! A row's teacher depends on that row alone.

use ndarray::{Array2, Axis, concatenate};
use proptest::prelude::*;
use rand::SeedableRng;

use super::*;
use crate::{Label, toy};

const KEY: PartitionKey = PartitionKey::new([7; 32]);

#[test]
fn sub_shards_are_disjoint_cover_all_rows_and_are_about_equal() {
    let data = toy::clusters(3_000, 0);
    let parts = partition(&data, &KEY, 10, false).unwrap();
    let mut seen = vec![0; 3_000];
    for sub_shard in 0..10 {
        let rows = parts.rows_of(sub_shard);
        // Five standard deviations of a binomial count around 300.
        assert!((218..=382).contains(&rows.len()), "{}", rows.len());
        for row in rows {
            seen[row] += 1;
        }
    }
    assert!(seen.iter().all(|&count| count == 1));
    assert!(parts.rows_of(10).is_empty());
}

#[test]
fn copies_of_a_row_land_together_and_minus_zero_is_zero() {
    let features = Array2::from_shape_fn((40, 2), |(row, _)| if row % 2 == 0 { 0.0 } else { -0.0 });
    let data = Dataset::new(toy::schema(2, 3), features, None, None).unwrap();
    let parts = partition(&data, &KEY, 40, false).unwrap();
    assert!(parts.assignment().iter().all(|&sub_shard| sub_shard == parts.assignment()[0]));
}

#[test]
fn all_rows_of_a_subject_land_in_one_sub_shard() {
    let subjects: Vec<String> = (0..300).map(|row| format!("person {}", row % 50)).collect();
    let data = toy::with_subjects(&toy::clusters(300, 0), subjects);
    let parts = partition(&data, &KEY, 20, true).unwrap();
    for row in 50..300 {
        assert_eq!(parts.assignment()[row], parts.assignment()[row % 50]);
    }
    assert_ne!(parts.assignment(), partition(&data, &KEY, 20, false).unwrap().assignment());
}

#[test]
fn the_key_decides_the_assignment_and_the_digest() {
    let data = toy::clusters(100, 0);
    let one = partition(&data, &KEY, 10, false).unwrap();
    let other = partition(&data, &PartitionKey::new([8; 32]), 10, false).unwrap();
    assert_eq!(one, partition(&data, &KEY, 10, false).unwrap());
    assert_ne!(one.assignment(), other.assignment());
    assert_ne!(one.digest(), other.digest());
}

#[test]
fn the_digest_changes_with_rows_labels_subjects_and_settings_but_not_with_the_order_of_rows() {
    let data = toy::clusters(30, 0);
    let digest = |data: &Dataset, sub_shards| *partition(data, &KEY, sub_shards, false).unwrap().digest();
    let one = digest(&data, 5);
    let backwards: Vec<usize> = (0..30).rev().collect();
    assert_eq!(one, digest(&data.select(&backwards), 5));
    assert_ne!(one, digest(&data, 6));
    assert_ne!(one, digest(&data.select(&backwards[1..]), 5));
    assert_ne!(one, digest(&data.without_labels(), 5));
    let mut labels = data.labels().unwrap().to_vec();
    labels[3] = Label::new(2 - labels[3].get());
    labels[4] = Label::new((labels[4].get() + 1) % 3);
    let relabelled =
        Dataset::new(data.schema().clone(), data.features().clone(), Some(labels), None).unwrap();
    assert_ne!(one, digest(&relabelled, 5));
    let owned = toy::with_subjects(&data, vec!["x".to_owned(); 30]);
    assert_ne!(one, digest(&owned, 5));
    assert_ne!(digest(&owned, 5), *partition(&owned, &KEY, 5, true).unwrap().digest());
}

#[test]
fn no_rows_no_teachers_too_many_teachers_and_missing_subjects_are_refused() {
    let data = toy::clusters(4, 0);
    for (data, sub_shards, by_subject, expected) in [
        (data.select(&[]), 1, false, "private rows is 0; give this silo's shard at least one row"),
        (data.clone(), 0, false, "teachers is 0"),
        (data.clone(), 5, false, "teachers is 5; there are more teachers than private rows"),
        (data.clone(), 2, true, "the data names no subjects"),
    ] {
        let found = partition(&data, &KEY, sub_shards, by_subject).unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn debug_shows_neither_the_key_nor_where_rows_went() {
    let parts = partition(&toy::clusters(9, 0), &KEY, 2, false).unwrap();
    assert_eq!(format!("{KEY:?} {parts:?}"), "PartitionKey(redacted) Partition { sub_shards: 2, .. }");
    let drawn = PartitionKey::generate(&mut rand_chacha::ChaCha20Rng::seed_from_u64(1));
    assert_ne!(drawn, PartitionKey::generate(&mut rand_chacha::ChaCha20Rng::seed_from_u64(2)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn adding_removing_or_relabelling_other_rows_never_moves_a_row(
        key in any::<[u8; 32]>(),
        rows in 10_usize..60,
        others in 0_usize..40,
        sub_shards in 1_u32..10,
        by_subject in any::<bool>(),
    ) {
        let key = PartitionKey::new(key);
        let named = |data: &Dataset| {
            let names = (0..data.rows()).map(|row| format!("{}", data.row(row)[1])).collect();
            toy::with_subjects(data, names)
        };
        let (data, extra) = (toy::clusters(rows, 0), toy::clusters(others, 1_000));
        let alone = partition(&named(&data), &key, sub_shards, by_subject).unwrap();
        let features = concatenate(Axis(0), &[extra.features().view(), data.features().view()]).unwrap();
        let unlabelled = Dataset::new(data.schema().clone(), features, None, None).unwrap();
        let together = partition(&named(&unlabelled), &key, sub_shards, by_subject).unwrap();
        prop_assert_eq!(&together.assignment()[others..], alone.assignment());
    }
}
