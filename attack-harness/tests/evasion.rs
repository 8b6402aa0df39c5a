//! Evasion on weights that others trained, beside what Foolbox 3.3.4, ART 1.20.1 and AutoAttack (a392200) find on the same 100 rows, and
//! what is exactly possible.
//!
//! Models and rows: `learning/tests/vectors/README.md`. All figures are rows of 100 that stay right, errors at first counted as lost. The
//! tools ran once, unchanged, in 32 bits; where an attack draws, over several seeds. The exact ones are those of a linear model, in closed
//! form: in L∞ in the ball cut to 0..=1, in L2 in the whole ball.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::path::Path;

use conclave_attack_harness::access::HeldNetwork;
use conclave_attack_harness::attacks::evasion::{Evaded, Evasion, Method, run};
use conclave_attack_harness::meter::{Budget, Meter};
use conclave_attack_harness::threat_model::Norm;
use conclave_learning::datasets::DatasetSpec;
use conclave_learning::network::Network;
use conclave_learning::{Dataset, Label, onnx};
use ndarray::Array2;

const EPS: [f32; 5] = [0.02, 0.05, 0.1, 0.2, 0.3];
const PGD: Method = Method::Pgd { steps: 40, restarts: 1 };
/// Rows that a sign of a gradient near 0 may decide either way.
const ROWS_OFF_MAX: u64 = 2;

/// What the tools leave right of a model in L∞, at each of `EPS`.
struct Reference {
    model: &'static str,
    /// FGSM: Foolbox and ART agree on every one.
    fgsm: [u64; 5],
    /// The best of the tools' attacks in many steps on the cross-entropy: Foolbox's BIM (10 steps of 0.2 ε) and PGD (40 steps of ε/30),
    /// ART's the same (PGD with 5 restarts, two seeds) and its APGD (100 steps, at the second to fourth of `EPS`).
    many: [u64; 5],
    /// As few as anybody can find: exact for the softmax model, which is linear; of the others, what AutoAttack's standard ensemble leaves,
    /// which uses other losses, too, at the second to fourth of `EPS`.
    least: [u64; 5],
}

const LINF: [Reference; 3] = [
    Reference {
        model: "model_softmax.onnx",
        fgsm: [94, 87, 62, 9, 0],
        many: [94, 86, 62, 5, 0],
        least: [94, 84, 61, 3, 0],
    },
    Reference {
        model: "model_mlp128.onnx",
        fgsm: [94, 85, 51, 1, 0],
        many: [94, 81, 47, 0, 0],
        least: [0, 81, 47, 0, 0],
    },
    Reference {
        model: "model_mlp128_adv.onnx",
        fgsm: [95, 91, 79, 29, 0],
        many: [95, 91, 77, 17, 0],
        least: [0, 89, 77, 10, 0],
    },
];

/// What Foolbox leaves right of a model in L2, at each of [`L2_EPS`].
struct ReferenceL2 {
    model: &'static str,
    /// The best of three seeds of its PGD.
    pgd: [u64; 3],
    /// DeepFool and DDN, which look for the nearest wrong row rather than for one within ε: the fewest rows further off than ε.
    nearest: [u64; 3],
}

const L2_EPS: [f32; 3] = [0.25, 0.5, 1.0];
/// On the network that was trained against PGD, PGD is the weaker one by 4 to 5 rows of 100 at the larger ε, and ours lies between the two (70
/// and 4). Everywhere else the two are within 2 rows of each other, and so are we of both.
const L2: [ReferenceL2; 3] = [
    ReferenceL2 { model: "model_softmax.onnx", pgd: [86, 60, 2], nearest: [84, 60, 2] },
    ReferenceL2 { model: "model_mlp128.onnx", pgd: [87, 56, 0], nearest: [87, 54, 0] },
    ReferenceL2 { model: "model_mlp128_adv.onnx", pgd: [90, 71, 7], nearest: [89, 67, 2] },
];
/// Rows of the softmax model whose exact margin in L2, without regard to 0..=1, is above each of [`L2_EPS`]: no attack can leave fewer.
const SOFTMAX_MARGIN_ABOVE: [u64; 3] = [81, 56, 2];

fn digits() -> Dataset {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../learning/tests/vectors");
    let (examples, labels) = (vectors.join("digits_inputs.npy"), vectors.join("digits_labels.npy"));
    DatasetSpec::Npy { examples, labels, classes: Some(10) }.load().unwrap()
}

fn network(name: &str) -> Network {
    onnx::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../learning/tests/vectors").join(name)).unwrap()
}

