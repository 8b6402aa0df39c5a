//! One thread that owns the book, and handles with which many callers share its commits.
//!
//! The thread takes every command that waits, stages all of them in one transaction, makes them durable with
//! one flush, and then answers each. A command that is refused does not disturb its neighbours; if the storage
//! fails, all of them fail, and so does everything after.

#[cfg(test)]
mod tests;

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use conclave_privacy::mechanism::Outcome;

use crate::book::{Book, Committed, DrawPermit, Proof, Reservation, Settle, Transaction};
use crate::entry::AbandonReason;
use crate::error::{LedgerError, Result};
use crate::keys::{CampaignKey, DataKey, Digest, QueryKey};
use crate::state::Released;
use crate::terms::{AccountTerms, CampaignTerms};

/// Starts the thread that owns a book.
pub struct BookWriter;

/// A way to the book from any thread. Cheap to clone; the book closes by [`BookHandle::shutdown`], or when the
/// last handle is gone.
#[derive(Clone)]
pub struct BookHandle {
    commands: SyncSender<Command>,
    thread: Arc<Mutex<Option<JoinHandle<Result<()>>>>>,
}

/// The most commands that may wait; beyond it callers are told to try again later.
pub const COMMANDS_WAITING_MAX: usize = 4096;

/// The most commands of one commit.
pub const COMMANDS_PER_COMMIT_MAX: usize = 1024;

impl BookWriter {
    /// Moves `book` to a thread of its own. `clock` gives Unix time in milliseconds.
    pub fn spawn(book: Book, clock: impl Fn() -> u64 + Send + 'static) -> Result<BookHandle> {
        Self::spawn_watched(book, clock, |_| {})
    }

    /// The same; `committed` is told on the book's thread how long each commit took, from staging to the disk's word. It
    /// should be quick.
    pub fn spawn_watched(
        book: Book,
        clock: impl Fn() -> u64 + Send + 'static,
        committed: impl Fn(Duration) + Send + 'static,
    ) -> Result<BookHandle> {
        let (commands, waiting) = sync_channel(COMMANDS_WAITING_MAX);
        let path = book.path().to_owned();
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || write(book, &waiting, clock, committed))
            .map_err(|source| LedgerError::File { doing: "start the thread that writes", path, source })?;
        Ok(BookHandle { commands, thread: Arc::new(Mutex::new(Some(thread))) })
    }
}

impl BookHandle {
    /// Sets budget aside for `queries`; `reply` runs on the ledger's thread once it is durable, or refused.
    pub fn reserve(
        &self,
        campaign: CampaignKey,
        queries: Vec<QueryKey>,
        reply: impl FnOnce(Result<Reservation>) + Send + 'static,
    ) {
        self.write(move |transaction| transaction.reserve(&campaign, &queries), reply);
    }

    /// Freezes the votes of `silos`; `reply` gets the right to draw noise, once.
    pub fn draw(
        &self,
        reservation: Reservation,
        vote_set: Digest,
        silos: Vec<DataKey>,
        reply: impl FnOnce(Result<DrawPermit>) + Send + 'static,
    ) {
        self.write(move |transaction| transaction.draw(reservation, vote_set, &silos), reply);
    }

    /// Stores answers with their charge; `reply` gets what may be sent out.
    pub fn release(
        &self,
        permit: DrawPermit,
        answers: Vec<(QueryKey, Outcome)>,
        reply: impl FnOnce(Result<Vec<Released>>) + Send + 'static,
    ) {
        self.write(move |transaction| transaction.release(permit, answers), reply);
    }

    /// Gives a reservation up before its draw.
    pub fn abandon(
        &self,
        reservation: Reservation,
        reason: AbandonReason,
        reply: impl FnOnce(Result<()>) + Send + 'static,
    ) {
        self.write(move |transaction| transaction.abandon(reservation, reason), reply);
    }

    /// Gives a draw up; it stays spent.
    pub fn interrupt(&self, permit: DrawPermit, reply: impl FnOnce(Result<()>) + Send + 'static) {
        self.write(move |transaction| transaction.interrupt(permit), reply);
    }

    /// Opens an account.
    pub fn open_account(&self, terms: AccountTerms, reply: impl FnOnce(Result<()>) + Send + 'static) {
        self.write(move |transaction| transaction.open_account(terms), reply);
    }

    /// Opens a campaign.
    pub fn open_campaign(&self, terms: CampaignTerms, reply: impl FnOnce(Result<()>) + Send + 'static) {
        self.write(move |transaction| transaction.open_campaign(terms), reply);
    }

    /// Takes back open reservations that nobody holds a ticket of; see [`Book::reclaim`].
    pub fn reclaim(
        &self,
        campaign: CampaignKey,
        reply: impl FnOnce(Result<Vec<Reservation>>) + Send + 'static,
    ) {
        let look: Look = Box::new(move |book| reply(book.map(|book| book.reclaim(&campaign))));
        if let Err(refused) = self.send(Command::Look(look)) {
            refused.command.refuse(refused.error);
        }
    }

