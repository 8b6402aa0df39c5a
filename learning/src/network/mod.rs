//! Dense networks: logits of rows, and how the loss on a label changes with every value of a row.
//!
//! A network is a chain of [`Layer`]s over rows (examples × features), whose last width is the number of classes. It comes
//! ready-made, from a file ([`crate::onnx`]): nothing here trains.
//!
//! Rows are worked on in blocks of a fixed size, so the same rows give the same bits for any number of threads.

use ndarray::{Array1, Array2, ArrayView2, Axis, Zip, concatenate};
use rayon::prelude::*;

use crate::models::best;
use crate::{Error, Label, Result};

/// Most units of a layer, inputs and classes included.
pub const WIDTH_MAX: usize = 1 << 16;
/// Rows that one thread works on at a time: their activations stay in the second-level cache.
const BLOCK_ROWS: usize = 64;

/// One step from the activations of one layer to those of the next.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// x·W + b.
    Dense {
        /// Inputs × outputs.
        weights: Array2<f32>,
        /// One per output.
        bias: Array1<f32>,
    },
    /// max(x, 0), value by value.
    Relu,
}

/// A checked chain of layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    layers: Vec<Layer>,
    inputs: usize,
    classes: usize,
}

impl Network {
    /// Refused: no dense layer, fewer than two classes, more than 65,536 of either, widths that do not follow one another,
    /// weights that are not finite.
    pub fn new(layers: Vec<Layer>) -> Result<Self> {
        let mut ends: Option<(usize, usize)> = None;
        for (at, layer) in layers.iter().enumerate() {
            let Layer::Dense { weights, bias } = layer else { continue };
            let field = format!("layer {at}");
            let (inputs, outputs) = weights.dim();
            if let Some((_, width)) = ends.filter(|&(_, width)| width != inputs) {
                return Err(Error::argument(
                    &field,
                    format!("{inputs} inputs"),
                    format!("the layers before it have {width} outputs"),
                ));
            }
            if bias.len() != outputs {
                let fix = format!("it has {outputs} outputs, so give as many");
                return Err(Error::argument(&field, format!("{} biases", bias.len()), fix));
            }
            if !(1..=WIDTH_MAX).contains(&inputs) || !(1..=WIDTH_MAX).contains(&outputs) {
                let shape = format!("{inputs} × {outputs}");
                return Err(Error::argument(&field, shape, format!("widths are 1 to {WIDTH_MAX}")));
            }
            if let Some(odd) = weights.iter().chain(bias).find(|value| !value.is_finite()) {
                return Err(Error::argument(&field, odd, "weights and biases are finite numbers"));
            }
            ends = Some((ends.map_or(inputs, |(first, _)| first), outputs));
        }
        match ends {
            Some((inputs, classes @ 2..)) => Ok(Self { layers, inputs, classes }),
            Some((_, classes)) => {
                Err(Error::argument("classes", classes, "the last layer gives two classes or more"))
            }
            None => Err(Error::argument("layers", layers.len(), "give at least one dense layer")),
        }
    }

    /// Values of a row.
    pub const fn inputs(&self) -> usize {
        self.inputs
    }

    /// Logits of rows: examples × classes. Refused for another number of values, or values that are not finite.
    pub fn logits(&self, rows: &Array2<f32>) -> Result<Array2<f32>> {
        self.check(rows)?;
        Ok(in_blocks(rows, self.classes, |_, block| self.forward(block)))
    }

    /// The class with the largest logit of each row, the lowest of equals. Refused: what [`Network::logits`] refuses.
    pub fn predict(&self, rows: &Array2<f32>) -> Result<Vec<Label>> {
        Ok(best(&self.logits(rows)?))
    }

