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
//! ([`FilterOrder`]): a charge is then the largest R(α)/α at these orders, the proof holds at each
//! of them at once, and ε is taken at no other. Charges and caps of one account are all for one ω: a [`Charge`] carries the ω
//! at which it was priced, and a [`ZcdpFilter`] refuses one of another.
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
use crate::accountant::{epsilon_to_rho_within, rho_to_epsilon_within};
use crate::event::PrivacyEvent;
use crate::quantity::{Delta, Epsilon, FilterOrder, Rho};
use crate::unit::Sensitivity;

/// What something costs an account that bounds the orders up to ω, and that ω.
///
/// The largest R(α)/α over fewer orders may be less, so the price at a smaller ω would be too little for an account of a larger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    rho: Rho,
    order: FilterOrder,
}

impl Charge {
    /// An amount that is known to be priced at `order`, as a ledger recorded it.
    pub const fn new(rho: Rho, order: FilterOrder) -> Self {
        Self { rho, order }
    }

    /// The amount.
    pub const fn rho(self) -> Rho {
        self.rho
    }

    /// The ω at which it was priced.
    pub const fn order(self) -> FilterOrder {
        self.order
    }
}

/// The state of one account: ω and a cap for the life of the data, what is spent and what is reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZcdpFilter {
    order: FilterOrder,
    cap: Rho,
    spent: Rho,
    reserved: Rho,
}

impl ZcdpFilter {
    /// A fresh account with `cap`, which was converted at the orders up to ω of `order`.
    pub const fn new(cap: Rho, order: FilterOrder) -> Self {
        Self { order, cap, spent: Rho::ZERO, reserved: Rho::ZERO }
    }

    /// A fresh account with the largest cap whose answers are (ε, δ)-DP, rounded down.
    pub fn for_target(epsilon: Epsilon, delta: Delta, order: FilterOrder) -> Self {
        Self::new(epsilon_to_rho_within(epsilon, delta, order), order)
    }

    /// An account as a ledger recorded it. Refuses one that is past its cap: such a record is not to be
    /// trusted.
    pub fn restore(cap: Rho, order: FilterOrder, spent: Rho, reserved: Rho) -> Result<Self, Error> {
        let mut filter = Self::new(cap, order);
        let [spent, reserved] = [spent, reserved].map(|rho| Charge::new(rho, order));
        filter.reserve(spent)?;
        filter.settle(spent, spent)?;
        filter.reserve(reserved)?;
        Ok(filter)
    }

    /// The price of `event` at the orders of this account.
    pub fn price(&self, event: &PrivacyEvent, sensitivity: &Sensitivity) -> Result<Charge, Error> {
        Ok(Charge::new(event.price_within(sensitivity, self.order)?, self.order))
    }

