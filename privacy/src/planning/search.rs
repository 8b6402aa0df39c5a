//! Where to put the threshold and how to share a budget between its test and the answers: the most right answers to expect.
//!
//! Two numbers say what Confident-GNMax does with a budget: T, and the part s of the budget that the tests take. They give σ1, hence how
//! many answers to expect, hence what an answer may cost and σ2. The best of a grid over T and ln(s/(1-s)) is refined by
//! halving its steps. All of it rests on estimates of prices and on tables of right answers over a grid of σ: it says where to look. What a
//! plan is charged, and that it fits, is then computed from integers (`super`).

use super::vote_model::Shape;
use super::{Target, threshold_test};
use crate::data_dependent::ArgmaxNoise;
use crate::event::PrivacyEvent;
use crate::numerics::normal_cdf;
use crate::quantity::{Lattice, NoiseScale, Scale};
use libm::{exp, exp2, floor, log2, sqrt};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Finds thresholds and σ1 for one target, one budget and one model.
pub(super) struct Search<'a> {
    target: &'a Target,
    /// The budget in nats of ρ.
    cap: f64,
    teachers: f64,
    shapes: &'a [Shape],
    rows: f64,
    /// The largest counts of the model, each with how many rows have it.
    largest: BTreeMap<u64, f64>,
    /// Expected right answers of the rows with each largest count, if all are answered; by ln σ2.
    right: RefCell<BTreeMap<i32, Vec<f64>>>,
    /// ρσ² of the argmax and of the test; by ln σ.
    prices: [RefCell<BTreeMap<i32, f64>>; 2],
}

/// A threshold in votes, and the noise of its test.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) threshold: f64,
    pub(super) sigma1: f64,
    /// Right answers to expect, about.
    pub(super) right: f64,
}

impl<'a> Search<'a> {
    pub(super) fn new(target: &'a Target, cap: f64, teachers: u32, shapes: &'a [Shape]) -> Self {
        let mut largest = BTreeMap::new();
        for shape in shapes {
            *largest.entry(shape.largest).or_insert(0.0) += shape.rows;
        }
        Self {
            target,
            cap,
            teachers: f64::from(teachers),
            rows: largest.values().sum(),
            shapes,
            largest,
            right: RefCell::default(),
            prices: Default::default(),
        }
    }

    /// The threshold and test with the most right answers.
    pub(super) fn best(&self) -> Option<Choice> {
        let shares = (0..=SHARES).map(|step| f64::from(step) / f64::from(SHARES));
        let found =
            shares.filter_map(|share| self.test_at(share * self.teachers)).max_by(Choice::by_right)?;
        let mut step = self.teachers / f64::from(SHARES);
        let mut best = found;
        while step > 1.0 {
            step *= 0.5;
            let around = [best.threshold - step, best.threshold + step];
            let inside = around.into_iter().filter(|votes| (0.0..=self.teachers).contains(votes));
            best = inside.filter_map(|votes| self.test_at(votes)).chain([best]).max_by(Choice::by_right)?;
        }
        self.test_at(best.threshold.round())
    }

    /// The test with the most right answers at this threshold; none if no part of the budget pays for any.
    pub(super) fn test_at(&self, threshold: f64) -> Option<Choice> {
        let at = |logit: f64| {
            let share = 1.0 / (1.0 + exp(-logit));
            let sigma1 = self.scale(Step::Test, share * self.cap / f64::from(self.target.queries))?;
            let right = self.right_answers(threshold, sigma1, (1.0 - share) * self.cap)?;
            Some((logit, Choice { threshold, sigma1, right }))
        };
        let grid = (-LOGITS..=LOGITS).filter_map(|step| at(f64::from(step) * LOGIT_STEP));
        let by_right = |a: &(f64, Choice), b: &(f64, Choice)| a.1.by_right(&b.1);
        let mut best = grid.max_by(by_right)?;
        let mut step = LOGIT_STEP;
        for _ in 0..HALVINGS {
            step *= 0.5;
            let around = [best.0 - step, best.0 + step].into_iter().filter_map(at);
            best = around.chain([best]).max_by(by_right)?;
        }
        Some(best.1)
    }

