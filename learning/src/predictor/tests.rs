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
