//! The least that a mechanism must say to be priced, and its price in zCDP.
//!
//! A mechanism emits [`PrivacyEvent`]s, an [accountant](crate::accountant) prices them, a ledger stores their
//! integers. The meaning of an event never changes.
//!
//! # Prices
//! With m = [`Sensitivity::shift`] (the moves, times the weight of a vote), and σ, b in the unit of the counts:
//!
//! | event | ρ | because |
//! |---|---|---|
//! | [`LaplaceNoisyMax`](PrivacyEvent::LaplaceNoisyMax) | 2m²/b² | pure DP with ε = 2m/b, and ε-DP implies ε²/2-zCDP (Bun and Steinke 2016, Proposition 1.4) |
//! | [`ExponentialNoisyMax`](PrivacyEvent::ExponentialNoisyMax) | 2m²/b² | pure DP with ε = 2m/b (McKenna and Sheldon 2020, Theorem 1), as above |
//! | [`GumbelNoisyMax`](PrivacyEvent::GumbelNoisyMax) | m²/(2b²) | log ratios lie in a range of η = 2m/b, and η-bounded range implies η²/8-zCDP (Cesar and Rogers 2021) |
//! | [`GaussianNoisyMax`](PrivacyEvent::GaussianNoisyMax) | m²/σ² | the whole noisy histogram has ρ = Σv²/(2σ²) and Σv² <= 2m² |
//! | [`GaussianThreshold`](PrivacyEvent::GaussianThreshold) | m²/(2σ1²) | the largest count changes by at most m |
//! | [`LaplaceHistogram`](PrivacyEvent::LaplaceHistogram) | L2²/(2b²) | each count that moves by v costs v²/(2b²), and independent counts add up |
//! | [`GaussianHistogram`](PrivacyEvent::GaussianHistogram) | L2²/(2σ²) | Canonne, Kamath and Steinke 2020, Proposition 5 |
//! | [`SanitisedCost`](PrivacyEvent::SanitisedCost) | at bounded orders only, one moved vote | [`release_cost`](crate::smooth_sensitivity::release_cost) over the order; it is infinite at large ones |
//!
//! # Why they hold on the lattice as they stand
//! Counts differ by whole votes, hence by whole steps. For a shift by whole steps the Rényi divergence of the
//! discrete Gaussian is at most α·shift²/(2σ²), the continuous value (Canonne, Kamath and Steinke 2020,
//! Proposition 5), and independent coordinates add up; the log ratio of the discrete Laplace is at most
//! |shift|/b; the laws of the exponential mechanism and of permute-and-flip do not depend on the lattice. Nothing is
//! approximated: neither the prices nor these facts contain a rounding, and the price is rounded **up** to a unit
//! of [`Rho`]. Argmax, tie coin and comparison with T are post-processing. The prices do not depend on the counts, so admission by them reveals nothing.

use crate::Error;
use crate::quantity::{FilterOrder, NoiseScale, Rho};
use crate::smooth_sensitivity::{Smoothing, sanitised_cost};
use crate::unit::{HistogramSensitivity, Sensitivity};
use crate::worst_case::{self, Decision, Step};
use std::fmt;

