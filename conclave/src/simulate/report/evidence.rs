//! The evidence: charts, tables and pictures, and under each what to read from it.

use std::fmt::Write as _;

use super::data::{BudgetPoint, Confusion, Privacy, QueryExample, ReportData, SiloAccount};
use super::markup::escape;
use super::picture;
use super::plot::{self, Axes, Line, Part, Point, Rule};
use super::words::{epsilon_in_full, per_cent, terms, up};

pub(super) fn benefit(data: &ReportData) -> String {
    let student = &data.student;
    let rows = [
        (student.public_alone_accuracy, format!("Public pool alone ({})", student.public_alone), ""),
        (
            student.test_accuracy,
            format!("Student, {}", epsilon_in_full(data.privacy.epsilon, &data.privacy)),
            " mine",
        ),
        (student.nonprivate_accuracy, "All private records, no privacy".to_owned(), ""),
    ];
    let mut compare = String::new();
    for (share, name, class) in
        rows.into_iter().filter_map(|(share, name, class)| Some((share?, name, class)))
    {
        let _ = writeln!(
            compare,
            "<div><div class=\"row\"><span>{}</span><b>{}</b></div><div class=\"track\"><span class=\"fill{class}\" style=\"width:{:.1}%\"></span></div></div>",
            escape(&name),
            per_cent(share),
            share.clamp(0.0, 1.0) * 100.0,
        );
    }
    let compare = panel(
        "Accuracy on the same test rows",
        &format!("<div class=\"compare\">\n{compare}</div>"),
        &format!("{} test rows that nothing was trained on.", student.test_size),
    );
    let points: Vec<Point> = data
        .curve
        .iter()
        .map(|point| Point {
            x: point.epsilon,
            y: point.accuracy,
            title: format!(
                "ε = {}: {} with {} labels",
                up(point.epsilon),
                per_cent(point.accuracy),
                point.labels
            ),
        })
        .collect();
    let lowest = data.curve.iter().map(|point| point.accuracy).fold(1.0, f64::min);
    // A band that holds every point, so that differences of a few per cent can be seen.
    let line = Line {
        percent: true,
        y_min: ((lowest - 0.05) * 10.0).floor().max(0.0) / 10.0,
        y_max: Some(1.0),
        ..Line::default()
    };
    let rules: Vec<Rule> = student
        .nonprivate_accuracy
        .map(|y| Rule { class: "reference", y, words: format!("no privacy: {}", per_cent(y)) })
        .into_iter()
        .collect();
    let axes = Axes {
        label: "Accuracy of the student against the privacy loss",
        x: "ε of the cap",
        y: "student accuracy",
    };
    let curve = panel(
        "Accuracy against ε",
        &plot::line_chart(&axes, &[&points], &rules, &line),
        &format!("The same campaign under other caps; {}.", terms(&data.privacy)),
    );
    // Only a simulation can bring all private records together.
    let only = if student.nonprivate_accuracy.is_some() { ONLY } else { "" };
    let curve = if points.is_empty() { String::new() } else { curve };
    format!(
        "<section>\n<h2>What the labels buy{only}</h2>\n<div class=\"pair\">\n{compare}{curve}</div>\n</section>"
    )
}

