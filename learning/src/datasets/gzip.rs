//! Files that may be gzipped, by their first bytes and not by their names.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::{Error, Result};

/// Most bytes that one file may unpack to: a guard against archives made to fill the memory.
const UNPACKED_BYTES_MAX: u64 = 4 << 30;

/// Opens a file for reading its unpacked bytes.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read>> {
    let file = File::open(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    unpacked(BufReader::new(file)).map_err(|source| Error::Io { path: path.to_owned(), source })
}

/// The unpacked bytes of `packed`, which may also be plain.
pub(super) fn unpacked<'a>(mut packed: impl BufRead + 'a) -> std::io::Result<Box<dyn Read + 'a>> {
    let gzipped = packed.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if gzipped {
        Box::new(Limited(MultiGzDecoder::new(packed), UNPACKED_BYTES_MAX))
    } else {
        Box::new(packed)
    })
}

/// All unpacked bytes of a file.
pub(super) fn read_whole(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(|error| explain(&error, &path.display().to_string()))?;
    Ok(bytes)
}

/// What a failed read means for the owner of the file.
pub(super) fn explain(error: &std::io::Error, file: &str) -> Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => {
            Error::format(file, "gzip stream", "truncated", "the file ends early; copy or download it again")
        }
        ErrorKind::FileTooLarge => Error::format(
            file,
            "unpacked size",
            format!("above {UNPACKED_BYTES_MAX} bytes"),
            "split the file into smaller ones",
        ),
        ErrorKind::InvalidInput | ErrorKind::InvalidData => {
            Error::format(file, "gzip stream", "damaged", "copy or download the file again")
        }
        _ => Error::format(file, "reading", error, "check the disk and the permissions of the file"),
    }
}

/// A reader that fails, rather than ends, past its limit.
struct Limited<R>(R, u64);

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1 = self.1.checked_sub(read as u64).ok_or(ErrorKind::FileTooLarge)?;
        Ok(read)
    }
}

#[cfg(test)]
pub(super) fn packed(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_past_its_limit_fails_and_does_not_just_end() {
        let mut bytes = Vec::new();
        let error = Limited([7_u8; 100].as_slice(), 99).read_to_end(&mut bytes).unwrap_err();
        assert!(explain(&error, "bomb.gz").to_string().contains("bomb.gz: unpacked size is above"));
    }

    #[test]
    fn a_gzip_stream_cut_anywhere_is_refused_as_truncated() {
        let whole = packed(&(0..=255).cycle().take(5_000).collect::<Vec<u8>>());
        for length in [20, whole.len() / 2, whole.len() - 1] {
            let mut bytes = Vec::new();
            let error = unpacked(&whole[..length]).unwrap().read_to_end(&mut bytes).unwrap_err();
            assert!(explain(&error, "a.gz").to_string().contains("truncated"), "cut at {length}: {error:?}");
        }
    }
}