/// One use of noise on the counts of one query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrivacyEvent {
    /// The index of the largest count after discrete Laplace noise on each count.
    LaplaceNoisyMax {
        /// The Laplace scale b.
        scale: NoiseScale,
    },
    /// The index of the largest count after exponential noise on each count: permute-and-flip.
    ExponentialNoisyMax {
        /// The mean b.
        scale: NoiseScale,
    },
    /// The index of the largest count after Gumbel noise on each count: the exponential mechanism.
    GumbelNoisyMax {
        /// The Gumbel scale b.
        scale: NoiseScale,
    },
    /// The index of the largest count after discrete Gaussian noise on each count.
    GaussianNoisyMax {
        /// The Gaussian parameter σ.
        sigma: NoiseScale,
    },
    /// Whether the largest count plus discrete Gaussian noise reaches a threshold.
    GaussianThreshold {
        /// The Gaussian parameter σ1.
        sigma1: NoiseScale,
    },
    /// All counts of a histogram after discrete Laplace noise on each.
    LaplaceHistogram {
        /// The Laplace scale b.
        scale: NoiseScale,
        /// How far a unit moves the counts, for the unit and adjacency of the account.
        moved: HistogramSensitivity,
    },
    /// All counts of a histogram after discrete Gaussian noise on each.
    GaussianHistogram {
        /// The Gaussian parameter σ.
        sigma: NoiseScale,
        /// How far a unit moves the counts, for the unit and adjacency of the account.
        moved: HistogramSensitivity,
    },
    /// A cost that depends on the votes, with Gaussian noise of σ smooth sensitivities.
    SanitisedCost {
        /// β of the smooth sensitivity.
        beta: Smoothing,
        /// σ, in smooth sensitivities where other events have votes.
        sigma: NoiseScale,
    },
}

impl PrivacyEvent {
    /// The data-independent price in zCDP, rounded up. Refuses what [`Rho`] cannot hold.
    pub fn price(&self, sensitivity: &Sensitivity) -> Result<Rho, Error> {
        // ρ = n·m²·4^k / (d·steps²), where a scale of `steps` is steps/2^k votes.
        let (n, d, scale) = match *self {
            Self::LaplaceNoisyMax { scale } | Self::ExponentialNoisyMax { scale } => (2, 1, scale),
            Self::GumbelNoisyMax { scale } => (1, 2, scale),
            Self::GaussianNoisyMax { sigma } => (1, 1, sigma),
            Self::GaussianThreshold { sigma1 } => (1, 2, sigma1),
            Self::LaplaceHistogram { scale, ref moved }
            | Self::GaussianHistogram { sigma: scale, ref moved } => {
                self.check_moved(moved, sensitivity, "zcdp")?;
                return moved.rho(scale);
            }
            Self::SanitisedCost { .. } => {
                let fix = "use an account that bounds the orders up to some order below 1/(2 beta)";
                return Err(self.unsupported("zcdp", fix));
            }
        };
        let shift = u128::from(sensitivity.shift());
        let steps = u128::from(scale.steps());
        Rho::ratio_up("price", n * shift * shift, 2 * u32::from(scale.lattice().bits()), d * steps * steps)
    }

    /// The data-independent price for an account that bounds the orders up to `order`, rounded up: the exact worst case of
    /// what is drawn where it is known ([`crate::worst_case`]; Gaussian noise, one moved vote of any weight), and never above
    /// [`PrivacyEvent::price`], which bounds every order and is the price without a limit.
    pub fn price_within(&self, sensitivity: &Sensitivity, order: FilterOrder) -> Result<Rho, Error> {
        if let Self::SanitisedCost { beta, sigma } = *self {
            return self.sanitised_price(beta, sigma, sensitivity, order);
        }
        let published = self.price(sensitivity)?;
        let exact = self.searched(sensitivity).and_then(|step| worst_case::price(step, order));
        Ok(exact.map_or(published, |exact| exact.min(published)))
    }

    /// An estimate of [`PrivacyEvent::price_within`] in nats, within about a thousandth on either side and without a search:
    /// where to look for a scale, never what is charged.
    pub(crate) fn price_near(&self, sensitivity: &Sensitivity, order: FilterOrder) -> Result<f64, Error> {
        if let Self::SanitisedCost { .. } = self {
            return Ok(self.price_within(sensitivity, order)?.to_f64_up());
        }
        let published = self.price(sensitivity)?.to_f64_up();
        let estimate = self.searched(sensitivity).and_then(|step| worst_case::near(step, order));
        Ok(estimate.map_or(published, |estimate| estimate.min(published)))
    }

