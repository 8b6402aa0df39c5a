//! The Campaign service: wire types are translated here, once, and nowhere else.
//!
//! Only a published entry, which comes from the ledger, can be encoded as an answer.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use conclave_ledger::Answer;
use conclave_proto::campaign::v1::campaign_service_server::CampaignService;
use conclave_proto::campaign::v1::{
    CampaignState as WireState, GetContractRequest, GetContractResponse, GetStatusRequest, GetStatusResponse,
    ListAnswersRequest, ListAnswersResponse, SubmitQueriesRequest, SubmitQueriesResponse,
};
use conclave_proto::common::v1 as common;
use conclave_proto::common::v1::answer::Outcome;
use conclave_proto::ids::{QueryId, split_query_ids};
use conclave_service::deadline::Deadline;
use conclave_service::{Refusal, Role, RoleTable, peer_identity};
use conclave_trust::Contract;
use tokio::sync::{mpsc, oneshot, watch};
use tonic::{Request, Response, Status};

use crate::admission::Ledger;
use crate::campaign::Phase;
use crate::driver::{Command, Nodes};
use crate::published::{Entry, Published};
use crate::status::{self, Standing};

/// Who may call what. Teachers are called, they do not call.
pub const ROLES: RoleTable = RoleTable::new(&[
    ("/conclave.campaign.v1.CampaignService/GetContract", &[Role::Student, Role::Client]),
    ("/conclave.campaign.v1.CampaignService/SubmitQueries", &[Role::Student]),
    ("/conclave.campaign.v1.CampaignService/ListAnswers", &[Role::Student, Role::Client]),
    ("/conclave.campaign.v1.CampaignService/GetStatus", &[Role::Student, Role::Client]),
]);

/// Most answers of one page; about 40 bytes each.
const ANSWERS_PER_PAGE_MAX: usize = 10_000;
/// Longest wait for a further answer.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);

/// The handlers.
pub(crate) struct CampaignRpc {
    pub(crate) contract: Arc<Contract>,
    pub(crate) pool: Arc<HashSet<QueryId>>,
    pub(crate) published: Published,
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) ledger: Ledger,
    pub(crate) nodes: Arc<Nodes>,
}

#[tonic::async_trait]
impl CampaignService for CampaignRpc {
    async fn get_contract(
        &self,
        _: Request<GetContractRequest>,
    ) -> Result<Response<GetContractResponse>, Status> {
        Ok(Response::new(GetContractResponse {
            contract: Some((&*self.contract).into()),
            contract_digest: self.contract.digest().as_bytes().to_vec(),
        }))
    }

    async fn submit_queries(
        &self,
        request: Request<SubmitQueriesRequest>,
    ) -> Result<Response<SubmitQueriesResponse>, Status> {
        let caller = caller(&request);
        let answer = self.submit(&caller, request.into_inner()).await;
        answer.map(Response::new).map_err(|refusal| refuse("SubmitQueries", &caller, refusal))
    }

    async fn list_answers(
        &self,
        request: Request<ListAnswersRequest>,
    ) -> Result<Response<ListAnswersResponse>, Status> {
        let caller = caller(&request);
        let deadline = Deadline::of(&request).map_or(ANSWER_WAIT_MAX, Deadline::to_pass_on);
        let answer = self.list(request.into_inner(), deadline).await;
        answer.map(Response::new).map_err(|refusal| refuse("ListAnswers", &caller, refusal))
    }

    async fn get_status(
        &self,
        request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        let caller = caller(&request);
        let answer = self.status(&request.into_inner()).await;
        answer.map(Response::new).map_err(|refusal| refuse("GetStatus", &caller, refusal))
    }
}

