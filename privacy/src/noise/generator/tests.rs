use super::*;
use rand::Rng;

/// An operating system without entropy.
#[derive(Debug)]
struct Dry;

#[derive(Debug, thiserror::Error)]
#[error("the well is dry")]
struct DryError;

impl TryRng for Dry {
    type Error = DryError;
    fn try_next_u32(&mut self) -> Result<u32, DryError> {
        Err(DryError)
    }
    fn try_next_u64(&mut self) -> Result<u64, DryError> {
        Err(DryError)
    }
    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), DryError> {
        Err(DryError)
    }
}
impl TryCryptoRng for Dry {}

#[test]
fn without_a_seed_from_the_operating_system_there_is_no_generator() {
    let refusal = ReleaseGenerator::seeded_from(&mut Dry).err().unwrap();
    assert_eq!(refusal, Error::NoEntropy { reason: "the well is dry".to_owned() });
}

#[test]
fn release_generators_never_repeat_even_for_the_same_draw() {
    const { assert!(!ReleaseNoise::SIMULATED) };
    let first = || ReleaseNoise.generator("c", &[7; 32], 1).unwrap().next_u64();
    assert_ne!([first(), first()], [first(), first()]);
}

#[cfg(feature = "simulation")]
#[test]
fn simulated_noise_depends_on_every_part_of_its_key_and_on_nothing_else() {
    const { assert!(SimulationNoise::SIMULATED) };
    let first = |seed, campaign, query, attempt| {
        SimulationNoise::new(seed).generator(campaign, &[query; 32], attempt).unwrap().next_u64()
    };
    let drawn = first(1, "c", 7, 0);
    assert_eq!(drawn, first(1, "c", 7, 0));
    for other in [first(2, "c", 7, 0), first(1, "d", 7, 0), first(1, "c", 8, 0), first(1, "c", 7, 1)] {
        assert_ne!(drawn, other);
    }

    let mut source = SimulationNoise::new(1);
    source.generator("c", &[9; 32], 0).unwrap().next_u64();
    assert_eq!(source.generator("c", &[7; 32], 0).unwrap().next_u64(), drawn, "whatever was drawn before");
}
