//! Pulling the plug at every operation, and comparing what comes back with what was acknowledged.

use std::collections::BTreeMap;

use conclave_privacy::quantity::{FilterOrder, Rho};
use proptest::prelude::*;

use super::*;
use crate::backend::crashing::{Cut, Disk};
use crate::entry::{ATTEMPTS_MAX, AbandonReason};
use crate::fixture::*;

/// One step of a campaign: a batch of `size` queries from `first` on, and how far it gets.
#[derive(Clone, Copy, Debug)]
struct Step {
    first: u32,
    size: u32,
    end: End,
    silos: usize,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Reserved,
    Abandoned,
    Drawn,
    Interrupted,
    Released,
    Restarted,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end = prop_oneof![
        Just(End::Reserved),
        Just(End::Abandoned),
        Just(End::Drawn),
        Just(End::Interrupted),
        Just(End::Released),
        Just(End::Released),
        Just(End::Restarted),
    ];
    let step = (0_u32..30, 1_u32..6, end, 1_usize..=3);
    proptest::collection::vec(
        step.prop_map(|(first, size, end, silos)| Step { first, size, end, silos }),
        1..40,
    )
}

/// What a witness outside the book knows: amounts by silo, answers received, draws in vain by query.
#[derive(Clone, Debug, Default)]
struct Witness {
    spent: [u64; 3],
    reserved: [u64; 3],
    answers: BTreeMap<QueryKey, Released>,
    cut: BTreeMap<QueryKey, u8>,
    in_flight: Vec<QueryKey>,
    undrawn: Vec<(u64, u64)>,
    drawn: Vec<(Vec<QueryKey>, usize)>,
}

impl Witness {
    fn begin(book: &Book) -> (Self, u64) {
        (Self::default(), book.account(&data("ada")).expect("open").cap().units())
    }

    fn charge(&mut self, silos: usize, held: u64, spent: u64) {
        for silo in 0..silos {
            self.reserved[silo] -= held;
            self.spent[silo] += spent;
        }
    }

    fn restart(&mut self) {
        for (queries, silos) in std::mem::take(&mut self.drawn) {
            self.interrupt(&queries, silos);
        }
    }

    fn interrupt(&mut self, queries: &[QueryKey], silos: usize) {
        let held = worst(queries.len() as u64).units();
        self.charge(silos, held, held);
        for query in queries {
            *self.cut.entry(*query).or_default() += 1;
        }
        self.in_flight.retain(|query| !queries.contains(query));
    }

    fn check(&self, book: &Book, cap: u64) {
        for (at, silo) in SILOS.iter().enumerate() {
            let account = book.account(&data(silo)).expect("open");
            assert_eq!(account.spent().units(), self.spent[at], "spent by {silo}");
            assert_eq!(account.reserved().units(), self.reserved[at], "reserved by {silo}");
            assert!(account.spent().units() + account.reserved().units() <= cap);
        }
        for (query, released) in &self.answers {
            assert_eq!(book.answer(&digits(), query).as_ref(), Some(released));
        }
    }
}

