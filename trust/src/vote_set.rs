//! The votes of one batch from all nodes: collected, then frozen once, before any noise is drawn.
//!
//! Freezing gives the counts and a commitment to exactly these votes. The commitment is SHA-256 over a fresh secret
//! salt and the ballots, so that the ledger, which auditors read, does not let anybody test a guess at the votes.

#[cfg(conclave_weakened = "selectable")]
mod weakened;

use std::collections::BTreeMap;
use std::fmt;

use conclave_privacy::VoteCounts;
use sha2::{Digest as _, Sha256};

use crate::trusted_aggregator::Shape;
use crate::{Ballot, Contract, Rejection};

/// Ballots collected so far, one per node at most. Its `Debug` shows who voted, not what.
pub struct VoteSet {
    queries: usize,
    classes: usize,
    members: BTreeMap<String, u32>,
    ballots: BTreeMap<String, Ballot>,
    #[cfg(conclave_weakened = "selectable")]
    first: Option<String>,
}

/// The frozen votes of a batch: counts, who voted, and the commitment. Made once, by [`VoteSet::freeze`].
pub struct FrozenVotes {
    counts: Vec<VoteCounts>,
    commitment: [u8; 32],
    silos: Vec<String>,
}

impl VoteSet {
    /// An empty set for a batch of `queries` under `contract`; members are known by their data ids.
    pub fn new(contract: &Contract, queries: usize) -> Self {
        let members = contract.members.iter().map(|m| (m.data.as_str().to_owned(), m.teachers)).collect();
        Self {
            queries,
            classes: contract.class_names.len(),
            members,
            ballots: BTreeMap::new(),
            #[cfg(conclave_weakened = "selectable")]
            first: contract.members.first().map(|member| member.data.as_str().to_owned()),
        }
    }

    /// Takes the submission of the silo that holds `data_id`.
    ///
    /// Rejected as foreign when it is no member, as repeated when it has voted already, and as malformed when it
    /// does not hold exactly one valid vote per enrolled teacher and query.
    pub fn submit(&mut self, data_id: &str, packed: Vec<u8>) -> Result<(), Rejection> {
        let teachers = *self.members.get(data_id).ok_or(Rejection::Foreign)?;
        if self.ballots.contains_key(data_id) {
            return Err(Rejection::Repeated);
        }
        let shape = Shape { teachers, queries: self.queries, classes: self.classes };
        self.ballots.insert(data_id.to_owned(), Ballot::open(packed, shape)?);
        Ok(())
    }

    /// Whether every member has voted.
    pub fn is_complete(&self) -> bool {
        self.ballots.len() == self.members.len()
    }

    /// Teachers whose votes have arrived: a public number, unlike their votes.
    pub fn teachers(&self) -> u32 {
        self.ballots.values().map(Ballot::teachers).sum()
    }

    /// Counts the votes and commits to them under `salt`, which must be fresh and secret.
    pub fn freeze(self, salt: [u8; 32]) -> Result<FrozenVotes, conclave_privacy::Error> {
        let mut counts = vec![0; self.queries * self.classes];
        let mut hash = Sha256::new();
        hash.update(b"conclave vote set 1");
        hash.update(salt);
        for (data_id, ballot) in &self.ballots {
            hash.update((data_id.len() as u64).to_le_bytes());
            hash.update(data_id);
            hash.update((ballot.packed().len() as u64).to_le_bytes());
            hash.update(ballot.packed());
            ballot.add_to(&mut counts);
        }
        let counts = counts
            .chunks_exact(self.classes)
            .map(|c| VoteCounts::new(c.to_vec()))
            .collect::<Result<_, _>>()?;
        let silos = self.ballots.into_keys().collect();
        Ok(FrozenVotes { counts, commitment: hash.finalize().into(), silos })
    }
}

impl FrozenVotes {
    /// The hiding commitment, for the ledger's DRAW record.
    pub fn commitment(&self) -> [u8; 32] {
        self.commitment
    }

    /// Data ids of the silos whose votes are in the set.
    pub fn silos(&self) -> &[String] {
        &self.silos
    }

    /// The counts, one per query in the order of the batch. Whoever calls this must have a durable DRAW.
    pub fn into_counts(self) -> Vec<VoteCounts> {
        self.counts
    }
}

impl fmt::Debug for VoteSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VoteSet").field("voted", &self.ballots.keys()).finish_non_exhaustive()
    }
}

impl fmt::Debug for FrozenVotes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrozenVotes").field("silos", &self.silos).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::tests::contract;

    fn set(queries: usize) -> VoteSet {
        VoteSet::new(&contract(), queries)
    }

    #[test]
    fn each_member_votes_once_and_strangers_not_at_all() {
        let mut set = set(1);
        assert_eq!(set.submit("stranger", vec![0, 0]), Err(Rejection::Foreign));
        assert_eq!(set.submit("data-a", vec![0]), Err(Rejection::Malformed));
        assert_eq!(set.submit("data-a", vec![0, 1]), Ok(()));
        assert_eq!(set.submit("data-a", vec![0, 1]), Err(Rejection::Repeated));
        assert!(!set.is_complete());
        assert_eq!(set.submit("data-b", vec![1, 1, 1]), Ok(()));
        assert!(set.is_complete());
        assert_eq!(set.teachers(), 5);
        assert_eq!(set.freeze([0; 32]).unwrap().silos(), ["data-a", "data-b"]);
    }

    #[test]
    fn the_commitment_binds_votes_and_silos_and_hides_both() {
        let frozen = |votes: Vec<u8>, salt| {
            let mut set = set(1);
            set.submit("data-a", votes).unwrap();
            set.freeze([salt; 32]).unwrap().commitment()
        };
        assert_eq!(frozen(vec![0, 1], 7), frozen(vec![0, 1], 7));
        assert_ne!(frozen(vec![0, 1], 7), frozen(vec![1, 0], 7));
        assert_ne!(frozen(vec![0, 1], 7), frozen(vec![0, 1], 8));
    }

    #[test]
    fn debug_does_not_show_votes() {
        let mut set = set(1);
        set.submit("data-a", vec![1, 1]).unwrap();
        assert_eq!(format!("{set:?}"), r#"VoteSet { voted: ["data-a"], .. }"#);
        assert_eq!(format!("{:?}", set.freeze([0; 32]).unwrap()), r#"FrozenVotes { silos: ["data-a"], .. }"#);
    }
}
