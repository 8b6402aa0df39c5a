//! Publishing a cost that depends on the votes: Gaussian noise scaled to its smooth sensitivity (GNSS), and what that costs.
//!
//! Let f be the cost, S(D) its smooth sensitivity: two neighbours have |f(D) - f(D′)| <= min(S(D), S(D′)) and S(D) <= e^β S(D′). The
//! release f + S·N(0, σ²) has, with r the ratio of the two variances, the Rényi divergence (Gil, Alajaji and Linder 2013)
//!
//! α Δ²/(2σ² (αr + 1 - α)) - (ln(αr + 1 - α) - α ln r)/(2(α-1)), Δ² = min(1, r), while αr + 1 - α > 0.
//!
//! Its first part falls with r; its second, g, grows with the distance of r from 1 on either side, and g(e^(-x)) >= g(e^x). So the largest
//! is at r = e^(-2β): [`release_cost`], which neighbours can attain (`docs/privacy-accounting.md`, section 14).
//!
//! **The published figure is no bound.** Theorem 23 of Papernot et al. 2018 has α e^(2β)/σ² + (αβ - ln(1-2αβ)/2)/(α-1), without the αr + 1 - α
//! under the first part. That is enough up to αβ = 1/4, and too little from somewhere above on unless α is small or σ large; the paper's own
//! parameters lie there: at α = 14, β = 0.0329, σ = 6.233 it says 0.518, two Gaussians that the definition allows are 1.606 apart, and
//! 250 teachers whose votes are 181 to 69 or 182 to 68 are 0.872 apart. [`published_release_cost`] is for comparison with the literature;
//! nothing is charged by it.
//!
//! **The law that is drawn.** S is private, so noise on a lattice whose step were scaled by it would tell it. Both f and S·σ are whole
//! numbers of 2^-32 nats instead, S rounded up and never below 2^-10 (the larger of S and a constant is as smooth as S), and the noise is
//! the discrete Gaussian. Rounding f moves neighbours by a step more, which S has room for; rounding S·σ up by less than a step
//! of at least 2^22 changes the ratio by less than 2^-22, and floating-point errors of S by less still: the price has β + 2^-20. For equal
//! or different scales s, the sum over a shifted lattice is at most that over the lattice itself, which is its integral times less than
//! 1 + 3e^(-2π²s²), so the lattice law costs no more than the formula (s is 2^12 steps at the very least).

use super::cost::SensitiveCost;
use crate::Error;
use crate::event::PrivacyEvent;
use crate::noise::{NoiseGenerator, discrete_gaussian};
use crate::quantity::{Lattice, NoiseScale, RdpOrder, Scale, in_range};
use libm::{ceil, exp, log, log1p, round};

/// β of a smooth sensitivity, in whole units of 2^-20.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Smoothing(u32);

impl Smoothing {
    /// Checks β and rounds it up to a unit. Refuses what is not above 0, or above 1.
    pub fn new(beta: f64) -> Result<Self, Error> {
        let fix = "give a number above 0 and at most 1, such as 0.02";
        let beta = in_range("beta", beta, |beta| beta > 0.0 && beta <= 1.0, fix)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 2^20")]
        Ok(Self(ceil(beta * UNITS) as u32))
    }

    /// β.
    pub fn get(self) -> f64 {
        f64::from(self.0) / UNITS
    }

    /// β with room for the rounding of what is drawn.
    fn priced(self) -> f64 {
        f64::from(self.0 + 1) / UNITS
    }
}

/// How a cost at one order will be published: fixed before any vote is seen.
///
/// A release that chose its order, β or σ after a look at the votes would tell about them; this is made without them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SanitisedRelease {
    order: RdpOrder,
    beta: Smoothing,
    sigma: NoiseScale,
}

