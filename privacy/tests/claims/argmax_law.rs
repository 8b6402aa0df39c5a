//! The mechanisms answer with the probabilities that were computed elsewhere.

use crate::chi_square::{FALSE_ALARM, assert_fits, generator, p_value};
use crate::vectors::{all_digits, read};
use conclave_privacy::counts::{ClassIndex, VoteCounts};
use conclave_privacy::mechanism::{
    ConfidentGnMax, Draw, ExponentialMechanism, GnMax, InteractiveGnMax, LnMax, Mechanism, NoisyHistogram,
    Outcome, PermuteAndFlip, Ran, StudentPrediction,
};
use conclave_privacy::noise::{NoiseSource, SimulationGenerator, SimulationNoise};
use conclave_privacy::quantity::{Lattice, NoiseScale, Threshold};
use rand::Rng;
use serde::Deserialize;

const DRAWS: u64 = 20_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Oracle {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    votes: Vec<u64>,
    scale: f64,
    #[serde(deserialize_with = "all_digits")]
    gaussian: Vec<f64>,
    #[serde(deserialize_with = "all_digits")]
    laplace: Vec<f64>,
    #[serde(rename = "discrete_gaussian_uniform_tie")]
    discrete_gaussian: Vec<f64>,
    #[serde(rename = "discrete_laplace_uniform_tie")]
    discrete_laplace: Vec<f64>,
    discrete_gaussian_lowest_index: Vec<f64>,
    discrete_laplace_lowest_index: Vec<f64>,
    #[serde(rename = "gumbel_softmax_scale")]
    gumbel: Vec<f64>,
    #[serde(rename = "permute_and_flip_scale", deserialize_with = "all_digits")]
    permute_and_flip: Vec<f64>,
    #[serde(rename = "sum_check")]
    #[expect(
        dead_code,
        reason = "the oracle's check of itself: that its Gaussian and Laplace laws sum to 1"
    )]
    sums: [String; 2],
}

fn cases() -> Vec<Case> {
    read::<Oracle>("argmax_probs.json").cases
}

/// How often each class is the answer.
fn answers(
    release: impl Fn(&VoteCounts, &mut SimulationGenerator) -> Draw,
    votes: &[u64],
    name: &str,
) -> Vec<u64> {
    let counts = VoteCounts::new(votes.to_vec()).unwrap();
    let mut generator = generator(name);
    let mut answers = vec![0; votes.len()];
    for _ in 0..DRAWS {
        let draw = release(&counts, &mut generator);
        assert_eq!(draw.ran, Ran::NoisyMax);
        let Outcome::Label(ClassIndex(class)) = draw.outcome else {
            panic!("an abstention without a threshold")
        };
        answers[class as usize] += 1;
    }
    answers
}

fn assert_law(mechanism: Mechanism, votes: &[u64], expected: &[f64]) {
    let name = format!("{mechanism:?} of {votes:?}");
    let release = |counts: &VoteCounts, generator: &mut _| mechanism.release(counts, generator);
    assert_fits(&name, &answers(release, votes, &name), expected);
}

fn assert_exponential(scale: NoiseScale, votes: &[u64], expected: &[f64]) {
    let mechanism = ExponentialMechanism::new(scale);
    let name = format!("{mechanism:?} of {votes:?}");
    let release = |counts: &VoteCounts, generator: &mut _| mechanism.release(counts, generator);
    assert_fits(&name, &answers(release, votes, &name), expected);
}

fn assert_permute_and_flip(scale: NoiseScale, votes: &[u64], expected: &[f64]) {
    let mechanism = PermuteAndFlip::new(scale);
    let name = format!("{mechanism:?} of {votes:?}");
    let release = |counts: &VoteCounts, generator: &mut _| mechanism.release(counts, generator);
    assert_fits(&name, &answers(release, votes, &name), expected);
}

#[test]
fn the_exponential_mechanism_and_permute_and_flip_have_their_law_on_every_lattice() {
    // The oracle knows no lattice: the same probabilities hold on whole votes, halves and millionths.
    for bits in [0, 1, 20] {
        let lattice = Lattice::new(bits).unwrap();
        for case in cases().into_iter().filter(|case| bits > 0 || case.scale >= 1.0) {
            let scale = NoiseScale::from_votes(case.scale, lattice).unwrap();
            assert_exponential(scale, &case.votes, &case.gumbel);
            assert_permute_and_flip(scale, &case.votes, &case.permute_and_flip);
        }
    }
}

