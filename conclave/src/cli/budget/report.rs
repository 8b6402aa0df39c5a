//! The page of `budget account`: the same words, and what a table does not show.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use conclave_privacy::VoteCounts;
use conclave_privacy::analysis::{Account, AccountantName, Answered, Question, account};
use conclave_privacy::quantity::RdpOrder;
use conclave_privacy::secret::Analyst;

use super::super::Fault;
use crate::simulate::report::{Axes, Line, Point, escape, figure_up, line_chart, page};

/// Numbers of queries at which a curve has a point.
pub(super) fn checkpoints(last: usize) -> impl Iterator<Item = usize> {
    (1..=POINTS).map(move |point| (last * point / POINTS).max(1))
}

/// Writes the page to a new file; one that exists is never overwritten.
pub(super) fn write(
    path: &Path,
    words: &str,
    series: &[Vec<Account>],
    question: &Question,
    votes: &[VoteCounts],
) -> Result<(), Fault> {
    let fault = |error: std::io::Error| {
        let fix = "give the path of a new file in a directory that can be written";
        Fault::input("unwritable-file", "--report", path.display().to_string(), error, fix)
    };
    let html = to_html(words, series, question, votes)?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(fault)?;
    file.write_all(html.as_bytes()).map_err(fault)
}

fn to_html(
    words: &str,
    series: &[Vec<Account>],
    question: &Question,
    votes: &[VoteCounts],
) -> Result<String, Fault> {
    let is_private = |account: &Account| !account.publishable && account.accountant.is_guarantee();
    let private = series.iter().flatten().any(is_private);
    let mut body = String::from(
        "<header>\n<p class=\"eyebrow\">Conclave · budget account</p>\n<h1>What the votes cost</h1>\n",
    );
    if private {
        body.push_str(
            "<aside class=\"notice\"><p><strong>Private.</strong> Some figures depend on the votes and are as private as \
             they are: do not publish this page.</p></aside>\n",
        );
    }
    body.push_str("</header>\n");
    let words = escape(words);
    body.extend(["<section class=\"panel scroll\"><pre><code>", &words, "</code></pre></section>\n"]);
    body += "<section>\n<h2>ε against queries</h2>\n<p>One panel per accountant, all on one scale.</p>\n<div class=\"pair\">\n";
    let finite = |account: &&Account| account.loss.epsilon.is_finite();
    let top = series.iter().flatten().filter(finite).map(|one| one.loss.epsilon).fold(0.0, f64::max);
    for accounts in series {
        let Some(first) = accounts.first() else { continue };
        let points: Vec<Point> = accounts
            .iter()
            .filter(finite)
            .map(|one| Point {
                x: one.queries as f64,
                y: one.loss.epsilon,
                title: format!("{} queries: ε = {}", one.queries, figure_up(one.loss.epsilon)),
            })
            .collect();
        let may = match (first.publishable, is_private(first)) {
            (true, _) => "may be published",
            (false, true) => "private",
            (false, false) => "no guarantee",
        };
        let note = format!("{}; {may}", first.accountant.direction().words());
        body +=
            &panel(first.accountant, &note, "ε against the number of queries", "queries", "ε", &points, top);
    }
    body += "</div>\n</section>\n";
    body += &landscape(series, question, votes)?;
    Ok(page("What the votes cost", &body))
}

/// What one query costs if all votes go to two classes, against the gap between them: where agreement is cheap.
fn landscape(series: &[Vec<Account>], question: &Question, votes: &[VoteCounts]) -> Result<String, Fault> {
    let names: Vec<AccountantName> =
        [AccountantName::Rdp, AccountantName::RdpDataDependent, AccountantName::Exact]
            .into_iter()
            .filter(|name| series.iter().flatten().any(|one| one.accountant == *name))
            .collect();
    let best =
        series.iter().filter_map(|accounts| accounts.last()).filter(|one| names.contains(&one.accountant));
    let Some(order) = best.filter_map(|one| one.loss.order).next_back() else { return Ok(String::new()) };
    let teachers: u64 = votes[0].as_slice().iter().sum();
    let step = (teachers / POINTS as u64).max(1);
    let gaps: Vec<u64> = (0..=teachers).step_by(usize::try_from(step).unwrap_or(usize::MAX)).collect();
    let split = |gap: u64| {
        let mut counts = vec![0; votes[0].classes()];
        (counts[0], counts[1]) = (teachers - (teachers - gap) / 2, (teachers - gap) / 2);
        VoteCounts::new(counts)
    };
    let made = gaps.iter().map(|gap| split(*gap)).collect::<Result<Vec<_>, _>>()?;
    let question = Question {
        orders: vec![RdpOrder::new(order)?],
        answered: Answered::All,
        checkpoints: vec![made.len()],
        curves: true,
        ..question.clone()
    };
    let mut body = format!(
        "<section>\n<h2>The cost of one query against its vote gap</h2>\n<p>{teachers} votes over two classes, at order {order}; an \
         answer is charged. Where teachers agree, a query costs next to nothing.</p>\n<div class=\"pair\">\n"
    );
    let mut panels = Vec::new();
    for name in names {
        let (_, curves) = account(name, &question, &made, &Analyst::who_may_see_the_votes(), || ())?;
        panels.push((name, curves));
    }
    let top = panels.iter().flat_map(|(_, curves)| curves).map(|curve| curve.rdp[0]).fold(0.0, f64::max);
    for (name, curves) in panels {
        let points: Vec<Point> = gaps
            .iter()
            .zip(&curves)
            .map(|(gap, curve)| Point {
                x: *gap as f64,
                y: curve.rdp[0],
                title: format!("gap {gap}: {:.3e} nats", curve.rdp[0]),
            })
            .collect();
        body += &panel(
            name,
            "one query",
            "Rényi cost against the vote gap",
            "votes between first and second",
            "nats",
            &points,
            top,
        );
    }
    body += "</div>\n</section>\n";
    Ok(body)
}

fn panel(
    name: AccountantName,
    note: &str,
    label: &str,
    x: &str,
    y: &str,
    points: &[Point],
    top: f64,
) -> String {
    let label = format!("{label}, by {}", name.as_str());
    let shape = Line { y_max: (top > 0.0).then_some(top * 1.05), ..Line::default() };
    let chart = line_chart(&Axes { label: &label, x, y }, &[points], &[], &shape);
    format!("<div class=\"panel\"><h3>{} <small>{note}</small></h3>\n{chart}</div>\n", name.as_str())
}

/// Points of a curve.
const POINTS: usize = 40;
