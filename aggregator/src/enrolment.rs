//! Enrolment: what the nodes tell about themselves becomes the contract, and every silo agrees to it.
//!
//! A new campaign needs every silo: its data get an account, or are recognised, and its agreement is asked for. A campaign
//! that is in the ledger already goes by the contract that stands there; a node that comes back must still be the member
//! that agreed, with the same data, split the same way.

use std::fmt::{Display, Write as _};
use std::time::{Duration, Instant};

use conclave_ledger::{AccountState, AccountTerms, CampaignTerms, DataKey, Digest, Predecessor};
use conclave_privacy::accountant::{epsilon_to_rho_within, filter_order_for};
use conclave_privacy::quantity::{FilterOrder, Rho};
use conclave_proto::PROTOCOL;
use conclave_proto::common::v1 as common;
use conclave_proto::ids::{DataId, PartitionDigest};
use conclave_proto::pool::PoolManifest;
use conclave_proto::teacher::v1::DescribeResponse;
use conclave_service::Repeats;
use conclave_trust::{Contract, Member, TrustMode};
use prost::Message as _;

use crate::error::{Error, Result};
use crate::sessions::{MISFIT, Session, Silence};
use crate::settings::{NodeSettings, Settings};

/// What a node tells about itself, checked against the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) member: Member,
    /// The data before these, if the operator names them, and whether no person is in both.
    pub(crate) predecessor: Option<(DataId, bool)>,
    /// Public ground that is not ours, and what to do about it. Told apart from a description that cannot be used at
    /// all, because such a node is still offered the contract: its own operator must find the reason in its own log.
    pub(crate) misfit: Option<(String, &'static str)>,
}

/// Why a node cannot take part now.
#[derive(Debug)]
pub(crate) enum Hindrance {
    /// It may come back.
    Passing(String),
    /// It will not fit before somebody changes something.
    Lasting(Error),
}

/// Every node's description; waits for nodes that are not up yet as long as the settings allow.
pub(crate) async fn describe_all(sessions: &[Session], settings: &Settings) -> Result<Vec<Description>> {
    let patience = Duration::from_millis(settings.flow.enrolment_wait_ms);
    let retry = Duration::from_millis(settings.flow.retry_ms).min(RETRY_MAX);
    let started = Instant::now();
    let mut described = vec![None; sessions.len()];
    let said = Repeats::default();
    loop {
        let mut absent = Vec::new();
        for (session, described) in sessions.iter().zip(&mut described).filter(|(_, known)| known.is_none()) {
            match describe(session, settings).await {
                Ok(description) => *described = Some(description),
                Err(Hindrance::Passing(words)) => absent.push(words),
                Err(Hindrance::Lasting(error)) => return Err(error),
            }
        }
        if absent.is_empty() {
            return Ok(described.into_iter().flatten().collect());
        }
        if started.elapsed() >= patience {
            return Err(Error::Absent(absent));
        }
        let waiting_for = absent.join("; ");
        if said.to_say(&waiting_for).is_some() {
            tracing::info!(waiting_for, "teacher nodes are not there yet");
        }
        tokio::time::sleep(retry).await;
    }
}

/// Asks one node, and checks what it tells.
pub(crate) async fn describe(session: &Session, settings: &Settings) -> Result<Description, Hindrance> {
    let answer = session.describe().await.map_err(|silence| hindered(session, silence))?;
    check(&answer, session.node(), settings).map_err(|error| kept_out(session, error))
}

/// Asks the node that described itself so for its agreement to `contract`.
///
/// A node that cannot fit is asked all the same, so that the silo's log has the reason too; but whatever it answers, and
/// even if it agreed, it stays out.
pub(crate) async fn agree(
    session: &Session,
    description: &Description,
    contract: &Contract,
) -> Result<(), Hindrance> {
    let fits = fits(session.node(), description)
        .and_then(|()| still_the_member(session, &description.member, contract));
    let agreed = accept(session, contract).await;
    fits.map_err(|error| kept_out(session, error))?;
    agreed?;
    session.set_refused(None);
    Ok(())
}

