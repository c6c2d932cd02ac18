//! TLS of the listeners: certificate, key and authorities from files, and the handshake. The files are read again when they
//! change, when somebody asks, and on SIGHUP; connections that are there keep what they were made with. Files that cannot
//! be used are told in the log and change nothing.

use super::broker::{Broker, Stage};
use super::certificate::{self, Validity};
use super::error::ServeError;
use super::tls_socket::TlsSocket;
use crate::config::{CertificateLogin, Config, TlsConfig, TlsVerify};
use crate::connection::TlsSession;
use crate::limits::{TLS_FILES_LOOK_MS, TLS_HANDSHAKE_MS};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ProtocolVersion, RootCertStore, ServerConfig, ServerConnection};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{error, info, warn};

/// See the file's head.
#[derive(Debug)]
pub(super) struct Tls {
    files: TlsConfig,
    login: CertificateLogin,
    current: RwLock<Current>,
    /// What the files looked like when they were last read.
    seen: Mutex<Option<Vec<Stamp>>>,
}

/// What handshakes use now.
#[derive(Clone, Debug)]
struct Current {
    amqp: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
    /// How long our certificates are good, and those of who may sign clients'.
    validities: (Vec<Validity>, Vec<Validity>),
    /// The same certificates as texts.
    pem: (String, String),
}

/// Which file it is, and when it was written: replaced or rewritten, it has another.
pub(super) type Stamp = (u64, u64, i64, i64);

impl Tls {
    /// Reads the files; `None` if no listener wants TLS.
    ///
    /// # Errors
    /// [`ServeError::Configuration`] if they cannot be used.
    pub(super) fn load(config: &Config) -> Result<Option<Self>, ServeError> {
        if config.tls_listen.is_none() && config.https_listen.is_none() {
            return Ok(None);
        }
        let files = config.tls.clone();
        let seen = stamps(&files);
        let current = build(&files).map_err(ServeError::Configuration)?;
        Ok(Some(Self {
            files,
            login: config.certificate_login,
            current: RwLock::new(current),
            seen: Mutex::new(seen),
        }))
    }

    /// Reads the files again, for handshakes from now on.
    ///
    /// # Errors
    /// A sentence for the log; everything stays as it was.
    pub(super) fn reload(&self) -> Result<(), String> {
        let seen = stamps(&self.files);
        let built = build(&self.files);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = built?;
        Ok(())
    }

    fn has_changed(&self) -> bool {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) != stamps(&self.files)
    }

    fn current(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long the certificates in use are good: ours, and those of who may sign clients'.
    pub(super) fn validities(&self) -> (Vec<Validity>, Vec<Validity>) {
        self.current().validities
    }

    /// The certificates in use as texts: ours, and those of who may sign clients'.
    pub(super) fn pem(&self) -> (String, String) {
        self.current().pem
    }

    /// Where both are from; empty if from nowhere.
    pub(super) fn file_names(&self) -> (String, String) {
        let authorities = self.files.authorities.as_ref().map(|path| path.display().to_string());
        (self.files.certificate.display().to_string(), authorities.unwrap_or_default())
    }

    /// Shakes hands with an AMQP client.
    ///
    /// # Errors
    /// What went wrong, for the log; the peer was told as TLS has it.
    pub(super) async fn shake_hands(&self, tcp: TcpStream) -> io::Result<(TlsSocket, TlsSession)> {
        let (tcp, tls) = accept(self.current().amqp, tcp).await?.into_inner();
        let session = session(&tls, self.login);
        Ok((TlsSocket::new(tcp, tls), session))
    }
}

async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    config: Arc<ServerConfig>,
    socket: S,
) -> io::Result<TlsStream<S>> {
    TlsAcceptor::from(config).accept(socket).await
}

/// TLS for the HTTP side: the same certificate, and no client is asked for one.
#[derive(Clone, Debug)]
pub struct Https {
    broker: Arc<Broker>,
}

impl Https {
    /// `None` if the broker has no TLS.
    pub(super) fn of(broker: &Arc<Broker>) -> Option<Self> {
        broker.tls.is_some().then(|| Self { broker: Arc::clone(broker) })
    }

