//! The world that is attacked: spoil some data, run a campaign, look at what came out.
//!
//! A simulation implements it with the services of a cluster on loopback. Whoever runs a cluster of its own could too; nobody
//! can with somebody else's.

use crate::Result;
use crate::proportion::Proportion;
use conclave_privacy::mechanism::Outcome;

/// Somewhere a campaign can be run with spoiled data.
pub trait World {
    /// Runs a campaign in which the first `silos` silos hold flipped labels; everything else is as ever.
    fn campaign(&mut self, silos: u32) -> Result<Campaigned>;
}

/// What a campaign came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Campaigned {
    /// What was released for each query, in order.
    pub outcomes: Vec<Outcome>,
    /// The student's labels of test rows that are right; `None` when no label was released to learn from.
    pub student: Option<Proportion>,
}
