//! The table the broker introduces itself with in connection.start, and what it reads out of the client's.

use super::table::Table;
use super::value::Value;

/// What the broker can beyond AMQP 0-9-1, in the names RabbitMQ's clients ask for.
pub const CAPABILITIES: [&str; 9] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
];

/// What differs from one broker to another.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// Name clients compare with what they know; some choose their behaviour by it, so it is configurable.
    pub product: &'a str,
    /// Version, likewise.
    pub version: &'a str,
    /// Name of this broker.
    pub cluster_name: &'a str,
}

/// The table for connection.start.
pub fn server_properties(identity: Identity<'_>) -> Table {
    let capabilities = CAPABILITIES.map(|name| (name, Value::Bool(true)));
    let capabilities = Table::from_pairs(&capabilities);
    Table::from_pairs(&[
        ("capabilities", Value::Table(capabilities.fields())),
        ("cluster_name", Value::text(identity.cluster_name)),
        ("copyright", Value::text("The LedgerMQ authors")),
        ("information", Value::text("Licensed under the Apache License 2.0")),
        ("platform", Value::text("Rust")),
        ("product", Value::text(identity.product)),
        ("version", Value::text(identity.version)),
    ])
}

/// What a client said it can in its `capabilities`; absent means it cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "capabilities are independent of each other")]
pub struct ClientCapabilities {
    /// Understands connection.close during login.
    pub authentication_failure_close: bool,
    /// Understands basic.nack from the broker.
    pub basic_nack: bool,
    /// Understands connection.blocked.
    pub connection_blocked: bool,
    /// Understands basic.cancel from the broker.
    pub consumer_cancel_notify: bool,
    /// Uses publisher confirms.
    pub publisher_confirms: bool,
    /// Uses exchange.bind.
    pub exchange_exchange_bindings: bool,
}

impl ClientCapabilities {
    /// Reads the client-properties of connection.start-ok.
    pub fn of(client_properties: &Table) -> Self {
        let capabilities =
            client_properties.get("capabilities").and_then(|value| value.as_table()).unwrap_or_default();
        let can = |name| capabilities.get(name).and_then(|value| value.as_bool()).unwrap_or_default();
        Self {
            authentication_failure_close: can("authentication_failure_close"),
            basic_nack: can("basic.nack"),
            connection_blocked: can("connection.blocked"),
            consumer_cancel_notify: can("consumer_cancel_notify"),
            publisher_confirms: can("publisher_confirms"),
            exchange_exchange_bindings: can("exchange_exchange_bindings"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn introduces_the_broker() {
        let table = server_properties(Identity {
            product: "LedgerMQ",
            version: "4.1.0",
            cluster_name: "ledger@host",
        });
        assert_eq!(table.get("product"), Some(Value::text("LedgerMQ")));
        assert_eq!(table.get("version"), Some(Value::text("4.1.0")));
        let capabilities = table.get("capabilities").and_then(|value| value.as_table()).unwrap();
        assert!(CAPABILITIES.iter().all(|name| capabilities.get(name) == Some(Value::Bool(true))));
    }

    #[test]
    fn reads_what_a_client_can() {
        let can = Table::from_pairs(&[
            ("basic.nack", Value::Bool(true)),
            ("connection.blocked", Value::Bool(false)),
        ]);
        let properties = Table::from_pairs(&[("capabilities", Value::Table(can.fields()))]);
        let expected = ClientCapabilities { basic_nack: true, ..ClientCapabilities::default() };
        assert_eq!(ClientCapabilities::of(&properties), expected);
        let odd = Table::from_pairs(&[("capabilities", Value::I32(1))]);
        assert_eq!(ClientCapabilities::of(&odd), ClientCapabilities::default());
    }
}
