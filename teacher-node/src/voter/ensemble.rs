//! Voting scheme `ensemble`: each teacher votes once on each query (PATE; Papernot et al. 2017).
//!
//! A record trains one teacher, so it moves at most one vote of every query.

use conclave_trust::trusted_aggregator::{Ballot, Shape};

use crate::budget_guard::Permit;
use crate::teachers::Teachers;

/// Looks up what the teachers voted when the node started.
pub(crate) struct Ensemble {
    teachers: Teachers,
    teacher_count: u32,
    classes: usize,
}

impl Ensemble {
    pub(crate) fn new(teachers: Teachers, teacher_count: u32, classes: usize) -> Self {
        Self { teachers, teacher_count, classes }
    }

    /// The sealed votes of every teacher on the queries of `permit`, which is used up.
    #[expect(clippy::needless_pass_by_value, reason = "a permit is good for one vote")]
    pub(crate) fn vote(&self, permit: Permit) -> Ballot {
        let positions = permit.paper().positions();
        let shape = Shape { teachers: self.teacher_count, queries: positions.len(), classes: self.classes };
        Ballot::seal(&self.teachers.on(positions), shape)
            .expect("Teachers hold one class below `classes` per teacher and query")
    }
}
