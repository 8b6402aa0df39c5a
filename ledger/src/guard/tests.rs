use tempfile::TempDir;

use super::*;
use crate::fixture::{digits, queries, query};

const CONTRACT: Digest = Digest::new([5; 32]);

fn place() -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("guard.db");
    (directory, path)
}

#[test]
fn a_query_counts_once_and_repeats_are_free_across_restarts() {
    let (_directory, path) = place();
    let mut book = GuardBook::open(&path, 5, 1).expect("made");
    book.reserve(&digits(), CONTRACT, &queries(0..4), 1).expect("four of five");
    book.reserve(&digits(), CONTRACT, &queries(2..4), 1).expect("free");
    book.close().expect("closed");
    let mut book = GuardBook::open(&path, 5, 2).expect("opened");
    assert_eq!(book.used(), 4);
    book.reserve(&digits(), CONTRACT, &[query(0), query(9), query(9)], 2).expect("one new one");
    let refused = book.reserve(&digits(), CONTRACT, &[query(0), query(10)], 2).expect_err("past the cap");
    assert!(matches!(refused, LedgerError::GuardSpent { cap_queries: 5, used: 5, asked: 1 }), "{refused}");
    book.reserve(&digits(), CONTRACT, &queries(0..4), 2).expect("repeats go on");
    assert_eq!((book.used(), book.used_by(&digits())), (5, 5));
}

#[test]
fn the_cap_is_over_all_campaigns_and_a_new_one_is_recorded() {
    let (_directory, path) = place();
    let other = CampaignKey::new("other").expect("a name");
    let mut book = GuardBook::open(&path, 3, 1).expect("made");
    book.reserve(&digits(), CONTRACT, &queries(0..2), 1).expect("two of three");
    assert!(book.reserve(&other, CONTRACT, &queries(0..2), 1).is_err());
    let head = book.head();
    book.close().expect("closed");
    let mut book = GuardBook::open(&path, 4, 2).expect("raised");
    assert_ne!(book.head(), head);
    book.reserve(&other, CONTRACT, &queries(0..2), 1)
        .expect("the same query in another campaign is another one");
    book.close().expect("closed");
    let mut book = GuardBook::open(&path, 1, 3).expect("lowered below what is used");
    assert!(book.reserve(&digits(), CONTRACT, &queries(5..6), 1).is_err());
}

#[test]
fn a_batch_of_requests_is_judged_one_by_one() {
    let (_directory, path) = place();
    let mut book = GuardBook::open(&path, 3, 1).expect("made");
    let request = |contract_digest, numbers| GuardRequest {
        campaign: digits(),
        contract_digest,
        queries: queries(numbers),
    };
    let requests = [request(CONTRACT, 0..2), request(Digest::new([6; 32]), 2..3), request(CONTRACT, 1..3)];
    let replies = book.reserve_many(&requests, 1).expect("durable");
    assert!(replies[0].is_ok() && replies[2].is_ok());
    assert!(matches!(replies[1], Err(LedgerError::Mismatch { field: "contract digest", .. })));
    assert_eq!(book.used(), 3);
}

#[test]
fn a_changed_or_foreign_file_is_refused() {
    let (directory, path) = place();
    let mut book = GuardBook::open(&path, 9, 1).expect("made");
    book.reserve(&digits(), CONTRACT, &queries(0..2), 1).expect("two");
    assert!(matches!(GuardBook::open(&path, 9, 1), Err(LedgerError::InUse { .. })));
    book.close().expect("closed");
    let connection = rusqlite::Connection::open(&path).expect("opened");
    connection.execute("INSERT INTO entry SELECT 3, kind, recorded_at_ms, campaign, reservation, account, body, hash, signed_head FROM entry WHERE seq = 2", []).expect("anybody can");
    drop(connection);
    let refused = GuardBook::open(&path, 9, 1).expect_err("a row that we did not write");
    assert!(
        matches!(&refused, LedgerError::Corrupt { fault: Fault { entry: Some(3), .. }, .. }),
        "{refused}"
    );

    let scratch = crate::fixture::Scratch::new();
    scratch.book().close().expect("closed");
    assert!(matches!(GuardBook::open(&scratch.path(), 9, 1), Err(LedgerError::NotALedger { .. })));
    drop(directory);
}

#[test]
fn allowing_more_than_the_disk_takes_halts_the_guard() {
    let (_directory, path) = place();
    GuardBook::open(&path, 1_000_000, 1).expect("made").close().expect("closed");
    let store = Embedded::open(&path, FileKind::Guard).expect("opened");
    let mut tally = Tally::default();
    store.rows(&mut |row| tally.follow(&row).map_err(|_| LedgerError::Closed)).expect("good");
    store.connection().query_row("PRAGMA max_page_count=8", [], |_| Ok(())).expect("set");
    let mut book = GuardBook { store: Box::new(store), path, tally, halted: None };
    let full = (0..50).find_map(|batch| {
        book.reserve(&digits(), CONTRACT, &queries(batch * 100..batch * 100 + 100), 1).err()
    });
    let full = full.expect("it is full");
    assert!(matches!(full, LedgerError::Storage { .. }));
    let (words, place) = (full.to_string(), book.path().display().to_string());
    assert!(words.contains(&place) && words.contains("; give its disk room"), "{words}");
    let halted = book.reserve(&digits(), CONTRACT, &queries(0..1), 1).expect_err("nothing more is allowed");
    assert!(matches!(halted, LedgerError::Halted { .. }));
    let words = halted.to_string();
    assert!(words.contains(&place) && words.matches("; ").count() == 1, "one problem and one fix: {words}");
}

#[test]
fn a_book_can_be_inspected_while_its_node_holds_it_and_damage_is_named() {
    let (_directory, path) = place();
    let mut book = GuardBook::open(&path, 9, 1).expect("made");
    book.reserve(&digits(), CONTRACT, &queries(0..2), 1).expect("two");
    let totals = GuardBook::inspect(&path).expect("a copy is read");
    assert_eq!(totals, GuardTotals { entries: 2, cap_queries: 9, used: 2 });
    book.close().expect("closed");
    let connection = rusqlite::Connection::open(&path).expect("opened");
    // Triggers stop mistakes, not people.
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).expect("set");
    connection.execute("UPDATE entry SET recorded_at_ms = 7 WHERE seq = 2", []).expect("anybody can");
    drop(connection);
    let refused = GuardBook::inspect(&path).expect_err("a row that we did not write");
    assert!(
        matches!(&refused, LedgerError::Corrupt { fault: Fault { entry: Some(2), .. }, .. }),
        "{refused}"
    );
}
