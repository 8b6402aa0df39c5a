//! The eight promises, end to end: real processes, mutual TLS, a durable ledger, and an outsider who records.
//!
//! One file per promise. Teacher nodes run in this process with precomputed votes; the aggregator is a process of its
//! own that can be killed. The long half of some tests runs when `CONCLAVE_SLOW_TESTS` is set.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod asked_twice;
mod attacks;
mod budget_wall;
mod charge_first;
mod cluster;
mod dials_out;
mod disjoint;
mod no_blind_trust;
mod nobody_gets_in;
mod noise_law;
mod operators;
mod stays_inside;
mod watched;
