//! The TLS handshake of a server. It is done here, because tonic tells nobody but its own debug log why one failed.
//!
//! Who is turned away stands in the log, once: from where, whose certificate it showed as far as that can be read, why,
//! and what to do. What an unproven certificate says about its owner is a claim, and is called one.

use std::cell::RefCell;
use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore,
    ServerConfig, SignatureScheme,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected as _;

use crate::certificate::{self, Validity};
use crate::clock::WallClock;
use crate::connection::Connection;
use crate::identity::Identity;
use crate::repeats::Repeats;

/// Lets in whom the consortium's authority vouches for, and says why it lets nobody else in.
pub(crate) struct Gate {
    acceptor: TlsAcceptor,
    timeout: Duration,
    own: Identity,
    validity: Validity,
    repeats: Repeats,
}

/// Closes a connection that was refused so that the caller reads why: closing it with bytes unread would reset it, and take
/// the alert away from a caller who has not read it yet.
async fn part(mut connection: Connection) {
    let end = async {
        connection.shutdown().await?;
        tokio::io::copy(&mut connection.take(LAST_BYTES_MAX), &mut tokio::io::sink()).await
    };
    // Whoever does not end it in time, or says more than that, is cut off.
    let _ = tokio::time::timeout(LINGER, end).await;
}

/// How long a refused caller has to end its side.
const LINGER: Duration = Duration::from_secs(1);
/// What a refused caller may have sent already.
const LAST_BYTES_MAX: u64 = 1 << 20;

/// Why a handshake failed, in words for the server's operator.
struct Refused {
    /// A constant in capitals, for programs.
    reason: &'static str,
    problem: String,
    fix: String,
}

impl Gate {
    /// A gate that shows the certificate `certificate_pem` of `own`, and asks for one that `ca_pem` signed.
    pub(crate) fn new(
        ca_pem: &str,
        certificate_pem: &str,
        key_pem: &str,
        own: Identity,
        validity: Validity,
        timeout: Duration,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
            roots.add(authority?)?;
        }
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build()?;
        let chain =
            CertificateDer::pem_slice_iter(certificate_pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(Arc::new(Noting(verifier)))
            .with_single_cert(chain, key)?;
        config.alpn_protocols.push(HTTP_2.to_vec());
        // A session that is resumed is not verified again: it would outlive the certificate that began it.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { acceptor: Arc::new(config).into(), timeout, own, validity, repeats: Repeats::default() })
    }

    /// Every connection that completes its handshake; each has a task of its own, so that a slow one holds up nobody.
    pub(crate) fn admit(
        self,
        mut incoming: ReceiverStream<io::Result<Connection>>,
    ) -> ReceiverStream<io::Result<TlsStream<Connection>>> {
        let (admitted, met) = mpsc::channel(1);
        let gate = Arc::new(self);
        tokio::spawn(async move {
            // The stream itself never fails: `connection::accept` keeps faults of the system to itself.
            while let Some(Ok(connection)) = incoming.next().await {
                let (gate, admitted) = (Arc::clone(&gate), admitted.clone());
                tokio::spawn(async move {
                    if let Some(stream) = gate.shake(connection).await {
                        // The server has stopped: then nobody is let in any more.
                        let _ = admitted.send(Ok(stream)).await;
                    }
                });
            }
        });
        ReceiverStream::new(met)
    }

