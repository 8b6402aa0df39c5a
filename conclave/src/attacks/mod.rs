//! The attacks of the harness, carried out on services that run, and what is told of them.
//!
//! | what | module |
//! |---|---|
//! | connections as the capabilities that attacks ask for | [`targets`] |
//! | which attacks, how long, against a simulation | [`crate::simulate::attacked`] |
//! | the page | [`page`] |
//!
//! The harness knows no sockets, and what is attacked here is not told that it is: clients come with a client's certificate and
//! through the same port as everybody.

mod curves;
pub mod page;
pub mod targets;

use conclave_attack_harness::meter::Spent;
use conclave_attack_harness::report::Finding;
use conclave_privacy::accountant::rho_to_epsilon_within;
use conclave_privacy::quantity::{Delta, FilterOrder};
use serde::Serialize;

use crate::cli::{Exit, Fault};

/// A finding with what it took and how to repeat it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attacked {
    /// What came of it.
    #[serde(flatten)]
    pub finding: Finding,
    /// What it took.
    pub cost: Cost,
    /// Seeds all that the attacker draws, where it draws anything.
    pub seed: Option<u64>,
    /// The command that repeats it.
    pub command: String,
    /// Unit, adjacency and δ of every ε that it names, in words.
    pub terms: String,
}

/// What was attacked, for a page of its own: what to know of it, and that.
pub type Target = Vec<(&'static str, String)>;

/// What an attack took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    /// Rows or queries that the target was asked about.
    pub queries: u64,
    /// Calls to it.
    pub calls: u64,
    /// All in all.
    pub seconds: f64,
    /// Of these, waiting for the target.
    pub waited_seconds: f64,
    /// What the ledger was charged for what the attacker asked, in the ρ of its accounts, rounded up.
    pub rho: f64,
    /// The same as ε at the δ of the campaign.
    pub epsilon: f64,
}

impl Cost {
    /// What a meter counted, in so many seconds, with ε at this δ for accounts of this order.
    pub fn of(spent: Spent, seconds: f64, delta: Delta, order: FilterOrder) -> Self {
        Self {
            queries: spent.rows,
            calls: spent.calls,
            seconds,
            waited_seconds: spent.waited.as_secs_f64(),
            rho: spent.charged.to_f64_up(),
            epsilon: rho_to_epsilon_within(spent.charged, delta, order),
        }
    }
}

/// What of the harness ended an attack.
pub fn fault(error: conclave_attack_harness::Error) -> Fault {
    use conclave_attack_harness::Error;
    match error {
        Error::Learning(error) => error.into(),
        Error::Privacy(error) => error.into(),
        Error::Setting { field, value, fix } => {
            Fault::input("invalid-value", field, value, "cannot be used", fix)
        }
        Error::Target(cause) => match cause.downcast::<Fault>() {
            Ok(fault) => *fault,
            Err(cause) => Fault::new(Exit::Other, "target", "", "", cause, "look at the target's log"),
        },
        error => Fault::new(Exit::Other, "attack", "", "", &error, "allow the attack more, or ask for less"),
    }
}
