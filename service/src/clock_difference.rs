//! How far a peer's clock is from ours, read from the date that every HTTP answer carries (RFC 9110, section 6.6.1).
//!
//! Nothing in the protocol depends on the time of day except certificates, which bear an hour of difference. A clock that
//! is further off makes good certificates look expired or not yet valid, and logs that cannot be laid side by side.

use std::time::{Duration, UNIX_EPOCH};

use tonic::transport::Channel;
use tonic::{Response, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// How many seconds the peer's clock is ahead of ours; negative when it is behind. Exact to a second or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClockDifference(i64);

impl ClockDifference {
    /// Seconds, positive when the peer is ahead.
    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// Without its direction.
    pub const fn size(self) -> Duration {
        Duration::from_secs(self.0.unsigned_abs())
    }
}

/// Asks the peer's health service, which is open to every role, and compares the date of its answer with `now_ms`
/// (milliseconds since 1970). `None` if the answer has no date that can be read.
pub async fn clock_difference(
    channel: Channel,
    now_ms: impl Fn() -> u64,
) -> Result<Option<ClockDifference>, Status> {
    let asked_ms = now_ms();
    let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await?;
    // The peer wrote its date somewhere between our asking and our hearing.
    let heard_ms = now_ms();
    Ok(difference(&answer, asked_ms.midpoint(heard_ms)))
}

fn difference(answer: &Response<HealthCheckResponse>, ours_ms: u64) -> Option<ClockDifference> {
    let date = answer.metadata().get(DATE_HEADER)?.to_str().ok()?;
    let theirs = httpdate::parse_http_date(date).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let theirs = i64::try_from(theirs.as_secs()).ok()?;
    let ours = i64::try_from(ours_ms / 1_000).ok()?;
    Some(ClockDifference(theirs - ours))
}

const DATE_HEADER: &str = "date";

#[cfg(test)]
mod tests {
    use super::*;

    fn dated(date: &str) -> Response<HealthCheckResponse> {
        let mut answer = Response::new(HealthCheckResponse::default());
        answer.metadata_mut().insert(DATE_HEADER, date.parse().unwrap());
        answer
    }

    #[test]
    fn a_clock_two_days_off_is_seen_in_both_directions() {
        // 1994-11-06 08:49:37 UTC, the example of RFC 9110.
        let ours_s = 784_111_777_u64;
        let answer = dated("Sun, 06 Nov 1994 08:49:37 GMT");
        let two_days_s = 2 * 24 * 60 * 60;
        for (ours_s, seconds) in [
            (ours_s, 0),
            (ours_s - two_days_s, i64::try_from(two_days_s).unwrap()),
            (ours_s + two_days_s, -i64::try_from(two_days_s).unwrap()),
        ] {
            let found = difference(&answer, ours_s * 1_000).unwrap();
            assert_eq!((found.seconds(), found.size().as_secs()), (seconds, seconds.unsigned_abs()));
        }
    }

    #[test]
    fn a_date_that_cannot_be_read_is_no_date() {
        for date in ["", "yesterday", "Sun, 06 Nov 1894 08:49:37 GMT"] {
            assert_eq!(difference(&dated(date), 0), None, "{date}");
        }
        assert_eq!(difference(&Response::new(HealthCheckResponse::default()), 0), None);
    }
}
