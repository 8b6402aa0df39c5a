//! The edge of the prediction service: bytes to examples, labels to the wire, and everything else refused.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use conclave_proto::student::v1::student_service_server::StudentService;
use conclave_proto::student::v1::{DescribeRequest, DescribeResponse, PredictRequest, PredictResponse};
use conclave_service::Refusal;
use ndarray::Array2;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use crate::error::StudentError;
use crate::status;
use crate::training::StudentModel;

/// A model that is being served.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) model: StudentModel,
    pub(crate) digest: [u8; 32],
    pub(crate) examples_max: NonZeroUsize,
}

/// The service; without a model until one is published.
#[derive(Debug, Clone)]
pub(crate) struct Predictions {
    served: Arc<OnceLock<Arc<Served>>>,
    places: Arc<Semaphore>,
    predicted: Arc<AtomicU64>,
}

impl Predictions {
    pub(crate) fn new(calls_max: NonZeroUsize) -> Self {
        let places = Semaphore::new(calls_max.get().min(Semaphore::MAX_PERMITS));
        Self { served: Arc::default(), places: Arc::new(places), predicted: Arc::default() }
    }

    /// Serves `served` from now on; a model that is being served stays.
    pub(crate) fn publish(&self, served: Served) {
        self.served.get_or_init(|| Arc::new(served));
    }

    /// How many examples were predicted, of whatever class.
    pub(crate) fn predicted(&self) -> u64 {
        self.predicted.load(Ordering::Relaxed)
    }

    /// How many released labels the model learned from that is served, if one is.
    pub(crate) fn labels_learned_from(&self) -> Option<u64> {
        Some(self.served.get()?.model.origin().labels)
    }

    fn served(&self) -> Result<Arc<Served>, Refusal> {
        self.served.get().cloned().ok_or_else(status::not_ready)
    }
}

#[tonic::async_trait]
impl StudentService for Predictions {
    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        let served = self.served()?;
        let (schema, origin) = (served.model.schema(), served.model.origin());
        Ok(Response::new(DescribeResponse {
            model: origin.model.clone(),
            class_names: schema.class_names().to_vec(),
            features: saturated(schema.width()),
            examples_max: saturated(served.examples_max.get()),
            model_digest: served.digest.to_vec(),
            simulated: origin.simulated,
        }))
    }

    async fn predict(&self, request: Request<PredictRequest>) -> Result<Response<PredictResponse>, Status> {
        let served = self.served()?;
        let PredictRequest { examples, features } = request.into_inner();
        let place = Arc::clone(&self.places).acquire_owned().await;
        // The computation cannot be taken back when its caller gives up, so its place stays taken until it ends.
        let judged = tokio::task::spawn_blocking(move || {
            let _place = place;
            let raw = read_examples(&examples, features, &served)?;
            served.model.predict(&raw).map_err(|error| status::failed(&error))
        });
        let labels = judged.await.map_err(|error| {
            status::failed(&StudentError::Interrupted { task: "a prediction", reason: error.to_string() })
        })??;
        self.predicted.fetch_add(labels.len() as u64, Ordering::Relaxed);
        let labels = labels.into_iter().map(|label| label.get().into()).collect();
        Ok(Response::new(PredictResponse { labels }))
    }
}

/// Rows × features of finite raw values.
fn read_examples(bytes: &[u8], features: u32, served: &Served) -> Result<Array2<f32>, Refusal> {
    let schema = served.model.schema();
    let width = schema.width();
    if features as usize != width {
        let fix = format!("send the {width} raw values of each example of {}", schema.name());
        return Err(Refusal::invalid("features", features, fix));
    }
    let row_bytes = width * VALUE_BYTES;
    let size = format!("{} bytes", bytes.len());
    if bytes.is_empty() {
        return Err(Refusal::invalid("examples", size, "send at least one example"));
    }
    if !bytes.len().is_multiple_of(row_bytes) {
        let fix = format!("send whole examples of {width} 32-bit floats, {row_bytes} bytes each");
        return Err(Refusal::invalid("examples", size, fix));
    }
    let rows = bytes.len() / row_bytes;
    if rows > served.examples_max.get() {
        let fix = format!("send at most {} at once", served.examples_max);
        return Err(Refusal::invalid("examples", format!("{rows} examples"), fix));
    }
    let (values, _) = bytes.as_chunks::<VALUE_BYTES>();
    let values: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        let field = format!("examples[{}].{}", index / width, schema.feature_names()[index % width]);
        return Err(Refusal::invalid(field, values[index], "send finite numbers"));
    }
    Ok(Array2::from_shape_vec((rows, width), values).expect("rows x width values were counted above"))
}

fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

pub(crate) const VALUE_BYTES: usize = size_of::<f32>();
