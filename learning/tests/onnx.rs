//! Networks that other tools trained and exported give here what they gave there (`vectors/README.md`).

use std::path::Path;

use conclave_learning::Label;
use conclave_learning::datasets::DatasetSpec;
use conclave_learning::metrics::accuracy;
use conclave_learning::onnx;

const LOGITS_OF_ROW_0: [(&str, [f32; 10]); 2] = [
    (
        "model_mlp128.onnx",
        [
            -7.007_222,
            0.757_671_4,
            8.743_681,
            -3.452_010_6,
            -6.909_634,
            -8.606_797,
            -5.493_601,
            -4.587_956,
            -1.745_774_7,
            -5.621_972_6,
        ],
    ),
    (
        "model_mlp128_adv.onnx",
        [
            -8.352_921,
            0.003_665_79,
            7.065_644,
            -3.046_245,
            -4.564_723_5,
            -6.000_547_4,
            -4.006_746,
            -4.026_224_6,
            -0.075_489_8,
            -3.532_294_5,
        ],
    ),
];

#[test]
fn exported_networks_give_the_logits_and_the_accuracy_that_they_had() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let examples = vectors.join("digits_inputs.npy");
    let rows = DatasetSpec::Npy { examples, labels: vectors.join("digits_labels.npy"), classes: Some(10) }
        .load()
        .unwrap();
    for (model, right) in
        [("model_softmax.onnx", 96), ("model_mlp128.onnx", 94), ("model_mlp128_adv.onnx", 96)]
    {
        let network = onnx::read(&vectors.join(model)).unwrap();
        let logits = network.logits(rows.features()).unwrap();
        let judged: Vec<Label> = network.predict(rows.features()).unwrap();
        let found = accuracy(&judged, rows.labels().unwrap()).unwrap();
        assert!((found - f64::from(right) / 100.0).abs() < 1e-9, "{model}: {found}");
        if let Some((_, expected)) = LOGITS_OF_ROW_0.iter().find(|(name, _)| *name == model) {
            for (found, expected) in logits.row(0).iter().zip(expected) {
                assert!((found - expected).abs() < 1e-4, "{model}: {found} and not {expected}");
            }
        }
    }
}
