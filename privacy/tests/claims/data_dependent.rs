//! Data-dependent costs: the published bounds as other implementations compute them, and the exact cost, which no
//! quadrature of ours or of others undercuts.

use crate::vectors::{all_digits, digits, paired, read};
use conclave_privacy::VoteCounts;
use conclave_privacy::accountant::{
    Accountant, AdvancedAccountant, Conversion, Direction, PureAccountant, RdpAccountant, ZcdpAccountant,
};
use conclave_privacy::analysis::{AccountantName, Answered, Question, account_in_advance};
use conclave_privacy::counts::ClassIndex;
use conclave_privacy::data_dependent::{
    DataDependent, Method, NoisyVote, StepCosts, answer_agrees, answer_is,
};
use conclave_privacy::event::PrivacyEvent;
use conclave_privacy::quantity::{Delta, Lattice, NoiseScale, RdpOrder, Scale};
use conclave_privacy::secret::Analyst;
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};
use proptest::prelude::*;
use serde::Deserialize;

pub(crate) const ANALYST: Analyst = Analyst::who_may_see_the_votes();

pub(crate) fn orders(values: &[f64]) -> Vec<RdpOrder> {
    values.iter().map(|value| RdpOrder::new(*value).unwrap()).collect()
}

pub(crate) fn scale(value: f64) -> Scale {
    Scale::new(value).unwrap()
}

fn counts(votes: &[u64]) -> VoteCounts {
    VoteCounts::new(votes.to_vec()).unwrap()
}

fn costs(mechanism: NoisyVote, method: Method, at: &[f64], votes: &[u64]) -> StepCosts {
    DataDependent::new(mechanism, method, &orders(at)).unwrap().steps(&counts(votes)).open(&ANALYST)
}

/// `found` within `tolerance` of `expected` in relative terms.
pub(crate) fn assert_close(name: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_within(name, found, expected, tolerance, tolerance);
}

/// `found` below `expected` by at most `below` and above it by at most `above`, in relative terms.
pub(crate) fn assert_within(name: &str, found: &[f64], expected: &[f64], below: f64, above: f64) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let (off, size) = (found - expected, expected.abs());
        assert!(
            off >= -below * size - 1e-300 && off <= above * size + 1e-300,
            "{name}, order {index}: {found:e}, not {expected:e}"
        );
    }
}

/// The published data-independent cost of one `event` on the orders `at`.
pub(crate) fn independent(event: PrivacyEvent, at: &[f64]) -> Vec<f64> {
    let who = Sensitivity::of(PrivacyUnit::Record, Adjacency::AddRemove, VotingScheme::Ensemble).unwrap();
    let mut accountant = RdpAccountant::with_orders(orders(at), Conversion::Tight).unwrap();
    accountant.add(&event, &who, 1).unwrap();
    accountant.curve().values().to_vec()
}

