//! A [`Predictor`] in one file, written whole or not at all and refused when a single bit has changed.
//!
//! Layout, version 1, all integers little-endian, `f32` as IEEE 754 bits:
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | magic `CONCLAVE` |
//! | 4 | kind `MODL` |
//! | 4 | version, `u32` |
//! | 8 | length of the body, `u64` |
//! | … | body: schema, feature space, model |
//! | 32 | SHA-256 of all bytes before it |
//!
//! Inside the body a list is its length (`u64`) and its elements, a text is a list of UTF-8 bytes, a matrix is its
//! rows (`u64`), its columns (`u64`) and its values in row-major order.
//! Schema: name, shape (list of `u32`), feature names, class names (lists of texts).
//! Feature space: kind, bins, cell (one byte each: [`FeatureSpec`](crate::features::FeatureSpec) in declared order, 0
//! where there is no such setting), full scale (`f32`), shift, scale (lists of `f32`), and for kind 3 what it projects on: means (list of
//! `f32`), axes (matrix); its shape is the schema's.
//! Model: kind (one byte), then 0 constant: classes (`u64`), label (`u16`); 1 kernel machine: γ (`f32`), rows and
//! weights (matrices); 2 linear: weights; 3 nearest neighbours: count (`u64`), rows, what they say (matrices).

use std::io::Write;
use std::path::Path;

use ndarray::Array2;
use sha2::{Digest, Sha256};

use crate::features::{Components, FeatureSpace};
use crate::models::{KernelMachine, Linear, Model, NearestNeighbours};
use crate::{Error, Label, Predictor, Result, Schema};

