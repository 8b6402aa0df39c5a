//! What an attack measured, as figures of a page: measures that a reader would compare share a chart and a table, and one with a promise
//! stands beside its promise alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use conclave_attack_harness::report::{Limit, Measurement};

use crate::simulate::report::{Axes, Line, Point, capitalised, escape, line_chart};

/// The measurements of one measure, in the order in which they were made.
type Measure<'a> = Vec<&'a Measurement>;

/// Measures by figure: together are those in per cent of the same variable that nothing is promised about, each counted from one number.
pub(super) fn measures(measurements: &[Measurement]) -> Vec<Vec<Measure<'_>>> {
    let mut measures: Vec<Measure<'_>> = Vec::new();
    for one in measurements {
        match measures.iter_mut().find(|measure| measure[0].measure == one.measure) {
            Some(measure) => measure.push(one),
            None => measures.push(vec![one]),
        }
    }
    let mut figures: Vec<Vec<Measure<'_>>> = Vec::new();
    for measure in measures {
        let room =
            |figure: &&mut Vec<Measure<'_>>| figure.len() < TOGETHER_MAX && comparable(&figure[0], &measure);
        match figures.iter_mut().find(room) {
            Some(figure) => figure.push(measure),
            None => figures.push(vec![measure]),
        }
    }
    figures
}

/// Lines that a chart can tell apart.
const TOGETHER_MAX: usize = 4;

fn comparable(one: &Measure<'_>, other: &Measure<'_>) -> bool {
    let plain = |measure: &Measure<'_>| {
        measure.iter().all(|figure| figure.share && figure.bound.is_none() && figure.n == measure[0].n)
    };
    let at = |measure: &Measure<'_>| measure.iter().map(|figure| figure.at.to_bits()).collect::<Vec<_>>();
    plain(one) && plain(other) && one[0].variable == other[0].variable && at(one) == at(other)
}