/// On the finest lattice: a scale of votes is off by less than 10^-9.
pub(crate) fn drawn(votes: f64) -> NoiseScale {
    NoiseScale::from_votes(votes, Lattice::new(Lattice::BITS_MAX).unwrap()).unwrap()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Theorem6 {
    orders: Vec<f64>,
    cases: Vec<Theorem6Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Theorem6Case {
    votes: Vec<u64>,
    sigma: f64,
    #[serde(deserialize_with = "all_digits")]
    rdp_dep_mp: Vec<f64>,
    rdp_dep_tfp: Vec<f64>,
    rdp_ind: Vec<f64>,
    #[expect(dead_code, reason = "tested where it is private, in src/data_dependent/published.rs")]
    logq_mp: String,
    #[expect(dead_code, reason = "as above")]
    logq_tfp: f64,
}

#[test]
fn theorem_6_gives_what_the_oracle_says() {
    let oracle: Theorem6 = read("gnmax_rdp.json");
    for case in oracle.cases {
        let mechanism = NoisyVote::GnMax { sigma: scale(case.sigma) };
        let found = costs(mechanism, Method::Published, &oracle.orders, &case.votes);
        let name = format!("{:?}, sigma {}", case.votes, case.sigma);
        assert_close(&name, &found.argmax, &case.rdp_dep_mp, 1e-10);
        assert_close(&name, &found.argmax, &case.rdp_dep_tfp, 1e-9);
        assert!(found.threshold.is_none());
        let event = PrivacyEvent::GaussianNoisyMax { sigma: drawn(case.sigma) };
        let tolerance = 1e-9 * (1.0 + 1.0 / case.sigma);
        assert_close(&name, &independent(event, &oracle.orders), &case.rdp_ind, tolerance);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Theorem3 {
    orders: Vec<f64>,
    moment_lambdas: Vec<f64>,
    cases: Vec<Theorem3Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Theorem3Case {
    votes: Vec<u64>,
    lambda: f64,
    #[serde(deserialize_with = "all_digits")]
    rdp_mp: Vec<f64>,
    rdp_tfp: Vec<f64>,
    #[serde(deserialize_with = "all_digits")]
    moments_mp: Vec<f64>,
    moments_tfp2017: Vec<f64>,
    pure_eps: f64,
    /// 1/b.
    gamma: f64,
    #[expect(dead_code, reason = "tested where it is private, in src/data_dependent/published.rs")]
    logq_mp: String,
    #[expect(dead_code, reason = "as above")]
    logq_tfp: f64,
}

#[test]
fn the_log_moments_of_2017_are_l_times_the_cost_at_order_l_plus_one() {
    let oracle: Theorem3 = read("lnmax.json");
    let at: Vec<f64> = oracle.moment_lambdas.iter().map(|l| l + 1.0).collect();
    for case in oracle.cases {
        let mechanism = NoisyVote::LnMax { scale: scale(case.lambda) };
        let found = costs(mechanism, Method::Published, &at, &case.votes).argmax;
        let moments: Vec<f64> = paired(&found, &oracle.moment_lambdas).map(|(rdp, l)| l * rdp).collect();
        let name = format!("{:?}, b {}", case.votes, case.lambda);
        assert_close(&name, &moments, &case.moments_mp, 1e-10);
        // That code takes ln of a number next to 1: its smallest moments have fewer digits.
        for (found, expected) in paired(&moments, &case.moments_tfp2017) {
            assert!(
                (found - expected).abs() <= 1e-9 * expected + 1e-13,
                "{name}: {found:e}, not {expected:e}"
            );
        }
    }
}

#[test]
fn theorem_3_gives_what_the_oracle_says() {
    let oracle: Theorem3 = read("lnmax.json");
    for case in oracle.cases {
        let mechanism = NoisyVote::LnMax { scale: scale(case.lambda) };
        let found = costs(mechanism, Method::Published, &oracle.orders, &case.votes);
        let name = format!("{:?}, b {}", case.votes, case.lambda);
        assert_close(&name, &found.argmax, &case.rdp_mp, 1e-10);
        assert_close(&name, &found.argmax, &case.rdp_tfp, 1e-9);
        let pure = pure_epsilon(mechanism);
        assert_close(&name, &[pure, pure / 2.0], &[case.pure_eps, case.gamma], 1e-12);
    }
}

/// ε of one query, at any δ.
fn pure_epsilon(mechanism: NoisyVote) -> f64 {
    let question = Question {
        mechanism,
        lattice: None,
        delta: Delta::new(1e-5).unwrap(),
        orders: Vec::new(),
        conversion: Conversion::Tight,
        answered: Answered::All,
        checkpoints: Vec::new(),
        curves: false,
    };
    account_in_advance(AccountantName::Pure, &question, 1).unwrap().loss.epsilon
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Thresholds {
    orders: Vec<f64>,
    cases: Vec<ThresholdCase>,
    pub(crate) interactive: Vec<InteractiveCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InteractiveCase {
    pub(crate) votes: Vec<u64>,
    pub(crate) student_probs: Vec<f64>,
    pub(crate) teachers: u64,
    #[serde(rename = "T")]
    pub(crate) threshold: f64,
    pub(crate) sigma1: f64,
    pub(crate) max_diff: f64,
    pub(crate) log_pr_answered_rounded_tfp: f64,
    #[serde(deserialize_with = "digits")]
    pub(crate) log_pr_answered_unrounded_mp: f64,
    rdp_dep_rounded_tfp: Vec<f64>,
    rdp_ind: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ThresholdCase {
    #[serde(rename = "T")]
    threshold: f64,
    sigma1: f64,
    max_votes: u64,
    #[serde(deserialize_with = "digits")]
    log_pr_answered_mp: f64,
    log_pr_answered_tfp: f64,
    #[serde(deserialize_with = "all_digits")]
    rdp_dep_mp: Vec<f64>,
    rdp_dep_tfp: Vec<f64>,
    rdp_ind: Vec<f64>,
}

#[test]
fn the_threshold_test_costs_what_the_oracle_says() {
    let oracle: Thresholds = read("threshold.json");
    for case in oracle.cases {
        let ThresholdCase { threshold, sigma1, max_votes, .. } = case;
        let mechanism = NoisyVote::ConfidentGnMax { threshold, sigma1: scale(sigma1), sigma2: scale(40.0) };
        let found = costs(mechanism, Method::Published, &oracle.orders, &[max_votes, 0]);
        let name = format!("T {threshold}, sigma1 {sigma1}, max {max_votes}");
        let cost = found.threshold.unwrap();
        assert_close(&name, &cost, &case.rdp_dep_mp, 1e-10);
        assert_close(&name, &cost, &case.rdp_dep_tfp, 1e-9);
        let event = PrivacyEvent::GaussianThreshold { sigma1: drawn(sigma1) };
        assert_close(&name, &independent(event, &oracle.orders), &case.rdp_ind, 1e-9);
        assert_close(&name, &[found.answered], &[case.log_pr_answered_tfp.exp()], 1e-9);
        assert_close(&name, &[found.answered], &[case.log_pr_answered_mp.exp()], 1e-12);
    }
}

#[test]
fn the_threshold_test_against_a_prediction_costs_what_the_oracle_says_where_it_rounds() {
    let oracle: Thresholds = read("threshold.json");
    for case in oracle.interactive {
        // The oracle rounds the statistic to a whole vote; subtracting it from a thousand is adding it to the threshold.
        let (threshold, sigma1) =
            (case.threshold + 1_000.0 - case.max_diff.round_ties_even(), scale(case.sigma1));
        let mechanism = NoisyVote::ConfidentGnMax { threshold, sigma1, sigma2: scale(40.0) };
        let found = costs(mechanism, Method::Published, &oracle.orders, &[1_000, 0]).threshold.unwrap();
        let name = format!("interactive, T {}, sigma1 {}", case.threshold, case.sigma1);
        assert_close(&name, &found, &case.rdp_dep_rounded_tfp, 1e-9);
        let event = PrivacyEvent::GaussianThreshold { sigma1: drawn(case.sigma1) };
        assert_close(&name, &independent(event, &oracle.orders), &case.rdp_ind, 1e-9);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Divergences {
    cases: Vec<DivergenceCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DivergenceCase {
    votes: Vec<u64>,
    scale: f64,
    orders: Vec<f64>,
    gaussian: Exact,
    laplace: Exact,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exact {
    #[serde(rename = "exact_renyi_D_vs_neighbour")]
    here_from_neighbour: Vec<f64>,
    #[serde(rename = "exact_renyi_neighbour_vs_D")]
    neighbour_from_here: Vec<f64>,
    log_probs: Vec<f64>,
    #[serde(rename = "exact_max_log_ratio")]
    largest_log_ratio: f64,
    #[serde(alias = "bound_thm6_tfp", alias = "bound_lnmax_tfp")]
    bound: Vec<f64>,
    /// Gaussian noise only.
    bound_data_independent: Option<Vec<f64>>,
}

fn divergences() -> Vec<DivergenceCase> {
    read::<Divergences>("exact_divergence.json").cases
}

impl DivergenceCase {
    /// Each noise with what the oracle knows of it.
    fn both(&self) -> [(NoisyVote, &Exact); 2] {
        let scale = scale(self.scale);
        [(NoisyVote::GnMax { sigma: scale }, &self.gaussian), (NoisyVote::LnMax { scale }, &self.laplace)]
    }
}

#[test]
fn the_exact_cost_is_the_larger_of_both_directions_and_never_below() {
    for case in divergences() {
        for (mechanism, exact) in case.both() {
            let found = costs(mechanism, Method::Exact, &case.orders, &case.votes).argmax;
            let both: Vec<_> = paired(&exact.here_from_neighbour, &exact.neighbour_from_here).collect();
            for ((found, (one, other)), order) in paired(&found, &both).zip(&case.orders) {
                let truth = one.max(**other);
                let name =
                    format!("{mechanism:?}, {:?}, order {order}: {found:e}, not {truth:e}", case.votes);
                assert!(*found >= truth * (1.0 - 1e-7), "{name}");
                assert!(*found <= truth * (1.0 + 1e-6) + 1e-14, "{name}");
            }
        }
    }
}

#[test]
fn the_published_bounds_at_the_votes_of_the_soundness_oracle_are_those_that_it_names() {
    for case in divergences() {
        for (mechanism, exact) in case.both() {
            let found = costs(mechanism, Method::Published, &case.orders, &case.votes).argmax;
            assert_close(&format!("{mechanism:?}, {:?}", case.votes), &found, &exact.bound, 1e-9);
        }
        let event = PrivacyEvent::GaussianNoisyMax { sigma: drawn(case.scale) };
        let expected = case.gaussian.bound_data_independent.unwrap();
        assert_close(&format!("{:?}", case.votes), &independent(event, &case.orders), &expected, 1e-9);
    }
}

#[test]
fn no_single_answer_tells_more_than_the_pure_loss_and_the_exact_cost_at_large_orders_comes_close_to_it() {
    for case in divergences() {
        let pure = pure_epsilon(NoisyVote::LnMax { scale: scale(case.scale) });
        let most = case.laplace.largest_log_ratio;
        assert!(pure >= most * (1.0 - 1e-7), "{:?}: {pure} below {most}", case.votes);
        for (mechanism, exact) in case.both() {
            // With L = ln(p/q) of the outcome that tells most, (α-1)D_α >= ln(p^α q^(1-α)) = ln p + (α-1)L, either way round, and
            // D_α <= L. The rarer of p and q is at least L below the rarest outcome here.
            let most = exact.largest_log_ratio;
            let alpha = 1.0 + 400.0 / most;
            let found = costs(mechanism, Method::Exact, &[alpha], &case.votes).argmax[0];
            let rarest = exact.log_probs.iter().copied().fold(0.0, f64::min) - most;
            let least = most + rarest / (alpha - 1.0);
            let name =
                format!("{mechanism:?}, {:?}, order {alpha}: {found}, not in {least}..{most}", case.votes);
            assert!(found >= least * (1.0 - 1e-7) && found <= most * (1.0 + 1e-6), "{name}");
            assert!(least > 0.9 * most, "{name}: the bound says too little");
        }
    }
}

/// How often each class is answered.
fn answers(mechanism: NoisyVote, votes: &[u64]) -> Vec<f64> {
    let counts = counts(votes);
    let class = |class| answer_is(mechanism.argmax(), &counts, class).open(&ANALYST);
    (0..).map(ClassIndex).take(votes.len()).map(class).collect()
}

/// Of probabilities; the oracle prints sixteen digits of their logarithms.
const PROBABILITY: f64 = 1e-12;

#[test]
fn every_class_is_answered_as_often_as_the_oracle_says() {
    for case in divergences() {
        for (mechanism, exact) in case.both() {
            let each = answers(mechanism, &case.votes);
            let expected: Vec<f64> = exact.log_probs.iter().map(|log| log.exp()).collect();
            let name = format!("{mechanism:?}, {:?}", case.votes);
            assert_close(&name, &each, &expected, PROBABILITY);
            // The most frequent vote; all of them where there are several.
            let most = case.votes.iter().max().unwrap();
            let places = paired(&case.votes, &expected).filter(|(votes, _)| *votes == most);
            let agrees = answer_agrees(mechanism.argmax(), &counts(&case.votes)).open(&ANALYST);
            assert_close(&name, &[agrees], &[places.map(|(_, expected)| expected).sum()], PROBABILITY);
        }
    }
}

#[test]
fn the_joint_law_of_threshold_and_argmax_is_a_true_divergence_where_expected_answers_are_none() {
    // A split vote below the threshold: the answer is seldom reached, and tells much when it is.
    let mechanism = NoisyVote::ConfidentGnMax { threshold: 200.0, sigma1: scale(30.0), sigma2: scale(10.0) };
    let mut data = DataDependent::new(mechanism, Method::Exact, &orders(&[32.0])).unwrap();
    let votes = counts(&[130, 120]);
    let steps = data.steps(&votes).open(&ANALYST);
    let expected = steps.threshold.unwrap()[0] + steps.answered * steps.argmax[0];
    let joint = data.joint(&votes).open(&ANALYST)[0];
    assert!((joint / 0.0189 - 1.0).abs() < 0.01, "{joint}");
    assert!(expected < 0.3 * joint, "{expected}");
}

#[test]
fn votes_far_apart_and_noise_at_its_extremes_give_finite_costs() {
    for votes in [vec![1 << 53, 0], vec![250, 0, 0], vec![0, 0], vec![1, 0], vec![1 << 40; 5]] {
        for noise in [1e-3, 0.5, 1.0, 40.0, 1e9] {
            for mechanism in [
                NoisyVote::GnMax { sigma: scale(noise) },
                NoisyVote::LnMax { scale: scale(noise) },
                NoisyVote::ConfidentGnMax { threshold: 200.0, sigma1: scale(noise), sigma2: scale(noise) },
            ] {
                for method in [Method::Published, Method::Exact] {
                    let steps = costs(mechanism, method, &[1.01, 2.0, 64.0, 1e5], &votes);
                    for cost in steps.argmax.iter().chain(steps.threshold.iter().flatten()) {
                        assert!(
                            cost.is_finite() && *cost >= 0.0,
                            "{mechanism:?} {method:?} {votes:?}: {cost}"
                        );
                    }
                }
            }
        }
    }
}

/// The Rényi divergence of `p` from `q`, by terms that vanish where both agree: Σ q·g(p/q) with g(r) = r^α - 1 - α(r-1).
fn divergence(p: &[f64], q: &[f64], alpha: f64) -> f64 {
    let term = |(p, q): (&f64, &f64)| {
        let (log_ratio, more) = (libm::log(p / q), p / q - 1.0);
        q * (libm::expm1(alpha * log_ratio) - alpha * more)
    };
    libm::log1p(p.iter().zip(q).map(term).sum()) / (alpha - 1.0)
}

#[test]
fn more_noise_may_make_a_query_dearer_at_its_votes_and_never_does_in_the_worst_case() {
    // A clear vote is certain at little noise and tells nothing of any one teacher; that is why costs at given votes need not fall
    // with the noise. Those over all votes do: more noise is less noise with noise added, and no data processing adds loss
    // (`properties` has them fall, `prices` the prices).
    for mechanism in [|noise| NoisyVote::GnMax { sigma: noise }, |noise| NoisyVote::LnMax { scale: noise }] {
        for method in [Method::Published, Method::Exact] {
            let [little, much] = [5.0, 40.0]
                .map(|noise| costs(mechanism(scale(noise)), method, &[4.0], &[250, 0, 0]).argmax[0]);
            assert!(little < 0.1 * much, "{method:?}: {little:e} and {much:e}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn costs_ignore_the_order_of_classes_and_are_never_above_what_all_votes_are_published_to_cost(
        (votes, shuffled) in prop::collection::vec(0_u64..60, 2..6)
            .prop_flat_map(|votes| (Just(votes.clone()), Just(votes).prop_shuffle())),
        sigma in 2.0_f64..60.0, gaussian in any::<bool>(),
    ) {
        let mechanism = if gaussian {
            NoisyVote::GnMax { sigma: scale(sigma) }
        } else {
            NoisyVote::LnMax { scale: scale(sigma) }
        };
        let at = [1.25, 3.0, 20.0];
        for method in [Method::Published, Method::Exact] {
            let cost = costs(mechanism, method, &at, &votes).argmax;
            prop_assert_eq!(&cost, &costs(mechanism, method, &at, &shuffled).argmax);
            for (cost, order) in cost.iter().zip(at) {
                let ceiling = if gaussian {
                    order / (sigma * sigma)
                } else {
                    (2.0 * order / (sigma * sigma)).min(2.0 / sigma)
                };
                prop_assert!(*cost >= 0.0 && *cost <= ceiling * (1.0 + 1e-12));
            }
        }
    }

    // That Theorem 6 of GNMax covers its direction is a test in src/data_dependent/exact.rs.

    #[test]
    fn theorem_3_is_above_the_exact_divergence_of_lnmax_from_every_neighbour(
        votes in prop::collection::vec(0_u64..40, 2..6), b in 0.8_f64..20.0,
    ) {
        let at = [1.5, 4.0, 16.0];
        let mechanism = NoisyVote::LnMax { scale: scale(b) };
        let published = costs(mechanism, Method::Published, &at, &votes).argmax;
        let here = answers(mechanism, &votes);
        for from in (0..votes.len()).filter(|from| votes[*from] > 0) {
            for to in (0..votes.len()).filter(|to| *to != from) {
                let mut moved = votes.clone();
                moved[from] -= 1;
                moved[to] += 1;
                let there = answers(mechanism, &moved);
                for (alpha, published) in at.iter().zip(&published) {
                    let exact = divergence(&here, &there, *alpha);
                    prop_assert!(exact <= published * (1.0 + 1e-7) + 1e-12, "{alpha}: {exact:e} above {published:e}");
                }
            }
        }
    }

    #[test]
    fn theorem_6_of_the_threshold_test_is_above_the_exact_divergence_from_every_neighbour(
        largest in 0_u64..400, threshold in 0.0_f64..400.0, sigma1 in 0.5_f64..200.0,
    ) {
        let at = [1.5, 4.0, 16.0];
        let mechanism = NoisyVote::ConfidentGnMax { threshold, sigma1: scale(sigma1), sigma2: scale(40.0) };
        let published = costs(mechanism, Method::Published, &at, &[largest, 0]).threshold.unwrap();
        let law = |largest: f64| {
            let z = (largest - threshold) / (sigma1 * std::f64::consts::SQRT_2);
            [0.5 * libm::erfc(-z), 0.5 * libm::erfc(z)]
        };
        let here = law(largest as f64);
        for moved in [largest as f64 - 1.0, largest as f64 + 1.0] {
            let there = law(moved);
            // Rarer than the smallest double: nothing is left of it to compare.
            prop_assume!(here.iter().chain(&there).all(|p| *p > 0.0));
            for (alpha, published) in at.iter().zip(&published) {
                let exact = divergence(&here, &there, *alpha);
                prop_assert!(exact <= published * (1.0 + 1e-7) + 1e-12, "{alpha}: {exact:e} above {published:e}");
            }
        }
    }
}

#[test]
fn every_accountant_says_whether_it_may_be_published_and_on_which_side_it_errs() {
    let told: Vec<_> = AccountantName::ALL
        .map(|name| (name.as_str(), name.cost_publishable() && name.is_guarantee(), name.direction().name()))
        .to_vec();
    assert_eq!(
        told,
        [
            ("pure", true, "upper"),
            ("advanced", true, "upper"),
            ("zcdp", true, "upper"),
            ("rdp", true, "upper"),
            ("pld", true, "upper"),
            ("pld-lower", false, "lower"),
            ("gdp", true, "upper"),
            ("rdp-data-dependent", false, "one-direction"),
            ("exact", false, "exact"),
            ("exact-worst-case", true, "upper"),
        ]
    );
    let behind_the_trait: [&dyn Accountant; 4] = [
        &PureAccountant::new(),
        &AdvancedAccountant::new(),
        &ZcdpAccountant::new(Conversion::Tight),
        &RdpAccountant::new(Conversion::Tight),
    ];
    for accountant in behind_the_trait {
        assert_eq!((accountant.publishable(), accountant.direction()), (true, Direction::UpperBound));
    }
}
