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
//! others. Votes of weight w make m·w of m.
//!
//! # Votes of records
//! Where records vote themselves, each on at most k counts of one histogram for the whole campaign, the sensitivity is
//! [`HistogramSensitivity`]. Conditions: a record's cells follow from the record, a public codebook and earlier releases alone (no
//! "k nearest records", no quotas for cells); one counter per record for all rounds; noise on every count.
//!
//! # Units that are not protected alike
//! Individualised PATE gives groups of records different budgets: [`crate::individualised`]. A record in the shards of d teachers
//! moves d votes ([`Sensitivity::copied`]); a vote that weighs w moves counts by w ([`Sensitivity::weighing`]).

use crate::Error;
use crate::quantity::{NoiseScale, Rho};
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
    weight: u32,
    unit: PrivacyUnit,
    adjacency: Adjacency,
}

/// Where the contributions of one record may fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Places {
    /// On different counts.
    Distinct,
    /// Anywhere, several on one count too.
    Any,
}

/// How far one unit can move the counts of a histogram, over a whole campaign.
///
/// A unit adds a vector a >= 0 to the counts, with Σa <= L = s·k for s silos that bound it to k each, and no entry above s
/// (distinct places) or s·k (any). So |a|² <= Σa · max a. A replacement moves a - b, and |a - b|² <= |a|² + |b|².
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HistogramSensitivity {
    l1: u64,
    l2_square: u128,
    unit: PrivacyUnit,
    adjacency: Adjacency,
    /// What it follows from, if from votes: copies and weights are of no unit.
    votes: Option<Sensitivity>,
}

impl HistogramSensitivity {
    /// The largest k.
    pub const COUNTS_MAX: u32 = 1 << 20;

    /// What one `unit` can change if each silo lets it add to at most `counts_max` counts, at these `places`.
    ///
    /// Refuses an organisation, which no such bound covers, and zero or too many counts or silos.
    pub fn of(
        unit: PrivacyUnit,
        adjacency: Adjacency,
        counts_max: u32,
        places: Places,
    ) -> Result<Self, Error> {
        let silos = match unit {
            PrivacyUnit::Record => 1,
            PrivacyUnit::Subject { max_silos_per_subject } => max_silos_per_subject,
            PrivacyUnit::Organisation { .. } => return Err(Error::UnboundedUnit { unit: unit.name() }),
        };
        for (field, value) in [("counts_max", counts_max), ("max_silos_per_subject", silos)] {
            if value == 0 || value > Self::COUNTS_MAX {
                let fix = "give between 1 and 2^20";
                return Err(Error::OutOfRange { field, value: f64::from(value), fix });
            }
        }
        let sum = u64::from(silos) * u64::from(counts_max);
        let largest = match places {
            Places::Distinct => u64::from(silos),
            Places::Any => sum,
        };
        let worlds = match adjacency {
            Adjacency::AddRemove => 1,
            Adjacency::Replace => 2,
        };
        let l2_square = u128::from(worlds) * u128::from(sum) * u128::from(largest);
        Ok(Self { l1: worlds * sum, l2_square, unit, adjacency, votes: None })
    }

    /// What a unit can change in the teachers' counts of one query, all of which are then seen: m moves of weight w make 2mw and 2m²w².
    pub fn of_votes(sensitivity: &Sensitivity) -> Self {
        let shift = sensitivity.shift();
        Self {
            l1: 2 * u64::from(shift),
            l2_square: 2 * u128::from(shift) * u128::from(shift),
            unit: sensitivity.unit(),
            adjacency: sensitivity.adjacency(),
            votes: Some(*sensitivity),
        }
    }

    /// Whether it is of the unit and the adjacency of `sensitivity`, and if of votes, of as many with the same weight.
    pub(crate) fn protects_as(&self, sensitivity: &Sensitivity) -> bool {
        let votes = self.votes.is_none_or(|votes| votes == *sensitivity);
        votes && (self.unit, self.adjacency) == (sensitivity.unit(), sensitivity.adjacency())
    }

