//! What an operator writes, and its check: [`TeacherNodeConfig`] becomes [`Settings`], or a list of all that is wrong.
//!
//! Organisation and node are not settings: they stand in the certificate. `deploy/config/teacher.toml` shows every
//! section.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;

use conclave_learning::TeacherSpec;
use conclave_learning::datasets::DatasetSpec;
use conclave_learning::features::FeatureSpec;
use conclave_privacy::quantity::{Delta, Epsilon, Lattice, NoiseScale};
use conclave_privacy::unit::{Adjacency, PrivacyUnit};
use conclave_proto::ids::{DataId, NodeId, OrganisationId};
use conclave_service::admin::AdminConfig;
use conclave_service::config::{ConfigError, Fault, Loaded};
use conclave_service::{ChannelLimits, Identity, Role, ServerLimits};
use serde::{Deserialize, Serialize};

use crate::settings::{People, Settings, SiloLimits, Succession, figure_faults};

/// The settings file of a teacher node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherNodeConfig {
    /// Who dials whom.
    #[serde(default)]
    pub mode: Mode,
    /// Mode `listen`: where to listen, `ADDRESS:PORT`.
    pub listen: Option<SocketAddr>,
    /// Mode `dial-out`: whom to dial.
    pub aggregator: Option<AggregatorConfig>,
    /// The folder with `ca.pem`, `cert.pem` and `key.pem`: mutual TLS.
    pub kit: Option<PathBuf>,
    /// Instead of a kit, for trials on one machine: plain text, and the name that the certificate would carry.
    pub plaintext_loopback: Option<NameConfig>,
    /// The folder for the guard's book, the record of the data and the partition key.
    pub state_dir: PathBuf,
    /// Teachers to host, one per sub-shard.
    pub teachers: u32,
    /// How each of them learns.
    #[serde(default)]
    pub teacher: TeacherSpec,
    /// Seeds the training.
    #[serde(default)]
    pub seed: u64,
    /// Takes part in simulated campaigns only.
    #[serde(default)]
    pub simulated: bool,
    /// The private rows.
    pub data: DataConfig,
    /// The public pool.
    pub pool: PoolConfig,
    /// Who is protected.
    pub protects: ProtectsConfig,
    /// What the silo allows.
    pub limits: LimitsConfig,
    /// Bounds of the gRPC server, in mode `listen`.
    #[serde(default)]
    pub server: ServerLimits,
    /// Bounds of the connection to the aggregator, in mode `dial-out`.
    #[serde(default)]
    pub channel: ChannelLimits,
    /// Where figures are shown to whoever watches the process.
    #[serde(default)]
    pub admin: AdminConfig,
}

/// Who dials whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The aggregator dials this node.
    #[default]
    Listen,
    /// This node listens to nobody, and dials the aggregator.
    DialOut,
}

/// The aggregator that a node dials.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregatorConfig {
    /// `HOST:PORT`: its `nodes_listen`.
    pub address: String,
    /// Who must be there: `conclave://CONSORTIUM/aggregator/ORGANISATION/NAME`.
    pub identity: Identity,
}

/// How a node and its aggregator meet.
#[derive(Debug, Clone)]
pub enum Meeting {
    /// The node listens here.
    Listen(SocketAddr),
    /// The node dials.
    DialOut(AggregatorConfig),
}

/// A node's name where no certificate tells it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameConfig {
    /// The organisation.
    pub organisation: String,
    /// The node.
    pub node: String,
}

/// The private rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Where they are.
    pub source: DatasetSpec,
    /// Their name for life; derived from their partition when absent.
    pub id: Option<String>,
    /// Says that these are other data than the silo voted with before.
    pub changed: Option<ChangedConfig>,
}

/// How changed data relate to those before.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangedConfig {
    /// The data id before.
    pub predecessor: String,
    /// `same`: some people may be in both, the spend is inherited. `others`: no person is in both.
    pub people: People,
}

/// The public pool.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// Where it is.
    pub source: DatasetSpec,
    /// Which features are fitted on it; what suits its shape when absent.
    pub features: Option<FeatureSpec>,
}

/// Who is protected.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProtectsConfig {
    /// `"record"`, `{ subject = { max_silos_per_subject = 1 } }` or `{ organisation = { teachers_max = 25 } }`.
    pub unit: PrivacyUnit,
    /// `"add_remove"` or `"replace"`.
    #[serde(default)]
    pub adjacency: Adjacency,
}

/// What the silo allows, whatever the aggregator says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// The most ε, at `delta_max`, that a campaign's cap may come to.
    pub epsilon_max: f64,
    /// The largest δ that a campaign may have.
    pub delta_max: f64,
    /// The least noise of each step of a mechanism, in votes.
    pub noise_min_votes: f64,
    /// Different queries, over all campaigns, that the silo answers in the life of its data.
    pub queries_max: u64,
    /// Most queries in one batch.
    #[serde(default = "batch_queries_max")]
    pub batch_queries_max: usize,
}

