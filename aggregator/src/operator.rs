//! The Operator service: who may start and stop campaigns, and what they are told. Closed unless the settings name them.
//!
//! Opening and ending run in tasks of their own: a caller that goes away interrupts neither.

use std::num::NonZeroU32;
use std::sync::Arc;

use conclave_ledger::LedgerError;
use conclave_privacy::noise::NoiseSource;
use conclave_privacy::quantity::{Delta, Epsilon};
use conclave_privacy::unit::VotingScheme;
use conclave_proto::campaign::v1::operator_service_server::OperatorService;
use conclave_proto::campaign::v1::{
    CampaignTerms, StartCampaignRequest, StartCampaignResponse, StopCampaignRequest, StopCampaignResponse,
};
use conclave_proto::common::v1 as common;
use conclave_proto::ids::CampaignId;
use conclave_service::{Refusal, Repeats, peer_identity};
use conclave_trust::contract::{QUERIES_MAX, VOTE_DEADLINE_MS, mechanism_from_wire, unit_from_wire};
use tonic::{Code, Request, Response, Status};

use crate::error::Error;
use crate::host::{Host, Started, Stopped};
use crate::rpc::caller;
use crate::settings::CampaignSettings;
use crate::status;

/// The handlers.
pub(crate) struct OperatorRpc<N> {
    pub(crate) host: Arc<Host<N>>,
    /// What the log said lately about refused calls.
    pub(crate) said: Repeats,
}

#[tonic::async_trait]
impl<N: NoiseSource + 'static> OperatorService for OperatorRpc<N> {
    async fn start_campaign(
        &self,
        request: Request<StartCampaignRequest>,
    ) -> Result<Response<StartCampaignResponse>, Status> {
        let caller = caller(&request);
        let answer = match self.permit(&request) {
            Ok(()) => self.start(&caller, request.into_inner()).await,
            Err(refusal) => Err(refusal),
        };
        answer.map(Response::new).map_err(|refusal| self.said.refuse("StartCampaign", &caller, refusal))
    }

    async fn stop_campaign(
        &self,
        request: Request<StopCampaignRequest>,
    ) -> Result<Response<StopCampaignResponse>, Status> {
        let caller = caller(&request);
        let answer = match self.permit(&request) {
            Ok(()) => self.stop(&caller, request.into_inner()).await,
            Err(refusal) => Err(refusal),
        };
        answer.map(Response::new).map_err(|refusal| self.said.refuse("StopCampaign", &caller, refusal))
    }
}

impl<N: NoiseSource + 'static> OperatorRpc<N> {
    /// Whether the settings name the caller. Without TLS nobody has a name: then whoever is on this machine may, if
    /// anybody may.
    fn permit<T: Sync>(&self, request: &Request<T>) -> Result<(), Refusal> {
        let operators = &self.host.settings.operators;
        let caller =
            peer_identity(request).map(|identity| format!("{}/{}", identity.organisation(), identity.name()));
        let permitted = match &caller {
            Some(caller) => operators.contains(caller),
            None => !operators.is_empty(),
        };
        if permitted {
            return Ok(());
        }
        let caller = caller.unwrap_or_else(|| "ORGANISATION/NAME".to_owned());
        let words = "this aggregator's settings do not let the caller start or stop campaigns";
        Err(Refusal::new(Code::PermissionDenied, "NOT_AN_OPERATOR", words)
            .field("operators")
            .value(format!("[{}]", operators.join(", ")))
            .fix(format!("write operators = [\"{caller}\"] in the aggregator's settings, and restart it")))
    }

    async fn start(
        &self,
        caller: &str,
        request: StartCampaignRequest,
    ) -> Result<StartCampaignResponse, Refusal> {
        let plan = plan(&request.terms.unwrap_or_default())?;
        let (host, pace) = (Arc::clone(&self.host), NonZeroU32::new(request.queries_per_minute_max));
        tracing::info!(caller, campaign = %plan.id, "an operator starts a campaign");
        let started = tokio::spawn(async move { host.start(plan, pace).await });
        let Started { open, resumed } =
            started.await.map_err(|_| status::stopping())?.map_err(|error| refusal(&error))?;
        Ok(StartCampaignResponse {
            contract: Some((&*open.contract).into()),
            contract_digest: open.contract.digest().as_bytes().to_vec(),
            resumed,
            answers: open.published.len() as u64,
            nodes: open.nodes.sessions.iter().map(|session| status::node_status(session)).collect(),
        })
    }

    async fn stop(
        &self,
        caller: &str,
        request: StopCampaignRequest,
    ) -> Result<StopCampaignResponse, Refusal> {
        tracing::info!(caller, campaign = request.campaign_id, "an operator stops a campaign");
        let host = Arc::clone(&self.host);
        let stopped = tokio::spawn(async move { host.stop(&request.campaign_id).await });
        let Stopped { answers, before } =
            stopped.await.map_err(|_| status::stopping())?.map_err(|error| refusal(&error))?;
        Ok(StopCampaignResponse { answers, stopped_before: before })
    }
}

