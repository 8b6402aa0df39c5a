//! The ledger's own names: opaque, of bounded length, and comparable byte by byte.
//!
//! What they stand for is the caller's business. A key that passed its constructor can be stored, printed
//! and exported without further checks.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{LedgerError, Result};

/// Names one campaign: 1 to [`KEY_BYTES_MAX`] bytes of text without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CampaignKey(String);

/// Names the data behind one account: 1 to [`KEY_BYTES_MAX`] bytes of text without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DataKey(String);

/// Names one query inside a campaign: the digest of a public example.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryKey([u8; 32]);

/// A SHA-256 digest whose meaning the caller knows: of a contract, of a partition, of a vote set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// Names one ledger for its life: 16 random bytes given at its creation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LedgerId([u8; 16]);

impl CampaignKey {
    /// Checks length and characters.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        checked_text("campaign", text.into(), KEY_BYTES_MAX).map(Self)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl DataKey {
    /// Checks length and characters.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        checked_text("data id", text.into(), KEY_BYTES_MAX).map(Self)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The longest campaign name or data id, in bytes.
pub const KEY_BYTES_MAX: usize = 128;

/// Text that may stand in a ledger: not empty, at most `bytes_max` bytes, no control characters.
pub(crate) fn checked_text(field: &'static str, text: String, bytes_max: usize) -> Result<String> {
    if text.is_empty() || text.len() > bytes_max || text.chars().any(char::is_control) {
        return Err(LedgerError::Text { field, bytes: text.len(), bytes_max });
    }
    Ok(text)
}

macro_rules! text_key {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = LedgerError;

            fn try_from(text: String) -> Result<Self> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(key: $name) -> Self {
                key.0
            }
        }
    };
}

macro_rules! byte_key {
    ($name:ident, $bytes:literal) => {
        impl $name {
            /// Takes the bytes as they are; every value is a name.
            pub const fn new(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

text_key!(CampaignKey);
text_key!(DataKey);
byte_key!(QueryKey, 32);
byte_key!(Digest, 32);
byte_key!(LedgerId, 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_refused_when_empty_too_long_or_with_control_characters() {
        for bad in [String::new(), "x".repeat(KEY_BYTES_MAX + 1), "two\nlines".to_owned()] {
            assert!(CampaignKey::new(bad.clone()).is_err());
            assert!(DataKey::new(bad).is_err());
        }
        assert_eq!(CampaignKey::new("digits-1").expect("plain").to_string(), "digits-1");
    }

    #[test]
    fn digests_print_as_lower_case_hex() {
        assert_eq!(LedgerId::new([0xab; 16]).to_string(), "ab".repeat(16));
    }
}
