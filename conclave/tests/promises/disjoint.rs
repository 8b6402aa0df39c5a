//! Promise 6: disjoint means disjoint, and a silo that votes with other rows than it agreed with is not let back in.
//!
//! That a row's teacher depends on that row alone is tested in the crate `learning`, that a silo records its data in
//! `teacher-node`. Here: what the aggregator makes of a node that came back with something else.

use conclave_proto::campaign::v1::CampaignState;
use conclave_proto::ids::DataId;
use conclave_service::Role;
use conclave_teacher_node::{People, Succession};

use crate::cluster::{Campaign, Cluster, Data, Recorder, pause, query};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_with_other_data_stays_out_and_the_rest_goes_on() {
    let named = |partition, id| Data { id: Some(id), ..Data::agreeing(partition, 40) };
    let mut cluster = Cluster::new(40);
    for (number, id) in [(1, "ward-2025"), (2, "clinic-b"), (3, "clinic-c")] {
        cluster.join(&format!("silo-{number}"), named(number, id)).await;
    }
    let _aggregator = cluster.aggregator(&Campaign::default()).await;
    let mut service = cluster.caller(Role::Student).await;
    let mut recorder = Recorder::default();
    let queries: Vec<_> = (0..40).map(query).collect();
    recorder.ask(&mut service, &queries[..10]).await;

    let changed = Some(Succession { predecessor: DataId::new("ward-2025").unwrap(), people: People::Same });
    cluster.restart_silo(0, Data { changed, ..named(9, "ward-2026") }).await;
    assert_eq!(recorder.ask(&mut service, &queries).await, CampaignState::Idle);
    assert_eq!(recorder.answers().len(), 40, "four of six teachers are quorum enough");
    let status = recorder.status_when(&mut service, |status| status.nodes_present == 2).await;
    assert_eq!((status.nodes_present, status.nodes_total), (2, 3));
    for _ in 0..100 {
        if cluster.log().contains("ward-2026") {
            break;
        }
        pause(20).await;
    }
    let log = cluster.log();
    assert!(
        log.contains("silo-1/node") && log.contains("its data id changed: agreed was ward-2025"),
        "{log}"
    );

    // With its old data it is welcome, and what it did not vote on it did not pay for.
    let spent = |status: &conclave_proto::campaign::v1::GetStatusResponse, data: &str| {
        status.accounts.iter().find(|account| account.data_id == data).unwrap().rho_spent_units
    };
    assert!(spent(&status, "ward-2025") < spent(&status, "clinic-b"));
}
