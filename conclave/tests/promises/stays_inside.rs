//! Promise 4: votes, counts, noise and what follows from them stay inside the aggregator's own store.
//!
//! A canary campaign: every node votes in a pattern that nothing else contains, and the counts that the patterns come to
//! are numbers that nothing else has a reason to hold. Then everything that anybody could read is searched: logs at their
//! most talkative, figures on the admin pages, replies, refusals, and every file outside the ledger; and the ledger, for
//! the votes themselves.

use std::path::{Path, PathBuf};
use std::time::Instant;

use conclave_proto::campaign::v1::CampaignState;
use conclave_service::Role;
use conclave_service::channel::Jitter;
use conclave_service::metrics;

use crate::cluster::{Aggregator, Campaign, Cluster, Data, Page, Recorder, conclave, query, watch};

const QUERIES: u32 = 30;
/// Teachers of each silo that vote for class 2 on every query; the others vote for class 0.
const CANARIES: [usize; 2] = [1_031, 1_277];
const TEACHERS: usize = 2_500;

/// Votes that are found again: runs of class 1 and 2 of telling lengths on every query.
fn canary(number: u8) -> Data {
    let canaries = CANARIES[usize::from(number) - 1];
    let vote = |teacher: usize| if teacher < canaries { 2 } else { 0 };
    let votes = (0..TEACHERS).map(|teacher| vec![vote(teacher); QUERIES as usize]).collect();
    Data { votes, ..Data::agreeing(number, QUERIES) }
}

/// What must be found nowhere: counts as words, and packed votes as bytes.
fn needles() -> Vec<(String, Vec<u8>)> {
    let [first, second] = CANARIES;
    let all = 2 * TEACHERS;
    let counts = [first, second, first + second, TEACHERS - first, TEACHERS - second, all - first - second];
    let words = counts.map(|count| (format!("count {count}"), count.to_string().into_bytes()));
    let run = |class: u8| (format!("64 packed votes for class {class}"), vec![class; 64]);
    words.into_iter().chain([run(2)]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_vote_or_count_of_a_canary_campaign_is_found_outside_the_aggregators_store() {
    let mut cluster = Cluster::new(QUERIES);
    for number in [1, 2] {
        cluster.join(&format!("silo-{number}"), canary(number)).await;
    }
    // The threshold lies between the counts, so that labels and abstentions both occur.
    let campaign = Campaign {
        mechanism: "{ kind = 'confident-gnmax', threshold = 2700.0, sigma1 = 300.0, sigma = 300.0 }"
            .to_owned(),
        quorum: 5_000,
        ledger: "store/ledger.db",
        ..Campaign::default()
    };
    let config = cluster.config(&campaign);
    let admin = watch(&config);
    let log = cluster.path("log");
    let mut aggregator = Aggregator::spawn(&conclave(), &config, &[("CONCLAVE_LOG", "trace")], &log);
    aggregator.ready(&cluster).await;
    let mut service = cluster.caller(Role::Student).await;
    let mut recorder = Recorder::default();
    let queries: Vec<_> = (0..QUERIES).map(query).collect();
    assert_eq!(recorder.ask(&mut service, &queries).await, CampaignState::Idle);
    let status = recorder.status(&mut service).await;
    assert!(status.queries_answered > 0 && status.queries_abstained > 0, "{status:?}");
    let refusal = Recorder::of("another").submit(&mut service, &queries).await.unwrap_err();
    let page = Page::of(admin).await;
    assert!(page.0.contains("conclave_campaign_queries"), "the figures are searched too: {}", page.0);
    std::fs::write(cluster.path("figures"), page.0).unwrap();
    for silo in &cluster.silos {
        let page = metrics::page(silo.observer.as_ref().unwrap().figures(None));
        assert!(page.contains("conclave_teacher_batches_answered_total 1\n"), "{page}");
        std::fs::write(cluster.path(&format!("figures-{}", silo.organisation)), page).unwrap();
    }
    aggregator.interrupt().await;

    std::fs::write(cluster.path("status"), format!("{status:?}")).unwrap();
    std::fs::write(cluster.path("refusal"), format!("{refusal:?}")).unwrap();
    let read = files(cluster.folder.path());
    assert!(read.iter().any(|path| path.ends_with("log")), "the log is searched too");
    for path in &read {
        let inside = path.starts_with(cluster.path("store"));
        for (what, needle) in needles() {
            // The ledger holds answers and charges, in which a short number may occur; votes never.
            if inside && what.starts_with("count") {
                continue;
            }
            assert!(!holds(path, &needle), "{what} is in {}", path.display());
        }
    }
}

#[test]
fn the_search_finds_what_is_planted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/planted.log");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    for (what, needle) in needles() {
        std::fs::write(&path, [b"\"top\":".as_slice(), &needle, b",".as_slice()].concat()).unwrap();
        assert!(files(folder.path()).iter().any(|path| holds(path, &needle)), "{what}");
    }
    std::fs::write(&path, "10310 12770").unwrap();
    assert!(!needles().iter().any(|(_, needle)| holds(&path, needle)), "longer numbers are other numbers");
}

