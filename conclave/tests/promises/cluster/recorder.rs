//! An outsider: proposes queries, and keeps every answer that it ever receives, across crashes.

use std::collections::HashMap;

use conclave_proto::campaign::v1::campaign_service_client::CampaignServiceClient;
use conclave_proto::campaign::v1::{
    CampaignState, GetStatusRequest, GetStatusResponse, ListAnswersRequest, SubmitQueriesRequest,
    SubmitQueriesResponse,
};
use conclave_proto::common::v1::answer::Outcome;
use conclave_proto::ids::{QueryId, join_query_ids};
use tonic::Status;
use tonic::transport::Channel;

use super::{CAMPAIGN, pause};

/// Every answer received, in order; the same answer twice stands here twice.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) received: Vec<(Vec<u8>, Outcome)>,
    campaign: Option<&'static str>,
}

impl Recorder {
    pub(crate) fn of(campaign: &'static str) -> Self {
        Self { campaign: Some(campaign), ..Self::default() }
    }

    /// Proposes queries.
    pub(crate) async fn submit(
        &self,
        service: &mut CampaignServiceClient<Channel>,
        queries: &[QueryId],
    ) -> Result<SubmitQueriesResponse, Status> {
        let request =
            SubmitQueriesRequest { campaign_id: self.campaign(), query_ids: join_query_ids(queries) };
        Ok(service.submit_queries(request).await?.into_inner())
    }

    /// Reads answers from the beginning, until the campaign has no more to say or the connection breaks.
    pub(crate) async fn listen(
        &mut self,
        service: &mut CampaignServiceClient<Channel>,
    ) -> Result<CampaignState, Status> {
        let mut position = 0;
        loop {
            let request = ListAnswersRequest { campaign_id: self.campaign(), position, wait_ms: 500 };
            let page = service.list_answers(request).await?.into_inner();
            for answer in &page.answers {
                self.received.push((answer.query_id.clone(), answer.outcome.unwrap()));
            }
            position = page.next_position;
            let state = page.state();
            if page.answers.is_empty() && state != CampaignState::Asking {
                return Ok(state);
            }
        }
    }

    /// Waits for an answer beyond `position`.
    pub(crate) async fn next_after(&self, service: &mut CampaignServiceClient<Channel>, position: u64) {
        let request = ListAnswersRequest { campaign_id: self.campaign(), position, wait_ms: 5_000 };
        let page = service.list_answers(request).await.unwrap().into_inner();
        assert!(!page.answers.is_empty(), "no answer within five seconds");
    }

    /// Proposes queries and reads until the campaign has no more to say.
    pub(crate) async fn ask(
        &mut self,
        service: &mut CampaignServiceClient<Channel>,
        queries: &[QueryId],
    ) -> CampaignState {
        self.submit(service, queries).await.unwrap();
        self.listen(service).await.unwrap()
    }

    pub(crate) async fn status(&self, service: &mut CampaignServiceClient<Channel>) -> GetStatusResponse {
        let request = GetStatusRequest { campaign_id: self.campaign() };
        service.get_status(request).await.unwrap().into_inner()
    }

    /// The status once `fits`, or the last one after five seconds.
    pub(crate) async fn status_when(
        &self,
        service: &mut CampaignServiceClient<Channel>,
        fits: impl Fn(&GetStatusResponse) -> bool,
    ) -> GetStatusResponse {
        for _ in 0..250 {
            let status = self.status(service).await;
            if fits(&status) {
                return status;
            }
            pause(20).await;
        }
        self.status(service).await
    }

    /// The answers by query; panics if one was received in two versions.
    pub(crate) fn answers(&self) -> HashMap<Vec<u8>, Outcome> {
        let mut answers = HashMap::new();
        for (query, outcome) in &self.received {
            let first = answers.entry(query.clone()).or_insert(*outcome);
            assert_eq!(first, outcome, "an answer changed");
        }
        answers
    }

    fn campaign(&self) -> String {
        self.campaign.unwrap_or(CAMPAIGN).to_owned()
    }
}
