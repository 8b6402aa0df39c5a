//! The budget book: durable, append-only, hash-chained.
//!
//! Private data have a budget for life. This crate keeps it: it sets the worst case of a query aside before
//! votes are asked, freezes the vote set before noise is drawn, and stores the answer together with its charge
//! before anybody sees it. A crash at any instant loses no charge, releases nothing uncharged, and never lets a
//! draw be repeated on the same charge.
//!
//! | to | use |
//! |---|---|
//! | write a ledger, one owner on one thread | [`Book`] |
//! | write it from many threads, commits shared | [`BookWriter`], [`BookHandle`] |
//! | read one without holding or changing it | [`Snapshot`] |
//! | check one that somebody hands you | [`verify`] |
//! | say what it promises, in plain words | [`certificate`] |
//! | hand it to an independent verifier | [`export`] |
//! | keep a silo's own cap | [`guard`] |
//!
//! ```no_run
//! use conclave_ledger::{Book, CampaignKey, DataKey, Digest, QueryKey, Result};
//! use conclave_privacy::{counts::ClassIndex, mechanism::Outcome};
//!
//! # fn main() -> Result<()> {
//! let (mut book, _recovery) = Book::open("ledger.db".as_ref(), 1_700_000_000_000)?;
//! let (campaign, silo) = (CampaignKey::new("digits")?, DataKey::new("hospital-a/1")?);
//! let query = QueryKey::new([1; 32]);
//!
//! let reserved = book.transact(1_700_000_000_000, |now| now.reserve(&campaign, &[query]))??;
//! // Budget is held: votes may be asked for. Then their set is frozen:
//! let votes = Digest::new([2; 32]);
//! let permit = book.transact(1_700_000_000_500, |now| now.draw(reserved, votes, &[silo]))??;
//! // The worst case is spent: noise may be drawn, once. Then charge and answer become durable together:
//! let answer = (query, Outcome::Label(ClassIndex(3)));
//! let released = book.transact(1_700_000_000_600, |now| now.release(permit, vec![answer]))??;
//! // Only now is there something to send.
//! assert_eq!(released[0].query(), query);
//! book.close()
//! # }
//! ```
//!
//! It does not draw noise, does not see votes, and has no clock: times are arguments. The bytes are drawn in
//! `docs/ledger-format.md`.

mod backend;
mod book;
pub mod certificate;
mod chain;
mod codec;
mod entry;
mod error;
pub mod export;
#[cfg(test)]
mod fixture;
pub mod guard;
mod keys;
mod snapshot;
mod state;
mod terms;
mod verify;
mod writer;

pub use book::{Book, Committed, DrawPermit, Recovery, Reservation, Settle, Staged, Transaction};
pub use chain::Head;
pub use entry::{ATTEMPTS_MAX, AbandonReason};
pub use error::{BudgetSpent, Fault, LedgerError, Result, Wall};
pub use keys::{CampaignKey, DataKey, Digest, KEY_BYTES_MAX, LedgerId, QueryKey};
pub use snapshot::Snapshot;
pub use state::{AccountState, Answer, AnswerTotals, CampaignState, Released};
pub use terms::{
    AccountTerms, CLASSES_MAX, CONTRACT_BYTES_MAX, CampaignTerms, Genesis, MEMBERS_MAX, NAME_BYTES_MAX,
    Predecessor, QUERIES_PER_RESERVATION_MAX,
};
pub use verify::{Verification, VerifiedAccount, verify, verify_figures};
pub use writer::{BookHandle, BookWriter, COMMANDS_PER_COMMIT_MAX, COMMANDS_WAITING_MAX};
