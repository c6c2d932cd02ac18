//! Connections that an operator closes: their clients hear 320 (`CONNECTION_FORCED`) with the operator's explanation.
//! Answered once each connection is told; what it still holds goes as with any close.

use super::broker::Broker;
use super::mail::ConnectionMail;
use crate::cli::control::{ControlResponse, RefusalReason};
use crate::vhost::command::ConnectionId;
use std::time::Duration;
use tokio::time::sleep;
use tracing::{info, warn};

/// Closes the connection of this pid. One that is gone is as good as closed, as RabbitMQ has it.
pub(super) fn one(broker: &Broker, pid: &str, explanation: &str) -> ControlResponse {
    let Ok(id) = pid.parse() else {
        let message = format!("'{pid}' is not the pid of a connection: see list_connections pid name");
        return ControlResponse::refused(RefusalReason::Usage, message);
    };
    close(broker, ConnectionId(id), explanation);
    ControlResponse::Done
}

/// Closes connections of this vhost or of all, at most `limit` (0 = no limit), with a pause after each.
pub(super) async fn all(
    broker: &Broker,
    vhost: Option<&str>,
    limit: u64,
    delay_ms: u64,
    explanation: &str,
) -> ControlResponse {
    let mut ids = broker.connections.opened(|opened, _| vhost.is_none_or(|vhost| vhost == opened));
    if limit > 0 {
        ids.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    for id in &ids {
        close(broker, *id, explanation);
        if delay_ms > 0 {
            sleep(Duration::from_millis(delay_ms)).await;
        }
    }
    ControlResponse::Text { text: format!("Closed {} connections", ids.len()) }
}

/// Closes all connections of a user.
pub(super) fn all_of_user(broker: &Broker, user: &str, explanation: &str) -> ControlResponse {
    for id in broker.connections.opened(|_, opened| opened == user) {
        close(broker, id, explanation);
    }
    ControlResponse::Done
}

fn close(broker: &Broker, id: ConnectionId, explanation: &str) {
    if broker.connections.tell(id, ConnectionMail::Force(explanation.into())) {
        info!(connection = id.0, explanation, "closing a connection for an operator");
    } else {
        warn!(connection = id.0, explanation, "asked to close a connection that is not there");
    }
}
