//! A table of examples with its schema: raw numeric features, and where they are known labels and subjects.
//!
//! A [`Dataset`] that exists is sound: every value is finite, every label is a class of the schema, and all parts
//! have the same number of rows. What rows contain never shows in `Debug`.

use std::collections::BTreeSet;
use std::fmt;

use ndarray::{Array2, ArrayView1, Axis};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha20Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// A class, as its index into [`Schema::class_names`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Label(u16);

impl Label {
    /// The class with this index.
    pub const fn new(index: u16) -> Self {
        Self(index)
    }

    /// The index as it travels.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The index, to look into a slice with one entry per class.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Label({})", self.0)
    }
}

/// What the columns and classes of a data set are. Public: every party of a campaign holds the same one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "UncheckedSchema")]
pub struct Schema {
    name: String,
    shape: Vec<u32>,
    feature_names: Vec<String>,
    class_names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UncheckedSchema {
    name: String,
    shape: Vec<u32>,
    feature_names: Vec<String>,
    class_names: Vec<String>,
}

impl TryFrom<UncheckedSchema> for Schema {
    type Error = Error;

    fn try_from(s: UncheckedSchema) -> Result<Self> {
        Self::new(s.name, s.shape, s.feature_names, s.class_names)
    }
}

impl Schema {
    /// A schema with one feature name per element of `shape` (row-major) and 2 to 65,535 distinct class names.
    pub fn new(
        name: impl Into<String>,
        shape: Vec<u32>,
        feature_names: Vec<String>,
        class_names: Vec<String>,
    ) -> Result<Self> {
        let name = name.into();
        let width = shape.iter().try_fold(1_u32, |product, &side| product.checked_mul(side));
        if shape.is_empty() || width.is_none_or(|w| w == 0 || w > Self::FEATURES_MAX) {
            return Err(Error::argument(
                "schema shape",
                format!("{shape:?}"),
                format!("name one to {} features", Self::FEATURES_MAX),
            ));
        }
        if width.map(|w| w as usize) != Some(feature_names.len()) {
            return Err(Error::argument(
                "schema feature_names",
                format!("{} names for shape {shape:?}", feature_names.len()),
                "give one name per element of the shape",
            ));
        }
        if !(2..=usize::from(u16::MAX)).contains(&class_names.len()) {
            return Err(Error::argument(
                "schema class_names",
                format!("{} classes", class_names.len()),
                "name 2 to 65535 classes",
            ));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = class_names.iter().find(|class| !seen.insert(class.as_str())) {
            return Err(Error::argument(
                "schema class_names",
                format!("{twice:?} twice"),
                "name each class once",
            ));
        }
        Ok(Self { name, shape, feature_names, class_names })
    }

    /// Most features that a row may have.
    pub const FEATURES_MAX: u32 = 1 << 20;

    /// The data set's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shape of one example, such as `[8, 8]`.
    pub fn shape(&self) -> &[u32] {
        &self.shape
    }

    /// One name per feature, in row-major order of the shape.
    pub fn feature_names(&self) -> &[String] {
        &self.feature_names
    }

    /// One name per class, in the order of [`Label`].
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// Number of features of a row.
    pub fn width(&self) -> usize {
        self.feature_names.len()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.class_names.len()
    }

    /// The label called `name`, or a refusal that lists what exists.
    pub fn label(&self, name: &str) -> Result<Label> {
        self.class_names
            .iter()
            .position(|class| class == name)
            .and_then(|index| u16::try_from(index).ok())
            .map(Label::new)
            .ok_or_else(|| {
                Error::argument("label", format!("{name:?}"), format!("use one of {}", self.class_list()))
            })
    }

    pub(crate) fn class_list(&self) -> String {
        let shown: Vec<&str> = self.class_names.iter().take(20).map(String::as_str).collect();
        let more = if self.class_names.len() > shown.len() { ", …" } else { "" };
        format!("{}{more}", shown.join(", "))
    }

    /// SHA-256 over a length-prefixed layout of all four parts: equal exactly when the schemas are.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"conclave schema v1");
        let mut text = |s: &str| {
            hash.update((s.len() as u64).to_le_bytes());
            hash.update(s.as_bytes());
        };
        text(&self.name);
        text(&format!("{:?}", self.shape));
        for names in [&self.feature_names, &self.class_names] {
            text(&names.len().to_string());
            for name in names {
                text(name);
            }
        }
        hash.finalize().into()
    }
}

/// Rows of examples under one schema.
#[derive(Clone, PartialEq)]
pub struct Dataset {
    schema: Schema,
    features: Array2<f32>,
    labels: Option<Vec<Label>>,
    subjects: Option<Vec<String>>,
}

impl Dataset {
    /// Checks that all parts fit together and that every value is finite.
    ///
    /// `features` is rows × [`Schema::width`], raw values; `labels` and `subjects` have one entry per row.
    pub fn new(
        schema: Schema,
        features: Array2<f32>,
        labels: Option<Vec<Label>>,
        subjects: Option<Vec<String>>,
    ) -> Result<Self> {
        if features.ncols() != schema.width() {
            return Err(Error::argument(
                "features",
                format!("{} columns", features.ncols()),
                format!("give the {} columns of schema {}", schema.width(), schema.name),
            ));
        }
        if let Some(((row, column), value)) = features.indexed_iter().find(|(_, value)| !value.is_finite()) {
            return Err(Error::argument(
                &format!("features, row {row}, column {}", schema.feature_names[column]),
                value,
                "use finite numbers; drop or fill the row",
            ));
        }
        for (field, length) in
            [("labels", labels.as_ref().map(Vec::len)), ("subjects", subjects.as_ref().map(Vec::len))]
        {
            if length.is_some_and(|length| length != features.nrows()) {
                return Err(Error::argument(
                    field,
                    format!("{} entries", length.unwrap_or_default()),
                    format!("give one per row, {} in all", features.nrows()),
                ));
            }
        }
        if let Some((row, label)) =
            labels.iter().flatten().enumerate().find(|(_, label)| label.index() >= schema.classes())
        {
            return Err(Error::argument(
                &format!("labels, row {row}"),
                label.get(),
                format!("labels run from 0 to {}", schema.classes() - 1),
            ));
        }
        // Row-major memory is what hashing and the kernels rely on.
        let features =
            if features.is_standard_layout() { features } else { features.as_standard_layout().into_owned() };
        Ok(Self { schema, features, labels, subjects })
    }

