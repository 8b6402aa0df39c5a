//! The silo's own book: how many queries it has agreed to answer, kept where the aggregator cannot reach it.
//!
//! A [`GuardBook`] allows each query of a campaign once and counts it; the same query again is free, across
//! restarts too. Past the cap it refuses, whatever the aggregator says. Same file format, chain and durability
//! as the aggregator's ledger, with rows of its own (`docs/ledger-format.md`).

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::backend::{
    Columns, Embedded, FileKind, GUARD_VERSION, Row, Store, check_integrity, check_schema, read_rows,
};
use crate::chain::Head;
use crate::codec::{Malformed, Reader, Writer};
use crate::error::{Fault, LedgerError, Result};
use crate::keys::{CampaignKey, Digest, KEY_BYTES_MAX, QueryKey};
use crate::snapshot::PrivateCopy;
use crate::terms::{QUERIES_PER_RESERVATION_MAX, in_range};

/// A silo's record of the queries that it allowed, held by this process alone.
pub struct GuardBook {
    store: Box<dyn Store>,
    path: PathBuf,
    tally: Tally,
    halted: Option<String>,
}

/// What a guard book adds up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardTotals {
    /// How many entries there are, all of them good.
    pub entries: u64,
    /// The cap on answered queries.
    pub cap_queries: u64,
    /// Queries allowed so far.
    pub used: u64,
}

/// A batch of queries that a campaign wants answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardRequest {
    /// The campaign.
    pub campaign: CampaignKey,
    /// Digest of the contract that the silo agreed to; it stays the same for the life of the campaign.
    pub contract_digest: Digest,
    /// The queries, at most [`QUERIES_PER_RESERVATION_MAX`].
    pub queries: Vec<QueryKey>,
}

impl GuardBook {
    /// Opens the book at `path`, or makes it, with a cap on answered queries over all campaigns.
    ///
    /// A cap that differs from the last one is recorded. `now_ms` is Unix time in milliseconds.
    pub fn open(path: &Path, cap_queries: u64, now_ms: u64) -> Result<Self> {
        let mut tally = Tally::default();
        let cap = GuardEntry::Cap { cap_queries };
        let store: Box<dyn Store> = if path.exists() {
            let store = Embedded::open(path, FileKind::Guard)?;
            store.rows(&mut |row| {
                tally.follow(&row).map_err(|fault| LedgerError::Corrupt { path: path.to_owned(), fault })
            })?;
            store.check_integrity()?;
            Box::new(store)
        } else {
            Box::new(Embedded::create(path, FileKind::Guard, GUARD_VERSION, &[tally.stage(now_ms, &cap)])?)
        };
        let mut book = Self { store, path: path.to_owned(), tally, halted: None };
        if book.tally.cap_queries != cap_queries {
            let row = book.tally.stage(now_ms, &cap);
            book.append(&[row])?;
        }
        Ok(book)
    }

    /// Checks every entry of the book at `path` on a private copy, and tells its cap and how many queries were allowed.
    /// Holds nothing, writes nothing beside the book, and may run beside the node that writes it.
    pub fn inspect(path: &Path) -> Result<GuardTotals> {
        let copy = PrivateCopy::of(path, FileKind::Guard)?;
        let connection = copy.open()?;
        check_schema(&connection, FileKind::Guard, path)?;
        let mut tally = Tally::default();
        let mut entries = 0;
        read_rows(&connection, path, &mut |row| {
            entries = row.seq;
            tally.follow(&row).map_err(|fault| LedgerError::Corrupt { path: path.to_owned(), fault })
        })?;
        check_integrity(&connection, path)?;
        Ok(GuardTotals { entries, cap_queries: tally.cap_queries, used: tally.used })
    }

    /// Allows `queries`, durably before it returns, or refuses all of them. Those allowed before are free.
    pub fn reserve(
        &mut self,
        campaign: &CampaignKey,
        contract_digest: Digest,
        queries: &[QueryKey],
        now_ms: u64,
    ) -> Result<()> {
        let request = GuardRequest { campaign: campaign.clone(), contract_digest, queries: queries.to_vec() };
        self.reserve_many(&[request], now_ms)?.pop().unwrap_or(Ok(()))
    }

