//! From Rényi-DP and zCDP to (ε, δ), and back from ε to the largest ρ.
//!
//! With R = R(α), for any one order α > 1:
//!
//! - classic: ε = R + ln(1/δ)/(α-1), Mironov, *Rényi Differential Privacy* (2017), Proposition 3;
//! - tight: ε = R + ln(1 - 1/α) - ln(αδ)/(α-1), Balle, Barthe, Gaboardi, Hsu and Sato, *Hypothesis Testing
//!   Interpretations and Rényi Differential Privacy* (2020), Theorem 21; Canonne, Kamath and Steinke 2020,
//!   Proposition 12. Never the larger.
//!
//! Every order gives a valid upper bound, so a search for the best order can only err towards more loss. A
//! bound below 0 is reported as 0. Doubles are used for these views and for the one conversion of a cap; each
//! result is moved by more than its rounding error towards more loss (ε up, ρ down).

use super::Loss;
use crate::quantity::{Delta, Epsilon, RdpCurve, RdpOrder, Rho};

/// Which theorem turns Rényi-DP into (ε, δ).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Conversion {
    /// Mironov 2017, Proposition 3, as the PATE papers use it.
    Classic,
    /// Balle et al. 2020, Theorem 21.
    #[default]
    Tight,
}

/// The smallest δ at `epsilon` over the orders of `curve`, rounded up: the tight conversion turned round,
/// δ = e^((α-1)(R-ε)) (1-1/α)^(α-1)/α, or the distance in total variation if that is less.
pub fn rdp_to_delta(curve: &RdpCurve, epsilon: Epsilon) -> f64 {
    curve.points().fold(1.0, |best: f64, (order, rdp)| {
        let less_one = order.get() - 1.0;
        let (spread, order_term) = (less_one * (rdp - epsilon.get()), less_one * libm::log1p(1.0 / less_one));
        let log_delta = spread - order_term - libm::log1p(less_one);
        let size = less_one * (rdp + epsilon.get()) + order_term + libm::log1p(less_one);
        let tight = libm::exp(log_delta + 8.0 * f64::EPSILON * (1.0 + size));
        best.min(tight).min(total_variation(rdp))
    })
}

/// The distance in total variation that R at any order above 1 allows, rounded up: R bounds the relative entropy, and
/// TV <= sqrt(1 - e^-KL) (Bretagnolle and Huber 1979).
fn total_variation(rdp: f64) -> f64 {
    libm::sqrt(-libm::expm1(-rdp)) * (1.0 + 8.0 * f64::EPSILON)
}

/// The smallest ε over the orders of `curve`, rounded up, and whether its order is at an end of them. The tight conversion is 0 where δ covers the whole distance in total
/// variation.
pub fn rdp_to_epsilon(curve: &RdpCurve, delta: Delta, conversion: Conversion) -> Loss {
    let covered = |(_, rdp): &(RdpOrder, f64)| total_variation(*rdp) <= delta.get();
    if conversion == Conversion::Tight
        && let Some((order, _)) = curve.points().find(covered)
    {
        return Loss::off_grid(0.0, Some(order.get()));
    }
    let best = curve.points().fold(Loss::off_grid(f64::INFINITY, None), |best, (order, rdp)| {
        let epsilon = epsilon_at(order.get() - 1.0, rdp, delta, conversion);
        if epsilon < best.epsilon { Loss::off_grid(epsilon, Some(order.get())) } else { best }
    });
    let all = || curve.orders().iter().map(|order| order.get());
    let ends = [all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max)];
    // Nothing gives less than 0.
    let order_at_end = best.epsilon > 0.0 && best.order.is_some_and(|order| ends.contains(&order));
    Loss { order_at_end, ..best }
}

/// ε of ρ-zCDP at `delta`: the tight conversion at the best real order, rounded up; 0 for ρ = 0.
pub fn rho_to_epsilon(rho: Rho, delta: Delta) -> f64 {
    rho_to_loss(rho, delta).epsilon
}

