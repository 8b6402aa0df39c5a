//! A start without a start: would this campaign open, or go on, with these settings and nodes? Nothing is changed.
//!
//! Nodes that listen are asked who they are, as at enrolment; none is asked to agree, and the ledger is read from a
//! private copy. Nodes that dial in cannot be asked before the aggregator runs.

use conclave_ledger::{AccountState, CampaignKey, LedgerError, Snapshot};
use conclave_proto::ids::ContractDigest;
use conclave_trust::Contract;

use crate::desk::Desks;
use crate::enrolment::{self, Hindrance};
use crate::error::{Error, Result};
use crate::sessions::Session;
use crate::settings::{NodeSettings, Settings, Transport};

/// What an opening would find.
#[derive(Debug)]
pub struct Rehearsed {
    /// The contract that the ledger holds under the campaign's name, if it does.
    pub agreed: Option<ContractDigest>,
    /// Each node that listens, and what would keep it out.
    pub nodes: Vec<(NodeSettings, Result<()>)>,
}

/// Compares settings, ledger and nodes.
///
/// Refused as a whole: settings under which the stored contract would read differently; figures that come to no contract
/// with the nodes that answered, once all of them did. What is wrong with one node stands beside it.
pub async fn rehearse(settings: &Settings, transport: &Transport) -> Result<Rehearsed> {
    let snapshot = if settings.ledger.exists() {
        let path = settings.ledger.clone();
        let read = tokio::task::spawn_blocking(move || Snapshot::read(&path)).await;
        Some(read.unwrap_or(Err(LedgerError::Closed))?)
    } else {
        None
    };
    let key = CampaignKey::new(settings.campaign.id.as_str())?;
    let stored = snapshot.as_ref().and_then(|snapshot| snapshot.campaign(&key));
    let stored = stored.map(|campaign| enrolment::stored_contract(campaign.terms())).transpose()?;
    if let Some(contract) = &stored {
        enrolment::check_unchanged(contract, settings)?;
    }
    let accounts = snapshot.as_ref().map_or(&[][..], Snapshot::accounts);
    let (mut nodes, mut members) = (Vec::new(), Vec::new());
    for node in settings.nodes.iter().filter(|node| node.address.is_some()) {
        let asked = ask(node, settings, transport, stored.as_ref(), accounts).await;
        nodes.push((node.clone(), asked.map(|member| members.push(member))));
    }
    if stored.is_none() && members.len() == settings.nodes.len() {
        members.sort_by(|a, b| a.organisation.cmp(&b.organisation));
        enrolment::contract(settings, members, enrolment::filter_order(settings, accounts), false)?;
    }
    Ok(Rehearsed { agreed: stored.map(|contract| contract.digest()), nodes })
}

/// One node: there, fit for these settings, and still the member that agreed.
async fn ask(
    node: &NodeSettings,
    settings: &Settings,
    transport: &Transport,
    stored: Option<&Contract>,
    accounts: &[AccountState],
) -> Result<conclave_trust::Member> {
    let session = Session::open(node.clone(), settings, transport, &Desks::default())?;
    let described = enrolment::describe(&session, settings).await.map_err(|hindrance| match hindrance {
        Hindrance::Passing(words) => Error::Absent(vec![words]),
        Hindrance::Lasting(error) => error,
    })?;
    enrolment::fits(session.node(), &described)?;
    if let Some(contract) = stored {
        enrolment::still_the_member(&session, &described.member, contract)?;
    }
    enrolment::account_terms(&described, settings, accounts)?;
    Ok(described.member)
}
