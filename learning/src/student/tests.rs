//! A few labels and many unlabelled rows teach what the few alone could not.

use super::*;
use crate::models::Classifier;
use crate::toy;

#[test]
fn one_label_per_cluster_teaches_the_clusters() {
    let (pool, unseen) = (toy::clusters(90, 0), toy::clusters(30, 500));
    let released: Vec<(usize, Label)> = [4, 20, 60].map(|row| (row, pool.labels().unwrap()[row])).to_vec();
    let model = train_student(pool.features(), &released, 3, &StudentSpec::default(), 1).unwrap();
    assert_eq!(model.predict(unseen.features()), unseen.labels().unwrap());
}

#[test]
fn a_wrong_label_among_right_ones_is_outvoted() {
    let pool = toy::clusters(90, 0);
    let truth = pool.labels().unwrap();
    let mut released: Vec<(usize, Label)> = (0..30).map(|row| (row, truth[row])).collect();
    released[7].1 = Label::new((truth[7].get() + 1) % 3);
    let model = train_student(pool.features(), &released, 3, &StudentSpec::default(), 1).unwrap();
    assert_eq!(model.predict(pool.features()), truth);
}

#[test]
fn a_learner_learns_from_each_set_of_labels_what_a_student_of_its_own_does() {
    let pool = toy::clusters(90, 0);
    let (features, spec) = (pool.features(), StudentSpec::default());
    let learner = Learner::on(features, spec).unwrap();
    for classes in [[0, 1, 2], [2, 0, 1]] {
        let released = [(4, 0), (20, 1), (60, 2)].map(|(row, at)| (row, Label::new(classes[at])));
        let alone = train_student(features, &released, 3, &spec, 1).unwrap();
        assert!(learner.learn(&released, 3, 1).unwrap() == alone);
        assert_eq!(alone.predict(&features.select(Axis(0), &[20])), [Label::new(classes[1])]);
    }
}

#[test]
fn no_labels_and_rows_or_labels_out_of_range_are_refused() {
    let pool = toy::clusters(9, 0);
    for (released, expected) in [
        (vec![], "released labels is 0; a student needs at least one answered query"),
        (vec![(9, Label::new(0))], "released label is class 0 of row 9; rows run from 0 to 8"),
        (vec![(0, Label::new(3))], "released label is class 3 of row 0"),
    ] {
        let found =
            train_student(pool.features(), &released, 3, &StudentSpec::default(), 1).unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }
}
