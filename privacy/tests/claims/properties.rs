//! What holds for every accountant, whatever the votes.

use crate::data_dependent::{ANALYST, orders, scale};
use conclave_privacy::VoteCounts;
use conclave_privacy::accountant::{Conversion, rdp_to_epsilon};
use conclave_privacy::analysis::{Account, AccountantName, Answered, QueryCurve, Question, account};
use conclave_privacy::data_dependent::NoisyVote;
use conclave_privacy::pld::{FixedPlan, PlannedNoise};
use conclave_privacy::quantity::{Delta, RdpCurve};
use proptest::prelude::*;

const ORDERS: [f64; 4] = [1.5, 4.0, 12.0, 48.0];

fn question(mechanism: NoisyVote, rows: usize) -> Question {
    Question {
        mechanism,
        lattice: None,
        delta: Delta::new(1e-5).unwrap(),
        orders: orders(&ORDERS),
        conversion: Conversion::Classic,
        answered: Answered::All,
        checkpoints: (1..=rows).collect(),
        curves: true,
    }
}

/// All accountants that apply but the exact worst case, whose search is slow: it has a test of its own.
fn accountants(mechanism: &NoisyVote) -> Vec<AccountantName> {
    let applies = |name: &AccountantName| {
        *name != AccountantName::ExactWorstCase && name.check(mechanism, Answered::All).is_ok()
    };
    AccountantName::ALL.into_iter().filter(applies).collect()
}

fn mechanisms(noise: f64) -> [NoisyVote; 3] {
    let sigma = scale(noise);
    [
        NoisyVote::LnMax { scale: sigma },
        NoisyVote::GnMax { sigma },
        NoisyVote::ConfidentGnMax { threshold: 30.0, sigma1: scale(3.0 * noise), sigma2: sigma },
    ]
}

fn told(name: AccountantName, mechanism: NoisyVote, votes: &[VoteCounts]) -> (Vec<Account>, Vec<QueryCurve>) {
    account(name, &question(mechanism, votes.len()), votes, &ANALYST, || ()).unwrap()
}

/// The noise of one query, answered.
fn planned(mechanism: NoisyVote) -> Vec<PlannedNoise> {
    let gaussian = |scale, shift: f64| PlannedNoise::Gaussian { scale, shift, times: 1.0 };
    match mechanism {
        // A moved vote changes two counts.
        NoisyVote::LnMax { scale } => vec![PlannedNoise::Laplace { scale, shift: 1.0, times: 1 }; 2],
        NoisyVote::GnMax { sigma } => vec![gaussian(sigma, 2.0_f64.sqrt())],
        NoisyVote::ConfidentGnMax { sigma1, sigma2, .. } => {
            vec![gaussian(sigma1, 1.0), gaussian(sigma2, 2.0_f64.sqrt())]
        }
    }
}

#[test]
fn the_exact_worst_case_falls_with_noise_adds_up_grows_with_queries_and_bounds_every_vote() {
    let name = AccountantName::ExactWorstCase;
    let rows = [vec![30, 29, 0, 1], vec![60, 0, 0, 0], vec![15, 15, 15, 15]];
    let (votes, turned) = (counts(&rows), counts(&shuffled(&rows, &[2, 0, 3, 1])));
    let delta = Delta::new(1e-5).unwrap();
    for kind in 0..3 {
        let mut before: Option<Vec<f64>> = None;
        for noise in [5.0, 6.0, 12.0, 40.0] {
            let mechanism = mechanisms(noise)[kind];
            let (accounts, curves) = told(name, mechanism, &votes);
            let [QueryCurve { row: None, rdp, .. }] = &curves[..] else { panic!("one curve for all votes") };
            assert!(rdp.iter().all(|cost| *cost > 0.0), "{mechanism:?}");
            if let Some(before) = before {
                assert!(rdp.iter().zip(&before).all(|(now, before)| now < before), "{mechanism:?}");
            }
            before = Some(rdp.clone());
            let other: Vec<_> = told(name, mechanism, &turned).0.iter().map(|account| account.loss).collect();
            let mut last = 0.0;
            for (account, other) in accounts.iter().zip(other) {
                let sum = rdp.iter().map(|cost| cost * account.queries as f64).collect();
                let curve = RdpCurve::new(orders(&ORDERS), sum).unwrap();
                let added = rdp_to_epsilon(&curve, delta, Conversion::Classic).epsilon;
                assert!((added / account.loss.epsilon - 1.0).abs() < 1e-12, "{mechanism:?}");
                assert_eq!(account.loss, other, "{mechanism:?}");
                assert!(account.loss.epsilon > last, "{mechanism:?}");
                last = account.loss.epsilon;
            }
            let (_, published) = told(AccountantName::Rdp, mechanism, &votes);
            let within = |(exact, published): (&f64, &f64)| *exact <= published * (1.0 + 1e-12);
            assert!(rdp.iter().zip(&published[0].rdp).all(within), "{mechanism:?}");
            for exact in told(AccountantName::Exact, mechanism, &votes).1 {
                assert!(exact.rdp.iter().zip(rdp).all(|(cost, worst)| cost <= worst), "{mechanism:?}");
            }
        }
    }
}

