//! Each teacher learns from its own rows, and every teacher votes.

use super::*;
use crate::features::FeatureSpec;
use crate::partition::{PartitionKey, partition};
use crate::toy;

const GRAPH: TeacherSpec =
    TeacherSpec::PoolGraph { propagation: PropagationSpec { neighbours: 5, alpha: 0.9, rounds: 40 } };

fn train_on(spec: &TeacherSpec, shard: &Dataset, teachers: u32) -> Ensemble {
    let pool = toy::clusters(60, 5_000).without_labels();
    let space = FeatureSpace::fit(&FeatureSpec::Scaled, &pool).unwrap();
    let parts = partition(shard, &PartitionKey::new([1; 32]), teachers, false).unwrap();
    Ensemble::train(spec, &space, &pool, shard, &parts, 1).unwrap()
}

#[test]
fn teachers_of_both_kinds_learn_three_clusters_and_agree() {
    let unseen = toy::clusters(30, 9_000);
    for spec in [TeacherSpec::default(), GRAPH] {
        let votes = train_on(&spec, &toy::clusters(200, 0), 8).votes(unseen.features()).unwrap();
        assert_eq!(votes.len(), 30);
        for (votes, truth) in votes.iter().zip(unseen.labels().unwrap()) {
            assert_eq!(votes, &vec![*truth; 8], "{spec:?}");
        }
    }
}

#[test]
fn removing_a_row_changes_the_votes_of_its_own_teacher_at_most() {
    let (shard, unseen) = (toy::clusters(60, 0), toy::clusters(200, 9_000));
    let key = PartitionKey::new([1; 32]);
    let parts = partition(&shard, &key, 20, false).unwrap();
    for spec in [TeacherSpec::default(), GRAPH] {
        let with = train_on(&spec, &shard, 20).votes(unseen.features()).unwrap();
        for gone in 0..10 {
            let kept: Vec<usize> = (0..60).filter(|&row| row != gone).collect();
            let without = train_on(&spec, &shard.select(&kept), 20).votes(unseen.features()).unwrap();
            for teacher in (0..20).filter(|&teacher| teacher != parts.assignment()[gone]) {
                let teacher = teacher as usize;
                assert!(with.iter().zip(&without).all(|(with, without)| with[teacher] == without[teacher]));
            }
        }
    }
}

#[test]
fn a_teacher_without_rows_votes_class_0_and_every_teacher_votes() {
    for spec in [TeacherSpec::default(), GRAPH] {
        let shard = toy::clusters(12, 1);
        let parts = partition(&shard, &PartitionKey::new([1; 32]), 12, false).unwrap();
        let empty: Vec<usize> =
            (0..12).filter(|&teacher| parts.rows_of(teacher).is_empty()).map(|t| t as usize).collect();
        assert!(!empty.is_empty(), "this key leaves some sub-shard empty");
        for votes in train_on(&spec, &shard, 12).votes(toy::clusters(9, 0).features()).unwrap() {
            assert_eq!(votes.len(), 12);
            assert!(empty.iter().all(|&teacher| votes[teacher] == Label::new(0)));
        }
    }
}

#[test]
fn unlabelled_rows_a_foreign_partition_and_other_columns_are_refused() {
    let pool = toy::clusters(20, 5_000);
    let space = FeatureSpace::fit(&FeatureSpec::Scaled, &pool).unwrap();
    let shard = toy::clusters(12, 0);
    let parts = partition(&shard, &PartitionKey::new([1; 32]), 2, false).unwrap();
    let narrow =
        Dataset::new(toy::schema(1, 3), Array2::zeros((12, 1)), Some(vec![Label::new(0); 12]), None).unwrap();
    for (shard, expected) in [
        (shard.without_labels(), "private labels is absent"),
        (shard.select(&[0, 1]), "partition is of other rows"),
        (narrow, "private rows is 1 features; bring the 2 features"),
    ] {
        let found = Ensemble::train(&GRAPH, &space, &pool, &shard, &parts, 1).unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }
    let ensemble = train_on(&TeacherSpec::default(), &shard, 2);
    assert!(ensemble.votes(&Array2::zeros((1, 3))).unwrap_err().to_string().contains("send the 2 features"));
    assert_eq!(format!("{ensemble:?}"), "Ensemble { teachers: 2, .. }");
}
