//! What a list of queries costs under every accountant, for somebody who holds the vote counts.
//!
//! | accountant | prices | publishable | direction |
//! |---|---|---|---|
//! | `pure` | ε by addition; LNMax | yes | upper bound |
//! | `advanced` | ε as randomised responses compose (Kairouz, Oh and Viswanath 2015); LNMax | yes | upper bound |
//! | `zcdp` | ρ: GNMax 1/σ², threshold 1/(2σ1²), LNMax 2/b² | yes | upper bound |
//! | `rdp` | the published curves | yes | upper bound |
//! | `pld` | privacy-loss distributions; a fixed plan | yes | upper bound |
//! | `pld-lower` | the same rounded the other way: how much of `pld` is rounding | no guarantee | lower bound on what the noisy counts tell |
//! | `gdp` | Σμ² of Gaussian noise; exact toward a party that sees the noisy counts | yes | upper bound |
//! | `rdp-data-dependent` | Theorem 6 (2018) or Theorem 3 (2017) | no | upper bound from these votes to a neighbour, not back |
//! | `exact` | [`ExactArgmax`](crate::data_dependent::ExactArgmax), both ways | no | exact costs, rounded up |
//! | `exact-worst-case` | [`crate::worst_case`] | yes | upper bound |
//!
//! [`AccountantName::cost_publishable`] and [`AccountantName::direction`] are the last two columns.
//!
//! For Confident-GNMax it matters how often the argmax step is charged: [`Answered`]. *Publishable* means that a result
//! does not depend on the votes, neither by its prices nor by how often they are charged.

mod in_advance;
mod name;
mod selection;
mod sum;

pub use in_advance::InAdvance;
pub use name::AccountantName;
pub use selection::Selection;

use crate::Error;
use crate::accountant::{Conversion, Loss};
use crate::counts::VoteCounts;
use crate::data_dependent::{ArgmaxNoise, DataDependent, Method, NoisyVote, StepCosts};
use crate::mechanism::StudentPrediction;
use crate::quantity::{Delta, Lattice, RdpOrder};
use crate::secret::{Analyst, Secret};
use crate::worst_case::{self, Decision};
use sum::{Sum, add_to};

/// How often the argmax step of Confident-GNMax is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// Weighed by the probability of being reached, as the 2018 paper does. No bound on a realised run.
    Expected,
    /// Threshold and argmax as one law; `exact` only.
    Joint,
    /// For every query.
    All,
    /// For at most this many queries, a cap that was fixed before the votes; for data-dependent prices, the dearest.
    Stated(u64),
}

/// What some first queries of a list cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// By which accountant.
    pub accountant: AccountantName,
    /// How many queries.
    pub queries: usize,
    /// How often the argmax step was charged.
    pub answered: f64,
    /// ε, rounded up, and the order at which it was found.
    pub loss: Loss,
    /// For how many queries the argmax has its published price at that order: an exact accountant's own cost was not computed there, or
    /// is no smaller. 0 for the other accountants.
    pub at_published_price: usize,
    /// Neither prices nor their number depend on the votes, and it is no lower bound.
    pub publishable: bool,
    /// The prices do not.
    pub cost_publishable: bool,
}

/// The cost of one query at each order.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryCurve {
    /// Which query, from 0; none if it is the same for all.
    pub row: Option<usize>,
    /// By which accountant.
    pub accountant: AccountantName,
    /// In nats at each order.
    pub rdp: Vec<f64>,
}

/// What is asked about a list of queries.
#[derive(Debug, Clone)]
pub struct Question {
    /// The mechanism.
    pub mechanism: NoisyVote,
    /// The lattice on which its noise is drawn, whose proven gap figures of continuous noise then have added; none for continuous noise.
    pub lattice: Option<Lattice>,
    /// δ of the conversion.
    pub delta: Delta,
    /// The grid of orders.
    pub orders: Vec<RdpOrder>,
    /// How Rényi costs become ε.
    pub conversion: Conversion,
    /// How often the argmax is charged.
    pub answered: Answered,
    /// After how many queries, in ascending order.
    pub checkpoints: Vec<usize>,
    /// Whether to give the curve of each query.
    pub curves: bool,
}