    /// What the exact worst case is known of: Gaussian noise and one moved vote, whatever it weighs.
    fn searched(&self, sensitivity: &Sensitivity) -> Option<Step> {
        if sensitivity.moves() != 1 {
            return None;
        }
        let step = |decision, scale| Some(Step { decision, scale, weight: sensitivity.weight() });
        match *self {
            Self::GaussianNoisyMax { sigma } => step(Decision::Argmax, sigma),
            Self::GaussianThreshold { sigma1 } => step(Decision::Threshold, sigma1),
            // Who sees all counts of a histogram is told as much as the noise allows. A sanitised cost is priced by itself.
            Self::LaplaceNoisyMax { .. }
            | Self::ExponentialNoisyMax { .. }
            | Self::GumbelNoisyMax { .. }
            | Self::LaplaceHistogram { .. }
            | Self::GaussianHistogram { .. }
            | Self::SanitisedCost { .. } => None,
        }
    }

    /// The largest R(α)/α over the orders of the account; none beyond which it is not bounded.
    fn sanitised_price(
        &self,
        beta: Smoothing,
        sigma: NoiseScale,
        sensitivity: &Sensitivity,
        order: FilterOrder,
    ) -> Result<Rho, Error> {
        if order.is_unbounded() {
            return self.price(sensitivity);
        }
        if !sensitivity.is_one_moved_vote() {
            let fix = "protect a record, or a subject in one silo, added or removed: smooth sensitivity is of one moved vote";
            return Err(self.unsupported("truncated zcdp", fix));
        }
        let costs = order.orders().iter().map(|alpha| Some(sanitised_cost(*alpha, beta, sigma)? / alpha));
        let largest = costs.collect::<Option<Vec<_>>>().map(|costs| costs.into_iter().fold(0.0, f64::max));
        let Some(largest) = largest else {
            let fix = "choose a beta with order·(1 - e^(-2 beta)) < 1, such as one below 1/(2 order), for the largest order of the account";
            return Err(self.unsupported("truncated zcdp", fix));
        };
        Rho::from_nats_up(largest).ok_or(Error::CostOverflow { field: "price" })
    }

    /// Refuses a histogram whose sensitivity is of another unit or adjacency than the account's, in the name of `accountant`.
    pub(crate) fn check_moved(
        &self,
        moved: &HistogramSensitivity,
        sensitivity: &Sensitivity,
        accountant: &'static str,
    ) -> Result<(), Error> {
        let fix = "make the histogram's sensitivity of the unit and adjacency of the account";
        if moved.protects_as(sensitivity) { Ok(()) } else { Err(self.unsupported(accountant, fix)) }
    }

    const fn unsupported(&self, accountant: &'static str, fix: &'static str) -> Error {
        Error::UnsupportedEvent { accountant, event: self.name(), fix }
    }

    /// What happened, in a few words.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::LaplaceNoisyMax { .. } => "Laplace noisy max",
            Self::ExponentialNoisyMax { .. } => "exponential noisy max",
            Self::GumbelNoisyMax { .. } => "Gumbel noisy max",
            Self::GaussianNoisyMax { .. } => "Gaussian noisy max",
            Self::GaussianThreshold { .. } => "Gaussian threshold test",
            Self::LaplaceHistogram { .. } => "Laplace histogram",
            Self::GaussianHistogram { .. } => "Gaussian histogram",
            Self::SanitisedCost { .. } => "sanitised cost",
        }
    }

    /// The scale of its noise.
    pub const fn scale(&self) -> NoiseScale {
        match *self {
            Self::LaplaceNoisyMax { scale }
            | Self::ExponentialNoisyMax { scale }
            | Self::GumbelNoisyMax { scale }
            | Self::LaplaceHistogram { scale, .. } => scale,
            Self::GaussianNoisyMax { sigma }
            | Self::GaussianHistogram { sigma, .. }
            | Self::SanitisedCost { sigma, .. } => sigma,
            Self::GaussianThreshold { sigma1 } => sigma1,
        }
    }
}

impl fmt::Display for PrivacyEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with scale {}", self.name(), self.scale())
    }
}
