//! Privacy-loss distributions between the bounds of another implementation, and Gaussians exactly.

use crate::data_dependent::scale;
use crate::vectors::{paired, stated};
use conclave_privacy::Error;
use conclave_privacy::accountant::{
    Accountant, AdvancedAccountant, Conversion, PureAccountant, RdpAccountant, ZcdpAccountant,
};
use conclave_privacy::analysis::InAdvance;
use conclave_privacy::data_dependent::NoisyVote;
use conclave_privacy::event::PrivacyEvent;
use conclave_privacy::pld::{FixedPlan, PlanFloor, PlannedNoise};
use conclave_privacy::quantity::{Delta, Epsilon, Lattice, NoiseScale};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};
use serde::Deserialize;

#[derive(Deserialize)]
struct Oracle {
    cases: Vec<Case>,
    mixed: Vec<Mixed>,
}

#[derive(Clone, Deserialize)]
struct Case {
    mechanism: String,
    #[serde(alias = "sigma", alias = "scale_or_sigma")]
    scale: f64,
    #[serde(alias = "sensitivity_l2")]
    sensitivity: f64,
    compositions: u64,
    pessimistic: Bounds,
    optimistic: Bounds,
    exact_mp: Option<ExactBounds>,
}

#[derive(Clone, Deserialize)]
struct ExactBounds {
    eps_for_delta: Vec<(f64, String)>,
    delta_for_eps: Vec<(f64, String)>,
}

#[derive(Clone, Deserialize)]
struct Bounds {
    eps_for_delta: Vec<(f64, f64)>,
    delta_for_eps: Vec<(f64, f64)>,
}

#[derive(Deserialize)]
struct Mixed {
    gaussian_threshold_sigma1: f64,
    n_threshold: f64,
    gnmax_sigma2: f64,
    n_gnmax: f64,
    lnmax_lambda: f64,
    n_lnmax_queries: u64,
    pessimistic_eps_for_delta: Vec<(f64, f64)>,
    /// Gaussian noise only.
    exact_mp_eps_for_delta: Option<Vec<(f64, String)>>,
}

impl Mixed {
    fn noises(&self) -> [PlannedNoise; 3] {
        let gaussian = |sigma, shift, times| PlannedNoise::Gaussian { scale: scale(sigma), shift, times };
        let times = 2 * self.n_lnmax_queries;
        [
            gaussian(self.gaussian_threshold_sigma1, 1.0, self.n_threshold),
            gaussian(self.gnmax_sigma2, std::f64::consts::SQRT_2, self.n_gnmax),
            PlannedNoise::Laplace { scale: scale(self.lnmax_lambda), shift: 1.0, times },
        ]
    }
}

fn oracle() -> Oracle {
    let oracle: Oracle = serde_json::from_str(include_str!("../vectors/pld.json")).unwrap();
    let found = [oracle.cases.len(), oracle.mixed.len()];
    assert_eq!(found, ["cases", "mixed"].map(|section| stated("pld.json", section)));
    oracle
}

/// The cases of a mechanism.
fn cases(mechanism: &str, expected: usize) -> Vec<Case> {
    let cases: Vec<_> = oracle().cases.into_iter().filter(|case| case.mechanism == mechanism).collect();
    assert_eq!(cases.len(), expected, "{mechanism}");
    cases
}

