//! Answers that may leave: durable with their charge, in the order of the ledger, and those who wait for more.

use std::sync::{Arc, PoisonError, RwLock};

use conclave_ledger::{Answer, QueryKey, Released};
use tokio::sync::watch;

/// One answer as it may be sent; made from a [`Released`] and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    query: QueryKey,
    answer: Answer,
}

/// Every answer of the campaign so far. Clones share one list.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    entries: Arc<RwLock<Vec<Entry>>>,
    length: watch::Sender<usize>,
}

impl Entry {
    pub(crate) const fn query(&self) -> QueryKey {
        self.query
    }

    pub(crate) const fn answer(&self) -> Answer {
        self.answer
    }

    /// An answer that is not durable: what must never be.
    #[cfg(conclave_weakened = "selectable")]
    pub(crate) const fn premature(query: QueryKey, answer: Answer) -> Self {
        Self { query, answer }
    }
}

impl From<&Released> for Entry {
    fn from(released: &Released) -> Self {
        Self { query: released.query(), answer: released.answer() }
    }
}

impl Published {
    /// The answers that the ledger holds at the start.
    pub(crate) fn new(stored: &[Released]) -> Self {
        let entries: Vec<Entry> = stored.iter().map(Entry::from).collect();
        let length = watch::Sender::new(entries.len());
        Self { entries: Arc::new(RwLock::new(entries)), length }
    }

    /// Adds what has just become durable; what is there already stays as it is.
    pub(crate) fn append(&self, released: &[Released]) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let known = entries.len() as u64;
        entries.extend(released.iter().filter(|released| released.position() >= known).map(Entry::from));
        let length = entries.len();
        drop(entries);
        self.length.send_replace(length);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        *self.length.borrow()
    }

    /// At most `max` answers from `position` on.
    pub(crate) fn page(&self, position: usize, max: usize) -> Vec<Entry> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let page = entries.iter().skip(position).take(max).copied();
        #[cfg(conclave_weakened = "selectable")]
        let page =
            page.map(|entry| Entry { answer: crate::weakened::answer(entry.query, entry.answer), ..entry });
        page.collect()
    }

    /// Comes back when there are more than `position` answers.
    pub(crate) async fn beyond(&self, position: usize) {
        let mut length = self.length.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = length.wait_for(|length| *length > position).await;
    }

    /// Adds answers that are not durable: what must never be done.
    #[cfg(conclave_weakened = "selectable")]
    pub(crate) fn append_premature(&self, premature: impl Iterator<Item = Entry>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.extend(premature);
        let length = entries.len();
        drop(entries);
        self.length.send_replace(length);
    }
}
