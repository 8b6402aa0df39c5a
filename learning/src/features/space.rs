//! The closed list of representations, and one of them fitted.

use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Components, deskew, hog, orientations};
use crate::linear_algebra::{products, row};
use crate::{Dataset, Error, Result, Schema};

/// Features are cut to ± this many units, so that no distance overflows however wild a row is.
const REACH: f32 = 1e6;
/// Most features from which components are found: their covariance has the square of it, 134 MB at this width.
const COMPONENTS_FROM_MAX: usize = 4_096;
/// Rows that are transformed together: what they are multiplied with is then fetched once for all of them.
const ROWS_PER_STEP: usize = 32;

/// Which representation to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FeatureSpec {
    /// Raw values, all in one unit.
    Scaled,
    /// Every feature shifted and scaled to mean 0 and variance 1 over the pool; constant ones become 0.
    Standardised,
    /// Histograms of stroke orientations, for grey images of shape `[height, width]`.
    Orientations {
        /// Directions told apart, 2 to 32.
        bins: u8,
        /// Side of the square cells that each histogram covers, in pixels, 1 to 64.
        cell: u8,
    },
    /// The first principal components, over the pool, of histograms of oriented gradients of the deskewed image; for grey images of
    /// handwriting, of shape `[height, width]` with at least two cells a side.
    DeskewedHog {
        /// Orientations told apart, 2 to 32.
        bins: u8,
        /// Side of the square cells that each histogram covers, in pixels, 1 to 64.
        cell: u8,
        /// How many components, from 1; less than there are histogram values, 4 · bins for each block of 2 × 2 cells.
        components: u16,
    },
}

impl FeatureSpec {
    /// What suits the shape: orientations for images (about four cells a side), standardised columns otherwise.
    pub fn for_schema(schema: &Schema) -> Self {
        match schema.shape() {
            &[height, width] if height >= 4 && width >= 4 => {
                let cell = u8::try_from((height.max(width) / 4).clamp(2, 4)).unwrap_or(4);
                Self::Orientations { bins: 8, cell }
            }
            _ => Self::Standardised,
        }
    }

    fn check(self, shape: &[u32]) -> Result<()> {
        let (Self::Orientations { bins, cell } | Self::DeskewedHog { bins, cell, .. }) = self else {
            return Ok(());
        };
        if !(2..=32).contains(&bins) {
            return Err(Error::argument("features.bins", bins, "use 2 to 32 directions"));
        }
        if !(1..=64).contains(&cell) {
            return Err(Error::argument("features.cell", cell, "use cells of 1 to 64 pixels a side"));
        }
        if shape.len() != 2 {
            return Err(Error::argument(
                "features.kind",
                format!("{} for rows of shape {shape:?}", self.name()),
                format!(
                    "{} need grey images of shape [height, width]; use standardised or scaled",
                    self.name()
                ),
            ));
        }
        let Self::DeskewedHog { components, .. } = self else { return Ok(()) };
        let mapped = self.mapped_width(shape);
        if mapped == 0 || mapped > COMPONENTS_FROM_MAX {
            return Err(Error::argument(
                "features.cell",
                cell,
                format!(
                    "on rows of shape {shape:?} it makes {mapped} histogram values; use cells that make 1 to {COMPONENTS_FROM_MAX} of them"
                ),
            ));
        }
        if components == 0 || usize::from(components) > mapped {
            let fix = format!("use 1 to {mapped}, the number of histogram values");
            return Err(Error::argument("features.components", components, fix));
        }
        Ok(())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Scaled => "scaled",
            Self::Standardised => "standardised",
            Self::Orientations { .. } => "orientations",
            Self::DeskewedHog { .. } => "deskewed-hog",
        }
    }

    /// Number of features before components are taken of them.
    fn mapped_width(self, shape: &[u32]) -> usize {
        let image = || (shape[0] as usize, shape[1] as usize);
        match self {
            Self::Orientations { bins, cell } => {
                let (height, width) = image();
                orientations::width_of(height, width, usize::from(bins), usize::from(cell))
            }
            Self::DeskewedHog { bins, cell, .. } => {
                let (height, width) = image();
                hog::width_of(height, width, usize::from(bins), usize::from(cell))
            }
            Self::Scaled | Self::Standardised => shape.iter().map(|&side| side as usize).product(),
        }
    }
}

/// A fitted representation, scaled so that two rows of the pool lie at a mean squared distance of 1: kernel widths
/// are in that unit. Public: it holds statistics of the public pool only.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureSpace {
    pub(crate) spec: FeatureSpec,
    pub(crate) shape: Vec<u32>,
    pub(crate) full_scale: f32,
    /// What the mapped row is projected on, where the spec says so.
    pub(crate) components: Option<Components>,
    pub(crate) shift: Vec<f32>,
    pub(crate) scale: Vec<f32>,
}

