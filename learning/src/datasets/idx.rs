//! IDX, the format in which MNIST is distributed, plain or gzipped.
//!
//! Layout (LeCun): two zero bytes, a type byte, the number of dimensions, each size as a big-endian `u32`, then the
//! values, big-endian, in row-major order.

use std::path::Path;

use super::arrays::{self, Array};
use super::gzip;
use crate::{Dataset, Error, Result};

/// Examples (rows × any shape) and their labels (one whole number per row) from two files. `classes` is the number
/// of classes; when absent, one more than the largest label.
pub(super) fn load(examples: &Path, labels: &Path, classes: Option<u16>) -> Result<Dataset> {
    arrays::dataset(&read(examples)?, &read(labels)?, classes)
}

fn read(path: &Path) -> Result<Array> {
    parse(&gzip::read_whole(path)?, &path.display().to_string())
}

fn parse(bytes: &[u8], file: &str) -> Result<Array> {
    let Some((&[zero, zero_too, kind, dimensions], rest)) = bytes.split_first_chunk::<4>() else {
        return Err(Error::format(
            file,
            "header",
            format!("{} bytes", bytes.len()),
            "the file is empty or ends early; copy or download it again",
        ));
    };
    if (zero, zero_too) != (0, 0) {
        return Err(Error::format(
            file,
            "magic",
            format!("{zero:02x}{zero_too:02x}{kind:02x}{dimensions:02x}"),
            "an IDX file starts with two zero bytes; name an IDX file, plain or gzipped",
        ));
    }
    let decode: (usize, fn(&[u8]) -> f64) = match kind {
        0x08 => (1, |b| f64::from(b[0])),
        0x09 => (1, |b| f64::from(i8::from_be_bytes([b[0]]))),
        0x0b => (2, |b| f64::from(i16::from_be_bytes([b[0], b[1]]))),
        0x0c => (4, |b| f64::from(i32::from_be_bytes([b[0], b[1], b[2], b[3]]))),
        0x0d => (4, |b| f64::from(f32::from_be_bytes([b[0], b[1], b[2], b[3]]))),
        _ => {
            return Err(Error::format(
                file,
                "type",
                format!("{kind:#04x}"),
                "use u8 (0x08), i8 (0x09), i16 (0x0b), i32 (0x0c) or f32 (0x0d)",
            ));
        }
    };
    let (sizes, values) = rest.split_at_checked(usize::from(dimensions) * 4).ok_or_else(|| {
        Error::format(file, "header", format!("too short for {dimensions} dimensions"), "copy the file again")
    })?;
    let shape: Vec<u32> = sizes.as_chunks::<4>().0.iter().map(|size| u32::from_be_bytes(*size)).collect();
    Array::decode(file, shape, values, decode)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::Label;

    fn idx(kind: u8, shape: &[u32], values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, kind, u8::try_from(shape.len()).unwrap()];
        bytes.extend(shape.iter().flat_map(|size| size.to_be_bytes()));
        bytes.extend(values);
        bytes
    }

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn images_and_labels_become_a_data_set_plain_or_gzipped() {
        let images = idx(0x08, &[2, 2, 3], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255]);
        let labels = file(&idx(0x08, &[2], &[1, 0]));
        for bytes in [images.clone(), gzip::packed(&images)] {
            let data = load(file(&bytes).path(), labels.path(), Some(3)).unwrap();
            assert_eq!(data.schema().shape(), [2, 3]);
            assert_eq!(data.schema().classes(), 3);
            assert_eq!(data.row(1).to_vec(), [6.0, 7.0, 8.0, 9.0, 10.0, 255.0]);
            assert_eq!(data.labels().unwrap(), [1, 0].map(Label::new));
        }
    }

    #[test]
    fn wider_types_are_big_endian() {
        let floats: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|value| value.to_be_bytes()).collect();
        assert_eq!(parse(&idx(0x0d, &[2, 1], &floats), "x").unwrap().values, [1.5, -2.0]);
        assert_eq!(parse(&idx(0x0b, &[1, 1], &[0xff, 0xfe]), "x").unwrap().values, [-2.0]);
    }

    #[test]
    fn a_wrong_magic_type_or_length_is_refused_with_what_was_found() {
        for (bytes, expected) in [
            (b"\x89PNG\r\n".to_vec(), "x: magic is 89504e47; an IDX file starts with two zero bytes"),
            (vec![], "x: header is 0 bytes"),
            (vec![0, 0, 8, 3, 0, 0], "x: header is too short for 3 dimensions"),
            (idx(0x0e, &[1], &[0; 8]), "x: type is 0x0e; use u8"),
            (idx(8, &[2, 2], &[1, 2, 3]), "x: values is 3 bytes for shape [2, 2], which takes 4"),
            (idx(8, &[2, 2], &[1, 2, 3, 4, 5]), "x: values is 5 bytes for shape [2, 2], which takes 4"),
            (idx(8, &[u32::MAX, u32::MAX, u32::MAX], &[1]), "x: values is 1 bytes for shape"),
        ] {
            let found = parse(&bytes, "x").unwrap_err().to_string();
            assert!(found.contains(expected), "{found}");
        }
    }
}
