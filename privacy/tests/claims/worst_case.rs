//! The exact worst case against an independent optimiser: never below it, and above it by no more than the tolerance.

use crate::data_dependent::{drawn, independent, orders, scale};
use crate::published_votes::votes_of;
use crate::vectors::read;
use conclave_privacy::VoteCounts;
use conclave_privacy::accountant::Conversion;
use conclave_privacy::analysis::{AccountantName, Answered, Question, account_in_advance};
use conclave_privacy::data_dependent::{DataDependent, Method, NoisyVote};
use conclave_privacy::event::PrivacyEvent;
use conclave_privacy::quantity::{Delta, Lattice};
use conclave_privacy::secret::Analyst;
use conclave_privacy::worst_case;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorstCases {
    pub(crate) cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) noise: String,
    #[serde(alias = "lambda")]
    pub(crate) sigma: f64,
    pub(crate) order: f64,
    sup_two_class: f64,
    pub(crate) sup_three_cell: f64,
    /// The published bound: of a histogram with Gaussian noise, or of the 2018 paper for Laplace noise.
    #[serde(alias = "histogram_release_bound", alias = "pate2018_data_independent_bound")]
    published: f64,
    /// What the supremum is of it.
    #[serde(alias = "ratio_to_pate2018")]
    ratio: f64,
    /// Laplace noise only: what both counts that a vote moves would tell.
    two_laplace_histogram_release_bound: Option<f64>,
}

/// The cases with this noise.
fn cases(noise: &str, expected: usize) -> Vec<Case> {
    let oracle: WorstCases = read("worst_case_argmax_rdp.json");
    let cases: Vec<_> = oracle.cases.into_iter().filter(|case| case.noise == noise).collect();
    assert_eq!(cases.len(), expected, "{noise}");
    cases
}

/// The oracle's bound is the published one, `event` costs it, and `found` is as much less as the oracle says.
fn assert_published(case: &Case, event: PrivacyEvent, found: f64, above: f64, name: &str) {
    let published = independent(event, &[case.order])[0];
    assert!(
        (published / case.published - 1.0).abs() < 1e-9,
        "{name}: {published:e}, not {:e}",
        case.published
    );
    let ratio = found / published / case.ratio;
    assert!(ratio >= 1.0 - 1e-5 && ratio <= 1.0 + above, "{name}: {ratio}");
}

#[test]
fn the_worst_case_is_that_of_the_oracle_rounded_up() {
    for case in cases("gaussian", 24) {
        let found = worst_case::gnmax(scale(case.sigma), &orders(&[case.order]))[0];
        let name =
            format!("sigma {}, order {}: {found:e}, not {:e}", case.sigma, case.order, case.sup_three_cell);
        assert!(found >= case.sup_three_cell * (1.0 - 1e-9), "{name}");
        assert!(found <= case.sup_three_cell * (1.0 + 1e-4), "{name}");
        assert!(found >= case.sup_two_class, "{name}");
        let event = PrivacyEvent::GaussianNoisyMax { sigma: drawn(case.sigma) };
        assert_published(&case, event, found, 1e-4, &name);
    }
}

#[test]
fn no_votes_cost_more_than_the_worst_case() {
    let at = orders(&[1.25, 4.0, 16.0, 64.0]);
    let (sigma1, sigma2) = (scale(150.0), scale(40.0));
    let mechanism = NoisyVote::ConfidentGnMax { threshold: 200.0, sigma1, sigma2 };
    let mut data = DataDependent::new(mechanism, Method::Exact, &at).unwrap();
    let (argmax, threshold) = (worst_case::gnmax(sigma2, &at), worst_case::threshold(sigma1, &at));
    for counts in votes_of("adult") {
        let steps = data.steps(&counts).open(&Analyst::who_may_see_the_votes());
        assert!(steps.argmax.iter().zip(&argmax).all(|(cost, worst)| cost <= worst));
        assert!(steps.threshold.unwrap().iter().zip(&threshold).all(|(cost, worst)| cost <= worst));
    }
}

