//! `conclave budget account`: what votes that a researcher holds cost, under each accountant.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::ValueEnum;
use conclave_privacy::accountant::{Conversion, Direction};
use conclave_privacy::analysis::{
    Account, AccountantName, Answered, QueryCurve, Question, Selection, account, account_against,
    default_orders,
};
use conclave_privacy::data_dependent::NoisyVote;
use conclave_privacy::quantity::{Delta, RdpOrder};
use conclave_privacy::secret::Analyst;
use conclave_privacy::unit::{Adjacency, PrivacyUnit};
use serde::Serialize;

use super::super::values::{delta, number, unknown};
use super::super::{Console, Exit, Fault, Progress};
use super::{NoiseFlags, Priced, VoteMechanism, report, votes};
use crate::simulate::report::figure_up;

/// What vote counts cost that you hold: epsilon under each accountant, and which of them may be published
///
/// The file has a row per query and a column per class, whole numbers, no header line. Costs that depend on the votes are as
/// private as the votes themselves.
#[derive(Debug, clap::Args)]
pub(super) struct AccountArgs {
    /// Vote counts as comma-separated text
    #[arg(long, value_name = "FILE.csv")]
    votes: PathBuf,
    #[command(flatten)]
    noise: NoiseFlags,
    /// The probability with which the guarantee may fail
    #[arg(long, value_name = "D", value_parser = delta, allow_hyphen_values = true)]
    delta: Delta,
    /// pure, advanced, zcdp, rdp, pld, pld-lower, gdp, rdp-data-dependent, exact, exact-worst-case; repeat for several [default: all that apply]
    #[arg(long, value_name = "A", value_parser = accountant)]
    accountant: Vec<AccountantName>,
    /// How often an answer after a threshold test is charged: expected, joint (exact of confident-gnmax only), all, or at most N [default: expected]
    #[arg(long, value_name = "expected|joint|all|N", value_parser = answered)]
    answered: Option<Answered>,
    /// After how many queries, such as 100,500 [default: all rows]
    #[arg(long, value_name = "N,N,...", value_delimiter = ',')]
    at: Vec<usize>,
    /// Renyi orders above 1, such as 2,8.5,32 [default: 60 from 1.1 to 256]
    #[arg(long, value_name = "O,O,...", value_delimiter = ',', value_parser = order, allow_hyphen_values = true)]
    orders: Vec<RdpOrder>,
    /// From Renyi costs to epsilon: classic (Mironov 2017) or tight (Balle et al. 2020)
    #[arg(long, value_name = "CONVERSION", value_enum, default_value = "tight", hide_possible_values = true)]
    conversion: ConversionName,
    /// A new HTML file with plots: epsilon against queries, and the cost of one query against its vote gap
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Add the cost of every single query at each order (json)
    #[arg(long)]
    curve: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ConversionName {
    Classic,
    Tight,
}

/// The outcome for scripts.
#[derive(Serialize)]
struct Told {
    queries: usize,
    delta: f64,
    unit: &'static str,
    adjacency: &'static str,
    mechanism: &'static str,
    conversion: &'static str,
    results: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orders: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    curves: Option<Vec<Curve>>,
}

#[derive(Serialize)]
struct Row {
    accountant: &'static str,
    queries: usize,
    answered: f64,
    epsilon: Option<f64>,
    order: Option<f64>,
    order_at_end: bool,
    at_published_price: usize,
    publishable: bool,
    cost_publishable: bool,
    direction: &'static str,
    #[serde(skip)]
    errs: &'static str,
}

#[derive(Serialize)]
struct Curve {
    row: Option<usize>,
    accountant: &'static str,
    rdp: Vec<Option<f64>>,
}

pub(super) fn run(args: &AccountArgs, console: &Console) -> Result<Exit, Fault> {
    let told = match args.noise.priced()? {
        Priced::Noisy(mechanism) => of_noisy(args, mechanism, console)?,
        Priced::Selection(selection) => of_selection(args, selection)?,
    };
    console.result(|| words(&told, args), &told)?;
    Ok(Exit::Done)
}

/// Accounts of noise on counts.
fn of_noisy(args: &AccountArgs, mechanism: NoisyVote, console: &Console) -> Result<Told, Fault> {
    let given = !args.accountant.is_empty();
    let mut accountants = if given { args.accountant.clone() } else { AccountantName::ALL.to_vec() };
    accountants.retain(|name| given || name.check(&mechanism, args.answered()).is_ok());
    for name in &accountants {
        name.check(&mechanism, args.answered())?;
    }
    let votes = votes::read(&args.votes)?;
    let predictions =
        args.noise.student_predictions.as_ref().map(|path| votes::predictions(path, &votes)).transpose()?;
    let shown = args.checkpoints(votes.len());
    let mut question = Question {
        mechanism,
        lattice: None,
        delta: args.delta,
        orders: args.orders(),
        conversion: args.conversion.into(),
        answered: args.answered(),
        checkpoints: shown.clone(),
        curves: args.curve,
    };
    if args.report.is_some() {
        question
            .checkpoints
            .extend(report::checkpoints(votes.len().min(shown.last().copied().unwrap_or_default())));
        question.checkpoints.sort_unstable();
        question.checkpoints.dedup();
    }
    let progress = Progress::on(console);
    // The person at this terminal gave the votes.
    let analyst = Analyst::who_may_see_the_votes();
    let (mut results, mut curves, mut series) = (Vec::new(), Vec::new(), Vec::new());
    for name in accountants {
        let step = progress.counted(&format!("Accounting by {}", name.as_str()), votes.len() as u64);
        let advance = || step.advance(1);
        let (accounts, more) = match &predictions {
            Some(student) => account_against(name, &question, &votes, student, &analyst, advance)?,
            None => account(name, &question, &votes, &analyst, advance)?,
        };
        results.extend(accounts.iter().filter(|one| shown.contains(&one.queries)).map(Row::from));
        series.push(accounts);
        curves.extend(more.into_iter().map(Curve::from));
    }
    let mut told = args.told(votes.len(), results);
    told.orders = args.curve.then(|| question.orders.iter().map(|order| order.get()).collect());
    told.curves = args.curve.then_some(curves);
    if let Some(path) = &args.report {
        report::write(path, &words(&told, args), &series, &question, &votes)?;
    }
    Ok(told)
}

/// Accounts of pure selection, of which there is nothing to plot: every query costs the same, whatever its votes.
fn of_selection(args: &AccountArgs, selection: Selection) -> Result<Told, Fault> {
    for (flag, given) in [("--report", args.report.is_some()), ("--curve", args.curve)] {
        if given {
            let fix = "leave it out: every query costs the same";
            return Err(Fault::input("superfluous-flag", flag, "", "has no meaning here", fix));
        }
    }
    let all = Selection::ACCOUNTANTS.to_vec();
    let accountants = if args.accountant.is_empty() { all } else { args.accountant.clone() };
    let votes = votes::read(&args.votes)?;
    let (at, orders) = (args.checkpoints(votes.len()), args.orders());
    if let Some(beyond) = at.iter().find(|queries| !(1..=votes.len()).contains(*queries)) {
        let fix = "give numbers of queries from 1 to the number of rows";
        return Err(Fault::input("invalid-value", "at", beyond.to_string(), "out of range", fix));
    }
    let mut results = Vec::new();
    for name in accountants {
        for queries in &at {
            let account = selection.account(name, *queries, args.delta, &orders, args.conversion.into())?;
            results.push(Row::from(&account));
        }
    }
    Ok(args.told(votes.len(), results))
}

impl AccountArgs {
    fn answered(&self) -> Answered {
        self.answered.unwrap_or(Answered::Expected)
    }

