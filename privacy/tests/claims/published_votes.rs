//! The votes that were published with the 2018 paper: what they cost by its bounds, exactly, and in the worst case, against figures computed
//! elsewhere.

use crate::data_dependent::{ANALYST, assert_close, assert_within, drawn, independent, orders, scale};
use crate::vectors::{Epsilons, paired, read};
use conclave_privacy::VoteCounts;
use conclave_privacy::accountant::{Conversion, rdp_to_epsilon};
use conclave_privacy::analysis::{AccountantName, Answered, Question, account};
use conclave_privacy::data_dependent::{DataDependent, Method, NoisyVote};
use conclave_privacy::event::PrivacyEvent;
use conclave_privacy::quantity::{Delta, RdpCurve};
use conclave_privacy::worst_case;
use serde::Deserialize;
use std::collections::{HashMap, HashSet};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Paper {
    orders: Vec<f64>,
    #[serde(rename = "argmax_sup_three_cell_sigma40")]
    worst_at_40: Vec<f64>,
    datasets: HashMap<String, PaperCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PaperCase {
    delta: f64,
    #[serde(rename = "T")]
    threshold: f64,
    sigma1: f64,
    sigma2: f64,
    queries: usize,
    unique_vote_multisets: usize,
    expected_answered: f64,
    tfp_bound: PaperResult,
    exact_one_sided: PaperResult,
    exact_two_sided: PaperResult,
    data_independent_tfp: PaperResult,
    data_independent_exact: PaperResult,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PaperResult {
    eps_classic: f64,
    order_classic: f64,
    eps_cks: f64,
    order_cks: f64,
    rdp: Vec<f64>,
}

fn paper() -> Paper {
    read("pate2018_exact_accounting.json")
}

pub(crate) fn votes_of(dataset: &str) -> Vec<VoteCounts> {
    let csv = match dataset {
        "mnist" => include_str!("../vectors/votes_mnist_250_teachers.csv"),
        "svhn" => include_str!("../vectors/votes_svhn_250_teachers.csv"),
        "adult" => include_str!("../vectors/votes_adult_250_teachers.csv"),
        _ => include_str!("../vectors/cumulative_votes.csv"),
    };
    csv.lines()
        .map(|row| VoteCounts::new(row.split(',').map(|n| n.trim().parse().unwrap()).collect()).unwrap())
        .collect()
}

/// Costs summed as the 2018 paper sums them: the argmax weighed by the probability that it is reached.
fn expected_sum(data: &mut DataDependent, votes: &[VoteCounts], orders: usize) -> (Vec<f64>, f64) {
    let mut sum = vec![0.0; orders];
    let mut answered = 0.0;
    for counts in votes {
        let steps = data.steps(counts).open(&ANALYST);
        let threshold = steps.threshold.unwrap();
        for ((sum, threshold), argmax) in sum.iter_mut().zip(threshold).zip(steps.argmax) {
            *sum += threshold + steps.answered * argmax;
        }
        answered += steps.answered;
    }
    (sum, answered)
}

#[test]
fn the_real_votes_of_2018_cost_what_the_paper_says_and_exactly_half_of_it() {
    let oracle = paper();
    for (name, case) in &oracle.datasets {
        let mechanism = NoisyVote::ConfidentGnMax {
            threshold: case.threshold,
            sigma1: scale(case.sigma1),
            sigma2: scale(case.sigma2),
        };
        let votes = &votes_of(name)[..case.queries];
        let sorted = |counts: &VoteCounts| {
            let mut sorted = counts.as_slice().to_vec();
            sorted.sort_unstable();
            sorted
        };
        let distinct: HashSet<_> = votes.iter().map(sorted).collect();
        assert_eq!(distinct.len(), case.unique_vote_multisets, "{name}");
        let at = orders(&oracle.orders);
        let delta = Delta::new(case.delta).unwrap();
        // Above by at most so much, and the exact cost never below by more than 1e-7: the published one is compared, not a bound.
        let of = [
            (Method::Published, &case.tfp_bound, 1e-9, 1e-9),
            (Method::Exact, &case.exact_two_sided, 1e-7, 1e-6),
        ];
        for (method, expected, below, above) in of {
            let (rdp, answered) =
                expected_sum(&mut DataDependent::new(mechanism, method, &at).unwrap(), votes, at.len());
            assert_close(name, &[answered], &[case.expected_answered], 1e-9);
            assert_within(name, &rdp, &expected.rdp, below, above);
            let one_sided = &case.exact_one_sided;
            assert!(
                paired(&rdp, &one_sided.rdp).all(|(found, exact)| *found >= exact * (1.0 - 1e-7)),
                "{name} {method:?}"
            );
            let loss = |rdp: &[f64], conversion| {
                rdp_to_epsilon(&RdpCurve::new(at.clone(), rdp.to_vec()).unwrap(), delta, conversion)
            };
            for (conversion, epsilon, order, one_epsilon, one_order) in [
                (
                    Conversion::Classic,
                    expected.eps_classic,
                    expected.order_classic,
                    one_sided.eps_classic,
                    one_sided.order_classic,
                ),
                (
                    Conversion::Tight,
                    expected.eps_cks,
                    expected.order_cks,
                    one_sided.eps_cks,
                    one_sided.order_cks,
                ),
            ] {
                let found = loss(&rdp, conversion);
                assert_within(name, &[found.epsilon], &[epsilon], below, above);
                assert_eq!(found.order, Some(order), "{name} {method:?} {conversion:?}");
                // Both bounds cover the one direction; the crate offers no exact cost of it alone, but converts the oracle's.
                assert!(found.epsilon >= one_epsilon * (1.0 - 1e-7), "{name} {method:?} {conversion:?}");
                let alone = loss(&one_sided.rdp, conversion);
                assert_close(name, &[alone.epsilon], &[one_epsilon], 1e-9);
                assert_eq!(alone.order, Some(one_order), "{name} {conversion:?}");
            }
        }
    }
}

#[test]
fn the_worst_case_over_all_votes_is_that_of_the_oracle_and_never_below() {
    let oracle = paper();
    let worst = worst_case::gnmax(scale(40.0), &orders(&oracle.orders));
    assert_within("sigma 40", &worst, &oracle.worst_at_40, 1e-5, 1e-4);
    for (name, case) in &oracle.datasets {
        let (threshold, sigma1, sigma2) = (case.threshold, scale(case.sigma1), scale(case.sigma2));
        let mut question = Question {
            mechanism: NoisyVote::ConfidentGnMax { threshold, sigma1, sigma2 },
            lattice: None,
            delta: Delta::new(case.delta).unwrap(),
            orders: orders(&oracle.orders),
            conversion: Conversion::Classic,
            answered: Answered::Expected,
            checkpoints: vec![case.queries],
            curves: false,
        };
        let votes = &votes_of(name)[..case.queries];
        let (queries, answered) = (case.queries as f64, case.expected_answered);
        let sum = |test: Vec<f64>, argmax: Vec<f64>| -> Vec<f64> {
            paired(&test, &argmax).map(|(test, argmax)| queries * test + answered * argmax).collect()
        };
        let (test, argmax) = (
            PrivacyEvent::GaussianThreshold { sigma1: drawn(case.sigma1) },
            PrivacyEvent::GaussianNoisyMax { sigma: drawn(case.sigma2) },
        );
        let published = sum(independent(test, &oracle.orders), independent(argmax, &oracle.orders));
        assert_close(name, &published, &case.data_independent_tfp.rdp, 1e-9);
        let at = orders(&oracle.orders);
        let exact = sum(worst_case::threshold(sigma1, &at), worst_case::gnmax(sigma2, &at));
        assert_within(name, &exact, &case.data_independent_exact.rdp, 1e-5, 1e-4);
        for conversion in [Conversion::Classic, Conversion::Tight] {
            question.conversion = conversion;
            for (accountant, expected, below, above) in [
                (AccountantName::Rdp, &case.data_independent_tfp, 1e-9, 1e-9),
                (AccountantName::ExactWorstCase, &case.data_independent_exact, 1e-5, 1e-4),
            ] {
                let (found, _) = account(accountant, &question, votes, &ANALYST, || ()).unwrap();
                let classic = conversion == Conversion::Classic;
                let (epsilon, order) = if classic {
                    (expected.eps_classic, expected.order_classic)
                } else {
                    (expected.eps_cks, expected.order_cks)
                };
                let name = format!("{name} {accountant:?} {conversion:?}");
                assert_within(&name, &[found[0].loss.epsilon], &[epsilon], below, above);
                assert_eq!(found[0].loss.order, Some(order), "{name}");
            }
        }
    }
}

#[test]
fn the_worst_case_for_stated_answers_may_be_published_and_stays_within_its_caps() {
    // Queries, T, σ1, δ, answers stated, and what ε may be at most.
    for (name, queries, threshold, sigma1, delta, stated, cap) in [
        ("mnist", 640, 200.0, 150.0, 1e-5, 283, 2.15),
        ("svhn", 8500, 300.0, 200.0, 1e-6, 2970, 8.90),
        ("adult", 1500, 300.0, 200.0, 1e-5, 539, 3.04),
    ] {
        let question = Question {
            mechanism: NoisyVote::ConfidentGnMax { threshold, sigma1: scale(sigma1), sigma2: scale(40.0) },
            lattice: None,
            delta: Delta::new(delta).unwrap(),
            // Where the best of each lies; a conversion takes the best of what it is given.
            orders: orders(&[4.0, 4.5, 6.5, 7.0, 7.5, 8.5, 9.0, 9.5]),
            conversion: Conversion::Tight,
            answered: Answered::Stated(stated),
            checkpoints: vec![queries],
            curves: false,
        };
        let (found, _) =
            account(AccountantName::ExactWorstCase, &question, &votes_of(name), &ANALYST, || ()).unwrap();
        let found = &found[0];
        assert!(found.publishable && found.loss.epsilon <= cap, "{name}: {found:?}");
        // And no account that may be published says less: it is the least of them.
        let (published, _) =
            account(AccountantName::Zcdp, &question, &votes_of(name), &ANALYST, || ()).unwrap();
        assert!(found.loss.epsilon < published[0].loss.epsilon, "{name}");
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RealVotes {
    orders: Vec<f64>,
    pub(crate) datasets: HashMap<String, RealCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RealCase {
    #[serde(rename = "T")]
    pub(crate) threshold: f64,
    pub(crate) sigma1: f64,
    pub(crate) sigma2: f64,
    pub(crate) queries: usize,
    pub(crate) delta: f64,
    pub(crate) gnss_tfp_table_script: Sanitised,
    expected_answered: f64,
    lnmax_lambda: f64,
    conf_expected_dd: Epsilons,
    conf_expected_di: Epsilons,
    gnmax_dd: Epsilons,
    gnmax_di: Epsilons,
    lnmax_dd: Epsilons,
    threshold_dd: Epsilons,
}

/// Four digits each, as the paper's script prints them.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sanitised {
    pub(crate) order: f64,
    pub(crate) beta: f64,
    pub(crate) smooth_sensitivity: f64,
    pub(crate) sigma_ss: f64,
    pub(crate) eps_before: f64,
    pub(crate) eps_after_release_cost: f64,
    pub(crate) noise_sd: f64,
}

#[test]
fn the_real_votes_of_2018_give_the_published_epsilons_and_best_orders() {
    let oracle: RealVotes = read("pate2018_real_votes.json");
    for (name, case) in &oracle.datasets {
        let votes = &votes_of(name)[..case.queries];
        let (threshold, sigma1, sigma2) = (case.threshold, scale(case.sigma1), scale(case.sigma2));
        let confident = NoisyVote::ConfidentGnMax { threshold, sigma1, sigma2 };
        let gnmax = NoisyVote::GnMax { sigma: sigma2 };
        let lnmax = NoisyVote::LnMax { scale: scale(case.lnmax_lambda) };
        // Only the threshold test: no answer is ever charged.
        let tested = (confident, AccountantName::RdpDataDependent, &case.threshold_dd);
        for (mechanism, accountant, expected) in [
            (confident, AccountantName::RdpDataDependent, &case.conf_expected_dd),
            (confident, AccountantName::Rdp, &case.conf_expected_di),
            (gnmax, AccountantName::RdpDataDependent, &case.gnmax_dd),
            (gnmax, AccountantName::Rdp, &case.gnmax_di),
            (lnmax, AccountantName::RdpDataDependent, &case.lnmax_dd),
            tested,
        ] {
            for (conversion, epsilon, order) in expected.each() {
                let question = Question {
                    mechanism,
                    lattice: None,
                    delta: Delta::new(case.delta).unwrap(),
                    orders: orders(&oracle.orders),
                    conversion,
                    answered: if std::ptr::eq(expected, tested.2) {
                        Answered::Stated(0)
                    } else {
                        Answered::Expected
                    },
                    checkpoints: vec![case.queries],
                    curves: false,
                };
                let (found, _) = account(accountant, &question, votes, &ANALYST, || ()).unwrap();
                assert_close(
                    &format!("{name} {mechanism:?} {accountant:?}"),
                    &[found[0].loss.epsilon],
                    &[epsilon],
                    1e-9,
                );
                assert_eq!(found[0].loss.order, Some(order), "{name} {mechanism:?} {accountant:?}");
                if mechanism == confident && question.answered == Answered::Expected {
                    assert_close(name, &[found[0].answered], &[case.expected_answered], 1e-9);
                }
            }
        }
    }
}
