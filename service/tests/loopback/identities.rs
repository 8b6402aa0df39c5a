//! Nobody gets in without the right certificate, and nobody is taken for another.

use std::path::Path;
use std::time::Duration;

use conclave_service::channel::{connect, connect_lazily, describe_status};
use conclave_service::clock::WallClock;
use conclave_service::{
    ChannelLimits, ClientTransport, Identity, Kit, Refusal, Role, RunningServer, Server, ServerLimits,
    ServerTransport, ServiceError,
};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use crate::echo::{ECHO, UNLISTED, WAIT, WHO, authority, call, calling, kit, party, serve, text};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

async fn teacher(kit: Kit) -> (RunningServer, String) {
    let server =
        serve(ServerTransport::Mutual(kit), ServerLimits::default(), &CancellationToken::new()).await;
    let address = server.address().to_string();
    (server, address)
}

async fn refused(address: &str, transport: &ClientTransport) -> String {
    connect(address, transport, &ChannelLimits::default()).await.unwrap_err().to_string()
}

#[tokio::test]
async fn the_right_kits_meet_and_the_server_knows_its_caller() {
    let authority = authority();
    let (_server, address) = teacher(kit(&authority, Role::Teacher, "t1")).await;
    let transport = calling(kit(&authority, Role::Aggregator, "a1"), &party(Role::Teacher, "t1"));
    for channel in [
        connect(&address, &transport, &ChannelLimits::default()).await.unwrap(),
        connect_lazily(&address, &transport, &ChannelLimits::default()).unwrap(),
    ] {
        assert_eq!(call(&channel, WHO, text("")).await.unwrap(), "conclave://demo/aggregator/north/a1");
        assert_eq!(call(&channel, ECHO, text("hello")).await.unwrap(), "hello");
    }
}

#[tokio::test]
async fn a_role_may_make_exactly_the_calls_of_its_row() {
    let authority = authority();
    let (_server, address) = teacher(kit(&authority, Role::Teacher, "t1")).await;
    for role in Role::ALL {
        let transport = calling(kit(&authority, role, "x1"), &party(Role::Teacher, "t1"));
        let channel = connect(&address, &transport, &ChannelLimits::default()).await.unwrap();
        for (method, allowed) in [
            (ECHO, role == Role::Aggregator),
            (WAIT, role == Role::Aggregator),
            (WHO, matches!(role, Role::Aggregator | Role::Student)),
            (UNLISTED, false),
        ] {
            let answer = call(&channel, method, text("0")).await;
            let code = answer.as_ref().map_or_else(tonic::Status::code, |_| Code::Ok);
            let expected = if allowed { Code::Ok } else { Code::PermissionDenied };
            assert_eq!(code, expected, "{role} {method}");
        }
    }
}

#[tokio::test]
async fn a_student_on_a_teachers_call_is_told_which_role_it_needs() {
    let authority = authority();
    let (_server, address) = teacher(kit(&authority, Role::Teacher, "t1")).await;
    let transport = calling(kit(&authority, Role::Student, "s1"), &party(Role::Teacher, "t1"));
    let channel = connect(&address, &transport, &ChannelLimits::default()).await.unwrap();
    let status = call(&channel, ECHO, text("")).await.unwrap_err();
    let refusal = Refusal::read(&status);
    assert_eq!((refusal.code(), refusal.reason()), (Code::PermissionDenied, "WRONG_ROLE"));
    assert_eq!((refusal.faulty_field(), refusal.faulty_value()), (Some("role"), Some("student")));
    let words = describe_status(&status, &address, &transport).to_string();
    assert!(words.contains("role student may not call") && words.contains("role aggregator"), "{words}");
}

