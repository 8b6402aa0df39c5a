//! A cost that depends on the votes, with how far it can move: one value, at one order, so that neither goes anywhere without the other.

use crate::Error;
use crate::quantity::{RdpOrder, in_range};
use crate::secret::Secret;
use libm::exp;
use std::fmt;

/// The cost of some queries at one Rényi order, with its local sensitivities: for each d, a bound on how far one more moved vote can
/// change it, anywhere within d moved votes. Both are as private as the votes.
#[derive(Clone)]
pub struct SensitiveCost {
    order: RdpOrder,
    nats: f64,
    /// Never falls; its last entry holds from there on.
    local: Vec<f64>,
}

impl SensitiveCost {
    /// No queries, at `order`.
    pub const fn none(order: RdpOrder) -> Self {
        Self { order, nats: 0.0, local: Vec::new() }
    }

    /// `reached` has, for each d, the largest step at votes that d moved votes may lead to; votes within d of these are those at any
    /// smaller distance too.
    pub(super) fn new(order: RdpOrder, nats: f64, mut reached: Vec<f64>) -> Self {
        let mut widest = 0.0_f64;
        for step in &mut reached {
            widest = widest.max(*step);
            *step = widest;
        }
        Self { order, nats, local: reached }
    }

    /// Adds the cost of further queries.
    ///
    /// Local sensitivities add up distance by distance, since one teacher can move in all queries, and in some of them less than in
    /// others: each is that of *all* votes within the distance. Refuses a cost at another order, and adds nothing.
    pub fn add(&mut self, more: &Self) -> Result<(), Error> {
        self.check(more.order)?;
        self.nats += more.nats;
        let last = |local: &[f64]| local.last().copied().unwrap_or_default();
        let (here, there) = (last(&self.local), last(&more.local));
        self.local.resize(self.local.len().max(more.local.len()), here);
        for (sum, step) in
            self.local.iter_mut().zip(more.local.iter().copied().chain(std::iter::repeat(there)))
        {
            *sum += step;
        }
        Ok(())
    }

    /// The order of the cost and of its sensitivities.
    pub const fn order(&self) -> RdpOrder {
        self.order
    }

    /// The cost, in nats.
    pub const fn nats(&self) -> Secret<f64> {
        Secret::new(self.nats)
    }

    /// Its local sensitivities by distance.
    pub fn local(&self) -> Secret<Vec<f64>> {
        Secret::new(self.local.clone())
    }

    /// SS_β = max over d of e^(-βd) LS(d). Refuses a β that is not above 0: it would discount nothing, or not be a number.
    pub fn smooth(&self, beta: f64) -> Result<Secret<f64>, Error> {
        let beta = in_range("beta", beta, |beta| beta > 0.0, "give a number above 0, such as 0.02")?;
        let discounted = |(d, step): (usize, &f64)| exp(-beta * d as f64) * step;
        Ok(Secret::new(self.local.iter().enumerate().map(discounted).fold(0.0, f64::max)))
    }

    /// Refuses an order that is not that of this cost.
    pub(super) fn check(&self, order: RdpOrder) -> Result<(), Error> {
        if self.order != order {
            return Err(Error::OrderMismatch { found: self.order.get(), expected: order.get() });
        }
        Ok(())
    }
}

/// Its order, which was fixed before the votes.
impl fmt::Debug for SensitiveCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SensitiveCost(order {}, redacted)", self.order.get())
    }
}
