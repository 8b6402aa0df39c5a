//! A kit: the folder with which a party proves who it is. `ca.pem`, `cert.pem` and `key.pem`.
//!
//! A kit that loads is complete and consistent: one identity, the key belongs to the certificate, the consortium's
//! authority signed it, and it is valid now. Everything else is refused with the file and the fix.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::certificate::{self, Described, Validity};
use crate::dialling::Dialler;
use crate::error::ServiceError;
use crate::handshake::Gate;
use crate::identity::Identity;
use crate::server::tls_setup;

/// Certificate, key and authority of one party. `Debug` shows the identity only.
#[derive(Clone)]
pub struct Kit {
    ca_pem: String,
    certificate_pem: String,
    key_pem: String,
    identity: Identity,
    validity: Validity,
}

impl Kit {
    /// Reads `ca.pem`, `cert.pem` and `key.pem` from `dir` and checks that they fit together and are valid at `now_ms`
    /// (milliseconds since 1970, from [`crate::clock::WallClock`]).
    pub fn load(dir: &Path, now_ms: u64) -> Result<Self, ServiceError> {
        let (ca_path, certificate_path, key_path) =
            (dir.join(CA_FILE), dir.join(CERTIFICATE_FILE), dir.join(KEY_FILE));
        let ca_pem = read_text(&ca_path)?;
        let certificate_pem = read_text(&certificate_path)?;
        refuse_shared_key(&key_path)?;
        let key_pem = read_text(&key_path)?;

        let ca_der = certificate::from_pem(&ca_pem).ok_or_else(|| not_pem(&ca_path, "certificate"))?;
        let der = certificate::from_pem(&certificate_pem)
            .ok_or_else(|| not_pem(&certificate_path, "certificate"))?;
        let key = rcgen::KeyPair::from_pem(&key_pem).map_err(|_| not_pem(&key_path, "private key"))?;

        let authority = certificate::parse(&ca_der).map_err(|fault| unfit(&ca_path, &fault.to_string()))?;
        let own = certificate::parse(&der).map_err(|fault| unfit(&certificate_path, &fault.to_string()))?;
        let described =
            certificate::describe(&der).map_err(|fault| unfit(&certificate_path, &fault.to_string()))?;

        if own.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(unfit(&key_path, "the key does not belong to the certificate in cert.pem"));
        }
        if !certificate::is_signed_by(&own, &authority) {
            return Err(unfit(
                &certificate_path,
                "the authority in ca.pem did not sign it (a foreign authority)",
            ));
        }
        let Described { identity, validity } = described;
        let now_s = seconds(now_ms);
        let invalid = |what: &str, fix: &str| {
            let problem = format!("{identity} {what}: {}", validity.in_words(now_ms));
            Err(ServiceError::KitFile { path: certificate_path.clone(), problem, fix: fix.to_owned() })
        };
        if now_s < validity.not_before_s {
            return invalid("is not yet valid", "set this machine's clock, or wait");
        }
        if now_s > validity.not_after_s {
            let days = (now_s - validity.not_after_s) / SECONDS_PER_DAY;
            let fix = "issue the kit again with `conclave provision`, or set this machine's clock";
            return invalid(&format!("expired {days} days ago"), fix);
        }
        Ok(Self { ca_pem, certificate_pem, key_pem, identity, validity })
    }

    /// Writes the three files into `dir`, which is made if missing; the key is readable by its owner only.
    /// An existing kit is never overwritten.
    pub fn save(&self, dir: &Path) -> Result<(), ServiceError> {
        make_dir(dir)?;
        write_new(&dir.join(KEY_FILE), &self.key_pem, Readers::OwnerOnly)?;
        write_new(&dir.join(CERTIFICATE_FILE), &self.certificate_pem, Readers::Everybody)?;
        write_new(&dir.join(CA_FILE), &self.ca_pem, Readers::Everybody)
    }

    /// Whose kit this is.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whole days until the certificate expires, rounded down; negative once it has.
    pub const fn days_left(&self, now_ms: u64) -> i64 {
        self.expiry().days_left(now_ms)
    }

    /// When the certificate expires, for those who need no more of the kit.
    pub const fn expiry(&self) -> Expiry {
        Expiry { not_after_s: self.validity.not_after_s }
    }

    /// Whole days until the authority's certificate expires, rounded down. TLS does not look at it, so nothing stops on
    /// that day; but no kit can be issued any more that outlives it.
    pub fn authority_days_left(&self, now_ms: u64) -> Option<i64> {
        let der = certificate::from_pem(&self.ca_pem)?;
        let not_after_s = certificate::parse(&der).ok()?.validity().not_after.timestamp();
        Some((not_after_s - seconds(now_ms)).div_euclid(SECONDS_PER_DAY))
    }

    /// The gate of a server: only callers whose certificate this consortium's authority signed complete the handshake.
    pub(crate) fn gate(&self, handshake_timeout: Duration) -> Result<Gate, ServiceError> {
        let own = self.identity.clone();
        Gate::new(&self.ca_pem, &self.certificate_pem, &self.key_pem, own, self.validity, handshake_timeout)
            .map_err(|fault| tls_setup(self, fault.as_ref()))
    }

    /// How a client with this kit dials exactly `expected`.
    pub(crate) fn dialler(
        &self,
        expected: &Identity,
        connect_timeout: Duration,
    ) -> Result<Dialler, ServiceError> {
        Dialler::new(&self.ca_pem, &self.certificate_pem, &self.key_pem, expected, connect_timeout)
            .map_err(|fault| tls_setup(self, fault.as_ref()))
    }

    /// When the certificate is valid, beside this machine's date.
    pub(crate) fn validity_in_words(&self, now_ms: u64) -> String {
        self.validity.in_words(now_ms)
    }

    /// Only [`crate::authority`] makes kits, from parts that it has just made.
    pub(crate) fn issued(
        ca_pem: String,
        certificate_pem: String,
        key_pem: String,
        identity: Identity,
        validity: Validity,
    ) -> Self {
        Self { ca_pem, certificate_pem, key_pem, identity, validity }
    }
}

