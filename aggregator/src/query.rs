//! One batch of queries while votes are collected: who has voted, whose votes are rejected, whether the quorum is there.
//!
//! A submission that is late, repeated, foreign or malformed is rejected and counted, and the rest goes on. Below the
//! quorum nothing is drawn.

use conclave_ledger::DataKey;
use conclave_privacy::VoteCounts;
use conclave_proto::ids::{QueryId, join_query_ids};
use conclave_proto::teacher::v1::{VoteRequest, VoteResponse};
use conclave_trust::{Contract, FrozenVotes, Rejection, VoteSet};

/// A reserved batch that collects votes.
#[derive(Debug)]
pub(crate) struct Batch {
    number: u64,
    attempt: u32,
    request: VoteRequest,
    votes: VoteSet,
    quorum: u32,
}

/// The votes of a batch, frozen, with the silos that cast them.
#[derive(Debug)]
pub(crate) struct Frozen {
    votes: FrozenVotes,
    silos: Vec<DataKey>,
}

impl Batch {
    /// A batch under reservation `number`, asked for the `attempt`-th time.
    pub(crate) fn new(contract: &Contract, number: u64, attempt: u32, queries: &[QueryId]) -> Self {
        let request = VoteRequest {
            campaign_id: contract.campaign.to_string(),
            contract_digest: contract.digest().as_bytes().to_vec(),
            batch_id: number,
            attempt,
            query_ids: join_query_ids(queries),
        };
        let votes = VoteSet::new(contract, queries.len());
        Self { number, attempt, request, votes, quorum: contract.teachers_quorum_min }
    }

    /// What every node is asked.
    pub(crate) fn request(&self) -> &VoteRequest {
        &self.request
    }

    /// Takes the submission of the silo that holds `data_id`, known from the session, never from the message.
    pub(crate) fn submit(&mut self, data_id: &str, answer: VoteResponse) -> Result<(), Rejection> {
        let ours = answer.campaign_id == self.request.campaign_id
            && answer.batch_id == self.number
            && answer.attempt == self.attempt;
        if !ours {
            return Err(Rejection::Foreign);
        }
        self.votes.submit(data_id, answer.packed_votes)
    }

    /// Whether enough teachers have voted for a draw.
    pub(crate) fn has_quorum(&self) -> bool {
        self.votes.teachers() >= self.quorum
    }

    /// Fixes the vote set, with a commitment to it under a fresh secret salt.
    pub(crate) fn freeze(self, salt: [u8; 32]) -> Result<Frozen, conclave_ledger::LedgerError> {
        #[cfg(not(conclave_weakened = "selectable"))]
        let votes = self.votes.freeze(salt)?;
        #[cfg(conclave_weakened = "selectable")]
        let votes = crate::weakened::freeze(self.votes, salt)?;
        let silos = votes.silos().iter().map(|silo| DataKey::new(silo.as_str())).collect::<Result<_, _>>()?;
        Ok(Frozen { votes, silos })
    }
}

impl Frozen {
    /// The commitment, for the DRAW record.
    pub(crate) fn commitment(&self) -> [u8; 32] {
        self.votes.commitment()
    }

    /// Whose votes are in it.
    pub(crate) fn silos(&self) -> Vec<DataKey> {
        self.silos.clone()
    }

    /// The counts; for the release alone, which holds the permit of the durable DRAW.
    pub(crate) fn into_counts(self) -> Vec<VoteCounts> {
        self.votes.into_counts()
    }
}

#[cfg(test)]
mod tests;
