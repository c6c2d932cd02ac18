//! The types of exchange, their names on the wire, and the exchanges that every vhost has from birth.

use std::fmt;

/// How an exchange decides where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExchangeKind {
    /// The binding key equals the routing key.
    Direct,
    /// Every binding.
    Fanout,
    /// The binding key is a pattern over the words of the routing key.
    Topic,
    /// The binding's arguments are compared with the message's headers.
    Headers,
    /// One destination, by a hash; the binding key is its weight.
    ConsistentHash,
    /// One binding, by the remainder of a hash of the keys.
    ModulusHash,
    /// One binding, by chance.
    Random,
    /// The same among queues of this broker, which all of them are.
    LocalRandom,
    /// Every binding, and the last messages to whoever is bound later.
    RecentHistory,
    /// What the type in its arguments says, after the time in the message's header.
    Delayed,
}

/// Every type with its name on the wire.
const NAMES: [(ExchangeKind, &str); 10] = [
    (ExchangeKind::Direct, "direct"),
    (ExchangeKind::Fanout, "fanout"),
    (ExchangeKind::Topic, "topic"),
    (ExchangeKind::Headers, "headers"),
    (ExchangeKind::ConsistentHash, "x-consistent-hash"),
    (ExchangeKind::ModulusHash, "x-modulus-hash"),
    (ExchangeKind::Random, "x-random"),
    (ExchangeKind::LocalRandom, "x-local-random"),
    (ExchangeKind::RecentHistory, "x-recent-history"),
    (ExchangeKind::Delayed, "x-delayed-message"),
];

impl ExchangeKind {
    /// The type with this name on the wire; `None` if nobody knows it.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }

    /// Every type.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(kind, _)| *kind)
    }

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(known, _)| *known == self).map_or("", |(_, name)| *name)
    }
}

impl fmt::Display for ExchangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An exchange that every vhost has from birth: durable, never deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Predeclared {
    /// Name.
    pub name: &'static str,
    /// Type.
    pub kind: ExchangeKind,
    /// Clients cannot publish to it.
    pub internal: bool,
}

/// The exchanges of a new vhost. The first is the default exchange, to which every queue is bound by its name.
/// Source: AMQP 0-9-1 §3.1.3; RabbitMQ adds `amq.match` as a second name of `amq.headers`, and the trace exchange.
pub const PREDECLARED: [Predeclared; 7] = [
    Predeclared { name: "", kind: ExchangeKind::Direct, internal: false },
    Predeclared { name: "amq.direct", kind: ExchangeKind::Direct, internal: false },
    Predeclared { name: "amq.fanout", kind: ExchangeKind::Fanout, internal: false },
    Predeclared { name: "amq.headers", kind: ExchangeKind::Headers, internal: false },
    Predeclared { name: "amq.match", kind: ExchangeKind::Headers, internal: false },
    Predeclared { name: "amq.rabbitmq.trace", kind: ExchangeKind::Topic, internal: true },
    Predeclared { name: "amq.topic", kind: ExchangeKind::Topic, internal: false },
];

/// The exchange that vhost `/` has besides: what happens in the broker is published to it.
/// Source: RabbitMQ's event exchange plugin.
pub const EVENT_EXCHANGE: Predeclared =
    Predeclared { name: "amq.rabbitmq.event", kind: ExchangeKind::Topic, internal: true };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for (kind, name) in NAMES {
            assert_eq!((ExchangeKind::from_name(name), kind.name()), (Some(kind), name));
        }
        for name in ["", "Direct", "direct ", "x-delayed"] {
            assert_eq!(ExchangeKind::from_name(name), None, "{name:?}");
        }
    }
}
