//! Vote counts: the one private value that enters a mechanism.
//!
//! They have no `Serialize`, and their `Debug` shows nothing but the number of classes, so that they cannot
//! reach a log or a message by accident.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::Zeroize;

/// The index of a class, from 0; below [`VoteCounts::CLASSES_MAX`] wherever counts go with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClassIndex(pub u32);

impl ClassIndex {
    /// Where the class is in a list of all.
    pub const fn position(self) -> usize {
        self.0 as usize
    }
}

impl From<u16> for ClassIndex {
    fn from(index: u16) -> Self {
        Self(index.into())
    }
}

/// How many votes each class received; wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct VoteCounts(Vec<u64>);

impl VoteCounts {
    /// The fewest classes among which there is anything to vote for.
    pub const CLASSES_MIN: usize = 2;
    /// The most classes: a million.
    pub const CLASSES_MAX: usize = 1_000_000;
    /// The largest count.
    pub const COUNT_MAX: u64 = 1 << 53;

    /// The counts as given, one for each class.
    pub fn new(counts: Vec<u64>) -> Result<Self, Error> {
        check_classes(counts.len())?;
        if counts.iter().any(|&count| count > Self::COUNT_MAX) {
            return Err(Error::CountTooLarge);
        }
        Ok(Self(counts))
    }

    /// Counts `votes` over `classes` classes; refuses all of them if one names a class that does not exist.
    pub fn from_votes(classes: usize, votes: impl IntoIterator<Item = ClassIndex>) -> Result<Self, Error> {
        let max = check_classes(classes)?;
        let mut counts = vec![0; classes];
        for vote in votes {
            *counts.get_mut(vote.position()).ok_or(Error::VoteOutOfRange { max })? += 1;
        }
        Self::new(counts)
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.0.len()
    }

    /// The counts, by class.
    pub fn as_slice(&self) -> &[u64] {
        &self.0
    }

    /// The counts with their classes.
    pub(crate) fn by_class(&self) -> impl Iterator<Item = (ClassIndex, u64)> + '_ {
        (0..).map(ClassIndex).zip(self.0.iter().copied())
    }
}

/// The largest class index, if the number of classes is admissible.
pub(crate) fn check_classes(classes: usize) -> Result<u32, Error> {
    let refusal = Error::Classes { value: classes, max: VoteCounts::CLASSES_MAX };
    if !(VoteCounts::CLASSES_MIN..=VoteCounts::CLASSES_MAX).contains(&classes) {
        return Err(refusal);
    }
    u32::try_from(classes - 1).map_err(|_| refusal)
}

impl fmt::Debug for VoteCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VoteCounts({} classes, redacted)", self.classes())
    }
}

impl Drop for VoteCounts {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_are_counted_by_class_and_empty_classes_keep_their_place() {
        let counts = VoteCounts::from_votes(4, [2, 0, 2].map(ClassIndex)).unwrap();
        assert_eq!(counts.as_slice(), [1, 0, 2, 0]);
        assert_eq!(counts.by_class().last(), Some((ClassIndex(3), 0)));
    }

    #[test]
    fn a_vote_for_a_class_that_does_not_exist_is_refused_without_repeating_it() {
        let refusal = VoteCounts::from_votes(10, [3, 4711].map(ClassIndex)).unwrap_err();
        assert_eq!(refusal, Error::VoteOutOfRange { max: 9 });
        assert!(!refusal.to_string().contains("4711"));
    }

    #[test]
    fn the_number_of_classes_and_the_size_of_a_count_are_limited() {
        for classes in [0, 1, VoteCounts::CLASSES_MAX + 1] {
            assert!(
                matches!(VoteCounts::new(vec![0; classes]), Err(Error::Classes { value, .. }) if value == classes)
            );
        }
        assert!(VoteCounts::new(vec![0; VoteCounts::CLASSES_MAX]).is_ok());
        assert!(VoteCounts::new(vec![VoteCounts::COUNT_MAX, 0]).is_ok());
        assert_eq!(VoteCounts::new(vec![VoteCounts::COUNT_MAX + 1, 0]), Err(Error::CountTooLarge));
    }

    #[test]
    fn debug_shows_no_count() {
        let shown = format!("{:?}", VoteCounts::new(vec![1234, 5678]).unwrap());
        assert_eq!(shown, "VoteCounts(2 classes, redacted)");
    }
}
