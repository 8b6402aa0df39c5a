//! The campaign that callers reach: the one that is open, or the last one, which stays readable.
//!
//! Handlers look here at every call, so the next campaign takes its place without a restart.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use conclave_trust::Contract;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::admission::Ledger;
use crate::campaign::Phase;
use crate::driver::{Command, Nodes};
use crate::published::Published;
use crate::status::Standing;

/// One campaign as callers see it.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) contract: Arc<Contract>,
    pub(crate) published: Published,
    pub(crate) ledger: Ledger,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) commands: mpsc::Sender<Command>,
    /// As its loop tells; the loop is gone when the sender is.
    pub(crate) loop_standing: watch::Receiver<Standing>,
    /// Ends its loop, and nothing else.
    pub(crate) stop: CancellationToken,
    /// Set once all that it will ever release is released.
    ended: AtomicBool,
}

impl Open {
    /// A campaign that `ended` already, or goes on.
    #[expect(clippy::too_many_arguments, reason = "one for each field; there is one place that makes it")]
    pub(crate) fn new(
        contract: Arc<Contract>,
        published: Published,
        ledger: Ledger,
        nodes: Arc<Nodes>,
        commands: mpsc::Sender<Command>,
        loop_standing: watch::Receiver<Standing>,
        stop: CancellationToken,
        ended: bool,
    ) -> Self {
        let ended = AtomicBool::new(ended);
        Self { contract, published, ledger, nodes, commands, loop_standing, stop, ended }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// All is released; nobody is asked any more, so nobody is looked for.
    pub(crate) fn end(&self) {
        for session in &self.nodes.sessions {
            session.set_present(false);
        }
        self.ended.store(true, Ordering::Release);
    }

    /// Where it stands.
    pub(crate) fn standing(&self) -> Standing {
        let told = *self.loop_standing.borrow();
        if self.has_ended() { Standing { phase: Phase::Ended, ..told } } else { told }
    }
}

/// Which campaign that is; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Current(Arc<RwLock<Option<Arc<Open>>>>);

impl Current {
    pub(crate) fn get(&self) -> Option<Arc<Open>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The campaign of this name, if it is the current one.
    pub(crate) fn named(&self, campaign: &str) -> Option<Arc<Open>> {
        self.get().filter(|open| open.contract.campaign.as_str() == campaign)
    }

    pub(crate) fn set(&self, open: Arc<Open>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(open);
    }
}
