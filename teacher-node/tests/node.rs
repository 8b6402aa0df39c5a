//! A teacher node over real mutual TLS: what it answers, what it refuses, and what survives a restart.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod consortium;

use conclave_privacy::accountant::epsilon_to_rho_within;
use conclave_privacy::quantity::{Delta, Epsilon, FilterOrder};
use conclave_proto::common::v1 as wire;
use conclave_proto::ids::{DataId, PartitionDigest};
use conclave_proto::teacher::v1::{AcceptContractRequest, DescribeRequest, VoteRequest};
use conclave_service::{Refusal, Role};
use conclave_teacher_node::{
    People, REASON_CONTRACT_UNKNOWN, REASON_SILO_BUDGET_SPENT, Settings, Succession, TeacherNode, Teachers,
};
use conclave_trust::trusted_aggregator::{Ballot, Shape};
use tonic::Code;

use consortium::{Consortium, contract, manifest, node, pool, query, rows, settings, shard, votes};

#[tokio::test]
async fn a_node_describes_itself_agrees_and_votes() {
    let consortium = Consortium::new();
    let silo = consortium.silo(settings(consortium.dir.path()), &votes(2)).await;
    let mut aggregator = consortium.caller(&silo, Role::Aggregator).await;

    let described = aggregator.describe().await.unwrap();
    assert_eq!((described.organisation.as_str(), described.node.as_str()), ("clinic", "ward-1"));
    assert_eq!((described.data_id.as_str(), described.teachers), ("data-0404040404040404", 2));
    assert_eq!(described.partition_digest, [4; 32]);
    assert_eq!(described.class_names, ["a", "b", "c"]);
    assert_eq!(described.pool_digest, manifest().digest().as_bytes());
    assert_eq!((described.successor_of.as_str(), described.people_disjoint_from_predecessor), ("", false));

    let contract = contract(silo.member(), &manifest());
    assert_eq!(aggregator.agree(&contract).await, contract.digest());
    assert_eq!(aggregator.agree(&contract).await, contract.digest(), "agreeing is idempotent");

    let voted = aggregator.vote(&contract, &[query(1), query(0), query(9)]).await.unwrap();
    assert_eq!(
        (voted.campaign_id.as_str(), voted.batch_id, voted.attempt, voted.teachers),
        ("demo", 7, 2, 2)
    );
    assert_eq!(voted.packed_votes, [1, 0, 0, 2, 1, 1]);
    let shape = Shape { teachers: 2, queries: 3, classes: 3 };
    assert!(Ballot::open(voted.packed_votes, shape).is_ok());
    silo.stop().await;
}

#[tokio::test]
async fn trained_teachers_give_the_same_votes_to_the_same_query_across_restarts() {
    let consortium = Consortium::new();
    let mut given = Vec::new();
    for _ in 0..2 {
        let settings = Settings { teachers: 3, ..settings(consortium.dir.path()) };
        let pool = pool();
        let prepared =
            TeacherNode::prepare(settings, &shard(rows(60, &["a", "b"])), &pool, |_, _| ()).unwrap();
        let silo = consortium.serve(prepared).await;
        let mut aggregator = consortium.caller(&silo, Role::Aggregator).await;
        let contract = contract(silo.member(), pool.manifest());
        aggregator.agree(&contract).await;
        let queries = &pool.manifest().queries()[..4];
        for _ in 0..2 {
            given.push(aggregator.vote(&contract, queries).await.unwrap().packed_votes);
        }
        silo.stop().await;
    }
    assert_eq!(given[0], [0, 1, 0, 1].repeat(3), "every teacher tells left from right");
    assert!(given.iter().all(|votes| *votes == given[0]));
}

#[tokio::test]
async fn a_teacher_without_rows_votes_a_fixed_class() {
    let consortium = Consortium::new();
    // Equal rows land together, so at most 2 of 8 teachers have any.
    let twice = rows(2, &["a", "b"]).select(&[0, 1, 0, 1, 0, 1, 0, 1]);
    let settings = Settings { teachers: 8, ..settings(consortium.dir.path()) };
    let pool = pool();
    let silo =
        consortium.serve(TeacherNode::prepare(settings, &shard(twice), &pool, |_, _| ()).unwrap()).await;
    let mut aggregator = consortium.caller(&silo, Role::Aggregator).await;
    let contract = contract(silo.member(), pool.manifest());
    aggregator.agree(&contract).await;
    let voted = aggregator.vote(&contract, &pool.manifest().queries()[..2]).await.unwrap();
    let fixed = voted.packed_votes.chunks(2).filter(|of_teacher| *of_teacher == [0, 0]).count();
    assert!(fixed >= 6, "{fixed} of 8 vote class 0 whatever the query");
    silo.stop().await;
}