/// The stated test of reply times: queries with unanimous and with evenly split votes are asked one at a time in random
/// order, and the ranks of their reply times are compared (Mann and Whitney 1947). If reply times do not depend on the
/// counts, |z| passes 5 with a probability below 1e-6, however noisy the machine, for the order is drawn.
#[tokio::test(flavor = "multi_thread")]
async fn reply_times_do_not_tell_clear_votes_from_split_ones() {
    const EACH: u32 = 150;
    let mut cluster = Cluster::new(2 * EACH);
    for number in [1, 2] {
        // Even queries are unanimous, odd ones are split evenly over all classes.
        let vote = |teacher: u16, query: u16| if query.is_multiple_of(2) { 1 } else { teacher % 3 };
        let of_teacher =
            |teacher| (0..2 * EACH).map(|query| vote(teacher, u16::try_from(query).unwrap())).collect();
        let votes = (0..300).map(of_teacher).collect();
        cluster.join(&format!("silo-{number}"), Data { votes, ..Data::agreeing(number, 2 * EACH) }).await;
    }
    let mut aggregator = cluster.aggregator(&Campaign { quorum: 600, ..Campaign::default() }).await;
    let mut service = cluster.caller(Role::Student).await;
    let recorder = Recorder::default();
    let mut order: Vec<u32> = (0..2 * EACH).collect();
    let mut jitter = Jitter::fresh();
    for last in (1..order.len()).rev() {
        order.swap(last, usize::try_from(jitter.up_to(last as u64)).unwrap());
    }
    let mut times = Vec::new();
    for (position, index) in (0..).zip(order) {
        let began = Instant::now();
        recorder.submit(&mut service, &[query(index)]).await.unwrap();
        recorder.next_after(&mut service, position).await;
        times.push((began.elapsed(), index.is_multiple_of(2)));
    }
    aggregator.interrupt().await;
    times.sort_unstable();
    let ranks = (1_u32..).zip(&times).filter(|(_, (_, clear))| *clear).map(|(rank, _)| f64::from(rank));
    let n = f64::from(EACH);
    let z = (ranks.sum::<f64>() - n * (2.0 * n + 1.0) / 2.0) / (n * n * (2.0 * n + 1.0) / 12.0).sqrt();
    assert!(z.abs() < 5.0, "reply times tell how clear the votes are: z = {z:.1}");
}

/// Whether a file holds the needle; a number only where no digit is beside it.
fn holds(path: &Path, needle: &[u8]) -> bool {
    let bytes = std::fs::read(path).unwrap();
    let number = needle.iter().all(u8::is_ascii_digit);
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_hexdigit);
    bytes.windows(needle.len()).enumerate().any(|(at, window)| {
        window == needle && !(number && (digit(at.checked_sub(1)) || digit(at.checked_add(needle.len()))))
    })
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