#[tokio::test]
async fn a_header_cannot_lend_a_role() {
    let authority = authority();
    let (_server, address) = teacher(kit(&authority, Role::Teacher, "t1")).await;
    let transport = calling(kit(&authority, Role::Student, "s1"), &party(Role::Teacher, "t1"));
    let channel = connect(&address, &transport, &ChannelLimits::default()).await.unwrap();
    let mut request = text("");
    for header in ["role", "x-role", "x-forwarded-client-cert", "authorization"] {
        request.metadata_mut().insert(header, "conclave://demo/aggregator/north/a1".parse().unwrap());
    }
    assert_eq!(call(&channel, ECHO, request).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_server_with_another_role_name_or_silo_is_refused_by_the_client() {
    let authority = authority();
    let expected = party(Role::Teacher, "t1");
    let caller = kit(&authority, Role::Aggregator, "a1");
    for impostor in [
        party(Role::Student, "t1"),
        party(Role::Aggregator, "t1"),
        party(Role::Teacher, "t2"),
        Identity::new("demo", Role::Teacher, "south", "t1").unwrap(),
    ] {
        let kit = authority.issue(&impostor, 30, WallClock::now_ms()).unwrap();
        let (_server, address) = teacher(kit).await;
        let words = refused(&address, &calling(caller.clone(), &expected)).await;
        assert!(
            words.contains("wrong party or role") && words.contains(&expected.uri()),
            "{impostor}: {words}"
        );
    }
}

#[tokio::test]
async fn a_foreign_authority_is_refused_by_both_sides() {
    let (ours, foreign) = (authority(), authority());
    let (_server, address) = teacher(kit(&ours, Role::Teacher, "t1")).await;
    let expected = party(Role::Teacher, "t1");
    let words = refused(&address, &calling(kit(&foreign, Role::Aggregator, "a1"), &expected)).await;
    assert!(words.contains("another authority signed") && words.contains("fingerprints"), "{words}");

    // A caller that trusts our server all the same is turned away by it.
    let words =
        raw_call(&address, &kit(&ours, Role::Student, "s1"), Some(&kit(&foreign, Role::Aggregator, "a1")))
            .await;
    assert!(words.contains("does not accept the authority"), "{words}");
}

#[tokio::test]
async fn a_caller_without_a_certificate_does_not_get_past_the_handshake() {
    let authority = authority();
    let (_server, address) = teacher(kit(&authority, Role::Teacher, "t1")).await;
    let words = raw_call(&address, &kit(&authority, Role::Student, "s1"), None).await;
    assert!(words.contains("wants a certificate"), "{words}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused_by_both_sides() {
    let authority = authority();
    let long_ago = WallClock::now_ms() - 10 * DAY_MS;
    let expired = |role, name| authority.issue(&party(role, name), 1, long_ago).unwrap();
    let expected = party(Role::Teacher, "t1");

    let (_server, address) = teacher(expired(Role::Teacher, "t1")).await;
    let words = refused(&address, &calling(kit(&authority, Role::Aggregator, "a1"), &expected)).await;
    assert!(words.contains("its certificate has expired"), "{words}");

    let (_server, address) = teacher(kit(&authority, Role::Teacher, "t1")).await;
    let words = refused(&address, &calling(expired(Role::Aggregator, "a1"), &expected)).await;
    assert!(words.contains("our certificate has expired"), "{words}");
}

#[tokio::test]
async fn a_certificate_from_the_future_is_refused() {
    let authority = authority();
    let tomorrow = WallClock::now_ms() + DAY_MS;
    let kit_of_tomorrow = authority.issue(&party(Role::Teacher, "t1"), 30, tomorrow).unwrap();
    let (_server, address) = teacher(kit_of_tomorrow).await;
    let caller = kit(&authority, Role::Aggregator, "a1");
    let words = refused(&address, &calling(caller, &party(Role::Teacher, "t1"))).await;
    assert!(words.contains("not yet valid") && words.contains("clocks"), "{words}");
}

#[tokio::test]
async fn plain_text_and_tls_do_not_mix_and_the_caller_is_told() {
    let authority = authority();
    let (_server, address) = teacher(kit(&authority, Role::Teacher, "t1")).await;
    let words = refused(&address, &ClientTransport::PlaintextLoopback).await;
    assert!(words.contains("mode") || words.contains("transport"), "{words}");

    let shutdown = CancellationToken::new();
    let plain = serve(ServerTransport::PlaintextLoopback, ServerLimits::default(), &shutdown).await;
    let transport = calling(kit(&authority, Role::Aggregator, "a1"), &party(Role::Teacher, "t1"));
    let words = refused(&plain.address().to_string(), &transport).await;
    assert!(words.contains("does not speak TLS"), "{words}");
}

#[tokio::test]
async fn plain_text_works_on_loopback_without_identities_and_nowhere_else() {
    let shutdown = CancellationToken::new();
    let server = serve(ServerTransport::PlaintextLoopback, ServerLimits::default(), &shutdown).await;
    let address = server.address().to_string();
    let channel =
        connect(&address, &ClientTransport::PlaintextLoopback, &ChannelLimits::default()).await.unwrap();
    assert_eq!(call(&channel, WHO, text("")).await.unwrap(), "nobody");
    assert_eq!(call(&channel, UNLISTED, text("")).await.unwrap_err().code(), Code::PermissionDenied);

    for everywhere in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let table = conclave_service::RoleTable::new(&[]);
        let server = Server::new(ServerTransport::PlaintextLoopback, table, ServerLimits::default());
        let error = server.bind(everywhere.parse().unwrap(), shutdown.clone()).await.unwrap_err();
        assert!(matches!(error, ServiceError::NotLoopback { .. }), "{everywhere}: {error}");
        let error = connect(everywhere, &ClientTransport::PlaintextLoopback, &ChannelLimits::default())
            .await
            .unwrap_err();
        assert!(matches!(error, ServiceError::NotLoopback { .. }), "{everywhere}: {error}");
    }
}

#[tokio::test]
async fn nobody_there_is_said_in_words() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let authority = authority();
    let transport = calling(kit(&authority, Role::Aggregator, "a1"), &party(Role::Teacher, "t1"));
    let words = refused(&free.to_string(), &transport).await;
    assert_eq!(
        words,
        format!("teacher t1 at {free}: connection refused; is the teacher t1 running and listening there?")
    );
}

/// Calls with whatever certificate, trusting the authority of `trusting`; returns the failure in words.
async fn raw_call(address: &str, trusting: &Kit, showing: Option<&Kit>) -> String {
    let read = |kit: &Kit, file: &str| {
        let dir = tempfile::tempdir().unwrap();
        kit.save(dir.path()).unwrap();
        std::fs::read_to_string(Path::new(dir.path()).join(file)).unwrap()
    };
    let expected = party(Role::Teacher, "t1");
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(trusting, "ca.pem")))
        .domain_name(expected.dns_name());
    if let Some(kit) = showing {
        let dir = tempfile::tempdir().unwrap();
        kit.save(dir.path()).unwrap();
        let file = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        tls = tls.identity(tonic::transport::Identity::from_pem(file("cert.pem"), file("key.pem")));
    }
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap().tls_config(tls).unwrap();
    let channel = endpoint.timeout(Duration::from_secs(5)).connect_lazy();
    let status = call(&channel, ECHO, text("")).await.unwrap_err();
    describe_status(&status, address, &calling(trusting.clone(), &expected)).to_string()
}