#[test]
fn compositions_lie_between_the_optimistic_and_the_pessimistic_bound() {
    // Noise on whole votes is another law, and other tests.
    for case in [cases("laplace", 6), cases("gaussian", 5)].concat() {
        let (scale, shift) = (scale(case.scale), case.sensitivity);
        let noise = if case.mechanism == "laplace" {
            PlannedNoise::Laplace { scale, shift, times: case.compositions }
        } else {
            PlannedNoise::Gaussian { scale, shift, times: case.compositions as f64 }
        };
        let plan = FixedPlan::new(&[noise]).unwrap();
        let name = format!("{} {} x {}", case.mechanism, case.scale, case.compositions);
        let bounds = paired(&case.pessimistic.eps_for_delta, &case.optimistic.eps_for_delta);
        for ((delta, above), (_, below)) in bounds {
            let found = plan.epsilon(Delta::new(*delta).unwrap());
            assert!(found >= below * (1.0 - 1e-7) - 1e-9, "{name}, delta {delta}: {found} below {below}");
            assert!(found <= above * (1.0 + 5e-5) + 1e-6, "{name}, delta {delta}: {found} above {above}");
        }
        for (delta, exact) in case.exact_mp.iter().flat_map(|exact| &exact.eps_for_delta) {
            let found = plan.epsilon(Delta::new(*delta).unwrap());
            let exact: f64 = exact.parse().unwrap();
            assert!(
                found >= exact * (1.0 - 1e-12) && found <= exact * (1.0 + 1e-9),
                "{name}: {found}, not {exact}"
            );
        }
        for (epsilon, exact) in case.exact_mp.iter().flat_map(|exact| &exact.delta_for_eps) {
            let found = plan.delta(Epsilon::new(*epsilon).unwrap());
            let exact: f64 = exact.parse().unwrap();
            assert!(
                found >= exact * (1.0 - 1e-12) && found <= exact * (1.0 + 1e-9),
                "{name}, epsilon {epsilon}: {found:e}, not {exact:e}"
            );
        }
        let bounds = paired(&case.pessimistic.delta_for_eps, &case.optimistic.delta_for_eps);
        for ((epsilon, above), (_, below)) in bounds {
            let found = plan.delta(Epsilon::new(*epsilon).unwrap());
            assert!(
                found >= below * (1.0 - 1e-6) - 2e-15,
                "{name}, epsilon {epsilon}: {found} below {below}"
            );
            assert!(
                found <= above * (1.0 + 1e-4) + 1e-10,
                "{name}, epsilon {epsilon}: {found} above {above}"
            );
        }
    }
}

#[test]
fn the_floor_of_a_plan_and_its_ceiling_hold_the_truth_between_them_and_little_else() {
    for case in oracle().cases.into_iter().filter(|case| !case.mechanism.starts_with("discrete")) {
        let (scale, shift) = (scale(case.scale), case.sensitivity);
        let laplace = case.mechanism == "laplace";
        let noise = if laplace {
            PlannedNoise::Laplace { scale, shift, times: case.compositions }
        } else {
            PlannedNoise::Gaussian { scale, shift, times: case.compositions as f64 }
        };
        let (floor, ceiling) = (PlanFloor::new(&[noise]).unwrap(), FixedPlan::new(&[noise]).unwrap());
        let name = format!("{} {} x {}", case.mechanism, case.scale, case.compositions);
        let bounds = case.pessimistic.eps_for_delta.iter().zip(&case.optimistic.eps_for_delta);
        for ((delta, above), (_, below)) in bounds {
            let delta = Delta::new(*delta).unwrap();
            let (least, most) = (floor.epsilon(delta), ceiling.epsilon(delta));
            // The truth is between their bounds, so ours may not be on its wrong side by more than their width.
            assert!(least <= above * (1.0 + 1e-12), "{name}: {least} above {above}");
            assert!(least <= most, "{name}: {least} above {most}");
            assert!(least >= below * (1.0 - 1e-4) - 1e-6, "{name}: {least} is far below {below}");
            assert!(most - least <= 1e-4 * most + 1e-6, "{name}: {least} to {most}");
        }
        for (delta, exact) in case.exact_mp.iter().flat_map(|exact| &exact.eps_for_delta) {
            let (found, exact) = (floor.epsilon(Delta::new(*delta).unwrap()), exact.parse::<f64>().unwrap());
            assert!(found <= exact && found >= exact * (1.0 - 1e-9), "{name}: {found}, not {exact}");
        }
        for (epsilon, above) in &case.pessimistic.delta_for_eps {
            let found = floor.delta(Epsilon::new(*epsilon).unwrap());
            assert!(found <= above * (1.0 + 1e-12) + 1e-300, "{name}, {epsilon}: {found} above {above}");
        }
    }
    let many = PlannedNoise::Laplace { scale: scale(20.0), shift: 1.0, times: 1 };
    // One release: δ(ε) = 1 - e^((ε-s)/2), so ε is s + 2 ln(1-δ).
    for delta in [1e-2, 1e-3] {
        let exact = 0.05 + 2.0 * (1.0_f64 - delta).ln();
        let found = PlanFloor::new(&[many]).unwrap().epsilon(Delta::new(delta).unwrap());
        assert!(found <= exact && found > exact - 1e-6, "{found}, not {exact}");
    }
}

