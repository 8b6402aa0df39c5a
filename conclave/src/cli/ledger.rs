//! `conclave ledger`: look into a budget book without changing it, or holding it.
//!
//! All of it works on a private copy and from public parts, so it may run beside the aggregator that writes the ledger.

mod show;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use conclave_ledger::certificate::CampaignFigures;
use conclave_ledger::{LedgerError, Snapshot, Verification, export, verify_figures};
use serde::Serialize;

use super::{Console, Exit, Fault};
use crate::simulate::report::figure_up;

/// Look into a budget book: who was charged, what is left, whether every entry is sound
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true)]
pub struct LedgerArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show accounts, campaigns and the latest entries
    Show {
        /// The ledger file
        ledger: PathBuf,
        /// How many of the latest entries to show
        #[arg(long, value_name = "N", default_value_t = 10)]
        last: usize,
    },
    /// Check chain, charges, epsilon and every page; exit 4 names the first bad entry
    ///
    /// Nothing is written and no key is needed. A ledger that was rewritten as a whole has a chain of its own:
    /// compare the printed head with one that somebody else remembers.
    Verify {
        /// The ledger file
        ledger: PathBuf,
    },
    /// Write every entry as a JSON line, for verifiers that are not this program
    Export {
        /// The ledger file
        ledger: PathBuf,
        /// A new file [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Say in plain words who is protected, against whom, how much is spent and what is left
    Certificate {
        /// The ledger file
        ledger: PathBuf,
    },
}

/// Runs one of the actions.
pub fn run(args: LedgerArgs, console: &Console) -> Result<Exit, Fault> {
    match args.action {
        Action::Show { ledger, last } => show::run(&ledger, last, console),
        Action::Verify { ledger } => run_verify(&ledger, console),
        Action::Export { ledger, out } => run_export(&ledger, out.as_deref(), console),
        Action::Certificate { ledger } => {
            let certificate = Snapshot::read(&ledger)?.certificate()?;
            console.result(|| certificate.to_string(), &certificate)?;
            Ok(Exit::Done)
        }
    }
}

/// A verification; `error` is there only if something is wrong.
#[derive(Serialize)]
struct Verified<'a> {
    #[serde(flatten)]
    found: &'a Verification,
    /// Worked out anew; none unless all is well.
    campaigns: &'a [CampaignFigures],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Fault>,
}

fn run_verify(ledger: &Path, console: &Console) -> Result<Exit, Fault> {
    let (found, campaigns) = verify_figures(ledger)?;
    let fault = found.first_bad.as_ref().map(|bad| {
        let entry = bad.entry.map_or_else(|| "file".to_owned(), |entry| format!("entry {entry}"));
        Fault::new(
            Exit::Verification,
            "corrupt-ledger",
            entry,
            ledger.display().to_string(),
            &bad.what,
            "trust nothing from this entry on; restore a good copy",
        )
    });
    let told = Verified { found: &found, campaigns: &campaigns, error: fault.as_ref() };
    console.result(|| words_of(&found, &campaigns, ledger), &told)?;
    let Some(fault) = fault else { return Ok(Exit::Done) };
    console.note(&format!("conclave: {fault}"));
    Ok(fault.exit)
}

fn words_of(found: &Verification, campaigns: &[CampaignFigures], ledger: &Path) -> String {
    if !found.valid {
        return format!("NOT VALID  {}: the first {} entries are good\n", ledger.display(), found.entries);
    }
    let mut lines = vec![format!("VALID  {}: {} entries", ledger.display(), found.entries)];
    if found.simulated {
        lines.push("  SIMULATED  its noise came from a seed, so it protects nobody".to_owned());
    }
    if let (Some(cap), Some(spent), Some(delta), Some(unit), Some(adjacency)) =
        (found.epsilon, found.epsilon_spent, found.delta, found.unit, found.adjacency)
    {
        let terms = format!("unit {unit}, adjacency {adjacency}, δ = {delta:e}");
        lines.push(format!("  Guarantee  ε = {} ({terms}): that of the cap", figure_up(cap)));
        lines.push(format!("  Spent      ε = {} ({terms}): after the fact", figure_up(spent)));
    }
    for campaign in campaigns {
        lines.push(format!(
            "  Campaign   {}: {} answers fitted when it opened; those alone, worked out again from its terms, would be",
            campaign.campaign, campaign.answers_that_fit
        ));
        lines.extend(campaign.figures.iter().map(|figure| format!("             {figure}")));
    }
    lines.push(format!("  Head       {}: compare it with a head that somebody else remembers", found.head));
    lines.join("\n") + "\n"
}

