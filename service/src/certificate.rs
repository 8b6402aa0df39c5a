//! Reading certificates: the identity inside, its dates, its signer.
//!
//! The bytes may come from anybody, so nothing here may panic and every refusal has its reason.

use std::time::{Duration, UNIX_EPOCH};

use rustls::CertificateError;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::error::ServiceError;
use crate::identity::{DNS_SUFFIX, Identity, URI_SCHEME};
use crate::kit::seconds;

/// What a certificate says about its owner.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    pub(crate) identity: Identity,
    pub(crate) validity: Validity,
}

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    /// Seconds since 1970; inclusive at both ends.
    pub(crate) not_before_s: i64,
    pub(crate) not_after_s: i64,
}

impl Validity {
    /// Both dates, and what they are compared with: who sees them can tell which clock is wrong.
    pub(crate) fn in_words(self, now_ms: u64) -> String {
        let (from, until) = (date(self.not_before_s), date(self.not_after_s));
        format!("it is valid from {from} to {until}, and this machine's date is {}", day(seconds(now_ms)))
    }
}

/// The dates behind a certificate that the TLS library refused as of another time; to follow the words that say so.
pub(crate) fn dates(fault: &rustls::Error) -> String {
    let told = |time: &UnixTime| date(time.as_secs().cast_signed());
    let today = |time: &UnixTime| day(time.as_secs().cast_signed());
    match fault {
        rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { time, not_after }) => {
            format!(": it was valid until {}, and this machine's date is {}", told(not_after), today(time))
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { time, not_before }) => {
            format!(": it is valid from {}, and this machine's date is {}", told(not_before), today(time))
        }
        _ => String::new(),
    }
}

/// A date that can be read without knowing where: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date(seconds: i64) -> String {
    let seconds = u64::try_from(seconds).unwrap_or_default().min(LATEST_S);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// The day alone: words that change every second would be news to a log every second.
fn day(seconds: i64) -> String {
    date(seconds).chars().take("Sun, 06 Nov 1994".len()).collect()
}

/// The end of the year 9999, which is also what certificates say that never expire (RFC 5280, section 4.1.2.5).
const LATEST_S: u64 = 253_402_300_799;

/// Reads the identity of a party's certificate: exactly one `conclave://` URI, and no DNS name that says otherwise.
pub(crate) fn describe(der: &[u8]) -> Result<Described, ServiceError> {
    let certificate = parse(der)?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| refused("its subject alternative names are malformed or repeated"))?
        .ok_or_else(|| refused("it has no subject alternative name"))?;

    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) if uri.starts_with(URI_SCHEME) => Some(*uri),
        _ => None,
    });
    let uri = uris.next().ok_or_else(|| refused("it has no conclave:// URI"))?;
    if uris.next().is_some() {
        return Err(refused("it has more than one conclave:// URI"));
    }
    let identity: Identity = uri.parse().map_err(|fault: ServiceError| refused(&fault.to_string()))?;

    // A client checks a server by its DNS name and a server checks a client by its URI: both must name one party.
    let own_name = identity.dns_name();
    let contradicts = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(dns) => {
            let in_our_domain =
                dns.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case(DNS_SUFFIX));
            in_our_domain && **dns != *own_name
        }
        _ => false,
    };
    if names.value.general_names.iter().any(contradicts) {
        return Err(refused("its DNS name and its URI name different parties"));
    }

    let validity = certificate.validity();
    Ok(Described {
        identity,
        validity: Validity {
            not_before_s: validity.not_before.timestamp(),
            not_after_s: validity.not_after.timestamp(),
        },
    })
}

/// Parses one whole certificate.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, ServiceError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(refused("bytes follow the certificate")),
        Err(_) => Err(refused("it is not an X.509 certificate")),
    }
}

/// The first certificate of a PEM text.
pub(crate) fn from_pem(pem: &str) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.as_bytes()).ok()
}

/// Whether the authority's key signed this certificate.
pub(crate) fn is_signed_by(certificate: &X509Certificate<'_>, authority: &X509Certificate<'_>) -> bool {
    certificate.verify_signature(Some(authority.public_key())).is_ok()
}

fn refused(reason: &str) -> ServiceError {
    ServiceError::CertificateRefused { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;
    use crate::identity::Role;

    fn with_names(names: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    fn dns(text: &str) -> SanType {
        SanType::DnsName(text.try_into().unwrap())
    }

    #[test]
    fn exactly_one_identity_is_required() {
        let one = "conclave://demo/teacher/north/t1";
        let described = describe(&with_names(vec![uri(one), uri("https://example.org/x")])).unwrap();
        assert_eq!(described.identity, Identity::new("demo", Role::Teacher, "north", "t1").unwrap());

        for (names, reason) in [
            (vec![], "no subject alternative name"),
            (vec![dns("t1.north.teacher.demo.conclave")], "no conclave:// URI"),
            (vec![uri(one), uri(one)], "more than one"),
            (vec![uri("conclave://demo/admin/north/t1")], "role"),
            (vec![uri(one), dns("t2.north.teacher.demo.conclave")], "different parties"),
            (vec![uri(one), dns("t1.north.aggregator.demo.CONCLAVE")], "different parties"),
        ] {
            let error = describe(&with_names(names)).unwrap_err().to_string();
            assert!(error.contains(reason), "{error} lacks {reason}");
        }
    }

    #[test]
    fn a_time_is_told_to_the_second_and_today_to_the_day() {
        let validity = Validity { not_before_s: 784_111_777, not_after_s: i64::MAX };
        let from_and_to = "it is valid from Sun, 06 Nov 1994 08:49:37 GMT to Fri, 31 Dec 9999 23:59:59 GMT";
        let told = validity.in_words(86_399_999);
        assert_eq!(told, format!("{from_and_to}, and this machine's date is Thu, 01 Jan 1970"));
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut der = with_names(vec![uri("conclave://demo/teacher/north/t1")]);
        der.push(0);
        assert!(describe(&der).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(describe(&bytes).is_err());
        }

        #[test]
        fn a_damaged_certificate_never_panics(position in 0..400usize, value: u8) {
            let mut der = TEMPLATE.with(Clone::clone);
            let position = position % der.len();
            der[position] = value;
            // Most damage is outside the names, so this may well succeed: what counts is that it returns.
            let _ = describe(&der);
        }
    }

    thread_local! {
        static TEMPLATE: Vec<u8> = with_names(vec![uri("conclave://demo/teacher/north/t1")]);
    }
}