#[tokio::test]
async fn the_guard_counts_different_queries_and_its_cap_survives_a_restart() {
    let consortium = Consortium::new();
    let silo = consortium.silo(settings(consortium.dir.path()), &votes(2)).await;
    let mut aggregator = consortium.caller(&silo, Role::Aggregator).await;
    let contract = contract(silo.member(), &manifest());
    aggregator.agree(&contract).await;
    aggregator.vote(&contract, &[0, 1, 2, 3].map(query)).await.unwrap();
    silo.stop().await;

    let silo = consortium.silo(settings(consortium.dir.path()), &votes(2)).await;
    let mut aggregator = consortium.caller(&silo, Role::Aggregator).await;
    let forgotten = aggregator.vote(&contract, &[query(0)]).await.unwrap_err();
    assert_eq!((forgotten.code(), forgotten.reason()), (Code::FailedPrecondition, REASON_CONTRACT_UNKNOWN));
    aggregator.agree(&contract).await;
    aggregator.vote(&contract, &[0, 1, 2, 3].map(query)).await.expect("answered before: free");
    let refused = aggregator.vote(&contract, &[3, 4, 5].map(query)).await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::FailedPrecondition, REASON_SILO_BUDGET_SPENT));
    assert_eq!(refused.quotas()[0].description, "cap 5 queries, used 4, asked 2, left 1");
    aggregator.vote(&contract, &[query(4)]).await.expect("one is left");
    aggregator.vote(&contract, &[query(5)]).await.expect_err("none is left");
    silo.stop().await;
}

#[tokio::test]
async fn calls_at_the_same_time_share_the_guard_and_none_passes_the_cap() {
    let consortium = Consortium::new();
    let silo = consortium.silo(settings(consortium.dir.path()), &votes(2)).await;
    let mut aggregator = consortium.caller(&silo, Role::Aggregator).await;
    let contract = contract(silo.member(), &manifest());
    aggregator.agree(&contract).await;
    let calls: Vec<_> = (0..10)
        .map(|index| {
            let (mut caller, contract) = (consortium::Caller(aggregator.0.clone()), contract.clone());
            tokio::spawn(async move { caller.vote(&contract, &[query(index)]).await.is_ok() })
        })
        .collect();
    let mut answered = 0;
    for call in calls {
        answered += usize::from(call.await.unwrap());
    }
    assert_eq!(answered, 5);
    silo.stop().await;
}

#[tokio::test]
async fn a_campaign_keeps_the_contract_that_it_was_voted_under_across_a_restart_too() {
    let consortium = Consortium::new();
    let silo = consortium.silo(settings(consortium.dir.path()), &votes(2)).await;
    let mut aggregator = consortium.caller(&silo, Role::Aggregator).await;
    let first = contract(silo.member(), &manifest());
    let mut second = first.clone();
    second.queries_max = 4;
    let both_digests = |refusal: &Refusal| {
        assert_eq!(refusal.reason(), "CONTRACT_CHANGED");
        for digest in [first.digest(), second.digest()] {
            assert!(refusal.message().contains(&digest.to_string()), "{refusal}");
        }
    };
    // Nobody has voted yet: what another silo refused can be offered anew.
    aggregator.agree(&second).await;
    aggregator.agree(&first).await;
    assert_eq!(aggregator.vote(&second, &[query(0)]).await.unwrap_err().reason(), REASON_CONTRACT_UNKNOWN);
    aggregator.vote(&first, &[query(0)]).await.unwrap();
    both_digests(&aggregator.accept((&second).into()).await.unwrap_err());
    silo.stop().await;

    let silo = consortium.silo(settings(consortium.dir.path()), &votes(2)).await;
    let mut aggregator = consortium.caller(&silo, Role::Aggregator).await;
    both_digests(&aggregator.accept((&second).into()).await.unwrap_err());
    silo.stop().await;
}

type Change = fn(&mut wire::Contract);

