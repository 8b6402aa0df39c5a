//! Where the bits of the noise come from: the operating system for releases, a seed for simulations only.
//!
//! A mechanism draws from any [`NoiseGenerator`], and a service is generic over its [`NoiseSource`]. Both
//! traits are sealed: the only source that exists in a cluster binary is [`ReleaseNoise`], whose generators
//! are seeded afresh from the operating system and fail closed if it gives no seed. `SimulationNoise` exists
//! only under the cargo feature `simulation`, which cluster binaries do not enable, so they cannot even name
//! it; whatever it made says so ([`NoiseSource::SIMULATED`]). Cargo unites the features of all that is built
//! together: the manifests of the cluster crates are what a test holds to this, and a release of them is
//! built without the simulator.
//!
//! All generators are ChaCha20 (Bernstein 2008; RFC 8439), wipe their state when dropped, and cannot be
//! printed or cloned.

use crate::Error;
use chacha20::ChaCha20Rng;
use rand::rngs::SysRng;
use rand::{CryptoRng, SeedableRng, TryCryptoRng, TryRng};
use std::convert::Infallible;
use zeroize::Zeroizing;

/// A cryptographic generator from which release noise may be drawn. Sealed: all implementors are in this
/// module.
pub trait NoiseGenerator: CryptoRng + sealed::Sealed {}

/// Hands out one generator for each draw. Sealed: all implementors are in this module.
pub trait NoiseSource: sealed::Sealed + Send {
    /// The generator of one draw.
    type Generator: NoiseGenerator + Send;

    /// Whether everything made from this source must be marked as simulated.
    const SIMULATED: bool;

    /// The generator for the `attempt`-th draw that answers `query` in `campaign`.
    ///
    /// Fails, so that nothing is drawn, with [`Error::NoEntropy`].
    fn generator(&mut self, campaign: &str, query: &[u8; 32], attempt: u32)
    -> Result<Self::Generator, Error>;
}

/// Noise for releases: each generator is freshly seeded from the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReleaseNoise;

/// A generator seeded from the operating system.
pub struct ReleaseGenerator(ChaCha20Rng);

impl NoiseSource for ReleaseNoise {
    type Generator = ReleaseGenerator;

    const SIMULATED: bool = false;

    fn generator(
        &mut self,
        _campaign: &str,
        _query: &[u8; 32],
        _attempt: u32,
    ) -> Result<ReleaseGenerator, Error> {
        ReleaseGenerator::seeded_from(&mut SysRng)
    }
}

impl ReleaseGenerator {
    /// Takes 256 bits from `entropy`, or fails closed.
    fn seeded_from<E: TryCryptoRng>(entropy: &mut E) -> Result<Self, Error> {
        let mut seed = Zeroizing::new([0; 32]);
        entropy.try_fill_bytes(&mut *seed).map_err(|cause| Error::NoEntropy { reason: cause.to_string() })?;
        Ok(Self(ChaCha20Rng::from_seed(*seed)))
    }
}

macro_rules! noise_generator {
    ($name:ident) => {
        impl TryRng for $name {
            type Error = Infallible;
            fn try_next_u32(&mut self) -> Result<u32, Infallible> {
                self.0.try_next_u32()
            }
            fn try_next_u64(&mut self) -> Result<u64, Infallible> {
                self.0.try_next_u64()
            }
            fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
                self.0.try_fill_bytes(bytes)
            }
        }
        impl TryCryptoRng for $name {}
        impl sealed::Sealed for $name {}
        impl NoiseGenerator for $name {}
    };
}
noise_generator!(ReleaseGenerator);
impl sealed::Sealed for ReleaseNoise {}

#[cfg(feature = "simulation")]
pub use simulation::{SimulationGenerator, SimulationNoise};

#[cfg(feature = "simulation")]
mod simulation;

mod sealed {
    /// Keeps the traits of this module closed.
    pub trait Sealed {}
}

#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
mod tests;
