//! Connections as the capabilities that attacks ask for: a served student, and a student's place in a campaign.
//!
//! Attacks block, so these are used on a thread that may. Each call looks first whether the run was interrupted.

use conclave_attack_harness::access::{Answer, LabelOnly, Releases};
use conclave_attack_harness::{Error, Result};
use conclave_learning::Label;
use conclave_privacy::ClassIndex;
use conclave_privacy::mechanism::Outcome;
use conclave_privacy::quantity::Rho;
use conclave_proto::campaign::v1::campaign_service_client::CampaignServiceClient;
use conclave_proto::campaign::v1::{
    CampaignState, GetContractRequest, GetStatusRequest, ListAnswersRequest, SubmitQueriesRequest,
};
use conclave_proto::common::v1::answer::Outcome as WireOutcome;
use conclave_proto::ids::{QueryId, join_query_ids};
use conclave_service::{ChannelLimits, ClientTransport, channel};
use conclave_student::PredictionClient;
use ndarray::Array2;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;

use crate::cli::Fault;
use crate::simulate::world::{Door, fault, interrupted};

/// A served student, asked as any client asks.
#[derive(Debug)]
pub struct ServedStudent {
    client: PredictionClient,
    runtime: Handle,
    shutdown: CancellationToken,
}

impl ServedStudent {
    /// Connects; `shutdown` ends every later call.
    pub async fn connect(door: &Door, shutdown: &CancellationToken) -> std::result::Result<Self, Fault> {
        let limits = ChannelLimits::default();
        let client =
            PredictionClient::connect(&door.address, &door.transport, &limits).await.map_err(fault)?;
        Ok(Self { client, runtime: Handle::current(), shutdown: shutdown.clone() })
    }

    /// The connection itself.
    pub const fn client(&self) -> &PredictionClient {
        &self.client
    }
}

impl LabelOnly for ServedStudent {
    fn classes(&self) -> usize {
        self.client.description().class_names.len()
    }

    fn labels(&mut self, rows: &Array2<f32>) -> Result<Vec<Label>> {
        let asked = self.shutdown.run_until_cancelled(self.client.predict(rows));
        let labels = self.runtime.block_on(asked).ok_or_else(|| Error::target(interrupted()))?;
        labels.map_err(|error| Error::target(fault(error)))
    }
}

/// A student's place in a campaign: it proposes one query at a time and reads what was released for it.
#[derive(Debug)]
pub struct CampaignAnswers {
    service: CampaignServiceClient<Channel>,
    address: String,
    transport: ClientTransport,
    campaign: String,
    queries: Vec<QueryId>,
    runtime: Handle,
    shutdown: CancellationToken,
}

impl CampaignAnswers {
    /// Connects; a query of the attack is a number into `queries`.
    pub async fn connect(
        door: &Door,
        queries: Vec<QueryId>,
        shutdown: &CancellationToken,
    ) -> std::result::Result<Self, Fault> {
        let Door { address, transport } = door.clone();
        let channel = channel::connect(&address, &transport, &ChannelLimits::default()).await?;
        let mut service = CampaignServiceClient::new(channel);
        let contract = service.get_contract(GetContractRequest::default()).await;
        let contract = contract
            .map_err(|status| Fault::from(channel::describe_status(&status, &address, &transport)))?;
        let campaign = contract.into_inner().contract.unwrap_or_default().campaign_id;
        let (runtime, shutdown) = (Handle::current(), shutdown.clone());
        Ok(Self { service, address, transport, campaign, queries, runtime, shutdown })
    }

    /// The queries that the campaign has answered so far, in the order of their answers.
    pub async fn answered(&mut self) -> std::result::Result<Vec<QueryId>, Fault> {
        let (mut position, mut answered) = (0, Vec::new());
        loop {
            let campaign_id = self.campaign.clone();
            let request = ListAnswersRequest { campaign_id, position, wait_ms: WAIT_MS };
            let page = self.service.list_answers(request).await.map_err(|status| {
                Fault::from(channel::describe_status(&status, &self.address, &self.transport))
            })?;
            let page = page.into_inner();
            if page.answers.is_empty() {
                return Ok(answered);
            }
            answered
                .extend(page.answers.iter().filter_map(|answer| QueryId::from_slice(&answer.query_id).ok()));
            position = page.next_position;
        }
    }

    /// The same place, asking about these queries.
    #[must_use]
    pub fn asking_about(self, queries: Vec<QueryId>) -> Self {
        Self { queries, ..self }
    }

    /// Proposes the query and reads all answers from the first on; the last one for the query is what asking now gave.
    async fn asked(&mut self, query: QueryId) -> std::result::Result<(Option<WireOutcome>, u64), Status> {
        let campaign_id = self.campaign.clone();
        let before = self.spent().await?;
        let request =
            SubmitQueriesRequest { campaign_id: campaign_id.clone(), query_ids: join_query_ids(&[query]) };
        self.service.submit_queries(request).await?;
        let (mut position, mut outcome) = (0, None);
        loop {
            let request = ListAnswersRequest { campaign_id: campaign_id.clone(), position, wait_ms: WAIT_MS };
            let page = self.service.list_answers(request).await?.into_inner();
            let of_query = |answer: &&conclave_proto::common::v1::Answer| answer.query_id == query.as_bytes();
            if let Some(answer) = page.answers.iter().rev().find(of_query) {
                outcome.clone_from(&answer.outcome);
            }
            let asking = page.state == i32::from(CampaignState::Asking);
            if page.answers.is_empty() && (outcome.is_some() || !asking) {
                break;
            }
            position = page.next_position;
        }
        Ok((outcome, self.spent().await?.saturating_sub(before)))
    }

    async fn spent(&mut self) -> std::result::Result<u64, Status> {
        let request = GetStatusRequest { campaign_id: self.campaign.clone() };
        Ok(self.service.get_status(request).await?.into_inner().rho_spent_units)
    }
}

impl Releases for CampaignAnswers {
    fn ask(&mut self, query: usize) -> Result<Answer> {
        let queries = self.queries.len();
        let id = *self
            .queries
            .get(query)
            .ok_or_else(|| Error::setting("query", query, format!("there are {queries}, counted from 0")))?;
        let (runtime, shutdown) = (self.runtime.clone(), self.shutdown.clone());
        let asked = runtime.block_on(shutdown.run_until_cancelled(self.asked(id)));
        let asked = asked.ok_or_else(|| Error::target(interrupted()))?;
        let (outcome, units) = asked.map_err(|status| {
            Error::target(Fault::from(channel::describe_status(&status, &self.address, &self.transport)))
        })?;
        let outcome = match outcome {
            Some(WireOutcome::Label(class)) => Outcome::Label(ClassIndex(class)),
            Some(WireOutcome::Abstention(_) | WireOutcome::Interrupted(_)) => Outcome::Abstained,
            None => {
                return Err(Error::setting("query", id, "ask about queries that the campaign has answered"));
            }
        };
        Ok(Answer { outcome, charged: Rho::from_units(units) })
    }
}

/// An answer that was stored is there at once.
const WAIT_MS: u32 = 0;
