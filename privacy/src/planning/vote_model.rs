//! Vote models: public or made-up votes on questions like those that will be asked, and how often an answer to them is right.

use crate::Error;
use crate::counts::{ClassIndex, VoteCounts, check_classes};
use crate::data_dependent::{ArgmaxNoise, NoisyVote, answer_agrees, answer_is};
use crate::secret::Analyst;
use std::collections::BTreeMap;

/// Votes that are public or made up, and the true labels of their questions where these are known.
#[derive(Debug, Clone)]
pub struct VoteModel {
    votes: Vec<VoteCounts>,
    truth: Option<Vec<ClassIndex>>,
}

impl VoteModel {
    /// The model of these votes, never private ones, and of the true label of each question if it is known.
    ///
    /// Refuses no votes, rows that differ in their number of classes, and labels that do not fit the votes.
    pub fn new(votes: Vec<VoteCounts>, truth: Option<Vec<ClassIndex>>) -> Result<Self, Error> {
        crate::analysis::check_votes(&votes)?;
        if let Some(truth) = &truth {
            if truth.len() != votes.len() {
                return Err(Error::Length { field: "truth", found: truth.len(), expected: votes.len() });
            }
            let classes = votes[0].classes();
            if let Some(beyond) = truth.iter().find(|label| label.position() >= classes) {
                let fix = "number classes from 0, one for each column of votes";
                return Err(Error::OutOfRange { field: "truth", value: f64::from(beyond.0), fix });
            }
        }
        Ok(Self { votes, truth })
    }

    /// A model for those who have none: [`assumed_model`], where the most frequent vote is right on 18 questions of 20, and the second
    /// class on two of the three on which no majority agrees.
    pub fn assumed(teachers: u32, classes: usize) -> Result<Self, Error> {
        let right = ASSUMED.iter().flat_map(|(_, times, wrong)| {
            (0..*times).map(move |question| ClassIndex(u32::from(question + wrong >= *times)))
        });
        Self::new(assumed_model(teachers, classes)?, Some(right.collect()))
    }

    /// The same shares of `teachers` votes.
    pub fn scaled(&self, teachers: u32) -> Result<Self, Error> {
        Ok(Self { votes: scaled(&self.votes, teachers)?, truth: self.truth.clone() })
    }

    /// The votes.
    pub fn votes(&self) -> &[VoteCounts] {
        &self.votes
    }

    /// Whether it has the true labels.
    pub const fn knows_the_truth(&self) -> bool {
        self.truth.is_some()
    }

    /// Rows that no expectation tells apart, once, with how many there are: same counts in another order.
    pub(super) fn shapes(&self) -> Vec<Shape> {
        let mut rows: BTreeMap<(Vec<u64>, Option<u64>), (usize, f64)> = BTreeMap::new();
        for (row, counts) in self.votes.iter().enumerate() {
            let mut sorted = counts.as_slice().to_vec();
            let right = self.truth.as_ref().map(|truth| sorted[truth[row].position()]);
            sorted.sort_unstable();
            rows.entry((sorted, right)).or_insert((row, 0.0)).1 += 1.0;
        }
        rows.into_iter()
            .map(|((sorted, _), (row, rows))| Shape {
                largest: sorted.last().copied().unwrap_or_default(),
                counts: self.votes[row].clone(),
                truth: self.truth.as_ref().map(|truth| truth[row]),
                rows,
            })
            .collect()
    }
}

/// Rows with the same counts, in whatever order.
pub(super) struct Shape {
    pub(super) largest: u64,
    pub(super) counts: VoteCounts,
    pub(super) truth: Option<ClassIndex>,
    pub(super) rows: f64,
}

impl Shape {
    /// The probability that the argmax gives the true label; none where it is not known.
    fn accurate(&self, noise: ArgmaxNoise) -> Option<f64> {
        Some(answer_is(noise, &self.counts, self.truth?).open(&Analyst::who_may_see_the_votes()))
    }