/// Orders from 1.1 to 256 for the accounts of a few thousand queries: dense where the best order of ε between 0.3 and
/// 10 lies.
pub fn default_orders() -> Vec<RdpOrder> {
    let low = [1.1, 1.25, 1.5, 1.75].into_iter();
    let halves = (4..=32).map(|half| f64::from(half) / 2.0);
    let wholes = (17..=32).map(f64::from);
    let high = [36.0, 40.0, 44.0, 48.0, 56.0, 64.0, 80.0, 96.0, 128.0, 192.0, 256.0].into_iter();
    low.chain(halves).chain(wholes).chain(high).flat_map(RdpOrder::new).collect()
}

/// The accounts of `votes` by one accountant, one per checkpoint, and the curves if asked for. `advance` is told after each
/// query that took work.
///
/// Refuses pairs of accountant and mechanism that have no meaning, empty or ragged votes, and checkpoints beyond the votes.
pub fn account(
    accountant: AccountantName,
    question: &Question,
    votes: &[VoteCounts],
    _: &Analyst,
    advance: impl FnMut(),
) -> Result<(Vec<Account>, Vec<QueryCurve>), Error> {
    accounts_of(accountant, question, votes, None, advance)
}

/// The same for Interactive-GNMax: `question` has its steps as Confident-GNMax, and `student` what was predicted for each query.
///
/// The threshold test is on max_j (n_j - M p_j). One moved vote changes that by at most one; the exact cost of the test is of a change by
/// one, and an upper bound where less is possible. Refuses other mechanisms, predictions that do not fit the votes, and threshold and
/// argmax as one law.
pub fn account_against(
    accountant: AccountantName,
    question: &Question,
    votes: &[VoteCounts],
    student: &[StudentPrediction],
    _: &Analyst,
    advance: impl FnMut(),
) -> Result<(Vec<Account>, Vec<QueryCurve>), Error> {
    let refuse = |event, fix| Err(Error::UnsupportedEvent { accountant: accountant.as_str(), event, fix });
    if !matches!(question.mechanism, NoisyVote::ConfidentGnMax { .. }) {
        return refuse("a prediction without a threshold test", "give the steps of interactive-gnmax");
    }
    if question.answered == Answered::Joint {
        let fix = "use answered all, expected or a number";
        return refuse("threshold and argmax of interactive-gnmax as one law", fix);
    }
    if student.len() != votes.len() {
        return Err(Error::Length { field: "student", found: student.len(), expected: votes.len() });
    }
    let statistics = student.iter().zip(votes).map(|(student, counts)| student.statistic(counts));
    let statistics = statistics.collect::<Result<Vec<_>, _>>()?;
    accounts_of(accountant, question, votes, Some(&statistics), advance)
}

fn accounts_of(
    accountant: AccountantName,
    question: &Question,
    votes: &[VoteCounts],
    statistics: Option<&[Secret<f64>]>,
    mut advance: impl FnMut(),
) -> Result<(Vec<Account>, Vec<QueryCurve>), Error> {
    accountant.check(&question.mechanism, question.answered)?;
    check_votes(votes)?;
    check_checkpoints(&question.checkpoints, votes.len())?;
    let mut prices = Prices::new(accountant, question)?;
    let mut sum = Sum::new(accountant, question);
    let (mut accounts, mut curves) = (Vec::new(), Vec::new());
    let last = question.checkpoints.last().copied().unwrap_or_default();
    for (row, counts) in votes[..last].iter().enumerate() {
        let costs = prices.of(counts, statistics.map(|statistics| &statistics[row]));
        if question.curves && accountant.has_curve() {
            let whole = accountant == AccountantName::ExactWorstCase;
            if !whole || row == 0 {
                let rdp = sum.one(&costs);
                curves.push(QueryCurve { row: (!whole).then_some(row), accountant, rdp });
            }
        }
        sum.add(costs);
        advance();
        for _ in question.checkpoints.iter().filter(|&&checkpoint| checkpoint == row + 1) {
            let account = sum.account();
            let named = |refusal| {
                if out_of_reach(&refusal) { too_little_noise(&question.mechanism) } else { refusal }
            };
            accounts.push(account.map_err(named)?);
        }
    }
    Ok((accounts, curves))
}

