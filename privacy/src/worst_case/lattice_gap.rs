//! From continuous noise to the noise that is drawn, on a lattice with ties by a uniform coin.
//!
//! With the coin the noise of a class is Z + hU, U uniform on (-1/2, 1/2): continuous, independent over the classes, with a
//! step density f. So the three-outcome reduction holds for it as it stands, and only the supremum over the plane is another.
//! `docs/privacy-accounting.md`, section 12, has the proof of what is computed here; in short, with m noises (two for the argmax, one
//! for the threshold test), everything in units of the noise scale, and step η:
//!
//! 1. *Gaussian*: f(z) = φ(⌊z⌉)/(1 + ε), ⌊z⌉ the nearest lattice point, and |ln f - ln φ| <= κ = ηB/2 + η²/8 + ε inside |z| <= B.
//!    Outside is at most τ = 2m e^{-(B-η/2)²/2} of either law. *Laplace*: κ = η/2 + η²/12 everywhere, and τ = 0.
//!    So p' <= e^{mκ} p + τ and p' >= e^{-mκ} (p - τ): an outcome with p, q >= RARE has its log ratio off by at most
//!    s = 2mκ + 3τ/RARE, and its q off by a factor of at most e^λ, λ = mκ + τ/RARE.
//! 2. |(√ψ)'| <= (α/2) √ψ + b with b = √(α(α-1)/2) e^{Λ/2} for |L| <= Λ. By Grönwall and Minkowski these outcomes add at most
//!    e^{λ+αs} (√F + b s)² to the sum, if F is the continuous supremum. For Laplace noise Λ = 2δ and none is rare.
//! 3. An outcome that is rarer in one world is nearly as rare in the other, and the published bound, which holds *exactly* on
//!    the lattice at every order β, gives by Hölder's inequality p^α q^(1-α) <= e^{(α-1)βρ} p^{(β-α)/(β-1)}.

use super::Decision;
use libm::{exp, log, sqrt};
use std::f64::consts::PI;

/// Gaussian noise that is drawn, in units of σ.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawn {
    /// η: the lattice step over σ.
    pub(super) step: f64,
    /// m: how many noises decide the outcome when everything else is given away.
    pub(super) noises: f64,
    /// ρ of the published bound, which is zCDP and holds on the lattice as it stands.
    pub(super) published: f64,
}

impl Drawn {
    /// What decides, on a lattice of this `step`, and one vote moves a count by `shift`; both in units of σ.
    pub(super) fn of(decision: Decision, step: f64, shift: f64) -> Self {
        let (noises, published) = match decision {
            Decision::Argmax => (2.0, shift * shift),
            Decision::Threshold => (1.0, 0.5 * shift * shift),
        };
        Self { step, noises, published }
    }

    /// An upper bound on Σ p^α q^(1-α) - 1 on the lattice, for a supremum of `excess` of the continuous law; infinite where
    /// the argument gives none.
    pub(super) fn excess(&self, excess: f64, alpha: f64) -> f64 {
        let Self { step, noises, published } = *self;
        if step > STEP_MAX {
            return f64::INFINITY;
        }
        // Poisson summation: the mass of the lattice points is between 1 and 1 + ε times that of the density.
        let normalisation = 3.0 * exp(-2.0 * PI * PI / (step * step));
        let density = 0.5 * step * CUT_OFF + 0.125 * step * step + normalisation;
        let outside = 2.0 * noises * exp(-0.5 * (CUT_OFF - 0.5 * step) * (CUT_OFF - 0.5 * step));
        let factor = noises * density + outside / RARE;
        let ratio = 2.0 * noises * density + 3.0 * outside / RARE;

        let depth = -log(RARE);
        let reach = 2.0 * sqrt(depth * published) + ratio;
        let frequent = frequent(excess, alpha, factor, ratio, reach);

        // The rarer of the two probabilities is at most e^factor RARE + τ, here at most twice RARE.
        let depth = sqrt(depth - std::f64::consts::LN_2 - factor) - sqrt(published);
        let order = 1.0 + depth / sqrt(published);
        if depth <= 0.0 || order <= alpha {
            return f64::INFINITY;
        }
        let exponent = (alpha - 1.0) * (published + 2.0 * depth * sqrt(published)) - depth * depth;
        let rare = noises * (exp(exponent) + (alpha - 1.0) * exp(-depth * depth));
        (frequent + rare) * (1.0 + 1e-12)
    }
}

