use conclave_privacy::counts::ClassIndex;
use conclave_privacy::mechanism::Outcome;
use conclave_privacy::quantity::{FilterOrder, Rho};

use super::*;
use crate::backend::Store;
use crate::entry::{ATTEMPTS_MAX, AbandonReason};
use crate::error::{BudgetSpent, Wall};
use crate::fixture::*;
use crate::keys::Digest;
use crate::state::Answer;
use crate::terms::{AccountTerms, Predecessor};

fn spent(book: &Book, silo: &str) -> Rho {
    book.account(&data(silo)).expect("open").spent()
}

fn reserved(book: &Book, silo: &str) -> Rho {
    book.account(&data(silo)).expect("open").reserved()
}

fn open_account(book: &mut Book, terms: AccountTerms) -> Result<()> {
    book.transact(NOON_MS, |transaction| transaction.open_account(terms))?
}

#[test]
fn a_batch_is_reserved_at_its_worst_case_and_charged_for_what_ran() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    let reservation = reserve(&mut book, 0..6).expect("reserved");
    assert_eq!(reserved(&book, "ada"), worst(6));
    assert_eq!(book.campaign(&digits()).expect("open").reserved(), worst(6));
    let permit = draw(&mut book, reservation).expect("drawn");
    let released = release(&mut book, permit).expect("released");

    let sensitivity = campaign("digits", 1.0).sensitivity().expect("one move");
    let abstention =
        mechanism().charge_within(&Outcome::Abstained, &sensitivity, FilterOrder::DEFAULT).expect("a price");
    let charge = worst(4).checked_add(abstention.checked_mul(2).expect("small")).expect("small");
    for silo in SILOS {
        assert_eq!((spent(&book, silo), reserved(&book, silo)), (charge, Rho::ZERO));
    }
    assert_eq!(book.campaign(&digits()).expect("open").spent(), charge);
    assert_eq!(released.len(), 6);
    assert_eq!(released[0].answer(), Answer::Abstained);
    assert_eq!(released[4].answer(), Answer::Label(ClassIndex(4)));
    assert_eq!(book.answers(&digits(), 4, 10), released[4..]);
}

#[test]
fn a_repeated_query_is_refused_before_any_charge_and_served_as_stored() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    let first = answer(&mut book, 0..3);
    let before = spent(&book, "ada");
    assert!(
        matches!(reserve(&mut book, 2..5), Err(LedgerError::AlreadyAnswered { query: q, .. }) if q == query(2))
    );
    let mut book = restart(book, &scratch);
    assert!(matches!(reserve(&mut book, 0..1), Err(LedgerError::AlreadyAnswered { .. })));
    assert_eq!(book.answer(&digits(), &query(1)), Some(first[1]));
    assert_eq!((spent(&book, "ada"), reserved(&book, "ada")), (before, Rho::ZERO));
}

#[test]
fn a_query_in_flight_or_named_twice_is_refused() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    let reservation = reserve(&mut book, 0..3).expect("reserved");
    assert!(matches!(reserve(&mut book, 2..4), Err(LedgerError::InFlight { .. })));
    let permit = draw(&mut book, reservation).expect("drawn");
    assert!(matches!(reserve(&mut book, 2..4), Err(LedgerError::InFlight { .. })));
    release(&mut book, permit).expect("released");
    let twice = book.transact(NOON_MS, |transaction| transaction.reserve(&digits(), &[query(9), query(9)]));
    assert!(matches!(twice.expect("durable"), Err(LedgerError::Repeated { .. })));
}

