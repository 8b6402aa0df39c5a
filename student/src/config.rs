//! Settings of a student: what an operator writes ([`StudentConfig`]), and what a student may run on ([`Settings`]).
//! Only the check turns one into the other, and it tells all faults at once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use conclave_learning::datasets::DatasetSpec;
use conclave_learning::features::FeatureSpec;
use conclave_learning::student::StudentSpec;
use conclave_proto::ids::CampaignId;
use conclave_service::admin::AdminConfig;
use conclave_service::config::{ConfigError, Fault, Loaded};
use conclave_service::{ClientTransport, Identity, Kit, Role, ServerTransport};
use serde::{Deserialize, Serialize};

use crate::client::Patience;
use crate::query_selection::Selection;
use crate::serving::ServingLimits;

/// Start of the environment variables that settings may come from: `CONCLAVE_STUDENT__SERVING__EXAMPLES_MAX`.
pub const ENV_PREFIX: &str = "CONCLAVE_STUDENT";

/// What is in the settings file; every key is explained in `deploy/config/student.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentConfig {
    /// Where predictions are served.
    pub listen: SocketAddr,
    /// Folder of the kit that proves who this student is.
    #[serde(default)]
    pub kit: Option<PathBuf>,
    /// Plain text without identities, on this machine only, in place of a kit.
    #[serde(default)]
    pub plaintext_loopback: bool,
    /// The campaign to learn from.
    pub campaign: String,
    /// Where the trained model is kept; when the file exists it is served, and nothing is learned.
    pub model_path: PathBuf,
    /// Chooses queries and trains.
    #[serde(default)]
    pub seed: u64,
    /// Whom to ask.
    pub aggregator: AggregatorConfig,
    /// The public pool.
    pub pool: PoolConfig,
    /// Labelled public rows that measure the trained student.
    #[serde(default)]
    pub test: Option<DatasetSpec>,
    /// What to ask about.
    #[serde(default)]
    pub queries: QueriesConfig,
    /// How to learn.
    #[serde(default)]
    pub learning: StudentSpec,
    /// How long to wait for the aggregator.
    #[serde(default)]
    pub patience: Patience,
    /// Bounds of the prediction service.
    #[serde(default)]
    pub serving: ServingLimits,
    /// Where figures are shown to whoever watches the process.
    #[serde(default)]
    pub admin: AdminConfig,
}

/// The aggregator of the campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregatorConfig {
    /// `HOST:PORT`.
    pub address: String,
    /// Who must be there; needed with a kit.
    #[serde(default)]
    pub identity: Option<Identity>,
}

/// The public pool, as every party of the campaign holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// Where it is. Labels in it are not looked at.
    pub source: DatasetSpec,
    /// Which features are fitted on it.
    pub features: FeatureSpec,
}

/// What to ask about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueriesConfig {
    /// How many; when absent as many as the contract allows and the pool has.
    pub count: Option<usize>,
    /// How they are chosen.
    pub selection: Selection,
}

/// Settings that a student may run on.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) config: StudentConfig,
    pub(crate) campaign: CampaignId,
    pub(crate) server: ServerTransport,
    pub(crate) aggregator: ClientTransport,
}

impl Settings {
    /// Checks what was read and loads the kit, valid at `now_ms` (milliseconds since 1970). Tells all faults at once.
    pub fn check(loaded: &Loaded<StudentConfig>, now_ms: u64) -> Result<Self, ConfigError> {
        let config = &loaded.value;
        let mut faults: Vec<Fault> = Vec::new();
        faults.extend(
            config.patience.faults("patience").into_iter().map(|f| loaded.fault(&f.field, f.value, f.fix)),
        );
        for (key, value) in [
            ("serving.examples_max", config.serving.examples_max),
            ("serving.predictions_max", config.serving.predictions_max),
        ] {
            if value == 0 {
                faults.push(loaded.fault(key, value, "allow at least 1"));
            }
        }
        if let Some((key, address, fix)) = config.admin.fault() {
            faults.push(loaded.fault(key, address, fix));
        }
        if config.queries.count == Some(0) {
            faults.push(loaded.fault(
                "queries.count",
                0,
                "ask at least one, or leave it out to ask all that is allowed",
            ));
        }
        let campaign = CampaignId::new(&config.campaign)
            .map_err(|fault| faults.push(loaded.fault("campaign", &config.campaign, fault.to_string())))
            .ok();
        let transports = transports(loaded, now_ms).map_err(|found| faults.extend(found)).ok();
        match (campaign, transports) {
            (Some(campaign), Some((server, aggregator))) if faults.is_empty() => {
                Ok(Self { config: config.clone(), campaign, server, aggregator })
            }
            _ => Err(ConfigError::Faults(faults)),
        }
    }
}

/// How we are reached, and how we reach the aggregator: with a kit, or in plain text on this machine.
fn transports(
    loaded: &Loaded<StudentConfig>,
    now_ms: u64,
) -> Result<(ServerTransport, ClientTransport), Vec<Fault>> {
    let config = &loaded.value;
    let expected = config.aggregator.identity.as_ref();
    let (dir, expected) = match (config.plaintext_loopback, &config.kit, expected) {
        (true, None, None) => {
            return Ok((ServerTransport::PlaintextLoopback, ClientTransport::PlaintextLoopback));
        }
        (true, _, _) => {
            let fix = "plain text knows no identities: leave out kit and aggregator.identity, or this";
            return Err(vec![loaded.fault("plaintext_loopback", true, fix)]);
        }
        (false, Some(dir), Some(expected)) => (dir, expected),
        (false, dir, expected) => {
            let absent = |key| {
                loaded.fault(key, "absent", "set it: mutual TLS needs a kit and the aggregator's identity")
            };
            let missing = [("kit", dir.is_none()), ("aggregator.identity", expected.is_none())];
            return Err(missing
                .into_iter()
                .filter(|(_, absent)| *absent)
                .map(|(key, _)| absent(key))
                .collect());
        }
    };
    let mut faults = Vec::new();
    if expected.role() != Role::Aggregator {
        faults.push(loaded.fault("aggregator.identity", expected, "name a party with role aggregator"));
    }
    match Kit::load(dir, now_ms) {
        Err(fault) => faults.push(loaded.fault("kit", dir.display(), fault.to_string())),
        Ok(kit) => {
            let own = kit.identity();
            if own.role() != Role::Student {
                faults.push(loaded.fault("kit", own, "use a kit with role student"));
            }
            if own.consortium() != expected.consortium() {
                let fix = format!("name an aggregator of {}, the kit's consortium", own.consortium());
                faults.push(loaded.fault("aggregator.identity", expected, fix));
            }
            if faults.is_empty() {
                let client =
                    ClientTransport::Mutual { kit: Arc::new(kit.clone()), expected: expected.clone() };
                return Ok((ServerTransport::Mutual(kit), client));
            }
        }
    }
    Err(faults)
}

#[cfg(test)]
mod tests;
