//! What an attacker may touch. Each capability is a trait of its own, and a stronger one includes the weaker.
//!
//! | capability | who has it of a Conclave |
//! |---|---|
//! | [`LabelOnly`] | every client of a served student |
//! | [`Scores`] | whoever holds the published model; no service gives them |
//! | [`Gradients`] | whoever holds a published model that has them |
//! | [`Releases`] | a student of the campaign |
//! | [`Ballots`] | teachers that collude; in a simulation, the simulation |

use conclave_learning::Label;
use conclave_learning::models::Classifier;
use conclave_learning::network::Network;
use conclave_privacy::mechanism::Outcome;
use conclave_privacy::quantity::Rho;
use ndarray::Array2;

use crate::{Error, Result};

/// Rows in, labels out.
pub trait LabelOnly {
    /// A label is below this.
    fn classes(&self) -> usize;

    /// Labels of rows (examples × raw values), in their order.
    fn labels(&mut self, rows: &Array2<f32>) -> Result<Vec<Label>>;
}

/// Rows in, a score for every class out.
pub trait Scores: LabelOnly {
    /// Examples × classes; the largest of a row is its label.
    fn scores(&mut self, rows: &Array2<f32>) -> Result<Array2<f32>>;
}

/// How the loss on a label changes with every value of a row.
pub trait Gradients: Scores {
    /// The gradient of the cross-entropy of each row's label by the row: examples × raw values.
    fn loss_gradients(&mut self, rows: &Array2<f32>, labels: &[Label]) -> Result<Array2<f32>>;
}

/// Answers that a campaign releases, and what they are charged.
pub trait Releases {
    /// Asks the query with this number.
    fn ask(&mut self, query: usize) -> Result<Answer>;
}

/// What a student gets for a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The label or abstention.
    pub outcome: Outcome,
    /// What the ledger was charged for this time of asking: nothing for a stored answer.
    pub charged: Rho,
}

/// Who voted what: one vote of each teacher for each query.
#[derive(Clone, PartialEq, Eq)]
pub struct Ballots {
    classes: usize,
    teachers: usize,
    /// Queries × teachers.
    votes: Vec<Vec<Label>>,
}

impl Ballots {
    /// Votes by query, then by teacher. Refused: no votes, queries with unequal numbers of votes, votes out of range.
    pub fn new(classes: usize, votes: Vec<Vec<Label>>) -> Result<Self> {
        let teachers = votes.first().map_or(0, Vec::len);
        if teachers == 0 || classes == 0 {
            return Err(Error::setting("ballots", 0, "give at least one vote and one class"));
        }
        if let Some(odd) = votes.iter().find(|query| query.len() != teachers) {
            return Err(Error::setting("ballots", odd.len(), format!("every query has {teachers} votes")));
        }
        if votes.iter().flatten().any(|vote| vote.index() >= classes) {
            return Err(Error::setting("ballots", classes, "votes are below the number of classes"));
        }
        Ok(Self { classes, teachers, votes })
    }

    /// Number of classes.
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// Votes for every query.
    pub const fn teachers(&self) -> usize {
        self.teachers
    }

    /// By query, in order: the vote of each teacher.
    pub fn queries(&self) -> impl ExactSizeIterator<Item = &[Label]> {
        self.votes.iter().map(Vec::as_slice)
    }
}

/// Single votes are what the whole system hides.
impl std::fmt::Debug for Ballots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ballots({} queries, {} teachers, [redacted])", self.votes.len(), self.teachers)
    }
}

/// A model in the attacker's own hands, over rows of its feature space.
#[derive(Debug, Clone)]
pub struct Held<M>(pub M);

impl<M: Classifier> LabelOnly for Held<M> {
    fn classes(&self) -> usize {
        self.0.classes()
    }

    fn labels(&mut self, rows: &Array2<f32>) -> Result<Vec<Label>> {
        Ok(self.0.predict(rows))
    }
}

impl<M: Classifier> Scores for Held<M> {
    fn scores(&mut self, rows: &Array2<f32>) -> Result<Array2<f32>> {
        Ok(self.0.scores(rows))
    }
}

/// A network in the attacker's own hands, over raw rows.
#[derive(Debug, Clone)]
pub struct HeldNetwork(pub Network);

impl LabelOnly for HeldNetwork {
    fn classes(&self) -> usize {
        self.0.classes()
    }

    fn labels(&mut self, rows: &Array2<f32>) -> Result<Vec<Label>> {
        Ok(self.0.predict(rows)?)
    }
}

impl Scores for HeldNetwork {
    fn scores(&mut self, rows: &Array2<f32>) -> Result<Array2<f32>> {
        Ok(self.0.logits(rows)?)
    }
}

impl Gradients for HeldNetwork {
    fn loss_gradients(&mut self, rows: &Array2<f32>, labels: &[Label]) -> Result<Array2<f32>> {
        Ok(self.0.loss_gradients(rows, labels)?)
    }
}
