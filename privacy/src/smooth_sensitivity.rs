//! How a cost that depends on the votes may be published: with noise scaled to its smooth sensitivity.
//!
//! Papernot et al. 2018, Appendices B and C. For fixed (σ, K, α), **chosen before any vote is seen**, the Theorem 6 cost is a
//! function β(q) of the bound q on a wrong answer; one vote changes q at most to B_U(q) or B_L(q). [`GnMaxSensitivity`] gives
//! the largest change of β within d further moved votes, for each d, and [`ThresholdSensitivity`] that of a threshold test; sums of
//! these over queries, discounted by e^(-βd), are the smooth sensitivity SS (Nissim, Raskhodnikova and Smith 2007), and publishing
//! R + SS·N(0, σ_ss²) itself costs [`release_cost`], which is more than their Theorem 23 says. [`SanitisedRelease`] draws it; its
//! parameters are fixed before. A cost, its order and its local sensitivities are one value, [`SensitiveCost`], and nothing else can
//! be released.
//!
//! The local sensitivities are proven under two conditions on β: it does not fall on \[0, q0\] (C5), and neither does
//! β(B_U(q)) - β(q) on \[0, B_L(q0)\] (C6). The paper looked at both on a grid; [`GnMaxSensitivity::new`] shows them by interval
//! arithmetic, from q = 0 on, with every rounding outwards, and refuses parameters for which it cannot (σ = 20, K = 10, α = 25, say, where C6 is
//! false) with [`Error::Uncertified`].
//!
//! Noise and order cannot be exchanged unnoticed, as they once were:
//!
//! ```compile_fail,E0308
//! use conclave_privacy::quantity::{RdpOrder, Scale};
//! use conclave_privacy::smooth_sensitivity::GnMaxSensitivity;
//! GnMaxSensitivity::new(RdpOrder::new(10.0)?, 10, Scale::new(40.0)?)?;
//! # Ok::<(), conclave_privacy::Error>(())
//! ```
//!
//! Only the Theorem 6 cost can be sanitised like this; the exact cost has no such analysis and stays
//! [secret](crate::secret).

mod certificate;
mod confident;
mod cost;
mod interval;
mod release;

pub use confident::{ConfidentSensitivity, ThresholdSensitivity};
pub use cost::SensitiveCost;
pub(crate) use release::sanitised_cost;
pub use release::{SanitisedRelease, Smoothing, published_release_cost, release_cost};

use crate::Error;
use crate::counts::{VoteCounts, check_classes};
use crate::data_dependent::{Theorem6, gnmax_log_q};
use crate::numerics::{log_normal_cdf, log_sum, normal_quantile};
use crate::quantity::{RdpOrder, Scale};
use certificate::{Condition, Cost};
use libm::{exp, log, log1p};
use std::f64::consts::SQRT_2;

/// How far the Theorem 6 cost of one GNMax answer can move, for fixed noise, classes and order.
#[derive(Debug, Clone)]
pub struct GnMaxSensitivity {
    sigma: Scale,
    order: RdpOrder,
    others: f64,
    log_others: f64,
    log_q0: f64,
    log_q1: f64,
    plateau: f64,
    /// Φ(-gap/(√2 σ)) by gap, until it is no normal number or the table is long enough.
    overtaken: Vec<f64>,
}

impl GnMaxSensitivity {
    /// For noise σ, `classes` classes and one order. Refuses fewer than two classes or more than there may be, and parameters for
    /// which conditions C5 and C6 are not certified.
    pub fn new(sigma: Scale, classes: usize, order: RdpOrder) -> Result<Self, Error> {
        check_classes(classes)?;
        let mut this = Self {
            sigma,
            order,
            others: (classes - 1) as f64,
            log_others: log((classes - 1) as f64),
            log_q0: f64::NEG_INFINITY,
            log_q1: f64::NEG_INFINITY,
            plateau: 0.0,
            overtaken: Vec::new(),
        };
        this.log_q0 = this.crossing();
        this.log_q1 = this.one_vote(this.log_q0, -1.0);
        this.plateau = this.at(this.log_q1);
        this.check_conditions()?;
        let by_gap = (0..TABLE_MAX as u64).map(|gap| exp(log_overtakes(gap, sigma)));
        this.overtaken = by_gap.take_while(|overtaken| *overtaken > f64::MIN_POSITIVE).collect();
        Ok(this)
    }

