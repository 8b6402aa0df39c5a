//! Costs that depend on the votes: the published bounds, and the exact cost.
//!
//! Everything here is a [`Secret`]: a data-dependent cost tells about the votes from which it was computed, so it may
//! steer nothing that is released and may be published only after sanitisation. A
//! researcher who holds the votes anyway opens it with an [`Analyst`](crate::secret::Analyst).
//!
//! Mechanisms are those of the papers, with continuous noise.

mod divergence;
mod exact;
mod law;
mod published;
mod quadrature;
mod threshold;

pub(crate) use divergence::{psi, psi_slope};
pub use exact::ExactArgmax;
pub use law::ArgmaxNoise;
pub(crate) use published::{Theorem6, gnmax_log_q, threshold_rdp};
pub(crate) use quadrature::GAUSS_LEGENDRE;

use crate::Error;
use crate::counts::{ClassIndex, VoteCounts};
use crate::quantity::{RdpOrder, Scale, in_range};
use crate::secret::Secret;
use exact::Test;
use libm::exp;
use std::collections::HashMap;
use std::fmt;

/// A mechanism over vote counts, as the papers state it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NoisyVote {
    /// argmax of counts with Laplace noise of scale b.
    LnMax {
        /// b, in votes.
        scale: Scale,
    },
    /// argmax of counts with noise N(0, σ²).
    GnMax {
        /// σ, in votes.
        sigma: Scale,
    },
    /// GNMax with σ2, if the largest count with noise N(0, σ1²) reaches T.
    ConfidentGnMax {
        /// T, in votes.
        threshold: f64,
        /// σ1, in votes.
        sigma1: Scale,
        /// σ2, in votes.
        sigma2: Scale,
    },
}

impl NoisyVote {
    /// The noise of its argmax.
    pub const fn argmax(&self) -> ArgmaxNoise {
        match *self {
            Self::LnMax { scale } => ArgmaxNoise::Laplace(scale),
            Self::GnMax { sigma } | Self::ConfidentGnMax { sigma2: sigma, .. } => {
                ArgmaxNoise::Gaussian(sigma)
            }
        }
    }

    /// Refuses a threshold that is no finite number.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if let Self::ConfidentGnMax { threshold, .. } = *self {
            in_range("threshold", threshold, |_| true, "give a threshold in votes, a finite number")?;
        }
        Ok(())
    }

    /// The probability that its argmax is reached.
    pub(crate) fn passes(&self, counts: &VoteCounts) -> f64 {
        self.passes_at(counts.as_slice().iter().copied().max().unwrap_or_default() as f64)
    }

    /// The same if the test is on `statistic` in place of the largest count.
    pub(crate) fn passes_at(&self, statistic: f64) -> f64 {
        self.test().map_or(1.0, |test| {
            exp(published::threshold_log_probabilities(statistic, test.threshold, test.sigma1).0)
        })
    }

    const fn test(&self) -> Option<Test> {
        match *self {
            Self::ConfidentGnMax { threshold, sigma1, .. } => Some(Test { threshold, sigma1 }),
            Self::LnMax { .. } | Self::GnMax { .. } => None,
        }
    }
}

/// What one query costs, step by step, at each order.
#[derive(Debug, Clone, PartialEq)]
pub struct StepCosts {
    /// The threshold test, if the mechanism has one.
    pub threshold: Option<Vec<f64>>,
    /// The argmax, if it is reached.
    pub argmax: Vec<f64>,
    /// The probability that it is reached.
    pub answered: f64,
}

/// Which costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// The bounds of the 2017 and 2018 papers; one direction.
    Published,
    /// Exact, both directions.
    Exact,
}

/// Costs of queries under one mechanism at fixed orders.
pub struct DataDependent {
    mechanism: NoisyVote,
    orders: Vec<RdpOrder>,
    alphas: Vec<f64>,
    method: Method,
    exact: ExactArgmax,
    published: published::Memo,
    /// Costs of the threshold test, and the probability that it passes, by the largest count.
    thresholds: HashMap<u64, (Vec<f64>, f64)>,
}

impl DataDependent {
    /// For `mechanism` at `orders`. Refuses a threshold that is no finite number.
    pub fn new(mechanism: NoisyVote, method: Method, orders: &[RdpOrder]) -> Result<Self, Error> {
        mechanism.check()?;
        Ok(Self {
            mechanism,
            orders: orders.to_vec(),
            alphas: orders.iter().map(|order| order.get()).collect(),
            method,
            exact: ExactArgmax::new(mechanism.argmax(), orders),
            published: published::Memo::default(),
            thresholds: HashMap::new(),
        })
    }

