//! The node's figures for the silo's own operator: what it has allowed and refused, nothing about rows or votes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use conclave_service::Role;
use conclave_service::clock::WallClock;
use conclave_service::kit::Expiry;
use conclave_service::metrics::{Figures, Refusals, TeacherFigures};

use crate::budget_guard::GuardHandle;

/// What the handlers count. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Meters {
    pub(crate) batches_answered: Arc<AtomicU64>,
    pub(crate) refusals: Refusals,
}

impl Default for Meters {
    fn default() -> Self {
        Self { batches_answered: Arc::default(), refusals: Refusals::of(Role::Teacher) }
    }
}

/// Reads the figures of a node.
#[derive(Debug, Clone)]
pub struct Observer {
    pub(crate) guard: GuardHandle,
    pub(crate) meters: Meters,
}

impl Observer {
    /// The figures now, with the days that `certificate` has left.
    pub fn figures(&self, certificate: Option<Expiry>) -> Figures {
        let (guard_queries_spent, guard_queries_left) = self.guard.spent_and_left();
        Figures::Teacher(TeacherFigures {
            batches_answered: self.meters.batches_answered.load(Ordering::Relaxed),
            guard_queries_spent,
            guard_queries_left,
            refusals: self.meters.refusals.clone(),
            certificate_days_left: certificate.map(|expiry| expiry.days_left(WallClock::now_ms())),
        })
    }
}
