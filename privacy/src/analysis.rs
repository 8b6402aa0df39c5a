//! What a list of queries costs under every accountant, for somebody who holds the vote counts.
//!
//! | accountant | prices | publishable | direction |
//! |---|---|---|---|
//! | `pure` | ε by addition; LNMax | yes | both |
//! | `zcdp` | ρ: GNMax 1/σ², threshold 1/(2σ1²), LNMax 2/b² | yes | both |
//! | `rdp` | the published curves | yes | both |
//! | `pld` | privacy-loss distributions; a fixed plan | yes | both |
//! | `rdp-data-dependent` | Theorem 6 (2018) or Theorem 3 (2017) | no | from these votes to a neighbour |
//! | `exact` | [`ExactArgmax`](crate::data_dependent::ExactArgmax) | no | both |
//! | `exact-worst-case` | [`crate::worst_case`] | yes | both |
//!
//! For Confident-GNMax it matters how often the argmax step is charged: [`Answered`]. *Publishable* means that a result
//! does not depend on the votes, neither by its prices nor by how often they are charged.

use crate::Error;
use crate::accountant::{Conversion, Loss, rdp_to_epsilon, rho_to_epsilon_classic, rho_to_loss};
use crate::counts::VoteCounts;
use crate::data_dependent::{ArgmaxNoise, DataDependent, Method, NoisyVote, StepCosts};
use crate::pld::{FixedPlan, PlannedNoise};
use crate::quantity::{Delta, RdpCurve, RdpOrder, Rho, in_range};
use crate::secret::Analyst;
use crate::worst_case;
use libm::{log, sqrt};

/// An accountant by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountantName {
    /// Pure ε.
    Pure,
    /// Zero-concentrated differential privacy.
    Zcdp,
    /// Rényi, published data-independent costs.
    Rdp,
    /// Privacy-loss distributions.
    Pld,
    /// Rényi, published data-dependent costs.
    RdpDataDependent,
    /// Rényi, exact costs of these votes.
    Exact,
    /// Rényi, exact worst case over all votes.
    ExactWorstCase,
}

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
    /// The order is the first or the last of the grid, so other orders may give less.
    pub order_at_end: bool,
    /// Neither prices nor their number depend on the votes.
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

impl AccountantName {
    /// All of them, the most general first.
    pub const ALL: [Self; 7] = [
        Self::Pure,
        Self::Zcdp,
        Self::Rdp,
        Self::Pld,
        Self::RdpDataDependent,
        Self::Exact,
        Self::ExactWorstCase,
    ];

    /// The name on the command line and in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pure => "pure",
            Self::Zcdp => "zcdp",
            Self::Rdp => "rdp",
            Self::Pld => "pld",
            Self::RdpDataDependent => "rdp-data-dependent",
            Self::Exact => "exact",
            Self::ExactWorstCase => "exact-worst-case",
        }
    }

    /// Whether its prices are the same for all votes.
    pub const fn cost_publishable(self) -> bool {
        !matches!(self, Self::RdpDataDependent | Self::Exact)
    }

    /// Refuses pairs that have no meaning, and a threshold that is no number.
    pub fn check(self, mechanism: &NoisyVote, answered: Answered) -> Result<(), Error> {
        if let NoisyVote::ConfidentGnMax { threshold, .. } = *mechanism {
            in_range("threshold", threshold, |_| true, "give a threshold in votes, a finite number")?;
        }
        let laplace = matches!(mechanism, NoisyVote::LnMax { .. });
        let refuse = |event, fix| Err(Error::UnsupportedEvent { accountant: self.as_str(), event, fix });
        match self {
            Self::Pure if !laplace => {
                refuse("Gaussian noise", "use zcdp, rdp, pld, exact or exact-worst-case")
            }
            Self::Exact => Ok(()),
            _ if answered == Answered::Joint => {
                refuse("threshold and argmax as one law", "use exact, or answered all, expected or a number")
            }
            _ => Ok(()),
        }
    }
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
    mut advance: impl FnMut(),
) -> Result<(Vec<Account>, Vec<QueryCurve>), Error> {
    accountant.check(&question.mechanism, question.answered)?;
    check_votes(votes)?;
    let beyond = question.checkpoints.iter().find(|&&checkpoint| checkpoint == 0 || checkpoint > votes.len());
    if let Some(&beyond) = beyond {
        let fix = "give numbers of queries from 1 to the number of rows";
        return Err(Error::OutOfRange { field: "at", value: beyond as f64, fix });
    }
    let mut prices = Prices::new(accountant, question);
    let mut sum = Sum::new(accountant, question);
    let (mut accounts, mut curves) = (Vec::new(), Vec::new());
    let last = question.checkpoints.last().copied().unwrap_or_default();
    for (row, counts) in votes[..last].iter().enumerate() {
        let costs = prices.of(counts);
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
            accounts.push(sum.account()?);
        }
    }
    Ok((accounts, curves))
}

