//! Privacy-loss distributions between the bounds of another implementation, and Gaussians exactly.

use crate::data_dependent::scale;
use conclave_privacy::pld::{FixedPlan, PlannedNoise};
use conclave_privacy::quantity::Delta;
use serde::Deserialize;

#[derive(Deserialize)]
struct Oracle {
    cases: Vec<Case>,
    mixed: Vec<Mixed>,
}

#[derive(Deserialize)]
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

#[derive(Deserialize)]
struct ExactBounds {
    eps_for_delta: Vec<(f64, String)>,
}

#[derive(Deserialize)]
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
}

fn oracle() -> Oracle {
    serde_json::from_str(include_str!("../vectors/pld.json")).unwrap()
}

#[test]
fn compositions_lie_between_the_optimistic_and_the_pessimistic_bound() {
    // Noise on whole votes is another law than ours, which is on millionths.
    for case in oracle().cases.into_iter().filter(|case| !case.mechanism.starts_with("discrete")) {
        let (scale, shift) = (scale(case.scale), case.sensitivity);
        let noise = if case.mechanism == "laplace" {
            PlannedNoise::Laplace { scale, shift, times: case.compositions }
        } else {
            PlannedNoise::Gaussian { scale, shift, times: case.compositions as f64 }
        };
        let plan = FixedPlan::new(&[noise]).unwrap();
        let name = format!("{} {} x {}", case.mechanism, case.scale, case.compositions);
        let bounds = case.pessimistic.eps_for_delta.iter().zip(&case.optimistic.eps_for_delta);
        for ((delta, above), (_, below)) in bounds {
            let found = plan.epsilon(Delta::new(*delta).unwrap());
            assert!(found >= below * (1.0 - 1e-7) - 1e-9, "{name}, delta {delta}: {found} below {below}");
            assert!(found <= above * (1.0 + 1e-5) + 1e-6, "{name}, delta {delta}: {found} above {above}");
        }
        for (delta, exact) in case.exact_mp.iter().flat_map(|exact| &exact.eps_for_delta) {
            let found = plan.epsilon(Delta::new(*delta).unwrap());
            let exact: f64 = exact.parse().unwrap();
            assert!(
                found >= exact * (1.0 - 1e-12) && found <= exact * (1.0 + 1e-9),
                "{name}: {found}, not {exact}"
            );
        }
        let bounds = case.pessimistic.delta_for_eps.iter().zip(&case.optimistic.delta_for_eps);
        for ((epsilon, above), (_, below)) in bounds {
            let found = plan.delta(*epsilon);
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
fn mixed_plans_add_up() {
    for mixed in oracle().mixed {
        let plan = FixedPlan::new(&[
            PlannedNoise::Gaussian {
                scale: scale(mixed.gaussian_threshold_sigma1),
                shift: 1.0,
                times: mixed.n_threshold,
            },
            PlannedNoise::Gaussian {
                scale: scale(mixed.gnmax_sigma2),
                shift: 2_f64.sqrt(),
                times: mixed.n_gnmax,
            },
            PlannedNoise::Laplace {
                scale: scale(mixed.lnmax_lambda),
                shift: 1.0,
                times: 2 * mixed.n_lnmax_queries,
            },
        ])
        .unwrap();
        for (delta, pessimistic) in mixed.pessimistic_eps_for_delta {
            let found = plan.epsilon(Delta::new(delta).unwrap());
            assert!((found / pessimistic - 1.0).abs() < 1e-4, "delta {delta}: {found}, not {pessimistic}");
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