#[test]
fn the_floor_of_mixed_noise_is_below_its_truth() {
    for mixed in oracle().mixed {
        let noises = mixed.noises();
        let (floor, ceiling) = (PlanFloor::new(&noises).unwrap(), FixedPlan::new(&noises).unwrap());
        for (delta, above) in mixed.pessimistic_eps_for_delta {
            let delta = Delta::new(delta).unwrap();
            let (least, most) = (floor.epsilon(delta), ceiling.epsilon(delta));
            assert!(least <= above && least <= most && least > 0.999 * most, "{least}, {above}, {most}");
        }
    }
    // Two kinds of Laplace noise, neither of which fits the grid: still a bound, and not far off.
    let kinds = [(7.3, 11), (31.7, 40)].map(|(b, times)| PlannedNoise::Laplace {
        scale: scale(b),
        shift: 1.0,
        times,
    });
    let (floor, ceiling) = (PlanFloor::new(&kinds).unwrap(), FixedPlan::new(&kinds).unwrap());
    let delta = Delta::new(1e-5).unwrap();
    let (least, most) = (floor.epsilon(delta), ceiling.epsilon(delta));
    assert!(least <= most && least > most - 51.0 * FixedPlan::GRID, "{least} to {most}");
    let nothing = PlanFloor::new(&[]).unwrap();
    assert_eq!((nothing.epsilon(delta), nothing.delta(Epsilon::new(0.1).unwrap())), (0.0, 0.0));
}

fn one_move() -> Sensitivity {
    Sensitivity::of(PrivacyUnit::Record, Adjacency::AddRemove, VotingScheme::Ensemble).unwrap()
}

/// What `accountant` says of `case`, priced as `event`.
fn priced(mut accountant: impl Accountant, event: PrivacyEvent, case: &Case, delta: f64) -> f64 {
    accountant.add(&event, &one_move(), case.compositions).unwrap();
    accountant.loss(Delta::new(delta).unwrap()).epsilon
}

/// The statistic changes by one, as either of the two counts of a noisy max with twice the scale.
fn as_noisy_max(case: &Case, lattice: Lattice) -> PrivacyEvent {
    let scale = NoiseScale::from_votes(2.0 * case.scale / case.sensitivity, lattice).unwrap();
    PrivacyEvent::LaplaceNoisyMax { scale }
}

#[test]
fn discrete_laplace_noise_loses_exactly_what_randomised_response_does() {
    // On whole votes and a shift of one, the likelihood ratio is e^ε or e^-ε and nothing between: advanced composition is exact.
    for case in cases("discrete_laplace", 2) {
        let event = as_noisy_max(&case, Lattice::new(0).unwrap());
        let name = format!("{} x {}", case.scale, case.compositions);
        for ((delta, above), (_, below)) in
            paired(&case.pessimistic.eps_for_delta, &case.optimistic.eps_for_delta)
        {
            let found = priced(AdvancedAccountant::new(), event, &case, *delta);
            assert!(found >= below * (1.0 - 1e-7), "{name}, delta {delta}: {found} below {below}");
            assert!(found <= above * (1.0 + 1e-5), "{name}, delta {delta}: {found} above {above}");
        }
        // The other way round: at that δ the account has that ε; where none is left, the sum of all losses is less.
        for ((epsilon, above), (_, below)) in
            paired(&case.pessimistic.delta_for_eps, &case.optimistic.delta_for_eps)
        {
            if *above == 0.0 {
                let basic = priced(PureAccountant::new(), event, &case, 1e-5);
                assert!(basic <= *epsilon, "{name}: {basic} above {epsilon}");
                continue;
            }
            let found = priced(AdvancedAccountant::new(), event, &case, *below);
            assert!(found >= epsilon * (1.0 - 1e-7), "{name}, delta {below}: {found} below {epsilon}");
            assert!(found <= epsilon * (1.0 + 1e-5), "{name}, delta {above}: {found} above {epsilon}");
        }
    }
}