/// Refuses checkpoints that are none of 1 to `rows`, and one that comes after a later one, whose account would be missing.
fn check_checkpoints(checkpoints: &[usize], rows: usize) -> Result<(), Error> {
    let refuse = |at: usize, fix| Err(Error::OutOfRange { field: "at", value: at as f64, fix });
    if let Some(&beyond) = checkpoints.iter().find(|&&checkpoint| checkpoint == 0 || checkpoint > rows) {
        return refuse(beyond, "give numbers of queries from 1 to the number of rows");
    }
    match checkpoints.windows(2).find(|pair| pair[0] > pair[1]) {
        Some(pair) => refuse(pair[1], "give numbers of queries in ascending order"),
        None => Ok(()),
    }
}

/// Refuses votes of no query, and of queries that do not agree in their number of classes.
pub(crate) fn check_votes(votes: &[VoteCounts]) -> Result<(), Error> {
    let Some(first) = votes.first() else {
        let fix = "give the vote counts of at least one query";
        return Err(Error::OutOfRange { field: "votes", value: 0.0, fix });
    };
    let expected = first.classes();
    match votes.iter().map(VoteCounts::classes).find(|classes| *classes != expected) {
        Some(found) => Err(Error::Length { field: "a row of votes", found, expected }),
        None => Ok(()),
    }
}

/// Whether an accountant refused because the loss is beyond what it can write down.
fn out_of_reach(refusal: &Error) -> bool {
    matches!(
        refusal,
        Error::CostOverflow { .. }
            | Error::NotFinite { field: "mu", .. }
            | Error::OutOfRange { field: "mu", .. }
    )
}

/// The account of `queries` queries before any vote is cast, by an accountant whose prices do not depend on votes.
///
/// Refuses the others, and for Confident-GNMax a number of answers that is not stated.
pub fn account_in_advance(
    accountant: AccountantName,
    question: &Question,
    queries: u64,
) -> Result<Account, Error> {
    accountant.check(&question.mechanism, question.answered)?;
    let mut sum = Sum::new(accountant, question);
    let by_votes = sum.confident() && matches!(question.answered, Answered::Expected | Answered::Joint);
    if by_votes || !accountant.cost_publishable() {
        let (event, fix) =
            ("votes that are not cast yet", "use zcdp, rdp, pld or exact-worst-case, and state the answers");
        return Err(Error::UnsupportedEvent { accountant: accountant.as_str(), event, fix });
    }
    let (threshold, argmax) = match accountant {
        AccountantName::ExactWorstCase => worst_cases(question),
        _ => published(&question.mechanism, &question.orders),
    };
    sum.queries = usize::try_from(queries).unwrap_or(usize::MAX);
    let queries = queries as f64;
    sum.answered = match question.answered {
        Answered::Stated(most) if sum.confident() => queries.min(most as f64),
        _ => queries,
    };
    if let Some(threshold) = threshold {
        add_to(&mut sum.rdp, &threshold, queries);
    }
    let answered = sum.answered;
    add_to(&mut sum.rdp, &argmax, answered);
    let asked = sum.queries;
    sum.compare(&argmax, asked);
    sum.account()
}

/// The steps of one query, or one law for all of them.
enum Costs {
    Steps(StepCosts),
    Joint(Vec<f64>, f64),
}

/// What one query costs under one accountant.
struct Prices {
    data: DataDependent,
    fixed: Option<(Option<Vec<f64>>, Vec<f64>)>,
    joint: bool,
}

impl Prices {
    fn new(accountant: AccountantName, question: &Question) -> Result<Self, Error> {
        let orders = &question.orders;
        let method = if accountant == AccountantName::Exact { Method::Exact } else { Method::Published };
        let fixed = match accountant {
            AccountantName::Exact | AccountantName::RdpDataDependent => None,
            AccountantName::ExactWorstCase => Some(worst_cases(question)),
            _ => Some(published(&question.mechanism, orders)),
        };
        let data = DataDependent::new(question.mechanism, method, orders)?;
        Ok(Self { data, fixed, joint: question.answered == Answered::Joint })
    }

