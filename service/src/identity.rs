//! Who somebody is: consortium, role, organisation and name, as written in a certificate and nowhere else.
//!
//! The identity is the SAN URI `conclave://CONSORTIUM/ROLE/ORGANISATION/NAME`. Every certificate also carries the same
//! four parts as a DNS name, `NAME.ORGANISATION.ROLE.CONSORTIUM.conclave`. A client sets the DNS name of the party it
//! means to call as the expected server name, so the stock TLS verifier refuses a student that poses as a teacher.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::ServiceError;

/// What a party may do. The table of [`crate::authorise`] says which calls each role may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Role {
    /// Collects votes, spends budget, releases labels.
    Aggregator,
    /// Answers queries from private shards.
    Teacher,
    /// Learns from released labels.
    Student,
    /// A person or program that only asks: status, predictions.
    Client,
    /// Starts and stops campaigns, where the aggregator's settings allow it.
    Operator,
}

impl Role {
    /// All roles, for tables and tests that must visit each.
    pub const ALL: [Self; 5] = [Self::Aggregator, Self::Teacher, Self::Student, Self::Client, Self::Operator];

    /// The word that stands for the role in URIs and DNS names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aggregator => "aggregator",
            Self::Teacher => "teacher",
            Self::Student => "student",
            Self::Client => "client",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, ServiceError> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| ServiceError::InvalidRole { value: clipped(text) })
    }
}

impl TryFrom<String> for Role {
    type Error = ServiceError;

    fn try_from(text: String) -> Result<Self, ServiceError> {
        text.parse()
    }
}

impl From<Role> for String {
    fn from(role: Role) -> Self {
        role.as_str().to_owned()
    }
}

/// One party of a consortium. In TOML it is written as its URI.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Identity {
    consortium: String,
    role: Role,
    organisation: String,
    name: String,
}

impl Identity {
    /// Checks each part: 1 to 63 of `a-z`, `0-9`, `-`, no hyphen at either end.
    pub fn new(consortium: &str, role: Role, organisation: &str, name: &str) -> Result<Self, ServiceError> {
        Ok(Self {
            consortium: checked_label("consortium", consortium)?,
            role,
            organisation: checked_label("organisation", organisation)?,
            name: checked_label("name", name)?,
        })
    }

    /// The group of organisations that share one authority.
    pub fn consortium(&self) -> &str {
        &self.consortium
    }

    /// What the party may do.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The silo that the party belongs to.
    pub fn organisation(&self) -> &str {
        &self.organisation
    }

    /// The party's own name inside its organisation.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URI form, as in the certificate.
    pub fn uri(&self) -> String {
        self.to_string()
    }

    /// The DNS form, `NAME.ORGANISATION.ROLE.CONSORTIUM.conclave`; at most 211 characters, of the 253 that DNS allows.
    pub fn dns_name(&self) -> String {
        format!("{}.{}.{}.{}.{DNS_SUFFIX}", self.name, self.organisation, self.role, self.consortium)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{URI_SCHEME}{}/{}/{}/{}", self.consortium, self.role, self.organisation, self.name)
    }
}

impl FromStr for Identity {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, ServiceError> {
        let malformed = || ServiceError::InvalidIdentity { value: clipped(text) };
        let mut parts = text.strip_prefix(URI_SCHEME).ok_or_else(malformed)?.split('/');
        let mut next = || parts.next().ok_or_else(malformed);
        let (consortium, role, organisation, name) = (next()?, next()?, next()?, next()?);
        if parts.next().is_some() {
            return Err(malformed());
        }
        Self::new(consortium, role.parse()?, organisation, name)
    }
}

impl TryFrom<String> for Identity {
    type Error = ServiceError;

    fn try_from(text: String) -> Result<Self, ServiceError> {
        text.parse()
    }
}

impl From<Identity> for String {
    fn from(identity: Identity) -> Self {
        identity.to_string()
    }
}

/// Start of every identity URI.
pub(crate) const URI_SCHEME: &str = "conclave://";
/// Last label of every identity's DNS name; not a public domain, so no public authority can vouch for it.
pub(crate) const DNS_SUFFIX: &str = "conclave";
/// The longest label that DNS allows (RFC 1035, section 2.3.4).
const LABEL_CHARS_MAX: usize = 63;

/// A DNS label in lower case, or why it is not one.
pub(crate) fn checked_label(field: &'static str, value: &str) -> Result<String, ServiceError> {
    let letter_or_digit = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = value.as_bytes();
    let valid = bytes.len() <= LABEL_CHARS_MAX
        && bytes.first().is_some_and(letter_or_digit)
        && bytes.last().is_some_and(letter_or_digit)
        && bytes.iter().all(|byte| letter_or_digit(byte) || *byte == b'-');
    if valid { Ok(value.to_owned()) } else { Err(ServiceError::InvalidName { field, value: clipped(value) }) }
}

/// Enough of somebody else's text to recognise it, never enough to flood a log.
fn clipped(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 100;
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn label() -> impl Strategy<Value = String> {
        "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    }

    proptest! {
        #[test]
        fn an_identity_survives_its_uri_and_fits_in_dns(
            consortium in label(), role in 0..Role::ALL.len(), organisation in label(), name in label(),
        ) {
            let identity = Identity::new(&consortium, Role::ALL[role], &organisation, &name).unwrap();
            prop_assert_eq!(&identity.uri().parse::<Identity>().unwrap(), &identity);
            prop_assert!(identity.dns_name().len() <= 211);
            prop_assert!(rustls_pki_types::ServerName::try_from(identity.dns_name()).is_ok());
        }

        #[test]
        fn arbitrary_text_is_parsed_or_refused_but_never_panics(text in "\\PC*") {
            if let Ok(identity) = text.parse::<Identity>() {
                prop_assert_eq!(identity.to_string(), text);
            }
        }

        #[test]
        fn near_misses_are_refused_or_round_trip(text in "conclave://[a-zA-Z0-9/.-]{0,80}") {
            if let Ok(identity) = text.parse::<Identity>() {
                prop_assert_eq!(identity.to_string(), text);
            }
        }
    }

    #[test]
    fn names_that_are_not_labels_are_refused_with_field_and_value() {
        for bad in ["", "-a", "a-", "A", "a.b", "a/b", "ä", "a b", &"a".repeat(64)] {
            let error = Identity::new("demo", Role::Teacher, bad, "t1").unwrap_err();
            assert!(error.to_string().contains("organisation"), "{error}");
            assert!(matches!(error, ServiceError::InvalidName { field: "organisation", .. }));
        }
    }

    #[test]
    fn a_uri_with_too_few_or_too_many_parts_is_refused() {
        for bad in [
            "conclave://demo/teacher/org",
            "conclave://demo/teacher/org/t1/",
            "conclave://demo/teacher/org/t1/x",
            "spiffe://demo/teacher/org/t1",
            "conclave://demo/admin/org/t1",
            "conclave://demo/teacher//t1",
        ] {
            assert!(bad.parse::<Identity>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_long_foreign_text_is_clipped_in_the_message() {
        let error = "x".repeat(10_000).parse::<Identity>().unwrap_err();
        assert!(error.to_string().len() < 300);
    }
}
