//! The hash chain: each entry's hash covers the hash before it, its number, its time and its body.
//!
//! `hash = SHA-256(previous hash ‖ row)` over the bytes drawn in `docs/ledger-format.md`. Whoever knows the
//! newest hash (the *head*) can tell whether any byte of any earlier entry was changed.

use std::fmt;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The hash of the newest entry, which stands for the whole ledger up to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Head([u8; 32]);

impl Head {
    /// What comes before the first entry: 32 zero bytes.
    pub const GENESIS: Self = Self([0; 32]);

    /// The head after one more entry.
    ///
    /// `seq` counts from 1, `recorded_at_ms` is Unix time in milliseconds; integers enter the hash as
    /// little-endian `u64`, the body with its length before it.
    #[must_use]
    pub fn link(self, seq: u64, recorded_at_ms: u64, body: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(seq.to_le_bytes());
        hash.update(recorded_at_ms.to_le_bytes());
        hash.update((body.len() as u64).to_le_bytes());
        hash.update(body);
        Self(hash.finalize().into())
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A hash as it was read from a stored row, before it is compared with the recomputed one.
    pub(crate) const fn claimed(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl Default for Head {
    fn default() -> Self {
        Self::GENESIS
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({self})")
    }
}

impl Serialize for Head {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_row_moves_the_head() {
        let head = Head::GENESIS.link(1, 2, b"body");
        assert_ne!(head, Head::GENESIS.link(2, 2, b"body"));
        assert_ne!(head, Head::GENESIS.link(1, 3, b"body"));
        assert_ne!(head, Head::GENESIS.link(1, 2, b"bodY"));
        assert_ne!(head, head.link(1, 2, b"body"));
    }

    #[test]
    fn the_layout_is_pinned() {
        // Computed with Python's hashlib from docs/ledger-format.md; see verify_export.py.
        assert_eq!(
            Head::GENESIS.link(1, 2, b"body").to_string(),
            "9d85caf4b07fcf7566533a40e58e81bc57bd968ffa50ca93330971ed79d32669"
        );
    }
}
