//! A thousand synthetic queries under every way of counting, and the smooth sensitivity of their sum.

use crate::data_dependent::{ANALYST, orders, scale};
use crate::published_votes::votes_of;
use crate::sanitised::Smooth;
use crate::vectors::{Epsilons, digits, read};
use conclave_privacy::accountant::{Accountant, Conversion, PureAccountant, RdpAccountant, rdp_to_epsilon};
use conclave_privacy::data_dependent::{DataDependent, Method, NoisyVote};
use conclave_privacy::event::PrivacyEvent;
use conclave_privacy::pld::gaussian_epsilon;
use conclave_privacy::quantity::{Delta, Lattice, Mu, NoiseScale, RdpCurve, RdpOrder};
use conclave_privacy::smooth_sensitivity::{GnMaxSensitivity, SensitiveCost};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Oracle {
    teachers: u64,
    classes: usize,
    queries: usize,
    params: Params,
    orders: Vec<f64>,
    answered_flags: Vec<u8>,
    #[serde(rename = "gnmax_total_smooth_sensitivity")]
    smooth: SmoothSum,
    /// By the number of queries.
    checkpoints: BTreeMap<usize, Checkpoint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    lnmax_lambda: f64,
    gnmax_sigma: f64,
    #[serde(rename = "T")]
    threshold: f64,
    sigma1: f64,
    sigma2: f64,
    delta: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SmoothSum {
    order: f64,
    queries: usize,
    ls_sum_first_40: Vec<f64>,
    smooth: Vec<Smooth>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoint {
    expected_answered: f64,
    realised_answered: u64,
    lnmax_dd: Series,
    lnmax_di: Series,
    lnmax_pure_eps_basic: f64,
    gnmax_dd: Series,
    gnmax_di: Series,
    #[serde(deserialize_with = "digits")]
    gnmax_di_exact_gaussian_eps_mp: f64,
    conf_threshold_dd: Series,
    conf_expected_dd: Series,
    conf_expected_di: Series,
    conf_realised_dd: Series,
    conf_realised_di: Series,
    #[serde(deserialize_with = "digits")]
    conf_realised_di_exact_gaussian_eps_mp: f64,
}

/// What one way of counting comes to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Series {
    eps_classic: f64,
    order_classic: f64,
    eps_cks: f64,
    order_cks: f64,
    rdp_at_orders_2_5_10_20_50_100: [f64; 6],
}

impl Series {
    fn epsilons(&self) -> Epsilons {
        let Self { eps_classic, order_classic, eps_cks, order_cks, .. } = *self;
        Epsilons { eps_classic, order_classic, eps_cks, order_cks }
    }

    fn assert_is(&self, name: &str, at: &[RdpOrder], rdp: &[f64], delta: Delta) {
        let curve = RdpCurve::new(at.to_vec(), rdp.to_vec()).unwrap();
        for (conversion, epsilon, order) in self.epsilons().each() {
            let found = rdp_to_epsilon(&curve, delta, conversion);
            assert!((found.epsilon / epsilon - 1.0).abs() < 1e-9, "{name}: {}, not {epsilon}", found.epsilon);
            assert_eq!(found.order, Some(order), "{name}");
        }
        for (order, rdp) in
            [2.0, 5.0, 10.0, 20.0, 50.0, 100.0].iter().zip(self.rdp_at_orders_2_5_10_20_50_100)
        {
            let found = curve.points().find(|(at, _)| at.get().total_cmp(order).is_eq()).unwrap().1;
            assert!((found / rdp - 1.0).abs() < 1e-9, "{name} at {order}: {found}, not {rdp}");
        }
    }
}

fn oracle() -> Oracle {
    let oracle: Oracle = read("cumulative.json");
    assert_eq!((oracle.smooth.ls_sum_first_40.len(), oracle.smooth.smooth.len()), (40, 4));
    oracle
}

#[test]
fn every_way_of_counting_gives_the_costs_of_the_oracle() {
    let oracle = oracle();
    let (at, votes, params) = (orders(&oracle.orders), votes_of("cumulative"), &oracle.params);
    assert_eq!(votes.len(), oracle.queries);
    assert!(votes.iter().all(|counts| {
        (counts.classes(), counts.as_slice().iter().sum()) == (oracle.classes, oracle.teachers)
    }));
    let answered: Vec<f64> = oracle.answered_flags.iter().copied().map(f64::from).collect();
    let (sigma1, sigma2) = (scale(params.sigma1), scale(params.sigma2));
    let confident = NoisyVote::ConfidentGnMax { threshold: params.threshold, sigma1, sigma2 };
    let published = |mechanism| DataDependent::new(mechanism, Method::Published, &at).unwrap();
    let mut lnmax = published(NoisyVote::LnMax { scale: scale(params.lnmax_lambda) });
    let mut confident = published(confident);
    let mut gnmax = published(NoisyVote::GnMax { sigma: scale(params.gnmax_sigma) });
    let zeros = || vec![0.0; at.len()];
    let (mut by_laplace, mut by_gaussian, mut threshold) = (zeros(), zeros(), zeros());
    let (mut expected, mut realised, mut count) = (zeros(), zeros(), (0.0, 0.0));
    let add = |sum: &mut Vec<f64>, costs: &[f64], weight: f64| {
        sum.iter_mut().zip(costs).for_each(|(sum, cost)| *sum += weight * cost);
    };
    assert_eq!(answered.len(), votes.len(), "a flag for each query");
    let delta = Delta::new(params.delta).unwrap();
    let mut seen = 0;
    for (row, counts) in votes.iter().enumerate() {
        add(&mut by_laplace, &lnmax.steps(counts).open(&ANALYST).argmax, 1.0);
        add(&mut by_gaussian, &gnmax.steps(counts).open(&ANALYST).argmax, 1.0);
        let steps = confident.steps(counts).open(&ANALYST);
        let tested = steps.threshold.unwrap();
        for (sum, weight) in
            [(&mut threshold, 0.0), (&mut expected, steps.answered), (&mut realised, answered[row])]
        {
            add(sum, &tested, 1.0);
            add(sum, &steps.argmax, weight);
        }
        count = (count.0 + steps.answered, count.1 + answered[row]);
        let Some(case) = oracle.checkpoints.get(&(row + 1)) else { continue };
        seen += 1;
        for (name, sum, expected) in [
            ("lnmax", &by_laplace, &case.lnmax_dd),
            ("gnmax", &by_gaussian, &case.gnmax_dd),
            ("threshold", &threshold, &case.conf_threshold_dd),
            ("expected", &expected, &case.conf_expected_dd),
            ("realised", &realised, &case.conf_realised_dd),
        ] {
            expected.assert_is(&format!("{name} after {}", row + 1), &at, sum, delta);
        }
        assert!((count.0 - case.expected_answered).abs() < 1e-9);
        assert!(count.1.total_cmp(&(case.realised_answered as f64)).is_eq());
    }
    assert_eq!(seen, oracle.checkpoints.len(), "a checkpoint beyond the votes");
}

#[test]
fn costs_that_do_not_depend_on_votes_are_those_of_the_oracle() {
    let oracle = oracle();
    let (at, params) = (orders(&oracle.orders), &oracle.params);
    let delta = Delta::new(params.delta).unwrap();
    let one_move =
        Sensitivity::of(PrivacyUnit::Record, Adjacency::AddRemove, VotingScheme::Ensemble).unwrap();
    let noise = |votes| NoiseScale::from_votes(votes, Lattice::DEFAULT).unwrap();
    let laplace = PrivacyEvent::LaplaceNoisyMax { scale: noise(params.lnmax_lambda) };
    let noisy_max = PrivacyEvent::GaussianNoisyMax { sigma: noise(params.gnmax_sigma) };
    let threshold = PrivacyEvent::GaussianThreshold { sigma1: noise(params.sigma1) };
    let confident_max = PrivacyEvent::GaussianNoisyMax { sigma: noise(params.sigma2) };
    for (&queries, case) in &oracle.checkpoints {
        let queries = queries as u64;
        for (name, events, expected) in [
            ("lnmax", vec![(laplace, queries)], &case.lnmax_di),
            ("gnmax", vec![(noisy_max, queries)], &case.gnmax_di),
            (
                "realised",
                vec![(threshold, queries), (confident_max, case.realised_answered)],
                &case.conf_realised_di,
            ),
        ] {
            let mut accountant = RdpAccountant::with_orders(at.clone(), Conversion::Tight).unwrap();
            for (event, times) in events {
                accountant.add(&event, &one_move, times).unwrap();
            }
            expected.assert_is(name, &at, accountant.curve().values(), delta);
        }
        let mut pure = PureAccountant::new();
        pure.add(&laplace, &one_move, queries).unwrap();
        let (found, expected) = (pure.loss(Delta::new(0.5).unwrap()).epsilon, case.lnmax_pure_eps_basic);
        assert!(found >= expected && found < expected * (1.0 + 1e-10), "{found}, not {expected}");

        let queries = queries as f64;
        let (test, argmax) = (1.0 / params.sigma1.powi(2), 1.0 / params.sigma2.powi(2));
        let rho = queries * test / 2.0 + case.expected_answered * argmax;
        let expected: Vec<f64> = oracle.orders.iter().map(|order| order * rho).collect();
        case.conf_expected_di.assert_is("expected", &at, &expected, delta);
        for (mu_squared, epsilon) in [
            (2.0 * queries / params.gnmax_sigma.powi(2), case.gnmax_di_exact_gaussian_eps_mp),
            (
                queries * test + 2.0 * case.realised_answered as f64 * argmax,
                case.conf_realised_di_exact_gaussian_eps_mp,
            ),
        ] {
            let found = gaussian_epsilon(Mu::new(libm::sqrt(mu_squared)).unwrap(), delta);
            assert!((found / epsilon - 1.0).abs() < 1e-10, "{found}, not {epsilon}");
        }
    }
}

#[test]
fn the_smooth_sensitivity_of_a_sum_is_that_of_the_oracle() {
    let Oracle { smooth: oracle, params, .. } = oracle();
    let order = RdpOrder::new(oracle.order).unwrap();
    let sensitivity = GnMaxSensitivity::new(scale(params.gnmax_sigma), 10, order).unwrap();
    let mut sum = SensitiveCost::none(order);
    for counts in &votes_of("cumulative")[..oracle.queries] {
        sum.add(&sensitivity.of(counts).unwrap()).unwrap();
    }
    for Smooth { beta, value } in &oracle.smooth {
        let found = sum.smooth(*beta).unwrap().open(&ANALYST);
        assert!((found / value - 1.0).abs() < 1e-9, "beta {beta}: {found}, not {value}");
    }
    for (d, (found, expected)) in sum.local().open(&ANALYST).iter().zip(&oracle.ls_sum_first_40).enumerate() {
        assert!((found / expected - 1.0).abs() < 1e-9, "distance {d}: {found}, not {expected}");
    }
}
