use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::AbandonReason;
use crate::fixture::{Scratch, answer, cut_short, digits, queries, reserve, restart};

/// A ledger with every kind of entry but `abandon`, big rows on overflow pages and small ones, closed.
fn closed_ledger(scratch: &Scratch, batches: u32) -> Vec<u8> {
    let mut book = scratch.book();
    for batch in 0..batches {
        answer(&mut book, batch * 10..batch * 10 + 10);
    }
    cut_short(&mut book, 900_000..900_002);
    drop(reserve(&mut book, 910_000..910_300).expect("reserved"));
    restart(book, scratch).close().expect("closed");
    std::fs::read(scratch.path()).expect("the file")
}

fn verify_bytes(at: &Path, bytes: &[u8]) -> Result<Verification> {
    std::fs::write(at, bytes).expect("writable");
    verify(at)
}

#[test]
fn a_closed_ledger_is_valid_and_nothing_is_written_beside_it() {
    let scratch = Scratch::new();
    let bytes = closed_ledger(&scratch, 5);
    let found = verify(&scratch.path()).expect("readable");
    assert_eq!(found.first_bad, None);
    assert!(found.valid && found.simulated);
    assert_eq!((found.unit, found.delta, found.epsilon), (Some("record"), Some(1e-5), Some(100.0)));
    assert!(found.epsilon_spent.expect("charged") > 0.0);
    assert_eq!(found.accounts.len(), 3);
    assert_eq!(std::fs::read(scratch.path()).expect("the file"), bytes);
    assert_eq!(std::fs::read_dir(scratch.directory.path()).expect("listed").count(), 1);
}

/// Deep trees have pages that SQLite balances and rewrites; none may leave bytes that mean nothing.
#[test]
fn a_ledger_of_thousands_of_entries_is_valid() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    for round in 0..28 {
        let batches = (round * 100..round * 100 + 100).map(|batch| queries(batch * 40..batch * 40 + 40));
        let reserved = book
            .transact(1, |transaction| {
                batches.map(|batch| transaction.reserve(&digits(), &batch)).collect::<Vec<_>>()
            })
            .expect("durable");
        book.transact(1, |transaction| {
            for reservation in reserved {
                transaction.abandon(reservation?, AbandonReason::Stopped)?;
            }
            Ok::<_, LedgerError>(())
        })
        .expect("durable")
        .expect("abandoned");
    }
    book.close().expect("closed");
    let found = verify(&scratch.path()).expect("readable");
    assert_eq!(found.first_bad, None);
    assert_eq!(found.entries, 6 + 28 * 200);
}

#[test]
fn an_open_ledger_can_be_verified_while_its_owner_writes() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    for batch in 0..5 {
        answer(&mut book, batch * 10..batch * 10 + 10);
        let found = verify(&scratch.path()).expect("readable");
        assert_eq!((found.first_bad, found.entries), (None, book.entries()));
        assert_eq!(found.head, book.head());
    }
}

#[test]
fn single_flipped_bytes_are_found() {
    let scratch = Scratch::new();
    let good = closed_ledger(&scratch, 3);
    let flipped = scratch.directory.path().join("flipped.db");
    let (mut tried, mut missed) = (0_u32, Vec::new());
    // Every byte of the file header and each page's head, and a stride over the rest; each with another change.
    let interesting = |at: usize| at < 100 || at % 4096 < 24 || at.is_multiple_of(29);
    for at in (0..good.len()).filter(|at| interesting(*at)) {
        let mut bad = good.clone();
        bad[at] ^= [0x01, 0x80, 0xff, 0x10, 0x08][at % 5];
        tried += 1;
        if verify_bytes(&flipped, &bad).is_ok_and(|found| found.valid) {
            missed.push(at);
        }
    }
    let found = f64::from(tried) - missed.len() as f64;
    assert!(found >= 0.99 * f64::from(tried), "{} of {tried} flips missed, at {missed:?}", missed.len());
}

#[test]
fn a_changed_charge_is_named_by_its_entry() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    answer(&mut book, 0..5);
    let entries = book.entries();
    book.close().expect("closed");
    let connection = rusqlite::Connection::open(scratch.path()).expect("opened");
    // Triggers stop mistakes, not people; the chain is what tells.
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).expect("set");
    let changed = connection
        .execute(
            "UPDATE entry SET body = CAST(substr(body, 1, 17) || x'00' || substr(body, 19) AS BLOB) WHERE kind = 'release'",
            [],
        )
        .expect("SQLite lets anybody");
    assert_eq!(changed, 1);
    connection.close().expect("closed");
    let found = verify(&scratch.path()).expect("readable");
    assert!(!found.valid);
    assert_eq!(found.first_bad.expect("named").entry, Some(entries));
    assert!(
        matches!(crate::Book::open(&scratch.path(), 0), Err(LedgerError::Corrupt { fault: Fault { entry: Some(at), .. }, .. }) if at == entries)
    );
}

#[test]
fn a_file_of_something_else_is_not_a_ledger_and_a_missing_one_is_missing() {
    let scratch = Scratch::new();
    assert!(matches!(verify(&scratch.path()), Err(LedgerError::Missing { .. })));
    for bytes in [Vec::new(), b"hello".to_vec(), vec![0; 5000]] {
        assert!(matches!(verify_bytes(&scratch.path(), &bytes), Err(LedgerError::NotALedger { .. })));
    }
    let other = scratch.directory.path().join("other.db");
    rusqlite::Connection::open(&other).expect("made").execute_batch("CREATE TABLE t (x)").expect("made");
    assert!(matches!(verify(&other), Err(LedgerError::NotALedger { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_verification_panic(
        cuts in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..40),
        length in any::<proptest::sample::Index>(),
        truncated in any::<bool>(),
    ) {
        let scratch = Scratch::new();
        let mut bytes = CLOSED.with(Clone::clone);
        for (at, byte) in cuts {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if truncated {
            bytes.truncate(length.index(bytes.len()));
        }
        let _ = verify_bytes(&scratch.path(), &bytes);
        let _ = pages::check(&bytes, &[], 2);
    }
}

thread_local! {
    static CLOSED: Vec<u8> = closed_ledger(&Scratch::new(), 2);
}
