//! Trust mode `trusted-aggregator`: plain votes over mutual TLS; the aggregator sees each node's votes.
//!
//! Votes travel packed, teacher by teacher, each a little-endian class index of fixed width, so that the size of a
//! message depends on public numbers alone. Opening checks size, number of teachers and every class index; one bad
//! index rejects the node's whole submission, because an honest node never sends one.

use std::fmt;

use conclave_privacy::ClassIndex;

use crate::Rejection;

/// One node's votes on one batch, checked against the contract. Its `Debug` shows sizes only.
#[derive(Clone, PartialEq, Eq)]
pub struct Ballot {
    packed: Vec<u8>,
    shape: Shape,
}

/// How many votes a submission must hold: public numbers of the contract and the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Teachers that the node enrolled.
    pub teachers: u32,
    /// Queries in the batch.
    pub queries: usize,
    /// Classes of the contract; an index is below this.
    pub classes: usize,
}

impl Shape {
    /// Two bytes tell no more classes apart; a contract has fewer.
    const CLASSES_MAX: usize = 1 << 16;

    /// Bytes of one vote: 1 for up to 256 classes, else 2.
    pub fn vote_bytes(self) -> usize {
        if self.classes <= 256 { 1 } else { 2 }
    }

    fn packed_bytes(self) -> Option<usize> {
        usize::try_from(self.teachers).ok()?.checked_mul(self.queries)?.checked_mul(self.vote_bytes())
    }
}

impl Ballot {
    /// Packs the votes of a node: `votes[teacher][query]`.
    ///
    /// Fails with [`Rejection::Malformed`] when the votes do not have `shape`; a node finds its own mistakes here
    /// before anybody else does.
    pub fn seal(votes: &[Vec<ClassIndex>], shape: Shape) -> Result<Self, Rejection> {
        let fits = u32::try_from(votes.len()).is_ok_and(|teachers| teachers == shape.teachers);
        if !fits || votes.iter().any(|of_teacher| of_teacher.len() != shape.queries) {
            return Err(Rejection::Malformed);
        }
        // Before packing, which keeps the low bytes alone. Branch-free, like the sweep of `open`.
        let largest = votes.iter().flatten().map(|class| class.position()).fold(0, usize::max);
        if largest >= shape.classes.min(Shape::CLASSES_MAX) {
            return Err(Rejection::Malformed);
        }
        let width = shape.vote_bytes();
        let packed = votes.iter().flatten().flat_map(|class| class.0.to_le_bytes().into_iter().take(width));
        Self::open(packed.collect(), shape)
    }

    /// Checks a submission against `shape`.
    pub fn open(packed: Vec<u8>, shape: Shape) -> Result<Self, Rejection> {
        if shape.packed_bytes() != Some(packed.len()) {
            return Err(Rejection::Malformed);
        }
        let ballot = Self { packed, shape };
        // A branch-free sweep: how long it takes does not depend on the votes.
        let largest = ballot.indices().fold(0, usize::max);
        if shape.queries > 0 && shape.teachers > 0 && largest >= shape.classes {
            return Err(Rejection::Malformed);
        }
        Ok(ballot)
    }

    /// The packed form, for the wire.
    pub fn into_packed(self) -> Vec<u8> {
        self.packed
    }

    /// Teachers that voted.
    pub fn teachers(&self) -> u32 {
        self.shape.teachers
    }

    /// The packed form, for the commitment.
    pub(crate) fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// Adds each vote to `counts[query * classes + class]`.
    pub(crate) fn add_to(&self, counts: &mut [u64]) {
        let Shape { queries, classes, .. } = self.shape;
        let mut indices = self.indices();
        for _ in 0..self.shape.teachers {
            for (of_query, class) in counts.chunks_exact_mut(classes).take(queries).zip(&mut indices) {
                of_query[class] += 1;
            }
        }
    }

    fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        let width = self.shape.vote_bytes();
        self.packed.chunks_exact(width).map(|vote| match *vote {
            [low] => usize::from(low),
            [low, high] => usize::from(u16::from_le_bytes([low, high])),
            _ => usize::MAX,
        })
    }
}

impl fmt::Debug for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ballot").field("shape", &self.shape).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shape(teachers: u32, queries: usize, classes: usize) -> Shape {
        Shape { teachers, queries, classes }
    }

    #[test]
    fn votes_are_counted_where_they_were_cast() {
        let votes = [vec![0, 2], vec![1, 2]].map(|row| row.into_iter().map(ClassIndex).collect());
        let ballot = Ballot::seal(&votes, shape(2, 2, 3)).unwrap();
        let mut counts = [0; 6];
        ballot.add_to(&mut counts);
        assert_eq!(counts, [1, 1, 0, 0, 0, 2]);
    }

    #[test]
    fn size_tells_nothing_but_public_numbers() {
        for (classes, bytes) in [(2, 6), (256, 6), (257, 12), (65_535, 12)] {
            let votes = vec![vec![ClassIndex(1); 3]; 2];
            assert_eq!(Ballot::seal(&votes, shape(2, 3, classes)).unwrap().into_packed().len(), bytes);
        }
    }

    #[test]
    fn a_vote_that_does_not_fit_is_refused_before_it_is_packed_not_cut_off() {
        for (class, classes) in
            [(256, 256), (3, 3), (65_536, 257), (65_535, 65_535), (65_536, 1_000_000), (u32::MAX, 2)]
        {
            let refused = Ballot::seal(&[vec![ClassIndex(class)]], shape(1, 1, classes));
            assert_eq!(refused, Err(Rejection::Malformed), "class {class} of {classes}");
        }
        let last = Ballot::seal(&[vec![ClassIndex(65_534)]], shape(1, 1, 65_535)).unwrap();
        assert_eq!(last.into_packed(), [0xfe, 0xff]);
    }

    #[test]
    fn a_vote_too_many_or_too_few_or_out_of_range_is_malformed() {
        for (packed, shape) in [
            (vec![0; 5], shape(2, 3, 2)),
            (vec![0; 7], shape(2, 3, 2)),
            (vec![0, 0, 0, 0, 0, 2], shape(2, 3, 2)),
            (vec![255; 12], shape(2, 3, 65_535)),
            (vec![0], shape(u32::MAX, usize::MAX, 2)),
        ] {
            assert_eq!(Ballot::open(packed, shape), Err(Rejection::Malformed));
        }
    }

    #[test]
    fn debug_does_not_show_votes() {
        let ballot = Ballot::open(vec![113; 4], shape(2, 2, 200)).unwrap();
        assert!(!format!("{ballot:?}").contains("113"));
    }

    proptest! {
        #[test]
        fn whatever_is_sent_either_counts_every_vote_or_is_rejected(
            packed in proptest::collection::vec(any::<u8>(), 0..64), teachers in 0_u32..8, queries in 0_usize..8,
            classes in 2_usize..300,
        ) {
            let shape = shape(teachers, queries, classes);
            if let Ok(ballot) = Ballot::open(packed, shape) {
                let mut counts = vec![0; queries * classes];
                ballot.add_to(&mut counts);
                for of_query in counts.chunks_exact(classes) {
                    prop_assert_eq!(of_query.iter().sum::<u64>(), u64::from(teachers));
                }
            }
        }
    }
}
