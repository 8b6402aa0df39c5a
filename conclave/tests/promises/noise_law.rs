//! Promise 5: release noise follows its stated law; what a seed made says so, and never meets what is real.
//!
//! That samplers follow their law is tested in the crate `privacy`, that no service can name the seeded one in
//! `tests/layout.rs`. Here: the mark travels, and a simulated and a real party do not mix.

use conclave_ledger::Snapshot;
use conclave_proto::campaign::v1::GetContractRequest;
use conclave_service::Role;

use crate::cluster::{Aggregator, Campaign, Cluster, Data, Recorder, conclave, query};

#[tokio::test(flavor = "multi_thread")]
async fn a_real_campaign_is_marked_as_real_and_draws_other_noise_every_time() {
    let noisy = Campaign { mechanism: "{ kind = 'gnmax', sigma = 60.0 }".to_owned(), ..Campaign::default() };
    let queries: Vec<_> = (0..60).map(query).collect();
    let mut runs = Vec::new();
    for _ in 0..2 {
        let cluster = Cluster::of_silos(2, 60).await;
        let mut aggregator = cluster.aggregator(&noisy).await;
        let mut service = cluster.caller(Role::Student).await;
        let contract =
            service.get_contract(GetContractRequest::default()).await.unwrap().into_inner().contract.unwrap();
        assert!(!contract.simulated);
        let mut recorder = Recorder::default();
        recorder.ask(&mut service, &queries).await;
        aggregator.interrupt().await;
        assert!(!Snapshot::read(&cluster.ledger()).unwrap().genesis().simulated);
        runs.push(recorder.answers());
    }
    // Three classes at random, 60 times: equal with probability 3^-60.
    assert_ne!(runs[0], runs[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_silo_takes_no_part_in_a_real_campaign() {
    let mut cluster = Cluster::of_silos(1, 10).await;
    cluster.join("silo-2", Data { simulated: true, ..Data::agreeing(2, 10) }).await;
    let config = cluster.config(&Campaign::default());
    let mut aggregator = Aggregator::spawn(&conclave(), &config, &[], &cluster.path("log"));
    assert_eq!(aggregator.ended().await.code(), Some(2));
    let words = cluster.log();
    assert!(words.contains("silo-2/node") && words.contains("simulated"), "{words}");
}