pub(super) fn budget(privacy: &Privacy, spending: &[BudgetPoint], silos: &[SiloAccount]) -> String {
    let points: Vec<Point> = thinned(spending)
        .map(|point| Point {
            x: point.queries as f64,
            y: point.epsilon,
            title: format!(
                "after {} queries: ε = {}, ρ = {:.6}",
                point.queries,
                up(point.epsilon),
                point.rho
            ),
        })
        .collect();
    let rule =
        Rule { class: "limit", y: privacy.epsilon, words: format!("cap: ε = {}", up(privacy.epsilon)) };
    let axes = Axes { label: "Privacy spent over the campaign", x: "queries released", y: "ε spent" };
    let shape = Line { filled: true, ..Line::default() };
    let chart = panel(
        "Spending over the campaign",
        &plot::line_chart(&axes, &[&points], &[rule], &shape),
        &format!(
            "Charged before each release: ρ {:.6} of {:.6} in all. ε is the ledger's ρ at δ = {:e}, after the fact; the \
             guarantee is that of the dashed cap. Both: {}.",
            privacy.rho_spent,
            privacy.rho_cap,
            privacy.delta,
            terms(privacy)
        ),
    );
    let mut table = String::from(
        "<div class=\"scroll\"><table>\n<tr><th>Data of</th><th class=\"n\">Teachers</th><th class=\"n\">ε spent</th>\
         <th class=\"n\">ε cap</th><th class=\"n\">ρ left</th></tr>\n",
    );
    for silo in silos {
        let id = if silo.data_id == silo.organisation {
            String::new()
        } else {
            format!("<br><code>{}</code>", escape(&silo.data_id))
        };
        let _ = writeln!(
            table,
            "<tr><td>{}{id}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{:.6}</td></tr>",
            escape(&silo.organisation),
            silo.teachers,
            up(silo.epsilon_spent),
            up(silo.epsilon_cap),
            (silo.rho_cap - silo.rho_spent).max(0.0),
        );
    }
    table.push_str("</table></div>");
    let alike = silos.windows(2).all(|pair| pair[0].rho_spent.total_cmp(&pair[1].rho_spent).is_eq());
    let who_pays = if alike {
        "All of them have voted on as many queries, so all have paid alike."
    } else {
        "Whoever was away, or in other campaigns, has voted on other queries, and has paid for those it voted on."
    };
    let note = format!(
        "One account per silo's data, for life and across campaigns. {who_pays} ε: {}.",
        terms(privacy)
    );
    let table = panel("Accounts", &table, &note);
    format!("<section>\n<h2>The budget</h2>\n<div class=\"pair\">\n{chart}{table}</div>\n</section>")
}

pub(super) fn labels(data: &ReportData) -> String {
    if data.examples.is_empty() && data.outcomes.is_empty() {
        return String::new();
    }
    let mut html =
        format!("<section>\n<h2>Queries and their labels{ONLY}</h2>\n{LEGEND}\n<div class=\"gallery\">\n");
    let darkest = data.examples.iter().flat_map(|example| &example.values).copied().fold(0.0, f32::max);
    for example in &data.examples {
        html.push_str(&gallery_entry(example, darkest, &data.class_names));
    }
    html.push_str("</div>\n<p class=\"note\">A real campaign shows the released labels, not the truth beside them.</p>\n");
    let bars: Vec<(String, Vec<Part>)> = data
        .class_names
        .iter()
        .zip(&data.outcomes)
        .map(|(name, outcome)| {
            let part = |value: u64, class, what| Part {
                value: value as f64,
                class,
                title: format!("class {name}: {value} {what}"),
            };
            let parts = vec![
                part(outcome.right, "good", "labelled right"),
                part(outcome.wrong, "bad", "labelled wrong"),
                part(outcome.abstained, "none", "abstained"),
            ];
            (name.clone(), parts)
        })
        .collect();
    if !bars.is_empty() {
        let axes = Axes { label: "Outcomes of queries by true class", x: "true class", y: "queries" };
        html.push_str("<div class=\"pair\">\n");
        html.push_str(&panel(
            "Outcomes by true class",
            &plot::stacked_bars(&axes, &bars),
            "What became of the queries of each class.",
        ));
        html.push_str("</div>\n");
    }
    html + "</section>"
}

pub(super) fn votes(data: &ReportData) -> String {
    let records = data.silos.iter().any(|silo| silo.records.is_some());
    if data.top_vote_shares.is_empty() && !records {
        return String::new();
    }
    let axes = Axes {
        label: "How many queries had which share of votes on the most voted class",
        x: "share of votes on the most voted class",
        y: "queries",
    };
    let agreement = panel(
        "Agreement of the teachers",
        &plot::histogram(&axes, &data.top_vote_shares),
        "Far right: nearly all teachers agree, and noise changes nothing. Further left: noise may decide.",
    );
    let mut table = String::from(
        "<table>\n<tr><th>Organisation</th><th class=\"n\">Records</th><th class=\"n\">Records per teacher</th></tr>\n",
    );
    for silo in &data.silos {
        if let Some(held) = silo.records {
            let _ = writeln!(
                table,
                "<tr><td>{}</td><td class=\"n\">{held}</td><td class=\"n\">{:.1}</td></tr>",
                escape(&silo.organisation),
                held as f64 / f64::from(silo.teachers.max(1)),
            );
        }
    }
    table.push_str("</table>");
    let table = if records {
        panel(
            "Private records",
            &table,
            "How many records each silo holds is private under add-remove adjacency.",
        )
    } else {
        String::new()
    };
    format!(
        "<section>\n<h2>Votes and shards{ONLY}</h2>\n<p>Votes are private: on a cluster they stay inside the aggregator, and nobody sees this section.</p>\n\
         <div class=\"pair\">\n{agreement}{table}</div>\n</section>"
    )
}