/// ε = ρ + 2·sqrt(ρ ln(1/δ)), rounded up: Bun and Steinke 2016, Proposition 1.3; the classic conversion at
/// the best order.
pub fn rho_to_epsilon_classic(rho: Rho, delta: Delta) -> f64 {
    let rho = rho.to_f64_up();
    let root = 2.0 * libm::sqrt(rho * -libm::log(delta.get()));
    round_up(rho + root, &[rho, root])
}

/// The largest whole number of units of ρ whose [`rho_to_epsilon`] at `delta` is at most `epsilon`: rounded
/// **down**.
///
/// This converts a cap, once. Zero is possible, for an ε below 2^-40 nats or so.
pub fn epsilon_to_rho(epsilon: Epsilon, delta: Delta) -> Rho {
    largest_rho(|rho| rho_to_epsilon(rho, delta) <= epsilon.get())
}

/// The largest amount that `fits`; nothing always does.
pub(super) fn largest_rho(fits: impl Fn(Rho) -> bool) -> Rho {
    let fits = |units: u64| fits(Rho::from_units(units));
    if fits(u64::MAX) {
        return Rho::MAX;
    }
    // Invariant: `low` fits, `high` does not. It needs no monotony: whatever is returned fits, and one unit
    // more does not.
    let (mut low, mut high) = (0, u64::MAX);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    Rho::from_units(low)
}

/// [`rho_to_epsilon`] with the order at which it was found (none for ρ = 0).
pub(crate) fn rho_to_loss(rho: Rho, delta: Delta) -> Loss {
    if rho == Rho::ZERO {
        return Loss::off_grid(0.0, None);
    }
    let nats = rho.to_f64_up();
    let order_less_one = best_order_less_one(nats, delta);
    let rdp = nats * (1.0 + order_less_one);
    Loss::off_grid(epsilon_at(order_less_one, rdp, delta, Conversion::Tight), Some(1.0 + order_less_one))
}

/// α - 1 for the order α that minimises ρα + ln(1-1/α) - ln(αδ)/(α-1).
///
/// The derivative vanishes where ρ(α-1)² + ln α = ln(1/δ). The left side grows with α, so bisection finds the
/// one root.
fn best_order_less_one(rho: f64, delta: Delta) -> f64 {
    let target = -libm::log(delta.get());
    let (mut low, mut high) = (0.0, libm::sqrt(target / rho).min(1.0 / delta.get()));
    for _ in 0..BISECTIONS {
        let middle = f64::midpoint(low, high);
        if rho * middle * middle + libm::log1p(middle) < target {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// ε at the order α = 1 + `order_less_one`, rounded up, at least 0. (α - 1 is passed since α near 1 would
/// lose its digits.)
fn epsilon_at(order_less_one: f64, rdp: f64, delta: Delta, conversion: Conversion) -> f64 {
    let log_delta = libm::log(delta.get());
    let epsilon = match conversion {
        Conversion::Classic => {
            let term = -log_delta / order_less_one;
            round_up(rdp + term, &[rdp, term])
        }
        Conversion::Tight => {
            // ln(1 - 1/α) = -ln(1 + 1/(α-1)), which keeps its digits at large and at small orders.
            let log_one_minus = -libm::log1p(1.0 / order_less_one);
            let order_term = -libm::log1p(order_less_one) / order_less_one;
            let delta_term = -log_delta / order_less_one;
            let sum = rdp + log_one_minus + (order_term + delta_term);
            round_up(sum, &[rdp, log_one_minus, order_term, delta_term])
        }
    };
    epsilon.max(0.0)
}

/// `sum`, moved up by more than the rounding error of adding `parts`, each of which is within a few units in
/// the last place.
fn round_up(sum: f64, parts: &[f64]) -> f64 {
    let size: f64 = parts.iter().map(|part| part.abs()).sum();
    sum + 8.0 * f64::EPSILON * size
}

/// The root is within a small factor of the upper end of the interval, so this many halvings reach its last
/// digits.
const BISECTIONS: usize = 60;
