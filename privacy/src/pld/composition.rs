//! The upper tail of a sum of independent losses, by FFT of *tilted* laws.
//!
//! A transform is accurate to some 10^-16 of the largest mass, which is not enough for δ = 10^-10. So each law is first
//! tilted by e^(tL), which moves the tail that matters to the centre; sums of tilted laws are tilted sums, and taking
//! the tilt back at the end turns an absolute error into one that falls off with the tail.
//!
//! Every mass is rounded up by more than its error. With L laws' Euclidean norms |m|, transforms whose error is at
//! most c = 4·2^-52·(levels + 4) in relative norm (Higham 2002, Theorem 24.2), and characteristic functions of modulus at most 1, a
//! tilted mass is off by at most c (Σ n|m| + 1). Wrap-around adds what the tilted sum has outside the window, and the
//! infinite mass what the sum has above it; both by Chernoff's bound.
//!
//! Taking the tilt back makes rounding near loss 0 as large as e^K(t), which limits the tilt where losses are large; the tail is
//! then drowned. The moments ln E\[e^(tL)\] = t R(1+t) from which the tilt is chosen bound it too, as Rényi costs, and the smaller counts.

use super::grid::{GridLaw, check_length, norm};
use crate::Error;
use crate::accountant::{Conversion, rdp_to_delta, rdp_to_epsilon};
use crate::quantity::{Delta, Epsilon, RdpCurve, RdpOrder};
use libm::{ceil, exp, expm1, log};
use realfft::RealFftPlanner;
use realfft::num_complex::Complex;

/// Upper bounds on the masses of a sum at losses i·step, i >= 0.
#[derive(Debug, Clone)]
pub(super) struct Composition {
    step: f64,
    masses: Vec<f64>,
    infinite: f64,
    /// The Rényi costs of the finite part, and the mass of the rest.
    moments: (Option<RdpCurve>, f64),
}

impl Composition {
    /// The sum of each law `times` times; all on one grid. Refuses sums that spread over more than 2^26 points.
    pub(super) fn of(parts: &[(GridLaw, u64)]) -> Result<Self, Error> {
        let sum = TiltedSum::of(parts)?;
        let masses = sum.masses.iter().enumerate().map(|(index, mass)| {
            (mass.max(0.0) + sum.error) * sum.untilt(index as f64 * sum.step) * (1.0 + ROUNDING)
        });
        let infinite = parts.iter().map(|(law, times)| law.infinite * *times as f64).sum::<f64>();
        let beyond = OUTSIDE * sum.untilt(sum.highest * sum.step);
        Ok(Self {
            step: sum.step,
            masses: masses.collect(),
            infinite: infinite + beyond,
            moments: (renyi(&sum.moments), infinite),
        })
    }

    /// An upper bound on δ(ε), for ε >= 0.
    pub(super) fn delta(&self, epsilon: f64) -> f64 {
        let over = self.losses().rev().take_while(|(loss, _)| *loss > epsilon);
        let sum: f64 = over.map(|(loss, mass)| mass * -expm1(epsilon - loss)).sum();
        let by_masses = ((sum + self.infinite) * (1.0 + ROUNDING)).min(1.0);
        match (&self.moments, Epsilon::new(epsilon)) {
            ((Some(curve), infinite), Ok(epsilon)) => by_masses.min(rdp_to_delta(curve, epsilon) + infinite),
            _ => by_masses,
        }
    }

    /// The smallest ε >= 0 at which δ(ε) is at most `delta`, rounded up; infinite if there is none.
    pub(super) fn epsilon(&self, delta: f64) -> f64 {
        let by_moments = match (&self.moments, Delta::new(delta - self.moments.1)) {
            ((Some(curve), _), Ok(left)) => rdp_to_epsilon(curve, left, Conversion::Tight).epsilon,
            _ => f64::INFINITY,
        };
        self.by_masses(delta).min(by_moments)
    }

    fn by_masses(&self, delta: f64) -> f64 {
        let delta = delta * (1.0 - ROUNDING) - self.infinite;
        if delta <= 0.0 {
            return f64::INFINITY;
        }
        // Between two grid points δ(ε) = A - e^ε B, with A the masses above and B each divided by e^loss.
        let (mut a, mut b) = (0.0_f64, 0.0_f64);
        for (loss, mass) in self.losses().rev() {
            if a > delta {
                let epsilon = log((a - delta) / b);
                if epsilon >= loss {
                    return epsilon + ROUNDING * epsilon;
                }
            }
            a += mass;
            b += mass * exp(-loss);
        }
        0.0
    }

