//! The broker's public face: what the HTTP side may look at and order. Everything it changes goes the way that operators'
//! orders go (durable before it is answered).

use super::broker::Broker;
use super::connections::Acquaintance;
use super::login_counts::Door;
use super::mail::ConnectionMail;
use super::on_behalf::on_behalf_of;
use super::proxy_header::{self, Proxied};
use super::survey::Listed;
use super::telemetry::HttpSpan;
use super::tokens::LoggedIn;
use super::vhost_about::VhostAbout;
use crate::auth::{Accounts, AccountsError};
use crate::connection::{ConnectionReport, Login, Peer};
use crate::definitions::DefinitionChange;
use crate::limits::{HTTP_SEND_BUFFER_BYTES, TLS_HANDSHAKE_MS};
use crate::queue::QueueKind;
use crate::vhost::command::ConnectionId;
use crate::vhost::figures::VhostFigures;
use crate::vhost::input::{AdminCommand, AdminReply, Operator};
use crate::vhost::views::{Look, Seen};
use socket2::SockRef;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tracing::info;

/// Who is at the other end of an HTTP connection.
#[derive(Clone, Copy, Debug)]
pub struct HttpClient {
    /// The addresses, of the client and ours; as a proxy says, if it came by one.
    pub peer: Peer,
    /// Whether it is on this machine; one that came by a proxy is not, whoever it says it is.
    is_local: bool,
}

