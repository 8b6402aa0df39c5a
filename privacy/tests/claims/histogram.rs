//! The one-shot histogram: its sensitivity by brute force, its noise on every count, its price, its labels.

use crate::chi_square::{assert_fits, generator};
use conclave_privacy::Error;
use conclave_privacy::accountant::{
    Accountant, AdvancedAccountant, Conversion, PureAccountant, RdpAccountant, ZcdpAccountant,
};
use conclave_privacy::counts::{ClassIndex, VoteCounts};
use conclave_privacy::event::PrivacyEvent;
use conclave_privacy::filter::FixedOrderFilter;
use conclave_privacy::mechanism::{NoisyHistogram, Outcome};
use conclave_privacy::quantity::{Delta, FilterOrder, Lattice, NoiseScale, RdpOrder, RenyiLoss, Threshold};
use conclave_privacy::unit::{
    Adjacency, HistogramSensitivity, Places, PrivacyUnit, Sensitivity, VotingScheme,
};

const POSITIONS: usize = 4;

/// A law before it is normalised.
type Weight = fn(f64) -> f64;

/// All that one silo may add for one unit: at most `k` votes on these places.
fn additions(k: usize, places: Places) -> Vec<[i64; POSITIONS]> {
    let all = (0..3_i64.pow(4)).map(|code| [code % 3, code / 3 % 3, code / 9 % 3, code / 27 % 3]);
    all.filter(|added| {
        let sum: i64 = added.iter().sum();
        let distinct = added.iter().all(|count| *count <= 1);
        usize::try_from(sum).unwrap() <= k && (distinct || places == Places::Any)
    })
    .collect()
}

