//! What a target buys, before anything is spent: noise, threshold, and how many right answers to expect.
//!
//! Expectations are over a [`PublicVotes`], never the private ones. With a budget, noise is the least with
//! which all queries and the expected number of answers, rounded up, fit it **at the prices that the ledger charges**; the threshold and
//! its noise are those of the most right answers. What is right is the true label where the model knows it, else the most frequent vote.
//! Every accountant then says what the same plan costs seen otherwise ([`PlanAccount`]).

mod accounts;
mod search;
mod vote_model;

pub use accounts::PlanAccount;
pub use vote_model::PublicVotes;
pub(crate) use vote_model::expected_agreement;

use crate::Error;
use crate::accountant::{epsilon_to_rho_within, rho_to_epsilon_within};
use crate::analysis::too_little_noise;
use crate::calibrate::refine;
use crate::data_dependent::NoisyVote;
use crate::event::PrivacyEvent;
use crate::quantity::{Delta, Epsilon, FilterOrder, Lattice, NoiseScale, Rho, Scale};
use crate::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};
use libm::{ceil, sqrt};
use search::{Choice, Search};
use vote_model::{Expected, Shape};

/// What is planned for.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// How many queries are to be asked.
    pub queries: u32,
    /// δ.
    pub delta: Delta,
    /// ω of the accounts that are to pay.
    pub order: FilterOrder,
    /// Who is protected, and how many votes they move.
    pub sensitivity: Sensitivity,
    /// A budget to calibrate to, or the noise on each count.
    pub aim: Aim,
}

/// What stands and what follows.
#[derive(Debug, Clone, Copy)]
pub enum Aim {
    /// This ε; the noise follows.
    Budget(Epsilon),
    /// This standard deviation of the noise on each count; ε follows.
    Noise(Scale),
}

/// One way to spend it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The mechanism with its noise.
    pub mechanism: NoisyVote,
    /// Expected answers.
    pub answers: f64,
    /// The expected share of answers that are the most frequent vote.
    pub agreement: f64,
    /// The expected share of answers that are the true label; none if the model does not know it.
    pub accuracy: Option<f64>,
    /// ε of what the ledger charges for the queries and the expected answers, rounded up to a whole one; at most the budget.
    pub charged: f64,
    /// ε by every accountant that prices the mechanism.
    pub accounts: Vec<PlanAccount>,
}

impl Plan {
    /// Expected right answers.
    pub fn right(&self) -> f64 {
        self.answers * self.accuracy.unwrap_or(self.agreement)
    }
}

/// At most how many plans [`plans`] makes: for progress.
pub const PLANS_MAX: u64 = 3 + THRESHOLDS.len() as u64;

/// LNMax, GNMax, Confident-GNMax with the threshold of the most right answers, if they are more than without one, and with some others, which
/// answer fewer queries more surely; the most right answers first. `advance` is told after each of at most [`PLANS_MAX`].
///
/// `model` has `teachers` votes in each row ([`PublicVotes::scaled_to`]). Without a budget thresholds are parts of the teachers, and the noise
/// of the test stands in the 2018 paper's relation to that of the counts. Refuses budgets that no noise fits.
pub fn plans(
    target: &Target,
    teachers: u32,
    model: &PublicVotes,
    mut advance: impl FnMut(),
) -> Result<Vec<Plan>, Error> {
    let shapes = model.shapes();
    let mechanisms = match target.aim {
        Aim::Noise(sigma) => with_noise(sigma, teachers)?,
        Aim::Budget(epsilon) => within_budget(target, epsilon, teachers, &shapes)?,
    };
    let plans = mechanisms.into_iter().map(|mechanism| {
        let plan = Plan::of(target, mechanism, &shapes);
        advance();
        plan
    });
    let mut plans = plans.collect::<Result<Vec<_>, _>>()?;
    plans.sort_by(|a, b| b.right().total_cmp(&a.right()));
    Ok(plans)
}

impl Plan {
    fn of(target: &Target, mechanism: NoisyVote, shapes: &[Shape]) -> Result<Self, Error> {
        // Noise that has no price is refused before anything is computed with it.
        let price = events(&mechanism).and_then(|(_, argmax)| argmax.price(&target.sensitivity));
        price.map_err(|_| unfit(&mechanism))?;
        let Expected { answered, agreeing, accurate } = Expected::of(&mechanism, shapes);
        let answers = answered * f64::from(target.queries);
        let share = |right: f64| if answered > 0.0 { (right / answered).min(1.0) } else { 0.0 };
        Ok(Self {
            mechanism,
            answers,
            agreement: share(agreeing),
            accuracy: accurate.map(share),
            charged: charged(target, &mechanism, whole(answers)).map_err(|refusal| match refusal {
                Error::CostOverflow { .. } => too_little_noise(&mechanism),
                other => other,
            })?,
            accounts: accounts::of(target, mechanism, whole(answers), shapes)?,
        })
    }
}

