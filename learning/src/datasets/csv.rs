//! Text tables: comma-separated, UTF-8, plain or gzipped, one row per line, numeric features.
//!
//! Columns that hold words are refused rather than encoded here: an encoding fitted on one silo's private rows would
//! differ from its neighbour's and would tell which words occur. Encode them beforehand, alike at every party.

mod writing;

use std::io::Read;
use std::path::PathBuf;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::gzip;
use crate::{Dataset, Error, Label, Result, Schema};

pub use writing::write_csv;

/// Characters of a refused cell that a message shows.
const SHOWN_CHARS_MAX: usize = 24;

/// A CSV file and what its columns are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CsvSource {
    /// The file, plain or gzipped.
    pub path: PathBuf,
    /// Name of the label column; the last one when absent. Columns of a file without a header are named by their
    /// number, from 1.
    #[serde(default)]
    pub label: Option<String>,
    /// Name of the column that says whose row it is; never a feature.
    #[serde(default)]
    pub subject: Option<String>,
    /// Whether the first line names the columns. When absent: it does when none of its features is a
    /// number, does not when all are, and anything between is refused.
    #[serde(default)]
    pub header: Option<bool>,
    /// The classes in the order of their labels. Parties of one campaign must declare them; when absent they are
    /// those found in the file, in ascending order.
    #[serde(default)]
    pub classes: Option<Vec<String>>,
    /// The shape of one row, such as `[28, 28]` for images that stand in the file row by row; flat when absent.
    #[serde(default)]
    pub shape: Option<Vec<u32>>,
}

impl CsvSource {
    /// The last column of `path` is the label; nothing else is known.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), label: None, subject: None, header: None, classes: None, shape: None }
    }

    /// Reads the whole file. Its schema has the file's stem as name and, unless another is stated, the shape `[features]`.
    ///
    /// Refused, each with file, line, column and value: an unreadable or empty file, no rows, a truncated gzip stream,
    /// bytes that are no text, a row of another length, a cell that is no finite number, a missing label, a label
    /// outside `classes`, a missing subject, a column that does not exist, a shape of another size.
    pub fn load(&self) -> Result<Dataset> {
        self.read(gzip::open(&self.path)?)
    }

    /// The table in `text`; [`CsvSource::path`] only names it.
    pub(super) fn read(&self, text: impl Read) -> Result<Dataset> {
        let file = self.path.display().to_string();
        let mut lines = Lines::new(text, &file);
        let first = lines.next_line()?.ok_or_else(|| {
            Error::format(&file, "length", "0 rows", "the file is empty; give one line per row")
        })?;
        let columns = Columns::find(self, &first, &file)?;
        let mut table = Table::default();
        if !columns.headed {
            table.add(&columns, &first, &file)?;
        }
        while let Some(line) = lines.next_line()? {
            table.add(&columns, &line, &file)?;
        }
        table.into_dataset(self, &columns, &file)
    }
}

/// One line: its number and its cells.
struct Line {
    number: u64,
    cells: Vec<String>,
}

struct Lines<'a, R> {
    reader: csv::Reader<R>,
    file: &'a str,
}

impl<'a, R: Read> Lines<'a, R> {
    fn new(text: R, file: &'a str) -> Self {
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(text);
        Self { reader, file }
    }

    fn next_line(&mut self) -> Result<Option<Line>> {
        let mut record = csv::ByteRecord::new();
        let more = self.reader.read_byte_record(&mut record).map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) => gzip::explain(&error, self.file),
            other => Error::format(self.file, "text", format!("{other:?}"), "save the table as plain CSV"),
        })?;
        if !more {
            return Ok(None);
        }
        let number = record.position().map_or(0, csv::Position::line);
        let cells = record
            .iter()
            .enumerate()
            .map(|(column, bytes)| match std::str::from_utf8(bytes) {
                Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
                _ => Err(Error::Cell {
                    file: self.file.to_owned(),
                    line: number,
                    column: (column + 1).to_string(),
                    value: "binary content".to_owned(),
                    fix: "a CSV file is UTF-8 text; name the right file, or save the table as UTF-8"
                        .to_owned(),
                }),
            })
            .collect::<Result<Vec<String>>>()?;
        Ok(Some(Line { number, cells }))
    }
}

/// What the columns of the file are.
struct Columns {
    headed: bool,
    names: Vec<String>,
    label: usize,
    subject: Option<usize>,
}

impl Columns {
    fn find(source: &CsvSource, first: &Line, file: &str) -> Result<Self> {
        let width = first.cells.len();
        let numbers: Vec<String> = (1..=width).map(|number| number.to_string()).collect();
        let named = |names: &[String], name: &str, role: &str| {
            let mut found =
                names.iter().enumerate().filter(|(_, column)| *column == name).map(|(index, _)| index);
            match (found.next(), found.next()) {
                (Some(index), None) => Ok(index),
                (found, _) => Err(Error::format(
                    file,
                    &format!("{role} column"),
                    format!(
                        "{name:?}, which occurs {} in the header",
                        if found.is_some() { "twice" } else { "nowhere" }
                    ),
                    &format!("name one of: {}", names.join(", ")),
                )),
            }
        };
        let by = |names: &[String]| -> Result<(usize, Option<usize>)> {
            let label = source.label.as_ref().map_or(Ok(width - 1), |name| named(names, name, "label"))?;
            let subject = source.subject.as_ref().map(|name| named(names, name, "subject")).transpose()?;
            Ok((label, subject))
        };
        let headed = if let Some(headed) = source.header {
            headed
        } else {
            // The columns that must be numbers, if this were a row: all but label and subject, where they are known.
            let (label, subject) = by(&numbers).unwrap_or((width - 1, None));
            looks_like_a_header(first, |column| column != label && Some(column) != subject, file)?
        };
        let names = if headed { first.cells.clone() } else { numbers };
        let (label, subject) = by(&names)?;
        if Some(label) == subject {
            return Err(Error::format(
                file,
                "subject column",
                "also the label column",
                "name two different columns",
            ));
        }
        if width < 2 + usize::from(subject.is_some()) {
            return Err(Error::format(file, "columns", width, "a row has at least one feature and a label"));
        }
        Ok(Self { headed, names, label, subject })
    }

