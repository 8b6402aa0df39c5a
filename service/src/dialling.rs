//! How a client's connection is made: TCP, the TLS handshake, and the server's first bytes.
//!
//! Under TLS 1.3 a client is done before the server has looked at its certificate. A connection that counted as made then
//! would break at its first call, and what the caller learned would depend on who was faster: the server's reason, or the
//! end of the connection. A server of HTTP/2 speaks first (RFC 9113, section 3.4), so a connection is made here when its first
//! bytes have come; a refusal is then always told as what it is.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

use crate::handshake::HTTP_2;
use crate::identity::Identity;

/// Dials one party with our certificate. Clones share the configuration.
#[derive(Clone)]
pub(crate) struct Dialler {
    connector: TlsConnector,
    expected: ServerName<'static>,
}

/// What a dialler makes.
type Dialled = TokioIo<BufReader<TlsStream<TcpStream>>>;

impl Dialler {
    /// A dialler that shows the certificate `certificate_pem`, and refuses whoever `ca_pem` has not signed as `expected`.
    pub(crate) fn new(
        ca_pem: &str,
        certificate_pem: &str,
        key_pem: &str,
        expected: &Identity,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
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
        Ok(Self { connector: Arc::new(config).into(), expected })
    }

    async fn dial(self, address: Uri) -> io::Result<Dialled> {
        let authority = address.authority().map(ToString::to_string).unwrap_or_default();
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(self.connector.connect(self.expected, stream).await?);
        if stream.fill_buf().await?.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if stream.get_ref().get_ref().1.alpn_protocol() != Some(HTTP_2) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not speak HTTP/2"));
        }
        Ok(TokioIo::new(stream))
    }
}

impl Service<Uri> for Dialler {
    type Response = Dialled;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Dialled>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        Box::pin(self.clone().dial(address))
    }
}