/// Refuses unless nothing hinders any silo: the first refusal is told in full, and every other silo by name and reason.
pub(crate) fn all_agreed(hindered: Vec<(&Session, Hindrance)>) -> Result<()> {
    let (mut refused, mut absent, mut others) = (None, Vec::new(), Vec::new());
    for (session, hindrance) in hindered {
        let name = session.name();
        match hindrance {
            Hindrance::Passing(words) => {
                others.push(format!("{name} is not there"));
                absent.push(words);
            }
            Hindrance::Lasting(error) if refused.is_none() => refused = Some(error),
            Hindrance::Lasting(_) => {
                let reason = session.refused().unwrap_or_default();
                others.push(format!("{name} refuses too: {reason}"));
            }
        }
    }
    match refused {
        None if absent.is_empty() => Ok(()),
        None => Err(Error::Absent(absent)),
        Some(Error::Node { node, problem, fix, .. }) => Err(Error::Node { node, problem, others, fix }),
        Some(error) => Err(error),
    }
}

/// The aggregator does not let the node take part, whatever it says.
fn kept_out(session: &Session, error: Error) -> Hindrance {
    session.set_refused(Some(MISFIT));
    Hindrance::Lasting(error)
}

/// Refuses a node on other public ground.
pub(crate) fn fits(node: &NodeSettings, description: &Description) -> Result<()> {
    match &description.misfit {
        Some((problem, fix)) => Err(misfit(node, problem.clone(), fix)),
        None => Ok(()),
    }
}

async fn accept(session: &Session, contract: &Contract) -> Result<(), Hindrance> {
    let digest = session.accept(contract.into()).await.map_err(|silence| hindered(session, silence))?;
    if digest == contract.digest().as_bytes() {
        return Ok(());
    }
    let problem = "it computed another digest of the contract".to_owned();
    Err(kept_out(session, misfit(session.node(), problem, "run the same version on both sides")))
}

/// A node that was away: still the same member, and agreeing?
pub(crate) async fn rejoin(
    session: &Session,
    settings: &Settings,
    contract: &Contract,
) -> Result<(), Hindrance> {
    let description = describe(session, settings).await?;
    agree(session, &description, contract).await
}

/// Refuses a node that is no member of the contract, or whose data, split or teachers are not those that agreed.
pub(crate) fn still_the_member(session: &Session, now: &Member, contract: &Contract) -> Result<()> {
    let agreed = contract.members.iter().find(|member| member.organisation == session.node().organisation);
    let Some(agreed) = agreed else {
        let fix = "list the nodes that the contract names, or open a new campaign";
        return Err(misfit(session.node(), "it is no member of the contract".into(), fix));
    };
    let same = |what: &str, was: &dyn Display, is: &dyn Display| {
        let (was, is) = (was.to_string(), is.to_string());
        if was == is {
            return Ok(());
        }
        Err(misfit(
            session.node(),
            format!("its {what} changed: agreed was {was}, now it is {is}"),
            "restore the data that the silo agreed with, or open a new campaign",
        ))
    };
    same("name", &agreed.node, &now.node)?;
    same("data id", &agreed.data, &now.data)?;
    same("data (partition digest)", &agreed.partition, &now.partition)?;
    same("number of teachers", &agreed.teachers, &now.teachers)
}

fn hindered(session: &Session, silence: Silence) -> Hindrance {
    match silence {
        Silence::Refused(words) => Hindrance::Lasting(misfit(
            session.node(),
            words,
            "change the setting on either side; a contract needs every silo's agreement",
        )),
        Silence::Absent(_) | Silence::Late | Silence::Forgot => {
            Hindrance::Passing(format!("{}: {silence}", session.name()))
        }
    }
}

