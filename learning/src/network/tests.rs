//! Gradients are held against differences of the loss; what does not fit together is refused.

use ndarray::{Array2, array};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::*;

fn dense(weights: Array2<f32>, bias: &[f32]) -> Layer {
    Layer::Dense { weights, bias: Array1::from(bias.to_vec()) }
}

fn drawn(rows: usize, columns: usize, generator: &mut ChaCha8Rng) -> Array2<f32> {
    Array2::from_shape_simple_fn((rows, columns), || generator.random::<f32>() - 0.5)
}

fn network(seed: u64) -> Network {
    let generator = &mut ChaCha8Rng::seed_from_u64(seed);
    Network::new(vec![
        dense(drawn(5, 7, generator), &[0.1; 7]),
        Layer::Relu,
        dense(drawn(7, 3, generator), &[0.0, 0.2, -0.1]),
    ])
    .unwrap()
}

/// The loss in double precision from the logits.
fn loss(network: &Network, row: &Array2<f32>, label: usize) -> f64 {
    let logits = network.logits(row).unwrap().mapv(f64::from);
    logits.mapv(f64::exp).sum().ln() - logits[[0, label]]
}

#[test]
fn logits_are_those_of_the_formula() {
    let network = Network::new(vec![
        dense(array![[1.0, -1.0], [2.0, 1.0]], &[0.5, 0.0]),
        Layer::Relu,
        dense(array![[1.0, 0.0], [3.0, -1.0]], &[0.0, 1.0]),
    ])
    .unwrap();
    // Hidden: (1 + 4 + 0.5, −1 + 2) and (−1 + 0.5 → 0, 1).
    assert_eq!(network.logits(&array![[1.0, 2.0], [-1.0, 0.0]]).unwrap(), array![[8.5, 0.0], [3.0, 0.0]]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn gradients_are_the_slopes_of_the_loss(seed in any::<u64>(), label in 0_u16..3) {
        let network = network(seed);
        let row = drawn(1, 5, &mut ChaCha8Rng::seed_from_u64(seed ^ 1));
        let gradient = network.loss_gradients(&row, &[Label::new(label)]).unwrap();
        for at in 0..5 {
            let moved = |by: f32| { let mut row = row.clone(); row[[0, at]] += by; loss(&network, &row, usize::from(label)) };
            let (below, here, above) = (moved(-1e-3), moved(0.0), moved(1e-3));
            // At the kink of a ReLU both one-sided slopes are right, and every value between them.
            let slopes = [(here - below) / 1e-3, (above - here) / 1e-3];
            let found = f64::from(gradient[[0, at]]);
            prop_assert!(
                found > slopes[0].min(slopes[1]) - 2e-3 && found < slopes[0].max(slopes[1]) + 2e-3,
                "{found} outside {slopes:?}"
            );
        }
    }
}

#[test]
fn a_sure_network_still_shows_the_way_out() {
    let network = Network::new(vec![dense(array![[40.0, 0.0]], &[0.0, 0.0])]).unwrap();
    let gradient = network.loss_gradients(&array![[1.0]], &[Label::new(0)]).unwrap();
    assert!(gradient[[0, 0]] < 0.0, "1 − p rounds to 0 here: {gradient}");
}

#[test]
fn blocks_and_threads_change_no_bit() {
    let network = network(3);
    let rows = drawn(3 * BLOCK_ROWS + 5, 5, &mut ChaCha8Rng::seed_from_u64(4));
    let labels = vec![Label::new(1); rows.nrows()];
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| (network.logits(&rows).unwrap(), network.loss_gradients(&rows, &labels).unwrap()))
    };
    let (one, four) = (with(1), with(4));
    assert_eq!(one, four);
    let last = rows.select(Axis(0), &[rows.nrows() - 1]);
    assert_eq!(one.0.row(rows.nrows() - 1), network.logits(&last).unwrap().row(0));
    assert_eq!(network.logits(&Array2::zeros((0, 5))).unwrap().dim(), (0, 3));
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let refused = |layers| Network::new(layers).unwrap_err().to_string();
    for (layers, expected) in [
        (vec![], "layers is 0; give at least one dense layer"),
        (vec![Layer::Relu], "layers is 1"),
        (
            vec![dense(Array2::zeros((2, 1)), &[0.0])],
            "classes is 1; the last layer gives two classes or more",
        ),
        (vec![dense(Array2::zeros((2, 3)), &[0.0])], "layer 0 is 1 biases; it has 3 outputs"),
        (vec![dense(array![[f32::NAN, 0.0]], &[0.0, 0.0])], "layer 0 is NaN"),
        (
            vec![dense(Array2::zeros((2, 3)), &[0.0; 3]), dense(Array2::zeros((2, 2)), &[0.0; 2])],
            "layer 1 is 2 inputs; the layers before it have 3 outputs",
        ),
    ] {
        let found = refused(layers);
        assert!(found.contains(expected), "{found}");
    }
    let network = network(1);
    for (found, expected) in [
        (network.logits(&Array2::zeros((1, 4))).unwrap_err(), "values of a row is 4; give rows of the 5"),
        (network.logits(&Array2::from_elem((1, 5), f32::NAN)).unwrap_err(), "value of a row is NaN"),
        (network.loss_gradients(&Array2::zeros((1, 5)), &[]).unwrap_err(), "labels is 0"),
        (
            network.loss_gradients(&Array2::zeros((1, 5)), &[Label::new(3)]).unwrap_err(),
            "label is 3; labels are 0 to 2",
        ),
    ] {
        assert!(found.to_string().contains(expected), "{found}");
    }
}
