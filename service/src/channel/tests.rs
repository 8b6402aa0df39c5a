//! Retries and their waits; connections themselves are tested end to end in `tests/`.

use super::*;

const POLICY: RetryPolicy = RetryPolicy { attempts_max: 4, delay_first_ms: 100, delay_max_ms: 1_000 };

#[tokio::test(start_paused = true)]
async fn a_passing_fault_is_retried_and_the_answer_returned() {
    let answer = retry(&POLICY, &mut Jitter::seeded(1), |attempt| async move {
        if attempt < 3 { Err(Status::unavailable("not yet")) } else { Ok(attempt) }
    })
    .await;
    assert_eq!(answer.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn retries_are_bounded() {
    let mut calls = 0;
    let result: Result<(), Status> = retry(&POLICY, &mut Jitter::seeded(1), |_| {
        calls += 1;
        async { Err(Status::deadline_exceeded("slow")) }
    })
    .await;
    assert_eq!(result.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(calls, POLICY.attempts_max);
}

#[tokio::test(start_paused = true)]
async fn a_lasting_fault_is_never_retried() {
    for code in (0..=16).map(Code::from_i32) {
        if matches!(code, Code::Ok | Code::Unavailable | Code::DeadlineExceeded) {
            continue;
        }
        let mut calls = 0;
        let result: Result<(), Status> = retry(&POLICY, &mut Jitter::seeded(1), |_| {
            calls += 1;
            async move { Err(Status::new(code, "no")) }
        })
        .await;
        assert_eq!((result.unwrap_err().code(), calls), (code, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_when_to_come_back_is_obeyed() {
    let started = tokio::time::Instant::now();
    let result = retry(&POLICY, &mut Jitter::seeded(1), |attempt| async move {
        if attempt > 1 {
            return Ok(());
        }
        Err(Refusal::overloaded("busy", Duration::from_millis(700)).into_status())
    })
    .await;
    result.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(700));
}

#[test]
fn waits_grow_stay_bounded_and_differ() {
    let mut jitter = Jitter::seeded(7);
    for attempt in 1..80 {
        let bound = Duration::from_millis((100u64 << (attempt - 1).min(10)).min(1_000));
        let waits: Vec<_> = (0..50).map(|_| wait_before(&POLICY, &mut jitter, attempt, None)).collect();
        assert!(waits.iter().all(|wait| *wait <= bound), "attempt {attempt}");
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
    let greedy = wait_before(&POLICY, &mut jitter, 1, Some(Duration::from_hours(1)));
    assert!(greedy <= Duration::from_millis(1_100), "a peer cannot put us to sleep for an hour");
}

#[test]
fn addresses_without_port_or_off_loopback_are_refused() {
    let limits = ChannelLimits::default();
    for bad in ["", "localhost", "127.0.0.1", "http://127.0.0.1:1", "a b:1", "user@127.0.0.1:1", ":1"] {
        assert!(
            matches!(
                way(bad, &ClientTransport::PlaintextLoopback, &limits),
                Err(ServiceError::InvalidAddress { .. })
            ),
            "{bad}"
        );
    }
    for elsewhere in ["10.0.0.1:80", "example.org:80", "[2001:db8::1]:80"] {
        assert!(
            matches!(
                way(elsewhere, &ClientTransport::PlaintextLoopback, &limits),
                Err(ServiceError::NotLoopback { .. })
            ),
            "{elsewhere}"
        );
    }
    for here in ["127.0.0.1:80", "localhost:80", "[::1]:80"] {
        assert!(way(here, &ClientTransport::PlaintextLoopback, &limits).is_ok(), "{here}");
    }
}