    /// How many right answers to expect if `left` pays for them.
    fn right_answers(&self, threshold: f64, sigma1: f64, left: f64) -> Option<f64> {
        let queries = f64::from(self.target.queries) / self.rows;
        let passes = |largest: u64| normal_cdf((largest as f64 - threshold) / sigma1);
        let answers: f64 = self.largest.iter().map(|(largest, rows)| rows * passes(*largest)).sum();
        let sigma2 = self.scale(Step::Argmax, left / (queries * answers).max(1.0))?;
        let place = log2(sigma2) * PER_OCTAVE;
        let (low, part) = (floor(place), place - floor(place));
        #[expect(clippy::cast_possible_truncation, reason = "the logarithm of a scale")]
        let low = low as i32;
        let (low, high) = (self.right_at(low), self.right_at(low + 1));
        let right = low.iter().zip(&high).zip(self.largest.keys());
        let right = right.map(|((low, high), largest)| passes(*largest) * (low + part * (high - low)));
        Some(queries * right.sum::<f64>())
    }

    /// Right answers by largest count at one σ2 of the grid.
    fn right_at(&self, place: i32) -> Vec<f64> {
        if let Some(known) = self.right.borrow().get(&place) {
            return known.clone();
        }
        let mut found: BTreeMap<u64, f64> = self.largest.keys().map(|largest| (*largest, 0.0)).collect();
        if let Ok(sigma) = Scale::new(exp2(f64::from(place) / PER_OCTAVE)) {
            // A model of many unlike rows is thinned out: it is about where to look.
            let every = self.shapes.len().div_ceil(SHAPES_MAX);
            for (index, shape) in self.shapes.iter().enumerate() {
                if index % every == 0 || every == 1 {
                    *found.entry(shape.largest).or_default() +=
                        shape.rows * every as f64 * shape.right(ArgmaxNoise::Gaussian(sigma));
                }
            }
        }
        let found: Vec<f64> = found.into_values().collect();
        self.right.borrow_mut().insert(place, found.clone());
        found
    }

    /// About the scale at which one step costs `price` nats; none where that is beyond all scales.
    fn scale(&self, step: Step, price: f64) -> Option<f64> {
        let mut scale = sqrt(1.0 / price);
        for _ in 0..ROUNDS {
            scale = sqrt(self.price_at(step, scale)? / price);
        }
        (SCALE_MIN..=SCALE_MAX).contains(&scale).then_some(scale)
    }

    /// ρσ², which hardly changes with σ, between the places of a grid.
    fn price_at(&self, step: Step, scale: f64) -> Option<f64> {
        let place = log2(scale.clamp(SCALE_MIN, SCALE_MAX)) * PER_OCTAVE;
        let part = place - floor(place);
        #[expect(clippy::cast_possible_truncation, reason = "the logarithm of a scale")]
        let low = floor(place) as i32;
        let (low, high) = (self.price(step, low)?, self.price(step, low + 1)?);
        Some(low + part * (high - low))
    }

    fn price(&self, step: Step, place: i32) -> Option<f64> {
        let known = &self.prices[step as usize];
        if let Some(known) = known.borrow().get(&place) {
            return Some(*known);
        }
        let scale = exp2(f64::from(place) / PER_OCTAVE);
        let drawn = NoiseScale::from_votes(scale, Lattice::DEFAULT).ok()?;
        let event = match step {
            Step::Argmax => PrivacyEvent::GaussianNoisyMax { sigma: drawn },
            Step::Test => threshold_test(drawn),
        };
        let found = event.price_near(&self.target.sensitivity, self.target.order).ok()? * scale * scale;
        known.borrow_mut().insert(place, found);
        Some(found)
    }
}

impl Choice {
    fn by_right(&self, other: &Self) -> std::cmp::Ordering {
        self.right.total_cmp(&other.right)
    }
}

/// A step of Confident-GNMax.
#[derive(Debug, Clone, Copy)]
enum Step {
    Argmax,
    Test,
}

/// Thresholds of the first grid, as parts of the teachers.
const SHARES: u32 = 20;
/// The budget's part for the tests: ln(s/(1-s)) from -7 to 7.
const LOGITS: i32 = 14;
const LOGIT_STEP: f64 = 0.5;
const HALVINGS: usize = 4;
/// Places of the grids of σ per factor of two.
const PER_OCTAVE: f64 = 4.0;
const ROUNDS: usize = 4;
const SCALE_MIN: f64 = 1e-3;
const SCALE_MAX: f64 = 1e9;
/// Of more unlike rows than this some stand for all in the search.
const SHAPES_MAX: usize = 2_000;
