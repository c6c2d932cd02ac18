//! Queues as `list_queues` shows them.

use super::{arguments, channel_name, row};
use crate::cli::control::Row;
use crate::queue::Entry;
use crate::vhost::command::ConnectionId;
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
    "head_message_timestamp",
    "memory",
    "consumers",
    "consumer_utilisation",
    "consumer_capacity",
    "exclusive_consumer_pid",
    "exclusive_consumer_tag",
    "single_active_consumer_tag",
    "leader",
    "members",
    "online",
    "state",
];

/// Columns of RabbitMQ's that nothing here has a value for: no processes of Erlang, no mirrors, no counts of these.
pub const EMPTY_QUEUE_COLUMNS: &[&str] = &[
    "pid",
    "slave_pids",
    "synchronised_slave_pids",
    "confirm_on",
    "disk_reads",
    "disk_writes",
    "messages_persistent",
    "messages_ready_ram",
    "messages_unacknowledged_ram",
    "message_bytes_persistent",
    "message_bytes_ram",
];

/// A queue's row. `node` is what tools call the broker, `name_of` the name of a connection.
pub fn queue_row<'a>(
    vhost: &str,
    queue: &QueueReport,
    node: &str,
    name_of: impl Fn(ConnectionId) -> Option<&'a str>,
) -> Row {
    let messages = queue.messages_ready + queue.messages_unacknowledged;
    let owner_name = queue.owner.and_then(&name_of).unwrap_or_default();
    // Of its entries; bodies belong to all queues they are in, and count in the memory of the broker.
    let memory_bytes = queue.messages_resident * size_of::<Entry>() as u64;
    // Whether somebody could take a message this moment, not over time as in RabbitMQ.
    let capacity = if queue.has_ready_consumer { 1.0 } else { 0.0 };
    let sole = queue.sole_consumer.as_ref().map(|(connection, channel, tag)| {
        (name_of(*connection).map(|name| channel_name(name, *channel)).unwrap_or_default(), &**tag)
    });
    let (single, exclusive) = if queue.single_active_consumer { (sole, None) } else { (None, sole) };
    let (exclusive_pid, exclusive_tag) = exclusive.unwrap_or_default();
    // There is one node, and all of a queue is there.
    let (leader, members) =
        if queue.kind == "classic" { (json!(""), json!("")) } else { (json!(node), json!([node])) };
    row([
        ("name", json!(queue.name)),
        ("vhost", json!(vhost)),
        ("type", json!(queue.kind)),
        ("durable", json!(queue.durable)),
        ("auto_delete", json!(queue.auto_delete)),
        ("exclusive", json!(queue.exclusive)),
        ("owner_pid", json!(owner_name)),
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
        ("head_message_timestamp", queue.head_timestamp_s.map_or_else(|| json!(""), |stamp| json!(stamp))),
        ("memory", json!(memory_bytes)),
        ("consumers", json!(queue.consumers)),
        ("consumer_utilisation", json!(capacity)),
        ("consumer_capacity", json!(capacity)),
        ("exclusive_consumer_pid", json!(exclusive_pid)),
        ("exclusive_consumer_tag", json!(exclusive_tag)),
        ("single_active_consumer_tag", json!(single.unwrap_or_default().1)),
        ("leader", leader),
        ("members", members.clone()),
        ("online", members),
        ("state", json!(queue.state)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(queue: &QueueReport, expected: &[(&str, Value)]) {
        let name_of = |id: ConnectionId| (id == ConnectionId(1)).then_some("a -> b");
        let row = queue_row("/", queue, "ledgermq@localhost", name_of);
        for (column, value) in expected {
            assert_eq!(row.get(*column), Some(value), "{column}");
        }
    }

    #[test]
    fn a_queue_says_who_takes_from_it() {
        let sole = Some((ConnectionId(1), 3, "t".into()));
        let exclusive = QueueReport {
            kind: "classic",
            owner: Some(ConnectionId(1)),
            sole_consumer: sole,
            has_ready_consumer: true,
            head_timestamp_s: Some(1_700_000_000),
            messages_resident: 2,
            ..QueueReport::default()
        };
        check(
            &exclusive,
            &[
                ("owner_pid", json!("a -> b")),
                ("exclusive_consumer_pid", json!("a -> b (3)")),
                ("exclusive_consumer_tag", json!("t")),
                ("single_active_consumer_tag", json!("")),
                ("consumer_capacity", json!(1.0)),
                ("head_message_timestamp", json!(1_700_000_000)),
                ("memory", json!(2 * size_of::<Entry>())),
                ("leader", json!("")),
                ("members", json!("")),
            ],
        );
        let single = QueueReport { single_active_consumer: true, owner: Some(ConnectionId(2)), ..exclusive };
        let expected = [
            ("owner_pid", json!("")),
            ("exclusive_consumer_pid", json!("")),
            ("exclusive_consumer_tag", json!("")),
            ("single_active_consumer_tag", json!("t")),
        ];
        check(&single, &expected);
    }

    #[test]
    fn replicated_types_are_on_the_one_node() {
        let quorum = QueueReport { kind: "quorum", ..QueueReport::default() };
        let expected = [
            ("leader", json!("ledgermq@localhost")),
            ("members", json!(["ledgermq@localhost"])),
            ("online", json!(["ledgermq@localhost"])),
            ("head_message_timestamp", json!("")),
            ("consumer_utilisation", json!(0.0)),
        ];
        check(&quorum, &expected);
    }

    #[test]
    fn no_column_is_both_there_and_empty() {
        for column in EMPTY_QUEUE_COLUMNS {
            assert!(!QUEUE_COLUMNS.contains(column), "{column}");
        }
    }
}
