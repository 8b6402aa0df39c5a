//! What an operator writes, and its check: [`AggregatorConfig`] becomes [`Settings`], or a list of all that is wrong.
//!
//! `deploy/config/aggregator.toml` shows every section.

use std::collections::HashSet;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;

use conclave_privacy::mechanism::{ConfidentGnMax, GnMax, LnMax, Mechanism};
use conclave_privacy::quantity::{Delta, Epsilon, Lattice, NoiseScale, Threshold};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, VotingScheme};
use conclave_proto::ids::{CampaignId, NodeId, OrganisationId};
use conclave_proto::pool::PoolManifest;
use conclave_service::admin::AdminConfig;
use conclave_service::config::{ConfigError, Fault, Loaded};
use conclave_service::{ChannelLimits, ServerLimits};
use conclave_trust::contract::{QUERIES_MAX, VOTE_DEADLINE_MS};
use serde::{Deserialize, Serialize};

use crate::settings::{AccountSettings, CampaignSettings, Flow, NodeSettings, Settings};

/// Names of environment variables begin with this.
pub const ENV_PREFIX: &str = "CONCLAVE_AGGREGATOR";

/// The settings file of an aggregator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregatorConfig {
    /// Where to listen: `ADDRESS:PORT`.
    pub listen: SocketAddr,
    /// The folder with `ca.pem`, `cert.pem` and `key.pem`: mutual TLS.
    pub kit: Option<PathBuf>,
    /// Instead of a kit, for trials on one machine.
    #[serde(default)]
    pub plaintext_loopback: bool,
    /// The ledger; made when missing.
    pub ledger: PathBuf,
    /// The manifest of the public pool, from `conclave data manifest`.
    pub pool: PathBuf,
    /// The campaign to open at the first start; without one, an operator starts it.
    pub campaign: Option<CampaignConfig>,
    /// The cap of every silo's data.
    pub accounts: AccountsConfig,
    /// Who takes part, and where.
    pub nodes: Vec<NodeConfig>,
    /// Where nodes with mode `dial-out` are received: `ADDRESS:PORT`.
    pub nodes_listen: Option<SocketAddr>,
    /// Operators that may start and stop campaigns, as `ORGANISATION/NAME`; nobody may if there are none.
    #[serde(default)]
    pub operators: Vec<String>,
    /// How much is under way at once.
    #[serde(default)]
    pub flow: Flow,
    /// Bounds of the gRPC server.
    #[serde(default)]
    pub server: ServerLimits,
    /// Bounds of the channels to the nodes.
    #[serde(default)]
    pub channel: ChannelLimits,
    /// Where figures are shown to whoever watches the process.
    #[serde(default)]
    pub admin: AdminConfig,
}

/// A campaign in a file of its own, to be started by an operator: the section `[campaign]` and nothing else.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignFile {
    /// The campaign.
    pub campaign: CampaignConfig,
}

impl CampaignFile {
    /// The checked campaign; or everything that is wrong, each with its key and where it was written.
    pub fn check(loaded: &Loaded<Self>) -> Result<CampaignSettings, ConfigError> {
        let mut check = Check { loaded, faults: Vec::new() };
        match (check.campaign(&loaded.value.campaign), &check.faults[..]) {
            (Some(campaign), []) => Ok(campaign),
            _ => Err(ConfigError::Faults(check.faults)),
        }
    }
}

/// A campaign as its operator plans it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignConfig {
    /// Names it.
    pub id: String,
    /// What is drawn per query, with its noise in votes.
    pub mechanism: MechanismConfig,
    /// Noise is drawn in steps of 2^-`lattice_bits` votes.
    #[serde(default = "lattice_bits")]
    pub lattice_bits: u8,
    /// `"record"`, `{ subject = { max_silos_per_subject = 1 } }` or `{ organisation = { teachers_max = 25 } }`.
    pub unit: PrivacyUnit,
    /// `"add_remove"` or `"replace"`.
    #[serde(default)]
    pub adjacency: Adjacency,
    /// The campaign's part of the budget, at δ.
    pub epsilon: f64,
    /// The probability with which the guarantee may fail.
    pub delta: f64,
    /// Fewest teachers whose votes must have arrived for a draw.
    pub teachers_quorum_min: u32,
    /// Most queries that the campaign may ask.
    pub queries_max: u32,
    /// How long votes are waited for.
    #[serde(default = "vote_deadline_ms")]
    pub vote_deadline_ms: u32,
}

/// What is drawn per query, with its noise in votes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum MechanismConfig {
    /// Laplace noise on each count.
    #[serde(rename = "lnmax")]
    LnMax {
        /// The scale b.
        scale: f64,
    },
    /// Gaussian noise on each count.
    #[serde(rename = "gnmax")]
    GnMax {
        /// The standard deviation.
        sigma: f64,
    },
    /// A noisy threshold test, then Gaussian noise on each count.
    #[serde(rename = "confident-gnmax")]
    ConfidentGnMax {
        /// T, the votes that the largest count must reach.
        threshold: f64,
        /// The standard deviation of the noise of the threshold test.
        sigma1: f64,
        /// The standard deviation of the noise on each count.
        sigma: f64,
    },
}

