//! Bad input of every kind is refused by name: no panic, no silent repair.

use crate::data_dependent::{ANALYST, orders, scale};
use conclave_privacy::accountant::Conversion;
use conclave_privacy::analysis::{AccountantName, Answered, Question, account};
use conclave_privacy::calibrate::Goal;
use conclave_privacy::data_dependent::{DataDependent, Method, NoisyVote};
use conclave_privacy::planning::PublicVotes;
use conclave_privacy::pld::{FixedPlan, PlannedNoise};
use conclave_privacy::quantity::{
    Delta, Epsilon, FilterOrder, Lattice, Mu, MuSquared, NoiseScale, RdpCurve, RdpOrder, RenyiLoss, Rho,
    Scale, Threshold,
};
use conclave_privacy::smooth_sensitivity::{
    GnMaxSensitivity, SensitiveCost, ThresholdSensitivity, release_cost,
};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};
use conclave_privacy::{Error, VoteCounts};

const NOT_NUMBERS: [f64; 3] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

/// A constructor by the name of its field, and what is out of its range.
type Refuses = (&'static str, fn(f64) -> Result<(), Error>, &'static [f64]);

#[test]
fn numbers_out_of_range_are_refused_by_the_name_of_their_field() {
    let table: [Refuses; 14] = [
        ("epsilon", |x| Epsilon::new(x).map(drop), &[0.0, -0.0, -1.0]),
        ("delta", |x| Delta::new(x).map(drop), &[0.0, -1e-9, 1.0, 1.5]),
        ("mu", |x| Mu::new(x).map(drop), &[-1.0, -1e-300, 1e151]),
        ("order", |x| RdpOrder::new(x).map(drop), &[1.0, 0.5, 0.0, -3.0]),
        ("scale", |x| Scale::new(x).map(drop), &[0.0, -40.0]),
        ("noise_scale", |x| NoiseScale::from_votes(x, Lattice::DEFAULT).map(drop), &[0.0, -1.0, 1e300]),
        ("threshold", |x| Threshold::from_votes(x, Lattice::DEFAULT).map(drop), &[-1.0, 1e300]),
        ("sigma_ratio", |x| ratio(x).map(drop), &[0.0, -1.0, 1e9]),
        ("shift", |x| plan(x, 1.0), &[-1.0]),
        ("times", |x| plan(1.0, x), &[-1.0]),
        ("beta", |x| release_cost(orders(&[10.0])[0], x, scale(1.0)).map(drop), &[0.0, -0.1, 0.06, 1.0]),
        ("beta", |x| test(30.0)?.smooth(x).map(drop), &[0.0, -0.1]),
        ("threshold", |x| test(x).map(drop), &[]),
        ("threshold", |x| asked(x, &[&[3, 4]], &[1]), &[]),
    ];
    for (name, construct, out_of_range) in table {
        for value in NOT_NUMBERS {
            let refusal = construct(value).expect_err("a number that is none");
            assert!(
                matches!(refusal, Error::NotFinite { field, .. } if field == name),
                "{name} {value}: {refusal}"
            );
        }
        for value in out_of_range {
            let refusal = construct(*value).expect_err("a number out of range");
            assert!(
                matches!(refusal, Error::OutOfRange { field, .. } if field == name),
                "{name} {value}: {refusal}"
            );
        }
    }
}

fn ratio(ratio: f64) -> Result<(NoiseScale, NoiseScale), Error> {
    let who = Sensitivity::of(PrivacyUnit::Record, Adjacency::AddRemove, VotingScheme::Ensemble)?;
    let (epsilon, delta) = (Epsilon::new(1.0)?, Delta::new(1e-5)?);
    let (order, lattice) = (FilterOrder::UNBOUNDED, Lattice::DEFAULT);
    let goal = Goal { epsilon, delta, order, queries: 10, sensitivity: &who, lattice, near: false };
    goal.confident_gnmax_sigmas(ratio)
}

fn plan(shift: f64, times: f64) -> Result<(), Error> {
    FixedPlan::new(&[PlannedNoise::Gaussian { scale: scale(1.0), shift, times }]).map(drop)
}

fn test(threshold: f64) -> Result<SensitiveCost, Error> {
    let counts = VoteCounts::new(vec![20, 10])?;
    ThresholdSensitivity::new(threshold, scale(2.0), orders(&[4.0])[0])?.of(&counts)
}

/// `analysis::account` of Confident-GNMax with threshold T over `rows`.
fn asked(threshold: f64, rows: &[&[u64]], checkpoints: &[usize]) -> Result<(), Error> {
    let question = Question {
        mechanism: NoisyVote::ConfidentGnMax { threshold, sigma1: scale(20.0), sigma2: scale(10.0) },
        lattice: None,
        delta: Delta::new(1e-5)?,
        orders: orders(&[4.0, 8.0]),
        conversion: Conversion::Tight,
        answered: Answered::Expected,
        checkpoints: checkpoints.to_vec(),
        curves: false,
    };
    let votes = rows.iter().map(|row| VoteCounts::new(row.to_vec())).collect::<Result<Vec<_>, _>>()?;
    account(AccountantName::Exact, &question, &votes, &ANALYST, || ()).map(drop)
}

