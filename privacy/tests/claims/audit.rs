//! Audits: they agree with other implementations, stay below the exact figures, and catch what they are for.
//!
//! Every planted fault is a sampler around the public mechanisms, such as somebody might write. Seeds are fixed; each audit is
//! wrong with probability 10^-6 at most, and every fault is tested beside its sound twin.

use crate::data_dependent::{ANALYST, independent, orders, scale};
use crate::vectors::read;
use conclave_privacy::audit::{Audit, EventCounts, Finding, OneRun, Significance};
use conclave_privacy::data_dependent::{DataDependent, Method, NoisyVote};
use conclave_privacy::event::PrivacyEvent;
use conclave_privacy::individualised::WeightGrid;
use conclave_privacy::mechanism::{
    ConfidentGnMax, ExponentialMechanism, GnMax, InteractiveGnMax, LnMax, Mechanism, NoisyHistogram, Outcome,
    PermuteAndFlip, StudentPrediction,
};
use conclave_privacy::noise::{
    NoiseGenerator, NoiseSource, SimulationGenerator, SimulationNoise, discrete_gaussian,
};
use conclave_privacy::quantity::{Delta, Epsilon, Lattice, NoiseScale, RdpOrder, Threshold};
use conclave_privacy::{ClassIndex, Error, VoteCounts};
use serde::Deserialize;

const ORDERS: [f64; 3] = [2.0, 4.0, 16.0];
const RUNS: usize = 40_000;

fn audit() -> Audit {
    Audit::new(Significance::new(1e-6).unwrap())
}

fn counts(votes: &[u64]) -> VoteCounts {
    VoteCounts::new(votes.to_vec()).unwrap()
}

fn noise(votes: f64) -> NoiseScale {
    NoiseScale::from_votes(votes, Lattice::DEFAULT).unwrap()
}

fn gnmax(sigma: f64) -> Mechanism {
    Mechanism::from(GnMax::new(noise(sigma)))
}

fn generator(seed: u64) -> SimulationGenerator {
    SimulationNoise::new(seed).generator("audit", &[0; 32], 0).unwrap()
}

/// Many independent runs of `run`.
fn runs<O>(seed: u64, mut run: impl FnMut(&mut SimulationGenerator) -> O) -> Vec<O> {
    let mut generator = generator(seed);
    (0..RUNS).map(|_| run(&mut generator)).collect()
}

fn outcomes(mechanism: Mechanism, votes: &[u64], seed: u64) -> Vec<u32> {
    let counts = counts(votes);
    runs(seed, |generator| label(mechanism.release(&counts, generator).outcome))
}

/// Abstentions become the largest index.
fn label(outcome: Outcome) -> u32 {
    match outcome {
        Outcome::Label(ClassIndex(class)) => class,
        Outcome::Abstained => u32::MAX,
    }
}

/// The exact cost of one query at [`ORDERS`], both directions, over every neighbour of the votes.
fn exact(mechanism: NoisyVote, votes: &[u64]) -> Vec<f64> {
    DataDependent::new(mechanism, Method::Exact, &orders(&ORDERS))
        .unwrap()
        .joint(&counts(votes))
        .open(&ANALYST)
}

fn exact_gnmax(sigma: f64, votes: &[u64]) -> Vec<f64> {
    exact(NoisyVote::GnMax { sigma: scale(sigma) }, votes)
}

/// Whether the audit contradicts a claimed cost at some order.
fn contradicts(finding: &Finding, claimed: &[f64]) -> bool {
    ORDERS
        .iter()
        .zip(claimed)
        .any(|(order, claimed)| finding.renyi(RdpOrder::new(*order).unwrap()) > *claimed)
}

