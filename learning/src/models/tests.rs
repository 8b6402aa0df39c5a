//! Every model learns what it can from little, refuses what it must, and hides what it holds.

use ndarray::{Array2, array};
use proptest::prelude::*;

use super::*;

const SPECS: [ModelSpec; 3] = [
    ModelSpec::KernelMachine { gamma: 1.0, ridge: 0.01 },
    ModelSpec::Linear { ridge: 1e-4 },
    ModelSpec::NearestNeighbours { count: 3 },
];

/// Three classes around the corners of a triangle.
fn triangle(per_class: usize) -> (Array2<f32>, Vec<Label>) {
    let corners = [[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]];
    let features = Array2::from_shape_fn((3 * per_class, 2), |(i, j)| {
        corners[i % 3][j] + ((i * 7 + j * 3) % 11) as f32 / 20.0
    });
    let labels = [0, 1, 2].map(Label::new).repeat(per_class);
    (features, labels)
}

#[test]
fn every_model_learns_three_clusters_and_judges_rows_that_it_never_saw() {
    let (features, labels) = triangle(10);
    for spec in SPECS {
        let model = train(&spec, &features, &labels, 3, 1).unwrap();
        assert_eq!(model.predict(&features), labels, "{spec:?}");
        let unseen = array![[0.1, 0.1], [2.3, 0.3], [0.2, 2.2]];
        assert_eq!(model.predict(&unseen), [0, 1, 2].map(Label::new), "{spec:?}");
    }
}

#[test]
fn a_kernel_machine_learns_what_no_straight_line_separates() {
    let features = array![[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]];
    let labels = [0, 0, 1, 1].map(Label::new);
    let model = train(&ModelSpec::default(), &features, &labels, 2, 1).unwrap();
    assert_eq!(model.predict(&features), labels);
}

#[test]
fn a_kernel_machine_solves_its_equations() {
    let (features, labels) = triangle(4);
    let model = KernelMachine::train(&features, &labels, 3, (0.7, 0.1), 1).unwrap();
    // (K + λI)·W = Y, hence scores on the training rows plus λ·W are the targets.
    let left = model.scores(&features) + 0.1 * &model.weights;
    let targets = one_hot(&labels, 3);
    assert!(left.iter().zip(&targets).all(|(&a, &b)| (f64::from(a) - b).abs() < 1e-4));
}

#[test]
fn no_rows_train_a_model_that_always_says_class_0() {
    for spec in SPECS {
        let model = train(&spec, &Array2::zeros((0, 2)), &[], 3, 1).unwrap();
        assert_eq!(model.predict(&array![[5.0, 5.0]]), [Label::new(0)]);
    }
}

#[test]
fn one_row_and_many_copies_of_one_row_say_their_class() {
    for spec in SPECS {
        for copies in [1, 40] {
            let labels = vec![Label::new(2); copies];
            let model = train(&spec, &Array2::ones((copies, 2)), &labels, 4, 1).unwrap();
            assert_eq!(model.predict(&array![[1.0, 1.0], [1.5, 0.5]]), [Label::new(2); 2], "{spec:?}");
        }
    }
}

#[test]
fn settings_labels_and_lengths_out_of_range_are_refused_by_name() {
    let (features, labels) = triangle(2);
    let good = ModelSpec::default();
    let refuse = |spec: ModelSpec, labels: &[Label], classes: usize| {
        train(&spec, &features, labels, classes, 1).unwrap_err().to_string()
    };
    for (refusal, expected) in [
        (refuse(good, &labels[1..], 3), "labels is 5 for 6 rows"),
        (refuse(good, &labels, 2), "label is 2; labels run from 0 to 1"),
        (refuse(good, &labels, 0), "classes is 0"),
        (refuse(ModelSpec::KernelMachine { gamma: 0.0, ridge: 1.0 }, &labels, 3), "model.gamma is 0"),
        (refuse(ModelSpec::KernelMachine { gamma: 1.0, ridge: f32::NAN }, &labels, 3), "model.ridge is NaN"),
        (refuse(ModelSpec::Linear { ridge: -1.0 }, &labels, 3), "model.ridge is -1"),
        (refuse(ModelSpec::NearestNeighbours { count: 0 }, &labels, 3), "model.count is 0"),
    ] {
        assert!(refusal.contains(expected), "{refusal}");
    }
}