    fn losses(&self) -> impl DoubleEndedIterator<Item = (f64, f64)> + '_ {
        self.masses.iter().enumerate().map(|(index, mass)| (index as f64 * self.step, *mass))
    }
}

/// A sum of laws, tilted, at losses i·step, i >= 0.
pub(super) struct TiltedSum {
    pub(super) step: f64,
    pub(super) masses: Vec<f64>,
    /// How far off each of them may be, what wraps around included.
    pub(super) error: f64,
    tilt: f64,
    at_tilt: f64,
    /// Of the window; what is above has at most [`OUTSIDE`] of the tilted mass.
    highest: f64,
    /// t and ln E e^(tL).
    moments: Vec<(f64, f64)>,
}

impl TiltedSum {
    pub(super) fn of(parts: &[(GridLaw, u64)]) -> Result<Self, Error> {
        let step = parts[0].0.step;
        let log_moment =
            |t: f64| parts.iter().map(|(law, times)| *times as f64 * law.log_moment(t)).sum::<f64>();
        let moments: Vec<(f64, f64)> = tilts().map(|t| (t, log_moment(t))).collect();
        let tilt = tilt_of(parts, step, &moments, log_moment);
        let at_tilt = log_moment(tilt);
        let (_, above) = chernoff(|t| log_moment(tilt + t) - at_tilt, log(OUTSIDE));
        let (_, below) = chernoff(|t| log_moment(tilt - t) - at_tilt, log(OUTSIDE));
        let sum =
            |end: fn(&GridLaw) -> f64| parts.iter().map(|(law, times)| *times as f64 * end(law)).sum::<f64>();
        let lowest = (-ceil(below / step)).max(sum(|law| law.first as f64)).min(0.0);
        let highest = ceil(above / step).min(sum(|law| law.first as f64 + law.masses.len() as f64)).max(1.0);
        check_length(highest - lowest)?;
        let widest = parts.iter().map(|(law, _)| law.masses.len()).max().unwrap_or(1);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
        let length = ((highest - lowest + 1.0) as usize).max(widest).next_power_of_two().max(2);
        let (mut masses, error) = tilted_sum(parts, tilt, length);
        // Losses from 0 up lie at the start of the cyclic result.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
        masses.truncate(highest as usize + 1);
        Ok(Self { step, masses, error, tilt, at_tilt, highest, moments })
    }

    /// What a tilted mass at `loss` is to be multiplied by.
    pub(super) fn untilt(&self, loss: f64) -> f64 {
        exp(self.at_tilt - self.tilt * loss)
    }
}

/// The tilt that moves the tail of 10^-4 to the centre, or less: taking it back makes errors near loss 0 e^K(t) times as
/// large, and together they may not reach 10^-6.
fn tilt_of(
    parts: &[(GridLaw, u64)],
    step: f64,
    moments: &[(f64, f64)],
    log_moment: impl Fn(f64) -> f64,
) -> f64 {
    let norms = 1.0 + parts.iter().map(|(law, times)| *times as f64 * norm(&law.masses)).sum::<f64>();
    let error = f64::EPSILON * 25.0 * norms;
    let (mut tilt, _) = least(moments.iter().copied(), log(TILTED_TO));
    while tilt > SMALLEST_TILT && log_moment(tilt) > log(NEAR_ZERO * tilt * step / error) {
        tilt /= 1.05;
    }
    tilt
}

/// The Rényi costs R(1+t) = K(t)/t, rounded up; those that are finite.
fn renyi(moments: &[(f64, f64)]) -> Option<RdpCurve> {
    let costs = moments.iter().filter_map(|(t, moment)| {
        let cost = (moment / t).max(0.0) * (1.0 + ROUNDING) + ROUNDING;
        Some((RdpOrder::new(1.0 + t).ok()?, Some(cost).filter(|cost| cost.is_finite())?))
    });
    let (orders, costs): (Vec<_>, Vec<_>) = costs.unzip();
    RdpCurve::new(orders, costs).ok()
}