impl SanitisedRelease {
    /// For the cost at `order`, smoothed by β, with noise of `sigma` smooth sensitivities.
    ///
    /// Refuses a β that is too large for the order, and a σ below 1 or above [`SanitisedRelease::SIGMA_MAX`].
    pub fn new(order: RdpOrder, beta: f64, sigma: f64) -> Result<Self, Error> {
        let beta = Smoothing::new(beta)?;
        let within = |sigma| (1.0..=Self::SIGMA_MAX).contains(&sigma);
        let sigma = in_range("sigma_ss", sigma, within, "give at least 1 and at most 512, such as 8")?;
        let this = Self { order, beta, sigma: NoiseScale::from_votes(sigma, Lattice::DEFAULT)? };
        if sanitised_cost(order.get(), beta, this.sigma).is_none() {
            let fix = "give a beta with order·(1 - e^(-2 beta)) < 1, such as one below 1/(2 order)";
            return Err(Error::OutOfRange { field: "beta", value: beta.get(), fix });
        }
        Ok(this)
    }

    /// The largest σ: up to it the noise has room on its lattice for every cost that is published, so that whether a release is refused
    /// does not depend on the votes.
    pub const SIGMA_MAX: f64 = 512.0;

    /// The order at which the cost is published.
    pub const fn order(&self) -> RdpOrder {
        self.order
    }

    /// What the release has to be charged as, whatever comes out.
    pub const fn event(&self) -> PrivacyEvent {
        PrivacyEvent::SanitisedCost { beta: self.beta, sigma: self.sigma }
    }

    /// The cost with its noise, in nats: may be published once [`SanitisedRelease::event`] is charged. May be negative.
    ///
    /// `cost` is that of all queries together, of those that were answered, unweighted. Refuses one at another order than that of this
    /// release. A cost is cut to 0 to 2^20 nats, and a sensitivity above 2^20 counts as that: far beyond what an account admits. Cut
    /// costs are no further apart than the cut sensitivities.
    pub fn release<G: NoiseGenerator + ?Sized>(
        &self,
        cost: &SensitiveCost,
        generator: &mut G,
    ) -> Result<f64, Error> {
        cost.check(self.order)?;
        let (smooth, cost) = (cost.smooth(self.beta.get())?, cost.nats());
        // A cost that is no number is the largest: a refusal would tell about the votes.
        let cost = if cost.inside().is_nan() { COST_MAX } else { cost.inside().clamp(0.0, COST_MAX) };
        let sensitivity = (*smooth.inside() * (1.0 + ROUNDING)).clamp(LEAST, COST_MAX) + 2.0 / STEPS_PER_NAT;
        let steps = ceil(sensitivity * self.sigma.votes() * STEPS_PER_NAT);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 2^61 and a little"
        )]
        let scale = NoiseScale::from_steps(steps as u64, Lattice::new(NAT_BITS)?)?;
        #[expect(clippy::cast_possible_truncation, reason = "at most 2^52")]
        let centre = round(cost * STEPS_PER_NAT) as i128;
        Ok((centre + discrete_gaussian(scale, generator)) as f64 / STEPS_PER_NAT)
    }
}

/// What one release costs at order α, rounded up, noise on the lattice included; none from the order on where it is not bounded.
pub(crate) fn sanitised_cost(alpha: f64, beta: Smoothing, sigma: NoiseScale) -> Option<f64> {
    divergence(alpha, beta.priced(), sigma.votes())
}

/// The cost at order α of publishing f + S·N(0, σ²), S the smooth sensitivity of f by β: an upper bound that neighbours attain.
///
/// Refuses a β of 0 or less, and one at which the cost is not bounded: α(1 - e^(-2β)) >= 1.
pub fn release_cost(order: RdpOrder, beta: f64, sigma_ss: Scale) -> Result<f64, Error> {
    let fix = "give a number above 0 with order·(1 - e^(-2 beta)) < 1, such as one below 1/(2 order)";
    let beta = in_range("beta", beta, |beta| beta > 0.0, fix)?;
    divergence(order.get(), beta, sigma_ss.get()).ok_or(Error::OutOfRange { field: "beta", value: beta, fix })
}

