//! What the ledger must never do, for fault tests that have to be seen to fail (`docs/decisions/0009`).
//!
//! Compiled only under `--cfg conclave_weakened="selectable"`; no manifest may set that.

use std::path::Path;

use crate::backend::{Embedded, FileKind, Store};
use crate::book::{Book, Recovery, Replay};
use crate::error::Result;
use crate::state::State;

impl Book {
    /// Opens a ledger and offers interrupted draws again under their old reservations: a free second look.
    pub fn open_redrawing(path: &Path, now_ms: u64) -> Result<(Self, Recovery)> {
        let store = Embedded::open(path, FileKind::Ledger)?;
        let mut ledger = Replay::of(path, |visit| store.rows(visit))?;
        for number in ledger.state.unreleased_draws() {
            ledger.state.forget_draw(number)?;
        }
        Self::recover(Box::new(store), path, ledger, now_ms)
    }
}

impl State {
    /// Makes a drawn reservation look as if it had never been drawn.
    pub(crate) fn forget_draw(&mut self, number: u64) -> Result<()> {
        let Some(open) = self.open.get_mut(&number) else { return Ok(()) };
        let Some(drawn) = open.drawn.take() else { return Ok(()) };
        let campaign = &self.campaigns[open.campaign];
        let worst = campaign.worst(open.queries.len())?;
        for (position, &member) in (0_u16..).zip(&campaign.members) {
            if !drawn.silos.contains(&position) {
                self.accounts[member].filter.reserve(worst)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{NOON_MS, Scratch, answer, cut_short, digits, draw, release, worst};

    #[test]
    fn the_weakness_draws_twice_on_one_charge() {
        let scratch = Scratch::new();
        let mut book = scratch.book();
        answer(&mut book, 10..11);
        cut_short(&mut book, 0..3);
        book.close().expect("closed");
        let (mut book, _) = Book::open_redrawing(&scratch.path(), NOON_MS).expect("opened");
        let again = book.reclaim(&digits()).pop().expect("offered again");
        let permit = draw(&mut book, again).expect("drawn again");
        release(&mut book, permit).expect("released");
        let spent = book.campaign(&digits()).expect("open").spent();
        assert!(spent.units() <= worst(4).units(), "two draws of three queries and one of one, four charged");
        book.close().expect("closed");
        Book::open_redrawing(&scratch.path(), NOON_MS).expect("and it goes on");
    }
}
