//! A model with all that is needed to use it on raw rows: schema, feature space, model.

use ndarray::{Array1, Array2, ArrayView1};

use crate::features::FeatureSpace;
use crate::models::{Classifier, Model};
use crate::network::softmax_less_label;
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

    /// The gradient, by every raw value of a row, of the cross-entropy of the row's label: the softmax of the scores, which are
    /// sharpened first, since scores of these models are a class's share and not a logit.
    ///
    /// The model is differentiated exactly, its features by a difference to one side: every value is moved by its entry of `steps`
    /// (rows × raw values, in their unit; negative to look down). A step of 0 gives a gradient of 0. It costs one transformation of
    /// the row for each of its values.
    ///
    /// Refused: what [`Predictor::predict`] refuses, labels that are not one per row or not a class, steps of another shape.
    pub fn loss_gradients(
        &self,
        raw: &Array2<f32>,
        labels: &[Label],
        steps: &Array2<f32>,
    ) -> Result<Array2<f32>> {
        self.space.check(raw)?;
        let classes = self.schema.classes();
        if labels.len() != raw.nrows() {
            let fix = format!("give one for each of the {} rows", raw.nrows());
            return Err(Error::argument("labels", labels.len(), fix));
        }
        if let Some(odd) = labels.iter().find(|label| label.index() >= classes) {
            return Err(Error::argument("label", odd.index(), format!("labels are 0 to {}", classes - 1)));
        }
        if steps.dim() != raw.dim() || steps.iter().any(|step| !step.is_finite()) {
            let shown = format!("{:?}", steps.dim());
            return Err(Error::argument("steps", shown, format!("give {:?} finite numbers", raw.dim())));
        }
        let features = self.space.transform(raw);
        let pulls = softmax_less_label(self.model.scores(&features) * SHARPNESS, labels) * SHARPNESS;
        let slopes = self.model.score_gradients(&features, &pulls);
        let mut gradients = Array2::zeros(raw.dim());
        for at in 0..raw.nrows() {
            let (row, steps, features) = (raw.row(at), steps.row(at), features.row(at));
            gradients.row_mut(at).assign(&self.through_features(&row, &steps, &features, &slopes.row(at)));
        }
        Ok(gradients)
    }

    /// The gradient by raw values of what has the gradient `slopes` by features, at a row with these features.
    fn through_features(
        &self,
        raw: &ArrayView1<'_, f32>,
        steps: &ArrayView1<'_, f32>,
        features: &ArrayView1<'_, f32>,
        slopes: &ArrayView1<'_, f32>,
    ) -> Array1<f32> {
        let moved = Array2::from_shape_fn((raw.len(), raw.len()), |(value, column)| {
            raw[column] + if value == column { steps[column] } else { 0.0 }
        });
        let changes = (self.space.transform(&moved) - features).dot(slopes);
        Array1::from_shape_fn(raw.len(), |at| if steps[at] == 0.0 { 0.0 } else { changes[at] / steps[at] })
    }

    /// The share of labelled rows that it judges rightly, in 0..=1.
    pub fn accuracy(&self, test: &Dataset) -> Result<f64> {
        let truth = test.labels().ok_or_else(|| {
            Error::argument("test labels", "absent", "measure on rows whose labels are known")
        })?;
        crate::metrics::accuracy(&self.predict(test.features())?, truth)
    }
}

/// Scores lie in about 0..=1; without it all classes would seem equally likely, and the loss would pull towards all of them alike.
const SHARPNESS: f32 = 10.0;

#[cfg(test)]
mod tests;
