//! A model with all that is needed to use it on raw rows: schema, feature space, model.

use ndarray::Array2;

use crate::features::FeatureSpace;
use crate::models::{Classifier, Model};
use crate::{Dataset, Error, Label, Result, Schema};

/// Raw rows in, labels out. This is what a student serves and what [`crate::checkpoint`] stores.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictor {
    schema: Schema,
    space: FeatureSpace,
    model: Model,
}

impl Predictor {
    /// Refused when the three do not fit together.
    pub fn new(schema: Schema, space: FeatureSpace, model: Model) -> Result<Self> {
        let model_width = model.width().unwrap_or(space.width());
        for (field, found, expected) in [
            ("feature space", space.input_width(), schema.width()),
            ("model features", model_width, space.width()),
            ("model classes", model.classes(), schema.classes()),
        ] {
            if found != expected {
                return Err(Error::argument(
                    field,
                    found,
                    format!(
                        "it must be {expected}; use the schema, the features and the model of one training"
                    ),
                ));
            }
        }
        Ok(Self { schema, space, model })
    }

    /// Columns and classes of the rows that it judges.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The representation that its model works on.
    pub fn space(&self) -> &FeatureSpace {
        &self.space
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Labels of raw rows; refused for another number of columns or values that are not finite.
    pub fn predict(&self, raw: &Array2<f32>) -> Result<Vec<Label>> {
        self.space.check(raw)?;
        Ok(self.model.predict(&self.space.transform(raw)))
    }

    /// The share of labelled rows that it judges rightly, in 0..=1.
    pub fn accuracy(&self, test: &Dataset) -> Result<f64> {
        let truth = test.labels().ok_or_else(|| {
            Error::argument("test labels", "absent", "measure on rows whose labels are known")
        })?;
        crate::metrics::accuracy(&self.predict(test.features())?, truth)
    }
}

#[cfg(test)]
mod tests;
