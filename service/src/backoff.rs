//! How long to wait between attempts that go on until they succeed, such as reaching a peer that is away.
//!
//! The bound doubles with every failure in a row, up to a longest wait; the wait is drawn uniformly below it ("full
//! jitter"), so that parties which lost the same peer do not come back together.

use std::time::Duration;

use crate::channel::{Jitter, RetryPolicy};

/// Waits between attempts without end; [`RetryPolicy::attempts_max`] plays no part.
#[derive(Debug)]
pub struct Backoff {
    policy: RetryPolicy,
    jitter: Jitter,
    failures: u32,
}

impl Backoff {
    /// Waits within the bounds of `policy`.
    pub const fn new(policy: RetryPolicy, jitter: Jitter) -> Self {
        Self { policy, jitter, failures: 0 }
    }

    /// How long to wait after one failure more.
    pub fn next_wait(&mut self) -> Duration {
        let doubled = 1_u64.checked_shl(self.failures).unwrap_or(u64::MAX);
        self.failures = self.failures.saturating_add(1);
        let bound_ms = self.policy.delay_first_ms.saturating_mul(doubled).min(self.policy.delay_max_ms);
        Duration::from_millis(self.jitter.up_to(bound_ms))
    }

    /// An attempt has succeeded.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_differ_by_seed_and_begin_anew_after_a_success() {
        let policy = RetryPolicy { attempts_max: 1, delay_first_ms: 100, delay_max_ms: 5_000 };
        let waits = |seed| {
            let mut backoff = Backoff::new(policy, Jitter::seeded(seed));
            (0..80).map(|_| backoff.next_wait()).collect::<Vec<_>>()
        };
        let bound = |failures: u32| Duration::from_millis((100 << failures.min(20)).min(5_000));
        for seed in 0..50 {
            assert!(waits(seed).iter().zip(0..).all(|(wait, failures)| *wait <= bound(failures)));
        }
        assert_ne!(waits(1), waits(2));
        let longest = (0..50).flat_map(waits).max().unwrap();
        assert!(longest > Duration::from_secs(4), "the bound is used: {longest:?}");

        let mut backoff = Backoff::new(policy, Jitter::seeded(3));
        assert!((0..70).map(|_| backoff.next_wait()).max() > Some(bound(5)));
        backoff.succeeded();
        assert!(backoff.next_wait() <= bound(0));
    }
}