/// The larger of both ends of the ratio of variances, rounded up.
fn divergence(alpha: f64, beta: f64, sigma: f64) -> Option<f64> {
    let at = |log_ratio: f64| {
        // αr + 1 - α, in which 1 - α would lose the digits of r - 1.
        let less_one = alpha * libm::expm1(log_ratio);
        let shift = 0.5 * alpha * exp(log_ratio.min(0.0)) / (sigma * sigma * (1.0 + less_one));
        let spread = 0.5 * (alpha * log_ratio - log1p(less_one)) / (alpha - 1.0);
        (less_one > ROOM - 1.0)
            .then(|| shift * (1.0 + ROUNDING) + spread + ROUNDING * (alpha * beta) / (alpha - 1.0))
    };
    Some(at(-2.0 * beta)?.max(at(2.0 * beta)?))
}

/// Theorem 23 as published, α e^(2β)/σ_ss² + (-ln(1-2αβ)/2 + αβ)/(α-1): **not a bound** from αβ of about a quarter on; see the module.
///
/// Refuses β outside 0 < β < 1/(2α).
pub fn published_release_cost(order: RdpOrder, beta: f64, sigma_ss: Scale) -> Result<f64, Error> {
    let alpha = order.get();
    let fix = "give a number above 0 and below 1/(2 order)";
    let beta = in_range("beta", beta, |beta| beta > 0.0 && 2.0 * alpha * beta < 1.0, fix)?;
    let noise = alpha * exp(2.0 * beta) / (sigma_ss.get() * sigma_ss.get());
    let smoothing = (-0.5 * log(1.0 - 2.0 * alpha * beta) + alpha * beta) / (alpha - 1.0);
    Ok((noise + smoothing) * (1.0 + 1e-14))
}

