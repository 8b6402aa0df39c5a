//! Data-dependent costs: the published bounds as other implementations compute them, and the exact cost, which no
//! quadrature of ours or of others undercuts.

use conclave_privacy::VoteCounts;
use conclave_privacy::accountant::{
    Accountant, AdvancedAccountant, Conversion, Direction, PureAccountant, RdpAccountant, ZcdpAccountant,
    rdp_to_epsilon,
};
use conclave_privacy::analysis::{AccountantName, Answered, Question, account};
use conclave_privacy::data_dependent::{DataDependent, Method, NoisyVote, StepCosts};
use conclave_privacy::quantity::{Delta, RdpCurve, RdpOrder, Scale};
use conclave_privacy::secret::Analyst;
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::HashMap;

pub(crate) const ANALYST: Analyst = Analyst::who_may_see_the_votes();

pub(crate) fn orders(values: &[f64]) -> Vec<RdpOrder> {
    values.iter().map(|value| RdpOrder::new(*value).unwrap()).collect()
}

pub(crate) fn scale(value: f64) -> Scale {
    Scale::new(value).unwrap()
}

fn counts(votes: &[u64]) -> VoteCounts {
    VoteCounts::new(votes.to_vec()).unwrap()
}

fn costs(mechanism: NoisyVote, method: Method, at: &[f64], votes: &[u64]) -> StepCosts {
    DataDependent::new(mechanism, method, &orders(at)).steps(&counts(votes)).open(&ANALYST)
}

/// `found` within `tolerance` of `expected` in relative terms.
fn assert_close(name: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = (found - expected).abs();
        assert!(
            off <= tolerance * expected.abs() + 1e-300,
            "{name}, order {index}: {found:e}, not {expected:e}"
        );
    }
}

fn numbers(strings: &[String]) -> Vec<f64> {
    strings.iter().map(|string| string.parse().unwrap()).collect()
}

#[derive(Deserialize)]
struct Published {
    orders: Vec<f64>,
    cases: Vec<PublishedCase>,
}

#[derive(Deserialize)]
struct PublishedCase {
    votes: Vec<u64>,
    #[serde(alias = "lambda")]
    sigma: f64,
    #[serde(alias = "rdp_mp")]
    rdp_dep_mp: Vec<String>,
}

#[test]
fn theorem_6_gives_what_the_oracle_says() {
    let oracle: Published = serde_json::from_str(include_str!("../vectors/gnmax_rdp.json")).unwrap();
    for case in oracle.cases {
        let mechanism = NoisyVote::GnMax { sigma: scale(case.sigma) };
        let found = costs(mechanism, Method::Published, &oracle.orders, &case.votes);
        let name = format!("{:?}, sigma {}", case.votes, case.sigma);
        assert_close(&name, &found.argmax, &numbers(&case.rdp_dep_mp), 1e-10);
        assert!(found.threshold.is_none());
    }
}

#[derive(Deserialize)]
struct Moments {
    moment_lambdas: Vec<f64>,
    cases: Vec<MomentCase>,
}

#[derive(Deserialize)]
struct MomentCase {
    votes: Vec<u64>,
    lambda: f64,
    moments_mp: Vec<String>,
}

#[test]
fn the_log_moments_of_2017_are_l_times_the_cost_at_order_l_plus_one() {
    let oracle: Moments = serde_json::from_str(include_str!("../vectors/lnmax.json")).unwrap();
    let at: Vec<f64> = oracle.moment_lambdas.iter().map(|l| l + 1.0).collect();
    for case in oracle.cases {
        let mechanism = NoisyVote::LnMax { scale: scale(case.lambda) };
        let found = costs(mechanism, Method::Published, &at, &case.votes).argmax;
        let moments: Vec<f64> = found.iter().zip(&oracle.moment_lambdas).map(|(rdp, l)| l * rdp).collect();
        let name = format!("{:?}, b {}", case.votes, case.lambda);
        assert_close(&name, &moments, &numbers(&case.moments_mp), 1e-10);
    }
}

#[test]
fn theorem_3_gives_what_the_oracle_says() {
    let oracle: Published = serde_json::from_str(include_str!("../vectors/lnmax.json")).unwrap();
    for case in oracle.cases {
        let mechanism = NoisyVote::LnMax { scale: scale(case.sigma) };
        let found = costs(mechanism, Method::Published, &oracle.orders, &case.votes);
        let name = format!("{:?}, b {}", case.votes, case.sigma);
        assert_close(&name, &found.argmax, &numbers(&case.rdp_dep_mp), 1e-10);
    }
}

