//! What holds for every accountant, whatever the votes.

use crate::data_dependent::{ANALYST, orders, scale};
use conclave_privacy::VoteCounts;
use conclave_privacy::accountant::{Conversion, rdp_to_epsilon};
use conclave_privacy::analysis::{Account, AccountantName, Answered, QueryCurve, Question, account};
use conclave_privacy::data_dependent::NoisyVote;
use conclave_privacy::quantity::{Delta, RdpCurve};
use proptest::prelude::*;

const ORDERS: [f64; 4] = [1.5, 4.0, 12.0, 48.0];

fn question(mechanism: NoisyVote, rows: usize) -> Question {
    Question {
        mechanism,
        delta: Delta::new(1e-5).unwrap(),
        orders: orders(&ORDERS),
        conversion: Conversion::Classic,
        answered: Answered::All,
        checkpoints: (1..=rows).collect(),
        curves: true,
    }
}

/// All accountants that apply but the exact worst case, whose search is slow and whose prices do not depend on votes.
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

fn histograms() -> impl Strategy<Value = Vec<Vec<u64>>> {
    prop::collection::vec(prop::collection::vec(0_u64..60, 4), 1..5)
}

fn counts(rows: &[Vec<u64>]) -> Vec<VoteCounts> {
    rows.iter().map(|row| VoteCounts::new(row.clone()).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn epsilon_is_never_negative_grows_with_queries_and_ignores_the_order_of_classes(
        rows in histograms(), noise in 2.0_f64..40.0, turn in 1_usize..4,
    ) {
        let mut turned = rows.clone();
        for row in &mut turned {
            row.rotate_left(turn);
        }
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