/// Units of β.
const UNITS: f64 = 1_048_576.0;
/// Bits of a nat on the lattice of a release, and steps.
const NAT_BITS: u8 = 32;
const STEPS_PER_NAT: f64 = 4_294_967_296.0;
/// The least sensitivity that noise is scaled to, in nats.
const LEAST: f64 = 1.0 / 1024.0;
/// The largest cost that is published, in nats.
const COST_MAX: f64 = 1_048_576.0;
/// More than the relative error of a computed sensitivity or price.
const ROUNDING: f64 = 1e-9;
/// αr + 1 - α below this is taken for 0.
const ROOM: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(value: f64) -> Scale {
        Scale::new(value).unwrap()
    }

    /// Σ p^α q^(1-α) over a lattice of unit step, for discrete Gaussians of these scales that are `apart`.
    fn on_the_lattice(alpha: f64, apart: f64, here: f64, there: f64) -> f64 {
        let log_mass = |x: f64, scale: f64| -0.5 * (x / scale) * (x / scale);
        let far = (-20_000..=20_000).map(f64::from);
        let log_sum = |terms: &dyn Fn(f64) -> f64| {
            let largest = far.clone().map(terms).fold(f64::NEG_INFINITY, f64::max);
            largest + log(far.clone().map(|x| exp(terms(x) - largest)).sum())
        };
        let (z_here, z_there) = (log_sum(&|x| log_mass(x, here)), log_sum(&|x| log_mass(x, there)));
        let term = |x: f64| {
            alpha * (log_mass(x, here) - z_here) + (1.0 - alpha) * (log_mass(x - apart, there) - z_there)
        };
        log_sum(&term) / (alpha - 1.0)
    }

    #[test]
    fn a_release_costs_what_the_worst_neighbours_differ_and_theorem_23_says_less() {
        for (alpha, beta, sigma, undercut) in [
            (14.0, 0.0329, 6.233, true),
            (7.5, 0.0533, 4.884, true),
            (15.5, 0.031, 7.915, true),
            (10.0, 0.01, 5.0, false),
        ] {
            let order = RdpOrder::new(alpha).unwrap();
            let cost = release_cost(order, beta, scale(sigma)).unwrap();
            // S is 60/σ and 60/σ·e^-β steps here, and the costs as far apart as the smaller of them.
            let (wide, narrow) = (60.0, 60.0 * exp(-beta));
            let (apart, wider_apart) = (libm::floor(narrow / sigma), narrow / sigma);
            let [wide_first, narrow_first] =
                [on_the_lattice(alpha, apart, wide, narrow), on_the_lattice(alpha, apart, narrow, wide)];
            assert!(
                cost >= wide_first && cost >= narrow_first,
                "{alpha}: {cost} below {wide_first}, {narrow_first}"
            );
            let real = on_the_lattice(alpha, wider_apart, wide, narrow);
            assert!((real / cost - 1.0).abs() < 1e-6, "{alpha}: {cost}, but {real} is attained");
            let published = published_release_cost(order, beta, scale(sigma)).unwrap();
            assert_eq!(published < wide_first, undercut, "{alpha}: {published} and {wide_first}");
        }
    }

    #[test]
    fn votes_of_a_campaign_are_further_apart_than_theorem_23_says() {
        use crate::counts::VoteCounts;
        use crate::smooth_sensitivity::GnMaxSensitivity;

        for (alpha, beta, sigma, votes, attained) in
            [(14.0, 0.0329, 6.233, [181, 182], 0.872), (15.5, 0.031, 7.915, [180, 181], 0.958)]
        {
            let order = RdpOrder::new(alpha).unwrap();
            let known = GnMaxSensitivity::new(scale(40.0), 10, order).unwrap();
            let [near, far] = votes.map(|top: u64| {
                let mut counts = vec![0; 10];
                (counts[0], counts[1]) = (top, 250 - top);
                let counts = VoteCounts::new(counts).unwrap();
                let cost = known.of(&counts).unwrap();
                (*cost.nats().inside(), *cost.smooth(beta).unwrap().inside())
            });
            // Both ways round, since either may be the larger.
            let between = |(f, s): (f64, f64), (g, t): (f64, f64)| {
                let ratio = (t / s) * (t / s);
                let w = 1.0 + alpha * (ratio - 1.0);
                let apart = (f - g) / (s * sigma);
                alpha * apart * apart / (2.0 * w) - (log(w) - alpha * log(ratio)) / (2.0 * (alpha - 1.0))
            };
            let found = between(near, far).max(between(far, near));
            assert!((found - attained).abs() < 2e-3, "{alpha}: {found}, not {attained}");
            assert!(found > 1.5 * published_release_cost(order, beta, scale(sigma)).unwrap());
            assert!(found <= release_cost(order, beta, scale(sigma)).unwrap());
        }
    }

    #[test]
    fn the_second_part_of_the_price_is_larger_for_a_falling_ratio() {
        for (alpha, most) in [(1.5, 0.5), (2.0, 0.34), (14.0, 0.036), (50.0, 0.01)] {
            let spread = |x: f64| {
                let w = 1.0 + alpha * libm::expm1(x);
                (alpha * x - log(w)) / (2.0 * (alpha - 1.0))
            };
            for step in 1..=100 {
                let x = 2.0 * most * f64::from(step) / 100.0;
                assert!(spread(-x) >= spread(x), "order {alpha}, {x}: {} below {}", spread(-x), spread(x));
            }
        }
    }

    #[test]
    fn every_ratio_of_scales_costs_at_most_that_of_the_ends() {
        let (alpha, beta, sigma) = (8.0, 0.04, 5.0);
        let stated = divergence(alpha, beta, sigma).unwrap();
        for step in -20..=20 {
            let ratio = exp(beta * f64::from(step) / 20.0);
            let apart = 60.0 * ratio.min(1.0) / sigma;
            let found = on_the_lattice(alpha, apart, 60.0, 60.0 * ratio);
            assert!(found <= stated, "ratio {ratio}: {found} above {stated}");
        }
    }
}
