//! The AMQP listeners: accept clients, see to what comes before AMQP (the header of a proxy, the handshake of TLS), and
//! start their tasks. Keeps enough file descriptors for the store: above its
//! bound, and when the system has none left, clients are turned away instead of left waiting.

use super::broker::{Broker, Stage};
use super::connection_task::{Arrival, ConnectionTask};
use super::error::ServeError;
use super::proxy_header::{self, Proxied};
use super::tls_socket::TlsSocket;
use crate::auth::Tally;
use crate::connection::Peer;
use crate::limits::{LISTEN_BACKLOG, RESERVED_FILES, TLS_HANDSHAKE_MS};
use socket2::SockRef;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

/// A peer that takes no bytes for this long is gone, ms.
const USER_TIMEOUT_MS: u64 = 60_000;
/// Pause after the system refused to accept, ms: whatever it lacks does not come back sooner.
const PAUSE_MS: u64 = 100;
/// Refused clients are logged at most this often, ms.
const LOG_EVERY_MS: u64 = 5_000;

/// Takes an address, before clients can connect to it: a busy address is found before a long recovery.
pub(super) fn bind(address: SocketAddr) -> Result<TcpSocket, ServeError> {
    let bind = || -> io::Result<TcpSocket> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    bind().map_err(ServeError::io(format!("cannot listen on {address}")))
}

/// Lets clients connect.
pub(super) fn listen(socket: TcpSocket) -> Result<TcpListener, ServeError> {
    socket.listen(LISTEN_BACKLOG).map_err(ServeError::io("cannot listen"))
}

/// Accepts clients until the broker stops; with TLS if so said.
pub(super) async fn accept(broker: Arc<Broker>, listener: TcpListener, with_tls: bool) {
    let connections_max = connections_max();
    let mut reserve = open_reserve();
    let mut refused = Refused::default();
    let arriving = Tally::default();
    let stopping = {
        let broker = Arc::clone(&broker);
        async move { broker.reached(Stage::Stopping).await }
    };
    tokio::pin!(stopping);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopping => return,
        };
        let now_ms = broker.clock.now_ms();
        let count = broker.connections.count() + usize::try_from(arriving.count()).unwrap_or(usize::MAX);
        match accepted {
            Ok((stream, remote)) if count < connections_max => {
                start(&broker, stream, remote, with_tls, &arriving);
            }
            Ok((stream, _)) => {
                drop(stream);
                refused.note(now_ms, "as many connections as file descriptors allow");
            }
            Err(error) if is_peers_fault(&error) => {
                debug!(%error, "a client was gone before it was accepted");
            }
            Err(error) => {
                refused.note(now_ms, &error.to_string());
                // The reserved descriptor lets one waiting client be turned away, rather than left to wait.
                drop(reserve.take());
                let turned_away = timeout(Duration::from_millis(PAUSE_MS), listener.accept()).await;
                drop(turned_away);
                reserve = open_reserve();
                sleep(Duration::from_millis(PAUSE_MS)).await;
            }
        }
    }
}

fn start(broker: &Arc<Broker>, stream: TcpStream, remote: SocketAddr, with_tls: bool, arriving: &Tally) {
    let prepared = stream.set_nodelay(true).and_then(|()| {
        SockRef::from(&stream).set_tcp_user_timeout(Some(Duration::from_millis(USER_TIMEOUT_MS)))?;
        stream.local_addr()
    });
    let local = match prepared {
        Ok(local) => local,
        Err(error) => return debug!(%error, client = %remote, "a client was gone at once"),
    };
    let peer = Peer { remote, local };
    let arrival = Arrival { peer, is_local: peer.is_local(), tls: None };
    let is_proxied = broker.config.proxy_networks.iter().any(|network| network.contains(remote.ip()));
    if !is_proxied && !with_tls {
        tokio::spawn(ConnectionTask::new(Arc::clone(broker), stream, arrival).run());
        return;
    }
    // Counted until its task counts it; nothing limits this count itself, so it is never refused.
    let Ok(counted) = arriving.take(None) else { return };
    let broker = Arc::clone(broker);
    tokio::spawn(async move {
        let within = Duration::from_millis(TLS_HANDSHAKE_MS);
        let arrived = timeout(within, arrive(&broker, stream, arrival, is_proxied, with_tls)).await;
        let said = match arrived {
            Ok(Ok(Arrived::Plain(stream, arrival))) => {
                let task = ConnectionTask::new(Arc::clone(&broker), stream, arrival);
                drop(counted);
                return task.run().await;
            }
            Ok(Ok(Arrived::Tls(stream, arrival))) => {
                let task = ConnectionTask::new(Arc::clone(&broker), *stream, arrival);
                drop(counted);
                return task.run().await;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) if with_tls => "took too long over its TLS handshake".to_owned(),
            Err(_) => "took too long over its PROXY header".to_owned(),
        };
        broker.tell_of_client(peer.remote, &said);
    });
}

/// A client whose connection is ready for AMQP.
enum Arrived {
    Plain(TcpStream, Arrival),
    Tls(Box<TlsSocket>, Arrival),
}

/// What comes before AMQP: the header of a proxy, and the handshake of TLS.
async fn arrive(
    broker: &Broker,
    mut stream: TcpStream,
    mut arrival: Arrival,
    is_proxied: bool,
    with_tls: bool,
) -> io::Result<Arrived> {
    if is_proxied {
        // Whoever it says it is, it is not this machine: only a peer's own address says that.
        arrival.is_local = false;
        if let Some(Proxied { remote, local }) = proxy_header::read(&mut stream).await? {
            arrival.peer = Peer { remote, local };
        }
    }
    match &broker.tls {
        Some(tls) if with_tls => {
            let (stream, session) = tls.shake_hands(stream).await?;
            arrival.tls = Some(session);
            Ok(Arrived::Tls(Box::new(stream), arrival))
        }
        Some(_) | None => Ok(Arrived::Plain(stream, arrival)),
    }
}

/// Errors of accept that say nothing of us. Source: accept(2).
fn is_peers_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::TimedOut
    )
}

/// Connections there may be: the process's limit on open files, less what the store and the listeners need.
fn connections_max() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let files =
        line.and_then(|line| line.split_whitespace().next()).and_then(|soft| soft.parse::<usize>().ok());
    files.map_or(usize::MAX, |files| files.saturating_sub(RESERVED_FILES).max(1))
}

fn open_reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Clients turned away, logged in sums.
#[derive(Debug, Default)]
struct Refused {
    count: u64,
    logged_ms: Option<u64>,
}

impl Refused {
    fn note(&mut self, now_ms: u64, reason: &str) {
        self.count += 1;
        if self.logged_ms.is_none_or(|logged_ms| now_ms >= logged_ms + LOG_EVERY_MS) {
            warn!(count = self.count, reason, "clients were turned away");
            *self = Self { count: 0, logged_ms: Some(now_ms) };
        }
    }
}
