//! What an attack costs: rows, calls, time and privacy, counted where it touches its target, and refused past a budget.

use std::time::{Duration, Instant};

use conclave_learning::Label;
use conclave_privacy::quantity::Rho;
use ndarray::Array2;
use serde::Serialize;

use crate::access::{Answer, Gradients, LabelOnly, Releases, Scores};
use crate::{Error, Result};

/// What an attack may use; `None` is no limit, and the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// Rows or queries that may be asked about.
    pub rows_max: Option<u64>,
    /// Calls, of any number of rows each.
    pub calls_max: Option<u64>,
}

impl Budget {
    /// At most so many rows, in any number of calls.
    pub const fn rows(rows_max: u64) -> Self {
        Self { rows_max: Some(rows_max), calls_max: None }
    }
}

/// What an attack has used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    /// Rows or queries that were asked about.
    pub rows: u64,
    /// Calls to the target.
    pub calls: u64,
    /// Time in which the target was waited for.
    pub waited: Duration,
    /// What the ledger was charged.
    pub charged: Rho,
}

/// A target with a counter in front of it. It has the capabilities of the target.
#[derive(Debug)]
pub struct Meter<T> {
    target: T,
    budget: Budget,
    spent: Spent,
}

impl<T> Meter<T> {
    /// Counts from nothing.
    pub fn new(target: T, budget: Budget) -> Self {
        Self { target, budget, spent: Spent::default() }
    }

    /// What was used so far.
    pub const fn spent(&self) -> Spent {
        self.spent
    }

    /// What may be used.
    pub const fn budget(&self) -> Budget {
        self.budget
    }

    /// The target, for what does not count.
    pub fn into_target(self) -> T {
        self.target
    }

    /// One call about `rows` rows. A call that would pass the budget is not made; one that fails is counted.
    fn call<A>(&mut self, rows: usize, call: impl FnOnce(&mut T) -> Result<A>) -> Result<A> {
        let rows = self.spent.rows.saturating_add(rows as u64);
        if let Some(limit) = self.budget.rows_max.filter(|limit| rows > *limit) {
            return Err(Error::BudgetExhausted { what: "rows", limit });
        }
        if let Some(limit) = self.budget.calls_max.filter(|limit| self.spent.calls >= *limit) {
            return Err(Error::BudgetExhausted { what: "calls", limit });
        }
        self.spent.rows = rows;
        self.spent.calls += 1;
        let began = Instant::now();
        let answer = call(&mut self.target);
        self.spent.waited += began.elapsed();
        answer
    }
}

impl<T: LabelOnly> LabelOnly for Meter<T> {
    fn classes(&self) -> usize {
        self.target.classes()
    }

    fn labels(&mut self, rows: &Array2<f32>) -> Result<Vec<Label>> {
        self.call(rows.nrows(), |target| target.labels(rows))
    }
}

impl<T: Scores> Scores for Meter<T> {
    fn scores(&mut self, rows: &Array2<f32>) -> Result<Array2<f32>> {
        self.call(rows.nrows(), |target| target.scores(rows))
    }
}

impl<T: Gradients> Gradients for Meter<T> {
    fn loss_gradients(&mut self, rows: &Array2<f32>, labels: &[Label]) -> Result<Array2<f32>> {
        self.call(rows.nrows(), |target| target.loss_gradients(rows, labels))
    }
}

impl<T: Releases> Releases for Meter<T> {
    fn ask(&mut self, query: usize) -> Result<Answer> {
        let answer = self.call(1, |target| target.ask(query))?;
        self.spent.charged = self.spent.charged.checked_add(answer.charged).unwrap_or(Rho::MAX);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Zero;

    impl LabelOnly for Zero {
        fn classes(&self) -> usize {
            1
        }

        fn labels(&mut self, rows: &Array2<f32>) -> Result<Vec<Label>> {
            Ok(vec![Label::new(0); rows.nrows()])
        }
    }

    #[test]
    fn rows_and_calls_are_counted_and_nothing_is_asked_past_the_budget() {
        let mut meter = Meter::new(Zero, Budget { rows_max: Some(7), calls_max: Some(3) });
        let three = Array2::zeros((3, 2));
        meter.labels(&three).unwrap();
        meter.labels(&three).unwrap();
        let refused = meter.labels(&three).unwrap_err();
        assert!(matches!(refused, Error::BudgetExhausted { what: "rows", limit: 7 }), "{refused}");
        assert_eq!((meter.spent().rows, meter.spent().calls), (6, 2), "what is refused is not counted");
        meter.labels(&Array2::zeros((1, 2))).unwrap();
        let refused = meter.labels(&Array2::zeros((0, 2))).unwrap_err();
        assert!(matches!(refused, Error::BudgetExhausted { what: "calls", limit: 3 }), "{refused}");
    }
}
