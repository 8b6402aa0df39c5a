//! Promise 2: asked twice, answered once; repeats are free, near-duplicates are not.

use conclave_ledger::Snapshot;
use conclave_proto::campaign::v1::CampaignState;
use conclave_service::Role;

use crate::cluster::{Campaign, Cluster, Recorder, query};

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_query_gets_its_stored_answer_and_costs_nothing_also_after_a_restart() {
    let cluster = Cluster::of_silos(2, 60).await;
    let campaign = Campaign::default();
    let queries: Vec<_> = (0..40).map(query).collect();
    let mut aggregator = cluster.aggregator(&campaign).await;
    let mut service = cluster.caller(Role::Student).await;
    let mut recorder = Recorder::default();
    assert_eq!(recorder.ask(&mut service, &queries).await, CampaignState::Idle);
    let spent = recorder.status(&mut service).await.rho_spent_units;
    assert!(spent > 0);

    let again = recorder.submit(&mut service, &queries).await.unwrap();
    assert_eq!((again.admitted, again.repeated_before), (0, 40));
    recorder.listen(&mut service).await.unwrap();
    aggregator.interrupt().await;

    let mut aggregator = cluster.aggregator(&campaign).await;
    let mut service = cluster.caller(Role::Student).await;
    let again = recorder.submit(&mut service, &queries).await.unwrap();
    assert_eq!((again.admitted, again.repeated_before), (0, 40));
    recorder.listen(&mut service).await.unwrap();
    assert_eq!(recorder.received.len(), 3 * 40);
    assert_eq!(recorder.answers().len(), 40, "and none of them changed");
    assert_eq!(recorder.status(&mut service).await.rho_spent_units, spent);

    // A new example is a new release, however near it is.
    assert_eq!(recorder.ask(&mut service, &[query(41)]).await, CampaignState::Idle);
    let more = recorder.status(&mut service).await.rho_spent_units;
    assert_eq!(more, spent / 40 * 41);
    aggregator.interrupt().await;
    let ledger = Snapshot::read(&cluster.ledger()).unwrap();
    assert!(ledger.accounts().iter().all(|account| account.spent().units() == more));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_query_twice_in_one_proposal_is_one_query() {
    let cluster = Cluster::of_silos(2, 10).await;
    let _aggregator = cluster.aggregator(&Campaign::default()).await;
    let mut service = cluster.caller(Role::Student).await;
    let mut recorder = Recorder::default();
    let twice = [query(1), query(2), query(1)];
    let told = recorder.submit(&mut service, &twice).await.unwrap();
    assert_eq!((told.admitted, told.repeated_before), (2, 1));
    recorder.listen(&mut service).await.unwrap();
    assert_eq!(recorder.received.len(), 2);
}