/// The same for the argmax of counts with Laplace noise, of which a step is `step` and one vote `shift`, both in units of b.
pub(super) fn laplace(excess: f64, alpha: f64, step: f64, shift: f64) -> f64 {
    let density = 0.5 * step + step * step / 12.0;
    let (factor, ratio) = (2.0 * density, 4.0 * density);
    frequent(excess, alpha, factor, ratio, 2.0 * shift + ratio) * (1.0 + 1e-12)
}

/// Step 2: what outcomes add at most whose q is off by a factor e^`factor`, whose log ratios are at most `reach` and off by `ratio`.
fn frequent(excess: f64, alpha: f64, factor: f64, ratio: f64, reach: f64) -> f64 {
    let slope = sqrt(0.5 * alpha * (alpha - 1.0)) * exp(0.5 * reach);
    let root = sqrt(excess) + slope * ratio;
    exp(factor + alpha * ratio) * root * root
}

/// B: beyond so many σ noise is left to the remainder, which is e^-128 of it.
const CUT_OFF: f64 = 16.0;
/// Outcomes with less probability in either world are left to Hölder's inequality.
const RARE: f64 = 1e-40;
/// Coarser lattices than this part of σ keep the published price.
const STEP_MAX: f64 = 0.125;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dependent::psi;

    #[test]
    fn the_root_of_psi_grows_no_faster_than_the_proof_says() {
        for alpha in [1.25, 2.0, 7.0, 16.0, 64.0] {
            for at in -400..400 {
                let ratio = f64::from(at) * 0.005;
                let b = |reach: f64| sqrt(0.5 * alpha * (alpha - 1.0)) * exp(0.5 * reach);
                for moved in [-0.1, -1e-3, 1e-3, 0.1_f64] {
                    let (before, after) = (sqrt(psi(alpha, ratio)), sqrt(psi(alpha, ratio + moved)));
                    let reach = ratio.abs() + moved.abs();
                    let bound = exp(0.5 * alpha * moved.abs()) * (before + b(reach) * moved.abs());
                    assert!(after <= bound * (1.0 + 1e-12), "{alpha} {ratio} {moved}: {after} above {bound}");
                }
            }
        }
    }

    #[test]
    fn the_density_on_the_lattice_stays_as_near_as_the_proof_says() {
        for step in [0.5, 0.125, 0.01] {
            let points = -4000..4000_i32;
            let mass: f64 = points.map(|x| exp(-0.5 * (f64::from(x) * step) * (f64::from(x) * step))).sum();
            let mass = mass * step / sqrt(2.0 * PI);
            assert!(mass - 1.0 <= 3.0 * exp(-2.0 * PI * PI / (step * step)) + 1e-13 && mass >= 1.0 - 1e-13);
            for at in 0..1600_i32 {
                let z = 0.01 * f64::from(at);
                let nearest = (z / step).round() * step;
                let off = 0.5 * (z * z - nearest * nearest);
                assert!(off.abs() <= 0.5 * step * z + 0.125 * step * step + 1e-12);
            }
        }
    }

    #[test]
    fn the_laplace_density_on_the_lattice_stays_as_near_as_the_proof_says() {
        for step in [0.5, 0.125, 0.01_f64] {
            let normalisation = libm::tanh(0.5 * step) / (0.5 * step);
            for at in -2000..2000_i32 {
                let z = 0.01 * f64::from(at) + 0.003;
                let nearest = (z / step).round() * step;
                let off = log(normalisation) + z.abs() - nearest.abs();
                assert!(off.abs() <= 0.5 * step + step * step / 12.0 + 1e-14, "{step} {z}: {off}");
            }
        }
    }

    #[test]
    fn a_finer_lattice_costs_less_and_the_default_one_next_to_nothing() {
        for sigma in [5.0, 40.0, 1000.0] {
            for alpha in [1.25, 4.0, 16.0] {
                let published = 1.0 / (sigma * sigma);
                let excess = libm::expm1(0.64 * alpha * (alpha - 1.0) * published);
                let at = |bits: f64| {
                    Drawn { step: libm::exp2(-bits) / sigma, noises: 2.0, published }.excess(excess, alpha)
                };
                assert!(at(20.0) > excess && at(20.0) <= excess * 1.002, "{sigma} {alpha}");
                assert!(at(16.0) > at(20.0) && at(8.0) > at(16.0));
            }
        }
    }
}
