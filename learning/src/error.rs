//! Everything that can go wrong while data is read, split, learned from or stored, each with what is wrong,
//! where, and how to put it right.
//!
//! No variant carries the contents of a private row beyond the one cell that could not be read; a cell is shown
//! to the operator of the silo who owns the file, and is cut to a few characters.

use std::path::PathBuf;

/// What this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// A refusal by this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be opened, read or written.
    #[error("{path}: {source}; check that the path exists and that this process may use it")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The bytes of a file are not what its format promises.
    #[error("{file}: {field} is {value}; {fix}")]
    Format {
        /// The file, as the caller named it.
        file: String,
        /// Which part of the file: a header field, or a line and a column.
        field: String,
        /// What was found there.
        value: String,
        /// How to put it right.
        fix: String,
    },
    /// One cell of a text table cannot be used.
    #[error("{file}, line {line}, column {column}: {value}; {fix}")]
    Cell {
        /// The file, as the caller named it.
        file: String,
        /// Line in the (unpacked) file, counted from 1.
        line: u64,
        /// Column by name or by number, counted from 1.
        column: String,
        /// What was found there.
        value: String,
        /// How to put it right.
        fix: String,
    },
    /// A setting or an argument lies outside its range, or two arguments do not fit together.
    #[error("{field} is {value}; {fix}")]
    Argument {
        /// The setting or argument.
        field: String,
        /// Its value.
        value: String,
        /// How to put it right.
        fix: String,
    },
}

impl Error {
    pub(crate) fn argument(field: &str, value: impl std::fmt::Display, fix: impl Into<String>) -> Self {
        Self::Argument { field: field.to_owned(), value: value.to_string(), fix: fix.into() }
    }

    pub(crate) fn format(file: &str, field: &str, value: impl std::fmt::Display, fix: &str) -> Self {
        Self::Format {
            file: file.to_owned(),
            field: field.to_owned(),
            value: value.to_string(),
            fix: fix.to_owned(),
        }
    }
}
