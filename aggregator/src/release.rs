//! Release: noise is drawn once under a durable permit, and what was drawn is published once it is durable with its
//! charge.
//!
//! The order is in the types: [`draw`] consumes the permit that a durable DRAW record gave and the votes that it names;
//! [`Drawn`] can go nowhere but into the ledger; only what the ledger gives back is published.

use std::sync::{Mutex, PoisonError};

use conclave_ledger::{DrawPermit, LedgerError, QueryKey};
use conclave_privacy::mechanism::{Mechanism, Outcome};
use conclave_privacy::noise::NoiseSource;

use crate::admission::{Ledger, settled};
use crate::published::Published;
use crate::query::Frozen;

/// Outcomes that are in memory only: not answers yet. Its `Debug` shows none of them.
pub(crate) struct Drawn {
    permit: DrawPermit,
    outcomes: Vec<(QueryKey, Outcome)>,
}

/// Draws noise for every query of the permit, once.
///
/// Fails, and gives the permit back to be interrupted, if the votes are not those that the DRAW record names or the
/// operating system gives no entropy.
pub(crate) fn draw<N: NoiseSource>(
    permit: DrawPermit,
    frozen: Frozen,
    mechanism: &Mechanism,
    noise: &Mutex<N>,
) -> Result<Drawn, Box<(DrawPermit, String)>> {
    if *permit.vote_set().as_bytes() != frozen.commitment() {
        return Err(Box::new((permit, "the frozen votes are not those of the DRAW record".to_owned())));
    }
    let counts = frozen.into_counts();
    if counts.len() != permit.queries().len() {
        return Err(Box::new((permit, "the frozen votes are on other queries".to_owned())));
    }
    let mut outcomes = Vec::with_capacity(counts.len());
    for (counts, (query, attempt)) in counts.iter().zip(permit.queries()) {
        // Held for the seeding alone; noise is drawn outside.
        let generator = noise.lock().unwrap_or_else(PoisonError::into_inner).generator(
            permit.campaign().as_str(),
            query.as_bytes(),
            u32::from(*attempt),
        );
        match generator {
            Ok(mut generator) => {
                #[cfg(not(conclave_weakened = "selectable"))]
                let drawn = mechanism.release(counts, &mut generator);
                #[cfg(conclave_weakened = "selectable")]
                let drawn = crate::weakened::release(mechanism, counts, query, &mut generator);
                outcomes.push((*query, drawn.outcome));
            }
            Err(error) => {
                let words = error.to_string();
                return Err(Box::new((permit, words)));
            }
        }
    }
    Ok(Drawn { permit, outcomes })
}

impl Drawn {
    /// Makes charge and answers durable together, then publishes them; comes back when they are.
    pub(crate) async fn release(self, ledger: &Ledger, published: &Published) -> Result<(), LedgerError> {
        let Self { permit, outcomes } = self;
        #[cfg(conclave_weakened = "selectable")]
        crate::weakened::before_release(published, &outcomes).await;
        let published = published.clone();
        settled(|reply: Box<dyn FnOnce(Result<(), LedgerError>) + Send>| {
            // On the ledger's thread, so in the order of the ledger.
            ledger.book().release(permit, outcomes, move |released| {
                reply(released.map(|released| published.append(&released)));
            });
        })
        .await
    }
}

impl std::fmt::Debug for Drawn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drawn").field("reservation", &self.permit.number()).finish_non_exhaustive()
    }
}