#[test]
fn advanced_composition_of_laplace_noise_lies_between_its_loss_distribution_and_the_other_accounts() {
    for case in cases("laplace", 6) {
        let event = as_noisy_max(&case, Lattice::DEFAULT);
        for (delta, below) in &case.optimistic.eps_for_delta {
            let advanced = priced(AdvancedAccountant::new(), event, &case, *delta);
            let name = format!("{} x {}, delta {delta}: {advanced}", case.scale, case.compositions);
            assert!(advanced >= below * (1.0 - 1e-6), "{name} below {below}");
            let basic = priced(PureAccountant::new(), event, &case, *delta);
            let renyi = priced(RdpAccountant::new(Conversion::Tight), event, &case, *delta);
            assert!(advanced <= basic && advanced <= renyi, "{name} above {basic} or {renyi}");
        }
    }
}

#[test]
fn discrete_gaussian_noise_on_whole_votes_costs_no_more_than_its_price() {
    // The price ρ = 1/(2σ²) is claimed of the lattice law as it stands, on the coarsest lattice too.
    for case in cases("discrete_gaussian", 2) {
        let sigma1 = NoiseScale::from_votes(case.scale, Lattice::new(0).unwrap()).unwrap();
        let event = PrivacyEvent::GaussianThreshold { sigma1 };
        let times = case.compositions as f64;
        let continuous = PlannedNoise::Gaussian { scale: scale(case.scale), shift: case.sensitivity, times };
        let continuous = FixedPlan::new(&[continuous]).unwrap();
        // At the δ that the lattice law has left at ε, no price says less than ε.
        for ((epsilon, _), (_, below)) in
            paired(&case.pessimistic.delta_for_eps, &case.optimistic.delta_for_eps)
        {
            for found in [
                priced(ZcdpAccountant::new(Conversion::Tight), event, &case, *below),
                priced(RdpAccountant::new(Conversion::Tight), event, &case, *below),
            ] {
                assert!(
                    found >= *epsilon,
                    "{} x {times}, delta {below}: {found} below {epsilon}",
                    case.scale
                );
            }
        }
        for ((delta, above), (_, below)) in
            paired(&case.pessimistic.eps_for_delta, &case.optimistic.eps_for_delta)
        {
            for found in [
                priced(ZcdpAccountant::new(Conversion::Tight), event, &case, *delta),
                priced(RdpAccountant::new(Conversion::Tight), event, &case, *delta),
            ] {
                assert!(found >= *below, "{} x {times}, delta {delta}: {found} below {below}", case.scale);
                assert!(
                    found <= above * 1.25,
                    "{} x {times}, delta {delta}: {found} above {above}",
                    case.scale
                );
            }
            // Close to the continuous law, which the crate therefore never takes for this one without a proven gap.
            let gap = continuous.epsilon(Delta::new(*delta).unwrap()) / above - 1.0;
            assert!(gap.abs() < 0.02, "{} x {times}, delta {delta}: {gap:e}", case.scale);
        }
    }
}

