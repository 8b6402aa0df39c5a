//! The ledger as JSON lines, for verifiers that are not this program.
//!
//! One object per entry: `seq`, `recorded_at_ms`, `kind`, `body` (hex, what the hash covers), `hash`, and
//! `fields`, the body in readable form. `verify_export.py` beside this crate reads the bodies and needs nothing
//! else.

use std::io::Write;
use std::path::Path;

use conclave_privacy::mechanism::{Mechanism, Outcome};
use conclave_privacy::quantity::Rho;
use serde_json::{Value, json};

use crate::backend::Row;
use crate::entry::{AccountOpened, CampaignOpened, Created, Entry};
use crate::error::{LedgerError, Result};
use crate::snapshot::Snapshot;
use crate::terms::Predecessor;

/// Writes the ledger at `path` to `to`, one line per entry, after checking each. Works on a private copy.
pub fn export(path: &Path, to: &mut impl Write) -> Result<Snapshot> {
    Snapshot::read_each(path, |_, row, entry| {
        let failed =
            |source| LedgerError::File { doing: "write the export of", path: path.to_owned(), source };
        writeln!(to, "{}", line(row, entry)).map_err(failed)
    })
}

fn line(row: &Row, entry: &Entry) -> Value {
    json!({
        "seq": row.seq,
        "recorded_at_ms": row.recorded_at_ms,
        "kind": entry.kind(),
        "body": hex(&row.body),
        "hash": row.hash,
        "fields": fields(entry),
    })
}

fn fields(entry: &Entry) -> Value {
    match entry {
        Entry::Genesis(Created { schema, terms }) => {
            json!({ "schema": schema, "ledger": terms.ledger_id, "simulated": terms.simulated })
        }
        Entry::Start(start) => json!({ "epoch": start.epoch }),
        Entry::Account(account) => account_fields(account),
        Entry::Campaign(campaign) => campaign_fields(campaign),
        Entry::Reserve(reserve) => json!({
            "reservation": reserve.number,
            "epoch": reserve.epoch,
            "campaign": reserve.campaign,
            "price_units": reserve.price.units(),
            "members": reserve.members,
            "queries": reserve.queries.iter().map(|(query, _)| query).collect::<Vec<_>>(),
            "attempts": reserve.queries.iter().map(|(_, attempt)| attempt).collect::<Vec<_>>(),
        }),
        Entry::Draw(draw) => json!({
            "reservation": draw.number,
            "epoch": draw.epoch,
            "vote_set": draw.vote_set,
            "silos": draw.silos,
        }),
        Entry::Release(release) => json!({
            "reservation": release.number,
            "epoch": release.epoch,
            "charge_units": release.charge.units(),
            "answers": release.answers.iter().copied().map(answer).collect::<Vec<_>>(),
        }),
        Entry::Abandon(abandon) => json!({
            "reservation": abandon.number,
            "epoch": abandon.epoch,
            "reason": abandon.reason,
        }),
        Entry::Interrupt(interrupt) => json!({
            "reservation": interrupt.number,
            "epoch": interrupt.epoch,
            "closed": interrupt.closed,
        }),
    }
}

fn account_fields(AccountOpened { terms, cap, inherited }: &AccountOpened) -> Value {
    let (relation, predecessor) = match &terms.predecessor {
        Predecessor::None => ("none", None),
        Predecessor::Inherits(data) => ("inherits", Some(data)),
        Predecessor::Disjoint(data) => ("declared disjoint", Some(data)),
    };
    json!({
        "data": terms.data,
        "organisation": terms.organisation,
        "partition": terms.partition,
        "epsilon": terms.epsilon,
        "delta": terms.delta,
        "cap_units": cap.units(),
        "filter_order": terms.filter_order,
        "unit": terms.unit,
        "adjacency": terms.adjacency.name(),
        "max_silos_per_subject": terms.max_silos_per_subject,
        "predecessor": predecessor,
        "relation": relation,
        "inherited_units": inherited.units(),
    })
}

