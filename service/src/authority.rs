//! The consortium's authority: it signs the certificate of every party, and nobody else's word counts.
//!
//! One authority per consortium, made by `conclave provision` (or thrown away after a simulation). Its certificate can
//! sign parties but no further authorities. Its key never leaves the folder that it was saved to.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use sha2::{Digest, Sha256};

use crate::certificate::{self, Validity};
use crate::error::ServiceError;
use crate::identity::{DNS_SUFFIX, Identity, checked_label};
use crate::kit::{
    CA_FILE, Kit, Readers, make_dir, not_pem, read_text, refuse_shared_key, seconds, unfit, write_new,
};

/// How long a party's certificate is valid unless told otherwise, in days.
pub const DEFAULT_VALIDITY_DAYS: u32 = 365;
/// How long an authority is valid, in days: ten years, beyond the life of a campaign.
pub const AUTHORITY_VALIDITY_DAYS: u32 = 3650;

/// Signs certificates for one consortium. `Debug` shows the consortium only.
pub struct Authority {
    consortium: String,
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    certificate_der: Vec<u8>,
    not_after_s: i64,
}

impl Authority {
    /// Makes a new authority with a fresh key from the system's generator; `now_ms` counts from 1970.
    pub fn create(consortium: &str, now_ms: u64) -> Result<Self, ServiceError> {
        let consortium = checked_label("consortium", consortium)?;
        let cannot = |fault: rcgen::Error| cannot_issue(&consortium, &fault);
        let key = KeyPair::generate().map_err(cannot)?;

        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("{consortium}.{DNS_SUFFIX}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, now_ms, AUTHORITY_VALIDITY_DAYS);

        let certificate = params.self_signed(&key).map_err(cannot)?;
        let not_after_s = params.not_after.unix_timestamp();
        let (certificate_pem, certificate_der) = (certificate.pem(), certificate.der().to_vec());
        let issuer = Issuer::new(params, key);
        Ok(Self { consortium, issuer, certificate_pem, certificate_der, not_after_s })
    }

    /// Reads `ca.pem` and `ca-key.pem` from `dir`.
    pub fn load(dir: &Path) -> Result<Self, ServiceError> {
        let (certificate_path, key_path) = (dir.join(CA_FILE), dir.join(AUTHORITY_KEY_FILE));
        let certificate_pem = read_text(&certificate_path)?;
        refuse_shared_key(&key_path)?;
        let key_pem = read_text(&key_path)?;
        let der = certificate::from_pem(&certificate_pem)
            .ok_or_else(|| not_pem(&certificate_path, "certificate"))?;
        let key = KeyPair::from_pem(&key_pem).map_err(|_| not_pem(&key_path, "private key"))?;

        let parsed =
            certificate::parse(&der).map_err(|fault| unfit(&certificate_path, &fault.to_string()))?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(unfit(&key_path, "the key does not belong to the authority in ca.pem"));
        }
        let common_name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        let consortium = common_name
            .and_then(|name| name.strip_suffix(DNS_SUFFIX)?.strip_suffix('.'))
            .and_then(|label| checked_label("consortium", label).ok())
            .filter(|_| parsed.is_ca())
            .ok_or_else(|| unfit(&certificate_path, "is not the certificate of a consortium's authority"))?;
        let not_after_s = parsed.validity().not_after.timestamp();
        let issuer = Issuer::from_ca_cert_der(&der, key)
            .map_err(|fault| unfit(&certificate_path, &format!("cannot sign: {fault}")))?;
        Ok(Self { consortium, issuer, certificate_der: der.to_vec(), certificate_pem, not_after_s })
    }

    /// Writes `ca.pem` and `ca-key.pem` (readable by its owner only); an existing authority is never overwritten.
    pub fn save(&self, dir: &Path) -> Result<(), ServiceError> {
        make_dir(dir)?;
        write_new(&dir.join(AUTHORITY_KEY_FILE), &self.issuer.key().serialize_pem(), Readers::OwnerOnly)?;
        write_new(&dir.join(CA_FILE), &self.certificate_pem, Readers::Everybody)
    }

    /// Makes key and certificate for one party, valid from an hour before `now_ms` (clocks differ) for `validity_days`.
    pub fn issue(&self, identity: &Identity, validity_days: u32, now_ms: u64) -> Result<Kit, ServiceError> {
        let refuse = |problem: &str, fix: &'static str| {
            Err(ServiceError::CannotIssue { subject: identity.to_string(), problem: problem.to_owned(), fix })
        };
        if identity.consortium() != self.consortium {
            return refuse("this authority belongs to another consortium", "use that consortium's authority");
        }
        let mut params = CertificateParams::default();
        set_validity(&mut params, now_ms, validity_days);
        if validity_days == 0 || params.not_after.unix_timestamp() > self.not_after_s {
            return refuse(
                &format!(
                    "a validity of {validity_days} days is not between 1 day and the end of the authority"
                ),
                "choose fewer days, or make a new authority",
            );
        }

        let cannot = |fault: rcgen::Error| cannot_issue(&identity.to_string(), &fault);
        let key = KeyPair::generate().map_err(cannot)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, identity.organisation());
        params.distinguished_name.push(DnType::CommonName, identity.name());
        params.subject_alt_names = vec![
            SanType::URI(identity.uri().try_into().map_err(cannot)?),
            SanType::DnsName(identity.dns_name().try_into().map_err(cannot)?),
        ];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Every node calls and is called.
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;

        let certificate = params.signed_by(&key, &self.issuer).map_err(cannot)?;
        Ok(Kit::issued(
            self.certificate_pem.clone(),
            certificate.pem(),
            key.serialize_pem(),
            identity.clone(),
            Validity {
                not_before_s: params.not_before.unix_timestamp(),
                not_after_s: params.not_after.unix_timestamp(),
            },
        ))
    }

    /// The consortium that this authority speaks for.
    pub fn consortium(&self) -> &str {
        &self.consortium
    }

    /// SHA-256 of the authority's certificate in hexadecimal, in groups of four: to be compared over the telephone.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(&self.certificate_der);
        let groups: Vec<String> =
            digest.chunks(2).map(|pair| format!("{:02x}{:02x}", pair[0], pair[1])).collect();
        groups.join(" ")
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("consortium", &self.consortium).finish_non_exhaustive()
    }
}

fn set_validity(params: &mut CertificateParams, now_ms: u64, days: u32) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = Duration::from_secs(seconds(now_ms).clamp(0, LATEST_NOW_S).unsigned_abs());
    params.not_before = epoch + now.saturating_sub(CLOCK_SKEW_ALLOWED);
    params.not_after =
        epoch + now + Duration::from_secs(u64::from(days.min(AUTHORITY_VALIDITY_DAYS + 1)) * 24 * 60 * 60);
}

fn cannot_issue(subject: &str, fault: &rcgen::Error) -> ServiceError {
    ServiceError::CannotIssue {
        subject: subject.to_owned(),
        problem: fault.to_string(),
        fix: "check the names and that the system's random generator works",
    }
}

const AUTHORITY_KEY_FILE: &str = "ca-key.pem";
/// Certificates are valid a little before they are made, because clocks of different silos differ.
const CLOCK_SKEW_ALLOWED: Duration = Duration::from_hours(1);
/// The year 9000: later dates do not fit a certificate once a validity is added.
const LATEST_NOW_S: i64 = 221_845_392_000;
