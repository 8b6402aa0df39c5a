//! Pearson's chi-square test of goodness of fit, and the generator from which all tests draw.

use conclave_privacy::noise::{NoiseSource, SimulationGenerator, SimulationNoise};

/// The probability with which a correct sampler would fail one test. Seeds are fixed, so no test fails at
/// random: this is the chance that a correct sampler fails for ever. There are fewer than 500 tests, 5 ×
/// 10^-4 together.
pub(crate) const FALSE_ALARM: f64 = 1e-6;

/// The generator of the test called `name`.
pub(crate) fn generator(name: &str) -> SimulationGenerator {
    SimulationNoise::new(20_261_124).generator(name, &[0; 32], 0).unwrap()
}

/// Asserts that `observed` counts look like draws from `probabilities`; both are cell by cell.
pub(crate) fn assert_fits(name: &str, observed: &[u64], probabilities: &[f64]) {
    let p = p_value(observed, probabilities);
    assert!(p > FALSE_ALARM, "{name}: p = {p:e}\nobserved {observed:?}\nexpected shares {probabilities:?}");
}

/// The probability of a fit at least as bad as this one. Cells with an expectation below 20 are pooled; if
/// all of them together stay below 20, they may hold at most 60 draws (a Poisson tail of about 10^-12), else
/// the answer is 0.
pub(crate) fn p_value(observed: &[u64], probabilities: &[f64]) -> f64 {
    assert_eq!(observed.len(), probabilities.len());
    let draws = observed.iter().sum::<u64>() as f64;
    let (mut statistic, mut cells) = (0.0, 0_u32);
    let (mut rare_observed, mut rare_expected) = (0.0, 0.0);
    let mut add = |seen: f64, expected: f64| {
        statistic += (seen - expected).powi(2) / expected;
        cells += 1;
    };
    for (&seen, &probability) in observed.iter().zip(probabilities) {
        let (seen, expected) = (seen as f64, probability * draws);
        if expected < 20.0 {
            rare_observed += seen;
            rare_expected += expected;
        } else {
            add(seen, expected);
        }
    }
    if rare_expected >= 20.0 {
        add(rare_observed, rare_expected);
    } else if rare_observed > 60.0 {
        return 0.0;
    }
    assert!(cells > 0, "more draws are needed for any test");
    if cells == 1 { 1.0 } else { upper_gamma(f64::from(cells - 1) / 2.0, statistic / 2.0) }
}

/// The regularised upper incomplete gamma function Q(a, x): by its series below a + 1, by its continued
/// fraction above.
fn upper_gamma(a: f64, x: f64) -> f64 {
    let scale = libm::exp(a * libm::log(x) - x - libm::lgamma(a));
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        while term > sum * 1e-16 {
            n += 1.0;
            term *= x / n;
            sum += term;
        }
        return 1.0 - scale * sum;
    }
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1e300, 1.0 / b);
    let mut h = d;
    for i in 1..10_000 {
        let step = -f64::from(i) * (f64::from(i) - a);
        b += 2.0;
        d = 1.0 / (step * d + b);
        c = b + step / c;
        h *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    scale * h
}

#[test]
fn p_values_agree_with_published_quantiles() {
    // 0.001 quantiles of the chi-square law with 1, 10 and 100 degrees of freedom, and the median with 2.
    for (freedom, statistic, p) in
        [(1.0, 10.828, 0.001), (10.0, 29.588, 0.001), (100.0, 149.449, 0.001), (2.0, 1.386_294_361, 0.5)]
    {
        let got = upper_gamma(freedom / 2.0, statistic / 2.0);
        assert!((got / p - 1.0).abs() < 1e-3, "{freedom}: {got}");
    }
}
