//! Where a node that dials in finds its work: the waiting around [`Leases`].
//!
//! Bounds: one call waits per node, no longer than [`WORK_WAIT_MAX`]; a question is open no longer than whoever asked
//! waits for its outcome, and is withdrawn with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use conclave_proto::teacher::v1::lease::Work;
use conclave_proto::teacher::v1::submit_work_request::Outcome;
use conclave_proto::teacher::v1::{Lease, SubmitWorkRequest};
use conclave_service::Identity;
use rand::TryRng as _;
use rand::rngs::SysRng;
use tokio::sync::{oneshot, watch};

use crate::error::{Error, Result};
use crate::leases::{Leases, NotTaken, Offer};
use crate::sessions::Silence;
use crate::settings::NodeSettings;

/// The desk of one node.
#[derive(Debug)]
pub(crate) struct Desk {
    leases: Mutex<Leases<oneshot::Sender<Outcome>>>,
    /// Changes when there may be something new for a call that waits.
    news: watch::Sender<()>,
}

/// The desks of all nodes that dial in, by organisation and node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Desks(HashMap<(String, String), Arc<Desk>>);

/// A call was displaced by a later one of the same node.
#[derive(Debug)]
pub(crate) struct Displaced;

impl Desks {
    /// A desk for each of `nodes` that dials in.
    pub(crate) fn of(nodes: &[NodeSettings]) -> Result<Self> {
        let dialling = nodes.iter().filter(|node| node.address.is_none());
        let desks = dialling.map(|node| Ok((name(node), Arc::new(Desk::new()?)))).collect::<Result<_>>()?;
        Ok(Self(desks))
    }

    /// The desk of the node that this certificate names.
    pub(crate) fn of_caller(&self, caller: &Identity) -> Option<&Desk> {
        self.0.get(&(caller.organisation().to_owned(), caller.name().to_owned())).map(Arc::as_ref)
    }

    /// The desk of a node, if it dials in.
    pub(crate) fn of_node(&self, node: &NodeSettings) -> Option<Arc<Desk>> {
        self.0.get(&name(node)).cloned()
    }

    /// Whether nobody dials in.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Desk {
    fn new() -> Result<Self> {
        let mut first = [0; 8];
        SysRng.try_fill_bytes(&mut first).map_err(|error| Error::NoEntropy(error.to_string()))?;
        let leases = Mutex::new(Leases::new(u64::from_le_bytes(first)));
        Ok(Self { leases, news: watch::Sender::new(()) })
    }

    /// Puts a question to the node, and waits for its outcome, for at most `time`. A node that is not in touch, or loses
    /// touch, is absent.
    pub(crate) async fn ask(&self, work: Work, time: Duration) -> Result<Outcome, Silence> {
        let until = Instant::now() + time;
        let (reply, mut outcome) = oneshot::channel();
        let posted = {
            let mut leases = self.leases();
            if !leases.in_touch(Instant::now(), CONTACT_GRACE) {
                return Err(not_in_touch());
            }
            Posted { desk: self, lease: leases.post(work, until, reply) }
        };
        self.news.send_replace(());
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if let Ok(outcome) = tokio::time::timeout(left.min(CONTACT_CHECK), &mut outcome).await {
                drop(posted);
                return outcome.map_err(|_| not_in_touch());
            }
            if Instant::now() >= until {
                return Err(Silence::Late);
            }
            if !self.leases().in_touch(Instant::now(), CONTACT_GRACE) {
                return Err(not_in_touch());
            }
        }
    }

    /// The node's next lease besides those that it holds; waits for one for at most `wait`.
    pub(crate) async fn lease(&self, held: &[u64], wait: Duration) -> Result<Option<Lease>, Displaced> {
        let deadline = tokio::time::Instant::now() + wait.min(WORK_WAIT_MAX);
        let visit = Visit { desk: self, visit: self.leases().arrive() };
        // Only now: whoever waited before learns that its place is taken.
        self.news.send_replace(());
        let mut news = self.news.subscribe();
        loop {
            news.borrow_and_update();
            match self.leases().offer(visit.visit, held, Instant::now()) {
                Offer::Lease(lease) => return Ok(Some(*lease)),
                Offer::Displaced => return Err(Displaced),
                Offer::Nothing => {}
            }
            tokio::select! {
                // The sender is a field of this desk: it cannot be gone.
                _ = news.changed() => {}
                () = tokio::time::sleep_until(deadline) => return Ok(None),
            }
        }
    }

    /// Takes an outcome in; tells whether it had been handed in before.
    pub(crate) fn submit(&self, request: SubmitWorkRequest) -> Result<bool, NotTaken> {
        match self.leases().submit(request, Instant::now())? {
            // Whoever asked may have given up this very moment: then it is late.
            Some((reply, outcome)) => reply.send(outcome).map(|()| false).map_err(|_| NotTaken::NotOpen),
            None => Ok(true),
        }
    }

    fn leases(&self) -> MutexGuard<'_, Leases<oneshot::Sender<Outcome>>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question that is withdrawn when nobody waits for it any more.
struct Posted<'a> {
    desk: &'a Desk,
    lease: u64,
}

impl Drop for Posted<'_> {
    fn drop(&mut self) {
        self.desk.leases().withdraw(self.lease);
    }
}

/// A call that waits; it has left also when its connection breaks.
struct Visit<'a> {
    desk: &'a Desk,
    visit: u64,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.desk.leases().leave(self.visit, Instant::now());
    }
}

fn name(node: &NodeSettings) -> (String, String) {
    (node.organisation.to_string(), node.node.to_string())
}

fn not_in_touch() -> Silence {
    Silence::Absent(
        "it does not dial in; is it running, with mode = \"dial-out\" and this aggregator's nodes_listen as its \
         aggregator.address?"
            .to_owned(),
    )
}

/// The longest that a node's call waits for work.
pub(crate) const WORK_WAIT_MAX: Duration = Duration::from_secs(10);
/// A node that has not called for so long is away: time to reconnect a few times.
const CONTACT_GRACE: Duration = Duration::from_secs(5);
const CONTACT_CHECK: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
