//! Conclave's learning: data, training, prediction. No network, no privacy accounting, no clock.
//!
//! The path of one campaign through this crate:
//!
//! 1. [`datasets`] reads private rows, the public pool and the test rows ([`Dataset`]);
//! 2. in a simulation [`dealing`] hands private rows to organisations; inside each, [`partition`] sends every row to
//!    a teacher by a keyed hash of that row alone;
//! 3. [`features`] fits a representation on the *public* pool, and its codebook picks the rows worth asking about;
//! 4. [`Ensemble`] trains one teacher ([`models`]) per sub-shard and votes; [`student`] learns from the released labels
//!    and, through [`propagation`], from the unlabelled rest of the pool;
//! 5. the result is a [`Predictor`]; [`metrics`] measures it and [`checkpoint`] stores it.
//!
//! Beside it, [`onnx`] reads models that others trained into a [`network`], whose gradients the attacks need.
//!
//! ```
//! use conclave_learning::datasets::DatasetSpec;
//! use conclave_learning::features::{FeatureSpace, FeatureSpec, centres};
//! use conclave_learning::partition::{PartitionKey, partition};
//! use conclave_learning::{Ensemble, TeacherSpec};
//!
//! # fn main() -> conclave_learning::Result<()> {
//! let data = DatasetSpec::Optdigits.splits(1)?;
//! let space = FeatureSpace::fit(&FeatureSpec::for_schema(data.pool.schema()), &data.pool)?;
//! let queries = centres(&space.transform(data.pool.features()), 80, 1)?;
//!
//! // Inside one silo, which here holds everything:
//! let parts = partition(&data.private, &PartitionKey::new([7; 32]), 100, false)?;
//! let teachers = Ensemble::train(&TeacherSpec::default(), &space, &data.pool, &data.private, &parts, 1)?;
//! let votes = teachers.votes(data.pool.select(&queries).features())?;
//! assert_eq!((votes.len(), votes[0].len()), (80, 100));
//! # Ok(())
//! # }
//! ```
//!
//! Everything random takes a seed, and the same seed gives the same bits for any number of threads.
//!
//! What it does not do: count votes, add noise, spend budget, or log anything.

pub mod checkpoint;
mod dataset;
pub mod datasets;
pub mod dealing;
mod eigen;
mod ensemble;
mod error;
pub mod features;
mod linear_algebra;
pub mod metrics;
pub mod models;
pub mod network;
pub mod onnx;
pub mod partition;
mod predictor;
pub mod propagation;
pub mod student;
#[cfg(test)]
mod toy;

pub use dataset::{Dataset, Label, Schema};
pub use ensemble::{Ensemble, TeacherSpec};
pub use error::{Error, Result};
pub use predictor::Predictor;
