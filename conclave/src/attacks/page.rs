//! The attacks on a page: a summary, then for each its threat model, method, promise with its pass rule, curves with what they were counted
//! from, verdict and command.
//!
//! What is said of an attack is written beside that attack, in the harness; here are the frame and the words that all share.

use std::fmt::Write as _;

use conclave_attack_harness::report::{Finding, Verdict};
use conclave_attack_harness::threat_model::{Norm, ThreatModel};

use super::curves::{figure, measures};
use super::{Attacked, Cost, Target};
use crate::simulate::report::{escape, page};

/// A page of its own, which also says what was attacked.
pub fn to_html(title: &str, target: &Target, attacked: &[Attacked], simulated: bool) -> String {
    let notice = if simulated {
        "<aside class=\"notice\"><p><strong>Simulated.</strong> The target's noise came from a seed; bounds use counts that only a \
         simulation knows.</p></aside>\n"
    } else {
        ""
    };
    let header = format!(
        "<header>\n<p class=\"eyebrow\">Conclave · report of attacks</p>\n<h1>{}</h1>\n{notice}{}</header>\n",
        escape(title),
        rows(target),
    );
    page(title, &(header + &section(attacked)))
}

/// The section for a page of something else; empty without attacks.
pub fn section(attacked: &[Attacked]) -> String {
    if attacked.is_empty() {
        return String::new();
    }
    let mut html = format!(
        "<section>\n<h2>Attacks</h2>\n<p>What an attacker with the stated knowledge and budget came to, beside what is promised. An attack \
         that fails shows that this attack failed, not that none succeeds. A broken line in a chart is the promise; the words below it say \
         whether it is a floor or a ceiling. Techniques are those of MITRE ATLAS. Carried out by Conclave {}.</p>\n",
        env!("CARGO_PKG_VERSION"),
    );
    let _ = writeln!(html, "<p><strong>{}</strong></p>", tally(attacked));
    html += "<div class=\"scroll\"><table class=\"summary\"><tr>";
    html += &COLUMNS.map(|name| format!("<th>{name}</th>")).concat();
    html += "</tr>\n";
    for attacked in attacked {
        let finding = &attacked.finding;
        let atlas: Vec<&str> = finding.threat.atlas.iter().map(|technique| technique.id).collect();
        let cells = [
            escape(finding.title),
            format!("<b>{}</b>", escape(finding.verdict_in_words())),
            escape(&finding.result),
            escape(&format!("{}. {}", used(finding, &attacked.cost), privacy(attacked))),
            escape(&atlas.join(" ")),
        ];
        let cell = |(name, words): (&str, String)| format!("<td data-name=\"{name}\">{words}</td>");
        let cells: String = COLUMNS.into_iter().zip(cells).map(cell).collect();
        let _ = writeln!(html, "<tr>{cells}</tr>");
    }
    html += "</table></div>\n</section>\n";
    for attacked in attacked {
        html += &one(attacked);
    }
    html
}

const COLUMNS: [&str; 5] = ["Attack", "Verdict", "Result", "Used", "ATLAS"];

fn one(attacked: &Attacked) -> String {
    let Attacked { finding, cost, command, .. } = attacked;
    let threat = &finding.threat;
    let atlas: Vec<String> =
        threat.atlas.iter().map(|technique| format!("{} {}", technique.id, technique.name)).collect();
    let told = [
        ("Goal", threat.goal.to_owned()),
        ("Knowledge", threat.knowledge.to_owned()),
        ("Capability", threat.capability.to_owned()),
        ("Limits", limits(threat)),
        ("Method", finding.method.clone()),
        ("Not tried", finding.not_tried.clone()),
        ("Used", used(finding, cost)),
        ("Cost in privacy", privacy(attacked)),
        ("MITRE ATLAS", atlas.join("; ")),
        ("Promised", finding.bound.clone()),
        ("Broken if", finding.broken_if.clone()),
        ("Result", finding.result.clone()),
        ("Verdict", finding.verdict_in_words().to_owned()),
        ("To repeat", command.clone()),
    ];
    let figures: String =
        measures(&finding.measurements).iter().map(|together| figure(together, &finding.captions)).collect();
    format!(
        "<section>\n<h2>{}</h2>\n{}<div class=\"pair\">\n{figures}</div>\n</section>\n",
        escape(finding.title),
        rows(&told)
    )
}

/// Names with what is said of each.
fn rows(told: &[(&str, String)]) -> String {
    let row = |(name, words): &(&str, String)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(words));
    format!("<dl>\n{}</dl>\n", told.iter().map(row).collect::<String>())
}

/// How many broke their promise, in a sentence.
fn tally(attacked: &[Attacked]) -> String {
    let of = |verdict| attacked.iter().filter(|attacked| attacked.finding.verdict == verdict).count();
    format!(
        "{} of {} attacks broke a promise; {} kept to theirs; {} are held against none.",
        of(Verdict::Broken),
        attacked.len(),
        of(Verdict::Held),
        of(Verdict::Measured)
    )
}

/// What an attack took of the target, by kind where there are several, and of time.
fn used(finding: &Finding, cost: &Cost) -> String {
    let kinds: Vec<String> =
        finding.asked.iter().map(|asked| format!("{} {}", asked.times, asked.what)).collect();
    let kinds = kinds.join(", ");
    let target = match (cost.queries, kinds.as_str()) {
        (0, "") => "nothing was asked of the target".to_owned(),
        (0, kinds) => format!("nothing was asked of the target; {kinds}"),
        (queries, "") => format!("{queries} queries in {} calls", cost.calls),
        (queries, kinds) => format!("{queries} queries in {} calls ({kinds})", cost.calls),
    };
    format!("{target}; {:.1} s, of which {:.1} s waiting for the target", cost.seconds, cost.waited_seconds)
}

/// What the attacker's questions cost in privacy.
fn privacy(attacked: &Attacked) -> String {
    let Attacked { finding, cost, terms, .. } = attacked;
    if cost.rho > 0.0 {
        format!("What the attacker asked was charged ρ = {}, ε = {:.3} ({terms}).", cost.rho, cost.epsilon)
    } else {
        finding.privacy_cost.clone()
    }
}

fn limits(threat: &ThreatModel) -> String {
    let mut limits = Vec::new();
    let of = |count: u64| (count > 0).then_some(count);
    let counted = [
        (threat.budget.rows_max, "queries"),
        (threat.budget.calls_max, "calls"),
        (of(threat.poisoned_silos_max.into()), "poisoned silos"),
        (of(threat.colluders_max.into()), "teachers that collude"),
    ];
    limits.extend(counted.iter().filter_map(|(count, words)| Some(format!("{} {words}", (*count)?))));
    if let Some(norm) = threat.norm {
        let norm = match norm {
            Norm::Linf => "L∞",
            Norm::L2 => "L2",
        };
        let eps: Vec<String> = threat.eps.iter().map(f64::to_string).collect();
        limits.push(format!("{norm} changes of at most {} of the range of a value", eps.join(", ")));
    }
    if limits.is_empty() { "none".to_owned() } else { limits.join("; ") }
}

#[cfg(test)]
mod tests;
