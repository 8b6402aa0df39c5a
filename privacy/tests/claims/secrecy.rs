//! Nothing that is made from votes shows them, or anything computed from them, when it is printed.

use crate::chi_square::generator;
use crate::data_dependent::{ANALYST, drawn, orders, scale};
use conclave_privacy::contribution::{ContributionBound, Contributions};
use conclave_privacy::counts::{ClassIndex, VoteCounts};
use conclave_privacy::data_dependent::{DataDependent, ExactArgmax, Method, NoisyVote, answer_agrees};
use conclave_privacy::filter::IndividualFilter;
use conclave_privacy::mechanism::{GnMax, Mechanism, StudentPrediction};
use conclave_privacy::planning::PublicVotes;
use conclave_privacy::quantity::Rho;
use conclave_privacy::smooth_sensitivity::{ConfidentSensitivity, SensitiveCost};
use std::fmt::Debug;

/// Counts that nothing else here has for a number.
const VOTES: [u64; 3] = [7919, 6841, 5923];

fn votes() -> VoteCounts {
    VoteCounts::new(VOTES.to_vec()).unwrap()
}

/// `shown` has no long number in it but those that are `public`: what is computed from votes has many digits.
fn assert_silent(shown: &impl Debug, public: &[&str]) {
    for text in [format!("{shown:?}"), format!("{shown:#?}")] {
        let mut rest = text.clone();
        for public in public {
            assert!(rest.contains(public), "{text} does not say {public}");
            rest = rest.replace(public, "");
        }
        let numbers = rest.split(|c: char| !c.is_ascii_digit() && c != '.').filter(|word| word.len() > 2);
        assert_eq!(numbers.collect::<Vec<_>>(), [""; 0], "{text}");
    }
}

#[test]
fn what_remembers_votes_or_costs_says_nothing_of_them() {
    assert_silent(&votes(), &[]);
    // Declared public, and still no business of a log.
    assert_silent(&PublicVotes::declared_public(vec![votes()]).unwrap(), &[]);

    let at = orders(&[2.0, 8.0]);
    let mechanism =
        NoisyVote::ConfidentGnMax { threshold: 7000.0, sigma1: scale(1500.0), sigma2: scale(400.0) };
    for method in [Method::Published, Method::Exact] {
        let mut data = DataDependent::new(mechanism, method, &at).unwrap();
        // Both memories are filled: of argmax costs and of threshold costs.
        let steps = data.steps(&votes());
        let joint = data.joint(&votes());
        let expected = data.expected(&[votes()]);
        assert_silent(&data, &["7000.0", "1500.0", "400.0"]);
        assert_silent(&(data.answered(&votes()), steps, joint, expected), &[]);
    }
    assert_silent(&ExactArgmax::new(mechanism.argmax(), &at), &["400.0"]);
    assert_silent(&answer_agrees(mechanism.argmax(), &votes()), &[]);
    let student = StudentPrediction::new(1, &[0.0, 0.0, 1.0]).unwrap();
    assert_silent(&student.statistic(&votes()).unwrap(), &[]);

    let known = ConfidentSensitivity::new(7000.0, (scale(1500.0), scale(400.0)), 3, at[0]).unwrap();
    let cost = known.of(&votes(), true).unwrap();
    assert!(cost.nats().open(&ANALYST) > 0.0);
    assert_silent(&(cost.nats(), cost.local(), cost.smooth(0.01).unwrap()), &[]);
    assert_silent(&cost, &[]);
    assert_silent(&SensitiveCost::none(at[0]), &[]);

    let release = Mechanism::from(GnMax::new(drawn(1.0))).release(&votes(), &mut generator("silent"));
    assert_silent(&release, &[]);
    let mut contributions = Contributions::new(4, ContributionBound::new(1).unwrap());
    contributions.count(3, &[(0, ClassIndex(1)), (2, ClassIndex(2))]).unwrap();
    assert_silent(&(contributions.moved(), contributions), &[]);
    let mut filter = IndividualFilter::new([5_000, 6_000].map(Rho::from_units));
    let takes_part =
        filter.charge(&[1, 2], |weight| Some(Rho::from_units(4_999 * u64::from(weight)))).unwrap();
    assert_silent(&(filter.spent(), filter, takes_part), &[]);
}