#[test]
fn the_cap_of_the_data_is_a_wall_across_campaigns_and_says_what_is_left() {
    let scratch = Scratch::new();
    let mut book = Book::create(&scratch.path(), genesis(), NOON_MS).expect("new");
    open_consortium(&mut book, 3.0);
    let cap = book.account(&data("ada")).expect("open").cap();
    let fit = u32::try_from(cap.units() / worst(1).units()).expect("few");
    let refused = reserve(&mut book, 0..fit + 1).expect_err("past the cap");
    let LedgerError::BudgetSpent(why) = &refused else { panic!("{refused}") };
    assert!(matches!(&**why, BudgetSpent { wall: Wall::Campaign(_), .. }));
    answer(&mut book, 0..fit);

    let mut other = campaign("letters", 3.0);
    other.members.truncate(1);
    let letters = other.key.clone();
    book.transact(NOON_MS, |transaction| transaction.open_campaign(other))
        .expect("durable")
        .expect("allowed");
    let left = book.account(&data("ada")).expect("open").left();
    let queries = queries(0..u32::try_from(left.units() / worst(1).units() + 1).expect("few"));
    let refused =
        book.transact(NOON_MS, |transaction| transaction.reserve(&letters, &queries)).expect("durable");
    let refused = refused.expect_err("past the cap");
    let LedgerError::BudgetSpent(why) = &refused else { panic!("{refused}") };
    assert_eq!(why.wall, Wall::Account(data("ada")));
    assert_eq!((why.cap, why.left, why.asked), (cap, left, worst(queries.len() as u64)));
    let text = refused.to_string();
    assert!(text.contains("ada/1") && text.contains(&left.units().to_string()), "{text}");
}

#[test]
fn a_campaign_holds_no_more_queries_than_its_contract_says() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    let few = crate::terms::CampaignTerms { queries_max: 3, ..campaign("few", 100.0) };
    let key = few.key.clone();
    book.transact(NOON_MS, |transaction| transaction.open_campaign(few)).expect("durable").expect("allowed");
    let mut ask =
        |numbers| book.transact(NOON_MS, |transaction| transaction.reserve(&key, &queries(numbers)));
    drop(ask(0..2).expect("durable").expect("two fit"));
    let refused = ask(2..4).expect("durable").expect_err("four do not");
    assert!(matches!(refused, LedgerError::QueriesSpent { held: 2, asked: 2, queries_max: 3, left: 1, .. }));
    drop(ask(2..3).expect("durable").expect("three fit"));
}

#[test]
fn silos_that_did_not_vote_get_their_part_back_at_the_draw() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    let reservation = reserve(&mut book, 0..4).expect("reserved");
    let permit = draw_from(&mut book, reservation, &["cyd", "ada"]).expect("drawn");
    assert_eq!((reserved(&book, "ada"), reserved(&book, "bel")), (worst(4), Rho::ZERO));
    release(&mut book, permit).expect("released");
    assert_eq!(spent(&book, "bel"), Rho::ZERO);
    assert_eq!(spent(&book, "ada"), spent(&book, "cyd"));
}

#[test]
fn a_refused_draw_leaves_the_reservation_to_be_reclaimed() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    let reservation = reserve(&mut book, 0..1).expect("reserved");
    let number = reservation.number();
    assert!(book.reclaim(&digits()).is_empty(), "its ticket is out");
    assert!(matches!(draw_from(&mut book, reservation, &["eve"]), Err(LedgerError::UnknownAccount(_))));
    let again = book.reclaim(&digits()).pop().expect("given back");
    assert_eq!(again.number(), number);
    assert!(draw_from(&mut book, again, &[]).is_err(), "nobody voted");
    let again = book.reclaim(&digits()).pop().expect("given back");
    drop(draw(&mut book, again).expect("drawn"));
}

#[test]
fn an_abandoned_batch_costs_nothing_and_its_queries_are_free() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    let reservation = reserve(&mut book, 0..4).expect("reserved");
    book.transact(NOON_MS, |transaction| transaction.abandon(reservation, AbandonReason::NoQuorum))
        .expect("durable")
        .expect("abandoned");
    assert_eq!((spent(&book, "ada"), reserved(&book, "ada")), (Rho::ZERO, Rho::ZERO));
    assert_eq!(book.campaign(&digits()).expect("open").queries_held(), 0);
    assert_eq!(reserve(&mut book, 0..4).expect("free again").queries()[0].1, 1);
}