    /// Sets `worst_case` aside, or refuses with [`Error::BudgetExceeded`] and changes nothing.
    ///
    /// Like all that takes a charge, it refuses one of another ω with [`Error::FilterOrderMismatch`].
    pub fn reserve(&mut self, worst_case: Charge) -> Result<(), Error> {
        let worst_case = self.own(worst_case)?;
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
    pub fn settle(&mut self, reservation: Charge, charged: Charge) -> Result<(), Error> {
        let (reservation, charged) = (self.own(reservation)?, self.own(charged)?);
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
    pub fn release(&mut self, reservation: Charge) -> Result<(), Error> {
        self.settle(reservation, Charge::new(Rho::ZERO, self.order))
    }

    /// The amount of a charge that was priced for this account.
    fn own(&self, charge: Charge) -> Result<Rho, Error> {
        if charge.order == self.order {
            Ok(charge.rho)
        } else {
            Err(Error::FilterOrderMismatch { found: charge.order, expected: self.order })
        }
    }

    /// ω.
    pub const fn order(&self) -> FilterOrder {
        self.order
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

    /// ε of the cap at `delta`, at the orders up to ω, rounded up.
    pub fn epsilon(&self, delta: Delta) -> f64 {
        rho_to_epsilon_within(self.cap, delta, self.order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OMEGA: FilterOrder = FilterOrder::DEFAULT;

    const fn rho(units: u64) -> Rho {
        Rho::from_units(units)
    }

    const fn charge(units: u64) -> Charge {
        Charge::new(rho(units), OMEGA)
    }

    const fn fresh(cap: u64) -> ZcdpFilter {
        ZcdpFilter::new(rho(cap), OMEGA)
    }

    #[test]
    fn a_refusal_says_what_was_asked_spent_reserved_and_left_and_changes_nothing() {
        let mut filter = fresh(100);
        filter.reserve(charge(40)).unwrap();
        filter.settle(charge(40), charge(30)).unwrap();
        filter.reserve(charge(50)).unwrap();
        let before = filter;
        assert_eq!(
            filter.reserve(charge(21)),
            Err(Error::BudgetExceeded {
                asked: rho(21),
                spent: rho(30),
                reserved: rho(50),
                cap: rho(100),
                left: rho(20)
            })
        );
        assert_eq!(filter, before);
        assert_eq!(filter.reserve(charge(20)), Ok(()), "the last unit can be spent");
        assert_eq!(filter.left(), Rho::ZERO);
    }

    #[test]
    fn an_abandoned_reservation_comes_back_and_a_settled_one_keeps_only_what_ran() {
        let mut filter = fresh(100);
        filter.reserve(charge(60)).unwrap();
        filter.release(charge(60)).unwrap();
        assert_eq!(filter, fresh(100));
        filter.reserve(charge(60)).unwrap();
        filter.settle(charge(60), charge(10)).unwrap();
        assert_eq!((filter.spent(), filter.reserved(), filter.left()), (rho(10), Rho::ZERO, rho(90)));
    }

    #[test]
    fn nobody_settles_more_than_was_reserved() {
        let mut filter = fresh(100);
        filter.reserve(charge(10)).unwrap();
        let before = filter;
        assert!(matches!(
            filter.settle(charge(10), charge(11)),
            Err(Error::ExceedsReservation { field: "charge", .. })
        ));
        assert!(matches!(
            filter.settle(charge(11), charge(1)),
            Err(Error::ExceedsReservation { field: "reservation", .. })
        ));
        assert!(matches!(filter.release(charge(11)), Err(Error::ExceedsReservation { .. })));
        assert_eq!(filter, before);
    }

    #[test]
    fn a_record_past_its_cap_is_not_restored() {
        assert!(ZcdpFilter::restore(rho(100), OMEGA, rho(60), rho(40)).is_ok());
        assert!(matches!(
            ZcdpFilter::restore(rho(100), OMEGA, rho(60), rho(41)),
            Err(Error::BudgetExceeded { spent, left, .. }) if spent == rho(60) && left == rho(40)
        ));
        assert!(ZcdpFilter::restore(rho(100), OMEGA, rho(101), Rho::ZERO).is_err());
        assert!(ZcdpFilter::restore(Rho::MAX, OMEGA, Rho::MAX, Rho::MAX).is_err());
    }

    #[test]
    fn a_charge_that_was_priced_at_other_orders_is_refused_and_changes_nothing() {
        let mut filter = fresh(100);
        filter.reserve(charge(40)).unwrap();
        let before = filter;
        for order in [FilterOrder::new(8).unwrap(), FilterOrder::UNBOUNDED] {
            let other = Charge::new(rho(10), order);
            let refusal = Err(Error::FilterOrderMismatch { found: order, expected: OMEGA });
            assert_eq!(filter.reserve(other), refusal);
            assert_eq!(filter.settle(other, charge(1)), refusal);
            assert_eq!(filter.settle(charge(10), other), refusal);
            assert_eq!(filter.release(other), refusal);
        }
        assert_eq!(filter, before);
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
            let mut filter = fresh(cap);
            let (mut open, mut spent) = (Vec::new(), 0_u128);
            for step in steps {
                match step {
                    Step::Reserve(units) => {
                        let before = filter;
                        if filter.reserve(charge(units)).is_ok() {
                            open.push(units);
                        } else {
                            prop_assert!(units > before.left().units(), "a refusal without need");
                            prop_assert_eq!(filter, before);
                        }
                    }
                    Step::Settle { which, charged_percent } if !open.is_empty() => {
                        let reserved = open.swap_remove(which % open.len());
                        let settled = u64::try_from(u128::from(reserved) * charged_percent / 100).unwrap();
                        filter.settle(charge(reserved), charge(settled)).unwrap();
                        spent += u128::from(settled);
                    }
                    Step::Release { which } if !open.is_empty() => {
                        let reserved = open.swap_remove(which % open.len());
                        filter.release(charge(reserved)).unwrap();
                    }
                    Step::Settle { .. } | Step::Release { .. } => {}
                }
                let reserved: u128 = open.iter().copied().map(u128::from).sum();
                prop_assert_eq!(u128::from(filter.spent().units()), spent);
                prop_assert_eq!(u128::from(filter.reserved().units()), reserved);
                prop_assert!(spent + reserved <= u128::from(cap));
                prop_assert_eq!(ZcdpFilter::restore(filter.cap(), filter.order(), filter.spent(), filter.reserved()), Ok(filter));
            }
        }
    }
}
