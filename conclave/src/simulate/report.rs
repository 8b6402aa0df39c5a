//! The report of a simulation, and that of a campaign on a cluster (`campaign`): one HTML file that needs nothing else, from plain data.
//!
//! No scripts, no fonts, no links that load anything: it can be mailed, archived and printed. Every text is escaped.
//! Every ε stands with its unit, adjacency and δ. Figures that no real campaign may show stand in sections headed
//! "visible only in a simulation".

pub(crate) mod campaign;
mod data;
mod evidence;
mod markup;
mod outline;
mod picture;
mod plot;
pub(super) mod words;

pub use data::{
    BudgetPoint, ClassOutcomes, Confusion, CurvePoint, Privacy, QueryExample, QueryTotals, ReportData,
    Seconds, Setting, Shortfall, SiloAccount, Student,
};

pub(crate) use markup::escape;
pub(crate) use outline::capitalised;
pub(crate) use plot::{Axes, Line, Point, line_chart};
pub use words::up as figure_up;

/// The whole page.
pub fn to_html(data: &ReportData) -> String {
    let sections = [
        outline::header(data),
        outline::tiles(data),
        outline::plainly(data),
        evidence::benefit(data),
        evidence::budget(&data.privacy, &data.budget, &data.silos),
        evidence::labels(data),
        evidence::votes(data),
        evidence::student(data),
        crate::attacks::page::section(&data.attacks),
        outline::settings(data),
    ];
    page(&data.title, &sections.join("\n"))
}

/// A page that needs nothing else, around `body`.
pub(crate) fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <title>{} · Conclave</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{}\n</main>\n</body>\n</html>\n",
        escape(title),
        body,
    )
}

const STYLE: &str = include_str!("report/style.css");
/// The browser itself refuses to run or load anything.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

#[cfg(test)]
pub(super) mod sample;
#[cfg(test)]
mod tests;
