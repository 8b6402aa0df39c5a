//! The pages of the file, byte by byte, by SQLite's documented file format.
//!
//! Our files have a narrow shape: one table that only grows at its end, no index, no free page, freed space
//! zeroed. So every byte is either fixed by the format, or part of an entry, or zero, and anything else was not
//! written by us. Nothing here trusts a length or a page number that it reads.

use super::record::{Value, digest, encode};
use crate::backend::{FileKind, SCHEMA};
use crate::error::Fault;

/// Checks the bytes of a file, whose first entry tells the schema version, against the digests of the records that it should hold, in order.
pub(super) fn check(file: &[u8], records: &[[u8; 32]], version: u16) -> Result<(), Fault> {
    check_header(file, version)?;
    let mut walk = Walk { file, seen: vec![false; file.len() / PAGE_BYTES], next: 0, digests: records };
    let schema = schema_records();
    let mut schema_walk = Walk { file, seen: vec![false; walk.seen.len()], next: 0, digests: &schema };
    schema_walk.tree(1, 0)?;
    schema_walk.finish()?;
    walk.seen[0] = true;
    walk.tree(ENTRY_ROOT, 0)?;
    walk.finish()?;
    let unseen = (1..).zip(&walk.seen).find(|(page, seen)| !**seen && !schema_walk.seen[page - 1]);
    match unseen {
        Some((page, _)) => Err(fault(&format!("page {page} belongs to nothing"))),
        None => Ok(()),
    }
}

const PAGE_BYTES: usize = 4096;
/// The root page of the table of entries.
const ENTRY_ROOT: usize = 2;
/// A table of 2^64 rows is less deep than this.
const DEPTH_MAX: usize = 20;

/// The file header: each field has one value that we would write, or is tied to another.
fn check_header(file: &[u8], version: u16) -> Result<(), Fault> {
    if file.len() < PAGE_BYTES || !file.len().is_multiple_of(PAGE_BYTES) {
        return Err(fault(&format!("a file of {} bytes is not whole pages", file.len())));
    }
    let word = |at: usize| u32::from_be_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]]);
    let fixed = |at: usize, expected: u32, what: &str| {
        if word(at) == expected { Ok(()) } else { Err(fault(&format!("file header: wrong {what}"))) }
    };
    // Page size 4096; write-ahead log for writing and reading; no reserved bytes; fixed payload fractions.
    let shape = [0x10, 0x00, 2, 2, 0, 64, 32, 32];
    if !file.starts_with(b"SQLite format 3\0") || file[16..24] != shape {
        return Err(fault("file header: wrong first 24 bytes"));
    }
    fixed(28, u32::try_from(file.len() / PAGE_BYTES).unwrap_or(0), "number of pages")?;
    fixed(32, 0, "free list")?;
    fixed(36, 0, "free list")?;
    fixed(40, SCHEMA_COOKIE, "schema cookie")?;
    fixed(44, 4, "schema format")?;
    fixed(48, 0, "cache size")?;
    fixed(52, 0, "vacuum mode")?;
    fixed(56, 1, "text encoding")?;
    fixed(60, u32::from(version), "schema version")?;
    fixed(64, 0, "vacuum mode")?;
    fixed(68, FileKind::Ledger.application_id(), "application id")?;
    if file[72..92].iter().any(|byte| *byte != 0) {
        return Err(fault("file header: reserved bytes are not zero"));
    }
    fixed(92, word(24), "version-valid-for number")?;
    if !SQLITE_VERSIONS.contains(&word(96)) {
        return Err(fault("file header: no version of SQLite has that number"));
    }
    Ok(())
}

/// How often the schema changed: once per statement of [`SCHEMA`].
const SCHEMA_COOKIE: u32 = 3;
/// From strict tables to the last version number of the 3 series.
const SQLITE_VERSIONS: std::ops::RangeInclusive<u32> = 3_037_000..=3_999_999;