/// Checks a description; what the silo itself checks against the contract is left to it.
fn check(answer: &DescribeResponse, node: &NodeSettings, settings: &Settings) -> Result<Description> {
    let differs = |what: &str, theirs: &str, ours: &str, fix: &str| {
        if theirs == ours {
            return Ok(());
        }
        Err(misfit(node, format!("its {what} is {theirs}, here it is {ours}"), fix))
    };
    let spoken = answer.protocol.map_or(0, |version| version.major);
    let same_version = "run the same major version on both sides";
    differs("protocol version", &spoken.to_string(), &PROTOCOL.major.to_string(), same_version)?;
    let identity = "give the address of the node that this entry names, and the node its own kit";
    differs("organisation", &answer.organisation, node.organisation.as_str(), identity)?;
    differs("name", &answer.node, node.node.as_str(), identity)?;
    let member = Member {
        organisation: node.organisation.clone(),
        node: node.node.clone(),
        data: DataId::new(&answer.data_id)?,
        partition: PartitionDigest::from_slice(&answer.partition_digest)?,
        teachers: answer.teachers,
    };
    let predecessor = match answer.successor_of.as_str() {
        "" => None,
        name => Some((DataId::new(name)?, answer.people_disjoint_from_predecessor)),
    };
    Ok(Description { member, predecessor, misfit: other_ground(answer, &settings.pool) })
}

/// What of the classes, the pool or its features is not ours.
fn other_ground(answer: &DescribeResponse, pool: &PoolManifest) -> Option<(String, &'static str)> {
    let shown = |names: &[String]| {
        let shown: Vec<_> = names.iter().take(CLASSES_SHOWN).cloned().collect();
        format!("{} names: {}", names.len(), shown.join(", "))
    };
    let fields = [
        (
            "list of classes",
            shown(&answer.class_names),
            shown(pool.class_names()),
            answer.class_names == pool.class_names(),
        ),
        (
            "pool digest",
            hex(&answer.pool_digest),
            pool.digest().to_string(),
            answer.pool_digest == pool.digest().as_bytes(),
        ),
        (
            "feature digest",
            hex(&answer.features_digest),
            pool.features().to_string(),
            answer.features_digest == pool.features().as_bytes(),
        ),
    ];
    let (what, theirs, ours, _) = fields.into_iter().find(|(.., same)| !same)?;
    Some((
        format!("its {what} is {theirs}, here it is {ours}"),
        "use the same pool file, classes and features at every party",
    ))
}

/// The contract that these settings and members come to.
pub(crate) fn contract(
    settings: &Settings,
    members: Vec<Member>,
    filter_order: FilterOrder,
    simulated: bool,
) -> Result<Contract> {
    let plan = &settings.campaign;
    let rho_cap = epsilon_to_rho_within(plan.epsilon, plan.delta, filter_order);
    if rho_cap == Rho::ZERO {
        let fix = format!(
            "raise it: the accounts in this ledger bound the Renyi orders up to {filter_order}, at which no epsilon as small as \
             this can be stated"
        );
        return Err(Error::setting("campaign.epsilon", &plan.epsilon.get().to_string(), &fix));
    }
    let contract = Contract {
        campaign: plan.id.clone(),
        protocol_major: PROTOCOL.major,
        trust_mode: TrustMode::TrustedAggregator,
        scheme: plan.scheme,
        mechanism: plan.mechanism,
        unit: plan.unit,
        adjacency: plan.adjacency,
        class_names: settings.pool.class_names().to_vec(),
        delta: plan.delta,
        rho_cap,
        filter_order,
        teachers_quorum_min: plan.teachers_quorum_min,
        queries_max: plan.queries_max,
        vote_deadline_ms: plan.vote_deadline_ms,
        pool: settings.pool.digest(),
        features: settings.pool.features(),
        simulated,
        members,
    };
    contract.check()?;
    Ok(contract)
}

