//! The attacks on a page: a summary, then for each its threat model, curves with intervals and bounds, verdict and command.

use std::fmt::Write as _;

use conclave_attack_harness::report::{Measurement, Verdict};
use conclave_attack_harness::threat_model::{Norm, ThreatModel};

use super::{Attacked, Cost};
use crate::simulate::report::{Axes, Line, Point, escape, line_chart, page};

/// A page of its own.
pub fn to_html(title: &str, attacked: &[Attacked], simulated: bool) -> String {
    let notice = if simulated {
        "<aside class=\"notice\"><p><strong>Simulated.</strong> The target's noise came from a seed; bounds use counts that only a \
         simulation knows.</p></aside>\n"
    } else {
        ""
    };
    let header = format!(
        "<header>\n<p class=\"eyebrow\">Conclave · report of attacks</p>\n<h1>{}</h1>\n{notice}</header>\n",
        escape(title)
    );
    page(title, &(header + &section(attacked)))
}

/// The section for a page of something else; empty without attacks.
pub fn section(attacked: &[Attacked]) -> String {
    if attacked.is_empty() {
        return String::new();
    }
    let mut html = String::from(
        "<section>\n<h2>Attacks</h2>\n<p>What an attacker with the stated knowledge and budget came to, beside what is promised. An attack \
         that fails shows that this attack failed, not that none succeeds. Techniques are those of MITRE ATLAS. A broken line in a chart is \
         the bound.</p>\n",
    );
    let _ = writeln!(html, "<p><strong>{}</strong></p>", tally(attacked));
    html += "<div class=\"scroll\"><table><tr><th>attack</th><th>verdict</th><th>result</th><th>used</th><th>ATLAS</th></tr>\n";
    for attacked in attacked {
        let atlas: Vec<&str> = attacked.finding.threat.atlas.iter().map(|technique| technique.id).collect();
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td><b>{}</b></td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(attacked.finding.title),
            verdict(attacked.finding.verdict),
            escape(&attacked.finding.result),
            escape(&used(&attacked.cost)),
            escape(&atlas.join(" ")),
        );
    }
    html += "</table></div>\n</section>\n";
    for attacked in attacked {
        html += &one(attacked);
    }
    html
}

fn one(attacked: &Attacked) -> String {
    let Attacked { finding, cost, seed, command } = attacked;
    let threat = &finding.threat;
    let atlas: Vec<String> =
        threat.atlas.iter().map(|technique| format!("{} {}", technique.id, technique.name)).collect();
    let rows = [
        ("Goal", threat.goal.to_owned()),
        ("Knowledge", threat.knowledge.to_owned()),
        ("Capability", threat.capability.to_owned()),
        ("Limits", limits(threat)),
        ("Used", used(cost)),
        ("MITRE ATLAS", atlas.join("; ")),
        ("Promised", finding.bound.clone()),
        ("Result", finding.result.clone()),
        ("Verdict", verdict(finding.verdict).to_owned()),
        ("To repeat", format!("{command} (seed {seed})")),
    ];
    let mut html = format!("<section>\n<h2>{}</h2>\n<dl>\n", escape(finding.title));
    for (name, words) in rows {
        let _ = writeln!(html, "<dt>{name}</dt><dd>{}</dd>", escape(&words));
    }
    html += "</dl>\n<div class=\"pair\">\n";
    let mut names: Vec<&str> = Vec::new();
    for measurement in &finding.measurements {
        if !names.contains(&measurement.measure) {
            names.push(measurement.measure);
        }
    }
    for name in names {
        let of_name: Vec<&Measurement> =
            finding.measurements.iter().filter(|measurement| measurement.measure == name).collect();
        html += &panel(name, &of_name);
    }
    html + "</div>\n</section>\n"
}

