//! Rows in one SQLite file: write-ahead log, a flush per commit, one process at a time.
//!
//! After a clean close there is exactly one file. The layout of the table is part of the format
//! (`docs/ledger-format.md`), and opening refuses a file whose schema differs by one byte.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use super::{Columns, Row, Store};
use crate::chain::Head;
use crate::error::{Fault, LedgerError, Result};

/// A SQLite file that this process alone may use.
pub(crate) struct Embedded {
    connection: Connection,
    path: PathBuf,
}

/// Which of our books a file holds, told by SQLite's `application_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// The aggregator's budget ledger: `CvLB`.
    Ledger,
    /// A silo's guard: `CvGB`.
    Guard,
}

/// The version of the ledger's format, kept as SQLite's `user_version` and in the first entry.
pub(crate) const SCHEMA_VERSION: u16 = 2;
/// The version before: every account and campaign is plain zCDP. Such ledgers are read, and go on as they are.
pub(crate) const SCHEMA_VERSION_PLAIN: u16 = 1;
/// The version of a guard's format.
pub(crate) const GUARD_VERSION: u16 = 1;

/// The statements that make an empty file a ledger; `sqlite_schema` must hold exactly these texts.
pub(crate) const SCHEMA: [(&str, &str, &str); 3] = [
    (
        "table",
        "entry",
        "CREATE TABLE entry (\
           seq INTEGER PRIMARY KEY, \
           kind TEXT NOT NULL, \
           recorded_at_ms INTEGER NOT NULL, \
           campaign TEXT, \
           reservation INTEGER, \
           account TEXT, \
           body BLOB NOT NULL, \
           hash BLOB NOT NULL, \
           signed_head BLOB NOT NULL\
         ) STRICT",
    ),
    (
        "trigger",
        "entry_is_never_changed",
        "CREATE TRIGGER entry_is_never_changed BEFORE UPDATE ON entry \
         BEGIN SELECT RAISE(ABORT, 'ledger entries are never changed'); END",
    ),
    (
        "trigger",
        "entry_is_never_deleted",
        "CREATE TRIGGER entry_is_never_deleted BEFORE DELETE ON entry \
         BEGIN SELECT RAISE(ABORT, 'ledger entries are never deleted'); END",
    ),
];

const INSERT: &str = "INSERT INTO entry (seq, kind, recorded_at_ms, campaign, reservation, account, body, hash, \
                      signed_head) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, x'')";

const SELECT: &str = "SELECT seq, kind, recorded_at_ms, campaign, reservation, account, body, hash, signed_head \
                      FROM entry ORDER BY seq";

impl FileKind {
    /// The number in the file header.
    pub(crate) const fn application_id(self) -> u32 {
        u32::from_be_bytes(match self {
            Self::Ledger => *b"CvLB",
            Self::Guard => *b"CvGB",
        })
    }

    /// The newest version of its format.
    const fn version(self) -> u16 {
        match self {
            Self::Ledger => SCHEMA_VERSION,
            Self::Guard => GUARD_VERSION,
        }
    }

    /// What to call such a file.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Ledger => "a budget ledger",
            Self::Guard => "a silo's guard book",
        }
    }

    /// Whether the file at `path` says it is of this kind, judged by its first bytes alone.
    pub(crate) fn recognise(self, path: &Path) -> Result<()> {
        if !path.exists() {
            return Err(LedgerError::Missing { path: path.to_owned() });
        }
        let mut header = Vec::with_capacity(HEADER_BYTES);
        File::open(path)
            .and_then(|file| file.take(HEADER_BYTES as u64).read_to_end(&mut header))
            .map_err(|source| LedgerError::File { doing: "read", path: path.to_owned(), source })?;
        let not = |why: &str| LedgerError::NotALedger { path: path.to_owned(), why: why.to_owned() };
        if header.is_empty() {
            return Err(not("it is empty; if its creation was interrupted, delete it and create it again"));
        }
        if header.len() < HEADER_BYTES || !header.starts_with(b"SQLite format 3\0") {
            return Err(not("it does not start like an SQLite file"));
        }
        let id = &header[68..72];
        if id == self.application_id().to_be_bytes() {
            return Ok(());
        }
        let other =
            [Self::Ledger, Self::Guard].into_iter().find(|kind| id == kind.application_id().to_be_bytes());
        Err(match other {
            Some(kind) => not(&format!("it is {}, not {}", kind.words(), self.words())),
            None => not("its application id is of another program"),
        })
    }
}

