//! Names in a client's certificate: what operators see of it, and which user logs in with it by EXTERNAL. The certificate
//! was verified before; here it is only read.
//! Source: RFC 4514, RFC 5280; RabbitMQ `rabbit_cert_info`, `rabbit_ssl:peer_cert_auth_name`.

use crate::config::{CertificateLogin, SanType};
use crate::connection::PeerCertificate;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509_parser::prelude::*;

/// Letters in a line of a PEM file.
const PEM_LINE_LETTERS: usize = 64;

/// Reads a certificate; `None` if it cannot be read.
pub(super) fn read(der: &[u8], login: CertificateLogin) -> Option<PeerCertificate> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    Some(PeerCertificate {
        subject: distinguished_name(certificate.subject()),
        issuer: distinguished_name(certificate.issuer()),
        validity: format!("{} - {}", time(validity.not_before), time(validity.not_after)),
        user: user(&certificate, login).filter(|user| !user.is_empty()),
    })
}

/// From when until when a certificate is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before_unix_s: i64,
    pub(super) not_after_unix_s: i64,
    /// The end, for a person.
    pub(super) shown: String,
}

/// How long a certificate is good; `None` if it cannot be read.
pub(super) fn validity(der: &[u8]) -> Option<Validity> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    Some(Validity {
        not_before_unix_s: validity.not_before.timestamp(),
        not_after_unix_s: validity.not_after.timestamp(),
        shown: time(validity.not_after),
    })
}

/// Certificates as a PEM file holds them.
/// Source: RFC 7468.
pub(super) fn pem(chain: &[impl AsRef<[u8]>]) -> String {
    let mut text = String::new();
    for der in chain {
        text += "-----BEGIN CERTIFICATE-----\n";
        let encoded = STANDARD.encode(der);
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, behind) = rest.split_at(rest.len().min(PEM_LINE_LETTERS));
            text += line;
            text.push('\n');
            rest = behind;
        }
        text += "-----END CERTIFICATE-----\n";
    }
    text
}

fn user(certificate: &X509Certificate<'_>, login: CertificateLogin) -> Option<String> {
    match login {
        CertificateLogin::DistinguishedName => Some(distinguished_name(certificate.subject())),
        CertificateLogin::CommonName => {
            // Several are joined, which no user is called by mistake.
            let names: Option<Vec<&str>> =
                certificate.subject().iter_common_name().map(|name| name.as_str().ok()).collect();
            Some(names?.join(","))
        }
        CertificateLogin::SubjectAlternativeName(kind, index) => {
            let names = certificate.subject_alternative_name().ok()??;
            names.value.general_names.iter().filter_map(|name| alternative_name(name, kind)).nth(index)
        }
    }
}

fn alternative_name(name: &GeneralName<'_>, kind: SanType) -> Option<String> {
    match (kind, name) {
        (SanType::Dns, GeneralName::DNSName(text))
        | (SanType::Email, GeneralName::RFC822Name(text))
        | (SanType::Uri, GeneralName::URI(text)) => Some((*text).to_owned()),
        (SanType::Ip, GeneralName::IPAddress(bytes)) => {
            let four = <[u8; 4]>::try_from(*bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
            let sixteen =
                || <[u8; 16]>::try_from(*bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
            four.or_else(|_| sixteen()).ok()
        }
        _ => None,
    }
}

/// The last part first, as RFC 4514 has it.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> =
        name.iter_rdn().map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+")).collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let registry = x509_parser::objects::oid_registry();
    let name = x509_parser::objects::oid2abbrev(attribute.attr_type(), registry)
        .map_or_else(|_| attribute.attr_type().to_id_string(), str::to_owned);
    let value = attribute.as_str().map_or_else(|_| "?".to_owned(), escaped);
    format!("{name}={value}")
}

/// RFC 4514 §2.4, so that no value can pass for more than one attribute.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, letter) in value.chars().enumerate() {
        let at_an_end = letter == ' ' && (at == 0 || at == last) || letter == '#' && at == 0;
        if at_an_end || matches!(letter, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}

/// As RFC 3339 has it.
fn time(time: ASN1Time) -> String {
    let time = time.to_datetime();
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType as Alternative, date_time_ymd};

    fn certificate(build: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.not_before = date_time_ymd(2026, 1, 2);
        params.not_after = date_time_ymd(2036, 12, 31);
        build(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn check(der: &[u8], login: CertificateLogin, expected: Option<&str>) {
        let read = read(der, login).unwrap();
        assert_eq!(read.user.as_deref(), expected, "{login:?}");
    }

    #[test]
    fn users_are_named_by_the_certificate() {
        let der = certificate(|params| {
            params.distinguished_name.push(DnType::OrganizationName, "Bank, Ltd.");
            params.distinguished_name.push(DnType::CommonName, "teller-1");
            params.subject_alt_names = vec![
                Alternative::DnsName("one.example".try_into().unwrap()),
                Alternative::DnsName("two.example".try_into().unwrap()),
                Alternative::Rfc822Name("teller@example".try_into().unwrap()),
                Alternative::IpAddress("10.0.0.7".parse().unwrap()),
                Alternative::IpAddress("fe80::7".parse().unwrap()),
                Alternative::URI("spiffe://example/teller".try_into().unwrap()),
            ];
        });
        let san = |kind, index| CertificateLogin::SubjectAlternativeName(kind, index);
        check(&der, CertificateLogin::DistinguishedName, Some("CN=teller-1,O=Bank\\, Ltd."));
        check(&der, CertificateLogin::CommonName, Some("teller-1"));
        check(&der, san(SanType::Dns, 0), Some("one.example"));
        check(&der, san(SanType::Dns, 1), Some("two.example"));
        check(&der, san(SanType::Dns, 2), None);
        check(&der, san(SanType::Email, 0), Some("teller@example"));
        check(&der, san(SanType::Ip, 0), Some("10.0.0.7"));
        check(&der, san(SanType::Ip, 1), Some("fe80::7"));
        check(&der, san(SanType::Uri, 0), Some("spiffe://example/teller"));
        let shown = read(&der, CertificateLogin::CommonName).unwrap();
        assert_eq!(shown.issuer, shown.subject);
        assert_eq!(shown.validity, "2026-01-02T00:00:00Z - 2036-12-31T00:00:00Z");
    }

    #[test]
    fn a_certificate_without_the_name_names_nobody() {
        let der = certificate(|_| {});
        check(&der, CertificateLogin::DistinguishedName, None);
        check(&der, CertificateLogin::CommonName, None);
        check(&der, CertificateLogin::SubjectAlternativeName(SanType::Dns, 0), None);
        assert_eq!(read(b"\x30\x82", CertificateLogin::CommonName), None);
    }

    #[test]
    fn no_value_passes_for_another_attribute() {
        let der = certificate(|params| params.distinguished_name.push(DnType::CommonName, "eve,CN=admin"));
        check(&der, CertificateLogin::DistinguishedName, Some("CN=eve\\,CN=admin"));
        for (value, expected) in
            [("a b", "a b"), (" a ", "\\ a\\ "), ("#a#", "\\#a#"), ("a+b\\c", "a\\+b\\\\c")]
        {
            assert_eq!(escaped(value), expected);
        }
    }

    #[test]
    fn a_certificate_is_written_as_it_was_read() {
        let certificate = CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap();
        let written = pem(&[certificate.der(), certificate.der()]);
        assert_eq!(written, certificate.pem().replace('\r', "").repeat(2));
        assert_eq!(pem(&[[0; 0]; 0]), "");
    }
}
