//! The public pool as a node sees it: examples, their names, and the feature space that is fitted on them.

use conclave_learning::Dataset;
use conclave_learning::features::{FeatureSpace, FeatureSpec};
use conclave_proto::ids::{FeaturesDigest, QueryId};
use conclave_proto::pool::PoolManifest;

use crate::error::Result;

/// The public examples that a node may be asked about, all different.
#[derive(Debug, Clone)]
pub struct PublicPool {
    examples: Dataset,
    distinct: Vec<usize>,
    space: FeatureSpace,
    manifest: PoolManifest,
}

impl PublicPool {
    /// Fits the feature space on `examples` and names each of them; one that appears again is kept once.
    pub fn new(examples: Dataset, features: &FeatureSpec) -> Result<Self> {
        let space = FeatureSpace::fit(features, &examples)?;
        Self::in_space(examples, space)
    }

    /// The same with a feature space that was fitted on these examples before.
    pub fn in_space(examples: Dataset, space: FeatureSpace) -> Result<Self> {
        let schema = examples.schema();
        let schema_digest = schema.digest();
        let ids = examples.features().outer_iter().map(|row| {
            let values: Vec<f32> = row.iter().copied().collect();
            QueryId::of_example(&schema_digest, schema.shape(), &values)
        });
        let mut seen = std::collections::HashSet::new();
        let (distinct, ids): (Vec<usize>, Vec<QueryId>) =
            ids.enumerate().filter(|(_, id)| seen.insert(*id)).unzip();
        let features = FeaturesDigest::new(space.digest());
        let manifest = PoolManifest::new(schema.class_names().to_vec(), features, ids)?;
        Ok(Self { examples, distinct, space, manifest })
    }

    /// Names of classes and examples, and the feature space's digest.
    pub fn manifest(&self) -> &PoolManifest {
        &self.manifest
    }

    /// All examples, as the feature space and the teachers saw them.
    pub(crate) fn examples(&self) -> &Dataset {
        &self.examples
    }

    /// The row of each query of the manifest.
    pub(crate) fn rows(&self) -> &[usize] {
        &self.distinct
    }

    pub(crate) fn space(&self) -> &FeatureSpace {
        &self.space
    }
}