#[tokio::test]
async fn a_contract_that_does_not_fit_is_refused_with_its_field() {
    let consortium = Consortium::new();
    let silo = consortium.silo(settings(consortium.dir.path()), &votes(2)).await;
    let mut aggregator = consortium.caller(&silo, Role::Aggregator).await;
    let good = contract(silo.member(), &manifest());
    let cases: [(&str, &str, Change); 20] = [
        ("PROTOCOL_VERSION", "protocol.major", |c| c.protocol.as_mut().unwrap().major = 2),
        ("CONTRACT_INVALID", "contract", |c| c.unit = None),
        ("CONTRACT_INVALID", "contract", |c| c.members[0].partition_digest.truncate(31)),
        ("CONTRACT_INVALID", "contract", |c| c.delta = f64::NAN),
        ("CONTRACT_REFUSED", "contract.members", |c| c.members[0].organisation = "other".into()),
        ("CONTRACT_REFUSED", "contract.members.node", |c| c.members[0].node = "ward-2".into()),
        ("CONTRACT_REFUSED", "contract.members.data_id", |c| c.members[0].data_id = "old".into()),
        ("CONTRACT_REFUSED", "contract.members.partition_digest", |c| c.members[0].partition_digest[0] ^= 1),
        ("CONTRACT_REFUSED", "contract.members.teachers", |c| c.members[0].teachers = 3),
        ("CONTRACT_REFUSED", "contract.class_names", |c| c.class_names.swap(0, 1)),
        ("CONTRACT_REFUSED", "contract.pool_digest", |c| c.pool_digest[0] ^= 1),
        ("CONTRACT_REFUSED", "contract.features_digest", |c| c.features_digest[0] ^= 1),
        ("CONTRACT_REFUSED", "contract.unit", |c| {
            c.unit.as_mut().unwrap().adjacency = wire::Adjacency::Replace.into();
        }),
        ("CONTRACT_REFUSED", "contract.unit", |c| {
            c.unit.as_mut().unwrap().kind = wire::PrivacyUnitKind::Subject.into();
        }),
        ("CONTRACT_REFUSED", "contract.delta", |c| c.delta = 2e-5),
        ("CONTRACT_REFUSED", "contract.rho_cap_units", |c| c.rho_cap_units = one_unit_too_much()),
        ("CONTRACT_REFUSED", "contract.mechanism", |c| {
            let sigma_steps = (10 << 20) - 1;
            let kind = wire::mechanism::Kind::Gnmax(wire::GnMax { sigma_steps });
            c.mechanism = Some(wire::Mechanism { kind: Some(kind) });
        }),
        ("CONTRACT_REFUSED", "contract.mechanism", |c| {
            let (threshold_steps, sigma1_steps, sigma2_steps) = (1 << 20, 9 << 20, 20 << 20);
            let confident = wire::ConfidentGnMax { threshold_steps, sigma1_steps, sigma2_steps };
            let kind = wire::mechanism::Kind::ConfidentGnmax(confident);
            c.mechanism = Some(wire::Mechanism { kind: Some(kind) });
        }),
        ("CONTRACT_REFUSED", "contract.simulated", |c| c.simulated = true),
        ("CONTRACT_REFUSED", "contract.queries_max", |c| c.queries_max = 6),
    ];
    for (reason, field, change) in cases {
        let mut offered = wire::Contract::from(&good);
        change(&mut offered);
        let refusal = aggregator.accept(offered).await.unwrap_err();
        assert_eq!((refusal.reason(), refusal.faulty_field()), (reason, Some(field)), "{refusal}");
        let code =
            if reason == "CONTRACT_INVALID" { Code::InvalidArgument } else { Code::FailedPrecondition };
        assert_eq!(refusal.code(), code);
    }
    let nothing = aggregator.0.accept_contract(AcceptContractRequest { contract: None }).await.unwrap_err();
    assert_eq!(Refusal::read(&nothing).reason(), "CONTRACT_INVALID");
    aggregator.agree(&good).await;
    silo.stop().await;
}

/// One unit above what epsilon 3 at delta 1e-5 comes to.
fn one_unit_too_much() -> u64 {
    let (epsilon, delta) = (Epsilon::new(3.0).unwrap(), Delta::new(1e-5).unwrap());
    epsilon_to_rho_within(epsilon, delta, FilterOrder::DEFAULT).units() + 1
}