impl TeacherNodeConfig {
    /// How the node meets its aggregator, or the setting at fault with its value and what to do.
    pub fn meeting(&self) -> Result<Meeting, (&'static str, String, String)> {
        let fault = |key, value: &dyn Display, fix: &str| Err((key, value.to_string(), fix.to_owned()));
        match (self.mode, self.listen, &self.aggregator) {
            (Mode::Listen, Some(address), None) => Ok(Meeting::Listen(address)),
            (Mode::Listen, None, _) => fault(
                "listen",
                &"absent",
                "give ADDRESS:PORT, or mode = \"dial-out\" and an aggregator to dial",
            ),
            (Mode::Listen, Some(_), Some(aggregator)) => {
                let fix = "leave it out: in mode listen the aggregator dials (or give mode = \"dial-out\")";
                fault("aggregator.address", &aggregator.address, fix)
            }
            (Mode::DialOut, Some(address), _) => {
                fault("listen", &address, "leave it out: in mode dial-out the node listens to nobody")
            }
            (Mode::DialOut, None, None) => fault(
                "aggregator",
                &"absent",
                "give its address and identity: in mode dial-out the node dials it",
            ),
            (Mode::DialOut, None, Some(aggregator)) if aggregator.identity.role() != Role::Aggregator => {
                fault("aggregator.identity", &aggregator.identity, "name a party with role aggregator")
            }
            (Mode::DialOut, None, Some(_)) if self.kit.is_none() => {
                fault("kit", &"absent", "give a kit: a node that dials out is known by its certificate alone")
            }
            (Mode::DialOut, None, Some(aggregator)) => Ok(Meeting::DialOut(aggregator.clone())),
        }
    }

    /// Settings of the node that the certificate, or [`TeacherNodeConfig::plaintext_loopback`], names; or everything that
    /// is wrong, each with its key and where it was written.
    pub fn check(
        loaded: &Loaded<Self>,
        organisation: OrganisationId,
        node: NodeId,
    ) -> Result<Settings, ConfigError> {
        let config = &loaded.value;
        let mut check = Check { loaded, faults: Vec::new() };
        let data = config.data.id.as_ref().and_then(|id| check.take("data.id", id, DataId::new(id)));
        let changed = config.data.changed.as_ref().and_then(|ChangedConfig { predecessor, people }| {
            let id = DataId::new(predecessor);
            let predecessor = check.take("data.changed.predecessor", predecessor, id)?;
            Some(Succession { predecessor, people: *people })
        });
        if let Err((key, value, fix)) = config.meeting() {
            check.faults.push(loaded.fault(key, value, fix));
        }
        if let Some((key, address, fix)) = config.admin.fault() {
            check.faults.push(loaded.fault(key, address, fix));
        }
        if !names_its_classes(&config.data.source) {
            // Classes that are found in private rows would tell which labels occur there.
            let fix = "name all classes of the campaign, in its order";
            check.faults.push(loaded.fault("data.source.classes", "absent", fix));
        }
        let LimitsConfig { epsilon_max, delta_max, noise_min_votes, queries_max, batch_queries_max } =
            config.limits;
        let noise_min = NoiseScale::from_votes(noise_min_votes, Lattice::DEFAULT);
        let noise_min = check.take("limits.noise_min_votes", noise_min_votes, noise_min);
        let delta_max = check.take("limits.delta_max", delta_max, Delta::new(delta_max));
        let epsilon_max = check.take("limits.epsilon_max", epsilon_max, Epsilon::new(epsilon_max));
        for (key, value, fix) in
            figure_faults(config.teachers, config.protects.unit, queries_max, batch_queries_max)
        {
            check.faults.push(loaded.fault(key, value, fix));
        }
        let (Some(epsilon_max), Some(delta_max), Some(noise_min), []) =
            (epsilon_max, delta_max, noise_min, &check.faults[..])
        else {
            return Err(ConfigError::Faults(check.faults));
        };
        Ok(Settings {
            organisation,
            node,
            data,
            changed,
            teachers: config.teachers,
            teacher: config.teacher,
            seed: config.seed,
            unit: config.protects.unit,
            adjacency: config.protects.adjacency,
            limits: SiloLimits { epsilon_max, delta_max, noise_min, queries_max, batch_queries_max },
            state_dir: config.state_dir.clone(),
            simulated: config.simulated,
            server: config.server,
        })
    }
}

/// Collects what is wrong.
struct Check<'a> {
    loaded: &'a Loaded<TeacherNodeConfig>,
    faults: Vec<Fault>,
}

impl Check<'_> {
    /// The checked value of the setting `key`, or one fault more.
    fn take<T>(&mut self, key: &str, value: impl Display, checked: Result<T, impl Display>) -> Option<T> {
        checked.map_err(|error| self.faults.push(self.loaded.fault(key, value, error.to_string()))).ok()
    }
}

fn names_its_classes(source: &DatasetSpec) -> bool {
    match source {
        DatasetSpec::Optdigits | DatasetSpec::Mnist { .. } => true,
        DatasetSpec::Csv(source) => source.classes.is_some(),
        DatasetSpec::Idx { classes, .. } | DatasetSpec::Npy { classes, .. } => classes.is_some(),
    }
}

const fn batch_queries_max() -> usize {
    1024
}

#[cfg(test)]
mod tests;
