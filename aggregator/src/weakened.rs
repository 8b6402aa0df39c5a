//! What an aggregator must never do, for tests and attacks that have to be seen to fail or succeed (`docs/decisions/0009`).
//!
//! Compiled only under `--cfg conclave_weakened="selectable"`; no manifest may set that. `CONCLAVE_WEAKNESS` in the
//! environment picks one. Under those of the crash test the disk seems slow before RELEASE, so that a kill finds the gap.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use conclave_ledger::{Answer, Book, QueryKey, Recovery};
use conclave_privacy::mechanism::{Draw, GnMax, Mechanism, Outcome};
use conclave_privacy::noise::{NoiseGenerator, NoiseSource as _, ReleaseNoise};
use conclave_privacy::quantity::NoiseScale;
use conclave_privacy::{ClassIndex, VoteCounts};
use conclave_trust::{FrozenVotes, VoteSet};

use crate::published::{Entry, Published};

/// Answers leave before RELEASE is durable.
const ANSWERS_BEFORE_DURABLE: &str = "answers-before-durable";
/// An interrupted draw is drawn again under its old reservation.
const REDRAWS: &str = "redraws";
/// The label is the class with most votes.
const NOISE_OFF: &str = "noise-off";
/// Noise of half the scale that is charged for.
const HALF_NOISE: &str = "half-noise";
/// Answers are not stored: whoever reads one gets a fresh draw.
const FRESH_NOISE: &str = "fresh-noise";
/// In place of the class, the votes for the first class are served: a count without noise.
const RAW_COUNTS: &str = "raw-counts";
/// The votes of the contract's first silo are counted twice.
const DOUBLED_VOTES: &str = "doubled-votes";
const SLOW_DISK: Duration = Duration::from_millis(30);

#[expect(clippy::disallowed_methods, reason = "a weakness is picked by a test, never by a configuration")]
fn weakness() -> Option<String> {
    std::env::var("CONCLAVE_WEAKNESS").ok()
}

/// Called between noise and the ledger.
pub(crate) async fn before_release(published: &Published, outcomes: &[(QueryKey, Outcome)]) {
    let Some(weakness) = weakness() else { return };
    if [NOISE_OFF, HALF_NOISE, FRESH_NOISE, RAW_COUNTS, DOUBLED_VOTES].contains(&weakness.as_str()) {
        return;
    }
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

/// Fixes a vote set, with or without a silo that counts twice.
pub(crate) fn freeze(votes: VoteSet, salt: [u8; 32]) -> Result<FrozenVotes, conclave_privacy::Error> {
    match weakness().as_deref() {
        Some(DOUBLED_VOTES) => votes.freeze_with_first_twice(salt),
        _ => votes.freeze(salt),
    }
}

/// One draw, weakened.
pub(crate) fn release<G: NoiseGenerator + ?Sized>(
    mechanism: &Mechanism,
    counts: &VoteCounts,
    query: &QueryKey,
    generator: &mut G,
) -> Draw {
    let weakness = weakness();
    if [Some(FRESH_NOISE), Some(RAW_COUNTS)].contains(&weakness.as_deref()) {
        kept().insert(*query, (*mechanism, counts.clone()));
    }
    let steps = match weakness.as_deref() {
        Some(NOISE_OFF) => 1,
        Some(HALF_NOISE) => mechanism.least_noise().steps() / 2,
        _ => return mechanism.release(counts, generator),
    };
    let less = NoiseScale::from_steps(steps, mechanism.lattice());
    less.map_or(*mechanism, |less| GnMax::new(less).into()).release(counts, generator)
}

/// What is served for `query`.
pub(crate) fn answer(query: QueryKey, stored: Answer) -> Answer {
    let kept = kept();
    let counts_served = weakness().as_deref() == Some(RAW_COUNTS);
    let drawn = kept.get(&query).and_then(|(mechanism, counts)| {
        if counts_served {
            let votes = counts.as_slice().first().copied()?;
            return Some(Outcome::Label(ClassIndex(u32::try_from(votes).ok()?)));
        }
        let mut generator = ReleaseNoise.generator("", query.as_bytes(), 0).ok()?;
        Some(mechanism.release(counts, &mut generator).outcome)
    });
    drawn.map_or(stored, Answer::from)
}

/// Counts of [`FRESH_NOISE`] and [`RAW_COUNTS`], by query.
fn kept() -> MutexGuard<'static, Kept> {
    static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

type Kept = HashMap<QueryKey, (Mechanism, VoteCounts)>;
