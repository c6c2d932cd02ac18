//! Settings of who gets in and how: TLS, names in certificates, and the networks that proxies are in.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// The files of TLS, and what is asked of clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// Our certificate and what leads from it to an authority, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Who may sign clients' certificates, PEM.
    pub authorities: Option<PathBuf>,
    /// Who must show a certificate.
    pub verify: TlsVerify,
}

/// A file with public keys that sign tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    /// What tokens call a key in it that has no name of its own; `None` = they need not.
    pub id: Option<String>,
    /// Where it is.
    pub path: PathBuf,
}

/// A server that publishes such keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwksConfig {
    /// Where its key set is; empty = nowhere, or where its issuer says.
    pub url: String,
    /// The issuer, whose description says where the key set is; empty = none.
    pub issuer: String,
    /// A file with those who may sign the server's certificate, PEM; `None` = whom this system believes.
    pub authorities: Option<PathBuf>,
    /// It may be asked without TLS although it is on another machine.
    pub plain_is_good: bool,
    /// Time between two requests, seconds.
    pub refresh_s: u64,
    /// Time between two requests because a token names a key that is not there, seconds.
    pub retry_s: u64,
}

impl Default for JwksConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            issuer: String::new(),
            authorities: None,
            plain_is_good: false,
            refresh_s: 3_600,
            retry_s: 30,
        }
    }
}

impl KeyFile {
    /// Reads `FILE` or `ID=FILE`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (id, path) = match text.split_once('=') {
            Some((id, path)) if !id.contains('/') => (Some(id.trim().to_owned()), path.trim()),
            _ => (None, text),
        };
        let is_named = id.as_ref().is_none_or(|id| !id.is_empty());
        (is_named && !path.is_empty()).then(|| Self { id, path: PathBuf::from(path) })
    }
}

impl fmt::Display for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = &self.id {
            write!(f, "{id}=")?;
        }
        write!(f, "{}", self.path.display())
    }
}

/// Who must show a certificate. Source: RabbitMQ `ssl_options.verify`, `ssl_options.fail_if_no_peer_cert`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVerify {
    /// Nobody is asked for one.
    #[default]
    Nobody,
    /// Who shows one must show a good one.
    Who,
    /// Everybody must.
    Everybody,
}

/// Where in a certificate the name of its user is. Source: RabbitMQ `ssl_cert_login_from`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CertificateLogin {
    /// The whole subject, as in RFC 4514.
    #[default]
    DistinguishedName,
    /// The common name of the subject.
    CommonName,
    /// An alternative name: of this kind, and the how manieth of them, counted from 0.
    SubjectAlternativeName(SanType, usize),
}

/// Kinds of alternative names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SanType {
    /// A host name.
    Dns,
    /// An address.
    Ip,
    /// An address of mail.
    Email,
    /// A URI.
    Uri,
}

impl CertificateLogin {
    /// Reads `distinguished_name`, `common_name`, or `subject_alternative_name:dns:0`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.split(':').collect::<Vec<_>>()[..] {
            ["distinguished_name"] => Some(Self::DistinguishedName),
            ["common_name"] => Some(Self::CommonName),
            ["subject_alternative_name"] => Some(Self::SubjectAlternativeName(SanType::Dns, 0)),
            ["subject_alternative_name", kind] => {
                Some(Self::SubjectAlternativeName(SanType::parse(kind)?, 0))
            }
            ["subject_alternative_name", kind, index] => {
                Some(Self::SubjectAlternativeName(SanType::parse(kind)?, index.parse().ok()?))
            }
            _ => None,
        }
    }
}

impl fmt::Display for CertificateLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DistinguishedName => f.write_str("distinguished_name"),
            Self::CommonName => f.write_str("common_name"),
            Self::SubjectAlternativeName(kind, index) => {
                write!(f, "subject_alternative_name:{}:{index}", kind.name())
            }
        }
    }
}

impl SanType {
    fn parse(text: &str) -> Option<Self> {
        [Self::Dns, Self::Ip, Self::Email, Self::Uri].into_iter().find(|kind| kind.name() == text)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Ip => "ip",
            Self::Email => "email",
            Self::Uri => "uri",
        }
    }
}

/// A network: an address and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `10.0.0.0/8`, `fd00::/8`, or an address, which is a network of one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most)?,
            None => most,
        };
        Some(Self { address, bits })
    }

    /// Whether the address is in it. An IPv4 address within IPv6 is one of IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_addresses() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.0"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("10.1.2.3/31", "::ffff:10.1.2.2", "10.1.2.4"),
            ("0.0.0.0/0", "203.0.113.9", "::1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::1", "::1", "127.0.0.1"),
        ] {
            let network = Network::parse(network).unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{network} {outside}");
            assert_eq!(Network::parse(&network.to_string()), Some(network));
        }
        for text in ["", "10.0.0.0/33", "10.0.0/8", "fd00::/129", "10.0.0.0/-1", "10.0.0.0/", "example.org"] {
            assert_eq!(Network::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn files_of_keys_may_have_a_name_for_their_key() {
        for (text, expected) in [
            ("/etc/keys.json", Some((None, "/etc/keys.json"))),
            ("main=/etc/main.pem", Some((Some("main"), "/etc/main.pem"))),
            ("/etc/a=b.pem", Some((None, "/etc/a=b.pem"))),
            ("=/etc/main.pem", None),
            ("main=", None),
            ("", None),
        ] {
            let read = KeyFile::parse(text);
            let seen = read.as_ref().map(|file| (file.id.as_deref(), file.path.to_str().unwrap()));
            assert_eq!(seen, expected, "{text}");
            assert!(read.is_none_or(|file| file.to_string() == text));
        }
    }

    #[test]
    fn places_of_names_are_read_back() {
        for text in [
            "distinguished_name",
            "common_name",
            "subject_alternative_name:dns:0",
            "subject_alternative_name:email:2",
        ] {
            assert_eq!(CertificateLogin::parse(text).unwrap().to_string(), text);
        }
        for text in
            ["", "name", "common_name:1", "subject_alternative_name:x", "subject_alternative_name:ip:x"]
        {
            assert_eq!(CertificateLogin::parse(text), None, "{text:?}");
        }
    }
}