#[test]
fn votes_that_are_empty_ragged_too_wide_or_too_many_are_refused() {
    assert!(matches!(VoteCounts::new(Vec::new()), Err(Error::Classes { value: 0, .. })));
    assert!(matches!(VoteCounts::new(vec![7]), Err(Error::Classes { value: 1, .. })));
    assert!(matches!(VoteCounts::new(vec![0; 1_000_001]), Err(Error::Classes { value: 1_000_001, .. })));
    assert!(matches!(VoteCounts::new(vec![0, (1 << 53) + 1]), Err(Error::CountTooLarge)));
    assert!(matches!(VoteCounts::new(vec![u64::MAX, 0]), Err(Error::CountTooLarge)));
    assert!(VoteCounts::new(vec![1 << 53, 0]).is_ok());

    assert!(asked(5.0, &[&[3, 4], &[5, 6]], &[2]).is_ok());
    assert!(matches!(asked(5.0, &[], &[]), Err(Error::OutOfRange { field: "votes", .. })));
    let ragged = asked(5.0, &[&[3, 4], &[5, 6, 7]], &[2]).unwrap_err();
    assert!(matches!(ragged, Error::Length { found: 3, expected: 2, .. }), "{ragged}");
    for checkpoint in [0, 3] {
        assert!(matches!(
            asked(5.0, &[&[3, 4], &[5, 6]], &[checkpoint]),
            Err(Error::OutOfRange { field: "at", .. })
        ));
    }
}

#[test]
fn checkpoints_that_would_lose_one_are_refused() {
    let rows: [&[u64]; 3] = [&[3, 4], &[5, 6], &[7, 8]];
    for (checkpoints, out_of_order) in [(&[2, 1][..], 1.0), (&[1, 3, 2], 2.0)] {
        let refusal = asked(5.0, &rows, checkpoints).unwrap_err();
        let Error::OutOfRange { field: "at", value, .. } = refusal else { panic!("{refusal}") };
        assert!((value - out_of_order).abs() < 1e-9, "{value}");
    }
    assert!(asked(5.0, &rows, &[1, 1, 3]).is_ok());
}

#[test]
fn a_vote_model_without_rows_with_ragged_rows_or_with_a_row_without_votes_is_refused() {
    let model = |rows: &[&[u64]]| {
        PublicVotes::declared_public(rows.iter().map(|row| VoteCounts::new(row.to_vec()).unwrap()).collect())
    };
    assert!(matches!(model(&[]), Err(Error::OutOfRange { .. })));
    assert!(matches!(model(&[&[3, 4], &[3, 4, 5]]), Err(Error::Length { found: 3, expected: 2, .. })));
    assert!(matches!(model(&[&[3, 4], &[0, 0]]), Err(Error::OutOfRange { .. })));
    assert!(matches!(PublicVotes::assumed(0, 3), Err(Error::OutOfRange { .. })));
    let good = model(&[&[3, 4, 3], &[9, 1, 0]]).unwrap();
    assert!(matches!(good.scaled_to(0), Err(Error::OutOfRange { field: "teachers", .. })));
    let counts = |model: &PublicVotes| -> Vec<Vec<u64>> {
        model.rows().iter().map(|row| row.as_slice().to_vec()).collect()
    };
    assert_eq!(counts(&good.scaled_to(100).unwrap()), [[30, 40, 30], [90, 10, 0]]);
    // A third of a vote for each class rounds to none.
    assert_eq!(counts(&good.scaled_to(1).unwrap()), [[0, 1, 0], [1, 0, 0]]);
}

#[test]
fn curves_classes_and_amounts_that_make_no_sense_are_refused() {
    let two = orders(&[2.0, 4.0]);
    for values in [vec![], vec![0.1], vec![0.1, f64::NAN], vec![0.1, f64::INFINITY], vec![0.1, -1e-9]] {
        assert!(matches!(RdpCurve::new(two.clone(), values), Err(Error::RdpCurve { .. })));
    }
    assert!(matches!(RdpCurve::new(Vec::new(), Vec::new()), Err(Error::RdpCurve { .. })));
    for classes in [0, 1] {
        let refusal = GnMaxSensitivity::new(scale(40.0), classes, two[0]).unwrap_err();
        assert!(matches!(refusal, Error::Classes { .. }), "{refusal}");
    }
    for value in [f64::NAN, f64::INFINITY, -1.0, -1e-300, 1e300] {
        assert_eq!((MuSquared::from_f64_up(value), RenyiLoss::from_f64_up(value)), (None, None), "{value}");
        assert_eq!(Rho::from_nats_up(value), None, "{value}");
    }
    for steps in [0, NoiseScale::STEPS_MAX + 1] {
        assert!(matches!(NoiseScale::from_steps(steps, Lattice::DEFAULT), Err(Error::OutOfRange { .. })));
    }
    assert!(matches!(Lattice::new(33), Err(Error::OutOfRange { field: "lattice_bits", .. })));
}

#[test]
fn a_threshold_that_is_no_number_is_refused_before_anything_is_priced_by_it() {
    let noise = scale(40.0);
    for threshold in NOT_NUMBERS {
        let mechanism = NoisyVote::ConfidentGnMax { threshold, sigma1: noise, sigma2: noise };
        for method in [Method::Published, Method::Exact] {
            let refusal = DataDependent::new(mechanism, method, &[]).err().unwrap();
            assert!(matches!(refusal, Error::NotFinite { field: "threshold", .. }), "{refusal:?}");
        }
    }
}
