//! Where a process shows its figures: `GET /metrics` over plain HTTP, and nothing else.
//!
//! Off unless an address is given. The page has no identities and no TLS, so an address beyond this machine is refused
//! unless the operator allows it in so many words, as on a network of containers. It can be read and do nothing; a caller
//! that sends too much, too slowly or something else costs a place among few and is cut off.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::authorise::is_loopback;
use crate::connection::{self, Connection};
use crate::error::ServiceError;
use crate::metrics::{self, Figures};

/// The section `[admin]` of every role's settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Where the figures are shown, `ADDRESS:PORT`; nowhere when absent.
    pub listen: Option<SocketAddr>,
    /// Allows an address that others than this machine may reach.
    pub beyond_loopback: bool,
}

impl AdminConfig {
    /// The setting at fault, its value and the fix, if any.
    pub fn fault(&self) -> Option<(&'static str, SocketAddr, &'static str)> {
        let address = self.listen.filter(|address| !self.beyond_loopback && !is_loopback(address))?;
        let fix =
            "give 127.0.0.1 or [::1], or allow others to read the figures: admin.beyond_loopback = true";
        Some(("admin.listen", address, fix))
    }
}

/// Listens until `shutdown`, if an address is given, and answers with what `figures` gives at that moment; `None` stands
/// for figures that cannot be had. Returns where it listens, with the port that was chosen.
///
/// Refused: an address beyond loopback that was not allowed, or that cannot be listened on.
pub async fn serve<F, G>(
    config: AdminConfig,
    figures: F,
    shutdown: CancellationToken,
) -> Result<Option<SocketAddr>, ServiceError>
where
    F: Fn() -> G + Clone + Send + Sync + 'static,
    G: Future<Output = Option<Figures>> + Send + 'static,
{
    let Some(address) = config.listen else { return Ok(None) };
    if let Some((_, address, _)) = config.fault() {
        return Err(ServiceError::AdminBeyondLoopback { address });
    }
    let refused = |source| ServiceError::listening("admin.listen", address, source);
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let mut incoming = connection::accept(listener, CONNECTIONS_MAX, shutdown.clone(), shutdown);
    tokio::spawn(async move {
        while let Some(Ok(connection)) = incoming.next().await {
            tokio::spawn(answer(connection, figures.clone()));
        }
    });
    tracing::info!(%address, "showing figures at /metrics");
    Ok(Some(address))
}

/// One connection, for one request, within its time.
async fn answer<F, G>(connection: Connection, figures: F)
where
    F: Fn() -> G + Send + Sync + 'static,
    G: Future<Output = Option<Figures>> + Send + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let respond = respond(&request, &figures);
        async move { Ok::<_, Infallible>(respond.await) }
    });
    let serving = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(REQUEST_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIME_MAX)
        .serve_connection(TokioIo::new(connection), service);
    // A caller that went away, was cut off or sent no HTTP is its own problem.
    match tokio::time::timeout(REQUEST_TIME_MAX, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => tracing::debug!(%fault, "a request for figures broke off"),
        Err(_) => tracing::debug!("a request for figures took too long and was cut off"),
    }
}

fn respond<F, G>(
    request: &Request<Incoming>,
    figures: &F,
) -> impl Future<Output = Response<String>> + use<F, G>
where
    F: Fn() -> G,
    G: Future<Output = Option<Figures>>,
{
    let refused = match (request.uri().path(), request.method()) {
        ("/metrics", &Method::GET) => None,
        ("/metrics", _) => Some(StatusCode::METHOD_NOT_ALLOWED),
        _ => Some(StatusCode::NOT_FOUND),
    };
    let asked = refused.is_none().then(figures);
    async move {
        let found = match asked {
            Some(asked) => asked.await,
            None => None,
        };
        let mut response = Response::new(String::new());
        match (found, refused) {
            (Some(figures), _) => {
                *response.body_mut() = metrics::page(figures);
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
            }
            (None, None) => *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE,
            (None, Some(status)) => {
                *response.status_mut() = status;
                if status == StatusCode::METHOD_NOT_ALLOWED {
                    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
                }
            }
        }
        response
    }
}

/// Open connections; further ones wait in the system's backlog.
const CONNECTIONS_MAX: usize = 16;
/// From the first byte of a request to the last of its answer.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);
/// A request with its headers; the least that hyper takes.
const REQUEST_BYTES_MAX: usize = 8 << 10;
/// Headers of a request.
const HEADERS_MAX: usize = 32;
