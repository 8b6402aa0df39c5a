//! A batch of queries that a campaign may put to this node: checked against what was agreed to and the public pool.

use std::collections::{HashMap, HashSet};

use conclave_proto::ids::{CampaignId, ContractDigest, QueryId};

use crate::error::CallError;

/// Different queries of this node's pool, under a contract that the silo has agreed to.
#[derive(Debug, Clone)]
pub(crate) struct BallotPaper {
    campaign: CampaignId,
    contract: ContractDigest,
    queries: Vec<QueryId>,
    positions: Vec<usize>,
}

impl BallotPaper {
    /// Refuses an empty or too large batch, a query that stands twice, and one that `pool` does not hold.
    pub(crate) fn new(
        campaign: CampaignId,
        contract: ContractDigest,
        queries: Vec<QueryId>,
        pool: &HashMap<QueryId, usize>,
        queries_max: usize,
    ) -> Result<Self, CallError> {
        if !(1..=queries_max).contains(&queries.len()) {
            return Err(CallError::BatchSize { queries: queries.len(), queries_max });
        }
        let mut seen = HashSet::with_capacity(queries.len());
        let mut positions = Vec::with_capacity(queries.len());
        for (position, &query) in queries.iter().enumerate() {
            if !seen.insert(query) {
                return Err(CallError::QueryRepeated { query, position });
            }
            positions.push(*pool.get(&query).ok_or(CallError::QueryUnknown { query, position })?);
        }
        Ok(Self { campaign, contract, queries, positions })
    }

    pub(crate) fn campaign(&self) -> &CampaignId {
        &self.campaign
    }

    pub(crate) fn contract(&self) -> ContractDigest {
        self.contract
    }

    pub(crate) fn queries(&self) -> &[QueryId] {
        &self.queries
    }

    /// Where each query stands in the pool's manifest.
    pub(crate) fn positions(&self) -> &[usize] {
        &self.positions
    }
}