fn attacked(
    network: &Network,
    data: &Dataset,
    method: Method,
    norm: Norm,
    eps: f32,
    budget: Budget,
) -> Evaded {
    let labels = data.labels().unwrap();
    let attack = Evasion { rows: data.features(), labels, method, norm, eps, seed: 1 };
    let mut target = Meter::new(HeldNetwork(network.clone()), budget);
    run(&attack, &mut target, &mut HeldNetwork(network.clone())).unwrap()
}

#[test]
fn linf_matches_foolbox_and_art_within_two_rows_and_pgd_never_leaves_more_than_fgsm() {
    let data = digits();
    for reference in &LINF {
        let (name, network) = (reference.model, network(reference.model));
        for (at, eps) in EPS.into_iter().enumerate() {
            let robust =
                |method| attacked(&network, &data, method, Norm::Linf, eps, Budget::default()).robust.times;
            let (one, many) = (robust(Method::Fgsm), robust(PGD));
            let fgsm = reference.fgsm[at];
            assert!(one.abs_diff(fgsm) <= ROWS_OFF_MAX, "{name} at {eps}: FGSM {one}, the tools {fgsm}");
            let (best, least) = (reference.many[at], reference.least[at]);
            assert!(many.abs_diff(best) <= ROWS_OFF_MAX, "{name} at {eps}: PGD {many}, the tools {best}");
            // Exact or as good as: rounding may decide the rows at the very edge of a network, none of a linear model.
            let off = if name == "model_softmax.onnx" { 0 } else { ROWS_OFF_MAX };
            assert!(many + off >= least, "{name} at {eps}: PGD {many}, nobody below {least}");
            assert!(many <= one, "{name} at {eps}: PGD {many}, FGSM {one}");
        }
    }
}

#[test]
fn l2_leaves_what_foolbox_leaves_within_two_rows() {
    let data = digits();
    for ReferenceL2 { model, pgd, nearest } in L2 {
        let network = network(model);
        for (at, eps) in L2_EPS.into_iter().enumerate() {
            let evaded = attacked(&network, &data, PGD, Norm::L2, eps, Budget::default());
            let (found, most, least) = (evaded.robust.times, pgd[at], pgd[at].min(nearest[at]));
            assert!(found <= most + ROWS_OFF_MAX, "{model} at {eps}: {found}, Foolbox {most}");
            assert!(
                found + ROWS_OFF_MAX >= least,
                "{model} at {eps}: {found}, Foolbox no fewer than {least}"
            );
            if model == "model_softmax.onnx" {
                assert!(found >= SOFTMAX_MARGIN_ABOVE[at], "{found} at {eps} is fewer than is possible");
            }
            assert!(evaded.median_norm.unwrap() <= f64::from(eps) * 1.00001);
        }
    }
}

#[test]
fn a_used_up_budget_ends_the_attack_and_leaves_what_was_found() {
    let (data, network) = (digits(), network("model_mlp128.onnx"));
    let none = attacked(&network, &data, PGD, Norm::Linf, 0.1, Budget::rows(10));
    assert_eq!((none.robust.times, none.median_norm, none.cut_short), (94, None, true));
    let some = attacked(&network, &data, PGD, Norm::Linf, 0.1, Budget::rows(200));
    let all = attacked(&network, &data, PGD, Norm::Linf, 0.1, Budget::default());
    assert!(some.cut_short && !all.cut_short);
    assert!(all.robust.times < some.robust.times && some.robust.times < none.robust.times);
}

#[test]
fn what_cannot_be_attacked_is_refused() {
    let network = network("model_softmax.onnx");
    let (good, zero) = (Array2::zeros((1, 64)), [Label::new(0)]);
    let base = Evasion { rows: &good, labels: &zero, method: PGD, norm: Norm::Linf, eps: 0.1, seed: 1 };
    let (dark, odd) = (Array2::from_elem((1, 64), -0.1), [Label::new(10)]);
    for (attack, expected) in [
        (Evasion { labels: &[], ..base }, "labels = 0 for 1 rows"),
        (Evasion { labels: &odd, ..base }, "label = 10: the model has classes 0 to 9"),
        (Evasion { rows: &dark, ..base }, "rows = row 0: scale every value to 0..=1"),
        (Evasion { eps: 0.0, ..base }, "eps = 0"),
        (Evasion { eps: f32::NAN, ..base }, "eps = NaN"),
        (Evasion { method: Method::Pgd { steps: 0, restarts: 0 }, ..base }, "steps = 0"),
        (Evasion { method: Method::Pgd { steps: 1, restarts: 10_001 }, ..base }, "restarts = 10001"),
    ] {
        let mut target = Meter::new(HeldNetwork(network.clone()), Budget::default());
        let found = run(&attack, &mut target, &mut HeldNetwork(network.clone())).unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }
}
