//! The parties that a role dials: is each there, is it who it should be, and does its clock agree with ours?

use std::time::Duration;

use conclave_service::clock::WallClock;
use conclave_service::clock_difference::{ClockDifference, clock_difference};
use conclave_service::{ChannelLimits, ClientTransport, ServiceError, channel};
use tokio::task::JoinSet;

use super::Preflight;
use crate::cli::{Exit, Fault};

/// A party to dial.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The setting that names it.
    pub field: String,
    /// `HOST:PORT`.
    pub address: String,
    /// Who must be there.
    pub transport: ClientTransport,
}

/// Dials all of them at once; tells which answered, in their order.
pub async fn dial(flight: &mut Preflight, peers: &[Peer], limits: ChannelLimits) -> Vec<bool> {
    let mut dialling = JoinSet::new();
    for (index, peer) in peers.iter().cloned().enumerate() {
        dialling.spawn(async move { (index, ask(&peer, &limits).await) });
    }
    let mut answers: Vec<_> = dialling.join_all().await;
    answers.sort_by_key(|(index, _)| *index);
    let told = answers.into_iter().zip(peers);
    told.map(|((_, answer), peer)| tell(flight, peer, answer)).collect()
}

async fn ask(peer: &Peer, limits: &ChannelLimits) -> Result<Option<ClockDifference>, ServiceError> {
    let channel = channel::connect(&peer.address, &peer.transport, limits).await?;
    let asked = clock_difference(channel, WallClock::now_ms).await;
    asked.map_err(|status| channel::describe_status(&status, &peer.address, &peer.transport))
}

fn tell(flight: &mut Preflight, peer: &Peer, answer: Result<Option<ClockDifference>, ServiceError>) -> bool {
    let Peer { field, address, transport } = peer;
    let difference = match answer {
        Err(error) => {
            let mut fault = Fault::from(error);
            fault.field.clone_from(field);
            flight.problem("peer", fault);
            return false;
        }
        Ok(difference) => difference,
    };
    let who = match transport {
        ClientTransport::Mutual { expected, .. } => {
            format!("{expected} answers, and accepts our certificate")
        }
        ClientTransport::PlaintextLoopback => "it answers, in plain text".to_owned(),
    };
    flight.good("peer", field, address, who);
    match difference {
        Some(difference) => clock(flight, field, address, difference),
        None => flight.unchecked("clock", field, "its answer carries no date"),
    }
    true
}

fn clock(flight: &mut Preflight, field: &str, address: &str, difference: ClockDifference) {
    const FIX: &str = "set the clock that is wrong, and keep both by a time server (NTP)";
    let direction = if difference.seconds() < 0 { "behind" } else { "ahead of" };
    let words = format!("its clock is {} {direction} this machine's", in_words(difference.size()));
    if difference.size() >= CLOCK_DIFFERENCE_MAX {
        let fault = Fault::new(Exit::BadInput, "clock", field, address, words, FIX);
        flight.problem("clock", fault);
    } else if difference.size() >= CLOCK_DIFFERENCE_WARNED {
        flight.warn("clock", field, address, words, FIX);
    } else {
        flight.good("clock", field, address, words);
    }
}

fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Certificates bear an hour; a clock this far off has no time server.
const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_mins(5);
/// Logs of two parties can still be laid side by side, but not easily.
const CLOCK_DIFFERENCE_WARNED: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use conclave_service::{RoleTable, Server, ServerLimits, ServerTransport};
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn peer(address: &str) -> Peer {
        Peer {
            field: "nodes[0].address".to_owned(),
            address: address.to_owned(),
            transport: ClientTransport::PlaintextLoopback,
        }
    }

    #[tokio::test]
    async fn a_peer_of_this_machine_answers_and_its_clock_agrees() {
        let stop = CancellationToken::new();
        let server =
            Server::new(ServerTransport::PlaintextLoopback, RoleTable::new(&[]), ServerLimits::default());
        let server = server.bind("127.0.0.1:0".parse().unwrap(), stop.clone()).await.unwrap();
        let mut flight = Preflight::of("aggregator");
        let there = peer(&server.address().to_string());
        // Port 1 of this machine: nobody listens there.
        let answered = dial(&mut flight, &[peer("127.0.0.1:1"), there], ChannelLimits::default()).await;
        assert_eq!(answered, [false, true]);
        let told: Vec<_> =
            flight.checks().iter().map(|finding| (finding.check, finding.verdict.word())).collect();
        assert_eq!(told, [("peer", "problem"), ("peer", "good"), ("clock", "good")]);
        let fault = flight.error().unwrap();
        assert_eq!((fault.exit, fault.field.as_str()), (Exit::Peer, "nodes[0].address"));
        stop.cancel();
    }

    /// A health service whose answers are dated two days off.
    #[tokio::test]
    async fn a_peer_whose_clock_is_two_days_off_is_a_problem_with_its_size_and_direction() {
        #[derive(Clone)]
        struct Dated(u64);
        impl<S> tower::Layer<S> for Dated {
            type Service = DatedService<S>;
            fn layer(&self, inner: S) -> Self::Service {
                DatedService { inner, seconds: self.0 }
            }
        }
        #[derive(Clone)]
        struct DatedService<S> {
            inner: S,
            seconds: u64,
        }
        impl<S, B> tower::Service<http::Request<B>> for DatedService<S>
        where
            S: tower::Service<
                    http::Request<B>,
                    Response = http::Response<tonic::body::Body>,
                    Error = Infallible,
                >,
            S::Future: Send + 'static,
        {
            type Response = S::Response;
            type Error = Infallible;
            type Future = std::pin::Pin<
                Box<dyn Future<Output = Result<http::Response<tonic::body::Body>, Infallible>> + Send>,
            >;
            fn poll_ready(
                &mut self,
                context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Result<(), Infallible>> {
                self.inner.poll_ready(context)
            }
            fn call(&mut self, request: http::Request<B>) -> Self::Future {
                let time = std::time::UNIX_EPOCH + Duration::from_secs(self.seconds);
                let date = httpdate::fmt_http_date(time).parse().unwrap();
                let answer = self.inner.call(request);
                Box::pin(async move {
                    let mut answer = answer.await?;
                    answer.headers_mut().insert(http::header::DATE, date);
                    Ok(answer)
                })
            }
        }
        let now_s = WallClock::now_ms() / 1_000;
        let two_days_s = 2 * 24 * 60 * 60;
        for (seconds, direction) in
            [(now_s - two_days_s - 60, "behind"), (now_s + two_days_s + 60, "ahead of")]
        {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let (reporter, health) = tonic_health::server::health_reporter();
            reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
            let incoming = tonic::transport::server::TcpIncoming::from(listener);
            let serving = tonic::transport::Server::builder()
                .layer(Dated(seconds))
                .add_service(health)
                .serve_with_incoming(incoming);
            let serving = tokio::spawn(serving);
            let mut flight = Preflight::of("aggregator");
            dial(&mut flight, &[peer(&address)], ChannelLimits::default()).await;
            let fault = flight.error().expect("two days are a problem");
            assert_eq!((fault.exit, fault.code), (Exit::BadInput, "clock"));
            let told = format!("2 days {direction} this machine's");
            assert!(fault.message.contains(&told) && fault.fix.contains("NTP"), "{fault}");
            serving.abort();
        }
    }
}
