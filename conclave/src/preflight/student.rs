//! A student: its public data, its aggregator, and whether both speak of the same campaign and pool.

use std::path::Path;
use std::sync::Arc;

use conclave_learning::datasets::DatasetSpec;
use conclave_learning::features::FeatureSpace;
use conclave_proto::pool::PoolManifest;
use conclave_service::channel::RetryPolicy;
use conclave_service::clock::WallClock;
use conclave_service::config::{ConfigError, Loaded};
use conclave_service::{ClientTransport, Kit, Role};
use conclave_student::config::{Settings, StudentConfig};
use conclave_student::query_selection::manifest;
use conclave_student::{CampaignClient, Patience, StudentError};

use super::peers::{self, Peer};
use super::{Preflight, identity, storage};
use crate::cli::{Exit, Fault};
use crate::simulate::world::{broken, fault};

/// Looks at everything that a student needs.
pub async fn look(loaded: Loaded<StudentConfig>) -> Preflight {
    let mut flight = Preflight::of("student");
    let config = &loaded.value;
    let kit_folder = config.kit.as_deref();
    let kit = identity::kit(&mut flight, Role::Student, kit_folder, config.plaintext_loopback);
    // It has no book that would be locked; without a kit nobody can tell who listens there.
    if kit.is_some() && identity::answers(config.listen, kit_folder).await {
        flight.recognised();
    }
    identity::listen(&mut flight, "listen", config.listen, kit_folder).await;
    identity::admin(&mut flight, config.admin);
    storage::folder(
        &mut flight,
        "model_path",
        config.model_path.parent().unwrap_or_else(|| Path::new("")),
        false,
    );
    match Settings::check(&loaded, WallClock::now_ms()) {
        Ok(_) => flight.good("settings", "campaign", &config.campaign, "every setting can be used"),
        Err(ConfigError::Faults(faults)) => {
            // What is wrong with the kit was told above, with its file.
            let rest: Vec<_> = faults.into_iter().filter(|fault| fault.key != "kit").collect();
            flight.settings(ConfigError::Faults(rest));
        }
        Err(error) => flight.settings(error),
    }
    let pool = pool(&mut flight, config).await;
    let Some(transport) = transport(config, kit) else {
        flight.unchecked("peer", "aggregator.address", "not before kit and aggregator.identity can be used");
        return flight;
    };
    let address = config.aggregator.address.clone();
    let peer = Peer { field: "aggregator.address".to_owned(), address, transport };
    if peers::dial(&mut flight, std::slice::from_ref(&peer), config.patience.channel).await == [true] {
        contract(&mut flight, config, &peer, pool.as_ref()).await;
    } else {
        flight.unchecked("contract", "campaign", "the aggregator did not answer");
    }
    flight
}

fn transport(config: &StudentConfig, kit: Option<Kit>) -> Option<ClientTransport> {
    match (kit, &config.aggregator.identity, config.plaintext_loopback) {
        (Some(kit), Some(expected), _) => {
            Some(ClientTransport::Mutual { kit: Arc::new(kit), expected: expected.clone() })
        }
        (None, None, true) => Some(ClientTransport::PlaintextLoopback),
        _ => None,
    }
}

async fn pool(flight: &mut Preflight, config: &StudentConfig) -> Option<PoolManifest> {
    let config = config.clone();
    let read = tokio::task::spawn_blocking(move || -> Result<PoolManifest, StudentError> {
        let pool = config.pool.source.load()?.without_labels();
        let space = FeatureSpace::fit(&config.pool.features, &pool)?;
        config.test.as_ref().map(DatasetSpec::load).transpose()?;
        manifest(&pool, &space)
    });
    match read.await {
        Ok(Ok(pool)) => {
            let words = format!("{} queries; features {}", pool.queries().len(), pool.features());
            flight.good("pool", "pool.source", pool.digest(), words);
            Some(pool)
        }
        Ok(Err(error)) => {
            flight.problem("pool", fault(error));
            None
        }
        Err(error) => {
            flight.problem("pool", broken("reading the pool", &error));
            None
        }
    }
}

/// Does the aggregator run this campaign, on this pool?
async fn contract(flight: &mut Preflight, config: &StudentConfig, peer: &Peer, pool: Option<&PoolManifest>) {
    let once = RetryPolicy { attempts_max: 1, ..config.patience.retry };
    let patience = Patience { retry: once, ..config.patience };
    let client = match CampaignClient::connect(&peer.address, &peer.transport, &patience).await {
        Ok(client) => client,
        Err(error) => return flight.problem("contract", fault(error)),
    };
    let terms = client.contract();
    if terms.campaign.as_str() != config.campaign {
        let problem = format!("the aggregator runs campaign {}", terms.campaign);
        let fix = "set that campaign, or another aggregator.address";
        let found = Fault::new(Exit::BadInput, "wrong-campaign", "campaign", &config.campaign, problem, fix);
        return flight.problem("contract", found);
    }
    match pool.map(|pool| terms.check(pool)) {
        Some(Ok(())) => {
            let words = "pool, features and classes are those that the silos agreed to";
            flight.good("contract", "contract", terms.contract, words);
        }
        Some(Err(error)) => flight.problem("contract", fault(error)),
        None => flight.unchecked("contract", "pool.source", "there is no pool to compare with"),
    }
    if terms.simulated {
        let words = "the campaign is simulated: its noise comes from a seed, and protects nobody";
        flight.warn("contract", "contract", terms.contract, words, "learn from it for trials only");
    }
}
