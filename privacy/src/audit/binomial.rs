//! Exact confidence bounds for a probability from how often something happened: Clopper and Pearson, *The use of confidence
//! or fiducial limits illustrated in the case of the binomial* (1934).
//!
//! The lower bound is the p for which Pr\[Bin(n, p) >= k\] equals the significance, the upper one that for which
//! Pr\[Bin(n, p) <= k\] does. Tails are sums of their terms from the first one on, each a ratio of the one before; the bounds are moved outwards by
//! more than the error of that.

use super::Significance;
use libm::{exp, lgamma, log, log1p};

/// A probability is at least this, except with probability `significance`, if `times` of `runs` independent runs had the event.
///
/// 0 if it never happened; `times` above `runs` are read as all.
pub fn probability_at_least(times: u64, runs: u64, significance: Significance) -> f64 {
    let times = times.min(runs);
    if times == 0 {
        return 0.0;
    }
    let target = log(significance.get()) - log_error(runs);
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if log_upper_tail(times, runs, middle) <= target { low = middle } else { high = middle }
    }
    low
}

/// A probability is at most this, except with probability `significance`, if `times` of `runs` independent runs had the event.
///
/// 1 if it always happened, or if nothing was run.
pub fn probability_at_most(times: u64, runs: u64, significance: Significance) -> f64 {
    let times = times.min(runs);
    if times == runs {
        return 1.0;
    }
    let target = log(significance.get()) - log_error(runs);
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if log_lower_tail(times, runs, middle) > target { low = middle } else { high = middle }
    }
    high
}

/// ln Pr\[Bin(n, p) >= k\].
pub(super) fn log_upper_tail(k: u64, n: u64, p: f64) -> f64 {
    if k == 0 || p >= 1.0 {
        return 0.0;
    }
    if k > n || p <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if k as f64 <= n as f64 * p {
        // Beyond the mode on the near side the other tail is the short one.
        return log1p(-exp(tail(k - 1, n, p, Side::Lower)).min(1.0));
    }
    tail(k, n, p, Side::Upper)
}

/// ln Pr\[Bin(n, p) <= k\].
pub(super) fn log_lower_tail(k: u64, n: u64, p: f64) -> f64 {
    if k >= n || p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return f64::NEG_INFINITY;
    }
    if k as f64 >= n as f64 * p {
        return log1p(-exp(tail(k + 1, n, p, Side::Upper)).min(1.0));
    }
    tail(k, n, p, Side::Lower)
}

/// ln of the probability of exactly `k`.
pub(super) fn log_mass(k: u64, n: u64, p: f64) -> f64 {
    let (hits, runs) = (k as f64, n as f64);
    let ways = lgamma(runs + 1.0) - lgamma(hits + 1.0) - lgamma(runs - hits + 1.0);
    // 0·ln 0 is 0 here.
    let power = |times: f64, log_p: f64| if times == 0.0 { 0.0 } else { times * log_p };
    ways + power(hits, log(p)) + power(runs - hits, log1p(-p))
}

#[derive(Clone, Copy)]
enum Side {
    Lower,
    Upper,
}

/// The tail that begins at `k`, away from the mode: terms fall from the first one on.
fn tail(k: u64, n: u64, p: f64, side: Side) -> f64 {
    let odds = p / (1.0 - p);
    let (mut term, mut sum, mut at) = (1.0_f64, 1.0_f64, k);
    while term > TERM_MIN * sum {
        match side {
            Side::Upper if at < n => {
                term *= (n - at) as f64 / (at + 1) as f64 * odds;
                at += 1;
            }
            Side::Lower if at > 0 => {
                term *= at as f64 / (n - at + 1) as f64 / odds;
                at -= 1;
            }
            Side::Lower | Side::Upper => break,
        }
        sum += term;
    }
    log_mass(k, n, p) + log(sum)
}

/// By how much ln of a tail may be off: each ln n! by units in its last place, the rest by less.
fn log_error(runs: u64) -> f64 {
    1e-12 + 8.0 * f64::EPSILON * lgamma(runs as f64 + 1.0)
}

/// Halvings of the unit interval; a bound is then known to its last digit unless it is below 10^-15.
const HALVINGS: usize = 100;
/// Terms below this part of the sum are left out; what follows them is as little.
const TERM_MIN: f64 = 1e-17;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(value: f64) -> Significance {
        Significance::new(value).unwrap()
    }

    #[test]
    fn a_tail_and_the_rest_make_one() {
        for (k, n, p) in
            [(3, 10, 0.2), (7, 10, 0.2), (500, 1000, 0.5), (1, 1_000_000, 1e-6), (990, 1000, 0.97)]
        {
            let both = exp(log_upper_tail(k, n, p)) + exp(log_lower_tail(k - 1, n, p));
            assert!((both - 1.0).abs() < 1e-12, "{k} of {n} at {p}: {both}");
        }
        assert!((exp(log_upper_tail(3, 10, 0.2)) - 0.322_200_473_6).abs() < 1e-12);
    }

    #[test]
    fn bounds_hold_at_the_ends() {
        assert_eq!(
            (probability_at_least(0, 50, at(0.05)), probability_at_most(50, 50, at(0.05))),
            (0.0, 1.0)
        );
        assert_eq!((probability_at_least(0, 0, at(0.05)), probability_at_most(0, 0, at(0.05))), (0.0, 1.0));
        // (1-p)^50 = 0.05 and its mirror image.
        assert!((probability_at_most(0, 50, at(0.05)) - (1.0 - 0.05_f64.powf(0.02))).abs() < 1e-11);
        assert!((probability_at_least(50, 50, at(0.05)) - 0.05_f64.powf(0.02)).abs() < 1e-11);
    }

    #[test]
    fn the_stated_probability_of_being_wrong_is_kept_and_hardly_undercut() {
        // Over all outcomes of 40 runs at p, how probable is a lower bound above p? The law is summed, not sampled.
        for p in [0.03, 0.3, 0.5, 0.91] {
            let wrong = |bound: &dyn Fn(u64) -> bool| -> f64 {
                (0..=40).filter(|k| bound(*k)).map(|k| exp(log_mass(k, 40, p))).sum()
            };
            let above = wrong(&|k| probability_at_least(k, 40, at(0.1)) > p);
            let below = wrong(&|k| probability_at_most(k, 40, at(0.1)) < p);
            assert!(above <= 0.1 && below <= 0.1, "{p}: {above}, {below}");
            assert!(above + below > 0.03, "{p}: {above}, {below}");
        }
    }
}
