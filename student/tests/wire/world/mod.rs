//! What the tests of a whole student share: a consortium with kits, a public pool of two kinds of points, and a
//! campaign service that answers by script.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use conclave_learning::features::{FeatureSpace, FeatureSpec};
use conclave_learning::{Dataset, Label, Schema};
use conclave_service::authority::Authority;
use conclave_service::channel::RetryPolicy;
use conclave_service::clock::WallClock;
use conclave_service::{ChannelLimits, ClientTransport, Identity, Kit, Role, ServerTransport};
use conclave_student::client::Patience;
use ndarray::Array2;

pub(crate) mod campaign;

static AUTHORITY: LazyLock<Authority> =
    LazyLock::new(|| Authority::create("demo", WallClock::now_ms()).unwrap());

pub(crate) fn identity(role: Role) -> Identity {
    Identity::new("demo", role, "hub", &format!("{role}-1")).unwrap()
}

pub(crate) fn kit(role: Role) -> Kit {
    AUTHORITY.issue(&identity(role), 30, WallClock::now_ms()).unwrap()
}

pub(crate) fn server(role: Role) -> ServerTransport {
    ServerTransport::Mutual(kit(role))
}

/// `from` calls `to`, each with a kit of the same authority.
pub(crate) fn client(from: Role, to: Role) -> ClientTransport {
    ClientTransport::Mutual { kit: Arc::new(kit(from)), expected: identity(to) }
}

pub(crate) fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Waits that fit a test: a failure shows within seconds.
pub(crate) fn patience() -> Patience {
    Patience {
        channel: ChannelLimits {
            call_timeout_ms: 2_000,
            connect_timeout_ms: 2_000,
            ..ChannelLimits::default()
        },
        retry: RetryPolicy { attempts_max: 40, delay_first_ms: 5, delay_max_ms: 50 },
        answer_wait_ms: 20,
        quorum_wait_ms: 50,
        answers_deadline_ms: 10_000,
        queries_per_call_max: 7,
    }
}

/// Points around (0, 0) and (10, 10), in turn, all different; their label says which.
pub(crate) fn points(rows: usize, offset: f32) -> Dataset {
    let schema = Schema::new(
        "points",
        vec![2],
        vec!["east".to_owned(), "north".to_owned()],
        vec!["near".to_owned(), "far".to_owned()],
    );
    let value = |(row, column): (usize, usize)| {
        let spread = (row * (3 + column) % 17) as f32 / 17.0 + row as f32 / 1000.0;
        if row % 2 == 0 { spread + offset } else { 10.0 - spread + offset }
    };
    let labels = (0..rows).map(|row| Label::new(u16::from(row % 2 == 1))).collect();
    Dataset::new(schema.unwrap(), Array2::from_shape_fn((rows, 2), value), Some(labels), None).unwrap()
}

pub(crate) fn space(pool: &Dataset) -> FeatureSpace {
    FeatureSpace::fit(&FeatureSpec::Standardised, pool).unwrap()
}