/// The checked terms; the field names are those of the settings file.
fn plan(terms: &CampaignTerms) -> Result<CampaignSettings, Refusal> {
    let scheme = match terms.scheme() {
        common::VotingScheme::Ensemble => VotingScheme::Ensemble,
        common::VotingScheme::Unspecified => {
            return Err(Refusal::invalid("campaign.scheme", "unspecified", "use ensemble"));
        }
    };
    let invalid = |field: &'static str, value: String, error: &dyn std::fmt::Display| {
        Refusal::invalid(format!("campaign.{field}"), value, error.to_string())
    };
    let within = |field: &'static str, value: u32, least: u32, most: u32| {
        let fits = (least..=most).contains(&value);
        fits.then_some(value)
            .ok_or_else(|| invalid(field, value.to_string(), &format!("give {least} to {most}")))
    };
    let id = CampaignId::new(&terms.campaign_id)
        .map_err(|error| invalid("id", terms.campaign_id.clone(), &error))?;
    let mechanism = mechanism_from_wire(terms.mechanism, terms.lattice_bits)
        .map_err(|error| invalid("mechanism", "as sent".to_owned(), &error))?;
    let (unit, adjacency) = unit_from_wire(terms.unit.unwrap_or_default())
        .map_err(|error| invalid("unit", "as sent".to_owned(), &error))?;
    let (shortest, longest) = VOTE_DEADLINE_MS.into_inner();
    Ok(CampaignSettings {
        id,
        mechanism,
        unit,
        adjacency,
        scheme,
        epsilon: Epsilon::new(terms.epsilon)
            .map_err(|error| invalid("epsilon", terms.epsilon.to_string(), &error))?,
        delta: Delta::new(terms.delta).map_err(|error| invalid("delta", terms.delta.to_string(), &error))?,
        teachers_quorum_min: within("teachers_quorum_min", terms.teachers_quorum_min, 1, u32::MAX)?,
        queries_max: within("queries_max", terms.queries_max, 1, QUERIES_MAX)?,
        vote_deadline_ms: within("vote_deadline_ms", terms.vote_deadline_ms, shortest, longest)?,
    })
}

/// Why it was not done, for the operator: whose fault, and what to do about it.
fn refusal(error: &Error) -> Refusal {
    let words = error.to_string();
    let (problem, fix) = words.rsplit_once("; ").unwrap_or((&words, "see the aggregator's log"));
    let told = |code, reason| Refusal::new(code, reason, problem).fix(fix);
    match error {
        Error::Ledger(LedgerError::BudgetSpent(spent)) => {
            let (asked, left) = (spent.asked.to_f64_up(), spent.left.to_f64_up());
            Refusal::budget(
                spent.wall.to_string(),
                format!("one query costs rho {asked:.6}, left is rho {left:.6}"),
            )
            .fix("use more noise, or stop: a cap lasts for the life of the data")
        }
        Error::CampaignOpen { open, .. } => {
            told(Code::FailedPrecondition, "CAMPAIGN_OPEN").field("campaign").value(open)
        }
        Error::NotOpen { asked, .. } => {
            told(Code::FailedPrecondition, "CAMPAIGN_NOT_OPEN").field("campaign").value(asked)
        }
        Error::ContractChanged { field, now, .. } => {
            told(Code::AlreadyExists, "CONTRACT_CHANGED").field(*field).value(now)
        }
        Error::AccountChanged { field, now, .. } => {
            told(Code::FailedPrecondition, "ACCOUNT_CHANGED").field(field).value(now)
        }
        Error::Node { node, .. } => told(Code::FailedPrecondition, "SILO_REFUSED").field("node").value(node),
        Error::Setting { field, value, fix } => Refusal::invalid(field, value, fix),
        Error::Contract(_) => told(Code::InvalidArgument, "CONTRACT_INVALID"),
        Error::Absent(_) => Refusal::new(Code::Unavailable, "SILOS_ABSENT", words).fix(
            "start the nodes, or leave them out of the aggregator's settings, and start the campaign again",
        ),
        Error::AtWork => told(Code::Unavailable, "AT_WORK"),
        Error::Interrupted => status::stopping(),
        Error::Ledger(_)
        | Error::File { .. }
        | Error::NoEntropy(_)
        | Error::Pool { .. }
        | Error::Service(_) => {
            tracing::error!(%error, "a campaign cannot be started or stopped");
            told(Code::Internal, "AGGREGATOR_FAILED")
        }
    }
}
