//! What each method lets each group do: copies, weights and turns, the noise for them, and what that costs.
//!
//! All of it is *chosen* by estimates, for the most votes per σ. What is then charged, and that it fits, is computed with the integer
//! prices that a ledger would use.

use super::plan::{Group, GroupCharge, IndividualPlan, IndividualTarget, Method};
use super::{Weight, WeightGrid};
use crate::Error;
use crate::accountant::{epsilon_to_rho_within, rho_to_epsilon_within};
use crate::calibrate::{estimate, refine};
use crate::data_dependent::NoisyVote;
use crate::event::PrivacyEvent;
use crate::planning::{PublicVotes, expected_agreement, readable, record};
use crate::quantity::{Lattice, NoiseScale, Rho, Scale, in_range};
use crate::unit::Sensitivity;
use libm::{floor, sqrt};

/// What a method lets each group do, under one noise.
pub(super) struct Design {
    method: Method,
    grid: WeightGrid,
    sigma: Scale,
    parts: Vec<Part>,
}

/// What one group does.
#[derive(Debug, Clone, Copy)]
struct Part {
    copies: u32,
    weight: Weight,
    queries: u32,
}

/// Chooses designs, and says what they cost.
pub(super) struct Planner<'a> {
    target: &'a IndividualTarget<'a>,
    who: Sensitivity,
    /// The whole teachers of each group, at least one.
    teachers: Vec<u32>,
    /// What the ε of each group allows.
    caps: Vec<Rho>,
    /// About the σ at which a record of each group can pay for a plain vote on every query.
    alone: Vec<f64>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(target: &'a IndividualTarget<'a>) -> Result<Self, Error> {
        let who = record()?;
        let teachers = whole_teachers(target)?;
        let cap = |group: &Group| {
            let cap = epsilon_to_rho_within(group.epsilon(), target.delta, target.order);
            // The least price is one unit.
            let fits = target.queries > 0 && cap.units() >= u64::from(target.queries);
            if fits { Ok(cap) } else { Err(Error::Unreachable { queries: target.queries.into(), cap }) }
        };
        let caps = target.groups.iter().map(cap).collect::<Result<Vec<_>, _>>()?;
        let mut planner = Self { target, who, teachers, caps, alone: Vec::new() };
        planner.alone = planner.caps.iter().map(|cap| planner.sigma_alone(*cap)).collect();
        Ok(planner)
    }

    pub(super) fn uniform(&self) -> Result<Design, Error> {
        let parts = vec![self.full(); self.caps.len()];
        let sigma = self.sigma(PLAIN, &parts)?;
        Ok(Design { method: Method::Uniform, grid: PLAIN, sigma, parts })
    }

    /// Any σ allows each group so many copies; the best is one at which some group just gets another.
    pub(super) fn upsampling(&self) -> Result<Design, Error> {
        let per_copy: Vec<f64> = self.caps.iter().map(|cap| self.published(*cap)).collect();
        let affords = |sigma: f64| -> Vec<u32> {
            let copies = |(alone, per_copy): (&f64, &f64)| {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "at most COPIES_MAX"
                )]
                let copies = floor(sigma / per_copy * (1.0 + 1e-9)).min(f64::from(COPIES_MAX)) as u32;
                copies.max(u32::from(sigma >= *alone)).min(self.target.teachers)
            };
            self.alone.iter().zip(&per_copy).map(copies).collect()
        };
        let further = per_copy.iter().flat_map(|each| (2..=COPIES_MAX).map(move |d| f64::from(d) * each));
        let mut sigmas: Vec<f64> = self.alone.iter().copied().chain(further).collect();
        sigmas.sort_by(f64::total_cmp);
        let mut best = (0.0, Vec::new());
        for sigma in sigmas {
            let copies = affords(sigma);
            let votes = self.sum(copies.iter().map(|copies| f64::from(*copies)));
            if !copies.contains(&0) && votes / sigma > best.0 * (1.0 + 1e-9) {
                best = (votes / sigma, copies);
            }
        }
        let plain = self.full();
        let parts: Vec<_> = best.1.into_iter().map(|copies| Part { copies, ..plain }).collect();
        let sigma = self.sigma(PLAIN, &parts)?;
        Ok(Design { method: Method::Upsampling, grid: PLAIN, sigma, parts })
    }

    /// Weights in proportion to √ρ, so that all groups spend what they have.
    pub(super) fn weighting(&self) -> Result<Design, Error> {
        let roots: Vec<f64> = self.caps.iter().map(|cap| sqrt(cap.to_f64_up())).collect();
        let mean = self.sum(roots.iter().copied()) / f64::from(self.target.teachers);
        let fine = WeightGrid::new(WEIGHT_UNITS)?;
        let weight = |(root, group): (&f64, &Group)| {
            let fix = "give budgets that are closer to each other: no vote may weigh more than a thousand";
            let refusal = Error::OutOfRange { field: "epsilon", value: group.epsilon().get(), fix };
            if root / mean > WEIGHT_MAX { Err(refusal) } else { fine.weight(root / mean) }
        };
        let weights = roots.iter().zip(self.target.groups).map(weight).collect::<Result<Vec<_>, _>>()?;
        let (grid, weights) = fine.reduced(&weights);
        let part = |weight: Weight| Part { copies: 1, weight, queries: self.target.queries };
        let parts: Vec<_> = weights.into_iter().map(part).collect();
        let sigma = self.sigma(grid, &parts)?;
        Ok(Design { method: Method::Weighting, grid, sigma, parts })
    }

    /// Votes per σ, n·min(1, (σ/σ_g)²)/σ summed over the groups, are convex in σ between the σ_g at which a group can just vote on
    /// everything: the best σ is one of these, but for whole queries.
    pub(super) fn vanishing(&self) -> Result<Design, Error> {
        let queries = f64::from(self.target.queries);
        let votes = |sigma: f64| {
            let share = |alone: &f64| (sigma / alone * (sigma / alone) * (1.0 + 1e-9)).min(1.0);
            self.sum(self.alone.iter().map(|alone| floor(share(alone) * queries))) / sigma
        };
        let mut order: Vec<usize> = (0..self.caps.len()).collect();
        order.sort_by(|a, b| self.caps[*a].cmp(&self.caps[*b]));
        let strictest_first = order.into_iter();
        let fullest = strictest_first
            .reduce(|best, group| {
                let better = votes(self.alone[group]) > votes(self.alone[best]) * (1.0 + 1e-9);
                if better { group } else { best }
            })
            .unwrap_or_default();
        let full = self.full();
        let needs: Vec<_> = self
            .caps
            .iter()
            .map(|cap| if *cap >= self.caps[fullest] { full } else { Part { queries: 0, ..full } })
            .collect();
        let sigma = self.sigma(PLAIN, &needs)?;
        let price = self.price(PLAIN, sigma, full)?.units();
        let affords = |cap: &Rho| u32::try_from(cap.units() / price).unwrap_or(u32::MAX);
        let part = |cap| Part { queries: affords(cap).min(self.target.queries), ..full };
        let parts = self.caps.iter().map(part).collect();
        Ok(Design { method: Method::Vanishing, grid: PLAIN, sigma, parts })
    }

    pub(super) fn plan(&self, design: &Design, model: &PublicVotes) -> Result<IndividualPlan, Error> {
        let Design { method, grid, sigma, ref parts } = *design;
        let charge = |(part, cap): (&Part, &Rho)| {
            let per_query = self.price(grid, sigma, *part)?;
            let campaign = per_query
                .checked_mul(part.queries.into())
                .filter(|campaign| campaign <= cap)
                .ok_or(Error::Unreachable { queries: part.queries.into(), cap: *cap })?;
            Ok(GroupCharge {
                copies: part.copies,
                weight: grid.votes(part.weight),
                queries: part.queries,
                per_query,
                campaign,
                cap: *cap,
                epsilon: rho_to_epsilon_within(campaign, self.target.delta, self.target.order),
            })
        };
        let groups = parts.iter().zip(&self.caps).map(charge).collect::<Result<Vec<_>, Error>>()?;
        let overflow = Error::OutOfRange {
            field: "teachers",
            value: f64::from(self.target.teachers),
            fix: "plan for no more teachers than make 2^32 with all copies",
        };
        let copies = self.teachers.iter().zip(parts).map(|(n, part)| n.checked_mul(part.copies));
        let teachers = copies.reduce(|sum, more| sum?.checked_add(more?)).flatten().ok_or(overflow)?;
        let queries = f64::from(self.target.queries);
        let votes = self.sum(
            groups
                .iter()
                .map(|group| f64::from(group.copies) * group.weight * f64::from(group.queries) / queries),
        );
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 2^32 votes")]
        let whole = votes.round().max(1.0) as u32;
        let mechanism = NoisyVote::GnMax { sigma };
        let agreement = expected_agreement(&mechanism, &model.scaled_to(whole)?);
        Ok(IndividualPlan { method, sigma, teachers, votes, agreement, groups })
    }

    /// The price of one query in which a record of a group with this part takes part, rounded up.
    fn price(&self, grid: WeightGrid, sigma: Scale, part: Part) -> Result<Rho, Error> {
        let (event, who) = self.event(grid, sigma, part)?;
        event.price_within(&who, self.target.order)
    }

    /// An estimate of it, in nats.
    fn price_near(&self, grid: WeightGrid, sigma: Scale, part: Part) -> Result<f64, Error> {
        let (event, who) = self.event(grid, sigma, part)?;
        event.price_near(&who, self.target.order)
    }

    fn event(
        &self,
        grid: WeightGrid,
        sigma: Scale,
        part: Part,
    ) -> Result<(PrivacyEvent, Sensitivity), Error> {
        let who = self.who.copied(part.copies)?.weighing(part.weight.units())?;
        let drawn = grid.noise(NoiseScale::from_votes(sigma.get(), Lattice::DEFAULT)?)?;
        Ok((PrivacyEvent::GaussianNoisyMax { sigma: drawn }, who))
    }

    /// The noise with which every group can pay for its part, within a few thousandths of the least; four digits.
    fn sigma(&self, grid: WeightGrid, parts: &[Part]) -> Result<Scale, Error> {
        let paying = || parts.iter().zip(&self.caps).filter(|(part, _)| part.queries > 0);
        // The largest part of a budget that a campaign takes; more than all of it where there is no price.
        let taken = |sigma: f64, price: &dyn Fn(Scale, Part) -> Result<f64, Error>| {
            paying().fold(0.0, |most: f64, (part, cap)| {
                let price = Scale::new(sigma).and_then(|sigma| price(sigma, *part));
                most.max(
                    price.map_or(f64::INFINITY, |price| f64::from(part.queries) * price / cap.to_f64_up()),
                )
            })
        };
        let near = |sigma, part| self.price_near(grid, sigma, part);
        let exact = |sigma, part| Ok(self.price(grid, sigma, part)?.to_f64_up());
        let published = paying().fold(0.0, |most: f64, (part, cap)| {
            let shift = f64::from(part.copies) * grid.votes(part.weight);
            most.max(shift * sqrt(f64::from(part.queries) / cap.to_f64_up()))
        });
        let mut sigma = published * (1.0 + 1e-6);
        if !self.target.order.is_unbounded() {
            sigma = refine(sigma, |sigma| taken(sigma, &near), |sigma| taken(sigma, &exact));
        }
        // Rounded up, and further up if a price, which is certified to parts of ten thousand, should not fall as σ grows.
        for _ in 0..ROUNDS {
            let rounded = readable(Scale::new(sigma)?)?;
            let fits = |(part, cap): (&Part, &Rho)| {
                self.price(grid, rounded, *part)
                    .is_ok_and(|price| price.checked_mul(part.queries.into()).is_some_and(|sum| sum <= *cap))
            };
            if paying().all(fits) {
                return Ok(rounded);
            }
            sigma = rounded.get() * (1.0 + 1e-4);
        }
        let cap = self.caps.iter().copied().min().unwrap_or_default();
        Err(Error::Unreachable { queries: self.target.queries.into(), cap })
    }

    /// About the σ of one plain vote on every query, within `cap`.
    fn sigma_alone(&self, cap: Rho) -> f64 {
        let full = self.full();
        let published = self.published(cap);
        if self.target.order.is_unbounded() {
            return published;
        }
        let share = |sigma: f64| {
            let price = Scale::new(sigma).and_then(|sigma| self.price_near(PLAIN, sigma, full));
            price.map_or(f64::INFINITY, |price| price * f64::from(full.queries) / cap.to_f64_up())
        };
        estimate(published, share)
    }

    /// The σ of one plain vote on every query within `cap`, by published prices.
    fn published(&self, cap: Rho) -> f64 {
        sqrt(f64::from(self.target.queries) / cap.to_f64_up())
    }

    /// A plain vote on every query.
    fn full(&self) -> Part {
        Part { copies: 1, weight: Weight::ONE, queries: self.target.queries }
    }

    /// Of something that each teacher of a group has.
    fn sum(&self, of_groups: impl Iterator<Item = f64>) -> f64 {
        self.teachers.iter().zip(of_groups).map(|(teachers, each)| f64::from(*teachers) * each).sum()
    }
}

