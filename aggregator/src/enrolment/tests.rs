//! What a node tells must fit, and what was agreed must stay.

use conclave_ledger::{Book, Genesis, LedgerId};
use conclave_privacy::mechanism::GnMax;
use conclave_privacy::quantity::{Delta, Epsilon, Lattice, NoiseScale};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, VotingScheme};
use conclave_proto::ids::{CampaignId, FeaturesDigest, NodeId, OrganisationId, QueryId};
use conclave_proto::pool::PoolManifest;

use super::*;
use crate::settings::{AccountSettings, CampaignSettings, Flow};

pub(crate) fn settings() -> Settings {
    let node = |organisation: &str| NodeSettings {
        organisation: OrganisationId::new(organisation).unwrap(),
        node: NodeId::new("teacher-1").unwrap(),
        address: Some("127.0.0.1:1".to_owned()),
    };
    let classes = vec!["no".to_owned(), "yes".to_owned()];
    let queries = (1..=4).map(|number| QueryId::new([number; 32]));
    Settings {
        campaign: CampaignSettings {
            id: CampaignId::new("digits-1").unwrap(),
            mechanism: GnMax::new(NoiseScale::from_votes(40.0, Lattice::DEFAULT).unwrap()).into(),
            unit: PrivacyUnit::Record,
            adjacency: Adjacency::AddRemove,
            scheme: VotingScheme::Ensemble,
            epsilon: Epsilon::new(2.0).unwrap(),
            delta: Delta::new(1e-5).unwrap(),
            teachers_quorum_min: 4,
            queries_max: 100,
            vote_deadline_ms: 1_000,
        },
        accounts: AccountSettings { epsilon: Epsilon::new(3.0).unwrap(), max_silos_per_subject: 1 },
        pool: PoolManifest::new(classes, FeaturesDigest::new([9; 32]), queries).unwrap(),
        ledger: "ledger.db".into(),
        nodes: vec![node("hospital-a"), node("hospital-b")],
        nodes_listen: None,
        operators: Vec::new(),
        flow: Flow::default(),
        server: conclave_service::ServerLimits::default(),
        channel: conclave_service::ChannelLimits::default(),
    }
}

fn member(organisation: &str, data: &str, teachers: u32) -> Member {
    Member {
        organisation: OrganisationId::new(organisation).unwrap(),
        node: NodeId::new("teacher-1").unwrap(),
        data: DataId::new(data).unwrap(),
        partition: PartitionDigest::new([5; 32]),
        teachers,
    }
}

pub(crate) fn contract() -> Contract {
    let members = vec![member("hospital-a", "data-a", 2), member("hospital-b", "data-b", 3)];
    super::contract(&settings(), members, FilterOrder::DEFAULT, false).unwrap()
}

fn description() -> DescribeResponse {
    let pool = settings().pool;
    DescribeResponse {
        protocol: Some(common::ProtocolVersion { ..PROTOCOL }),
        organisation: "hospital-a".to_owned(),
        node: "teacher-1".to_owned(),
        data_id: "data-a".to_owned(),
        partition_digest: vec![5; 32],
        teachers: 2,
        class_names: pool.class_names().to_vec(),
        pool_digest: pool.digest().as_bytes().to_vec(),
        features_digest: pool.features().as_bytes().to_vec(),
        unit: None,
        successor_of: String::new(),
        people_disjoint_from_predecessor: false,
    }
}

