//! `conclave attack evasion` on models and rows that others made (`learning/tests/vectors/README.md`), and on what cannot be attacked.

use std::path::Path;

use serde_json::Value;

use crate::binary::{Scratch, conclave, json, stderr, stdout};

/// The network with one hidden layer: right on 94 of the 100 rows.
const MODEL: &str = "model_mlp128.onnx";
const RIGHT: f64 = 0.94;
/// Rows of 100 that Foolbox's FGSM leaves right at L∞ 0.05 and 0.1, and its best of BIM and PGD.
const FOOLBOX: [(f64, f64, f64); 2] = [(0.05, 0.85, 0.83), (0.1, 0.51, 0.48)];
/// Rows that a sign of a gradient near 0 may decide either way, of 100.
const OFF_MAX: f64 = 0.02;

fn vector(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../learning/tests/vectors").join(name).display().to_string()
}

/// The arguments that attack the rows, with those in `more` in the place of the usual ones; an empty value leaves a flag out.
fn arguments(more: &[(&str, &str)]) -> Vec<String> {
    let (model, inputs, labels) = (vector(MODEL), vector("digits_inputs.npy"), vector("digits_labels.npy"));
    let usual = [
        ("--model", model.as_str()),
        ("--inputs", &inputs),
        ("--labels", &labels),
        ("--attack", "pgd"),
        ("--norm", "linf"),
        ("--eps", "0.05,0.1"),
        ("--seed", "7"),
    ];
    let kept = usual.iter().filter(|(flag, _)| more.iter().all(|(other, _)| other != flag));
    let given = kept.chain(more).filter(|(_, value)| !value.is_empty());
    let flags = given.map(|(flag, value)| format!("{flag}={value}"));
    ["attack".to_owned(), "evasion".to_owned()].into_iter().chain(flags).collect()
}

fn run(format: &str, more: &[(&str, &str)]) -> std::process::Output {
    let arguments = arguments(more);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    conclave(&[&["--format", format], &arguments[..]].concat())
}

/// One line for each ε.
fn lines(more: &[(&str, &str)]) -> Vec<Value> {
    let output = run("json", more);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert!(stderr(&output).is_empty(), "{}", stderr(&output));
    stdout(&output).lines().map(|line| serde_json::from_str(line).expect("a line is an object")).collect()
}

fn figure(line: &Value, key: &str) -> f64 {
    line[key].as_f64().unwrap_or_else(|| panic!("{key} of {line}"))
}

#[test]
fn evasion_moves_rows_of_a_model_in_a_file_and_pgd_leaves_no_more_than_fgsm() {
    let (one, many) = (lines(&[("--attack", "fgsm")]), lines(&[]));
    assert_eq!((one.len(), many.len()), (2, 2));
    for ((one, many), (eps, fgsm, pgd)) in one.iter().zip(&many).zip(FOOLBOX) {
        for (line, name) in [(one, "fgsm"), (many, "pgd")] {
            assert_eq!((line["attack"].as_str(), line["norm"].as_str()), (Some(name), Some("linf")));
            assert_eq!((line["samples"].as_u64(), line["cut_short"].as_bool()), (Some(100), Some(false)));
            assert!((figure(line, "eps") - eps).abs() < 1e-12, "as it was given: {line}");
            assert!((figure(line, "accuracy") - RIGHT).abs() < 1e-12, "{line}");
            assert!(figure(line, "seconds") >= 0.0, "{line}");
            let moved = figure(line, "median_norm");
            assert!(moved > 0.0 && moved <= eps * (1.0 + 1e-5), "{line}");
        }
        assert_eq!((one["seed"].as_u64(), many["seed"].as_u64()), (None, Some(7)), "one step draws nothing");
        // A gradient and a label for each row that was right.
        assert_eq!(one["queries"], 188);
        assert!(many["queries"].as_u64() > Some(188), "{many}");
        let (one, many) = (figure(one, "robust_accuracy"), figure(many, "robust_accuracy"));
        assert!((one - fgsm).abs() < OFF_MAX + 1e-9, "{one}, Foolbox {fgsm}");
        assert!(many <= pgd + OFF_MAX + 1e-9 && many <= one, "{many} beside {one}, Foolbox {pgd}");
    }
}

#[test]
fn an_evasion_attack_is_repeated_by_its_seed_also_by_a_fresh_one() {
    let drawn = |seed: &str| {
        lines(&[("--eps", "0.16"), ("--steps", "1"), ("--restarts", "20"), ("--seed", seed)]).remove(0)
    };
    let figures = |line: &Value| ["robust_accuracy", "median_norm", "queries"].map(|key| line[key].clone());
    let fresh = drawn("");
    let again = drawn(&fresh["seed"].as_u64().expect("it is printed").to_string());
    assert_eq!(figures(&fresh), figures(&again));
    assert_ne!(figures(&drawn("1")), figures(&drawn("7")), "another seed starts elsewhere");
}

