//! Who may open a vhost: it must be there, the user must have rights in it, and no limit may stand against it. Limits of
//! the node, of the vhost and of the user are counted over all connections; the texts are those RabbitMQ's clients know.
//! Source: RabbitMQ `rabbit_reader:handle_method0(connection.open)`.

use super::connections::Counts;
use super::directory::Directory;
use super::mail::VhostInbox;
use crate::auth::{Accounts, MAX_CONNECTIONS, Tally};
use crate::protocol::reply::{ConnectionCode, ConnectionError};
use crate::vhost::command::ConnectionId;
use std::sync::Arc;

impl Directory {
    /// A vhost for a connection of `user`, and where the user's channels are counted. `connections_max` is the limit of
    /// the node, `accounts` say what the user may do.
    pub(super) fn open_vhost(
        &self,
        id: ConnectionId,
        vhost: &Arc<str>,
        user: &Arc<str>,
        connections_max: Option<u64>,
        accounts: &Accounts,
    ) -> Result<(VhostInbox, Tally), ConnectionError> {
        let open = self.open(vhost);
        self.connections.admit(id, vhost, user, |counts| {
            let Counts { node, vhost: in_vhost, user: of_user } = counts;
            let is_over = |count: u64, limit: Option<u64>| limit.filter(|limit| count >= *limit);
            if let Some(limit) = is_over(node, connections_max) {
                return Err(refused(format!("connection refused: node connection limit ({limit}) is reached")));
            }
            let open = open.ok_or_else(|| refused(format!("vhost {vhost} not found")))?;
            if let Some(limit) = is_over(in_vhost, open.about.limits.get(MAX_CONNECTIONS)) {
                return Err(refused(format!(
                    "access to vhost '{vhost}' refused for user '{user}': connection limit ({limit}) is reached"
                )));
            }
            if let Some(limit) = is_over(of_user, accounts.limit(user, MAX_CONNECTIONS)) {
                return Err(refused(format!(
                    "connection refused for user '{user}': user connection limit ({limit}) is reached"
                )));
            }
            if !accounts.has_access(user, vhost) {
                return Err(refused(format!("access to vhost '{vhost}' refused for user '{user}'")));
            }
            Ok(open.inbox)
        })
    }
}

fn refused(text: String) -> ConnectionError {
    ConnectionError::new(ConnectionCode::NotAllowed, text)
}