#[tokio::test]
async fn a_simulated_node_takes_part_in_simulations_only() {
    let consortium = Consortium::new();
    let settings = Settings { simulated: true, ..settings(consortium.dir.path()) };
    let silo = consortium.silo(settings, &votes(2)).await;
    let mut aggregator = consortium.caller(&silo, Role::Aggregator).await;
    let mut contract = contract(silo.member(), &manifest());
    let refusal = aggregator.accept((&contract).into()).await.unwrap_err();
    assert_eq!(refusal.faulty_field(), Some("contract.simulated"));
    contract.simulated = true;
    aggregator.agree(&contract).await;
    silo.stop().await;
}

#[tokio::test]
async fn queries_of_one_campaign_stay_its_own_when_it_enrols_again() {
    let consortium = Consortium::new();
    let silo = consortium.silo(settings(consortium.dir.path()), &votes(2)).await;
    let mut aggregator = consortium.caller(&silo, Role::Aggregator).await;
    let first = contract(silo.member(), &manifest());
    aggregator.agree(&first).await;
    aggregator.vote(&first, &[query(0)]).await.unwrap();
    silo.stop().await;

    let silo = consortium.silo(settings(consortium.dir.path()), &votes(2)).await;
    let mut aggregator = consortium.caller(&silo, Role::Aggregator).await;
    assert_eq!(aggregator.agree(&first).await, first.digest(), "its own spent query still counts for it");
    let mut second = first.clone();
    second.campaign = "next".parse().unwrap();
    let refusal = aggregator.accept((&second).into()).await.unwrap_err();
    assert_eq!(refusal.faulty_field(), Some("contract.queries_max"), "five queries do not fit into four");
    silo.stop().await;
}

#[tokio::test]
async fn only_an_aggregator_may_call() {
    let consortium = Consortium::new();
    let silo = consortium.silo(settings(consortium.dir.path()), &votes(2)).await;
    let contract = contract(silo.member(), &manifest());
    for role in [Role::Teacher, Role::Student, Role::Client] {
        let mut caller = consortium.caller(&silo, role).await;
        let refusals = [
            caller.describe().await.unwrap_err(),
            caller.accept((&contract).into()).await.unwrap_err(),
            caller.vote(&contract, &[query(0)]).await.unwrap_err(),
        ];
        for refusal in refusals {
            assert_eq!((refusal.code(), refusal.reason()), (Code::PermissionDenied, "WRONG_ROLE"), "{role}");
        }
    }
    silo.stop().await;
}

#[tokio::test]
async fn a_batch_that_makes_no_sense_is_refused_and_costs_nothing() {
    let consortium = Consortium::new();
    let silo = consortium.silo(settings(consortium.dir.path()), &votes(2)).await;
    let mut aggregator = consortium.caller(&silo, Role::Aggregator).await;
    let contract = contract(silo.member(), &manifest());
    aggregator.agree(&contract).await;
    for (queries, reason, field) in [
        (vec![], "BATCH_SIZE", "query_ids"),
        ((0..5).map(query).collect(), "BATCH_SIZE", "query_ids"),
        (vec![query(1), query(200)], "QUERY_UNKNOWN", "query_ids[1]"),
        (vec![query(1), query(2), query(1)], "QUERY_REPEATED", "query_ids[2]"),
    ] {
        let refusal = aggregator.vote(&contract, &queries).await.unwrap_err();
        assert_eq!((refusal.code(), refusal.reason()), (Code::InvalidArgument, reason));
        assert_eq!(refusal.faulty_field(), Some(field));
    }
    let request = VoteRequest {
        campaign_id: "demo".into(),
        contract_digest: contract.digest().as_bytes().to_vec(),
        query_ids: query(0).as_bytes().to_vec(),
        ..VoteRequest::default()
    };
    for (field, malformed) in [
        ("campaign_id", VoteRequest { campaign_id: "../demo".into(), ..request.clone() }),
        ("contract_digest", VoteRequest { contract_digest: vec![0; 31], ..request.clone() }),
        ("query_ids", VoteRequest { query_ids: vec![0; 33], ..request.clone() }),
    ] {
        let refusal = aggregator.send(malformed).await.unwrap_err();
        assert_eq!((refusal.code(), refusal.faulty_field()), (Code::InvalidArgument, Some(field)));
    }
    let other = VoteRequest { campaign_id: "other".into(), ..request };
    assert_eq!(aggregator.send(other).await.unwrap_err().reason(), REASON_CONTRACT_UNKNOWN);
    let huge = VoteRequest { query_ids: vec![0; 65 << 10], ..VoteRequest::default() };
    assert_eq!(aggregator.send(huge).await.unwrap_err().code(), Code::OutOfRange);
    let foreign = DescribeRequest { protocol: None };
    let refusal = Refusal::read(&aggregator.0.describe(foreign).await.unwrap_err());
    assert_eq!(refusal.reason(), "PROTOCOL_VERSION");

    aggregator.vote(&contract, &[0, 1, 2, 3].map(query)).await.unwrap();
    aggregator.vote(&contract, &[query(4)]).await.expect("nothing was counted for what was refused");
    silo.stop().await;
}