/// The length of SQLite's file header.
const HEADER_BYTES: usize = 100;

impl Embedded {
    /// Makes a new file of this version of its format, which holds `first`, in one durable step.
    pub(crate) fn create(path: &Path, kind: FileKind, version: u16, first: &[Row]) -> Result<Self> {
        make_private(path)?;
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, "create the file")?;
        let doing = storage(path, "create the file");
        let tables = SCHEMA.map(|(_, _, sql)| sql).join("; ");
        connection
            .execute_batch(&format!(
                "PRAGMA page_size=4096; PRAGMA auto_vacuum=NONE; PRAGMA encoding='UTF-8'; {SETTINGS}
                 BEGIN EXCLUSIVE; PRAGMA application_id={}; PRAGMA user_version={version}; {tables};",
                kind.application_id(),
            ))
            .map_err(&doing)?;
        insert(&connection, first).and_then(|()| connection.execute_batch("COMMIT")).map_err(&doing)?;
        let mut store = Self { connection, path: path.to_owned() };
        store.take_lock()?;
        Ok(store)
    }

    /// Opens an existing file for this process alone, and checks that SQLite finds no damage and our schema.
    pub(crate) fn open(path: &Path, kind: FileKind) -> Result<Self> {
        kind.recognise(path)?;
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, "open the file")?;
        let mut store = Self { connection, path: path.to_owned() };
        store.settle()?;
        store.take_lock()?;
        check_schema(&store.connection, kind, path)?;
        Ok(store)
    }

    /// SQLite's own check of every page, to be run after the rows were read so that the first bad entry has
    /// had its chance to be named.
    pub(crate) fn check_integrity(&self) -> Result<()> {
        check_integrity(&self.connection, &self.path)
    }

    fn settle(&mut self) -> Result<()> {
        self.connection.execute_batch(SETTINGS).map_err(|source| self.opening(source))
    }

    /// Switches to the write-ahead log under the exclusive lock, and proves that the lock is ours.
    fn take_lock(&mut self) -> Result<()> {
        let mode: String = self
            .connection
            .query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))
            .map_err(|source| self.opening(source))?;
        if mode != "wal" {
            let why = format!("journal mode {mode} cannot become wal on this file system");
            return Err(LedgerError::NotALedger { path: self.path.clone(), why });
        }
        self.connection.execute_batch("BEGIN IMMEDIATE; COMMIT").map_err(|source| self.opening(source))
    }

    fn opening(&self, source: rusqlite::Error) -> LedgerError {
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                LedgerError::InUse { path: self.path.clone() }
            }
            _ => sqlite_fault(&self.path, None, "open the file", source),
        }
    }

    #[cfg(test)]
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// One process, a flush per commit, freed space zeroed, and no code from the file's own schema.
const SETTINGS: &str = "PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON; \
                        PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;";

impl Store for Embedded {
    fn append(&mut self, rows: &[Row]) -> Result<()> {
        let doing = storage(&self.path, "commit");
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(&doing)?;
        let written = insert(&self.connection, rows).and_then(|()| self.connection.execute_batch("COMMIT"));
        if written.is_err() && !self.connection.is_autocommit() {
            // The transaction is void either way; the first error is the one to tell.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        written.map_err(&doing)
    }

    fn rows(&self, visit: &mut dyn FnMut(Row) -> Result<()>) -> Result<()> {
        read_rows(&self.connection, &self.path, visit)
    }

    fn close(self: Box<Self>) -> Result<()> {
        let Self { connection, path } = *self;
        let doing = storage(&path, "close");
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(&doing)?;
        connection.close().map_err(|(_, source)| doing(source))
    }
}

fn connect(path: &Path, flags: OpenFlags, doing: &'static str) -> Result<Connection> {
    Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(storage(path, doing))
}

fn storage(path: &Path, doing: &'static str) -> impl Fn(rusqlite::Error) -> LedgerError {
    move |source| LedgerError::Storage { doing, path: path.to_owned(), source }
}

/// Makes an empty file for its owner alone. SQLite gives what it makes beside it (the write-ahead log) the same mode.
fn make_private(path: &Path) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => LedgerError::Exists { path: path.to_owned() },
        _ => LedgerError::File { doing: "create", path: path.to_owned(), source },
    })
}

fn insert(connection: &Connection, rows: &[Row]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(INSERT)?;
    for row in rows {
        let Row { seq, recorded_at_ms, columns, body, hash } = row;
        statement.execute(params![
            seq.cast_signed(),
            columns.kind,
            recorded_at_ms.cast_signed(),
            columns.campaign,
            columns.reservation.map(u64::cast_signed),
            columns.account,
            body,
            hash.as_bytes(),
        ])?;
    }
    Ok(())
}