    /// Columns and classes.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Raw values, rows × features.
    pub fn features(&self) -> &Array2<f32> {
        &self.features
    }

    /// One label per row, where they are known.
    pub fn labels(&self) -> Option<&[Label]> {
        self.labels.as_deref()
    }

    /// One subject per row, where the source names them.
    pub fn subjects(&self) -> Option<&[String]> {
        self.subjects.as_deref()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.features.nrows()
    }

    /// The raw values of one row.
    ///
    /// # Panics
    /// When `row` is not below [`Dataset::rows`].
    pub fn row(&self, row: usize) -> ArrayView1<'_, f32> {
        self.features.row(row)
    }

    /// The named rows, in the order given.
    ///
    /// # Panics
    /// When an index is not below [`Dataset::rows`].
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            schema: self.schema.clone(),
            features: self.features.select(Axis(0), rows),
            labels: self.labels.as_ref().map(|labels| rows.iter().map(|&row| labels[row]).collect()),
            subjects: self.subjects.as_ref().map(|all| rows.iter().map(|&row| all[row].clone()).collect()),
        }
    }

    /// The same rows without their labels: what a public pool may show.
    #[must_use]
    pub fn without_labels(&self) -> Self {
        Self { labels: None, ..self.clone() }
    }

    /// Deals all rows, in an order drawn from `seed`, into parts of the given sizes; rows beyond their sum stay out.
    pub fn split<const PARTS: usize>(&self, sizes: [usize; PARTS], seed: u64) -> Result<[Self; PARTS]> {
        let wanted = sizes.iter().try_fold(0_usize, |sum, &size| sum.checked_add(size));
        if wanted.is_none_or(|wanted| wanted > self.rows()) {
            return Err(Error::argument(
                "split sizes",
                format!("{sizes:?}"),
                format!("the sizes must add up to at most the {} rows", self.rows()),
            ));
        }
        let mut order: Vec<usize> = (0..self.rows()).collect();
        order.shuffle(&mut ChaCha20Rng::seed_from_u64(seed));
        let mut rest = order.as_slice();
        Ok(sizes.map(|size| {
            let (part, others) = rest.split_at(size);
            rest = others;
            self.select(part)
        }))
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset")
            .field("schema", &self.schema.name)
            .field("features", &self.schema.width())
            .field("classes", &self.schema.classes())
            .field("labelled", &self.labels.is_some())
            .field("subjects", &self.subjects.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