/// Curves, the same figures as a table, and what they were counted from.
pub(super) fn figure(together: &[Measure<'_>], captions: &BTreeMap<&'static str, String>) -> String {
    let Some(first) = together.first().and_then(|measure| measure.first()) else { return String::new() };
    let names: Vec<&str> = together.iter().map(|measure| measure[0].measure).collect();
    let label = format!("{} against {}", names.join(", "), first.variable);
    let title = if names.len() == 1 { label.clone() } else { format!("Against {}", first.variable) };
    let y = if names.len() == 1 { first.measure } else { "" };
    let lines: Vec<Vec<Point>> =
        together.iter().map(|measure| measure.iter().map(|one| point(one)).collect()).collect();
    let lines: Vec<&[Point]> = lines.iter().map(Vec::as_slice).collect();
    let bound = together.iter().flatten().filter_map(|one| Some((one.at, one.bound?))).collect();
    let whole_x = together.iter().flatten().all(|one| one.at.fract().abs() < f64::EPSILON);
    let shape =
        Line { percent: first.share, y_max: first.share.then_some(1.0), bound, whole_x, ..Line::default() };
    let chart = line_chart(&Axes { label: &label, x: first.variable, y }, &lines, &[], &shape);
    let (legend, table) = if names.len() == 1 {
        (String::new(), table(&together[0]))
    } else {
        (legend(together), table_together(together))
    };
    let mut words: Vec<String> = Vec::new();
    for name in &names {
        let Some(caption) = captions.get(name).filter(|caption| !caption.is_empty()) else { continue };
        words.push(if names.len() == 1 {
            caption.clone()
        } else {
            format!("{}: {caption}", capitalised(name))
        });
    }
    if names.len() > 1 && together.iter().flatten().any(|one| interval(one).is_some()) {
        words.push("Small figures: the 95 % interval.".to_owned());
    }
    words.extend(first.bound_is.map(|limit| limit_in_words(limit).1.to_owned()));
    let words: Vec<String> = words.iter().map(|sentence| escape(sentence)).collect();
    let (wide, beside) = if names.len() > 2 { (" wide", " class=\"pair\"") } else { ("", "") };
    format!(
        "<figure class=\"panel{wide}\"><h3>{}</h3>{legend}<div{beside}>{chart}<div class=\"scroll\"><table>{table}</table></div></div>\
         <figcaption>{}</figcaption></figure>\n",
        escape(&title),
        words.join("<br>"),
    )
}

fn point(one: &Measurement) -> Point {
    let title = format!("{}, {} {}: {}", one.measure, one.at, one.variable, written(one, one.value));
    Point { x: one.at, y: one.value, title }
}

/// The names of the lines, each in its colour, with what it was counted from.
fn legend(together: &[Measure<'_>]) -> String {
    let mut items = String::new();
    for (index, measure) in together.iter().enumerate() {
        let n = measure[0].n.map_or_else(String::new, |n| format!(", n = {n}"));
        let _ = write!(items, "<li class=\"series-{index}\"><i></i>{}{n}</li>", escape(measure[0].measure));
    }
    format!("<ul class=\"legend\">{items}</ul>")
}

/// A row for each value of the variable, a column for each measure with its interval.
fn table_together(together: &[Measure<'_>]) -> String {
    let head =
        std::iter::once(together[0][0].variable).chain(together.iter().map(|measure| measure[0].measure));
    let mut table = row("th", head.map(escape));
    for index in 0..together[0].len() {
        let cell = |measure: &Measure<'_>| {
            let one = measure[index];
            match interval(one) {
                Some(interval) => format!("{}<br><small>{interval}</small>", written(one, one.value)),
                None => written(one, one.value),
            }
        };
        let at = together[0][index].at.to_string();
        table += &row("td", std::iter::once(at).chain(together.iter().map(cell)));
    }
    table
}

/// A row for each figure; columns that no figure has are left out.
fn table(measure: &Measure<'_>) -> String {
    type Cell = fn(&Measurement) -> Option<String>;
    let columns: [(&str, Cell); 5] = [
        (measure[0].variable, |one| Some(one.at.to_string())),
        (measure[0].measure, |one| Some(written(one, one.value))),
        ("n", |one| Some(one.n?.to_string())),
        ("95 % interval", interval),
        (measure[0].bound_is.map_or("", |limit| limit_in_words(limit).0), |one| {
            Some(written(one, one.bound?))
        }),
    ];
    let kept: Vec<_> =
        columns.into_iter().filter(|(_, cell)| measure.iter().any(|one| cell(one).is_some())).collect();
    let mut table = row("th", kept.iter().map(|(name, _)| escape(name)));
    for one in measure {
        table += &row("td", kept.iter().map(|(_, cell)| cell(one).unwrap_or_default()));
    }
    table
}

/// Cells of a row, each already fit for a page.
fn row(tag: &str, cells: impl Iterator<Item = String>) -> String {
    let mut row = String::from("<tr>");
    for words in cells {
        let _ = write!(row, "<{tag} class=\"n\">{words}</{tag}>");
    }
    row + "</tr>\n"
}

fn interval(one: &Measurement) -> Option<String> {
    Some(format!("{} to {}", written(one, one.low?), written(one, one.high?)))
}

/// A promise at the head of its column, and in a sentence.
const fn limit_in_words(limit: Limit) -> (&'static str, &'static str) {
    match limit {
        Limit::Floor => {
            ("floor", "The broken line is a floor: what is promised not to lie below it is the expectation.")
        }
        Limit::Ceiling => ("ceiling", "The broken line is a ceiling: nothing may lie above it."),
    }
}

/// A figure as people write it.
fn written(of: &Measurement, value: f64) -> String {
    if of.share { format!("{:.1} %", value * 100.0) } else { format!("{value:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(measure: &'static str, at: f64, n: u64) -> Measurement {
        Measurement {
            low: Some(0.2),
            high: Some(0.4),
            share: true,
            ..Measurement::new(measure, "size", at, 0.3)
        }
        .counted_from(n)
    }

    #[test]
    fn measures_that_a_reader_compares_share_a_chart_and_one_with_a_promise_has_its_own() {
        let all = [
            measured("one step", 0.1, 50),
            measured("many steps", 0.1, 50),
            measured("promised", 0.1, 50).with_floor(0.1),
            measured("one step", 0.2, 50),
            measured("many steps", 0.2, 50),
            measured("elsewhere", 0.3, 50),
            Measurement::new("no share", "size", 0.1, 7.0),
        ];
        let figures = measures(&all);
        let names: Vec<Vec<&str>> =
            figures.iter().map(|figure| figure.iter().map(|measure| measure[0].measure).collect()).collect();
        assert_eq!(
            names,
            [vec!["one step", "many steps"], vec!["promised"], vec!["elsewhere"], vec!["no share"]]
        );

        let captions = BTreeMap::from([("many steps", "Of rows.".to_owned())]);
        let page = figure(&figures[0], &captions);
        for told in ["one step, n = 50", "series-1", "20.0 % to 40.0 %", "Many steps: Of rows."] {
            assert!(page.contains(told), "{told}: {page}");
        }
        assert_eq!(page.matches("class=\"line\"").count(), 2);
        let alone = figure(&figures[1], &captions);
        assert!(alone.contains("floor") && alone.contains("class=\"bound\""), "{alone}");
    }
}
