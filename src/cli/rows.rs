//! Rows of the listings, with rabbitmqctl's names of columns, from the reports of vhosts and connections.
//! The one place that knows the names; the client formats them without knowing what they mean.

use super::control::Row;
use crate::connection::ConnectionReport;
use crate::protocol::table::Table;
use crate::queue::Shown;
use crate::vhost::BindingObject;
use crate::vhost::figures::VhostFigures;
use crate::vhost::report::{ChannelReport, ConsumerReport, ExchangeReport, PolicyReport, QueueReport};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Columns of [`queue_row`].
pub const QUEUE_COLUMNS: &[&str] = &[
    "name",
    "vhost",
    "type",
    "durable",
    "auto_delete",
    "exclusive",
    "owner_pid",
    "arguments",
    "policy",
    "operator_policy",
    "effective_policy_definition",
    "messages",
    "messages_ready",
    "messages_unacknowledged",
    "messages_ram",
    "messages_damaged",
    "message_bytes",
    "message_bytes_ready",
    "message_bytes_unacknowledged",
    "consumers",
    "state",
];
/// Columns of [`exchange_row`].
pub const EXCHANGE_COLUMNS: &[&str] =
    &["name", "vhost", "type", "durable", "auto_delete", "internal", "arguments", "policy"];
/// Columns of [`binding_row`].
pub const BINDING_COLUMNS: &[&str] = &[
    "source_name",
    "source_kind",
    "destination_name",
    "destination_kind",
    "routing_key",
    "arguments",
    "vhost",
];
/// Columns of [`consumer_row`].
pub const CONSUMER_COLUMNS: &[&str] = &[
    "queue_name",
    "channel_pid",
    "consumer_tag",
    "ack_required",
    "prefetch_count",
    "active",
    "activity_status",
    "arguments",
    "exclusive",
    "messages_unacknowledged",
    "vhost",
];
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
    "messages_unconfirmed",
    "prefetch_count",
    "global_prefetch_count",
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
    "user_provided_name",
    "client_properties",
];
/// Columns of [`vhost_row`].
pub const VHOST_COLUMNS: &[&str] = &[
    "name",
    "description",
    "tags",
    "default_queue_type",
    "protected_from_deletion",
    "tracing",
    "cluster_state",
    "messages",
    "connections",
];
/// Columns of [`policy_row`].
pub const POLICY_COLUMNS: &[&str] = &["vhost", "name", "pattern", "apply-to", "definition", "priority"];

/// What operators said of a vhost.
#[derive(Clone, Copy, Debug)]
pub struct VhostDescription<'a> {
    /// For people.
    pub description: &'a str,
    /// For people.
    pub tags: &'a [String],
    /// The type of queues that name none.
    pub default_queue_type: &'static str,
    /// It may not be deleted.
    pub is_protected: bool,
}

/// A row of these columns.
pub fn named<const N: usize>(columns: [(&str, Value); N]) -> Row {
    row(columns)
}

/// A policy's row.
pub fn policy_row(vhost: &str, policy: &PolicyReport) -> Row {
    row([
        ("vhost", json!(vhost)),
        ("name", json!(policy.name)),
        ("pattern", json!(policy.pattern)),
        ("apply-to", json!(policy.apply_to)),
        ("definition", json!(policy.definition)),
        ("priority", json!(policy.priority)),
    ])
}

/// A vhost's row.
pub fn vhost_row(
    name: &str,
    sums: &VhostFigures,
    connection_count: u64,
    about: &VhostDescription<'_>,
) -> Row {
    row([
        ("name", json!(name)),
        ("description", json!(about.description)),
        ("tags", json!(about.tags)),
        ("default_queue_type", json!(about.default_queue_type)),
        ("protected_from_deletion", json!(about.is_protected)),
        ("tracing", json!(sums.tracing)),
        ("cluster_state", json!("running")),
        ("messages", json!(sums.messages_ready + sums.messages_unacknowledged)),
        ("connections", json!(connection_count)),
    ])
}

