//! What a target buys, before anything is spent: noise, threshold, and how many right answers to expect.
//!
//! Expectations are over a *vote model*: [`PublicVotes`], never the private ones. Noise is the
//! least with which the expected charges fit the budget at the prices that the ledger charges; the other accountants
//! then say what the same plan costs seen otherwise, with the expected number of answers as a stated cap.

mod model;

pub use model::{PublicVotes, assumed_model};

use crate::Error;
use crate::accountant::{Conversion, epsilon_to_rho_within, rho_to_epsilon_within};
use crate::analysis::{
    AccountantName, Answered, Question, account_in_advance, default_orders, too_little_noise,
};
use crate::calibrate::refine;
use crate::data_dependent::{DataDependent, Method, NoisyVote, answer_agrees};
use crate::event::PrivacyEvent;
use crate::quantity::{Delta, Epsilon, FilterOrder, Lattice, NoiseScale, RdpOrder, Rho, Scale};
use crate::secret::Analyst;
use crate::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};
use libm::ceil;

/// What is planned for.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// How many queries are to be asked.
    pub queries: u32,
    /// δ.
    pub delta: Delta,
    /// ω of the accounts that are to pay.
    pub order: FilterOrder,
    /// A budget to calibrate to, or the noise on each count.
    pub aim: Aim,
}

/// What stands and what follows.
#[derive(Debug, Clone, Copy)]
pub enum Aim {
    /// This ε; the noise follows.
    Budget(Epsilon),
    /// This σ; ε follows.
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
    /// ε of what the ledger charges for the queries and the expected answers, rounded up to a whole one.
    pub charged: f64,
    /// ε by accountant, for the queries and the expected answers, rounded up to a whole one, as a cap.
    pub epsilons: Vec<(AccountantName, f64)>,
}

/// GNMax, and Confident-GNMax with a threshold at each of several shares of the teachers; the most right answers first.
///
/// `model` has histograms of `teachers` votes each ([`PublicVotes::scaled_to`]). Refuses budgets that no noise fits.
pub fn plans(target: &Target, teachers: u32, model: &PublicVotes) -> Result<Vec<Plan>, Error> {
    let mut plans = vec![plan(target, model, |sigma| Ok(NoisyVote::GnMax { sigma }))?];
    for share in THRESHOLDS {
        let threshold = (f64::from(teachers) * share).round();
        plans.push(plan(target, model, |sigma2| {
            let sigma1 = Scale::new(SIGMA1_RATIO * sigma2.get()).and_then(readable);
            let fix = "use less noise, since that of the threshold test is larger still";
            let too_much = |_| Error::OutOfRange { field: "sigma", value: sigma2.get(), fix };
            Ok(NoisyVote::ConfidentGnMax { threshold, sigma1: sigma1.map_err(too_much)?, sigma2 })
        })?);
    }
    plans.sort_by(|a, b| (b.answers * b.agreement).total_cmp(&(a.answers * a.agreement)));
    Ok(plans)
}

fn plan(
    target: &Target,
    model: &PublicVotes,
    with: impl Fn(Scale) -> Result<NoisyVote, Error>,
) -> Result<Plan, Error> {
    let queries = f64::from(target.queries);
    let sigma = match target.aim {
        Aim::Noise(sigma) => sigma,
        Aim::Budget(epsilon) => {
            let cap = epsilon_to_rho_within(epsilon, target.delta, target.order);
            let share = |sigma: f64, price: &dyn Fn(&PrivacyEvent) -> Result<f64, Error>| {
                let mechanism = Scale::new(sigma).and_then(&with);
                let asked = mechanism.and_then(|mechanism| expected_rho(&mechanism, queries, model, price));
                asked.map_or(f64::INFINITY, |asked| asked / cap.to_f64_up())
            };
            let who = record()?;
            let exact = |event: &PrivacyEvent| Ok(event.price_within(&who, target.order)?.to_f64_up());
            let near = |event: &PrivacyEvent| event.price_near(&who, target.order);
            let plain = |event: &PrivacyEvent| Ok(event.price(&who)?.to_f64_up());
            let published = least(|sigma| share(sigma.get(), &plain) <= 1.0)?;
            let published =
                published.ok_or(Error::Unreachable { queries: target.queries.into(), cap })?.get();
            readable(Scale::new(if target.order.is_unbounded() {
                published
            } else {
                refine(published, |sigma| share(sigma, &near), |sigma| share(sigma, &exact))
            })?)?
        }
    };
    let mechanism = with(sigma)?;
    let (answers, right) = expectations(&mechanism, model);
    let answers = answers * queries;
    let epsilons = epsilons(target, mechanism, answers)?;
    let overflow = |refusal| match refusal {
        Error::CostOverflow { .. } => too_little_noise(&mechanism),
        other => other,
    };
    let charged = charged(target, &mechanism, answers).map_err(overflow)?;
    Ok(Plan {
        mechanism,
        answers,
        agreement: if answers > 0.0 { right * queries / answers } else { 0.0 },
        charged,
        epsilons,
    })
}