    /// Allows or refuses each request on its own, and makes all that is allowed durable with one flush.
    pub fn reserve_many(&mut self, requests: &[GuardRequest], now_ms: u64) -> Result<Vec<Result<()>>> {
        if let Some(reason) = &self.halted {
            return Err(LedgerError::Halted { reason: reason.clone() });
        }
        let mut rows = Vec::new();
        let mut replies = Vec::with_capacity(requests.len());
        for request in requests {
            replies.push(self.tally.fresh(request).map(|fresh| {
                if !fresh.queries.is_empty() {
                    rows.push(self.tally.stage(now_ms, &GuardEntry::Allow(fresh)));
                }
            }));
        }
        self.append(&rows)?;
        Ok(replies)
    }

    /// The cap on answered queries.
    pub const fn cap_queries(&self) -> u64 {
        self.tally.cap_queries
    }

    /// Queries allowed so far.
    pub const fn used(&self) -> u64 {
        self.tally.used
    }

    /// Queries allowed so far in one campaign.
    pub fn used_by(&self, campaign: &CampaignKey) -> u64 {
        self.tally.campaigns.get(campaign).map_or(0, |campaign| campaign.queries.len() as u64)
    }

    /// The hash of the newest entry.
    pub const fn head(&self) -> Head {
        self.tally.head
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Closes the storage; afterwards the book is one file.
    pub fn close(self) -> Result<()> {
        self.store.close()
    }

    /// A failure leaves the tally ahead of the file; it halts the book, so nothing is allowed on its account.
    fn append(&mut self, rows: &[Row]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let written = self.store.append(rows);
        if let Err(error) = &written {
            self.halted = Some(error.problem());
        }
        written
    }
}

impl std::fmt::Debug for GuardBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardBook")
            .field("path", &self.path)
            .field("used", &self.used())
            .finish_non_exhaustive()
    }
}

/// What a guard's entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum GuardEntry {
    /// The silo set its cap; always entry 1.
    Cap { cap_queries: u64 },
    /// Queries that were not allowed before.
    Allow(GuardRequest),
}

impl GuardEntry {
    fn columns(&self) -> Columns {
        match self {
            Self::Cap { .. } => Columns { kind: "guard-cap".to_owned(), ..Columns::default() },
            Self::Allow(allow) => Columns {
                kind: "guard-allow".to_owned(),
                campaign: Some(allow.campaign.to_string()),
                ..Columns::default()
            },
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut body = Writer::default();
        match self {
            Self::Cap { cap_queries } => {
                body.u8(65).u16(GUARD_VERSION).u64(*cap_queries);
            }
            Self::Allow(allow) => {
                body.u8(66).text(allow.campaign.as_str()).raw(allow.contract_digest.as_bytes());
                body.count(allow.queries.len());
                for query in &allow.queries {
                    body.raw(query.as_bytes());
                }
            }
        }
        body.finish()
    }

    fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let from = &mut Reader::new(body);
        let entry = match from.u8("kind")? {
            65 => {
                if from.u16("schema version")? != GUARD_VERSION {
                    return Err(from.malformed("schema version"));
                }
                Self::Cap { cap_queries: from.u64("cap_queries")? }
            }
            66 => Self::Allow(GuardRequest {
                campaign: CampaignKey::new(from.text("campaign", KEY_BYTES_MAX)?)
                    .map_err(|_| from.malformed("campaign"))?,
                contract_digest: Digest::new(from.array("contract digest")?),
                queries: from.list("queries", 32, |from| from.array("query").map(QueryKey::new))?,
            }),
            _ => return Err(from.malformed("kind")),
        };
        from.finish()?;
        Ok(entry)
    }
}

/// What the entries add up to.
#[derive(Default)]
struct Tally {
    cap_queries: u64,
    used: u64,
    campaigns: HashMap<CampaignKey, Allowed>,
    head: Head,
    seq: u64,
    recorded_at_ms: u64,
}

/// What one campaign was allowed.
struct Allowed {
    contract_digest: Digest,
    queries: HashSet<QueryKey>,
}