/// The last instant of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// Seconds since 1970.
    not_after_s: i64,
}

impl Expiry {
    /// Whole days that are left at `now_ms` (milliseconds since 1970), rounded down; negative afterwards.
    pub const fn days_left(self, now_ms: u64) -> i64 {
        (self.not_after_s - seconds(now_ms)).div_euclid(SECONDS_PER_DAY)
    }
}

impl fmt::Debug for Kit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kit").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Who may read a file that is about to be written.
#[derive(Clone, Copy)]
pub(crate) enum Readers {
    OwnerOnly,
    Everybody,
}

pub(crate) fn make_dir(dir: &Path) -> Result<(), ServiceError> {
    fs::create_dir_all(dir).map_err(|error| ServiceError::KitFile {
        path: dir.to_path_buf(),
        problem: format!("cannot be made: {error}"),
        fix: "choose a directory that this user may write".to_owned(),
    })
}

/// Writes a file that did not exist before, with its final permissions from the first byte on.
pub(crate) fn write_new(path: &Path, text: &str, readers: Readers) -> Result<(), ServiceError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(match readers {
            Readers::OwnerOnly => 0o600,
            Readers::Everybody => 0o644,
        });
    }
    #[cfg(not(unix))]
    let _ = readers;
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| {
        let exists = error.kind() == io::ErrorKind::AlreadyExists;
        ServiceError::KitFile {
            path: path.to_path_buf(),
            problem: if exists { "already exists".to_owned() } else { format!("cannot be written: {error}") },
            fix: "choose an empty directory that this user may write".to_owned(),
        }
    })
}

pub(crate) fn read_text(path: &Path) -> Result<String, ServiceError> {
    fs::read_to_string(path).map_err(|error| {
        let (problem, fix) = match error.kind() {
            io::ErrorKind::NotFound => {
                ("is missing".to_owned(), "copy the whole kit, or issue one with `conclave provision`")
            }
            io::ErrorKind::PermissionDenied => {
                ("is not readable by this user".to_owned(), "run as the kit's owner")
            }
            io::ErrorKind::InvalidData => {
                ("is not text".to_owned(), "it must be a PEM file: issue the kit again")
            }
            _ => (format!("cannot be read: {error}"), "copy the whole kit again"),
        };
        ServiceError::KitFile { path: path.to_path_buf(), problem, fix: fix.to_owned() }
    })
}

/// A private key that others can read is no longer a proof of identity.
pub(crate) fn refuse_shared_key(path: &Path) -> Result<(), ServiceError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        const GROUP_AND_OTHERS: u32 = 0o077;
        let mode = fs::metadata(path).map(|data| data.permissions().mode()).unwrap_or_default();
        if mode & GROUP_AND_OTHERS != 0 {
            return Err(ServiceError::KitFile {
                path: path.to_path_buf(),
                problem: format!("others than its owner may use it (mode {:03o})", mode & 0o777),
                fix: format!("chmod 600 {}", path.display()),
            });
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

pub(crate) fn not_pem(path: &Path, what: &str) -> ServiceError {
    unfit(path, &format!("holds no PEM {what}"))
}

pub(crate) fn unfit(path: &Path, problem: &str) -> ServiceError {
    ServiceError::KitFile {
        path: PathBuf::from(path),
        problem: problem.to_owned(),
        fix: "issue the kit again with `conclave provision`".to_owned(),
    }
}

/// Seconds since 1970 of a time in milliseconds since 1970.
pub(crate) const fn seconds(now_ms: u64) -> i64 {
    // A u64 of milliseconds is below 2^54 seconds, so the sign bit stays clear.
    (now_ms / 1000).cast_signed()
}

pub(crate) const CA_FILE: &str = "ca.pem";
const CERTIFICATE_FILE: &str = "cert.pem";
const KEY_FILE: &str = "key.pem";
const SECONDS_PER_DAY: i64 = 24 * 60 * 60;
