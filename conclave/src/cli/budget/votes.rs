//! Vote counts from a text file: a row per query, a column per class, whole numbers, no header.

use std::fs;
use std::path::Path;

use conclave_privacy::VoteCounts;

use super::super::Fault;

/// The most rows that are read.
const ROWS_MAX: usize = 10_000_000;

/// Reads all rows; names the line and column of the first value that is not a count.
pub(super) fn read(path: &Path) -> Result<Vec<VoteCounts>, Fault> {
    let text = fs::read_to_string(path).map_err(|error| {
        let fix = "give the path of a text file with comma-separated vote counts";
        Fault::input("unreadable-file", "file", path.display().to_string(), error, fix)
    })?;
    let mut rows: Vec<VoteCounts> = Vec::new();
    for (line, row) in (1..).zip(text.lines()) {
        if row.trim().is_empty() {
            continue;
        }
        if rows.len() == ROWS_MAX {
            return Err(malformed(path, line, String::new(), "too many rows", "split the file"));
        }
        rows.push(parse(path, line, row, rows.first().map(VoteCounts::classes))?);
    }
    if rows.is_empty() {
        return Err(malformed(path, 1, String::new(), "no votes", "give a row of counts per query"));
    }
    Ok(rows)
}

fn parse(path: &Path, line: usize, row: &str, classes: Option<usize>) -> Result<VoteCounts, Fault> {
    let mut counts = Vec::with_capacity(classes.unwrap_or(16));
    for (column, cell) in (1..).zip(row.split(',')) {
        let cell = cell.trim();
        let count = cell.parse().map_err(|_| {
            let fix = "give whole numbers of votes, and no header line";
            let place = format!("{}, line {line}, column {column}", path.display());
            Fault::input("malformed-file", place, shortened(cell), "not a vote count", fix)
        })?;
        counts.push(count);
    }
    let found = counts.len();
    if let Some(expected) = classes.filter(|classes| *classes != found) {
        let problem = format!("{found} classes, but {expected} in the first row");
        return Err(malformed(path, line, found.to_string(), problem, "give every row as many columns"));
    }
    VoteCounts::new(counts).map_err(|error| {
        let words = error.to_string();
        let (problem, fix) = words.rsplit_once(": ").unwrap_or((&words, "see `conclave help`"));
        malformed(path, line, found.to_string(), problem, fix)
    })
}

fn malformed(path: &Path, line: usize, value: String, problem: impl std::fmt::Display, fix: &str) -> Fault {
    Fault::input("malformed-file", format!("{}, line {line}", path.display()), value, problem, fix)
}

/// A cell that may be anything, for a message.
fn shortened(cell: &str) -> String {
    const SHOWN: usize = 40;
    if cell.chars().count() <= SHOWN {
        cell.to_owned()
    } else {
        cell.chars().take(SHOWN).chain(['…']).collect()
    }
}
