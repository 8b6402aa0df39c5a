//! An audit of one run: Steinke, Nasr and Jagielski, *Privacy Auditing with One (1) Training Run* (2023), Theorem 5.2.
//!
//! Of m canaries each goes into the data by a fair coin of its own. From the one output, whoever audits guesses for r of
//! them whether they are in, and is right about v. If the mechanism is (ε, δ)-DP for the addition and removal of a canary, the
//! number of right guesses is at most a Bin(r, e^ε/(1+e^ε)), but for what δ adds; so a v that this makes improbable refutes ε.

use super::Significance;
use super::binomial::{log_mass, log_upper_tail};
use crate::Error;
use crate::quantity::{Delta, Epsilon};
use libm::{exp, log1p};

/// The guesses about one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OneRun {
    canaries: u64,
    guesses: u64,
    right: u64,
}

impl OneRun {
    /// `right` of `guesses` guesses about `canaries` canaries, each of which was put in by a fair coin, were right.
    ///
    /// Refuses more guesses than canaries, more right ones than guesses, and more than 2^20 canaries.
    pub fn new(canaries: u64, guesses: u64, right: u64) -> Result<Self, Error> {
        let refuse = |field, value: u64, fix| Err(Error::OutOfRange { field, value: value as f64, fix });
        if canaries > CANARIES_MAX {
            return refuse("canaries", canaries, "use at most 2^20 canaries");
        }
        if guesses > canaries {
            return refuse("guesses", guesses, "guess about each canary once at most");
        }
        if right > guesses {
            return refuse("right", right, "count right guesses among the guesses");
        }
        Ok(Self { canaries, guesses, right })
    }

    /// The largest ε, in nats and rounded down, that is refuted: a mechanism that is (ε', δ)-DP has ε' above it, except with probability
    /// `significance`. 0 if nothing is refuted.
    pub fn epsilon(&self, delta: Option<Delta>, significance: Significance) -> f64 {
        let refuted = |epsilon: f64| self.p_value_at(epsilon, delta) < significance.get();
        let (mut low, mut high) = (0.0, 1.0);
        while refuted(high) && high < EPSILON_MAX {
            (low, high) = (high, 2.0 * high);
        }
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if refuted(middle) { low = middle } else { high = middle }
        }
        low
    }

    /// How probable at least so many right guesses are under (ε, δ)-DP, at most; rounded up.
    pub fn p_value(&self, epsilon: Epsilon, delta: Option<Delta>) -> f64 {
        self.p_value_at(epsilon.get(), delta)
    }

    fn p_value_at(&self, epsilon: f64, delta: Option<Delta>) -> f64 {
        let right = exp(-log1p(exp(-epsilon)));
        let beta = exp(log_upper_tail(self.right, self.guesses, right));
        let slack =
            delta.map_or(0.0, |delta| 2.0 * self.canaries as f64 * delta.get() * self.steepest(right));
        ((beta + slack) * (1.0 + ROUNDING)).min(1.0)
    }

    /// max over i in 1..=v of Pr\[v-i <= Bin(r, p) < v\]/i.
    fn steepest(&self, p: f64) -> f64 {
        let mut sum = 0.0;
        let mut most = 0.0_f64;
        for i in 1..=self.right {
            sum += exp(log_mass(self.right - i, self.guesses, p));
            most = most.max(sum / i as f64);
        }
        most
    }
}

const CANARIES_MAX: u64 = 1 << 20;
/// Beyond this a guess is wrong with probability 10^-28.
const EPSILON_MAX: f64 = 64.0;
const HALVINGS: usize = 50;
/// Above the error of ln n! for the most canaries, and of the sum.
const ROUNDING: f64 = 1e-8;
