//! Raw values and their range: an attack moves values between 0 and 1, and a student reads them in units of its own.

use conclave_learning::{Label, Predictor};
use ndarray::{Array1, Array2, ArrayView1};

use crate::access::{Gradients, LabelOnly, Scores};
use crate::{Error, Result};

/// The least and the largest raw value of each column.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    low: Array1<f32>,
    width: Array1<f32>,
}

impl Range {
    /// The range of every column of these rows; one range for all columns where these are `alike`, as pixels are.
    ///
    /// Refused: no rows, values that are not finite.
    pub fn of(rows: &Array2<f32>, alike: bool) -> Result<Self> {
        if rows.is_empty() || rows.iter().any(|value| !value.is_finite()) {
            let shown = format!("{:?}", rows.dim());
            return Err(Error::setting("rows", shown, "give at least one row of finite numbers"));
        }
        let ends = |values: ArrayView1<'_, f32>| {
            values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)))
        };
        let columns: Vec<(f32, f32)> = rows.columns().into_iter().map(ends).collect();
        let all = columns.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), column| {
            (low.min(column.0), high.max(column.1))
        });
        let columns = columns.into_iter().map(|column| if alike { all } else { column });
        let (low, width) = columns.map(|(low, high)| (low, high - low)).unzip::<_, _, Vec<_>, Vec<_>>();
        Ok(Self { low: low.into(), width: width.into() })
    }

    /// Raw rows as shares of the range; a column without a range is 0 everywhere. Rows from outside it are cut to it.
    pub fn shares(&self, raw: &Array2<f32>) -> Array2<f32> {
        let mut shares = raw - &self.low;
        for mut row in shares.rows_mut() {
            row.zip_mut_with(&self.width, |value, width| {
                *value = if *width > 0.0 { (*value / width).clamp(0.0, 1.0) } else { 0.0 };
            });
        }
        shares
    }

    /// Shares of the range as raw rows.
    pub fn raw(&self, shares: &Array2<f32>) -> Array2<f32> {
        shares * &self.width + &self.low
    }
}

/// A target that reads raw rows, asked with shares of the range.
#[derive(Debug)]
pub struct Ranged<T> {
    target: T,
    range: Range,
}

impl<T> Ranged<T> {
    /// The target behind this range.
    pub const fn new(target: T, range: Range) -> Self {
        Self { target, range }
    }

    /// The target alone.
    pub fn into_target(self) -> T {
        self.target
    }
}

impl<T: LabelOnly> LabelOnly for Ranged<T> {
    fn classes(&self) -> usize {
        self.target.classes()
    }

    fn labels(&mut self, rows: &Array2<f32>) -> Result<Vec<Label>> {
        self.target.labels(&self.range.raw(rows))
    }
}

/// A predictor in the attacker's own hands, published or made of answers, asked with shares of the range.
#[derive(Debug, Clone)]
pub struct HeldPredictor {
    predictor: Predictor,
    range: Range,
}

impl HeldPredictor {
    /// The predictor behind this range.
    pub const fn new(predictor: Predictor, range: Range) -> Self {
        Self { predictor, range }
    }
}

impl LabelOnly for HeldPredictor {
    fn classes(&self) -> usize {
        self.predictor.schema().classes()
    }

    fn labels(&mut self, rows: &Array2<f32>) -> Result<Vec<Label>> {
        Ok(self.predictor.predict(&self.range.raw(rows))?)
    }
}

impl Scores for HeldPredictor {
    fn scores(&mut self, rows: &Array2<f32>) -> Result<Array2<f32>> {
        use conclave_learning::models::Classifier as _;
        let raw = self.range.raw(rows);
        self.predictor.space().check(&raw)?;
        Ok(self.predictor.model().scores(&self.predictor.space().transform(&raw)))
    }
}

impl Gradients for HeldPredictor {
    /// By differences that stay within the range: a pixel that is dark can only become lighter.
    fn loss_gradients(&mut self, rows: &Array2<f32>, labels: &[Label]) -> Result<Array2<f32>> {
        let up = rows.mapv(|share| if share <= 0.5 { STEP } else { -STEP });
        let steps = up * &self.range.width;
        let gradients = self.predictor.loss_gradients(&self.range.raw(rows), labels, &steps)?;
        Ok(gradients * &self.range.width)
    }
}

/// Of the range: large enough that strokes of an image change, where smaller steps find features flat.
const STEP: f32 = 1.0 / 32.0;

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn shares_and_raw_values_are_there_and_back_and_constant_columns_stay() {
        let rows = array![[0.0, 5.0, -2.0], [16.0, 5.0, 2.0]];
        let range = Range::of(&rows, false).unwrap();
        assert_eq!(range.shares(&rows), array![[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]);
        assert_eq!(range.raw(&range.shares(&rows)), rows);
        assert_eq!(range.shares(&array![[20.0, 9.0, -3.0]]), array![[1.0, 0.0, 0.0]]);
        let alike = Range::of(&rows, true).unwrap();
        assert_eq!(alike.raw(&array![[0.0, 0.5, 1.0]]), array![[-2.0, 7.0, 16.0]]);
        assert!(Range::of(&array![[f32::NAN]], true).is_err());
    }
}