/// A queue's row. `owner_name` is the name of the connection it is exclusive to.
pub fn queue_row(vhost: &str, queue: &QueueReport, owner_name: Option<&str>) -> Row {
    let messages = queue.messages_ready + queue.messages_unacknowledged;
    row([
        ("name", json!(queue.name)),
        ("vhost", json!(vhost)),
        ("type", json!(queue.kind)),
        ("durable", json!(queue.durable)),
        ("auto_delete", json!(queue.auto_delete)),
        ("exclusive", json!(queue.exclusive)),
        ("owner_pid", json!(owner_name.unwrap_or_default())),
        ("arguments", arguments(&queue.arguments)),
        ("policy", json!(queue.policy)),
        ("operator_policy", json!(queue.operator_policy)),
        ("effective_policy_definition", Value::Object(queue.effective_policy.iter().cloned().collect())),
        ("messages", json!(messages)),
        ("messages_ready", json!(queue.messages_ready)),
        ("messages_unacknowledged", json!(queue.messages_unacknowledged)),
        ("messages_ram", json!(queue.messages_resident)),
        ("messages_damaged", json!(queue.messages_damaged)),
        ("message_bytes", json!(queue.bytes_ready + queue.bytes_unacknowledged)),
        ("message_bytes_ready", json!(queue.bytes_ready)),
        ("message_bytes_unacknowledged", json!(queue.bytes_unacknowledged)),
        ("consumers", json!(queue.consumers)),
        ("state", json!(queue.state)),
    ])
}

/// An exchange's row.
pub fn exchange_row(vhost: &str, exchange: &ExchangeReport) -> Row {
    row([
        ("name", json!(exchange.name)),
        ("vhost", json!(vhost)),
        ("type", json!(exchange.kind)),
        ("durable", json!(exchange.durable)),
        ("auto_delete", json!(exchange.auto_delete)),
        ("internal", json!(exchange.internal)),
        ("arguments", arguments(&exchange.arguments)),
        ("policy", json!(exchange.policy)),
    ])
}

/// A binding's row.
pub fn binding_row(vhost: &str, binding: &BindingObject) -> Row {
    row([
        ("source_name", json!(&*binding.source)),
        ("source_kind", json!("exchange")),
        ("destination_name", json!(&*binding.destination)),
        ("destination_kind", json!(binding.destination_kind.name())),
        ("routing_key", json!(&*binding.binding_key)),
        ("arguments", arguments(&binding.arguments)),
        ("vhost", json!(vhost)),
    ])
}

/// A consumer's row. `connection_name` is `client -> broker` as in [`connection_row`].
pub fn consumer_row(vhost: &str, consumer: &ConsumerReport, connection_name: &str) -> Row {
    let activity = match (consumer.single, consumer.active) {
        (false, _) => "up",
        (true, true) => "single_active",
        (true, false) => "waiting",
    };
    row([
        ("queue_name", json!(consumer.queue)),
        ("channel_pid", json!(channel_name(connection_name, consumer.channel))),
        ("consumer_tag", json!(&*consumer.tag)),
        ("ack_required", json!(consumer.ack_required)),
        ("prefetch_count", json!(consumer.prefetch_count)),
        ("active", json!(consumer.active)),
        ("activity_status", json!(activity)),
        ("arguments", arguments(&consumer.arguments)),
        ("exclusive", json!(consumer.exclusive)),
        ("messages_unacknowledged", json!(consumer.messages_unacknowledged)),
        ("vhost", json!(vhost)),
    ])
}

/// A channel's row. `user` and `connection_name` are those of its connection.
pub fn channel_row(vhost: &str, channel: &ChannelReport, connection_name: &str, user: &str) -> Row {
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
        ("messages_unconfirmed", json!(channel.messages_unconfirmed)),
        ("prefetch_count", json!(channel.prefetch_count)),
        ("global_prefetch_count", json!(channel.global_prefetch_count)),
    ])
}