const MAGIC: &[u8; 12] = b"CONCLAVEMODL";
const VERSION: u32 = 1;
/// The kind of feature space that projects.
const WITH_COMPONENTS: u8 = 3;
const HEADER_BYTES: usize = 24;
const DIGEST_BYTES: usize = 32;
/// Most bytes that a file may have.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Writes the file atomically: a temporary file in the same folder, flushed to the disk, then renamed.
pub fn save(predictor: &Predictor, path: &Path) -> Result<()> {
    let failed = |source| Error::Io { path: path.to_owned(), source };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(&encode(predictor)).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Reads what [`save`] wrote. Anything else is refused without panicking; memory stays within a small multiple of the
/// file's size, which may be 1 GiB.
pub fn load(path: &Path) -> Result<Predictor> {
    let failed = |source| Error::Io { path: path.to_owned(), source };
    let name = path.display().to_string();
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > FILE_BYTES_MAX {
        return Err(Error::format(&name, "size", format!("{size} bytes"), "a model file has at most 1 GiB"));
    }
    decode(&std::fs::read(path).map_err(failed)?, &name)
}

/// The file's bytes.
pub fn encode(predictor: &Predictor) -> Vec<u8> {
    let mut body = Vec::new();
    put_schema(&mut body, predictor.schema());
    put_space(&mut body, predictor.space());
    put_model(&mut body, predictor.model());
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((body.len() as u64).to_le_bytes());
    bytes.extend(body);
    let digest = Sha256::digest(&bytes);
    bytes.extend(digest);
    bytes
}

/// The predictor in these bytes; `file` names them in refusals.
pub fn decode(bytes: &[u8], file: &str) -> Result<Predictor> {
    const FIX: &str = "restore the file from a copy, or train the student again from its labels";
    let refuse = |field: &str, value: String| Err(Error::format(file, field, value, FIX));
    if bytes.get(..MAGIC.len()) != Some(MAGIC) {
        return refuse("magic", "not that of a Conclave model".to_owned());
    }
    let Some((signed, digest)) = bytes.split_last_chunk::<DIGEST_BYTES>() else {
        return refuse("length", format!("{} bytes", bytes.len()));
    };
    let mut reader = Reader(&signed[MAGIC.len().min(signed.len())..]);
    let version = reader.u32();
    if version != Some(VERSION) {
        let found = version.map_or_else(|| "absent".to_owned(), |version| version.to_string());
        let fix = format!("this program reads version {VERSION}; use the program that wrote the file");
        return Err(Error::format(file, "version", found, &fix));
    }
    if reader.u64() != Some(signed.len().saturating_sub(HEADER_BYTES) as u64) {
        return refuse("length", format!("{} bytes, not what the header says", bytes.len()));
    }
    if Sha256::digest(signed)[..] != digest[..] {
        return refuse("SHA-256", "not that of the contents: the file is damaged".to_owned());
    }
    // Past the digest only a program that disagrees about the layout can have written nonsense.
    match reader.predictor() {
        Some(predictor) if reader.0.is_empty() => predictor,
        _ => refuse("body", "not in the layout of its version".to_owned()),
    }
}

fn put_schema(body: &mut Vec<u8>, schema: &Schema) {
    put_text(body, schema.name());
    put_length(body, schema.shape().len());
    body.extend(schema.shape().iter().flat_map(|side| side.to_le_bytes()));
    for names in [schema.feature_names(), schema.class_names()] {
        put_length(body, names.len());
        for name in names {
            put_text(body, name);
        }
    }
}

fn put_space(body: &mut Vec<u8>, space: &FeatureSpace) {
    let (kind, bins, cell) = space.spec_code();
    body.extend([kind, bins, cell]);
    body.extend(space.full_scale.to_le_bytes());
    for values in [&space.shift, &space.scale] {
        put_length(body, values.len());
        body.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    if let Some(Components { means, axes }) = &space.components {
        put_length(body, means.len());
        body.extend(means.iter().flat_map(|value| value.to_le_bytes()));
        put_matrix(body, axes);
    }
}

fn put_model(body: &mut Vec<u8>, model: &Model) {
    match model {
        Model::Constant { classes, label } => {
            body.push(0);
            put_length(body, *classes);
            body.extend(label.get().to_le_bytes());
        }
        Model::KernelMachine(model) => {
            body.push(1);
            body.extend(model.gamma.to_le_bytes());
            put_matrix(body, &model.rows);
            put_matrix(body, &model.weights);
        }
        Model::Linear(model) => {
            body.push(2);
            put_matrix(body, &model.weights);
        }
        Model::NearestNeighbours(model) => {
            body.push(3);
            put_length(body, model.count);
            put_matrix(body, &model.rows);
            put_matrix(body, &model.says);
        }
    }
}

fn put_matrix(body: &mut Vec<u8>, matrix: &Array2<f32>) {
    put_length(body, matrix.nrows());
    put_length(body, matrix.ncols());
    body.extend(matrix.iter().flat_map(|value| value.to_le_bytes()));
}

fn put_text(body: &mut Vec<u8>, text: &str) {
    put_length(body, text.len());
    body.extend(text.as_bytes());
}

fn put_length(body: &mut Vec<u8>, length: usize) {
    body.extend((length as u64).to_le_bytes());
}

/// What is left of the bytes. Every read returns nothing when they do not suffice, before any memory is taken.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn predictor(&mut self) -> Option<Result<Predictor>> {
        let (name, shape) = (self.text()?, self.list(4, Self::u32)?);
        let (feature_names, class_names) = (self.list(8, Self::text)?, self.list(8, Self::text)?);
        let schema = Schema::new(name, shape, feature_names, class_names).ok()?;
        let code = (self.u8()?, self.u8()?, self.u8()?);
        let full_scale = self.f32()?;
        let scaling = (self.list(4, Self::f32)?, self.list(4, Self::f32)?);
        let components = match code.0 {
            WITH_COMPONENTS => Some(Components { means: self.list(4, Self::f32)?, axes: self.matrix()? }),
            _ => None,
        };
        let space = FeatureSpace::from_parts(code, schema.shape().to_vec(), full_scale, scaling, components)?;
        let model = self.model()?;
        Some(Predictor::new(schema, space, model))
    }

    fn model(&mut self) -> Option<Model> {
        Some(match self.u8()? {
            0 => {
                let (classes, label) = (usize::try_from(self.u64()?).ok()?, Label::new(self.u16()?));
                (label.index() < classes).then_some(Model::Constant { classes, label })?
            }
            1 => {
                let (gamma, rows, weights) = (self.f32()?, self.matrix()?, self.matrix()?);
                (gamma > 0.0 && rows.nrows() == weights.nrows())
                    .then_some(Model::KernelMachine(KernelMachine { gamma, rows, weights }))?
            }
            2 => {
                let weights = self.matrix()?;
                (weights.nrows() > 0).then_some(Model::Linear(Linear { weights }))?
            }
            3 => {
                let (count, rows, says) =
                    (usize::try_from(self.u64()?).ok()?, self.matrix()?, self.matrix()?);
                (count > 0 && rows.nrows() == says.nrows())
                    .then_some(Model::NearestNeighbours(NearestNeighbours { count, rows, says }))?
            }
            _ => return None,
        })
    }

    fn matrix(&mut self) -> Option<Array2<f32>> {
        let (rows, columns) = (usize::try_from(self.u64()?).ok()?, usize::try_from(self.u64()?).ok()?);
        let count = rows.checked_mul(columns)?;
        let bytes = self.take(count.checked_mul(4)?)?;
        let values: Vec<f32> =
            bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let sound = rows > 0 && columns > 0 && values.iter().all(|value| value.is_finite());
        sound.then(|| Array2::from_shape_vec((rows, columns), values).ok())?
    }

    /// A list whose elements take at least `least` bytes each.
    fn list<T>(&mut self, least: usize, mut element: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = usize::try_from(self.u64()?).ok()?;
        if length > self.0.len() / least {
            return None;
        }
        (0..length).map(|_| element(self)).collect()
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.u64()?).ok()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A finite number.
    fn f32(&mut self) -> Option<f32> {
        self.array().map(f32::from_le_bytes).filter(|value| value.is_finite())
    }
}

#[cfg(test)]
mod tests;