#[test]
fn extreme_scales_and_counts_neither_panic_nor_favour_anybody() {
    let scale = |votes| NoiseScale::from_votes(votes, Lattice::DEFAULT).unwrap();
    let (tiny, huge) = (scale(1e-3), scale(1e9));
    // A gap of 10^9 votes is certain to decide at a thousandth of a vote, and is one scale at 10^9.
    let far = [0, 1_000_000_000];
    let certain = [0.0, 1.0];
    let e = std::f64::consts::E;
    let (laplace, gumbel, flipped) = (0.75 / e, 1.0 / (1.0 + e), 0.5 / e);
    let gaussian = libm::erfc(0.5) / 2.0;
    let pair = |overtaken: f64| [overtaken, 1.0 - overtaken];
    for (at, [gaussian, laplace, gumbel, flipped]) in
        [(tiny, [certain; 4]), (huge, [gaussian, laplace, gumbel, flipped].map(pair))]
    {
        assert_law(GnMax::new(at).into(), &far, &gaussian);
        assert_law(LnMax::new(at).into(), &far, &laplace);
        assert_exponential(at, &far, &gumbel);
        assert_permute_and_flip(at, &far, &flipped);
    }
    // Equal counts at both ends of their range are equally likely at both ends of the scales.
    for votes in [[0; 4], [VoteCounts::COUNT_MAX; 4]] {
        for at in [tiny, huge, NoiseScale::from_steps(NoiseScale::STEPS_MAX, Lattice::DEFAULT).unwrap()] {
            assert_law(GnMax::new(at).into(), &votes, &[0.25; 4]);
            assert_law(LnMax::new(at).into(), &votes, &[0.25; 4]);
            assert_exponential(at, &votes, &[0.25; 4]);
            assert_permute_and_flip(at, &votes, &[0.25; 4]);
        }
    }
}

/// How often the threshold is missed, and how often each class is the answer.
fn tested(
    name: &str,
    votes: &[u64],
    release: impl Fn(&VoteCounts, &mut SimulationGenerator) -> Outcome,
) -> Vec<u64> {
    let counts = VoteCounts::new(votes.to_vec()).unwrap();
    let mut generator = generator(name);
    let mut seen = vec![0; votes.len() + 1];
    for _ in 0..DRAWS {
        match release(&counts, &mut generator) {
            Outcome::Abstained => seen[0] += 1,
            Outcome::Label(ClassIndex(class)) => seen[class as usize + 1] += 1,
        }
    }
    seen
}

#[test]
fn extreme_scales_and_counts_of_threshold_tests_neither_panic_nor_favour_anybody() {
    let lattice = Lattice::DEFAULT;
    let scale = |votes| NoiseScale::from_votes(votes, lattice).unwrap();
    let most = NoiseScale::from_steps(NoiseScale::STEPS_MAX, lattice).unwrap();
    let threshold = |votes| Threshold::from_votes(votes, lattice).unwrap();
    let highest = Threshold::from_steps(NoiseScale::STEPS_MAX, lattice).unwrap();
    let (far, largest) = ([0, 1_000_000_000], [VoteCounts::COUNT_MAX; 2]);
    let overtaken = libm::erfc(0.5) / 2.0;
    // At one standard deviation below the threshold.
    let seldom = libm::erfc(std::f64::consts::FRAC_1_SQRT_2) / 2.0;
    let cases: [(&[u64], Threshold, NoiseScale, [f64; 3]); 6] = [
        (&far, threshold(5e8), scale(1e-3), [0.0, 0.0, 1.0]),
        (&far, threshold(2e9), scale(1e-3), [1.0, 0.0, 0.0]),
        (&far, threshold(1e9), scale(1e9), [0.5, 0.5 * overtaken, 0.5 * (1.0 - overtaken)]),
        (&[0, 0], threshold(1e9), scale(1e9), [1.0 - seldom, 0.5 * seldom, 0.5 * seldom]),
        (&[0, 0], highest, most, [1.0 - seldom, 0.5 * seldom, 0.5 * seldom]),
        (&largest, highest, most, [0.0, 0.5, 0.5]),
    ];
    for (votes, threshold, at, expected) in cases {
        let steps = ConfidentGnMax::new(threshold, at, at).unwrap();
        let mechanism = Mechanism::from(steps);
        let name = format!("{mechanism} of {votes:?}");
        let seen = tested(&name, votes, |counts, generator| mechanism.release(counts, generator).outcome);
        assert_fits(&name, &seen, &expected);
    }
    // A student that predicts half of the votes for either class takes half of them from the statistic of the test.
    for (votes, teachers, threshold, at, expected) in [
        (far, 1_000_000_000, threshold(4e8), scale(1e-3), [0.0, 0.0, 1.0]),
        (far, 1_000_000_000, threshold(6e8), scale(1e-3), [1.0, 0.0, 0.0]),
        (far, 1_000_000_000, threshold(5e8), scale(1e9), [0.5, 0.5 * overtaken, 0.5 * (1.0 - overtaken)]),
        (largest, VoteCounts::COUNT_MAX, highest, most, [0.0, 0.5, 0.5]),
        ([0, 0], VoteCounts::COUNT_MAX, threshold(0.0), scale(1e-3), [1.0, 0.0, 0.0]),
    ] {
        let steps = ConfidentGnMax::new(threshold, at, at).unwrap();
        let mechanism = InteractiveGnMax::new(steps, 0.9).unwrap();
        let student = StudentPrediction::new(teachers, &[0.5, 0.5]).unwrap();
        let name = format!("interactive, {} of {votes:?}", Mechanism::from(steps));
        let release = |counts: &VoteCounts, generator: &mut _| {
            mechanism.release(counts, &student, generator).unwrap().outcome
        };
        assert_fits(&name, &tested(&name, &votes, release), &expected);
    }
}

