//! Checks a ledger that somebody hands over: from its public parts alone, without a key, and without writing
//! anything beside it.
//!
//! Three checks, each of which names the first bad entry where it can: every entry against the chain and
//! against the state before it (so every charge, cap and ε is worked out anew); SQLite's own check of its
//! pages; and the raw pages, byte by byte, because a changed byte that SQLite does not look at is a changed
//! byte all the same.
//!
//! The figures of each campaign are no part of a ledger. They follow from its terms, so [`verify_figures`] works them out from these, as
//! a certificate does: a certificate that says otherwise, but for the last digits of a `pld`, whose transforms add up as the processor
//! likes, is not of this ledger.
//!
//! What it cannot see: a ledger that was rewritten as a whole, or cut off after an entry, has a chain of its
//! own. Compare [`Verification::head`] with a head that somebody else remembers.

mod pages;
mod record;
#[cfg(test)]
mod tests;

use std::path::Path;

use conclave_privacy::accountant::rho_to_epsilon_within;
use conclave_privacy::quantity::FilterOrder;
use serde::Serialize;

use crate::backend::{FileKind, check_integrity};
use crate::book::Replay;
use crate::certificate::CampaignFigures;
use crate::chain::Head;
use crate::error::{Fault, LedgerError, Result};
use crate::keys::{DataKey, LedgerId};
use crate::snapshot::{PrivateCopy, replay};
use crate::state::AccountState;

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verification {
    /// Whether nothing is wrong.
    pub valid: bool,
    /// How many entries are good, from the first on.
    pub entries: u64,
    /// The ledger's name, if its first entry is good.
    pub ledger: Option<LedgerId>,
    /// Whether its noise came from a seed; such a ledger protects nobody.
    pub simulated: bool,
    /// The guarantee: the largest ε of the accounts' caps. None without an account.
    pub epsilon: Option<f64>,
    /// After the fact: the largest ε that an account's charges add up to.
    pub epsilon_spent: Option<f64>,
    /// δ of that account.
    pub delta: Option<f64>,
    /// Who is protected: its privacy unit.
    pub unit: Option<&'static str>,
    /// How neighbouring data differ.
    pub adjacency: Option<&'static str>,
    /// Each account, in the order of their opening.
    pub accounts: Vec<VerifiedAccount>,
    /// The hash of the newest good entry.
    pub head: Head,
    /// The first thing that is wrong.
    pub first_bad: Option<Fault>,
}

/// An account with its figures worked out anew.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerifiedAccount {
    /// Names the data.
    pub data: DataKey,
    /// Who holds it.
    pub organisation: String,
    /// ε of the cap.
    pub epsilon: f64,
    /// ε of what was spent, after the fact.
    pub epsilon_spent: f64,
    /// δ of both.
    pub delta: f64,
    /// ω of the account; 0 is no limit, plain zCDP.
    pub filter_order: FilterOrder,
    /// The cap, in units of 2^-40 ρ.
    pub cap_units: u64,
    /// Spent, in the same units.
    pub spent_units: u64,
    /// Held by open reservations, in the same units.
    pub reserved_units: u64,
}

/// Verifies the ledger at `path`.
///
/// Damage is a result, not an error: `valid` is false and `first_bad` says where. Errors are left for a file
/// that is missing, unreadable or not a ledger at all.
pub fn verify(path: &Path) -> Result<Verification> {
    Ok(verify_state(path)?.0)
}

/// The same, and the figures of each campaign, worked out anew from its terms; none unless all is well.
///
/// Takes a search of a fraction of a second for each kind of terms.
pub fn verify_figures(path: &Path) -> Result<(Verification, Vec<CampaignFigures>)> {
    let (verification, ledger) = verify_state(path)?;
    let figures = ledger.map_or(Ok(Vec::new()), |ledger| CampaignFigures::of_all(ledger.state.campaigns()));
    Ok((verification, figures?))
}

/// What was found, and what all entries lead to if nothing is wrong.
fn verify_state(path: &Path) -> Result<(Verification, Option<Replay>)> {
    let copy = PrivateCopy::of(path, FileKind::Ledger)?;
    let mut good = Verification::of(&[], None);
    let checked = check(&copy, path, &mut good);
    match checked {
        Ok(ledger) => Ok((good, Some(ledger))),
        Err(LedgerError::Corrupt { fault, .. }) => {
            Ok((Verification { valid: false, first_bad: Some(fault), ..good }, None))
        }
        Err(error) => Err(error),
    }
}

fn check(copy: &PrivateCopy, path: &Path, good: &mut Verification) -> Result<Replay> {
    let mut records = Vec::new();
    let connection = copy.open()?;
    let ledger = replay(&connection, path, &mut |ledger, row, _| {
        good.entries = row.seq;
        good.head = ledger.head;
        records.push(record::digest(&record::of_row(row)));
        Ok(())
    })?;
    *good = Verification {
        ledger: ledger.state.genesis().map(|genesis| genesis.ledger_id),
        simulated: ledger.state.genesis().is_some_and(|genesis| genesis.simulated),
        entries: ledger.seq,
        head: ledger.head,
        ..Verification::of(ledger.state.accounts(), good.ledger)
    };
    check_integrity(&connection, path)?;
    drop(connection);
    // A replay that came to its end has a genesis.
    let version = ledger.state.created().map_or(0, |created| created.schema);
    pages::check(&copy.bytes()?, &records, version)
        .map_err(|fault| LedgerError::Corrupt { path: path.to_owned(), fault })?;
    Ok(ledger)
}

impl Verification {
    fn of(accounts: &[AccountState], ledger: Option<LedgerId>) -> Self {
        let verified: Vec<_> = accounts.iter().map(VerifiedAccount::of).collect();
        let largest = accounts
            .iter()
            .max_by(|a, b| a.terms().epsilon.get().total_cmp(&b.terms().epsilon.get()))
            .map(AccountState::terms);
        let spent = verified.iter().map(|account| account.epsilon_spent).max_by(f64::total_cmp);
        Self {
            valid: true,
            entries: 0,
            ledger,
            simulated: false,
            epsilon: largest.map(|terms| terms.epsilon.get()),
            epsilon_spent: spent,
            delta: largest.map(|terms| terms.delta.get()),
            unit: largest.map(|terms| terms.unit.name()),
            adjacency: largest.map(|terms| terms.adjacency.name()),
            accounts: verified,
            head: Head::GENESIS,
            first_bad: None,
        }
    }
}

impl VerifiedAccount {
    fn of(account: &AccountState) -> Self {
        let terms = account.terms();
        Self {
            data: terms.data.clone(),
            organisation: terms.organisation.clone(),
            epsilon: terms.epsilon.get(),
            epsilon_spent: rho_to_epsilon_within(account.spent(), terms.delta, terms.filter_order),
            delta: terms.delta.get(),
            filter_order: terms.filter_order,
            cap_units: account.cap().units(),
            spent_units: account.spent().units(),
            reserved_units: account.reserved().units(),
        }
    }
}