    /// ρ of noise of this `scale` on every count, Laplace or Gaussian, rounded up: Σv²/2 in squared scales.
    pub(crate) fn rho(&self, scale: NoiseScale) -> Result<Rho, Error> {
        let steps = u128::from(scale.steps());
        Rho::ratio_up("price", self.l2_square, 2 * u32::from(scale.lattice().bits()), 2 * steps * steps)
    }

    /// Pure ε of Laplace noise of this `scale` on every count, rounded up: Σ|v| in scales.
    pub(crate) fn pure_epsilon(&self, scale: NoiseScale) -> Result<Rho, Error> {
        Rho::ratio_up("epsilon", self.l1.into(), scale.lattice().bits().into(), scale.steps().into())
    }

    /// The most by which all counts together change.
    pub const fn l1(&self) -> u64 {
        self.l1
    }

    /// The largest sum of squared changes.
    pub const fn l2_square(&self) -> u128 {
        self.l2_square
    }
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
        Ok(Self { moves, weight: 1, unit, adjacency })
    }

    /// The same unit where its votes weigh `weight` units of a grid each: a move shifts two counts by so many units.
    ///
    /// Refuses zero, and a [`Sensitivity::shift`] of more than [`Sensitivity::MOVES_MAX`] units.
    pub fn weighing(self, weight: u32) -> Result<Self, Error> {
        let fix = "give a weight of at least one unit, and no more than makes 2^20 units with all moves";
        Self { weight: self.weight.saturating_mul(weight), ..self }.checked("weight", weight, fix)
    }

    /// The same unit where each of its rows is in the shards of `copies` teachers: each move is so many.
    ///
    /// Refuses zero, and a [`Sensitivity::shift`] of more than [`Sensitivity::MOVES_MAX`].
    pub fn copied(self, copies: u32) -> Result<Self, Error> {
        let fix = "give each row to at least one teacher, and to no more than makes 2^20 moved votes";
        Self { moves: self.moves.saturating_mul(copies), ..self }.checked("copies", copies, fix)
    }

    fn checked(self, field: &'static str, value: u32, fix: &'static str) -> Result<Self, Error> {
        if self.shift() == 0 || self.shift() > Self::MOVES_MAX {
            return Err(Error::OutOfRange { field, value: f64::from(value), fix });
        }
        Ok(self)
    }

    /// m, the most votes that move in one query; each lowers one count by one and raises another by one.
    pub const fn moves(&self) -> u32 {
        self.moves
    }

    /// Whether a unit moves one vote of weight one and neither takes one away nor adds one: what smooth sensitivity is proven for. An
    /// organisation with one teacher takes its vote along.
    pub const fn is_one_moved_vote(&self) -> bool {
        self.moves == 1 && self.weight == 1 && !matches!(self.unit, PrivacyUnit::Organisation { .. })
    }

    /// What one vote weighs, in the unit of the counts; one unless said otherwise.
    pub const fn weight(&self) -> u32 {
        self.weight
    }

    /// The most by which one count changes: moves times weight.
    pub const fn shift(&self) -> u32 {
        self.moves.saturating_mul(self.weight)
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
        let unit = self.unit;
        match self.adjacency {
            Adjacency::AddRemove => format!("{unit} added or removed"),
            Adjacency::Replace => format!("{unit} replaced by another"),
        }
    }
}

impl fmt::Display for PrivacyUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record => f.write_str("one record"),
            Self::Subject { max_silos_per_subject: 1 } => {
                f.write_str("all records of one person (in one silo)")
            }
            Self::Subject { max_silos_per_subject } => {
                write!(f, "all records of one person (in up to {max_silos_per_subject} silos)")
            }
            Self::Organisation { teachers_max: 1 } => {
                f.write_str("all records of one organisation (one teacher)")
            }
            Self::Organisation { teachers_max } => {
                write!(f, "all records of one organisation (up to {teachers_max} teachers)")
            }
        }
    }
}

impl fmt::Display for Sensitivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words())
    }
}
