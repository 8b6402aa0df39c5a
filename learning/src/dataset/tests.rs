//! A data set that exists is sound, and tells nobody what it holds.

use ndarray::array;

use super::*;
use crate::toy;

#[test]
fn parts_that_do_not_fit_together_are_refused_by_name() {
    let label = Label::new;
    let rows = array![[1.0_f32, 2.0], [3.0, 4.0]];
    for (features, labels, subjects, expected) in [
        (array![[1.0_f32], [2.0]], None, None, "features is 1 columns; give the 2 columns"),
        (
            array![[1.0, 2.0], [3.0, f32::NAN]],
            None,
            None,
            "features, row 1, column f1 is NaN; use finite numbers",
        ),
        (array![[f32::INFINITY, 2.0]], None, None, "features, row 0, column f0 is inf"),
        (rows.clone(), Some(vec![label(0)]), None, "labels is 1 entries; give one per row, 2 in all"),
        (rows.clone(), Some(vec![label(0), label(3)]), None, "labels, row 1 is 3; labels run from 0 to 2"),
        (rows.clone(), None, Some(vec!["a".to_owned()]), "subjects is 1 entries"),
    ] {
        let found = Dataset::new(toy::schema(2, 3), features, labels, subjects).unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn schemas_without_features_with_one_class_or_with_a_name_twice_are_refused() {
    let names = |count: usize| (0..count).map(|i| i.to_string()).collect::<Vec<_>>();
    for (shape, features, classes, expected) in [
        (vec![], names(0), names(2), "schema shape is []"),
        (vec![0, 3], names(0), names(2), "schema shape is [0, 3]"),
        (vec![1 << 16, 1 << 16], names(1), names(2), "schema shape is [65536, 65536]"),
        (vec![2], names(3), names(2), "schema feature_names is 3 names"),
        (vec![2], names(2), names(1), "schema class_names is 1 classes"),
        (vec![2], names(2), vec!["a".to_owned(), "a".to_owned()], "\"a\" twice"),
    ] {
        let found = Schema::new("s", shape, features, classes).unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn a_schema_read_from_a_file_passes_the_same_checks() {
    let text = serde_json::to_string(&toy::schema(2, 3)).unwrap();
    assert_eq!(serde_json::from_str::<Schema>(&text).unwrap(), toy::schema(2, 3));
    assert!(serde_json::from_str::<Schema>(&text.replace("[2]", "[3]")).is_err());
    assert!(serde_json::from_str::<Schema>(&text.replace("\"name\"", "\"nmae\"")).is_err());
}

#[test]
fn a_schema_digest_changes_with_every_part() {
    let names = |prefix: &str, count: usize| (0..count).map(|i| format!("{prefix}{i}")).collect::<Vec<_>>();
    let digest = |name: &str, shape: &[u32], features: &str, classes: usize| {
        Schema::new(name, shape.to_vec(), names(features, 4), names("c", classes)).unwrap().digest()
    };
    let one = digest("a", &[4], "f", 2);
    assert_eq!(one, digest("a", &[4], "f", 2));
    for other in [
        digest("b", &[4], "f", 2),
        digest("a", &[2, 2], "f", 2),
        digest("a", &[4], "g", 2),
        digest("a", &[4], "f", 3),
    ] {
        assert_ne!(one, other);
    }
}

#[test]
fn an_unknown_label_is_refused_with_the_classes_that_exist() {
    let schema = toy::schema(1, 3);
    assert_eq!(schema.label("c2").unwrap(), Label::new(2));
    assert!(schema.label("c3").unwrap_err().to_string().contains("label is \"c3\"; use one of c0, c1, c2"));
}

#[test]
fn a_split_deals_every_row_once_and_the_seed_decides_how() {
    let data = toy::clusters(30, 0);
    let parts = data.split([20, 5, 5], 4).unwrap();
    let mut dealt: Vec<f32> = parts.iter().flat_map(|part| part.features().column(1).to_vec()).collect();
    dealt.sort_by(f32::total_cmp);
    assert_eq!(dealt, data.features().column(1).to_vec());
    assert_eq!(parts, data.split([20, 5, 5], 4).unwrap());
    assert_ne!(parts, data.split([20, 5, 5], 5).unwrap());
    for sizes in [[31, 0], [usize::MAX, 2]] {
        assert!(data.split(sizes, 4).unwrap_err().to_string().contains("at most the 30 rows"));
    }
}

#[test]
fn selected_rows_keep_their_labels_and_subjects() {
    let data = toy::with_subjects(&toy::clusters(6, 0), (0..6).map(|i| format!("s{i}")).collect());
    let part = data.select(&[4, 1]);
    assert_eq!(part.row(0), data.row(4));
    assert_eq!(part.labels().unwrap(), [1, 1].map(Label::new));
    assert_eq!(part.subjects().unwrap(), ["s4", "s1"]);
    assert!(part.without_labels().labels().is_none());
}

#[test]
fn debug_shows_neither_values_nor_subjects_nor_how_many_rows_there_are() {
    let data = toy::with_subjects(&toy::clusters(7, 77), vec!["Ann Other".to_owned(); 7]);
    let shown = format!("{data:?}");
    assert!(shown.contains("toy") && !shown.contains("Ann") && !shown.contains('7'), "{shown}");
}
