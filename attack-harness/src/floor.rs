//! A floor under a share: what independent trials come to at least, and how likely it is that they come to as little as was seen.
//!
//! Each trial has a probability that is known, such as that of a right label given the honest votes. How many trials succeed then follows
//! the Poisson binomial law, which is added up exactly, one trial after another. Whatever is rounded or left out speaks against an
//! accusation.

use crate::law;
use crate::proportion::Proportion;

/// What a share must not lie below, beyond chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Floor {
    /// The share that is expected at least.
    pub share: f64,
    /// The probability of as few successes as were counted, or fewer; at most this, if no trial succeeds more seldom than it must.
    pub chance: f64,
}

impl Floor {
    /// Under trials that succeed with at least these probabilities, of which `counted` succeeded.
    pub fn under(counted: Proportion, probabilities: &[f64]) -> Self {
        let share = probabilities.iter().sum::<f64>() / probabilities.len().max(1) as f64;
        // A probability is known to within an error of its law; the lower end is the one that accuses nobody by it.
        let least: Vec<f64> = probabilities.iter().map(|one| (one - law::ERROR).clamp(0.0, 1.0)).collect();
        Self { share, chance: at_most(counted.times, &least) }
    }

    /// Whether something other than chance is at work, wrongly so with a probability of at most 10^-6.
    pub fn is_surely_passed(self) -> bool {
        self.chance <= FALSE_ALARM
    }
}

/// The chance with which [`Floor::is_surely_passed`] is wrong.
pub(crate) const FALSE_ALARM: f64 = 1e-6;

/// The probability of at most `times` successes in independent trials with these probabilities, never too small.
fn at_most(times: u64, probabilities: &[f64]) -> f64 {
    // mass[i] is the probability of first + i successes so far; `lost` was so little that it was not followed.
    let (mut first, mut mass, mut lost) = (0_u64, vec![1.0], 0.0);
    for probability in probabilities {
        mass.push(0.0);
        for more in (1..mass.len()).rev() {
            mass[more] = mass[more] * (1.0 - probability) + mass[more - 1] * probability;
        }
        mass[0] *= 1.0 - probability;
        // Successes are never taken back: what is above stays above.
        mass.truncate(usize::try_from((times + 1).saturating_sub(first)).unwrap_or(usize::MAX));
        let low = mass.iter().take_while(|mass| **mass < NEGLIGIBLE).count();
        lost += mass.drain(..low).sum::<f64>();
        first += low as u64;
        let high = mass.iter().rev().take_while(|mass| **mass < NEGLIGIBLE).count();
        lost += mass.drain(mass.len() - high..).sum::<f64>();
        if mass.is_empty() {
            break;
        }
    }
    // Three roundings a trial, all of positive terms, and those of the sum.
    let rounded = 1.0 + 4.0 * (probabilities.len() + 1) as f64 * f64::EPSILON;
    ((mass.iter().sum::<f64>() + lost) * rounded).min(1.0)
}

/// Far below any chance that matters, also a million times over.
const NEGLIGIBLE: f64 = 1e-30;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha20Rng;

    proptest! {
        #[test]
        fn the_tail_is_what_brute_force_adds_up(probabilities in prop::collection::vec(0.0..=1.0, 0..10), times in 0_u64..10) {
            let mut expected = 0.0;
            for outcome in 0_u32..1 << probabilities.len() {
                if u64::from(outcome.count_ones()) <= times {
                    let of = |(trial, one): (usize, &f64)| if outcome >> trial & 1 == 1 { *one } else { 1.0 - one };
                    expected += probabilities.iter().enumerate().map(of).product::<f64>();
                }
            }
            let found = at_most(times, &probabilities);
            prop_assert!(found >= expected * (1.0 - 1e-13) && found <= expected + 1e-12, "{} {}", found, expected);
        }
    }

    #[test]
    fn small_tails_of_many_trials_are_exact_and_never_too_small() {
        // Closed forms: no success of 3000, and two of 3000 or fewer; half of 4001.
        let none = 0.995_f64.powi(3_000);
        assert!((at_most(0, &vec![0.005; 3_000]) / none - 1.0).abs() < 1e-9);
        let two =
            none * (1.0 + 3_000.0 * 0.005 / 0.995 + 3_000.0 * 2_999.0 / 2.0 * (0.005_f64 / 0.995).powi(2));
        let found = at_most(2, &vec![0.005; 3_000]);
        assert!(found >= two * (1.0 - 1e-9) && found <= two * (1.0 + 1e-9), "{found} {two}");
        assert!((at_most(2_000, &vec![0.5; 4_001]) - 0.5).abs() < 1e-9);
        assert!(at_most(3_000, &vec![0.9; 3_000]) >= 1.0 && at_most(0, &[]) >= 1.0);
        assert!(at_most(0, &[1.0]) <= 0.0);
    }

    /// Worlds that do the worst that is allowed, and no more: 80 labels, each right with the probability of its bound.
    #[test]
    fn of_sound_worlds_at_their_bound_no_more_pass_a_level_than_the_level_says() {
        const WORLDS: u32 = 20_000;
        let probabilities: Vec<f64> =
            (0..80).map(|query| 0.55 + 0.45 * f64::from(query % 20) / 20.0).collect();
        let mut random = ChaCha20Rng::seed_from_u64(3);
        let mut chances = Vec::new();
        for _ in 0..WORLDS {
            let right = Proportion::count(probabilities.iter().map(|one| random.random_bool(*one)));
            chances.push(Floor::under(right, &probabilities).chance);
        }
        for level in [0.1, 0.01, 0.001] {
            let passed = chances.iter().filter(|chance| **chance <= level).count() as f64 / f64::from(WORLDS);
            // Whole labels make the level a little conservative: at most it, but for 4 standard deviations, and at least a third.
            let off = 4.0 * (level / f64::from(WORLDS)).sqrt();
            assert!(passed <= level + off && passed >= level / 3.0 - off, "level {level}: {passed}");
        }
        assert!(chances.iter().all(|chance| *chance > FALSE_ALARM));
    }

    /// Fewest of so many labels that do not accuse, at a probability of 0.9 each; the bound of Hoeffding (1963) for comparison.
    #[test]
    fn the_slack_at_80_labels_is_half_of_what_a_bound_without_the_law_would_need() {
        let accuses = |times| Floor::under(Proportion { of: 80, times }, &[0.9; 80]).is_surely_passed();
        let fewest = (0..=80).find(|times| !accuses(*times)).unwrap();
        let hoeffding = 80.0 * (0.9 - (FALSE_ALARM.recip().ln() / 160.0).sqrt());
        assert_eq!((fewest, hoeffding.ceil()), (57, 49.0));
    }
}