impl CampaignRpc {
    async fn submit(
        &self,
        caller: &str,
        request: SubmitQueriesRequest,
    ) -> Result<SubmitQueriesResponse, Refusal> {
        self.check_campaign(&request.campaign_id)?;
        let queries = split_query_ids(&request.query_ids).map_err(|error| {
            Refusal::invalid("query_ids", error, "send 32 bytes for each query, one after the other")
        })?;
        let unknown = queries.iter().enumerate().find(|(_, query)| !self.pool.contains(*query));
        if let Some((position, query)) = unknown {
            return Err(status::unknown_query(position, query));
        }
        let (reply, admitted) = oneshot::channel();
        let command = Command::Submit { queries, reply };
        self.commands.send(command).await.map_err(|_| status::stopping())?;
        let admitted = admitted.await.map_err(|_| status::stopping())??;
        tracing::info!(caller, new = admitted.new, repeated = admitted.repeated, "queries were proposed");
        Ok(SubmitQueriesResponse { admitted: admitted.new, repeated_before: admitted.repeated })
    }

    async fn list(
        &self,
        request: ListAnswersRequest,
        deadline: Duration,
    ) -> Result<ListAnswersResponse, Refusal> {
        self.check_campaign(&request.campaign_id)?;
        let answers = self.published.len();
        let position = usize::try_from(request.position).ok().filter(|position| *position <= answers);
        let position = position.ok_or_else(|| status::unknown_position(request.position, answers))?;
        let wait = Duration::from_millis(request.wait_ms.into()).min(ANSWER_WAIT_MAX).min(deadline);
        self.wait_for_more(position, wait).await;
        // First where the campaign stands, then the answers: a campaign that is over has released all of them.
        let state = WireState::from(self.standing.borrow().phase);
        let answers: Vec<_> =
            self.published.page(position, ANSWERS_PER_PAGE_MAX).into_iter().map(answer_to_wire).collect();
        let next_position = request.position + answers.len() as u64;
        Ok(ListAnswersResponse { answers, next_position, state: state.into() })
    }

    /// Comes back when there is an answer beyond `position`, when none will come by itself, or after `wait`.
    async fn wait_for_more(&self, position: usize, wait: Duration) {
        let mut standing = self.standing.clone();
        let over = standing
            .wait_for(|standing| matches!(standing.phase, Phase::Idle | Phase::BudgetSpent | Phase::Halted));
        tokio::select! {
            biased;
            () = self.published.beyond(position) => {}
            _ = over => {}
            () = tokio::time::sleep(wait) => {}
        }
    }

    async fn status(&self, request: &GetStatusRequest) -> Result<GetStatusResponse, Refusal> {
        self.check_campaign(&request.campaign_id)?;
        let found = self.ledger.read(status::of_ledger).await.map_err(|error| status::no_ledger(&error))?;
        let ours = self.contract.campaign.as_str();
        let found = found.ok_or_else(|| status::unknown_campaign(&request.campaign_id, ours))?;
        let standing = *self.standing.borrow();
        let nodes = &self.nodes;
        Ok(status::complete(found, standing, &nodes.rejections, nodes.present(), nodes.sessions.len()))
    }

    fn check_campaign(&self, asked: &str) -> Result<(), Refusal> {
        let ours = self.contract.campaign.as_str();
        if asked == ours { Ok(()) } else { Err(status::unknown_campaign(asked, ours)) }
    }
}

fn answer_to_wire(entry: Entry) -> common::Answer {
    let outcome = match entry.answer() {
        Answer::Label(class) => Outcome::Label(class.0.into()),
        Answer::Abstained => Outcome::Abstention(common::Abstention {}),
        Answer::Interrupted => Outcome::Interrupted(common::Interrupted {}),
    };
    common::Answer { query_id: entry.query().as_bytes().to_vec(), outcome: Some(outcome) }
}

/// The caller as its certificate names it.
fn caller<T>(request: &Request<T>) -> String {
    peer_identity(request).map_or_else(|| "a caller on this machine".to_owned(), ToString::to_string)
}

fn refuse(call: &'static str, caller: &str, refusal: Refusal) -> Status {
    tracing::warn!(caller, call, reason = refusal.reason(), "refused: {refusal}");
    refusal.into_status()
}
