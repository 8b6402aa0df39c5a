//! A plan for people: what each mechanism would buy, and what it would cost by every accountant.

use std::fmt::Write as _;

use super::{Cost, Told};
use crate::cli::budget::groups::Section;
use crate::simulate::report::figure_up;

pub(super) fn of(told: &Told) -> String {
    let mut text = format!(
        "{} queries to {} teachers; protected: {} (unit {}, adjacency {}), δ = {:e}; vote model: {}\n\n",
        told.queries, told.teachers, told.protects, told.unit, told.adjacency, told.delta, told.vote_model,
    );
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{:<4}{:<16}{:>10} {:>10} {:>9} {:>10}{:>9}{:>9}{:>10}",
        "", "mechanism", "noise", "sigma1", "T", "answers", "agree", "right", "ε ledger"
    );
    let or_dash = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value}"));
    let percent = |share: f64| format!("{:.1}%", share * 100.0);
    for (number, row) in (1..).zip(&told.plans) {
        let _ = writeln!(
            text,
            "{:<4}{:<16}{:>10} {:>10} {:>9} {:>10.0}{:>9}{:>9}{:>10}",
            number,
            row.mechanism,
            row.sigma,
            or_dash(row.sigma1),
            or_dash(row.threshold),
            row.expected_answers,
            percent(row.expected_agreement),
            row.expected_accuracy.map_or_else(|| "-".to_owned(), percent),
            figure_up(row.accounts[0].epsilon),
        );
    }
    text.push_str(
        "\nnoise: sigma, for lnmax the scale b. agree: the expected share of answers that are the most frequent vote; right: that are\n\
         the true label, where the vote model knows it. Most right answers first. Where plain noise comes first,\n\
         a threshold buys surer answers, not more right ones.\n\nε by accountant, plan by plan:\n",
    );
    text.push_str(&costs(told));
    let target = if told.epsilon.is_some() { ": it is never above the target" } else { "" };
    let _ = write!(
        text,
        "\nledger is what accounts are charged for all queries and the expected answers, rounded up{target}. The\n\
         others with yes are for a cap on the answers that is stated before the votes; pld and gdp hold for whoever sees the noisy counts.\n\
         Those of the model are properties of its votes, not of private ones: they promise nothing, and for private votes are private.\n",
    );
    if told.vote_model == "assumed" {
        text.push_str(
            "The vote model is assumed (97 of 100 teachers agree on two questions of five, fewer on the others, and are wrong on two\n\
             of twenty): give --vote-model with public or simulated votes for expectations of your own.\n",
        );
    }
    text.push_str(&told.groups.as_ref().map(Section::words).unwrap_or_default());
    text
}

/// A line for each accountant that prices any of the plans, a column for each plan.
fn costs(told: &Told) -> String {
    let mut kinds: Vec<&Cost> = Vec::new();
    for cost in told.plans.iter().flat_map(|row| &row.accounts) {
        if !kinds.iter().any(|kind| kind.is_like(cost)) {
            kinds.push(cost);
        }
    }
    // The model's last; a stable sort keeps the order of the accountants.
    kinds.sort_by_key(|kind| !kind.publishable);
    let mut text = format!("{:<28}", "");
    for number in 1..=told.plans.len() {
        let _ = write!(text, "{number:>9}");
    }
    let _ = writeln!(text, "  {:<38}may be published", "errs");
    for kind in kinds {
        let name = match kind.answered {
            "joint" => format!("{}, one law", kind.accountant),
            _ => kind.accountant.to_owned(),
        };
        let _ = write!(text, "{name:<28}");
        for row in &told.plans {
            let found = row.accounts.iter().find(|cost| kind.is_like(cost));
            let shown = found.map_or_else(|| "-".to_owned(), |cost| figure_up(cost.epsilon));
            let _ = write!(text, "{shown:>9}");
        }
        let may = if kind.publishable { "yes" } else { "of the model" };
        let _ = writeln!(text, "  {:<38}{may}", kind.errs);
    }
    text
}

impl Cost {
    fn is_like(&self, other: &Self) -> bool {
        (self.accountant, self.answered) == (other.accountant, other.answered)
    }
}