#[test]
fn beyond_the_search_the_published_price_stands_in() {
    for (sigma, order) in [(0.5, 2.0), (1e7, 8.0), (40.0, 1e4)] {
        let found = worst_case::gnmax(scale(sigma), &orders(&[order]))[0];
        assert!((found * sigma * sigma / order - 1.0).abs() < 1e-12, "{sigma} {order}: {found}");
    }
    for (b, order, published) in [(10.0, 1e4, 0.2), (0.5, 2.0, 4.0), (2e3, 8.0, 4e-6)] {
        let found = worst_case::lnmax(scale(b), &orders(&[order]))[0];
        assert!((found / published - 1.0).abs() < 1e-12, "{b} {order}: {found}");
    }
}

#[test]
fn orders_next_to_one_lose_no_digits() {
    // Divergences grow with the order; next to 1 they are the relative entropy, and 10^-4 further up hardly more.
    let at = orders(&[1.0 + 1e-15, 1.0 + 1e-12, 1.0 + 1e-8, 1.0001]);
    let data = |votes: Vec<u64>| {
        let mechanism = NoisyVote::GnMax { sigma: scale(40.0) };
        let mut data = DataDependent::new(mechanism, Method::Exact, &at).unwrap();
        data.joint(&VoteCounts::new(votes).unwrap()).open(&Analyst::who_may_see_the_votes())
    };
    let costs = [
        worst_case::gnmax(scale(40.0), &at),
        worst_case::threshold(scale(150.0), &at),
        worst_case::lnmax(scale(20.0), &at),
        data(vec![130, 120, 0]),
        data(vec![250, 0, 0]),
    ];
    for cost in costs {
        let last = cost[3];
        assert!(cost.iter().all(|cost| (cost / last - 1.0).abs() < 1e-3), "{cost:?}");
    }
}

#[test]
fn the_laplace_worst_case_is_that_of_the_oracle_rounded_up() {
    for case in cases("laplace", 18) {
        let (b, alpha) = (case.sigma, case.order);
        let found = worst_case::lnmax(scale(b), &orders(&[alpha]))[0];
        let name = format!("b {b}, order {alpha}: {found:e}, not {:e}", case.sup_three_cell);
        assert!(found >= case.sup_three_cell * (1.0 - 1e-6), "{name}");
        assert!(found <= case.sup_three_cell * (1.0 + 2.2e-5), "{name}");
        assert!(found >= case.sup_two_class && found < (2.0 * alpha / (b * b)).min(2.0 / b), "{name}");
        assert_published(&case, PrivacyEvent::LaplaceNoisyMax { scale: drawn(b) }, found, 2.2e-5, &name);
        assert!(found <= case.two_laplace_histogram_release_bound.unwrap(), "{name}: both counts tell more");
    }
}

#[test]
fn no_votes_cost_more_than_the_laplace_worst_case() {
    let at = orders(&[1.25, 4.0]);
    let mut data = DataDependent::new(NoisyVote::LnMax { scale: scale(20.0) }, Method::Exact, &at).unwrap();
    let worst = worst_case::lnmax(scale(20.0), &at);
    let mut most = 0.0_f64;
    for votes in [
        vec![9, 9, 9],
        vec![10, 10],
        vec![12, 11, 0, 0],
        vec![5, 5, 5, 5, 5],
        vec![40, 39, 1],
        vec![100, 0, 0],
    ] {
        let steps = data.steps(&VoteCounts::new(votes).unwrap()).open(&Analyst::who_may_see_the_votes());
        assert!(steps.argmax.iter().zip(&worst).all(|(cost, worst)| cost <= worst));
        most = most.max(steps.argmax[0] / worst[0]);
    }
    assert!(most > 0.7, "a bound that nothing comes near says little: {most}");
}

