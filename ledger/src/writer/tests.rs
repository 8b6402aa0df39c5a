use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::backend::crashing::{Cut, Disk};
use crate::fixture::*;

/// A reply that the test can wait for.
fn reply<T: Send + 'static>() -> (impl FnOnce(T) + Send + 'static, Receiver<T>) {
    let (send, receive) = channel();
    (move |value| drop(send.send(value)), receive)
}

/// Reserve, draw and release one batch by way of a handle, on the calling thread's time.
fn answer_by(handle: &BookHandle, numbers: std::ops::Range<u32>) -> Result<Vec<Released>> {
    let (then, reserved) = reply();
    handle.reserve(digits(), queries(numbers), then);
    let (then, drawn) = reply();
    handle.draw(reserved.recv().expect("replied")?, Digest::new([3; 32]), SILOS.map(data).to_vec(), then);
    let permit: DrawPermit = drawn.recv().expect("replied")?;
    let answers = permit.queries().iter().map(|(query, _)| (*query, outcome(*query))).collect();
    let (then, released) = reply();
    handle.release(permit, answers, then);
    released.recv().expect("replied")
}

#[test]
fn many_threads_share_one_book() {
    let scratch = Scratch::new();
    let handle = BookWriter::spawn(scratch.book(), || NOON_MS).expect("started");
    let threads: Vec<_> = (0..8_u32)
        .map(|thread| {
            let handle = handle.clone();
            std::thread::spawn(move || {
                (0..5).for_each(|batch| {
                    let from = thread * 1000 + batch * 10;
                    assert_eq!(answer_by(&handle, from..from + 10).expect("answered").len(), 10);
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
    let (then, read) = reply();
    handle.read(|book| then(book.answers(&digits(), 0, 1000).len())).expect("open");
    assert_eq!(read.recv().expect("replied"), 400);
    handle.shutdown().expect("closed");
    assert!(matches!(answer_by(&handle, 0..1), Err(LedgerError::Closed)));
    assert!(matches!(handle.shutdown(), Err(LedgerError::Closed)));
    let found = crate::verify(&scratch.path()).expect("readable");
    assert_eq!((found.valid, found.entries), (true, 6 + 3 * 40));
}

#[test]
fn commands_that_wait_together_are_committed_together_and_one_refusal_is_alone() {
    let disk = Disk::formatted();
    let (mut book, _) = disk.boot();
    open_consortium(&mut book, 100.0);
    // One more append succeeds; if the commands below took two, the second would fail.
    disk.cut_after(1, Cut::BeforeWrite);
    let handle = BookWriter::spawn(book, || NOON_MS).expect("started");
    let (gate, waits) = channel::<()>();
    handle.read(move |_| waits.recv().expect("opened")).expect("open");
    let replies: Vec<_> = [0..2, 1..3, 4..6]
        .into_iter()
        .map(|numbers| {
            let (then, reserved) = reply();
            handle.reserve(digits(), queries(numbers), then);
            reserved
        })
        .collect();
    gate.send(()).expect("it waits");
    let replies: Vec<_> = replies.into_iter().map(|reply| reply.recv().expect("replied")).collect();
    assert!(replies[0].is_ok() && replies[2].is_ok());
    assert!(matches!(replies[1], Err(LedgerError::InFlight { .. })));
    let (then, refused) = reply();
    handle.reserve(digits(), queries(9..10), then);
    assert!(matches!(refused.recv().expect("replied"), Err(LedgerError::Halted { .. })), "the disk is gone");
    let (then, read) = reply();
    handle.read(|book| then(book.account(&data("ada")).expect("open").reserved())).expect("reads go on");
    assert_eq!(read.recv().expect("replied"), worst(4));
}

#[test]
fn a_full_queue_is_told_at_once_and_names_its_bound() {
    let scratch = Scratch::new();
    let handle = BookWriter::spawn(scratch.book(), || NOON_MS).expect("started");
    let (gate, waits) = channel::<()>();
    let (then, begun) = reply();
    handle
        .read(move |_| {
            then(());
            waits.recv().expect_err("the gate is dropped");
        })
        .expect("open");
    begun.recv().expect("it waits");
    for _ in 0..COMMANDS_WAITING_MAX {
        handle.read(|_| ()).expect("room");
    }
    let (then, refused) = reply();
    handle.reserve(digits(), queries(0..1), then);
    let refused = refused.try_recv().expect("at once").expect_err("full");
    assert!(refused.to_string().contains(&COMMANDS_WAITING_MAX.to_string()), "{refused}");
    drop(gate);
    handle.shutdown().expect("closed");
}

#[test]
fn open_reservations_are_reclaimed_by_way_of_a_handle() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    drop(reserve(&mut book, 0..3).expect("reserved"));
    let book = restart(book, &scratch);
    let handle = BookWriter::spawn(book, || NOON_MS).expect("started");
    let (then, reclaimed) = reply();
    handle.reclaim(digits(), then);
    let reservation = reclaimed.recv().expect("replied").expect("open").pop().expect("one");
    let (then, abandoned) = reply();
    handle.abandon(reservation, AbandonReason::Stopped, then);
    abandoned.recv().expect("replied").expect("abandoned");
}

#[test]
fn a_watcher_hears_how_long_each_commit_took_and_of_no_other() {
    let disk = Disk::formatted();
    let (mut book, _) = disk.boot();
    open_consortium(&mut book, 100.0);
    disk.cut_after(3, Cut::BeforeWrite);
    let (took, heard) = channel();
    let told = move |time| took.send(time).expect("the test listens");
    let handle = BookWriter::spawn_watched(book, || NOON_MS, told).expect("started");
    answer_by(&handle, 0..2).expect("answered");
    handle.read(|_| ()).expect("open");
    answer_by(&handle, 2..4).expect_err("the disk is gone");
    // The storage is gone with it; what counts is what was heard.
    let _ = handle.shutdown();
    assert_eq!(heard.iter().count(), 3, "reserve, draw and release; neither the read nor what failed");
}
