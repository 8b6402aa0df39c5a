//! The ballot box: what every silo agrees to before its first vote, and how votes are sealed and tallied.
//!
//! - [`contract`]: the campaign contract, its canonical bytes and digest; changing a field is another campaign.
//! - [`trusted_aggregator`]: one trust mode, both sides of it: a node packs its teachers' votes, the aggregator
//!   opens and checks them.
//! - [`vote_set`]: the votes of one batch from all nodes, frozen into counts and a hiding commitment.
//!
//! Sealing and tallying live in one crate because they must change together. Nothing here does IO, reads a clock or
//! draws randomness. Votes and counts have no readable `Debug` and never stand in an error.

pub mod contract;
pub mod trusted_aggregator;
pub mod vote_set;

pub use contract::{Contract, ContractError, Member, TrustMode};
pub use trusted_aggregator::Ballot;
pub use vote_set::{FrozenVotes, VoteSet};

/// Why a node's submission was rejected. The batch goes on without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Rejection {
    /// Its size, its number of teachers or a class index does not fit the contract.
    #[error("malformed: size, number of teachers or a class index does not fit the contract")]
    Malformed,
    /// The node has voted on this batch already.
    #[error("repeated: this node has voted on this batch already")]
    Repeated,
    /// The node is no member of this campaign, or speaks for another batch.
    #[error("foreign: the node is no member of this campaign, or speaks of another batch")]
    Foreign,
    /// The votes came after the deadline, or after the vote set was frozen.
    #[error("late: the votes came after the deadline")]
    Late,
}

impl Rejection {
    /// Every reason, in the order of their names in reports.
    pub const ALL: [Self; 4] = [Self::Foreign, Self::Late, Self::Malformed, Self::Repeated];

    /// A short name for counters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Repeated => "repeated",
            Self::Foreign => "foreign",
            Self::Late => "late",
        }
    }
}