/// A connection's row.
pub fn connection_row(connection: &ConnectionReport) -> Row {
    let tls = connection.tls.as_deref();
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
        ("user_provided_name", json!(connection.name.as_deref().unwrap_or_default())),
        ("client_properties", json!(connection.client.as_deref().unwrap_or_default())),
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

/// State of the broker, the one row of `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// Product name.
    pub product: String,
    /// Its version.
    pub version: String,
    /// Name of the installation.
    #[serde(default)]
    pub cluster_name: String,
    /// Process id.
    pub pid: u32,
    /// Time since the start, seconds.
    pub uptime_s: u64,
    /// Directory of the store.
    pub data_dir: String,
    /// `address:port` and what is spoken there, e.g. `amqp`.
    pub listeners: Vec<(String, String)>,
    /// Alarms that are on, e.g. `low on disk`.
    pub alarms: Vec<String>,
    /// Resident memory of the process.
    pub memory_bytes: u64,
    /// Memory that message bodies take.
    pub body_memory_bytes: u64,
    /// Space left where the data directory is.
    pub disk_free_bytes: u64,
    /// Below this, publishers are blocked.
    pub disk_low_bytes: u64,
    /// Open connections.
    pub connection_count: u64,
    /// Queues of all vhosts.
    pub queue_count: u64,
    /// Vhosts.
    pub vhost_count: u64,
    /// Messages of all queues, ready and unacknowledged.
    pub message_count: u64,
}

impl StatusReport {
    /// The row of `status`.
    pub fn row(&self) -> Row {
        match serde_json::to_value(self) {
            Ok(Value::Object(row)) => row,
            Ok(_) | Err(_) => Row::new(),
        }
    }
}

fn row<const N: usize>(columns: [(&str, Value); N]) -> Row {
    columns.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Arguments as a JSON object, in order, their values as texts.
fn arguments(table: &Table) -> Value {
    Value::Object(
        table.iter().map(|(name, value)| (name.to_owned(), json!(Shown(&value).to_string()))).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{Peer, Traffic};
    use crate::vhost::command::ConnectionId;
    use crate::vhost::counts::MessageCounts;

    fn check(row: &Row, columns: &[&str]) {
        assert_eq!(row.keys().map(String::as_str).collect::<Vec<_>>(), columns);
    }

    #[test]
    fn rows_have_the_columns_that_may_be_asked_for() {
        let about = VhostDescription {
            description: "",
            tags: &[],
            default_queue_type: "classic",
            is_protected: false,
        };
        check(&vhost_row("v", &VhostFigures::default(), 0, &about), VHOST_COLUMNS);
        check(&policy_row("/", &PolicyReport::default()), POLICY_COLUMNS);
        check(&queue_row("/", &QueueReport::default(), None), QUEUE_COLUMNS);
        check(&exchange_row("/", &ExchangeReport::default()), EXCHANGE_COLUMNS);
        check(&binding_row("/", &BindingObject::of_default_exchange(&"q".into())), BINDING_COLUMNS);
        let consumer = ConsumerReport {
            queue: "q".into(),
            connection: ConnectionId(1),
            channel: 3,
            tag: "t".into(),
            ack_required: true,
            exclusive: false,
            prefetch_count: 0,
            messages_unacknowledged: 0,
            single: true,
            active: false,
            priority: 0,
            arguments: Table::default(),
        };
        let row = consumer_row("/", &consumer, "a -> b");
        assert_eq!(row.get("activity_status"), Some(&json!("waiting")));
        assert_eq!(row.get("channel_pid"), Some(&json!("a -> b (3)")));
        check(&row, CONSUMER_COLUMNS);
        let channel = ChannelReport {
            connection: ConnectionId(1),
            number: 3,
            consumer_count: 0,
            messages_unacknowledged: 0,
            messages_unconfirmed: 0,
            messages_uncommitted: 0,
            prefetch_count: 0,
            global_prefetch_count: 0,
            confirm: false,
            transactional: false,
            counts: MessageCounts::default(),
        };
        check(&channel_row("/", &channel, "a -> b", "guest"), CHANNEL_COLUMNS);
        let address = ([127, 0, 0, 1], 5672).into();
        let connection = ConnectionReport {
            id: ConnectionId(1),
            peer: Peer { remote: address, local: address },
            tls: None,
            state: "running",
            user: None,
            vhost: None,
            name: None,
            client: None,
            client_properties: Table::default(),
            mechanism: "PLAIN",
            channels_max: 0,
            connected_unix_ms: 0,
            traffic: Traffic::default(),
            frame_bytes_max: 0,
            heartbeat_s: 0,
            channels: Vec::new(),
        };
        check(&connection_row(&connection), CONNECTION_COLUMNS);
    }
}