    fn features(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.names.len()).filter(|&column| column != self.label && Some(column) != self.subject)
    }
}

/// A row has numbers only and a header none; a line with both is not guessed about, lest a row with a hole be lost.
fn looks_like_a_header(first: &Line, is_feature: impl Fn(usize) -> bool, file: &str) -> Result<bool> {
    let cells = || first.cells.iter().enumerate().filter(|&(column, _)| is_feature(column));
    let is_word = |&(_, cell): &(usize, &String)| number(cell).is_none();
    match cells().find(is_word) {
        None => Ok(false),
        Some(_) if cells().all(|cell| is_word(&cell)) => Ok(true),
        Some((column, cell)) => Err(Error::Cell {
            file: file.to_owned(),
            line: first.number,
            column: (column + 1).to_string(),
            value: format!("{} in a line that also has numbers", shown(cell)),
            fix: "say with header = true or false whether the first line names the columns".to_owned(),
        }),
    }
}

#[derive(Default)]
struct Table {
    values: Vec<f32>,
    labels: Vec<String>,
    subjects: Vec<String>,
    lines: Vec<u64>,
}

impl Table {
    fn add(&mut self, columns: &Columns, line: &Line, file: &str) -> Result<()> {
        let refuse = |column: String, value: String, fix: &str| {
            Err(Error::Cell { file: file.to_owned(), line: line.number, column, value, fix: fix.to_owned() })
        };
        if line.cells.len() != columns.names.len() {
            return refuse(
                line.cells.len().min(columns.names.len()).saturating_add(1).to_string(),
                format!("ragged row of {} cells", line.cells.len()),
                &format!("give every row {} cells, as in the first line", columns.names.len()),
            );
        }
        for column in columns.features() {
            let cell = &line.cells[column];
            match number(cell) {
                Some(value) => self.values.push(value),
                None => {
                    return refuse(
                        columns.names[column].clone(),
                        shown(cell),
                        "features are finite numbers; drop or fill missing values, and encode words as numbers \
                         beforehand, alike at every party",
                    );
                }
            }
        }
        let label = &line.cells[columns.label];
        if label.is_empty() {
            return refuse(
                columns.names[columns.label].clone(),
                "missing label".to_owned(),
                "give every row its label",
            );
        }
        if let Some(column) = columns.subject {
            if line.cells[column].is_empty() {
                return refuse(
                    columns.names[column].clone(),
                    "missing subject".to_owned(),
                    "say whose row it is",
                );
            }
            self.subjects.push(line.cells[column].clone());
        }
        self.labels.push(label.clone());
        self.lines.push(line.number);
        Ok(())
    }

    fn into_dataset(self, source: &CsvSource, columns: &Columns, file: &str) -> Result<Dataset> {
        if self.labels.is_empty() {
            return Err(Error::format(
                file,
                "length",
                "0 rows",
                "the file has a header only; give one line per row",
            ));
        }
        let classes = source.classes.clone().unwrap_or_else(|| found_classes(&self.labels));
        let feature_names: Vec<String> =
            columns.features().map(|column| columns.names[column].clone()).collect();
        let width = u32::try_from(feature_names.len()).unwrap_or(u32::MAX);
        let shape = source.shape.clone().unwrap_or_else(|| vec![width]);
        let size = shape.iter().try_fold(1_u32, |size, &side| size.checked_mul(side));
        if size != Some(width) {
            let fix = format!("its rows have {width} features: give a shape of that many, or leave it out");
            return Err(Error::format(file, "shape", format!("{shape:?}"), &fix));
        }
        let name =
            source.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let stem = name.split('.').next().unwrap_or_default();
        let schema = Schema::new(stem, shape, feature_names, classes)?;
        let labels = self
            .labels
            .iter()
            .zip(&self.lines)
            .map(|(text, &line)| {
                schema.label(text).map_err(|_| Error::Cell {
                    file: file.to_owned(),
                    line,
                    column: columns.names[columns.label].clone(),
                    value: shown(text),
                    fix: format!("the declared classes are {}", schema.class_list()),
                })
            })
            .collect::<Result<Vec<Label>>>()?;
        let features = Array2::from_shape_vec((labels.len(), schema.width()), self.values)
            .expect("every row added one value per feature");
        Dataset::new(schema, features, Some(labels), columns.subject.map(|_| self.subjects))
    }
}

/// Distinct labels, ascending: by value when all are whole numbers, else by their text.
fn found_classes(labels: &[String]) -> Vec<String> {
    let mut classes: Vec<String> = labels.to_vec();
    classes.sort_unstable();
    classes.dedup();
    if classes.iter().all(|class| class.parse::<i64>().is_ok()) {
        classes.sort_by_key(|class| class.parse::<i64>().unwrap_or_default());
    }
    classes
}

fn number(cell: &str) -> Option<f32> {
    cell.parse::<f32>().ok().filter(|value| value.is_finite())
}

fn shown(cell: &str) -> String {
    if cell.is_empty() {
        return "an empty cell".to_owned();
    }
    let cut: String = cell.chars().take(SHOWN_CHARS_MAX).collect();
    if cut.len() < cell.len() { format!("{cut:?}…") } else { format!("{cut:?}") }
}

#[cfg(test)]
mod tests;