#[tokio::test]
async fn changed_data_keep_the_node_down_until_they_are_declared_and_then_say_so() {
    let consortium = Consortium::new();
    let settings =
        Settings { data: Some(DataId::new("ward-2025").unwrap()), ..settings(consortium.dir.path()) };
    let start = |settings: Settings, partition: u8| {
        let table = votes(2)
            .into_iter()
            .map(|v| v.into_iter().map(conclave_privacy::ClassIndex::from).collect())
            .collect();
        let teachers = Teachers::from_votes(table, 3).unwrap();
        TeacherNode::with_votes(settings, PartitionDigest::new([partition; 32]), manifest(), teachers)
    };
    consortium.serve(start(settings.clone(), 1).unwrap()).await.stop().await;
    let refusal = start(settings.clone(), 2).unwrap_err().to_string();
    for said in ["ward-2025", &"01".repeat(32), &"02".repeat(32), "predecessor = \"ward-2025\"", "people"] {
        assert!(refusal.contains(said), "{refusal}");
    }
    let succession = Succession { predecessor: DataId::new("ward-2025").unwrap(), people: People::Others };
    let declared = Settings { changed: Some(succession), ..settings.clone() };
    start(declared.clone(), 2).expect_err("other data under the same name would be the same account");
    let declared = Settings { data: Some(DataId::new("ward-2026").unwrap()), ..declared };

    for settings in [declared.clone(), Settings { changed: None, ..declared }] {
        let silo = consortium.serve(start(settings, 2).unwrap()).await;
        let described = consortium.caller(&silo, Role::Aggregator).await.describe().await.unwrap();
        assert_eq!(described.data_id, "ward-2026");
        assert_eq!(described.successor_of, "ward-2025");
        assert!(described.people_disjoint_from_predecessor);
        silo.stop().await;
    }
    start(settings, 1).expect_err("the old data are not taken up again silently");
}

#[test]
fn shards_that_cannot_be_voted_with_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let refusal = |teachers: u32, rows: conclave_learning::Dataset| {
        let settings = Settings { teachers, ..settings(dir.path()) };
        TeacherNode::prepare(settings, &shard(rows), &pool(), |_, _| ()).unwrap_err().to_string()
    };
    for (said, refusal) in [
        ("more teachers than private rows", refusal(3, rows(2, &["a", "b"]))),
        ("at least one row", refusal(1, rows(0, &["a", "b"]))),
        ("classes of the private data is 3 (a, b, c)", refusal(1, rows(4, &["a", "b", "c"]))),
        ("teachers is 0", refusal(0, rows(4, &["a", "b"]))),
    ] {
        assert!(refusal.contains(said), "{said}: {refusal}");
    }
}

#[test]
fn precomputed_votes_must_fit_settings_and_pool() {
    let dir = tempfile::tempdir().unwrap();
    for bad in [vec![], votes(3), vec![vec![0; 9]; 2], vec![vec![0; 10], vec![0; 9]], vec![vec![3; 10]; 2]] {
        assert!(node(settings(dir.path()), &bad).is_err());
    }
}

#[test]
fn two_nodes_do_not_share_one_guard() {
    let dir = tempfile::tempdir().unwrap();
    let _first = node(settings(dir.path()), &votes(2)).unwrap();
    let second = node(settings(dir.path()), &votes(2)).unwrap_err().to_string();
    assert!(second.contains("in use"), "{second}");
}
