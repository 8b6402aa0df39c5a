//! What an aggregator may run on: checked settings, from a configuration ([`crate::config`]) or made in code by a
//! simulation.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use conclave_ledger::QUERIES_PER_RESERVATION_MAX;
use conclave_privacy::mechanism::Mechanism;
use conclave_privacy::quantity::{Delta, Epsilon};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, VotingScheme};
use conclave_proto::ids::{CampaignId, NodeId, OrganisationId};
use conclave_proto::pool::PoolManifest;
use conclave_service::{ChannelLimits, Kit, ServerLimits};
use serde::{Deserialize, Serialize};

/// Everything that an aggregator must know besides what its nodes tell at enrolment.
///
/// With a campaign these are settings of a campaign; an aggregator may start without one (`C` is an option) and be told
/// by an operator.
#[derive(Debug, Clone)]
pub struct Settings<C = CampaignSettings> {
    /// The campaign to run; with what the nodes tell it becomes the contract.
    pub campaign: C,
    /// The cap of every silo's data, for the life of the data.
    pub accounts: AccountSettings,
    /// What may be asked.
    pub pool: PoolManifest,
    /// The ledger: opened when the file exists, made otherwise.
    pub ledger: PathBuf,
    /// Who takes part, and where.
    pub nodes: Vec<NodeSettings>,
    /// Where nodes that dial in are received; needed when there are any.
    pub nodes_listen: Option<SocketAddr>,
    /// Operators that may start and stop campaigns, as `ORGANISATION/NAME`; nobody may if there are none.
    pub operators: Vec<String>,
    /// How much is under way at once.
    pub flow: Flow,
    /// Bounds of the gRPC server.
    pub server: ServerLimits,
    /// Bounds of the channels to the nodes.
    pub channel: ChannelLimits,
}

impl<C> Settings<C> {
    /// The same settings for another campaign.
    pub fn with<D>(self, campaign: D) -> Settings<D> {
        let Self {
            campaign: _,
            accounts,
            pool,
            ledger,
            nodes,
            nodes_listen,
            operators,
            flow,
            server,
            channel,
        } = self;
        Settings { campaign, accounts, pool, ledger, nodes, nodes_listen, operators, flow, server, channel }
    }
}

impl From<Settings> for Settings<Option<CampaignSettings>> {
    fn from(settings: Settings) -> Self {
        let campaign = Some(settings.campaign.clone());
        settings.with(campaign)
    }
}

/// A campaign as its operator plans it.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignSettings {
    /// Names it; another name is another campaign, which starts from what is left of the budgets.
    pub id: CampaignId,
    /// What is drawn per query.
    pub mechanism: Mechanism,
    /// Who is protected.
    pub unit: PrivacyUnit,
    /// How neighbouring data sets differ.
    pub adjacency: Adjacency,
    /// How records turn into votes.
    pub scheme: VotingScheme,
    /// The campaign's part of its members' budgets, at `delta`.
    pub epsilon: Epsilon,
    /// The probability with which the guarantee may fail; the same as that of the accounts.
    pub delta: Delta,
    /// Fewest teachers whose votes must have arrived for a draw.
    pub teachers_quorum_min: u32,
    /// Most queries that the campaign may ask.
    pub queries_max: u32,
    /// How long votes are waited for, in milliseconds.
    pub vote_deadline_ms: u32,
}

/// The cap of every silo's data.
#[derive(Debug, Clone, Copy)]
pub struct AccountSettings {
    /// ε of the cap, at the campaign's δ.
    pub epsilon: Epsilon,
    /// In how many silos one person may have rows, as the consortium declares.
    pub max_silos_per_subject: u32,
}

/// One teacher node, as its certificate names it, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSettings {
    /// The organisation.
    pub organisation: OrganisationId,
    /// The node.
    pub node: NodeId,
    /// `HOST:PORT` where it listens; `None` for a node that dials in (mode `dial-out`).
    pub address: Option<String>,
}

impl NodeSettings {
    /// Where it is, in words.
    pub(crate) fn place(&self) -> &str {
        self.address.as_deref().unwrap_or("a connection that it opens")
    }
}

/// How much is under way at once, and how often an absent node is looked for. In TOML every field may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Flow {
    /// Most queries that are asked in one batch.
    pub batch_queries_max: usize,
    /// Most batches between their reservation and their release.
    pub batches_in_flight_max: usize,
    /// How long after a batch without quorum the next is tried, and an absent node is looked for, in milliseconds.
    pub retry_ms: u64,
    /// How long a new campaign waits for nodes that are not there yet, in milliseconds.
    pub enrolment_wait_ms: u64,
    /// Most queries that are asked in a minute, so that silos are not kept busier than they wish; no bound if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queries_per_minute_max: Option<NonZeroU32>,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            batch_queries_max: 100,
            batches_in_flight_max: 8,
            retry_ms: 1_000,
            enrolment_wait_ms: 30_000,
            queries_per_minute_max: None,
        }
    }
}

impl Flow {
    /// Setting, value, least and most.
    pub(crate) fn ranges(&self) -> [(&'static str, u64, u64, u64); 4] {
        let day_ms = 24 * 60 * 60 * 1_000;
        [
            ("batch_queries_max", self.batch_queries_max as u64, 1, QUERIES_PER_RESERVATION_MAX as u64),
            ("batches_in_flight_max", self.batches_in_flight_max as u64, 1, 1_024),
            ("retry_ms", self.retry_ms, 10, day_ms),
            ("enrolment_wait_ms", self.enrolment_wait_ms, 0, day_ms),
        ]
    }
}

/// How nodes are called and callers are received.
#[derive(Debug, Clone)]
pub enum Transport {
    /// Mutual TLS with this kit, in both directions.
    Mutual(Box<Kit>),
    /// Plain text on this machine only.
    PlaintextLoopback,
}
