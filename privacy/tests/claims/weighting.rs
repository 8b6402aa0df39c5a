//! Weighted votes: what heavier votes cost, by another accountant, and that their law is that of their sums.

use crate::chi_square::{assert_fits, generator};
use crate::filters::oracle;
use conclave_privacy::Error;
use conclave_privacy::counts::{ClassIndex, VoteCounts};
use conclave_privacy::individualised::WeightGrid;
use conclave_privacy::mechanism::{GnMax, Mechanism, Outcome};
use conclave_privacy::pld::{FixedPlan, PlannedNoise};
use conclave_privacy::quantity::{Delta, FilterOrder, Lattice, NoiseScale, RdpOrder, Scale};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};
use conclave_privacy::worst_case;

fn record() -> Sensitivity {
    Sensitivity::of(PrivacyUnit::Record, Adjacency::AddRemove, VotingScheme::Ensemble).unwrap()
}

fn gnmax(sigma: f64) -> Mechanism {
    GnMax::new(NoiseScale::from_votes(sigma, Lattice::DEFAULT).unwrap()).into()
}

#[test]
fn a_vote_costs_the_square_of_its_weight_as_the_oracle_says() {
    let grid = WeightGrid::new(100).unwrap();
    for case in oracle().weighted_teachers {
        let weight = grid.weight(case.weight).unwrap();
        let prices = grid.prices(&gnmax(case.sigma), &[weight], &record(), FilterOrder::UNBOUNDED).unwrap();
        let rdp = 10.0 * prices[0].worst_case.to_f64_up();
        assert!((rdp / case.rdp_per_query_order_10 - 1.0).abs() < 1e-9, "{}: {rdp}", case.weight);
        assert!(rdp >= case.rdp_per_query_order_10);

        let seen = grid.as_seen(Scale::new(case.sigma).unwrap(), weight).unwrap();
        let shift = std::f64::consts::SQRT_2;
        let plan = [PlannedNoise::Gaussian { scale: seen, shift, times: f64::from(case.queries) }];
        let epsilon = FixedPlan::new(&plan).unwrap().epsilon(Delta::new(1e-5).unwrap());
        let expected = case.epsilon;
        assert!(epsilon >= expected && epsilon < expected * (1.0 + 1e-10), "{}: {epsilon}", case.weight);
    }
}

#[test]
fn the_exact_worst_case_of_a_weighted_vote_is_below_its_price() {
    let grid = WeightGrid::new(4).unwrap();
    let orders = [RdpOrder::new(10.0).unwrap()];
    for votes in [0.5, 1.0, 1.75] {
        let weight = grid.weight(votes).unwrap();
        let seen = grid.as_seen(Scale::new(40.0).unwrap(), weight).unwrap();
        let exact = worst_case::gnmax(seen, &orders)[0];
        let price = 10.0
            * grid.prices(&gnmax(40.0), &[weight], &record(), FilterOrder::UNBOUNDED).unwrap()[0]
                .worst_case
                .to_f64_up();
        assert!(exact < 0.66 * price && exact > 0.63 * price, "{votes}: {exact} of {price}");
    }
}

#[test]
fn weighted_votes_are_answered_like_the_counts_that_they_add_up_to() {
    // 12 quarters and 6 of 8 quarters are 15 votes; 10 votes of one; 7 of 2 quarters and one of 26: sums 15 : 10 : 10.
    const DRAWS: u64 = 50_000;
    let grid = WeightGrid::new(4).unwrap();
    let weight = |quarters: u32| grid.weight(f64::from(quarters) / 4.0).unwrap();
    let votes = (0..12)
        .map(|_| (0, weight(1)))
        .chain((0..6).map(|_| (0, weight(8))))
        .chain((0..10).map(|_| (1, weight(4))))
        .chain((0..7).map(|_| (2, weight(2))))
        .chain([(2, weight(26))])
        .map(|(class, weight)| (ClassIndex(class), weight));
    let counts = grid.counts(3, votes).unwrap();
    assert_eq!(counts.as_slice(), [60, 40, 40]);
    let (in_units, in_votes) = (grid.mechanism(&gnmax(5.0)).unwrap(), gnmax(5.0));
    let plain = VoteCounts::new(vec![15, 10, 10]).unwrap();
    let answers = |mechanism: &Mechanism, counts: &VoteCounts, name: &str| {
        let mut generator = generator(name);
        let mut answers = [0_u64; 3];
        for _ in 0..DRAWS {
            let Outcome::Label(class) = mechanism.release(counts, &mut generator).outcome else {
                panic!("an abstention without a threshold")
            };
            answers[class.position()] += 1;
        }
        answers
    };
    // The plain law from ten times as many draws, so that its own error is small.
    let mut law = [0.0; 3];
    for part in 0..10 {
        for (law, seen) in law.iter_mut().zip(answers(&in_votes, &plain, &format!("plain {part}"))) {
            *law += seen as f64 / (10 * DRAWS) as f64;
        }
    }
    assert_fits("weighted", &answers(&in_units, &counts, "weighted"), &law);
}

#[test]
fn weights_outside_their_range_are_refused_by_name() {
    for units in [0, WeightGrid::UNITS_MAX + 1] {
        assert!(matches!(WeightGrid::new(units), Err(Error::OutOfRange { field: "units_per_vote", .. })));
    }
    let grid = WeightGrid::new(100).unwrap();
    for votes in [0.0, -1.0, 1025.0] {
        assert!(matches!(grid.weight(votes), Err(Error::OutOfRange { field: "weight", .. })));
    }
    assert!(matches!(grid.weight(f64::NAN), Err(Error::NotFinite { field: "weight", .. })));
    assert_eq!(grid.weight(1e-9).unwrap().units(), 1, "no vote is for nothing");
    let weight = grid.weight(1.0).unwrap();
    let outside = grid.counts(2, [(ClassIndex(2), weight)]);
    assert_eq!(outside, Err(Error::VoteOutOfRange { max: 1 }));
    assert!(matches!(grid.counts(0, []), Err(Error::Classes { .. })));
    let many = PrivacyUnit::Subject { max_silos_per_subject: 1 << 19 };
    let many = Sensitivity::of(many, Adjacency::AddRemove, VotingScheme::Ensemble).unwrap();
    let refusal = grid.prices(&gnmax(40.0), &[weight], &many, FilterOrder::UNBOUNDED).unwrap_err();
    assert!(matches!(refusal, Error::OutOfRange { field: "weight", .. }), "{refusal}");
}
