//! The admin page over real sockets: what it answers, to whom, and what it makes of callers that send something else.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use conclave_service::admin::{self, AdminConfig};
use conclave_service::metrics::{Figures, Refusals, TeacherFigures};
use conclave_service::{Role, ServiceError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

fn figures() -> Figures {
    Figures::Teacher(TeacherFigures {
        batches_answered: 41,
        guard_queries_spent: 2,
        guard_queries_left: 3,
        refusals: Refusals::of(Role::Teacher),
        certificate_days_left: None,
    })
}

fn on(address: &str) -> AdminConfig {
    AdminConfig { listen: Some(address.parse().unwrap()), beyond_loopback: false }
}

async fn served(shutdown: &CancellationToken) -> SocketAddr {
    let served = admin::serve(on("127.0.0.1:0"), async || Some(figures()), shutdown.clone()).await;
    served.unwrap().unwrap()
}

/// Sends `bytes` and reads until the other side closes; what was read.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The other side may close before it has taken everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn get(address: SocketAddr) -> String {
    exchange(address, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await
}

#[tokio::test]
async fn one_page_is_served_and_nothing_else() {
    let shutdown = CancellationToken::new();
    let address = served(&shutdown).await;
    let page = get(address).await;
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("text/plain; version=0.0.4"), "{page}");
    assert!(page.contains("\nconclave_teacher_batches_answered_total 41\n"), "{page}");
    for (request, status) in [
        ("GET /", "404"),
        ("GET /metrics/", "404"),
        ("GET /debug/pprof", "404"),
        ("POST /", "404"),
        ("POST /metrics", "405"),
        ("HEAD /metrics", "405"),
        ("DELETE /metrics", "405"),
    ] {
        let answer = exchange(address, format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
        assert!(!answer.contains("conclave_"), "{request}: {answer}");
    }
    shutdown.cancel();
    let closed = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), closed).await.expect("it stops listening with its process");
}

#[tokio::test]
async fn figures_that_cannot_be_had_are_told_as_such() {
    let shutdown = CancellationToken::new();
    let served = admin::serve(on("127.0.0.1:0"), async || None, shutdown.clone()).await;
    let answer = get(served.unwrap().unwrap()).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
}

#[tokio::test]
async fn it_listens_beyond_this_machine_only_when_that_was_allowed() {
    let shutdown = CancellationToken::new();
    assert_eq!(admin::serve(AdminConfig::default(), async || None, shutdown.clone()).await.unwrap(), None);
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9464"] {
        let refused = admin::serve(on(address), async || None, shutdown.clone()).await.unwrap_err();
        assert!(matches!(refused, ServiceError::AdminBeyondLoopback { .. }), "{refused}");
        let words = refused.to_string();
        for told in ["admin.listen", address, "admin.beyond_loopback"] {
            assert!(words.contains(told), "{told}: {words}");
        }
    }
    let allowed = AdminConfig { beyond_loopback: true, ..on("0.0.0.0:0") };
    assert!(admin::serve(allowed, async || None, shutdown).await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_no_request_does_no_harm() {
    let shutdown = CancellationToken::new();
    let address = served(&shutdown).await;
    let header = |bytes: usize| {
        format!("GET /metrics HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(bytes)).into_bytes()
    };
    let many = "GET /metrics HTTP/1.1\r\n".to_owned() + &"X: y\r\n".repeat(1_000) + "\r\n";
    for garbage in [
        b"\0\x01\xFF\xFE garbage \r\n\r\n".to_vec(),
        b"GET".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        // The beginning of a TLS handshake.
        [vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3], vec![7; 512]].concat(),
        b"GET /metrics HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n".to_vec(),
        header(100 << 10),
        many.into_bytes(),
        vec![b'a'; 1 << 20],
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(&garbage).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.contains("conclave_"), "{} bytes: {answer}", garbage.len());
    }
    assert!(get(address).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn callers_that_stay_silent_lose_their_places() {
    let shutdown = CancellationToken::new();
    let address = served(&shutdown).await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\n").await;
        silent.push(stream);
    }
    let began = Instant::now();
    assert!(get(address).await.starts_with("HTTP/1.1 200"));
    // Forty of them have sixteen places, for five seconds at most: the third round has room.
    assert!(began.elapsed() > Duration::from_secs(2), "they held no places");
    assert!(began.elapsed() < Duration::from_secs(20), "they were not cut off");
}
