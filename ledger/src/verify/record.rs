//! SQLite's record format, as far as our table uses it: what bytes a row must have on its page.
//!
//! See "Record Format" in SQLite's file format document. Encoding a row anew and comparing the bytes finds what
//! reading it would overlook.

use sha2::{Digest as _, Sha256};

use crate::backend::Row;

/// A value of a column.
pub(super) enum Value<'a> {
    Null,
    Integer(i64),
    Text(&'a str),
    Blob(&'a [u8]),
}

/// The record of one entry.
pub(super) fn of_row(row: &Row) -> Vec<u8> {
    let columns = &row.columns;
    encode(&[
        Value::Null, // the row number stands in the cell, not in the record
        Value::Text(&columns.kind),
        Value::Integer(row.recorded_at_ms.cast_signed()),
        columns.campaign.as_deref().map_or(Value::Null, Value::Text),
        columns.reservation.map_or(Value::Null, |number| Value::Integer(number.cast_signed())),
        columns.account.as_deref().map_or(Value::Null, Value::Text),
        Value::Blob(&row.body),
        Value::Blob(row.hash.as_bytes()),
        Value::Blob(&[]), // signed_head
    ])
}

/// What is kept of a record until its page is read.
pub(super) fn digest(record: &[u8]) -> [u8; 32] {
    Sha256::digest(record).into()
}

/// The record of any row of our schema.
pub(super) fn encode(values: &[Value<'_>]) -> Vec<u8> {
    let mut types = Vec::new();
    let mut content = Vec::new();
    for value in values {
        match value {
            Value::Null => types.push(0),
            Value::Integer(0) => types.push(8),
            Value::Integer(1) => types.push(9),
            Value::Integer(integer) => {
                let (serial, bytes) = integer_shape(*integer);
                types.push(serial);
                content.extend_from_slice(&integer.to_be_bytes()[8 - bytes..]);
            }
            Value::Text(text) => {
                push_varint(&mut types, 13 + 2 * text.len() as u64);
                content.extend_from_slice(text.as_bytes());
            }
            Value::Blob(blob) => {
                push_varint(&mut types, 12 + 2 * blob.len() as u64);
                content.extend_from_slice(blob);
            }
        }
    }
    // The header's own length counts itself; ours stays below 126 bytes, where that takes one byte.
    let mut record = Vec::with_capacity(1 + types.len() + content.len());
    push_varint(&mut record, types.len() as u64 + 1);
    record.extend(types);
    record.extend(content);
    record
}

/// Serial type and length of the shortest form of an integer.
fn integer_shape(integer: i64) -> (u8, usize) {
    let forms = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 6), (6, 8)];
    let fits = |bytes: usize| {
        let unused = 64 - 8 * u32::try_from(bytes).unwrap_or(8);
        (integer << unused) >> unused == integer
    };
    forms.into_iter().find(|(_, bytes)| fits(*bytes)).unwrap_or((6, 8))
}

fn push_varint(to: &mut Vec<u8>, value: u64) {
    let groups = (64 - value.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let more = if group > 0 { 0x80 } else { 0 };
        to.push(u8::try_from(value >> (7 * group) & 0x7f).unwrap_or(0x7f) | more);
    }
}
