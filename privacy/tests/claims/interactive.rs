//! Interactive-GNMax: how often the teachers answer, who answers otherwise, and what is charged.

use crate::chi_square::{assert_fits, generator};
use crate::data_dependent::Thresholds;
use crate::vectors::read;
use conclave_privacy::Error;
use conclave_privacy::counts::{ClassIndex, VoteCounts};
use conclave_privacy::mechanism::{ConfidentGnMax, InteractiveGnMax, Outcome, Ran, StudentPrediction};
use conclave_privacy::quantity::{Lattice, NoiseScale, Threshold};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};

fn interactive(threshold: f64, sigma1: f64, sigma2: f64, confidence: f64) -> InteractiveGnMax {
    let scale = |votes| NoiseScale::from_votes(votes, Lattice::DEFAULT).unwrap();
    let threshold = Threshold::from_votes(threshold, Lattice::DEFAULT).unwrap();
    let steps = ConfidentGnMax::new(threshold, scale(sigma1), scale(sigma2)).unwrap();
    InteractiveGnMax::new(steps, confidence).unwrap()
}

#[test]
fn the_teachers_answer_as_often_as_the_oracle_says() {
    const DRAWS: u64 = 50_000;
    for case in read::<Thresholds>("threshold.json").interactive {
        let mechanism = interactive(case.threshold, case.sigma1, 40.0, 0.5);
        let counts = VoteCounts::new(case.votes.clone()).unwrap();
        let student = StudentPrediction::new(case.teachers, &case.student_probs).unwrap();
        let name = format!("interactive {:?} at {}", case.votes, case.threshold);
        let mut generator = generator(&name);
        let mut answered = 0;
        for _ in 0..DRAWS {
            let draw = mechanism.release(&counts, &student, &mut generator).unwrap();
            answered += u64::from(draw.ran == Ran::ThresholdThenNoisyMax);
        }
        let expected = libm::exp(case.log_pr_answered_unrounded_mp);
        assert_fits(&name, &[answered, DRAWS - answered], &[expected, 1.0 - expected]);
    }
}

#[test]
fn the_largest_excess_is_not_rounded_to_a_whole_vote() {
    // 10 votes against 0.952 of 10: 0.48 above what the student predicts. TensorFlow Privacy rounds this to 0.
    let mechanism = interactive(0.4, 1e-3, 1e-3, 0.99);
    let student = StudentPrediction::new(10, &[0.952, 0.048]).unwrap();
    let counts = VoteCounts::new(vec![10, 0]).unwrap();
    let draw = mechanism.release(&counts, &student, &mut generator("not rounded")).unwrap();
    assert_eq!((draw.outcome, draw.ran), (Outcome::Label(ClassIndex(0)), Ran::ThresholdThenNoisyMax));
}

#[test]
fn below_the_threshold_a_sure_student_keeps_its_label_and_an_unsure_one_gets_none() {
    // The votes favour class 0, the student class 1; nothing reaches a threshold of 10,000 votes.
    let counts = VoteCounts::new(vec![60, 40, 0]).unwrap();
    let student = StudentPrediction::new(100, &[0.1, 0.8, 0.1]).unwrap();
    for (confidence, outcome) in [
        (0.7, Outcome::Label(ClassIndex(1))),
        (0.8, Outcome::Abstained), // above, not at
        (0.9, Outcome::Abstained),
    ] {
        let mechanism = interactive(10_000.0, 1.0, 1.0, confidence);
        let draw = mechanism.release(&counts, &student, &mut generator("below")).unwrap();
        assert_eq!((draw.outcome, draw.ran), (outcome, Ran::Threshold));
    }
}

#[test]
fn a_reinforced_label_costs_the_threshold_alone_and_prices_are_those_of_confident_gnmax() {
    let who = Sensitivity::of(PrivacyUnit::Record, Adjacency::Replace, VotingScheme::Ensemble).unwrap();
    let mechanism = interactive(150.0, 128.0, 32.0, 0.9);
    let confident: conclave_privacy::mechanism::Mechanism = mechanism.steps().into();
    assert_eq!(mechanism.worst_case(&who), confident.worst_case(&who));
    assert_eq!(mechanism.charge(Ran::Threshold, &who), confident.charge(&Outcome::Abstained, &who));
}

#[test]
fn predictions_that_make_no_sense_are_refused_by_name() {
    for (teachers, probabilities) in [
        (0, vec![0.5, 0.5]),
        (VoteCounts::COUNT_MAX + 1, vec![0.5, 0.5]),
        (10, vec![]),
        (10, vec![1.0]),
        (10, vec![0.0; VoteCounts::CLASSES_MAX + 1]),
        (10, vec![0.5, f64::NAN]),
        (10, vec![0.5, f64::INFINITY]),
        (10, vec![1.5, -0.5]),
        (10, vec![0.5, 0.4]),
    ] {
        assert!(StudentPrediction::new(teachers, &probabilities).is_err(), "{probabilities:?}");
    }
    let counts = VoteCounts::new(vec![1, 2, 3]).unwrap();
    let two = StudentPrediction::new(6, &[0.5, 0.5]).unwrap();
    let refusal = interactive(1.0, 1.0, 1.0, 0.5).release(&counts, &two, &mut generator("refused"));
    assert!(matches!(refusal, Err(Error::OutOfRange { field: "student_prediction", .. })));
    let steps = interactive(1.0, 1.0, 1.0, 0.5).steps();
    assert!(matches!(InteractiveGnMax::new(steps, 1.01), Err(Error::OutOfRange { field: "confidence", .. })));
    // The largest numbers that are allowed do not overflow.
    let all = StudentPrediction::new(VoteCounts::COUNT_MAX, &[1.0, 0.0]).unwrap();
    let counts = VoteCounts::new(vec![0, VoteCounts::COUNT_MAX]).unwrap();
    let draw = interactive(1.0, 1.0, 1.0, 0.5).release(&counts, &all, &mut generator("largest")).unwrap();
    assert_eq!(draw.outcome, Outcome::Label(ClassIndex(1)));
}