#[test]
fn after_the_draw_there_is_no_abandoning() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    let permit = {
        let reservation = reserve(&mut book, 0..1).expect("reserved");
        draw(&mut book, reservation).expect("drawn")
    };
    let abandon = Entry::Abandon(crate::entry::Abandon {
        number: permit.number(),
        epoch: 1,
        reason: AbandonReason::Stopped,
    });
    let refused = book.ledger.stage(NOON_MS, &abandon).expect_err("it is drawn");
    assert!(matches!(refused, LedgerError::WrongStage { found: "drawn", .. }));
}

#[test]
fn answers_must_be_those_of_the_draw() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    let mut attempt = |answers: Vec<_>| {
        let from = 10 * u32::try_from(book.entries()).expect("few");
        let reservation = reserve(&mut book, from..from + 2).expect("reserved");
        let permit = draw(&mut book, reservation).expect("drawn");
        let answers = answers.into_iter().map(|(at, outcome)| (query(from + at), outcome)).collect();
        book.transact(NOON_MS, |transaction| transaction.release(permit, answers)).expect("durable")
    };
    let label = |class| Outcome::Label(ClassIndex(class));
    for wrong in [
        vec![(0, label(1))],
        vec![(1, label(1)), (0, label(1))],
        vec![(0, label(1)), (1, label(10))],
        vec![(0, label(1)), (1, label(1)), (2, label(1))],
    ] {
        assert!(matches!(attempt(wrong), Err(LedgerError::WrongAnswers { .. })));
    }
    assert!(attempt(vec![(0, label(9)), (1, Outcome::Abstained)]).is_ok());
}

#[test]
fn after_a_restart_an_undrawn_reservation_is_asked_again_under_the_same_charge() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    let first = reserve(&mut book, 0..4).expect("reserved");
    let mut book = restart(book, &scratch);
    assert_eq!(reserved(&book, "ada"), worst(4));
    let again = book.reclaim(&digits());
    assert_eq!(again, [first]);
    assert!(book.reclaim(&digits()).is_empty(), "one ticket at a time");
    let permit = draw(&mut book, again.into_iter().next().expect("one")).expect("drawn in the new epoch");
    release(&mut book, permit).expect("released");
    assert_eq!(reserved(&book, "ada"), Rho::ZERO);
}

#[test]
fn an_interrupted_draw_is_spent_in_full_by_those_who_voted_and_never_redrawn_on_that_charge() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    let reservation = reserve(&mut book, 0..4).expect("reserved");
    drop(draw_from(&mut book, reservation, &["ada", "bel"]).expect("drawn"));
    book.close().expect("closed");
    let (mut book, recovery) = Book::open(&scratch.path(), NOON_MS).expect("opened");
    assert_eq!(recovery, Recovery { epoch: 2, interrupted_draws: 1, open_reservations: 0 });
    assert_eq!((spent(&book, "ada"), spent(&book, "cyd")), (worst(4), Rho::ZERO));
    assert_eq!(reserved(&book, "ada"), Rho::ZERO);
    let again = reserve(&mut book, 3..5).expect("free again, at a new charge");
    assert_eq!(again.queries(), [(query(3), 2), (query(4), 1)]);
    assert_eq!(reserved(&book, "ada"), worst(2));
}

#[test]
fn a_query_interrupted_three_times_gets_that_as_its_stored_answer() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    for _ in 0..ATTEMPTS_MAX {
        cut_short(&mut book, 0..2);
        book = restart(book, &scratch);
    }
    assert_eq!(spent(&book, "ada"), worst(2 * u64::from(ATTEMPTS_MAX)));
    let stored = book.answer(&digits(), &query(1)).expect("closed");
    assert_eq!((stored.answer(), stored.attempt()), (Answer::Interrupted, ATTEMPTS_MAX));
    assert!(matches!(reserve(&mut book, 1..2), Err(LedgerError::AlreadyAnswered { .. })));
    assert_eq!(book.campaign(&digits()).expect("open").answers().interrupted, 2);
}