#[test]
fn extreme_scales_and_counts_of_histograms_neither_panic_nor_favour_anybody() {
    let lattice = Lattice::DEFAULT;
    let scale = |votes| NoiseScale::from_votes(votes, lattice).unwrap();
    let most = NoiseScale::from_steps(NoiseScale::STEPS_MAX, lattice).unwrap();
    let (far, largest, none) = ([0, 1_000_000_000], [VoteCounts::COUNT_MAX; 2], [0, 0]);
    let (gaussian, laplace) = (libm::erfc(0.5) / 2.0, 0.75 / std::f64::consts::E);
    for (votes, at, [gaussian, laplace]) in [
        (far, scale(1e-3), [0.0; 2]),
        (far, scale(1e9), [gaussian, laplace]),
        (largest, scale(1e-3), [0.5; 2]),
        (largest, most, [0.5; 2]),
        (none, scale(1e-3), [0.5; 2]),
        (none, most, [0.5; 2]),
    ] {
        for (histogram, first) in
            [(NoisyHistogram::Gaussian(at), gaussian), (NoisyHistogram::Laplace(at), laplace)]
        {
            let name = format!("{histogram:?} of {votes:?}");
            let seen = tested(&name, &votes, |counts, generator| {
                let noisy = histogram.release(std::slice::from_ref(counts), generator).unwrap();
                noisy.labels(Threshold::from_steps(0, lattice).unwrap()).unwrap()[0]
            });
            assert_fits(&name, &seen, &[0.0, first, 1.0 - first]);
        }
    }
}

#[test]
fn on_the_lattice_of_whole_votes_ties_are_broken_uniformly_as_the_oracle_says() {
    let votes_only = Lattice::new(0).unwrap();
    // A scale of half a vote is not a whole number of steps on this lattice.
    for case in cases().into_iter().filter(|case| case.scale >= 1.0) {
        let scale = NoiseScale::from_votes(case.scale, votes_only).unwrap();
        assert_law(GnMax::new(scale).into(), &case.votes, &case.discrete_gaussian);
        assert_law(LnMax::new(scale).into(), &case.votes, &case.discrete_laplace);
    }
}

