//! The book: entries that are durable, and the state that they add up to.
//!
//! A [`Book`] has one owner on one thread; [`crate::writer`] gives it to many. Everything staged in one
//! [`Book::transact`] becomes durable together, and tickets that let the caller go on (draw noise, hand out an
//! answer) exist only after the commit.

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod filter_order_tests;
#[cfg(test)]
mod tests;
mod ticket;
mod transaction;

pub(crate) use ticket::Proof;
pub use ticket::{Committed, DrawPermit, Reservation, Settle, Staged};
pub use transaction::Transaction;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::backend::{Embedded, FileKind, Row, SCHEMA_VERSION, Store};
use crate::chain::Head;
use crate::entry::{Created, Entry, Start};
use crate::error::{Fault, LedgerError, Result};
use crate::keys::{CampaignKey, DataKey, QueryKey};
use crate::state::{AccountState, At, CampaignState, Released, State};
use crate::terms::Genesis;

/// An open ledger, held by this process alone.
pub struct Book {
    store: Box<dyn Store>,
    path: PathBuf,
    ledger: Replay,
    /// Reservations whose ticket is out; nobody else gets one.
    held: HashSet<u64>,
    halted: Option<String>,
}

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The epoch that this opening began; counts from 1.
    pub epoch: u64,
    /// Draws that an earlier process did not release. They are spent in full.
    pub interrupted_draws: usize,
    /// Reservations that hold budget and were not drawn; [`Book::reclaim`] hands them out.
    pub open_reservations: usize,
}

impl Book {
    /// Makes a new ledger at `path`. `now_ms` is Unix time in milliseconds.
    pub fn create(path: &Path, genesis: Genesis, now_ms: u64) -> Result<Self> {
        Self::create_as(path, Created { schema: SCHEMA_VERSION, terms: genesis }, now_ms)
    }

    /// Makes a new ledger of an older schema, too.
    pub(crate) fn create_as(path: &Path, created: Created, now_ms: u64) -> Result<Self> {
        let mut ledger = Replay::default();
        let rows = vec![
            ledger.stage(now_ms, &Entry::Genesis(created))?,
            ledger.stage(now_ms, &Entry::Start(Start { epoch: 1 }))?,
        ];
        let store = Box::new(Embedded::create(path, FileKind::Ledger, created.schema, &rows)?);
        Ok(Self { store, path: path.to_owned(), ledger, held: HashSet::new(), halted: None })
    }

    /// Opens a ledger: checks every entry, begins a new epoch, and spends draws that were cut short.
    ///
    /// Refuses a file that another process holds, that is not a ledger, or in which anything was changed.
    pub fn open(path: &Path, now_ms: u64) -> Result<(Self, Recovery)> {
        let store = Embedded::open(path, FileKind::Ledger)?;
        let ledger = Replay::of(path, |visit| store.rows(visit))?;
        store.check_integrity()?;
        Self::recover(Box::new(store), path, ledger, now_ms)
    }

    /// Begins a new epoch over stored entries.
    pub(crate) fn recover(
        store: Box<dyn Store>,
        path: &Path,
        ledger: Replay,
        now_ms: u64,
    ) -> Result<(Self, Recovery)> {
        let mut book = Self { store, path: path.to_owned(), ledger, held: HashSet::new(), halted: None };
        let interrupted = book.ledger.state.unreleased_draws();
        let epoch = book.ledger.state.epoch() + 1;
        book.transact(now_ms, |transaction| transaction.recover(epoch, &interrupted))??;
        let open_reservations = book.ledger.state.undrawn_total();
        Ok((book, Recovery { epoch, interrupted_draws: interrupted.len(), open_reservations }))
    }