/// Mechanisms with this noise on each count.
fn with_noise(sigma: Scale, teachers: u32) -> Result<Vec<NoisyVote>, Error> {
    let scale = readable(Scale::new(sigma.get() / sqrt(2.0))?)?;
    let fix = "use less noise, since that of the threshold test is larger still";
    let too_much = |_| Error::OutOfRange { field: "sigma", value: sigma.get(), fix };
    let sigma1 = Scale::new(SIGMA1_RATIO * sigma.get()).and_then(readable).map_err(too_much)?;
    let confident = THRESHOLDS.map(|share| {
        let threshold = (f64::from(teachers) * share).round();
        NoisyVote::ConfidentGnMax { threshold, sigma1, sigma2: sigma }
    });
    Ok([NoisyVote::GnMax { sigma }, NoisyVote::LnMax { scale }].into_iter().chain(confident).collect())
}

/// Mechanisms that a budget pays for.
fn within_budget(
    target: &Target,
    epsilon: Epsilon,
    teachers: u32,
    shapes: &[Shape],
) -> Result<Vec<NoisyVote>, Error> {
    let cap = epsilon_to_rho_within(epsilon, target.delta, target.order);
    let each = Rho::from_units(cap.units() / u64::from(target.queries.max(1)));
    let sigma = noise_within(target, gaussian, each)?;
    let sigma = sigma.ok_or(Error::Unreachable { queries: target.queries.into(), cap })?;
    let scale = noise_within(target, |scale| PrivacyEvent::LaplaceNoisyMax { scale }, each)?;
    let mut mechanisms = vec![NoisyVote::GnMax { sigma }];
    mechanisms.extend(scale.map(|scale| NoisyVote::LnMax { scale }));
    let search = Search::new(target, cap.to_f64_up(), teachers, shapes);
    let right = |mechanism: &NoisyVote| Expected::of(mechanism, shapes).right();
    let tested = |choice: Choice| confident(target, cap, choice, shapes);
    // A threshold that answers no more questions right than none does is worse than none; those after it are there for being surer.
    let best = search.best().map(|choice| Ok::<_, Error>((choice.threshold, tested(choice)?))).transpose()?;
    let best = best.and_then(|(threshold, mechanism)| Some((threshold, mechanism?)));
    let best = best.filter(|(_, mechanism)| right(mechanism) > right(&NoisyVote::GnMax { sigma }));
    let taken = best.map(|(threshold, _)| threshold);
    mechanisms.extend(best.map(|(_, mechanism)| mechanism));
    let others = THRESHOLDS.map(|share| (f64::from(teachers) * share).round());
    let others = others.into_iter().filter(|threshold| Some(*threshold) != taken);
    for choice in others.filter_map(|threshold| search.test_at(threshold)) {
        mechanisms.extend(tested(choice)?);
    }
    Ok(mechanisms)
}

/// Confident-GNMax with this test, and the least noise for its answers that fits the cap; none if nothing is left for answers.
fn confident(
    target: &Target,
    cap: Rho,
    Choice { threshold, sigma1, .. }: Choice,
    shapes: &[Shape],
) -> Result<Option<NoisyVote>, Error> {
    let sigma1 = readable(Scale::new(sigma1)?)?;
    let with = |sigma2| NoisyVote::ConfidentGnMax { threshold, sigma1, sigma2 };
    // How many answers there are does not depend on the noise on the counts.
    let answers = whole(Expected::of(&with(sigma1), shapes).answered * f64::from(target.queries));
    let test = threshold_test(drawn(sigma1)?).price_within(&target.sensitivity, target.order)?;
    let left = test.checked_mul(target.queries.into()).and_then(|tests| cap.checked_sub(tests));
    let Some(each) = left.and_then(|left| left.units().checked_div(answers)) else { return Ok(None) };
    Ok(noise_within(target, gaussian, Rho::from_units(each))?.map(with))
}