    /// Shakes hands, within the time that every handshake has.
    ///
    /// # Errors
    /// What went wrong; the log has been told.
    pub async fn shake_hands(
        &self,
        tcp: TcpStream,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>> {
        let remote = tcp.peer_addr()?;
        let shaken = async {
            let tls = self.broker.tls.as_ref().ok_or(io::ErrorKind::Unsupported)?;
            let handshake = accept(tls.current().http, tcp);
            timeout(Duration::from_millis(TLS_HANDSHAKE_MS), handshake).await.map_err(|_| {
                io::Error::new(io::ErrorKind::TimedOut, "took too long over its TLS handshake")
            })?
        };
        shaken.await.inspect_err(|error| self.broker.tell_of_client(remote, &error.to_string()))
    }
}

impl Broker {
    /// Reads the files of TLS again, as RabbitMQ does when its caches are cleared; nothing to do without TLS.
    ///
    /// # Errors
    /// A sentence for the operator; the certificates that were used are used further.
    pub fn reload_certificates(&self) -> Result<(), String> {
        let Some(tls) = &self.tls else { return Ok(()) };
        tls.reload()?;
        info!(certificate = %tls.files.certificate.display(), "certificates were read again");
        Ok(())
    }
}

/// Reads the files again whenever they change or SIGHUP comes, until the broker stops.
pub(super) async fn watch(broker: Arc<Broker>) {
    if broker.tls.is_none() && broker.tokens.is_none() && broker.ldap.is_none() {
        return;
    }
    let Ok(mut hang_up) = signal(SignalKind::hangup()) else {
        return error!("SIGHUP cannot be listened for; certificates are read at the next start");
    };
    let stopping = broker.reached(Stage::Stopping);
    tokio::pin!(stopping);
    loop {
        let is_asked = tokio::select! {
            _ = hang_up.recv() => true,
            () = sleep(Duration::from_millis(TLS_FILES_LOOK_MS)) => false,
            () = &mut stopping => return,
        };
        if is_asked {
            broker.forget_directory_logins();
        }
        if (is_asked || broker.tls.as_ref().is_some_and(Tls::has_changed))
            && let Err(why) = broker.reload_certificates()
        {
            warn!(why, "certificates cannot be used; those from before are");
        }
        if let Some(tokens) = &broker.tokens
            && (is_asked || tokens.has_changed())
        {
            match tokens.reload() {
                Ok(()) => info!("keys of tokens were read again"),
                Err(why) => warn!(why, "keys of tokens cannot be used; those from before are"),
            }
        }
    }
}

fn stamps(files: &TlsConfig) -> Option<Vec<Stamp>> {
    let paths = [&files.certificate, &files.key].into_iter().chain(&files.authorities);
    paths.map(|path| stamp(path)).collect()
}

/// `None` if it is not there.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    let about = fs::metadata(path).ok()?;
    Some((about.ino(), about.size(), about.mtime(), about.mtime_nsec()))
}

fn build(files: &TlsConfig) -> Result<Current, String> {
    let provider = Arc::new(ring::default_provider());
    let verified = build_for(files, &provider, files.verify)?;
    // Browsers ask their user for a certificate when one is wanted: HTTP logs in with a name.
    let mut open = build_for(files, &provider, TlsVerify::Nobody)?;
    open.alpn_protocols = vec![b"http/1.1".to_vec()];
    let authorities = files.authorities.as_deref().map(certificates).transpose()?.unwrap_or_default();
    let of =
        |chain: &[CertificateDer<'_>]| chain.iter().filter_map(|der| certificate::validity(der)).collect();
    let own = certificates(&files.certificate)?;
    let validities = (of(&own), of(&authorities));
    // Made of what was read, not copied from the file: that may hold the key as well.
    let pem = (certificate::pem(&own), certificate::pem(&authorities));
    Ok(Current { amqp: Arc::new(verified), http: Arc::new(open), validities, pem })
}

fn build_for(
    files: &TlsConfig,
    provider: &Arc<CryptoProvider>,
    verify: TlsVerify,
) -> Result<ServerConfig, String> {
    let certificate = &files.certificate;
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&contents(&files.key)?)
        .map_err(|error| format!("{} holds no private key: {error}", files.key.display()))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?;
    let (builder, verifies) = match (verify, &files.authorities) {
        (TlsVerify::Nobody, _) => (builder.with_no_client_auth(), false),
        (TlsVerify::Who | TlsVerify::Everybody, None) => {
            return Err(
                "tls_verify = verify_peer needs tls_ca: who may sign clients' certificates".to_owned()
            );
        }
        (TlsVerify::Who | TlsVerify::Everybody, Some(path)) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(|error| format!("{}: {error}", path.display()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
            let verifier =
                if verify == TlsVerify::Everybody { verifier } else { verifier.allow_unauthenticated() };
            let verifier = verifier.build().map_err(|error| format!("{}: {error}", path.display()))?;
            (builder.with_client_cert_verifier(verifier), true)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| format!("{} with {}: {error}", certificate.display(), files.key.display()))?;
    if verifies {
        // A certificate that ran out, or an authority that is trusted no more, counts from the next connection.
        config.session_storage = Arc::new(NoServerSessionStorage {});
    }
    Ok(config)
}

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = contents(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(format!("{} holds no certificate", path.display())),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("{} holds no certificate: {error}", path.display())),
    }
}