/// How many held, in a sentence.
fn tally(attacked: &[Attacked]) -> String {
    let of = |verdict| attacked.iter().filter(|attacked| attacked.finding.verdict == verdict).count();
    format!(
        "Of {} attacks, {} passed the bound, {} stayed within it, and {} measured what nobody promises.",
        attacked.len(),
        of(Verdict::Broken),
        of(Verdict::Held),
        of(Verdict::Measured)
    )
}

/// What an attack took of the target, of time and of privacy.
fn used(cost: &Cost) -> String {
    let target = match cost.queries {
        0 => "no query to the target: computed from what the attacker holds".to_owned(),
        queries => format!("{queries} queries in {} calls", cost.calls),
    };
    let charged = if cost.rho > 0.0 {
        format!("charged ρ = {}, ε = {:.3} at δ of the campaign", cost.rho, cost.epsilon)
    } else {
        "charged nothing (ε = 0)".to_owned()
    };
    format!(
        "{target}; {:.1} s, of which {:.1} s waiting for the target; {charged}",
        cost.seconds, cost.waited_seconds
    )
}

/// One measure: its curve, and the same figures as a table.
fn panel(name: &str, measurements: &[&Measurement]) -> String {
    let Some(first) = measurements.first() else { return String::new() };
    let label = format!("{name} against {}", first.variable);
    let axes = Axes { label: &label, x: first.variable, y: name };
    let points: Vec<Point> = measurements
        .iter()
        .map(|one| Point {
            x: one.at,
            y: one.value,
            title: format!("{} {}: {}", one.at, one.variable, figure(one, one.value)),
        })
        .collect();
    let bound = measurements.iter().filter_map(|one| Some((one.at, one.bound?))).collect();
    let shape = Line { percent: first.share, y_max: first.share.then_some(1.0), bound, ..Line::default() };
    let chart = line_chart(&axes, &points, &[], &shape);
    let mut table =
        format!("<tr><th class=\"n\">{}</th><th class=\"n\">{}</th>", escape(first.variable), escape(name));
    let (interval, bound) = (
        measurements.iter().any(|one| one.low.is_some()),
        measurements.iter().any(|one| one.bound.is_some()),
    );
    table += if interval { "<th class=\"n\">95 % interval</th>" } else { "" };
    table += if bound { "<th class=\"n\">bound</th>" } else { "" };
    table += "</tr>\n";
    for one in measurements {
        let _ = write!(
            table,
            "<tr><td class=\"n\">{}</td><td class=\"n\">{}</td>",
            one.at,
            figure(one, one.value)
        );
        if interval {
            let shown = one
                .low
                .zip(one.high)
                .map(|(low, high)| format!("{} to {}", figure(one, low), figure(one, high)));
            let _ = write!(table, "<td class=\"n\">{}</td>", shown.unwrap_or_default());
        }
        if bound {
            let shown = one.bound.map(|bound| figure(one, bound)).unwrap_or_default();
            let _ = write!(table, "<td class=\"n\">{shown}</td>");
        }
        table += "</tr>\n";
    }
    format!(
        "<figure class=\"panel\"><h3>{}</h3>{chart}<div class=\"scroll\"><table>{table}</table></div></figure>\n",
        escape(&label)
    )
}

/// A figure as people write it.
fn figure(of: &Measurement, value: f64) -> String {
    if of.share { format!("{:.1} %", value * 100.0) } else { format!("{value:.3}") }
}

fn limits(threat: &ThreatModel) -> String {
    let mut limits = Vec::new();
    let mut limit = |count: u64, words: &str| {
        if count > 0 && count < u64::MAX {
            limits.push(format!("{count} {words}"));
        }
    };
    limit(threat.budget.rows_max, "queries");
    limit(threat.budget.calls_max, "calls");
    limit(threat.poisoned_silos_max.into(), "poisoned silos");
    limit(threat.colluders_max.into(), "teachers that collude");
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

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Held => "held: it stayed within its bound",
        Verdict::Broken => "BROKEN: passed its bound beyond chance",
        Verdict::Measured => "measured: nothing is promised",
    }
}
