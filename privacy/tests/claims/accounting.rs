//! Accountants and conversions say what other implementations say, and never less.

use crate::vectors::{digits, paired, read};
use conclave_privacy::Error;
use conclave_privacy::accountant::{
    Accountant, AdvancedAccountant, Conversion, PureAccountant, RdpAccountant, ZcdpAccountant,
    epsilon_to_rho, rdp_to_delta, rdp_to_epsilon, rho_to_epsilon, rho_to_epsilon_classic,
};
use conclave_privacy::analysis::{AccountantName, Selection};
use conclave_privacy::event::PrivacyEvent;
use conclave_privacy::quantity::{Delta, Epsilon, Lattice, NoiseScale, RdpCurve, RdpOrder, Rho, Scale};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Conversions {
    orders: Vec<f64>,
    eps_cases: Vec<CurveCase>,
    delta_cases: Vec<DeltaCase>,
    zcdp_cases: Vec<RhoCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CurveCase {
    curve: String,
    rdp: Vec<f64>,
    delta: f64,
    eps_classic_tfp: f64,
    #[serde(deserialize_with = "digits")]
    eps_classic_mp: f64,
    order_classic: f64,
    eps_dpacc: f64,
    order_dpacc: f64,
    #[serde(deserialize_with = "digits")]
    eps_cks_mp: f64,
    order_cks_mp: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeltaCase {
    curve: String,
    rdp: Vec<f64>,
    eps: f64,
    delta_dpacc: f64,
    order_dpacc: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RhoCase {
    rho: f64,
    delta: f64,
    #[serde(deserialize_with = "digits")]
    eps_cks_opt_order_mp: f64,
    #[serde(deserialize_with = "digits")]
    opt_order_mp: f64,
    #[serde(deserialize_with = "digits")]
    eps_bun_steinke_mp: f64,
    #[serde(deserialize_with = "digits")]
    eps_exact_gaussian_same_rho_mp: f64,
}

fn conversions() -> Conversions {
    read("rdp_to_dp.json")
}

fn delta(value: f64) -> Delta {
    Delta::new(value).unwrap()
}

fn orders(values: &[f64]) -> Vec<RdpOrder> {
    values.iter().map(|&order| RdpOrder::new(order).unwrap()).collect()
}

fn votes(votes: f64) -> NoiseScale {
    NoiseScale::from_votes(votes, Lattice::DEFAULT).unwrap()
}

fn one_move() -> Sensitivity {
    Sensitivity::of(PrivacyUnit::Record, Adjacency::AddRemove, VotingScheme::Ensemble).unwrap()
}

/// Equal within `tolerance` (relative), and not below by more than the rounding of the oracle itself.
fn assert_at_or_just_above(name: &str, got: f64, oracle: f64, tolerance: f64) {
    let slack = tolerance * oracle.abs().max(1e-3);
    assert!(got <= oracle + slack, "{name}: {got} is above {oracle}");
    assert!(got >= oracle - 4.0 * f64::EPSILON * oracle.abs(), "{name}: {got} is below {oracle}");
}

/// `got` is the oracle's ε, as written with 25 digits and as the other library has it.
fn assert_epsilon(name: &str, got: f64, digits: f64, library: f64) {
    assert_at_or_just_above(name, got, digits, 1e-10);
    assert_at_or_just_above(name, got, library, 1e-9);
}

#[test]
fn rdp_curves_convert_as_the_oracle_says_and_never_to_less() {
    let oracle = conversions();
    let mut covered = 0;
    for case in &oracle.eps_cases {
        let curve = RdpCurve::new(orders(&oracle.orders), case.rdp.clone()).unwrap();
        let name = format!("{} at {:e}", case.curve, case.delta);
        let classic = rdp_to_epsilon(&curve, delta(case.delta), Conversion::Classic);
        assert_epsilon(&name, classic.epsilon, case.eps_classic_mp, case.eps_classic_tfp);
        assert_eq!(classic.order, Some(case.order_classic), "{name}");
        let tight = rdp_to_epsilon(&curve, delta(case.delta), Conversion::Tight);
        assert_eq!(tight.order, Some(case.order_dpacc), "{name}");
        if case.eps_dpacc > 0.0 {
            assert_epsilon(&name, tight.epsilon, case.eps_cks_mp, case.eps_dpacc);
            assert_eq!(tight.order, Some(case.order_cks_mp), "{name}");
        } else {
            // δ covers the whole distance in total variation: dp-accounting and the crate say 0, where the formula alone says more.
            assert!(tight.epsilon == 0.0 && case.curve == "zero", "{name}");
            let formula = |order: f64| (1.0 - 1.0 / order).ln() - (order * case.delta).ln() / (order - 1.0);
            assert!((formula(case.order_cks_mp).max(0.0) - case.eps_cks_mp).abs() < 1e-12, "{name}");
            covered += 1;
        }
    }
    assert_eq!(covered, 4, "the curve that costs nothing, at each delta");
}

#[test]
fn delta_at_an_epsilon_is_what_the_oracle_says_and_never_less() {
    let oracle = conversions();
    for case in &oracle.delta_cases {
        let epsilon = Epsilon::new(case.eps).unwrap();
        let found = rdp_to_delta(&RdpCurve::new(orders(&oracle.orders), case.rdp.clone()).unwrap(), epsilon);
        let name = format!("{} at {}: {found:e}, not {:e}", case.curve, case.eps, case.delta_dpacc);
        assert!(
            found >= case.delta_dpacc * (1.0 - 1e-12) && found <= case.delta_dpacc * (1.0 + 1e-9),
            "{name}"
        );
        // And the oracle's order alone gives it.
        let (_, rdp) = paired(&oracle.orders, &case.rdp)
            .find(|(order, _)| order.total_cmp(&case.order_dpacc).is_eq())
            .unwrap();
        let best = RdpCurve::new(orders(&[case.order_dpacc]), vec![*rdp]).unwrap();
        assert!(rdp_to_delta(&best, epsilon).total_cmp(&found).is_eq(), "{name}, order {}", case.order_dpacc);
    }
}

#[test]
fn a_loss_says_whether_its_order_is_at_an_end_of_the_grid_however_that_is_ordered() {
    for grid in [[2.0, 4.0, 8.0, 16.0], [8.0, 16.0, 2.0, 4.0]] {
        for (rho, at_end) in [(50.0, true), (0.5, false), (1e-3, true), (0.0, false)] {
            for conversion in [Conversion::Classic, Conversion::Tight] {
                let rdp = grid.iter().map(|order| rho * order).collect();
                let loss =
                    rdp_to_epsilon(&RdpCurve::new(orders(&grid), rdp).unwrap(), delta(1e-5), conversion);
                // The classic conversion of nothing is ln(1/δ)/(α-1), which falls with the order.
                let expected = at_end || rho == 0.0 && conversion == Conversion::Classic;
                assert_eq!(loss.order_at_end, expected, "{grid:?} {rho} {conversion:?}: {loss:?}");
            }
        }
    }
    let mut accountant = RdpAccountant::with_orders(orders(&[2.0, 3.0]), Conversion::Tight).unwrap();
    accountant.add(&PrivacyEvent::GaussianNoisyMax { sigma: votes(40.0) }, &one_move(), 10).unwrap();
    assert!(accountant.loss(delta(1e-5)).order_at_end);
    let mut off_grid = ZcdpAccountant::new(Conversion::Tight);
    off_grid.add(&PrivacyEvent::GaussianNoisyMax { sigma: votes(40.0) }, &one_move(), 10).unwrap();
    assert!(!off_grid.loss(delta(1e-5)).order_at_end);
}

#[test]
fn rho_converts_as_the_oracle_says_and_never_below_the_exact_gaussian() {
    for case in conversions().zcdp_cases {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let rho = Rho::from_units((case.rho * (1_u64 << 40) as f64).ceil() as u64);
        let name = format!("rho {} at {:e}", case.rho, case.delta);
        // A unit of rho is up to 10^-8 of these amounts, and the conversion follows it at most that far.
        assert_at_or_just_above(
            &name,
            rho_to_epsilon(rho, delta(case.delta)),
            case.eps_cks_opt_order_mp,
            2e-8,
        );
        assert_at_or_just_above(
            &name,
            rho_to_epsilon_classic(rho, delta(case.delta)),
            case.eps_bun_steinke_mp,
            2e-8,
        );
        assert!(rho_to_epsilon(rho, delta(case.delta)) > case.eps_exact_gaussian_same_rho_mp);

        let mut accountant = ZcdpAccountant::new(Conversion::Tight);
        let times = rho.units() >> 20;
        accountant.add(&PrivacyEvent::GaussianNoisyMax { sigma: votes(1024.0) }, &one_move(), times).unwrap();
        assert_eq!(accountant.rho().units(), times << 20, "1/1024^2 is a whole number of units");
        let order = accountant.loss(delta(case.delta)).order.unwrap();
        assert!(
            (order / case.opt_order_mp - 1.0).abs() < 0.01,
            "{name}: order {order}, not {}",
            case.opt_order_mp
        );
    }
}

#[test]
fn nothing_spent_is_no_loss() {
    for value in [0.5, 1e-5, 1e-300] {
        assert!(rho_to_epsilon(Rho::ZERO, delta(value)) == 0.0);
        for accountant in all_accountants() {
            assert!(accountant.loss(delta(value)).epsilon == 0.0, "{}", accountant.name());
        }
    }
}

fn all_accountants() -> Vec<Box<dyn Accountant>> {
    vec![
        Box::new(PureAccountant::new()),
        Box::new(AdvancedAccountant::new()),
        Box::new(ZcdpAccountant::new(Conversion::Tight)),
        Box::new(RdpAccountant::new(Conversion::Tight)),
    ]
}

#[test]
fn the_default_orders_are_within_a_thousandth_of_the_best_order() {
    for (sigma, queries) in
        [(4.0, 1), (40.0, 1), (40.0, 10), (40.0, 300), (40.0, 5000), (2.0, 10), (400.0, 1)]
    {
        let event = PrivacyEvent::GaussianNoisyMax { sigma: votes(sigma) };
        let mut rdp = RdpAccountant::new(Conversion::Tight);
        let mut zcdp = ZcdpAccountant::new(Conversion::Tight);
        rdp.add(&event, &one_move(), queries).unwrap();
        zcdp.add(&event, &one_move(), queries).unwrap();
        let (rdp, zcdp) = (rdp.loss(delta(1e-5)).epsilon, zcdp.loss(delta(1e-5)).epsilon);
        assert!(rdp >= zcdp * (1.0 - 1e-8), "sigma {sigma}: {rdp} below {zcdp}");
        assert!(rdp <= zcdp * 1.001, "sigma {sigma}: {rdp} above {zcdp}");
    }
}

#[test]
fn an_event_that_an_accountant_cannot_price_is_refused_and_changes_nothing() {
    let without_gaussians: [Box<dyn Accountant>; 2] =
        [Box::new(PureAccountant::new()), Box::new(AdvancedAccountant::new())];
    for mut account in without_gaussians {
        account.add(&PrivacyEvent::LaplaceNoisyMax { scale: votes(20.0) }, &one_move(), 3).unwrap();
        let before = account.loss(delta(1e-5));
        for event in [
            PrivacyEvent::GaussianNoisyMax { sigma: votes(40.0) },
            PrivacyEvent::GaussianThreshold { sigma1: votes(40.0) },
        ] {
            let refusal = account.add(&event, &one_move(), 1).unwrap_err();
            assert!(
                matches!(refusal, Error::UnsupportedEvent { accountant, .. } if accountant == account.name()),
                "{refusal}"
            );
        }
        assert_eq!(account.loss(delta(1e-5)), before);
    }
}

#[test]
fn advanced_composition_of_different_steps_lies_between_them_and_never_above_their_sum() {
    let of = |parts: &[(f64, u64)]| {
        let mut account = AdvancedAccountant::new();
        for (scale, times) in parts {
            let event = PrivacyEvent::ExponentialNoisyMax { scale: votes(*scale) };
            account.add(&event, &one_move(), *times).unwrap();
        }
        account.loss(delta(1e-6)).epsilon
    };
    let (dear, cheap, mixed) = (of(&[(20.0, 500)]), of(&[(40.0, 500)]), of(&[(20.0, 250), (40.0, 250)]));
    assert!(cheap < mixed && mixed <= dear, "{cheap} {mixed} {dear}");
    assert!(mixed < 0.5 * (250.0 * 0.1 + 250.0 * 0.05), "{mixed} composes no better than a sum");
    // Few steps: the sum is less than what a theorem with a tail says.
    assert!(of(&[(20.0, 1), (40.0, 1)]) <= 0.15 * (1.0 + 1e-9));
}

#[test]
fn selection_costs_what_its_events_cost() {
    // The events have lattice scales, of which 20 votes is one.
    let scale = Scale::new(20.0).unwrap();
    for (selection, event) in [
        (Selection::Exponential { scale }, PrivacyEvent::GumbelNoisyMax { scale: votes(20.0) }),
        (Selection::PermuteAndFlip { scale }, PrivacyEvent::ExponentialNoisyMax { scale: votes(20.0) }),
    ] {
        let grid = RdpAccountant::default_orders();
        for (mut by_event, name) in all_accountants().into_iter().zip(Selection::ACCOUNTANTS) {
            assert_eq!(by_event.name(), name.as_str());
            by_event.add(&event, &one_move(), 300).unwrap();
            let found = selection.account(name, 300, delta(1e-5), &grid, Conversion::Tight).unwrap();
            let expected = by_event.loss(delta(1e-5)).epsilon;
            assert!(
                (found.loss.epsilon / expected - 1.0).abs() < 1e-9,
                "{selection:?} {name:?}: not {expected}"
            );
        }
        let refused = selection.account(AccountantName::Exact, 1, delta(1e-5), &grid, Conversion::Tight);
        assert!(matches!(refused, Err(Error::UnsupportedEvent { accountant: "exact", .. })));
    }
}

#[test]
fn losses_add_up_whether_events_are_added_one_by_one_or_together() {
    let event = PrivacyEvent::LaplaceNoisyMax { scale: votes(20.0) };
    for (mut singly, mut together) in all_accountants().into_iter().zip(all_accountants()) {
        together.add(&event, &one_move(), 50).unwrap();
        let mut last = 0.0;
        for _ in 0..50 {
            singly.add(&event, &one_move(), 1).unwrap();
            let loss = singly.loss(delta(1e-5)).epsilon;
            assert!(loss > last, "{}: an event that costs nothing", singly.name());
            last = loss;
        }
        let together = together.loss(delta(1e-5)).epsilon;
        assert!((last / together - 1.0).abs() < 1e-12, "{}: {last}, not {together}", singly.name());
    }
}

#[test]
fn sums_that_cannot_be_written_down_are_refused() {
    let laplace = PrivacyEvent::LaplaceNoisyMax { scale: votes(0.001) };
    for mut accountant in all_accountants() {
        if accountant.name() != "rdp" {
            let refusal = accountant.add(&laplace, &one_move(), u64::MAX).unwrap_err();
            assert!(matches!(refusal, Error::CostOverflow { .. }), "{refusal}");
        }
    }
    let mut rdp = RdpAccountant::with_orders(orders(&[1e300]), Conversion::Tight).unwrap();
    let gaussian = PrivacyEvent::GaussianNoisyMax { sigma: votes(0.001) };
    assert!(matches!(rdp.add(&gaussian, &one_move(), u64::MAX), Err(Error::CostOverflow { field: "rdp" })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_cap_in_rho_never_exceeds_its_epsilon_and_one_unit_more_would(
        log_epsilon in -8.0_f64..4.0, log_delta in -60.0_f64..-0.1,
    ) {
        let (epsilon, delta) = (Epsilon::new(log_epsilon.exp()).unwrap(), delta(log_delta.exp()));
        let rho = epsilon_to_rho(epsilon, delta);
        prop_assert!(rho_to_epsilon(rho, delta) <= epsilon.get());
        prop_assert!(rho_to_epsilon(Rho::from_units(rho.units() + 1), delta) > epsilon.get());
    }

    #[test]
    fn more_rho_is_never_less_epsilon_and_tight_is_never_above_classic(
        units in 1_u64..1 << 60, more in 1_u64..1 << 60, log_delta in -60.0_f64..-0.1,
    ) {
        let delta = delta(log_delta.exp());
        let small = rho_to_epsilon(Rho::from_units(units), delta);
        let large = rho_to_epsilon(Rho::from_units(units + more), delta);
        prop_assert!(large >= small * (1.0 - 1e-12));
        prop_assert!(small <= rho_to_epsilon_classic(Rho::from_units(units), delta) * (1.0 + 1e-12));
    }

    #[test]
    fn a_finer_search_of_the_order_finds_nothing_better(units in 1_u64..1 << 50, log_delta in -60.0_f64..-0.1) {
        // Every order is a valid bound, so this is about tightness: the analytic optimum beats a grid.
        let delta = delta(log_delta.exp());
        let rho = Rho::from_units(units).to_f64_up();
        let grid = (0..400).map(|i| 1.0 + libm::exp(f64::from(i) / 10.0 - 20.0));
        let (grid, values): (Vec<_>, Vec<_>) = grid.map(|order| (RdpOrder::new(order).unwrap(), rho * order)).unzip();
        let by_grid = rdp_to_epsilon(&RdpCurve::new(grid, values).unwrap(), delta, Conversion::Tight).epsilon;
        // The rule of total variation is another bound, which the analytic optimum leaves out.
        prop_assume!(by_grid > 0.0);
        prop_assert!(rho_to_epsilon(Rho::from_units(units), delta) <= by_grid * (1.0 + 1e-12) + 1e-12);
    }
}
