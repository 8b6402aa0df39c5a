//! The wall clock, in one place.
//!
//! Wall time is for people and certificates: it jumps, and two machines disagree about it. Everything that measures or
//! limits a duration uses [`std::time::Instant`], which only moves forward; everything that must be reproducible takes
//! the time as an argument. Hence nobody else in the workspace may read the system clock (clippy.toml says so).

use std::time::{SystemTime, UNIX_EPOCH};

/// The machine's idea of the date.
#[derive(Debug, Clone, Copy, Default)]
pub struct WallClock;

impl WallClock {
    /// Milliseconds since 1970-01-01 00:00 UTC; 0 on a machine whose clock stands before that.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the system clock")]
    pub fn now_ms() -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }
}