#[test]
fn evasion_in_l2_is_told_in_words_with_what_the_attacker_has() {
    let output = run("text", &[("--norm", "l2"), ("--eps", "0.5"), ("--steps", "10"), ("--restarts", "2")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let words = stdout(&output);
    for told in
        ["PGD: 10 steps", "random starts: 2, seed 7", "weights", "Euclidean", "94 of 100 rows", "stays right"]
    {
        assert!(words.contains(told), "{told}: {words}");
    }
    let row: Vec<&str> = words.lines().last().unwrap().split_whitespace().collect();
    let right: f64 = row[1].trim_end_matches('%').parse().unwrap();
    // Foolbox's PGD leaves 56; one step leaves 61, and none are left where 0.5 is taken for a change of every value.
    assert!(row[0] == "0.5" && (40.0..=58.0).contains(&right), "{words}");
    assert!(stderr(&output).contains("upper bound"), "{}", stderr(&output));
}

#[test]
fn an_evasion_attack_with_a_used_up_budget_keeps_what_it_found_and_says_so() {
    let budget = [("--eps", "0.1"), ("--queries", "200")];
    let cut = &lines(&budget)[0];
    assert_eq!(cut["cut_short"], true);
    assert!(cut["queries"].as_u64() <= Some(200), "{cut}");
    let left = figure(cut, "robust_accuracy");
    assert!(left < RIGHT && left > figure(&lines(&[("--eps", "0.1")])[0], "robust_accuracy"), "{cut}");
    let words = stdout(&run("text", &budget));
    assert!(words.contains("--queries is used up"), "{words}");
    let none = &lines(&[("--eps", "0.1"), ("--queries", "10")])[0];
    assert!(none["median_norm"].is_null() && none["queries"] == 0, "{none}");
}

#[test]
fn an_evasion_attack_that_cannot_be_made_is_refused_with_field_value_and_fix() {
    let scratch = Scratch::new();
    let labels = vector("digits_labels.npy");
    let narrow = scratch.file("narrow.npy", &npy(&[100, 63], 0.5));
    let dark = scratch.file("dark.npy", &npy(&[100, 64], 16.0));
    let short = scratch.file("short.npy", &npy(&[99], 1.0));
    let eleven = scratch.file("eleven.npy", &npy(&[100], 10.0));
    let missing = scratch.path("nowhere.bin");
    let cases: &[(&str, &str, &str, &str)] = &[
        ("--attack", "square", "--attack", "fgsm, pgd"),
        ("--norm", "l1", "--norm", "linf, l2"),
        ("--eps", "0", "--eps", "above 0"),
        ("--eps", "0.1,-1", "--eps", "above 0"),
        ("--eps", "NaN", "--eps", "finite"),
        ("--eps", "inf", "--eps", "finite"),
        ("--eps", "1e-60", "--eps", "above 0"),
        ("--eps", "0.1,x", "--eps", "decimal number"),
        ("--steps", "0", "--steps", "from 1 to 10000"),
        ("--restarts", "10001", "--restarts", "from 0 to 10000"),
        ("--queries", "0", "--queries", "from 1"),
        ("--model", &missing, "file", "nowhere.bin"),
        ("--model", &labels, "digits_labels.npy: model", "ONNX"),
        ("--inputs", &missing, "file", "nowhere.bin"),
        ("--labels", &missing, "file", "nowhere.bin"),
        ("--inputs", &narrow, "--inputs", "rows of the 64 values"),
        ("--inputs", &dark, "--inputs", "scale every value to 0..=1"),
        ("--labels", &short, "short.npy: shape", "one label for each of the 100 rows"),
        ("--labels", &eleven, "eleven.npy: label of row 0", "from 0 to 9"),
    ];
    for &(flag, value, field, says) in cases {
        let output = run("json", &[(flag, value)]);
        assert_eq!(output.status.code(), Some(2), "{flag} {value}: {}", stdout(&output));
        let error = &json(&output)["error"];
        assert!(error["field"].as_str().unwrap().ends_with(field), "{flag} {value}: {error}");
        assert!(!error["value"].as_str().unwrap().is_empty(), "{flag} {value}: {error}");
        assert!(!error["fix"].as_str().unwrap().is_empty(), "{flag} {value}: {error}");
        assert!(error.to_string().contains(says), "{flag} {value}: {error}");
    }
    let bare = conclave(&["--format", "json", "attack", "evasion"]);
    assert_eq!((bare.status.code(), &json(&bare)["error"]["code"]), (Some(2), &"missing-argument".into()));
}

/// An array of this shape, the same value everywhere, as NumPy saves it.
fn npy(shape: &[usize], value: f32) -> Vec<u8> {
    let sides = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({sides},), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).expect("a short header").to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(value.to_le_bytes().repeat(shape.iter().product()));
    bytes
}