/// The tilted sum on a cyclic grid of `length` points, loss 0 first, and how far off a mass may be.
fn tilted_sum(parts: &[(GridLaw, u64)], tilt: f64, length: usize) -> (Vec<f64>, f64) {
    let mut planner = RealFftPlanner::new();
    let forward = planner.plan_fft_forward(length);
    let mut product: Option<Vec<Complex<f64>>> = None;
    let mut norms = 1.0;
    for (law, times) in parts {
        let masses = law.tilted(tilt);
        norms += *times as f64 * norm(&masses);
        let mut cyclic = vec![0.0; length];
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_possible_wrap,
            reason = "a length of at most 2^27"
        )]
        let start = law.first.rem_euclid(length as i64) as usize;
        for (index, mass) in masses.iter().enumerate() {
            cyclic[(start + index) % length] += mass;
        }
        let mut spectrum = forward.make_output_vec();
        forward.process(&mut cyclic, &mut spectrum).expect("buffers have the lengths that the plan made");
        for value in &mut spectrum {
            *value = power(*value, *times);
        }
        product = Some(match product {
            None => spectrum,
            Some(so_far) => so_far.iter().zip(&spectrum).map(|(a, b)| a * b).collect(),
        });
    }
    let mut spectrum = product.unwrap_or_default();
    // Frequencies 0 and N/2 of a real signal are real.
    for end in [0, spectrum.len() - 1] {
        spectrum[end].im = 0.0;
    }
    let back = planner.plan_fft_inverse(length);
    let mut sum = back.make_output_vec();
    back.process(&mut spectrum, &mut sum).expect("buffers have the lengths that the plan made");
    let scale = 1.0 / length as f64;
    for mass in &mut sum {
        *mass *= scale;
    }
    let levels = f64::from(length.ilog2()) + 4.0;
    (sum, 4.0 * f64::EPSILON * levels * norms + 2.0 * OUTSIDE)
}

/// The t > 0 of a geometric range with the smallest (K(t) - log_mass)/t, and that value: P\[S >= it\] <= the mass.
fn chernoff(log_moment: impl Fn(f64) -> f64, log_mass: f64) -> (f64, f64) {
    least(tilts().map(|t| (t, log_moment(t))), log_mass)
}

/// The same of moments that are known.
fn least(moments: impl Iterator<Item = (f64, f64)>, log_mass: f64) -> (f64, f64) {
    let ends = moments.map(|(t, moment)| (t, (moment - log_mass) / t));
    ends.fold((SMALLEST_TILT, f64::INFINITY), |best, end| if end.1 < best.1 { end } else { best })
}

fn tilts() -> impl Iterator<Item = f64> {
    std::iter::successors(Some(SMALLEST_TILT), |t| Some(t * TILT_RATIO)).take_while(|t| *t < LARGEST_TILT)
}

fn power(base: Complex<f64>, exponent: u64) -> Complex<f64> {
    let (mut result, mut square, mut left) = (Complex::new(1.0, 0.0), base, exponent);
    while left > 0 {
        if left & 1 == 1 {
            result *= square;
        }
        square *= square;
        left >>= 1;
    }
    result
}

/// The upper tail that the tilt moves to the centre: between the centre and the smallest δ of interest.
const TILTED_TO: f64 = 1e-4;
/// What rounding may add to δ(0).
const NEAR_ZERO: f64 = 1e-6;
/// The mass that a window may leave out on each side.
const OUTSIDE: f64 = 1e-18;
/// Tilts that are tried.
const SMALLEST_TILT: f64 = 1e-3;
const LARGEST_TILT: f64 = 300.0;
const TILT_RATIO: f64 = 1.25;
/// More than the relative error of sums of up to 2^26 positive terms, each of which may be off by a unit in the last place.
pub(super) const ROUNDING: f64 = 1e-8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pld::gaussian::delta_at;
    use crate::quantity::Mu;

    #[test]
    fn one_laplace_release_has_its_closed_form() {
        let law = Composition::of(&[(GridLaw::laplace(0.05, 1e-4).unwrap(), 1)]).unwrap();
        for epsilon in [0.0, 0.01, 0.03, 0.049] {
            let exact = -expm1(0.5 * (epsilon - 0.05));
            let found = law.delta(epsilon);
            assert!(found >= exact && found <= exact * (1.0 + 1e-7), "{epsilon}: {found:e}, not {exact:e}");
        }
        assert!(law.delta(0.0501) < 1e-13);
    }

    #[test]
    fn a_gaussian_on_the_grid_is_just_above_itself() {
        for mu in [0.3, 1.0, 3.0] {
            let law = Composition::of(&[(GridLaw::gaussian(mu, 1e-4).unwrap(), 1)]).unwrap();
            for epsilon in [0.1, 1.0, 3.0] {
                let exact_at = |epsilon| delta_at(Mu::new(mu).unwrap(), epsilon);
                let (found, exact) = (law.delta(epsilon), exact_at(epsilon));
                let above = exact_at(epsilon - 1.1e-4) * (1.0 + 1e-6) + 1e-18;
                assert!(
                    found >= exact * (1.0 - 1e-9) && found <= above,
                    "{mu} {epsilon}: {found:e}, not {exact:e}"
                );
            }
        }
    }
}