/// ∫ f(x-u) F(x-v) over x > 0, by five-point Gauss-Legendre between the kinks.
fn laplace_wins(u: f64, v: f64) -> f64 {
    let cdf = |x: f64| if x < 0.0 { 0.5 * x.exp() } else { 1.0 - 0.5 * (-x).exp() };
    let at = |x: f64| 0.5 * (-(x - u).abs()).exp() * cdf(x - v);
    let nodes = [
        (0.0, 128.0 / 225.0),
        (0.538_469_310_105_683_1, 0.478_628_670_499_366_47),
        (0.906_179_845_938_664, 0.236_926_885_056_189_08),
    ];
    let kinks = [0.0, u.min(v).max(0.0), u.max(v).max(0.0), u.max(v).max(0.0) + 38.0];
    let mut sum = 0.0;
    for ends in kinks.windows(2) {
        let pieces = ((ends[1] - ends[0]) / 0.5).ceil();
        let half = 0.5 * (ends[1] - ends[0]) / pieces.max(1.0);
        let mut middle = ends[0] + half;
        while middle < ends[1] {
            let both =
                |(x, weight): (f64, f64)| 0.5 * weight * (at(middle + half * x) + at(middle - half * x));
            sum += half * (both(nodes[0]) + 2.0 * both(nodes[1]) + 2.0 * both(nodes[2]));
            middle += 2.0 * half;
        }
    }
    sum
}

/// The divergence of the three outcomes at (u, v), in units of b.
fn laplace_divergence(u: f64, v: f64, shift: f64, alpha: f64) -> f64 {
    let cdf = |x: f64| if x < 0.0 { 0.5 * x.exp() } else { 1.0 - 0.5 * (-x).exp() };
    let law = |u: f64, v: f64| [laplace_wins(u, v), laplace_wins(v, u), cdf(-u) * cdf(-v)];
    // Σ q (e^(αL) - 1 - α(e^L - 1)), whose terms are positive; small ones by their series.
    let excess = |(p, q): (f64, f64)| {
        let ratio = (p / q).ln();
        let gap = |x: f64| {
            if x.abs() < 1e-2 {
                x * x * (0.5 + x * (1.0 / 6.0 + x / 24.0 * (1.0 + x / 5.0)))
            } else {
                x.exp_m1() - x
            }
        };
        q * (gap(alpha * ratio) - alpha * gap(ratio))
    };
    let sum: f64 = law(u, v).into_iter().zip(law(u - shift, v + shift)).map(excess).sum();
    sum.ln_1p() / (alpha - 1.0)
}

#[test]
fn no_point_of_the_plane_is_above_the_laplace_worst_case_and_the_best_is_within_the_tolerance() {
    for b in [1.0, 1.5, 7.0, 100.0, 1000.0] {
        for alpha in [1.25, 1.0 + 0.2 * b, 1.6 * b, 4.0 * b, 6.5 * b] {
            let shift = 1.0 / b;
            let found = worst_case::lnmax(scale(b), &orders(&[alpha]))[0];
            let value = |at: [f64; 2]| laplace_divergence(at[0], at[1], shift, alpha);
            let places: Vec<f64> =
                (-10..=10).flat_map(|k| [0.2 * shift * f64::from(k), 0.35 * f64::from(k)]).collect();
            let (mut most, mut at) = (0.0, [0.0; 2]);
            for u in &places {
                for v in &places {
                    let here = value([*u, *v]);
                    assert!(here <= found, "b {b}, order {alpha}: {here:e} at ({u}, {v}) above {found:e}");
                    if here > most {
                        (most, at) = (here, [*u, *v]);
                    }
                }
            }
            let mut stride = 0.3;
            while stride > 1e-3 * shift {
                let around =
                    [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0]].into_iter().flat_map(|[du, dv]| {
                        [stride, -stride].map(|step| [at[0] + step * du, at[1] + step * dv])
                    });
                match around.map(|place| (value(place), place)).find(|(here, _)| *here > most) {
                    Some(higher) => (most, at) = higher,
                    None => stride *= 0.5,
                }
            }
            assert!(most <= found, "b {b}, order {alpha}: {most:e} at {at:?} above {found:e}");
            assert!(
                found <= most * (1.0 + 2.2e-5),
                "b {b}, order {alpha}: {found:e} far above {most:e} at {at:?}"
            );
        }
    }
}

