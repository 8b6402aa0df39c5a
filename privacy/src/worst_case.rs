//! The exact worst case: the largest Rényi divergence of a noisy argmax over *all* vote vectors and any number of classes.
//!
//! It depends on the noise alone, so it may be published, charged and capped like the published α/σ², of which it is
//! about 0.64 at the orders that matter. `docs/privacy-accounting.md`, section 10, has the proof in full; in short:
//!
//! 1. One vote moves from class i to class j. Condition on the best noisy score W of all other classes, whose law is the
//!    same in both worlds. Giving W away can only increase the divergence (data processing), and the divergence of a
//!    mixture over a common W is at most its largest (joint quasi-convexity). So the supremum over all vote vectors is at
//!    most that over two reals u = (n_i - W)/σ, v = (n_j - W)/σ of a mechanism with **three outcomes**: i wins, j wins, another does.
//!    Two classes are the limit u, v → ∞ at fixed u - v.
//! 2. With δ = 1/σ the neighbour is at (u - δ, v + δ). The two directions of the divergence are exchanged by renaming i
//!    and j, so one direction over the whole plane covers both.
//! 3. The supremum over the plane is certified by branch and bound (`worst_case/plane.rs`): every region is either cut into smaller ones
//!    or proven to hold nothing above the best value found, with a tolerance of 2·10^-5. What is returned is that upper end.
//!
//! The threshold test is the same on a line (`worst_case/line.rs`): its statistic moves by at most one.
//!
//! Laplace noise has the same reduction and the same tolerance; its bounds are monotone log ratios (`worst_case/laplace.rs`).
//!
//! What it does not cover: more than one moved vote (see [`crate::unit`]; m votes from one class to one other are
//! σ/m, anything else keeps the published price) and parties who see the noisy counts. The figures here are of continuous noise;
//! what accounts are charged (`worst_case/price.rs`), and what certificates say, has the proven gap to the lattice added
//! (`worst_case/lattice_gap.rs`).

mod laplace;
mod lattice_gap;
mod line;
mod outcome;
mod plane;
mod price;

pub(crate) use price::{Decision, Step, near, price};

use crate::data_dependent::ArgmaxNoise;
use crate::numerics::widen_up;
use crate::quantity::{Lattice, RdpOrder, Scale};
use lattice_gap::Drawn;
use libm::{expm1, log1p};

/// How much above the supremum a certified divergence may be, in relative terms.
const TOLERANCE: f64 = 2e-5;

/// The excess whose divergence is above that of `excess` by the tolerance: D = ln(1 + F)/(α-1), so F may be off by
/// (1 + F) ln(1 + F)/F times as much as D.
fn ceiling(excess: f64, tolerance: f64) -> f64 {
    excess + tolerance * (1.0 + excess) * log1p(excess)
}

/// Above this α/σ the supremum is close to α/σ² itself, which is returned instead of a search.
const PRODUCT_MAX: f64 = 6.5;
/// Below this 1/σ doubles do not resolve the difference between neighbours; α/σ² is returned.
const SHIFT_MIN: f64 = 1e-5;

/// The worst case of argmax_j (n_j + N(0, σ²)) at each of `orders`, in nats, rounded up; never above α/σ².
pub fn gnmax(sigma: Scale, orders: &[RdpOrder]) -> Vec<f64> {
    let shift = 1.0 / sigma.get();
    let mut plane = plane::Plane::new(shift, TOLERANCE);
    let at = |order: &RdpOrder| {
        let alpha = order.get();
        let published = widen_up(alpha * shift * shift, ROUNDING);
        if !searchable(alpha, shift) {
            return published;
        }
        divergence(plane.supremum(alpha, 0.0), alpha).min(published)
    };
    orders.iter().map(at).collect()
}

/// The worst case of the test max_j n_j + N(0, σ1²) >= T at each of `orders`, in nats, rounded up; never above
/// α/(2σ1²).
pub fn threshold(sigma1: Scale, orders: &[RdpOrder]) -> Vec<f64> {
    let shift = 1.0 / sigma1.get();
    let at = |order: &RdpOrder| {
        let alpha = order.get();
        let published = widen_up(0.5 * alpha * shift * shift, ROUNDING);
        if !searchable(alpha, shift) {
            return published;
        }
        divergence(line::supremum(shift, alpha, 0.0, TOLERANCE), alpha).min(published)
    };
    orders.iter().map(at).collect()
}

/// The worst case of argmax_j (n_j + Lap(b)) at each of `orders`, in nats, rounded up; never above min(2α/b², 2/b).
///
/// Within 2·10^-5 of the supremum of the three-outcome mechanism for b from 1 to 1000 and α up to 6.5 b; beyond, the published bound.
pub fn lnmax(scale: Scale, orders: &[RdpOrder]) -> Vec<f64> {
    let shift = 1.0 / scale.get();
    let at = |order: &RdpOrder| {
        let alpha = order.get();
        let published = widen_up((2.0 * alpha * shift * shift).min(2.0 * shift), ROUNDING);
        if !searchable(alpha, shift) || shift < LAPLACE_SHIFT_MIN {
            return published;
        }
        divergence(laplace::supremum(shift, alpha, TOLERANCE), alpha).min(published)
    };
    orders.iter().map(at).collect()
}

/// What `divergences` of continuous noise at `orders` are at most where that noise is drawn on `lattice`, in nats, rounded up; never above
/// the published bound, which holds for both.
pub(crate) fn on_lattice(
    decision: Decision,
    noise: ArgmaxNoise,
    lattice: Lattice,
    orders: &[RdpOrder],
    divergences: &[f64],
) -> Vec<f64> {
    let shift = 1.0 / noise.scale();
    let step = shift / lattice.steps_per_vote() as f64;
    let at = |(order, found): (&RdpOrder, &f64)| {
        let alpha = order.get();
        let excess = expm1((alpha - 1.0) * found) * (1.0 + ROUNDING);
        let (drawn, published) = match (noise, decision) {
            (ArgmaxNoise::Laplace(_), _) => {
                let published = (2.0 * alpha * shift * shift).min(2.0 * shift);
                (lattice_gap::laplace(excess, alpha, step, shift), published)
            }
            (ArgmaxNoise::Gaussian(_), decision) => {
                let gap = Drawn::of(decision, step, shift);
                (gap.excess(excess, alpha), gap.published * alpha)
            }
        };
        divergence(drawn, alpha).min(widen_up(published, ROUNDING))
    };
    orders.iter().zip(divergences).map(at).collect()
}

/// Larger Laplace scales than its inverse keep the published bound.
const LAPLACE_SHIFT_MIN: f64 = 1e-3;

fn searchable(alpha: f64, shift: f64) -> bool {
    alpha * shift <= PRODUCT_MAX && (SHIFT_MIN..=1.0).contains(&shift)
}

/// D_α for Σ p^α q^(1-α) - 1.
fn divergence(excess: f64, alpha: f64) -> f64 {
    widen_up(log1p(excess) / (alpha - 1.0), ROUNDING)
}

/// A few operations, each within units in the last place.
const ROUNDING: f64 = 1e-14;
