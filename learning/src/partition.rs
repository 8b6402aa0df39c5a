//! Which teacher of a silo learns from which row: a keyed hash of that row alone.
//!
//! Promise: a row's sub-shard depends on the key, on the number of sub-shards, and on the row's own features (or its
//! subject), never on its label or on any other row. So adding or removing a row changes the data of exactly one
//! teacher. Equal rows land together. A teacher whose sub-shard is empty still votes (see
//! [`models`](crate::models)): whether a silo votes must not depend on its data.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use rand::CryptoRng;
use sha2::Sha256;

use crate::{Dataset, Error, Result};

/// The silo's secret for its own partition. Whoever knows it can tell which teacher saw a row.
#[derive(Clone, PartialEq, Eq)]
pub struct PartitionKey([u8; 32]);

impl PartitionKey {
    /// A key kept by the silo, or derived from a seed in a simulation.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The bytes, to be stored where only the silo can read them.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PartitionKey(redacted)")
    }
}

/// A silo's rows over its teachers.
#[derive(Clone, PartialEq, Eq)]
pub struct Partition {
    assignment: Vec<u32>,
    sub_shards: u32,
    digest: [u8; 32],
}

impl Partition {
    /// Number of sub-shards, hence of teachers.
    pub const fn sub_shards(&self) -> u32 {
        self.sub_shards
    }

    /// The sub-shard of each row.
    pub fn assignment(&self) -> &[u32] {
        &self.assignment
    }

    /// The rows of one sub-shard, ascending; none for a sub-shard that does not exist.
    pub fn rows_of(&self, sub_shard: u32) -> Vec<usize> {
        (0..self.assignment.len()).filter(|&row| self.assignment[row] == sub_shard).collect()
    }

    /// A keyed digest of the rows (features, labels, subjects; in any order), the schema and the number of
    /// sub-shards. It changes when any of them does, and says nothing to somebody without the key.
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partition").field("sub_shards", &self.sub_shards).finish_non_exhaustive()
    }
}

/// Sends every row to the sub-shard `HMAC-SHA256(key, row) mod sub_shards`, where a row is its features' little-endian
/// bytes, or its subject when `by_subject`.
///
/// Refused: no rows, no sub-shards, more sub-shards than rows, `by_subject` without subjects.
pub fn partition(
    dataset: &Dataset,
    key: &PartitionKey,
    sub_shards: u32,
    by_subject: bool,
) -> Result<Partition> {
    if dataset.rows() == 0 {
        return Err(Error::argument("private rows", 0, "give this silo's shard at least one row"));
    }
    if sub_shards == 0 {
        return Err(Error::argument("teachers", 0, "host at least one teacher"));
    }
    if sub_shards as usize > dataset.rows() {
        return Err(Error::argument(
            "teachers",
            sub_shards,
            "there are more teachers than private rows; host fewer teachers or bring more rows",
        ));
    }
    let subjects = match (by_subject, dataset.subjects()) {
        (false, _) => None,
        (true, Some(subjects)) => Some(subjects),
        (true, None) => {
            return Err(Error::argument(
                "partition by subject",
                "true",
                "the data names no subjects; name the subject column, or use the record as privacy unit",
            ));
        }
    };
    let assignment = (0..dataset.rows())
        .map(|row| match subjects {
            Some(subjects) => sub_shard(key, b"subject", subjects[row].as_bytes(), sub_shards),
            None => sub_shard(key, b"row", &row_bytes(dataset, row), sub_shards),
        })
        .collect();
    Ok(Partition { assignment, sub_shards, digest: digest(dataset, key, sub_shards, by_subject) })
}

fn sub_shard(key: &PartitionKey, kind: &[u8], identity: &[u8], sub_shards: u32) -> u32 {
    let mac = keyed(key, kind, &[identity]);
    // 128 bits make the bias of the remainder smaller than 2^-96.
    let (head, _) = mac.split_at(16);
    let wide = head.iter().fold(0_u128, |value, &byte| (value << 8) | u128::from(byte));
    u32::try_from(wide % u128::from(sub_shards)).expect("a remainder is below its u32 divisor")
}

fn digest(dataset: &Dataset, key: &PartitionKey, sub_shards: u32, by_subject: bool) -> [u8; 32] {
    let mut rows: Vec<[u8; 32]> = (0..dataset.rows())
        .map(|row| {
            let label = dataset.labels().map(|labels| labels[row].get().to_le_bytes());
            let subject = dataset.subjects().map(|subjects| subjects[row].as_bytes());
            let present = [u8::from(label.is_some()), u8::from(subject.is_some())];
            keyed(
                key,
                b"record",
                &[
                    &present,
                    &row_bytes(dataset, row),
                    &label.unwrap_or_default(),
                    subject.unwrap_or_default(),
                ],
            )
        })
        .collect();
    rows.sort_unstable();
    let settings = [sub_shards.to_le_bytes(), u32::from(by_subject).to_le_bytes()].concat();
    keyed(key, b"partition", &[&dataset.schema().digest(), &settings, rows.as_flattened()])
}

fn row_bytes(dataset: &Dataset, row: usize) -> Vec<u8> {
    // Adding 0.0 turns -0.0 into 0.0, so that equal values have equal bytes.
    dataset.row(row).iter().flat_map(|value| (value + 0.0).to_le_bytes()).collect()
}

/// HMAC-SHA256 with a domain and length-prefixed parts, so that no two different inputs run together.
fn keyed(key: &PartitionKey, domain: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).expect("HMAC takes a key of any length");
    for part in std::iter::once(&domain).chain(parts) {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests;
