//! Filters beside that of ρ: what they admit against another implementation, against exact rationals, and what they keep secret.

use crate::data_dependent::{ANALYST, scale};
use crate::vectors::{digits, read};
use conclave_privacy::accountant::Conversion;
use conclave_privacy::contribution::{ContributionBound, Contributions};
use conclave_privacy::counts::ClassIndex;
use conclave_privacy::event::PrivacyEvent;
use conclave_privacy::filter::{FixedOrderFilter, GdpFilter, IndividualFilter};
use conclave_privacy::odometer::ExPostOdometer;
use conclave_privacy::pld::gaussian_epsilon;
use conclave_privacy::quantity::{
    Amount, Delta, Epsilon, FilterOrder, Lattice, Mu, MuSquared, NoiseScale, RdpOrder, RenyiLoss, Rho,
};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};
use conclave_privacy::{Error, VoteCounts};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Oracle {
    budget_eps_delta: (f64, f64),
    stream: Vec<Step>,
    per_order: Vec<PerOrder>,
    pub(crate) weighted_teachers: Vec<Weighted>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Step {
    GaussianRdp { sens_l2_sq: f64, sigma: f64 },
    Pure { eps: f64 },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PerOrder {
    order: f64,
    #[serde(deserialize_with = "digits")]
    rdp_budget_classic: f64,
    first_refused_index_classic: usize,
    accepted_total_skip_classic: usize,
    #[serde(deserialize_with = "digits")]
    rdp_budget_cks: f64,
    first_refused_index_cks: usize,
    accepted_total_skip_cks: usize,
    #[serde(deserialize_with = "digits")]
    spent_cks: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Weighted {
    pub(crate) weight: f64,
    pub(crate) sigma: f64,
    pub(crate) queries: u32,
    pub(crate) rdp_per_query_order_10: f64,
    #[serde(rename = "exact_gaussian_eps_delta_1e-5_mp", deserialize_with = "digits")]
    pub(crate) epsilon: f64,
}

pub(crate) fn oracle() -> Oracle {
    read("filter_individual.json")
}

fn order(value: f64) -> RdpOrder {
    RdpOrder::new(value).unwrap()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 or 2")]
fn loss(step: &Step, at: RdpOrder) -> RenyiLoss {
    match *step {
        Step::GaussianRdp { sens_l2_sq, sigma } => {
            RenyiLoss::of_gaussian(sens_l2_sq as u32, scale(sigma), at).unwrap()
        }
        Step::Pure { eps } => RenyiLoss::from_f64_up(eps.min(eps * eps * at.get() / 2.0)).unwrap(),
    }
}

/// The index of the first refusal, how many are admitted when refused ones are skipped, and what those spend.
fn admitted(mut filter: FixedOrderFilter, stream: &[Step]) -> (usize, usize, f64) {
    let costs: Vec<_> = stream.iter().map(|step| loss(step, filter.order())).collect();
    let took: Vec<bool> = costs
        .iter()
        .map(|cost| filter.reserve(*cost).and_then(|()| filter.settle(*cost, *cost)).is_ok())
        .collect();
    let first = took.iter().position(|took| !took).unwrap_or(took.len());
    (first, took.iter().filter(|took| **took).count(), filter.spent().to_f64_up())
}

#[test]
fn a_renyi_filter_admits_what_the_oracle_says_and_goes_on_after_a_refusal() {
    let oracle = oracle();
    let (epsilon, delta) =
        (Epsilon::new(oracle.budget_eps_delta.0).unwrap(), Delta::new(oracle.budget_eps_delta.1).unwrap());
    for case in &oracle.per_order {
        for (conversion, budget, first, accepted) in [
            (
                Conversion::Classic,
                case.rdp_budget_classic,
                case.first_refused_index_classic,
                case.accepted_total_skip_classic,
            ),
            (
                Conversion::Tight,
                case.rdp_budget_cks,
                case.first_refused_index_cks,
                case.accepted_total_skip_cks,
            ),
        ] {
            let filter = FixedOrderFilter::for_target(epsilon, delta, order(case.order), conversion);
            if budget <= 0.0 {
                assert!(matches!(filter, Err(Error::OutOfRange { field: "order", .. })), "{}", case.order);
                assert_eq!((first, accepted), (0, 0));
                continue;
            }
            let filter = filter.unwrap();
            assert!(filter.epsilon(delta, conversion).unwrap() <= epsilon.get());
            let cap = filter.cap().to_f64_up();
            assert!(cap <= budget && cap > budget * (1.0 - 1e-10), "{cap}, not {budget}");
            let found = admitted(filter, &oracle.stream);
            assert_eq!((found.0, found.1), (first, accepted), "order {} {conversion:?}", case.order);
            if conversion == Conversion::Tight {
                let spent = case.spent_cks;
                assert!(
                    found.2 >= spent * (1.0 - 1e-15) && found.2 <= spent + 300e-12,
                    "{} {spent}",
                    found.2
                );
            }
        }
    }
}

#[test]
fn a_weighted_teacher_pays_its_own_price_and_leaves_silently_before_its_cap() {
    let cases = oracle().weighted_teachers;
    let delta = Delta::new(1e-5).unwrap();
    // Weights are multiples of a quarter of a vote: w quarters at noise of 4σ quarters. The noise is that of the oracle.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 8")]
    let quarters: Vec<u32> = cases.iter().map(|case| (case.weight * 4.0) as u32).collect();
    assert!(cases.iter().all(|case| (case.sigma, case.queries) == (cases[0].sigma, cases[0].queries)));
    let price = |quarters| MuSquared::of_gaussian(2 * quarters * quarters, scale(4.0 * cases[0].sigma)).ok();
    let mut filter = IndividualFilter::new(cases.iter().map(|_| MuSquared::from_units(u64::MAX)));
    for _ in 0..cases[0].queries {
        filter.charge(&quarters, price).unwrap();
    }
    for ((spent, case), quarters) in filter.spent().open(&ANALYST).into_iter().zip(&cases).zip(&quarters) {
        let epsilon = case.epsilon;
        let found = gaussian_epsilon(Mu::new(libm::sqrt(spent.to_f64_up()).next_up()).unwrap(), delta);
        assert!(
            found >= epsilon * (1.0 - 1e-10) && found <= epsilon * (1.0 + 1e-9),
            "{found}, not {epsilon}"
        );
        let renyi =
            RenyiLoss::of_gaussian(2 * quarters * quarters, scale(4.0 * case.sigma), order(10.0)).unwrap();
        assert!((renyi.to_f64_up() / case.rdp_per_query_order_10 - 1.0).abs() < 1e-9);
    }

    // Within the cap of 100 whole votes, a teacher of weight 2 answers 25 times, one of weight 1 a hundred times, and so on.
    let cap = MuSquared::from_units(100 * price(4).unwrap().units());
    let mut filter = IndividualFilter::new(quarters.iter().map(|_| cap));
    let votes = vec![Some(ClassIndex(1)); quarters.len()];
    for query in 0_u32..150 {
        let counts = filter.charge(&quarters, price).unwrap().count(2, &votes).unwrap();
        let stays = |quarters: &&u32| query < 1600 / (*quarters * *quarters);
        let expected: u32 = quarters.iter().filter(stays).sum();
        assert_eq!(counts.as_slice(), [0, u64::from(expected)], "query {query}");
    }
    assert!(filter.spent().open(&ANALYST).iter().all(|spent| *spent <= cap));
}

#[test]
fn who_left_and_what_each_spent_is_not_shown() {
    let mut filter = IndividualFilter::new([RenyiLoss::from_units(4711); 2]);
    let participants =
        filter.charge(&[1, 7], |weight| Some(RenyiLoss::from_units(4711 * u64::from(weight)))).unwrap();
    for shown in [format!("{filter:?}"), format!("{participants:?}"), format!("{:?}", filter.spent())] {
        assert!(!shown.contains("4711") && !shown.contains("Some") && shown.contains("redacted"), "{shown}");
    }
    assert_eq!(participants.into_secret().open(&ANALYST), [Some(1), None]);
    let refusal = filter.charge(&[1], |_| Some(RenyiLoss::ZERO)).unwrap_err();
    assert_eq!(refusal, Error::Length { field: "weights", found: 1, expected: 2 });
    let mut filter = IndividualFilter::new([Rho::from_units(5)]);
    let one = filter.charge(&[1], |_| Some(Rho::from_units(2))).unwrap();
    assert!(matches!(one.count(2, &[Some(ClassIndex(2))]), Err(Error::VoteOutOfRange { .. })));
    assert!(matches!(one.count(2, &[]), Err(Error::Length { field: "votes", .. })));
    assert!(matches!(one.count(1, &[None]), Err(Error::Classes { .. })));
}

#[test]
fn a_vote_counts_with_the_weight_that_was_paid_for_and_one_that_cannot_be_paid_for_does_not_count() {
    let units = MuSquared::from_units;
    // Weight w costs 3w²; the last has no price that could be written down.
    let price = |weight: u32| u64::from(weight).checked_pow(2)?.checked_mul(3).map(units);
    let mut filter = IndividualFilter::new([11, 12, u64::MAX, u64::MAX].map(units));
    let votes = [Some(ClassIndex(0)), Some(ClassIndex(1)), Some(ClassIndex(1)), Some(ClassIndex(0))];
    let counts = filter.charge(&[2, 2, 5, u32::MAX], price).unwrap().count(2, &votes).unwrap();
    assert_eq!(counts.as_slice(), [0, 7]);
    assert_eq!(filter.spent().open(&ANALYST), [0, 12, 75, 0].map(units));
    // Who was left out of a dear step takes part in a cheaper one, and who spent all in one that costs nothing.
    let counts = filter.charge(&[1, 0, 1, 1], price).unwrap().count(2, &votes).unwrap();
    assert_eq!(counts.as_slice(), [2, 1]);
    assert_eq!(filter.spent().open(&ANALYST), [3, 12, 78, 3].map(units));
}

#[test]
fn an_exact_price_is_paid_for_the_weight_itself_and_is_more_than_its_square() {
    // Votes of 1 to 8 units under noise of 20 units: exact prices grow faster than with the square of the weight.
    let event =
        PrivacyEvent::GaussianNoisyMax { sigma: NoiseScale::from_votes(20.0, Lattice::DEFAULT).unwrap() };
    let record = Sensitivity::of(PrivacyUnit::Record, Adjacency::AddRemove, VotingScheme::Ensemble).unwrap();
    let price = |weight| event.price_within(&record.weighing(weight).ok()?, FilterOrder::DEFAULT).ok();
    let mut filter = IndividualFilter::new([Rho::MAX; 3]);
    filter.charge(&[1, 2, 8], price).unwrap();
    let spent = filter.spent().open(&ANALYST);
    assert_eq!(spent, [1, 2, 8].map(|weight| price(weight).unwrap()));
    let squares = [4, 64].map(|square| spent[0].checked_mul(square).unwrap());
    assert!(spent[1] > squares[0] && spent[2] > squares[1], "{spent:?}");
}

/// xorshift64: fixed and fast; nothing here is secret.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn a_million_random_charges_are_never_below_exact_rationals_nor_a_unit_each_above() {
    // σ is a whole number of 2^-10 votes, so μ² = change·2^20/n² exactly; cross-multiplied in 128 bits.
    let mut state = 0x9E37_79B9_7F4A_7C15;
    let (mut sum, mut whole, mut fraction) = (0_u128, 0_u128, 0_u128);
    for _ in 0..1_000_000 {
        let steps = 1024 + next(&mut state) % (1 << 20);
        let change = u32::try_from(1 + next(&mut state) % 8).unwrap();
        let sigma = scale(steps as f64 / 1024.0);
        let units = u128::from(MuSquared::of_gaussian(change, sigma).unwrap().units());
        let (exact, square) = (u128::from(change) << 60, u128::from(steps) * u128::from(steps));
        assert!(units * square >= exact && (units - 1) * square < exact, "{change} {steps}");
        sum += units;
        // The exact sum, kept in units of 2^-100: what is cut off is below a millionth of a millionth of a unit.
        whole += exact / square;
        fraction += ((exact % square) << 60) / square;
    }
    let exact = whole + (fraction >> 60);
    assert!(sum >= exact && sum <= exact + 1_000_000, "{sum} against {exact}");
    let halves = RenyiLoss::of_gaussian(1, scale(3.0), order(2.0)).unwrap().units();
    assert_eq!(u128::from(halves), (1_u128 << 40).div_ceil(9), "2/(2·9)");
}

#[test]
fn a_gdp_filter_admits_up_to_its_cap_and_refuses_with_what_is_left() {
    let mut filter = GdpFilter::new(MuSquared::from_units(100));
    let units = MuSquared::from_units;
    filter.reserve(units(40)).unwrap();
    filter.settle(units(40), units(30)).unwrap();
    filter.reserve(units(50)).unwrap();
    let before = filter;
    assert!(matches!(filter.reserve(units(21)), Err(Error::FilterExceeded { measure: "mu^2", .. })));
    assert!(matches!(
        filter.settle(units(50), units(51)),
        Err(Error::SettlesTooMuch { field: "charge", .. })
    ));
    assert!(matches!(
        filter.settle(units(51), units(1)),
        Err(Error::SettlesTooMuch { field: "reservation", .. })
    ));
    assert_eq!((filter, filter.left()), (before, units(20)));
    filter.reserve(units(20)).unwrap();
    assert_eq!(filter.left(), MuSquared::ZERO);
}

#[test]
fn an_ex_post_odometer_adds_up_at_its_order_and_is_the_classic_conversion() {
    let delta = Delta::new(1e-5).unwrap();
    let mut odometer = ExPostOdometer::new(order(9.0), delta);
    let nothing = odometer.epsilon_ex_post().unwrap();
    assert!((nothing - 1e5_f64.ln() / 8.0).abs() < 1e-12, "{nothing}");
    for _ in 0..100 {
        odometer.add(RenyiLoss::of_gaussian(2, scale(40.0), order(9.0)).unwrap()).unwrap();
    }
    let found = odometer.epsilon_ex_post().unwrap();
    let expected = nothing + 900.0 / 1600.0;
    assert!(found >= expected && found < expected + 1e-9, "{found}, not {expected}");
    let before = odometer;
    assert!(odometer.add(RenyiLoss::from_units(u64::MAX)).is_err());
    assert_eq!(odometer, before);
}

#[test]
fn a_realised_loss_stays_below_the_ex_post_bound_at_all_times() {
    // Gaussian steps of μ = 0.3 whose number depends on what was seen: runs stop at their worst moment. Among 4,000 runs at
    // δ = 0.05 the bound fails 200 times on average at most; 5.5 standard deviations more are allowed.
    let (delta, alpha, mu) = (0.05_f64, 4.0, 0.3_f64);
    let mut state = 0x5DEE_CE66_D1CE_CAFE;
    let mut failures = 0;
    for _ in 0..4_000 {
        let mut odometer = ExPostOdometer::new(order(alpha), Delta::new(delta).unwrap());
        let mut realised = 0.0;
        for _ in 0..40 {
            // A normal deviate from twelve uniform ones; its tails are lighter than the normal's, its variance the same.
            let uniform = |state: &mut u64| (next(state) >> 11) as f64 / (1_u64 << 53) as f64;
            let normal: f64 = (0..12).map(|_| uniform(&mut state)).sum::<f64>() - 6.0;
            realised += mu * mu / 2.0 + mu * normal;
            odometer.add(RenyiLoss::of_gaussian(9, scale(10.0), order(alpha)).unwrap()).unwrap();
            if realised > odometer.epsilon_ex_post().unwrap() {
                failures += 1;
                break;
            }
        }
    }
    assert!(failures <= 200 + 76, "{failures} of 4000");
}

#[test]
fn no_record_moves_more_than_k_counts_and_none_moves_the_votes_of_another() {
    let bound = ContributionBound::new(2).unwrap();
    // Records on a line, queries on a line; every set of six records, with and without one of them.
    let (records, queries) = ([0.0, 0.4, 1.1, 2.0, 2.2, 5.0_f64], [0.0, 1.0, 2.0, 3.0, 4.0_f64]);
    let assigned: Vec<Vec<usize>> = records
        .iter()
        .map(|record| {
            let distances: Vec<f64> = queries.iter().map(|query| (query - record).abs()).collect();
            bound.nearest(&distances).unwrap().open(&ANALYST)
        })
        .collect();
    assert_eq!(assigned[3], [2, 1], "the nearest, and of equals the first");
    let campaign = |present: u32, assigned: &[Vec<usize>]| -> Vec<VoteCounts> {
        let mut contributions = Contributions::new(records.len(), bound);
        (0..queries.len())
            .map(|query| {
                let votes: Vec<_> = (0..records.len())
                    .filter(|record| present >> record & 1 == 1 && assigned[*record].contains(&query))
                    .map(|record| (record, ClassIndex(u32::from(record % 2 == 1))))
                    .collect();
                contributions.count(2, &votes).unwrap()
            })
            .collect()
    };
    let everywhere = vec![vec![0, 1, 2, 3, 4]; records.len()];
    for assigned in [&assigned, &everywhere] {
        for present in 0..1_u32 << records.len() {
            for record in 0..records.len() {
                let (a, b) = (campaign(present, assigned), campaign(present & !(1 << record), assigned));
                let changed: u64 = a
                    .iter()
                    .zip(&b)
                    .flat_map(|(a, b)| a.as_slice().iter().zip(b.as_slice()))
                    .map(|(a, b)| a.abs_diff(*b))
                    .sum();
                assert_eq!(changed, if present >> record & 1 == 1 { 2 } else { 0 });
            }
        }
    }
}

#[test]
fn a_campaign_costs_k_counts_and_wrong_votes_are_refused_and_count_nothing() {
    let bound = ContributionBound::new(3).unwrap();
    let sigma = NoiseScale::from_votes(8.0, Lattice::DEFAULT).unwrap();
    assert_eq!(bound.gaussian_campaign(Adjacency::AddRemove, sigma).unwrap(), Rho::from_units(3 << 33));
    assert_eq!(bound.gaussian_campaign(Adjacency::Replace, sigma).unwrap(), Rho::from_units(3 << 34));
    assert_eq!(bound.laplace_campaign(Adjacency::AddRemove, sigma).unwrap(), Rho::from_units(3 << 33));
    for counts_max in [0, ContributionBound::COUNTS_MAX + 1] {
        assert!(matches!(
            ContributionBound::new(counts_max),
            Err(Error::OutOfRange { field: "counts_max", .. })
        ));
    }
    assert!(matches!(bound.nearest(&[1.0, f64::NAN]), Err(Error::NotFinite { field: "distance", .. })));
    let mut contributions = Contributions::new(2, bound);
    let vote = |record, class| (record, ClassIndex(class));
    assert_eq!(
        contributions.count(2, &[vote(0, 1), vote(2, 0)]),
        Err(Error::RecordOutOfRange { records: 2 })
    );
    assert_eq!(contributions.count(2, &[vote(0, 1), vote(0, 0)]), Err(Error::VotesTwice));
    assert!(matches!(contributions.count(2, &[vote(0, 2)]), Err(Error::VoteOutOfRange { .. })));
    assert_eq!(contributions.moved().open(&ANALYST), [0, 0]);
    assert_eq!(format!("{:?}", contributions.moved()), "Secret(redacted)");
}

#[test]
fn the_cap_of_a_gdp_filter_does_not_read_as_more_than_was_asked_in_the_last_digit() {
    // Here δ fits at the asked ε, and the search for ε ends one digit above it.
    let epsilon = Epsilon::new(0.626_477_448_667_008_6_f64.exp()).unwrap();
    let delta = Delta::new((-32.224_480_268_201_1_f64).exp()).unwrap();
    assert!(GdpFilter::for_target(epsilon, delta).epsilon(delta) <= epsilon.get());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn caps_of_other_filters_never_exceed_their_epsilon_and_one_unit_more_would(
        log_epsilon in -4.0_f64..3.0, log_delta in -40.0_f64..-2.0, alpha in 2.0_f64..200.0,
    ) {
        let (epsilon, delta) = (Epsilon::new(log_epsilon.exp()).unwrap(), Delta::new(log_delta.exp()).unwrap());
        let gdp = GdpFilter::for_target(epsilon, delta);
        prop_assert!(gdp.epsilon(delta) <= epsilon.get());
        // Doubles of δ near the root differ by less than 10^-9 of it.
        let more = MuSquared::from_units(gdp.cap().units() + 1 + gdp.cap().units() / 1_000_000_000);
        prop_assert!(GdpFilter::new(more).epsilon(delta) > epsilon.get());
        for conversion in [Conversion::Classic, Conversion::Tight] {
            if let Ok(filter) = FixedOrderFilter::for_target(epsilon, delta, order(alpha), conversion) {
                prop_assert!(filter.epsilon(delta, conversion).unwrap() <= epsilon.get());
                let more = RenyiLoss::from_units(filter.cap().units() + 1);
                prop_assert!(FixedOrderFilter::new(order(alpha), more).epsilon(delta, conversion).unwrap() > epsilon.get());
            }
        }
    }
}