#[test]
fn a_draw_given_up_in_the_same_process_is_spent_too() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    let reservation = reserve(&mut book, 0..2).expect("reserved");
    let permit = draw(&mut book, reservation).expect("drawn");
    book.transact(NOON_MS, |transaction| transaction.interrupt(permit)).expect("durable").expect("given up");
    assert_eq!((spent(&book, "ada"), reserved(&book, "ada")), (worst(2), Rho::ZERO));
    assert_eq!(reserve(&mut book, 0..1).expect("free again").queries()[0].1, 2);
}

#[test]
fn changed_data_inherit_the_spend_of_the_data_before_them() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    answer(&mut book, 0..4);
    drop(reserve(&mut book, 10..12).expect("reserved"));
    let second = |predecessor| AccountTerms {
        data: crate::keys::DataKey::new("ada/2").expect("a name"),
        partition: Digest::new([9; 32]),
        predecessor,
        ..account("ada", 100.0)
    };
    let unnamed = open_account(&mut book, second(Predecessor::None)).expect_err("ada has data already");
    assert!(matches!(unnamed, LedgerError::PredecessorUnnamed { latest, .. } if latest == data("ada")));
    let richer = AccountTerms {
        epsilon: conclave_privacy::quantity::Epsilon::new(101.0).expect("above 0"),
        ..second(Predecessor::Inherits(data("ada")))
    };
    assert!(matches!(open_account(&mut book, richer), Err(LedgerError::Mismatch { field: "cap", .. })));
    open_account(&mut book, second(Predecessor::Inherits(data("ada")))).expect("opened");

    let (old, new) = (
        book.account(&data("ada")).expect("open"),
        book.account(&second(Predecessor::None).data).expect("open"),
    );
    let committed = old.spent().checked_add(old.reserved()).expect("small");
    assert_eq!((new.spent(), new.inherited()), (committed, committed));
    assert_eq!(old.successor(), Some(&new.terms().data));
    assert!(matches!(reserve(&mut book, 20..21), Err(LedgerError::Superseded { .. })));
    let book = restart(book, &scratch);
    assert_eq!(book.account(&new.terms().data), Some(new));
}

#[test]
fn people_declared_to_be_others_start_afresh_and_the_declaration_is_on_record() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    answer(&mut book, 0..4);
    let others = AccountTerms {
        data: crate::keys::DataKey::new("ada/2").expect("a name"),
        predecessor: Predecessor::Disjoint(data("ada")),
        ..account("ada", 100.0)
    };
    open_account(&mut book, others.clone()).expect("opened");
    assert_eq!(spent(&book, "ada"), book.campaign(&digits()).expect("open").spent());
    let opened = book.account(&others.data).expect("open");
    assert_eq!((opened.spent(), opened.terms()), (Rho::ZERO, &others));
    reserve(&mut book, 20..21).map(drop).expect("the old data go on");
}

#[test]
fn the_same_terms_again_change_nothing_and_other_terms_are_refused() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    let entries = book.entries();
    open_consortium(&mut book, 100.0);
    assert_eq!(book.entries(), entries);
    assert!(open_account(&mut book, account("ada", 99.0)).is_err());
    let other = crate::terms::CampaignTerms { queries_max: 7, ..campaign("digits", 100.0) };
    assert!(
        book.transact(NOON_MS, |transaction| transaction.open_campaign(other)).expect("durable").is_err()
    );
    for wrong in [
        crate::terms::CampaignTerms { simulated: false, ..campaign("other", 100.0) },
        crate::terms::CampaignTerms { members: vec![data("eve")], ..campaign("other", 100.0) },
        crate::terms::CampaignTerms { classes: vec!["one".to_owned()], ..campaign("other", 100.0) },
        // More than the two bytes of an answer tell apart.
        crate::terms::CampaignTerms {
            classes: vec!["one".to_owned(); (1 << 16) + 1],
            ..campaign("other", 100.0)
        },
        crate::terms::CampaignTerms {
            adjacency: conclave_privacy::unit::Adjacency::Replace,
            ..campaign("other", 100.0)
        },
        campaign("other", 101.0),
    ] {
        let refused =
            book.transact(NOON_MS, |transaction| transaction.open_campaign(wrong)).expect("durable");
        assert!(refused.is_err());
    }
    assert_eq!(book.entries(), entries);
}

