//! May this be spent? The scalar zCDP filter, for all Rényi orders or for those up to ω.
//!
//! A *filter* is given charges one by one, each chosen with knowledge of all earlier answers, and refuses the
//! first that would exceed its cap. With zCDP charges and a cap ρ, all that is ever admitted is ρ-zCDP, as if
//! the cap had been one mechanism: no price is paid for adaptivity. Feldman and Zrnic, *Individual Privacy
//! Accounting via a Rényi Filter* (NeurIPS 2021), prove it for a Rényi budget at any order, hence for zCDP,
//! which bounds all orders at once by the same sum; Whitehouse, Ramdas, Rogers and Wu, *Fully-Adaptive
//! Composition in Differential Privacy* (ICML 2023), for approximate zCDP. The condition is that each charge
//! bounds its mechanism's loss given the past, which the data-independent prices of [`crate::event`] do.
//!
//! The same sum bounds an account that promises D_α <= αρ at a fixed list of orders only
//! ([`FilterOrder`](crate::quantity::FilterOrder)): a charge is then the largest R(α)/α at these orders, the proof holds at each
//! of them at once, and ε is taken at no other. Charges and caps of one account are all for one ω; keeping them apart is the
//! ledger's duty.
//!
//! The guarantee of an account is therefore that of its **cap**. What has been spent is a figure after the
//! fact.
//!
//! Beside it, for accounts that a ledger of this project does not keep: [`GdpFilter`] for continuous Gaussian noise,
//! [`FixedOrderFilter`] for any Rényi curve at one order, [`IndividualFilter`] with an account per teacher or record.
//!
//! A draw reserves its worst case before votes are asked and settles what ran afterwards, so several may be
//! under way. All of it is integer arithmetic on [`Rho`]: spent + reserved never exceeds the cap, exactly.

mod allowance;
mod fixed_order;
mod gdp;
mod individual;

pub use fixed_order::FixedOrderFilter;
pub use gdp::GdpFilter;
pub use individual::{IndividualFilter, Participants};

use crate::Error;
use crate::quantity::Rho;

/// The state of one account: a cap for the life of the data, what is spent and what is reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZcdpFilter {
    cap: Rho,
    spent: Rho,
    reserved: Rho,
}

impl ZcdpFilter {
    /// A fresh account.
    pub const fn new(cap: Rho) -> Self {
        Self { cap, spent: Rho::ZERO, reserved: Rho::ZERO }
    }

    /// An account as a ledger recorded it. Refuses one that is past its cap: such a record is not to be
    /// trusted.
    pub fn restore(cap: Rho, spent: Rho, reserved: Rho) -> Result<Self, Error> {
        let mut filter = Self::new(cap);
        filter.reserve(spent)?;
        filter.settle(spent, spent)?;
        filter.reserve(reserved)?;
        Ok(filter)
    }

    /// Sets `worst_case` aside, or refuses with [`Error::BudgetExceeded`] and changes nothing.
    pub fn reserve(&mut self, worst_case: Rho) -> Result<(), Error> {
        if worst_case > self.left() {
            return Err(Error::BudgetExceeded {
                asked: worst_case,
                spent: self.spent,
                reserved: self.reserved,
                cap: self.cap,
                left: self.left(),
            });
        }
        self.reserved =
            self.reserved.checked_add(worst_case).ok_or(Error::CostOverflow { field: "reserved" })?;
        Ok(())
    }

    /// Replaces a reservation by what was charged, and gives back the rest. Refuses, changing nothing, a
    /// charge above the reservation, or a reservation above what is reserved.
    pub fn settle(&mut self, reservation: Rho, charged: Rho) -> Result<(), Error> {
        if charged > reservation {
            return Err(Error::ExceedsReservation { field: "charge", asked: charged, reserved: reservation });
        }
        let reserved = self.reserved.checked_sub(reservation).ok_or(Error::ExceedsReservation {
            field: "reservation",
            asked: reservation,
            reserved: self.reserved,
        })?;
        self.spent = self.spent.checked_add(charged).ok_or(Error::CostOverflow { field: "spent" })?;
        self.reserved = reserved;
        Ok(())
    }

    /// Gives back a reservation under which nothing was drawn.
    pub fn release(&mut self, reservation: Rho) -> Result<(), Error> {
        self.settle(reservation, Rho::ZERO)
    }

    /// The cap: what the guarantee is about.
    pub const fn cap(&self) -> Rho {
        self.cap
    }

    /// What settled charges have spent.
    pub const fn spent(&self) -> Rho {
        self.spent
    }

    /// What is set aside for draws under way.
    pub const fn reserved(&self) -> Rho {
        self.reserved
    }

