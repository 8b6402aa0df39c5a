//! Representations of rows, fitted on the public pool only: they cost no privacy, and every party that holds the pool
//! and the [`FeatureSpec`] computes the same [`FeatureSpace`], bit for bit, on any CPU and with any number of threads.

mod codebook;
mod deskew;
mod hog;
mod orientations;
mod pca;
#[cfg(test)]
mod reference;
mod space;

pub use codebook::centres;
pub(crate) use pca::Components;
pub use space::{FeatureSpace, FeatureSpec};