/// Refuses votes of no query, and of queries that do not agree in their number of classes.
fn check_votes(votes: &[VoteCounts]) -> Result<(), Error> {
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

/// The account of `queries` queries before any vote is cast, by an accountant whose prices do not depend on votes.
///
/// Refuses the others, and for Confident-GNMax a number of answers that is not stated.
pub fn account_in_advance(
    accountant: AccountantName,
    question: &Question,
    queries: u32,
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
        AccountantName::ExactWorstCase => worst_cases(&question.mechanism, &question.orders),
        _ => published(&question.mechanism, &question.orders),
    };
    sum.queries = queries as usize;
    sum.answered = match question.answered {
        Answered::Stated(most) if sum.confident() => f64::from(queries).min(most as f64),
        _ => f64::from(queries),
    };
    if let Some(threshold) = threshold {
        add_to(&mut sum.rdp, &threshold, f64::from(queries));
    }
    let answered = sum.answered;
    add_to(&mut sum.rdp, &argmax, answered);
    sum.account()
}

impl AccountantName {
    const fn has_curve(self) -> bool {
        !matches!(self, Self::Pure | Self::Pld)
    }
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
    fn new(accountant: AccountantName, question: &Question) -> Self {
        let orders = &question.orders;
        let method = if accountant == AccountantName::Exact { Method::Exact } else { Method::Published };
        let fixed = match accountant {
            AccountantName::Exact | AccountantName::RdpDataDependent => None,
            AccountantName::ExactWorstCase => Some(worst_cases(&question.mechanism, orders)),
            _ => Some(published(&question.mechanism, orders)),
        };
        let data = DataDependent::new(question.mechanism, method, orders);
        Self { data, fixed, joint: question.answered == Answered::Joint }
    }

    fn of(&mut self, counts: &VoteCounts) -> Costs {
        let analyst = Analyst::who_may_see_the_votes();
        if self.joint {
            return Costs::Joint(
                self.data.joint(counts).open(&analyst),
                self.data.answered(counts).open(&analyst),
            );
        }
        match &self.fixed {
            None => Costs::Steps(self.data.steps(counts).open(&analyst)),
            Some((threshold, argmax)) => Costs::Steps(StepCosts {
                threshold: threshold.clone(),
                argmax: argmax.clone(),
                answered: self.data.answered(counts).open(&analyst),
            }),
        }
    }
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

fn worst_cases(mechanism: &NoisyVote, orders: &[RdpOrder]) -> (Option<Vec<f64>>, Vec<f64>) {
    match *mechanism {
        NoisyVote::ConfidentGnMax { sigma1, sigma2, .. } => {
            (Some(worst_case::threshold(sigma1, orders)), worst_case::gnmax(sigma2, orders))
        }
        NoisyVote::GnMax { sigma } => (None, worst_case::gnmax(sigma, orders)),
        NoisyVote::LnMax { scale } => (None, worst_case::lnmax(scale, orders)),
    }
}

/// Costs summed so far.
struct Sum<'a> {
    accountant: AccountantName,
    question: &'a Question,
    rdp: Vec<f64>,
    /// With a stated number of answers and data-dependent prices: the argmax costs per order, of which the dearest count.
    dearest: Vec<Vec<f64>>,
    queries: usize,
    answered: f64,
}

impl<'a> Sum<'a> {
    fn new(accountant: AccountantName, question: &'a Question) -> Self {
        let orders = question.orders.len();
        Self {
            accountant,
            question,
            rdp: vec![0.0; orders],
            dearest: vec![Vec::new(); orders],
            queries: 0,
            answered: 0.0,
        }
    }

    /// Whether the policy for answers matters at all.
    const fn confident(&self) -> bool {
        matches!(self.question.mechanism, NoisyVote::ConfidentGnMax { .. })
    }

    /// The cost of one query by itself.
    fn one(&self, costs: &Costs) -> Vec<f64> {
        match costs {
            Costs::Joint(rdp, _) => rdp.clone(),
            Costs::Steps(steps) => {
                let expected = self.confident() && self.question.answered == Answered::Expected;
                let worst = self.accountant == AccountantName::ExactWorstCase;
                let weight = if expected && !worst { steps.answered } else { 1.0 };
                let thresholds = steps.threshold.iter().flatten().copied().chain(std::iter::repeat(0.0));
                steps
                    .argmax
                    .iter()
                    .zip(thresholds)
                    .map(|(argmax, threshold)| threshold + weight * argmax)
                    .collect()
            }
        }
    }

    fn add(&mut self, costs: Costs) {
        self.queries += 1;
        match costs {
            Costs::Joint(rdp, answered) => {
                self.answered += answered;
                add_to(&mut self.rdp, &rdp, 1.0);
            }
            Costs::Steps(StepCosts { threshold, argmax, answered }) => {
                if let Some(threshold) = threshold {
                    add_to(&mut self.rdp, &threshold, 1.0);
                }
                match self.question.answered {
                    Answered::Stated(most) if self.confident() => {
                        self.answered = (self.queries as f64).min(most as f64);
                        for (costs, cost) in self.dearest.iter_mut().zip(argmax) {
                            costs.push(cost);
                        }
                    }
                    Answered::Expected if self.confident() => {
                        self.answered += answered;
                        add_to(&mut self.rdp, &argmax, answered);
                    }
                    _ => {
                        self.answered += 1.0;
                        add_to(&mut self.rdp, &argmax, 1.0);
                    }
                }
            }
        }
    }