#[derive(Deserialize)]
struct Thresholds {
    orders: Vec<f64>,
    cases: Vec<ThresholdCase>,
}

#[derive(Deserialize)]
struct ThresholdCase {
    #[serde(rename = "T")]
    threshold: f64,
    sigma1: f64,
    max_votes: u64,
    log_pr_answered_mp: String,
    rdp_dep_mp: Vec<String>,
}

#[test]
fn the_threshold_test_costs_what_the_oracle_says() {
    let oracle: Thresholds = serde_json::from_str(include_str!("../vectors/threshold.json")).unwrap();
    for case in oracle.cases {
        let ThresholdCase { threshold, sigma1, max_votes, .. } = case;
        let mechanism = NoisyVote::ConfidentGnMax { threshold, sigma1: scale(sigma1), sigma2: scale(40.0) };
        let found = costs(mechanism, Method::Published, &oracle.orders, &[max_votes, 0]);
        let name = format!("T {threshold}, sigma1 {sigma1}, max {max_votes}");
        assert_close(&name, &found.threshold.unwrap(), &numbers(&case.rdp_dep_mp), 1e-10);
        let answered: f64 = case.log_pr_answered_mp.parse().unwrap();
        assert_close(&name, &[found.answered], &[answered.exp()], 1e-12);
    }
}

#[derive(Deserialize)]
struct Divergences {
    cases: Vec<DivergenceCase>,
}

#[derive(Deserialize)]
struct DivergenceCase {
    votes: Vec<u64>,
    scale: f64,
    orders: Vec<f64>,
    gaussian: Exact,
    laplace: Exact,
}

#[derive(Deserialize)]
struct Exact {
    #[serde(rename = "exact_renyi_D_vs_neighbour")]
    here_from_neighbour: Vec<f64>,
    #[serde(rename = "exact_renyi_neighbour_vs_D")]
    neighbour_from_here: Vec<f64>,
}

#[test]
fn the_exact_cost_is_the_larger_of_both_directions_and_never_below() {
    let oracle: Divergences = serde_json::from_str(include_str!("../vectors/exact_divergence.json")).unwrap();
    for case in oracle.cases {
        let of = [
            (NoisyVote::GnMax { sigma: scale(case.scale) }, &case.gaussian),
            (NoisyVote::LnMax { scale: scale(case.scale) }, &case.laplace),
        ];
        for (mechanism, exact) in of {
            let found = costs(mechanism, Method::Exact, &case.orders, &case.votes).argmax;
            let both = exact.here_from_neighbour.iter().zip(&exact.neighbour_from_here);
            for ((found, (one, other)), order) in found.iter().zip(both).zip(&case.orders) {
                let truth = one.max(*other);
                let name =
                    format!("{mechanism:?}, {:?}, order {order}: {found:e}, not {truth:e}", case.votes);
                assert!(*found >= truth * (1.0 - 1e-7), "{name}");
                assert!(*found <= truth * (1.0 + 1e-6) + 1e-14, "{name}");
            }
        }
    }
}

#[derive(Deserialize)]
struct Paper {
    orders: Vec<f64>,
    datasets: HashMap<String, PaperCase>,
}

#[derive(Deserialize)]
struct PaperCase {
    delta: f64,
    #[serde(rename = "T")]
    threshold: f64,
    sigma1: f64,
    sigma2: f64,
    queries: usize,
    expected_answered: f64,
    tfp_bound: PaperResult,
    exact_one_sided: PaperResult,
    exact_two_sided: PaperResult,
    data_independent_tfp: PaperResult,
    data_independent_exact: PaperResult,
}

#[derive(Deserialize)]
struct PaperResult {
    eps_classic: f64,
    eps_cks: f64,
    rdp: Vec<f64>,
}

