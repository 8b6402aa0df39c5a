//! The votes by which plans are made: public ones or made-up ones, and a type that says so.
//!
//! What a plan expects is a function of its model and is printed. A model of private votes would tell about them, so plans take no
//! [`VoteCounts`]: whoever has some must declare that they are public.

use crate::Error;
use crate::counts::{VoteCounts, check_classes};

/// Histograms that tell nothing about anybody: published, simulated or made up. At least one, all of the same classes, each with a vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicVotes(Vec<VoteCounts>);

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
        Ok(Self(rows))
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
        Self::declared_public(self.0.iter().map(scaled).collect::<Result<_, _>>()?)
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.0[0].classes()
    }

    /// The histograms.
    pub fn rows(&self) -> &[VoteCounts] {
        &self.0
    }
}

/// A model for those who have none: of twenty questions, eight on which 97 of 100 teachers agree, then ever harder ones
/// down to 40 of 100. Half of the others agree on a second class, half of the rest on a third, and so on.
///
/// Refuses a number of classes that vote counts refuse, before it takes memory for them, and no teachers.
pub fn assumed_model(teachers: u32, classes: usize) -> Result<PublicVotes, Error> {
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
    let rows = ASSUMED.iter().flat_map(|(share, times)| std::iter::repeat_n(histogram(*share), *times));
    PublicVotes::declared_public(rows.collect::<Result<_, _>>()?)
}

/// Shares of teachers that agree, and on how many of twenty questions.
const ASSUMED: [(f64, usize); 6] = [(0.97, 8), (0.9, 4), (0.8, 3), (0.65, 2), (0.5, 2), (0.4, 1)];
