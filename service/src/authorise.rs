//! Who may call what: a table of method × role, deny by default, asked before any handler runs.
//!
//! Role, organisation and name come from the peer's certificate alone; no header is looked at. A method that is not in
//! the table is refused like a wrong role, so a new RPC stays closed until somebody opens it.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Extensions, Request, Response};
use tonic::Code;
use tonic::body::Body;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tower::{Layer, Service};

use crate::certificate;
use crate::identity::{Identity, Role};
use crate::repeats::Repeats;
use crate::wire_error::Refusal;

/// Rows of full method path (`/conclave.teacher.v1.TeacherService/Vote`) and the roles that may call it.
pub type RoleRows = &'static [(&'static str, &'static [Role])];

/// The role × method table of one server. The health service is open to every role without being listed.
#[derive(Debug, Clone, Copy)]
pub struct RoleTable {
    rows: RoleRows,
}

impl RoleTable {
    /// Deny by default: what is not in `rows` is refused.
    pub const fn new(rows: RoleRows) -> Self {
        Self { rows }
    }

    /// The rows, for the test that visits every cell.
    pub const fn rows(&self) -> RoleRows {
        self.rows
    }

    /// Whether `role` may call `method`.
    pub fn allows(&self, method: &str, role: Role) -> bool {
        self.allowed_roles(method).is_some_and(|roles| roles.contains(&role))
    }

    fn allowed_roles(&self, method: &str) -> Option<&'static [Role]> {
        if method.starts_with(HEALTH_METHODS) {
            return Some(&Role::ALL);
        }
        self.rows.iter().find(|(listed, _)| *listed == method).map(|(_, roles)| *roles)
    }
}

/// The caller's identity, which [`AuthoriseLayer`] has put into the request's extensions. `None` only in plaintext
/// mode, where there are no certificates.
pub fn peer_identity<T>(request: &tonic::Request<T>) -> Option<&Identity> {
    request.extensions().get::<Identity>()
}

/// What a caller must show before the table is asked.
#[derive(Debug, Clone)]
pub(crate) enum Proof {
    /// A certificate of this consortium.
    Certificate { consortium: String },
    /// Nothing but calling from this very machine.
    Loopback,
}

/// Puts [`RoleTable`] in front of every service of a server.
#[derive(Debug, Clone)]
pub struct AuthoriseLayer {
    table: RoleTable,
    proof: Arc<Proof>,
    repeats: Arc<Repeats>,
}

impl AuthoriseLayer {
    pub(crate) fn new(table: RoleTable, proof: Proof) -> Self {
        Self { table, proof: Arc::new(proof), repeats: Arc::default() }
    }

    /// The caller's identity if it may call `method`; no identity in plaintext mode.
    fn decide(&self, method: &str, extensions: &Extensions) -> Result<Option<Identity>, Refusal> {
        match &*self.proof {
            Proof::Certificate { consortium } => {
                let identity = certified(extensions, consortium)?;
                if self.table.allows(method, identity.role()) {
                    Ok(Some(identity))
                } else {
                    Err(self.wrong_role(method, identity.role()))
                }
            }
            Proof::Loopback => {
                let local = peer_address(extensions).is_some_and(|address| is_loopback(&address));
                if !local {
                    return Err(Refusal::new(
                        Code::Unauthenticated,
                        "NOT_LOOPBACK",
                        "plain text from another machine",
                    )
                    .fix("call from this machine, or use mutual TLS"));
                }
                match self.table.allowed_roles(method) {
                    Some(_) => Ok(None),
                    None => Err(unknown_method(method)),
                }
            }
        }
    }

    fn wrong_role(&self, method: &str, role: Role) -> Refusal {
        let Some(roles) = self.table.allowed_roles(method) else { return unknown_method(method) };
        let allowed: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
        Refusal::new(Code::PermissionDenied, "WRONG_ROLE", format!("role {role} may not call {method}"))
            .field("role")
            .value(role)
            .fix(format!("use a kit with role {}", allowed.join(" or ")))
    }
}

impl<S> Layer<S> for AuthoriseLayer {
    type Service = Authorise<S>;

    fn layer(&self, inner: S) -> Authorise<S> {
        Authorise { inner, layer: self.clone() }
    }
}

/// The service that [`AuthoriseLayer`] makes.
#[derive(Debug, Clone)]
pub struct Authorise<S> {
    inner: S,
    layer: AuthoriseLayer,
}

impl<S, B> Service<Request<B>> for Authorise<S>
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
        match self.layer.decide(request.uri().path(), request.extensions()) {
            Ok(identity) => {
                if let Some(identity) = identity {
                    request.extensions_mut().insert(identity);
                }
                Box::pin(self.inner.call(request))
            }
            Err(refusal) => {
                let (method, caller) = (request.uri().path(), caller(request.extensions()));
                // A party that comes back every second with the wrong kit is told every time, the log once a minute.
                let who =
                    party(request.extensions()).map(|identity| identity.to_string()).unwrap_or_default();
                if let Some(before) =
                    self.layer.repeats.to_say(&format!("{who} {method} {}", refusal.reason()))
                {
                    let reason = refusal.reason();
                    tracing::warn!(method, caller, reason, unsaid_before = before, "call refused: {refusal}");
                }
                Box::pin(ready(Ok(refusal.into_status().into_http())))
            }
        }
    }
}

