//! Checked identifiers that every node shares.
//!
//! Names are short, lower-case and fit for a DNS label, because they also stand in certificates, file
//! names and logs. Digests are 32 bytes of SHA-256. Their meaning never changes between versions.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// Longest name that fits a DNS label.
pub const NAME_BYTES_MAX: usize = 63;

/// Why an identifier was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// A name with characters that certificates and file names do not all allow.
    #[error("{kind} `{value}`: use 1 to 63 of a-z, 0-9 and `-`, starting and ending with a letter or digit")]
    Name {
        /// What the name was meant for.
        kind: &'static str,
        /// What was given, cut to a printable length.
        value: String,
    },
    /// A digest of another length.
    #[error("{kind}: {bytes} bytes, expected 32")]
    Length {
        /// What the digest was meant for.
        kind: &'static str,
        /// How many bytes were given.
        bytes: usize,
    },
    /// A digest in text that is not 64 hexadecimal digits.
    #[error("{kind} `{value}`: expected 64 hexadecimal digits")]
    Hex {
        /// What the digest was meant for.
        kind: &'static str,
        /// What was given, cut to a printable length.
        value: String,
    },
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(String);

        impl $type {
            /// Checks and wraps a name.
            pub fn new(value: &str) -> Result<Self, IdError> {
                check_name($kind, value).map(|()| Self(value.to_owned()))
            }

            /// The name itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = IdError;
            fn from_str(value: &str) -> Result<Self, IdError> {
                Self::new(value)
            }
        }
    };
}

name!(
    /// Names a campaign within one aggregator's ledger.
    CampaignId, "campaign id"
);
name!(
    /// Names an organisation (silo) within a consortium.
    OrganisationId, "organisation"
);
name!(
    /// Names a teacher node within its organisation.
    NodeId, "node"
);
name!(
    /// Names a silo's private data; its budget account lives under this name as long as the data does.
    DataId, "data id"
);

macro_rules! digest {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type([u8; 32]);

        impl $type {
            /// Wraps a digest that was computed as the type's documentation says.
            pub const fn new(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Reads a digest from a message.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, IdError> {
                let array = bytes.try_into().map_err(|_| IdError::Length { kind: $kind, bytes: bytes.len() })?;
                Ok(Self(array))
            }

            /// The digest's bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($type))
            }
        }

        impl FromStr for $type {
            type Err = IdError;
            fn from_str(value: &str) -> Result<Self, IdError> {
                parse_hex($kind, value).map(Self)
            }
        }
    };
}

digest!(
    /// Names a public example by its content: SHA-256 over schema digest, element type, shape and
    /// little-endian values of the raw example ([`QueryId::of_example`]).
    QueryId, "query id"
);
digest!(
    /// Names a set of public examples: SHA-256 over their sorted identifiers ([`PoolDigest::of`]).
    PoolDigest, "pool digest"
);
digest!(
    /// SHA-256 over a fitted public feature space.
    FeaturesDigest, "features digest"
);
digest!(
    /// Keyed digest of a silo's partition: which row trains which teacher, under a key that stays in the silo.
    PartitionDigest, "partition digest"
);
digest!(
    /// SHA-256 over a campaign contract's canonical bytes.
    ContractDigest, "contract digest"
);

impl QueryId {
    /// Names an example of `values` raw 32-bit floats with shape `shape` under the schema `schema_digest`.
    ///
    /// The layout is `schema digest (32) ‖ "f32" ‖ rank: u32 LE ‖ each dimension: u32 LE ‖ values: f32 LE`.
    /// Negative zero is written as zero, so that equal examples have equal names.
    pub fn of_example(schema_digest: &[u8; 32], shape: &[u32], values: &[f32]) -> Self {
        let mut hash = Sha256::new();
        hash.update(schema_digest);
        hash.update(b"f32");
        hash.update(u32::try_from(shape.len()).unwrap_or(u32::MAX).to_le_bytes());
        for dimension in shape {
            hash.update(dimension.to_le_bytes());
        }
        for value in values {
            let value = if *value == 0.0 { 0.0 } else { *value };
            hash.update(value.to_le_bytes());
        }
        Self(hash.finalize().into())
    }
}

