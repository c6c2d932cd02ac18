//! The socket of a connection that never blocks: plain, or with TLS, where the broker's certificate must be signed by an authority we
//! trust and be for the name we asked for.

use super::error::ClientError;
use super::target::Target;
use crate::limits::TLS_FETCH_BYTES;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, BufReader, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

/// See the file's head.
pub(in crate::cli) enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, Fetching>>),
}

impl Socket {
    /// Takes a TCP connection that does not block; the handshake of TLS goes with what is read and written first.
    pub(super) fn new(stream: TcpStream, target: &Target) -> Result<Self, ClientError> {
        let Some(authorities) = &target.authorities else { return Ok(Self::Plain(stream)) };
        let name = ServerName::try_from(target.host.clone()).map_err(|error| {
            ClientError::Usage(format!("{:?} cannot be in a certificate: {error}", target.host))
        })?;
        let session = ClientConnection::new(Arc::new(trusting(authorities)?), name)
            .map_err(|error| ClientError::Usage(error.to_string()))?;
        Ok(Self::Tls(Box::new(StreamOwned::new(session, Fetching::new(stream)))))
    }

    /// The TCP connection, to wait for.
    pub(in crate::cli) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0.get_ref(),
        }
    }

    /// Whether bytes that have come may be left when there is nothing to wait for at the TCP connection.
    pub(super) fn may_hold_back(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whether bytes that were taken wait for room in the kernel.
    pub(super) fn wants_write(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.conn.wants_write(),
        }
    }

    /// Hands on what was taken, as far as it goes now.
    pub(super) fn push(&mut self) -> io::Result<()> {
        match self.flush() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            flushed => flushed,
        }
    }
}

impl Read for Socket {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(room),
            Self::Tls(stream) => stream.read(room),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// rustls asks the system for a record at a time: this fetches many at once.
pub(in crate::cli) struct Fetching(BufReader<TcpStream>);

impl Fetching {
    fn new(stream: TcpStream) -> Self {
        Self(BufReader::with_capacity(TLS_FETCH_BYTES, stream))
    }
}

impl Read for Fetching {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.read(room)
    }
}

impl Write for Fetching {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.get_mut().write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}

fn trusting(authorities: &Path) -> Result<ClientConfig, ClientError> {
    let unusable = |error: &dyn std::fmt::Display| {
        ClientError::Usage(format!("no authorities in {}: {error}", authorities.display()))
    };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(authorities).map_err(|error| unusable(&error))?;
    // One that is not understood signs nothing; the others are as good as before.
    let (taken, _) = roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    if taken == 0 {
        return Err(unusable(&"the file holds no certificate"));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| unusable(&error))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
