//! The lattice of votes on which noise is drawn, and the two quantities that live on it.
//!
//! Floating-point noise leaks through its low bits (Mironov 2012), so everything here is a whole number of
//! steps of 2^-k votes. A count of n votes is n·2^k steps; noise of scale `s` steps has standard deviation
//! (or Laplace scale) s·2^-k votes. The lattice belongs to the campaign contract.

use super::in_range;
use crate::Error;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Steps of 2^-`bits` votes, with `bits` from 0 to 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Lattice {
    bits: u8,
}

/// A noise scale in whole lattice steps: the standard deviation σ of Gaussian noise, or the scale b of
/// Laplace noise.
///
/// Both are the parameter of the law on the lattice: pmf ∝ exp(-k²/(2σ²)), or ∝ exp(-|k|/b). From 1 to 2^62
/// steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Steps", into = "Steps")]
pub struct NoiseScale {
    steps: u64,
    lattice: Lattice,
}

/// The threshold T that a noisy maximum must reach, in whole lattice steps from 0 to 2^62.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Steps", into = "Steps")]
pub struct Threshold {
    steps: u64,
    lattice: Lattice,
}

impl Lattice {
    /// Steps of 2^-20 votes, about a millionth of a vote.
    pub const DEFAULT: Self = Self { bits: 20 };
    /// The finest lattice has steps of 2^-32 votes.
    pub const BITS_MAX: u8 = 32;

    /// Steps of 2^-`bits` votes.
    pub fn new(bits: u8) -> Result<Self, Error> {
        if bits > Self::BITS_MAX {
            let fix = "give between 0 and 32 bits (the default is 20)";
            return Err(Error::OutOfRange { field: "lattice_bits", value: f64::from(bits), fix });
        }
        Ok(Self { bits })
    }

    /// k, where a step is 2^-k votes.
    pub const fn bits(self) -> u8 {
        self.bits
    }

    /// How many steps make one vote: 2^k.
    pub const fn steps_per_vote(self) -> u64 {
        1 << self.bits
    }
}

impl Default for Lattice {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl NoiseScale {
    /// The largest scale, in steps.
    pub const STEPS_MAX: u64 = STEPS_MAX;

    /// The scale of at least `votes` votes: rounded **up** to a step, so never less noise than was asked for.
    pub fn from_votes(votes: f64, lattice: Lattice) -> Result<Self, Error> {
        let fix = "give a noise scale in votes greater than 0, of at most 2^62 lattice steps, such as 40.0";
        let votes = in_range("noise_scale", votes, |x| x > 0.0, fix)?;
        let steps = steps_up("noise_scale", votes, lattice, fix)?;
        Ok(Self { steps, lattice })
    }

    /// The scale of exactly `steps` lattice steps.
    pub fn from_steps(steps: u64, lattice: Lattice) -> Result<Self, Error> {
        if steps == 0 || steps > STEPS_MAX {
            let fix = "give between 1 and 2^62 lattice steps";
            return Err(Error::OutOfRange { field: "noise_scale_steps", value: steps as f64, fix });
        }
        Ok(Self { steps, lattice })
    }

    /// The scale in lattice steps.
    pub const fn steps(self) -> u64 {
        self.steps
    }

    /// The scale in votes, to the nearest double; for people, never for prices.
    pub fn votes(self) -> f64 {
        self.steps as f64 / self.lattice.steps_per_vote() as f64
    }

    /// The lattice.
    pub const fn lattice(self) -> Lattice {
        self.lattice
    }
}

impl Threshold {
    /// The threshold of at least `votes` votes: rounded **up** to a step, so never fewer abstentions than
    /// asked for.
    pub fn from_votes(votes: f64, lattice: Lattice) -> Result<Self, Error> {
        let fix = "give a threshold in votes of at least 0 and at most 2^62 lattice steps, such as 150.0";
        let votes = in_range("threshold", votes, |x| x >= 0.0, fix)?;
        let steps = steps_up("threshold", votes, lattice, fix)?;
        Ok(Self { steps, lattice })
    }

    /// The threshold of exactly `steps` lattice steps.
    pub fn from_steps(steps: u64, lattice: Lattice) -> Result<Self, Error> {
        if steps > STEPS_MAX {
            let fix = "give at most 2^62 lattice steps";
            return Err(Error::OutOfRange { field: "threshold_steps", value: steps as f64, fix });
        }
        Ok(Self { steps, lattice })
    }

    /// The threshold in lattice steps.
    pub const fn steps(self) -> u64 {
        self.steps
    }

    /// The threshold in votes, to the nearest double; for people.
    pub fn votes(self) -> f64 {
        self.steps as f64 / self.lattice.steps_per_vote() as f64
    }

