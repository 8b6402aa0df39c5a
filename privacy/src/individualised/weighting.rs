//! Weighting: votes that do not all weigh the same; groups with larger budgets speak louder, and pay for it.
//!
//! A weight is a whole number of units, of which a vote has `units_per_vote`, so counts stay whole numbers and sums are exact. A
//! mechanism is written in the same units ([`WeightGrid::mechanism`]): nothing of its law changes but the name of the unit.
//!
//! For the records of a teacher with weight w (in votes) a move shifts two counts by w: its published price is w² that of a vote
//! of weight one, since every ρ of [`crate::event`] grows with the square of the shift, and pure ε grows by w. The exact worst
//! case is that at noise σ/w, also on the lattice: the three-outcome reduction and the gap to the lattice know the shift only in
//! units of the noise ([`crate::worst_case`]). That holds for one move that keeps its weight; more moves have the published price.
//!
//! A unit whose records are spread over groups pays for the heaviest of them. Weights are public, and chosen without the data.

use crate::Error;
use crate::counts::{ClassIndex, VoteCounts, check_classes};
use crate::mechanism::{ConfidentGnMax, GnMax, LnMax, Mechanism};
use crate::quantity::{FilterOrder, NoiseScale, Rho, Scale, Threshold, in_range};
use crate::unit::Sensitivity;

/// The grid of weights: a vote of weight one has so many units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WeightGrid {
    units_per_vote: u32,
}

/// The weight of a vote in units of its grid, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u32);

/// What one query costs the records of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupPrice {
    /// The weight of the group's votes.
    pub weight: Weight,
    /// If everything runs that may run; data-independent, rounded up.
    pub worst_case: Rho,
}

impl WeightGrid {
    /// The most units of a vote of weight one.
    pub const UNITS_MAX: u32 = 1 << 10;
    /// Weights in whole votes.
    pub(super) const WHOLE: Self = Self { units_per_vote: 1 };

    /// Weights in multiples of 1/`units_per_vote`, from 1 to [`WeightGrid::UNITS_MAX`].
    pub fn new(units_per_vote: u32) -> Result<Self, Error> {
        if units_per_vote == 0 || units_per_vote > Self::UNITS_MAX {
            let fix = "give between 1 and 1024 units a vote, such as 100";
            return Err(Error::OutOfRange { field: "units_per_vote", value: f64::from(units_per_vote), fix });
        }
        Ok(Self { units_per_vote })
    }

    /// The weight nearest to `votes`, at least one unit and at most 1024 votes. Prices are those of the weight as it is rounded.
    pub fn weight(self, votes: f64) -> Result<Weight, Error> {
        let fix = "give a weight greater than 0 and at most 1024, such as 1.5";
        let votes = in_range("weight", votes, |x| x > 0.0 && x <= 1024.0, fix)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in 0..=2^20")]
        let units = libm::round(votes * f64::from(self.units_per_vote)) as u32;
        Ok(Weight(units.max(1)))
    }

    /// The votes of weighted teachers, counted in units; refuses all if one names a class that does not exist.
    pub fn counts(
        self,
        classes: usize,
        votes: impl IntoIterator<Item = (ClassIndex, Weight)>,
    ) -> Result<VoteCounts, Error> {
        let max = check_classes(classes)?;
        let mut counts = vec![0_u64; classes];
        for (class, weight) in votes {
            let count = counts.get_mut(class.position()).ok_or(Error::VoteOutOfRange { max })?;
            *count = count.saturating_add(weight.0.into());
        }
        VoteCounts::new(counts)
    }

    /// The same mechanism for counts in units: the same noise and threshold, in the smaller unit. Refuses what exceeds
    /// 2^62 lattice steps.
    pub fn mechanism(self, mechanism: &Mechanism) -> Result<Mechanism, Error> {
        Ok(match mechanism {
            Mechanism::LnMax(lnmax) => LnMax::new(self.noise(lnmax.scale())?).into(),
            Mechanism::GnMax(gnmax) => GnMax::new(self.noise(gnmax.sigma())?).into(),
            Mechanism::ConfidentGnMax(confident) => {
                let threshold = confident.threshold();
                let steps = threshold.steps().saturating_mul(self.units_per_vote.into());
                ConfidentGnMax::new(
                    Threshold::from_steps(steps, threshold.lattice())?,
                    self.noise(confident.sigma1())?,
                    self.noise(confident.sigma2())?,
                )?
                .into()
            }
        })
    }

    /// What a query of `mechanism` (in votes) costs each of the `groups`, for a unit with this `sensitivity`, in accounts that
    /// bound the orders up to `order`.
    pub fn prices(
        self,
        mechanism: &Mechanism,
        groups: &[Weight],
        sensitivity: &Sensitivity,
        order: FilterOrder,
    ) -> Result<Vec<GroupPrice>, Error> {
        let in_units = self.mechanism(mechanism)?;
        let price = |weight: &Weight| {
            let worst_case = in_units.worst_case_within(&sensitivity.weighing(weight.0)?, order)?;
            Ok(GroupPrice { weight: *weight, worst_case })
        };
        groups.iter().map(price).collect()
    }

    /// Noise of `scale` as a vote of this weight sees it: scale/w, rounded down, for the accountants of [`crate::worst_case`]
    /// and [`crate::pld`].
    pub fn as_seen(self, scale: Scale, weight: Weight) -> Result<Scale, Error> {
        let exact = scale.get() * f64::from(self.units_per_vote) / f64::from(weight.0);
        // Two operations, each within half a unit in the last place.
        Scale::new(exact * (1.0 - 2.0 * f64::EPSILON))
    }

    /// What a weight is in votes, for people.
    pub fn votes(self, weight: Weight) -> f64 {
        f64::from(weight.0) / f64::from(self.units_per_vote)
    }

    /// The same weights on the coarsest grid that has them all.
    pub(super) fn reduced(self, weights: &[Weight]) -> (Self, Vec<Weight>) {
        let unit = weights.iter().fold(self.units_per_vote, |unit, weight| greatest_common(unit, weight.0));
        let reduced = weights.iter().map(|weight| Weight(weight.0 / unit)).collect();
        (Self { units_per_vote: self.units_per_vote / unit }, reduced)
    }

    pub(super) fn noise(self, scale: NoiseScale) -> Result<NoiseScale, Error> {
        NoiseScale::from_steps(scale.steps().saturating_mul(self.units_per_vote.into()), scale.lattice())
    }
}

impl Weight {
    /// One unit: a whole vote where votes have one.
    pub(super) const ONE: Self = Self(1);

    /// In units of its grid.
    pub const fn units(self) -> u32 {
        self.0
    }
}

/// The greatest common divisor; of two numbers of which one is not 0, not 0.
const fn greatest_common(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common(b, a % b) }
}
