//! Every bound of a server holds, and its end is orderly.

use std::time::{Duration, Instant};

use conclave_service::channel::{connect, connect_lazily, with_deadline};
use conclave_service::wire_error::code;
use conclave_service::{
    ChannelLimits, ClientTransport, Refusal, RoleTable, Server, ServerLimits, ServerTransport, ServiceError,
};
use conclave_service::{Role, clock::WallClock};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::echo::{ECHO, REMAINING, WAIT, authority, call, calling, connected, kit, party, serve, text};

#[tokio::test]
async fn an_oversized_message_is_refused_and_the_next_call_works() {
    let limits = ServerLimits { message_bytes_max: 1024, ..ServerLimits::default() };
    let (_server, channel) = connected(limits, &CancellationToken::new()).await;
    let status = call(&channel, ECHO, text(&"x".repeat(2048))).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    assert!(status.message().contains("1024"), "{status}");
    assert_eq!(call(&channel, ECHO, text("small")).await.unwrap(), "small");
}

#[tokio::test]
async fn oversized_headers_are_refused_and_the_next_call_works() {
    let (_server, channel) = connected(ServerLimits::default(), &CancellationToken::new()).await;
    let mut request = text("");
    request.metadata_mut().insert("padding", "x".repeat(64 << 10).parse().unwrap());
    assert!(call(&channel, ECHO, request).await.is_err());
    assert_eq!(call(&channel, ECHO, text("small")).await.unwrap(), "small");
}

#[tokio::test]
async fn the_callers_deadline_is_honoured_and_can_be_passed_on() {
    let (_server, channel) = connected(ServerLimits::default(), &CancellationToken::new()).await;
    let started = Instant::now();
    let request = with_deadline("10000".to_owned(), Duration::from_millis(150));
    assert_eq!(code(&call(&channel, WAIT, request).await.unwrap_err()), Code::DeadlineExceeded);
    assert!(started.elapsed() < Duration::from_secs(5));

    let request = with_deadline(String::new(), Duration::from_secs(9));
    let remaining: u64 = call(&channel, REMAINING, request).await.unwrap().parse().unwrap();
    assert!((7_000..=8_950).contains(&remaining), "{remaining}");
}

#[tokio::test]
async fn the_server_caps_what_a_caller_may_ask_for() {
    let limits = ServerLimits { call_timeout_max_ms: 150, ..ServerLimits::default() };
    let (_server, channel) = connected(limits, &CancellationToken::new()).await;
    let request = with_deadline("10000".to_owned(), Duration::from_hours(1));
    let refusal = Refusal::read(&call(&channel, WAIT, request).await.unwrap_err());
    assert_eq!((refusal.code(), refusal.reason()), (Code::DeadlineExceeded, "DEADLINE"));
    assert_eq!(refusal.faulty_value(), Some("150 ms"));
}

#[tokio::test]
async fn a_handshake_that_stalls_is_cut_off_while_others_are_served() {
    let limits = ServerLimits { handshake_timeout_ms: 200, ..ServerLimits::default() };
    let (server, channel) = connected(limits, &CancellationToken::new()).await;
    let mut silent = TcpStream::connect(server.address()).await.unwrap();
    assert_eq!(call(&channel, ECHO, text("meanwhile")).await.unwrap(), "meanwhile");
    let mut buffer = [0; 16];
    let read = tokio::time::timeout(Duration::from_secs(5), silent.read(&mut buffer)).await;
    assert!(matches!(read.expect("cut off in time"), Ok(0) | Err(_)));
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_and_get_in_when_one_ends() {
    let authority = authority();
    let limits = ServerLimits { connections_max: 1, ..ServerLimits::default() };
    let shutdown = CancellationToken::new();
    let server =
        serve(ServerTransport::Mutual(kit(&authority, Role::Teacher, "t1")), limits, &shutdown).await;
    let address = server.address().to_string();
    let transport = calling(kit(&authority, Role::Aggregator, "a1"), &party(Role::Teacher, "t1"));
    let first = connect(&address, &transport, &ChannelLimits::default()).await.unwrap();

    let impatient = ChannelLimits { connect_timeout_ms: 300, ..ChannelLimits::default() };
    let error = connect(&address, &transport, &impatient).await.unwrap_err().to_string();
    assert!(error.contains("no answer"), "{error}");
    assert_eq!(call(&first, ECHO, text("still here")).await.unwrap(), "still here");

    drop(first);
    let second = connect(&address, &transport, &ChannelLimits::default()).await.unwrap();
    assert_eq!(call(&second, ECHO, text("my turn")).await.unwrap(), "my turn");
}

#[tokio::test]
async fn calls_beyond_the_bound_of_a_connection_wait_their_turn() {
    let limits = ServerLimits { calls_per_connection_max: 1, ..ServerLimits::default() };
    let (_server, channel) = connected(limits, &CancellationToken::new()).await;
    let started = Instant::now();
    let (first, second) = tokio::join!(call(&channel, WAIT, text("150")), call(&channel, WAIT, text("150")));
    assert_eq!((first.unwrap().as_str(), second.unwrap().as_str()), ("waited", "waited"));
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_busy_port_is_refused_with_its_setting_and_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let kit = kit(&authority(), Role::Teacher, "t1");
    let server = Server::new(ServerTransport::Mutual(kit), RoleTable::new(&[]), ServerLimits::default());
    let error = server.bind(address, CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, ServiceError::AddressInUse { .. }));
    assert!(
        error.to_string().starts_with(&format!("listen {address}: "))
            && error.to_string().contains("another port"),
        "{error}"
    );
}