/// Reads every row in order. A value of a wrong shape is a fault of its entry.
pub(crate) fn read_rows(
    connection: &Connection,
    path: &Path,
    visit: &mut dyn FnMut(Row) -> Result<()>,
) -> Result<()> {
    let mut next = 1;
    let fault = |entry, source| sqlite_fault(path, Some(entry), "read the entries", source);
    let mut statement = connection.prepare(SELECT).map_err(|source| fault(next, source))?;
    let mut rows = statement.query([]).map_err(|source| fault(next, source))?;
    while let Some(row) = rows.next().map_err(|source| fault(next, source))? {
        let row = read_row(row).ok_or_else(|| LedgerError::Corrupt {
            path: path.to_owned(),
            fault: Fault { entry: Some(next), what: "a column holds a value of the wrong kind".to_owned() },
        })?;
        visit(row)?;
        next += 1;
    }
    Ok(())
}

fn read_row(row: &rusqlite::Row<'_>) -> Option<Row> {
    let integer = |index| match row.get_ref(index) {
        Ok(ValueRef::Integer(value)) => Some(value.cast_unsigned()),
        _ => None,
    };
    let text = |index| match row.get_ref(index) {
        Ok(ValueRef::Text(value)) => std::str::from_utf8(value).ok().map(str::to_owned),
        _ => None,
    };
    let blob = |index| match row.get_ref(index) {
        Ok(ValueRef::Blob(value)) => Some(value),
        _ => None,
    };
    let null = |index| matches!(row.get_ref(index), Ok(ValueRef::Null));
    if !blob(8)?.is_empty() {
        return None;
    }
    Some(Row {
        seq: integer(0)?,
        recorded_at_ms: integer(2)?,
        columns: Columns {
            kind: text(1)?,
            campaign: if null(3) { None } else { Some(text(3)?) },
            reservation: if null(4) { None } else { Some(integer(4)?) },
            account: if null(5) { None } else { Some(text(5)?) },
        },
        body: blob(6)?.to_vec(),
        hash: Head::claimed(blob(7)?.try_into().ok()?),
    })
}

/// The schema must be ours to the byte: a file with other triggers would run other code.
pub(crate) fn check_schema(connection: &Connection, kind: FileKind, path: &Path) -> Result<()> {
    let read = || -> rusqlite::Result<Vec<(String, String, String)>> {
        connection
            .prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY rowid")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect()
    };
    let found = read().map_err(|source| sqlite_fault(path, None, "read the schema", source))?;
    let same = found.len() == SCHEMA.len()
        && found.iter().zip(SCHEMA).all(|(found, expected)| (&*found.0, &*found.1, &*found.2) == expected);
    let version: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|source| sqlite_fault(path, None, "read the schema version", source))?;
    let corrupt =
        |what: String| LedgerError::Corrupt { path: path.to_owned(), fault: Fault { entry: None, what } };
    let newest = kind.version();
    if !(1..=i64::from(newest)).contains(&version) {
        return Err(corrupt(format!("schema version {version}; this program reads versions up to {newest}")));
    }
    if same { Ok(()) } else { Err(corrupt("the schema of the file is not that of a ledger".to_owned())) }
}

/// SQLite's check of every page and cell.
pub(crate) fn check_integrity(connection: &Connection, path: &Path) -> Result<()> {
    let said: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|source| sqlite_fault(path, None, "check the pages", source))?;
    if said == "ok" {
        return Ok(());
    }
    let what = format!("SQLite finds damaged pages: {}", said.replace('\n', " "));
    Err(LedgerError::Corrupt { path: path.to_owned(), fault: Fault { entry: None, what } })
}

/// Damage that SQLite reports is corruption of the ledger; anything else is a failure of the storage.
pub(crate) fn sqlite_fault(
    path: &Path,
    entry: Option<u64>,
    doing: &'static str,
    source: rusqlite::Error,
) -> LedgerError {
    let corrupt = |what: String| LedgerError::Corrupt { path: path.to_owned(), fault: Fault { entry, what } };
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) => {
            corrupt(format!("SQLite cannot {doing}: {source}"))
        }
        Some(_) => LedgerError::Storage { doing, path: path.to_owned(), source },
        None => corrupt(format!("a value cannot be read: {source}")),
    }
}