#[test]
fn ties_that_the_lowest_index_won_would_be_seen() {
    // The oracle has that law too. Where it differs enough, draws that fit the fair one do not fit it: both ways.
    let votes_only = Lattice::new(0).unwrap();
    let mut seen = 0;
    for case in cases().into_iter().filter(|case| case.scale >= 1.0) {
        let scale = NoiseScale::from_votes(case.scale, votes_only).unwrap();
        let laws = [
            (
                Mechanism::from(GnMax::new(scale)),
                &case.discrete_gaussian,
                &case.discrete_gaussian_lowest_index,
            ),
            (Mechanism::from(LnMax::new(scale)), &case.discrete_laplace, &case.discrete_laplace_lowest_index),
        ];
        for (mechanism, fair, lowest) in laws {
            let statistic: f64 = fair.iter().zip(lowest).map(|(p, q)| (p - q).powi(2) / q.max(1e-3)).sum();
            if statistic * (DRAWS as f64) < 200.0 {
                continue;
            }
            let name = format!("{mechanism:?} of {:?}, lowest index", case.votes);
            let release = |counts: &VoteCounts, generator: &mut _| mechanism.release(counts, generator);
            let p = p_value(&answers(release, &case.votes, &name), lowest);
            assert!(p < FALSE_ALARM, "{name}: p = {p:e}");
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen}");
}

#[test]
fn on_the_default_lattice_the_answers_are_those_of_continuous_noise() {
    for case in cases() {
        let scale = NoiseScale::from_votes(case.scale, Lattice::DEFAULT).unwrap();
        assert_law(GnMax::new(scale).into(), &case.votes, &case.gaussian);
        assert_law(LnMax::new(scale).into(), &case.votes, &case.laplace);
    }
}

#[test]
fn confident_gnmax_answers_as_often_as_the_threshold_says_and_then_like_gnmax() {
    let votes = |votes: f64| NoiseScale::from_votes(votes, Lattice::DEFAULT).unwrap();
    let (sigma1, sigma2, threshold) = (15.0, 10.0, 25.0);
    let case = cases()
        .into_iter()
        .find(|case| case.votes == [30, 25, 20, 15, 10] && case.scale.total_cmp(&sigma2).is_eq())
        .unwrap();
    let mechanism: Mechanism = ConfidentGnMax::new(
        Threshold::from_votes(threshold, Lattice::DEFAULT).unwrap(),
        votes(sigma1),
        votes(sigma2),
    )
    .unwrap()
    .into();

    let counts = VoteCounts::new(case.votes.clone()).unwrap();
    let mut generator = generator("confident");
    let mut observed = vec![0; case.votes.len() + 1];
    for _ in 0..10 * DRAWS {
        let draw = mechanism.release(&counts, &mut generator);
        match (draw.outcome, draw.ran) {
            (Outcome::Abstained, Ran::Threshold) => observed[case.votes.len()] += 1,
            (Outcome::Label(class), Ran::ThresholdThenNoisyMax) => observed[class.position()] += 1,
            (outcome, ran) => panic!("{outcome:?} after {ran:?}"),
        }
    }
    let answered = libm::erfc((threshold - 30.0) / sigma1 / std::f64::consts::SQRT_2) / 2.0;
    let mut expected: Vec<f64> = case.gaussian.iter().map(|label| label * answered).collect();
    expected.push(1.0 - answered);
    assert_fits("confident", &observed, &expected);
}

#[test]
fn a_threshold_that_is_met_exactly_is_reached() {
    // On a lattice of whole votes with the smallest noise: Pr[5 + noise >= 5] = (1 + Pr[noise = 0]) / 2, not
    // the half below.
    let votes_only = Lattice::new(0).unwrap();
    let one = NoiseScale::from_steps(1, votes_only).unwrap();
    let mechanism: Mechanism =
        ConfidentGnMax::new(Threshold::from_steps(5, votes_only).unwrap(), one, one).unwrap().into();
    let counts = VoteCounts::new(vec![5, 0]).unwrap();
    let mut generator = generator("threshold met exactly");
    let abstained = (0..DRAWS)
        .filter(|_| mechanism.release(&counts, &mut generator).outcome == Outcome::Abstained)
        .count() as u64;
    let mass: f64 = (-20..=20).map(|k| libm::exp(-f64::from(k * k) / 2.0)).sum();
    let reached = f64::midpoint(1.0, 1.0 / mass);
    assert_fits("threshold met exactly", &[DRAWS - abstained, abstained], &[reached, 1.0 - reached]);
}

type Release = fn(NoiseScale, &VoteCounts, &mut SimulationGenerator) -> Draw;

#[test]
fn a_draw_does_the_same_work_whatever_the_counts() {
    // The same generator is left in the same place by very different votes; on this lattice ties do not
    // happen.
    let scale = NoiseScale::from_votes(40.0, Lattice::DEFAULT).unwrap();
    let mechanisms: [(&str, Release); 3] = [
        ("lnmax", |scale, counts, generator| Mechanism::from(LnMax::new(scale)).release(counts, generator)),
        ("gnmax", |scale, counts, generator| Mechanism::from(GnMax::new(scale)).release(counts, generator)),
        ("permute-and-flip", |scale, counts, generator| {
            PermuteAndFlip::new(scale).release(counts, generator)
        }),
    ];
    for (name, release) in mechanisms {
        for attempt in 0..100 {
            let afterwards =
                [vec![0; 10], vec![100; 10], vec![VoteCounts::COUNT_MAX, 0, 0, 0, 0, 0, 0, 0, 0, 1]].map(
                    |votes| {
                        let mut generator =
                            SimulationNoise::new(1).generator("work", &[0; 32], attempt).unwrap();
                        let _ = release(scale, &VoteCounts::new(votes).unwrap(), &mut generator);
                        generator.next_u64()
                    },
                );
            assert!(afterwards.iter().all(|next| *next == afterwards[0]), "{name}");
        }
    }
}