    /// ln q0: from here on the cost is α/σ².
    pub const fn log_q0(&self) -> f64 {
        self.log_q0
    }

    /// ln q1 = ln B_L(q0): between q1 and q0 the sensitivity is at its largest.
    pub const fn log_q1(&self) -> f64 {
        self.log_q1
    }

    /// The Theorem 6 cost of one answer at these votes, with the most that one more moved vote can change it for each distance below
    /// the number of votes. A shorter list would not be smooth.
    ///
    /// Algorithm 3 of the 2018 paper: walk to where the sensitivity is largest, one vote at a time; it stays there.
    ///
    /// Refuses more than [`VOTES_MAX`] votes.
    pub fn of(&self, counts: &VoteCounts) -> Result<SensitiveCost, Error> {
        let mut sorted = counts.as_slice().to_vec();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        let mut walk = Walk::new(sorted, self);
        let mut sensitivities = vec![self.plateau; votes(counts)?];
        let mut log_q = gnmax_log_q(counts, self.sigma);
        let cost = self.cost(log_q);
        let left = log_q > self.log_q0;
        for sensitivity in &mut sensitivities {
            let arrived = if left { log_q <= self.log_q0 } else { self.on_plateau(log_q) };
            if arrived {
                break;
            }
            *sensitivity = self.at(log_q);
            walk.step(left);
            log_q = walk.log_q();
        }
        Ok(SensitiveCost::new(self.order, cost, sensitivities))
    }

    /// The largest change of the cost by one vote at q.
    fn at(&self, log_q: f64) -> f64 {
        let on_plateau = self.on_plateau(log_q) && log_q <= self.log_q0;
        let log_q = if on_plateau { self.log_q1 } else { log_q };
        let here = self.cost(log_q);
        let z = self.z(log_q);
        // One vote from q1 leads to q0 by definition. Computed it may be a little less, and the cost may jump at q0.
        let above = if on_plateau { self.independent() } else { self.cost(self.shifted(z, 1.0)) };
        let down = here - self.cost(self.shifted(z, -1.0));
        (above - here).max(down).max(0.0)
    }

    /// Whether one vote leads from here to q0, whatever rounding says.
    fn on_plateau(&self, log_q: f64) -> bool {
        log_q >= self.log_q1 * (1.0 + RELATIVE_ROUNDING)
    }

    /// α/σ².
    fn independent(&self) -> f64 {
        self.order.get() / (self.sigma.get() * self.sigma.get())
    }

    /// β(q): Theorem 6 below q0, α/σ² from there on.
    fn cost(&self, log_q: f64) -> f64 {
        let (per_order, independent) = (self.independent() / self.order.get(), self.independent());
        if log_q >= self.log_q0 {
            return independent;
        }
        Theorem6::at(log_q, per_order)
            .map_or(independent, |bound| bound.rdp(self.order.get()).min(independent))
    }

    /// ln B_U(q) for `direction` 1, ln B_L(q) for -1: q = (K-1) Φ(z) becomes (K-1) Φ(z ± √2/σ).
    fn one_vote(&self, log_q: f64, direction: f64) -> f64 {
        self.shifted(self.z(log_q), direction)
    }

    fn z(&self, log_q: f64) -> f64 {
        normal_quantile(log_q - self.log_others)
    }

    fn shifted(&self, z: f64, direction: f64) -> f64 {
        (log_normal_cdf(z + direction * SQRT_2 / self.sigma.get()) + self.log_others).min(0.0)
    }

