//! How a node's private records turn into votes: one file per voting scheme.
//!
//! Whatever the scheme, the same query always gets the same votes, and votes are cast on a [`crate::budget_guard::Permit`]
//! only: whatever leaves is in the silo's own book.

mod ensemble;

pub(crate) use ensemble::Ensemble;