    /// Whether there is a threshold test, before which a query may go unanswered.
    const fn tests(&self) -> bool {
        matches!(self.noise.mechanism, VoteMechanism::ConfidentGnMax | VoteMechanism::InteractiveGnMax)
    }

    /// After how many queries, in ascending order.
    fn checkpoints(&self, rows: usize) -> Vec<usize> {
        let mut checkpoints = if self.at.is_empty() { vec![rows] } else { self.at.clone() };
        checkpoints.sort_unstable();
        checkpoints.dedup();
        checkpoints
    }

    fn orders(&self) -> Vec<RdpOrder> {
        if self.orders.is_empty() { default_orders() } else { self.orders.clone() }
    }

    fn told(&self, queries: usize, results: Vec<Row>) -> Told {
        Told {
            queries,
            delta: self.delta.get(),
            unit: ONE_VOTE.0.name(),
            adjacency: ONE_VOTE.1.name(),
            mechanism: self.noise.mechanism.as_str(),
            conversion: match self.conversion {
                ConversionName::Classic => "classic",
                ConversionName::Tight => "tight",
            },
            results,
            orders: None,
            curves: None,
        }
    }
}

impl From<ConversionName> for Conversion {
    fn from(name: ConversionName) -> Self {
        match name {
            ConversionName::Classic => Self::Classic,
            ConversionName::Tight => Self::Tight,
        }
    }
}

fn words(told: &Told, args: &AccountArgs) -> String {
    let mut text = format!(
        "{} queries by {}, δ = {:e}; unit {}, adjacency {}: one teacher's vote may change on every query\n\n\
         {:<20}{:>9}{:>11}{:>14}{:>11}  {:<38}may be published\n",
        told.queries,
        told.mechanism,
        told.delta,
        told.unit,
        told.adjacency,
        "accountant",
        "queries",
        "answered",
        "epsilon",
        "order",
        "errs"
    );
    for row in &told.results {
        let epsilon = row.epsilon.map_or_else(|| "none".to_owned(), figure_up);
        let order = row.order.map_or_else(|| "-".to_owned(), |order| format!("{order:.1}"));
        let may = match (row.publishable, row.cost_publishable) {
            (true, _) => "yes",
            (false, true) if row.direction == Direction::LowerBound.name() => "no: it is no guarantee",
            (false, true) => "no: how often it answered depends on the votes",
            (false, false) => "no: its prices depend on the votes",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<20}{:>9}{:>11.1}{epsilon:>14}{order:>11}  {:<38}{may}",
            row.accountant, row.queries, row.answered, row.errs
        );
    }
    if told.results.iter().any(|row| row.order_at_end) {
        text.push_str(
            "\nA best order is at the end of the grid: other --orders may give a smaller epsilon.\n",
        );
    }
    if told.results.iter().any(|row| row.accountant == AccountantName::Exact.as_str()) {
        text.push_str(
            "\nexact is the cost of these very votes: except with probability δ over the noise, the labels shift the odds between\n\
             them and any neighbour by at most exp(epsilon). It is no differential-privacy guarantee, and is private itself.\n",
        );
    }
    for row in told.results.iter().filter(|row| row.at_published_price > 0) {
        let _ = writeln!(
            text,
            "\n{} has {} of {} queries at their published price: its own was not computed there, or is no smaller.",
            row.accountant, row.at_published_price, row.queries
        );
    }
    if told.results.iter().any(|row| row.accountant == AccountantName::PldLower.as_str()) {
        text.push_str(
            "\npld-lower is below what the noisy counts of the plan tell, as pld is above it: their distance is what rounding may cost. It is\n\
             no guarantee.\n",
        );
    }
    if args.answered.is_some() && !args.tests() {
        text.push_str(
            "\n--answered changes nothing here: without a threshold test every query is answered.\n",
        );
    }
    if args.tests() && args.answered() == Answered::Expected {
        text.push_str(
            "\nAnswers are counted as expected, as the 2018 paper does, which bounds no run; --answered N prices a cap on them.\n",
        );
    }
    text
}

