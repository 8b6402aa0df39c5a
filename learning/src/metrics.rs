//! How often labels are right, how often two judges agree, and which classes are confused.
//!
//! A figure measured on private rows, or against what one teacher says, is itself private: it may be shown inside a
//! simulation only.

use ndarray::Array2;

use crate::{Error, Label, Result};

/// The share of `predicted` labels that equal `truth`, in 0..=1.
pub fn accuracy(predicted: &[Label], truth: &[Label]) -> Result<f64> {
    agreement(predicted, truth)
}

/// The share of rows on which two judges agree, in 0..=1; refused for unequal lengths or no rows.
pub fn agreement(one: &[Label], other: &[Label]) -> Result<f64> {
    check(one, other)?;
    let same = one.iter().zip(other).filter(|(a, b)| a == b).count();
    Ok(same as f64 / one.len() as f64)
}

/// Rows counted by (true class, predicted class): classes × classes.
pub fn confusion(predicted: &[Label], truth: &[Label], classes: usize) -> Result<Array2<u64>> {
    check(predicted, truth)?;
    let mut counts = Array2::zeros((classes, classes));
    for (&p, &t) in predicted.iter().zip(truth) {
        let cell = counts.get_mut((t.index(), p.index())).ok_or_else(|| {
            Error::argument(
                "label",
                p.get().max(t.get()),
                format!("labels run from 0 to {}", classes.saturating_sub(1)),
            )
        })?;
        *cell += 1;
    }
    Ok(counts)
}

fn check(one: &[Label], other: &[Label]) -> Result<()> {
    if one.len() != other.len() || one.is_empty() {
        return Err(Error::argument(
            "labels",
            format!("{} against {}", one.len(), other.len()),
            "compare two label lists of the same length, at least one long",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
