//! The door: one command line over all of Conclave, and the simulation that runs every service in one process.
//!
//! - [`cli`]: one file per subcommand; flags in, exit status out;
//! - [`preflight`]: what would keep a role from working, before it is started;
//! - [`simulate`]: the production services on loopback, and the report of what came out.
//! - [`attacks`]: the attacks of the harness on what runs, and what is told of them.
//!
//! It is a library so that tests and benches can call what the command calls. It decides nothing about privacy:
//! budgets are enforced by the ledger, noise is drawn by the aggregator.

pub mod attacks;
pub mod cli;
pub mod preflight;
pub mod simulate;