#[test]
fn a_refusal_does_not_disturb_the_rest_of_its_transaction() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    let (good, bad) = book
        .transact(NOON_MS, |transaction| {
            let bad = transaction.reserve(&CampaignKey::new("unknown").expect("a name"), &queries(0..1));
            (transaction.reserve(&digits(), &queries(0..2)), bad)
        })
        .expect("durable");
    assert!(matches!(bad, Err(LedgerError::UnknownCampaign(_))));
    drop(draw(&mut book, good.expect("reserved")).expect("drawn"));
}

#[test]
fn a_second_process_is_refused_and_told_which_file() {
    let scratch = Scratch::new();
    let book = scratch.book();
    let refused = Book::open(&scratch.path(), NOON_MS).expect_err("it is held");
    assert!(matches!(refused, LedgerError::InUse { .. }), "{refused}");
    assert!(refused.to_string().contains("ledger.db"));
    book.close().expect("closed");
    Book::open(&scratch.path(), NOON_MS).expect("free again").0.close().expect("closed");
    assert!(matches!(Book::create(&scratch.path(), genesis(), 0), Err(LedgerError::Exists { .. })));
}

#[test]
fn a_clean_close_leaves_one_file() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    answer(&mut book, 0..300);
    book.close().expect("closed");
    let files: Vec<_> = std::fs::read_dir(scratch.directory.path())
        .expect("listed")
        .map(|file| file.expect("there").file_name())
        .collect();
    assert_eq!(files, ["ledger.db"]);
}

#[test]
fn a_full_disk_halts_the_book_and_releases_nothing() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    answer(&mut book, 0..2);
    book.close().expect("closed");
    let store = Embedded::open(&scratch.path(), FileKind::Ledger).expect("opened");
    let ledger = Replay::of(&scratch.path(), |visit| store.rows(visit)).expect("good");
    let pages: u32 =
        store.connection().query_row("PRAGMA page_count", [], |row| row.get(0)).expect("counted");
    store
        .connection()
        .query_row(&format!("PRAGMA max_page_count={}", pages + 12), [], |_| Ok(()))
        .expect("set");
    let (mut book, _) =
        Book::recover(Box::new(store), &scratch.path(), ledger, NOON_MS).expect("room for this");

    let mut from = 100;
    let full = loop {
        let done = reserve(&mut book, from..from + 100).and_then(|reservation| draw(&mut book, reservation));
        match done.and_then(|permit| release(&mut book, permit)) {
            Ok(_) => from += 100,
            Err(full) => break full,
        }
    };
    assert!(full.to_string().contains("full"), "{full}");
    assert!(matches!(reserve(&mut book, 0..1), Err(LedgerError::Halted { .. })));
    assert_eq!(
        book.answers(&digits(), 0, 10_000).len(),
        2 + (from as usize - 100),
        "reads go on, as committed"
    );
    assert_eq!(book.answer(&digits(), &query(from)), None);
    drop(book);
    let (book, _) = Book::open(&scratch.path(), NOON_MS).expect("what is there is good");
    assert_eq!(book.answers(&digits(), 0, 10_000).len(), 2 + (from as usize - 100));
}

#[cfg(unix)]
#[test]
fn a_ledger_its_log_and_a_guards_book_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let modes = || {
        let files = std::fs::read_dir(scratch.directory.path()).expect("it is there").map(|file| {
            let file = file.expect("it can be listed");
            (file.file_name(), file.metadata().expect("it has a mode").permissions().mode() & 0o777)
        });
        files.collect::<Vec<_>>()
    };
    let book = scratch.book();
    let guard =
        crate::guard::GuardBook::open(&scratch.directory.path().join("guard.db"), 9, 1).expect("made");
    let open = modes();
    assert!(open.len() >= 4, "each has its log beside it: {open:?}");
    assert!(open.iter().all(|(_, mode)| *mode == 0o600), "{open:?}");
    book.close().expect("closed");
    guard.close().expect("closed");
    let closed = modes();
    assert!(closed.len() == 2 && closed.iter().all(|(_, mode)| *mode == 0o600), "{closed:?}");
}