impl FeatureSpace {
    /// Fits on the pool's features; its labels, if any, are not read. Refused: an empty pool, settings out of range,
    /// orientations of what is no image.
    pub fn fit(spec: &FeatureSpec, pool: &Dataset) -> Result<Self> {
        let shape = pool.schema().shape().to_vec();
        spec.check(&shape)?;
        if pool.rows() == 0 {
            return Err(Error::argument(
                "pool rows",
                0,
                "fit features on a public pool with at least one row",
            ));
        }
        let largest = pool.features().iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let full_scale = if largest > 0.0 { largest } else { 1.0 };
        let unscaled = |components: Option<Components>| {
            let width = components.as_ref().map_or(spec.mapped_width(&shape), |c| c.axes.nrows());
            let (shift, scale) = (vec![0.0; width], vec![1.0; width]);
            Self { spec: *spec, shape: shape.clone(), full_scale, components, shift, scale }
        };
        let mut space = unscaled(None);
        if let FeatureSpec::DeskewedHog { components, .. } = *spec {
            let mapped = space.transform(pool.features());
            space = unscaled(Some(Components::fit(&mapped, usize::from(components))));
        }
        let width = space.width();
        let (means, variances) = moments(&space.transform(pool.features()));
        if *spec == FeatureSpec::Standardised {
            // A column that hardly varies beside its own size is constant up to rounding.
            let varies = |column: usize| variances[column] > 1e-12 * means[column] * means[column];
            space.scale = (0..width)
                .map(|column| if varies(column) { inverse_root(variances[column]) } else { 0.0 })
                .collect();
            space.shift = narrow(&means);
        }
        let spread: f64 = variances
            .iter()
            .zip(&space.scale)
            .map(|(variance, &s)| variance * f64::from(s) * f64::from(s))
            .sum();
        let unit = if spread > 0.0 { inverse_root(2.0 * spread) } else { 1.0 };
        space.scale.iter_mut().for_each(|scale| *scale *= unit);
        Ok(space)
    }

    /// Raw rows to their representation: rows × [`FeatureSpace::width`], row-major.
    ///
    /// # Panics
    /// When `raw` has not the columns that the space was fitted on.
    pub fn transform(&self, raw: &Array2<f32>) -> Array2<f32> {
        assert_eq!(
            raw.ncols(),
            self.input_width(),
            "rows must have the columns that the space was fitted on"
        );
        let raw = raw.as_standard_layout();
        let raw = raw.as_slice().expect("it was just put in standard layout");
        let (input, width) = (self.input_width(), self.width());
        let mut out = Array2::zeros((raw.len() / input, width));
        out.as_slice_mut()
            .expect("a new array is in standard layout")
            .par_chunks_mut(width * ROWS_PER_STEP)
            .zip(raw.par_chunks(input * ROWS_PER_STEP))
            .for_each(|(to, raw)| self.transform_rows(raw, to));
        out
    }

    fn transform_rows(&self, raw: &[f32], to: &mut [f32]) {
        let (input, width) = (self.input_width(), self.width());
        let rows = raw.chunks_exact(input);
        if let Some(Components { means, axes }) = &self.components {
            let mut mapped = vec![0.0; rows.len() * means.len()];
            for (raw, to) in rows.zip(mapped.chunks_exact_mut(means.len())) {
                self.map(raw, to);
                to.iter_mut().zip(means).for_each(|(value, mean)| *value -= mean);
            }
            products(&mapped, axes.as_slice().expect("axes are in standard layout"), means.len(), to);
        } else {
            rows.zip(to.chunks_exact_mut(width)).for_each(|(raw, to)| self.map(raw, to));
        }
        for row in to.chunks_exact_mut(width) {
            for ((value, shift), scale) in row.iter_mut().zip(&self.shift).zip(&self.scale) {
                *value = ((*value - shift) * scale).clamp(-REACH, REACH);
            }
        }
    }

    /// One row before components, shift and scale.
    fn map(&self, raw: &[f32], to: &mut [f32]) {
        let size = || (self.shape[0] as usize, self.shape[1] as usize);
        let cut = |value: &f32| value.clamp(-REACH * self.full_scale, REACH * self.full_scale);
        match self.spec {
            FeatureSpec::Orientations { bins, cell } => {
                let cut: Vec<f32> = raw.iter().map(cut).collect();
                to.copy_from_slice(&orientations::histograms(
                    &cut,
                    size(),
                    usize::from(bins),
                    usize::from(cell),
                    self.full_scale,
                ));
            }
            FeatureSpec::DeskewedHog { bins, cell, .. } => {
                let image: Vec<f64> =
                    raw.iter().map(|value| f64::from(cut(value)) / f64::from(self.full_scale)).collect();
                let upright = deskew::deskew(&image, size());
                to.copy_from_slice(&hog::hog(&upright, size(), usize::from(bins), usize::from(cell)));
            }
            FeatureSpec::Scaled | FeatureSpec::Standardised => {
                to.iter_mut().zip(raw).for_each(|(to, value)| *to = value / self.full_scale);
            }
        }
    }

