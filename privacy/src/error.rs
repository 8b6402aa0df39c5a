//! Everything that this crate refuses, with the field, the value and the way out.
//!
//! Each text names the problem first and, after its last colon, what to do about it.
//!
//! No variant ever carries a vote, a count, a noise value or any figure that depends on them: the texts below
//! may be shown to anybody. (A class index out of range is therefore named by its limit alone.)

use crate::quantity::{FilterOrder, Rho};

/// A refusal of this crate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A number was NaN or infinite.
    #[error("{field} is {value}, which is not a finite number: {fix}")]
    NotFinite {
        /// The quantity.
        field: &'static str,
        /// What was given.
        value: f64,
        /// What to give instead.
        fix: &'static str,
    },
    /// A number was outside the range of its quantity.
    #[error("{field} is {}, out of range: {fix}", written(*value))]
    OutOfRange {
        /// The quantity.
        field: &'static str,
        /// What was given.
        value: f64,
        /// What to give instead.
        fix: &'static str,
    },
    /// Costs at different Rényi orders were to be added or published as one.
    #[error("a cost is at order {found}, not at {expected}: use one order, fixed before any vote is seen")]
    OrderMismatch {
        /// The order of the cost.
        found: f64,
        /// The order that it was to have.
        expected: f64,
    },
    /// A charge was priced at other orders than those that the account bounds.
    #[error(
        "a charge priced at filter order {found} was given to an account of filter order {expected}: price it at that of the account"
    )]
    FilterOrderMismatch {
        /// The order of the charge.
        found: FilterOrder,
        /// The order of the account.
        expected: FilterOrder,
    },
    /// Noise scales or thresholds of one mechanism live on different lattices.
    #[error(
        "{field} is on the lattice 2^-{found} votes, the rest of the mechanism on 2^-{expected}: use one lattice"
    )]
    LatticeMismatch {
        /// The quantity that differs.
        field: &'static str,
        /// Its lattice, in bits.
        found: u8,
        /// The lattice of the rest, in bits.
        expected: u8,
    },
    /// A price or a sum of prices exceeds what the integer unit can hold (2^24 nats).
    #[error(
        "{field} exceeds 2^24 nats, the most that an account can hold: use more noise, fewer moves or fewer queries"
    )]
    CostOverflow {
        /// What was being computed.
        field: &'static str,
    },
    /// An accountant was given an event that it cannot price.
    #[error("accountant {accountant} cannot price {event}: {fix}")]
    UnsupportedEvent {
        /// The accountant.
        accountant: &'static str,
        /// The event.
        event: &'static str,
        /// What to use instead.
        fix: &'static str,
    },
    /// The filter refused: the asked charge does not fit into what is left.
    #[error(
        "the budget refuses {asked}, with {left} left of {cap} (spent {spent}, reserved {reserved}): \
         ask for less, or stop here"
    )]
    BudgetExceeded {
        /// The worst-case charge that was asked for.
        asked: Rho,
        /// What has been spent.
        spent: Rho,
        /// What is reserved for draws under way.
        reserved: Rho,
        /// The cap, for the life of the data.
        cap: Rho,
        /// `cap - spent - reserved`.
        left: Rho,
    },
    /// A filter other than that of ρ refused: the asked charge does not fit into what is left.
    #[error("the {measure} filter refuses {asked}, with {left} left of {cap}: ask for less, or stop here")]
    FilterExceeded {
        /// What the filter adds up.
        measure: &'static str,
        /// The worst-case charge that was asked for.
        asked: f64,
        /// The cap less what is spent and reserved.
        left: f64,
        /// The cap.
        cap: f64,
    },
    /// The same for such a filter when it settles.
    #[error(
        "{field} is {measure} {asked}, but only {reserved} is reserved: settle no more than was reserved"
    )]
    SettlesTooMuch {
        /// The amount that is too large.
        field: &'static str,
        /// What the filter adds up.
        measure: &'static str,
        /// What was given.
        asked: f64,
        /// What is reserved.
        reserved: f64,
    },
    /// A list has another length than the items that it is about.
    #[error("{field} has {found} entries for {expected} items: give one for each")]
    Length {
        /// The list.
        field: &'static str,
        /// Its length.
        found: usize,
        /// The number of items.
        expected: usize,
    },
    /// A vote came from a record that does not exist. The record is not repeated here.
    #[error("a vote comes from a record out of range: there are {records}, numbered from 0")]
    RecordOutOfRange {
        /// How many records there are.
        records: usize,
    },
    /// A record voted twice on one query. The record is not repeated here.
    #[error("a record votes twice on one query: give at most one vote for each record")]
    VotesTwice,
    /// A charge or a return was larger than the reservation that it settles.
    #[error("{field} is {asked}, but only {reserved} is reserved: settle no more than was reserved")]
    ExceedsReservation {
        /// The amount that is too large.
        field: &'static str,
        /// What was given.
        asked: Rho,
        /// What is reserved.
        reserved: Rho,
    },
    /// No admissible noise reaches the target.
    #[error(
        "no noise scale up to 2^62 lattice steps fits {queries} queries into {cap}: ask fewer queries or raise epsilon"
    )]
    Unreachable {
        /// The queries asked for.
        queries: u64,
        /// The budget of the target.
        cap: Rho,
    },
    /// A condition under which a sensitivity is proven could not be shown to hold.
    #[error(
        "condition {condition} of the smooth sensitivity is not certified at sigma {sigma} and order {order}: \
         choose a smaller order or more noise"
    )]
    Uncertified {
        /// The condition, by its name in the paper.
        condition: &'static str,
        /// σ, in votes.
        sigma: f64,
        /// The Rényi order.
        order: f64,
    },
    /// A bound on contributions says nothing about this unit.
    #[error("the unit {unit} may add to any number of counts: protect records or subjects")]
    UnboundedUnit {
        /// The unit.
        unit: &'static str,
    },
    /// Vote counts had a wrong number of classes.
    #[error("classes is {value}: give between 2 and {max} classes")]
    Classes {
        /// The number of classes given.
        value: usize,
        /// The limit.
        max: usize,
    },
    /// A vote named a class that does not exist. The class voted for is not repeated here.
    #[error("a vote names a class out of range: classes are numbered from 0 to {max}")]
    VoteOutOfRange {
        /// The largest class index.
        max: u32,
    },
    /// A count exceeded 2^53. The count is not repeated here.
    #[error("a vote count exceeds 2^53: count fewer votes")]
    CountTooLarge,
    /// The RDP curve is malformed.
    #[error(
        "an RDP curve of {values} values on {orders} orders: give one finite value >= 0 for each of at least one order"
    )]
    RdpCurve {
        /// How many orders.
        orders: usize,
        /// How many values.
        values: usize,
    },
    /// The operating system gave no seed, so no noise was drawn.
    #[error(
        "the operating system gave no random seed ({reason}), so nothing was drawn: repair its random source"
    )]
    NoEntropy {
        /// What the operating system said.
        reason: String,
    },
}

