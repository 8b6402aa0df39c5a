//! Calibrated noise fits its target exactly, one step less does not, and both agree with numbers computed
//! elsewhere.

use crate::vectors::{digits, read};
use conclave_privacy::Error;
use conclave_privacy::accountant::{Accountant, Conversion, PureAccountant, epsilon_to_rho};
use conclave_privacy::analysis::{AccountantName, Answered, Question, account_in_advance};
use conclave_privacy::calibrate::Goal;
use conclave_privacy::data_dependent::NoisyVote;
use conclave_privacy::event::PrivacyEvent;
use conclave_privacy::filter::{GdpFilter, ZcdpFilter};
use conclave_privacy::mechanism::{ConfidentGnMax, GnMax, LnMax, Mechanism};
use conclave_privacy::quantity::{
    Delta, Epsilon, FilterOrder, Lattice, MuSquared, NoiseScale, Rho, Scale, Threshold,
};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};
use serde::Deserialize;

/// Published prices, of which one step less is one too few.
const PLAIN: FilterOrder = FilterOrder::UNBOUNDED;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Oracle {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    eps: f64,
    delta: f64,
    #[serde(rename = "rho_max_mp", deserialize_with = "digits")]
    rho_max: f64,
    #[serde(rename = "mu_max_mp", deserialize_with = "digits")]
    mu_max: f64,
    #[serde(rename = "sigma_for_n_gnmax")]
    gnmax: Vec<Calibrated>,
    #[serde(rename = "max_queries_at_sigma")]
    queries_at_sigma: Vec<Admitted>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Calibrated {
    #[serde(rename = "n")]
    queries: u64,
    #[serde(rename = "sigma_zcdp_cks", deserialize_with = "digits")]
    sigma: f64,
    #[serde(rename = "sigma_exact_gaussian", deserialize_with = "digits")]
    exact_gaussian: f64,
    #[serde(rename = "laplace_scale_pure_basic", deserialize_with = "digits")]
    laplace_pure: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Admitted {
    sigma: f64,
    #[serde(rename = "zcdp_cks")]
    queries: u64,
    exact_gaussian: u64,
}

fn cases() -> Vec<Case> {
    read::<Oracle>("calibration.json").cases
}

fn target(case: &Case) -> (Epsilon, Delta) {
    (Epsilon::new(case.eps).unwrap(), Delta::new(case.delta).unwrap())
}

fn sensitivity(unit: PrivacyUnit) -> Sensitivity {
    Sensitivity::of(unit, Adjacency::AddRemove, VotingScheme::Ensemble).unwrap()
}

#[test]
fn the_gdp_accountant_gives_back_the_epsilon_from_which_its_noise_was_made() {
    for case in cases() {
        let (epsilon, delta) = target(&case);
        for Calibrated { queries, exact_gaussian, .. } in &case.gnmax {
            let question = Question {
                mechanism: NoisyVote::GnMax { sigma: Scale::new(*exact_gaussian).unwrap() },
                lattice: None,
                delta,
                orders: Vec::new(),
                conversion: Conversion::Tight,
                answered: Answered::All,
                checkpoints: Vec::new(),
                curves: false,
            };
            let found = account_in_advance(AccountantName::Gdp, &question, *queries).unwrap();
            assert!((found.publishable, found.loss.order_at_end) == (true, false));
            let off = found.loss.epsilon / epsilon.get() - 1.0;
            // σ is read as a double, with sixteen digits.
            assert!(
                off > -1e-12 && off < 1e-10,
                "{queries} queries: {}, not {}",
                found.loss.epsilon,
                epsilon.get()
            );
        }
    }
}

#[test]
fn caps_and_sigmas_agree_with_the_oracle() {
    let one_move = sensitivity(PrivacyUnit::Record);
    for case in cases() {
        let (epsilon, delta) = target(&case);
        let cap = epsilon_to_rho(epsilon, delta);
        let unit = 1.0 / (1_u64 << 40) as f64;
        let nats = cap.units() as f64 * unit;
        assert!(nats <= case.rho_max && nats > case.rho_max - 1.1 * unit, "{nats}, not {}", case.rho_max);
        for Calibrated { queries, sigma, .. } in &case.gnmax {
            let got = goal((epsilon, delta), *queries, &one_move).gnmax_sigma().unwrap().votes();
            // A unit less in the cap, or more in each price of 1/σ², is σ²/2 units more σ, relatively; the scale is rounded up
            // to a step of 2^-20 votes.
            let (rounded_cap, step) = (1.5 * unit * sigma * sigma / 2.0, (1.0 / f64::from(1 << 20)) / sigma);
            assert!(
                got >= *sigma && got <= sigma * (1.0 + rounded_cap + step + 1e-10),
                "{queries} queries: {got}, not {sigma}"
            );
        }
        for Admitted { sigma, queries, .. } in &case.queries_at_sigma {
            let event = PrivacyEvent::GaussianNoisyMax {
                sigma: NoiseScale::from_votes(*sigma, Lattice::DEFAULT).unwrap(),
            };
            let mut filter = ZcdpFilter::for_target(epsilon, delta, PLAIN);
            assert!(filter.cap() == cap && filter.epsilon(delta) <= epsilon.get());
            let price = filter.price(&event, &one_move).unwrap();
            let admitted = (0..=*queries).take_while(|_| filter.reserve(price).is_ok()).count() as u64;
            assert_eq!(admitted, *queries, "at sigma {sigma}");
        }
    }
}

#[test]
fn gaussian_filters_and_pure_sums_invert_as_the_oracle_says() {
    for case in cases() {
        let (epsilon, delta) = target(&case);
        let filter = GdpFilter::for_target(epsilon, delta);
        let unit = 1.0 / (1_u64 << 40) as f64;
        let mu = libm::sqrt(filter.cap().to_f64_up());
        // μ² is rounded down to a unit.
        let rounded = unit / (2.0 * case.mu_max * case.mu_max);
        assert!(
            mu <= case.mu_max * (1.0 + 1e-12) && mu > case.mu_max * (1.0 - 1.1 * rounded),
            "{mu}, not {}",
            case.mu_max
        );
        for Calibrated { queries, exact_gaussian, laplace_pure, .. } in &case.gnmax {
            let found = filter.sigma_for(2, u32::try_from(*queries).unwrap()).unwrap().get();
            assert!((found / exact_gaussian - 1.0).abs() < 1e-10, "{found}, not {exact_gaussian}");
            let mut pure = PureAccountant::new();
            let scale = NoiseScale::from_votes(*laplace_pure, Lattice::DEFAULT).unwrap();
            let event = PrivacyEvent::LaplaceNoisyMax { scale };
            pure.add(&event, &sensitivity(PrivacyUnit::Record), *queries).unwrap();
            let spent = pure.loss(delta).epsilon;
            // The scale is rounded up to a step of 2^-20 votes.
            let least = case.eps * (1.0 - 1e-6 / laplace_pure) - 1e-9;
            assert!(spent >= least && spent <= case.eps + 1e-8, "{spent}, not {}", case.eps);
        }
        for Admitted { sigma, exact_gaussian, .. } in &case.queries_at_sigma {
            let price = MuSquared::of_gaussian(2, Scale::new(*sigma).unwrap()).unwrap();
            let mut filter = filter;
            let most = 0..=*exact_gaussian;
            let admitted = most.take_while(|_| filter.reserve(price).is_ok()).count() as u64;
            assert_eq!(admitted, *exact_gaussian, "at sigma {sigma}");
        }
    }
}

/// Published prices, default lattice.
fn goal((epsilon, delta): (Epsilon, Delta), queries: u64, sensitivity: &Sensitivity) -> Goal<'_> {
    Goal { epsilon, delta, order: PLAIN, queries, sensitivity, lattice: Lattice::DEFAULT, near: false }
}

/// The calibrated `mechanism` fits, and the `smaller` one, whose noise has one step less, does not.
fn assert_least(cap: Rho, queries: u64, who: &Sensitivity, mechanism: Mechanism, smaller: Mechanism) {
    let total = |mechanism: Mechanism| mechanism.worst_case(who).unwrap().checked_mul(queries);
    assert!(total(mechanism).unwrap() <= cap);
    assert!(total(smaller).is_none_or(|total| total > cap));
}

#[test]
fn the_result_fits_and_one_step_less_does_not() {
    let (epsilon, delta) = (Epsilon::new(3.0).unwrap(), Delta::new(1e-5).unwrap());
    let cap = epsilon_to_rho(epsilon, delta);
    for unit in [PrivacyUnit::Record, PrivacyUnit::Subject { max_silos_per_subject: 3 }] {
        let who = sensitivity(unit);
        for bits in [0, 8, 20, 32] {
            let lattice = Lattice::new(bits).unwrap();
            let less = |scale: NoiseScale| NoiseScale::from_steps(scale.steps() - 1, lattice).unwrap();
            for queries in [7, 1000] {
                let goal = Goal { lattice, ..goal((epsilon, delta), queries, &who) };
                let sigma = goal.gnmax_sigma().unwrap();
                assert_least(cap, queries, &who, GnMax::new(sigma).into(), GnMax::new(less(sigma)).into());

                let scale = goal.lnmax_scale().unwrap();
                assert_least(cap, queries, &who, LnMax::new(scale).into(), LnMax::new(less(scale)).into());

                let ratio = 3.75;
                let (sigma1, sigma2) = goal.confident_gnmax_sigmas(ratio).unwrap();
                assert!(sigma1.steps() as f64 >= ratio * sigma2.steps() as f64);
                assert!((sigma1.steps() - 1) as f64 <= ratio * sigma2.steps() as f64);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "small and positive"
                )]
                let smaller_sigma1 = (ratio * (sigma2.steps() - 1) as f64).ceil() as u64;
                let smaller_sigma1 = NoiseScale::from_steps(smaller_sigma1, lattice).unwrap();
                let threshold = Threshold::from_steps(0, lattice).unwrap();
                assert_least(
                    cap,
                    queries,
                    &who,
                    ConfidentGnMax::new(threshold, sigma1, sigma2).unwrap().into(),
                    ConfidentGnMax::new(threshold, smaller_sigma1, less(sigma2)).unwrap().into(),
                );
            }
        }
    }
}

#[test]
fn impossible_targets_are_refused_by_name() {
    let target = (Epsilon::new(1.0).unwrap(), Delta::new(1e-5).unwrap());
    let who = sensitivity(PrivacyUnit::Record);
    let refusal = goal(target, 0, &who).gnmax_sigma().unwrap_err();
    assert!(matches!(refusal, Error::OutOfRange { field: "queries", .. }), "{refusal}");
    let refusal = goal(target, u64::MAX, &who).lnmax_scale().unwrap_err();
    assert!(matches!(refusal, Error::Unreachable { queries: u64::MAX, .. }), "{refusal}");
    for ratio in [0.0, -1.0, f64::NAN, 1e9] {
        let refusal = goal(target, 10, &who).confident_gnmax_sigmas(ratio).unwrap_err();
        assert!(
            matches!(
                refusal,
                Error::OutOfRange { field: "sigma_ratio", .. }
                    | Error::NotFinite { field: "sigma_ratio", .. }
            ),
            "{refusal}"
        );
    }
}
