//! A thousand synthetic queries under every way of counting, and the smooth sensitivity of their sum.

use crate::data_dependent::{ANALYST, orders, scale};
use crate::published_votes::votes_of;
use crate::vectors::{Epsilons, stated};
use conclave_privacy::accountant::{Conversion, rdp_to_epsilon};
use conclave_privacy::data_dependent::{DataDependent, Method, NoisyVote};
use conclave_privacy::pld::gaussian_epsilon;
use conclave_privacy::quantity::{Delta, Mu, RdpCurve, RdpOrder};
use conclave_privacy::smooth_sensitivity::{GnMaxSensitivity, SensitiveCost};
use serde::Deserialize;

#[derive(Deserialize)]
struct Oracle {
    orders: Vec<f64>,
    answered_flags: String,
    smooth: SmoothSum,
    checkpoints: Vec<Checkpoint>,
}

#[derive(Deserialize)]
struct SmoothSum {
    order: f64,
    ls_sum_first_40: Vec<f64>,
    smooth: Vec<Smooth>,
}

#[derive(Deserialize)]
struct Smooth {
    beta: f64,
    value: f64,
}

#[derive(Deserialize)]
struct Checkpoint {
    queries: usize,
    expected_answered: f64,
    realised_answered: f64,
    gnmax_exact_gaussian: f64,
    confident_exact_gaussian: f64,
    lnmax_dd: Epsilons,
    gnmax_dd: Epsilons,
    conf_expected_dd: Epsilons,
    conf_realised_dd: Epsilons,
    conf_threshold_dd: Epsilons,
    conf_expected_di: Epsilons,
    conf_realised_di: Epsilons,
}

fn oracle() -> Oracle {
    let oracle: Oracle =
        serde_json::from_str(include_str!("../vectors/cumulative_data_dependent.json")).unwrap();
    let found = [oracle.checkpoints.len(), oracle.orders.len()];
    assert_eq!(
        found,
        ["checkpoints", "orders"].map(|section| stated("cumulative_data_dependent.json", section))
    );
    assert_eq!((oracle.smooth.ls_sum_first_40.len(), oracle.smooth.smooth.len()), (40, 4));
    oracle
}

fn assert_epsilons(name: &str, at: &[RdpOrder], rdp: Vec<f64>, expected: &Epsilons) {
    let curve = RdpCurve::new(at.to_vec(), rdp).unwrap();
    for (conversion, epsilon, order) in [
        (Conversion::Classic, expected.eps_classic, expected.order_classic),
        (Conversion::Tight, expected.eps_cks, expected.order_cks),
    ] {
        let found = rdp_to_epsilon(&curve, Delta::new(1e-5).unwrap(), conversion);
        assert!((found.epsilon / epsilon - 1.0).abs() < 1e-9, "{name}: {}, not {epsilon}", found.epsilon);
        assert_eq!(found.order, Some(order), "{name}");
    }
}

#[test]
fn every_way_of_counting_gives_the_epsilon_of_the_oracle() {
    let oracle = oracle();
    let (at, votes) = (orders(&oracle.orders), votes_of("cumulative"));
    let answered: Vec<f64> =
        oracle.answered_flags.chars().map(|flag| f64::from(u8::from(flag == '1'))).collect();
    let confident = NoisyVote::ConfidentGnMax { threshold: 200.0, sigma1: scale(150.0), sigma2: scale(40.0) };
    let published = |mechanism| DataDependent::new(mechanism, Method::Published, &at);
    let mut lnmax = published(NoisyVote::LnMax { scale: scale(20.0) });
    let mut confident = published(confident);
    let zeros = || vec![0.0; at.len()];
    let (mut by_laplace, mut by_gaussian, mut threshold) = (zeros(), zeros(), zeros());
    let (mut expected, mut realised, mut count) = (zeros(), zeros(), (0.0, 0.0));
    let add = |sum: &mut Vec<f64>, costs: &[f64], weight: f64| {
        sum.iter_mut().zip(costs).for_each(|(sum, cost)| *sum += weight * cost);
    };
    assert_eq!(answered.len(), votes.len(), "a flag for each query");
    let mut seen = 0;
    for (row, counts) in votes.iter().enumerate() {
        add(&mut by_laplace, &lnmax.steps(counts).open(&ANALYST).argmax, 1.0);
        let steps = confident.steps(counts).open(&ANALYST);
        let tested = steps.threshold.unwrap();
        add(&mut by_gaussian, &steps.argmax, 1.0);
        for (sum, weight) in
            [(&mut threshold, 0.0), (&mut expected, steps.answered), (&mut realised, answered[row])]
        {
            add(sum, &tested, 1.0);
            add(sum, &steps.argmax, weight);
        }
        count = (count.0 + steps.answered, count.1 + answered[row]);
        let Some(case) = oracle.checkpoints.iter().find(|case| case.queries == row + 1) else { continue };
        seen += 1;
        for (name, sum, expected) in [
            ("lnmax", &by_laplace, &case.lnmax_dd),
            ("gnmax", &by_gaussian, &case.gnmax_dd),
            ("threshold", &threshold, &case.conf_threshold_dd),
            ("expected", &expected, &case.conf_expected_dd),
            ("realised", &realised, &case.conf_realised_dd),
        ] {
            assert_epsilons(&format!("{name} after {}", case.queries), &at, sum.clone(), expected);
        }
        assert!(
            (count.0 - case.expected_answered).abs() < 1e-9
                && (count.1 - case.realised_answered).abs() < 1e-9
        );
        let queries = case.queries as f64;
        for (answers, expected) in [(count.0, &case.conf_expected_di), (count.1, &case.conf_realised_di)] {
            let rho = queries / (2.0 * 150.0 * 150.0) + answers / 1600.0;
            let rdp = at.iter().map(|order| order.get() * rho).collect();
            assert_epsilons("data-independent", &at, rdp, expected);
        }
        for (mu_squared, epsilon) in [
            (2.0 * queries / 1600.0, case.gnmax_exact_gaussian),
            (queries / 22_500.0 + 2.0 * count.1 / 1600.0, case.confident_exact_gaussian),
        ] {
            let found = gaussian_epsilon(Mu::new(libm::sqrt(mu_squared)).unwrap(), Delta::new(1e-5).unwrap());
            assert!((found / epsilon - 1.0).abs() < 1e-9, "{found}, not {epsilon}");
        }
    }
    assert_eq!(seen, oracle.checkpoints.len(), "a checkpoint beyond the votes");
}

#[test]
fn the_smooth_sensitivity_of_a_sum_is_that_of_the_oracle() {
    let oracle = oracle().smooth;
    let sensitivity = GnMaxSensitivity::new(scale(40.0), 10, RdpOrder::new(oracle.order).unwrap()).unwrap();
    let mut sum = SensitiveCost::none(RdpOrder::new(oracle.order).unwrap());
    for counts in votes_of("cumulative") {
        sum.add(&sensitivity.of(&counts).unwrap()).unwrap();
    }
    for Smooth { beta, value } in &oracle.smooth {
        let found = sum.smooth(*beta).unwrap().open(&ANALYST);
        assert!((found / value - 1.0).abs() < 1e-6, "beta {beta}: {found}, not {value}");
    }
    for (d, (found, expected)) in sum.local().open(&ANALYST).iter().zip(&oracle.ls_sum_first_40).enumerate() {
        assert!((found / expected - 1.0).abs() < 1e-6, "distance {d}: {found}, not {expected}");
    }
}
