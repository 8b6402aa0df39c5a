//! The other side of the bracket: ε that a fixed plan certainly loses.
//!
//! Merging outputs is post-processing, and post-processing of each step is post-processing of their composition, so δ(ε) of merged laws
//! is at most that of the plan; and δ(ε) = E\[(1 - e^(ε-L))⁺\] only falls if losses are moved down. Laws are merged and moved down to a
//! grid (`GridLaw::laplace_below`), masses are rounded down by all that a transform may be off, and what the window leaves out is dropped.
//! With one kind of Laplace noise the grid is made to fit its largest loss, and the bracket is narrow; with several, each step may lose
//! the part of a grid step by which its own largest loss does not fit.
//!
//! It is a lower bound on what the *noisy counts* of the plan tell, as [`FixedPlan`](super::FixedPlan) is an upper bound on it. An argmax tells
//! less, so for it this is no lower bound: it says how much the upper one owes to rounding.

use super::composition::{ROUNDING, TiltedSum};
use super::grid::GridLaw;
use super::{FixedPlan, Parts, PlannedNoise};
use crate::Error;
use crate::numerics::{log_normal_cdf, normal_cdf};
use crate::quantity::{Delta, Epsilon, Mu};
use libm::{ceil, exp, expm1, log};

/// A lower bound on what a plan loses.
#[derive(Debug, Clone)]
pub struct PlanFloor {
    mu: f64,
    /// The grid, and lower bounds on the masses at i times its step.
    mixed: Option<(f64, Vec<f64>)>,
}

impl PlanFloor {
    /// Of the composition of all of `noises`. Refuses what [`FixedPlan::new`] refuses, and a plan of Gaussian noise with so little Laplace
    /// noise that a grid of its losses would have more than 2^26 points.
    pub fn new(noises: &[PlannedNoise]) -> Result<Self, Error> {
        let Parts { mu, laplace } = Parts::of(noises)?;
        // A μ that is too large for the other bound is none for this one.
        let mu = Mu::new(mu)?.get() * (1.0 - 1e-14);
        if laplace.is_empty() {
            return Ok(Self { mu, mixed: None });
        }
        let step = match laplace[..] {
            // A whole number of them.
            [(shift, _)] if shift > 0.0 => shift / ceil(shift / FixedPlan::GRID),
            _ => FixedPlan::GRID,
        };
        let laws = laplace.iter().map(|(shift, times)| Ok((GridLaw::laplace_below(*shift, step)?, *times)));
        let mut laws = laws.collect::<Result<Vec<_>, Error>>()?;
        if mu > 0.0 {
            laws.push((GridLaw::gaussian_below(mu, step)?, 1));
        }
        let sum = TiltedSum::of(&laws)?;
        let masses = sum.masses.iter().enumerate().map(|(index, mass)| {
            (mass - sum.error).max(0.0) * sum.untilt(index as f64 * step) * (1.0 - ROUNDING)
        });
        Ok(Self { mu, mixed: Some((step, masses.collect())) })
    }

    /// A lower bound on ε at `delta`; 0 if none is known.
    pub fn epsilon(&self, delta: Delta) -> f64 {
        let Some((step, masses)) = &self.mixed else { return self.gaussian_epsilon(delta.get()) };
        let delta = delta.get() * (1.0 + 2.0 * ROUNDING);
        // Between two grid points δ(ε) = A - e^ε B, with A the masses above and B each divided by e^loss.
        let (mut a, mut b) = (0.0_f64, 0.0_f64);
        for (index, mass) in masses.iter().enumerate().rev() {
            let loss = index as f64 * step;
            if a > delta {
                let epsilon = log((a - delta) / b);
                if epsilon >= loss {
                    // Losses are within units in the last place of whole steps.
                    return (epsilon * (1.0 - ROUNDING) - ROUNDING).max(0.0);
                }
            }
            a += mass;
            b += mass * exp(-loss);
        }
        0.0
    }

    /// A lower bound on δ at `epsilon`.
    pub fn delta(&self, epsilon: Epsilon) -> f64 {
        let epsilon = epsilon.get();
        let Some((step, masses)) = &self.mixed else { return self.gaussian_delta(epsilon) };
        // Losses are within units in the last place of whole steps.
        let epsilon = epsilon * (1.0 + ROUNDING) + ROUNDING;
        let losses = masses.iter().enumerate().map(|(index, mass)| (index as f64 * step, mass));
        let over = losses.rev().take_while(|(loss, _)| *loss > epsilon);
        over.map(|(loss, mass)| mass * -expm1(epsilon - loss)).sum::<f64>() * (1.0 - ROUNDING)
    }

    /// Φ(μ/2 - ε/μ) - e^ε Φ(-μ/2 - ε/μ), rounded down.
    fn gaussian_delta(&self, epsilon: f64) -> f64 {
        let mu = self.mu;
        if mu <= 0.0 {
            return 0.0;
        }
        let (gain, loss) = (0.5 * mu - epsilon / mu, -0.5 * mu - epsilon / mu);
        let (first, second) = (normal_cdf(gain), exp(epsilon + log_normal_cdf(loss)));
        let exponent = epsilon.abs() + loss * loss;
        ((first - second) - 16.0 * f64::EPSILON * (first + second * exponent)).clamp(0.0, 1.0)
    }

    /// The largest ε that bisection finds with more than `delta`.
    fn gaussian_epsilon(&self, delta: f64) -> f64 {
        let exceeds = |epsilon: f64| self.gaussian_delta(epsilon) > delta;
        if !exceeds(0.0) {
            return 0.0;
        }
        let (mut low, mut high) = (0.0, 1.0);
        // It ends: past 40μ + μ² the first term alone is 0.
        while exceeds(high) {
            (low, high) = (high, 2.0 * high);
        }
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if exceeds(middle) { low = middle } else { high = middle }
        }
        low
    }
}

/// From an interval as wide as its upper end to its last digit.
const HALVINGS: usize = 54;
