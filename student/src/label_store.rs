//! The answers that a campaign has released so far. An answer never changes; a repeat that differs is refused.

use std::collections::BTreeMap;
use std::fmt;

use conclave_learning::Label;
use conclave_proto::ids::QueryId;

use crate::error::{Result, StudentError};

/// How a query ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The class that was released.
    Label(Label),
    /// The noisy threshold test was not passed.
    Abstention,
    /// Its draws were cut short by crashes; the query is closed.
    Interrupted,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => write!(f, "label {}", label.get()),
            Self::Abstention => f.write_str("an abstention"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

/// Answers by query, and how far in the campaign's list of answers they reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelStore {
    answers: BTreeMap<QueryId, Answer>,
    position: u64,
}

/// How many queries ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answered with a label.
    pub labels: usize,
    /// Answered with an abstention.
    pub abstentions: usize,
    /// Closed after interrupted draws.
    pub interrupted: usize,
}

impl LabelStore {
    /// No answers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an answer. The same answer again changes nothing; another one is refused with the query's name.
    pub fn record(&mut self, query: QueryId, answer: Answer) -> Result<()> {
        let first = *self.answers.entry(query).or_insert(answer);
        if first == answer {
            return Ok(());
        }
        Err(StudentError::AnswerChanged { query, before: first.to_string(), now: answer.to_string() })
    }

    /// How a query ended, if it did.
    pub fn get(&self, query: &QueryId) -> Option<Answer> {
        self.answers.get(query).copied()
    }

    /// All answers, in the order of the queries' names.
    pub fn iter(&self) -> impl Iterator<Item = (QueryId, Answer)> + '_ {
        self.answers.iter().map(|(query, answer)| (*query, *answer))
    }

    /// Number of queries that ended.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether nothing has been answered.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// How many ended in which way.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for answer in self.answers.values() {
            match answer {
                Answer::Label(_) => tally.labels += 1,
                Answer::Abstention => tally.abstentions += 1,
                Answer::Interrupted => tally.interrupted += 1,
            }
        }
        tally
    }

    /// How many answers of the campaign's list are here: where to go on reading.
    pub const fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn advance_to(&mut self, position: u64) {
        self.position = position;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(byte: u8) -> QueryId {
        QueryId::new([byte; 32])
    }

    #[test]
    fn a_repeated_answer_changes_nothing_and_another_one_is_refused() {
        let answers = [
            Answer::Label(Label::new(0)),
            Answer::Label(Label::new(1)),
            Answer::Abstention,
            Answer::Interrupted,
        ];
        for first in answers {
            let mut store = LabelStore::new();
            store.record(query(1), first).unwrap();
            for second in answers {
                match store.record(query(1), second) {
                    Ok(()) => assert_eq!(first, second),
                    Err(error) => {
                        assert_ne!(first, second);
                        let words = format!("answer to query {} is {second}, but was {first}", query(1));
                        assert!(error.to_string().contains(&words), "{error}");
                    }
                }
                assert_eq!(store.get(&query(1)), Some(first));
            }
        }
    }

    #[test]
    fn answers_are_counted_by_kind() {
        let mut store = LabelStore::new();
        assert!(store.is_empty());
        for (byte, answer) in [
            (1, Answer::Label(Label::new(3))),
            (2, Answer::Abstention),
            (3, Answer::Abstention),
            (4, Answer::Interrupted),
        ] {
            store.record(query(byte), answer).unwrap();
        }
        assert_eq!(store.tally(), Tally { labels: 1, abstentions: 2, interrupted: 1 });
        assert_eq!(store.len(), 4);
        assert_eq!(store.iter().map(|(query, _)| query).collect::<Vec<_>>(), [1, 2, 3, 4].map(query));
    }
}