    fn of(&mut self, counts: &VoteCounts, statistic: Option<&Secret<f64>>) -> Costs {
        let analyst = Analyst::who_may_see_the_votes();
        if self.joint {
            return Costs::Joint(
                self.data.joint(counts).open(&analyst),
                self.data.answered(counts).open(&analyst),
            );
        }
        let answered = match statistic {
            Some(statistic) => self.data.answered_against(statistic),
            None => self.data.answered(counts),
        };
        match (&self.fixed, statistic) {
            (None, None) => Costs::Steps(self.data.steps(counts).open(&analyst)),
            (None, Some(statistic)) => {
                Costs::Steps(self.data.steps_against(counts, statistic).open(&analyst))
            }
            (Some((threshold, argmax)), _) => Costs::Steps(StepCosts {
                threshold: threshold.clone(),
                argmax: argmax.clone(),
                answered: answered.open(&analyst),
            }),
        }
    }
}

/// A cost that cannot be written down, by the noise that makes it so large.
pub(crate) fn too_little_noise(mechanism: &NoisyVote) -> Error {
    let (field, value) = match *mechanism {
        NoisyVote::LnMax { scale } => ("scale", scale.get()),
        NoisyVote::ConfidentGnMax { sigma1, sigma2, .. } if 2.0_f64.sqrt() * sigma1.get() < sigma2.get() => {
            ("sigma1", sigma1.get())
        }
        NoisyVote::GnMax { sigma } | NoisyVote::ConfidentGnMax { sigma2: sigma, .. } => {
            ("sigma", sigma.get())
        }
    };
    Error::OutOfRange { field, value, fix: "use more noise or fewer queries, whose cost can be written down" }
}

/// The published data-independent costs of threshold test and argmax.
fn published(mechanism: &NoisyVote, orders: &[RdpOrder]) -> (Option<Vec<f64>>, Vec<f64>) {
    let each = |price: &dyn Fn(f64) -> f64| -> Vec<f64> {
        orders.iter().map(|order| price(order.get()) * (1.0 + ROUNDING)).collect()
    };
    let argmax = match mechanism.argmax() {
        ArgmaxNoise::Gaussian(sigma) => each(&|alpha| alpha / (sigma.get() * sigma.get())),
        ArgmaxNoise::Laplace(b) => each(&|alpha| (2.0 * alpha / (b.get() * b.get())).min(2.0 / b.get())),
    };
    let threshold = match mechanism {
        NoisyVote::ConfidentGnMax { sigma1, .. } => {
            Some(each(&|alpha| 0.5 * alpha / (sigma1.get() * sigma1.get())))
        }
        NoisyVote::LnMax { .. } | NoisyVote::GnMax { .. } => None,
    };
    (threshold, argmax)
}

fn worst_cases(question: &Question) -> (Option<Vec<f64>>, Vec<f64>) {
    let orders = &question.orders;
    let drawn = |decision, noise, costs: Vec<f64>| match question.lattice {
        Some(lattice) => worst_case::on_lattice(decision, noise, lattice, orders, &costs),
        None => costs,
    };
    let argmax = match question.mechanism.argmax() {
        noise @ ArgmaxNoise::Gaussian(sigma) => {
            drawn(Decision::Argmax, noise, worst_case::gnmax(sigma, orders))
        }
        noise @ ArgmaxNoise::Laplace(scale) => {
            drawn(Decision::Argmax, noise, worst_case::lnmax(scale, orders))
        }
    };
    let threshold = match question.mechanism {
        NoisyVote::ConfidentGnMax { sigma1, .. } => {
            let costs = worst_case::threshold(sigma1, orders);
            Some(drawn(Decision::Threshold, ArgmaxNoise::Gaussian(sigma1), costs))
        }
        NoisyVote::LnMax { .. } | NoisyVote::GnMax { .. } => None,
    };
    (threshold, argmax)
}

/// A few operations, each within a unit in the last place.
const ROUNDING: f64 = 1e-15;
