//! The campaign as a pure state machine: what happened goes in, what to do next comes out. No IO, no clock, no votes.
//!
//! It decides which queries are asked together, how large a batch the budget still allows, when to wait and when it is
//! over. Everything it decides on is public: which queries were proposed, which teachers are there, what the ledger
//! refused.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;

use conclave_proto::ids::QueryId;

/// Where a campaign stands, as everybody may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing waits.
    Idle,
    /// Queries are being asked.
    Asking,
    /// Not one query more fits under the caps.
    BudgetSpent,
    /// Too few teachers answer.
    BelowQuorum,
    /// The ledger cannot be written.
    Halted,
    /// An operator has stopped it.
    Ended,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Reserve budget for these queries and ask for votes; report how it ended.
    Ask(Vec<QueryId>),
    /// Nothing before this instant, unless something happens first.
    WaitUntil(u64),
    /// Nothing until something happens.
    Wait,
}

/// How a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All of its answers are durable.
    Released,
    /// Too few votes came; nothing was drawn or charged.
    BelowQuorum,
    /// The caps allow only this many queries of it; nothing was asked.
    OverBudget {
        /// How many of them would fit.
        fitting: usize,
    },
    /// It was stopped or turned away for a reason that passes; nothing was drawn.
    Postponed,
    /// Its draw was cut short and is spent; the queries may be asked anew, or are closed.
    Interrupted,
    /// The ledger takes no more writes.
    Halted,
}

/// What a proposal of queries came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// New to the campaign.
    pub(crate) new: u32,
    /// Answered already, or already waiting.
    pub(crate) repeated: u32,
}

/// How many queries a campaign may still take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany {
    /// Places in the contract.
    pub(crate) queries_max: u32,
    /// Places left.
    pub(crate) left: u32,
    /// New queries in the proposal.
    pub(crate) asked: u32,
}

/// Bounds that do not change during a campaign.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) queries_max: u32,
    pub(crate) batch_queries_max: usize,
    pub(crate) batches_in_flight_max: usize,
    pub(crate) retry_ms: u64,
    pub(crate) queries_per_minute_max: Option<NonZeroU32>,
}

/// A running campaign.
#[derive(Debug)]
pub(crate) struct Campaign {
    bounds: Bounds,
    standing: HashMap<QueryId, Standing>,
    waiting: VecDeque<QueryId>,
    batches_in_flight: usize,
    obstacle: Obstacle,
    /// When the pace allows the next query, in milliseconds.
    paced_until_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Waiting,
    Asked,
    Settled,
}

/// What keeps the next batch from being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obstacle {
    None,
    /// The caps allow a batch of this size; none at all if nothing that is under way gives something back.
    Budget {
        fitting: usize,
    },
    /// Try again at this instant, in milliseconds.
    Quorum {
        retry_at_ms: u64,
    },
    /// As above, without telling anybody that teachers are missing.
    Pause {
        retry_at_ms: u64,
    },
    Halted,
}

impl Campaign {
    /// A campaign whose `settled` queries are answered.
    pub(crate) fn new(bounds: Bounds, settled: impl IntoIterator<Item = QueryId>) -> Self {
        let standing = settled.into_iter().map(|query| (query, Standing::Settled)).collect();
        let (waiting, obstacle) = (VecDeque::new(), Obstacle::None);
        Self { bounds, standing, waiting, batches_in_flight: 0, obstacle, paced_until_ms: 0 }
    }

    /// A batch that an earlier process reserved and did not draw is asked again, under the same reservation.
    pub(crate) fn resume(&mut self, queries: &[QueryId]) {
        self.batches_in_flight += 1;
        self.standing.extend(queries.iter().map(|query| (*query, Standing::Asked)));
    }

    /// Takes proposed queries, all or none. Repetitions cost nothing and are counted.
    pub(crate) fn submit(&mut self, queries: &[QueryId]) -> Result<Admitted, TooMany> {
        let mut new = Vec::new();
        for query in queries {
            if !self.standing.contains_key(query) {
                self.standing.insert(*query, Standing::Waiting);
                new.push(*query);
            }
        }
        let queries_max = self.bounds.queries_max;
        if self.standing.len() > queries_max as usize {
            for query in &new {
                self.standing.remove(query);
            }
            let left = u32::try_from((queries_max as usize).saturating_sub(self.standing.len()));
            return Err(TooMany {
                queries_max,
                left: left.unwrap_or(queries_max),
                asked: counted(new.len()),
            });
        }
        let admitted = Admitted { new: counted(new.len()), repeated: counted(queries.len() - new.len()) };
        self.waiting.extend(new);
        Ok(admitted)
    }

