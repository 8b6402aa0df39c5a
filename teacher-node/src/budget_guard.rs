//! The silo's own cap on answered queries, kept in its own book, whatever the aggregator says.
//!
//! The book blocks on the disk, so it lives on a thread of its own. Calls that wait at the same time share one flush.
//! A [`Permit`] exists only when its batch is durably in the book, and only a permit lets teachers vote. After a disk
//! error nothing is allowed any more until the node is restarted on a repaired disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use conclave_ledger::guard::{GuardBook, GuardRequest};
use conclave_ledger::{CampaignKey, Digest, LedgerError, QueryKey};
use conclave_proto::ids::{CampaignId, ContractDigest, QueryId};
use conclave_service::Repeats;
use tokio::sync::{mpsc, oneshot};

use crate::ballot_paper::BallotPaper;
use crate::error::{CallError, Error, Result};

/// The guard of one silo: owns the thread that owns the book.
#[derive(Debug)]
pub(crate) struct BudgetGuard {
    handle: GuardHandle,
    thread: JoinHandle<()>,
}

/// Asks the guard; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct GuardHandle {
    commands: mpsc::Sender<Command>,
    cap: u64,
    /// As of the last flush.
    used: Arc<AtomicU64>,
}

/// Leave to vote on one batch: it is in the book.
#[derive(Debug)]
pub(crate) struct Permit {
    paper: BallotPaper,
    standing: Standing,
}

/// What the guard has allowed so far: figures that the aggregator knows as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The cap on different queries, over all campaigns.
    pub(crate) cap: u64,
    /// How many were allowed.
    pub(crate) used: u64,
    /// How many of those belong to the campaign that was asked about.
    pub(crate) used_by_campaign: u64,
}

impl Standing {
    /// How many more will be allowed.
    pub(crate) fn left(self) -> u64 {
        self.cap.saturating_sub(self.used)
    }
}

impl Permit {
    /// What may be voted on.
    pub(crate) fn paper(&self) -> &BallotPaper {
        &self.paper
    }

    /// The guard's figures with this batch in them.
    pub(crate) fn standing(&self) -> Standing {
        self.standing
    }
}

impl BudgetGuard {
    /// Opens the book at `path`, or makes it. `clock` gives milliseconds since 1970.
    pub(crate) fn open(path: &Path, queries_max: u64, clock: fn() -> u64) -> Result<Self> {
        let book = GuardBook::open(path, queries_max, clock())?;
        let (commands, waiting) = mpsc::channel(COMMANDS_WAITING_MAX);
        let (cap, used) = (book.cap_queries(), Arc::new(AtomicU64::new(book.used())));
        let told = Arc::clone(&used);
        let thread = std::thread::Builder::new()
            .name("budget-guard".to_owned())
            .spawn(move || keep(book, waiting, clock, &told))
            .map_err(|error| Error::file(path, &error, "raise the limit on threads"))?;
        Ok(Self { handle: GuardHandle { commands, cap, used }, thread })
    }

    pub(crate) fn handle(&self) -> GuardHandle {
        self.handle.clone()
    }

    /// Answers what waits, closes the book, and ends the thread. Later calls find the guard halted.
    pub(crate) async fn close(self) {
        // A thread that has ended already needs no telling.
        let _ = self.handle.commands.send(Command::Close).await;
        let _ = tokio::task::spawn_blocking(|| self.thread.join()).await;
    }
}

impl GuardHandle {
    /// Waits until `paper` is durably in the book. A batch that was allowed before is free.
    pub(crate) async fn allow(&self, paper: BallotPaper) -> Result<Permit, CallError> {
        let standing = self.reserve(paper.campaign(), paper.contract(), paper.queries()).await?;
        Ok(Permit { paper, standing })
    }

    /// The figures, unless the campaign was allowed queries under another contract, before a restart maybe.
    pub(crate) async fn standing(
        &self,
        campaign: &CampaignId,
        contract: ContractDigest,
    ) -> Result<Standing, CallError> {
        self.reserve(campaign, contract, &[]).await
    }

    /// How many different queries were durably allowed, and how many more will be, over all campaigns.
    pub(crate) fn spent_and_left(&self) -> (u64, u64) {
        let used = self.used.load(Ordering::Relaxed);
        (used, self.cap.saturating_sub(used))
    }

    async fn reserve(
        &self,
        campaign: &CampaignId,
        contract: ContractDigest,
        queries: &[QueryId],
    ) -> Result<Standing, CallError> {
        let request = GuardRequest {
            campaign: CampaignKey::new(campaign.as_str())
                .expect("a campaign id is 1 to 63 letters, digits and hyphens"),
            contract_digest: Digest::new(*contract.as_bytes()),
            queries: queries.iter().map(|query| QueryKey::new(*query.as_bytes())).collect(),
        };
        let (reply, answer) = oneshot::channel();
        self.commands.try_send(Command::Allow { request, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CallError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => CallError::GuardHalted,
        })?;
        answer.await.map_err(|_| CallError::GuardHalted)?
    }
}

enum Command {
    Allow { request: GuardRequest, reply: oneshot::Sender<Result<Standing, CallError>> },
    Close,
}

/// The thread: takes whatever waits, puts it into the book with one flush, then answers.
fn keep(mut book: GuardBook, mut waiting: mpsc::Receiver<Command>, clock: fn() -> u64, used: &AtomicU64) {
    let mut open = true;
    // An aggregator asks again every second: that nothing can be written must not fill another disk.
    let said = Repeats::default();
    while open && let Some(first) = waiting.blocking_recv() {
        let (mut requests, mut replies) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(command) = next.take() {
            match command {
                Command::Allow { request, reply } => {
                    requests.push(request);
                    replies.push(reply);
                }
                Command::Close => open = false,
            }
            if open && requests.len() < REQUESTS_PER_FLUSH_MAX {
                next = waiting.try_recv().ok();
            }
        }
        flush(&mut book, &requests, replies, clock(), used, &said);
    }
    if let Err(error) = book.close() {
        tracing::error!(%error, "the budget guard's book could not be closed; it is whole, and repaired when next opened");
    }
}

