//! The node without its wires: what it holds, what it has agreed to, and what it votes.
//!
//! No IO, no clock. `rpc.rs` translates calls into these functions and awaits the guard in between.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use conclave_proto::ids::{CampaignId, ContractDigest, QueryId};
use conclave_trust::Contract;
use conclave_trust::trusted_aggregator::Ballot;

use crate::ballot_paper::BallotPaper;
use crate::budget_guard::{Permit, Standing};
use crate::consent::Consent;
use crate::error::CallError;
use crate::settings::Succession;
use crate::teachers::Teachers;
use crate::voter::Ensemble;

/// Everything that answers depend on.
pub(crate) struct Silo {
    consent: Consent,
    follows: Option<Succession>,
    pool: HashMap<QueryId, usize>,
    voter: Ensemble,
    /// The contract of each campaign that was agreed to last since the node started.
    agreed: Mutex<HashMap<CampaignId, ContractDigest>>,
}

impl Silo {
    /// `teachers` have voted on the queries of the pool that `consent` names.
    pub(crate) fn new(consent: Consent, follows: Option<Succession>, teachers: Teachers) -> Self {
        let pool = consent.pool.queries().iter().enumerate().map(|(position, id)| (*id, position)).collect();
        let voter = Ensemble::new(teachers, consent.member.teachers, consent.pool.class_names().len());
        Self { consent, follows, pool, voter, agreed: Mutex::default() }
    }

    /// What this silo insists on; public to the campaign.
    pub(crate) fn consent(&self) -> &Consent {
        &self.consent
    }

    /// The data that today's data follow, as the operator declared.
    pub(crate) fn follows(&self) -> Option<&Succession> {
        self.follows.as_ref()
    }

    /// Agrees to `contract`, again if need be, or says why not. Terms that nobody has voted under yet may be replaced: a campaign
    /// that another silo refused can be offered anew under its name. Once a vote was cast, the guard's book keeps them for
    /// life and has refused others before this is asked.
    pub(crate) fn agree(&self, contract: &Contract, standing: Standing) -> Result<ContractDigest, CallError> {
        let offered = contract.digest();
        let mut agreed = self.agreed.lock().unwrap_or_else(PoisonError::into_inner);
        if agreed.get(&contract.campaign) != Some(&offered) {
            self.consent.check(contract, standing)?;
            agreed.insert(contract.campaign.clone(), offered);
        }
        Ok(offered)
    }

    /// The checked batch, ready for the guard.
    pub(crate) fn ballot_paper(
        &self,
        campaign: CampaignId,
        contract: ContractDigest,
        queries: Vec<QueryId>,
    ) -> Result<BallotPaper, CallError> {
        let agreed = self.agreed.lock().unwrap_or_else(PoisonError::into_inner).get(&campaign).copied();
        if agreed != Some(contract) {
            return Err(CallError::ContractUnknown { campaign, offered: contract });
        }
        BallotPaper::new(campaign, contract, queries, &self.pool, self.consent.limits.batch_queries_max)
    }

    /// The votes that `permit` allows.
    pub(crate) fn vote(&self, permit: Permit) -> Ballot {
        self.voter.vote(permit)
    }
}
