//! A filter for each item: every teacher, or every record, pays its own cost and leaves when it cannot pay.
//!
//! Feldman and Zrnic, *Individual Privacy Accounting via a Rényi Filter* (NeurIPS 2021), Theorem 4.1: if an item takes part only
//! in steps whose cost *to this item* still fits into its own cap, the whole is within that cap for this item, although
//! steps are chosen adaptively. It holds for ρ and for R(α) at one order; for μ² of Gaussian steps by Koskela, Tobaben and
//! Honkela (ICLR 2023). Caps may differ between items (individualised PATE, Boenisch et al., arXiv 2202.10517).
//!
//! Three conditions. An item's cost may depend on that item and on what was released, on no other item. An item that cannot
//! pay must leave no other trace in the step than its absence. And **who has left, and what each has spent, is as private as the
//! data**: both are [`Secret`], and stopping a campaign because of them would be a release.

use crate::Error;
use crate::counts::{ClassIndex, VoteCounts};
use crate::quantity::Amount;
use crate::secret::Secret;

/// One account per item, in ρ, μ² or R(α) at a fixed order.
#[derive(Debug)]
pub struct IndividualFilter<A> {
    items: Secret<Vec<Item<A>>>,
}

/// What one item may spend and has spent.
#[derive(Debug, Clone, Copy)]
struct Item<A> {
    cap: A,
    spent: A,
}

/// Who takes part in one step, and with which weight.
#[derive(Debug)]
pub struct Participants(Secret<Vec<Option<u32>>>);

impl<A: Amount> IndividualFilter<A> {
    /// Fresh accounts, one for each of `caps`.
    pub fn new(caps: impl IntoIterator<Item = A>) -> Self {
        Self { items: Secret::new(caps.into_iter().map(|cap| Item { cap, spent: A::ZERO }).collect()) }
    }

    /// How many items there are.
    pub fn items(&self) -> usize {
        self.items.inside().len()
    }

    /// Charges each item one step in which its vote has the weight that `weights` says, in the order of the caps, by the `price` of that
    /// weight. Whoever cannot pay, or has no price, is left out of this step and pays nothing; a cheaper step later may take it in again.
    ///
    /// What is paid for and what is counted is thereby one and the same weight. (Published prices grow with its square; exact ones faster,
    /// so none is worked out from another here.)
    ///
    /// Refuses a list of another length and then charges nobody.
    pub fn charge(
        &mut self,
        weights: &[u32],
        price: impl Fn(u32) -> Option<A>,
    ) -> Result<Participants, Error> {
        let items = self.items.inside_mut();
        if weights.len() != items.len() {
            return Err(Error::Length { field: "weights", found: weights.len(), expected: items.len() });
        }
        let pays = items.iter_mut().zip(weights).map(|(item, weight)| {
            item.spent = item.spent.plus(price(*weight)?).filter(|spent| *spent <= item.cap)?;
            Some(*weight)
        });
        Ok(Participants(Secret::new(pays.collect())))
    }

    /// What each item has spent.
    pub fn spent(&self) -> Secret<Vec<A>> {
        Secret::new(self.items.inside().iter().map(|item| item.spent).collect())
    }
}

impl Participants {
    /// The counts of those who take part, each vote with the weight that was paid for: `votes` has a vote for each item, or none.
    ///
    /// Refuses a list of another length, and a vote for a class that does not exist.
    pub fn count(&self, classes: usize, votes: &[Option<ClassIndex>]) -> Result<VoteCounts, Error> {
        let weights = self.0.inside();
        if votes.len() != weights.len() {
            return Err(Error::Length { field: "votes", found: votes.len(), expected: weights.len() });
        }
        // Refuses a wrong number of classes and a vote out of range, whether or not its item takes part.
        let mut counts =
            VoteCounts::from_votes(classes, votes.iter().flatten().copied())?.as_slice().to_vec();
        counts.fill(0);
        for (vote, weight) in votes.iter().zip(weights) {
            if let (Some(class), Some(weight)) = (vote, weight) {
                counts[class.position()] += u64::from(*weight);
            }
        }
        VoteCounts::new(counts)
    }

    /// The weight of each item that takes part.
    pub fn into_secret(self) -> Secret<Vec<Option<u32>>> {
        self.0
    }
}