    /// Runs `work` and makes everything that it staged durable at once.
    ///
    /// What `work` returns comes back as its durable form: a [`Staged`] ticket opens here and nowhere else. A
    /// refusal inside `work` (an `Err` of one of the transaction's methods) stages nothing and does not disturb
    /// the rest. If the storage fails, nothing of it happened, and the book takes no more writes.
    pub fn transact<S: Settle>(
        &mut self,
        now_ms: u64,
        work: impl FnOnce(&mut Transaction<'_>) -> S,
    ) -> Result<S::Durable> {
        self.check_writable()?;
        // Stays if `work` panics: its staged effects would be in the state and in no row.
        self.halted = Some("a transaction was left half-way".to_owned());
        let mut transaction = Transaction::new(&mut self.ledger, &mut self.held, now_ms);
        let staged = work(&mut transaction);
        let rows = transaction.into_rows();
        let written = if rows.is_empty() { Ok(()) } else { self.store.append(&rows) };
        if let Err(error) = written {
            self.halted = Some(error.problem());
            self.forget_staged();
            return Err(error);
        }
        self.halted = None;
        Ok(staged.settle(&Committed::new()))
    }

    /// Hands out the reservations of a campaign that hold budget, were not drawn, and have no ticket out: those
    /// of an earlier process, and those whose ticket was refused. Their queries are to be asked again, at no
    /// further charge.
    pub fn reclaim(&mut self, campaign: &CampaignKey) -> Vec<Reservation> {
        let mut tickets = Vec::new();
        for number in self.ledger.state.undrawn(campaign) {
            if self.held.insert(number) {
                tickets.extend(Reservation::of(&self.ledger.state, number));
            }
        }
        tickets
    }

    /// The stored answer of a query.
    pub fn answer(&self, campaign: &CampaignKey, query: &QueryKey) -> Option<Released> {
        self.ledger.state.answer(campaign, query)
    }

    /// At most `max` stored answers of a campaign in release order, from `position` on.
    pub fn answers(&self, campaign: &CampaignKey, position: u64, max: usize) -> Vec<Released> {
        self.ledger.state.answers(campaign, position, max).to_vec()
    }

    /// One account.
    pub fn account(&self, data: &DataKey) -> Option<AccountState> {
        self.ledger.state.account(data).cloned()
    }

    /// Every account, in the order of their opening.
    pub fn accounts(&self) -> Vec<AccountState> {
        self.ledger.state.accounts().to_vec()
    }

    /// One campaign.
    pub fn campaign(&self, campaign: &CampaignKey) -> Option<CampaignState> {
        self.ledger.state.campaign(campaign).cloned()
    }

    /// Every campaign, in the order of their opening.
    pub fn campaigns(&self) -> Vec<CampaignState> {
        self.ledger.state.campaigns().cloned().collect()
    }

    /// The name of every campaign, in the order of their opening.
    pub fn campaign_keys(&self) -> Vec<CampaignKey> {
        self.ledger.state.campaigns().map(|campaign| campaign.terms().key.clone()).collect()
    }

    /// What was said when the ledger was created.
    pub fn genesis(&self) -> Genesis {
        self.ledger.genesis()
    }

    /// The hash of the newest durable entry.
    pub const fn head(&self) -> Head {
        self.ledger.head
    }

    /// How many entries there are.
    pub const fn entries(&self) -> u64 {
        self.ledger.seq
    }

    /// Why no more is written, if the storage failed.
    pub fn halted(&self) -> Option<&str> {
        self.halted.as_deref()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn replay(&self) -> &Replay {
        &self.ledger
    }

    /// Closes the storage; afterwards the ledger is one file.
    pub fn close(self) -> Result<()> {
        self.store.close()
    }

    fn check_writable(&self) -> Result<()> {
        match &self.halted {
            None => Ok(()),
            Some(reason) => Err(LedgerError::Halted { reason: reason.clone() }),
        }
    }

    /// Goes back to what is durable, by reading it again. If even that fails, the book knows nothing more.
    fn forget_staged(&mut self) {
        let durable = Replay::of(&self.path, |visit| self.store.rows(visit));
        self.ledger = durable.unwrap_or_else(|_| self.ledger.emptied());
        self.held.clear();
    }
}

impl std::fmt::Debug for Book {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Book")
            .field("path", &self.path)
            .field("entries", &self.ledger.seq)
            .finish_non_exhaustive()
    }
}

/// Entries added up one after the other, with their chain.
#[derive(Clone, Debug)]
pub(crate) struct Replay {
    pub(crate) state: State,
    pub(crate) head: Head,
    pub(crate) seq: u64,
    recorded_at_ms: u64,
}

impl Default for Replay {
    fn default() -> Self {
        Self { state: State::default(), head: Head::GENESIS, seq: 0, recorded_at_ms: 0 }
    }
}

impl Replay {
    /// Adds up all stored rows, or names the first that does not belong.
    pub(crate) fn of(
        path: &Path,
        rows: impl FnOnce(&mut dyn FnMut(Row) -> Result<()>) -> Result<()>,
    ) -> Result<Self> {
        let mut replay = Self::default();
        let corrupt = |fault| LedgerError::Corrupt { path: path.to_owned(), fault };
        rows(&mut |row| replay.follow(&row).map(drop).map_err(corrupt))?;
        if replay.state.genesis().is_none() {
            return Err(corrupt(Fault { entry: Some(1), what: "there is no genesis entry".to_owned() }));
        }
        Ok(replay)
    }

