//! The samplers follow their stated laws, at every scale that can be asked for.

use crate::chi_square::{assert_fits, generator, p_value};
use conclave_privacy::noise::{
    SimulationGenerator, discrete_exponential, discrete_gaussian, discrete_laplace,
};
use conclave_privacy::quantity::{Lattice, NoiseScale};

type Sampler = fn(NoiseScale, &mut SimulationGenerator) -> i128;

const DRAWS: usize = 100_000;

fn steps(steps: u64) -> NoiseScale {
    NoiseScale::from_steps(steps, Lattice::new(0).unwrap()).unwrap()
}

/// Counts of the integers -reach..=reach; anything beyond goes into the outermost cells.
fn histogram(sampler: Sampler, scale: NoiseScale, reach: i32, name: &str) -> Vec<u64> {
    let mut generator = generator(name);
    let mut cells = vec![0; usize::try_from(2 * reach + 1).unwrap()];
    for _ in 0..DRAWS {
        let draw = sampler(scale, &mut generator).clamp(i128::from(-reach), i128::from(reach));
        cells[usize::try_from(draw + i128::from(reach)).unwrap()] += 1;
    }
    cells
}

/// The normalised law with these weights on -reach..=reach.
fn law(reach: i32, weight: impl Fn(f64) -> f64) -> Vec<f64> {
    let weights: Vec<f64> = (-reach..=reach).map(|k| weight(f64::from(k))).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

fn gaussian_law(sigma: f64, reach: i32) -> Vec<f64> {
    law(reach, |k| libm::exp(-k * k / (2.0 * sigma * sigma)))
}

fn laplace_law(scale: f64, reach: i32) -> Vec<f64> {
    law(reach, |k| libm::exp(-k.abs() / scale))
}

#[test]
fn the_discrete_gaussian_has_its_mass_on_every_integer() {
    for sigma in [1_u32, 2, 3, 5, 13, 40] {
        let reach = i32::try_from(10 * sigma).unwrap();
        let name = format!("discrete gaussian {sigma}");
        let observed = histogram(discrete_gaussian, steps(sigma.into()), reach, &name);
        assert_fits(&name, &observed, &gaussian_law(sigma.into(), reach));
    }
}

#[test]
fn the_discrete_laplace_has_its_mass_on_every_integer() {
    for scale in [1_u32, 2, 3, 5, 13, 40] {
        let reach = i32::try_from(40 * scale).unwrap();
        let name = format!("discrete laplace {scale}");
        let observed = histogram(discrete_laplace, steps(scale.into()), reach, &name);
        assert_fits(&name, &observed, &laplace_law(scale.into(), reach));
    }
}

#[test]
fn the_discrete_exponential_has_its_mass_on_every_integer_from_zero() {
    for scale in [1_u32, 2, 3, 5, 13, 40] {
        let reach = i32::try_from(40 * scale).unwrap();
        let name = format!("discrete exponential {scale}");
        let observed = histogram(discrete_exponential, steps(scale.into()), reach, &name);
        let expected = law(reach, |k| if k < 0.0 { 0.0 } else { libm::exp(-k / f64::from(scale)) });
        assert_fits(&name, &observed, &expected);
    }
}

#[test]
fn the_test_has_the_power_to_see_a_scale_that_is_wrong_by_five_per_cent() {
    let gaussian = histogram(discrete_gaussian, steps(42), 420, "power");
    assert!(p_value(&gaussian, &gaussian_law(40.0, 420)) < 1e-6);
    assert!(p_value(&gaussian, &laplace_law(42.0, 420)) < 1e-6);
    let laplace = histogram(discrete_laplace, steps(42), 1680, "power");
    assert!(p_value(&laplace, &laplace_law(40.0, 1680)) < 1e-6);
}

/// Draws in units of their scale.
fn scaled_draws(sampler: Sampler, scale: NoiseScale, name: &str) -> Vec<f64> {
    let mut generator = generator(name);
    (0..DRAWS).map(|_| sampler(scale, &mut generator) as f64 / scale.steps() as f64).collect()
}

/// On a fine lattice: equal-width cells of a quarter scale, against the continuous law (which differs by far
/// less than 10^5 draws can show).
fn assert_fits_continuous(sampler: Sampler, cdf: fn(f64) -> f64, scale: NoiseScale, name: &str) {
    const CELLS: usize = 48;
    let edge = |cell: usize| cell as f64 / 4.0 - 6.0;
    let mut observed = vec![0; CELLS];
    for draw in scaled_draws(sampler, scale, name) {
        let cell = (0..CELLS - 1).find(|&cell| draw < edge(cell + 1)).unwrap_or(CELLS - 1);
        observed[cell] += 1;
    }
    let below = |cell: usize| {
        if cell == 0 {
            0.0
        } else if cell == CELLS {
            1.0
        } else {
            cdf(edge(cell))
        }
    };
    let expected: Vec<f64> = (0..CELLS).map(|cell| below(cell + 1) - below(cell)).collect();
    assert_fits(name, &observed, &expected);
}

fn gaussian_cdf(x: f64) -> f64 {
    libm::erfc(-x / std::f64::consts::SQRT_2) / 2.0
}

fn exponential_cdf(x: f64) -> f64 {
    if x < 0.0 { 0.0 } else { 1.0 - libm::exp(-x) }
}

fn laplace_cdf(x: f64) -> f64 {
    if x < 0.0 { libm::exp(x) / 2.0 } else { 1.0 - libm::exp(-x) / 2.0 }
}

#[test]
fn the_law_holds_from_a_thousandth_of_a_vote_to_a_thousand_million_and_at_the_largest_scale() {
    let finest = Lattice::new(Lattice::BITS_MAX).unwrap();
    let scales = [
        NoiseScale::from_votes(1e-3, Lattice::DEFAULT).unwrap(),
        NoiseScale::from_votes(40.0, Lattice::DEFAULT).unwrap(),
        NoiseScale::from_votes(1e9, Lattice::DEFAULT).unwrap(),
        NoiseScale::from_votes(1e9, finest).unwrap(),
        NoiseScale::from_steps(NoiseScale::STEPS_MAX, finest).unwrap(),
    ];
    for scale in scales {
        assert_fits_continuous(discrete_gaussian, gaussian_cdf, scale, &format!("fine gaussian {scale}"));
        assert_fits_continuous(discrete_laplace, laplace_cdf, scale, &format!("fine laplace {scale}"));
        assert_fits_continuous(
            discrete_exponential,
            exponential_cdf,
            scale,
            &format!("fine exponential {scale}"),
        );
    }
}

#[test]
fn the_low_bits_of_fine_noise_are_uniform() {
    let scale = NoiseScale::from_votes(40.0, Lattice::DEFAULT).unwrap();
    for (name, sampler) in [("gaussian", discrete_gaussian as Sampler), ("laplace", discrete_laplace)] {
        let name = format!("low bits of {name}");
        let mut generator = generator(&name);
        let mut observed = vec![0; 64];
        for _ in 0..DRAWS {
            observed[usize::try_from(sampler(scale, &mut generator).rem_euclid(64)).unwrap()] += 1;
        }
        assert_fits(&name, &observed, &[1.0 / 64.0; 64]);
    }
}

#[test]
fn moments_are_those_of_the_law() {
    let scale = NoiseScale::from_votes(40.0, Lattice::DEFAULT).unwrap();
    // (mean, variance, fourth moment) in units of the scale, and the standard deviations of their estimates.
    let gaussian = [(0.0, 1.0), (1.0, 2.0_f64.sqrt()), (3.0, 96.0_f64.sqrt())];
    let laplace = [(0.0, 2.0_f64.sqrt()), (2.0, 20.0_f64.sqrt()), (24.0, (40_320.0_f64 - 576.0).sqrt())];
    for (name, sampler, moments) in
        [("gaussian", discrete_gaussian as Sampler, gaussian), ("laplace", discrete_laplace, laplace)]
    {
        let draws = scaled_draws(sampler, scale, &format!("moments of {name}"));
        for (power, (expected, deviation)) in [1, 2, 4].into_iter().zip(moments) {
            let mean = draws.iter().map(|draw| draw.powi(power)).sum::<f64>() / DRAWS as f64;
            // Five deviations: a false alarm of 6 × 10^-7.
            let allowed = 5.0 * deviation / (DRAWS as f64).sqrt();
            assert!((mean - expected).abs() < allowed, "{name}: moment {power} is {mean}, not {expected}");
        }
    }
}