fn flush(
    book: &mut GuardBook,
    requests: &[GuardRequest],
    replies: Vec<oneshot::Sender<Result<Standing, CallError>>>,
    now_ms: u64,
    used: &AtomicU64,
    said: &Repeats,
) {
    if requests.is_empty() {
        return;
    }
    match book.reserve_many(requests, now_ms) {
        Ok(outcomes) => {
            // Before the replies, so that nobody has votes that are not in it.
            used.store(book.used(), Ordering::Relaxed);
            for ((request, outcome), reply) in requests.iter().zip(outcomes).zip(replies) {
                let outcome = outcome
                    .map(|()| standing(book, &request.campaign))
                    .map_err(|error| refusal(request, &error, said));
                // The caller may have gone.
                let _ = reply.send(outcome);
            }
        }
        Err(error) => {
            if let Some(before) = said.to_say(STOPPED) {
                tracing::error!(unsaid_before = before, "{STOPPED}: {error}");
            }
            for reply in replies {
                let _ = reply.send(Err(CallError::GuardHalted));
            }
        }
    }
}

fn standing(book: &GuardBook, campaign: &CampaignKey) -> Standing {
    Standing { cap: book.cap_queries(), used: book.used(), used_by_campaign: book.used_by(campaign) }
}

fn refusal(request: &GuardRequest, error: &LedgerError, said: &Repeats) -> CallError {
    match error {
        LedgerError::GuardSpent { cap_queries, used, asked } => {
            CallError::SiloBudgetSpent { cap: *cap_queries, used: *used, asked: *asked }
        }
        LedgerError::Mismatch { expected, .. } => CallError::ContractChanged {
            campaign: request.campaign.to_string(),
            agreed: expected.clone(),
            offered: request.contract_digest.to_string(),
        },
        error => {
            if let Some(before) = said.to_say(&error.to_string()) {
                tracing::error!(unsaid_before = before, "the budget guard could not decide: {error}");
            }
            CallError::GuardHalted
        }
    }
}

const STOPPED: &str = "the silo's budget guard has stopped, and nothing is voted on before a restart";
/// Calls beyond these are told to come back.
const COMMANDS_WAITING_MAX: usize = 1024;
/// So that the first of many callers does not wait for all of them.
const REQUESTS_PER_FLUSH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn paper(campaign: &str, contract: u8, queries: std::ops::Range<u8>) -> BallotPaper {
        let queries: Vec<QueryId> = queries.map(|index| QueryId::new([index; 32])).collect();
        let pool: HashMap<QueryId, usize> = queries.iter().enumerate().map(|(at, id)| (*id, at)).collect();
        let campaign = CampaignId::new(campaign).unwrap();
        BallotPaper::new(campaign, ContractDigest::new([contract; 32]), queries, &pool, 100).unwrap()
    }

    #[tokio::test]
    async fn a_permit_is_in_the_book_that_the_next_guard_opens() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guard.db");
        let guard = BudgetGuard::open(&path, 10, || 1).unwrap();
        let permit = guard.handle().allow(paper("one", 1, 0..3)).await.unwrap();
        assert_eq!(permit.standing(), Standing { cap: 10, used: 3, used_by_campaign: 3 });
        let permit = guard.handle().allow(paper("two", 2, 0..3)).await.unwrap();
        assert_eq!(permit.standing(), Standing { cap: 10, used: 6, used_by_campaign: 3 });
        guard.close().await;

        let guard = BudgetGuard::open(&path, 7, || 2).unwrap();
        let contract = |byte| ContractDigest::new([byte; 32]);
        let one = CampaignId::new("one").unwrap();
        let standing = guard.handle().standing(&one, contract(1)).await.unwrap();
        assert_eq!(standing, Standing { cap: 7, used: 6, used_by_campaign: 3 });
        assert!(matches!(
            guard.handle().standing(&one, contract(9)).await,
            Err(CallError::ContractChanged { agreed, .. }) if agreed == contract(1).to_string()
        ));
        assert_eq!(
            guard.handle().allow(paper("one", 1, 2..5)).await.unwrap_err(),
            CallError::SiloBudgetSpent { cap: 7, used: 6, asked: 2 }
        );
        guard.close().await;
    }

    #[tokio::test]
    async fn a_refused_call_does_not_take_those_with_it_that_share_its_flush() {
        let dir = tempfile::tempdir().unwrap();
        let guard = BudgetGuard::open(&dir.path().join("guard.db"), 4, || 1).unwrap();
        let handle = guard.handle();
        let calls: Vec<_> = [0..3, 10..13, 20..21]
            .map(|queries| {
                let handle = handle.clone();
                tokio::spawn(async move { handle.allow(paper("one", 1, queries)).await.is_ok() })
            })
            .into();
        let mut allowed = Vec::new();
        for call in calls {
            allowed.push(call.await.unwrap());
        }
        assert_eq!(allowed, [true, false, true]);
        guard.close().await;
    }

    #[tokio::test]
    async fn nothing_is_allowed_once_the_book_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let guard = BudgetGuard::open(&dir.path().join("guard.db"), 4, || 1).unwrap();
        let handle = guard.handle();
        guard.close().await;
        assert_eq!(handle.allow(paper("one", 1, 0..1)).await.unwrap_err(), CallError::GuardHalted);
    }
}