    /// The lattice.
    pub const fn lattice(self) -> Lattice {
        self.lattice
    }
}

/// `votes` in steps, rounded up; scaling by a power of two and `ceil` are exact in binary floating point.
fn steps_up(field: &'static str, votes: f64, lattice: Lattice, fix: &'static str) -> Result<u64, Error> {
    let steps = libm::ceil(votes * lattice.steps_per_vote() as f64);
    if steps > STEPS_MAX as f64 {
        return Err(Error::OutOfRange { field, value: votes, fix });
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number in 0..=2^62")]
    let steps = steps as u64;
    Ok(steps)
}

/// Squares of scales and twice those stay below 2^127, and a scaled draw below 2^126.
const STEPS_MAX: u64 = 1 << 62;

impl fmt::Display for Lattice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "2^-{} votes", self.bits)
    }
}

impl fmt::Display for NoiseScale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} votes", self.votes())
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} votes", self.votes())
    }
}

/// How scales and thresholds are written down: whole numbers only.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Steps {
    steps: u64,
    lattice_bits: Lattice,
}

impl TryFrom<u8> for Lattice {
    type Error = Error;
    fn try_from(bits: u8) -> Result<Self, Error> {
        Self::new(bits)
    }
}

impl From<Lattice> for u8 {
    fn from(lattice: Lattice) -> u8 {
        lattice.bits
    }
}

impl TryFrom<Steps> for NoiseScale {
    type Error = Error;
    fn try_from(raw: Steps) -> Result<Self, Error> {
        Self::from_steps(raw.steps, raw.lattice_bits)
    }
}

impl From<NoiseScale> for Steps {
    fn from(scale: NoiseScale) -> Self {
        Self { steps: scale.steps, lattice_bits: scale.lattice }
    }
}

impl TryFrom<Steps> for Threshold {
    type Error = Error;
    fn try_from(raw: Steps) -> Result<Self, Error> {
        Self::from_steps(raw.steps, raw.lattice_bits)
    }
}

impl From<Threshold> for Steps {
    fn from(threshold: Threshold) -> Self {
        Self { steps: threshold.steps, lattice_bits: threshold.lattice }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_become_steps_rounded_up_so_never_less_noise_than_asked() {
        let one = Lattice::new(0).unwrap();
        assert_eq!(NoiseScale::from_votes(1.5, one).unwrap().steps(), 2);
        assert_eq!(NoiseScale::from_votes(2.0, one).unwrap().steps(), 2);
        assert_eq!(NoiseScale::from_votes(2.0_f64.next_up(), one).unwrap().steps(), 3);
        assert_eq!(NoiseScale::from_votes(1e-300, one).unwrap().steps(), 1);
        assert_eq!(NoiseScale::from_votes(40.0, Lattice::DEFAULT).unwrap().steps(), 40 << 20);
        assert_eq!(Threshold::from_votes(0.0, one).unwrap().steps(), 0);
        assert!(
            (NoiseScale::from_votes(40.0, Lattice::DEFAULT).unwrap().votes() - 40.0).abs() < f64::EPSILON
        );
    }

    #[test]
    fn scales_and_thresholds_outside_their_range_are_refused_by_name() {
        let lattice = Lattice::DEFAULT;
        for votes in [f64::NAN, f64::INFINITY] {
            assert!(matches!(
                NoiseScale::from_votes(votes, lattice),
                Err(Error::NotFinite { field: "noise_scale", .. })
            ));
            assert!(matches!(
                Threshold::from_votes(votes, lattice),
                Err(Error::NotFinite { field: "threshold", .. })
            ));
        }
        for votes in [0.0, -1.0, 1e13] {
            assert!(matches!(
                NoiseScale::from_votes(votes, lattice),
                Err(Error::OutOfRange { field: "noise_scale", .. })
            ));
        }
        assert!(matches!(
            Threshold::from_votes(-0.5, lattice),
            Err(Error::OutOfRange { field: "threshold", .. })
        ));
        assert!(matches!(Lattice::new(33), Err(Error::OutOfRange { field: "lattice_bits", .. })));
        assert!(NoiseScale::from_steps(0, lattice).is_err());
        assert!(NoiseScale::from_steps(STEPS_MAX, lattice).is_ok());
        assert!(NoiseScale::from_steps(STEPS_MAX + 1, lattice).is_err());
        assert!(Threshold::from_steps(STEPS_MAX + 1, lattice).is_err());
    }

    #[test]
    fn a_scale_is_written_down_in_integers_and_checked_when_read() {
        let scale = NoiseScale::from_votes(40.0, Lattice::DEFAULT).unwrap();
        let text = serde_json::to_string(&scale).unwrap();
        assert_eq!(text, r#"{"steps":41943040,"lattice_bits":20}"#);
        assert_eq!(serde_json::from_str::<NoiseScale>(&text).unwrap(), scale);
        assert!(serde_json::from_str::<NoiseScale>(r#"{"steps":0,"lattice_bits":20}"#).is_err());
        assert!(serde_json::from_str::<NoiseScale>(r#"{"steps":1,"lattice_bits":33}"#).is_err());
        assert!(serde_json::from_str::<Threshold>(r#"{"steps":1,"lattice_bits":0,"x":1}"#).is_err());
    }
}
