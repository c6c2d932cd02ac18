//! What TLS says of a connection: how it is encrypted, and who the peer's certificate is for. Plain data, made by the
//! driver; names as RabbitMQ shows them.

/// A connection with TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSession {
    /// `tlsv1.2` or `tlsv1.3`.
    pub protocol: String,
    /// E.g. `ecdhe_rsa`; `any` in TLS 1.3, where it is no part of the cipher suite.
    pub key_exchange: String,
    /// E.g. `aes_256_gcm`.
    pub cipher: String,
    /// What protects the integrity: `aead`.
    pub hash: String,
    /// The peer's certificate, which was verified.
    pub certificate: Option<PeerCertificate>,
}

/// What a client's certificate says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Whose it is, as in RFC 4514: `CN=client,O=example`.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// From when to when it is valid, UTC: `2026-01-01T00:00:00Z - 2027-01-01T00:00:00Z`.
    pub validity: String,
    /// The user that logs in with it by EXTERNAL; `None` if it holds no such name.
    pub user: Option<String>,
}
