//! The student: learns from released labels and public data, and is the only model that anyone outside ever queries.
//!
//! The path of a campaign through this crate:
//!
//! 1. [`query_selection`] chooses the public examples to ask about and names them by their content;
//! 2. [`client`] proposes them to the aggregator and follows the answers into a [`label_store`];
//! 3. [`training`] learns from the labels and the unlabelled rest of the pool;
//! 4. [`serving`] answers `Predict`; [`prediction`] is how others ask.
//!
//! What it cannot do: spend privacy. All of it is post-processing of what was released; it has neither the code nor the
//! dependencies to see a vote, draw noise or write a ledger.

pub mod client;
pub mod config;
mod error;
pub mod label_store;
mod model_file;
pub mod prediction;
mod process;
pub mod query_selection;
mod rpc;
pub mod serving;
mod status;
mod terms;
pub mod training;

pub use client::{CampaignClient, Ended, Patience, Progress, Submitted};
pub use error::{Fault, Result, StudentError};
pub use label_store::{Answer, LabelStore, Tally};
pub use prediction::PredictionClient;
pub use process::run;
pub use terms::Terms;
pub use training::StudentModel;
