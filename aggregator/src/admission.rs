//! Admission: the next draw's worst case is set aside, durably, before anybody is asked; or it is refused.
//!
//! The price does not depend on votes, and neither does a refusal. [`Ledger`] is the book as async code sees it: every
//! method comes back when what it did is durable.

use conclave_ledger::{
    AbandonReason, Book, BookHandle, CampaignKey, DataKey, Digest, DrawPermit, LedgerError, QueryKey,
    Reservation,
};
use conclave_privacy::quantity::Rho;
use conclave_proto::ids::QueryId;
use tokio::sync::oneshot;

use crate::driver::HALTED;

/// The book, for one campaign.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    book: BookHandle,
    campaign: CampaignKey,
    price: Rho,
}

/// Why a batch may not be asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The caps, or the places in the contract, allow only this many of its queries.
    OverBudget {
        /// How many would fit.
        fitting: usize,
    },
    /// Some of its queries are answered or in flight after all, or too much is waiting.
    Later,
    /// The ledger takes no more writes.
    Halted,
}

impl Ledger {
    /// The part of `book` that is about `campaign`, whose queries cost at most `price` each.
    pub(crate) fn new(book: BookHandle, campaign: CampaignKey, price: Rho) -> Self {
        Self { book, campaign, price }
    }

    /// The book itself.
    pub(crate) fn book(&self) -> &BookHandle {
        &self.book
    }

    /// Sets the worst case of `queries` aside in every member's account.
    pub(crate) async fn admit(&self, queries: &[QueryId]) -> Result<Reservation, Refused> {
        let keys = queries.iter().map(|query| QueryKey::new(*query.as_bytes())).collect();
        let reserved = settled(|reply| self.book.reserve(self.campaign.clone(), keys, reply)).await;
        reserved.map_err(|error| {
            let refused = refused(&error, self.price);
            match refused {
                Refused::Halted => tracing::error!(%error, "{HALTED}"),
                Refused::Later => tracing::warn!(%error, "a batch is put off"),
                Refused::OverBudget { fitting } => tracing::info!(%error, fitting, "a batch does not fit"),
            }
            refused
        })
    }

    /// Freezes the vote set with the digest `commitment`, cast by `silos`.
    pub(crate) async fn draw(
        &self,
        reservation: Reservation,
        commitment: [u8; 32],
        silos: Vec<DataKey>,
    ) -> Result<DrawPermit, LedgerError> {
        settled(|reply| self.book.draw(reservation, Digest::new(commitment), silos, reply)).await
    }

    /// Gives a reservation up before its draw.
    pub(crate) async fn abandon(
        &self,
        reservation: Reservation,
        reason: AbandonReason,
    ) -> Result<(), LedgerError> {
        settled(|reply| self.book.abandon(reservation, reason, reply)).await
    }

    /// Gives a draw up; it stays spent.
    pub(crate) async fn interrupt(&self, permit: DrawPermit) -> Result<(), LedgerError> {
        settled(|reply| self.book.interrupt(permit, reply)).await
    }

    /// Looks at what is durable.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Book, &CampaignKey) -> T + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (found, finding) = oneshot::channel();
        let campaign = self.campaign.clone();
        self.book.read(move |book| {
            // Nobody waits for it any more: then it is of no use.
            let _ = found.send(look(book, &campaign));
        })?;
        finding.await.map_err(|_| LedgerError::Closed)
    }
}

/// Waits for the reply of one command.
pub(crate) async fn settled<T: Send + 'static>(
    command: impl FnOnce(Box<dyn FnOnce(Result<T, LedgerError>) + Send>),
) -> Result<T, LedgerError> {
    let (settled, settling) = oneshot::channel();
    command(Box::new(move |result| {
        // If the asker is gone, its ticket is dropped here; reopening the ledger hands it out again.
        let _ = settled.send(result);
    }));
    settling.await.unwrap_or(Err(LedgerError::Closed))
}

fn refused(error: &LedgerError, price: Rho) -> Refused {
    match error {
        LedgerError::BudgetSpent(spent) => {
            let fitting = spent.left.units().checked_div(price.units()).unwrap_or(0);
            Refused::OverBudget { fitting: usize::try_from(fitting).unwrap_or(usize::MAX) }
        }
        LedgerError::QueriesSpent { left, .. } => {
            Refused::OverBudget { fitting: usize::try_from(*left).unwrap_or(usize::MAX) }
        }
        LedgerError::Superseded { .. } => Refused::OverBudget { fitting: 0 },
        LedgerError::AlreadyAnswered { .. }
        | LedgerError::InFlight { .. }
        | LedgerError::Overloaded { .. } => Refused::Later,
        _ => Refused::Halted,
    }
}

#[cfg(test)]
mod tests {
    use conclave_ledger::{BudgetSpent, Wall};

    use super::*;

    fn spent(left: u64) -> LedgerError {
        let rho = Rho::from_units;
        BudgetSpent {
            wall: Wall::Campaign(CampaignKey::new("digits").unwrap()),
            asked: rho(1_000),
            spent: rho(0),
            reserved: rho(0),
            cap: rho(left),
            left: rho(left),
        }
        .into()
    }

    #[test]
    fn a_refusal_says_how_many_queries_still_fit() {
        let price = Rho::from_units(100);
        for (left, fitting) in [(0, 0), (99, 0), (100, 1), (999, 9)] {
            assert_eq!(refused(&spent(left), price), Refused::OverBudget { fitting });
        }
        assert_eq!(refused(&spent(7), Rho::ZERO), Refused::OverBudget { fitting: 0 });
        assert_eq!(refused(&LedgerError::Closed, price), Refused::Halted);
        assert_eq!(refused(&LedgerError::Overloaded { waiting_max: 1 }, price), Refused::Later);
    }
}
