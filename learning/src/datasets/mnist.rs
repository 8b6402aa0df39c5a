//! MNIST, handwritten digits (LeCun, Cortes, Burges): 60,000 and 10,000 images of 28×28 grey values from 0 to 255, ten classes.
//!
//! Read from a folder that holds the four files under their usual names, plain or gzipped; what is unpacked must have the digests of the
//! canonical files, so every party reads the same bytes.

use std::path::{Path, PathBuf};

use ndarray::Array2;
use sha2::{Digest, Sha256};

use super::catalogue::{DATA_DIR, KnownFile, MNIST};
use super::{Splits, gzip};
use crate::{Dataset, Error, Label, Result, Schema};

const SIDE: usize = 28;
const CLASSES: u8 = 10;
/// Test images that form the public pool; the last 1,000 measure the student (the split of the PATE papers).
const POOL_ROWS: usize = 9_000;
/// Bytes before the values of an IDX file: four, and four for each dimension.
const IMAGES_HEADER: usize = 16;
const LABELS_HEADER: usize = 8;

/// The 60,000 training images.
pub(super) fn private(folder: &Path) -> Result<Dataset> {
    read(folder, &MNIST.files[..2])
}

/// Private: the 60,000 training images. Of the 10,000 test images the first 9,000 are the pool, the last 1,000 the test rows.
pub(super) fn splits(folder: &Path) -> Result<Splits> {
    // The smaller files first: what is missing or damaged is then told soon.
    let others = read(folder, &MNIST.files[2..])?;
    let rows = |range: std::ops::Range<usize>| others.select(&range.collect::<Vec<_>>());
    let (pool, test) = (rows(0..POOL_ROWS), rows(POOL_ROWS..others.rows()));
    Ok(Splits { private: private(folder)?, pool, test })
}

/// Which of the files are missing.
pub(super) fn missing(folder: &Path) -> Vec<&'static str> {
    MNIST.files.iter().map(|file| file.name).filter(|name| found(folder, name).is_none()).collect()
}

/// The rows of a file of images and its file of labels.
fn read(folder: &Path, files: &[KnownFile]) -> Result<Dataset> {
    let labels: Vec<Label> = canonical(folder, &files[1])?
        .split_off(LABELS_HEADER)
        .into_iter()
        .map(|class| Label::new(u16::from(class)))
        .collect();
    let pixels: Vec<f32> =
        canonical(folder, &files[0])?.split_off(IMAGES_HEADER).into_iter().map(f32::from).collect();
    let features = Array2::from_shape_vec((labels.len(), SIDE * SIDE), pixels)
        .expect("files with these digests have as many images as labels");
    let side = u32::try_from(SIDE).expect("28 fits");
    let schema = Schema::new(
        MNIST.name,
        vec![side, side],
        (0..SIDE * SIDE).map(|at| format!("row {} column {}", at / SIDE, at % SIDE)).collect(),
        (0..CLASSES).map(|class| class.to_string()).collect(),
    )?;
    Dataset::new(schema, features, Some(labels), None)
}

/// The unpacked bytes of a file, which are those of the canonical one.
fn canonical(folder: &Path, file: &KnownFile) -> Result<Vec<u8>> {
    let Some(path) = found(folder, file.name) else {
        let fix = format!("let {DATA_DIR} name a folder that holds {}", MNIST.wanted());
        return Err(Error::format(&folder.display().to_string(), file.name, "missing", &fix));
    };
    let bytes = gzip::read_whole(&path)?;
    let digest = hex(&bytes);
    if digest != file.sha256 {
        let fix = format!(
            "unpacked it must have SHA-256 {}; put the canonical file of MNIST in its place, in the folder that {DATA_DIR} names",
            file.sha256
        );
        return Err(Error::format(&path.display().to_string(), "SHA-256", digest, &fix));
    }
    Ok(bytes)
}

fn found(folder: &Path, name: &str) -> Option<PathBuf> {
    [name.to_owned(), format!("{name}.gz")]
        .into_iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
}

fn hex(bytes: &[u8]) -> String {
    let pairs: Vec<String> = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_file_is_named_with_the_variable_and_the_fix() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = splits(folder.path()).unwrap_err().to_string();
        for told in
            ["t10k-labels-idx1-ubyte is missing", "let CONCLAVE_DATA_DIR name a folder that holds mnist/"]
        {
            assert!(refusal.contains(told), "{told}: {refusal}");
        }
        assert_eq!(missing(folder.path()).len(), 4);
    }

    #[test]
    fn another_content_is_refused_with_both_digests_plain_or_gzipped() {
        let folder = tempfile::tempdir().unwrap();
        let name = "t10k-labels-idx1-ubyte";
        for (file, bytes) in
            [(name.to_owned(), b"abc".to_vec()), (format!("{name}.gz"), gzip::packed(b"abc"))]
        {
            std::fs::write(folder.path().join(&file), bytes).unwrap();
            let refusal = splits(folder.path()).unwrap_err().to_string();
            // SHA-256 of "abc", from FIPS 180-2.
            let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
            for told in [file.as_str(), abc, "ff7bcfd416de33731a308c3f266cc351", "CONCLAVE_DATA_DIR"] {
                assert!(refusal.contains(told), "{told}: {refusal}");
            }
            std::fs::remove_file(folder.path().join(&file)).unwrap();
        }
    }
}
