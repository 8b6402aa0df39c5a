//! Smooth sensitivity of published costs, against the paper's code, and the conditions under which it is proven.

use crate::data_dependent::{ANALYST, orders, scale, votes_of};
use conclave_privacy::VoteCounts;
use conclave_privacy::accountant::{Conversion, rdp_to_epsilon};
use conclave_privacy::data_dependent::{DataDependent, Method, NoisyVote};
use conclave_privacy::quantity::{Delta, RdpCurve, RdpOrder};
use conclave_privacy::smooth_sensitivity::{GnMaxSensitivity, release_cost, smooth, threshold_local};
use serde::Deserialize;
use std::collections::HashMap;

#[derive(Deserialize)]
struct Oracle {
    gnmax_cases: Vec<GnMax>,
    threshold_cases: Vec<Threshold>,
    gnss_release_cost: Vec<Release>,
}

#[derive(Deserialize)]
struct GnMax {
    votes: Vec<u64>,
    teachers: usize,
    sigma: f64,
    order: f64,
    logq0: f64,
    logq1: f64,
    local_sens_rle: Vec<(f64, usize)>,
    smooth: Vec<Smooth>,
}

#[derive(Deserialize)]
struct Threshold {
    votes: Vec<u64>,
    teachers: usize,
    #[serde(rename = "T")]
    votes_needed: f64,
    sigma1: f64,
    order: f64,
    local_sens_rle: Vec<(f64, usize)>,
    smooth: Vec<Smooth>,
}

#[derive(Deserialize)]
struct Smooth {
    beta: f64,
    value: f64,
}

#[derive(Deserialize)]
struct Release {
    sigma_ss: f64,
    order: f64,
    beta: f64,
    rdp_mp: String,
}

fn oracle() -> Oracle {
    serde_json::from_str(include_str!("../vectors/smooth_sensitivity.json")).unwrap()
}

fn assert_sequence(name: &str, found: &[f64], expected: &[(f64, usize)]) {
    let expected: Vec<f64> =
        expected.iter().flat_map(|(value, times)| std::iter::repeat_n(*value, *times)).collect();
    assert_eq!(found.len(), expected.len(), "{name}");
    let largest = expected.iter().copied().fold(0.0, f64::max);
    for (d, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let off = (found - expected).abs();
        assert!(
            off <= 1e-6 * expected.abs() + 1e-11 * largest,
            "{name}, distance {d}: {found:e}, not {expected:e}"
        );
    }
}

#[test]
fn local_sensitivities_of_gnmax_are_those_of_the_paper() {
    for case in oracle().gnmax_cases {
        let name = format!("{:?}, sigma {}, order {}", &case.votes[..2], case.sigma, case.order);
        let order = RdpOrder::new(case.order).unwrap();
        let sensitivity = GnMaxSensitivity::new(scale(case.sigma), case.votes.len(), order).unwrap();
        assert!((sensitivity.log_q0() / case.logq0 - 1.0).abs() < 1e-7, "{name}: {}", sensitivity.log_q0());
        assert!((sensitivity.log_q1() / case.logq1 - 1.0).abs() < 1e-7, "{name}: {}", sensitivity.log_q1());
        let counts = VoteCounts::new(case.votes).unwrap();
        for Smooth { beta, value } in case.smooth {
            let found = smooth(&sensitivity.local(&counts, case.teachers), beta).unwrap().open(&ANALYST);
            assert!((found - value).abs() <= 1e-6 * value, "{name}, beta {beta}: {found:e}, not {value:e}");
        }
        let found = sensitivity.local(&counts, case.teachers).open(&ANALYST);
        assert_sequence(&name, &found, &case.local_sens_rle);
    }
}

#[test]
fn local_sensitivities_of_the_threshold_test_are_those_of_the_paper() {
    for case in oracle().threshold_cases {
        let counts = VoteCounts::new(case.votes).unwrap();
        let order = RdpOrder::new(case.order).unwrap();
        let local =
            || threshold_local(&counts, case.teachers, case.votes_needed, scale(case.sigma1), order).unwrap();
        let name = format!("T {}, sigma1 {}", case.votes_needed, case.sigma1);
        assert_sequence(&name, &local().open(&ANALYST), &case.local_sens_rle);
        for Smooth { beta, value } in case.smooth {
            let found = smooth(&local(), beta).unwrap().open(&ANALYST);
            assert!((found - value).abs() <= 1e-6 * value, "{name}, beta {beta}: {found:e}, not {value:e}");
        }
    }
}