#[test]
fn a_plan_of_noise_on_whole_votes_is_never_below_what_such_noise_tells() {
    let whole_votes = Lattice::new(0).unwrap();
    let mut continuous_is_below = 0;
    for case in [cases("discrete_laplace", 2), cases("discrete_gaussian", 2)].concat() {
        let (scale, shift, times) = (scale(case.scale), case.sensitivity, case.compositions);
        let noise = if case.mechanism == "discrete_laplace" {
            PlannedNoise::Laplace { scale, shift, times }
        } else {
            PlannedNoise::Gaussian { scale, shift, times: times as f64 }
        };
        let (drawn, continuous) =
            (FixedPlan::on_lattice(&[noise], whole_votes).unwrap(), FixedPlan::new(&[noise]).unwrap());
        for (epsilon, below) in &case.optimistic.delta_for_eps {
            let epsilon = Epsilon::new(*epsilon).unwrap();
            let found = drawn.delta(epsilon);
            let name = format!("{} x {times}, {epsilon:?}: {found} below {below}", case.mechanism);
            assert!(found >= *below, "{name}");
            // Not by more than is left out: 1/(8b²) or 1/(12σ²) each.
            assert!(
                found <= continuous.delta(epsilon) + 0.2 * times as f64 / (case.scale * case.scale),
                "{name}"
            );
            continuous_is_below += usize::from(continuous.delta(epsilon) < below * (1.0 - 1e-6));
        }
        for (delta, below) in &case.optimistic.eps_for_delta {
            let delta = Delta::new(*delta).unwrap();
            assert!(drawn.epsilon(delta) >= *below, "{} x {times}, {delta:?}", case.mechanism);
            // On the lattice of campaigns it is the same plan in all digits that anybody reads.
            let campaign = FixedPlan::on_lattice(&[noise], Lattice::DEFAULT).unwrap().epsilon(delta);
            let continuous = continuous.epsilon(delta);
            assert!(campaign >= continuous && campaign <= continuous * 1.0001, "{campaign} {continuous}");
        }
    }
    assert!(continuous_is_below > 0, "or the lattice would not matter");
}

#[test]
fn what_two_noisy_counts_tell_on_a_coarse_lattice_is_no_more_than_its_plan_says() {
    let mut continuous_is_below = 0;
    for (bits, votes) in [(0, 3.0), (1, 1.5), (2, 4.0)] {
        let lattice = Lattice::new(bits).unwrap();
        let steps = f64::from(1 << bits);
        let laplace = |k: f64| (-k.abs() / (votes * steps)).exp();
        let gaussian = |k: f64| (-0.5 * (k / (votes * steps)).powi(2)).exp();
        let noise = scale(votes);
        let plans: [(&dyn Fn(f64) -> f64, _); 2] = [
            (&laplace, PlannedNoise::Laplace { scale: noise, shift: 1.0, times: 2 }),
            (&gaussian, PlannedNoise::Gaussian { scale: noise, shift: std::f64::consts::SQRT_2, times: 1.0 }),
        ];
        for (law, noise) in plans {
            let (drawn, continuous) =
                (FixedPlan::on_lattice(&[noise], lattice).unwrap(), FixedPlan::new(&[noise]).unwrap());
            let reach = 40.0 * votes * steps;
            let places: Vec<f64> = (-5000..5000).map(f64::from).filter(|k| k.abs() <= reach).collect();
            let mass: f64 = places.iter().map(|k| law(*k)).sum();
            // Both counts move by one vote, one up and one down; each alike, for the laws are symmetric.
            let one: Vec<(f64, f64)> =
                places.iter().map(|k| (law(*k) / mass, law(*k - steps) / mass)).collect();
            for epsilon in [0.0, 0.1, 0.3, 0.6] {
                let told: f64 = one
                    .iter()
                    .flat_map(|(p, q)| {
                        one.iter().map(move |(r, s)| (p * r - f64::exp(epsilon) * q * s).max(0.0))
                    })
                    .sum();
                let epsilon = Epsilon::new(epsilon.max(f64::MIN_POSITIVE)).unwrap();
                let found = drawn.delta(epsilon);
                assert!(found >= told, "{noise:?}, {bits} bits, {epsilon:?}: {found} below {told}");
                assert!(
                    found <= told + 0.05,
                    "{noise:?}, {bits} bits, {epsilon:?}: {found} far above {told}"
                );
                continuous_is_below += usize::from(continuous.delta(epsilon) < told * (1.0 - 1e-4));
            }
        }
    }
    assert!(continuous_is_below > 0, "or the lattice would not matter");
}

#[test]
fn a_delta_that_a_coarse_lattice_uses_up_leaves_no_epsilon() {
    let noise = PlannedNoise::Gaussian { scale: scale(40.0), shift: 1.0, times: 100.0 };
    let on = |bits| FixedPlan::on_lattice(&[noise], Lattice::new(bits).unwrap()).unwrap();
    let delta = Delta::new(1e-5).unwrap();
    assert!(on(0).epsilon(delta).is_infinite());
    assert!(on(8).epsilon(delta) < 1.08);
    // Coarser than its own scale a lattice leaves nothing hidden.
    let little = PlannedNoise::Gaussian { scale: scale(0.5), shift: 1.0, times: 1.0 };
    let plan = FixedPlan::on_lattice(&[little], Lattice::new(0).unwrap()).unwrap();
    assert!((plan.delta(Epsilon::new(50.0).unwrap()) - 1.0).abs() < 1e-12);
}