impl From<&Account> for Row {
    fn from(account: &Account) -> Self {
        Self {
            accountant: account.accountant.as_str(),
            queries: account.queries,
            answered: account.answered,
            epsilon: account.loss.epsilon.is_finite().then_some(account.loss.epsilon),
            order: account.loss.order,
            order_at_end: account.loss.order_at_end,
            at_published_price: account.at_published_price,
            publishable: account.publishable,
            cost_publishable: account.cost_publishable,
            direction: account.accountant.direction().name(),
            errs: account.accountant.direction().words(),
        }
    }
}

impl From<QueryCurve> for Curve {
    fn from(curve: QueryCurve) -> Self {
        let finite = |cost: f64| cost.is_finite().then_some(cost);
        Self {
            row: curve.row,
            accountant: curve.accountant.as_str(),
            rdp: curve.rdp.into_iter().map(finite).collect(),
        }
    }
}

/// Whom every price here protects: of votes of one histogram nothing else is known. Others move more votes (`budget plan --unit`).
const ONE_VOTE: (PrivacyUnit, Adjacency) = (PrivacyUnit::Record, Adjacency::AddRemove);

fn accountant(text: &str) -> Result<AccountantName, Fault> {
    let known = AccountantName::ALL.map(AccountantName::as_str);
    let found = AccountantName::ALL.into_iter().find(|name| name.as_str() == text);
    found.ok_or_else(|| unknown("accountant", text, &known))
}

fn answered(text: &str) -> Result<Answered, Fault> {
    match text {
        "expected" => Ok(Answered::Expected),
        "joint" => Ok(Answered::Joint),
        "all" => Ok(Answered::All),
        _ => text.parse().map(Answered::Stated).map_err(|_| {
            unknown("answered", text, &["expected", "joint", "all", "a whole number of answers"])
        }),
    }
}

fn order(text: &str) -> Result<RdpOrder, Fault> {
    Ok(RdpOrder::new(number("orders", text)?)?)
}