fn contents(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

/// What is said of a connection whose handshake is done.
fn session(tls: &ServerConnection, login: CertificateLogin) -> TlsSession {
    let protocol = match tls.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "tlsv1.2".to_owned(),
        Some(ProtocolVersion::TLSv1_3) => "tlsv1.3".to_owned(),
        other => format!("{other:?}"),
    };
    let suite = tls.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
    let (key_exchange, cipher) = suite_parts(&suite.unwrap_or_default());
    let certificate = tls
        .peer_certificates()
        .and_then(|chain| chain.first())
        .and_then(|end_entity| certificate::read(end_entity, login));
    // rustls knows none without.
    TlsSession { protocol, key_exchange, cipher, hash: "aead".to_owned(), certificate }
}

/// `TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384` is `ecdhe_rsa` and `aes_256_gcm`; what a suite of TLS 1.3 has for key exchange is
/// `any`.
fn suite_parts(suite: &str) -> (String, String) {
    let suite = suite.to_ascii_lowercase();
    let (key_exchange, cipher) = match suite.strip_prefix("tls13_") {
        Some(cipher) => ("any", cipher),
        None => suite.strip_prefix("tls_").and_then(|rest| rest.split_once("_with_")).unwrap_or(("", &suite)),
    };
    let cipher = cipher.rsplit_once("_sha").map_or(cipher, |(cipher, _)| cipher);
    (key_exchange.to_owned(), cipher.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_shown_as_rabbitmq_shows_them() {
        for (suite, key_exchange, cipher) in [
            ("TLS13_AES_256_GCM_SHA384", "any", "aes_256_gcm"),
            ("TLS13_CHACHA20_POLY1305_SHA256", "any", "chacha20_poly1305"),
            ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ecdhe_rsa", "aes_128_gcm"),
            ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ecdhe_ecdsa", "chacha20_poly1305"),
        ] {
            assert_eq!(suite_parts(suite), (key_exchange.to_owned(), cipher.to_owned()), "{suite}");
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let ours = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = path("cert.pem", &ours.cert.pem());
        let key = path("key.pem", &ours.signing_key.serialize_pem());
        let others_key = path("other.pem", &other.signing_key.serialize_pem());
        let empty = path("empty.pem", "");
        let absent = dir.path().join("absent.pem");
        let authorities = Some(certificate.clone());
        let check = |certificate: &Path, key: &Path, authorities: Option<&Path>, verify, expected: &str| {
            let files = TlsConfig {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
                authorities: authorities.map(Path::to_owned),
                verify,
            };
            let said = build(&files).err().unwrap_or_default();
            assert!(
                said.contains(expected) && said.is_empty() == expected.is_empty(),
                "{said:?} {expected:?}"
            );
        };
        check(&certificate, &key, None, TlsVerify::Nobody, "");
        check(&certificate, &key, authorities.as_deref(), TlsVerify::Everybody, "");
        check(&absent, &key, None, TlsVerify::Nobody, "absent.pem cannot be read");
        check(&empty, &key, None, TlsVerify::Nobody, "empty.pem holds no certificate");
        check(&certificate, &empty, None, TlsVerify::Nobody, "empty.pem holds no private key");
        check(&certificate, &others_key, None, TlsVerify::Nobody, "cert.pem with");
        check(&certificate, &key, None, TlsVerify::Who, "tls_verify = verify_peer needs tls_ca");
        check(&certificate, &key, Some(&empty), TlsVerify::Who, "empty.pem holds no certificate");
    }
}