    /// How many classes there are.
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// The gradient, by every value of a row, of the cross-entropy of the row's label (softmax of the logits, natural
    /// logarithm): examples × inputs. A ReLU at exactly 0 passes nothing back.
    ///
    /// Refused: what [`Network::logits`] refuses, labels that are not one per row or not below the number of classes.
    pub fn loss_gradients(&self, rows: &Array2<f32>, labels: &[Label]) -> Result<Array2<f32>> {
        self.check(rows)?;
        if labels.len() != rows.nrows() {
            let fix = format!("give one for each of the {} rows", rows.nrows());
            return Err(Error::argument("labels", labels.len(), fix));
        }
        if let Some(odd) = labels.iter().find(|label| label.index() >= self.classes) {
            let fix = format!("labels are 0 to {}", self.classes - 1);
            return Err(Error::argument("label", odd.index(), fix));
        }
        Ok(in_blocks(rows, self.inputs, |start, block| {
            self.backward(block, &labels[start..start + block.nrows()])
        }))
    }

    fn forward(&self, rows: &ArrayView2<'_, f32>) -> Array2<f32> {
        self.layers.iter().fold(rows.to_owned(), |x, layer| layer.apply(x))
    }

    fn backward(&self, rows: &ArrayView2<'_, f32>, labels: &[Label]) -> Array2<f32> {
        let mut x = rows.to_owned();
        // What each ReLU passed on; a dense layer needs nothing of its input, since its weights are not trained.
        let mut passed = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            x = layer.apply(x);
            passed.push(matches!(layer, Layer::Relu).then(|| x.clone()));
        }
        let mut gradient = softmax_less_label(x, labels);
        for (layer, passed) in self.layers.iter().zip(&passed).rev() {
            match (layer, passed) {
                (Layer::Dense { weights, .. }, _) => gradient = gradient.dot(&weights.t()),
                (Layer::Relu, Some(passed)) => {
                    Zip::from(&mut gradient)
                        .and(passed)
                        .for_each(|g, &x| *g = if x > 0.0 { *g } else { 0.0 });
                }
                (Layer::Relu, None) => unreachable!("kept for every ReLU above"),
            }
        }
        gradient
    }

    fn check(&self, rows: &Array2<f32>) -> Result<()> {
        if rows.ncols() != self.inputs {
            let fix = format!("give rows of the {} values that the network reads", self.inputs);
            return Err(Error::argument("values of a row", rows.ncols(), fix));
        }
        match rows.iter().find(|value| !value.is_finite()) {
            Some(odd) => Err(Error::argument("value of a row", odd, "values are finite numbers")),
            None => Ok(()),
        }
    }
}

impl Layer {
    fn apply(&self, mut x: Array2<f32>) -> Array2<f32> {
        match self {
            Self::Dense { weights, bias } => x.dot(weights) + bias,
            Self::Relu => {
                x.mapv_inplace(|value| value.max(0.0));
                x
            }
        }
    }
}

/// `work` on blocks of rows, given with the index of their first, in parallel; the results in order.
fn in_blocks(
    rows: &Array2<f32>,
    width: usize,
    work: impl Fn(usize, &ArrayView2<'_, f32>) -> Array2<f32> + Sync,
) -> Array2<f32> {
    let blocks: Vec<ArrayView2<'_, f32>> = rows.axis_chunks_iter(Axis(0), BLOCK_ROWS).collect();
    let done: Vec<Array2<f32>> =
        blocks.into_par_iter().enumerate().map(|(at, block)| work(at * BLOCK_ROWS, &block)).collect();
    let views: Vec<ArrayView2<'_, f32>> = done.iter().map(|block| block.view()).collect();
    if views.is_empty() {
        return Array2::zeros((0, width));
    }
    concatenate(Axis(0), &views).expect("every block has the width of the result")
}

/// The gradient of the cross-entropy by the logits, in place: softmax, less 1 at the label.
pub(crate) fn softmax_less_label(mut logits: Array2<f32>, labels: &[Label]) -> Array2<f32> {
    for (mut row, label) in logits.rows_mut().into_iter().zip(labels) {
        let largest = row.fold(f32::NEG_INFINITY, |largest, &value| largest.max(value));
        row.mapv_inplace(|value| libm::expf(value - largest));
        let total = row.sum();
        row[label.index()] = 0.0;
        // p − 1 as a sum over the others: where the network is sure, the difference would round to 0 and hide the way out.
        row[label.index()] = -row.sum();
        row.mapv_inplace(|value| value / total);
    }
    logits
}

#[cfg(test)]
mod tests;
