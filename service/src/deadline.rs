//! Every call ends: the caller says when, the server caps it.
//!
//! tonic's own timeout answers CANCELLED, which a caller cannot tell from its own cancellation and must not retry. It
//! cannot be turned off; this one ends a little earlier, answers DEADLINE_EXCEEDED, and leaves the instant in the request
//! so that a handler can pass on what remains.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{HeaderMap, Request, Response};
use tonic::Code;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::wire_error::Refusal;

/// When the answer to a call is of no more use. In the extensions of every request that a [`crate::Server`] serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline of a request; `None` for a request that did not come through a [`crate::Server`].
    pub fn of<T>(request: &tonic::Request<T>) -> Option<Self> {
        request.extensions().get::<Self>().copied()
    }

    /// What is left of it, less [`PASSED_ON_MARGIN`], so that a call made on behalf of this one ends first.
    pub fn to_pass_on(self) -> Duration {
        self.0.saturating_duration_since(Instant::now()).saturating_sub(PASSED_ON_MARGIN)
    }
}

/// Kept back from a deadline that is passed on: time to receive the answer and send our own.
pub const PASSED_ON_MARGIN: Duration = Duration::from_millis(50);

/// Bounds every call by the caller's `grpc-timeout`, but never by more than the server's cap.
#[derive(Debug, Clone)]
pub(crate) struct DeadlineLayer {
    cap: Duration,
}

impl DeadlineLayer {
    pub(crate) const fn new(cap: Duration) -> Self {
        Self { cap }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Bounded<S>;

    fn layer(&self, inner: S) -> Bounded<S> {
        Bounded { inner, cap: self.cap }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Bounded<S> {
    inner: S,
    cap: Duration,
}

impl<S, B> Service<Request<B>> for Bounded<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let asked = asked_timeout(request.headers());
        let allowed = asked.map_or(self.cap, |asked| in_time_for(asked).min(self.cap));
        request.extensions_mut().insert(Deadline(Instant::now() + allowed));
        let method = request.uri().path().to_owned();
        let answer = self.inner.call(request);
        Box::pin(async move {
            if let Ok(answer) = tokio::time::timeout(allowed, answer).await {
                return answer;
            }
            let refusal = Refusal::new(Code::DeadlineExceeded, "DEADLINE", format!("{method} took too long"))
                .field("grpc-timeout")
                .value(format!("{} ms", allowed.as_millis()))
                .fix("ask for less at once, or allow more time");
            Ok(refusal.into_status().into_http())
        })
    }
}

/// A tenth of what was asked, but at most [`ANSWER_MARGIN_MAX`], is kept for the answer to arrive before the caller (and
/// tonic's own timer) gives up.
fn in_time_for(asked: Duration) -> Duration {
    asked.saturating_sub(ANSWER_MARGIN_MAX.min(asked / 10))
}

/// The `grpc-timeout` header: at most eight digits and a unit (gRPC over HTTP/2, "Requests"). Malformed counts as absent.
fn asked_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT_HEADER)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 60 * 60)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

const ANSWER_MARGIN_MAX: Duration = Duration::from_millis(20);
const TIMEOUT_HEADER: &str = "grpc-timeout";

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn asked(text: &[u8]) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(TIMEOUT_HEADER, HeaderValue::from_bytes(text).ok()?);
        asked_timeout(&headers)
    }

    #[test]
    fn units_are_read_as_the_protocol_says() {
        for (text, expected) in [
            ("2H", Duration::from_hours(2)),
            ("3M", Duration::from_mins(3)),
            ("4S", Duration::from_secs(4)),
            ("5m", Duration::from_millis(5)),
            ("6u", Duration::from_micros(6)),
            ("99999999n", Duration::from_nanos(99_999_999)),
        ] {
            assert_eq!(asked(text.as_bytes()), Some(expected), "{text}");
        }
        for text in ["", "S", "5", "-5S", "+5S", "5 S", "123456789S", "5s", "5é"] {
            assert_eq!(asked(text.as_bytes()), None, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_is_answered_before_its_caller_gives_up() {
        let hanging =
            tower::service_fn(|_: Request<()>| std::future::pending::<Result<Response<Body>, Infallible>>());
        let mut service = DeadlineLayer::new(Duration::from_secs(1)).layer(hanging);
        for (asked_ms, latest_ms) in [(50, 46), (500, 481), (60_000, 1_001)] {
            let mut request = Request::new(());
            request.headers_mut().insert(TIMEOUT_HEADER, format!("{asked_ms}m").parse().unwrap());
            let started = tokio::time::Instant::now();
            let answer = service.call(request).await.unwrap();
            assert!(
                started.elapsed() <= Duration::from_millis(latest_ms),
                "{asked_ms}: {:?}",
                started.elapsed()
            );
            assert_eq!(answer.headers()["grpc-status"], (Code::DeadlineExceeded as i32).to_string().as_str());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_headers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = asked(&bytes);
        }
    }
}
