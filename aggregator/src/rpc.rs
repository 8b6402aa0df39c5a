//! The Campaign service: wire types are translated here, once, and nowhere else.
//!
//! Every call looks at the campaign that is current; one before it is read from the ledger. Only a published entry, which comes from the ledger, can be encoded as an answer.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use conclave_ledger::{Answer, BookHandle, CampaignState};
use conclave_proto::campaign::v1::campaign_service_server::CampaignService;
use conclave_proto::campaign::v1::{
    CampaignState as WireState, GetContractRequest, GetContractResponse, GetStatusRequest, GetStatusResponse,
    ListAnswersRequest, ListAnswersResponse, SubmitQueriesRequest, SubmitQueriesResponse,
};
use conclave_proto::common::v1 as common;
use conclave_proto::common::v1::answer::Outcome;
use conclave_proto::ids::{QueryId, split_query_ids};
use conclave_service::deadline::Deadline;
use conclave_service::{Refusal, Repeats, Role, RoleTable, peer_identity};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use crate::admission::Ledger;
use crate::campaign::Phase;
use crate::current::{Current, Open};
use crate::driver::{Command, Nodes};
use crate::published::Entry;
use crate::status::{self, Standing};
use crate::{enrolment, opening};

/// Who may call what. Teachers are called, they do not call. Which operators may is a matter of the settings too.
pub const ROLES: RoleTable = RoleTable::new(&[
    ("/conclave.campaign.v1.CampaignService/GetContract", READERS),
    ("/conclave.campaign.v1.CampaignService/SubmitQueries", &[Role::Student]),
    ("/conclave.campaign.v1.CampaignService/ListAnswers", READERS),
    ("/conclave.campaign.v1.CampaignService/GetStatus", READERS),
    ("/conclave.campaign.v1.OperatorService/StartCampaign", &[Role::Operator]),
    ("/conclave.campaign.v1.OperatorService/StopCampaign", &[Role::Operator]),
]);

/// Who may read what is released.
const READERS: &[Role] = &[Role::Student, Role::Client, Role::Operator];

/// Most answers of one page; about 40 bytes each.
const ANSWERS_PER_PAGE_MAX: usize = 10_000;
/// Longest wait for a further answer.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);

/// The handlers.
pub(crate) struct CampaignRpc {
    pub(crate) current: Current,
    pub(crate) pool: HashSet<QueryId>,
    pub(crate) book: BookHandle,
    /// What the log said lately about refused calls.
    pub(crate) said: Repeats,
}

/// The campaign that a call is about.
enum About {
    /// The one that is open, or was last.
    Current(Arc<Open>),
    /// One before it, which the ledger holds.
    Past(Box<CampaignState>),
}

#[tonic::async_trait]
impl CampaignService for CampaignRpc {
    async fn get_contract(
        &self,
        request: Request<GetContractRequest>,
    ) -> Result<Response<GetContractResponse>, Status> {
        let caller = caller(&request);
        let answer = self.contract(&request.into_inner()).await;
        answer.map(Response::new).map_err(|refusal| self.said.refuse("GetContract", &caller, refusal))
    }

    async fn submit_queries(
        &self,
        request: Request<SubmitQueriesRequest>,
    ) -> Result<Response<SubmitQueriesResponse>, Status> {
        let caller = caller(&request);
        let answer = self.submit(&caller, request.into_inner()).await;
        answer.map(Response::new).map_err(|refusal| self.said.refuse("SubmitQueries", &caller, refusal))
    }

    async fn list_answers(
        &self,
        request: Request<ListAnswersRequest>,
    ) -> Result<Response<ListAnswersResponse>, Status> {
        let caller = caller(&request);
        let deadline = Deadline::of(&request).map_or(ANSWER_WAIT_MAX, Deadline::to_pass_on);
        let answer = self.list(request.into_inner(), deadline).await;
        answer.map(Response::new).map_err(|refusal| self.said.refuse("ListAnswers", &caller, refusal))
    }

    async fn get_status(
        &self,
        request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        let caller = caller(&request);
        let answer = self.status(&request.into_inner()).await;
        answer.map(Response::new).map_err(|refusal| self.said.refuse("GetStatus", &caller, refusal))
    }
}

impl CampaignRpc {
    async fn contract(&self, request: &GetContractRequest) -> Result<GetContractResponse, Refusal> {
        let about = match request.campaign_id.as_str() {
            "" => About::Current(self.current.get().ok_or_else(status::no_campaign)?),
            campaign => self.about(campaign).await?,
        };
        let contract = match about {
            About::Current(open) => Arc::clone(&open.contract),
            About::Past(stored) => Arc::new(
                enrolment::stored_contract(stored.terms()).map_err(|error| status::unreadable(&error))?,
            ),
        };
        Ok(GetContractResponse {
            contract: Some((&*contract).into()),
            contract_digest: contract.digest().as_bytes().to_vec(),
        })
    }

    async fn submit(
        &self,
        caller: &str,
        request: SubmitQueriesRequest,
    ) -> Result<SubmitQueriesResponse, Refusal> {
        let About::Current(open) = self.about(&request.campaign_id).await? else {
            return Err(status::ended(&request.campaign_id));
        };
        let queries = split_query_ids(&request.query_ids).map_err(|error| {
            Refusal::invalid("query_ids", error, "send 32 bytes for each query, one after the other")
        })?;
        let unknown = queries.iter().enumerate().find(|(_, query)| !self.pool.contains(*query));
        if let Some((position, query)) = unknown {
            return Err(status::unknown_query(position, query));
        }
        if open.has_ended() {
            return Err(status::ended(&request.campaign_id));
        }
        let (reply, admitted) = oneshot::channel();
        let command = Command::Submit { queries, reply };
        open.commands.send(command).await.map_err(|_| status::stopping())?;
        let admitted = admitted.await.map_err(|_| status::stopping())??;
        tracing::info!(caller, new = admitted.new, repeated = admitted.repeated, "queries were proposed");
        Ok(SubmitQueriesResponse { admitted: admitted.new, repeated_before: admitted.repeated })
    }