    /// What was said when the ledger was created.
    pub(crate) fn genesis(&self) -> Genesis {
        self.state.genesis().expect("every replay that is handed out begins with a genesis")
    }

    /// Adds a stored row after checking it against the chain, its readable columns and the state.
    pub(crate) fn follow(&mut self, row: &Row) -> Result<Entry, Fault> {
        let fault = |what: String| Fault { entry: Some(self.seq + 1), what };
        if row.seq != self.seq + 1 {
            return Err(fault(format!("missing; the next one stored has number {}", row.seq)));
        }
        if row.hash != self.head.link(row.seq, row.recorded_at_ms, &row.body) {
            return Err(fault("its hash is not that of its content and the entry before it".to_owned()));
        }
        if row.recorded_at_ms < self.recorded_at_ms {
            return Err(fault("it is older than the entry before it".to_owned()));
        }
        let entry = Entry::decode(&row.body).map_err(|malformed| fault(malformed.to_string()))?;
        if entry.columns() != row.columns {
            return Err(fault("its readable columns differ from its body".to_owned()));
        }
        let at = At { seq: row.seq, recorded_at_ms: row.recorded_at_ms };
        self.state.apply(at, &entry).map_err(|error| fault(format!("not allowed here: {error}")))?;
        self.advance(at, row.hash);
        Ok(entry)
    }

    /// Adds a new entry and returns its row. A refusal changes nothing.
    pub(crate) fn stage(&mut self, now_ms: u64, entry: &Entry) -> Result<Row> {
        let recorded_at_ms = now_ms.min(TIME_MS_MAX).max(self.recorded_at_ms);
        let at = At { seq: self.seq + 1, recorded_at_ms };
        self.state.apply(at, entry)?;
        let body = entry.encode();
        let hash = self.head.link(at.seq, recorded_at_ms, &body);
        self.advance(at, hash);
        Ok(Row { seq: at.seq, recorded_at_ms, columns: entry.columns(), body, hash })
    }

    fn advance(&mut self, at: At, hash: Head) {
        self.seq = at.seq;
        self.recorded_at_ms = at.recorded_at_ms;
        self.head = hash;
    }

    /// Nothing but the genesis, for a book that can no longer read its storage.
    fn emptied(&self) -> Self {
        let mut empty = Self::default();
        if let Some(created) = self.state.created() {
            // The first entry of an empty state is always allowed to be the genesis.
            let _ = empty.stage(0, &Entry::Genesis(created));
        }
        empty
    }
}

/// The latest time that SQLite's signed integers hold.
const TIME_MS_MAX: u64 = i64::MAX.cast_unsigned();
