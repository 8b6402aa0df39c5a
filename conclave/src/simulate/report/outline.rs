//! The frame of the page: what it is, the figures that matter most, the same in plain words, and how to repeat it.

use std::fmt::Write as _;

use super::data::{Privacy, ReportData};
use super::markup::escape;
use super::words::{self, per_cent, terms, up};

pub(super) fn header(data: &ReportData) -> String {
    let mut html = format!(
        "<header>\n<p class=\"eyebrow\">Conclave · report of a simulated campaign</p>\n<h1>{}</h1>\n\
         <aside class=\"notice\"><p><strong>Simulated.</strong> {}</p></aside>\n",
        escape(&data.title),
        escape(words::NOTICE),
    );
    if let Some(shortfall) = &data.shortfall {
        let _ = writeln!(
            html,
            "<aside class=\"notice stop\"><p><strong>Stopped by the budget.</strong> {}</p></aside>",
            escape(&words::stopped(shortfall, &data.privacy)),
        );
    }
    html + "</header>"
}

pub(super) fn tiles(data: &ReportData) -> String {
    let (privacy, student, queries) = (&data.privacy, &data.student, &data.queries);
    let accuracy = student.test_accuracy.map_or_else(|| "none".to_owned(), per_cent);
    let right = match data.label_accuracy {
        Some(share) => format!("{} of them right; {} abstentions", per_cent(share), queries.abstained),
        None => format!("{} abstentions", queries.abstained),
    };
    let tiles = [
        ("Student accuracy", accuracy, format!("on {} unseen rows; {}", student.test_size, student.model)),
        ("Guarantee (the cap)", format!("ε = {}", up(privacy.epsilon)), terms(privacy)),
        ("Spent (after the fact)", format!("ε = {}", up(privacy.epsilon_spent)), terms(privacy)),
        ("Labels released", format!("{} of {}", queries.answered, queries.asked), right),
    ];
    in_a_row(tiles)
}

/// Tiles of name, figure, and what stands small below it.
pub(super) fn in_a_row(tiles: [(&str, String, String); 4]) -> String {
    let tile = |(name, figure, small): (&str, String, String)| {
        format!(
            "<div class=\"tile\"><h3>{name}</h3><b>{}</b><small>{}</small></div>",
            escape(&figure),
            escape(&small)
        )
    };
    format!("<section class=\"tiles\">\n{}\n</section>", tiles.map(tile).join("\n"))
}

pub(super) fn plainly(data: &ReportData) -> String {
    let counted = format!(
        "{} on each of {} queries, {} teachers in {} organisations",
        data.privacy.noise, data.queries.asked, data.teachers, data.organisations
    );
    in_plain_words(&words::plainly(data), &counted, &data.privacy)
}

/// Questions with their answers, and how the loss is counted.
pub(super) fn in_plain_words(answers: &[(&str, String)], counted: &str, privacy: &Privacy) -> String {
    let mut html = String::from("<section>\n<h2>In plain words</h2>\n<dl>\n");
    for (question, answer) in answers {
        let _ = writeln!(html, "<dt>{question}</dt><dd>{}.</dd>", escape(&capitalised(answer)));
    }
    let independent = if privacy.publishable {
        "It uses prices that do not depend on the votes, so its figures may be published."
    } else {
        "Its figures depend on the votes and must not be published."
    };
    let _ = writeln!(
        html,
        "<dt>How it is counted</dt><dd>{}. Accountant: {}. {independent}</dd>",
        escape(&capitalised(counted)),
        escape(&privacy.accountant),
    );
    html + "</dl>\n</section>"
}

pub(super) fn settings(data: &ReportData) -> String {
    let mut html = String::from("<section>\n<h2>Settings and timings</h2>\n<div class=\"pair\">\n");
    html.push_str(
        "<div class=\"panel scroll\"><table>\n<tr><th>Setting</th><th>Value</th><th>From</th></tr>\n",
    );
    for setting in &data.settings {
        let _ = writeln!(
            html,
            "<tr><td><code>{}</code></td><td>{}</td><td class=\"note\">{}</td></tr>",
            escape(&setting.name),
            escape(&setting.value),
            escape(&setting.origin),
        );
    }
    html.push_str(
        "</table></div>\n<div class=\"panel\"><table>\n<tr><th>Step</th><th class=\"n\">Seconds</th></tr>\n",
    );
    let seconds = &data.seconds;
    let steps = [
        ("Training the teachers", seconds.teachers),
        ("Voting, noise, budget and release", seconds.voting),
        ("Training and measuring the student", seconds.student),
        ("Everything", seconds.total),
    ];
    for (step, duration) in steps {
        let _ = writeln!(html, "<tr><td>{step}</td><td class=\"n\">{duration:.2}</td></tr>");
    }
    let _ = write!(
        html,
        "</table>\n<h3 style=\"margin-top:1.4em\">To repeat this run</h3>\n<pre><code>{}</code></pre></div>\n</div>\n</section>\n",
        escape(&data.command),
    );
    html + &footer(&data.privacy)
}

/// What the symbols mean.
pub(super) fn footer(privacy: &Privacy) -> String {
    format!(
        "<footer>ε bounds how far one {} can move the odds of any conclusion, by a factor of e<sup>ε</sup>, except with \
         probability δ. ρ is the unit in which the ledger adds up (zero-concentrated differential privacy); ε is a view of it. \
         The page loads nothing and runs nothing.</footer>",
        escape(&privacy.unit),
    )
}

/// A capital first letter, but no capital for a symbol: ε is not E.
pub(crate) fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(characters).collect()
}
