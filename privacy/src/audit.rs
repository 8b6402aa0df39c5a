//! Audits: what samples of a mechanism prove about its privacy from below.
//!
//! Accounting says that a mechanism loses *at most* so much, for the code as it was meant. An audit runs the code as it is, in two
//! neighbouring worlds, and says that it loses *at least* so much, except with a stated probability. If the second figure
//! is above the first, one of them is wrong, and it is rarely the mathematics: half the noise, noise used twice, a
//! step that nobody charged, a unit that moves more votes than declared.
//!
//! 1. Draw as many outcomes in the one world as in the other, each with fresh noise.
//! 2. On the first half look for events that are likelier in one world ([`Audit::outcomes`]: sets of outcomes by
//!    their likelihood ratio, the best that there are by Neyman and Pearson; [`Audit::scores`]: thresholds). Whatever was looked at
//!    here costs nothing, because
//! 3. the second half is fresh: there, each of the few events that were chosen gets an exact confidence interval for its probability
//!    in either world (Clopper and Pearson 1934), and the stated probability of being wrong is divided among them (Bonferroni).
//! 4. The bounds on two probabilities are bounds on every divergence: [`Finding::epsilon`], [`Finding::mu`], [`Finding::renyi`].
//!
//! ```
//! use conclave_privacy::audit::{Audit, Significance};
//! use conclave_privacy::mechanism::{GnMax, Mechanism};
//! use conclave_privacy::noise::{NoiseSource, ReleaseNoise};
//! use conclave_privacy::quantity::{Lattice, NoiseScale};
//! use conclave_privacy::VoteCounts;
//!
//! let mechanism = Mechanism::from(GnMax::new(NoiseScale::from_votes(1.0, Lattice::DEFAULT)?));
//! let mut draw = |counts: &[u64]| {
//!     let counts = VoteCounts::new(counts.to_vec())?;
//!     let mut generator = ReleaseNoise.generator("audit", &[0; 32], 0)?;
//!     (0..2_000).map(|_| Ok(mechanism.release(&counts, &mut generator).outcome)).collect::<Result<Vec<_>, _>>()
//! };
//! let (here, there) = (draw(&[6, 4])?, draw(&[5, 5])?);
//! let finding = Audit::new(Significance::new(1e-6)?).outcomes(&here, &there)?;
//! assert!(finding.mu() <= f64::sqrt(2.0) / 1.0, "one vote moved is a GDP loss of sqrt(2)/sigma");
//! # Ok::<(), conclave_privacy::Error>(())
//! ```
//!
//! [`OneRun`] is for mechanisms that are too dear to run more than once, such as training: many canaries, each put in by a coin
//! of its own, and guesses which ones were.
//!
//! **What it does not say.** Nothing about worlds, events and queries that were not tried: an audit finds faults, it never proves
//! their absence. Samples must be independent; whoever draws them under one seed audits that seed.

mod binomial;
mod events;
mod one_run;

pub use binomial::{probability_at_least, probability_at_most};
pub use one_run::OneRun;

use crate::Error;
use crate::numerics::{log_add, normal_quantile};
use crate::quantity::{Delta, RdpOrder, in_range};
use events::{Threshold, likelihood_events, threshold_events};
use libm::log;
use std::hash::Hash;

/// The probability with which a statement of an audit may be wrong: strictly between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Significance(f64);

impl Significance {
    /// Checks `value`, a probability.
    pub fn new(value: f64) -> Result<Self, Error> {
        let fix = "give the probability of a false alarm, strictly between 0 and 1, such as 0.05";
        in_range("significance", value, |x| x > 0.0 && x < 1.0, fix).map(Self)
    }

    /// The value, a probability.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// One of `parts` equal parts of it.
    const fn split(self, parts: f64) -> Self {
        Self(self.0 / parts)
    }
}

/// An audit of samples from two neighbouring worlds.
#[derive(Debug, Clone, Copy)]
pub struct Audit {
    significance: Significance,
}

