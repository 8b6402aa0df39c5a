//! What a node may run on: checked settings, from a configuration ([`crate::config`]) or made in code by a simulation.

use std::path::PathBuf;

use conclave_learning::TeacherSpec;
use conclave_ledger::QUERIES_PER_RESERVATION_MAX;
use conclave_privacy::quantity::{Delta, Epsilon, NoiseScale};
use conclave_privacy::unit::{Adjacency, PrivacyUnit};
use conclave_proto::ids::{DataId, NodeId, OrganisationId};
use conclave_service::ServerLimits;
use conclave_trust::contract::TEACHERS_PER_NODE_MAX;

use crate::error::{Error, Result};

/// Everything that a node must know besides its data and the public pool.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The organisation, as in the node's certificate.
    pub organisation: OrganisationId,
    /// The node, as in its certificate.
    pub node: NodeId,
    /// Names the private data; derived from their partition when absent.
    pub data: Option<DataId>,
    /// The operator's declaration that these are other data than before.
    pub changed: Option<Succession>,
    /// Teachers that the node hosts, one per sub-shard.
    pub teachers: u32,
    /// How each teacher learns.
    pub teacher: TeacherSpec,
    /// Seeds the training: the same seed and rows give the same votes.
    pub seed: u64,
    /// Who is protected.
    pub unit: PrivacyUnit,
    /// How neighbouring data sets differ.
    pub adjacency: Adjacency,
    /// What the silo allows.
    pub limits: SiloLimits,
    /// Holds the guard's book and the record of the data; made when missing.
    pub state_dir: PathBuf,
    /// Takes part in simulated campaigns, and in no others.
    pub simulated: bool,
    /// Bounds of the gRPC server.
    pub server: ServerLimits,
}

/// What the silo allows, whatever the aggregator says.
#[derive(Debug, Clone, Copy)]
pub struct SiloLimits {
    /// The most ε, at `delta_max`, that a campaign's cap may come to.
    pub epsilon_max: Epsilon,
    /// The largest δ that a campaign may have.
    pub delta_max: Delta,
    /// The least noise of each step of a mechanism.
    pub noise_min: NoiseScale,
    /// Different queries, over all campaigns, that the silo answers in the life of its data.
    pub queries_max: u64,
    /// Most queries in one batch.
    pub batch_queries_max: usize,
}

/// How new data relate to those that the silo voted with before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Succession {
    /// The data id of the data before.
    pub predecessor: DataId,
    /// Whether some people may be in both.
    pub people: People,
}

/// Whose records new data hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum People {
    /// Some people may be in both: the new data inherit what the old ones spent.
    Same,
    /// The operator declares, on record, that no person is in both.
    Others,
}

impl Settings {
    /// Refuses the first of [`figure_faults`].
    pub(crate) fn check(&self) -> Result<()> {
        let SiloLimits { queries_max, batch_queries_max, .. } = self.limits;
        match figure_faults(self.teachers, self.unit, queries_max, batch_queries_max).next() {
            Some((field, value, fix)) => Err(Error::Setting { field, value, fix }),
            None => Ok(()),
        }
    }
}

/// Figures that no node can run on: setting, value, fix.
pub(crate) fn figure_faults(
    teachers: u32,
    unit: PrivacyUnit,
    queries_max: u64,
    batch_queries_max: usize,
) -> impl Iterator<Item = (&'static str, String, String)> {
    let hosted_max = match unit {
        PrivacyUnit::Organisation { teachers_max } => teachers_max.min(TEACHERS_PER_NODE_MAX),
        PrivacyUnit::Record | PrivacyUnit::Subject { .. } => TEACHERS_PER_NODE_MAX,
    };
    [
        ("teachers", u64::from(teachers), u64::from(hosted_max)),
        ("limits.queries_max", queries_max, u64::from(u32::MAX)),
        ("limits.batch_queries_max", batch_queries_max as u64, QUERIES_PER_RESERVATION_MAX as u64),
    ]
    .into_iter()
    .filter(|(_, value, most)| !(1..=*most).contains(value))
    .map(|(field, value, most)| (field, value.to_string(), format!("give 1 to {most}")))
}
