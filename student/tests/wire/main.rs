//! The whole student over real mutual TLS, against a campaign that answers by script.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod following;
mod life;
mod serving;
mod world;