    fn account(&self) -> Result<Account, Error> {
        let by_votes =
            self.confident() && matches!(self.question.answered, Answered::Expected | Answered::Joint);
        let loss = self.loss()?;
        let (first, last) = (self.question.orders.first(), self.question.orders.last());
        let ends = [first, last].map(|end| end.map(|order| order.get()));
        let on_grid =
            !matches!(self.accountant, AccountantName::Pure | AccountantName::Zcdp | AccountantName::Pld);
        Ok(Account {
            accountant: self.accountant,
            queries: self.queries,
            answered: self.answered,
            loss,
            order_at_end: on_grid && loss.order.is_some() && ends.contains(&loss.order),
            publishable: self.accountant.cost_publishable() && !by_votes,
            cost_publishable: self.accountant.cost_publishable(),
        })
    }

    fn loss(&self) -> Result<Loss, Error> {
        let (queries, answered) = (self.queries as f64, self.answered);
        let Question { delta, conversion, mechanism, .. } = self.question;
        Ok(match self.accountant {
            AccountantName::Pure => {
                let epsilon = 2.0 * queries / mechanism.argmax().scale() * (1.0 + ROUNDING);
                Loss { epsilon, order: None }
            }
            AccountantName::Zcdp => zcdp_loss(self.zcdp(queries, answered)?, *delta, *conversion),
            AccountantName::Pld => {
                Loss { epsilon: FixedPlan::new(&self.plan(queries, answered))?.epsilon(*delta), order: None }
            }
            _ => {
                let mut rdp = self.rdp.clone();
                for (sum, costs) in rdp.iter_mut().zip(&self.dearest).filter(|(_, costs)| !costs.is_empty()) {
                    let mut costs = costs.clone();
                    costs.sort_unstable_by(|a, b| b.total_cmp(a));
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "a number of queries"
                    )]
                    let most = answered as usize;
                    *sum += costs[..most].iter().sum::<f64>();
                }
                // Each of the additions may have lost half a unit in the last place.
                let up = 1.0 + 2.0 * f64::EPSILON * (queries + 4.0);
                let rdp = rdp.into_iter().map(|cost| cost * up).collect();
                let curve = RdpCurve::new(self.question.orders.clone(), rdp)?;
                rdp_to_epsilon(&curve, *delta, *conversion)
            }
        })
    }

    fn zcdp(&self, queries: f64, answered: f64) -> Result<Rho, Error> {
        let inverse_square = |scale: f64| 1.0 / (scale * scale);
        let nats = match self.question.mechanism {
            NoisyVote::LnMax { scale } => 2.0 * queries * inverse_square(scale.get()),
            NoisyVote::GnMax { sigma } => queries * inverse_square(sigma.get()),
            NoisyVote::ConfidentGnMax { sigma1, sigma2, .. } => {
                0.5 * queries * inverse_square(sigma1.get()) + answered * inverse_square(sigma2.get())
            }
        };
        Rho::from_nats_up(nats * (1.0 + ROUNDING)).ok_or(Error::CostOverflow { field: "rho" })
    }

    fn plan(&self, queries: f64, answered: f64) -> Vec<PlannedNoise> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of queries")]
        let twice = 2 * queries as u64;
        match self.question.mechanism {
            // One moved vote shifts two counts by one each.
            NoisyVote::LnMax { scale } => vec![PlannedNoise::Laplace { scale, shift: 1.0, times: twice }],
            NoisyVote::GnMax { sigma } => {
                vec![PlannedNoise::Gaussian { scale: sigma, shift: std::f64::consts::SQRT_2, times: queries }]
            }
            NoisyVote::ConfidentGnMax { sigma1, sigma2, .. } => vec![
                PlannedNoise::Gaussian { scale: sigma1, shift: 1.0, times: queries },
                PlannedNoise::Gaussian { scale: sigma2, shift: std::f64::consts::SQRT_2, times: answered },
            ],
        }
    }
}

fn zcdp_loss(rho: Rho, delta: Delta, conversion: Conversion) -> Loss {
    match conversion {
        Conversion::Tight => rho_to_loss(rho, delta),
        Conversion::Classic => {
            let order = 1.0 + sqrt(-log(delta.get()) / rho.to_f64_up());
            Loss { epsilon: rho_to_epsilon_classic(rho, delta), order: order.is_finite().then_some(order) }
        }
    }
}

fn add_to(sum: &mut [f64], costs: &[f64], weight: f64) {
    for (sum, cost) in sum.iter_mut().zip(costs) {
        *sum += weight * cost;
    }
}

/// A few operations, each within a unit in the last place.
const ROUNDING: f64 = 1e-15;