    async fn list(
        &self,
        request: ListAnswersRequest,
        deadline: Duration,
    ) -> Result<ListAnswersResponse, Refusal> {
        let open = match self.about(&request.campaign_id).await? {
            About::Current(open) => open,
            About::Past(stored) => return self.list_past(&request, &stored).await,
        };
        let position = position(request.position, open.published.len())?;
        let wait = Duration::from_millis(request.wait_ms.into()).min(ANSWER_WAIT_MAX).min(deadline);
        wait_for_more(&open, position, wait).await;
        // First where the campaign stands, then the answers: a campaign that is over has released all of them.
        let state = WireState::from(open.standing().phase);
        let page = open.published.page(position, ANSWERS_PER_PAGE_MAX);
        Ok(page_to_wire(request.position, page, state))
    }

    async fn list_past(
        &self,
        request: &ListAnswersRequest,
        stored: &CampaignState,
    ) -> Result<ListAnswersResponse, Refusal> {
        let answers = usize::try_from(stored.answers().total()).unwrap_or(usize::MAX);
        let from = position(request.position, answers)? as u64;
        let ledger = self.ledger(stored);
        let page = ledger.read(move |book, campaign| {
            let released = book.answers(campaign, from, ANSWERS_PER_PAGE_MAX);
            released.iter().map(Entry::from).collect::<Vec<_>>()
        });
        let page = page.await.map_err(|error| status::no_ledger(&error))?;
        Ok(page_to_wire(from, page, WireState::Ended))
    }

    async fn status(&self, request: &GetStatusRequest) -> Result<GetStatusResponse, Refusal> {
        let about = self.about(&request.campaign_id).await?;
        let ledger = match &about {
            About::Current(open) => open.ledger.clone(),
            About::Past(stored) => self.ledger(stored),
        };
        let found = ledger.read(status::of_ledger).await.map_err(|error| status::no_ledger(&error))?;
        let Some(found) = found else { return Err(self.unknown(&request.campaign_id).await) };
        Ok(match about {
            About::Current(open) => status::complete(found, open.standing(), &open.nodes),
            About::Past(stored) => {
                let admitted = u32::try_from(stored.answers().total()).unwrap_or(u32::MAX);
                let ended = Standing { phase: Phase::Ended, admitted };
                status::complete(found, ended, &Nodes::default())
            }
        })
    }

    /// The campaign of this name: the current one, or one that the ledger holds.
    async fn about(&self, campaign: &str) -> Result<About, Refusal> {
        if let Some(open) = self.current.named(campaign) {
            return Ok(About::Current(open));
        }
        let stored =
            opening::recorded(&self.book, campaign).await.map_err(|error| status::unreadable(&error))?;
        match stored {
            Some(stored) => Ok(About::Past(Box::new(stored))),
            None => Err(self.unknown(campaign).await),
        }
    }

    async fn unknown(&self, asked: &str) -> Refusal {
        let open = self.current.get();
        // A ledger that cannot be read is told by the calls that need it.
        let known = opening::names(&self.book).await.unwrap_or_default();
        status::unknown_campaign(asked, &known, open.as_ref().map(|open| open.contract.campaign.as_str()))
    }

    fn ledger(&self, stored: &CampaignState) -> Ledger {
        Ledger::new(self.book.clone(), stored.terms().key.clone(), stored.price())
    }
}

/// Comes back when there is an answer beyond `position`, when none will come by itself, or after `wait`.
async fn wait_for_more(open: &Open, position: usize, wait: Duration) {
    let mut standing = open.loop_standing.clone();
    // Resolves too when the campaign's loop has ended.
    let over = standing.wait_for(|standing| {
        matches!(standing.phase, Phase::Idle | Phase::BudgetSpent | Phase::Halted | Phase::Ended)
    });
    tokio::select! {
        biased;
        () = open.published.beyond(position) => {}
        _ = over => {}
        () = tokio::time::sleep(wait) => {}
    }
}

fn position(asked: u64, answers: usize) -> Result<usize, Refusal> {
    let position = usize::try_from(asked).ok().filter(|position| *position <= answers);
    position.ok_or_else(|| status::unknown_position(asked, answers))
}

fn page_to_wire(position: u64, page: Vec<Entry>, state: WireState) -> ListAnswersResponse {
    let answers: Vec<_> = page.into_iter().map(answer_to_wire).collect();
    let next_position = position + answers.len() as u64;
    ListAnswersResponse { answers, next_position, state: state.into() }
}

fn answer_to_wire(entry: Entry) -> common::Answer {
    let outcome = match entry.answer() {
        Answer::Label(class) => Outcome::Label(class.0),
        Answer::Abstained => Outcome::Abstention(common::Abstention {}),
        Answer::Interrupted => Outcome::Interrupted(common::Interrupted {}),
    };
    common::Answer { query_id: entry.query().as_bytes().to_vec(), outcome: Some(outcome) }
}

/// The caller as its certificate names it.
pub(crate) fn caller<T>(request: &Request<T>) -> String {
    peer_identity(request).map_or_else(|| "a caller on this machine".to_owned(), ToString::to_string)
}