#[test]
fn an_accountant_whose_figures_end_before_the_loss_is_left_out_and_the_others_stay() {
    let sensitivity = Sensitivity::of(PrivacyUnit::Record, Adjacency::AddRemove, VotingScheme::Ensemble);
    let sensitivity = sensitivity.unwrap();
    let plan = |scale_of: f64| InAdvance {
        mechanism: NoisyVote::LnMax { scale: scale(scale_of) },
        lattice: None,
        sensitivity,
        delta: Delta::new(1e-6).unwrap(),
        queries: 20_000,
        answers: 20_000,
    };
    let names = |scale| -> Vec<&str> {
        plan(scale).accounts().unwrap().iter().map(|(name, _)| name.as_str()).collect()
    };
    assert_eq!(names(40.0), ["pure", "advanced", "zcdp", "rdp", "pld", "exact-worst-case"]);
    assert_eq!(names(1.415), ["pure", "advanced", "zcdp", "rdp", "exact-worst-case"]);
}

#[test]
fn mixed_plans_add_up() {
    for mixed in oracle().mixed {
        let plan = FixedPlan::new(&mixed.noises()).unwrap();
        for (delta, pessimistic) in &mixed.pessimistic_eps_for_delta {
            let found = plan.epsilon(Delta::new(*delta).unwrap());
            // Both are above the truth: ours may be the tighter, and is not below it where the truth is known.
            assert!((found / pessimistic - 1.0).abs() < 1e-4, "delta {delta}: {found}, not {pessimistic}");
        }
        assert_eq!(mixed.exact_mp_eps_for_delta.is_some(), mixed.n_lnmax_queries == 0);
        for (delta, exact) in mixed.exact_mp_eps_for_delta.into_iter().flatten() {
            let (found, exact) = (plan.epsilon(Delta::new(delta).unwrap()), exact.parse::<f64>().unwrap());
            assert!(
                found >= exact * (1.0 - 1e-12) && found <= exact * (1.0 + 1e-9),
                "delta {delta}: {found}, not {exact}"
            );
        }
    }
}

#[test]
fn a_plan_of_nothing_costs_nothing_and_a_plan_beyond_the_grid_is_refused() {
    let delta = Delta::new(1e-5).unwrap();
    assert!(FixedPlan::new(&[]).unwrap().epsilon(delta) == 0.0);
    let endless = PlannedNoise::Laplace { scale: scale(0.1), shift: 1.0, times: 1_000_000 };
    assert!(FixedPlan::new(&[endless]).is_err());
    let wrong = PlannedNoise::Gaussian { scale: scale(1.0), shift: f64::NAN, times: 1.0 };
    assert!(FixedPlan::new(&[wrong]).is_err());
}

#[test]
fn noise_so_little_that_no_loss_can_be_written_down_is_refused_and_not_searched_for_ever() {
    for tiny in [1e-160, 1e-300, f64::MIN_POSITIVE] {
        let gaussian = PlannedNoise::Gaussian { scale: scale(tiny), shift: 1.0, times: 1.0 };
        assert!(matches!(FixedPlan::new(&[gaussian]), Err(Error::NotFinite { field: "mu", .. })), "{tiny:e}");
        let laplace = PlannedNoise::Laplace { scale: scale(tiny), shift: 1.0, times: 1 };
        assert!(matches!(FixedPlan::new(&[laplace]), Err(Error::CostOverflow { .. })), "{tiny:e}");
    }
    // Little noise that can be written down has a large loss.
    let little = PlannedNoise::Gaussian { scale: scale(1e-100), shift: 1.0, times: 1.0 };
    let epsilon = FixedPlan::new(&[little]).unwrap().epsilon(Delta::new(1e-5).unwrap());
    assert!(epsilon > 4.9e199 && epsilon < 5.1e199, "{epsilon:e}");
}
