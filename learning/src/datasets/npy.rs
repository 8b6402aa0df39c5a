//! NPY, versions 1 and 2, plain or gzipped: little-endian `f4`, `f8`, `i4`, `i8` and `u1` in C order; others are
//! refused.
//!
//! Layout (NumPy enhancement proposal 1): magic, version, header length, a Python dictionary with `descr`,
//! `fortran_order` and `shape`, then the values.

use std::path::Path;

use super::arrays::{self, Array};
use super::gzip;
use crate::{Dataset, Error, Result};

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Examples (rows × any shape) and their labels (one whole number per row) from two files. `classes` is the number
/// of classes; when absent, one more than the largest label.
pub(super) fn load(examples: &Path, labels: &Path, classes: Option<u16>) -> Result<Dataset> {
    arrays::dataset(&read(examples)?, &read(labels)?, classes)
}

fn read(path: &Path) -> Result<Array> {
    parse(&gzip::read_whole(path)?, &path.display().to_string())
}

fn parse(bytes: &[u8], file: &str) -> Result<Array> {
    let short = || Error::format(file, "header", "cut short", "the file ends early; copy it again");
    let Some(after_magic) = bytes.strip_prefix(MAGIC) else {
        let start = format!("{:02x?}", &bytes[..bytes.len().min(MAGIC.len())]);
        let fix = "an NPY file starts with 93 and NUMPY; save the array with numpy.save";
        return Err(Error::format(file, "magic", start, fix));
    };
    let (&[major, _], rest) = after_magic.split_first_chunk::<2>().ok_or_else(short)?;
    let (length, rest) = match major {
        1 => rest
            .split_first_chunk::<2>()
            .map(|(length, rest)| (usize::from(u16::from_le_bytes(*length)), rest)),
        2 => rest.split_first_chunk::<4>().map(|(length, rest)| (u32::from_le_bytes(*length) as usize, rest)),
        _ => return Err(Error::format(file, "version", major, "save the array as NPY version 1 or 2")),
    }
    .ok_or_else(short)?;
    let (header, values) = rest.split_at_checked(length).ok_or_else(short)?;
    let header = std::str::from_utf8(header)
        .map_err(|_| Error::format(file, "header", "no text", "save the array again with numpy.save"))?;
    if entry(header, "fortran_order", file)? != "False" {
        return Err(Error::format(
            file,
            "fortran_order",
            "not False",
            "save the array in C order: numpy.save(name, numpy.ascontiguousarray(array))",
        ));
    }
    let descr = entry(header, "descr", file)?.trim_matches(['\'', '"']).to_owned();
    let decode: (usize, fn(&[u8]) -> f64) = match descr.as_str() {
        "|u1" | "<u1" => (1, |b| f64::from(b[0])),
        "<f4" => (4, |b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
        "<i4" => (4, |b| f64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
        "<f8" => (8, |b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]])),
        "<i8" => (8, |b| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f64),
        _ => {
            return Err(Error::format(
                file,
                "descr",
                format!("{descr:?}"),
                "convert with array.astype to one of '<f4', '<f8', '<i4', '<i8', '|u1'",
            ));
        }
    };
    let shape = entry(header, "shape", file)?
        .trim_matches(['(', ')'])
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty())
        .map(|size| {
            size.parse::<u32>().map_err(|_| Error::format(file, "shape", size, "sizes are whole numbers"))
        })
        .collect::<Result<Vec<u32>>>()?;
    Array::decode(file, shape, values, decode)
}

/// The text of one entry of the header's dictionary: up to the next comma, or to the closing bracket of a tuple.
fn entry<'a>(header: &'a str, key: &str, file: &str) -> Result<&'a str> {
    let value = [format!("'{key}'"), format!("\"{key}\"")]
        .iter()
        .find_map(|quoted| header.split_once(quoted.as_str()))
        .and_then(|(_, after)| after.trim_start().strip_prefix(':'))
        .map(str::trim_start)
        .ok_or_else(|| {
            Error::format(file, key, "absent from the header", "save the array again with numpy.save")
        })?;
    let end = if value.starts_with('(') { value.find(')').map(|at| at + 1) } else { value.find([',', '}']) };
    Ok(value[..end.unwrap_or(value.len())].trim_end())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn npy(version: u8, header: &str, values: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([version, 0]);
        match version {
            1 => bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes()),
            _ => bytes.extend(u32::try_from(header.len()).unwrap().to_le_bytes()),
        }
        bytes.extend(header.as_bytes());
        bytes.extend(values);
        bytes
    }

    fn header(descr: &str, order: &str, shape: &str) -> String {
        format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}   \n")
    }

    #[test]
    fn every_accepted_type_and_version_gives_its_values() {
        let cases: [(&str, Vec<u8>); 5] = [
            ("|u1", vec![1, 2]),
            ("<f4", [1.0_f32, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect()),
            ("<f8", [1.0_f64, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect()),
            ("<i4", [1_i32, 2].iter().flat_map(|v| v.to_le_bytes()).collect()),
            ("<i8", [1_i64, 2].iter().flat_map(|v| v.to_le_bytes()).collect()),
        ];
        for (descr, values) in cases {
            for version in [1, 2] {
                let array = parse(&npy(version, &header(descr, "False", "(2, 1)"), &values), "x").unwrap();
                assert_eq!(
                    (array.shape, array.values),
                    (vec![2, 1], vec![1.0, 2.0]),
                    "{descr} version {version}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_read_is_refused_with_how_to_save_it() {
        for (bytes, expected) in [
            (b"PK\x03\x04".to_vec(), "x: magic is [50, 4b, 03, 04]; an NPY file starts with 93 and NUMPY"),
            (vec![], "x: magic is []"),
            (npy(3, "{}", &[]), "x: version is 3"),
            (npy(1, &header("<f4", "True", "(1,)"), &[0; 4]), "numpy.ascontiguousarray"),
            (
                npy(1, &header(">f4", "False", "(1,)"), &[0; 4]),
                "x: descr is \">f4\"; convert with array.astype",
            ),
            (npy(1, &header("|O", "False", "(1,)"), &[0; 4]), "x: descr is \"|O\""),
            (npy(1, "{'descr': '<f4'}", &[]), "x: fortran_order is absent"),
            (
                npy(1, &header("<f4", "False", "(2,)"), &[0; 7]),
                "x: values is 7 bytes for shape [2], which takes 8",
            ),
            (npy(1, &header("<f4", "False", "(-2,)"), &[0; 8]), "x: shape is -2"),
            (npy(1, &header("<f4", "False", "(2,)"), &[])[..20].to_vec(), "x: header is cut short"),
        ] {
            let found = parse(&bytes, "x").unwrap_err().to_string();
            assert!(found.contains(expected), "{found}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_header_makes_the_reader_panic(text in ".{0,80}", values in proptest::collection::vec(any::<u8>(), 0..9)) {
            let _ = parse(&npy(1, &text, &values), "x");
            let _ = parse(&npy(1, &header("<f4", "False", &text), &values), "x");
        }
    }
}
