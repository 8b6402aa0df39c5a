//! What a draw and a conversion cost: `cargo bench -p conclave-privacy`.

use conclave_privacy::accountant::{epsilon_to_rho, rho_to_epsilon};
use conclave_privacy::counts::VoteCounts;
use conclave_privacy::mechanism::{ExponentialMechanism, GnMax, LnMax, Mechanism, PermuteAndFlip};
use conclave_privacy::noise::{NoiseSource, ReleaseGenerator, ReleaseNoise};
use conclave_privacy::quantity::{Delta, Epsilon, Lattice, NoiseScale, Rho};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

fn generator() -> ReleaseGenerator {
    ReleaseNoise.generator("bench", &[0; 32], 0).expect("the operating system gives seeds")
}

fn counts() -> VoteCounts {
    VoteCounts::new(vec![120, 40, 30, 20, 10, 10, 8, 6, 4, 2]).expect("ten small counts")
}

fn forty_votes() -> NoiseScale {
    NoiseScale::from_votes(40.0, Lattice::DEFAULT).expect("in range")
}

#[divan::bench]
fn gnmax_of_ten_counts_at_sigma_40(bencher: Bencher<'_, '_>) {
    let (mechanism, counts, mut generator) =
        (Mechanism::from(GnMax::new(forty_votes())), counts(), generator());
    bencher.bench_local(|| mechanism.release(black_box(&counts), &mut generator));
}

#[divan::bench]
fn lnmax_of_ten_counts_at_scale_40(bencher: Bencher<'_, '_>) {
    let (mechanism, counts, mut generator) =
        (Mechanism::from(LnMax::new(forty_votes())), counts(), generator());
    bencher.bench_local(|| mechanism.release(black_box(&counts), &mut generator));
}

#[divan::bench]
fn exponential_mechanism_of_ten_counts_at_scale_40(bencher: Bencher<'_, '_>) {
    let (mechanism, counts, mut generator) =
        (ExponentialMechanism::new(forty_votes()), counts(), generator());
    bencher.bench_local(|| mechanism.release(black_box(&counts), &mut generator));
}

#[divan::bench]
fn permute_and_flip_of_ten_counts_at_scale_40(bencher: Bencher<'_, '_>) {
    let (mechanism, counts, mut generator) = (PermuteAndFlip::new(forty_votes()), counts(), generator());
    bencher.bench_local(|| mechanism.release(black_box(&counts), &mut generator));
}

#[divan::bench]
fn a_generator_seeded_by_the_operating_system() -> ReleaseGenerator {
    generator()
}

#[divan::bench]
fn rho_to_epsilon_once() -> f64 {
    rho_to_epsilon(
        black_box(Rho::from_units(212_000_000_000)),
        black_box(Delta::new(1e-5).expect("in range")),
    )
}

#[divan::bench]
fn epsilon_to_rho_once() -> Rho {
    let delta = Delta::new(1e-5).expect("in range");
    epsilon_to_rho(black_box(Epsilon::new(3.0).expect("in range")), black_box(delta))
}