    async fn shake(&self, connection: Connection) -> Option<TlsStream<Connection>> {
        let address = connection.connect_info().remote_addr();
        let handshake = async {
            let accepting = self.acceptor.accept(connection).into_fallible();
            let outcome = tokio::time::timeout(self.timeout, accepting).await;
            (outcome, CLAIMED.with(|claimed| claimed.borrow_mut().take()))
        };
        let (outcome, claimed) = CLAIMED.scope(RefCell::default(), handshake).await;
        let refused = match outcome {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err((fault, connection))) => {
                let refused = self.explain(&fault);
                self.tell(address, claimed.as_deref(), refused);
                part(connection).await;
                return None;
            }
            Err(_) => Some(Refused {
                reason: "HANDSHAKE_TIMEOUT",
                problem: format!("no TLS handshake within {} ms", self.timeout.as_millis()),
                fix: "is it another program, or a network that loses packets?".to_owned(),
            }),
        };
        self.tell(address, claimed.as_deref(), refused);
        None
    }

    fn tell(&self, address: Option<SocketAddr>, claimed: Option<&str>, refused: Option<Refused>) {
        let Some(Refused { reason, problem, fix }) = refused else {
            // A probe of the port, or a network that broke: nothing was refused.
            tracing::debug!(?address, "a connection ended before its handshake");
            return;
        };
        let caller = address.map_or_else(|| "unknown address".to_owned(), |address| address.to_string());
        let caller = match claimed {
            Some(claimed) => format!("{caller}, claiming to be {claimed}"),
            None => caller,
        };
        // Not the port, which is another one each time.
        let key =
            format!("{:?} {} {reason}", address.map(|address| address.ip()), claimed.unwrap_or_default());
        if let Some(before) = self.repeats.to_say(&key) {
            tracing::warn!(caller, reason, unsaid_before = before, "connection refused: {problem}; {fix}");
        }
    }

    /// What was wrong with the caller or, in its eyes, with us; nothing if the connection just ended.
    fn explain(&self, fault: &io::Error) -> Option<Refused> {
        let Some(tls) = fault.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
            return fault.source().and_then(|inner| inner.downcast_ref()).map(|tls| self.explain_tls(tls));
        };
        Some(self.explain_tls(tls))
    }

    fn explain_tls(&self, fault: &rustls::Error) -> Refused {
        use CertificateError as Bad;
        let refused = |reason, problem: &str, fix: &str| Refused {
            reason,
            problem: problem.to_owned(),
            fix: fix.to_owned(),
        };
        let fingerprints = "compare the fingerprints of both authorities: the kits must come from one";
        match fault {
            rustls::Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => refused(
                "CERTIFICATE_EXPIRED",
                &format!("its certificate has expired{}", certificate::dates(fault)),
                "have its kit issued again (`conclave provision`), or set this machine's clock",
            ),
            rustls::Error::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => refused(
                "CERTIFICATE_NOT_YET_VALID",
                &format!("its certificate is not yet valid{}", certificate::dates(fault)),
                "set the clocks of both machines",
            ),
            rustls::Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
                refused("FOREIGN_AUTHORITY", "another authority signed its certificate", fingerprints)
            }
            rustls::Error::InvalidCertificate(other) => refused(
                "CERTIFICATE_REFUSED",
                &format!("its certificate was refused ({other})"),
                "have its kit issued again (`conclave provision`)",
            ),
            rustls::Error::NoCertificatesPresented => refused(
                "NO_CERTIFICATE",
                "it showed no certificate",
                "call with a kit of this consortium, or look for the program that calls here without",
            ),
            rustls::Error::AlertReceived(alert) => self.explain_alert(*alert),
            rustls::Error::InvalidMessage(_) => refused(
                "NOT_TLS",
                "it does not speak TLS",
                "is it running in plaintext mode, or is it another program?",
            ),
            other => refused(
                "HANDSHAKE_FAILED",
                &format!("the TLS handshake failed ({other})"),
                "is it another program, or another version?",
            ),
        }
    }

    /// What the caller's TLS library said about us (RFC 8446, section 6.2).
    fn explain_alert(&self, alert: AlertDescription) -> Refused {
        let own = &self.own;
        let (reason, problem, fix) = match alert {
            AlertDescription::CertificateExpired => (
                "REFUSED_US_EXPIRED",
                format!(
                    "it refuses our certificate ({own}) as expired or not yet valid: {}",
                    self.validity.in_words(WallClock::now_ms())
                ),
                "issue our kit again (`conclave provision`), or set the clocks of both machines",
            ),
            // What rustls answers when the name in a certificate is not the one that was expected.
            AlertDescription::BadCertificate => (
                "REFUSED_US_OTHER_PARTY",
                format!("it expects another party or role here than that of our kit, {own}"),
                "give this process the kit of the party that the caller expects, or correct the address there",
            ),
            AlertDescription::UnknownCA | AlertDescription::DecryptError => (
                "REFUSED_US_AUTHORITY",
                format!("it does not accept the authority of our certificate ({own})"),
                "compare the fingerprints of both authorities: the kits must come from one",
            ),
            other => (
                "REFUSED_US",
                format!("it ended the TLS handshake ({other:?})"),
                "see the caller's log for its reason",
            ),
        };
        Refused { reason, problem, fix: fix.to_owned() }
    }
}

tokio::task_local! {
    /// Whose certificate was refused in this handshake, as it says.
    static CLAIMED: RefCell<Option<String>>;
}

/// The stock verifier, which leaves behind what the certificate that it refused says about its owner.
#[derive(Debug)]
struct Noting(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Noting {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.0.verify_client_cert(end_entity, intermediates, now).inspect_err(|_| {
            let claimed = certificate::describe(end_entity).ok();
            let claimed = claimed.map(|described| described.identity.to_string());
            // Outside of `Gate::shake` nobody would read it.
            let _ = CLAIMED.try_with(|place| *place.borrow_mut() = claimed);
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// The protocol that gRPC runs on, as TLS negotiates it (RFC 9113, section 3.2).
pub(crate) const HTTP_2: &[u8] = b"h2";