impl Broker {
    /// Who it is that an HTTP connection comes from: reads the header of a proxy, if it comes from one.
    ///
    /// # Errors
    /// What went wrong; the log has been told.
    pub async fn receive_http(&self, stream: &mut TcpStream, peer: Peer) -> io::Result<HttpClient> {
        // Left to itself the system keeps megabytes, and says of a slow reader for minutes that it reads nothing.
        SockRef::from(&*stream).set_send_buffer_size(HTTP_SEND_BUFFER_BYTES)?;
        let networks = &self.config.http_proxy_networks;
        if !networks.iter().any(|network| network.contains(peer.remote.ip())) {
            return Ok(HttpClient { peer, is_local: peer.is_local() });
        }
        let within = Duration::from_millis(TLS_HANDSHAKE_MS);
        let read = timeout(within, proxy_header::read(stream)).await.unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, "took too long over its PROXY header"))
        });
        let said = read.inspect_err(|error| self.tell_of_client(peer.remote, &error.to_string()))?;
        let peer = said.map_or(peer, |Proxied { remote, local }| Peer { remote, local });
        Ok(HttpClient { peer, is_local: false })
    }

    /// Checks a login that came over HTTP. A refusal is logged, and answered as late as one over AMQP would be.
    pub async fn log_in(&self, user: String, password: String, client: HttpClient) -> Option<LoggedIn> {
        let login = Login { mechanism: "PLAIN", user, password };
        let HttpClient { peer, is_local } = client;
        let checked = self.check_login(&login, &peer, is_local).await;
        self.login_counts.note(Door::Http, checked.is_ok());
        match checked {
            Ok(user) => Some(user),
            Err(why) => {
                self.directory.events().tell_http_refusal(&login.user, peer);
                let wait_ms = self.note_refusal(peer.remote.ip());
                if self.client_lines.admit(self.clock.now_ms()).is_some() {
                    info!(client = %peer.remote, "HTTP login refused: {why}");
                }
                sleep(Duration::from_millis(wait_ms)).await;
                None
            }
        }
    }

    /// Does what a user asks over HTTP, in that user's name and that of the connection it came by.
    pub async fn on_behalf_of<T>(
        &self,
        user: &Arc<str>,
        client: Option<&HttpClient>,
        work: impl Future<Output = T>,
    ) -> T {
        let connection = client.map(|client| client.peer.to_string().into());
        on_behalf_of(Operator { user: Arc::clone(user), connection }, work).await
    }

    /// Begins the span of a request, within the trace of who asks; `None` if nothing is traced. `header` finds a header,
    /// `route` is the path with the names of its variables.
    pub fn trace_request<'a>(
        &self,
        method: &str,
        route: &str,
        client: Option<&HttpClient>,
        header: impl Fn(&str) -> Option<&'a str>,
    ) -> Option<HttpSpan> {
        self.telemetry.request((method, route), client.map(|client| client.peer), header)
    }

    /// What RabbitMQ's tools call the node: there is one.
    pub fn node_name(&self) -> String {
        format!("{}@localhost", self.config.cluster_name)
    }

    /// The type of queues that name none, where nothing else is said.
    pub fn default_queue_kind(&self) -> QueueKind {
        self.config.default_queue_kind
    }

    /// Time since the start, ms.
    pub fn uptime_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Bytes that nobody can guess.
    pub fn secret_bytes(&self) -> [u8; 32] {
        super::random_bytes()
    }

    /// Who may do what, as it stands now.
    pub fn accounts(&self) -> Arc<Accounts> {
        self.directory.accounts()
    }

    /// Changes users or permissions; returns once the change is durable.
    pub async fn change_accounts(
        &self,
        change: impl FnOnce(&mut Accounts) -> Result<Vec<DefinitionChange>, AccountsError>,
    ) -> Result<(), AccountsError> {
        self.directory.change_accounts(change).await
    }

    /// Whether there is such a vhost.
    pub fn has_vhost(&self, vhost: &str) -> bool {
        self.directory.vhost(vhost).is_some()
    }

    /// What operators said of each vhost, by name.
    pub fn about_vhosts(&self) -> Vec<(Arc<str>, VhostAbout)> {
        self.directory.about_vhosts()
    }

    /// Adds a vhost; nothing happens if it is there. Returns once it is durable.
    pub async fn add_vhost(&self, name: &str, about: VhostAbout) -> Result<(), AccountsError> {
        self.directory.add_vhost(name, about).await
    }

    /// Changes what is said of a vhost, and tells it; returns once that is durable.
    pub async fn change_vhost<E: From<AccountsError>>(
        &self,
        name: &str,
        change: impl FnOnce(&mut VhostAbout) -> Result<(), E>,
    ) -> Result<(), E> {
        self.directory.change_vhost(name, change).await
    }

    /// Deletes a vhost with all it holds; returns once that is durable.
    pub async fn delete_vhost(&self, name: &str) -> Result<(), AccountsError> {
        self.directory.delete_vhost(name).await
    }

    /// Asks a vhost and waits for its answer; `None` if there is no such vhost.
    pub async fn ask(&self, vhost: &str, command: AdminCommand) -> Option<AdminReply> {
        self.directory.vhost(vhost)?.ask(command).await
    }

    /// Looks at a part of a vhost; `None` if there is no such vhost.
    pub async fn look(&self, vhost: &str, look: Look) -> Option<Seen> {
        self.directory.vhost(vhost)?.look(look).await
    }

    /// The names of all queues or exchanges of a vhost, sorted; `None` if there is no such vhost.
    pub async fn names(&self, vhost: &str, kind: Listed) -> Option<Vec<Arc<str>>> {
        self.directory.vhost(vhost)?.names(kind).await
    }

    /// Sums over a vhost; `None` if there is no such vhost.
    pub async fn sums(&self, vhost: &str) -> Option<VhostFigures> {
        self.directory.vhost(vhost)?.sums().await
    }

    /// Whether a vhost answers; it is asked for nothing, so that probes cost nothing.
    pub async fn answers(&self, vhost: &str) -> bool {
        let nothing = Look::Counts { queues: vec![], exchanges: vec![], channels: Some(vec![]) };
        self.look(vhost, nothing).await.is_some()
    }

    /// Connections that opened a vhost, by id; asks none of them.
    pub fn acquaintances(&self) -> Vec<Acquaintance> {
        self.connections.acquaintances()
    }

    /// What there is to see of each connection, by id.
    pub async fn connection_reports(&self) -> Vec<ConnectionReport> {
        self.connections.reports().await
    }

    /// What there is to see of these connections, by id.
    pub async fn connection_reports_of(&self, wanted: &[ConnectionId]) -> Vec<ConnectionReport> {
        let wanted: BTreeSet<_> = wanted.iter().copied().collect();
        self.connections.reports_of(|id| wanted.contains(&id)).await
    }

    /// Closes a connection as an operator; whether it was there.
    pub fn close_connection(&self, id: ConnectionId, reason: &str) -> bool {
        self.connections.tell(id, ConnectionMail::Force(reason.into()))
    }
}
