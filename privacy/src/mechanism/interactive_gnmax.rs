//! Interactive-GNMax: the teachers answer only where they disagree enough with what the student predicts already.
//!
//! Papernot et al., *Scalable Private Learning with PATE* (ICLR 2018), Algorithm 2. With a student that predicts class j with
//! probability p_j, and M teachers:
//!
//! - if max_j (n_j - M p_j) + N(0, σ1²) >= T: the answer of GNMax with σ2;
//! - else if max_j p_j > γ: the student's own class, which reinforces it;
//! - else: an abstention.
//!
//! The prediction is public (a student sees released answers only), so M p_j is a constant: with m moves each n_j - M p_j
//! changes by at most m, and so does their maximum. The prices are those of Confident-GNMax. What happens below the threshold
//! is computed from its outcome and the prediction: post-processing, and free. Emits [`PrivacyEvent::GaussianThreshold`], and
//! [`PrivacyEvent::GaussianNoisyMax`] when the teachers answer.

use super::noisy_max::in_steps;
use super::{ConfidentGnMax, Draw, GnMax, Outcome, Ran, price_of};
use crate::Error;
use crate::counts::{ClassIndex, VoteCounts, check_classes};
use crate::event::PrivacyEvent;
use crate::noise::{NoiseGenerator, discrete_gaussian};
use crate::quantity::{Lattice, Rho, in_range};
use crate::secret::Secret;
use crate::unit::Sensitivity;

/// What a student predicts for one query: a probability for each class, in whole parts of 2^-32.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudentPrediction {
    teachers: u64,
    parts: Vec<u64>,
}

impl StudentPrediction {
    /// `probabilities`, one for each class, for as many votes as `teachers` give on this query. Each is rounded to the nearest
    /// part of 2^-32.
    ///
    /// Refuses numbers outside 0 to 1, a sum that is off 1 by more than a thousandth, no teachers or more than 2^53.
    pub fn new(teachers: u64, probabilities: &[f64]) -> Result<Self, Error> {
        if teachers == 0 || teachers > VoteCounts::COUNT_MAX {
            let fix = "give the number of teachers that vote, from 1 to 2^53";
            return Err(Error::OutOfRange { field: "teachers", value: teachers as f64, fix });
        }
        check_classes(probabilities.len())?;
        let fix = "give a probability from 0 to 1 for each class, such as 0.9";
        let mut parts = Vec::with_capacity(probabilities.len());
        for probability in probabilities {
            let probability =
                in_range("student_prediction", *probability, |p| (0.0..=1.0).contains(&p), fix)?;
            parts.push(parts_of(probability));
        }
        let sum = probabilities.iter().sum();
        let fix = "give probabilities that sum to 1";
        in_range("student_prediction", sum, |sum| (sum - 1.0).abs() <= 1e-3, fix)?;
        Ok(Self { teachers, parts })
    }

    /// The most probable class, the first of several, and its probability in parts of 2^-32.
    fn label(&self) -> (ClassIndex, u64) {
        let mut best = (ClassIndex(0), 0);
        for (class, parts) in (0..).map(ClassIndex).zip(&self.parts) {
            if *parts > best.1 {
                best = (class, *parts);
            }
        }
        best
    }

    /// max_j (n_j - M p_j), which the threshold test is on, in votes. Refuses counts of another number of classes.
    pub fn statistic(&self, counts: &VoteCounts) -> Result<Secret<f64>, Error> {
        let (found, expected) = (self.parts.len(), counts.classes());
        if found != expected {
            return Err(Error::Length { field: "student_prediction", found, expected });
        }
        // In parts of a vote, exactly; at most 2^85.
        let above = counts.as_slice().iter().zip(&self.parts).map(|(count, parts)| {
            (i128::from(*count) << PARTS_BITS) - i128::from(self.teachers) * i128::from(*parts)
        });
        let largest = above.max().unwrap_or_default();
        Ok(Secret::new(largest as f64 / (1_u64 << PARTS_BITS) as f64))
    }