/// A number as people write it: one with hundreds of digits has an exponent.
fn written(value: f64) -> String {
    if value == 0.0 || (1e-5..1e16).contains(&value.abs()) { value.to_string() } else { format!("{value:e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_ends_with_the_way_out() {
        let (field, fix, rho) = ("field", "do otherwise", Rho::from_units(1));
        let refusals = [
            Error::NotFinite { field, value: f64::NAN, fix },
            Error::OutOfRange { field, value: -1.0, fix },
            Error::LatticeMismatch { field, found: 0, expected: 20 },
            Error::CostOverflow { field },
            Error::OrderMismatch { found: 2.0, expected: 4.0 },
            Error::FilterOrderMismatch { found: FilterOrder::UNBOUNDED, expected: FilterOrder::DEFAULT },
            Error::UnsupportedEvent { accountant: "pure", event: "Gaussian noisy max", fix },
            Error::BudgetExceeded { asked: rho, spent: rho, reserved: rho, cap: rho, left: rho },
            Error::ExceedsReservation { field, asked: rho, reserved: rho },
            Error::FilterExceeded { measure: "mu^2", asked: 1.0, left: 0.5, cap: 2.0 },
            Error::SettlesTooMuch { field, measure: "mu^2", asked: 1.0, reserved: 0.5 },
            Error::Length { field, found: 1, expected: 2 },
            Error::RecordOutOfRange { records: 3 },
            Error::VotesTwice,
            Error::Unreachable { queries: 7, cap: rho },
            Error::Uncertified { condition: "C6", sigma: 20.0, order: 25.0 },
            Error::UnboundedUnit { unit: "organisation" },
            Error::Classes { value: 1, max: 9 },
            Error::VoteOutOfRange { max: 9 },
            Error::CountTooLarge,
            Error::RdpCurve { orders: 0, values: 1 },
            Error::NoEntropy { reason: "device: gone".to_owned() },
        ];
        for refusal in refusals {
            let text = refusal.to_string();
            let (problem, way_out) = text.rsplit_once(": ").unwrap();
            assert!(problem.len() > 5 && way_out.contains(' '), "{text}");
        }
    }
}