    /// What to do at `now_ms`, when the teachers that are there suffice for the quorum, or not.
    pub(crate) fn next(&mut self, now_ms: u64, quorum_present: bool) -> Next {
        if self.waiting.is_empty() || self.batches_in_flight >= self.bounds.batches_in_flight_max {
            return Next::Wait;
        }
        match self.obstacle {
            // A spent budget waits for what is under way: abstentions cost less than was reserved.
            Obstacle::Halted | Obstacle::Budget { fitting: 0 } => return Next::Wait,
            Obstacle::Quorum { retry_at_ms } | Obstacle::Pause { retry_at_ms } if now_ms < retry_at_ms => {
                return Next::WaitUntil(retry_at_ms);
            }
            Obstacle::None | Obstacle::Budget { .. } | Obstacle::Quorum { .. } | Obstacle::Pause { .. } => {}
        }
        if now_ms < self.paced_until_ms {
            return Next::WaitUntil(self.paced_until_ms);
        }
        if !quorum_present {
            let retry_at_ms = now_ms.saturating_add(self.bounds.retry_ms);
            self.obstacle = Obstacle::Quorum { retry_at_ms };
            return Next::WaitUntil(retry_at_ms);
        }
        let mut size = self.bounds.batch_queries_max.min(self.waiting.len());
        if let Some(pace) = self.bounds.queries_per_minute_max {
            // A second's worth at once: a pace is kept by asking little and often.
            size = size.min((pace.get() as usize).div_ceil(SECONDS_PER_MINUTE));
        }
        match self.obstacle {
            // One small batch, and then a fresh look at what is left.
            Obstacle::Budget { fitting } => {
                size = size.min(fitting);
                self.obstacle = Obstacle::Budget { fitting: 0 };
            }
            Obstacle::Quorum { .. } if self.batches_in_flight > 0 => return Next::Wait,
            Obstacle::Pause { .. } => self.obstacle = Obstacle::None,
            Obstacle::None | Obstacle::Quorum { .. } | Obstacle::Halted => {}
        }
        let batch: Vec<QueryId> = self.waiting.drain(..size).collect();
        self.standing.extend(batch.iter().map(|query| (*query, Standing::Asked)));
        self.batches_in_flight += 1;
        if let Some(pace) = self.bounds.queries_per_minute_max {
            let pause_ms = (batch.len() as u64 * MS_PER_MINUTE).div_ceil(pace.get().into());
            self.paced_until_ms = now_ms.saturating_add(pause_ms);
        }
        Next::Ask(batch)
    }

    /// Tells how a batch ended.
    pub(crate) fn ended(&mut self, queries: &[QueryId], how: Ended, now_ms: u64) {
        self.batches_in_flight = self.batches_in_flight.saturating_sub(1);
        let retry_at_ms = now_ms.saturating_add(self.bounds.retry_ms);
        match how {
            Ended::Released => {
                self.standing.extend(queries.iter().map(|query| (*query, Standing::Settled)));
                // It may have cost less than was held for it, so a spent budget is worth another attempt; and its
                // quorum was there.
                if matches!(self.obstacle, Obstacle::Budget { fitting: 0 } | Obstacle::Quorum { .. }) {
                    self.obstacle = Obstacle::None;
                }
            }
            Ended::BelowQuorum => {
                self.requeue(queries);
                self.hinder(Obstacle::Quorum { retry_at_ms });
            }
            Ended::OverBudget { fitting } => {
                self.requeue(queries);
                let fitting = fitting.min(queries.len().saturating_sub(1));
                self.hinder(Obstacle::Budget { fitting });
            }
            Ended::Postponed => {
                self.requeue(queries);
                self.hinder(Obstacle::Pause { retry_at_ms });
            }
            Ended::Interrupted => self.requeue(queries),
            Ended::Halted => {
                self.requeue(queries);
                self.obstacle = Obstacle::Halted;
            }
        }
    }

    /// These queries have a stored answer after all: closed by the ledger after too many interrupted draws.
    pub(crate) fn settle(&mut self, queries: impl IntoIterator<Item = QueryId>) {
        for query in queries {
            self.standing.insert(query, Standing::Settled);
        }
        self.waiting.retain(|query| self.standing.get(query) == Some(&Standing::Waiting));
    }

    /// More teachers are there than before: no need to wait out the pause.
    pub(crate) fn teachers_returned(&mut self) {
        if let Obstacle::Quorum { retry_at_ms } = &mut self.obstacle {
            *retry_at_ms = 0;
        }
    }

    /// Another pace, from the next batch on.
    pub(crate) fn set_pace(&mut self, queries_per_minute_max: Option<NonZeroU32>) {
        self.bounds.queries_per_minute_max = queries_per_minute_max;
        self.paced_until_ms = 0;
    }

    /// Where the campaign stands.
    pub(crate) fn phase(&self) -> Phase {
        let waits = !self.waiting.is_empty();
        match self.obstacle {
            Obstacle::Halted => Phase::Halted,
            Obstacle::Budget { fitting: 0 } if waits && self.batches_in_flight == 0 => Phase::BudgetSpent,
            Obstacle::Quorum { .. } if waits => Phase::BelowQuorum,
            _ if waits || self.batches_in_flight > 0 => Phase::Asking,
            _ => Phase::Idle,
        }
    }

    /// Queries that the campaign has taken.
    pub(crate) fn admitted(&self) -> u32 {
        counted(self.standing.len())
    }

    /// Back to the head of the queue, in their order: what was asked first is answered first.
    fn requeue(&mut self, queries: &[QueryId]) {
        for query in queries.iter().rev() {
            self.standing.insert(*query, Standing::Waiting);
            self.waiting.push_front(*query);
        }
    }

    /// A halted campaign stays halted. A spent budget is looked at again once something was given back.
    fn hinder(&mut self, obstacle: Obstacle) {
        if self.obstacle != Obstacle::Halted {
            self.obstacle = obstacle;
        }
    }
}

/// Queries are bounded far below 2^32.
fn counted(queries: usize) -> u32 {
    u32::try_from(queries).unwrap_or(u32::MAX)
}

const SECONDS_PER_MINUTE: usize = 60;
const MS_PER_MINUTE: u64 = 60_000;

#[cfg(test)]
mod tests;
