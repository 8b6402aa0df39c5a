//! Two decoded arrays, examples and labels, to one data set: what the IDX and NPY readers share.

use ndarray::Array2;

use crate::{Dataset, Error, Label, Result, Schema};

/// An array of numbers with the file that it came from.
#[derive(Debug)]
pub(super) struct Array {
    pub(super) file: String,
    pub(super) shape: Vec<u32>,
    pub(super) values: Vec<f64>,
}

impl Array {
    /// Decodes `bytes`, which must hold exactly the values of `shape`, `decode.0` bytes each.
    pub(super) fn decode(
        file: &str,
        shape: Vec<u32>,
        bytes: &[u8],
        (size, decode): (usize, fn(&[u8]) -> f64),
    ) -> Result<Self> {
        let expected = shape.iter().try_fold(size, |product, &side| product.checked_mul(side as usize));
        if expected != Some(bytes.len()) || shape.is_empty() {
            let takes =
                expected.map_or_else(|| "more than memory".to_owned(), |expected| expected.to_string());
            return Err(Error::format(
                file,
                "values",
                format!("{} bytes for shape {shape:?}, which takes {takes}", bytes.len()),
                "the file is truncated or its header is wrong; copy or save it again",
            ));
        }
        Ok(Self { file: file.to_owned(), shape, values: bytes.chunks_exact(size).map(decode).collect() })
    }
}

/// Checks that the arrays fit together. Classes are named by their numbers.
pub(super) fn dataset(examples: &Array, labels: &Array, classes: Option<u16>) -> Result<Dataset> {
    let rows = examples.shape[0] as usize;
    if rows == 0 {
        return Err(Error::format(&examples.file, "rows", 0, "give at least one example"));
    }
    if examples.shape.len() < 2 {
        return Err(Error::format(
            &examples.file,
            "shape",
            format!("{:?}", examples.shape),
            "examples have at least two dimensions: rows, then features",
        ));
    }
    if labels.shape != examples.shape[..1] {
        return Err(Error::format(
            &labels.file,
            "shape",
            format!("{:?}", labels.shape),
            &format!("give one label for each of the {rows} rows of {}", examples.file),
        ));
    }
    let classes_max = f64::from(classes.unwrap_or(u16::MAX));
    let labels_read: Vec<Label> = labels
        .values
        .iter()
        .enumerate()
        .map(|(row, &value)| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked to be in range first"
            )]
            match value {
                value if value.fract() == 0.0 && (0.0..classes_max).contains(&value) => {
                    Ok(Label::new(value as u16))
                }
                value => Err(Error::format(
                    &labels.file,
                    &format!("label of row {row}"),
                    value,
                    &format!("labels are whole numbers from 0 to {}", classes_max - 1.0),
                )),
            }
        })
        .collect::<Result<_>>()?;
    let found = labels_read.iter().map(|label| label.index() + 1).max().unwrap_or_default();
    let shape = examples.shape[1..].to_vec();
    let width: usize = shape.iter().map(|&side| side as usize).product();
    let schema = Schema::new(
        stem(&examples.file),
        shape,
        (0..width).map(|at| at.to_string()).collect(),
        (0..classes.map_or(found.max(2), usize::from)).map(|class| class.to_string()).collect(),
    )?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "features are f32; what overflows is refused as not finite"
    )]
    let values = examples.values.iter().map(|&value| value as f32).collect();
    let features = Array2::from_shape_vec((rows, width), values)
        .expect("decoding checked the number of values of the shape");
    Dataset::new(schema, features, Some(labels_read), None)
}

fn stem(file: &str) -> &str {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    name.split('.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(shape: &[u32], values: &[f64]) -> Array {
        Array { file: "d/a.npy".to_owned(), shape: shape.to_vec(), values: values.to_vec() }
    }

    #[test]
    fn arrays_that_do_not_fit_together_are_refused_by_file_and_row() {
        let good = || array(&[2, 1], &[1.0, 2.0]);
        for (examples, labels, classes, expected) in [
            (array(&[0, 1], &[]), array(&[0], &[]), None, "rows is 0"),
            (
                array(&[2], &[1.0, 2.0]),
                array(&[2], &[0.0, 1.0]),
                None,
                "shape is [2]; examples have at least two",
            ),
            (good(), array(&[3], &[0.0; 3]), None, "shape is [3]; give one label for each of the 2 rows"),
            (good(), array(&[2], &[0.0, 0.5]), None, "label of row 1 is 0.5; labels are whole numbers"),
            (good(), array(&[2], &[0.0, -1.0]), None, "label of row 1 is -1"),
            (
                good(),
                array(&[2], &[0.0, 7.0]),
                Some(7),
                "label of row 1 is 7; labels are whole numbers from 0 to 6",
            ),
            (array(&[2, 1], &[1.0, f64::NAN]), array(&[2], &[0.0, 1.0]), None, "row 1, column 0 is NaN"),
            (array(&[2, 1], &[1.0, 1e300]), array(&[2], &[0.0, 1.0]), None, "row 1, column 0 is inf"),
        ] {
            let found = dataset(&examples, &labels, classes).unwrap_err().to_string();
            assert!(found.contains(expected), "{found}");
        }
        assert_eq!(dataset(&good(), &array(&[2], &[0.0, 0.0]), None).unwrap().schema().name(), "a");
    }
}