#[tokio::test]
async fn an_address_of_another_machine_cannot_be_listened_on() {
    let kit = kit(&authority(), Role::Teacher, "t1");
    let server = Server::new(ServerTransport::Mutual(kit), RoleTable::new(&[]), ServerLimits::default());
    let error = server.bind("192.0.2.1:0".parse().unwrap(), CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, ServiceError::CannotListen { .. }), "{error}");
}

#[tokio::test]
async fn a_limit_of_zero_is_refused_by_name() {
    let kit = kit(&authority(), Role::Teacher, "t1");
    let limits = ServerLimits { connections_max: 0, ..ServerLimits::default() };
    let server = Server::new(ServerTransport::Mutual(kit), RoleTable::new(&[]), limits);
    let error = server.bind("127.0.0.1:0".parse().unwrap(), CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("connections_max is 0"), "{error}");
}

#[tokio::test]
async fn readiness_is_told_to_callers() {
    let (server, channel) = connected(ServerLimits::default(), &CancellationToken::new()).await;
    let mut health = HealthClient::new(channel);
    let mut status =
        async || health.check(HealthCheckRequest::default()).await.unwrap().into_inner().status();
    assert_eq!(status().await, ServingStatus::NotServing);
    server.readiness().set(true).await;
    assert_eq!(status().await, ServingStatus::Serving);
}

#[tokio::test]
async fn a_shutdown_finishes_open_calls_and_takes_no_new_ones() {
    let shutdown = CancellationToken::new();
    let (server, channel) = connected(ServerLimits::default(), &shutdown).await;
    let address = server.address();
    let open = tokio::spawn(async move { call(&channel, WAIT, text("300")).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(TcpStream::connect(address).await.is_err(), "the port is closed at once");
    assert_eq!(open.await.unwrap().unwrap(), "waited");
    tokio::time::timeout(Duration::from_secs(5), server.finished()).await.expect("drained").unwrap();
}

#[tokio::test]
async fn a_call_that_does_not_end_is_cut_after_the_drain_timeout() {
    let shutdown = CancellationToken::new();
    let limits = ServerLimits { drain_timeout_ms: 150, ..ServerLimits::default() };
    let (server, channel) = connected(limits, &shutdown).await;
    let open = tokio::spawn(async move { call(&channel, WAIT, text("50000")).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), server.finished()).await.expect("ended in time").unwrap();
    assert_eq!(
        code(&open.await.unwrap().unwrap_err()),
        Code::Unavailable,
        "so that an idempotent call is tried again"
    );
}

#[tokio::test]
async fn a_channel_survives_a_restart_of_the_server() {
    let authority = authority();
    let shutdown = CancellationToken::new();
    let teacher = ServerTransport::Mutual(kit(&authority, Role::Teacher, "t1"));
    let server = serve(teacher.clone(), ServerLimits::default(), &shutdown).await;
    let address = server.address();
    let transport = calling(kit(&authority, Role::Aggregator, "a1"), &party(Role::Teacher, "t1"));
    let channel = connect_lazily(&address.to_string(), &transport, &ChannelLimits::default()).unwrap();
    let health = async || HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await;
    health().await.unwrap();
    shutdown.cancel();
    server.finished().await.unwrap();
    assert_eq!(health().await.unwrap_err().code(), Code::Unavailable);

    let again = Server::new(teacher, RoleTable::new(&[]), ServerLimits::default());
    let _again = again.bind(address, CancellationToken::new()).await.unwrap();
    health().await.unwrap();
}

#[tokio::test]
async fn a_server_that_accepts_but_never_answers_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let limits = ChannelLimits { connect_timeout_ms: 200, ..ChannelLimits::default() };
    let now_ms = WallClock::now_ms();
    let caller = authority().issue(&party(Role::Aggregator, "a1"), 1, now_ms).unwrap();
    for transport in [ClientTransport::PlaintextLoopback, calling(caller, &party(Role::Teacher, "t1"))] {
        let started = Instant::now();
        let error = connect(&address, &transport, &limits).await.unwrap_err().to_string();
        assert!(started.elapsed() < Duration::from_secs(3), "{error}");
        assert!(error.contains(&address), "{error}");
    }
}