fn run_export(ledger: &Path, out: Option<&Path>, console: &Console) -> Result<Exit, Fault> {
    let Some(path) = out else {
        // A reader that went away ends the export, not the command.
        let mut lines = ConsoleLines { console, fault: None };
        let exported = export::export(ledger, &mut lines);
        return match (lines.fault, exported) {
            (Some(fault), _) => Err(fault),
            (None, exported) => exported.map(|_| Exit::Done).map_err(Fault::from),
        };
    };
    // The file is made before the ledger is read, so that nothing is exported in vain.
    let file = File::create_new(path).map_err(|error| unwritable(path, &error))?;
    let mut lines = BufWriter::new(file);
    let exported = export::export(ledger, &mut lines).map_err(Fault::from).and_then(|snapshot| {
        let flushed =
            lines.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
        flushed.map(|()| snapshot).map_err(|error| unwritable(path, &error))
    });
    if exported.is_err() {
        // What was written so far is no export. If it cannot be removed either, the fault says enough.
        let _ = std::fs::remove_file(path);
    }
    let entries = exported?.entries();
    let json = serde_json::json!({ "entries": entries, "out": path });
    console.result(|| format!("{entries} entries written to {}\n", path.display()), &json)?;
    Ok(Exit::Done)
}

fn unwritable(path: &Path, error: &io::Error) -> Fault {
    Fault::input(
        "unwritable-file",
        "--out",
        path.display().to_string(),
        error,
        "name a new file in a writable directory",
    )
}

/// Stdout, through the console.
struct ConsoleLines<'a> {
    console: &'a Console,
    fault: Option<Fault>,
}

impl Write for ConsoleLines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.console.write(bytes).map_err(|fault| {
            let error = io::Error::other(fault.to_string());
            self.fault = Some(fault);
            error
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<LedgerError> for Fault {
    fn from(error: LedgerError) -> Self {
        let (exit, code, field, value) = match &error {
            LedgerError::Missing { path } => (Exit::BadInput, "missing-ledger", "ledger", shown(path)),
            LedgerError::Exists { path } => (Exit::BadInput, "file-exists", "ledger", shown(path)),
            LedgerError::NotALedger { path, .. } => (Exit::BadInput, "not-a-ledger", "ledger", shown(path)),
            LedgerError::InUse { path } => (Exit::Other, "ledger-in-use", "ledger", shown(path)),
            LedgerError::Corrupt { path, fault } => {
                let entry = fault.entry.map_or_else(|| "ledger".to_owned(), |entry| format!("entry {entry}"));
                let words = error.to_string();
                return Self::from_words(Exit::Verification, "corrupt-ledger", &entry, &shown(path), &words);
            }
            LedgerError::File { path, .. } => (Exit::Other, "unusable-file", "file", shown(path)),
            LedgerError::Storage { path, .. } => (Exit::Other, "storage-failed", "ledger", shown(path)),
            LedgerError::BudgetSpent(spent) => {
                (Exit::Budget, "budget-spent", "budget", spent.wall.to_string())
            }
            LedgerError::QueriesSpent { campaign, .. } => {
                (Exit::Budget, "queries-spent", "campaign", campaign.to_string())
            }
            LedgerError::GuardSpent { cap_queries, .. } => {
                (Exit::Budget, "guard-spent", "cap_queries", cap_queries.to_string())
            }
            _ => (Exit::Other, "ledger", "ledger", String::new()),
        };
        Self::from_words(exit, code, field, &value, &error.to_string())
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