    /// The largest ln q at which Theorem 6 holds and is below α/σ²; never above -(1 + 1/σ)², where it begins to hold.
    fn crossing(&self) -> f64 {
        let (per_order, independent) = (self.independent() / self.order.get(), self.independent());
        let below = |log_q: f64| {
            Theorem6::at(log_q, per_order).is_some_and(|bound| bound.rdp(self.order.get()) < independent)
        };
        let edge = 1.0 + 1.0 / self.sigma.get();
        let mut high = -edge * edge;
        if below(high) {
            return high;
        }
        let mut low = high * 2.0;
        while !below(low) && low > LOG_Q_MIN {
            low *= 2.0;
        }
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if below(middle) { low = middle } else { high = middle }
        }
        low
    }

    /// C5 and C6 up to q0, by interval arithmetic.
    fn check_conditions(&self) -> Result<(), Error> {
        // q0 is where bisection found it; a little beyond costs nothing.
        let highest = self.z(self.log_q0) * (1.0 - 1e-9);
        let cost = Cost { sigma: self.sigma.get(), others: self.others, alpha: self.order.get() };
        cost.certify(highest).map_err(|condition| Error::Uncertified {
            condition: match condition {
                Condition::C5 => "C5",
                Condition::C6 => "C6",
            },
            sigma: self.sigma.get(),
            order: self.order.get(),
        })
    }
}

/// Votes on their way to where the sensitivity is largest.
struct Walk<'a> {
    /// Descending; two at least, and all that anybody voted for.
    sorted: Vec<u64>,
    /// How many classes there are beyond, which nobody voted for and no step reaches.
    empty: f64,
    known: &'a GnMaxSensitivity,
}

impl<'a> Walk<'a> {
    fn new(mut sorted: Vec<u64>, known: &'a GnMaxSensitivity) -> Self {
        let voted_for = sorted.partition_point(|count| *count > 0).max(VoteCounts::CLASSES_MIN);
        let empty = sorted.len().saturating_sub(voted_for) as f64;
        sorted.truncate(voted_for);
        Self { sorted, empty, known }
    }

    /// One vote from the runner-up to the top (`left`, to a smaller q), or from the top to the runner-up.
    fn step(&mut self, left: bool) {
        if left {
            if self.sorted[1] > 0 {
                self.sorted[0] += 1;
                self.sorted[1] -= 1;
            }
        } else if self.sorted[0] > 0 {
            self.sorted[0] -= 1;
            self.sorted[1] += 1;
        }
        self.sorted.sort_unstable_by(|a, b| b.cmp(a));
    }

    fn log_q(&self) -> f64 {
        let top = self.sorted[0];
        let mut sum = if self.empty > 0.0 { self.empty * self.overtakes(top) } else { 0.0 };
        for place in 1..self.sorted.len() {
            sum += self.overtakes(top - self.sorted[place]);
        }
        let log_sum = if sum > f64::MIN_POSITIVE {
            log(sum)
        } else {
            let voted_for = self.sorted[1..].iter().map(|count| self.log_overtakes(top - count));
            log_sum(voted_for.chain([log(self.empty) + self.log_overtakes(top)]))
        };
        log_sum.min(log1p(-1.0 / (self.sorted.len() as f64 + self.empty)))
    }

    /// Φ(-gap/(√2 σ)).
    fn overtakes(&self, gap: u64) -> f64 {
        let known = usize::try_from(gap).ok().and_then(|place| self.known.overtaken.get(place));
        known.copied().unwrap_or_else(|| exp(self.log_overtakes(gap)))
    }

    fn log_overtakes(&self, gap: u64) -> f64 {
        log_overtakes(gap, self.known.sigma)
    }
}

/// ln Φ(-gap/(√2 σ)): one of two classes with this gap between them overtakes the other.
fn log_overtakes(gap: u64, sigma: Scale) -> f64 {
    log_normal_cdf(-(gap as f64) / (SQRT_2 * sigma.get()))
}