    /// M p_j in lattice steps, to the nearest: at most 2^85.
    fn expected_votes(&self, lattice: Lattice) -> impl Iterator<Item = i128> + '_ {
        self.parts.iter().map(move |parts| {
            // At most 2^53 teachers, 2^32 parts and 2^32 steps a vote.
            let votes = (i128::from(self.teachers) * i128::from(*parts)) << lattice.bits();
            (votes + (1 << (PARTS_BITS - 1))) >> PARTS_BITS
        })
    }
}

/// Confident-GNMax against a student's prediction, with reinforcement of students that are sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InteractiveGnMax {
    steps: ConfidentGnMax,
    confidence: u64,
}

impl InteractiveGnMax {
    /// `steps` gives T, σ1 and σ2; `confidence` is γ, above which the student's own class stands. Refuses γ outside 0 to 1.
    pub fn new(steps: ConfidentGnMax, confidence: f64) -> Result<Self, Error> {
        let fix = "give a probability from 0 to 1, such as 0.9";
        let confidence = in_range("confidence", confidence, |p| (0.0..=1.0).contains(&p), fix)?;
        Ok(Self { steps, confidence: parts_of(confidence) })
    }

    /// T, σ1 and σ2.
    pub const fn steps(&self) -> ConfidentGnMax {
        self.steps
    }

    /// Draws the test, and the answer where it passes. [`Draw::ran`] says whose label it is: the student's own if only the
    /// threshold test ran.
    ///
    /// Call it only when [`InteractiveGnMax::worst_case`] is charged. Refuses a prediction for another number of classes.
    pub fn release<G: NoiseGenerator + ?Sized>(
        &self,
        counts: &VoteCounts,
        student: &StudentPrediction,
        generator: &mut G,
    ) -> Result<Draw, Error> {
        let classes = student.parts.len();
        if classes != counts.classes() {
            let fix = "give a probability for each class of the votes";
            return Err(Error::OutOfRange { field: "student_prediction", value: classes as f64, fix });
        }
        let lattice = self.steps.sigma1().lattice();
        let excess = counts.as_slice().iter().zip(student.expected_votes(lattice));
        let largest =
            excess.fold(i128::MIN, |most, (count, expected)| most.max(in_steps(*count, lattice) - expected));
        let noisy = largest + discrete_gaussian(self.steps.sigma1(), generator);
        if noisy >= i128::from(self.steps.threshold().steps()) {
            let answered = GnMax::new(self.steps.sigma2()).release(counts, generator);
            return Ok(Draw { ran: Ran::ThresholdThenNoisyMax, ..answered });
        }
        let (class, probability) = student.label();
        let outcome = if probability > self.confidence { Outcome::Label(class) } else { Outcome::Abstained };
        Ok(Draw { outcome, ran: Ran::Threshold })
    }

    /// The events of what ran.
    pub fn events(&self, ran: Ran) -> Vec<PrivacyEvent> {
        match ran {
            Ran::Threshold => vec![self.steps.threshold_event()],
            Ran::NoisyMax => vec![self.steps.noisy_max_event()],
            Ran::ThresholdThenNoisyMax => vec![self.steps.threshold_event(), self.steps.noisy_max_event()],
        }
    }

    /// The price of one query if the teachers answer; data-independent, rounded up.
    pub fn worst_case(&self, sensitivity: &Sensitivity) -> Result<Rho, Error> {
        self.charge(Ran::ThresholdThenNoisyMax, sensitivity)
    }

    /// The price of what ran, rounded up.
    pub fn charge(&self, ran: Ran, sensitivity: &Sensitivity) -> Result<Rho, Error> {
        price_of(&self.events(ran), sensitivity)
    }
}

/// A probability from 0 to 1 in parts of 2^-32, to the nearest.
fn parts_of(probability: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number in 0..=2^32")]
    let parts = libm::round(probability * (1_u64 << PARTS_BITS) as f64) as u64;
    parts
}

const PARTS_BITS: u32 = 32;
