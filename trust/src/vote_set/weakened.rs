//! What a tally must never do, for an attack that has to be seen to succeed (`docs/decisions/0009`).
//!
//! Compiled only under `--cfg conclave_weakened="selectable"`; no manifest may set that.

use conclave_privacy::{Error, VoteCounts};

use super::{FrozenVotes, VoteSet};

impl VoteSet {
    /// Freezes the votes with those of the contract's first member counted twice.
    pub fn freeze_with_first_twice(self, salt: [u8; 32]) -> Result<FrozenVotes, Error> {
        let classes = self.classes;
        let mut again = vec![0; self.queries * classes];
        if let Some(first) = self.first.as_ref().and_then(|first| self.ballots.get(first)) {
            first.add_to(&mut again);
        }
        let mut frozen = self.freeze(salt)?;
        for (counts, again) in frozen.counts.iter_mut().zip(again.chunks_exact(classes)) {
            *counts =
                VoteCounts::new(counts.as_slice().iter().zip(again).map(|(one, two)| one + two).collect())?;
        }
        Ok(frozen)
    }
}