/// The rows of `sqlite_schema`.
fn schema_records() -> Vec<[u8; 32]> {
    let record = |(kind, name, sql): (&str, &str, &str)| {
        let root = if kind == "table" { ENTRY_ROOT } else { 0 };
        digest(&encode(&[
            Value::Text(kind),
            Value::Text(name),
            Value::Text("entry"),
            Value::Integer(root.cast_signed() as i64),
            Value::Text(sql),
        ]))
    };
    SCHEMA.into_iter().map(record).collect()
}

/// A walk over one table in the order of its rows.
struct Walk<'a> {
    file: &'a [u8],
    seen: Vec<bool>,
    /// How many rows were met.
    next: usize,
    digests: &'a [[u8; 32]],
}

impl<'a> Walk<'a> {
    fn tree(&mut self, number: usize, depth: usize) -> Result<(), Fault> {
        let page = self.page(number)?;
        let start = if number == 1 { FILE_HEADER_BYTES } else { 0 };
        let mut layout = Layout::of(page, start);
        let kind = layout.u8(start)?;
        // When SQLite splits an interior page below the root, it leaves gaps and copies of moved cells behind;
        // such pages exist only in files of hundreds of pages, and SQLite's own check has been over them.
        let split = kind == INTERIOR && depth > 0;
        match kind {
            LEAF => {
                let cells = layout.cells(8, true)?;
                for cell in cells {
                    self.row(&mut layout, cell)?;
                }
            }
            INTERIOR if depth < DEPTH_MAX => {
                let cells = layout.cells(12, !split)?;
                for cell in cells {
                    let child = layout.u32(cell)? as usize;
                    let (key, end) = layout.varint(cell + 4)?;
                    layout.claim(cell, end)?;
                    self.tree(child, depth + 1)?;
                    if key != self.next as u64 {
                        return Err(self.fault("its page has a wrong key in the page above"));
                    }
                }
                let last = layout.u32(start + 8)? as usize;
                self.tree(last, depth + 1)?;
            }
            _ => return Err(self.fault("its page is not a table page")),
        }
        if split || layout.rest_is_zero() {
            return Ok(());
        }
        Err(self.fault("there are bytes between the cells of its page"))
    }

    /// One row: its number, its record, and the overflow pages that the record goes on to.
    fn row(&mut self, layout: &mut Layout<'a>, cell: usize) -> Result<(), Fault> {
        let (length, at) = layout.varint(cell)?;
        let (number, at) = layout.varint(at)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if number != self.next as u64 + 1 || length > self.file.len() {
            return Err(self.fault("its cell has a wrong number or length"));
        }
        let local = local_bytes(length);
        let mut payload = layout.bytes(at, local)?.to_vec();
        let mut end = at + local;
        if local < length {
            let mut overflow = layout.u32(end)? as usize;
            end += 4;
            while payload.len() < length {
                let page = self.page(overflow)?;
                let taken = (length - payload.len()).min(PAGE_BYTES - 4);
                payload.extend_from_slice(&page[4..4 + taken]);
                overflow = u32::from_be_bytes([page[0], page[1], page[2], page[3]]) as usize;
                if page[4 + taken..].iter().any(|byte| *byte != 0) {
                    return Err(self.fault("there are bytes after its end"));
                }
            }
            if overflow != 0 {
                return Err(self.fault("its overflow pages do not end"));
            }
        }
        layout.claim(cell, end)?;
        if self.digests.get(self.next) != Some(&digest(&payload)) {
            return Err(self.fault("its bytes on the page are not those of its values"));
        }
        self.next += 1;
        Ok(())
    }

    fn finish(&self) -> Result<(), Fault> {
        if self.next == self.digests.len() { Ok(()) } else { Err(self.fault("missing from the pages")) }
    }

