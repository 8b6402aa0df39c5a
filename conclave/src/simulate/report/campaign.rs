//! The report of a campaign on a cluster, from what everybody may know of it: contract, status and released answers.
//!
//! The same page as that of a simulation, without what only a simulation can show: no truths, no votes, no shards.

use std::fmt::Write as _;

use super::data::{BudgetPoint, Privacy, Setting, SiloAccount};
use super::evidence::{self, panel};
use super::markup::escape;
use super::outline;
use super::page;
use super::plot::{self, Axes, Part};
use super::words::{self, terms, up};

/// Everything that the page tells.
#[derive(Debug, Clone)]
pub(crate) struct CampaignReport {
    /// The campaign's name.
    pub(crate) name: String,
    /// How it stands, in a sentence.
    pub(crate) phase: String,
    /// Its noise comes from a seed.
    pub(crate) simulated: bool,
    /// How many organisations agreed to it.
    pub(crate) organisations: u32,
    /// Teachers over all of them.
    pub(crate) teachers: u64,
    /// What was proposed and answered.
    pub(crate) queries: Queries,
    /// Queries that still fit under all caps, at the price of one that is answered.
    pub(crate) queries_left: u64,
    /// What it cost.
    pub(crate) privacy: Privacy,
    /// The spending after each answer, in the order of release.
    pub(crate) budget: Vec<BudgetPoint>,
    /// Nodes that do not answer as the page is made, by organisation and name.
    pub(crate) away: Vec<String>,
    /// Organisations whose votes are certainly missing from a part of the answers.
    pub(crate) missed: Vec<String>,
    /// One account per silo.
    pub(crate) silos: Vec<SiloAccount>,
    /// Released labels of each class, by its name.
    pub(crate) labels: Vec<(String, u64)>,
    /// The terms of the contract, in the order in which to show them.
    pub(crate) terms: Vec<Setting>,
}

/// Queries of a campaign on a cluster.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Queries {
    pub(crate) most: u64,
    pub(crate) proposed: u64,
    pub(crate) labelled: u64,
    pub(crate) abstained: u64,
    pub(crate) interrupted: u64,
}

/// The whole page.
pub(crate) fn to_html(report: &CampaignReport) -> String {
    let counted = format!(
        "{} on each of {} queries, {} teachers in {} organisations",
        report.privacy.noise, report.queries.proposed, report.teachers, report.organisations
    );
    let promised = words::promised(&report.privacy, report.organisations);
    let sections = [
        header(report),
        tiles(report),
        outline::in_plain_words(&promised, &counted, &report.privacy),
        evidence::budget(&report.privacy, &report.budget, &report.silos),
        labels(report),
        contract(report),
        outline::footer(&report.privacy),
    ];
    page(&format!("Campaign {}", report.name), &sections.join("\n"))
}

fn header(report: &CampaignReport) -> String {
    let simulated = if report.simulated {
        format!(
            "<aside class=\"notice\"><p><strong>Simulated.</strong> {}</p></aside>\n",
            escape(words::NOTICE)
        )
    } else {
        String::new()
    };
    let away = if report.away.is_empty() {
        String::new()
    } else {
        format!(
            "<aside class=\"notice stop\"><p><strong>Away as this page was made: {}.</strong> What is released meanwhile is \
             without their votes, and costs their data nothing.</p></aside>\n",
            escape(&report.away.join(", "))
        )
    };
    let missed = if report.missed.is_empty() {
        String::new()
    } else {
        format!(
            "<aside class=\"notice stop\"><p><strong>Not in every answer: {}.</strong> The campaign has cost more than this \
             data has ever paid, so a part of the answers is without these votes.</p></aside>\n",
            escape(&report.missed.join(", "))
        )
    };
    format!(
        "<header>\n<p class=\"eyebrow\">Conclave · report of a campaign</p>\n<h1>Campaign {}</h1>\n<p>{}.</p>\n{simulated}{away}{missed}</header>",
        escape(&report.name),
        escape(&report.phase),
    )
}

fn tiles(report: &CampaignReport) -> String {
    let CampaignReport { queries, privacy, .. } = report;
    outline::in_a_row([
        (
            "Labels released",
            format!("{} of {}", queries.labelled, queries.proposed),
            format!("{} abstentions, {} interrupted", queries.abstained, queries.interrupted),
        ),
        ("Guarantee (the cap)", format!("ε = {}", up(privacy.epsilon)), terms(privacy)),
        ("Spent (after the fact)", format!("ε = {}", up(privacy.epsilon_spent)), terms(privacy)),
        (
            "Left",
            format!("{} queries", report.queries_left),
            format!("of at most {}, at the price of one that is answered", queries.most),
        ),
    ])
}

fn labels(report: &CampaignReport) -> String {
    let bars: Vec<(String, Vec<Part>)> = report
        .labels
        .iter()
        .map(|(name, count)| {
            let title = format!("{name}: {count} labels");
            (name.clone(), vec![Part { value: *count as f64, class: "good", title }])
        })
        .collect();
    let axes = Axes { label: "Released labels by class", x: "class", y: "labels" };
    let chart = panel(
        "Labels by class",
        &plot::stacked_bars(&axes, &bars),
        "Of what was released, noise included. How the teachers voted stays inside the aggregator.",
    );
    format!("<section>\n<h2>The labels</h2>\n<div class=\"pair\">\n{chart}</div>\n</section>")
}

fn contract(report: &CampaignReport) -> String {
    let mut html = String::from(
        "<section>\n<h2>The contract</h2>\n<p>What every silo agreed to before its first vote. Whose votes are in which \
         answer is not on this page: the draws of the ledger say it (<code>conclave ledger export</code>).</p>\n\
         <div class=\"panel scroll\"><table>\n<tr><th>Term</th><th>Value</th></tr>\n",
    );
    for Setting { name, value, .. } in &report.terms {
        let _ = writeln!(html, "<tr><td>{}</td><td>{}</td></tr>", escape(name), escape(value));
    }
    html + "</table></div>\n</section>"
}
