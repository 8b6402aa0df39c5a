//! Asking a student: raw rows in, labels out, through its service.

use conclave_learning::Label;
use conclave_proto::student::v1::student_service_client::StudentServiceClient;
use conclave_proto::student::v1::{DescribeRequest, PredictRequest};
use conclave_service::channel::{self, with_deadline};
use conclave_service::{ChannelLimits, ClientTransport};
use ndarray::{Array2, Axis};
use std::time::Duration;
use tonic::Status;
use tonic::transport::Channel;

use crate::error::{Fault, Result, StudentError};
use crate::status::call_failed;

/// What a student says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// What kind of model it is.
    pub model: String,
    /// A label is an index into these.
    pub class_names: Vec<String>,
    /// Raw values of one example.
    pub features: usize,
    /// Most examples of one call.
    pub examples_max: usize,
    /// SHA-256 of the model's file, its own digest left out.
    pub model_digest: [u8; 32],
    /// Learned from a simulation's labels: it carries no privacy guarantee.
    pub simulated: bool,
}

/// A connection to a student.
#[derive(Debug)]
pub struct PredictionClient {
    service: StudentServiceClient<Channel>,
    address: String,
    transport: ClientTransport,
    deadline: Duration,
    description: Description,
}

impl PredictionClient {
    /// Connects to `address` (`HOST:PORT`) and asks the student to describe itself.
    pub async fn connect(address: &str, transport: &ClientTransport, limits: &ChannelLimits) -> Result<Self> {
        let deadline = Duration::from_millis(limits.call_timeout_ms);
        let mut service = StudentServiceClient::new(channel::connect(address, transport, limits).await?);
        let told = service.describe(with_deadline(DescribeRequest {}, deadline)).await;
        let told = told
            .map_err(|status| call_failed("describing the student", &status, address, transport))?
            .into_inner();
        let description = Description {
            model: told.model,
            class_names: told.class_names,
            features: told.features as usize,
            examples_max: told.examples_max as usize,
            model_digest: told.model_digest.try_into().map_err(|digest: Vec<u8>| {
                broken("model_digest", format!("{} bytes", digest.len()), "32 are expected")
            })?,
            simulated: told.simulated,
        };
        if description.examples_max == 0 {
            return Err(broken("examples_max", 0, "a student takes at least one example"));
        }
        Ok(Self { service, address: address.to_owned(), transport: transport.clone(), deadline, description })
    }

    /// What the student said of itself.
    pub const fn description(&self) -> &Description {
        &self.description
    }

    /// Labels of raw rows, in their order, in as many calls as the student's limit asks for.
    pub async fn predict(&mut self, raw: &Array2<f32>) -> Result<Vec<Label>> {
        let features = self.description.features;
        if raw.ncols() != features {
            let fix = format!("give the {features} raw values of each example, and no label");
            return Err(StudentError::setting("columns", raw.ncols(), fix));
        }
        let mut labels = Vec::with_capacity(raw.nrows());
        for batch in raw.axis_chunks_iter(Axis(0), self.description.examples_max) {
            let examples = batch.iter().flat_map(|value| value.to_le_bytes()).collect();
            labels.extend(self.predict_batch(examples, batch.nrows()).await?);
        }
        Ok(labels)
    }

    /// The name of a label that this student gave.
    pub fn class_name(&self, label: Label) -> &str {
        self.description.class_names.get(label.index()).map_or("", String::as_str)
    }

    async fn predict_batch(&mut self, examples: Vec<u8>, rows: usize) -> Result<Vec<Label>> {
        let features = u32::try_from(self.description.features).unwrap_or(u32::MAX);
        let request = with_deadline(PredictRequest { examples, features }, self.deadline);
        let answer = self.service.predict(request).await;
        let labels = answer.map_err(|status| self.failed(&status))?.into_inner().labels;
        if labels.len() != rows {
            return Err(broken(
                "labels",
                format!("{} for {rows} examples", labels.len()),
                "one each is expected",
            ));
        }
        let classes = self.description.class_names.len();
        labels
            .into_iter()
            .map(|label| match u16::try_from(label) {
                Ok(class) if usize::from(class) < classes => Ok(Label::new(class)),
                _ => Err(broken(
                    "labels",
                    label,
                    &format!("labels run from 0 to {}", classes.saturating_sub(1)),
                )),
            })
            .collect()
    }

    fn failed(&self, status: &Status) -> StudentError {
        call_failed("predicting", status, &self.address, &self.transport)
    }
}

fn broken(field: &str, value: impl std::fmt::Display, fix: &str) -> StudentError {
    StudentError::Protocol { peer: "student", fault: Fault::new(field, value, fix) }
}