/// The least scale of at most four digits at which the price of `event` is at most `each`, within a few thousandths; none if
/// no scale is.
fn noise_within(
    target: &Target,
    event: impl Fn(NoiseScale) -> PrivacyEvent,
    each: Rho,
) -> Result<Option<Scale>, Error> {
    let at = |scale: f64| Ok::<_, Error>(event(drawn(Scale::new(scale)?)?));
    let price = |scale: f64, order| at(scale)?.price_within(&target.sensitivity, order);
    let fits = |scale: f64, order| price(scale, order).is_ok_and(|price| price <= each);
    let Some(published) = least(|scale| fits(scale.get(), FilterOrder::UNBOUNDED))? else { return Ok(None) };
    let nats = each.to_f64_up();
    let near = |scale| at(scale)?.price_near(&target.sensitivity, target.order);
    let mut scale = published;
    if !target.order.is_unbounded() {
        let share = |price: Result<f64, Error>| price.map_or(f64::INFINITY, |price| price / nats);
        let exact = |scale| share(price(scale, target.order).map(Rho::to_f64_up));
        scale = readable(Scale::new(refine(published.get(), |scale| share(near(scale)), exact))?)?;
    }
    // What is searched may come out a hair higher at a larger scale; the published price does not, so this ends.
    while !fits(scale.get(), target.order) {
        scale = readable(Scale::new(scale.get() * (1.0 + 1e-6))?)?;
    }
    Ok(Some(scale))
}

/// ε that an account of the target's order is charged for the queries and `answers` of them.
fn charged(target: &Target, mechanism: &NoisyVote, answers: u64) -> Result<f64, Error> {
    let (threshold, argmax) = events(mechanism)?;
    let price = |event: PrivacyEvent| event.price_within(&target.sensitivity, target.order);
    let threshold = threshold.map_or(Ok(Rho::ZERO), price)?;
    let argmax = price(argmax)?.checked_mul(answers);
    let sum = threshold.checked_mul(target.queries.into()).and_then(|sum| sum.checked_add(argmax?));
    let sum = sum.ok_or(Error::CostOverflow { field: "price" })?;
    Ok(rho_to_epsilon_within(sum, target.delta, target.order))
}

/// Noise whose cost cannot be written down, or that cannot be drawn. Other noise follows from that of the argmax, which is what somebody
/// gave.
fn unfit(mechanism: &NoisyVote) -> Error {
    let value = mechanism.argmax().scale();
    if value < 1.0 {
        return too_little_noise(mechanism);
    }
    Error::OutOfRange { field: "sigma", value, fix: "use at most 2^40 votes of noise, such as 40" }
}

/// The threshold test, if there is one, and the argmax.
fn events(mechanism: &NoisyVote) -> Result<(Option<PrivacyEvent>, PrivacyEvent), Error> {
    Ok(match *mechanism {
        NoisyVote::LnMax { scale } => (None, PrivacyEvent::LaplaceNoisyMax { scale: drawn(scale)? }),
        NoisyVote::GnMax { sigma } => (None, gaussian(drawn(sigma)?)),
        NoisyVote::ConfidentGnMax { sigma1, sigma2, .. } => {
            (Some(threshold_test(drawn(sigma1)?)), gaussian(drawn(sigma2)?))
        }
    })
}

const fn gaussian(sigma: NoiseScale) -> PrivacyEvent {
    PrivacyEvent::GaussianNoisyMax { sigma }
}

const fn threshold_test(sigma1: NoiseScale) -> PrivacyEvent {
    PrivacyEvent::GaussianThreshold { sigma1 }
}

fn drawn(scale: Scale) -> Result<NoiseScale, Error> {
    NoiseScale::from_votes(scale.get(), Lattice::DEFAULT)
}

/// One record, one moved vote: who is protected unless a plan says otherwise.
pub(crate) fn record() -> Result<Sensitivity, Error> {
    Sensitivity::of(PrivacyUnit::Record, Adjacency::AddRemove, VotingScheme::Ensemble)
}

/// Rounded up.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most the queries, at least 0"
)]
fn whole(answers: f64) -> u64 {
    ceil(answers) as u64
}

/// The least scale that `fits`, rounded up to four digits; none if 2^40 votes of noise are too little.
fn least(fits: impl Fn(Scale) -> bool) -> Result<Option<Scale>, Error> {
    let at = |exponent: f64| Scale::new(libm::exp2(exponent));
    let (mut low, mut high) = (-10.0, 40.0);
    if !fits(at(high)?) {
        return Ok(None);
    }
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if fits(at(middle)?) { high = middle } else { low = middle }
    }
    readable(at(high)?).map(Some)
}

/// Rounded up in the fourth digit: more noise, and fit to be typed.
pub(crate) fn readable(scale: Scale) -> Result<Scale, Error> {
    let digits = 3.0 - libm::floor(libm::log10(scale.get()));
    let shift = libm::pow(10.0, digits.abs());
    let rounded =
        if digits < 0.0 { ceil(scale.get() / shift) * shift } else { ceil(scale.get() * shift) / shift };
    Scale::new(rounded)
}

/// σ1/σ2 where no budget says how to share it; the 2018 paper uses 3.75 and 5.
const SIGMA1_RATIO: f64 = 3.75;
/// Thresholds beside the best one, as parts of the teachers.
const THRESHOLDS: [f64; 4] = [0.5, 0.6, 0.7, 0.8];
