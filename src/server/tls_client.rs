//! TLS when the broker is the client: of servers of keys, of directories, of collectors of traces. Their certificates are checked always, against
//! the authorities of a file or those of the system.

use super::tls::certificates;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Whom to believe.
pub(super) type Trust = Arc<ClientConfig>;

/// Whom to believe: the authorities of `file`, or those of the system. Reads files: not for threads that serve others.
///
/// # Errors
/// A sentence for the log.
pub(super) fn trusting(file: Option<&Path>) -> Result<Trust, String> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(path) => {
            for authority in certificates(path)? {
                roots.add(authority).map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        None => {
            // What of the system's cannot be read is missed when a server needs it.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(
                    "this system has no certificates of authorities; name a file with them".to_owned()
                );
            }
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Shakes hands with `host`, which must be what its certificate says.
///
/// # Errors
/// What went wrong.
pub(super) async fn connect(config: Trust, host: &str, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    TlsConnector::from(config).connect(name, tcp).await
}
