//! Vote models: public or made-up votes on questions like those that will be asked, and how often an answer to them is right.

use crate::Error;
use crate::counts::{ClassIndex, VoteCounts, check_classes};
use crate::data_dependent::{ArgmaxNoise, NoisyVote, answer_agrees, answer_is};
use crate::secret::Analyst;
use std::collections::BTreeMap;

/// Histograms that tell nothing about anybody, published, simulated or made up, and the true labels of their questions where these are
/// known. At least one, all of the same classes, each with a vote.
///
/// What a plan expects is a function of its model and is printed. A model of private votes would tell about them, so plans take no
/// [`VoteCounts`]: whoever has some must declare that they are public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicVotes {
    rows: Vec<VoteCounts>,
    truth: Option<Vec<ClassIndex>>,
}

impl PublicVotes {
    /// Declares that everybody may know `rows`. **Never the votes of a campaign**: what is planned by them is printed.
    ///
    /// Refuses no rows, rows that do not agree in their number of classes, and a row without a vote.
    pub fn declared_public(rows: Vec<VoteCounts>) -> Result<Self, Error> {
        let refuse = |field, fix| Err(Error::OutOfRange { field, value: 0.0, fix });
        let Some(expected) = rows.first().map(VoteCounts::classes) else {
            return refuse("rows of the vote model", "give at least one histogram");
        };
        if let Some(row) = rows.iter().find(|row| row.classes() != expected) {
            return Err(Error::Length { field: "a row of the vote model", found: row.classes(), expected });
        }
        if rows.iter().any(|row| row.as_slice().iter().all(|count| *count == 0)) {
            return refuse(
                "the number of votes in a row of the vote model",
                "give every row at least one vote",
            );
        }
        Ok(Self { rows, truth: None })
    }

    /// The same, with the true label of each question. Refuses labels that do not fit the votes.
    pub fn with_truth(self, truth: Vec<ClassIndex>) -> Result<Self, Error> {
        if truth.len() != self.rows.len() {
            return Err(Error::Length { field: "truth", found: truth.len(), expected: self.rows.len() });
        }
        if let Some(beyond) = truth.iter().find(|label| label.position() >= self.classes()) {
            let fix = "number classes from 0, one for each column of votes";
            return Err(Error::OutOfRange { field: "truth", value: f64::from(beyond.0), fix });
        }
        Ok(Self { truth: Some(truth), ..self })
    }

    /// A model for those who have none: of twenty questions, eight on which 97 of 100 teachers agree, then ever harder ones down to 40 of
    /// 100. Half of the others agree on a second class, half of the rest on a third, and so on. The most frequent vote is right on 18
    /// questions, and the second class on two of the three on which no majority agrees.
    ///
    /// Refuses a number of classes that vote counts refuse, before it takes memory for them, and no teachers.
    pub fn assumed(teachers: u32, classes: usize) -> Result<Self, Error> {
        check_classes(classes)?;
        let rows = ASSUMED.iter().flat_map(|(share, times, wrong)| {
            (0..*times).map(move |question| {
                let right = ClassIndex(u32::from(question + wrong >= *times));
                Ok((falling(teachers, classes, *share)?, right))
            })
        });
        let (rows, truth) = rows.collect::<Result<Vec<_>, Error>>()?.into_iter().unzip();
        Self::declared_public(rows)?.with_truth(truth)
    }

    /// The same shares of `teachers` votes, rounded; where that leaves nothing, one vote for the most frequent class. Refuses no teachers.
    pub fn scaled_to(&self, teachers: u32) -> Result<Self, Error> {
        if teachers == 0 {
            return Err(Error::OutOfRange {
                field: "teachers",
                value: 0.0,
                fix: "give at least one teacher",
            });
        }
        let scaled = |counts: &VoteCounts| {
            let sum = counts.as_slice().iter().map(|count| *count as f64).sum::<f64>();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most the teachers"
            )]
            let scale = |count: &u64| (*count as f64 / sum * f64::from(teachers)).round() as u64;
            let mut rounded: Vec<u64> = counts.as_slice().iter().map(scale).collect();
            if rounded.iter().all(|count| *count == 0) {
                let most = counts.as_slice().iter().enumerate().max_by_key(|(_, count)| **count);
                rounded[most.map_or(0, |(class, _)| class)] = 1;
            }
            VoteCounts::new(rounded)
        };
        let rows = Self::declared_public(self.rows.iter().map(scaled).collect::<Result<_, _>>()?)?;
        Ok(Self { truth: self.truth.clone(), ..rows })
    }

    /// The histograms.
    pub fn rows(&self) -> &[VoteCounts] {
        &self.rows
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.rows[0].classes()
    }

    /// Rows that no expectation tells apart, once, with how many there are: same counts in another order.
    pub(super) fn shapes(&self) -> Vec<Shape> {
        let mut rows: BTreeMap<(Vec<u64>, Option<u64>), (usize, f64)> = BTreeMap::new();
        for (row, counts) in self.rows.iter().enumerate() {
            let mut sorted = counts.as_slice().to_vec();
            let right = self.truth.as_ref().map(|truth| sorted[truth[row].position()]);
            sorted.sort_unstable();
            rows.entry((sorted, right)).or_insert((row, 0.0)).1 += 1.0;
        }
        rows.into_iter()
            .map(|((sorted, _), (row, rows))| Shape {
                largest: sorted.last().copied().unwrap_or_default(),
                counts: self.rows[row].clone(),
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
pub(crate) fn expected_agreement(mechanism: &NoisyVote, model: &PublicVotes) -> f64 {
    Expected::of(mechanism, &model.shapes()).agreeing
}

/// Votes of `share` of the teachers for the first class, of half of the others for the second, and so on.
fn falling(teachers: u32, classes: usize, share: f64) -> Result<VoteCounts, Error> {
    let mut left = f64::from(teachers);
    let mut counts = vec![0; classes];
    let mut part = share;
    for count in &mut counts {
        let votes = (left * part).round();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most the teachers")]
        let whole = votes as u64;
        *count = whole;
        left -= votes;
        part = 0.5;
    }
    VoteCounts::new(counts)
}

/// Shares of teachers that agree, on how many of twenty questions, and on how many of these they are wrong.
const ASSUMED: [(f64, u32, u32); 6] =
    [(0.97, 8, 0), (0.9, 4, 0), (0.8, 3, 0), (0.65, 2, 0), (0.5, 2, 1), (0.4, 1, 1)];