    /// Refuses raw rows that cannot be transformed: another number of columns, values that are not finite.
    pub fn check(&self, raw: &Array2<f32>) -> Result<()> {
        if raw.ncols() != self.input_width() {
            return Err(Error::argument(
                "row",
                format!("{} features", raw.ncols()),
                format!("send the {} features of the schema", self.input_width()),
            ));
        }
        if let Some(((row, column), value)) = raw.indexed_iter().find(|(_, value)| !value.is_finite()) {
            return Err(Error::argument(
                &format!("row {row}, feature {column}"),
                value,
                "send finite numbers",
            ));
        }
        Ok(())
    }

    /// Number of features after the transformation.
    pub fn width(&self) -> usize {
        self.shift.len()
    }

    /// Number of raw features before it.
    pub fn input_width(&self) -> usize {
        self.shape.iter().map(|&side| side as usize).product()
    }

    /// SHA-256 over everything fitted: parties with equal digests compute equal features.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"conclave feature space v1");
        let (kind, bins, cell) = self.spec_code();
        hash.update([kind, bins, cell]);
        hash.update((self.shape.len() as u64).to_le_bytes());
        self.shape.iter().for_each(|side| hash.update(side.to_le_bytes()));
        hash.update(self.full_scale.to_le_bytes());
        self.shift.iter().chain(&self.scale).for_each(|value| hash.update(value.to_le_bytes()));
        if let Some(Components { means, axes }) = &self.components {
            means.iter().chain(axes).for_each(|value| hash.update(value.to_le_bytes()));
        }
        hash.finalize().into()
    }

    pub(crate) fn spec_code(&self) -> (u8, u8, u8) {
        match self.spec {
            FeatureSpec::Scaled => (0, 0, 0),
            FeatureSpec::Standardised => (1, 0, 0),
            FeatureSpec::Orientations { bins, cell } => (2, bins, cell),
            FeatureSpec::DeskewedHog { bins, cell, .. } => (3, bins, cell),
        }
    }

    /// A space from its stored parts, or nothing when they do not fit together.
    pub(crate) fn from_parts(
        code: (u8, u8, u8),
        shape: Vec<u32>,
        full_scale: f32,
        (shift, scale): (Vec<f32>, Vec<f32>),
        components: Option<Components>,
    ) -> Option<Self> {
        let spec = match (code, &components) {
            ((0, 0, 0), None) => FeatureSpec::Scaled,
            ((1, 0, 0), None) => FeatureSpec::Standardised,
            ((2, bins, cell), None) => FeatureSpec::Orientations { bins, cell },
            ((3, bins, cell), Some(stored)) => {
                FeatureSpec::DeskewedHog { bins, cell, components: u16::try_from(stored.axes.nrows()).ok()? }
            }
            _ => return None,
        };
        spec.check(&shape).ok()?;
        let mapped = spec.mapped_width(&shape);
        let width = components.as_ref().map_or(mapped, |stored| stored.axes.nrows());
        let fits = components.as_ref().is_none_or(|c| c.means.len() == mapped && c.axes.ncols() == mapped);
        let space = Self { spec, shape, full_scale, components, shift, scale };
        let sound = fits
            && space.shift.len() == width
            && space.scale.len() == width
            && full_scale > 0.0
            && space.shift.iter().chain(&space.scale).chain([&full_scale]).all(|value| value.is_finite());
        sound.then_some(space)
    }
}

/// Mean and variance of every column, in double precision and row order.
fn moments(rows: &Array2<f32>) -> (Vec<f64>, Vec<f64>) {
    let count = rows.nrows() as f64;
    let mut means = vec![0.0_f64; rows.ncols()];
    let mut variances = vec![0.0_f64; rows.ncols()];
    for index in 0..rows.nrows() {
        means.iter_mut().zip(row(rows, index)).for_each(|(mean, &value)| *mean += f64::from(value) / count);
    }
    for index in 0..rows.nrows() {
        for ((variance, mean), &value) in variances.iter_mut().zip(&means).zip(row(rows, index)) {
            let difference = f64::from(value) - mean;
            *variance += difference * difference / count;
        }
    }
    (means, variances)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "features are f32; an overflow to infinity is cut to f32::MAX"
)]
fn inverse_root(variance: f64) -> f32 {
    ((1.0 / variance.sqrt()) as f32).min(f32::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "features are f32, and means of f32 values fit")]
fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

#[cfg(test)]
mod tests;
