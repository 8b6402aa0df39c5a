//! Vote counts from a text file: a row per query, a column per class, whole numbers, no header. Predictions likewise.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use conclave_privacy::mechanism::StudentPrediction;
use conclave_privacy::planning::PublicVotes;
use conclave_privacy::{ClassIndex, VoteCounts};

use super::super::Fault;

/// The most rows that are read.
const ROWS_MAX: usize = 10_000_000;

/// Reads all rows; names the line and column of the first value that is not a count.
pub(super) fn read(path: &Path) -> Result<Vec<VoteCounts>, Fault> {
    rows(path, |line, row, first: Option<&VoteCounts>| parse(path, line, row, first.map(VoteCounts::classes)))
}

/// The rows of a file that has some, each read in the light of the first.
fn rows<T>(
    path: &Path,
    mut read: impl FnMut(usize, &str, Option<&T>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let text = text_of(path, "give the path of a text file with comma-separated vote counts")?;
    let mut rows = Vec::new();
    for (line, row) in (1..).zip(text.lines()).filter(|(_, row)| !row.trim().is_empty()) {
        if rows.len() == ROWS_MAX {
            return Err(malformed(path, line, String::new(), "too many rows", "split the file"));
        }
        rows.push(read(line, row, rows.first())?);
    }
    if rows.is_empty() {
        return Err(malformed(path, 1, String::new(), "no votes", "give a row of counts per query"));
    }
    Ok(rows)
}

/// Reads a vote model: public votes, and with `truth` the true class of each row in the column after them, counted from 0.
pub(super) fn model(path: &Path, classes: usize, truth: bool) -> Result<PublicVotes, Fault> {
    let of_classes = |counts: VoteCounts| {
        let found = counts.classes();
        if found == classes {
            return Ok(counts);
        }
        let (problem, fix) = if truth {
            (
                format!(
                    "the file has {found} classes before the column that --truth takes for the true class"
                ),
                format!("leave out --truth if the last column is a class; else give --classes {found}"),
            )
        } else {
            (format!("the file has {found} classes"), format!("give --classes {found}"))
        };
        Err(Fault::input("invalid-value", "--classes", classes.to_string(), problem, fix))
    };
    let refused = |refusal: conclave_privacy::Error| {
        let fault = Fault::from(refusal);
        let message = format!("--vote-model {}: {}", path.display(), fault.message);
        let (field, value) = ("--vote-model".to_owned(), path.display().to_string());
        Fault { field, value, message, ..fault }
    };
    // Whoever gives this flag says that the votes are public.
    if !truth {
        let votes = rows(path, |line, row, first: Option<&VoteCounts>| {
            of_classes(parse(path, line, row, first.map(VoteCounts::classes))?)
        });
        return PublicVotes::declared_public(votes?).map_err(refused);
    }
    let labelled = rows(path, |line, row, first: Option<&(VoteCounts, ClassIndex)>| {
        let (counts, label) = row.rsplit_once(',').unwrap_or(("", row));
        let counts = parse(path, line, counts, first.map(|(counts, _)| counts.classes()))?;
        let (counts, label) = (of_classes(counts)?, label.trim());
        let known = label.parse().ok().filter(|label: &u32| (*label as usize) < classes);
        let known = known.ok_or_else(|| {
            let place = format!("{}, line {line}, column {}", path.display(), classes + 1);
            let fix = format!("end the row with its true class, from 0 to {}", classes - 1);
            Fault::input("malformed-file", place, shortened(label), "not a class", fix)
        })?;
        Ok((counts, ClassIndex(known)))
    });
    let (votes, labels) = labelled?.into_iter().unzip();
    PublicVotes::declared_public(votes).and_then(|model| model.with_truth(labels)).map_err(refused)
}

/// Reads what a student predicts for each of the queries of `votes`: a probability for each class.
///
/// As many teachers are taken to vote on a query as there are votes on it.
pub(super) fn predictions(path: &Path, votes: &[VoteCounts]) -> Result<Vec<StudentPrediction>, Fault> {
    let text = text_of(path, "give the path of a text file with comma-separated probabilities")?;
    let rows = (1..).zip(text.lines()).filter(|(_, row)| !row.trim().is_empty());
    let mut read = Vec::with_capacity(votes.len());
    for ((line, row), counts) in rows.clone().zip(votes) {
        let fix = "give a probability for each class, and no header line";
        let probabilities: Vec<f64> = cells(path, line, row, "not a probability", fix)?;
        let found = probabilities.len();
        if found != counts.classes() {
            let problem = format!("{found} classes, but {} in the votes", counts.classes());
            return Err(malformed(path, line, found.to_string(), problem, "give every row as many columns"));
        }
        // More than 2^53 teachers are refused, so a sum that does not fit may stand for them.
        let teachers = counts.as_slice().iter().copied().fold(0, u64::saturating_add);
        read.push(StudentPrediction::new(teachers, &probabilities).map_err(|error| {
            let words = error.to_string();
            let (problem, fix) = words.rsplit_once(": ").unwrap_or((&words, "see `conclave help`"));
            malformed(path, line, String::new(), problem, fix)
        })?);
    }
    let found = rows.count();
    if found != votes.len() {
        let problem = format!("{found} rows for {} queries", votes.len());
        return Err(malformed(path, found, found.to_string(), problem, "give a row for each query"));
    }
    Ok(read)
}

fn text_of(path: &Path, fix: &str) -> Result<String, Fault> {
    fs::read_to_string(path)
        .map_err(|error| Fault::input("unreadable-file", "file", path.display().to_string(), error, fix))
}

/// The cells of one row; names the line and column of the first that is no number of its kind.
fn cells<T: FromStr>(path: &Path, line: usize, row: &str, problem: &str, fix: &str) -> Result<Vec<T>, Fault> {
    let cells = (1..).zip(row.split(',').map(str::trim));
    cells
        .map(|(column, cell)| {
            cell.parse().map_err(|_| {
                let place = format!("{}, line {line}, column {column}", path.display());
                Fault::input("malformed-file", place, shortened(cell), problem, fix)
            })
        })
        .collect()
}

fn parse(path: &Path, line: usize, row: &str, classes: Option<usize>) -> Result<VoteCounts, Fault> {
    let fix = "give whole numbers of votes, and no header line";
    let counts: Vec<u64> = cells(path, line, row, "not a vote count", fix)?;
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