pub(crate) fn votes_of(dataset: &str) -> Vec<VoteCounts> {
    let csv = match dataset {
        "mnist" => include_str!("../vectors/votes_mnist_250_teachers.csv"),
        "svhn" => include_str!("../vectors/votes_svhn_250_teachers.csv"),
        "adult" => include_str!("../vectors/votes_adult_250_teachers.csv"),
        _ => include_str!("../vectors/cumulative_votes.csv"),
    };
    csv.lines()
        .map(|row| counts(&row.split(',').map(|n| n.trim().parse().unwrap()).collect::<Vec<_>>()))
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
    let oracle: Paper =
        serde_json::from_str(include_str!("../vectors/pate2018_exact_accounting.json")).unwrap();
    for (name, case) in &oracle.datasets {
        let mechanism = NoisyVote::ConfidentGnMax {
            threshold: case.threshold,
            sigma1: scale(case.sigma1),
            sigma2: scale(case.sigma2),
        };
        let votes = &votes_of(name)[..case.queries];
        let at = orders(&oracle.orders);
        let delta = Delta::new(case.delta).unwrap();
        let of = [(Method::Published, &case.tfp_bound, 1e-9), (Method::Exact, &case.exact_two_sided, 1e-6)];
        for (method, expected, tolerance) in of {
            let (rdp, answered) =
                expected_sum(&mut DataDependent::new(mechanism, method, &at), votes, at.len());
            assert_close(name, &[answered], &[case.expected_answered], 1e-9);
            assert_close(name, &rdp, &expected.rdp, tolerance);
            let one_sided = rdp.iter().zip(&case.exact_one_sided.rdp);
            assert!(
                one_sided.clone().all(|(found, exact)| *found >= exact * (1.0 - 1e-7)),
                "{name} {method:?}"
            );
            let curve = RdpCurve::new(at.clone(), rdp).unwrap();
            let epsilon = |conversion| rdp_to_epsilon(&curve, delta, conversion).epsilon;
            assert_close(name, &[epsilon(Conversion::Classic)], &[expected.eps_classic], tolerance);
            assert_close(name, &[epsilon(Conversion::Tight)], &[expected.eps_cks], tolerance);
        }
    }
}

