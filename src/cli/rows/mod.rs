//! Rows of the listings, with rabbitmqctl's names of columns, from the reports of vhosts and connections.
//! The one place that knows the names; the client formats them without knowing what they mean.

mod clients;
mod queues;
mod status;

pub use clients::{
    CHANNEL_COLUMNS, CONNECTION_COLUMNS, channel_name, channel_row, connection_name, connection_row,
};
pub use queues::{EMPTY_QUEUE_COLUMNS, QUEUE_COLUMNS, queue_row};
pub use status::StatusReport;

use super::control::Row;
use crate::protocol::table::Table;
use crate::queue::Shown;
use crate::vhost::BindingObject;
use crate::vhost::figures::VhostFigures;
use crate::vhost::report::{ConsumerReport, ExchangeReport, PolicyReport};
use serde_json::{Value, json};

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
    use crate::connection::{ConnectionReport, Peer, Traffic};
    use crate::vhost::command::ConnectionId;
    use crate::vhost::counts::MessageCounts;
    use crate::vhost::report::{ChannelReport, QueueReport};

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
        check(&queue_row("/", &QueueReport::default(), "ledgermq@localhost", |_| None), QUEUE_COLUMNS);
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
