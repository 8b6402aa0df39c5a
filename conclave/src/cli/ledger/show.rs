//! `conclave ledger show`: the book at a glance.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use conclave_ledger::certificate::Certificate;
use conclave_ledger::export;
use serde::Serialize;
use serde_json::Value;

use crate::cli::{Console, Exit, Fault};
use crate::simulate::report::figure_up;

/// What is shown.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    certificate: Certificate,
    latest: Vec<Value>,
}

/// Prints accounts, campaigns and the `last` latest entries.
pub(super) fn run(ledger: &Path, last: usize, console: &Console) -> Result<Exit, Fault> {
    let mut lines = Latest { lines: VecDeque::new(), unfinished: Vec::new(), kept: last };
    let certificate = export::export(ledger, &mut lines)?.certificate()?;
    let latest =
        lines.lines.iter().filter_map(|line| serde_json::from_slice(line).ok()).map(without_body).collect();
    let shown = Shown { certificate, latest };
    console.result(|| shown.to_text(), &shown)?;
    Ok(Exit::Done)
}

impl Shown {
    fn to_text(&self) -> String {
        let Certificate { ledger, simulated, entries, head, accounts, campaigns } = &self.certificate;
        let mark = if *simulated { ", SIMULATED: it protects nobody" } else { "" };
        let mut text = format!("Ledger {ledger}{mark}\n{entries} entries, head {head}\n\n");
        let heads = ["DATA", "ORGANISATION", "ε CAP", "ε SPENT", "δ", "UNIT", "ADJACENCY", "LEFT"];
        let rows = accounts.iter().map(|account| {
            let left = match &account.successor {
                Some(successor) => format!("went on to {successor}"),
                None => percent(account.left_units, account.cap_units),
            };
            vec![
                account.data.to_string(),
                account.organisation.clone(),
                figure_up(account.epsilon),
                figure_up(account.epsilon_spent_ex_post),
                format!("{:e}", account.delta),
                account.unit.to_owned(),
                account.adjacency.to_owned(),
                left,
            ]
        });
        text += &table(&heads, rows.collect());
        text += "The guarantee is that of the cap; spent is a figure after the fact.\n\n";
        let heads = [
            "CAMPAIGN",
            "MECHANISM",
            "ε PART",
            "ε SPENT",
            "LABELS",
            "ABSTAINED",
            "INTERRUPTED",
            "QUERIES LEFT",
        ];
        let rows = campaigns.iter().map(|campaign| {
            vec![
                campaign.campaign.to_string(),
                campaign.mechanism.to_owned(),
                figure_up(campaign.epsilon),
                figure_up(campaign.epsilon_spent_ex_post),
                campaign.labels.to_string(),
                campaign.abstained.to_string(),
                campaign.interrupted.to_string(),
                campaign.queries_left.to_string(),
            ]
        });
        text += &table(&heads, rows.collect());
        text.push('\n');
        let rows = self.latest.iter().map(|entry| {
            vec![
                entry["seq"].to_string(),
                entry["kind"].as_str().unwrap_or_default().to_owned(),
                gist(&entry["fields"]),
            ]
        });
        text + &table(&["ENTRY", "KIND", "WHAT"], rows.collect())
    }
}

/// The parts of an entry that fit on a line: single figures and names, and how long lists are.
fn gist(fields: &Value) -> String {
    let mut parts = Vec::new();
    for (name, value) in fields.as_object().into_iter().flatten() {
        match value {
            Value::String(text) if text.len() <= GIST_TEXT_MAX => parts.push(format!("{name} {text}")),
            Value::Number(number) => parts.push(format!("{name} {number}")),
            Value::Bool(true) => parts.push(name.clone()),
            Value::Array(list) => parts.push(format!("{} {name}", list.len())),
            _ => {}
        }
    }
    parts.join(", ")
}

/// The body says the same as the fields, for verifiers.
fn without_body(mut entry: Value) -> Value {
    if let Some(parts) = entry.as_object_mut() {
        parts.remove("body");
    }
    entry
}

/// Columns as wide as their widest cell; the last one as it comes.
fn table(heads: &[&str], rows: Vec<Vec<String>>) -> String {
    let heads = heads.iter().map(|head| (*head).to_owned()).collect();
    let rows: Vec<Vec<String>> = [heads].into_iter().chain(rows).collect();
    let columns = rows[0].len();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Rounded down: what is left is never shown as more.
fn percent(part: u64, whole: u64) -> String {
    format!("{} %", u128::from(part) * 100 / u128::from(whole.max(1)))
}

/// Keeps the latest lines that are written to it.
struct Latest {
    lines: VecDeque<Vec<u8>>,
    unfinished: Vec<u8>,
    kept: usize,
}

impl io::Write for Latest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            if byte != b'\n' {
                self.unfinished.push(byte);
                continue;
            }
            self.lines.push_back(std::mem::take(&mut self.unfinished));
            if self.lines.len() > self.kept {
                self.lines.pop_front();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const GIST_TEXT_MAX: usize = 40;