#[test]
fn the_worst_case_over_all_votes_is_that_of_the_oracle_and_never_below() {
    let oracle: Paper =
        serde_json::from_str(include_str!("../vectors/pate2018_exact_accounting.json")).unwrap();
    for (name, case) in &oracle.datasets {
        let (threshold, sigma1, sigma2) = (case.threshold, scale(case.sigma1), scale(case.sigma2));
        let mut question = Question {
            mechanism: NoisyVote::ConfidentGnMax { threshold, sigma1, sigma2 },
            delta: Delta::new(case.delta).unwrap(),
            orders: orders(&oracle.orders),
            conversion: Conversion::Classic,
            answered: Answered::Expected,
            checkpoints: vec![case.queries],
            curves: false,
        };
        let votes = &votes_of(name)[..case.queries];
        for conversion in [Conversion::Classic, Conversion::Tight] {
            question.conversion = conversion;
            for (accountant, expected, below, above) in [
                (AccountantName::Rdp, &case.data_independent_tfp, 1e-9, 1e-9),
                (AccountantName::ExactWorstCase, &case.data_independent_exact, 1e-5, 1e-4),
            ] {
                let (found, _) = account(accountant, &question, votes, &ANALYST, || ()).unwrap();
                let classic = conversion == Conversion::Classic;
                let expected = if classic { expected.eps_classic } else { expected.eps_cks };
                let off = found[0].loss.epsilon / expected - 1.0;
                assert!(
                    off >= -below && off <= above,
                    "{name} {accountant:?} {conversion:?}: off by {off:e}"
                );
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

#[test]
fn every_accountant_says_whether_it_may_be_published_and_on_which_side_it_errs() {
    let told: Vec<_> = AccountantName::ALL
        .map(|name| (name.as_str(), name.cost_publishable() && name.is_guarantee(), name.direction().name()))
        .to_vec();
    assert_eq!(
        told,
        [
            ("pure", true, "upper"),
            ("advanced", true, "upper"),
            ("zcdp", true, "upper"),
            ("rdp", true, "upper"),
            ("pld", true, "upper"),
            ("pld-lower", false, "lower"),
            ("gdp", true, "upper"),
            ("rdp-data-dependent", false, "one-direction"),
            ("exact", false, "exact"),
            ("exact-worst-case", true, "upper"),
        ]
    );
    let behind_the_trait: [&dyn Accountant; 4] = [
        &PureAccountant::new(),
        &AdvancedAccountant::new(),
        &ZcdpAccountant::new(Conversion::Tight),
        &RdpAccountant::new(Conversion::Tight),
    ];
    for accountant in behind_the_trait {
        assert_eq!((accountant.publishable(), accountant.direction()), (true, Direction::UpperBound));
    }
}

#[derive(Deserialize)]
struct RealVotes {
    orders: Vec<f64>,
    datasets: HashMap<String, RealCase>,
}

#[derive(Deserialize)]
struct RealCase {
    #[serde(rename = "T")]
    threshold: f64,
    sigma1: f64,
    sigma2: f64,
    queries: usize,
    delta: f64,
    lnmax_lambda: f64,
    conf_expected_dd: Epsilons,
    conf_expected_di: Epsilons,
    gnmax_dd: Epsilons,
    gnmax_di: Epsilons,
    lnmax_dd: Epsilons,
    threshold_dd: Epsilons,
}

#[derive(Deserialize)]
struct Epsilons {
    eps_classic: f64,
    order_classic: f64,
    eps_cks: f64,
    order_cks: f64,
}

#[test]
fn the_real_votes_of_2018_give_the_published_epsilons_and_best_orders() {
    let oracle: RealVotes =
        serde_json::from_str(include_str!("../vectors/pate2018_real_votes.json")).unwrap();
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
            for (conversion, epsilon, order) in [
                (Conversion::Classic, expected.eps_classic, expected.order_classic),
                (Conversion::Tight, expected.eps_cks, expected.order_cks),
            ] {
                let question = Question {
                    mechanism,
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
            }
        }
    }
}

#[test]
fn the_joint_law_of_threshold_and_argmax_is_a_true_divergence_where_expected_answers_are_none() {
    // A split vote below the threshold: the answer is seldom reached, and tells much when it is.
    let mechanism = NoisyVote::ConfidentGnMax { threshold: 200.0, sigma1: scale(30.0), sigma2: scale(10.0) };
    let mut data = DataDependent::new(mechanism, Method::Exact, &orders(&[32.0]));
    let votes = counts(&[130, 120]);
    let steps = data.steps(&votes).open(&ANALYST);
    let expected = steps.threshold.unwrap()[0] + steps.answered * steps.argmax[0];
    let joint = data.joint(&votes).open(&ANALYST)[0];
    assert!((joint / 0.0189 - 1.0).abs() < 0.01, "{joint}");
    assert!(expected < 0.3 * joint, "{expected}");
}

#[test]
fn votes_far_apart_and_noise_at_its_extremes_give_finite_costs() {
    for votes in [vec![1 << 53, 0], vec![250, 0, 0], vec![0, 0], vec![1, 0], vec![1 << 40; 5]] {
        for noise in [1e-3, 0.5, 1.0, 40.0, 1e9] {
            for mechanism in [
                NoisyVote::GnMax { sigma: scale(noise) },
                NoisyVote::LnMax { scale: scale(noise) },
                NoisyVote::ConfidentGnMax { threshold: 200.0, sigma1: scale(noise), sigma2: scale(noise) },
            ] {
                for method in [Method::Published, Method::Exact] {
                    let steps = costs(mechanism, method, &[1.01, 2.0, 64.0, 1e5], &votes);
                    for cost in steps.argmax.iter().chain(steps.threshold.iter().flatten()) {
                        assert!(
                            cost.is_finite() && *cost >= 0.0,
                            "{mechanism:?} {method:?} {votes:?}: {cost}"
                        );
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn costs_ignore_the_order_of_classes_and_fall_with_noise(
        votes in prop::collection::vec(0_u64..60, 2..6), sigma in 2.0_f64..60.0, gaussian in any::<bool>(),
    ) {
        let with = |noise: f64| if gaussian {
            NoisyVote::GnMax { sigma: scale(noise) }
        } else {
            NoisyVote::LnMax { scale: scale(noise) }
        };
        let at = [1.25, 3.0, 20.0];
        let mut backwards = votes.clone();
        backwards.reverse();
        for method in [Method::Published, Method::Exact] {
            let cost = costs(with(sigma), method, &at, &votes).argmax;
            prop_assert_eq!(&cost, &costs(with(sigma), method, &at, &backwards).argmax);
            // Not monotone for one vote vector: less noise can make an answer certain. The ceiling is.
            for (cost, order) in cost.iter().zip(at) {
                let ceiling = if gaussian {
                    order / (sigma * sigma)
                } else {
                    (2.0 * order / (sigma * sigma)).min(2.0 / sigma)
                };
                prop_assert!(*cost >= 0.0 && *cost <= ceiling * (1.0 + 1e-12));
            }
        }
    }
}