/// Shares of the teachers as whole teachers: the largest remainders are rounded up.
fn whole_teachers(target: &IndividualTarget<'_>) -> Result<Vec<u32>, Error> {
    let groups = target.groups;
    if groups.is_empty() || groups.len() > GROUPS_MAX {
        let fix = "give between 1 and 32 groups";
        return Err(Error::OutOfRange { field: "groups", value: groups.len() as f64, fix });
    }
    let sum = groups.iter().map(|group| group.share).sum::<f64>();
    let fix = "give shares of the teachers that add up to 1";
    in_range("share", sum, |sum| (sum - 1.0).abs() <= 1e-6, fix)?;
    let exact: Vec<f64> = groups.iter().map(|group| group.share / sum * f64::from(target.teachers)).collect();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most the teachers")]
    let mut whole: Vec<u32> = exact.iter().map(|teachers| floor(*teachers) as u32).collect();
    let missing = target.teachers.saturating_sub(whole.iter().sum());
    let mut order: Vec<usize> = (0..groups.len()).collect();
    let remainder = |group: &usize| exact[*group] - floor(exact[*group]);
    order.sort_by(|a, b| remainder(b).total_cmp(&remainder(a)));
    for group in order.into_iter().take(missing as usize) {
        whole[group] += 1;
    }
    match whole.iter().position(|teachers| *teachers == 0) {
        Some(group) => {
            let fix = "give each group a share of at least one teacher, or have more teachers";
            Err(Error::OutOfRange { field: "share", value: groups[group].share, fix })
        }
        None => Ok(whole),
    }
}

/// A vote of weight one has one unit.
const PLAIN: WeightGrid = WeightGrid::WHOLE;
/// Each has prices to be searched for; the text of the refusal repeats it.
const GROUPS_MAX: usize = 32;
/// The most copies of a record that are planned: each is as much training again.
const COPIES_MAX: u32 = 4;
/// Weights are planned in thousandths.
const WEIGHT_UNITS: u32 = 1000;
/// In votes; the largest shift of a sensitivity in these units.
const WEIGHT_MAX: f64 = 1000.0;
/// How often a σ that does not fit is raised before there is none.
const ROUNDS: usize = 16;
