//! A space is fitted on the pool alone, the same everywhere, and survives wild rows.

use ndarray::{Array2, array};

use super::*;
use crate::linear_algebra::squared_distance;
use crate::toy;

const ALL: [FeatureSpec; 4] = [
    FeatureSpec::Scaled,
    FeatureSpec::Standardised,
    FeatureSpec::Orientations { bins: 8, cell: 2 },
    FeatureSpec::DeskewedHog { bins: 9, cell: 2, components: 5 },
];

fn images(rows: usize) -> Dataset {
    let names = |count: usize| (0..count).map(|i| i.to_string()).collect::<Vec<_>>();
    let schema = Schema::new("images", vec![6, 5], names(30), names(2)).unwrap();
    let features = Array2::from_shape_fn((rows, 30), |(i, j)| ((i * 31 + j * 17) % 16) as f32);
    Dataset::new(schema, features, None, None).unwrap()
}

#[test]
fn two_rows_of_the_pool_lie_at_a_mean_squared_distance_of_1() {
    let pool = images(40);
    for spec in ALL {
        let rows = FeatureSpace::fit(&spec, &pool).unwrap().transform(pool.features());
        let pairs = (0..40).flat_map(|i| (0..40).map(move |j| (i, j)));
        let mean = pairs.map(|(i, j)| squared_distance(row(&rows, i), row(&rows, j))).sum::<f32>() / 1600.0;
        assert!((mean - 1.0).abs() < 1e-3, "{spec:?}: {mean}");
    }
}

#[test]
fn standardised_columns_have_equal_spread_and_constant_ones_vanish() {
    let features = Array2::from_shape_fn((10, 3), |(i, j)| [i as f32, i as f32 * 1e4 + 5.0, 0.1][j]);
    let pool = Dataset::new(toy::schema(3, 2), features.clone(), None, None).unwrap();
    let rows = FeatureSpace::fit(&FeatureSpec::Standardised, &pool).unwrap().transform(&features);
    for i in 0..10 {
        assert!((rows[(i, 0)] - rows[(i, 1)]).abs() < 1e-5);
        assert!(rows[(i, 2)].abs() < 1e-6);
    }
    assert!(rows.column(0).sum().abs() < 1e-5);
}

#[test]
fn a_stroke_moved_inside_its_cell_stays_near_and_a_turned_one_goes_far() {
    let image = |ink: &dyn Fn(usize, usize) -> bool| {
        Array2::from_shape_fn((1, 64), |(_, at)| if ink(at / 8, at % 8) { 16.0 } else { 0.0 })
    };
    let upright = image(&|y, x| (1..7).contains(&y) && (2..4).contains(&x));
    let thicker = image(&|y, x| (1..7).contains(&y) && (2..5).contains(&x));
    let lying = image(&|y, x| (1..7).contains(&x) && (2..4).contains(&y));
    let names = |count: usize| (0..count).map(|i| i.to_string()).collect::<Vec<_>>();
    let schema = Schema::new("strokes", vec![8, 8], names(64), names(2)).unwrap();
    let pool = Dataset::new(schema, upright.clone(), None, None).unwrap();
    let space = FeatureSpace::fit(&FeatureSpec::Orientations { bins: 8, cell: 2 }, &pool).unwrap();
    assert_eq!(space.width(), 8 * 4 * 4);
    let at = |image: &Array2<f32>| space.transform(image).row(0).to_vec();
    let near = squared_distance(&at(&upright), &at(&thicker));
    let far = squared_distance(&at(&upright), &at(&lying));
    assert!(3.0 * near < far, "{near} against {far}");
}

#[test]
fn the_digest_is_that_of_what_was_fitted_and_labels_are_not_read() {
    let pool = images(20);
    let mut digests = std::collections::BTreeSet::new();
    for spec in ALL {
        let space = FeatureSpace::fit(&spec, &pool).unwrap();
        assert_eq!(space.digest(), FeatureSpace::fit(&spec, &pool.clone()).unwrap().digest());
        digests.insert(space.digest());
        digests.insert(FeatureSpace::fit(&spec, &pool.select(&[0, 1, 2])).unwrap().digest());
    }
    // Scaled and orientations differ in their unit, the others in everything.
    assert_eq!(digests.len(), 8);
    let labelled = Dataset::new(
        pool.schema().clone(),
        pool.features().clone(),
        Some(vec![crate::Label::new(1); 20]),
        None,
    )
    .unwrap();
    assert_eq!(
        FeatureSpace::fit(&ALL[1], &pool).unwrap().digest(),
        FeatureSpace::fit(&ALL[1], &labelled).unwrap().digest()
    );
}

#[test]
fn wild_rows_are_cut_and_stay_finite() {
    let pool = images(20);
    for spec in ALL {
        let space = FeatureSpace::fit(&spec, &pool).unwrap();
        let rows =
            Array2::from_shape_fn((2, 30), |(i, j)| if (i + j) % 2 == 0 { f32::MAX } else { f32::MIN });
        assert!(space.transform(&rows).iter().all(|value| value.is_finite()), "{spec:?}");
    }
    let flat = Dataset::new(toy::schema(2, 2), Array2::zeros((3, 2)), None, None).unwrap();
    for spec in &ALL[..2] {
        let space = FeatureSpace::fit(spec, &flat).unwrap();
        assert!(space.transform(&array![[1.0, -1.0]]).iter().all(|value| value.is_finite()));
    }
}

#[test]
fn an_empty_pool_settings_out_of_range_and_rows_that_do_not_fit_are_refused() {
    let pool = images(3);
    let table = toy::clusters(3, 0);
    let orientations = |bins, cell| FeatureSpec::Orientations { bins, cell };
    let deskewed = |bins, cell, components| FeatureSpec::DeskewedHog { bins, cell, components };
    for (spec, pool, expected) in [
        (FeatureSpec::Scaled, &pool.select(&[]), "pool rows is 0"),
        (orientations(1, 2), &pool, "features.bins is 1"),
        (orientations(8, 0), &pool, "features.cell is 0"),
        (orientations(8, 2), &table, "orientations for rows of shape [2]"),
        (deskewed(9, 2, 5), &table, "deskewed-hog for rows of shape [2]"),
        (deskewed(33, 2, 5), &pool, "features.bins is 33"),
        (deskewed(9, 2, 0), &pool, "features.components is 0; use 1 to 72"),
        (deskewed(9, 2, 73), &pool, "features.components is 73"),
        (deskewed(9, 3, 5), &pool, "features.cell is 3; on rows of shape [6, 5] it makes 0 histogram values"),
    ] {
        let found = FeatureSpace::fit(&spec, pool).unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }
    let space = FeatureSpace::fit(&FeatureSpec::Scaled, &table).unwrap();
    assert!(space.check(&array![[1.0]]).unwrap_err().to_string().contains("row is 1 features; send the 2"));
    let found = space.check(&array![[1.0, 2.0], [f32::NAN, 0.0]]).unwrap_err().to_string();
    assert!(found.contains("row 1, feature 0 is NaN"), "{found}");
}

#[test]
fn images_get_orientations_and_tables_get_standardised_columns() {
    assert_eq!(FeatureSpec::for_schema(images(1).schema()), FeatureSpec::Orientations { bins: 8, cell: 2 });
    assert_eq!(FeatureSpec::for_schema(&toy::schema(5, 2)), FeatureSpec::Standardised);
}
