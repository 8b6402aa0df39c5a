//! Private rows to organisations, in simulations only: in a real consortium every silo brings its own.
//!
//! A subject's rows never reach two organisations.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha20Rng;
use serde::{Deserialize, Serialize};

use crate::{Dataset, Error, Result};

/// How rows are dealt; written `iid` or `by:COLUMN`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Dealing {
    /// Shuffled, in parts as equal as can be (of subjects, where the data names them).
    Iid,
    /// Rows with the same value in this column stay together; values are dealt round in ascending order.
    By {
        /// A feature by name, `label` or `subject`.
        column: String,
    },
}

impl Dealing {
    /// One data set per organisation; each row goes to exactly one of them.
    ///
    /// Refused: no organisations, more of them than there are groups to deal, an unknown column, or a subject whose
    /// rows would reach two organisations.
    pub fn deal(&self, dataset: &Dataset, organisations: u32, seed: u64) -> Result<Vec<Dataset>> {
        let groups = match self {
            Self::Iid => shuffled(dataset, seed),
            Self::By { column } => by_value(dataset, column)?,
        };
        let count = organisations as usize;
        if count == 0 || count > groups.len() {
            return Err(Error::argument(
                "organisations",
                organisations,
                format!(
                    "this data can be dealt to 1 to {} organisations with partition {self}",
                    groups.len()
                ),
            ));
        }
        let mut rows_of = vec![Vec::new(); count];
        for (turn, group) in groups.into_iter().enumerate() {
            rows_of[turn % count].extend(group);
        }
        refuse_a_split_subject(dataset, &rows_of)?;
        Ok(rows_of
            .into_iter()
            .map(|mut rows| {
                rows.sort_unstable();
                dataset.select(&rows)
            })
            .collect())
    }
}

fn shuffled(dataset: &Dataset, seed: u64) -> Vec<Vec<usize>> {
    let mut groups = match dataset.subjects() {
        Some(subjects) => grouped(subjects.iter()),
        None => (0..dataset.rows()).map(|row| vec![row]).collect(),
    };
    groups.shuffle(&mut ChaCha20Rng::seed_from_u64(seed));
    groups
}

fn by_value(dataset: &Dataset, column: &str) -> Result<Vec<Vec<usize>>> {
    if let Some(index) = dataset.schema().feature_names().iter().position(|name| name == column) {
        // Finite floats in the order of their values, as sortable keys.
        return Ok(grouped(dataset.features().column(index).iter().map(|value| {
            let bits = (value + 0.0).to_bits();
            if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
        })));
    }
    match (column, dataset.labels(), dataset.subjects()) {
        ("label", Some(labels), _) => Ok(grouped(labels.iter())),
        ("subject", _, Some(subjects)) => Ok(grouped(subjects.iter())),
        _ => Err(Error::argument(
            "partition by column",
            format!("{column:?}"),
            "name a feature of the schema, or label or subject where the data has them",
        )),
    }
}

fn grouped<K: Ord>(keys: impl Iterator<Item = K>) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<K, Vec<usize>> = BTreeMap::new();
    for (row, key) in keys.enumerate() {
        groups.entry(key).or_default().push(row);
    }
    groups.into_values().collect()
}

fn refuse_a_split_subject(dataset: &Dataset, rows_of: &[Vec<usize>]) -> Result<()> {
    let Some(subjects) = dataset.subjects() else { return Ok(()) };
    let mut home: BTreeMap<&str, usize> = BTreeMap::new();
    for (organisation, rows) in rows_of.iter().enumerate() {
        for &row in rows {
            if *home.entry(&subjects[row]).or_insert(organisation) != organisation {
                return Err(Error::argument(
                    "subject",
                    format!("in two shards (row {row})"),
                    "deal by a column that is constant for each subject, or use partition iid",
                ));
            }
        }
    }
    Ok(())
}

impl FromStr for Dealing {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            None if text == "iid" => Ok(Self::Iid),
            Some(("by", column)) if !column.is_empty() => Ok(Self::By { column: column.to_owned() }),
            _ => Err(Error::argument("partition", format!("{text:?}"), "use iid or by:COLUMN")),
        }
    }
}

impl TryFrom<String> for Dealing {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Dealing> for String {
    fn from(dealing: Dealing) -> Self {
        dealing.to_string()
    }
}

impl fmt::Display for Dealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Iid => f.write_str("iid"),
            Self::By { column } => write!(f, "by:{column}"),
        }
    }
}

#[cfg(test)]
mod tests;
