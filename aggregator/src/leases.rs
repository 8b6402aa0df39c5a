//! What one node that dials in is asked: its open leases, and what came of the last ones. No IO; time is an argument.
//!
//! A lease is one question. It is told to the node as often as the node does not list it as held, so nothing is lost with
//! a connection; it is settled by the first outcome that comes in its time, so nothing counts twice. Withdrawing it, when
//! its time has passed or nobody waits for it any more, makes every later outcome a late one.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use conclave_proto::teacher::v1::lease::Work;
use conclave_proto::teacher::v1::submit_work_request::Outcome;
use conclave_proto::teacher::v1::{Lease, SubmitWorkRequest};
use prost::Message as _;

/// The leases of one node. `R` is how an outcome reaches whoever waits for it.
#[derive(Debug)]
pub(crate) struct Leases<R> {
    /// Random at the start of the process, so that leases of two processes are never taken for each other.
    next: u64,
    open: BTreeMap<u64, Open<R>>,
    /// The last ones that were settled, and what with.
    settled: VecDeque<(u64, u64)>,
    hash: RandomState,
    /// The call that waits for work; a later call displaces it.
    visit: u64,
    waiting: bool,
    heard_at: Option<Instant>,
}

#[derive(Debug)]
struct Open<R> {
    work: Work,
    until: Instant,
    reply: R,
}

/// What a node that asks for work is told.
#[derive(Debug, PartialEq)]
pub(crate) enum Offer {
    Lease(Box<Lease>),
    Nothing,
    /// A later call of the same node waits in its place.
    Displaced,
}

/// Why a submission is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// Something else was handed in before, and stands.
    Changed,
    /// No such lease is open: too late, or of another process or node.
    NotOpen,
    /// Not an outcome of what was asked.
    OfOtherWork,
}

impl<R> Leases<R> {
    pub(crate) fn new(first: u64) -> Self {
        Self {
            next: first,
            open: BTreeMap::new(),
            settled: VecDeque::with_capacity(SETTLED_KEPT),
            hash: RandomState::new(),
            visit: 0,
            waiting: false,
            heard_at: None,
        }
    }

    /// Whether the node waits for work, or did within `grace`.
    pub(crate) fn in_touch(&self, now: Instant, grace: Duration) -> bool {
        self.waiting || self.heard_at.is_some_and(|heard| now.saturating_duration_since(heard) < grace)
    }

    /// Asks; the outcome goes to `reply` if it comes before `until`.
    pub(crate) fn post(&mut self, work: Work, until: Instant, reply: R) -> u64 {
        let lease = self.next;
        self.next = self.next.wrapping_add(1);
        self.open.insert(lease, Open { work, until, reply });
        lease
    }

    /// Nobody waits for the outcome any more.
    pub(crate) fn withdraw(&mut self, lease: u64) {
        self.open.remove(&lease);
    }

    /// The node asks for work; a call of it that waits is displaced.
    pub(crate) fn arrive(&mut self) -> u64 {
        self.visit += 1;
        self.waiting = true;
        self.visit
    }

    /// What there is for a node that holds `held`.
    pub(crate) fn offer(&self, visit: u64, held: &[u64], now: Instant) -> Offer {
        if visit != self.visit {
            return Offer::Displaced;
        }
        let due = self.open.iter().find(|(lease, open)| open.until > now && !held.contains(lease));
        due.map_or(Offer::Nothing, |(&lease_id, open)| {
            let left = open.until.saturating_duration_since(now).as_millis();
            let time_left_ms = u32::try_from(left).unwrap_or(u32::MAX);
            Offer::Lease(Box::new(Lease { lease_id, time_left_ms, work: Some(open.work.clone()) }))
        })
    }

    /// The call has ended.
    pub(crate) fn leave(&mut self, visit: u64, now: Instant) {
        if visit == self.visit {
            self.waiting = false;
            self.heard_at = Some(now);
        }
    }

    /// The node hands in an outcome: the first for its lease is to be passed on, the same again (`None`) is not.
    pub(crate) fn submit(
        &mut self,
        request: SubmitWorkRequest,
        now: Instant,
    ) -> Result<Option<(R, Outcome)>, NotTaken> {
        let lease = request.lease_id;
        let content = self.hash.hash_one(request.encode_to_vec());
        if let Some((_, before)) = self.settled.iter().find(|(settled, _)| *settled == lease) {
            return if *before == content { Ok(None) } else { Err(NotTaken::Changed) };
        }
        let open = self.open.get(&lease).filter(|open| open.until > now).ok_or(NotTaken::NotOpen)?;
        let outcome = request.outcome.filter(|outcome| answers(&open.work, outcome));
        let outcome = outcome.ok_or(NotTaken::OfOtherWork)?;
        let open = self.open.remove(&lease).ok_or(NotTaken::NotOpen)?;
        if self.settled.len() == SETTLED_KEPT {
            self.settled.pop_front();
        }
        self.settled.push_back((lease, content));
        Ok(Some((open.reply, outcome)))
    }
}

fn answers(work: &Work, outcome: &Outcome) -> bool {
    matches!(
        (work, outcome),
        (_, Outcome::Declined(_))
            | (Work::Describe(_), Outcome::Described(_))
            | (Work::AcceptContract(_), Outcome::Accepted(_))
            | (Work::Vote(_), Outcome::Voted(_))
    )
}

/// So many settled leases are remembered to answer a repeated submission; one that is older is told that it is late.
const SETTLED_KEPT: usize = 256;

#[cfg(test)]
mod tests;
