//! An aggregator: its ledger, its pool, and whether every node is there and fits the campaign.

use std::sync::Arc;

use conclave_aggregator::{AggregatorConfig, CampaignSettings, Settings, Transport, read_pool, rehearsal};
use conclave_service::config::Loaded;
use conclave_service::{ClientTransport, Identity, Kit, Role};

use super::peers::{self, Peer};
use super::{Preflight, identity, storage};
use crate::simulate::world::fault;

/// Looks at everything that an aggregator needs.
pub async fn look(loaded: Loaded<AggregatorConfig>) -> Preflight {
    let mut flight = Preflight::of("aggregator");
    let config = &loaded.value;
    let kit_folder = config.kit.as_deref();
    let kit = identity::kit(&mut flight, Role::Aggregator, kit_folder, config.plaintext_loopback);
    if storage::holder(&config.ledger).is_some() && identity::answers(config.listen, kit_folder).await {
        flight.recognised();
    }
    identity::listen(&mut flight, "listen", config.listen, kit_folder).await;
    if let Some(address) = config.nodes_listen {
        identity::listen(&mut flight, "nodes_listen", address, kit_folder).await;
    }
    identity::admin(&mut flight, config.admin);
    let folder = config.ledger.parent().unwrap_or_else(|| std::path::Path::new(""));
    storage::folder(&mut flight, "ledger", folder, false);
    storage::ledger(&mut flight, &config.ledger);
    storage::opened(&mut flight, "ledger", &config.ledger);

    let settings = match read_pool(&config.pool) {
        Ok(pool) => {
            let words = format!("{} queries, {} classes", pool.queries().len(), pool.class_names().len());
            flight.good("pool", "pool", pool.digest(), words);
            AggregatorConfig::check(&loaded, pool).map_err(|error| flight.settings(error)).ok()
        }
        Err(error) => {
            flight.problem("pool", fault(error));
            None
        }
    };
    let Some(settings) = settings else {
        flight.unchecked("peer", "nodes", "not before the settings can be used");
        return flight;
    };
    if let Some(campaign) = &settings.campaign {
        flight.good("settings", "campaign.id", &campaign.id, "every setting can be used");
    } else {
        let operators = settings.operators.join(", ");
        flight.good(
            "settings",
            "operators",
            operators,
            "every setting can be used; they start the campaigns",
        );
    }
    let transport = match (kit, config.plaintext_loopback) {
        (Some(kit), _) => Transport::Mutual(Box::new(kit)),
        (None, true) => Transport::PlaintextLoopback,
        (None, false) => {
            flight.unchecked("peer", "nodes", "not before there is a kit to show");
            return flight;
        }
    };
    nodes(&mut flight, &settings, &transport).await;
    flight
}

/// Dials every node that listens, and rehearses the enrolment with those that answer.
async fn nodes(flight: &mut Preflight, settings: &Settings<Option<CampaignSettings>>, transport: &Transport) {
    let mut peers = Vec::new();
    for (index, node) in settings.nodes.iter().enumerate() {
        let Some(address) = &node.address else {
            let field = format!("nodes[{index}]");
            flight.unchecked(
                "peer",
                &field,
                "it dials in: its own preflight dials this aggregator, once that runs",
            );
            continue;
        };
        match expecting(transport, node.organisation.as_str(), node.node.as_str()) {
            Ok(transport) => peers.push(Peer {
                field: format!("nodes[{index}].address"),
                address: address.clone(),
                transport,
            }),
            Err(error) => return flight.problem("peer", error.into()),
        }
    }
    let answered = peers::dial(flight, &peers, settings.channel).await;
    let Some(campaign) = settings.campaign.clone() else {
        flight.unchecked("contract", "campaign", "an operator starts it: the silos are asked then");
        return;
    };
    let settings = &settings.clone().with(campaign);
    let found = match rehearsal::rehearse(settings, transport).await {
        Ok(found) => found,
        Err(error) => return flight.problem("contract", fault(error)),
    };
    match found.agreed {
        Some(digest) => {
            flight.good("contract", "contract", digest, "in the ledger, and the settings read the same");
        }
        None => {
            flight.good("contract", "campaign.id", &settings.campaign.id, "a new campaign, to be agreed to");
        }
    }
    for ((node, enrolled), answered) in found.nodes.into_iter().zip(answered) {
        let name = format!("{}/{}", node.organisation, node.node);
        match enrolled {
            Ok(()) => {
                flight.good("enrolment", "node", name, "pool, features, classes and data fit the campaign");
            }
            // That it is not there was told above.
            Err(_) if !answered => {
                flight.unchecked("enrolment", &format!("node {name}"), "it did not answer");
            }
            Err(error) => {
                let mut fault = fault(error);
                fault.field = format!("node {name}");
                fault.value.clear();
                flight.problem("enrolment", fault);
            }
        }
    }
}

fn expecting(
    transport: &Transport,
    organisation: &str,
    node: &str,
) -> Result<ClientTransport, conclave_service::ServiceError> {
    let kit: &Kit = match transport {
        Transport::Mutual(kit) => kit,
        Transport::PlaintextLoopback => return Ok(ClientTransport::PlaintextLoopback),
    };
    let expected = Identity::new(kit.identity().consortium(), Role::Teacher, organisation, node)?;
    Ok(ClientTransport::Mutual { kit: Arc::new(kit.clone()), expected })
}
