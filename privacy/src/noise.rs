//! Noise whose law is exactly the one that is priced.
//!
//! [`discrete_gaussian()`] and [`discrete_laplace()`] draw whole numbers of lattice steps. Given independent
//! uniform bits, their laws are exactly pmf(k) ∝ exp(-k²/(2σ²)) and pmf(k) ∝ exp(-|k|/b) on all of ℤ, and that of
//! [`discrete_exponential()`] is pmf(k) ∝ exp(-k/b) on k >= 0: every decision compares whole numbers, in the manner of Canonne, Kamath and Steinke, *The Discrete Gaussian for
//! Differential Privacy* (2020), and no floating-point number occurs anywhere on the way to a release. The
//! bits come from [`generator`], so what holds in practice is the computational form of each guarantee.
//!
//! Not covered: the time that a draw takes varies with the noise (rejection sampling), though not with the
//! counts. Whoever could time single draws would learn something about the noise; answers leave in batches,
//! after a flush to disk.

mod bernoulli;
mod discrete_exponential;
mod discrete_gaussian;
mod discrete_laplace;
pub mod generator;
#[cfg(test)]
mod tails;

pub(crate) use bernoulli::{exp_minus_ratio, uniform_below};
pub use discrete_exponential::discrete_exponential;
pub use discrete_gaussian::discrete_gaussian;
pub use discrete_laplace::discrete_laplace;
pub use generator::{NoiseGenerator, NoiseSource, ReleaseGenerator, ReleaseNoise};
#[cfg(feature = "simulation")]
pub use generator::{SimulationGenerator, SimulationNoise};
