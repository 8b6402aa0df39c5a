//! How a client's connection is made: TCP, the TLS handshake, and the server's first bytes.
//!
//! Under TLS 1.3 a client is done before the server has looked at its certificate. A connection that counted as made then
//! would break at its first call, and what the caller learned would depend on who was faster: the server's reason, or the
//! end of the connection. So a connection is made here when the server's first bytes have come, and a refusal is always told as
//! what it is. They come unasked: our servers speak nothing but HTTP/2, and send its preface (RFC 9113, section 3.4) at once. One that took
//! HTTP/1 too would wait for the client, and no connection would be made.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncBufReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::{Service, ServiceExt as _};

use crate::handshake::HTTP_2;
use crate::identity::Identity;

/// Dials one party with our certificate. Clones share the configuration.
#[derive(Clone)]
pub(crate) struct Dialler {
    /// Tries every address of a name, those of both families side by side.
    tcp: HttpConnector,
    tls: TlsConnector,
    expected: ServerName<'static>,
}

/// What a dialler makes.
type Dialled = TokioIo<TlsStream<TcpStream>>;

type Fault = Box<dyn std::error::Error + Send + Sync>;

impl Dialler {
    /// A dialler that shows the certificate `certificate_pem`, and refuses whoever `ca_pem` has not signed as `expected`. All addresses of a
    /// name together have `connect_timeout`.
    pub(crate) fn new(
        ca_pem: &str,
        certificate_pem: &str,
        key_pem: &str,
        expected: &Identity,
        connect_timeout: Duration,
    ) -> Result<Self, Fault> {
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
            roots.add(authority?)?;
        }
        let chain =
            CertificateDer::pem_slice_iter(certificate_pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        config.alpn_protocols.push(HTTP_2.to_vec());
        let expected = ServerName::try_from(expected.dns_name())?;
        let mut tcp = HttpConnector::new();
        // The TLS on top of it is ours.
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_timeout));
        Ok(Self { tcp, tls: Arc::new(config).into(), expected })
    }

    async fn dial(self, address: Uri) -> Result<Dialled, Fault> {
        let stream = self.tcp.oneshot(address).await?.into_inner();
        let mut stream = self.tls.connect(self.expected, stream).await?;
        if stream.get_ref().1.alpn_protocol() != Some(HTTP_2) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not speak HTTP/2").into());
        }
        // Looked at, not taken.
        if stream.fill_buf().await?.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(TokioIo::new(stream))
    }
}

impl Service<Uri> for Dialler {
    type Response = Dialled;
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<Dialled, Fault>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        Box::pin(self.clone().dial(address))
    }
}