fn campaign_fields(CampaignOpened { terms, sub_cap, price, abstention }: &CampaignOpened) -> Value {
    let noise = match &terms.mechanism {
        Mechanism::LnMax(lnmax) => json!({ "scale_steps": lnmax.scale().steps() }),
        Mechanism::GnMax(gnmax) => json!({ "sigma_steps": gnmax.sigma().steps() }),
        Mechanism::ConfidentGnMax(confident) => json!({
            "threshold_steps": confident.threshold().steps(),
            "sigma1_steps": confident.sigma1().steps(),
            "sigma2_steps": confident.sigma2().steps(),
        }),
    };
    json!({
        "campaign": terms.key,
        "contract_digest": terms.contract_digest,
        "contract": hex(&terms.contract),
        "mechanism": terms.mechanism.name(),
        "lattice_bits": terms.mechanism.lattice().bits(),
        "noise": noise,
        "unit": terms.unit,
        "adjacency": terms.adjacency.name(),
        "scheme": terms.scheme.name(),
        "epsilon": terms.epsilon,
        "delta": terms.delta,
        "sub_cap_units": sub_cap.units(),
        "price_units": price.units(),
        "abstention_units": abstention.map(Rho::units),
        "filter_order": terms.filter_order,
        "queries_max": terms.queries_max,
        "classes": terms.classes,
        "members": terms.members,
        "simulated": terms.simulated,
    })
}

/// A class index, or null for an abstention.
fn answer(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Label(class) => json!(class.0),
        Outcome::Abstained => Value::Null,
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let nibble = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [nibble(byte >> 4), nibble(*byte)]).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use conclave_privacy::accountant::rho_to_epsilon_within;
    use conclave_privacy::quantity::{Delta, FilterOrder};

    use super::*;
    use crate::fixture::{Scratch, answer, cut_short, data, restart};

    /// Runs the independent verifier on `lines`; none if this machine has no Python.
    fn python_says(lines: &[u8]) -> Option<(Option<i32>, Value)> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/verify_export.py");
        let mut python = Command::new("python3")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .inspect_err(|error| eprintln!("SKIPPED: python3 cannot be run here: {error}"))
            .ok()?;
        python.stdin.take().expect("piped").write_all(lines).expect("read to its end");
        let output = python.wait_with_output().expect("ended");
        Some((output.status.code(), serde_json::from_slice(&output.stdout).expect("one JSON object")))
    }

    #[test]
    fn an_independent_verifier_finds_the_same_sums_and_notices_a_changed_charge() {
        let scratch = Scratch::new();
        let mut book = scratch.book();
        answer(&mut book, 0..20);
        for _ in 0..3 {
            cut_short(&mut book, 20..22);
            book = restart(book, &scratch);
        }
        let (head, spent) = (book.head(), book.account(&data("ada")).expect("open").spent());
        book.close().expect("closed");
        let mut lines = Vec::new();
        export(&scratch.path(), &mut lines).expect("exported");
        let Some((status, said)) = python_says(&lines) else { return };
        assert_eq!(status, Some(0), "{said}");
        assert_eq!(said["head"], json!(head));
        assert_eq!(said["accounts"]["ada/1"]["spent"], spent.units());
        assert_eq!(said["answers"]["digits"], 22);
        let epsilon = rho_to_epsilon_within(spent, Delta::new(1e-5).expect("small"), FilterOrder::DEFAULT);
        assert!((said["accounts"]["ada/1"]["epsilon_spent"].as_f64().expect("told") - epsilon).abs() < 1e-9);

        let text = String::from_utf8(lines).expect("JSON");
        let release =
            text.lines().position(|line| line.contains("\"kind\":\"release\"")).expect("there is one");
        let changed: String = text
            .lines()
            .enumerate()
            .map(|(at, line)| if at == release { line.replacen("\"body\":\"07", "\"body\":\"08", 1) } else { line.to_owned() } + "\n")
            .collect();
        let (status, said) = python_says(changed.as_bytes()).expect("it ran before");
        assert_eq!((status, &said["first_bad"]), (Some(4), &json!(release + 1)));
    }
}