#[test]
fn no_unit_moves_a_histogram_further_than_stated_and_the_bound_is_reached() {
    for places in [Places::Distinct, Places::Any] {
        for k in [1, 2] {
            let one = additions(k, places);
            let two: Vec<_> = one
                .iter()
                .flat_map(|a| {
                    one.iter().map(|b| {
                        let mut sum = *a;
                        for (sum, b) in sum.iter_mut().zip(b) {
                            *sum += b;
                        }
                        sum
                    })
                })
                .collect();
            let subject = PrivacyUnit::Subject { max_silos_per_subject: 2 };
            for (unit, units) in [(PrivacyUnit::Record, &one), (subject, &two)] {
                for adjacency in [Adjacency::AddRemove, Adjacency::Replace] {
                    let others: &[[i64; POSITIONS]] =
                        if adjacency == Adjacency::Replace { units } else { &[[0; POSITIONS]] };
                    let (mut l1, mut l2) = (0, 0);
                    for (a, b) in units.iter().flat_map(|a| others.iter().map(move |b| (a, b))) {
                        let changes = || a.iter().zip(b).map(|(a, b)| a - b);
                        l1 = l1.max(changes().map(i64::abs).sum::<i64>());
                        l2 = l2.max(changes().map(|change| change * change).sum::<i64>());
                    }
                    let stated =
                        HistogramSensitivity::of(unit, adjacency, u32::try_from(k).unwrap(), places).unwrap();
                    let found = (u64::try_from(l1).unwrap(), u128::try_from(l2).unwrap());
                    assert_eq!(
                        found,
                        (stated.l1(), stated.l2_square()),
                        "{unit:?} {adjacency:?} {k} {places:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_histogram_costs_the_same_however_many_queries_it_answers() {
    let scale = NoiseScale::from_votes(16.0, Lattice::DEFAULT).unwrap();
    let (laplace, gaussian) = (NoisyHistogram::Laplace(scale), NoisyHistogram::Gaussian(scale));
    let of = |adjacency, places| HistogramSensitivity::of(PrivacyUnit::Record, adjacency, 4, places).unwrap();
    let nat = 1_u64 << 40;
    for (adjacency, places, square) in [
        (Adjacency::AddRemove, Places::Distinct, 4),
        (Adjacency::Replace, Places::Distinct, 8),
        (Adjacency::AddRemove, Places::Any, 16),
        (Adjacency::Replace, Places::Any, 32),
    ] {
        let who = of(adjacency, places);
        for histogram in [laplace, gaussian] {
            assert_eq!(histogram.price(&who).unwrap().units(), square * nat / 512);
        }
        let worlds = if adjacency == Adjacency::Replace { 2.0 } else { 1.0 };
        assert!((laplace.pure_epsilon(&who).unwrap() - worlds * 4.0 / 16.0).abs() < 1e-11);
        assert!(matches!(gaussian.pure_epsilon(&who), Err(Error::UnsupportedEvent { .. })));
    }
}

#[test]
fn every_accountant_takes_a_histogram_once_and_only_for_the_unit_that_it_was_bounded_for() {
    let delta = Delta::new(1e-5).unwrap();
    let scale = NoiseScale::from_votes(16.0, Lattice::DEFAULT).unwrap();
    let (laplace, gaussian) = (NoisyHistogram::Laplace(scale), NoisyHistogram::Gaussian(scale));
    let who = Sensitivity::of(PrivacyUnit::Record, Adjacency::AddRemove, VotingScheme::Ensemble).unwrap();
    let moved = HistogramSensitivity::of(PrivacyUnit::Record, Adjacency::AddRemove, 4, Places::Any).unwrap();
    for histogram in [laplace, gaussian] {
        let (event, rho) = (histogram.event(&moved), histogram.price(&moved).unwrap());
        assert_eq!(event.price(&who).unwrap(), rho);
        assert_eq!(event.price_within(&who, FilterOrder::DEFAULT).unwrap(), rho, "all counts are seen");
        let mut zcdp = ZcdpAccountant::new(Conversion::Tight);
        zcdp.add(&event, &who, 3).unwrap();
        assert_eq!(zcdp.rho().units(), 3 * rho.units());
        let order = RdpOrder::new(2.0).unwrap();
        let mut rdp = RdpAccountant::with_orders(vec![order], Conversion::Tight).unwrap();
        rdp.add(&event, &who, 1).unwrap();
        // Two nats of ρ at most, and at most the pure ε of 4/16.
        let pure = if histogram == laplace { 0.25 } else { f64::INFINITY };
        let expected = (2.0 * 16.0 / (2.0_f64 * 256.0)).min(pure);
        assert!((rdp.curve().values()[0] / expected - 1.0).abs() < 1e-12);
        let filter = FixedOrderFilter::new(order, RenyiLoss::from_units(u64::MAX));
        let price = filter.price(&event, &who).unwrap().to_f64_up();
        assert!((price / expected - 1.0).abs() < 1e-9, "{price}, not {expected}");
        let elsewhere =
            Sensitivity::of(PrivacyUnit::Record, Adjacency::Replace, VotingScheme::Ensemble).unwrap();
        for refused in [
            event.price(&elsewhere).map(|_| ()),
            rdp.add(&event, &elsewhere, 1),
            PureAccountant::new().add(&event, &elsewhere, 1),
        ] {
            assert!(matches!(refused, Err(Error::UnsupportedEvent { .. })));
        }
    }
    let mut pure = PureAccountant::new();
    pure.add(&laplace.event(&moved), &who, 1).unwrap();
    assert!((pure.loss(delta).epsilon - 0.25).abs() < 1e-11);
    assert!(pure.add(&gaussian.event(&moved), &who, 1).is_err());
    let mut advanced = AdvancedAccountant::new();
    advanced.add(&laplace.event(&moved), &who, 5).unwrap();
    assert!(advanced.loss(delta).epsilon <= 1.25 + 1e-9);
}

#[test]
fn the_counts_of_a_query_cost_what_their_argmax_is_published_at_and_more_than_its_worst_case() {
    let scale = NoiseScale::from_votes(40.0, Lattice::DEFAULT).unwrap();
    let unit = PrivacyUnit::Subject { max_silos_per_subject: 3 };
    let record = Sensitivity::of(PrivacyUnit::Record, Adjacency::AddRemove, VotingScheme::Ensemble).unwrap();
    let subject = Sensitivity::of(unit, Adjacency::Replace, VotingScheme::Ensemble).unwrap();
    let argmax = PrivacyEvent::GaussianNoisyMax { sigma: scale };
    for who in [record, subject] {
        let event = NoisyHistogram::Gaussian(scale).event(&HistogramSensitivity::of_votes(&who));
        assert_eq!(event.price(&who), argmax.price(&who));
    }
    let event = NoisyHistogram::Gaussian(scale).event(&HistogramSensitivity::of_votes(&record));
    let order = FilterOrder::DEFAULT;
    // Three copies, or votes of weight three, are of the same unit and move three times as far.
    for dearer in [record.copied(3).unwrap(), record.weighing(3).unwrap()] {
        assert!(event.price(&dearer).is_err(), "{dearer:?}");
        let its_own = NoisyHistogram::Gaussian(scale).event(&HistogramSensitivity::of_votes(&dearer));
        assert!(its_own.price(&dearer).unwrap().units() >= 8 * event.price(&record).unwrap().units());
    }
    assert!(event.price_within(&record, order).unwrap() > argmax.price_within(&record, order).unwrap());
}

#[test]
fn every_count_gets_its_own_noise_the_empty_ones_too() {
    const CELLS: usize = 10_000;
    let scale = NoiseScale::from_steps(2, Lattice::new(0).unwrap()).unwrap();
    let cells = vec![VoteCounts::new(vec![0; 3]).unwrap(); CELLS];
    let laws: [(NoisyHistogram, Weight); 2] = [
        (NoisyHistogram::Laplace(scale), |k| libm::exp(-k.abs() / 2.0)),
        (NoisyHistogram::Gaussian(scale), |k| libm::exp(-k * k / 8.0)),
    ];
    for (histogram, weight) in laws {
        let name = format!("{histogram:?}");
        let released = histogram.release(&cells, &mut generator(&name)).unwrap();
        let weights: Vec<f64> = (-60..=60).map(|k| weight(f64::from(k))).collect();
        let mass: f64 = weights.iter().sum();
        let law: Vec<f64> = weights.iter().map(|weight| weight / mass).collect();
        for class in 0..3 {
            let mut observed = vec![0; 121];
            for cell in released.cells() {
                observed[usize::try_from(cell[class].clamp(-60, 60) + 60).unwrap()] += 1;
            }
            assert_fits(&name, &observed, &law);
        }
    }
}

#[test]
fn labels_follow_from_the_noisy_counts_and_abstain_where_the_lead_is_small() {
    // A scale of a millionth of a vote leaves the counts as they are, to a thousandth.
    let tiny = NoisyHistogram::Gaussian(NoiseScale::from_steps(1, Lattice::DEFAULT).unwrap());
    let cells =
        [[9, 1, 0], [5, 5, 0], [3, 0, 7]].map(|votes: [u64; 3]| VoteCounts::new(votes.to_vec()).unwrap());
    let released = tiny.release(&cells, &mut generator("labels")).unwrap();
    let margin = |votes| Threshold::from_votes(votes, Lattice::DEFAULT).unwrap();
    let (zero, two) = (Outcome::Label(ClassIndex(0)), Outcome::Label(ClassIndex(2)));
    assert_eq!(released.labels(margin(2.0)).unwrap(), [zero, Outcome::Abstained, two]);
    assert_eq!(released.labels(margin(6.0)).unwrap(), [zero, Outcome::Abstained, Outcome::Abstained]);
    let coarse = Threshold::from_votes(2.0, Lattice::new(3).unwrap()).unwrap();
    assert!(matches!(released.labels(coarse), Err(Error::LatticeMismatch { field: "margin", .. })));
}

#[test]
fn units_counts_and_cells_that_cannot_be_bounded_are_refused_by_name() {
    let of = |unit, k| HistogramSensitivity::of(unit, Adjacency::AddRemove, k, Places::Distinct);
    let organisation = PrivacyUnit::Organisation { teachers_max: 3 };
    assert_eq!(of(organisation, 3), Err(Error::UnboundedUnit { unit: "organisation" }));
    for k in [0, HistogramSensitivity::COUNTS_MAX + 1] {
        assert!(matches!(of(PrivacyUnit::Record, k), Err(Error::OutOfRange { field: "counts_max", .. })));
    }
    let unit = PrivacyUnit::Subject { max_silos_per_subject: 0 };
    assert!(matches!(of(unit, 3), Err(Error::OutOfRange { field: "max_silos_per_subject", .. })));
    let noise = NoisyHistogram::Laplace(NoiseScale::from_votes(1.0, Lattice::DEFAULT).unwrap());
    let ragged = [vec![1, 2], vec![1, 2, 3]].map(|votes| VoteCounts::new(votes).unwrap());
    for cells in [&ragged[..], &[]] {
        let refusal = noise.release(cells, &mut generator("ragged"));
        assert!(matches!(refusal, Err(Error::OutOfRange { field: "cells", .. })));
    }
}