fn histograms() -> impl Strategy<Value = Vec<Vec<u64>>> {
    prop::collection::vec(prop::collection::vec(0_u64..60, 4), 1..5)
}

/// The same votes with the classes in another order.
fn shuffled(rows: &[Vec<u64>], order: &[usize; 4]) -> Vec<Vec<u64>> {
    rows.iter().map(|row| order.iter().map(|class| row[*class]).collect()).collect()
}

fn counts(rows: &[Vec<u64>]) -> Vec<VoteCounts> {
    rows.iter().map(|row| VoteCounts::new(row.clone()).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn epsilon_is_never_negative_grows_with_queries_and_ignores_the_order_of_classes(
        rows in histograms(), noise in 2.0_f64..40.0, order in Just([0, 1, 2, 3]).prop_shuffle(),
    ) {
        let turned = shuffled(&rows, &order);
        for mechanism in mechanisms(noise) {
            for name in accountants(&mechanism) {
                let (here, _) = told(name, mechanism, &counts(&rows));
                let (there, _) = told(name, mechanism, &counts(&turned));
                let mut before = 0.0;
                for (here, there) in here.iter().zip(&there) {
                    let (here, there) = (here.loss.epsilon, there.loss.epsilon);
                    prop_assert!(here >= before, "{name:?} {mechanism:?}: {before} then {here}");
                    prop_assert!((here - there).abs() <= 1e-9 * here, "{name:?}: {here} and {there}");
                    before = here;
                }
            }
        }
    }

    #[test]
    fn costs_of_queries_add_up_and_are_never_negative(rows in histograms(), noise in 2.0_f64..40.0) {
        let votes = counts(&rows);
        for mechanism in mechanisms(noise) {
            for name in accountants(&mechanism) {
                let (accounts, curves) = told(name, mechanism, &votes);
                prop_assert!(curves.iter().flat_map(|curve| &curve.rdp).all(|cost| *cost >= 0.0));
                if matches!(name, AccountantName::Pld | AccountantName::Gdp) {
                    // The plan of all queries is that of each of them, one after the other.
                    for account in &accounts {
                        let each = (0..account.queries).flat_map(|_| planned(mechanism));
                        let plan = FixedPlan::new(&each.collect::<Vec<_>>()).unwrap();
                        let added = plan.epsilon(Delta::new(1e-5).unwrap());
                        prop_assert!((added / account.loss.epsilon - 1.0).abs() < 1e-9, "{name:?} {mechanism:?}");
                    }
                }
                if !matches!(name, AccountantName::Rdp | AccountantName::RdpDataDependent | AccountantName::Exact) {
                    continue;
                }
                let mut sum = vec![0.0; ORDERS.len()];
                for (curve, account) in curves.iter().zip(&accounts) {
                    sum.iter_mut().zip(&curve.rdp).for_each(|(sum, cost)| *sum += cost);
                    let curve = RdpCurve::new(orders(&ORDERS), sum.clone()).unwrap();
                    let added = rdp_to_epsilon(&curve, Delta::new(1e-5).unwrap(), Conversion::Classic).epsilon;
                    prop_assert!((added / account.loss.epsilon - 1.0).abs() < 1e-12, "{name:?}");
                }
            }
        }
    }

    #[test]
    fn prices_that_do_not_depend_on_votes_fall_with_noise_and_bound_those_that_do(
        rows in histograms(), noise in 2.0_f64..40.0, more in 1.01_f64..4.0,
    ) {
        let votes = counts(&rows);
        // What depends on the votes need not fall: `data_dependent` has an example, and why.
        let pairs = mechanisms(noise).into_iter().zip(mechanisms(noise * more));
        for (little, much) in pairs {
            for name in accountants(&little).into_iter().filter(|name| name.cost_publishable()) {
                let [little, much] = [little, much].map(|mechanism| told(name, mechanism, &votes).0);
                for (little, much) in little.iter().zip(&much) {
                    prop_assert!(much.loss.epsilon < little.loss.epsilon, "{name:?}");
                }
            }
            let (_, independent) = told(AccountantName::Rdp, little, &votes);
            for name in [AccountantName::RdpDataDependent, AccountantName::Exact] {
                let (_, dependent) = told(name, little, &votes);
                for (dependent, independent) in dependent.iter().zip(&independent) {
                    for (dependent, independent) in dependent.rdp.iter().zip(&independent.rdp) {
                        prop_assert!(*dependent <= independent * (1.0 + 1e-12), "{name:?} {little:?}");
                    }
                }
            }
        }
    }
}