fn certified(extensions: &Extensions, consortium: &str) -> Result<Identity, Refusal> {
    let certificates = extensions
        .get::<TlsConnectInfo<TcpConnectInfo>>()
        .and_then(TlsConnectInfo::peer_certs)
        .unwrap_or_default();
    let Some(first) = certificates.first() else {
        return Err(Refusal::new(
            Code::Unauthenticated,
            "NO_CERTIFICATE",
            "the caller showed no certificate",
        )
        .fix("call with a kit of this consortium"));
    };
    let identity = certificate::describe(first)
        .map_err(|fault| Refusal::new(Code::Unauthenticated, "BAD_CERTIFICATE", fault.to_string()))?
        .identity;
    if identity.consortium() != consortium {
        return Err(Refusal::new(
            Code::Unauthenticated,
            "FOREIGN_CONSORTIUM",
            format!("the caller belongs to another consortium than {consortium}"),
        )
        .field("consortium")
        .value(identity.consortium())
        .fix("call with a kit of this consortium"));
    }
    Ok(identity)
}

/// Who called, for the log of refusals: the address, and the identity as far as there is one.
fn caller(extensions: &Extensions) -> String {
    let address =
        peer_address(extensions).map_or("unknown address".to_owned(), |address| address.to_string());
    match party(extensions) {
        Some(identity) => format!("{identity} at {address}"),
        None => address,
    }
}

/// Whose certificate the caller showed.
fn party(extensions: &Extensions) -> Option<Identity> {
    let tls = extensions.get::<TlsConnectInfo<TcpConnectInfo>>()?;
    let certificates = tls.peer_certs()?;
    Some(certificate::describe(certificates.first()?).ok()?.identity)
}

fn unknown_method(method: &str) -> Refusal {
    Refusal::new(Code::PermissionDenied, "UNKNOWN_METHOD", format!("{method} is not offered here"))
        .fix("check the address, and that both sides run the same version")
}

fn peer_address(extensions: &Extensions) -> Option<SocketAddr> {
    let below_tls = extensions.get::<TlsConnectInfo<TcpConnectInfo>>().map(TlsConnectInfo::get_ref);
    below_tls.or_else(|| extensions.get()).and_then(TcpConnectInfo::remote_addr)
}

/// Whether the address belongs to this machine alone, also when written as IPv4 inside IPv6.
pub(crate) fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Methods of the standard health service.
const HEALTH_METHODS: &str = "/grpc.health.v1.Health/";

#[cfg(test)]
mod tests {
    use super::*;

    const VOTE: &str = "/conclave.teacher.v1.TeacherService/Vote";
    const STATUS: &str = "/conclave.campaign.v1.CampaignService/GetStatus";
    const TABLE: RoleTable = RoleTable::new(&[
        (VOTE, &[Role::Aggregator]),
        (STATUS, &[Role::Teacher, Role::Student, Role::Client]),
    ]);

    #[test]
    fn every_cell_of_the_table_is_as_written() {
        let allowed = [
            (VOTE, Role::Aggregator),
            (STATUS, Role::Teacher),
            (STATUS, Role::Student),
            (STATUS, Role::Client),
            ("/grpc.health.v1.Health/Check", Role::Aggregator),
            ("/grpc.health.v1.Health/Check", Role::Teacher),
            ("/grpc.health.v1.Health/Check", Role::Student),
            ("/grpc.health.v1.Health/Check", Role::Client),
            ("/grpc.health.v1.Health/Check", Role::Operator),
        ];
        for method in [VOTE, STATUS, "/grpc.health.v1.Health/Check"] {
            for role in Role::ALL {
                assert_eq!(TABLE.allows(method, role), allowed.contains(&(method, role)), "{method} {role}");
            }
        }
    }

    #[test]
    fn an_unlisted_method_is_closed_to_every_role() {
        for method in
            ["", "/", "/conclave.teacher.v1.TeacherService/Votes", "/conclave.teacher.v1.TeacherService/vote"]
        {
            for role in Role::ALL {
                assert!(!TABLE.allows(method, role), "{method} {role}");
            }
        }
    }

    #[test]
    fn without_a_certificate_nothing_is_allowed_not_even_health() {
        let layer = AuthoriseLayer::new(TABLE, Proof::Certificate { consortium: "demo".to_owned() });
        for method in [VOTE, "/grpc.health.v1.Health/Check"] {
            let refusal = layer.decide(method, &Extensions::new()).unwrap_err();
            assert_eq!((refusal.code(), refusal.reason()), (Code::Unauthenticated, "NO_CERTIFICATE"));
        }
    }

    #[test]
    fn plain_text_is_for_callers_on_this_machine_and_listed_methods() {
        let layer = AuthoriseLayer::new(TABLE, Proof::Loopback);
        let from = |address: &str| {
            let mut extensions = Extensions::new();
            extensions
                .insert(TcpConnectInfo { local_addr: None, remote_addr: Some(address.parse().unwrap()) });
            extensions
        };
        for here in ["127.0.0.1:9", "[::1]:9", "[::ffff:127.0.0.1]:9"] {
            assert_eq!(layer.decide(VOTE, &from(here)).unwrap(), None, "{here}");
            assert_eq!(layer.decide("/x.Y/Z", &from(here)).unwrap_err().reason(), "UNKNOWN_METHOD");
        }
        for elsewhere in ["10.0.0.1:9", "[2001:db8::1]:9", "0.0.0.0:9"] {
            assert_eq!(
                layer.decide(VOTE, &from(elsewhere)).unwrap_err().reason(),
                "NOT_LOOPBACK",
                "{elsewhere}"
            );
        }
        assert_eq!(layer.decide(VOTE, &Extensions::new()).unwrap_err().reason(), "NOT_LOOPBACK");
    }
}
