//! A ledger read from a private copy: nothing is written beside it, no lock is taken, and a process that holds
//! it is not disturbed.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::backend::{FileKind, Row, check_integrity, check_schema, read_rows, sqlite_fault};
use crate::book::Replay;
use crate::chain::Head;
use crate::entry::Entry;
use crate::error::{Fault, LedgerError, Result};
use crate::keys::{CampaignKey, DataKey, QueryKey};
use crate::state::{AccountState, CampaignState, Released};
use crate::terms::Genesis;

/// What a ledger held at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    ledger: Replay,
    path: PathBuf,
}

impl Snapshot {
    /// Copies the ledger at `path`, checks every entry of the copy, and keeps what they add up to.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_each(path, |_, _, _| Ok(()))
    }

    /// Like [`Snapshot::read`], and shows each entry after it was checked.
    pub(crate) fn read_each(
        path: &Path,
        mut each: impl FnMut(&Replay, &Row, &Entry) -> Result<()>,
    ) -> Result<Self> {
        let copy = PrivateCopy::of(path, FileKind::Ledger)?;
        let connection = copy.open()?;
        let ledger = replay(&connection, path, &mut each)?;
        check_integrity(&connection, path)?;
        Ok(Self { ledger, path: path.to_owned() })
    }

    /// What was said when the ledger was created.
    pub fn genesis(&self) -> Genesis {
        self.ledger.genesis()
    }

    /// One account.
    pub fn account(&self, data: &DataKey) -> Option<&AccountState> {
        self.ledger.state.account(data)
    }

    /// Every account, in the order of their opening.
    pub fn accounts(&self) -> &[AccountState] {
        self.ledger.state.accounts()
    }

    /// One campaign.
    pub fn campaign(&self, campaign: &CampaignKey) -> Option<&CampaignState> {
        self.ledger.state.campaign(campaign)
    }

    /// Every campaign, in the order of their opening.
    pub fn campaigns(&self) -> impl Iterator<Item = &CampaignState> {
        self.ledger.state.campaigns()
    }

    /// The stored answer of a query.
    pub fn answer(&self, campaign: &CampaignKey, query: &QueryKey) -> Option<Released> {
        self.ledger.state.answer(campaign, query)
    }

    /// At most `max` stored answers of a campaign in release order, from `position` on.
    pub fn answers(&self, campaign: &CampaignKey, position: u64, max: usize) -> &[Released] {
        self.ledger.state.answers(campaign, position, max)
    }

    /// How often the ledger was opened for writing.
    pub const fn epoch(&self) -> u64 {
        self.ledger.state.epoch()
    }

    /// The hash of the newest entry.
    pub const fn head(&self) -> Head {
        self.ledger.head
    }

    /// How many entries there are.
    pub const fn entries(&self) -> u64 {
        self.ledger.seq
    }

    pub(crate) const fn replay(&self) -> &Replay {
        &self.ledger
    }

    /// The file that was copied.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Adds up the rows behind a connection, showing each.
pub(crate) fn replay(
    connection: &Connection,
    path: &Path,
    each: &mut dyn FnMut(&Replay, &Row, &Entry) -> Result<()>,
) -> Result<Replay> {
    check_schema(connection, FileKind::Ledger, path)?;
    let corrupt = |fault| LedgerError::Corrupt { path: path.to_owned(), fault };
    let mut replay = Replay::default();
    read_rows(connection, path, &mut |row| {
        let entry = replay.follow(&row).map_err(corrupt)?;
        each(&replay, &row, &entry)
    })?;
    if replay.state.genesis().is_none() {
        return Err(corrupt(Fault { entry: Some(1), what: "there is no genesis entry".to_owned() }));
    }
    Ok(replay)
}

/// A copy of the file, with its write-ahead log if there is one, in a directory that only this user can read.
pub(crate) struct PrivateCopy {
    /// Removed when the copy is dropped.
    _directory: TempDir,
    copied: PathBuf,
    original: PathBuf,
    with_log: bool,
}

impl PrivateCopy {
    pub(crate) fn of(path: &Path, kind: FileKind) -> Result<Self> {
        kind.recognise(path)?;
        let failed = |doing, path: &Path, source| LedgerError::File { doing, path: path.to_owned(), source };
        let directory = TempDir::with_prefix("conclave-ledger-")
            .map_err(|source| failed("make a private copy of", path, source))?;
        let copied = directory.path().join("ledger");
        let log = beside(path, "-wal");
        for _ in 0..COPY_ATTEMPTS {
            // A live writer may move its log into the file between the two reads. The log is read first and
            // compared afterwards: as long as it was not restarted, it covers every page that was in motion.
            let before = read_if_there(&log).map_err(|source| failed("read", &log, source))?;
            let database = fs::read(path).map_err(|source| failed("read", path, source))?;
            let after = read_if_there(&log).map_err(|source| failed("read", &log, source))?;
            if !after.starts_with(before.get(..LOG_HEADER_BYTES).unwrap_or_default())
                || after.len() < before.len()
            {
                continue;
            }
            let write = |path: &Path, bytes: &[u8]| {
                fs::write(path, bytes).map_err(|source| failed("write the private copy", path, source))
            };
            write(&copied, &database)?;
            if !after.is_empty() {
                write(&beside(&copied, "-wal"), &after)?;
            }
            return Ok(Self {
                _directory: directory,
                copied,
                original: path.to_owned(),
                with_log: !after.is_empty(),
            });
        }
        Err(LedgerError::InUse { path: path.to_owned() })
    }

    /// Opens the copy. Damage that stops SQLite here is corruption of the original.
    pub(crate) fn open(&self) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let fault = |source| sqlite_fault(&self.original, None, "open the file", source);
        let connection = Connection::open_with_flags(&self.copied, flags).map_err(fault)?;
        connection
            .execute_batch(
                "PRAGMA locking_mode=EXCLUSIVE; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;",
            )
            .map_err(fault)?;
        Ok(connection)
    }

    /// The bytes of the file once its log is merged into it.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>> {
        if self.with_log {
            let fault = |source| sqlite_fault(&self.original, None, "merge the write-ahead log", source);
            let connection = self.open()?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(fault)?;
        }
        let failed =
            |source| LedgerError::File { doing: "read the copy of", path: self.original.clone(), source };
        fs::read(&self.copied).map_err(failed)
    }
}

/// A writer that restarts its log more often than this while it is copied is too busy to copy.
const COPY_ATTEMPTS: usize = 10;
/// The header of SQLite's write-ahead log; its salts change when the log restarts.
const LOG_HEADER_BYTES: usize = 32;

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn read_if_there(path: &Path) -> std::io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}
