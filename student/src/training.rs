//! Released labels and the whole public pool to one model. Post-processing: nothing here costs privacy.

use std::collections::HashSet;

use conclave_learning::features::FeatureSpace;
use conclave_learning::models::ModelSpec;
use conclave_learning::student::{StudentSpec, train_student};
use conclave_learning::{Dataset, Label, Predictor, Schema};
use conclave_proto::ids::{CampaignId, ContractDigest, QueryId};
use ndarray::Array2;

use crate::error::{Fault, Result, StudentError};
use crate::label_store::{Answer, LabelStore};
use crate::query_selection::{manifest, query_ids};
use crate::terms::Terms;

/// A trained student, and what it was learned from.
#[derive(Debug, Clone, PartialEq)]
pub struct StudentModel {
    pub(crate) predictor: Predictor,
    pub(crate) origin: Origin,
}

/// Where a student comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The campaign that released its labels.
    pub campaign: CampaignId,
    /// The contract of that campaign.
    pub contract: ContractDigest,
    /// The labels came from a simulation: the model carries no privacy guarantee.
    pub simulated: bool,
    /// How many released labels it learned from.
    pub labels: u64,
    /// What kind of model it is, in words.
    pub model: String,
}

/// Trains on the whole `pool` from the labels in `labels`. The same seed gives the same model.
///
/// Refused: a pool or feature space other than the contract's, an answer to no example of the pool, no label at all.
pub fn train(
    pool: &Dataset,
    space: &FeatureSpace,
    labels: &LabelStore,
    terms: &Terms,
    spec: &StudentSpec,
    seed: u64,
) -> Result<StudentModel> {
    let own = manifest(pool, space)?;
    terms.check(&own)?;
    refuse_foreign_answers(own.queries(), labels)?;

    let label_of = |query| match labels.get(query) {
        Some(Answer::Label(label)) => Some(label),
        _ => None,
    };
    let released: Vec<(usize, Label)> = query_ids(pool)
        .iter()
        .enumerate()
        .filter_map(|(row, query)| label_of(query).map(|label| (row, label)))
        .collect();
    if released.is_empty() {
        return Err(StudentError::NoLabels { answers: labels.len() });
    }
    let features = space.transform(pool.features());
    let model = train_student(&features, &released, pool.schema().classes(), spec, seed)?;
    Ok(StudentModel {
        predictor: Predictor::new(pool.schema().clone(), space.clone(), model)?,
        origin: Origin {
            campaign: terms.campaign.clone(),
            contract: terms.contract,
            simulated: terms.simulated,
            labels: labels.tally().labels as u64,
            model: in_words(&spec.model).to_owned(),
        },
    })
}

/// The share of labelled rows that the student judges rightly, in 0..=1. `test` must be public, or held out for this.
pub fn evaluate(model: &StudentModel, test: &Dataset) -> Result<f64> {
    Ok(model.predictor.accuracy(test)?)
}

impl StudentModel {
    /// Labels of raw rows, in their order.
    pub fn predict(&self, raw: &Array2<f32>) -> Result<Vec<Label>> {
        Ok(self.predictor.predict(raw)?)
    }

    /// Columns and classes of the rows that it judges.
    pub fn schema(&self) -> &Schema {
        self.predictor.schema()
    }

    /// The model with its features, as whoever holds the file has it.
    pub const fn predictor(&self) -> &Predictor {
        &self.predictor
    }

    /// What it was learned from.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }
}

/// An answer to something that is not in the pool means that one of both is not the campaign's.
fn refuse_foreign_answers(pool: &[QueryId], labels: &LabelStore) -> Result<()> {
    let pool: HashSet<&QueryId> = pool.iter().collect();
    match labels.iter().find(|(query, _)| !pool.contains(query)) {
        None => Ok(()),
        Some((query, _)) => Err(StudentError::Protocol {
            peer: "aggregator",
            fault: Fault::new(
                "answered query",
                query,
                "it is no example of the pool; check the campaign's pool",
            ),
        }),
    }
}

const fn in_words(model: &ModelSpec) -> &'static str {
    match model {
        ModelSpec::KernelMachine { .. } => "kernel machine",
        ModelSpec::Linear { .. } => "linear model",
        ModelSpec::NearestNeighbours { .. } => "nearest neighbours",
    }
}

#[cfg(test)]
pub(crate) mod tests;
