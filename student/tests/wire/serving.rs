//! The prediction service over real mutual TLS: what it says is what the model says, and bad input is refused by field.

use std::net::SocketAddr;

use crate::world::campaign::Campaign;
use crate::world::{anywhere, client, points, server, space};
use conclave_learning::student::StudentSpec;
use conclave_proto::student::v1::student_service_client::StudentServiceClient;
use conclave_proto::student::v1::{DescribeRequest, PredictRequest};
use conclave_service::channel::connect;
use conclave_service::{ChannelLimits, Refusal, Role, RunningServer, ServerLimits};
use conclave_student::label_store::{Answer, LabelStore};
use conclave_student::prediction::PredictionClient;
use conclave_student::query_selection::query_ids;
use conclave_student::serving::{ROLES, Serving, ServingLimits, serve};
use conclave_student::training::{evaluate, train};
use conclave_student::{StudentModel, Terms};
use ndarray::Array2;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::Channel;

fn limits() -> ServingLimits {
    let server =
        ServerLimits { message_bytes_max: 1 << 12, drain_timeout_ms: 100, ..ServerLimits::default() };
    ServingLimits { examples_max: 10, predictions_max: 2, server }
}

/// A student that learned from four labels of 40 points.
fn model() -> StudentModel {
    let pool = points(40, 0.0);
    let space = space(&pool);
    let terms = Terms::read(&Campaign::over(&pool, &space).script().contract, &[7; 32]).unwrap();
    let mut labels = LabelStore::new();
    for (query, label) in query_ids(&pool).into_iter().zip(pool.labels().unwrap()).take(4) {
        labels.record(query, Answer::Label(*label)).unwrap();
    }
    train(&pool, &space, &labels, &terms, &StudentSpec::default(), 1).unwrap()
}

async fn serving(limits: ServingLimits) -> (RunningServer, CancellationToken) {
    let stop = CancellationToken::new();
    (serve(model(), anywhere(), server(Role::Student), limits, stop.clone()).await.unwrap(), stop)
}

async fn channel(address: SocketAddr, role: Role) -> Channel {
    let transport = client(role, Role::Student);
    connect(&address.to_string(), &transport, &ChannelLimits::default()).await.unwrap()
}

async fn refusal(address: SocketAddr, values: &[f32], features: u32) -> Refusal {
    let examples = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut service = StudentServiceClient::new(channel(address, Role::Client).await);
    Refusal::read(&service.predict(PredictRequest { examples, features }).await.unwrap_err())
}

#[tokio::test]
async fn predictions_over_the_wire_are_the_models_own_in_order() {
    let (running, _stop) = serving(limits()).await;
    let transport = client(Role::Client, Role::Student);
    let address = running.address().to_string();
    let mut asking =
        PredictionClient::connect(&address, &transport, &ChannelLimits::default()).await.unwrap();

    let model = model();
    let told = asking.description().clone();
    assert_eq!(told.class_names, ["near", "far"]);
    assert_eq!((told.features, told.examples_max, told.simulated), (2, 10, true));
    assert_eq!(told.model, "kernel machine");
    assert_eq!(told.model_digest, model.digest());

    // 33 rows need four calls of at most 10.
    let test = points(33, 0.25);
    let labels = asking.predict(test.features()).await.unwrap();
    assert_eq!(labels, model.predict(test.features()).unwrap());
    assert_eq!(labels, test.labels().unwrap(), "two kinds of points far apart are not confused");
    assert_eq!(asking.class_name(labels[1]), "far");
    assert!((evaluate(&model, &test).unwrap() - 1.0).abs() < f64::EPSILON);

    let message = asking.predict(&Array2::zeros((1, 3))).await.unwrap_err().to_string();
    assert!(message.contains("columns is 3; give the 2 raw values"), "{message}");
}

