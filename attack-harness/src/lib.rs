//! The attack harness: tries to break the promises, with what an outsider has.
//!
//! | step | module |
//! |---|---|
//! | what an attacker may touch, by capability | [`access`] |
//! | raw values as shares of their range, and a predictor in the attacker's hands | [`range`] |
//! | what it costs: queries, calls, time, privacy | [`meter`] |
//! | who attacks, what they know and may do, in MITRE ATLAS terms | [`threat_model`] |
//! | the attacks, one file each | [`attacks`] |
//! | what releases prove about ε, beside what is charged | [`audit`] |
//! | what is told of each | [`report`] |
//! | a world in which data can be spoiled | [`world`] |
//! | the law that noise follows, how sure a measured share is, and when it is surely too small | [`law`], [`proportion`], [`floor`] |
//!
//! An attack asks for the least capability that it needs, so one that needs scores does not compile against a service that
//! gives labels only. It asks through a [`meter::Meter`], which counts and refuses. It knows neither sockets nor services:
//! whoever owns a connection implements the capability.
//!
//! What it does not do: it is in no node's image, it repairs nothing, and a number of it is never a guarantee. An attack that
//! fails shows that this attack failed.

pub mod access;
pub mod attacks;
pub mod audit;
mod error;
pub mod floor;
pub mod law;
pub mod meter;
pub mod proportion;
pub mod range;
pub mod report;
pub mod threat_model;
pub mod world;

pub use error::{Error, Result};
