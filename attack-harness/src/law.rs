//! Which class a noisy argmax names, and how likely: what attacks invert, and what bounds on them are made of.
//!
//! P(j) = ∫ f(x − n_j) · Π_{i≠j} F(x − n_i) dx, with the density f and the distribution F of the noise on one count. The sum of
//! the trapezoid rule over it converges faster than any power of the step for the Gaussian, and to better than 10⁻⁶ with the steps
//! here for the Laplace law with its kinks. Continuous noise stands for that of the lattice, whose steps are a millionth of a
//! vote.

use conclave_privacy::mechanism::Mechanism;
use libm::{erfc, exp};

/// The noise on each count of an argmax, in votes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ArgmaxLaw {
    /// Normal, by standard deviation.
    Gaussian(f64),
    /// Laplace, by scale.
    Laplace(f64),
}

impl ArgmaxLaw {
    /// The argmax step of a mechanism.
    pub fn of(mechanism: &Mechanism) -> Self {
        match mechanism {
            Mechanism::LnMax(lnmax) => Self::Laplace(lnmax.scale().votes()),
            Mechanism::GnMax(gnmax) => Self::Gaussian(gnmax.sigma().votes()),
            Mechanism::ConfidentGnMax(confident) => Self::Gaussian(confident.sigma2().votes()),
        }
    }

    /// The scale of the noise, in votes.
    pub const fn scale(self) -> f64 {
        match self {
            Self::Gaussian(scale) | Self::Laplace(scale) => scale,
        }
    }

    /// The probability of each class, given (possibly fractional) counts; they sum to 1 within 10⁻⁶.
    pub fn probabilities(self, counts: &[f64]) -> Vec<f64> {
        let scaled: Vec<f64> = counts.iter().map(|count| count / self.scale()).collect();
        let (reach, step) = match self {
            Self::Gaussian(_) => (9.0, 0.1),
            Self::Laplace(_) => (16.0, 0.002),
        };
        let most = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // Whoever wins has at least the noisy count of the largest, which is not far below it.
        let mut probabilities = vec![0.0; counts.len()];
        let mut below = vec![0.0; counts.len()];
        let (mut x, end) = (most - reach, most + reach);
        while x <= end {
            for (below, count) in below.iter_mut().zip(&scaled) {
                *below = self.distribution(x - count);
            }
            for (class, probability) in probabilities.iter_mut().enumerate() {
                let density = self.density(x - scaled[class]);
                if density > NEGLIGIBLE {
                    let others = below.iter().enumerate().filter(|(other, _)| *other != class);
                    *probability += step * density * others.map(|(_, below)| below).product::<f64>();
                }
            }
            x += step;
        }
        probabilities
    }

    fn density(self, x: f64) -> f64 {
        match self {
            Self::Gaussian(_) => exp(-x * x / 2.0) / (2.0 * std::f64::consts::PI).sqrt(),
            Self::Laplace(_) => exp(-x.abs()) / 2.0,
        }
    }

    fn distribution(self, x: f64) -> f64 {
        match self {
            Self::Gaussian(_) => erfc(-x / std::f64::consts::SQRT_2) / 2.0,
            Self::Laplace(_) if x < 0.0 => exp(x) / 2.0,
            Self::Laplace(_) => 1.0 - exp(-x) / 2.0,
        }
    }
}

/// How far a probability of an [`ArgmaxLaw`] may be from the exact one.
pub(crate) const ERROR: f64 = 1e-6;
const NEGLIGIBLE: f64 = 1e-18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_counts_follow_the_closed_forms() {
        // Gaussian: Φ(d / (σ√2)). Laplace: 1 − (1/2 + d/(4b))·exp(−d/b) (two independent Laplace variables).
        let gaussian = ArgmaxLaw::Gaussian(5.0).probabilities(&[52.0, 48.0])[0];
        assert!((gaussian - erfc(-4.0 / 10.0) / 2.0).abs() < 1e-12, "{gaussian}");
        let laplace = ArgmaxLaw::Laplace(3.0).probabilities(&[52.0, 48.0])[0];
        let d = 4.0_f64 / 3.0;
        assert!((laplace - (1.0 - (0.5 + d / 4.0) * exp(-d))).abs() < 1e-6, "{laplace}");
    }

    #[test]
    fn probabilities_sum_to_one_also_far_apart() {
        for law in [ArgmaxLaw::Gaussian(2.0), ArgmaxLaw::Laplace(2.0)] {
            for counts in [&[500.0, 3.0, 0.0][..], &[10.0; 10], &[1.0, 0.0]] {
                let sum: f64 = law.probabilities(counts).iter().sum();
                assert!((sum - 1.0).abs() < 1e-6, "{law:?} {counts:?}: {sum}");
            }
        }
    }
}