/// Refuses settings under which the stored contract would read differently, and names the first difference.
pub(crate) fn check_unchanged(stored: &Contract, settings: &Settings) -> Result<()> {
    let mut listed: Vec<String> =
        settings.nodes.iter().map(|node| format!("{}/{}", node.organisation, node.node)).collect();
    listed.sort_unstable();
    let mut agreed: Vec<String> =
        stored.members.iter().map(|member| format!("{}/{}", member.organisation, member.node)).collect();
    agreed.sort_unstable();
    let now = contract(settings, stored.members.clone(), stored.filter_order, stored.simulated)?;
    let difference = differs("protocol version", &stored.protocol_major, &now.protocol_major)
        .or_else(|| differs("voting scheme", &stored.scheme.name(), &now.scheme.name()))
        .or_else(|| differs("campaign.mechanism", &stored.mechanism, &now.mechanism))
        .or_else(|| differs("campaign.unit", &stored.unit, &now.unit))
        .or_else(|| differs("campaign.adjacency", &stored.adjacency.name(), &now.adjacency.name()))
        .or_else(|| differs("classes of the pool", &List(&stored.class_names), &List(&now.class_names)))
        .or_else(|| differs("campaign.delta", &stored.delta.get(), &now.delta.get()))
        .or_else(|| differs("campaign.epsilon (as rho)", &stored.rho_cap, &now.rho_cap))
        .or_else(|| {
            differs("campaign.teachers_quorum_min", &stored.teachers_quorum_min, &now.teachers_quorum_min)
        })
        .or_else(|| differs("campaign.queries_max", &stored.queries_max, &now.queries_max))
        .or_else(|| differs("campaign.vote_deadline_ms", &stored.vote_deadline_ms, &now.vote_deadline_ms))
        .or_else(|| differs("pool", &stored.pool, &now.pool))
        .or_else(|| differs("features of the pool", &stored.features, &now.features))
        .or_else(|| differs("nodes", &List(&agreed), &List(&listed)));
    match difference {
        Some((field, agreed, now)) => {
            Err(Error::ContractChanged { campaign: stored.campaign.to_string(), field, agreed, now })
        }
        None => Ok(()),
    }
}

/// A field whose values differ, and both of them for people.
fn differs<T: PartialEq + Display>(
    field: &'static str,
    agreed: &T,
    now: &T,
) -> Option<(&'static str, String, String)> {
    (agreed != now).then(|| (field, agreed.to_string(), now.to_string()))
}

/// Names, one after the other.
#[derive(PartialEq)]
struct List<'a>(&'a [String]);

impl Display for List<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

/// The contract as the ledger keeps it.
pub(crate) fn campaign_terms(contract: &Contract, settings: &Settings) -> Result<CampaignTerms> {
    let members = contract.members.iter().map(|member| DataKey::new(member.data.as_str()));
    Ok(CampaignTerms {
        key: conclave_ledger::CampaignKey::new(contract.campaign.as_str())?,
        contract_digest: Digest::new(*contract.digest().as_bytes()),
        contract: common::Contract::from(contract).encode_to_vec(),
        mechanism: contract.mechanism,
        unit: contract.unit,
        adjacency: contract.adjacency,
        scheme: contract.scheme,
        epsilon: settings.campaign.epsilon,
        delta: contract.delta,
        filter_order: contract.filter_order,
        queries_max: contract.queries_max.into(),
        classes: contract.class_names.clone(),
        members: members.collect::<conclave_ledger::Result<_>>()?,
        simulated: contract.simulated,
    })
}

/// The contract that the ledger keeps.
pub(crate) fn stored_contract(terms: &CampaignTerms) -> Result<Contract> {
    let unreadable = |problem: String| Error::Setting {
        field: "campaign.id".to_owned(),
        value: terms.key.to_string(),
        fix: format!(
            "its contract in the ledger cannot be read by this version ({problem}); use the version that wrote it"
        ),
    };
    let message =
        common::Contract::decode(terms.contract.as_slice()).map_err(|error| unreadable(error.to_string()))?;
    let contract = Contract::try_from(message).map_err(|error| unreadable(error.to_string()))?;
    if contract.digest().as_bytes() != terms.contract_digest.as_bytes() {
        return Err(unreadable("its digest is another".to_owned()));
    }
    Ok(contract)
}

