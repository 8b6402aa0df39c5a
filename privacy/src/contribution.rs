//! Contribution bounding: no record moves more than k counts in a whole campaign, however many queries it has.
//!
//! Where records vote themselves (Private-kNN, Zhu et al. 2020), a record that votes on every query pays for every query. With a
//! bound k it pays for k, whatever the number n of queries: on the others its presence changes nothing. Two parts:
//!
//! - [`ContributionBound::nearest`] assigns a record to the k queries nearest to it. The assignment depends on this record and on
//!   public queries alone, so no record moves the votes of another.
//! - [`Contributions`] counts what each record has moved and leaves it out, silently, from the (k+1)-th vote on.
//!
//! One added or removed record changes at most k counts by one; a replaced one at most 2k. Each changed count costs 1/(2σ²) of ρ with
//! Gaussian noise and 1/(2b²) with Laplace noise on every count, because noises are independent. Who has voted how often is
//! private, and stays a [`Secret`].

use crate::Error;
use crate::counts::{ClassIndex, VoteCounts};
use crate::mechanism::NoisyHistogram;
use crate::quantity::{NoiseScale, Rho};
use crate::secret::Secret;
use crate::unit::{Adjacency, HistogramSensitivity, Places, PrivacyUnit};
use std::collections::HashSet;

/// k, the most counts that one record moves in a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContributionBound {
    counts_max: u32,
}

/// What each record has moved so far.
#[derive(Debug)]
pub struct Contributions {
    bound: ContributionBound,
    moved: Secret<Vec<u32>>,
}

impl ContributionBound {
    /// The largest k.
    pub const COUNTS_MAX: u32 = HistogramSensitivity::COUNTS_MAX;

    /// At most `counts_max` counts per record. Refuses 0 and more than [`ContributionBound::COUNTS_MAX`].
    pub fn new(counts_max: u32) -> Result<Self, Error> {
        if counts_max == 0 || counts_max > Self::COUNTS_MAX {
            let fix = "give between 1 and 2^20 counts that one record may move";
            return Err(Error::OutOfRange { field: "counts_max", value: f64::from(counts_max), fix });
        }
        Ok(Self { counts_max })
    }

    /// k.
    pub const fn counts_max(self) -> u32 {
        self.counts_max
    }

    /// The queries on which one record votes: the k nearest by its `distances` to all of them, equal ones by their
    /// number. Refuses a distance that is not a number.
    pub fn nearest(self, distances: &[f64]) -> Result<Secret<Vec<usize>>, Error> {
        if let Some(&value) = distances.iter().find(|distance| distance.is_nan()) {
            let fix = "give a distance to each query, a number";
            return Err(Error::NotFinite { field: "distance", value, fix });
        }
        let mut queries: Vec<usize> = (0..distances.len()).collect();
        queries.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]).then(a.cmp(&b)));
        queries.truncate(usize::try_from(self.counts_max).unwrap_or(usize::MAX));
        Ok(Secret::new(queries))
    }

    /// ρ of a whole campaign of noisy maxima with Gaussian noise σ on each count, of however many queries: k/(2σ²) for one record
    /// added or removed, k/σ² for one replaced. Rounded up.
    pub fn gaussian_campaign(self, adjacency: Adjacency, sigma: NoiseScale) -> Result<Rho, Error> {
        NoisyHistogram::Gaussian(sigma).price(&self.sensitivity(adjacency)?)
    }

    /// The same with Laplace noise of scale b: (1/b)-DP per changed count, hence 1/(2b²) of ρ (Bun and Steinke 2016, Proposition
    /// 1.4).
    pub fn laplace_campaign(self, adjacency: Adjacency, scale: NoiseScale) -> Result<Rho, Error> {
        NoisyHistogram::Laplace(scale).price(&self.sensitivity(adjacency)?)
    }

    /// What one record can change in all counts of a campaign: it votes once on a query, so on distinct counts.
    fn sensitivity(self, adjacency: Adjacency) -> Result<HistogramSensitivity, Error> {
        HistogramSensitivity::of(PrivacyUnit::Record, adjacency, self.counts_max, Places::Distinct)
    }
}

impl Contributions {
    /// For `records` records that have not voted yet.
    pub fn new(records: usize, bound: ContributionBound) -> Self {
        Self { bound, moved: Secret::new(vec![0; records]) }
    }

    /// The counts of one query from the `votes` of records, those that have moved k counts already left out.
    ///
    /// Refuses, counting nothing, a record that does not exist or votes twice on this query, and a class that does not exist.
    pub fn count(&mut self, classes: usize, votes: &[(usize, ClassIndex)]) -> Result<VoteCounts, Error> {
        VoteCounts::from_votes(classes, votes.iter().map(|(_, class)| *class))?;
        let moved = self.moved.inside_mut();
        let mut seen = HashSet::with_capacity(votes.len());
        for (record, _) in votes {
            if *record >= moved.len() {
                return Err(Error::RecordOutOfRange { records: moved.len() });
            }
            if !seen.insert(*record) {
                return Err(Error::VotesTwice);
            }
        }
        let kept = votes.iter().filter(|(record, _)| {
            let may = moved[*record] < self.bound.counts_max;
            moved[*record] += u32::from(may);
            may
        });
        VoteCounts::from_votes(classes, kept.map(|(_, class)| *class))
    }

    /// How many counts each record has moved.
    pub fn moved(&self) -> Secret<Vec<u32>> {
        Secret::new(self.moved.inside().clone())
    }
}
