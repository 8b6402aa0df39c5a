//! The exact worst case as a price: what one step costs an account that bounds the orders up to ω.
//!
//! ρ_ω = max R(α)/α over the account's orders, of the law that is drawn, rounded up to a unit. It is searched once per process
//! and step: ω first, then the other orders, which need to be searched no further than to show that they do not exceed it.
//!
//! The figure is a function of the step's integers alone, the same on every machine: the arithmetic is IEEE doubles in one
//! order, and the functions are those of `libm` in Rust.

use super::lattice_gap::Drawn;
use super::{PRODUCT_MAX, SHIFT_MIN, line, plane};
use crate::numerics::widen_up;
use crate::quantity::{FilterOrder, NoiseScale, Rho};
use libm::{expm1, log1p};
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

/// What noisy counts decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Decision {
    /// The argmax; one vote moves from one class to another.
    Argmax,
    /// Whether the largest count reaches a threshold; it moves by at most one vote.
    Threshold,
}

/// A step whose exact worst case is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Step {
    /// What is decided.
    pub(crate) decision: Decision,
    /// The Gaussian noise on each count.
    pub(crate) scale: NoiseScale,
    /// By how much the vote that moves shifts a count, in the unit of the counts: the proofs know it only in units of the noise,
    /// and that it is a whole number of lattice steps.
    pub(crate) weight: u32,
}

/// ρ_ω of `step` for one moved vote; none where it is not known to be below the published price.
pub(crate) fn price(step: Step, order: FilterOrder) -> Option<Rho> {
    let key = (step, order);
    // A panic elsewhere cannot leave a wrong figure here: prices are inserted whole.
    if let Some(known) = PRICES.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return *known;
    }
    let found = search(step, order);
    let mut prices = PRICES.lock().unwrap_or_else(PoisonError::into_inner);
    if prices.len() >= PRICES_MAX {
        prices.clear();
    }
    prices.insert(key, found);
    found
}

fn search(step: Step, order: FilterOrder) -> Option<Rho> {
    let drawn = drawn(step, order)?;
    let (largest, shift) = (f64::from(order.get()), step.shift());
    let mut plane = plane::Plane::new(shift, PRICE_TOLERANCE);
    let mut supremum = |alpha: f64, enough: f64| match step.decision {
        Decision::Argmax => plane.supremum(alpha, enough),
        Decision::Threshold => line::supremum(shift, alpha, 0.0, PRICE_TOLERANCE),
    };
    // R/α of the continuous law at ω. Where it is not larger at another order, that order need not be searched to the end.
    let at_largest = supremum(largest, 0.0);
    let rate = log1p(at_largest) / ((largest - 1.0) * largest);
    let rates = order.orders().iter().map(|&alpha| {
        let enough = expm1((alpha - 1.0) * alpha * rate);
        let excess = if alpha < largest { supremum(alpha, enough) } else { at_largest };
        log1p(drawn.excess(excess, alpha)) / ((alpha - 1.0) * alpha)
    });
    // Not `f64::max`, which would drop what is not a number.
    let largest_rate = rates.fold(0.0, |largest, rate| if rate <= largest { largest } else { rate });
    Rho::from_nats_up(widen_up(largest_rate, ROUNDING))
}

/// What the price is about, in nats: the best value that climbing finds at ω, where the largest rate is in all but extreme cases,
/// with the same gap. None where there is no price.
pub(crate) fn near(step: Step, order: FilterOrder) -> Option<f64> {
    let drawn = drawn(step, order)?;
    let (largest, shift) = (f64::from(order.get()), step.shift());
    let excess = match step.decision {
        Decision::Argmax => plane::climb(shift, largest),
        // A line is searched in no time.
        Decision::Threshold => line::supremum(shift, largest, 0.0, PRICE_TOLERANCE),
    };
    Some(log1p(drawn.excess(excess, largest)) / ((largest - 1.0) * largest))
}

/// What is drawn, where its exact worst case is a price.
fn drawn(step: Step, order: FilterOrder) -> Option<Drawn> {
    let shift = step.shift();
    if order.is_unbounded()
        || f64::from(order.get()) * shift > PRODUCT_MAX.min(PRICED_MAX)
        || !(SHIFT_MIN..=1.0).contains(&shift)
    {
        return None;
    }
    Some(Drawn::of(step.decision, 1.0 / step.scale.steps() as f64, shift))
}

impl Step {
    /// δ: what a vote shifts, over σ.
    fn shift(self) -> f64 {
        f64::from(self.weight) / self.scale.votes()
    }
}

/// What was searched for in this process; at most [`PRICES_MAX`] figures.
static PRICES: LazyLock<Mutex<Prices>> = LazyLock::new(Mutex::default);

type Prices = HashMap<(Step, FilterOrder), Option<Rho>>;

const PRICES_MAX: usize = 1 << 12;
/// How much above the supremum a price may be, in relative terms: coarser than for reports, and five times as fast.
const PRICE_TOLERANCE: f64 = 2e-4;
/// Above this ω/σ the gain is below an eighth, the search long, and the published price is charged.
const PRICED_MAX: f64 = 3.5;
/// σ and 1/σ as doubles, and the last operations.
const ROUNDING: f64 = 1e-12;