/// The cap of every silo's data, for the life of the data.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountsConfig {
    /// ε at the campaign's δ.
    pub epsilon: f64,
    /// In how many silos one person may have rows, as the consortium declares.
    #[serde(default = "one")]
    pub max_silos_per_subject: u32,
}

/// One teacher node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// The organisation, as in the node's certificate.
    pub organisation: String,
    /// The node, as in its certificate.
    pub node: String,
    /// Who dials whom.
    #[serde(default)]
    pub mode: Mode,
    /// `HOST:PORT` of a node that listens.
    pub address: Option<String>,
}

/// Who dials whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The node listens, and is dialled.
    #[default]
    Listen,
    /// The node listens to nobody, and dials in.
    DialOut,
}

impl AggregatorConfig {
    /// Settings to run on, with the `pool` that the configuration names; or everything that is wrong, each with its key
    /// and where it was written.
    pub fn check(
        loaded: &Loaded<Self>,
        pool: PoolManifest,
    ) -> Result<Settings<Option<CampaignSettings>>, ConfigError> {
        let config = &loaded.value;
        let mut check = Check { loaded, faults: Vec::new() };
        let campaign = config.campaign.as_ref().map(|campaign| check.campaign(campaign));
        let accounts = check.accounts(&config.accounts);
        let nodes = check.nodes(&config.nodes);
        check.nodes_listen(config);
        check.operators(config);
        check.flow(&config.flow);
        if let Some((key, address, fix)) = config.admin.fault() {
            check.fault(key, address, fix);
        }
        let planned = config.campaign.as_ref().map(|campaign| campaign.epsilon);
        if let Some(epsilon) = planned.filter(|epsilon| *epsilon > config.accounts.epsilon) {
            let fix = format!(
                "a campaign is a part of its accounts' budget: give at most {}",
                config.accounts.epsilon
            );
            check.fault("campaign.epsilon", epsilon, fix);
        }
        match (campaign, accounts, &check.faults[..]) {
            (campaign, Some(accounts), []) => Ok(Settings {
                campaign: campaign.flatten(),
                accounts,
                pool,
                ledger: config.ledger.clone(),
                nodes,
                nodes_listen: config.nodes_listen,
                operators: config.operators.clone(),
                flow: config.flow,
                server: config.server,
                channel: config.channel,
            }),
            _ => Err(ConfigError::Faults(check.faults)),
        }
    }
}

/// Collects what is wrong.
struct Check<'a, T> {
    loaded: &'a Loaded<T>,
    faults: Vec<Fault>,
}

