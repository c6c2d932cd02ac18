//! How long the certificates in use stay good, for operators who want to know in time. What counts is what handshakes
//! use, not what lies in the files meanwhile.

use super::broker::Broker;
use super::certificate::Validity;
use std::net::SocketAddr;

/// A listener with a certificate that is over soon, or not good yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiringListener {
    /// What is spoken there.
    pub protocol: &'static str,
    /// Where.
    pub address: SocketAddr,
    /// The file of its certificate.
    pub certificate_file: String,
    /// The file with those who may sign clients' certificates; empty if there is none.
    pub authorities_file: String,
    /// When those of the first file are over that will be soon.
    pub certificates: Vec<String>,
    /// The same of the second.
    pub authorities: Vec<String>,
}

/// The ends of those that are not good now or will not be at `until`.
fn ends_before(validities: &[Validity], now_unix_s: i64, until_unix_s: i64) -> Vec<String> {
    let ends = |one: &&Validity| one.not_after_unix_s < until_unix_s || one.not_before_unix_s > now_unix_s;
    validities.iter().filter(ends).map(|one| one.shown.clone()).collect()
}

impl Broker {
    /// The listeners whose certificates are not good for `seconds` from now.
    pub fn expiring_listeners(&self, seconds: u64) -> Vec<ExpiringListener> {
        let Some(tls) = &self.tls else { return Vec::new() };
        let now_unix_s = i64::try_from(self.clock.unix_ms() / 1000).unwrap_or(i64::MAX);
        let until_unix_s = now_unix_s.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX));
        let (own, authorities) = tls.validities();
        let certificates = ends_before(&own, now_unix_s, until_unix_s);
        let authorities = ends_before(&authorities, now_unix_s, until_unix_s);
        let (certificate_file, authorities_file) = tls.file_names();
        let doors = [
            ("amqp/ssl", self.config.tls_listen, authorities),
            // Nobody is asked for a certificate there.
            ("https", self.config.https_listen, Vec::new()),
        ];
        doors
            .into_iter()
            .filter_map(|(protocol, address, authorities)| {
                let is_affected = !certificates.is_empty() || !authorities.is_empty();
                Some(ExpiringListener {
                    protocol,
                    address: address.filter(|_| is_affected)?,
                    certificate_file: certificate_file.clone(),
                    authorities_file: authorities_file.clone(),
                    certificates: certificates.clone(),
                    authorities,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::certificate::validity;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    #[test]
    fn a_certificate_is_told_once_its_end_is_near() {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 3, 1);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(validity(b"nonsense"), None);
        let read = [validity(certificate.der()).unwrap()];
        let (begin, end) = (read[0].not_before_unix_s, read[0].not_after_unix_s);
        assert_eq!(end - begin, (31 + 28) * 86_400);
        assert_eq!(ends_before(&read, begin, end), [""; 0]);
        assert_eq!(ends_before(&read, begin, end + 1), ["2026-03-01T00:00:00Z"]);
        assert_eq!(ends_before(&read, begin - 1, begin), ["2026-03-01T00:00:00Z"], "it is not good yet");
    }
}
