//! Connections and channels as `list_connections` and `list_channels` show them.

use super::row;
use crate::cli::control::Row;
use crate::connection::ConnectionReport;
use crate::vhost::report::ChannelReport;
use serde_json::json;

/// Columns of [`channel_row`].
pub const CHANNEL_COLUMNS: &[&str] = &[
    "pid",
    "connection",
    "name",
    "number",
    "user",
    "vhost",
    "transactional",
    "confirm",
    "consumer_count",
    "messages_unacknowledged",
    "messages_uncommitted",
    "acks_uncommitted",
    "messages_unconfirmed",
    "prefetch_count",
    "global_prefetch_count",
    "state",
];
/// Columns of [`connection_row`].
pub const CONNECTION_COLUMNS: &[&str] = &[
    "pid",
    "name",
    "user",
    "vhost",
    "peer_host",
    "peer_port",
    "host",
    "port",
    "state",
    "channels",
    "protocol",
    "auth_mechanism",
    "ssl",
    "ssl_protocol",
    "ssl_key_exchange",
    "ssl_cipher",
    "ssl_hash",
    "peer_cert_subject",
    "peer_cert_issuer",
    "peer_cert_validity",
    "timeout",
    "frame_max",
    "channel_max",
    "user_provided_name",
    "client_properties",
    "recv_oct",
    "recv_cnt",
    "send_oct",
    "send_cnt",
    "send_pend",
    "connected_at",
];
/// A channel's row. `user` and `connection_name` are those of its connection.
pub fn channel_row(vhost: &str, channel: &ChannelReport, connection_name: &str, user: &str) -> Row {
    // Those of a transaction are kept by it, uncounted.
    let acks_uncommitted = if channel.transactional { json!("") } else { json!(0) };
    row([
        ("pid", json!(channel_name(connection_name, channel.number))),
        ("connection", json!(connection_name)),
        ("name", json!(channel_name(connection_name, channel.number))),
        ("number", json!(channel.number)),
        ("user", json!(user)),
        ("vhost", json!(vhost)),
        ("transactional", json!(channel.transactional)),
        ("confirm", json!(channel.confirm)),
        ("consumer_count", json!(channel.consumer_count)),
        ("messages_unacknowledged", json!(channel.messages_unacknowledged)),
        ("messages_uncommitted", json!(channel.messages_uncommitted)),
        ("acks_uncommitted", acks_uncommitted),
        ("messages_unconfirmed", json!(channel.messages_unconfirmed)),
        ("prefetch_count", json!(channel.prefetch_count)),
        ("global_prefetch_count", json!(channel.global_prefetch_count)),
        // One that is closed is in no report.
        ("state", json!("running")),
    ])
}

/// A connection's row.
pub fn connection_row(connection: &ConnectionReport) -> Row {
    let (tls, traffic) = (connection.tls.as_deref(), connection.traffic);
    let certificate = tls.and_then(|tls| tls.certificate.as_ref());
    let text = |text: Option<&String>| json!(text.map(String::as_str).unwrap_or_default());
    row([
        ("pid", json!(connection.id.0.to_string())),
        ("name", json!(connection_name(connection))),
        ("user", json!(connection.user.as_deref().unwrap_or_default())),
        ("vhost", json!(connection.vhost.as_deref().unwrap_or_default())),
        ("peer_host", json!(connection.peer.remote.ip().to_string())),
        ("peer_port", json!(connection.peer.remote.port())),
        ("host", json!(connection.peer.local.ip().to_string())),
        ("port", json!(connection.peer.local.port())),
        ("state", json!(connection.state)),
        ("channels", json!(connection.channels.len())),
        ("protocol", json!("{0,9,1}")),
        ("auth_mechanism", json!(connection.mechanism)),
        ("ssl", json!(tls.is_some())),
        ("ssl_protocol", text(tls.map(|tls| &tls.protocol))),
        ("ssl_key_exchange", text(tls.map(|tls| &tls.key_exchange))),
        ("ssl_cipher", text(tls.map(|tls| &tls.cipher))),
        ("ssl_hash", text(tls.map(|tls| &tls.hash))),
        ("peer_cert_subject", text(certificate.map(|certificate| &certificate.subject))),
        ("peer_cert_issuer", text(certificate.map(|certificate| &certificate.issuer))),
        ("peer_cert_validity", text(certificate.map(|certificate| &certificate.validity))),
        ("timeout", json!(connection.heartbeat_s)),
        ("frame_max", json!(connection.frame_bytes_max)),
        ("channel_max", json!(connection.channels_max)),
        ("user_provided_name", json!(connection.name.as_deref().unwrap_or_default())),
        ("client_properties", json!(connection.client.as_deref().unwrap_or_default())),
        ("recv_oct", json!(traffic.received_bytes)),
        ("recv_cnt", json!(traffic.received_count)),
        ("send_oct", json!(traffic.sent_bytes)),
        ("send_cnt", json!(traffic.sent_count)),
        ("send_pend", json!(traffic.unsent_bytes)),
        ("connected_at", json!(connection.connected_unix_ms)),
    ])
}

/// What operators call a connection: `127.0.0.1:40000 -> 127.0.0.1:5672`.
pub fn connection_name(connection: &ConnectionReport) -> String {
    format!("{} -> {}", connection.peer.remote, connection.peer.local)
}

/// What operators call a channel: its connection's name and its number.
pub fn channel_name(connection_name: &str, number: u16) -> String {
    format!("{connection_name} ({number})")
}
