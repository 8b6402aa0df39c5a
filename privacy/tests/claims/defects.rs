//! Mistakes that other accountants have made, each as a test that this crate passes.

use crate::data_dependent::{ANALYST, orders, scale, votes_of};
use conclave_privacy::VoteCounts;
use conclave_privacy::accountant::{Conversion, rdp_to_epsilon};
use conclave_privacy::analysis::{
    AccountantName, Answered, Question, account, account_in_advance, default_orders,
};
use conclave_privacy::data_dependent::{DataDependent, Method, NoisyVote};
use conclave_privacy::pld::{FixedPlan, PlannedNoise};
use conclave_privacy::quantity::{Delta, RdpCurve};
use conclave_privacy::worst_case;

fn confident(threshold: f64, sigma1: f64, sigma2: f64) -> NoisyVote {
    NoisyVote::ConfidentGnMax { threshold, sigma1: scale(sigma1), sigma2: scale(sigma2) }
}

fn threshold_cost(mechanism: NoisyVote, largest: u64, order: f64, method: Method) -> f64 {
    let counts = VoteCounts::new(vec![largest, 0]).unwrap();
    let steps = DataDependent::new(mechanism, method, &orders(&[order])).steps(&counts).open(&ANALYST);
    steps.threshold.unwrap()[0]
}

/// The complement of a probability near 1, taken as 1 - p, loses its digits (the paper's script did).
#[test]
fn a_threshold_far_above_and_far_below_the_votes_costs_the_same() {
    for far in [50, 150, 300] {
        let (above, below) =
            (confident(400.0 + f64::from(far), 25.0, 40.0), confident(400.0 - f64::from(far), 25.0, 40.0));
        for method in [Method::Published, Method::Exact] {
            let [above, below] = [above, below].map(|mechanism| threshold_cost(mechanism, 400, 8.0, method));
            assert!((above / below - 1.0).abs() < 1e-9, "{far} {method:?}: {above:e} and {below:e}");
        }
    }
}

/// A search over tenths of the teachers that returned its last candidate under-reported a noisy threshold by a fifth.
#[test]
fn the_worst_threshold_is_the_worst_over_all_counts() {
    let mechanism = confident(40.0, 10.0, 40.0);
    let costs = (0..=100).map(|largest| threshold_cost(mechanism, largest, 16.0, Method::Exact));
    let largest = costs.fold(0.0, f64::max);
    let worst = worst_case::threshold(scale(10.0), &orders(&[16.0]))[0];
    assert!((largest - 0.0533).abs() < 1e-4, "{largest}");
    assert!(worst >= largest && worst <= 0.08, "{worst}");
}

/// An early exit for small costs returned ε = 0 at orders close to 1.
#[test]
fn an_order_close_to_one_does_not_make_a_loss_vanish() {
    let delta = Delta::new(1e-5).unwrap();
    let curve = RdpCurve::new(orders(&[1.0 + 1e-8]), vec![1e-3]).unwrap();
    for conversion in [Conversion::Classic, Conversion::Tight] {
        assert!(rdp_to_epsilon(&curve, delta, conversion).epsilon > 1.0);
    }
}

/// Negative and infinite ε have been returned for losses far from 1.
#[test]
fn epsilon_is_never_negative_and_large_ones_are_found() {
    let gaussian = |sigma, times| PlannedNoise::Gaussian { scale: scale(sigma), shift: 1.0, times };
    for (sigma, times) in [(1e4, 1.0), (1.0, 1.0), (1.0, 2_500.0)] {
        for delta in [0.9, 1e-5, 1e-18] {
            let epsilon =
                FixedPlan::new(&[gaussian(sigma, times)]).unwrap().epsilon(Delta::new(delta).unwrap());
            assert!((0.0..2_000.0).contains(&epsilon), "{sigma} {times} {delta}: {epsilon}");
        }
    }
    let laplace = PlannedNoise::Laplace { scale: scale(0.5), shift: 1.0, times: 200 };
    let epsilon = FixedPlan::new(&[laplace]).unwrap().epsilon(Delta::new(1e-18).unwrap());
    assert!(epsilon > 100.0 && (epsilon <= 400.1 || epsilon.is_infinite()), "{epsilon}");
}

/// What is said before the votes is what is said after them, if it does not depend on them.
#[test]
fn an_account_in_advance_is_the_account_afterwards() {
    let votes = &votes_of("adult")[..40];
    let mut question = Question {
        mechanism: confident(200.0, 150.0, 40.0),
        delta: Delta::new(1e-5).unwrap(),
        orders: orders(&[4.0, 8.0, 16.0]),
        conversion: Conversion::Tight,
        answered: Answered::Stated(7),
        checkpoints: vec![40],
        curves: false,
    };
    for accountant in
        [AccountantName::Zcdp, AccountantName::Rdp, AccountantName::Pld, AccountantName::ExactWorstCase]
    {
        let (after, _) = account(accountant, &question, votes, &ANALYST, || ()).unwrap();
        let before = account_in_advance(accountant, &question, 40).unwrap();
        assert!((before.loss.epsilon / after[0].loss.epsilon - 1.0).abs() < 1e-12, "{accountant:?}");
        assert!((before.publishable, before.answered > 6.5) == (true, true));
    }
    assert!(account_in_advance(AccountantName::Exact, &question, 40).is_err());
    question.answered = Answered::Expected;
    assert!(account_in_advance(AccountantName::Zcdp, &question, 40).is_err());
}

/// A cost weighed by the votes is no figure to publish, whatever its prices are.
#[test]
fn no_figure_that_depends_on_the_votes_is_called_publishable() {
    let votes = &votes_of("adult")[..40];
    for accountant in AccountantName::ALL.into_iter().filter(|name| *name != AccountantName::Pure) {
        for answered in [Answered::Expected, Answered::All, Answered::Stated(7)] {
            let question = Question {
                mechanism: confident(200.0, 150.0, 40.0),
                delta: Delta::new(1e-5).unwrap(),
                orders: default_orders().into_iter().filter(|order| order.get() < 64.0).collect(),
                conversion: Conversion::Tight,
                answered,
                checkpoints: vec![1, 20, 40],
                curves: false,
            };
            let (accounts, _) = account(accountant, &question, votes, &ANALYST, || ()).unwrap();
            for account in &accounts {
                let by_votes = answered == Answered::Expected || !accountant.cost_publishable();
                assert_eq!(account.publishable, !by_votes, "{accountant:?} {answered:?}");
            }
            let epsilons: Vec<f64> = accounts.iter().map(|account| account.loss.epsilon).collect();
            assert!(
                epsilons.windows(2).all(|pair| pair[0] <= pair[1]),
                "more queries cost more: {epsilons:?}"
            );
        }
    }
}