    /// The probability that it gives the most frequent vote.
    fn agrees(&self, noise: ArgmaxNoise) -> f64 {
        answer_agrees(noise, &self.counts).open(&Analyst::who_may_see_the_votes())
    }

    /// The probability of what a plan is chosen for: the true label where it is known, else the most frequent vote.
    pub(super) fn right(&self, noise: ArgmaxNoise) -> f64 {
        self.accurate(noise).unwrap_or_else(|| self.agrees(noise))
    }
}

/// Expected shares of the queries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// Answered.
    pub(super) answered: f64,
    /// Answered with the most frequent vote.
    pub(super) agreeing: f64,
    /// Answered with the true label.
    pub(super) accurate: Option<f64>,
}

impl Expected {
    /// What a plan is chosen for: answers with the true label where it is known, else with the most frequent vote.
    pub(super) fn right(&self) -> f64 {
        self.accurate.unwrap_or(self.agreeing)
    }

    pub(super) fn of(mechanism: &NoisyVote, shapes: &[Shape]) -> Self {
        let (noise, rows) = (mechanism.argmax(), shapes.iter().map(|shape| shape.rows).sum::<f64>());
        let mean = |of: &dyn Fn(&Shape) -> f64| {
            shapes.iter().map(|shape| shape.rows * mechanism.passes(&shape.counts) * of(shape)).sum::<f64>()
                / rows
        };
        let knows = shapes.iter().all(|shape| shape.truth.is_some());
        Self {
            answered: mean(&|_| 1.0),
            agreeing: mean(&|shape| shape.agrees(noise)),
            accurate: knows.then(|| mean(&|shape| shape.accurate(noise).unwrap_or_default())),
        }
    }
}

/// The expected share of queries that are answered with the most frequent vote.
pub(crate) fn expected_agreement(mechanism: &NoisyVote, votes: &[VoteCounts]) -> Result<f64, Error> {
    let shapes = VoteModel::new(votes.to_vec(), None)?.shapes();
    Ok(Expected::of(mechanism, &shapes).agreeing)
}

/// Histograms scaled to `teachers` votes; their shares stay.
pub fn scaled(model: &[VoteCounts], teachers: u32) -> Result<Vec<VoteCounts>, Error> {
    model
        .iter()
        .map(|counts| {
            let sum = counts.as_slice().iter().map(|count| *count as f64).sum::<f64>().max(1.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most the teachers"
            )]
            let scale = |count: &u64| (*count as f64 / sum * f64::from(teachers)).round() as u64;
            VoteCounts::new(counts.as_slice().iter().map(scale).collect())
        })
        .collect()
}

/// The votes of a model for those who have none: of twenty questions, eight on which 97 of 100 teachers agree, then ever harder ones
/// down to 40 of 100. Half of the others agree on a second class, half of the rest on a third, and so on.
///
/// Refuses a number of classes that vote counts refuse, before it takes memory for them.
pub fn assumed_model(teachers: u32, classes: usize) -> Result<Vec<VoteCounts>, Error> {
    check_classes(classes)?;
    let histogram = |share: f64| {
        let mut left = f64::from(teachers);
        let mut counts = vec![0; classes];
        let mut part = share;
        for count in &mut counts {
            let votes = (left * part).round();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most the teachers"
            )]
            let whole = votes as u64;
            *count = whole;
            left -= votes;
            part = 0.5;
        }
        VoteCounts::new(counts)
    };
    let times = |times: u32| usize::try_from(times).unwrap_or_default();
    ASSUMED.iter().flat_map(|(share, many, _)| std::iter::repeat_n(histogram(*share), times(*many))).collect()
}

/// Shares of teachers that agree, on how many of twenty questions, and on how many of these they are wrong.
const ASSUMED: [(f64, u32, u32); 6] =
    [(0.97, 8, 0), (0.9, 4, 0), (0.8, 3, 0), (0.65, 2, 0), (0.5, 2, 1), (0.4, 1, 1)];
