//! Prices: exact rationals rounded up, falling with the noise, growing with the square of the moves.

use conclave_privacy::Error;
use conclave_privacy::counts::ClassIndex;
use conclave_privacy::event::PrivacyEvent;
use conclave_privacy::mechanism::{ConfidentGnMax, GnMax, LnMax, Mechanism, Outcome};
use conclave_privacy::quantity::{Lattice, NoiseScale, Rho, Threshold};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};
use proptest::prelude::*;

fn moving(votes: u32) -> Sensitivity {
    let unit = PrivacyUnit::Subject { max_silos_per_subject: votes };
    Sensitivity::of(unit, Adjacency::AddRemove, VotingScheme::Ensemble).unwrap()
}

fn votes(votes: f64) -> NoiseScale {
    NoiseScale::from_votes(votes, Lattice::DEFAULT).unwrap()
}

fn events(scale: NoiseScale) -> [PrivacyEvent; 5] {
    [
        PrivacyEvent::LaplaceNoisyMax { scale },
        PrivacyEvent::ExponentialNoisyMax { scale },
        PrivacyEvent::GumbelNoisyMax { scale },
        PrivacyEvent::GaussianNoisyMax { sigma: scale },
        PrivacyEvent::GaussianThreshold { sigma1: scale },
    ]
}

fn confident(threshold: f64, sigma1: f64, sigma2: f64) -> Mechanism {
    let threshold = Threshold::from_votes(threshold, Lattice::DEFAULT).unwrap();
    ConfidentGnMax::new(threshold, votes(sigma1), votes(sigma2)).unwrap().into()
}

#[test]
fn prices_are_those_of_the_decisions() {
    let nat = 1_u64 << 40;
    let price = |event: PrivacyEvent, moves| event.price(&moving(moves)).unwrap().units();
    // LNMax 2/b², GNMax 1/σ², threshold 1/(2σ1²), each times the square of the moves.
    assert_eq!(price(PrivacyEvent::LaplaceNoisyMax { scale: votes(16.0) }, 1), 2 * nat / 256);
    // Bounded range is worth a factor of four, and only the exponential mechanism has it.
    assert_eq!(price(PrivacyEvent::GumbelNoisyMax { scale: votes(16.0) }, 1), nat / 512);
    assert_eq!(price(PrivacyEvent::ExponentialNoisyMax { scale: votes(16.0) }, 1), 2 * nat / 256);
    assert_eq!(price(PrivacyEvent::GaussianNoisyMax { sigma: votes(32.0) }, 1), nat / 1024);
    assert_eq!(price(PrivacyEvent::GaussianThreshold { sigma1: votes(32.0) }, 1), nat / 2048);
    assert_eq!(price(PrivacyEvent::GaussianNoisyMax { sigma: votes(32.0) }, 8), 64 * nat / 1024);
    assert_eq!(price(PrivacyEvent::GaussianNoisyMax { sigma: votes(40.0) }, 1), nat.div_ceil(1600));
    assert_eq!(price(PrivacyEvent::GaussianNoisyMax { sigma: votes(1e9) }, 1), 1, "nothing is free");
}

#[test]
fn a_price_that_cannot_be_written_down_is_refused() {
    let finest = Lattice::new(Lattice::BITS_MAX).unwrap();
    for event in events(NoiseScale::from_steps(1, finest).unwrap()) {
        assert_eq!(event.price(&moving(1)), Err(Error::CostOverflow { field: "price" }));
    }
    let event = PrivacyEvent::GaussianNoisyMax { sigma: votes(1.0) };
    assert!(event.price(&moving(Sensitivity::MOVES_MAX)).is_err());
}

#[test]
fn a_mechanism_reserves_everything_that_may_run_and_charges_what_ran() {
    let who = moving(2);
    let label = Outcome::Label(ClassIndex(3));
    let mechanism = confident(150.0, 128.0, 32.0);
    let worst_case = mechanism.worst_case(&who).unwrap();
    let abstained = mechanism.charge(&Outcome::Abstained, &who).unwrap();
    assert_eq!(mechanism.charge(&label, &who).unwrap(), worst_case);
    assert_eq!(abstained, PrivacyEvent::GaussianThreshold { sigma1: votes(128.0) }.price(&who).unwrap());
    let answered = PrivacyEvent::GaussianNoisyMax { sigma: votes(32.0) }.price(&who).unwrap();
    assert_eq!(worst_case, abstained.checked_add(answered).unwrap());

    for always in [Mechanism::from(LnMax::new(votes(20.0))), GnMax::new(votes(40.0)).into()] {
        for outcome in [label, Outcome::Abstained] {
            assert_eq!(always.charge(&outcome, &who), always.worst_case(&who));
        }
    }
}