/// All votes: as many moves reach every vote vector.
fn votes(counts: &VoteCounts) -> Result<usize, Error> {
    let votes = counts.as_slice().iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    usize::try_from(votes).ok().filter(|votes| *votes <= VOTES_MAX).ok_or(Error::OutOfRange {
        field: "votes",
        value: votes as f64,
        fix: "give at most 1048576 votes in all: there is one local sensitivity for each",
    })
}

/// The most votes whose local sensitivities are listed.
pub const VOTES_MAX: usize = 1 << 20;

/// More than the relative error of ln B_L(q0).
const RELATIVE_ROUNDING: f64 = 1e-12;
/// ln q below which no crossing is looked for.
const LOG_Q_MIN: f64 = -1e12;
const HALVINGS: usize = 80;
/// Gaps up to which Φ is tabulated.
const TABLE_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plateau_has_the_jump_at_q0_however_one_vote_from_q1_is_rounded() {
        let mut jumps = 0;
        for sigma in [0.3, 0.4, 0.5, 0.6, 0.75, 1.0, 1.25, 1.5, 1.75, 3.0, 40.0] {
            for classes in [2, 3, 5, 10, 100] {
                for alpha in [1.1, 1.25, 1.5, 2.0, 2.5, 8.0] {
                    let (scale, order) = (Scale::new(sigma).unwrap(), RdpOrder::new(alpha).unwrap());
                    let Ok(known) = GnMaxSensitivity::new(scale, classes, order) else { continue };
                    let edge = 1.0 + 1.0 / sigma;
                    jumps += u32::from(known.log_q0 >= -edge * edge);
                    let jump = alpha / (sigma * sigma) - known.cost(known.log_q1);
                    let words = format!("sigma {sigma}, {classes} classes, order {alpha}");
                    assert!(known.plateau >= jump, "{words}: {} below {jump}", known.plateau);
                }
            }
        }
        assert!(jumps > 100, "the cost jumps for {jumps} of them");
    }

    #[test]
    fn neighbours_at_the_jump_differ_by_no_more_than_their_sensitivities() {
        // Votes whose costs lie on both sides of q0.
        for (sigma, alpha, here, there) in [
            (1.0, 1.25, vec![7, 3, 2], vec![6, 3, 3]),
            (1.0, 1.5, vec![7, 3, 0, 0, 0, 0, 0, 0, 0, 0], vec![6, 4, 0, 0, 0, 0, 0, 0, 0, 0]),
            (0.6, 1.25, vec![7, 3, 0, 0, 0, 0, 0, 0, 0, 0], vec![6, 4, 0, 0, 0, 0, 0, 0, 0, 0]),
            (1.25, 1.5, vec![12, 8], vec![11, 9]),
        ] {
            let (scale, order) = (Scale::new(sigma).unwrap(), RdpOrder::new(alpha).unwrap());
            let known = GnMaxSensitivity::new(scale, here.len(), order).unwrap();
            let [here, there] = [here, there].map(|counts| VoteCounts::new(counts).unwrap());
            let costs = [here, there].map(|counts| known.of(&counts).unwrap());
            let apart = (costs[0].nats().inside() - costs[1].nats().inside()).abs();
            for cost in costs {
                let smooth = cost.smooth(0.02).unwrap();
                assert!(apart <= *smooth.inside(), "{sigma}, {alpha}: {apart} above {}", smooth.inside());
            }
        }
    }

    #[test]
    fn more_votes_than_can_be_listed_are_refused() {
        let known = GnMaxSensitivity::new(Scale::new(40.0).unwrap(), 2, RdpOrder::new(4.0).unwrap()).unwrap();
        for votes in [vec![(1 << 20) + 1, 0], vec![1 << 52, 1 << 52]] {
            let counts = VoteCounts::new(votes).unwrap();
            assert!(matches!(known.of(&counts), Err(Error::OutOfRange { field: "votes", .. })));
        }
    }
}