/// What an audit found: true, all of it together, except with the probability of its [`Significance`].
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    events: Vec<EventBounds>,
}

/// What is known about the probabilities of one event in two neighbouring worlds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EventBounds {
    likelier: f64,
    rarer: f64,
}

/// How often one event was seen in each of two worlds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventCounts {
    /// Runs in the world where the event is expected to be likelier.
    pub likelier_runs: u64,
    /// Those in which it happened.
    pub likelier: u64,
    /// Runs in the other world.
    pub rarer_runs: u64,
    /// Those in which it happened.
    pub rarer: u64,
}

impl Audit {
    /// The fewest samples of a world: half of them choose events, half of them test these.
    pub const SAMPLES_MIN: usize = 16;

    /// An audit that is wrong with at most this probability.
    pub const fn new(significance: Significance) -> Self {
        Self { significance }
    }

    /// From outcomes drawn in one world and in the other, few of them different: labels, abstentions, lists of those.
    ///
    /// Refuses fewer than [`Audit::SAMPLES_MIN`] samples of a world.
    pub fn outcomes<O: Eq + Hash + Ord>(self, here: &[O], there: &[O]) -> Result<Finding, Error> {
        check_samples(here.len().min(there.len()))?;
        let ((choose_here, test_here), (choose_there, test_there)) = (halves(here), halves(there));
        let events = likelihood_events(choose_here, choose_there, self.significance);
        let test = |event: &events::Set<'_, O>| {
            let times = |samples: &[O]| samples.iter().filter(|outcome| event.contains(outcome)).count();
            event_counts((times(test_here), test_here.len()), (times(test_there), test_there.len()))
        };
        Ok(self.bound(&events.iter().map(test).collect::<Vec<_>>()))
    }

    /// From scores drawn in one world and in the other, for outcomes that hardly repeat: an event is a score of at least, or
    /// below, a threshold. A score may be anything that is computed from an outcome, by attacks too.
    ///
    /// Refuses fewer than [`Audit::SAMPLES_MIN`] samples of a world, and scores that are not a number.
    pub fn scores(self, here: &[f64], there: &[f64]) -> Result<Finding, Error> {
        check_samples(here.len().min(there.len()))?;
        if let Some(value) = here.iter().chain(there).copied().find(|score| score.is_nan()) {
            return Err(Error::NotFinite { field: "score", value, fix: "give a number for each sample" });
        }
        let ((choose_here, test_here), (choose_there, test_there)) = (halves(here), halves(there));
        let events = threshold_events(choose_here, choose_there, self.significance);
        let test = |event: &Threshold| {
            let times = |scores: &[f64]| scores.iter().filter(|score| event.contains(**score)).count();
            event_counts((times(test_here), test_here.len()), (times(test_there), test_there.len()))
        };
        Ok(self.bound(&events.iter().map(test).collect::<Vec<_>>()))
    }

    /// Each event has its part of the significance.
    fn bound(self, events: &[EventCounts]) -> Finding {
        let part = self.significance.split(events.len().max(1) as f64);
        Finding { events: events.iter().map(|event| event.bounds(part)).collect() }
    }
}

impl EventCounts {
    /// Bounds on both probabilities that hold together except with probability `significance`, half of which goes to each.
    ///
    /// Counts above their runs are read as all of them.
    pub fn bounds(&self, significance: Significance) -> EventBounds {
        let half = significance.split(2.0);
        EventBounds {
            likelier: probability_at_least(self.likelier, self.likelier_runs, half),
            rarer: probability_at_most(self.rarer, self.rarer_runs, half),
        }
    }
}

impl Finding {
    /// A finding about events that were fixed beforehand; their bounds must hold together.
    pub fn of(events: Vec<EventBounds>) -> Self {
        Self { events }
    }