pub(super) fn student(data: &ReportData) -> String {
    let Some(Confusion(counts)) = &data.confusion else { return String::new() };
    if counts.len() > CONFUSION_CLASSES_MAX {
        return String::new();
    }
    let name = |class: usize| data.class_names.get(class).map_or_else(String::new, |name| escape(name));
    let mut table = String::from("<div class=\"scroll\"><table class=\"confusion\">\n<tr><th></th>");
    for class in 0..counts.len() {
        let _ = write!(table, "<th>{}</th>", name(class));
    }
    table.push_str("</tr>\n");
    for (truth, row) in counts.iter().enumerate() {
        let all = row.iter().sum::<u64>().max(1) as f64;
        let _ = write!(table, "<tr><th>{}</th>", name(truth));
        for (predicted, &count) in row.iter().enumerate() {
            let class = if predicted == truth { "hit" } else { "miss" };
            let share = count as f64 / all;
            // Rare confusions are what one looks for, so they are tinted more than their share.
            let tint = if predicted == truth { share } else { share.sqrt() };
            let shown = if count == 0 { String::new() } else { count.to_string() };
            let _ = write!(
                table,
                "<td class=\"{class}\" style=\"--share:{tint:.3}\" title=\"{} taken for {}: {count}\">{shown}</td>",
                name(truth),
                name(predicted),
            );
        }
        table.push_str("</tr>\n");
    }
    table.push_str("</table></div>");
    let note = "Rows: the true class. Columns: what the student says. Test rows only.";
    format!(
        "<section>\n<h2>Where the student errs</h2>\n<div class=\"pair\">\n{}</div>\n</section>",
        panel("Confusion", &table, note)
    )
}

fn gallery_entry(example: &QueryExample, darkest: f32, class_names: &[String]) -> String {
    let name = |class: u16| {
        class_names.get(usize::from(class)).map_or_else(|| class.to_string(), |name| escape(name))
    };
    let class = match (example.label, example.truth) {
        (Some(label), Some(truth)) if label == truth => "good",
        (Some(_), Some(_)) => "bad",
        _ => "none",
    };
    let image = example.shape.and_then(|shape| picture::data_uri(&example.values, shape, darkest));
    let image =
        image.map_or_else(String::new, |uri| format!("<img alt=\"query {}\" src=\"{uri}\">", example.row));
    let label = example.label.map_or_else(|| "abstained".to_owned(), name);
    let truth = example.truth.map_or_else(String::new, |truth| format!("truth {}", name(truth)));
    let votes = example
        .top_vote_share
        .map_or_else(String::new, |share| format!("<br>{:.0} % of votes", share * 100.0));
    format!(
        "<figure class=\"{class}\">{image}<b>{label}</b><figcaption>{truth}{votes}</figcaption></figure>\n"
    )
}

pub(super) fn panel(title: &str, content: &str, note: &str) -> String {
    format!(
        "<figure class=\"panel\"><h3>{}</h3>\n{content}\n<figcaption>{}</figcaption></figure>\n",
        escape(title),
        escape(note)
    )
}

/// Evenly spaced points, the first and the last among them.
fn thinned(points: &[BudgetPoint]) -> impl Iterator<Item = &BudgetPoint> {
    let every = points.len().div_ceil(POINTS_MAX).max(1);
    let last = points.len().saturating_sub(1);
    points
        .iter()
        .enumerate()
        .filter(move |(index, _)| index % every == 0 || *index == last)
        .map(|(_, point)| point)
}

const ONLY: &str = "<span class=\"only\">visible only in a simulation</span>";
const LEGEND: &str = "<ul class=\"legend\"><li class=\"good\"><i></i>right label</li><li class=\"bad\"><i></i>wrong label</li>\
     <li class=\"none\"><i></i>abstention</li></ul>";
const POINTS_MAX: usize = 100;
const CONFUSION_CLASSES_MAX: usize = 24;
