//! Promise 3: the budget is a wall, it belongs to the data, and it says what is left.

use conclave_privacy::accountant::epsilon_to_rho_within;
use conclave_privacy::event::PrivacyEvent;
use conclave_privacy::quantity::{Delta, Epsilon, FilterOrder, Lattice, NoiseScale};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};
use conclave_proto::campaign::v1::CampaignState;
use conclave_proto::ids::DataId;
use conclave_service::Role;
use conclave_teacher_node::{People, Succession};

use crate::cluster::{Aggregator, Campaign, Cluster, Data, Recorder, conclave, query};

/// What a query costs at σ = 20 votes, in units: less than 0.65 of the published 2^40/400.
fn price() -> u64 {
    let sigma = NoiseScale::from_votes(20.0, Lattice::DEFAULT).unwrap();
    let who = Sensitivity::of(PrivacyUnit::Record, Adjacency::AddRemove, VotingScheme::Ensemble).unwrap();
    let event = PrivacyEvent::GaussianNoisyMax { sigma };
    let price = event.price_within(&who, FilterOrder::DEFAULT).unwrap().units();
    assert!(price < (1 << 40) / 400 * 66 / 100);
    price
}

fn cap_units(epsilon: f64) -> u64 {
    let (epsilon, delta) = (Epsilon::new(epsilon).unwrap(), Delta::new(1e-5).unwrap());
    epsilon_to_rho_within(epsilon, delta, FilterOrder::DEFAULT).units()
}