    /// Looks at the book on its own thread, when everything submitted before is durable. `look` should be quick
    /// and send what it finds elsewhere; it does not run if this returns an error, or if the ledger closes first.
    pub fn read(&self, look: impl FnOnce(&Book) + Send + 'static) -> Result<()> {
        let look: Look = Box::new(move |book| {
            if let Ok(book) = book {
                look(book);
            }
        });
        self.send(Command::Look(look)).map_err(|refused| refused.error)
    }

    /// Any work on a transaction of its own kind, with commits shared like everything else's.
    ///
    /// `reply` runs on the ledger's thread after the commit, or at once on this one if the queue is full or the
    /// ledger closed.
    pub fn write<S: Settle + 'static>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<S> + Send + 'static,
        reply: impl FnOnce(Result<S::Durable>) + Send + 'static,
    ) {
        let write: Write = Box::new(move |transaction| match transaction {
            Err(error) => {
                reply(Err(error));
                None
            }
            Ok(transaction) => {
                // A refusal waits for the commit too: it may rest on what a neighbour has just staged.
                let staged = work(transaction);
                Some(Box::new(move |committed| {
                    reply(committed.and_then(|committed| staged.map(|staged| staged.settle(committed))));
                }))
            }
        });
        if let Err(refused) = self.send(Command::Write(write)) {
            refused.command.refuse(refused.error);
        }
    }

    /// Finishes what waits, closes the book and ends its thread; returns how that went. Blocks meanwhile.
    pub fn shutdown(&self) -> Result<()> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = thread.ok_or(LedgerError::Closed)?;
        // If the thread is gone already, joining it tells why.
        let _ = self.commands.send(Command::Shutdown);
        thread.join().unwrap_or(Err(LedgerError::Closed))
    }

    fn send(&self, command: Command) -> Result<(), Box<Refused>> {
        self.commands.try_send(command).map_err(|refused| {
            Box::new(match refused {
                TrySendError::Full(command) => {
                    Refused { command, error: LedgerError::Overloaded { waiting_max: COMMANDS_WAITING_MAX } }
                }
                TrySendError::Disconnected(command) => Refused { command, error: LedgerError::Closed },
            })
        })
    }
}

impl std::fmt::Debug for BookHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BookHandle").finish_non_exhaustive()
    }
}

enum Command {
    Write(Write),
    Look(Look),
    Shutdown,
}

/// Stages its entries, or hears why it cannot; what it returns is called after the commit.
type Write = Box<dyn FnOnce(Result<&mut Transaction<'_>>) -> Option<Reply> + Send>;
type Reply = Box<dyn FnOnce(Result<&Committed>)>;
type Look = Box<dyn FnOnce(Result<&mut Book>) + Send>;

/// A command that did not get into the queue, and why.
struct Refused {
    command: Command,
    error: LedgerError,
}

impl Command {
    fn refuse(self, error: LedgerError) {
        match self {
            Self::Write(write) => drop(write(Err(error))),
            Self::Look(look) => look(Err(error)),
            Self::Shutdown => {}
        }
    }
}

/// The life of the thread: wait, take what is there, commit, answer.
fn write(
    mut book: Book,
    waiting: &Receiver<Command>,
    clock: impl Fn() -> u64,
    committed: impl Fn(Duration),
) -> Result<()> {
    let mut open = true;
    while open {
        // An error means that every handle is gone.
        let Ok(first) = waiting.recv() else { break };
        let mut writes = Vec::new();
        let mut looks = Vec::new();
        let others = std::iter::from_fn(|| waiting.try_recv().ok()).take(COMMANDS_PER_COMMIT_MAX - 1);
        for command in std::iter::once(first).chain(others) {
            match command {
                Command::Write(write) => writes.push(write),
                Command::Look(look) => looks.push(look),
                Command::Shutdown => {
                    open = false;
                    break;
                }
            }
        }
        if let Some(took) = commit(&mut book, clock(), writes) {
            committed(took);
        }
        for look in looks {
            look(Ok(&mut book));
        }
    }
    for late in waiting.try_iter() {
        late.refuse(LedgerError::Closed);
    }
    book.close()
}

/// One transaction for all of `writes`, then their replies. How long it took to be durable, if it is.
fn commit(book: &mut Book, now_ms: u64, writes: Vec<Write>) -> Option<Duration> {
    if writes.is_empty() {
        return None;
    }
    let halted = |book: &Book| book.halted().map(|reason| LedgerError::Halted { reason: reason.to_owned() });
    if book.halted().is_some() {
        for write in writes {
            drop(write(Err(halted(book).unwrap_or(LedgerError::Closed))));
        }
        return None;
    }
    let mut replies = Vec::with_capacity(writes.len());
    let began = Instant::now();
    let committed = book.transact(now_ms, |transaction| {
        replies.extend(writes.into_iter().filter_map(|write| write(Ok(&mut *transaction))));
        Proof
    });
    let took = began.elapsed();
    for reply in replies {
        reply(match &committed {
            Ok(committed) => Ok(committed),
            Err(_) => Err(halted(book).unwrap_or(LedgerError::Closed)),
        });
    }
    committed.is_ok().then_some(took)
}
