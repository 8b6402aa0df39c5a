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
/// what ran, not what was to be expected. It says what these votes lost in this run, after the fact and at this order; the Rényi cost of
/// running it again it is not, so of conversions only the classic one has a meaning for it.
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
        Ok(SensitiveCost::new(self.order, table[largest], (0..teachers).map(at).collect()))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// All costs of a campaign of two queries over two classes, the second of which was not answered, by the votes for the first class.
    fn campaign(known: &ConfidentSensitivity, teachers: u64, order: RdpOrder) -> Vec<Vec<SensitiveCost>> {
        let one = |votes: u64, answered| {
            known.of(&VoteCounts::new(vec![votes, teachers - votes]).unwrap(), answered).unwrap()
        };
        let both = |first, second| {
            let mut sum = SensitiveCost::none(order);
            sum.add(&one(first, true)).unwrap();
            sum.add(&one(second, false)).unwrap();
            sum
        };
        (0..=teachers).map(|first| (0..=teachers).map(|second| both(first, second)).collect()).collect()
    }

    #[test]
    fn a_campaign_of_confident_gnmax_is_as_smooth_as_stated_whichever_of_its_queries_a_teacher_moves_in() {
        let mut largest = 0.0_f64;
        for (sigma1, sigma2, threshold, alpha) in
            [(1.0, 1.0, 9.0, 1.25), (1.0, 1.25, 10.0, 1.5), (3.0, 3.0, 9.0, 1.25), (1.5, 40.0, 11.0, 2.0)]
        {
            let [sigma1, sigma2] = [sigma1, sigma2].map(|sigma| Scale::new(sigma).unwrap());
            let order = RdpOrder::new(alpha).unwrap();
            let known = ConfidentSensitivity::new(threshold, (sigma1, sigma2), 2, order).unwrap();
            let costs = campaign(&known, 14, order);
            for beta in [0.02, 0.3] {
                let at = |first: usize, second: usize| {
                    let cost = &costs[first][second];
                    (*cost.nats().inside(), *cost.smooth(beta).unwrap().inside())
                };
                for (first, second) in (0..=14).flat_map(|first| (0..=14).map(move |second| (first, second)))
                {
                    let (here, smooth) = at(first, second);
                    // One teacher may have changed its vote on one query, or on both.
                    for (first, second) in (first.saturating_sub(1)..=(first + 1).min(14)).flat_map(|first| {
                        (second.saturating_sub(1)..=(second + 1).min(14)).map(move |second| (first, second))
                    }) {
                        let (there, smooth_there) = at(first, second);
                        let apart = (here - there).abs();
                        largest = largest.max(apart);
                        assert!(
                            apart <= smooth * (1.0 + 1e-12),
                            "{alpha} {first} {second}: {apart} above {smooth}"
                        );
                        assert!(
                            smooth <= beta.exp() * smooth_there * (1.0 + 1e-12),
                            "{alpha} {first} {second}: {smooth} next to {smooth_there}"
                        );
                    }
                }
            }
        }
        assert!(largest > 0.1, "a campaign in which nothing moves says little: {largest}");
    }

    #[test]
    fn costs_at_different_orders_neither_add_up_nor_change() {
        let order = |alpha| RdpOrder::new(alpha).unwrap();
        let test = |alpha| ThresholdSensitivity::new(9.0, Scale::new(2.0).unwrap(), order(alpha)).unwrap();
        let counts = VoteCounts::new(vec![8, 6]).unwrap();
        let mut sum = test(2.0).of(&counts).unwrap();
        let before = sum.nats().inside().to_bits();
        let refusal = sum.add(&test(4.0).of(&counts).unwrap()).unwrap_err();
        assert!(matches!(refusal, Error::OrderMismatch { .. }), "{refusal}");
        assert_eq!(sum.nats().inside().to_bits(), before);
    }
}
