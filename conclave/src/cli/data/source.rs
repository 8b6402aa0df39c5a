//! A data set named on the command line: one that is built in, or files.

use std::path::{Path, PathBuf};

use conclave_learning::datasets::{CsvSource, DatasetSpec, Known};

use super::data_dir;
use crate::cli::Fault;
use crate::cli::simulate::DatasetName;

/// Which data set.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// optdigits (built in), mnist (from the folder CONCLAVE_DATA_DIR), a CSV file, or examples in NPY or IDX, plain or gzipped
    #[arg(value_name = "NAME|PATH")]
    dataset: DatasetName,
    /// The label column of a CSV file [default: the last]
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// The column of a CSV file that says whose row it is
    #[arg(long, value_name = "COLUMN")]
    subject: Option<String>,
    /// The shape of one row of a CSV file, such as 28x28 for images [default: flat]
    #[arg(long, value_name = "AxB", value_parser = shape)]
    shape: Option<Shape>,
    /// The file of labels that belongs to examples in NPY or IDX
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
}

impl Source {
    /// What is known of it beside its rows.
    pub(super) fn known(&self) -> Option<&'static Known> {
        match &self.dataset {
            DatasetName::Known(known) => Some(known),
            DatasetName::File(_) => None,
        }
    }

    /// As a configuration would name it.
    pub(super) fn spec(&self) -> Result<DatasetSpec, Fault> {
        let path = match &self.dataset {
            DatasetName::Known(known) => return Ok(known.spec(data_dir().as_deref())?),
            DatasetName::File(path) => path.clone(),
        };
        let labels = || {
            self.labels.clone().ok_or_else(|| {
                let shown = path.display().to_string();
                Fault::input(
                    "missing-argument",
                    "--labels",
                    shown,
                    "has examples only",
                    "name its file of labels",
                )
            })
        };
        Ok(match array_format(&path) {
            Some(Array::Npy) => DatasetSpec::Npy { labels: labels()?, examples: path, classes: None },
            Some(Array::Idx) => DatasetSpec::Idx { labels: labels()?, examples: path, classes: None },
            None => DatasetSpec::Csv(CsvSource {
                label: self.label.clone(),
                subject: self.subject.clone(),
                shape: self.shape.clone().map(|Shape(sides)| sides),
                ..CsvSource::new(path)
            }),
        })
    }
}

/// The sides of a row of features.
#[derive(Debug, Clone)]
struct Shape(Vec<u32>);

fn shape(text: &str) -> Result<Shape, Fault> {
    let sides: Result<Vec<u32>, _> = text.split('x').map(str::parse).collect();
    sides.map(Shape).map_err(|_| {
        let fix = "write whole numbers with an x between them, such as 28x28";
        Fault::input("invalid-value", "shape", text, "not a shape", fix)
    })
}

enum Array {
    Npy,
    Idx,
}

/// By name: `*.npy`, and IDX as MNIST calls its files (`train-images-idx3-ubyte`), `.gz` or not.
fn array_format(path: &Path) -> Option<Array> {
    let extension =
        |path: &Path| path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let plain = if extension(path) == "gz" { path.with_extension("") } else { path.to_owned() };
    let ubyte = plain.file_name().is_some_and(|name| name.to_string_lossy().ends_with("-ubyte"));
    match extension(&plain).as_str() {
        "npy" => Some(Array::Npy),
        "idx" => Some(Array::Idx),
        _ => ubyte.then_some(Array::Idx),
    }
}