fn run(book: &mut Book, witness: &mut Witness, cap: u64, step: Step) {
    let asked = queries(step.first..step.first + step.size);
    let held = worst(asked.len() as u64).units();
    let most = (0..3).map(|silo| witness.spent[silo] + witness.reserved[silo]).max().unwrap_or(0);
    let standing = book.campaign(&digits()).expect("open");
    let fits = most + held <= cap
        && standing.spent().units() + standing.reserved().units() + held <= standing.sub_cap().units();
    let closed = |query: &QueryKey| {
        witness.answers.contains_key(query)
            || witness.in_flight.contains(query)
            || witness.cut.get(query).is_some_and(|cut| *cut >= ATTEMPTS_MAX)
    };
    let allowed = fits && !asked.iter().any(closed);
    let reservation = reserve(book, step.first..step.first + step.size);
    assert_eq!(reservation.is_ok(), allowed, "{reservation:?}");
    let Ok(reservation) = reservation else { return };
    for (query, attempt) in reservation.queries() {
        assert_eq!(*attempt, witness.cut.get(query).copied().unwrap_or(0) + 1);
    }
    witness.reserved.iter_mut().for_each(|reserved| *reserved += held);
    match step.end {
        End::Reserved | End::Restarted => {
            witness.in_flight.extend(&asked);
            witness.undrawn.push((reservation.number(), held));
            return;
        }
        End::Abandoned => {
            book.transact(1, |transaction| transaction.abandon(reservation, AbandonReason::Stopped))
                .expect("durable")
                .expect("allowed");
            return witness.charge(3, held, 0);
        }
        End::Drawn | End::Interrupted | End::Released => {}
    }
    let permit = draw_from(book, reservation, &SILOS[..step.silos]).expect("drawn");
    (step.silos..3).for_each(|silo| witness.reserved[silo] -= held);
    match step.end {
        End::Drawn => {
            witness.in_flight.extend(&asked);
            witness.drawn.push((asked, step.silos));
        }
        End::Interrupted => {
            book.transact(1, |transaction| transaction.interrupt(permit)).expect("durable").expect("allowed");
            witness.interrupt(&asked, step.silos);
        }
        _ => {
            let before = book.campaign(&digits()).expect("open").spent();
            let released = release(book, permit).expect("released");
            let sensitivity = campaign("digits", 1.0).sensitivity().expect("one move");
            let charge = asked.iter().map(|query| {
                mechanism()
                    .charge_within(&outcome(*query), &sensitivity, FilterOrder::DEFAULT)
                    .expect("a price")
            });
            let charge: u64 = charge.map(Rho::units).sum();
            assert_eq!(book.campaign(&digits()).expect("open").spent().units(), before.units() + charge);
            witness.charge(step.silos, held, charge);
            witness.answers.extend(released.into_iter().map(|released| (released.query(), released)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever the order of events, restarts included: never past a cap, nothing charged twice, no answer changed.
    #[test]
    fn any_sequence_of_steps_adds_up_as_a_witness_expects(steps in steps(), epsilon in 4.0..9.0_f64) {
        let disk = Disk::formatted();
        let (mut book, _) = disk.boot();
        open_consortium(&mut book, epsilon);
        let (mut witness, cap) = Witness::begin(&book);
        for step in steps {
            run(&mut book, &mut witness, cap, step);
            witness.check(&book, cap);
            if matches!(step.end, End::Restarted) {
                book = disk.boot().0;
                witness.restart();
                witness.check(&book, cap);
                prop_assert_eq!(book.reclaim(&digits()).len(), witness.undrawn.len());
            }
        }
    }
}

/// One batch from reservation to answer; the answers that a caller would have sent out.
fn one_batch(book: &mut Book, numbers: std::ops::Range<u32>) -> Result<Vec<Released>> {
    let reservation = reserve(book, numbers)?;
    let permit = draw(book, reservation)?;
    release(book, permit)
}

/// The power goes at the n-th write, before or after it reached the disk. What a caller was given is there
/// afterwards, unchanged; what was drawn is charged; and a retry never runs on the old charge.
#[test]
fn a_crash_at_any_write_loses_no_charge_and_changes_no_answer() {
    for cut in [Cut::BeforeWrite, Cut::AfterWrite] {
        for appends in 0..9 {
            let disk = Disk::formatted();
            let (mut book, _) = disk.boot();
            open_consortium(&mut book, 100.0);
            disk.cut_after(appends, cut);
            let mut received = Vec::new();
            let mut draws = 0;
            for batch in 0..3 {
                let numbers = batch * 4..batch * 4 + 4;
                let done = reserve(&mut book, numbers).and_then(|reservation| {
                    let permit = draw(&mut book, reservation)?;
                    draws += 1;
                    release(&mut book, permit)
                });
                match done {
                    Ok(released) => received.extend(released),
                    Err(_) => break,
                }
            }
            assert!(received.len() < 12 && book.halted().is_some());
            let told = book.answers(&digits(), 0, 100);
            assert!(told.starts_with(&received));

            let (mut book, recovery) = disk.boot();
            let account = book.account(&data("ada")).expect("open");
            let stored = book.answers(&digits(), 0, 100);
            assert!(stored.starts_with(&received), "an answer was lost or changed");
            // Noise is drawn under a permit alone, so no more draws can have happened than are charged.
            let charged = stored.len() / 4 + recovery.interrupted_draws;
            assert!(charged >= draws, "{cut:?} after {appends}: {draws} draws, {charged} charged");
            if recovery.interrupted_draws > 0 {
                assert!(account.spent().units() >= worst(4).units());
            }
            assert_eq!(recovery.open_reservations, book.reclaim(&digits()).len());
            if recovery.open_reservations == 0 {
                let next = u32::try_from(stored.len()).expect("few");
                one_batch(&mut book, next..next + 4).expect("the campaign goes on");
            }
        }
    }
}

/// A write-ahead log may be cut anywhere. What comes back is the state after some commit, and no earlier one
/// than the last whose flush was awaited.
#[test]
fn a_log_cut_at_any_place_gives_back_every_acknowledged_commit() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    let log = scratch.directory.path().join("ledger.db-wal");
    let log_bytes = || std::fs::read(&log).expect("open").len();
    let mut commits = vec![(log_bytes(), book.head(), book.entries())];
    for batch in 0..3 {
        let reservation = reserve(&mut book, batch * 5..batch * 5 + 5).expect("reserved");
        commits.push((log_bytes(), book.head(), book.entries()));
        let permit = draw(&mut book, reservation).expect("drawn");
        commits.push((log_bytes(), book.head(), book.entries()));
        release(&mut book, permit).expect("released");
        commits.push((log_bytes(), book.head(), book.entries()));
    }
    let (database, frames) =
        (std::fs::read(scratch.path()).expect("the file"), std::fs::read(&log).expect("the log"));
    let cut = Scratch::new();
    for length in (0..frames.len()).step_by(3001).chain(commits.iter().map(|commit| commit.0)) {
        std::fs::write(cut.path(), &database).expect("written");
        std::fs::write(cut.directory.path().join("ledger.db-wal"), &frames[..length]).expect("written");
        let found = crate::verify::verify(&cut.path()).expect("readable");
        assert_eq!(found.first_bad, None, "cut at {length}");
        let acknowledged = commits.iter().rev().find(|commit| commit.0 <= length);
        let acknowledged = acknowledged.map_or(0, |commit| commit.2);
        assert!(found.entries >= acknowledged, "cut at {length} lost a commit");
        assert!(found.entries == 2 || commits.iter().any(|commit| commit.1 == found.head), "cut at {length}");
        Book::open(&cut.path(), NOON_MS).expect("recovers").0.close().expect("closed");
    }
}

#[test]
fn a_commit_that_fails_hands_out_no_ticket_and_leaves_the_state_as_it_was() {
    let disk = Disk::formatted();
    let (mut book, _) = disk.boot();
    open_consortium(&mut book, 100.0);
    let (before, entries) = (book.account(&data("ada")), disk.entries());
    disk.cut_after(0, Cut::BeforeWrite);
    assert!(reserve(&mut book, 0..3).is_err());
    assert_eq!(book.account(&data("ada")), before);
    assert_eq!(disk.entries(), entries);
    assert!(matches!(reserve(&mut book, 0..3), Err(LedgerError::Halted { .. })));
    assert!(book.reclaim(&digits()).is_empty());
}
