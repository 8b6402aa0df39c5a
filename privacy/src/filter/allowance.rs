//! A cap of which parts are spent and reserved, for any amount that adds up.

use crate::Error;
use crate::quantity::Amount;

/// Invariant: spent + reserved <= cap, exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance<A> {
    cap: A,
    spent: A,
    reserved: A,
}

impl<A: Amount> Allowance<A> {
    pub(super) const fn new(cap: A) -> Self {
        Self { cap, spent: A::ZERO, reserved: A::ZERO }
    }

    /// Sets `worst_case` aside, or refuses and changes nothing.
    pub(super) fn reserve(&mut self, worst_case: A) -> Result<(), Error> {
        let left = self.left();
        if worst_case > left {
            return Err(Error::FilterExceeded {
                measure: A::MEASURE,
                asked: worst_case.rounded_up(),
                left: left.rounded_up(),
                cap: self.cap.rounded_up(),
            });
        }
        self.reserved = self.reserved.plus(worst_case).ok_or(Error::CostOverflow { field: "reserved" })?;
        Ok(())
    }

    /// Replaces a reservation by what was charged; refuses, changing nothing, more than was reserved.
    pub(super) fn settle(&mut self, reservation: A, charged: A) -> Result<(), Error> {
        let too_much = |field, asked: A, reserved: A| Error::SettlesTooMuch {
            field,
            measure: A::MEASURE,
            asked: asked.rounded_up(),
            reserved: reserved.rounded_up(),
        };
        if charged > reservation {
            return Err(too_much("charge", charged, reservation));
        }
        let reserved =
            self.reserved.minus(reservation).ok_or(too_much("reservation", reservation, self.reserved))?;
        self.spent = self.spent.plus(charged).ok_or(Error::CostOverflow { field: "spent" })?;
        self.reserved = reserved;
        Ok(())
    }

    pub(super) const fn cap(&self) -> A {
        self.cap
    }

    pub(super) const fn spent(&self) -> A {
        self.spent
    }

    pub(super) fn left(&self) -> A {
        self.cap.minus(self.spent).and_then(|left| left.minus(self.reserved)).unwrap_or(A::ZERO)
    }
}
