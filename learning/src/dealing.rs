//! Private rows to organisations, in simulations only: in a real consortium every silo brings its own.
//!
//! A subject's rows never reach two organisations.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution as _, Gamma};
use serde::{Deserialize, Serialize};

use crate::{Dataset, Error, Result};

/// How rows are dealt; written `iid`, `dirichlet:ALPHA`, `by:COLUMN` or `sizes:A,B,…`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Dealing {
    /// Shuffled, in parts as equal as can be (of subjects, where the data names them).
    Iid,
    /// Each class in shares of its own: for every label, the organisations' shares are drawn from a symmetric Dirichlet
    /// law, so that organisations differ in size and in what they see (Hsu, Qi, Brown 2019). A subject counts as of the
    /// label of its first row.
    Dirichlet {
        /// The concentration, from 0.01 to 1000: small values make silos that know few classes, large ones approach iid.
        alpha: f64,
    },
    /// Rows with the same value in this column stay together; values are dealt round in ascending order.
    By {
        /// A feature by name, `label` or `subject`.
        column: String,
    },
    /// Shuffled, in parts as large as these numbers say: of all rows (or subjects, where the data names them), each
    /// organisation gets its number's share of their sum. Numbers that add up to what there is are met exactly.
    Sizes {
        /// One whole number from 1 per organisation.
        sizes: Vec<u32>,
    },
}

impl Dealing {
    /// One data set per organisation; each row goes to exactly one of them.
    ///
    /// Refused: no organisations, more of them than there are groups to deal, an unknown column, or a subject whose
    /// rows would reach two organisations.
    pub fn deal(&self, dataset: &Dataset, organisations: u32, seed: u64) -> Result<Vec<Dataset>> {
        let groups = match self {
            Self::Iid | Self::Dirichlet { .. } | Self::Sizes { .. } => shuffled(dataset, seed),
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
        let rows_of = match self {
            Self::Iid | Self::By { .. } => in_turn(groups, count),
            Self::Sizes { sizes } => in_sizes(groups, count, sizes)?,
            Self::Dirichlet { alpha } => in_shares(dataset, groups, count, *alpha, seed)?,
        };
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

fn in_turn(groups: Vec<Vec<usize>>, organisations: usize) -> Vec<Vec<usize>> {
    let mut rows_of = vec![Vec::new(); organisations];
    for (turn, group) in groups.into_iter().enumerate() {
        rows_of[turn % organisations].extend(group);
    }
    rows_of
}

/// Deals consecutive groups; the ends of the parts are rounded, so no part is off by more than one group.
fn in_sizes(groups: Vec<Vec<usize>>, organisations: usize, sizes: &[u32]) -> Result<Vec<Vec<usize>>> {
    let refused = |fix: String| Err(Error::argument("partition sizes", format!("{sizes:?}"), fix));
    if sizes.len() != organisations {
        return refused(format!("give one size for each of the {organisations} organisations"));
    }
    let all: u128 = sizes.iter().map(|size| u128::from(*size)).sum();
    let count = groups.len() as u128;
    let mut rows_of = vec![Vec::new(); organisations];
    let (mut groups, mut dealt, mut sum) = (groups.into_iter(), 0, 0);
    for (rows, size) in rows_of.iter_mut().zip(sizes) {
        sum += u128::from(*size);
        // Half a group is rounded up.
        let end = (2 * count * sum + all) / (2 * all);
        for group in groups.by_ref().take(usize::try_from(end - dealt).unwrap_or(usize::MAX)) {
            rows.extend(group);
        }
        dealt = end;
        if rows.is_empty() {
            return refused("an organisation is left without a row: give it a larger part".to_owned());
        }
    }
    Ok(rows_of)
}

/// Deals the groups of each label in shares drawn for that label; drawn anew while an organisation has nothing.
fn in_shares(
    dataset: &Dataset,
    groups: Vec<Vec<usize>>,
    organisations: usize,
    alpha: f64,
    seed: u64,
) -> Result<Vec<Vec<usize>>> {
    let refused = |fix: &str| Err(Error::argument("partition dirichlet", alpha, fix));
    let Some(labels) = dataset.labels() else { return refused("deal rows that have labels, or use iid") };
    let Ok(gamma) = Gamma::new(alpha, 1.0) else { return refused("give a number from 0.01 to 1000") };
    let mut of_label: BTreeMap<usize, Vec<Vec<usize>>> = BTreeMap::new();
    for group in groups {
        of_label.entry(labels[group[0]].index()).or_default().push(group);
    }
    let mut rng = ChaCha20Rng::seed_from_u64(seed ^ SHARES);
    for _ in 0..DRAWS_MAX {
        let mut rows_of = vec![Vec::new(); organisations];
        for groups in of_label.values() {
            let weights: Vec<f64> = (0..organisations).map(|_| gamma.sample(&mut rng)).collect();
            let all: f64 = weights.iter().sum();
            let (mut organisation, mut share) = (0, weights[0]);
            for (turn, group) in groups.iter().enumerate() {
                // The middle of the group's place, as a part of all weight.
                let place = (turn as f64 + 0.5) / groups.len() as f64 * all;
                while place > share && organisation + 1 < organisations {
                    organisation += 1;
                    share += weights[organisation];
                }
                rows_of[organisation].extend(group);
            }
        }
        if rows_of.iter().all(|rows: &Vec<usize>| !rows.is_empty()) {
            return Ok(rows_of);
        }
    }
    refused("an organisation is left without a row: give a larger alpha, or fewer organisations")
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
            Some(("dirichlet", alpha)) => match alpha.parse() {
                Ok(alpha) if ALPHA.contains(&alpha) => Ok(Self::Dirichlet { alpha }),
                _ => {
                    Err(Error::argument("partition", format!("{text:?}"), "give an alpha from 0.01 to 1000"))
                }
            },
            Some(("by", column)) if !column.is_empty() => Ok(Self::By { column: column.to_owned() }),
            Some(("sizes", list)) => {
                match list.split(',').map(str::parse).collect::<std::result::Result<Vec<u32>, _>>() {
                    Ok(sizes) if sizes.iter().all(|size| *size > 0) => Ok(Self::Sizes { sizes }),
                    _ => Err(Error::argument(
                        "partition",
                        format!("{text:?}"),
                        "give whole numbers from 1, such as sizes:300,100,100",
                    )),
                }
            }
            _ => Err(Error::argument(
                "partition",
                format!("{text:?}"),
                "use iid, dirichlet:ALPHA, by:COLUMN or sizes:A,B,…",
            )),
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
            Self::Dirichlet { alpha } => write!(f, "dirichlet:{alpha}"),
            Self::By { column } => write!(f, "by:{column}"),
            Self::Sizes { sizes } => {
                let sizes: Vec<String> = sizes.iter().map(u32::to_string).collect();
                write!(f, "sizes:{}", sizes.join(","))
            }
        }
    }
}

/// Concentrations that say something.
const ALPHA: std::ops::RangeInclusive<f64> = 0.01..=1_000.0;
/// Draws of the shares before it is said that they cannot be had.
const DRAWS_MAX: u32 = 1_000;
/// Tells the generator of the shares from that of the shuffle.
const SHARES: u64 = 0x5348_4152_4553;

#[cfg(test)]
mod tests;
