//! Smooth sensitivity of published costs, against the paper's code, and the conditions under which it is proven.

use crate::chi_square::{assert_fits, generator};
use crate::data_dependent::{ANALYST, orders, scale};
use crate::published_votes::{RealVotes, votes_of};
use crate::vectors::{digits, read};
use conclave_privacy::accountant::{Accountant, Conversion, PureAccountant, RdpAccountant, rdp_to_epsilon};
use conclave_privacy::data_dependent::{DataDependent, Method, NoisyVote};
use conclave_privacy::filter::ZcdpFilter;
use conclave_privacy::quantity::{Delta, FilterOrder, RdpCurve, RdpOrder};
use conclave_privacy::smooth_sensitivity::{
    ConfidentSensitivity, GnMaxSensitivity, SanitisedRelease, SensitiveCost, ThresholdSensitivity,
    published_release_cost, release_cost,
};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};
use conclave_privacy::{Error, VoteCounts};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sensitivities {
    pub(crate) gnmax_cases: Vec<GnMax>,
    threshold_cases: Vec<Threshold>,
    gnss_release_cost: Vec<Release>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GnMax {
    pub(crate) votes: Vec<u64>,
    pub(crate) teachers: u64,
    pub(crate) sigma: f64,
    pub(crate) order: f64,
    logq0: f64,
    logq1: f64,
    #[serde(rename = "conditions_c5_c6")]
    conditions: [bool; 2],
    local_sens_rle: Vec<(f64, usize)>,
    smooth: Vec<Smooth>,
    #[expect(dead_code, reason = "tested where it is private, in src/data_dependent/published.rs")]
    logq: f64,
}

impl GnMax {
    /// The local sensitivity at each distance.
    pub(crate) fn local(&self) -> Vec<f64> {
        each(&self.local_sens_rle)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Threshold {
    votes: Vec<u64>,
    teachers: u64,
    #[serde(rename = "T")]
    votes_needed: f64,
    sigma1: f64,
    order: f64,
    local_sens_rle: Vec<(f64, usize)>,
    smooth: Vec<Smooth>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Smooth {
    pub(crate) beta: f64,
    pub(crate) value: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    sigma_ss: f64,
    order: f64,
    beta: f64,
    #[serde(deserialize_with = "digits")]
    rdp_mp: f64,
    rdp_tfp: f64,
}

fn oracle() -> Sensitivities {
    read("smooth_sensitivity.json")
}

/// A run-length list, written out.
fn each(runs: &[(f64, usize)]) -> Vec<f64> {
    runs.iter().flat_map(|(value, times)| std::iter::repeat_n(*value, *times)).collect()
}

fn assert_smooth(name: &str, cost: &SensitiveCost, expected: &[Smooth]) {
    for Smooth { beta, value } in expected {
        let found = cost.smooth(*beta).unwrap().open(&ANALYST);
        assert!((found - value).abs() <= 1e-9 * value, "{name}, beta {beta}: {found:e}, not {value:e}");
    }
}

/// Whether `found` is the `expected` sequence of local sensitivities.
pub(crate) fn same_sequence(found: &[f64], expected: &[f64]) -> bool {
    let close = |(found, expected): (&f64, &f64)| (found - expected).abs() <= 1e-9 * expected.abs();
    found.len() == expected.len() && found.iter().zip(expected).all(close)
}

fn assert_sequence(name: &str, found: &[f64], expected: &[f64]) {
    assert!(same_sequence(found, expected), "{name}: {found:?}, not {expected:?}");
}

#[test]
fn local_sensitivities_of_gnmax_are_those_of_the_paper() {
    for case in oracle().gnmax_cases {
        let name = format!("{:?}, sigma {}, order {}", &case.votes[..2], case.sigma, case.order);
        let order = RdpOrder::new(case.order).unwrap();
        // What the oracle saw on a grid is shown here.
        assert_eq!(case.conditions, [true; 2], "{name}");
        let sensitivity = GnMaxSensitivity::new(scale(case.sigma), case.votes.len(), order).unwrap();
        assert!((sensitivity.log_q0() / case.logq0 - 1.0).abs() < 1e-9, "{name}: {}", sensitivity.log_q0());
        assert!((sensitivity.log_q1() / case.logq1 - 1.0).abs() < 1e-9, "{name}: {}", sensitivity.log_q1());
        assert_eq!(case.votes.iter().sum::<u64>(), case.teachers, "{name}");
        let local = case.local();
        let counts = VoteCounts::new(case.votes).unwrap();
        let cost = sensitivity.of(&counts).unwrap();
        assert_smooth(&name, &cost, &case.smooth);
        assert_sequence(&name, &cost.local().open(&ANALYST), &local);
    }
}

#[test]
fn local_sensitivities_of_the_threshold_test_are_those_of_the_paper() {
    for case in oracle().threshold_cases {
        assert_eq!(case.votes.iter().sum::<u64>(), case.teachers, "as many votes as teachers");
        let counts = VoteCounts::new(case.votes).unwrap();
        let order = RdpOrder::new(case.order).unwrap();
        let test = ThresholdSensitivity::new(case.votes_needed, scale(case.sigma1), order).unwrap();
        let cost = test.of(&counts).unwrap();
        let name = format!("T {}, sigma1 {}", case.votes_needed, case.sigma1);
        assert_smooth(&name, &cost, &case.smooth);
        // The paper's code has the step at distance d itself; a sum over queries needs the largest up to it.
        let mut so_far = 0.0_f64;
        let up_to = each(&case.local_sens_rle).into_iter().map(|step| {
            so_far = so_far.max(step);
            so_far
        });
        assert_sequence(&name, &cost.local().open(&ANALYST), &up_to.collect::<Vec<_>>());
    }
}

#[test]
fn the_published_cost_of_a_release_is_what_theorem_23_says() {
    for case in oracle().gnss_release_cost {
        let order = RdpOrder::new(case.order).unwrap();
        let found = published_release_cost(order, case.beta, scale(case.sigma_ss)).unwrap();
        assert!((found / case.rdp_mp - 1.0).abs() < 1e-10, "{found}, not {}", case.rdp_mp);
        assert!((found / case.rdp_tfp - 1.0).abs() < 1e-9, "{found}, not {}", case.rdp_tfp);
    }
    for cost in [release_cost, published_release_cost] {
        for beta in [0.06, 0.0, f64::NAN] {
            assert!(cost(RdpOrder::new(10.0).unwrap(), beta, scale(1.0)).is_err());
        }
    }
}

#[test]
fn the_real_votes_of_2018_are_sanitised_as_the_script_of_the_paper_does() {
    for (name, case) in read::<RealVotes>("pate2018_real_votes.json").datasets {
        let (table, at) = (case.gnss_tfp_table_script, orders(&[case.gnss_tfp_table_script.order]));
        let (threshold, sigma1, sigma2) = (case.threshold, scale(case.sigma1), scale(case.sigma2));
        let votes = &votes_of(&name)[..case.queries];
        let sensitivity = GnMaxSensitivity::new(sigma2, votes[0].classes(), at[0]).unwrap();
        let mechanism = NoisyVote::ConfidentGnMax { threshold, sigma1, sigma2 };
        let mut data = DataDependent::new(mechanism, Method::Published, &at).unwrap();
        let test = ThresholdSensitivity::new(threshold, sigma1, at[0]).unwrap();
        let (cost, mut sum) = (data.expected(votes).open(&ANALYST), vec![0.0; TEACHERS]);
        for counts in votes {
            // The script weighs the argmax by the probability that it is reached, as the paper's accounting does.
            let answered = data.answered(counts).open(&ANALYST);
            let argmax = sensitivity.of(counts).unwrap().local().open(&ANALYST);
            let test = test.of(counts).unwrap().local().open(&ANALYST);
            assert_eq!((argmax.len(), test.len()), (TEACHERS, TEACHERS));
            for ((sum, argmax), test) in sum.iter_mut().zip(argmax).zip(test) {
                *sum += test + answered * argmax;
            }
        }
        let discounted = |(d, local): (usize, &f64)| libm::exp(-table.beta * d as f64) * local;
        let found = sum.iter().enumerate().map(discounted).fold(0.0, f64::max);
        let curve = RdpCurve::new(at.clone(), cost).unwrap();
        let before = rdp_to_epsilon(&curve, Delta::new(case.delta).unwrap(), Conversion::Classic).epsilon;
        let after = before + published_release_cost(at[0], table.beta, scale(table.sigma_ss)).unwrap();
        for (what, found, printed) in [
            ("smooth sensitivity", found, table.smooth_sensitivity),
            ("epsilon before", before, table.eps_before),
            ("epsilon after", after, table.eps_after_release_cost),
            ("noise", found * table.sigma_ss, table.noise_sd),
        ] {
            assert!((found / printed - 1.0).abs() < 2e-3, "{name}, {what}: {found}, not {printed}");
        }
    }
}

const TEACHERS: usize = 250;

/// The cost of a campaign of Confident-GNMax at one order: two queries with the same votes, the second of which was not answered.
fn a_cost(order: RdpOrder) -> (SensitiveCost, f64) {
    let counts = VoteCounts::new(vec![180, 40, 20, 10]).unwrap();
    let (threshold, sigma1, sigma2) = (170.0, scale(20.0), scale(40.0));
    let known = ConfidentSensitivity::new(threshold, (sigma1, sigma2), 4, order).unwrap();
    let mut cost = SensitiveCost::none(order);
    for answered in [true, false] {
        cost.add(&known.of(&counts, answered).unwrap()).unwrap();
    }
    let mechanism = NoisyVote::ConfidentGnMax { threshold, sigma1, sigma2 };
    let published =
        DataDependent::new(mechanism, Method::Published, &[order]).unwrap().steps(&counts).open(&ANALYST);
    let found = cost.nats().open(&ANALYST);
    let expected = 2.0 * published.threshold.unwrap()[0] + published.argmax[0];
    assert!((found / expected - 1.0).abs() < 1e-9, "{found}, not {expected}");
    // One teacher moves in both queries and in all their steps: what the argmax alone can move is too little.
    let gnmax = GnMaxSensitivity::new(sigma2, 4, order).unwrap().of(&counts).unwrap();
    assert!(gnmax.smooth(0.01).unwrap().open(&ANALYST) < cost.smooth(0.01).unwrap().open(&ANALYST));
    (cost, found)
}

#[test]
fn a_release_is_the_cost_with_noise_of_its_smooth_sensitivity_and_is_priced_by_the_accountants() {
    let order = RdpOrder::new(10.0).unwrap();
    let plan = SanitisedRelease::new(order, 0.01, 8.0).unwrap();
    let (cost, centre) = a_cost(order);
    let scale_of_noise = 8.0 * cost.smooth(0.01).unwrap().open(&ANALYST).max(1.0 / 1024.0);
    // Quarters of the normal law, and its tails.
    let ends = [-1.5, -0.674_489_750_196_081_7, 0.0, 0.674_489_750_196_081_7, 1.5];
    let cdf = |x: f64| 0.5 * libm::erfc(-x / 2_f64.sqrt());
    let mut expected: Vec<f64> = ends.windows(2).map(|pair| cdf(pair[1]) - cdf(pair[0])).collect();
    expected.extend([cdf(ends[0]), cdf(ends[0])]);
    let mut generator = generator("a sanitised cost");
    let mut observed = vec![0; expected.len()];
    for _ in 0..20_000 {
        let z = (plan.release(&cost, &mut generator).unwrap() - centre) / scale_of_noise;
        let cell = ends.windows(2).position(|pair| pair[0] <= z && z < pair[1]);
        observed[cell.unwrap_or(4 + usize::from(z > 0.0))] += 1;
    }
    assert_fits("a sanitised cost", &observed, &expected);

    let one = |unit| Sensitivity::of(unit, Adjacency::AddRemove, VotingScheme::Ensemble).unwrap();
    let (record, person) = (one(PrivacyUnit::Record), one(PrivacyUnit::Subject { max_silos_per_subject: 2 }));
    let stated = release_cost(order, 0.01, scale(8.0)).unwrap();
    let mut rdp = RdpAccountant::with_orders(vec![order], Conversion::Classic).unwrap();
    rdp.add(&plan.event(), &record, 1).unwrap();
    let charged = rdp.curve().points().next().unwrap().1;
    assert!(charged >= stated && charged < stated * 1.01, "{charged}, not {stated}");
    // The filter's orders up to 16 are bounded at this β, so an account may reserve it; larger ones are not.
    let price = |order: u32| plan.event().price_within(&record, FilterOrder::new(order).unwrap());
    let sixteen = price(16).unwrap().to_f64_up();
    assert!(
        sixteen * 10.0 >= charged
            && sixteen >= release_cost(orders(&[16.0])[0], 0.01, scale(8.0)).unwrap() / 16.0
    );
    let mut filter = ZcdpFilter::new(price(16).unwrap(), FilterOrder::new(16).unwrap());
    let once = filter.price(&plan.event(), &record).unwrap();
    assert!(filter.reserve(once).is_ok() && filter.reserve(once).is_err());
    let unsupported =
        |refusal: Error| assert!(matches!(refusal, Error::UnsupportedEvent { .. }), "{refusal}");
    unsupported(price(64).unwrap_err());
    unsupported(price(0).unwrap_err());
    unsupported(plan.event().price_within(&person, FilterOrder::DEFAULT).unwrap_err());
    unsupported(rdp.add(&plan.event(), &person, 1).unwrap_err());
    // It has one teacher, but takes the vote along.
    let firm = one(PrivacyUnit::Organisation { teachers_max: 1 });
    unsupported(plan.event().price_within(&firm, FilterOrder::DEFAULT).unwrap_err());
    unsupported(rdp.add(&plan.event(), &firm, 1).unwrap_err());
    unsupported(RdpAccountant::new(Conversion::Tight).add(&plan.event(), &record, 1).unwrap_err());
    unsupported(PureAccountant::new().add(&plan.event(), &record, 1).unwrap_err());
    for (beta, sigma) in
        [(0.06, 8.0), (0.0, 8.0), (f64::NAN, 8.0), (0.01, 0.5), (0.01, 513.0), (0.01, f64::INFINITY)]
    {
        assert!(SanitisedRelease::new(order, beta, sigma).is_err(), "{beta} {sigma}");
    }
}

#[test]
fn usual_parameters_have_a_certificate() {
    for sigma in [20.0, 40.0, 100.0, 150.0] {
        for classes in [2, 10, 100] {
            for order in [1.5, 4.0, 8.0] {
                assert!(
                    GnMaxSensitivity::new(scale(sigma), classes, RdpOrder::new(order).unwrap()).is_ok(),
                    "sigma {sigma}, {classes} classes, order {order}"
                );
            }
        }
    }
}

#[test]
fn parameters_that_break_the_conditions_of_the_proof_are_refused() {
    let refused = GnMaxSensitivity::new(scale(20.0), 10, RdpOrder::new(25.0).unwrap());
    assert!(matches!(refused.unwrap_err(), Error::Uncertified { condition: "C6", .. }));
    assert!(GnMaxSensitivity::new(scale(40.0), 1, RdpOrder::new(14.0).unwrap()).is_err());
}

#[test]
fn a_cost_at_one_order_is_not_released_by_a_plan_for_another() {
    let [eight, ten] = [8.0, 10.0].map(|order| RdpOrder::new(order).unwrap());
    let plan = SanitisedRelease::new(eight, 0.01, 8.0).unwrap();
    let refusal = plan.release(&a_cost(ten).0, &mut generator("another order")).unwrap_err();
    assert_eq!(refusal, Error::OrderMismatch { found: 10.0, expected: 8.0 });
    assert!(plan.release(&a_cost(eight).0, &mut generator("the same order")).is_ok());
}