fn sum(costs: &[Vec<f64>]) -> Vec<f64> {
    (0..ORDERS.len()).map(|order| costs.iter().map(|cost| cost[order]).sum()).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Oracle {
    one_run: Vec<(u64, u64, u64, f64, f64, f64, f64)>,
    clopper_pearson: Vec<([u64; 4], [f64; 2], [f64; 4])>,
}

fn oracle() -> Oracle {
    read("audits.json")
}

fn delta(value: f64) -> Option<Delta> {
    (value > 0.0).then(|| Delta::new(value).unwrap())
}

#[test]
fn confidence_bounds_are_those_of_clopper_and_pearson() {
    for ([of, hits, of_others, false_hits], [alpha, at], [likelier, rarer, epsilon, mu]) in
        oracle().clopper_pearson
    {
        let event =
            EventCounts { likelier_runs: of, likelier: hits, rarer_runs: of_others, rarer: false_hits };
        let bounds = event.bounds(Significance::new(alpha).unwrap());
        let name = format!("{hits}/{of}, {false_hits}/{of_others}, {alpha}: {bounds:?}");
        assert!((bounds.likelier() - likelier).abs() < 1e-9 && bounds.likelier() <= likelier, "{name}");
        assert!((bounds.rarer() - rarer).abs() < 1e-9 && bounds.rarer() >= rarer, "{name}");
        assert!((bounds.epsilon(delta(at)) - epsilon).abs() < 1e-7, "{name}: {epsilon}");
        assert!((bounds.mu() - mu).abs() < 1e-7, "{name}: {mu}");
    }
}

#[test]
fn one_run_says_what_its_authors_say() {
    for (canaries, guesses, right, at, p, epsilon, p_value) in oracle().one_run {
        let run = OneRun::new(canaries, guesses, right).unwrap();
        let found = run.epsilon(delta(at), Significance::new(p).unwrap());
        let name = format!("{right} of {guesses} of {canaries}, delta {at}, p {p}");
        assert!((found - epsilon).abs() < 1e-6, "{name}: {found}, not {epsilon}");
        let found = run.p_value(Epsilon::new(1.0).unwrap(), delta(at));
        assert!(
            (found - p_value).abs() <= 1e-6 * p_value && found >= p_value * (1.0 - 1e-12),
            "{name}: {found}"
        );
    }
    assert!(matches!(OneRun::new(10, 11, 5), Err(Error::OutOfRange { field: "guesses", .. })));
    assert!(matches!(OneRun::new(10, 9, 10), Err(Error::OutOfRange { field: "right", .. })));
    assert!(matches!(OneRun::new(1 << 30, 9, 9), Err(Error::OutOfRange { field: "canaries", .. })));
}

#[test]
fn audits_of_sound_mechanisms_find_much_of_the_exact_cost_and_never_more() {
    let threshold = Threshold::from_votes(7.0, Lattice::DEFAULT).unwrap();
    let confident = ConfidentGnMax::new(threshold, noise(3.0), noise(2.0)).unwrap();
    let of_papers = NoisyVote::ConfidentGnMax { threshold: 7.0, sigma1: scale(3.0), sigma2: scale(2.0) };
    let cases = [
        (gnmax(2.0), NoisyVote::GnMax { sigma: scale(2.0) }),
        (Mechanism::from(LnMax::new(noise(2.0))), NoisyVote::LnMax { scale: scale(2.0) }),
        (Mechanism::from(confident), of_papers),
    ];
    for (seed, (mechanism, of_papers)) in (10_u64..).zip(cases) {
        let name = mechanism.name();
        let (here, there) = ([6, 4, 0], [5, 5, 0]);
        let finding = audit()
            .outcomes(&outcomes(mechanism, &here, 2 * seed), &outcomes(mechanism, &there, 2 * seed + 1))
            .unwrap();
        let claimed = exact(of_papers, &here);
        assert!(!contradicts(&finding, &claimed), "{name}: {finding:?} against {claimed:?}");
        let found = finding.renyi(RdpOrder::new(ORDERS[0]).unwrap());
        assert!(found > 0.4 * claimed[0], "{name}: only {found:e} of {:e}", claimed[0]);
        assert!(finding.mu() > 0.2 && finding.epsilon(None) >= finding.epsilon(delta(1e-3)), "{name}");
    }
}

#[test]
fn audits_of_selection_histograms_weights_and_predictions_never_find_more_than_their_prices() {
    let (here, there) = ([6, 4, 0], [5, 5, 0]);
    let (at_here, at_there) = (counts(&here), counts(&there));
    let b = noise(2.0);
    let threshold = Threshold::from_votes(3.0, Lattice::DEFAULT).unwrap();
    let student = StudentPrediction::new(10, &[0.4, 0.3, 0.3]).unwrap();
    let interactive =
        InteractiveGnMax::new(ConfidentGnMax::new(threshold, noise(3.0), b).unwrap(), 0.9).unwrap();
    let grid = WeightGrid::new(2).unwrap();
    let heavy = |votes: [(u32, f64); 4]| {
        let votes = votes.map(|(class, weight)| (ClassIndex(class), grid.weight(weight).unwrap()));
        grid.counts(3, votes).unwrap()
    };
    let light = [(0, 1.0), (1, 1.0), (0, 1.0)];
    let [heavy_here, heavy_there] = [0, 1].map(|class| heavy([light[0], light[1], light[2], (class, 1.5)]));
    // A vote of weight 1.5 at σ = 3 is one of weight one at σ = 2.
    let weighted = grid.mechanism(&gnmax(3.0)).unwrap();
    let gaussian = |sigma: f64| independent(PrivacyEvent::GaussianNoisyMax { sigma: noise(sigma) }, &ORDERS);
    let test = independent(PrivacyEvent::GaussianThreshold { sigma1: noise(3.0) }, &ORDERS);
    let both = sum(&[gaussian(2.0), test]);
    // Two counts of a histogram move by one each.
    let histogram = ORDERS.map(|alpha| (alpha / 4.0).min(1.0)).to_vec();

    let draw = |which: usize, votes: [&VoteCounts; 2], seed: u64| {
        runs(seed, |generator| match which {
            0 => label(PermuteAndFlip::new(b).release(votes[0], generator).outcome),
            1 => label(ExponentialMechanism::new(b).release(votes[0], generator).outcome),
            2 => label(interactive.release(votes[0], &student, generator).unwrap().outcome),
            3 => label(weighted.release(votes[1], generator).outcome),
            _ => {
                let cells = [votes[0].clone()];
                let noisy = NoisyHistogram::Laplace(b).release(&cells, generator).unwrap();
                label(noisy.labels(Threshold::from_steps(0, Lattice::DEFAULT).unwrap()).unwrap()[0])
            }
        })
    };
    for (which, claimed, least) in [
        (0, independent(PrivacyEvent::ExponentialNoisyMax { scale: b }, &ORDERS), 0.05),
        (1, independent(PrivacyEvent::GumbelNoisyMax { scale: b }, &ORDERS), 0.2),
        (2, both, 0.05),
        (3, gaussian(2.0), 0.1),
        (4, histogram, 0.05),
    ] {
        let seed = 40 + 2 * which as u64;
        let samples =
            [draw(which, [&at_here, &heavy_here], seed), draw(which, [&at_there, &heavy_there], seed + 1)];
        let finding = audit().outcomes(&samples[0], &samples[1]).unwrap();
        assert!(!contradicts(&finding, &claimed), "{which}: {finding:?} against {claimed:?}");
        let found = finding.renyi(RdpOrder::new(ORDERS[0]).unwrap());
        assert!(found > least * claimed[0], "{which}: only {found:e} of {:e}", claimed[0]);
    }
}

#[test]
fn half_the_noise_is_caught() {
    let (here, there) = ([6, 4], [5, 5]);
    let claimed = exact_gnmax(4.0, &here);
    let finding = |sigma: f64| {
        audit().outcomes(&outcomes(gnmax(sigma), &here, 1), &outcomes(gnmax(sigma), &there, 2)).unwrap()
    };
    assert!(!contradicts(&finding(4.0), &claimed));
    assert!(contradicts(&finding(2.0), &claimed));
    assert!(finding(2.0).mu() > 1.4 / 4.0, "not sqrt(2)/4 in Gaussian terms either");
}

#[test]
fn noise_used_for_two_queries_is_caught() {
    // One teacher moves one vote in each of two queries.
    let worlds = [[[5, 5], [5, 5]], [[4, 6], [6, 4]]];
    let claimed = sum(&worlds[0].map(|votes| exact_gnmax(8.0, &votes)));
    let answers = |[first, second]: [[u64; 2]; 2], again: bool, seed: u64| {
        let mut attempts = 0..;
        runs(seed, |_| {
            let draw = |votes: &[u64; 2], attempt: u32| {
                let mut generator = SimulationNoise::new(seed).generator("audit", &[1; 32], attempt).unwrap();
                label(gnmax(8.0).release(&counts(votes), &mut generator).outcome)
            };
            let attempt = attempts.next().unwrap();
            let other = if again { attempt } else { attempts.next().unwrap() };
            (draw(&first, attempt), draw(&second, other))
        })
    };
    let finding =
        |again| audit().outcomes(&answers(worlds[0], again, 3), &answers(worlds[1], again, 4)).unwrap();
    assert!(!contradicts(&finding(false), &claimed));
    assert!(contradicts(&finding(true), &claimed));
}

#[test]
fn abstentions_that_nobody_charged_are_caught() {
    // Ask until the budget for one answer is spent, at most fifty times; abstentions are taken to be free.
    let threshold = Threshold::from_votes(10.0, Lattice::DEFAULT).unwrap();
    let mechanism = Mechanism::from(ConfidentGnMax::new(threshold, noise(1.0), noise(4.0)).unwrap());
    let until_answered = |votes: &[u64], seed: u64| {
        let counts = counts(votes);
        runs(seed, |generator| {
            let asked = (0..50).map(|_| mechanism.release(&counts, generator).outcome);
            asked.take_while(|outcome| *outcome == Outcome::Abstained).count()
        })
    };
    let (here, there) = ([8, 4], [7, 5]);
    let finding = audit().outcomes(&until_answered(&here, 5), &until_answered(&there, 6)).unwrap();
    assert!(contradicts(&finding, &exact_gnmax(4.0, &here)));
    let confident = NoisyVote::ConfidentGnMax { threshold: 10.0, sigma1: scale(1.0), sigma2: scale(4.0) };
    assert!(!contradicts(&finding, &sum(&vec![exact(confident, &here); 50])));
}

#[test]
fn a_unit_that_moves_more_votes_than_declared_is_caught() {
    // One organisation hosts two teachers.
    let here = outcomes(gnmax(4.0), &[6, 4], 7);
    let finding = |there: [u64; 2]| audit().outcomes(&here, &outcomes(gnmax(4.0), &there, 8)).unwrap();
    let claimed = exact_gnmax(4.0, &[6, 4]);
    assert!(!contradicts(&finding([5, 5]), &claimed));
    assert!(contradicts(&finding([4, 6]), &claimed));
}

#[test]
fn ties_broken_by_the_true_count_are_caught() {
    let sigma = NoiseScale::from_steps(1, Lattice::new(0).unwrap()).unwrap();
    let (here, there) = ([5, 5], [4, 6]);
    // A noisy argmax on whole votes whose ties go to the class that has more votes, the first of those.
    let by_count = |votes: [u64; 2], seed: u64| {
        runs(seed, |generator: &mut SimulationGenerator| {
            let scores = votes.map(|count| i128::from(count) + discrete_gaussian(sigma, generator));
            u32::from((scores[1], votes[1]) > (scores[0], votes[0]))
        })
    };
    // The law of the same with a coin, by summation.
    let weight = |k: i32| (-0.5 * f64::from(k * k)).exp();
    let total: f64 = (-40..=40).map(weight).sum();
    let first_wins = |lead: i32| -> f64 {
        let pairs = (-40..=40).flat_map(|first| (-40..=40).map(move |second| (first, second)));
        pairs
            .map(|(first, second)| {
                let share = match (first + lead).cmp(&second) {
                    std::cmp::Ordering::Greater => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.0,
                };
                share * weight(first) * weight(second) / (total * total)
            })
            .sum()
    };
    let (p, q) = (first_wins(0), first_wins(-2));
    let divergence = |alpha: f64, p: f64, q: f64| {
        let summand = |p: f64, q: f64| p.powf(alpha) * q.powf(1.0 - alpha);
        (summand(p, q) + summand(1.0 - p, 1.0 - q)).ln() / (alpha - 1.0)
    };
    let claimed = ORDERS.map(|alpha| divergence(alpha, p, q).max(divergence(alpha, q, p)));
    let coin = Mechanism::from(GnMax::new(sigma));
    let sound = audit().outcomes(&outcomes(coin, &here, 9), &outcomes(coin, &there, 10)).unwrap();
    assert!(!contradicts(&sound, &claimed));
    let finding = audit().outcomes(&by_count(here, 11), &by_count(there, 12)).unwrap();
    assert!(contradicts(&finding, &claimed));
}

#[test]
fn events_are_not_tested_on_the_samples_that_chose_them() {
    // Two equal worlds with so many outcomes that some differ by chance in any sample.
    let draw = |seed: u64| -> Vec<u64> {
        let mut generator = generator(seed);
        (0..4_000).map(|_| number(&mut generator) % 1_500).collect()
    };
    let finding = audit().outcomes(&draw(13), &draw(14)).unwrap();
    assert!(finding.epsilon(None) == 0.0 && finding.mu() == 0.0, "{finding:?}");
    let scores = |seed| draw(seed).iter().map(|outcome| *outcome as f64).collect::<Vec<_>>();
    let finding = audit().scores(&scores(15), &scores(16)).unwrap();
    assert!(finding.epsilon(None) == 0.0 && finding.mu() == 0.0, "{finding:?}");
}

fn number<G: NoiseGenerator>(generator: &mut G) -> u64 {
    let bits = NoiseScale::from_steps(1 << 40, Lattice::new(0).unwrap()).unwrap();
    u64::try_from(discrete_gaussian(bits, generator).unsigned_abs()).unwrap()
}

#[test]
fn thresholds_on_scores_find_the_shift_of_a_gaussian_whichever_way_it_goes() {
    let sigma = noise(1.0);
    let draw = |mean: f64, seed| {
        runs(seed, |generator: &mut SimulationGenerator| {
            mean + discrete_gaussian(sigma, generator) as f64 / Lattice::DEFAULT.steps_per_vote() as f64
        })
    };
    for (here, there) in [(1.0, 0.0), (0.0, 1.0)] {
        let finding = audit().scores(&draw(here, 17), &draw(there, 18)).unwrap();
        assert!((0.9..=1.0).contains(&finding.mu()), "{}", finding.mu());
    }
}

#[test]
fn an_audit_is_wrong_as_rarely_as_it_says() {
    // 400 audits at 0.2 of a coin with p = 0.6 here and 0.4 there: wrong is a bound above ln 1.5. More than 110 wrong
    // ones would have a probability below 4·10^-4.
    let significance = Significance::new(0.2).unwrap();
    let wrong = (0..400_u64)
        .filter(|seed| {
            let coins = |p: u64, seed: u64| {
                let mut generator = generator(seed);
                (0..400).map(|_| number(&mut generator) % 10 < p).collect::<Vec<_>>()
            };
            let finding =
                Audit::new(significance).outcomes(&coins(6, 100 + 2 * seed), &coins(4, 101 + 2 * seed));
            finding.unwrap().epsilon(None) > 1.5_f64.ln()
        })
        .count();
    assert!((1..=110).contains(&wrong), "{wrong} of 400");
}

#[test]
fn too_few_samples_and_scores_that_are_no_numbers_are_refused() {
    assert!(matches!(audit().outcomes(&[0; 15], &[0; 99]), Err(Error::OutOfRange { field: "samples", .. })));
    assert!(matches!(
        audit().scores(&[f64::NAN; 20], &[0.0; 20]),
        Err(Error::NotFinite { field: "score", .. })
    ));
    assert!(Significance::new(0.0).is_err() && Significance::new(f64::NAN).is_err());
    // Infinite scores are ordered like others.
    let finding = audit().scores(&[f64::INFINITY; 400], &[f64::NEG_INFINITY; 400]).unwrap();
    assert!(finding.epsilon(None) > 2.0);
}