/// The account of a member's data; `accounts` are those that the ledger has.
///
/// Data that are new to the ledger inherit the spend of the organisation's data before, unless its operator has
/// declared, on record, that no person is in both.
pub(crate) fn account_terms(
    description: &Description,
    settings: &Settings,
    accounts: &[AccountState],
) -> Result<AccountTerms> {
    let Description { member, predecessor, .. } = description;
    let data = DataKey::new(member.data.as_str())?;
    let organisation = member.organisation.as_str();
    let recorded = accounts.iter().find(|account| account.terms().data == data);
    let latest = accounts.iter().rev().find(|account| account.terms().organisation == organisation);
    let predecessor = match (recorded, latest, predecessor) {
        (Some(recorded), _, _) => recorded.terms().predecessor.clone(),
        (None, None, _) => Predecessor::None,
        (None, Some(latest), declared) => {
            let before = latest.terms().data.clone();
            match declared {
                Some((named, true)) if named.as_str() == before.as_str() => Predecessor::Disjoint(before),
                _ => {
                    tracing::warn!(organisation, data = %data, inherits = %before, "new data inherit what the old ones spent");
                    Predecessor::Inherits(before)
                }
            }
        }
    };
    let terms = AccountTerms {
        data,
        organisation: organisation.to_owned(),
        partition: Digest::new(*member.partition.as_bytes()),
        epsilon: settings.accounts.epsilon,
        delta: settings.campaign.delta,
        filter_order: recorded
            .map_or_else(|| filter_order(settings, accounts), |recorded| recorded.terms().filter_order),
        unit: settings.campaign.unit,
        adjacency: settings.campaign.adjacency,
        max_silos_per_subject: settings.accounts.max_silos_per_subject,
        predecessor,
    };
    recorded.map_or(Ok(()), |recorded| check_recorded(recorded.terms(), &terms))?;
    Ok(terms)
}

/// ω of new accounts and campaigns: that of the ledger's newest account, since all that share a campaign have one ω and
/// new data keep that of the data before; in a new ledger the one that suits the smaller of the two budgets.
pub(crate) fn filter_order(settings: &Settings, accounts: &[AccountState]) -> FilterOrder {
    let (account, campaign) = (settings.accounts.epsilon, settings.campaign.epsilon);
    let smaller = if campaign.get() < account.get() { campaign } else { account };
    let of_new = || filter_order_for(smaller, settings.campaign.delta);
    accounts.last().map_or_else(of_new, |account| account.terms().filter_order)
}

/// An account keeps its terms for the life of the data; names the first that differs.
fn check_recorded(recorded: &AccountTerms, now: &AccountTerms) -> Result<()> {
    let difference = differs("organisation", &recorded.organisation, &now.organisation)
        .or_else(|| differs("partition digest", &recorded.partition, &now.partition))
        .or_else(|| differs("accounts.epsilon", &recorded.epsilon.get(), &now.epsilon.get()))
        .or_else(|| differs("campaign.delta", &recorded.delta.get(), &now.delta.get()))
        .or_else(|| differs("campaign.unit", &recorded.unit, &now.unit))
        .or_else(|| differs("campaign.adjacency", &recorded.adjacency.name(), &now.adjacency.name()))
        .or_else(|| {
            let field = "accounts.max_silos_per_subject";
            differs(field, &recorded.max_silos_per_subject, &now.max_silos_per_subject)
        });
    match difference {
        Some((field, agreed, now)) => Err(Error::AccountChanged {
            organisation: recorded.organisation.clone(),
            data: recorded.data.to_string(),
            field: field.to_owned(),
            agreed,
            now,
        }),
        None => Ok(()),
    }
}

fn misfit(node: &NodeSettings, problem: String, fix: &str) -> Error {
    let node = format!("{}/{} at {}", node.organisation, node.node, node.place());
    Error::Node { node, problem, others: Vec::new(), fix: fix.to_owned() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

const RETRY_MAX: Duration = Duration::from_secs(1);
const CLASSES_SHOWN: usize = 20;

#[cfg(test)]
pub(crate) mod tests;
