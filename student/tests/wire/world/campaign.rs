//! A campaign service that answers by script, over real mutual TLS: page by page, and as durable as a ledger.
//! What it has answered survives its restarts, what nobody has been asked yet does not.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use conclave_learning::Dataset;
use conclave_learning::features::FeatureSpace;
use conclave_proto::PROTOCOL;
use conclave_proto::campaign::v1::campaign_service_server::{CampaignService, CampaignServiceServer};
use conclave_proto::campaign::v1::{
    CampaignState, GetContractRequest, GetContractResponse, GetStatusRequest, GetStatusResponse,
    ListAnswersRequest, ListAnswersResponse, SubmitQueriesRequest, SubmitQueriesResponse,
};
use conclave_proto::common::v1::answer::Outcome;
use conclave_proto::common::v1::{Answer, Contract};
use conclave_proto::ids::{QueryId, split_query_ids};
use conclave_service::{Role, RoleTable, RunningServer, Server, ServerLimits};
use conclave_student::query_selection::{manifest, query_ids};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::server;

/// What the campaign will do.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) contract: Contract,
    /// The outcome of each query that it will ever be asked.
    pub(crate) outcomes: HashMap<QueryId, Outcome>,
    /// Answers that fit the budget; then it says that the budget is spent.
    pub(crate) answers_max: usize,
    /// Answers after which it goes silent until it is restarted.
    pub(crate) silent_after: usize,
    /// What it says whenever it has nothing to answer.
    pub(crate) state_when_empty: Option<CampaignState>,
    /// Added to the position that it reports.
    pub(crate) position_error: u64,
    /// All answers so far.
    pub(crate) released: Vec<Answer>,
    /// Proposed, not yet answered.
    pub(crate) waiting: Vec<QueryId>,
    /// Queries of each proposal, in their order.
    pub(crate) proposals: Vec<Vec<QueryId>>,
}

/// Shared by a running campaign and the test that watches it.
#[derive(Clone)]
pub(crate) struct Campaign(Arc<Mutex<Script>>);

impl Campaign {
    /// A campaign over `pool` that will answer every query with its row's label.
    pub(crate) fn over(pool: &Dataset, space: &FeatureSpace) -> Self {
        let manifest = manifest(pool, space).unwrap();
        let labels = pool.labels().unwrap().iter();
        let outcomes = query_ids(pool)
            .into_iter()
            .zip(labels)
            .map(|(id, label)| (id, Outcome::Label(label.get().into())));
        Self(Arc::new(Mutex::new(Script {
            contract: Contract {
                campaign_id: "points-1".to_owned(),
                protocol: Some(PROTOCOL),
                class_names: manifest.class_names().to_vec(),
                queries_max: 1000,
                pool_digest: manifest.digest().as_bytes().to_vec(),
                features_digest: manifest.features().as_bytes().to_vec(),
                simulated: true,
                ..Contract::default()
            },
            outcomes: outcomes.collect(),
            answers_max: usize::MAX,
            silent_after: usize::MAX,
            ..Script::default()
        })))
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }

    /// Starts serving on `address`; cancel the token to stop.
    pub(crate) async fn start(&self, address: SocketAddr) -> (RunningServer, CancellationToken) {
        let stop = CancellationToken::new();
        let limits = ServerLimits { drain_timeout_ms: 50, ..ServerLimits::default() };
        let server = Server::new(server(Role::Aggregator), ROLES, limits)
            .add_service(CampaignServiceServer::new(self.clone()))
            .bind(address, stop.clone())
            .await
            .unwrap();
        (server, stop)
    }

    /// What a crash does to it: what was not answered is forgotten.
    pub(crate) fn forget_waiting(&self) {
        let mut script = self.script();
        script.waiting.clear();
        script.silent_after = usize::MAX;
    }
}

const ROLES: RoleTable = RoleTable::new(&[
    ("/conclave.campaign.v1.CampaignService/GetContract", &[Role::Student]),
    ("/conclave.campaign.v1.CampaignService/SubmitQueries", &[Role::Student]),
    ("/conclave.campaign.v1.CampaignService/ListAnswers", &[Role::Student]),
    ("/conclave.campaign.v1.CampaignService/GetStatus", &[Role::Student]),
]);

const ANSWERS_PER_PAGE: usize = 5;

impl Script {
    fn release_some(&mut self) {
        while self.released.len() < self.answers_max.min(self.silent_after) && !self.waiting.is_empty() {
            let query = self.waiting.remove(0);
            let outcome = self.outcomes.get(&query).copied();
            self.released.push(Answer { query_id: query.as_bytes().to_vec(), outcome });
            if self.released.len().is_multiple_of(ANSWERS_PER_PAGE) {
                return;
            }
        }
    }

    fn state(&self) -> CampaignState {
        match self.state_when_empty {
            Some(state) => state,
            None if self.waiting.is_empty() => CampaignState::Idle,
            None if self.released.len() >= self.answers_max => CampaignState::BudgetSpent,
            None => CampaignState::Asking,
        }
    }
}

#[tonic::async_trait]
impl CampaignService for Campaign {
    async fn get_contract(
        &self,
        _: Request<GetContractRequest>,
    ) -> Result<Response<GetContractResponse>, Status> {
        let contract = self.script().contract.clone();
        Ok(Response::new(GetContractResponse { contract: Some(contract), contract_digest: vec![7; 32] }))
    }

    async fn submit_queries(
        &self,
        request: Request<SubmitQueriesRequest>,
    ) -> Result<Response<SubmitQueriesResponse>, Status> {
        let mut script = self.script();
        let ids = split_query_ids(&request.into_inner().query_ids).unwrap();
        script.proposals.push(ids.clone());
        let known: HashSet<Vec<u8>> = script.released.iter().map(|answer| answer.query_id.clone()).collect();
        let mut answer = SubmitQueriesResponse::default();
        for id in ids {
            if known.contains(id.as_bytes().as_slice()) || script.waiting.contains(&id) {
                answer.repeated_before += 1;
            } else {
                script.waiting.push(id);
                answer.admitted += 1;
            }
        }
        Ok(Response::new(answer))
    }

    async fn list_answers(
        &self,
        request: Request<ListAnswersRequest>,
    ) -> Result<Response<ListAnswersResponse>, Status> {
        let ListAnswersRequest { position, wait_ms, .. } = request.into_inner();
        let position = usize::try_from(position).unwrap();
        let answer = {
            let mut script = self.script();
            if position == script.released.len() {
                script.release_some();
            }
            let answers: Vec<Answer> =
                script.released.iter().skip(position).take(ANSWERS_PER_PAGE).cloned().collect();
            let next_position = (position + answers.len()) as u64 + script.position_error;
            ListAnswersResponse { answers, next_position, state: script.state().into() }
        };
        if answer.answers.is_empty() {
            tokio::time::sleep(Duration::from_millis(wait_ms.into())).await;
        }
        Ok(Response::new(answer))
    }

    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        let script = self.script();
        Ok(Response::new(GetStatusResponse {
            state: script.state().into(),
            queries_answered: u32::try_from(script.released.len()).unwrap(),
            ..GetStatusResponse::default()
        }))
    }
}
