//! Laws of one privacy loss on a grid.

use crate::Error;
use crate::numerics::normal_cdf;
use libm::{ceil, exp, expm1, floor, log, rint, sinh, sqrt, tanh};

/// Masses at losses (first + i)·step, and the mass of an infinite loss.
#[derive(Debug, Clone)]
pub(super) struct GridLaw {
    pub(super) step: f64,
    pub(super) first: i64,
    pub(super) masses: Vec<f64>,
    pub(super) infinite: f64,
}

impl GridLaw {
    /// Laplace noise with shift/scale = `shift`, by connecting the dots.
    ///
    /// δ(ε) = 1 - e^((ε-s)/2) on [-s, s]. With B_i the mean slope of δ over e^ε between grid points i and i+1, the mass
    /// at i is e^(ε_i)(B_(i-1) - B_i); inside, B_i = e^(-(ε_i + s)/2)/(e^(h/2) + 1), which leaves e^((ε_i - s)/2) tanh(h/4). The masses
    /// at the ends are differences of slopes, and all are widened by more than what rounding takes from them.
    pub(super) fn laplace(shift: f64, step: f64) -> Result<Self, Error> {
        check_length(shift * SHIFT_COST)?;
        let top = in_grid(shift / step)?;
        let delta = |index: i64| {
            let epsilon = index as f64 * step;
            if epsilon <= -shift { -expm1(epsilon) } else { -expm1(0.5 * (epsilon - shift).min(0.0)) }
        };
        let slope = |index: i64| (delta(index) - delta(index + 1)) / (exp(index as f64 * step) * expm1(step));
        let mass = |index: i64| {
            let epsilon = index as f64 * step;
            let inside = (index - 1) as f64 * step >= -shift && (index + 1) as f64 * step <= shift;
            let mass = if inside {
                exp(0.5 * (epsilon - shift)) * tanh(0.25 * step)
            } else {
                (exp(epsilon) * (slope(index - 1) - slope(index))).max(0.0)
            };
            mass * (1.0 + WIDENING)
        };
        Ok(Self { step, first: -top, masses: (-top..=top).map(mass).collect(), infinite: 0.0 })
    }

    /// μ-GDP, each loss moved up to the next grid point.
    pub(super) fn gaussian(mu: f64, step: f64) -> Result<Self, Error> {
        // The loss is N(μ²/2, μ²).
        let (mean, reach) = (0.5 * mu * mu, TAIL * mu);
        let (low, high) = (-in_grid((reach - mean).abs() / step)?, in_grid((mean + reach) / step)?);
        let low = if mean > reach { in_grid((mean - reach) / step)? - 1 } else { low };
        let above = |index: i64| normal_cdf((mean - index as f64 * step) / mu);
        let below = |index: i64| normal_cdf((index as f64 * step - mean) / mu);
        let between = |index: i64| {
            if (index as f64) * step > mean {
                above(index - 1) - above(index)
            } else {
                below(index) - below(index - 1)
            }
        };
        let mut masses: Vec<f64> = (low..=high).map(between).collect();
        masses[0] += below(low - 1);
        Ok(Self { step, first: low, masses, infinite: above(high) })
    }