#[test]
fn of_many_rows_some_carry_the_weights_and_the_labels_of_all_are_fitted() {
    // A wave of period 6 along a line: two classes, 2,100 rows.
    let class = |x: f32| u16::from((x * std::f32::consts::PI / 3.0).sin() > 0.0);
    let at = |i: usize| i as f32 / 100.0;
    let features = Array2::from_shape_fn((2_100, 1), |(i, _)| at(i));
    let labels: Vec<Label> = (0..2_100).map(|i| Label::new(class(at(i)))).collect();
    let (gamma, ridge) = (1.0_f32, 0.3_f32);
    let spec = ModelSpec::KernelMachine { gamma, ridge };
    let train = |seed| match train(&spec, &features, &labels, 2, seed).unwrap() {
        Model::KernelMachine(machine) => machine,
        other => panic!("{other:?}"),
    };
    let machine = train(1);
    assert_eq!(machine.rows.nrows(), 1_500);
    assert!(machine == train(1) && machine != train(2), "the seed draws the rows");
    let right = Model::KernelMachine(machine.clone()).predict(&features);
    let wrong = right.iter().zip(&labels).filter(|(found, label)| found != label).count();
    assert!(wrong <= 15, "only beside a change of class, not {wrong} of 2100");

    // The normal equations, computed here from their definition: KᵀK·w + λ·(K_mm + 0.01·I)·w = Kᵀ·Y.
    let like = |x: f32, y: f32| f64::from((-gamma * (x - y) * (x - y)).exp());
    let landmarks: Vec<f32> = machine.rows.iter().copied().collect();
    let weights: Vec<f64> = machine.weights.column(1).iter().map(|&w| f64::from(w)).collect();
    let residuals: Vec<f64> = (0..2_100)
        .map(|i| {
            let found: f64 = landmarks.iter().zip(&weights).map(|(&y, w)| like(at(i), y) * w).sum();
            found - f64::from(class(at(i)))
        })
        .collect();
    for (index, &y) in landmarks.iter().enumerate().step_by(97) {
        let fit: f64 = residuals.iter().enumerate().map(|(i, residual)| like(at(i), y) * residual).sum();
        let penalty: f64 =
            landmarks.iter().zip(&weights).map(|(&x, w)| like(x, y) * w).sum::<f64>() + 0.01 * weights[index];
        let off = fit + f64::from(ridge) * penalty;
        // Against the size of Kᵀ·Y, around 90; weights are stored as 32-bit floats.
        assert!(off.abs() < 0.05, "at {y}: {off}");
    }
}

#[test]
fn a_configuration_names_a_model_and_an_unknown_setting_is_refused() {
    let spec: ModelSpec = serde_json::from_str(r#"{"kind":"kernel-machine","gamma":2,"ridge":0.5}"#).unwrap();
    assert_eq!(spec, ModelSpec::KernelMachine { gamma: 2.0, ridge: 0.5 });
    assert!(serde_json::from_str::<ModelSpec>(r#"{"kind":"linear","ridge":1,"gama":2}"#).is_err());
}

#[test]
fn debug_shows_the_kind_and_nothing_that_the_rows_hold() {
    let (features, labels) = triangle(2);
    let model = train(&ModelSpec::default(), &features, &labels, 3, 1).unwrap();
    assert_eq!(format!("{model:?}"), "Model(kernel-machine)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_rows_and_labels_train_a_model_with_finite_scores(
        rows in proptest::collection::vec((-1e6_f32..1e6, -1e6_f32..1e6, 0_u16..3), 1..30),
        which in 0_usize..3,
    ) {
        let features = Array2::from_shape_fn((rows.len(), 2), |(i, j)| if j == 0 { rows[i].0 } else { rows[i].1 });
        let labels: Vec<Label> = rows.iter().map(|row| Label::new(row.2)).collect();
        let model = train(&SPECS[which], &features, &labels, 3, 1).unwrap();
        prop_assert!(model.scores(&features).iter().all(|score| score.is_finite()));
    }
}

#[test]
fn gradients_of_scores_are_those_of_small_differences() {
    let (features, labels) = triangle(6);
    let rows = array![[0.4, 0.3], [1.7, 0.6], [0.9, 1.1]];
    let weights = array![[1.0, -0.5, 0.25], [-1.0, 2.0, 0.0], [0.3, 0.3, -1.0]];
    let weighted =
        |model: &Model, rows: &Array2<f32>| (model.scores(rows) * &weights).sum_axis(ndarray::Axis(1));
    for spec in SPECS {
        let model = train(&spec, &features, &labels, 3, 1).unwrap();
        let found = model.score_gradients(&rows, &weights);
        for column in 0..2 {
            let moved = |by: f32| {
                let mut moved = rows.clone();
                moved.column_mut(column).mapv_inplace(|value| value + by);
                weighted(&model, &moved)
            };
            let expected = (moved(2e-3) - moved(-2e-3)) / 4e-3;
            for (found, expected) in found.column(column).iter().zip(&expected) {
                assert!(
                    (found - expected).abs() < 0.02 * expected.abs().max(0.1),
                    "{spec:?}: {found} {expected}"
                );
            }
        }
    }
    let constant = Model::Constant { classes: 3, label: Label::new(1) };
    assert!(constant.score_gradients(&rows, &weights).iter().all(|value| *value == 0.0));
}
