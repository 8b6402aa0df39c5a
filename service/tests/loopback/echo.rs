//! A small service with which the tests call each other, its role table, and kits to call it with.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use conclave_service::authority::Authority;
use conclave_service::clock::WallClock;
use conclave_service::deadline::Deadline;
use conclave_service::{
    ChannelLimits, ClientTransport, Identity, Kit, Role, RoleTable, RunningServer, Server, ServerLimits,
    ServerTransport, peer_identity,
};
use http::uri::PathAndQuery;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::Service;

pub(crate) const ECHO: &str = "/conclave.test.v1.Echo/Echo";
pub(crate) const WHO: &str = "/conclave.test.v1.Echo/Who";
pub(crate) const WAIT: &str = "/conclave.test.v1.Echo/Wait";
pub(crate) const REMAINING: &str = "/conclave.test.v1.Echo/Remaining";
pub(crate) const UNLISTED: &str = "/conclave.test.v1.Echo/Unlisted";

const AGGREGATOR_ONLY: &[Role] = &[Role::Aggregator];
const TABLE: RoleTable = RoleTable::new(&[
    (ECHO, AGGREGATOR_ONLY),
    (WAIT, AGGREGATOR_ONLY),
    (REMAINING, AGGREGATOR_ONLY),
    (WHO, &[Role::Aggregator, Role::Student]),
]);

/// Answers text with text: `Echo` the same, `Who` the caller, `Wait` after that many milliseconds, `Remaining` the
/// deadline in milliseconds.
#[derive(Clone)]
struct Echo {
    message_bytes_max: usize,
}

impl NamedService for Echo {
    const NAME: &'static str = "conclave.test.v1.Echo";
}

struct Handler(String);

impl UnaryService<String> for Handler {
    type Response = String;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, Status>> + Send>>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        let method = self.0.clone();
        Box::pin(async move {
            let answer = match method.as_str() {
                WHO => peer_identity(&request).map_or("nobody".to_owned(), ToString::to_string),
                WAIT => {
                    tokio::time::sleep(Duration::from_millis(request.get_ref().parse().unwrap())).await;
                    "waited".to_owned()
                }
                REMAINING => Deadline::of(&request).unwrap().to_pass_on().as_millis().to_string(),
                _ => request.into_inner(),
            };
            Ok(Response::new(answer))
        })
    }
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mut grpc = Grpc::new(ProstCodec::default()).max_decoding_message_size(self.message_bytes_max);
        Box::pin(async move {
            let method = request.uri().path().to_owned();
            Ok(grpc.unary(Handler(method), request).await)
        })
    }
}

pub(crate) async fn call(
    channel: &Channel,
    method: &'static str,
    request: Request<String>,
) -> Result<String, Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let codec: ProstCodec<String, String> = ProstCodec::default();
    grpc.unary(request, PathAndQuery::from_static(method), codec).await.map(Response::into_inner)
}

pub(crate) fn text(text: &str) -> Request<String> {
    Request::new(text.to_owned())
}

pub(crate) fn authority() -> Authority {
    Authority::create("demo", WallClock::now_ms()).unwrap()
}

pub(crate) fn party(role: Role, name: &str) -> Identity {
    Identity::new("demo", role, "north", name).unwrap()
}

pub(crate) fn kit(authority: &Authority, role: Role, name: &str) -> Kit {
    authority.issue(&party(role, name), 30, WallClock::now_ms()).unwrap()
}

pub(crate) fn calling(kit: Kit, expected: &Identity) -> ClientTransport {
    ClientTransport::Mutual { kit: Arc::new(kit), expected: expected.clone() }
}

pub(crate) async fn serve(
    transport: ServerTransport,
    limits: ServerLimits,
    shutdown: &CancellationToken,
) -> RunningServer {
    Server::new(transport, TABLE, limits)
        .add_service(Echo { message_bytes_max: limits.message_bytes_max })
        .bind("127.0.0.1:0".parse().unwrap(), shutdown.clone())
        .await
        .unwrap()
}

/// A teacher's server and an aggregator's channel to it.
pub(crate) async fn connected(
    limits: ServerLimits,
    shutdown: &CancellationToken,
) -> (RunningServer, Channel) {
    let authority = authority();
    let server = serve(ServerTransport::Mutual(kit(&authority, Role::Teacher, "t1")), limits, shutdown).await;
    let transport = calling(kit(&authority, Role::Aggregator, "a1"), &party(Role::Teacher, "t1"));
    let (address, limits) = (server.address().to_string(), ChannelLimits::default());
    let channel = conclave_service::channel::connect(&address, &transport, &limits).await.unwrap();
    (server, channel)
}
