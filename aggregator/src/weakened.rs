//! What an aggregator must never do, for the crash test that has to be seen to fail (`docs/decisions/0009`).
//!
//! Compiled only under `--cfg conclave_weakened="selectable"`; no manifest may set that. `CONCLAVE_WEAKNESS` in the
//! environment picks one. Under any of them the disk seems slow before RELEASE, so that a kill finds the gap.

use std::path::Path;
use std::time::Duration;

use conclave_ledger::{Answer, Book, QueryKey, Recovery};
use conclave_privacy::mechanism::Outcome;

use crate::published::{Entry, Published};

/// Answers leave before RELEASE is durable.
const ANSWERS_BEFORE_DURABLE: &str = "answers-before-durable";
/// An interrupted draw is drawn again under its old reservation.
const REDRAWS: &str = "redraws";
const SLOW_DISK: Duration = Duration::from_millis(30);

#[expect(clippy::disallowed_methods, reason = "a weakness is picked by a test, never by a configuration")]
fn weakness() -> Option<String> {
    std::env::var("CONCLAVE_WEAKNESS").ok()
}

/// Called between noise and the ledger.
pub(crate) async fn before_release(published: &Published, outcomes: &[(QueryKey, Outcome)]) {
    let Some(weakness) = weakness() else { return };
    if weakness == ANSWERS_BEFORE_DURABLE {
        let premature =
            outcomes.iter().map(|(query, outcome)| Entry::premature(*query, Answer::from(*outcome)));
        published.append_premature(premature);
    }
    tokio::time::sleep(SLOW_DISK).await;
}

/// Opens a ledger, with or without the second look.
pub(crate) fn open(path: &Path, now_ms: u64) -> conclave_ledger::Result<(Book, Recovery)> {
    match weakness().as_deref() {
        Some(REDRAWS) => Book::open_redrawing(path, now_ms),
        _ => Book::open(path, now_ms),
    }
}