#[test]
fn a_mechanism_has_one_lattice_and_one_name() {
    let coarse = Lattice::new(0).unwrap();
    let (fine_noise, coarse_noise) = (votes(40.0), NoiseScale::from_votes(40.0, coarse).unwrap());
    let fine_threshold = Threshold::from_votes(150.0, Lattice::DEFAULT).unwrap();
    let coarse_threshold = Threshold::from_votes(150.0, coarse).unwrap();
    for (field, refused) in [
        ("threshold", ConfidentGnMax::new(coarse_threshold, fine_noise, fine_noise)),
        ("sigma1", ConfidentGnMax::new(fine_threshold, coarse_noise, fine_noise)),
    ] {
        assert_eq!(refused.unwrap_err(), Error::LatticeMismatch { field, found: 0, expected: 20 });
    }
    let names = [LnMax::new(coarse_noise).into(), GnMax::new(coarse_noise).into(), confident(1.0, 2.0, 3.0)]
        .map(|mechanism: Mechanism| (mechanism.name(), mechanism.lattice().bits()));
    assert_eq!(names, [("lnmax", 0), ("gnmax", 0), ("confident-gnmax", 20)]);
}

#[test]
fn a_mechanism_is_written_down_in_whole_numbers_and_checked_when_read() {
    let mechanism = confident(150.0, 128.0, 32.0);
    let text = serde_json::to_string(&mechanism).unwrap();
    assert!(text.contains("confident-gnmax") && !text.contains('.'), "{text}");
    assert_eq!(serde_json::from_str::<Mechanism>(&text).unwrap(), mechanism);
    let other_lattice = text.replacen("\"lattice_bits\":20", "\"lattice_bits\":19", 1);
    assert!(
        serde_json::from_str::<Mechanism>(&other_lattice)
            .unwrap_err()
            .to_string()
            .contains("use one lattice")
    );
}

proptest! {
    #[test]
    fn a_price_is_the_exact_rational_rounded_up(steps in 1_u64..1 << 40, bits in 0_u8..=12, moves in 1_u32..1 << 10) {
        let lattice = Lattice::new(bits).unwrap();
        for event in events(NoiseScale::from_steps(steps, lattice).unwrap()) {
            let (n, d) = match event {
                PrivacyEvent::LaplaceNoisyMax { .. } | PrivacyEvent::ExponentialNoisyMax { .. } => (2, 1),
                PrivacyEvent::GaussianNoisyMax { .. } => (1, 1),
                PrivacyEvent::GumbelNoisyMax { .. } | PrivacyEvent::GaussianThreshold { .. } => (1, 2),
                PrivacyEvent::LaplaceHistogram { .. } | PrivacyEvent::GaussianHistogram { .. } => {
                    unreachable!("not one of these events: its price is of its own sensitivity")
                }
                PrivacyEvent::SanitisedCost { .. } => unreachable!("not one of these events: it has no price at every order"),
            };
            let numerator = (n * u128::from(moves) * u128::from(moves)) << (40 + 2 * u32::from(bits));
            let exact = numerator.div_ceil(d * u128::from(steps) * u128::from(steps));
            match event.price(&moving(moves)) {
                Ok(price) => prop_assert_eq!(u128::from(price.units()), exact),
                Err(refusal) => {
                    prop_assert_eq!(refusal, Error::CostOverflow { field: "price" });
                    prop_assert!(exact > u128::from(u64::MAX));
                }
            }
        }
    }

    #[test]
    fn more_noise_never_costs_more_and_more_moves_never_less(
        steps in 1_u64 << 20..1 << 61, more in 0_u64..1 << 61, moves in 1_u32..100,
    ) {
        let scale = |steps| NoiseScale::from_steps(steps, Lattice::DEFAULT).unwrap();
        for (event, noisier) in events(scale(steps)).into_iter().zip(events(scale(steps + more))) {
            let price = event.price(&moving(moves)).unwrap();
            prop_assert!(noisier.price(&moving(moves)).unwrap() <= price);
            prop_assert!(event.price(&moving(moves + 1)).unwrap() >= price);
            prop_assert!(price > Rho::ZERO);
        }
    }
}
