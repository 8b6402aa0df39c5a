//! Which events to test: searched for on samples that the test does not see again.
//!
//! Every event is one that should be likelier *here*; one that is likelier *there* is the complement of such an event, and
//! bounds for an event serve its complement too. By Neyman and Pearson the best events are sets of outcomes whose likelihood
//! ratio is above a bound, so outcomes are sorted by their ratio, and each beginning of that list is a candidate. Of all
//! candidates up to three are kept: the best for ln(p/q), the best for ln((1-q)/(1-p)), and the best for μ, by confidence
//! bounds that are approximate (Wilson 1927), since nothing rests on them.

use super::{EventBounds, Significance};
use crate::numerics::normal_quantile;
use libm::{log, sqrt};
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// A set of outcomes.
pub(super) struct Set<'a, O>(HashSet<&'a O>);

/// A score of at least, or of less than, a threshold.
pub(super) struct Threshold {
    threshold: f64,
    at_least: bool,
}

impl<O: Eq + Hash> Set<'_, O> {
    pub(super) fn contains(&self, outcome: &O) -> bool {
        self.0.contains(outcome)
    }
}

impl Threshold {
    pub(super) fn contains(&self, score: f64) -> bool {
        (score >= self.threshold) == self.at_least
    }
}

/// Sets of the outcomes that were relatively most frequent here.
pub(super) fn likelihood_events<'a, O: Eq + Hash + Ord>(
    here: &'a [O],
    there: &'a [O],
    significance: Significance,
) -> Vec<Set<'a, O>> {
    let mut times: HashMap<&O, (u64, u64)> = HashMap::new();
    for outcome in here {
        times.entry(outcome).or_default().0 += 1;
    }
    for outcome in there {
        times.entry(outcome).or_default().1 += 1;
    }
    let runs = (here.len() as f64, there.len() as f64);
    let ratio = |(here, there): (u64, u64)| {
        log((here as f64 + 0.5) / (runs.0 + 1.0)) - log((there as f64 + 0.5) / (runs.1 + 1.0))
    };
    let mut outcomes: Vec<(&O, (u64, u64))> = times.into_iter().collect();
    // By outcome where ratios are equal, so that an audit of the same samples is the same audit.
    outcomes.sort_unstable_by(|(a, a_times), (b, b_times)| {
        ratio(*b_times).total_cmp(&ratio(*a_times)).then_with(|| a.cmp(b))
    });
    let mut sums = (0, 0);
    let candidates: Vec<(u64, u64)> = outcomes
        .iter()
        .map(|(_, (here, there))| {
            sums = (sums.0 + here, sums.1 + there);
            sums
        })
        .collect();
    let chosen = best(&candidates, runs, significance);
    chosen.iter().map(|last| Set(outcomes[..=*last].iter().map(|(outcome, _)| *outcome).collect())).collect()
}

/// Thresholds among the scores.
pub(super) fn threshold_events(here: &[f64], there: &[f64], significance: Significance) -> Vec<Threshold> {
    let sorted = |scores: &[f64]| {
        let mut scores = scores.to_vec();
        scores.sort_unstable_by(f64::total_cmp);
        scores
    };
    let (here, there) = (sorted(here), sorted(there));
    let mut places = [here.as_slice(), there.as_slice()].concat();
    places.sort_unstable_by(f64::total_cmp);
    places.dedup();
    let runs = (here.len() as f64, there.len() as f64);
    let times = |scores: &[f64], event: &Threshold| {
        let below = scores.partition_point(|score| *score < event.threshold);
        (if event.at_least { scores.len() - below } else { below }) as u64
    };
    let mut events: Vec<Threshold> = places
        .iter()
        .flat_map(|threshold| [true, false].map(|at_least| Threshold { threshold: *threshold, at_least }))
        .collect();
    let candidates: Vec<(u64, u64)> =
        events.iter().map(|event| (times(&here, event), times(&there, event))).collect();
    let mut chosen = best(&candidates, runs, significance);
    chosen.sort_unstable();
    chosen.into_iter().rev().map(|index| events.swap_remove(index)).collect()
}

/// The indices of up to three candidates, given how often each happened here and there.
fn best(candidates: &[(u64, u64)], runs: (f64, f64), significance: Significance) -> Vec<usize> {
    // Three events with two bounds each.
    let deviations = -normal_quantile(log(significance.split(6.0).get()));
    let bounds = |(here, there): &(u64, u64)| EventBounds {
        likelier: wilson(*here as f64, runs.0, -deviations).max(0.0),
        rarer: wilson(*there as f64, runs.1, deviations).clamp(f64::MIN_POSITIVE, 1.0),
    };
    let bounds: Vec<EventBounds> = candidates.iter().map(bounds).collect();
    let by = |score: &dyn Fn(&EventBounds) -> f64| {
        let scores = bounds.iter().map(score).enumerate();
        scores.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(index, _)| index)
    };
    let event = by(&|bounds| log(bounds.likelier / bounds.rarer));
    let complement = by(&|bounds| log((1.0 - bounds.rarer) / (1.0 - bounds.likelier)));
    let gaussian = by(&EventBounds::mu);
    let mut chosen: Vec<usize> = [event, complement, gaussian].into_iter().flatten().collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

/// Wilson's bound, so many standard deviations below (negative) or above.
fn wilson(times: f64, runs: f64, deviations: f64) -> f64 {
    let square = deviations * deviations / runs;
    let rate = times / runs;
    let spread = deviations / sqrt(runs) * sqrt(rate * (1.0 - rate) + 0.25 * square);
    (rate + 0.5 * square + spread) / (1.0 + square)
}