    /// The bounds on which everything else rests, one for each event that was tested.
    pub fn events(&self) -> &[EventBounds] {
        &self.events
    }

    /// A mechanism that is (ε, δ)-DP has at least this ε, in nats; without `delta`, one that is ε-DP. Never below 0.
    pub fn epsilon(&self, delta: Option<Delta>) -> f64 {
        self.most(|event| event.epsilon(delta))
    }

    /// A mechanism that is μ-Gaussian-DP (Dong, Roth and Su 2022) has at least this μ. Never below 0.
    pub fn mu(&self) -> f64 {
        self.most(EventBounds::mu)
    }

    /// The Rényi divergence of this order, in the larger of both directions, is at least this, in nats: what exact costs
    /// and prices compare to. Never below 0.
    pub fn renyi(&self, order: RdpOrder) -> f64 {
        self.most(|event| event.renyi(order))
    }

    fn most(&self, of: impl Fn(&EventBounds) -> f64) -> f64 {
        self.events.iter().map(of).fold(0.0, f64::max)
    }
}

impl EventBounds {
    /// The probability in the world where the event is likelier is at least this.
    pub const fn likelier(&self) -> f64 {
        self.likelier
    }

    /// The probability in the other world is at most this.
    pub const fn rarer(&self) -> f64 {
        self.rarer
    }

    /// The larger of ln((p-δ)/q) for the event and ln((1-q-δ)/(1-p)) for its complement (Kairouz, Oh and Viswanath 2015); 0 if
    /// the bounds do not tell the worlds apart.
    pub fn epsilon(&self, delta: Option<Delta>) -> f64 {
        let delta = delta.map_or(0.0, Delta::get);
        let Self { likelier: p, rarer: q } = *self;
        let bound = |more: f64, less: f64| if more > delta { log((more - delta) / less) } else { 0.0 };
        bound(p, q).max(bound(1.0 - q, 1.0 - p)).max(0.0)
    }

    /// Φ⁻¹(p) - Φ⁻¹(q): the trade-off function of N(0, 1) and N(μ, 1) passes through (q, 1-p) for this μ.
    pub fn mu(&self) -> f64 {
        if self.likelier <= self.rarer {
            return 0.0;
        }
        // Quantiles of the upper half by symmetry, which keeps their digits.
        let quantile =
            |p: f64| if p <= 0.5 { normal_quantile(log(p)) } else { -normal_quantile(log(1.0 - p)) };
        (quantile(self.likelier) - quantile(self.rarer)).max(0.0)
    }

    /// The larger divergence of the two-outcome laws, which by data processing is below that of whole outcomes.
    pub fn renyi(&self, order: RdpOrder) -> f64 {
        let Self { likelier: p, rarer: q } = *self;
        if p <= q {
            return 0.0;
        }
        let alpha = order.get();
        let sum = |p: f64, q: f64| {
            let summand = |p: f64, q: f64| alpha * log(p) + (1.0 - alpha) * log(q);
            log_add(summand(p, q), summand(1.0 - p, 1.0 - q))
        };
        sum(p, q).max(sum(q, p)).max(0.0) / (alpha - 1.0)
    }
}

/// The first half, which chooses events, and the second, which tests them.
fn halves<T>(samples: &[T]) -> (&[T], &[T]) {
    samples.split_at(samples.len() / 2)
}

fn event_counts((here, here_runs): (usize, usize), (there, there_runs): (usize, usize)) -> EventCounts {
    let [likelier, likelier_runs, rarer, rarer_runs] =
        [here, here_runs, there, there_runs].map(|times| times as u64);
    EventCounts { likelier_runs, likelier, rarer_runs, rarer }
}

fn check_samples(samples: usize) -> Result<(), Error> {
    if samples < Audit::SAMPLES_MIN {
        let fix = "draw at least 16 samples in each world; thousands tell more";
        return Err(Error::OutOfRange { field: "samples", value: samples as f64, fix });
    }
    Ok(())
}