impl<T> Check<'_, T> {
    fn campaign(&mut self, config: &CampaignConfig) -> Option<CampaignSettings> {
        let id = self.take("campaign.id", &config.id, CampaignId::new(&config.id));
        let mechanism = self.mechanism(config);
        let epsilon = self.take("campaign.epsilon", config.epsilon, Epsilon::new(config.epsilon));
        let delta = self.take("campaign.delta", config.delta, Delta::new(config.delta));
        self.within("campaign.teachers_quorum_min", config.teachers_quorum_min, 1, u32::MAX);
        self.within("campaign.queries_max", config.queries_max, 1, QUERIES_MAX);
        let (shortest, longest) = VOTE_DEADLINE_MS.into_inner();
        self.within("campaign.vote_deadline_ms", config.vote_deadline_ms, shortest, longest);
        Some(CampaignSettings {
            id: id?,
            mechanism: mechanism?,
            unit: config.unit,
            adjacency: config.adjacency,
            scheme: VotingScheme::Ensemble,
            epsilon: epsilon?,
            delta: delta?,
            teachers_quorum_min: config.teachers_quorum_min,
            queries_max: config.queries_max,
            vote_deadline_ms: config.vote_deadline_ms,
        })
    }

    fn mechanism(&mut self, config: &CampaignConfig) -> Option<Mechanism> {
        let bits = config.lattice_bits;
        let lattice = self.take("campaign.lattice_bits", bits, Lattice::new(bits))?;
        let mut scale = |name: &str, votes: f64| {
            self.take(&format!("campaign.mechanism.{name}"), votes, NoiseScale::from_votes(votes, lattice))
        };
        match config.mechanism {
            MechanismConfig::LnMax { scale: b } => Some(LnMax::new(scale("scale", b)?).into()),
            MechanismConfig::GnMax { sigma } => Some(GnMax::new(scale("sigma", sigma)?).into()),
            MechanismConfig::ConfidentGnMax { threshold, sigma1, sigma } => {
                let (sigma1, sigma) = (scale("sigma1", sigma1), scale("sigma", sigma));
                let votes = Threshold::from_votes(threshold, lattice);
                let threshold = self.take("campaign.mechanism.threshold", threshold, votes)?;
                let confident = ConfidentGnMax::new(threshold, sigma1?, sigma?);
                self.take("campaign.mechanism", "confident-gnmax", confident).map(Mechanism::from)
            }
        }
    }

    fn accounts(&mut self, config: &AccountsConfig) -> Option<AccountSettings> {
        self.within("accounts.max_silos_per_subject", config.max_silos_per_subject, 1, u32::MAX);
        let epsilon = self.take("accounts.epsilon", config.epsilon, Epsilon::new(config.epsilon));
        Some(AccountSettings { epsilon: epsilon?, max_silos_per_subject: config.max_silos_per_subject })
    }

    fn nodes(&mut self, configs: &[NodeConfig]) -> Vec<NodeSettings> {
        if configs.is_empty() {
            self.fault("nodes", 0, "name at least one teacher node");
        }
        let mut organisations = HashSet::new();
        let mut nodes = Vec::new();
        for (index, NodeConfig { organisation, node, mode, address }) in configs.iter().enumerate() {
            let key = |field: &str| format!("nodes[{index}].{field}");
            if !organisations.insert(organisation) {
                self.fault(&key("organisation"), organisation, "name every organisation once");
            }
            match (mode, address) {
                (Mode::Listen, None) => {
                    let fix = "give HOST:PORT where the node listens, or mode = \"dial-out\" if it dials in";
                    self.fault(&key("address"), "absent", fix);
                }
                (Mode::DialOut, Some(address)) => {
                    self.fault(&key("address"), address, "leave it out: a node that dials in has none");
                }
                _ => {}
            }
            let organisation =
                self.take(&key("organisation"), organisation, OrganisationId::new(organisation));
            let node = self.take(&key("node"), node, NodeId::new(node));
            if let (Some(organisation), Some(node)) = (organisation, node) {
                nodes.push(NodeSettings { organisation, node, address: address.clone() });
            }
        }
        nodes
    }

    /// The address for nodes that dial in is there if and only if there are such nodes; they need certificates.
    fn nodes_listen(&mut self, config: &AggregatorConfig) {
        let dialling = config.nodes.iter().any(|node| node.mode == Mode::DialOut);
        match config.nodes_listen {
            None if dialling => {
                let fix = "give the address at which nodes with mode = \"dial-out\" are received";
                self.fault("nodes_listen", "absent", fix);
            }
            Some(address) if !dialling => {
                self.fault("nodes_listen", address, "leave it out: no node has mode = \"dial-out\"");
            }
            Some(address) if address == config.listen && address.port() != 0 => {
                self.fault("nodes_listen", address, "give another port than that of listen, for students");
            }
            _ => {}
        }
        if dialling && config.plaintext_loopback {
            let fix = "a node that dials in is known by its certificate alone: give a kit";
            self.fault("plaintext_loopback", true, fix);
        }
    }

    /// Operators by name; without them and without a campaign there would be nothing to do, ever.
    fn operators(&mut self, config: &AggregatorConfig) {
        for (index, operator) in config.operators.iter().enumerate() {
            let parts: Vec<&str> = operator.split('/').collect();
            let named = matches!(parts[..], [organisation, name]
                if OrganisationId::new(organisation).is_ok() && NodeId::new(name).is_ok());
            if !named {
                let fix = "write ORGANISATION/NAME as in the operator's kit, for example hub/operator";
                self.fault(&format!("operators[{index}]"), operator, fix);
            }
        }
        if config.campaign.is_none() && config.operators.is_empty() {
            let fix = "give a section [campaign], or name in operators who may start one";
            self.fault("campaign", "absent", fix);
        }
    }

    fn flow(&mut self, flow: &Flow) {
        for (key, value, least, most) in flow.ranges() {
            self.within(&format!("flow.{key}"), value, least, most);
        }
    }

    /// The checked value of the setting `key`, or one fault more.
    fn take<V>(&mut self, key: &str, value: impl Display, checked: Result<V, impl Display>) -> Option<V> {
        checked.map_err(|error| self.fault(key, value, error.to_string())).ok()
    }

    fn within<V: PartialOrd + Display + Copy>(&mut self, key: &str, value: V, least: V, most: V) {
        if value < least || value > most {
            self.fault(key, value, format!("give {least} to {most}"));
        }
    }

    fn fault(&mut self, key: &str, value: impl Display, fix: impl Into<String>) {
        self.faults.push(self.loaded.fault(key, value, fix));
    }
}

const fn lattice_bits() -> u8 {
    Lattice::DEFAULT.bits()
}

const fn vote_deadline_ms() -> u32 {
    10_000
}

const fn one() -> u32 {
    1
}

#[cfg(test)]
mod tests;