/// The expected share of queries that are answered, and that are answered with the most frequent vote.
pub(crate) fn expectations(mechanism: &NoisyVote, model: &PublicVotes) -> (f64, f64) {
    // The model was declared public.
    let (analyst, model) = (Analyst::who_may_see_the_votes(), model.rows());
    let data = DataDependent::new(*mechanism, Method::Published, &[]);
    let (mut answered, mut right) = (0.0, 0.0);
    for counts in model {
        let passes = data.answered(counts).open(&analyst);
        answered += passes;
        right += passes * answer_agrees(mechanism.argmax(), counts).open(&analyst);
    }
    (answered / model.len() as f64, right / model.len() as f64)
}

/// What the queries cost in expectation, in nats of ρ, at these prices.
fn expected_rho(
    mechanism: &NoisyVote,
    queries: f64,
    model: &PublicVotes,
    price: impl Fn(&PrivacyEvent) -> Result<f64, Error>,
) -> Result<f64, Error> {
    let (threshold, argmax) = events(mechanism)?;
    let threshold = threshold.as_ref().map_or(Ok(0.0), &price)?;
    let data = DataDependent::new(*mechanism, Method::Published, &[]);
    // The model was declared public.
    let (analyst, model) = (Analyst::who_may_see_the_votes(), model.rows());
    let answered = model.iter().map(|counts| data.answered(counts).open(&analyst)).sum::<f64>();
    Ok(queries * (threshold + answered / model.len() as f64 * price(&argmax)?))
}

/// ε that an account of the target's order is charged for the queries and `answers` of them.
fn charged(target: &Target, mechanism: &NoisyVote, answers: f64) -> Result<f64, Error> {
    let (threshold, argmax) = events(mechanism)?;
    let who = record()?;
    let threshold = threshold.map_or(Ok(Rho::ZERO), |test| test.price_within(&who, target.order))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most the queries")]
    let argmax = argmax.price_within(&who, target.order)?.checked_mul(ceil(answers) as u64);
    let sum = threshold.checked_mul(target.queries.into()).and_then(|sum| sum.checked_add(argmax?));
    let sum = sum.ok_or(Error::CostOverflow { field: "price" })?;
    Ok(rho_to_epsilon_within(sum, target.delta, target.order))
}

/// The threshold test, if there is one, and the argmax.
fn events(mechanism: &NoisyVote) -> Result<(Option<PrivacyEvent>, PrivacyEvent), Error> {
    // Other noise follows from that of the argmax, which is what somebody gave.
    let fix = "use at most 2^40 votes of noise, such as 40";
    let too_much = |_| Error::OutOfRange { field: "sigma", value: mechanism.argmax().scale(), fix };
    let drawn = |scale: Scale| NoiseScale::from_votes(scale.get(), Lattice::DEFAULT).map_err(too_much);
    Ok(match *mechanism {
        NoisyVote::LnMax { scale } => (None, PrivacyEvent::LaplaceNoisyMax { scale: drawn(scale)? }),
        NoisyVote::GnMax { sigma } => (None, PrivacyEvent::GaussianNoisyMax { sigma: drawn(sigma)? }),
        NoisyVote::ConfidentGnMax { sigma1, sigma2, .. } => (
            Some(PrivacyEvent::GaussianThreshold { sigma1: drawn(sigma1)? }),
            PrivacyEvent::GaussianNoisyMax { sigma: drawn(sigma2)? },
        ),
    })
}

/// Who is protected in a plan: one record, one moved vote.
pub(crate) fn record() -> Result<Sensitivity, Error> {
    Sensitivity::of(PrivacyUnit::Record, Adjacency::AddRemove, VotingScheme::Ensemble)
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

fn epsilons(
    target: &Target,
    mechanism: NoisyVote,
    answers: f64,
) -> Result<Vec<(AccountantName, f64)>, Error> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most the queries")]
    let answered = Answered::Stated(ceil(answers) as u64);
    let sigma = mechanism.argmax().scale();
    // Larger orders than this are the best only for an ε near 0, and take the longest to certify.
    let orders = default_orders().into_iter().filter(|order| order.get() <= (2.5 * sigma).max(2.0)).collect();
    let question = Question {
        mechanism,
        delta: target.delta,
        orders,
        conversion: Conversion::Tight,
        answered,
        checkpoints: Vec::new(),
        curves: false,
    };
    let of = |name, question: &Question| Ok(account_in_advance(name, question, target.queries)?.loss);
    // A conversion takes the best of the orders that it is given: those around the best of the published costs will do, and
    // exact costs, two thirds of these, have theirs somewhat above it.
    let published = of(AccountantName::Rdp, &question)?.order.unwrap_or(1.0);
    let around = |order: &RdpOrder| (0.8 * published..=1.8 * published).contains(&order.get());
    let orders: Vec<_> = question.orders.iter().copied().filter(around).collect();
    let searched = if orders.is_empty() { question.clone() } else { Question { orders, ..question.clone() } };
    Ok(vec![
        (AccountantName::Zcdp, of(AccountantName::Zcdp, &question)?.epsilon),
        (AccountantName::Pld, of(AccountantName::Pld, &question)?.epsilon),
        (AccountantName::ExactWorstCase, of(AccountantName::ExactWorstCase, &searched)?.epsilon),
    ])
}

/// σ1/σ2; the 2018 paper uses 3.75 and 5.
const SIGMA1_RATIO: f64 = 3.75;
/// Thresholds, as shares of the teachers.
const THRESHOLDS: [f64; 4] = [0.5, 0.6, 0.7, 0.8];
