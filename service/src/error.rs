//! What can go wrong in the shell; every message names the thing, its value and what to do about it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A fault of identity, certificates, serving or calling. Faults of settings are [`crate::config::ConfigError`].
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A part of an identity is not a DNS label in lower case.
    #[error(
        "{field} {value:?} is not a valid name: use 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends"
    )]
    InvalidName {
        /// Which part: `consortium`, `organisation` or `name`.
        field: &'static str,
        /// What was given.
        value: String,
    },
    /// A word that is not a role.
    #[error("role {value:?} is unknown: use aggregator, teacher, student, client or operator")]
    InvalidRole {
        /// What was given.
        value: String,
    },
    /// Text that is not an identity.
    #[error("identity {value:?} is malformed: write conclave://CONSORTIUM/ROLE/ORGANISATION/NAME")]
    InvalidIdentity {
        /// What was given.
        value: String,
    },
    /// A certificate that does not carry exactly one consistent identity.
    #[error("certificate refused: {reason}; issue it with `conclave provision`")]
    CertificateRefused {
        /// Why, in words.
        reason: String,
    },
    /// A file of a kit or an authority is missing, unreadable, malformed or does not fit the others.
    #[error("{}: {problem}; {fix}", path.display())]
    KitFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        fix: String,
    },
    /// The authority cannot make this certificate.
    #[error("cannot issue a certificate for {subject}: {problem}; {fix}")]
    CannotIssue {
        /// For whom.
        subject: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        fix: &'static str,
    },
    /// A limit that would make the server useless.
    #[error("limit {field} is {value}: it must be at least 1")]
    InvalidLimit {
        /// The limit.
        field: &'static str,
        /// What was given.
        value: u64,
    },
    /// An address that is not `HOST:PORT`.
    #[error("address {value:?} is malformed: write HOST:PORT, for example 10.0.0.5:7401")]
    InvalidAddress {
        /// What was given.
        value: String,
    },
    /// Plain text was asked for, but not on this machine alone.
    #[error(
        "address {address} is not loopback: plain text is allowed on 127.0.0.1 or [::1] only; use a kit for mutual TLS"
    )]
    NotLoopback {
        /// The address.
        address: String,
    },
    /// The admin page was asked for where others than this machine may read it, and that was not allowed.
    #[error(
        "setting admin.listen is {address}, which is not loopback: the page is plain HTTP for whoever reaches it; give \
         127.0.0.1 or [::1], or allow it with admin.beyond_loopback = true"
    )]
    AdminBeyondLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// Somebody else listens there.
    #[error(
        "{field} {address}: the address is in use; stop the other process, or choose another port (0 picks a free one)"
    )]
    AddressInUse {
        /// The setting.
        field: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// Listening failed for another reason.
    #[error(
        "{field} {address}: cannot listen there: {source}; choose an address of this machine and a port that this user may bind"
    )]
    CannotListen {
        /// The setting.
        field: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The TLS settings of a kit were refused by the TLS library.
    #[error("TLS cannot be set up for {subject}: {problem}; issue the kit again with `conclave provision`")]
    TlsSetup {
        /// Whose kit.
        subject: String,
        /// What the library said.
        problem: String,
    },
    /// The server stopped with a fault.
    #[error("serving on {address} failed: {problem}")]
    Serving {
        /// The address.
        address: SocketAddr,
        /// What happened.
        problem: String,
    },
    /// The peer was not reached, or was not who it should be, or did not want us.
    #[error("{peer} at {address}: {problem}; {fix}")]
    Unreachable {
        /// Who was expected there.
        peer: String,
        /// Where.
        address: String,
        /// What happened, in words.
        problem: String,
        /// What to do.
        fix: String,
    },
    /// Telemetry was started twice or with a malformed filter.
    #[error(
        "log filter {filter:?}: {problem}; write a level (info) or targets (conclave_aggregator=debug,info)"
    )]
    Telemetry {
        /// The filter.
        filter: String,
        /// What is wrong.
        problem: String,
    },
}

impl ServiceError {
    /// Why `address`, which stands in the setting `field`, cannot be listened on.
    pub fn listening(field: &'static str, address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::AddressInUse { field, address },
            _ => Self::CannotListen { field, address, source },
        }
    }

    /// The same, about an address that stands in another setting than `listen`.
    #[must_use]
    pub fn of_setting(self, field: &'static str) -> Self {
        match self {
            Self::AddressInUse { address, .. } => Self::AddressInUse { field, address },
            Self::CannotListen { address, source, .. } => Self::CannotListen { field, address, source },
            other => other,
        }
    }

    /// What it is about, and what was given or found there.
    pub fn about(&self) -> (&'static str, String) {
        match self {
            Self::InvalidName { field, value } => (*field, value.clone()),
            Self::InvalidRole { value } => ("role", value.clone()),
            Self::InvalidIdentity { value } => ("identity", value.clone()),
            Self::CertificateRefused { reason } => ("certificate", reason.clone()),
            Self::KitFile { path, .. } => ("file", path.display().to_string()),
            Self::CannotIssue { subject, .. } | Self::TlsSetup { subject, .. } => {
                ("certificate", subject.clone())
            }
            Self::InvalidLimit { field, value } => (*field, value.to_string()),
            Self::InvalidAddress { value: address }
            | Self::NotLoopback { address }
            | Self::Unreachable { address, .. } => ("address", address.clone()),
            Self::AddressInUse { field, address } | Self::CannotListen { field, address, .. } => {
                (*field, address.to_string())
            }
            Self::Serving { address, .. } => ("address", address.to_string()),
            Self::AdminBeyondLoopback { address } => ("admin.listen", address.to_string()),
            Self::Telemetry { filter, .. } => ("log", filter.clone()),
        }
    }
}
