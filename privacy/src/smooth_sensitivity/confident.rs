//! How far the Theorem 6 costs of a threshold test, and of Confident-GNMax, can move.

use super::cost::SensitiveCost;
use super::{GnMaxSensitivity, votes};
use crate::Error;
use crate::counts::VoteCounts;
use crate::data_dependent::threshold_rdp;
use crate::quantity::{RdpOrder, Scale, in_range};

/// The Theorem 6 cost of one threshold test, for fixed threshold, noise and order.
///
/// It is a function of the largest count, which one vote changes by at most one, so the local sensitivities are looked up in all its
/// values: there are no conditions to certify.
#[derive(Debug, Clone, Copy)]
pub struct ThresholdSensitivity {
    threshold: f64,
    sigma1: Scale,
    order: RdpOrder,
}

/// The cost of one query of Confident-GNMax.
///
/// Which queries were answered was released, so the cost of a campaign is that of every test and of the argmax of the answered queries:
/// what ran, not what was to be expected.
#[derive(Debug, Clone)]
pub struct ConfidentSensitivity {
    test: ThresholdSensitivity,
    argmax: GnMaxSensitivity,
}

impl ThresholdSensitivity {
    /// For a threshold in votes, noise σ1 and one order. Refuses a threshold that is no finite number.
    pub fn new(threshold: f64, sigma1: Scale, order: RdpOrder) -> Result<Self, Error> {
        let fix = "give a threshold in votes, a finite number";
        Ok(Self { threshold: in_range("threshold", threshold, |_| true, fix)?, sigma1, order })
    }

    /// The cost of one test at these votes. Refuses more than [`VOTES_MAX`](super::VOTES_MAX) votes.
    pub fn of(&self, counts: &VoteCounts) -> Result<SensitiveCost, Error> {
        let teachers = votes(counts)?;
        let table: Vec<f64> = (0..=teachers)
            .flat_map(|largest| threshold_rdp(largest as f64, self.threshold, self.sigma1, &[self.order]))
            .collect();
        let step = |at: usize| {
            let up = table.get(at + 1).map_or(0.0, |above| (above - table[at]).abs());
            let down = if at > 0 { (table[at] - table[at - 1]).abs() } else { 0.0 };
            up.max(down)
        };
        let largest = counts.as_slice().iter().copied().max().unwrap_or_default();
        // At most their sum.
        let largest = usize::try_from(largest).unwrap_or(teachers);
        // Votes at distance d have a largest count from largest - d to largest + d, as long as there are such votes. Those at either
        // end are new; the others were reached before.
        let at = |d: usize| {
            let above = if largest + d <= teachers { step(largest + d) } else { 0.0 };
            let below = largest.checked_sub(d).map_or(0.0, step);
            above.max(below)
        };
        Ok(SensitiveCost::new(self.order, table[largest], (0..teachers).map(at)))
    }
}

impl ConfidentSensitivity {
    /// For Confident-GNMax with `classes` classes, at one order. Refuses what its parts refuse.
    pub fn new(
        threshold: f64,
        (sigma1, sigma2): (Scale, Scale),
        classes: usize,
        order: RdpOrder,
    ) -> Result<Self, Error> {
        let test = ThresholdSensitivity::new(threshold, sigma1, order)?;
        Ok(Self { test, argmax: GnMaxSensitivity::new(sigma2, classes, order)? })
    }

    /// The cost of one query at these votes: of the test, and of the argmax if the query was `answered`.
    pub fn of(&self, counts: &VoteCounts, answered: bool) -> Result<SensitiveCost, Error> {
        let mut cost = self.test.of(counts)?;
        if answered {
            cost.add(&self.argmax.of(counts)?)?;
        }
        Ok(cost)
    }
}