    /// Laplace noise with shift/scale = `shift`, from below: outputs are merged, which no privacy loss survives, and losses moved down.
    ///
    /// The law of the loss is 1/2 at s, e^(-s)/2 at -s, and has the density e^((l-s)/2)/4 between. An interval of it with middle m that is
    /// one output has the loss m exactly, so merging a step around each grid point moves nothing; what remains at the ends, and the two
    /// masses, go to the grid point below. Nothing is lost to the latter if s is a whole number of steps.
    pub(super) fn laplace_below(shift: f64, step: f64) -> Result<Self, Error> {
        check_length(shift * SHIFT_COST)?;
        // A whole number of steps, if that is what it is but for rounding: the grid is made to fit.
        let whole = shift / step;
        let steps = if (whole - rint(whole)).abs() <= WHOLE * whole { rint(whole) } else { whole };
        check_length(steps)?;
        let below = |loss: f64| floor(loss / step);
        let up_to = |loss: f64| 0.5 * exp(0.5 * (loss - shift));
        let (first, last) = (ceil(0.5 - steps), floor(steps - 0.5));
        let (lowest, highest) = (-ceil(steps), floor(steps));
        // Both ends, and what is left of the intervals around the grid points.
        let mut at: Vec<(f64, f64)> = vec![(highest, 0.5), (lowest, 0.5 * exp(-shift))];
        if first > last {
            at.push((0.0, -0.5 * expm1(-shift)));
        } else {
            let (low, high) = ((first - 0.5) * step, (last + 0.5) * step);
            at.push((below(0.5 * (low - shift)), (up_to(low) - 0.5 * exp(-shift)).max(0.0)));
            at.push((below(0.5 * (high + shift)), -0.5 * expm1(0.5 * (high - shift)).min(0.0)));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
        let place = |index: f64| (index - lowest) as usize;
        let mut masses = vec![0.0; place(highest) + 1];
        for (index, mass) in at {
            masses[place(index)] += mass;
        }
        let mut index = first;
        while index <= last {
            masses[place(index)] += exp(0.5 * (index * step - shift)) * sinh(0.25 * step);
            index += 1.0;
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked above")]
        let first = lowest as i64;
        Ok(Self { step, first, masses, infinite: 0.0 }.narrowed())
    }

    /// μ-GDP, each loss moved down to the grid point before it.
    pub(super) fn gaussian_below(mu: f64, step: f64) -> Result<Self, Error> {
        // One step up is above the loss, so this is one step down.
        let Self { first, masses, infinite, .. } = Self::gaussian(mu, step)?;
        let mut masses = masses;
        // The lowest mass has what lies below the grid, and goes; what lies above it is at its end.
        masses[0] = 0.0;
        masses.push(infinite);
        Ok(Self { step, first: first - 1, masses, infinite: 0.0 }.narrowed())
    }

    /// With masses that rounding cannot have made larger than they are.
    fn narrowed(mut self) -> Self {
        for mass in &mut self.masses {
            *mass *= 1.0 - WIDENING;
        }
        self
    }

    /// ln E e^(tL) over the finite losses.
    pub(super) fn log_moment(&self, t: f64) -> f64 {
        let at =
            |(index, mass): (usize, &f64)| mass * exp(t * self.step * (self.first as f64 + index as f64));
        log(self.masses.iter().enumerate().map(at).sum())
    }

    /// Masses m_i e^(t loss_i)/E e^(tL): the tilted law.
    pub(super) fn tilted(&self, t: f64) -> Vec<f64> {
        let log_moment = self.log_moment(t);
        let at = |(index, mass): (usize, &f64)| {
            mass * exp(t * self.step * (self.first as f64 + index as f64) - log_moment)
        };
        self.masses.iter().enumerate().map(at).collect()
    }
}

/// The Euclidean norm.
pub(super) fn norm(values: &[f64]) -> f64 {
    sqrt(values.iter().map(|value| value * value).sum())
}

pub(super) fn in_grid(points: f64) -> Result<i64, Error> {
    check_length(points)?;
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    Ok(ceil(points) as i64)
}

pub(super) fn check_length(points: f64) -> Result<(), Error> {
    // A number of points that is none is too many.
    if points.is_nan() || points > LENGTH_MAX {
        return Err(Error::CostOverflow { field: "privacy loss grid" });
    }
    Ok(())
}

/// More than the relative rounding of a loss that was divided into steps.
const WHOLE: f64 = 8.0 * f64::EPSILON;
/// More than what rounding takes from the masses of a law, in all and of δ at one grid point.
const WIDENING: f64 = 1e-11;
/// The largest window, in grid points.
const LENGTH_MAX: f64 = (1_u64 << 26) as f64;
/// A single loss of more than 100 nats counts as too long: e^loss would leave the range of doubles when composed.
const SHIFT_COST: f64 = LENGTH_MAX / 100.0;
/// How many standard deviations of a Gaussian loss are on the grid.
const TAIL: f64 = 14.0;
