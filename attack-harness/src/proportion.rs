//! A share that was counted, and how sure it is.

use serde::Serialize;

/// So many of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Proportion {
    /// How many counted.
    pub of: u64,
    /// How many of them had the property.
    pub times: u64,
}

impl Proportion {
    /// Counts the true ones.
    pub fn count(judged: impl IntoIterator<Item = bool>) -> Self {
        let (mut times, mut of) = (0, 0);
        for judged in judged {
            of += 1;
            times += u64::from(judged);
        }
        Self { of, times }
    }

    /// The share, in 0..=1; 0 of nothing is 0.
    pub fn share(self) -> f64 {
        self.times as f64 / self.of.max(1) as f64
    }

    /// The share with its interval, in words.
    pub fn in_words(self) -> String {
        let (low, high) = self.interval();
        format!("{} (95 % interval {:.1} to {:.1} %)", per_cent(self.share()), low * 100.0, high * 100.0)
    }

    /// The interval of Wilson (1927) at 95 %: approximate, for a picture. Bounds that a verdict rests on are exact ones
    /// ([`crate::floor`], `conclave_privacy::audit`).
    pub fn interval(self) -> (f64, f64) {
        if self.of == 0 {
            return (0.0, 1.0);
        }
        let (n, p, z) = (self.of as f64, self.share(), NORMAL_QUANTILE_975);
        let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
        let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        ((centre - half).max(0.0), (centre + half).min(1.0))
    }
}

/// A share for people.
pub(crate) fn per_cent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

const NORMAL_QUANTILE_975: f64 = 1.959_963_984_540_054;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_wilson() {
        // 8 of 10: 0.490162 to 0.943318 (centre and half width by hand: 0.716740, 0.226578).
        let (low, high) = Proportion { of: 10, times: 8 }.interval();
        assert!((low - 0.490_162).abs() < 1e-6 && (high - 0.943_318).abs() < 1e-6, "{low} {high}");
        let (low, high) = Proportion { of: 0, times: 0 }.interval();
        assert!(low <= 0.0 && high >= 1.0, "nothing counted, nothing known");
    }
}
