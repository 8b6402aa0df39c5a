//! What a process shows to whoever watches it is what its ledger holds, and nothing of a campaign that is over.

use std::path::Path;

use conclave_ledger::{CampaignKey, Snapshot};
use conclave_proto::campaign::v1::CampaignState;
use conclave_service::clock::WallClock;
use conclave_service::{Kit, Refusal, Role};

use crate::cluster::{
    Aggregator, CAMPAIGN, Campaign, Cluster, Page, Recorder, conclave, pause, query, watch,
};

const QUERIES: u32 = 40;
const NEXT: &str = "campaign-2";

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_of_a_campaign_are_those_of_its_ledger() {
    let mut cluster = Cluster::of_silos(2, QUERIES).await;
    // A part of the accounts' budget, so that another campaign can follow.
    let campaign = Campaign { epsilon: 6.0, ..Campaign::default() };
    let (mut aggregator, admin) = start(&cluster, &campaign).await;
    let mut service = cluster.caller(Role::Student).await;
    let mut recorder = Recorder::default();
    let queries: Vec<_> = (0..QUERIES).map(query).collect();
    assert_eq!(recorder.ask(&mut service, &queries[..30]).await, CampaignState::Idle);
    // One refusal of the handlers, one of the shell before them.
    let refused = Recorder::of("another").submit(&mut service, &queries).await.unwrap_err();
    assert_eq!(Refusal::read(&refused).reason(), "CAMPAIGN_UNKNOWN");
    let mut foreign = cluster.caller(Role::Client).await;
    let refused = recorder.submit(&mut foreign, &queries).await.unwrap_err();
    assert_eq!(Refusal::read(&refused).reason(), "WRONG_ROLE");

    let kit = Kit::load(&cluster.path("kit"), WallClock::now_ms()).unwrap();
    let days_left = || kit.days_left(WallClock::now_ms()) as f64;
    let days_before = days_left();
    let page = Page::of(admin).await;
    // A day may end in between.
    let days = page.value("conclave_certificate_days_left");
    assert!((days_left()..=days_before).contains(&days), "{days} days");
    of_the_ledger(&page, &cluster.ledger(), CAMPAIGN);
    let queries_in = |page: &Page, state: &str| {
        page.value(&format!("conclave_campaign_queries{{campaign=\"{CAMPAIGN}\",state=\"{state}\"}}"))
    };
    let states = ["admitted", "answered", "abstained", "interrupted", "waiting"];
    for (state, count) in states.into_iter().zip([30.0, 30.0, 0.0, 0.0, 0.0]) {
        assert!((queries_in(&page, state) - count).abs() < f64::EPSILON, "{state}: {}", page.0);
    }
    for (series, value) in [
        ("conclave_nodes_present", 2.0),
        ("conclave_nodes_expected", 2.0),
        ("conclave_quorum_misses_total", 0.0),
        ("conclave_refusals_total{reason=\"CAMPAIGN_UNKNOWN\"}", 1.0),
        ("conclave_refusals_total{reason=\"WRONG_ROLE\"}", 1.0),
        ("conclave_refusals_total{reason=\"OTHER\"}", 0.0),
        ("conclave_campaign_state{campaign=\"campaign-1\",state=\"idle\"}", 1.0),
    ] {
        assert!((page.value(series) - value).abs() < f64::EPSILON, "{series}: {}", page.0);
    }
    // A reservation, a draw and a release for each batch at least; commits may share a flush.
    let flushes = page.value("conclave_ledger_flush_seconds_count");
    assert!(flushes >= 3.0 && page.value("conclave_ledger_flush_seconds_sum") > 0.0, "{}", page.0);

    // A silo leaves: what was asked waits, and that is told.
    cluster.silos[1].stop().await;
    recorder.submit(&mut service, &queries[30..]).await.unwrap();
    let mut page = Page::of(admin).await;
    for _ in 0..250 {
        if page.value("conclave_campaign_state{campaign=\"campaign-1\",state=\"below_quorum\"}") > 0.5 {
            break;
        }
        pause(20).await;
        page = Page::of(admin).await;
    }
    assert!(page.value("conclave_quorum_misses_total") >= 1.0, "{}", page.0);
    assert!((page.value("conclave_nodes_present") - 1.0).abs() < f64::EPSILON, "{}", page.0);
    assert!((queries_in(&page, "waiting") - 10.0).abs() < f64::EPSILON, "{}", page.0);
    aggregator.interrupt().await;

    // Another campaign on the same ledger: nothing of the first is shown any more but what its accounts were charged.
    cluster.restart_silo(1, crate::cluster::Data::agreeing(2, QUERIES)).await;
    let campaign = Campaign { id: NEXT, epsilon: 1.0, ..campaign };
    let (mut aggregator, admin) = start(&cluster, &campaign).await;
    let page = Page::of(admin).await;
    assert!(!page.0.contains(CAMPAIGN), "{}", page.0);
    of_the_ledger(&page, &cluster.ledger(), NEXT);
    aggregator.interrupt().await;
}

async fn start(cluster: &Cluster, campaign: &Campaign) -> (Aggregator, std::net::SocketAddr) {
    let config = cluster.config(campaign);
    let admin = watch(&config);
    let mut aggregator = Aggregator::spawn(&conclave(), &config, &[], &cluster.path("log"));
    aggregator.ready(cluster).await;
    (aggregator, admin)
}

/// Compares with what anybody reads from the file, nothing being under way.
fn of_the_ledger(page: &Page, ledger: &Path, campaign: &str) {
    let book = Snapshot::read(ledger).unwrap();
    let same = |series: &str, value: f64| {
        assert!((page.value(series) - value).abs() <= value * 1e-12, "{series} is not {value}:\n{}", page.0);
    };
    same("conclave_ledger_entries", book.entries() as f64);
    assert_eq!(book.accounts().len(), 2);
    for account in book.accounts() {
        let terms = account.terms();
        let of = |figure: &str| {
            let (organisation, data) = (&terms.organisation, &terms.data);
            format!("conclave_account_{figure}{{organisation=\"{organisation}\",data=\"{data}\"}}")
        };
        let left = account.cap().checked_sub(account.spent()).unwrap();
        same(&of("epsilon_cap"), terms.epsilon.get());
        same(&of("rho_cap"), account.cap().to_f64_up());
        same(&of("rho_spent"), account.spent().to_f64_up());
        same(&of("rho_reserved"), account.reserved().to_f64_up());
        same(&of("rho_left"), left.to_f64_up());
        assert!(account.spent().units() > 0, "something was charged");
    }
    let stored = book.campaign(&CampaignKey::new(campaign).unwrap()).unwrap();
    let of = |figure: &str| format!("conclave_campaign_{figure}{{campaign=\"{campaign}\"}}");
    same(&of("epsilon_cap"), stored.terms().epsilon.get());
    same(&of("rho_cap"), stored.sub_cap().to_f64_up());
    same(&of("rho_spent"), stored.spent().to_f64_up());
}
