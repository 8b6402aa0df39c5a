//! The three parts must be those of one training.

use ndarray::Array2;

use super::*;
use crate::features::FeatureSpec;
use crate::models::{ModelSpec, train};
use crate::toy;

#[test]
fn parts_of_different_trainings_are_refused_and_good_ones_predict() {
    let data = toy::clusters(30, 0);
    let space = FeatureSpace::fit(&FeatureSpec::Scaled, &data).unwrap();
    let fit = |classes| {
        train(&ModelSpec::default(), &space.transform(data.features()), data.labels().unwrap(), classes, 1)
            .unwrap()
    };
    let narrow = train(&ModelSpec::default(), &Array2::zeros((1, 1)), &[Label::new(0)], 3, 1).unwrap();
    for (schema, model, expected) in [
        (toy::schema(3, 3), fit(3), "feature space is 2; it must be 3"),
        (toy::schema(2, 3), fit(4), "model classes is 4; it must be 3"),
        (toy::schema(2, 3), narrow, "model features is 1; it must be 2"),
    ] {
        let found = Predictor::new(schema, space.clone(), model).unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }
    let predictor = Predictor::new(data.schema().clone(), space.clone(), fit(3)).unwrap();
    assert!((predictor.accuracy(&data).unwrap() - 1.0).abs() < 1e-12);
    assert!(
        predictor.accuracy(&data.without_labels()).unwrap_err().to_string().contains("test labels is absent")
    );
    assert!(predictor.predict(&Array2::from_elem((1, 2), f32::NAN)).unwrap_err().to_string().contains("NaN"));
    assert!(
        predictor.predict(&Array2::zeros((1, 3))).unwrap_err().to_string().contains("send the 2 features")
    );
}

#[test]
fn gradients_by_raw_values_are_those_of_the_loss() {
    let images = crate::datasets::DatasetSpec::Optdigits.splits(3).unwrap().pool;
    let images = images.select(&(0..60).collect::<Vec<_>>());
    let clusters = toy::clusters(30, 0);
    let orientations = FeatureSpec::Orientations { bins: 8, cell: 2 };
    for (data, spec) in
        [(&clusters, FeatureSpec::Standardised), (&clusters, FeatureSpec::Scaled), (&images, orientations)]
    {
        let space = FeatureSpace::fit(&spec, data).unwrap();
        let labels = data.labels().unwrap();
        let classes = data.schema().classes();
        let model =
            train(&ModelSpec::default(), &space.transform(data.features()), labels, classes, 1).unwrap();
        let predictor = Predictor::new(data.schema().clone(), space, model).unwrap();
        // Between two rows of the training, where the model is not sure.
        let rows = data.select(&[0, 1, 2, 3]).features() * 0.6 + data.select(&[1, 2, 3, 4]).features() * 0.4;
        let loss = |rows: &Array2<f32>| -> Vec<f64> {
            let scores = predictor.model().scores(&predictor.space().transform(rows)) * SHARPNESS;
            let of_row = |(scores, label): (ndarray::ArrayView1<'_, f32>, &Label)| {
                let total: f64 = scores.iter().map(|score| f64::from(*score).exp()).sum();
                total.ln() - f64::from(scores[label.index()])
            };
            scores.outer_iter().zip(labels).map(of_row).collect()
        };
        // Small beside the range of each column.
        let steps = Array2::from_shape_fn(rows.dim(), |(_, column)| {
            let column = data.features().column(column);
            column.iter().fold(0.0_f32, |largest, value| largest.max(value.abs())).max(1e-6) * 2e-3
        });
        let found = predictor.loss_gradients(&rows, &labels[..4], &steps).unwrap();
        let before = loss(&rows);
        let (mut error, mut size) = (0.0, 0.0);
        for column in 0..rows.ncols() {
            let mut moved = rows.clone();
            moved.column_mut(column).zip_mut_with(&steps.column(column), |value, step| *value += step);
            for (row, after) in loss(&moved).into_iter().enumerate() {
                let expected = after - before[row];
                let found = f64::from(found[(row, column)] * steps[(row, column)]);
                error += (found - expected).powi(2);
                size += expected.powi(2);
            }
        }
        assert!(size > 0.0 && error < 0.01 * size, "{spec:?}: {error} of {size}");
    }
}

#[test]
fn gradients_of_what_does_not_fit_are_refused_and_a_step_of_nothing_gives_nothing() {
    let data = toy::clusters(30, 0);
    let space = FeatureSpace::fit(&FeatureSpec::Scaled, &data).unwrap();
    let labels = data.labels().unwrap();
    let model = train(&ModelSpec::default(), &space.transform(data.features()), labels, 3, 1).unwrap();
    let predictor = Predictor::new(data.schema().clone(), space, model).unwrap();
    let (row, steps) = (Array2::zeros((1, 2)), Array2::zeros((1, 2)));
    let still = predictor.loss_gradients(&row, &labels[..1], &steps).unwrap();
    assert!(still.iter().all(|value| *value == 0.0));
    for (labels, steps, expected) in [
        (&labels[..2], steps.clone(), "labels is 2"),
        (&[Label::new(3)][..], steps.clone(), "label is 3"),
        (&labels[..1], Array2::zeros((1, 3)), "steps is (1, 3)"),
        (&labels[..1], Array2::from_elem((1, 2), f32::NAN), "finite"),
    ] {
        let found = predictor.loss_gradients(&row, labels, &steps).unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }
}
