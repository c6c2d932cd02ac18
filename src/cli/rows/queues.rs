//! Queues as `list_queues` shows them.

use super::{arguments, row};
use crate::cli::control::Row;
use crate::vhost::report::QueueReport;
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
