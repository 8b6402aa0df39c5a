//! How fast charges become durable: `cargo bench -p conclave-ledger`.
//!
//! Every figure includes its flushes; the disk decides most of it. A *charge* is one query's reservation, draw
//! and release.

use std::path::Path;
use std::sync::mpsc::channel;

use conclave_ledger::{
    AccountTerms, Book, BookHandle, BookWriter, CampaignKey, CampaignTerms, DataKey, Digest, Genesis,
    LedgerId, Predecessor, QueryKey, verify,
};
use conclave_privacy::counts::ClassIndex;
use conclave_privacy::mechanism::{GnMax, Outcome};
use conclave_privacy::quantity::{Delta, Epsilon, FilterOrder, Lattice, NoiseScale};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, VotingScheme};
use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    divan::main();
}

/// Ten silos, one batch of 100 at a time: three flushes per hundred charges.
#[divan::bench(sample_count = 20)]
fn charges_in_batches_of_100_one_at_a_time(bencher: Bencher<'_, '_>) {
    let place = tempfile::tempdir().expect("a directory");
    let mut book = consortium(&place.path().join("ledger.db"));
    let mut from = 0;
    bencher.counter(ItemsCount::new(100_usize)).bench_local(|| {
        answer(&mut book, from, 100);
        from += 100;
    });
}

/// Ten silos, sixteen batches of 100 under way at a time: commits are shared.
#[divan::bench(sample_count = 10)]
fn charges_in_batches_of_100_sixteen_under_way(bencher: Bencher<'_, '_>) {
    let place = tempfile::tempdir().expect("a directory");
    let handle = BookWriter::spawn(consortium(&place.path().join("ledger.db")), || 1).expect("a thread");
    let mut from = 0;
    bencher.counter(ItemsCount::new(16 * 5 * 100_usize)).bench_local(|| {
        let (done, wait) = channel();
        for lane in 0..16 {
            chain(&handle, from + lane * 500, 5, done.clone());
        }
        drop(done);
        assert_eq!(wait.iter().count(), 16);
        from += 16 * 500;
    });
    handle.shutdown().expect("closed");
}

/// One query from reservation to answer: three flushes and what the book adds to them.
#[divan::bench(sample_count = 30)]
fn one_release(bencher: Bencher<'_, '_>) {
    let place = tempfile::tempdir().expect("a directory");
    let mut book = consortium(&place.path().join("ledger.db"));
    let mut from = 0;
    bencher.bench_local(|| {
        answer(&mut book, from, 1);
        from += 1;
    });
}

/// Three flushes of one page each, for comparison with `one_release`.
#[divan::bench(sample_count = 30)]
fn three_flushes_alone(bencher: Bencher<'_, '_>) {
    use std::io::Write;
    let place = tempfile::tempdir().expect("a directory");
    let mut file = std::fs::File::create(place.path().join("log")).expect("a file");
    bencher.bench_local(|| {
        for _ in 0..3 {
            file.write_all(&[1; 4096]).expect("written");
            file.sync_data().expect("flushed");
        }
    });
}

/// Verifying a ledger of ten thousand answers, raw pages included.
#[divan::bench(sample_count = 5)]
fn verify_ten_thousand_answers(bencher: Bencher<'_, '_>) {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("ledger.db");
    let mut book = consortium(&path);
    (0..100).for_each(|batch| answer(&mut book, batch * 100, 100));
    book.close().expect("closed");
    bencher.counter(ItemsCount::new(10_000_usize)).bench_local(|| {
        assert!(verify(&path).expect("readable").valid);
    });
}

fn campaign() -> CampaignKey {
    CampaignKey::new("bench").expect("a name")
}

fn silos() -> Vec<DataKey> {
    (0..10).map(|silo| DataKey::new(format!("silo-{silo}")).expect("a name")).collect()
}

fn queries(from: u64, count: u64) -> Vec<QueryKey> {
    let query = |number: u64| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        QueryKey::new(bytes)
    };
    (from..from + count).map(query).collect()
}

fn answers(permit: &conclave_ledger::DrawPermit) -> Vec<(QueryKey, Outcome)> {
    permit.queries().iter().map(|(query, _)| (*query, Outcome::Label(ClassIndex(1)))).collect()
}

fn consortium(path: &Path) -> Book {
    let genesis = Genesis { ledger_id: LedgerId::new([0; 16]), simulated: true };
    let mut book = Book::create(path, genesis, 1).expect("a new ledger");
    let (epsilon, delta) = (Epsilon::new(1e4).expect("large"), Delta::new(1e-5).expect("small"));
    let account = |data: &DataKey| AccountTerms {
        data: data.clone(),
        organisation: data.to_string(),
        partition: Digest::new([0; 32]),
        epsilon,
        delta,
        filter_order: FilterOrder::DEFAULT,
        unit: PrivacyUnit::Record,
        adjacency: Adjacency::AddRemove,
        max_silos_per_subject: 1,
        predecessor: Predecessor::None,
    };
    let sigma = NoiseScale::from_votes(1000.0, Lattice::DEFAULT).expect("a scale");
    let terms = CampaignTerms {
        key: campaign(),
        contract_digest: Digest::new([0; 32]),
        contract: Vec::new(),
        mechanism: GnMax::new(sigma).into(),
        unit: PrivacyUnit::Record,
        adjacency: Adjacency::AddRemove,
        scheme: VotingScheme::Ensemble,
        epsilon,
        delta,
        filter_order: FilterOrder::DEFAULT,
        queries_max: 10_000_000,
        classes: vec!["no".to_owned(), "yes".to_owned()],
        members: silos(),
        simulated: true,
    };
    book.transact(1, |transaction| {
        for silo in silos() {
            transaction.open_account(account(&silo))?;
        }
        transaction.open_campaign(terms)
    })
    .expect("durable")
    .expect("allowed");
    book
}

/// Reserve, draw and release `count` queries.
fn answer(book: &mut Book, from: u64, count: u64) {
    let queries = queries(from, count);
    let reservation =
        book.transact(1, |now| now.reserve(&campaign(), &queries)).expect("durable").expect("fits");
    let drawn = book.transact(1, |now| now.draw(reservation, Digest::new([0; 32]), &silos()));
    let permit = drawn.expect("durable").expect("drawn");
    let answers = answers(&permit);
    book.transact(1, |now| now.release(permit, answers)).expect("durable").expect("released");
}

/// Some batches of 100 one after the other, each step started by the reply to the one before.
fn chain(handle: &BookHandle, from: u64, batches: u64, done: std::sync::mpsc::Sender<()>) {
    if batches == 0 {
        done.send(()).expect("awaited");
        return;
    }
    let next = handle.clone();
    handle.reserve(campaign(), queries(from, 100), move |reservation| {
        let (then, silos) = (next.clone(), silos());
        next.draw(reservation.expect("fits"), Digest::new([0; 32]), silos, move |permit| {
            let permit = permit.expect("drawn");
            let answers = answers(&permit);
            let after = then.clone();
            then.release(permit, answers, move |released| {
                assert_eq!(released.expect("released").len(), 100);
                chain(&after, from + 100, batches - 1, done);
            });
        });
    });
}