impl PoolDigest {
    /// The digest of a set of examples, whatever their order and however often each is listed.
    pub fn of(ids: impl IntoIterator<Item = QueryId>) -> Self {
        let mut ids: Vec<QueryId> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        let mut hash = Sha256::new();
        hash.update(b"conclave pool v1");
        for id in &ids {
            hash.update(id.as_bytes());
        }
        Self(hash.finalize().into())
    }
}

/// Splits a message field of 32-byte identifiers, one after the other.
pub fn split_query_ids(bytes: &[u8]) -> Result<Vec<QueryId>, IdError> {
    let (ids, rest) = bytes.as_chunks::<32>();
    if rest.is_empty() {
        Ok(ids.iter().copied().map(QueryId::new).collect())
    } else {
        Err(IdError::Length { kind: "query ids", bytes: bytes.len() })
    }
}

/// Joins identifiers into one message field, the reverse of [`split_query_ids`].
pub fn join_query_ids<'a>(ids: impl IntoIterator<Item = &'a QueryId>) -> Vec<u8> {
    ids.into_iter().flat_map(|id| id.as_bytes().iter().copied()).collect()
}

fn check_name(kind: &'static str, value: &str) -> Result<(), IdError> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edge =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = value.as_bytes();
    let fits = bytes.len() <= NAME_BYTES_MAX && bytes.iter().copied().all(inner);
    if fits && edge(bytes.first()) && edge(bytes.last()) {
        Ok(())
    } else {
        Err(IdError::Name { kind, value: printable(value) })
    }
}

fn parse_hex(kind: &'static str, value: &str) -> Result<[u8; 32], IdError> {
    let bad = || IdError::Hex { kind, value: printable(value) };
    let digits = value.as_bytes();
    if digits.len() != 64 {
        return Err(bad());
    }
    let mut out = [0_u8; 32];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |d: u8| char::from(d).to_digit(16).and_then(|d| u8::try_from(d).ok()).ok_or_else(bad);
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(out)
}

/// Cuts what a stranger sent to a length and alphabet that is safe in a message.
fn printable(value: &str) -> String {
    value.chars().take(NAME_BYTES_MAX + 1).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_certificates_and_file_names() {
        for good in ["a", "hospital-1", "0"] {
            assert_eq!(CampaignId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "ü", "../x", &"a".repeat(64), "a\nb"] {
            assert!(CampaignId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn digests_survive_text_and_refuse_other_lengths() {
        let id = QueryId::of_example(&[7; 32], &[2], &[1.0, -2.5]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("00".parse::<QueryId>().is_err());
        assert!("g".repeat(64).parse::<QueryId>().is_err());
        assert!(QueryId::from_slice(&[0; 31]).is_err());
    }

    #[test]
    fn an_example_is_named_by_schema_shape_and_values() {
        let id = QueryId::of_example(&[7; 32], &[2], &[1.0, 0.0]);
        assert_eq!(id, QueryId::of_example(&[7; 32], &[2], &[1.0, -0.0]));
        assert_ne!(id, QueryId::of_example(&[8; 32], &[2], &[1.0, 0.0]));
        assert_ne!(id, QueryId::of_example(&[7; 32], &[1, 2], &[1.0, 0.0]));
        assert_ne!(id, QueryId::of_example(&[7; 32], &[2], &[1.0, 1.0]));
    }

    #[test]
    fn a_pool_is_a_set() {
        let [a, b] = [QueryId::new([1; 32]), QueryId::new([2; 32])];
        assert_eq!(PoolDigest::of([a, b, a]), PoolDigest::of([b, a]));
        assert_ne!(PoolDigest::of([a]), PoolDigest::of([a, b]));
    }

    #[test]
    fn joined_identifiers_split_again() {
        let ids = [QueryId::new([1; 32]), QueryId::new([2; 32])];
        let joined = join_query_ids(&ids);
        assert_eq!(split_query_ids(&joined).unwrap(), ids);
        assert!(split_query_ids(&joined[1..]).is_err());
    }
}