    /// A page that was not seen before.
    fn page(&mut self, number: usize) -> Result<&'a [u8], Fault> {
        let index = number.checked_sub(1).filter(|index| *index < self.seen.len());
        let Some(index) = index.filter(|index| !self.seen[*index]) else {
            return Err(self.fault("a page number leads nowhere, or twice to one page"));
        };
        self.seen[index] = true;
        Ok(&self.file[index * PAGE_BYTES..(index + 1) * PAGE_BYTES])
    }

    /// The row that was expected next is where the damage shows.
    fn fault(&self, what: &str) -> Fault {
        Fault { entry: Some(self.next as u64 + 1), what: format!("storage: {what}") }
    }
}

const FILE_HEADER_BYTES: usize = 100;
const LEAF: u8 = 0x0d;
const INTERIOR: u8 = 0x05;

/// How much of a record stands in its cell; the rest is on overflow pages ("Cell Payload Overflow Pages").
const fn local_bytes(length: usize) -> usize {
    let most = PAGE_BYTES - 35;
    if length <= most {
        return length;
    }
    let least = (PAGE_BYTES - 12) * 32 / 255 - 23;
    let local = least + (length - least) % (PAGE_BYTES - 4);
    if local <= most { local } else { least }
}

/// A page of a tree, and which of its bytes have a meaning.
struct Layout<'a> {
    page: &'a [u8],
    start: usize,
    claimed: Vec<bool>,
}

impl<'a> Layout<'a> {
    fn of(page: &'a [u8], start: usize) -> Self {
        let mut claimed = vec![false; page.len()];
        claimed[..start].fill(true);
        Self { page, start, claimed }
    }

    /// Where the cells are. Their pointers fill the space after the header; if they are `packed`, the
    /// header has to agree that nothing but zeros lies between.
    fn cells(&mut self, header_bytes: usize, packed: bool) -> Result<Vec<usize>, Fault> {
        let start = self.start;
        let count = usize::from(self.u16(start + 3)?);
        let pointers = start + header_bytes;
        let cells: Vec<_> = (0..count)
            .map(|cell| self.u16(pointers + 2 * cell).map(usize::from))
            .collect::<Result<_, _>>()?;
        self.claim(start, pointers + 2 * count)?;
        let first = cells.iter().copied().min().unwrap_or(PAGE_BYTES);
        let no_gaps = self.u16(start + 1)? == 0 && self.u8(start + 7)? == 0;
        if packed && (!no_gaps || usize::from(self.u16(start + 5)?) != first) {
            return Err(fault("a page header does not fit its cells"));
        }
        Ok(cells)
    }

    /// Gives `from..to` a meaning; no byte has two.
    fn claim(&mut self, from: usize, to: usize) -> Result<(), Fault> {
        match self.claimed.get_mut(from..to) {
            Some(bytes) if bytes.iter().all(|claimed| !claimed) => {
                bytes.fill(true);
                Ok(())
            }
            _ => Err(fault("the cells of a page overlap")),
        }
    }

    fn rest_is_zero(&self) -> bool {
        self.page.iter().zip(&self.claimed).all(|(byte, claimed)| *claimed || *byte == 0)
    }

    fn bytes(&self, at: usize, length: usize) -> Result<&'a [u8], Fault> {
        let end = at.checked_add(length);
        end.and_then(|end| self.page.get(at..end)).ok_or_else(|| fault("a cell leaves its page"))
    }

    fn u8(&self, at: usize) -> Result<u8, Fault> {
        Ok(self.bytes(at, 1)?[0])
    }

    fn u16(&self, at: usize) -> Result<u16, Fault> {
        let bytes = self.bytes(at, 2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&self, at: usize) -> Result<u32, Fault> {
        let bytes = self.bytes(at, 4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A number of at most 63 bits in its shortest form, and where it ends.
    fn varint(&self, at: usize) -> Result<(u64, usize), Fault> {
        let mut value = 0_u64;
        for length in 1..=9 {
            let byte = self.u8(at + length - 1)?;
            if length == 1 && byte == 0x80 {
                break;
            }
            value = value << 7 | u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok((value, at + length));
            }
        }
        Err(fault("a number in a cell is not in its shortest form"))
    }
}

fn fault(what: &str) -> Fault {
    Fault { entry: None, what: format!("storage: {what}") }
}