fn campaign() -> Campaign {
    Campaign { mechanism: "{ kind = 'gnmax', sigma = 20.0 }".to_owned(), ..Campaign::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_affordable_queries_are_answered_and_the_status_has_the_numbers() {
    let affordable = cap_units(2.0) / price();
    let asked = u32::try_from(affordable).unwrap() + 1;
    let cluster = Cluster::of_silos(2, asked).await;
    let _aggregator = cluster.aggregator(&Campaign { epsilon: 2.0, ..campaign() }).await;
    let mut service = cluster.caller(Role::Student).await;
    let mut recorder = Recorder::default();
    let queries: Vec<_> = (0..asked).map(query).collect();
    assert_eq!(recorder.ask(&mut service, &queries).await, CampaignState::BudgetSpent);
    assert_eq!(recorder.answers().len() as u64, affordable, "one release short");
    let status = recorder.status(&mut service).await;
    assert_eq!(status.rho_cap_units, cap_units(2.0));
    assert_eq!(status.rho_spent_units, affordable * price());
    assert_eq!((status.rho_reserved_units, status.queries_waiting), (0, 1));
    assert!(status.rho_cap_units - status.rho_spent_units < price());
    assert!(status.epsilon_spent <= 2.0, "{}", status.epsilon_spent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_campaign_on_the_same_data_starts_from_what_is_left() {
    let cluster = Cluster::of_silos(2, 200).await;
    let first = Campaign { account_epsilon: 2.0, epsilon: 2.0, ..campaign() };
    let mut aggregator = cluster.aggregator(&first).await;
    let mut service = cluster.caller(Role::Student).await;
    let mut recorder = Recorder::default();
    let some: Vec<_> = (0..20).map(query).collect();
    assert_eq!(recorder.ask(&mut service, &some).await, CampaignState::Idle);
    aggregator.interrupt().await;

    let second = Campaign { id: "campaign-2", ..first };
    let _aggregator = cluster.aggregator(&second).await;
    let mut service = cluster.caller(Role::Student).await;
    let mut recorder = Recorder::of("campaign-2");
    let queries: Vec<_> = (0..200).map(query).collect();
    assert_eq!(recorder.ask(&mut service, &queries).await, CampaignState::BudgetSpent);
    let left = cap_units(2.0) / price() - 20;
    assert_eq!(recorder.answers().len() as u64, left);
    let status = recorder.status(&mut service).await;
    assert_eq!(status.rho_spent_units, left * price(), "what the campaign itself spent");
    for account in status.accounts {
        assert_eq!(account.rho_spent_units, (left + 20) * price(), "what both have spent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_with_a_clients_kit_can_read_what_is_left() {
    let cluster = Cluster::of_silos(2, 30).await;
    let _aggregator = cluster.aggregator(&Campaign { epsilon: 2.0, ..campaign() }).await;
    let mut service = cluster.caller(Role::Student).await;
    let some: Vec<_> = (0..20).map(query).collect();
    Recorder::default().ask(&mut service, &some).await;
    cluster.kit(Role::Client, "hub", "client").save(&cluster.path("client")).unwrap();
    let status = |format: &str| {
        let kit = cluster.path("client");
        let server = cluster.listen.to_string();
        let mut command = std::process::Command::new(conclave());
        command.args(["--format", format, "status", "--server", &server, "--kit"]).arg(kit);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let told: serde_json::Value = serde_json::from_str(&status("json")).unwrap();
    assert_eq!(told["phase"], "idle");
    assert_eq!(told["queries"]["answered"], 20);
    assert_eq!(told["privacy"]["queries_left"], cap_units(2.0) / price() - 20);
    assert_eq!(told["nodes"], serde_json::json!({ "present": 2, "total": 2, "refused": [] }));
    let words = status("text");
    for told in
        ["20 of at most 5000 proposed: 20 labels", "unit record, adjacency add-remove, δ = 1e-5", "silo-2"]
    {
        assert!(words.contains(told), "{told}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_partition_inherits_the_spend_unless_the_people_are_others() {
    for (people, inherited) in [(People::Same, 20 * price()), (People::Others, 0)] {
        let mut cluster = Cluster::new(60);
        let named = |partition, id| Data { id: Some(id), ..Data::agreeing(partition, 60) };
        cluster.join("silo-1", named(1, "ward-2025")).await;
        cluster.join("silo-2", named(2, "clinic")).await;
        let mut aggregator = cluster.aggregator(&campaign()).await;
        let mut service = cluster.caller(Role::Student).await;
        let some: Vec<_> = (0..20).map(query).collect();
        Recorder::default().ask(&mut service, &some).await;
        aggregator.interrupt().await;

        let changed = Some(Succession { predecessor: DataId::new("ward-2025").unwrap(), people });
        cluster.restart_silo(0, Data { changed, ..named(9, "ward-2026") }).await;
        let _aggregator = cluster.aggregator(&Campaign { id: "campaign-2", ..campaign() }).await;
        let mut service = cluster.caller(Role::Student).await;
        let status = Recorder::of("campaign-2").status(&mut service).await;
        let of = |data: &str| {
            let account = status.accounts.iter().find(|account| account.data_id == data);
            account.unwrap().rho_spent_units
        };
        assert_eq!(of("ward-2026"), inherited, "{people:?}");
        assert_eq!(of("clinic"), 20 * price());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_cannot_be_raised_nor_a_contract_changed_afterwards() {
    let cluster = Cluster::of_silos(2, 10).await;
    cluster.aggregator(&campaign()).await.interrupt().await;
    for (changed, told) in [
        (
            Campaign { id: "campaign-2", account_epsilon: 16.0, ..campaign() },
            "accounts.epsilon is 8, and now it is 16",
        ),
        (Campaign { account_epsilon: 16.0, ..campaign() }, "accounts.epsilon is 8, and now it is 16"),
        (Campaign { epsilon: 4.0, ..campaign() }, "campaign.epsilon"),
        (
            Campaign { mechanism: "{ kind = 'gnmax', sigma = 2.0 }".to_owned(), ..campaign() },
            "campaign.mechanism",
        ),
    ] {
        let config = cluster.config(&changed);
        let log = cluster.path("refused");
        let mut aggregator = Aggregator::spawn(&conclave(), &config, &[], &log);
        assert_eq!(aggregator.ended().await.code(), Some(2), "{told}");
        let words = std::fs::read_to_string(&log).unwrap();
        assert!(words.contains(told), "{told}: {words}");
    }
}