/// What is done to something, and which word its refusal must hold.
type Change<T> = (fn(&mut T), &'static str);

#[test]
fn a_node_that_fits_becomes_a_member() {
    let settings = settings();
    let checked = check(&description(), &settings.nodes[0], &settings).unwrap();
    let member = member("hospital-a", "data-a", 2);
    assert_eq!(checked, Description { member, predecessor: None, misfit: None });
    fits(&settings.nodes[0], &checked).unwrap();
}

#[test]
fn a_node_that_does_not_fit_is_refused_by_name_with_both_values() {
    let settings = settings();
    let changes: [Change<DescribeResponse>; 7] = [
        (|node| node.protocol = None, "protocol version"),
        (|node| node.protocol.as_mut().unwrap().major = 2, "protocol version is 2, here it is 1"),
        (|node| "hospital-z".clone_into(&mut node.organisation), "hospital-z"),
        (|node| "teacher-9".clone_into(&mut node.node), "teacher-9"),
        (|node| node.class_names.reverse(), "yes, no"),
        (|node| node.pool_digest[0] ^= 1, "pool digest"),
        (|node| node.features_digest.clear(), "feature digest"),
    ];
    for (change, told) in changes {
        let mut answer = description();
        change(&mut answer);
        let node = &settings.nodes[0];
        let refused = check(&answer, node, &settings).and_then(|described| fits(node, &described));
        let refusal = refused.unwrap_err().to_string();
        assert!(refusal.contains("hospital-a/teacher-1") && refusal.contains(told), "{told}: {refusal}");
    }
    let mut nameless = description();
    nameless.data_id = "Ward 1".to_owned();
    assert!(check(&nameless, &settings.nodes[0], &settings).is_err());
}

#[test]
fn a_contract_survives_the_ledger() {
    let terms = campaign_terms(&contract(), &settings()).unwrap();
    assert_eq!(stored_contract(&terms).unwrap(), contract());
    let mut damaged = terms.clone();
    damaged.contract.truncate(10);
    assert!(stored_contract(&damaged).is_err());
    let mut exchanged = terms;
    exchanged.contract_digest = Digest::new([0; 32]);
    assert!(stored_contract(&exchanged).unwrap_err().to_string().contains("digest"));
}

#[test]
fn a_campaign_keeps_its_contract_whatever_the_settings_say_now() {
    check_unchanged(&contract(), &settings()).unwrap();
    let changes: [Change<Settings>; 6] = [
        (
            |now| {
                now.campaign.mechanism =
                    GnMax::new(NoiseScale::from_votes(4.0, Lattice::DEFAULT).unwrap()).into();
            },
            "campaign.mechanism",
        ),
        (|now| now.campaign.epsilon = Epsilon::new(2.5).unwrap(), "campaign.epsilon"),
        (|now| now.campaign.teachers_quorum_min = 1, "campaign.teachers_quorum_min"),
        (|now| now.campaign.queries_max = 101, "campaign.queries_max"),
        (|now| now.campaign.adjacency = Adjacency::Replace, "campaign.adjacency"),
        (|now| drop(now.nodes.pop()), "nodes"),
    ];
    for (change, field) in changes {
        let mut now = settings();
        change(&mut now);
        let refusal = check_unchanged(&contract(), &now).unwrap_err().to_string();
        assert!(refusal.contains(field) && refusal.contains("new campaign.id"), "{field}: {refusal}");
    }
    let mut moved = settings();
    moved.nodes[0].address = Some("10.0.0.9:7401".to_owned());
    moved.nodes[1].address = None;
    moved.nodes.reverse();
    check_unchanged(&contract(), &moved).expect("how a node is reached is not in the contract");
}

#[test]
fn new_data_inherit_what_was_spent_unless_the_people_are_declared_to_be_others() {
    let folder = tempfile::tempdir().unwrap();
    let genesis = Genesis { ledger_id: LedgerId::new([1; 16]), simulated: false };
    let mut book = Book::create(&folder.path().join("ledger.db"), genesis, 0).unwrap();
    let settings = settings();
    let terms = |book: &Book, data: &str, predecessor: Option<(&str, bool)>| {
        let predecessor = predecessor.map(|(name, disjoint)| (DataId::new(name).unwrap(), disjoint));
        let described = Description { member: member("hospital-a", data, 2), predecessor, misfit: None };
        account_terms(&described, &settings, &book.accounts()).unwrap()
    };
    let first = terms(&book, "data-1", None);
    assert_eq!(first.predecessor, Predecessor::None);
    book.transact(0, |now| now.open_account(first.clone())).unwrap().unwrap();
    assert_eq!(terms(&book, "data-1", None), first, "the same data keep their account");

    let before = || DataKey::new("data-1").unwrap();
    assert_eq!(terms(&book, "data-2", None).predecessor, Predecessor::Inherits(before()));
    assert_eq!(terms(&book, "data-2", Some(("data-1", false))).predecessor, Predecessor::Inherits(before()));
    assert_eq!(terms(&book, "data-2", Some(("data-0", true))).predecessor, Predecessor::Inherits(before()));
    assert_eq!(terms(&book, "data-2", Some(("data-1", true))).predecessor, Predecessor::Disjoint(before()));
}

#[test]
fn an_account_whose_terms_differ_is_told_with_its_silo_both_values_and_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    let genesis = Genesis { ledger_id: LedgerId::new([1; 16]), simulated: false };
    let mut book = Book::create(&folder.path().join("ledger.db"), genesis, 0).unwrap();
    let described =
        Description { member: member("hospital-a", "data-1", 2), predecessor: None, misfit: None };
    let opened = account_terms(&described, &settings(), &[]).unwrap();
    book.transact(0, |now| now.open_account(opened)).unwrap().unwrap();
    let mut now = settings();
    now.accounts.epsilon = Epsilon::new(4.0).unwrap();
    let told = account_terms(&described, &now, &book.accounts()).unwrap_err().to_string();
    for part in
        ["silo hospital-a", "data id data-1", "accounts.epsilon is 3", "now it is 4", "; an account keeps"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
}
