//! A teacher node: its rows, their split, the record of them, its guard's book and the public pool.

use std::sync::Arc;

use conclave_proto::ids::{NodeId, OrganisationId};
use conclave_service::config::{ConfigError, Loaded};
use conclave_service::{ClientTransport, Kit, Role};
use conclave_teacher_node::config::{AggregatorConfig, Meeting};
use conclave_teacher_node::{GUARD_BOOK, Settings, TeacherNodeConfig, rehearsal};

use super::peers::{self, Peer};
use super::{Preflight, identity, storage};
use crate::cli::{Exit, Fault};
use crate::simulate::world::{broken, fault};

/// Looks at everything that a node needs.
pub async fn look(loaded: Loaded<TeacherNodeConfig>) -> Preflight {
    let mut flight = Preflight::of("teacher");
    let config = &loaded.value;
    let kit_folder = config.kit.as_deref();
    let kit = identity::kit(&mut flight, Role::Teacher, kit_folder, config.plaintext_loopback.is_some());
    let book = config.state_dir.join(GUARD_BOOK);
    if storage::holder(&book).is_some() && answers(config).await {
        flight.recognised();
    }
    meeting(&mut flight, config, kit.as_ref()).await;
    identity::admin(&mut flight, config.admin);
    storage::folder(&mut flight, "state_dir", &config.state_dir, true);
    storage::guard_book(&mut flight, &book, config.limits.queries_max);
    storage::opened(&mut flight, "guard", &book);

    match settings(&loaded, kit.as_ref()) {
        Ok(settings) => {
            flight.good("settings", "teachers", settings.teachers, "every setting can be used");
            data(&mut flight, config.clone(), settings).await;
        }
        Err(None) => flight.unchecked("data", "data.source", "not before the kit says whose they are"),
        Err(Some(error)) => flight.settings(error),
    }
    flight
}

/// Whether a node with these settings is at work: it listens, or its aggregator answers it.
async fn answers(config: &TeacherNodeConfig) -> bool {
    match config.meeting() {
        Ok(Meeting::Listen(address)) => identity::answers(address, config.kit.as_deref()).await,
        Ok(Meeting::DialOut(_)) => conclave_teacher_node::probe(config).await.is_ok(),
        Err(_) => false,
    }
}

/// Where the node listens, or the aggregator that it dials; a meeting that cannot be is told with the other settings.
async fn meeting(flight: &mut Preflight, config: &TeacherNodeConfig, kit: Option<&Kit>) {
    match (config.meeting(), kit) {
        (Ok(Meeting::Listen(address)), _) => {
            identity::listen(flight, "listen", address, config.kit.as_deref()).await;
            let why = "a node that is called dials nobody; the aggregator's preflight dials it";
            flight.unchecked("peer", "listen", why);
        }
        (Ok(Meeting::DialOut(AggregatorConfig { address, identity })), Some(kit)) => {
            let transport = ClientTransport::Mutual { kit: Arc::new(kit.clone()), expected: identity };
            let peer = Peer { field: "aggregator.address".to_owned(), address, transport };
            peers::dial(flight, &[peer], config.channel).await;
        }
        (Ok(Meeting::DialOut(_)), None) => {
            flight.unchecked("peer", "aggregator.address", "not before there is a kit to show");
        }
        (Err(_), _) => {}
    }
}

/// The settings of the node that kit or configuration name; `None` where neither does.
fn settings(loaded: &Loaded<TeacherNodeConfig>, kit: Option<&Kit>) -> Result<Settings, Option<ConfigError>> {
    let (organisation, node) = match (kit, &loaded.value.plaintext_loopback) {
        (Some(kit), _) => (kit.identity().organisation(), kit.identity().name()),
        (None, Some(name)) => (name.organisation.as_str(), name.node.as_str()),
        (None, None) => return Err(None),
    };
    let misnamed = |key: &str, value: &str, error: &dyn std::fmt::Display| {
        Some(ConfigError::Faults(vec![loaded.fault(key, value, error.to_string())]))
    };
    let organisation = OrganisationId::new(organisation)
        .map_err(|error| misnamed("plaintext_loopback.organisation", organisation, &error))?;
    let node = NodeId::new(node).map_err(|error| misnamed("plaintext_loopback.node", node, &error))?;
    TeacherNodeConfig::check(loaded, organisation, node).map_err(Some)
}

async fn data(flight: &mut Preflight, config: TeacherNodeConfig, settings: Settings) {
    let looked = tokio::task::spawn_blocking(move || rehearsal::rehearse(&config, &settings)).await;
    let found = match looked {
        Ok(Ok(found)) => found,
        Ok(Err(error @ conclave_teacher_node::Error::DataChanged { .. })) => {
            let words = error.to_string();
            let fault = Fault::from_words(Exit::BadInput, "data-changed", "data.source", "", &words);
            return flight.problem("data", fault);
        }
        Ok(Err(error)) => return flight.problem("data", fault(error)),
        Err(error) => return flight.problem("data", broken("reading the data", &error)),
    };
    let (digest, features) = (found.pool.digest(), found.pool.features());
    let words = format!(
        "{} queries; features {features}: compare both with the contract's",
        found.pool.queries().len()
    );
    flight.good("pool", "pool.source", digest, words);
    match found.data {
        Some((data, partition)) => {
            let words = format!("partition {partition}, as on record");
            flight.good("data", "data.id", data, words);
        }
        None => flight.good(
            "data",
            "data.source",
            "",
            "columns and classes are the pool's; the first start splits the rows",
        ),
    }
}
