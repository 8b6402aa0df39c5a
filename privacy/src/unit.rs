//! Who is protected, and how many votes they can move: the one place where a sensitivity is made.
//!
//! Two data sets are *neighbours* when they differ in one *privacy unit*. A silo sends each row, by a keyed
//! hash of the row (or of its subject), to one sub-shard, and each sub-shard trains one teacher, which casts
//! one vote per query. So adding or removing a row changes one teacher: one vote moves, that is, one count
//! falls by one and another rises by one. Replacing a row takes it out of one teacher and puts another row
//! into another: two votes move. A subject present in m silos moves up to m votes, and an organisation as
//! many as it hosts teachers; replacing either is a removal and an addition, hence twice as many moves.
//!
//! A vote that is lost or gained outright, as when an organisation leaves, changes less than one that moves:
//! one count by one.
//!
//! With m moves the difference v of the two count vectors has Σ|v| <= 2m and max|v| <= m, hence Σv² <= 2m²,
//! and the largest count changes by at most m. Every price in [`crate::event`] uses these three facts and no
//! others.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a neighbouring data set differs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PrivacyUnit {
    /// One row.
    Record,
    /// All rows of one person.
    Subject {
        /// In how many silos one person may have rows, as the silos declare.
        max_silos_per_subject: u32,
    },
    /// All rows of one silo.
    Organisation {
        /// The most teachers that one silo hosts.
        teachers_max: u32,
    },
}

/// How a neighbouring data set differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adjacency {
    /// One unit is added or removed.
    #[default]
    AddRemove,
    /// One unit is replaced by another: a removal and an addition.
    Replace,
}

/// How private data become votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VotingScheme {
    /// Each teacher votes once on each query: Private Aggregation of Teacher Ensembles (Papernot et al.
    /// 2017).
    #[default]
    Ensemble,
}

/// The most votes that one unit can move in one query, and the unit and adjacency for which that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sensitivity {
    moves: u32,
    unit: PrivacyUnit,
    adjacency: Adjacency,
}

impl PrivacyUnit {
    /// The unit as one word: `record`, `subject` or `organisation`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Subject { .. } => "subject",
            Self::Organisation { .. } => "organisation",
        }
    }
}

impl Adjacency {
    /// The adjacency as one word: `add-remove` or `replace`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AddRemove => "add-remove",
            Self::Replace => "replace",
        }
    }
}

impl VotingScheme {
    /// The scheme as one word: `ensemble`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ensemble => "ensemble",
        }
    }
}

impl Sensitivity {
    /// The largest number of moves that can be priced.
    pub const MOVES_MAX: u32 = 1 << 20;

    /// What one `unit` can change in the counts of one query, under `adjacency` and `scheme`.
    ///
    /// Refuses a unit that allows no silo or no teacher, or more than [`Sensitivity::MOVES_MAX`] moves.
    pub fn of(unit: PrivacyUnit, adjacency: Adjacency, scheme: VotingScheme) -> Result<Self, Error> {
        let VotingScheme::Ensemble = scheme;
        let (field, teachers) = match unit {
            PrivacyUnit::Record => ("record", 1),
            PrivacyUnit::Subject { max_silos_per_subject } => {
                ("max_silos_per_subject", max_silos_per_subject)
            }
            PrivacyUnit::Organisation { teachers_max } => ("teachers_max", teachers_max),
        };
        let steps = match adjacency {
            Adjacency::AddRemove => 1,
            Adjacency::Replace => 2,
        };
        let moves = teachers.saturating_mul(steps);
        if moves == 0 || moves > Self::MOVES_MAX {
            let fix = "give at least 1, and no more than makes 2^20 moved votes";
            return Err(Error::OutOfRange { field, value: f64::from(teachers), fix });
        }
        Ok(Self { moves, unit, adjacency })
    }

    /// m, the most votes that move in one query; each lowers one count by one and raises another by one.
    pub const fn moves(&self) -> u32 {
        self.moves
    }

    /// The unit that is protected.
    pub const fn unit(&self) -> PrivacyUnit {
        self.unit
    }

    /// How neighbouring data sets differ.
    pub const fn adjacency(&self) -> Adjacency {
        self.adjacency
    }

    /// Who is protected, in plain words, such as "one record added or removed".
    pub fn words(&self) -> String {
        let unit = match self.unit {
            PrivacyUnit::Record => "one record".to_owned(),
            PrivacyUnit::Subject { max_silos_per_subject: 1 } => {
                "all records of one person (in one silo)".to_owned()
            }
            PrivacyUnit::Subject { max_silos_per_subject } => {
                format!("all records of one person (in up to {max_silos_per_subject} silos)")
            }
            PrivacyUnit::Organisation { teachers_max: 1 } => {
                "all records of one organisation (one teacher)".to_owned()
            }
            PrivacyUnit::Organisation { teachers_max } => {
                format!("all records of one organisation (up to {teachers_max} teachers)")
            }
        };
        match self.adjacency {
            Adjacency::AddRemove => format!("{unit} added or removed"),
            Adjacency::Replace => format!("{unit} replaced by another"),
        }
    }
}

impl fmt::Display for Sensitivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words())
    }
}