    /// The costs of one query, in nats at each order, rounded up.
    pub fn steps(&mut self, counts: &VoteCounts) -> Secret<StepCosts> {
        let argmax = self.argmax(counts).clone();
        let (threshold, answered) = match self.threshold(counts).cloned() {
            Some((costs, passes)) => (Some(costs), passes),
            None => (None, 1.0),
        };
        Secret::new(StepCosts { threshold, argmax, answered })
    }

    /// The same if the threshold test is on `statistic` in place of the largest count, and one moved vote changes it by at most one.
    pub(crate) fn steps_against(
        &mut self,
        counts: &VoteCounts,
        statistic: &Secret<f64>,
    ) -> Secret<StepCosts> {
        let argmax = self.argmax(counts).clone();
        let threshold = self.mechanism.test().map(|test| self.tested(*statistic.inside(), test));
        Secret::new(StepCosts { threshold, argmax, answered: self.mechanism.passes_at(*statistic.inside()) })
    }

    /// The probability that the argmax is reached if the test is on `statistic`.
    pub(crate) fn answered_against(&self, statistic: &Secret<f64>) -> Secret<f64> {
        Secret::new(self.mechanism.passes_at(*statistic.inside()))
    }

    /// The probability that the argmax is reached.
    pub fn answered(&self, counts: &VoteCounts) -> Secret<f64> {
        Secret::new(self.mechanism.passes(counts))
    }

    /// The cost of the threshold test at each order.
    fn tested(&self, statistic: f64, test: Test) -> Vec<f64> {
        match self.method {
            Method::Exact => exact::threshold_cost(statistic, test, &self.alphas),
            Method::Published => {
                published::threshold_rdp(statistic, test.threshold, test.sigma1, &self.orders)
            }
        }
    }

    /// The costs of all of `votes` at each order, as the 2018 paper counts them: each argmax weighed by the probability that it is
    /// reached.
    ///
    /// The fast path over many queries: nothing is allocated for counts that are known.
    pub fn expected<'a>(&mut self, votes: impl IntoIterator<Item = &'a VoteCounts>) -> Secret<Vec<f64>> {
        let mut sum = vec![0.0; self.alphas.len()];
        for counts in votes {
            let weight = self.threshold(counts).map_or(1.0, |(costs, passes)| {
                for (sum, cost) in sum.iter_mut().zip(costs) {
                    *sum += *cost;
                }
                *passes
            });
            for (sum, cost) in sum.iter_mut().zip(self.argmax(counts)) {
                *sum += weight * cost;
            }
        }
        Secret::new(sum)
    }

    fn argmax(&mut self, counts: &VoteCounts) -> &Vec<f64> {
        match self.method {
            Method::Exact => self.exact.argmax(counts),
            Method::Published => self.published.argmax(self.mechanism.argmax(), counts, &self.orders),
        }
    }

    /// The costs of the threshold test, and the probability that it passes.
    fn threshold(&mut self, counts: &VoteCounts) -> Option<&(Vec<f64>, f64)> {
        let test = self.mechanism.test()?;
        let largest = counts.as_slice().iter().copied().max().unwrap_or_default();
        if !self.thresholds.contains_key(&largest) {
            let known = (self.tested(largest as f64, test), self.mechanism.passes_at(largest as f64));
            self.thresholds.insert(largest, known);
        }
        self.thresholds.get(&largest)
    }

    /// The exact cost of threshold and argmax as one law; that of the argmax for mechanisms without a threshold.
    ///
    /// The neighbour is the same in both steps, so this is below the sum of their separate maxima; unlike a sum
    /// weighted by the probability of an answer, it is a true divergence.
    pub fn joint(&mut self, counts: &VoteCounts) -> Secret<Vec<f64>> {
        Secret::new(match self.mechanism.test() {
            Some(test) => self.exact.joint(counts, test),
            None => self.exact.argmax(counts).clone(),
        })
    }
}

/// What it was made for, and nothing that it remembers of the votes.
impl fmt::Debug for DataDependent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("DataDependent");
        shown.field("mechanism", &self.mechanism).field("method", &self.method).finish_non_exhaustive()
    }
}

/// The probability that a noisy argmax answers the most frequent vote (one of them, if there are several).
pub fn answer_agrees(noise: ArgmaxNoise, counts: &VoteCounts) -> Secret<f64> {
    let groups = law::groups(counts);
    Secret::new((groups[0].classes * law::wins(noise, &groups, groups[0].count)).min(1.0))
}

/// The probability that a noisy argmax answers `class`; 0 for a class that there is not.
pub fn answer_is(noise: ArgmaxNoise, counts: &VoteCounts, class: ClassIndex) -> Secret<f64> {
    let count = counts.as_slice().get(class.position());
    Secret::new(count.map_or(0.0, |count| law::wins(noise, &law::groups(counts), *count).min(1.0)))
}