/// The exact worst case of one query at each of `at`, or of a threshold test alone, which has no answer.
fn in_advance<const N: usize>(mechanism: NoisyVote, lattice: Option<Lattice>, at: [f64; N]) -> [f64; N] {
    at.map(|order| {
        let question = Question {
            mechanism,
            lattice,
            delta: Delta::new(0.5).unwrap(),
            orders: orders(&[order]),
            conversion: Conversion::Classic,
            answered: Answered::Stated(0),
            checkpoints: Vec::new(),
            curves: false,
        };
        let account = account_in_advance(AccountantName::ExactWorstCase, &question, 1).unwrap();
        account.loss.epsilon - std::f64::consts::LN_2 / (order - 1.0)
    })
}

#[test]
fn the_worst_case_on_a_lattice_covers_votes_whose_noise_is_drawn_on_it() {
    // Whole sums over the lattice: of two classes, where a tie is a coin, and of a test, where it passes.
    let at = [1.5, 2.0, 4.0, 8.0];
    let mut above_continuous = 0;
    for (bits, votes) in [(0, 8), (1, 8), (0, 3)] {
        let (lattice, vote) = (Lattice::new(bits).unwrap(), 1 << bits);
        let reach = 45 * votes * vote;
        let votes = f64::from(votes);
        let (noise, sigma1) = (scale(votes), scale(votes));
        let tests = NoisyVote::ConfidentGnMax { threshold: 0.0, sigma1, sigma2: noise };
        for mechanism in [NoisyVote::GnMax { sigma: noise }, tests, NoisyVote::LnMax { scale: noise }] {
            let law = |k: i32| {
                let x = f64::from(k) / (votes * f64::from(vote));
                if matches!(mechanism, NoisyVote::LnMax { .. }) {
                    (-x.abs()).exp()
                } else {
                    (-0.5 * x * x).exp()
                }
            };
            let mass: f64 = (-reach..=reach).map(law).sum();
            // Pr[Z < k]
            let mut below = vec![0.0];
            for k in -reach..=reach {
                below.push(below.last().unwrap() + law(k) / mass);
            }
            let less = |k: i32| below[usize::try_from((k + reach).clamp(0, 2 * reach + 1)).unwrap()];
            // With so many steps more than what is to be beaten.
            let wins = |gap: i32| match mechanism {
                NoisyVote::ConfidentGnMax { .. } => less(gap + 1),
                _ => {
                    (-reach..=reach).map(|k| law(k) / mass * 0.5 * (less(k + gap) + less(k + gap + 1))).sum()
                }
            };
            let moved = if matches!(mechanism, NoisyVote::ConfidentGnMax { .. }) { vote } else { 2 * vote };
            let [drawn, continuous] = [Some(lattice), None].map(|lattice| in_advance(mechanism, lattice, at));
            for gap in -20 * vote..=20 * vote {
                let (p, q): (f64, f64) = (wins(gap), wins(gap - moved));
                for (index, order) in at.into_iter().enumerate() {
                    let sum = p.powf(order) * q.powf(1.0 - order)
                        + (1.0 - p).powf(order) * (1.0 - q).powf(1.0 - order);
                    let cost = sum.ln() / (order - 1.0);
                    let name = format!("{mechanism:?}, {bits} bits, gap {gap}, order {order}: {cost}");
                    assert!(cost <= drawn[index] + 1e-12, "{name} above {}", drawn[index]);
                    above_continuous += usize::from(cost > continuous[index] * 1.0001);
                }
            }
        }
    }
    assert!(above_continuous > 0, "or the lattice would not matter");
}

#[test]
fn on_the_lattice_of_campaigns_the_worst_case_is_that_of_continuous_noise_in_four_digits() {
    for mechanism in [
        NoisyVote::GnMax { sigma: scale(40.0) },
        NoisyVote::ConfidentGnMax { threshold: 0.0, sigma1: scale(150.0), sigma2: scale(40.0) },
        NoisyVote::LnMax { scale: scale(40.0) },
    ] {
        let [[continuous], [drawn]] =
            [None, Some(Lattice::DEFAULT)].map(|lattice| in_advance(mechanism, lattice, [8.0]));
        assert!(drawn > continuous && drawn < continuous * 1.0002, "{mechanism:?}: {continuous} {drawn}");
    }
}