    /// `cap - spent - reserved`: the largest worst case that [`ZcdpFilter::reserve`] would grant now.
    pub const fn left(&self) -> Rho {
        self.cap.saturating_sub(self.spent).saturating_sub(self.reserved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn rho(units: u64) -> Rho {
        Rho::from_units(units)
    }

    #[test]
    fn a_refusal_says_what_was_asked_spent_reserved_and_left_and_changes_nothing() {
        let mut filter = ZcdpFilter::new(rho(100));
        filter.reserve(rho(40)).unwrap();
        filter.settle(rho(40), rho(30)).unwrap();
        filter.reserve(rho(50)).unwrap();
        let before = filter;
        assert_eq!(
            filter.reserve(rho(21)),
            Err(Error::BudgetExceeded {
                asked: rho(21),
                spent: rho(30),
                reserved: rho(50),
                cap: rho(100),
                left: rho(20)
            })
        );
        assert_eq!(filter, before);
        assert_eq!(filter.reserve(rho(20)), Ok(()), "the last unit can be spent");
        assert_eq!(filter.left(), Rho::ZERO);
    }

    #[test]
    fn an_abandoned_reservation_comes_back_and_a_settled_one_keeps_only_what_ran() {
        let mut filter = ZcdpFilter::new(rho(100));
        filter.reserve(rho(60)).unwrap();
        filter.release(rho(60)).unwrap();
        assert_eq!(filter, ZcdpFilter::new(rho(100)));
        filter.reserve(rho(60)).unwrap();
        filter.settle(rho(60), rho(10)).unwrap();
        assert_eq!((filter.spent(), filter.reserved(), filter.left()), (rho(10), Rho::ZERO, rho(90)));
    }

    #[test]
    fn nobody_settles_more_than_was_reserved() {
        let mut filter = ZcdpFilter::new(rho(100));
        filter.reserve(rho(10)).unwrap();
        let before = filter;
        assert!(matches!(
            filter.settle(rho(10), rho(11)),
            Err(Error::ExceedsReservation { field: "charge", .. })
        ));
        assert!(matches!(
            filter.settle(rho(11), rho(1)),
            Err(Error::ExceedsReservation { field: "reservation", .. })
        ));
        assert!(matches!(filter.release(rho(11)), Err(Error::ExceedsReservation { .. })));
        assert_eq!(filter, before);
    }

    #[test]
    fn a_record_past_its_cap_is_not_restored() {
        assert!(ZcdpFilter::restore(rho(100), rho(60), rho(40)).is_ok());
        assert!(matches!(
            ZcdpFilter::restore(rho(100), rho(60), rho(41)),
            Err(Error::BudgetExceeded { spent, left, .. }) if spent == rho(60) && left == rho(40)
        ));
        assert!(ZcdpFilter::restore(rho(100), rho(101), Rho::ZERO).is_err());
        assert!(ZcdpFilter::restore(Rho::MAX, Rho::MAX, Rho::MAX).is_err());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Reserve(u64),
        Settle { which: usize, charged_percent: u128 },
        Release { which: usize },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => prop_oneof![0_u64..60, any::<u64>()].prop_map(Step::Reserve),
            2 => (any::<usize>(), 0_u128..=100).prop_map(|(which, charged_percent)| Step::Settle { which, charged_percent }),
            1 => any::<usize>().prop_map(|which| Step::Release { which }),
        ]
    }

    proptest! {
        #[test]
        fn no_sequence_of_operations_passes_the_cap_or_loses_a_unit(
            cap in prop_oneof![0_u64..500, any::<u64>()], steps in prop::collection::vec(step(), 1..80),
        ) {
            let mut filter = ZcdpFilter::new(rho(cap));
            let (mut open, mut spent) = (Vec::new(), 0_u128);
            for step in steps {
                match step {
                    Step::Reserve(units) => {
                        let before = filter;
                        if filter.reserve(rho(units)).is_ok() {
                            open.push(units);
                        } else {
                            prop_assert!(units > before.left().units(), "a refusal without need");
                            prop_assert_eq!(filter, before);
                        }
                    }
                    Step::Settle { which, charged_percent } if !open.is_empty() => {
                        let reserved = open.swap_remove(which % open.len());
                        let charged = u64::try_from(u128::from(reserved) * charged_percent / 100).unwrap();
                        filter.settle(rho(reserved), rho(charged)).unwrap();
                        spent += u128::from(charged);
                    }
                    Step::Release { which } if !open.is_empty() => {
                        let reserved = open.swap_remove(which % open.len());
                        filter.release(rho(reserved)).unwrap();
                    }
                    Step::Settle { .. } | Step::Release { .. } => {}
                }
                let reserved: u128 = open.iter().copied().map(u128::from).sum();
                prop_assert_eq!(u128::from(filter.spent().units()), spent);
                prop_assert_eq!(u128::from(filter.reserved().units()), reserved);
                prop_assert!(spent + reserved <= u128::from(cap));
                prop_assert_eq!(ZcdpFilter::restore(filter.cap(), filter.spent(), filter.reserved()), Ok(filter));
            }
        }
    }
}
