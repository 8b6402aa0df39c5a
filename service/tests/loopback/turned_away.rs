//! Who is turned away before the first call: the server's log says who came, why it was refused and what to do.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use conclave_service::authority::Authority;
use conclave_service::channel::{connect, connect_lazily, describe_status};
use conclave_service::clock::WallClock;
use conclave_service::{ChannelLimits, ClientTransport, Kit, Role, ServerLimits, ServerTransport};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tracing::subscriber::DefaultGuard;

use crate::echo::{authority, calling, kit, party, serve};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What this thread logs; all tasks of a test's runtime run on it.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(lines))
    }

    fn refusals(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains("refused")).map(str::to_owned).collect()
    }

    /// The one refusal that there is, once it is there.
    async fn refusal(&self) -> String {
        for _ in 0..500 {
            if let [only] = self.refusals().as_slice() {
                return only.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("expected one refusal: {:?}", self.refusals());
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What caller and server say when `calling` kit calls the node `serving`, expecting teacher t1 there.
async fn both_sides(serving: Kit, caller: Kit) -> (String, String) {
    let (log, _guard) = Log::start();
    let server =
        serve(ServerTransport::Mutual(serving), ServerLimits::default(), &CancellationToken::new()).await;
    let transport = calling(caller, &party(Role::Teacher, "t1"));
    let address = server.address().to_string();
    let client = connect(&address, &transport, &ChannelLimits::default()).await.unwrap_err().to_string();
    (client, log.refusal().await)
}

fn issued(authority: &Authority, role: Role, name: &str, now_ms: u64) -> Kit {
    authority.issue(&party(role, name), 1, now_ms).unwrap()
}

#[tokio::test]
async fn the_server_says_whose_certificate_it_refused_and_why() {
    let ours = authority();
    let now_ms = WallClock::now_ms();
    let teacher = || kit(&ours, Role::Teacher, "t1");
    for (made_ms, reason, words) in [
        (now_ms - 10 * DAY_MS, "CERTIFICATE_EXPIRED", "its certificate has expired"),
        (now_ms + 2 * DAY_MS, "CERTIFICATE_NOT_YET_VALID", "its certificate is not yet valid"),
    ] {
        let (client, server) = both_sides(teacher(), issued(&ours, Role::Aggregator, "a1", made_ms)).await;
        assert!(client.contains("our certificate has expired"), "{client}");
        // Both dates of it, and each side's own.
        let valid = ["it is valid from", "GMT to", "and this machine's date is"];
        assert!(valid.iter().all(|part| client.contains(part)), "{client}");
        assert!(server.contains("GMT, and this machine's date is"), "{server}");
        assert!(server.contains("WARN") && server.contains(reason) && server.contains(words), "{server}");
        assert!(server.contains("127.0.0.1:") && server.contains("clock"), "{server}");
        assert!(server.contains("claiming to be conclave://demo/aggregator/north/a1"), "{server}");
    }
}

/// A caller under TLS 1.3 is done before the server has seen its certificate: whether its first call was on its way by then
/// must not decide what it is told, at any of its attempts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_caller_is_told_the_reason_at_every_attempt_also_over_a_channel_that_connects_by_itself() {
    let ours = authority();
    let serving = ServerTransport::Mutual(kit(&ours, Role::Teacher, "t1"));
    let server = serve(serving, ServerLimits::default(), &CancellationToken::new()).await;
    let expired = issued(&ours, Role::Aggregator, "a1", WallClock::now_ms() - 10 * DAY_MS);
    let transport = calling(expired, &party(Role::Teacher, "t1"));
    let (address, limits) = (server.address().to_string(), ChannelLimits::default());
    let lazy = connect_lazily(&address, &transport, &limits).unwrap();
    for attempt in 0..100 {
        let eager = connect(&address, &transport, &limits).await.unwrap_err().to_string();
        assert!(eager.contains("our certificate has expired"), "attempt {attempt}: {eager}");
        let status = HealthClient::new(lazy.clone()).check(HealthCheckRequest::default()).await.unwrap_err();
        let told = describe_status(&status, &address, &transport).to_string();
        assert!(told.contains("our certificate has expired"), "attempt {attempt}: {told}");
    }
}

#[tokio::test]
async fn the_server_says_what_a_caller_did_not_like_about_its_own_certificate() {
    let ours = authority();
    let aggregator = || kit(&ours, Role::Aggregator, "a1");
    let expired = issued(&ours, Role::Teacher, "t1", WallClock::now_ms() - 10 * DAY_MS);
    let (client, server) = both_sides(expired, aggregator()).await;
    assert!(client.contains("its certificate has expired: it was valid until"), "{client}");
    assert!(server.contains("refuses our certificate (conclave://demo/teacher/north/t1)"), "{server}");
    assert!(server.contains("GMT, and this machine's date is"), "{server}");

    let (client, server) = both_sides(kit(&ours, Role::Student, "t1"), aggregator()).await;
    assert!(client.contains("wrong party or role"), "{client}");
    assert!(server.contains("expects another party or role"), "{server}");
    assert!(server.contains("conclave://demo/student/north/t1"), "{server}");

    let (client, server) = both_sides(kit(&authority(), Role::Teacher, "t1"), aggregator()).await;
    assert!(client.contains("another authority signed"), "{client}");
    assert!(server.contains("does not accept the authority of our certificate"), "{server}");
}

#[tokio::test]
async fn a_caller_in_plain_text_is_named_by_its_address() {
    let (log, _guard) = Log::start();
    let teacher = ServerTransport::Mutual(kit(&authority(), Role::Teacher, "t1"));
    let server = serve(teacher, ServerLimits::default(), &CancellationToken::new()).await;
    let address = server.address().to_string();
    connect(&address, &ClientTransport::PlaintextLoopback, &ChannelLimits::default()).await.unwrap_err();
    let refusal = log.refusal().await;
    assert!(refusal.contains("does not speak TLS") && refusal.contains("127.0.0.1:"), "{refusal}");
}

#[tokio::test]
async fn a_scanner_cannot_flood_the_log_and_a_probe_of_the_port_is_no_refusal() {
    let (log, _guard) = Log::start();
    let teacher = ServerTransport::Mutual(kit(&authority(), Role::Teacher, "t1"));
    let server = serve(teacher, ServerLimits::default(), &CancellationToken::new()).await;
    for _ in 0..20 {
        TcpStream::connect(server.address()).await.unwrap();
    }
    for _ in 0..200 {
        let mut scanner = TcpStream::connect(server.address()).await.unwrap();
        scanner.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        // The server's alert, then its end: this handshake is over.
        let _ = scanner.read_to_end(&mut Vec::new()).await;
    }
    assert_eq!(log.refusals().len(), 1, "{:?}", log.refusals());
}

/// A client that shows `caller`'s certificate to servers of its authority.
fn dialler(caller: &Kit) -> TlsConnector {
    let folder = tempfile::tempdir().unwrap();
    caller.save(folder.path()).unwrap();
    let pem = |file: &str| std::fs::read(folder.path().join(file)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem("ca.pem")).unwrap()).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(&pem("cert.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(&pem("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    config.alpn_protocols.push(b"h2".to_vec());
    TlsConnector::from(Arc::new(config))
}

async fn dial(connector: &TlsConnector, server: SocketAddr) -> TlsStream<TcpStream> {
    let name = ServerName::try_from(party(Role::Teacher, "t1").dns_name()).unwrap();
    connector.connect(name, TcpStream::connect(server).await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_certificate_is_verified_at_every_connection_and_not_once_for_a_session() {
    let ours = authority();
    let serving = ServerTransport::Mutual(kit(&ours, Role::Teacher, "t1"));
    let server = serve(serving, ServerLimits::default(), &CancellationToken::new()).await;
    let connector = dialler(&kit(&ours, Role::Aggregator, "a1"));
    for _ in 0..2 {
        let mut stream = dial(&connector, server.address()).await;
        // The first bytes of HTTP/2; whatever lets a client resume the session comes before them.
        stream.read_u8().await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[tokio::test]
async fn a_caller_that_is_refused_in_the_middle_of_what_it_sends_can_read_why() {
    let ours = authority();
    let serving = ServerTransport::Mutual(kit(&ours, Role::Teacher, "t1"));
    let server = serve(serving, ServerLimits::default(), &CancellationToken::new()).await;
    let expired = issued(&ours, Role::Aggregator, "a1", WallClock::now_ms() - 10 * DAY_MS);
    let mut stream = dial(&dialler(&expired), server.address()).await;
    // With TLS 1.3 a client is done before the server has seen its certificate, and goes on to what it came for.
    for _ in 0..3 {
        stream.write_all(&[0; 1000]).await.unwrap();
        stream.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let refusal = stream.read_u8().await.unwrap_err().to_string();
    assert!(refusal.to_lowercase().contains("certificateexpired"), "{refusal}");
}