impl Tally {
    /// The part of `request` that was not allowed before, or why it is refused.
    fn fresh(&self, request: &GuardRequest) -> Result<GuardRequest> {
        let GuardRequest { campaign, contract_digest, queries } = request;
        in_range("queries of one request", queries.len() as u64, 0, QUERIES_PER_RESERVATION_MAX as u64)?;
        let allowed = self.campaigns.get(campaign);
        if let Some(allowed) = allowed
            && allowed.contract_digest != *contract_digest
        {
            return Err(LedgerError::Mismatch {
                field: "contract digest",
                of: campaign.to_string(),
                found: contract_digest.to_string(),
                expected: allowed.contract_digest.to_string(),
                fix: "a campaign keeps its contract; open a new campaign for a new one",
            });
        }
        let mut named = HashSet::new();
        let known = |query| allowed.is_some_and(|allowed| allowed.queries.contains(query));
        let queries: Vec<_> =
            queries.iter().filter(|query| !known(query) && named.insert(**query)).copied().collect();
        let asked = queries.len() as u64;
        if asked > self.cap_queries.saturating_sub(self.used) {
            let (cap_queries, used) = (self.cap_queries, self.used);
            return Err(LedgerError::GuardSpent { cap_queries, used, asked });
        }
        Ok(GuardRequest { campaign: campaign.clone(), contract_digest: *contract_digest, queries })
    }

    /// Adds an entry that was checked, and returns its row.
    fn stage(&mut self, now_ms: u64, entry: &GuardEntry) -> Row {
        let recorded_at_ms = now_ms.min(i64::MAX.cast_unsigned()).max(self.recorded_at_ms);
        let body = entry.encode();
        let hash = self.head.link(self.seq + 1, recorded_at_ms, &body);
        self.add(entry.clone());
        self.advance(recorded_at_ms, hash);
        Row { seq: self.seq, recorded_at_ms, columns: entry.columns(), body, hash }
    }

    /// Adds a stored row after checking it against the chain and the tally.
    fn follow(&mut self, row: &Row) -> Result<(), Fault> {
        let fault = |what: &str| Fault { entry: Some(self.seq + 1), what: what.to_owned() };
        if row.seq != self.seq + 1 {
            return Err(fault("missing"));
        }
        if row.hash != self.head.link(row.seq, row.recorded_at_ms, &row.body) {
            return Err(fault("its hash is not that of its content and the entry before it"));
        }
        if row.recorded_at_ms < self.recorded_at_ms {
            return Err(fault("it is older than the entry before it"));
        }
        let entry = GuardEntry::decode(&row.body).map_err(|malformed| fault(&malformed.to_string()))?;
        if entry.columns() != row.columns {
            return Err(fault("its readable columns differ from its body"));
        }
        match &entry {
            GuardEntry::Cap { .. } => {}
            GuardEntry::Allow(_) if self.seq == 0 => return Err(fault("entry 1 must set the cap")),
            GuardEntry::Allow(allow) => match self.fresh(allow) {
                Ok(fresh) if fresh == *allow && !fresh.queries.is_empty() => {}
                Ok(_) => return Err(fault("it allows a query that was allowed before")),
                Err(error) => return Err(fault(&format!("not allowed here: {error}"))),
            },
        }
        self.add(entry);
        self.advance(row.recorded_at_ms, row.hash);
        Ok(())
    }

    fn add(&mut self, entry: GuardEntry) {
        match entry {
            GuardEntry::Cap { cap_queries } => self.cap_queries = cap_queries,
            GuardEntry::Allow(GuardRequest { campaign, contract_digest, queries }) => {
                self.used += queries.len() as u64;
                let allowed = self.campaigns.entry(campaign);
                let allowed = allowed.or_insert(Allowed { contract_digest, queries: HashSet::new() });
                allowed.queries.extend(queries);
            }
        }
    }

    fn advance(&mut self, recorded_at_ms: u64, hash: Head) {
        self.seq += 1;
        self.recorded_at_ms = recorded_at_ms;
        self.head = hash;
    }
}