#[test]
fn a_release_costs_what_theorem_23_says() {
    for case in oracle().gnss_release_cost {
        let order = RdpOrder::new(case.order).unwrap();
        let found = release_cost(order, case.beta, scale(case.sigma_ss)).unwrap();
        let expected: f64 = case.rdp_mp.parse().unwrap();
        assert!((found / expected - 1.0).abs() < 1e-10, "{found}, not {expected}");
    }
    assert!(release_cost(RdpOrder::new(10.0).unwrap(), 0.05, scale(1.0)).is_err());
    assert!(release_cost(RdpOrder::new(10.0).unwrap(), f64::NAN, scale(1.0)).is_err());
}

#[derive(Deserialize)]
struct Paper {
    datasets: HashMap<String, Dataset>,
}

#[derive(Deserialize)]
struct Dataset {
    #[serde(rename = "T")]
    threshold: f64,
    sigma1: f64,
    sigma2: f64,
    queries: usize,
    delta: f64,
    gnss_tfp_table_script: Table,
}

/// Four digits each, as the paper's script prints them.
#[derive(Clone, Copy, Deserialize)]
struct Table {
    order: f64,
    beta: f64,
    smooth_sensitivity: f64,
    sigma_ss: f64,
    eps_before: f64,
    eps_after_release_cost: f64,
    noise_sd: f64,
}

#[test]
fn the_real_votes_of_2018_are_sanitised_as_the_script_of_the_paper_does() {
    let oracle: Paper = serde_json::from_str(include_str!("../vectors/pate2018_real_votes.json")).unwrap();
    assert_eq!(oracle.datasets.len(), 3);
    for (name, case) in oracle.datasets {
        let (table, at) = (case.gnss_tfp_table_script, orders(&[case.gnss_tfp_table_script.order]));
        let (threshold, sigma1, sigma2) = (case.threshold, scale(case.sigma1), scale(case.sigma2));
        let votes = &votes_of(&name)[..case.queries];
        let sensitivity = GnMaxSensitivity::new(sigma2, votes[0].classes(), at[0]).unwrap();
        let mechanism = NoisyVote::ConfidentGnMax { threshold, sigma1, sigma2 };
        let mut data = DataDependent::new(mechanism, Method::Published, &at);
        let (mut cost, mut sum) = (vec![0.0], vec![0.0; TEACHERS]);
        for counts in votes {
            data.add_expected(counts, &mut cost);
            // The script weighs the argmax by the probability that it is reached, as the paper's accounting does.
            let answered = data.answered(counts).open(&ANALYST);
            let argmax = sensitivity.local(counts, TEACHERS).open(&ANALYST);
            let test = threshold_local(counts, TEACHERS, threshold, sigma1, at[0]).unwrap().open(&ANALYST);
            for ((sum, argmax), test) in sum.iter_mut().zip(argmax).zip(test) {
                *sum += test + answered * argmax;
            }
        }
        let discounted = |(d, local): (usize, &f64)| libm::exp(-table.beta * d as f64) * local;
        let found = sum.iter().enumerate().map(discounted).fold(0.0, f64::max);
        let curve = RdpCurve::new(at.clone(), cost).unwrap();
        let before = rdp_to_epsilon(&curve, Delta::new(case.delta).unwrap(), Conversion::Classic).epsilon;
        let after = before + release_cost(at[0], table.beta, scale(table.sigma_ss)).unwrap();
        for (what, found, printed) in [
            ("smooth sensitivity", found, table.smooth_sensitivity),
            ("epsilon before", before, table.eps_before),
            ("epsilon after", after, table.eps_after_release_cost),
            ("noise", found * table.sigma_ss, table.noise_sd),
        ] {
            assert!((found / printed - 1.0).abs() < 2e-3, "{name}, {what}: {found}, not {printed}");
        }
    }
}

const TEACHERS: usize = 250;

#[test]
fn parameters_that_break_the_conditions_of_the_proof_are_refused() {
    let refused = GnMaxSensitivity::new(scale(20.0), 10, RdpOrder::new(25.0).unwrap());
    assert!(refused.is_err());
    assert!(GnMaxSensitivity::new(scale(40.0), 1, RdpOrder::new(14.0).unwrap()).is_err());
}
