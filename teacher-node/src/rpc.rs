//! The Teacher service (mode `listen`): wire types are translated here, once, and nowhere else.
//!
//! What the silo's operator reads in the log: who asked, for which campaign, how many queries, how many are left under
//! the silo's cap. Every refusal is logged here and told to the caller in the same words.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use conclave_proto::PROTOCOL;
use conclave_proto::common::v1::ProtocolVersion;
use conclave_proto::ids::{CampaignId, ContractDigest, split_query_ids};
use conclave_proto::teacher::v1::teacher_service_server::TeacherService;
use conclave_proto::teacher::v1::{
    AcceptContractRequest, AcceptContractResponse, DescribeRequest, DescribeResponse, VoteRequest,
    VoteResponse,
};
use conclave_service::{Repeats, Role, RoleTable, peer_identity};
use conclave_trust::Contract;
use conclave_trust::contract::unit_to_wire;
use tonic::{Request, Response, Status};

use crate::budget_guard::GuardHandle;
use crate::error::CallError;
use crate::figures::Meters;
use crate::settings::People;
use crate::silo::Silo;

/// Only the aggregator may call a teacher node.
pub const ROLES: RoleTable = RoleTable::new(&[
    ("/conclave.teacher.v1.TeacherService/Describe", &[Role::Aggregator]),
    ("/conclave.teacher.v1.TeacherService/AcceptContract", &[Role::Aggregator]),
    ("/conclave.teacher.v1.TeacherService/Vote", &[Role::Aggregator]),
]);

/// The handlers.
pub(crate) struct TeacherRpc {
    pub(crate) silo: Arc<Silo>,
    pub(crate) guard: GuardHandle,
    /// What the log said lately: an aggregator that asks again every second must not bury it.
    pub(crate) said: Repeats,
    pub(crate) meters: Meters,
}

#[tonic::async_trait]
impl TeacherService for TeacherRpc {
    async fn describe(
        &self,
        request: Request<DescribeRequest>,
    ) -> Result<Response<DescribeResponse>, Status> {
        let caller = caller(&request);
        let answer = self
            .describe(request.into_inner())
            .map_err(|error| self.said.refuse("Describe", &caller, error.into()))?;
        if self.said.to_say(&format!("Describe {caller}")).is_some() {
            tracing::info!(caller, "described this node");
        }
        Ok(Response::new(answer))
    }

    async fn accept_contract(
        &self,
        request: Request<AcceptContractRequest>,
    ) -> Result<Response<AcceptContractResponse>, Status> {
        let caller = caller(&request);
        let agreed = self.agree(request.into_inner()).await;
        let (campaign, digest) =
            agreed.map_err(|error| self.said.refuse("AcceptContract", &caller, error.into()))?;
        tracing::info!(caller, %campaign, contract = %digest, "agreed to a campaign");
        Ok(Response::new(AcceptContractResponse { contract_digest: digest.as_bytes().to_vec() }))
    }

    async fn vote(&self, request: Request<VoteRequest>) -> Result<Response<VoteResponse>, Status> {
        let caller = caller(&request);
        let answer = self.vote(&caller, request.into_inner()).await;
        answer.map(Response::new).map_err(|error| self.said.refuse("Vote", &caller, error.into()))
    }
}

impl TeacherRpc {
    fn describe(&self, request: DescribeRequest) -> Result<DescribeResponse, CallError> {
        let offered = request.protocol.map_or(0, |version| version.major);
        if offered != PROTOCOL.major {
            return Err(CallError::Protocol { offered });
        }
        let consent = self.silo.consent();
        let follows = self.silo.follows();
        Ok(DescribeResponse {
            protocol: Some(ProtocolVersion { ..PROTOCOL }),
            organisation: consent.member.organisation.to_string(),
            node: consent.member.node.to_string(),
            data_id: consent.member.data.to_string(),
            partition_digest: consent.member.partition.as_bytes().to_vec(),
            teachers: consent.member.teachers,
            class_names: consent.pool.class_names().to_vec(),
            pool_digest: consent.pool.digest().as_bytes().to_vec(),
            features_digest: consent.pool.features().as_bytes().to_vec(),
            unit: Some(unit_to_wire(consent.unit, consent.adjacency)),
            successor_of: follows.map(|follows| follows.predecessor.to_string()).unwrap_or_default(),
            people_disjoint_from_predecessor: follows.is_some_and(|follows| follows.people == People::Others),
        })
    }

    async fn agree(&self, request: AcceptContractRequest) -> Result<(CampaignId, ContractDigest), CallError> {
        let missing = || CallError::Contract(conclave_trust::ContractError::Missing("contract"));
        let contract: Contract =
            request.contract.ok_or_else(missing)?.try_into().map_err(CallError::Contract)?;
        let standing = self.guard.standing(&contract.campaign, contract.digest()).await?;
        let digest = self.silo.agree(&contract, standing)?;
        Ok((contract.campaign, digest))
    }

    async fn vote(&self, caller: &str, request: VoteRequest) -> Result<VoteResponse, CallError> {
        let id = |field| move |source| CallError::Id { field, source };
        let campaign = CampaignId::new(&request.campaign_id).map_err(id("campaign_id"))?;
        let contract = ContractDigest::from_slice(&request.contract_digest).map_err(id("contract_digest"))?;
        let queries = split_query_ids(&request.query_ids).map_err(id("query_ids"))?;
        let paper = self.silo.ballot_paper(campaign, contract, queries)?;
        let permit = self.guard.allow(paper).await?;
        let (queries, left) = (permit.paper().queries().len(), permit.standing().left());
        let ballot = self.silo.vote(permit);
        self.meters.batches_answered.fetch_add(1, Ordering::Relaxed);
        tracing::info!(
            caller,
            campaign = request.campaign_id,
            batch = request.batch_id,
            attempt = request.attempt,
            queries,
            left,
            "voted"
        );
        Ok(VoteResponse {
            campaign_id: request.campaign_id,
            batch_id: request.batch_id,
            attempt: request.attempt,
            teachers: ballot.teachers(),
            packed_votes: ballot.into_packed(),
        })
    }
}

/// The caller as its certificate names it.
fn caller<T>(request: &Request<T>) -> String {
    peer_identity(request).map_or_else(|| "a caller on this machine".to_owned(), ToString::to_string)
}