#[tokio::test]
async fn what_cannot_be_judged_is_refused_with_field_value_and_fix() {
    let (running, _stop) = serving(limits()).await;
    let address = running.address();
    for (values, features, field, value, fix) in [
        (vec![0.0; 3], 3, "features", "3", "send the 2 raw values of each example of points"),
        (vec![0.0; 2], 0, "features", "0", "send the 2 raw values"),
        (vec![], 2, "examples", "0 bytes", "send at least one example"),
        (vec![0.0; 3], 2, "examples", "12 bytes", "send whole examples of 2 32-bit floats, 8 bytes each"),
        (vec![0.0; 22], 2, "examples", "11 examples", "send at most 10 at once"),
        (vec![0.0, 1.0, 2.0, f32::NAN], 2, "examples[1].north", "NaN", "send finite numbers"),
        (vec![f32::NEG_INFINITY, 1.0], 2, "examples[0].east", "-inf", "send finite numbers"),
    ] {
        let refusal = refusal(address, &values, features).await;
        assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal}");
        assert_eq!((refusal.faulty_field(), refusal.faulty_value()), (Some(field), Some(value)));
        assert!(refusal.suggested_fix().unwrap().contains(fix), "{refusal}");
    }
    let mut service = StudentServiceClient::new(channel(address, Role::Client).await);
    let ragged = PredictRequest { examples: vec![0; 15], features: 2 };
    let refusal = Refusal::read(&service.predict(ragged).await.unwrap_err());
    assert_eq!(refusal.faulty_value(), Some("15 bytes"));
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_before_it_is_read() {
    let (running, _stop) = serving(limits()).await;
    assert_eq!(refusal(running.address(), &[0.0; 2_000], 2).await.code(), Code::OutOfRange);
}

#[tokio::test]
async fn no_more_examples_are_announced_than_fit_a_message() {
    let mut limits = limits();
    limits.examples_max = 1_000_000;
    let (running, _stop) = serving(limits).await;
    let transport = client(Role::Student, Role::Student);
    let address = running.address().to_string();
    let mut asking =
        PredictionClient::connect(&address, &transport, &ChannelLimits::default()).await.unwrap();
    assert_eq!(asking.description().examples_max, (4096 - 64) / 8);
    let test = points(1_000, 0.25);
    assert_eq!(asking.predict(test.features()).await.unwrap().len(), 1_000);

    limits.server.message_bytes_max = 70;
    let refused = serve(model(), anywhere(), server(Role::Student), limits, CancellationToken::new()).await;
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("server.message_bytes_max is 70; allow at least 72"), "{message}");
}

#[tokio::test]
async fn only_clients_and_students_may_call_and_the_table_lists_every_method() {
    let (running, _stop) = serving(limits()).await;
    for role in Role::ALL {
        let mut service = StudentServiceClient::new(channel(running.address(), role).await);
        let described = service.describe(DescribeRequest {}).await.map(drop);
        let examples = [0.0_f32, 0.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let predicted = service.predict(PredictRequest { examples, features: 2 }).await.map(drop);
        for outcome in [described, predicted] {
            if matches!(role, Role::Client | Role::Student) {
                outcome.unwrap();
            } else {
                let refusal = Refusal::read(&outcome.unwrap_err());
                assert_eq!((refusal.code(), refusal.reason()), (Code::PermissionDenied, "WRONG_ROLE"));
            }
        }
    }
    for method in ["Describe", "Predict"] {
        let path = format!("/conclave.student.v1.StudentService/{method}");
        assert!(ROLES.rows().iter().any(|(listed, _)| *listed == path), "{path}");
    }
}

#[tokio::test]
async fn before_there_is_a_model_callers_are_told_to_come_back() {
    let stop = CancellationToken::new();
    let serving = Serving::open(anywhere(), server(Role::Student), limits(), stop.clone()).await.unwrap();
    let early = refusal(serving.address(), &[0.0, 0.0], 2).await;
    assert_eq!((early.code(), early.reason()), (Code::Unavailable, "NOT_READY"));
    serving.publish(model()).await.unwrap();
    let mut service = StudentServiceClient::new(channel(serving.address(), Role::Client).await);
    assert!(service.predict(PredictRequest { examples: vec![0; 8], features: 2 }).await.is_ok());
    stop.cancel();
    serving.into_running().finished().await.unwrap();
}

#[tokio::test]
async fn a_busy_port_is_named() {
    let (running, _stop) = serving(limits()).await;
    let again =
        Serving::open(running.address(), server(Role::Student), limits(), CancellationToken::new()).await;
    let message = again.unwrap_err().to_string();
    assert!(message.contains(&format!("listen {}: the address is in use", running.address())), "{message}");
}
