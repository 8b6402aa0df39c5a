//! Where rows come from: the embedded optdigits, MNIST, or files in CSV, IDX or NPY, plain or gzipped.

mod arrays;
mod catalogue;
mod csv;
mod gzip;
mod idx;
mod mnist;
mod npy;
mod optdigits;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::features::FeatureSpec;
use crate::{Dataset, Error, Result, Schema};
pub use catalogue::{DATA_DIR, KNOWN, Known, KnownFile, Presence};
pub use csv::{CsvSource, write_csv};

/// The three roles of rows in a simulation.
#[derive(Clone, Debug)]
pub struct Splits {
    /// What the organisations hold: labelled.
    pub private: Dataset,
    /// Public examples to ask about. The labels, where known, serve only to measure.
    pub pool: Dataset,
    /// Rows that measure the student.
    pub test: Dataset,
}

/// A data set that a configuration names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DatasetSpec {
    /// The embedded handwritten digits.
    Optdigits,
    /// MNIST's four files, plain or gzipped, whose unpacked bytes must be the canonical ones.
    Mnist {
        /// Where they are.
        folder: PathBuf,
    },
    /// A text table.
    Csv(CsvSource),
    /// Arrays in IDX, as MNIST is distributed.
    Idx {
        /// Examples: rows × any shape.
        examples: PathBuf,
        /// Labels: one whole number per row.
        labels: PathBuf,
        /// Number of classes. Parties of one campaign must declare it; when absent, one more than the largest label.
        #[serde(default)]
        classes: Option<u16>,
    },
    /// Arrays in NPY.
    Npy {
        /// Examples: rows × any shape.
        examples: PathBuf,
        /// Labels: one whole number per row.
        labels: PathBuf,
        /// Number of classes, as for IDX.
        #[serde(default)]
        classes: Option<u16>,
    },
}

impl DatasetSpec {
    /// All rows of the files as one data set; of optdigits and MNIST, the private ones.
    pub fn load(&self) -> Result<Dataset> {
        match self {
            Self::Optdigits => optdigits::private(),
            Self::Mnist { folder } => mnist::private(folder),
            Self::Csv(source) => source.load(),
            Self::Idx { examples, labels, classes } => idx::load(examples, labels, *classes),
            Self::Npy { examples, labels, classes } => npy::load(examples, labels, *classes),
        }
    }

    /// Private rows, pool and test rows for a simulation. Of optdigits, all 3,823 rows of the training writers are
    /// private; of the 1,797 rows of the test writers, 900 dealt by `seed` are the pool and the other 897 the test
    /// rows. Of MNIST the 60,000 training images are private, the first 9,000 test images are the pool and the last 1,000
    /// the test rows, whatever the seed. Anything else is dealt 80/10/10 by `seed`; a subject's rows may then be in several of the three, but in
    /// only one organisation.
    ///
    /// Refused, besides what [`DatasetSpec::load`] refuses: fewer than 10 rows.
    pub fn splits(&self, seed: u64) -> Result<Splits> {
        match self {
            Self::Optdigits => return optdigits::splits(seed),
            Self::Mnist { folder } => return mnist::splits(folder),
            _ => {}
        }
        let all = self.load()?;
        let tenth = all.rows() / 10;
        if tenth == 0 {
            return Err(Error::argument(
                "rows",
                all.rows(),
                "bring at least 10 rows, so that private, pool and test parts have one each",
            ));
        }
        let [private, pool, test] = all.split([all.rows() - 2 * tenth, tenth, tenth], seed)?;
        Ok(Splits { private, pool, test })
    }

    /// The features that suit it: for MNIST deskewed histograms of oriented gradients in 100 components, otherwise what
    /// suits the shape of its examples.
    pub fn features(&self, schema: &Schema) -> FeatureSpec {
        match self {
            Self::Mnist { .. } => FeatureSpec::DeskewedHog { bins: 9, cell: 4, components: 100 },
            _ => FeatureSpec::for_schema(schema),
        }
    }
}
