//! Noise that can be repeated, for simulations: never for data that anybody wants to protect.

use super::{NoiseGenerator, NoiseSource, sealed};
use crate::Error;
use chacha20::ChaCha20Rng;
use rand::{SeedableRng, TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};
use std::convert::Infallible;

/// Seeded noise: each draw's generator is keyed by (seed, campaign, query, attempt), so that the labels of a
/// simulation depend neither on the order in which queries are answered nor on the number of threads.
pub struct SimulationNoise {
    seed: u64,
}

/// A generator that anybody who knows the seed can repeat.
pub struct SimulationGenerator(ChaCha20Rng);

impl SimulationNoise {
    /// The noise of the simulation with this seed.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }
}

impl NoiseSource for SimulationNoise {
    type Generator = SimulationGenerator;

    const SIMULATED: bool = true;

    fn generator(
        &mut self,
        campaign: &str,
        query: &[u8; 32],
        attempt: u32,
    ) -> Result<SimulationGenerator, Error> {
        // Fixed-size fields first and the one of variable size last: no two keys have the same encoding.
        let key = Sha256::new()
            .chain_update(b"conclave simulation noise v1\0")
            .chain_update(self.seed.to_le_bytes())
            .chain_update(attempt.to_le_bytes())
            .chain_update(query)
            .chain_update(campaign);
        Ok(SimulationGenerator(ChaCha20Rng::from_seed(key.finalize().into())))
    }
}

noise_generator!(SimulationGenerator);
impl sealed::Sealed for SimulationNoise {}
