//! The settings a policy may hold: which objects they are for, what their values may be, how those of an operator join
//! those of a user, and what they mean to a queue.
//! Source of keys, texts and rules: RabbitMQ `rabbit_policies`, `rabbit_policy`, and `unsupported_policies` of its queue
//! types.

use crate::erlang_term::Term;
use crate::queue::{DELIVERIES_UNLIMITED, DeadLetterStrategy, Overflow, QueueKind, QueueValues, age_ms};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a policy says, by key.
pub(super) type Settings = BTreeMap<String, Value>;

/// A key of policies.
#[derive(Debug)]
pub struct PolicyKey {
    /// Its name.
    pub name: &'static str,
    /// The types of queues that have it. A policy with a key that a queue does not have does not govern that queue.
    pub kinds: &'static [QueueKind],
    /// Operators may set it for all.
    pub for_operators: bool,
    /// Why a value cannot be: what stands behind the value in the sentence.
    fault: &'static str,
    allows: fn(&Value) -> bool,
    /// Of the user's and the operator's value, the one that holds.
    join: fn(&Value, &Value) -> Value,
}

const CLASSIC: &[QueueKind] = &[QueueKind::Classic];
const QUORUM: &[QueueKind] = &[QueueKind::Quorum];
const STREAM: &[QueueKind] = &[QueueKind::Stream];
const NO_STREAM: &[QueueKind] = &[QueueKind::Classic, QueueKind::Quorum];
const ALL: &[QueueKind] = &[QueueKind::Classic, QueueKind::Quorum, QueueKind::Stream];

const fn key(
    name: &'static str,
    kinds: &'static [QueueKind],
    fault: &'static str,
    allows: fn(&Value) -> bool,
) -> PolicyKey {
    PolicyKey { name, kinds, for_operators: false, fault, allows, join: operators }
}

impl PolicyKey {
    const fn for_operators(self, join: fn(&Value, &Value) -> Value) -> Self {
        Self { for_operators: true, join, ..self }
    }
}

/// All keys. What has no effect here says so.
pub static POLICY_KEYS: [PolicyKey; 28] = [
    key("alternate-exchange", ALL, "is not a valid alternate exchange name", Value::is_string),
    key("consumer-timeout", NO_STREAM, "is not a valid consumer timeout", is_positive),
    key("dead-letter-exchange", NO_STREAM, "is not a valid dead letter exchange name", Value::is_string),
    key("dead-letter-routing-key", NO_STREAM, "is not a valid dead letter routing key", Value::is_string),
    key("dead-letter-strategy", QUORUM, "is not a valid dead letter strategy", |value| {
        value.as_str().and_then(DeadLetterStrategy::from_name).is_some()
    }),
    key("delivery-limit", QUORUM, "is not a valid delivery limit", |value| {
        value.as_i64().is_some_and(|limit| limit >= -1)
    })
    .for_operators(smaller_limit),
    key("expires", NO_STREAM, "is not a valid queue expiry", is_positive).for_operators(smaller),
    // No effect, as all `ha-` keys: there is one node.
    key("ha-mode", CLASSIC, "is not a valid ha-mode value", anything),
    key("ha-params", CLASSIC, "is not a valid ha-params value", anything),
    key("ha-promote-on-failure", CLASSIC, "is not a valid ha-promote-on-failure value", anything),
    key("ha-promote-on-shutdown", CLASSIC, "is not a valid ha-promote-on-shutdown value", anything),
    key("ha-sync-batch-size", CLASSIC, "is not a valid ha-sync-batch-size value", anything),
    key("ha-sync-mode", CLASSIC, "is not a valid ha-sync-mode value", anything),
    // No effect: there is one node.
    key("initial-cluster-size", STREAM, "is not a valid cluster size", is_not_negative),
    key("max-age", STREAM, "is not a valid max age", |value| value.as_str().and_then(age_ms).is_some()),
    // No effect, as the next: what a queue keeps in memory is the broker's business.
    key("max-in-memory-bytes", QUORUM, "is not a valid maximum memory in bytes", is_not_negative)
        .for_operators(smaller),
    key("max-in-memory-length", QUORUM, "is not a valid maximum memory in bytes", is_not_negative)
        .for_operators(smaller),
    key("max-length", NO_STREAM, "is not a valid maximum length", is_not_negative).for_operators(smaller),
    key("max-length-bytes", ALL, "is not a valid maximum length in bytes", is_not_negative)
        .for_operators(smaller),
    key("message-ttl", NO_STREAM, "is not a valid message TTL", is_not_negative).for_operators(smaller),
    key("overflow", NO_STREAM, "is not a valid overflow value", |value| {
        value.as_str().and_then(Overflow::from_name).is_some()
    })
    .for_operators(operators),
    // No effect: there is one node.
    key("queue-leader-locator", ALL, "is not a valid queue leader locator value", |value| {
        matches!(value.as_str(), Some("client-local" | "balanced" | "random" | "least-leaders"))
    }),
    // No effect: there is one node.
    key("queue-master-locator", CLASSIC, "invalid queue-master-locator value", |value| {
        matches!(value.as_str(), Some("min-masters" | "client-local" | "random"))
    }),
    // No effect: every queue keeps its backlog on disk.
    key("queue-mode", CLASSIC, "is not a valid queue-mode value", |value| {
        matches!(value.as_str(), Some("default" | "lazy"))
    }),
    // No effect: there is one way to store a queue.
    key("queue-version", ALL, "is not a valid queue-version value", |value| {
        matches!(value.as_i64(), Some(1 | 2))
    })
    .for_operators(operators),
    key("stream-filter-size-bytes", STREAM, "is not a valid filter size", |value| {
        value.as_u64().is_some_and(|size| (16..=255).contains(&size))
    }),
    key("stream-max-segment-size-bytes", STREAM, "is not a valid segment size", |value| {
        value.as_u64().is_some_and(|bytes| bytes <= 3_000_000_000)
    }),
    // No effect: there is one node.
    key("target-group-size", QUORUM, "is not a valid qq target count value", is_positive)
        .for_operators(larger),
];

/// Checks what a policy says; `for_operators` if it is one of theirs.
///
/// # Errors
/// RabbitMQ's sentence.
pub(super) fn check(settings: &Settings, for_operators: bool) -> Result<(), String> {
    if settings.is_empty() {
        return Err("no policy provided".to_owned());
    }
    let known = |name: &String| find(name).filter(|key| key.for_operators || !for_operators);
    for (name, value) in settings {
        if let Some(key) = known(name)
            && !(key.allows)(value)
        {
            return Err(format!("{} {}", Term(value), key.fault));
        }
    }
    let unknown: Vec<_> = settings
        .iter()
        .filter(|(name, _)| known(name).is_none())
        .map(|(name, value)| format!("{{{},{}}}", Term(&Value::from(name.as_str())), Term(value)))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let line = format!("[{}]", unknown.join(","));
    let listed = if line.len() <= TERM_LINE_LETTERS { line } else { format!("[{}]", unknown.join(",\n ")) };
    Err(format!("{listed} are not recognised policy settings"))
}

/// Whether a queue of this kind has everything a policy sets.
pub(super) fn suit(settings: &Settings, kind: QueueKind) -> bool {
    settings.keys().all(|name| find(name).is_none_or(|key| key.kinds.contains(&kind)))
}

/// What holds under the policies of a user and of an operator.
pub(super) fn joined(user: Option<&Settings>, operator: Option<&Settings>) -> Settings {
    let mut joined = user.cloned().unwrap_or_default();
    for (name, operators) in operator.into_iter().flatten() {
        let value = match joined.get(name) {
            Some(users) => find(name).map_or_else(|| operators.clone(), |key| (key.join)(users, operators)),
            None => operators.clone(),
        };
        joined.insert(name.clone(), value);
    }
    joined
}

/// What settings mean to a queue.
pub(super) fn queue_values(settings: &Settings) -> QueueValues {
    let number = |name: &str| settings.get(name).and_then(Value::as_u64);
    let text = |name: &str| settings.get(name).and_then(Value::as_str);
    QueueValues {
        message_ttl_ms: number("message-ttl"),
        expires_ms: number("expires"),
        length_max: number("max-length"),
        length_bytes_max: number("max-length-bytes"),
        overflow: text("overflow").and_then(Overflow::from_name),
        dead_letter_exchange: text("dead-letter-exchange").map(Into::into),
        dead_letter_routing_key: text("dead-letter-routing-key").map(Into::into),
        dead_letter_strategy: text("dead-letter-strategy").and_then(DeadLetterStrategy::from_name),
        delivery_limit: settings
            .get("delivery-limit")
            .and_then(Value::as_i64)
            .map(|limit| u64::try_from(limit).unwrap_or(DELIVERIES_UNLIMITED)),
        consumer_timeout_ms: number("consumer-timeout"),
        max_age_ms: text("max-age").and_then(age_ms),
        stream_segment_bytes: number("stream-max-segment-size-bytes"),
        stream_filter_bytes: number("stream-filter-size-bytes").and_then(|size| u8::try_from(size).ok()),
    }
}

/// The alternate exchange settings name.
pub(super) fn alternate_exchange(settings: &Settings) -> Option<&str> {
    settings.get("alternate-exchange")?.as_str()
}

/// Erlang breaks a term that is longer.
const TERM_LINE_LETTERS: usize = 78;

fn find(name: &str) -> Option<&'static PolicyKey> {
    POLICY_KEYS.iter().find(|key| key.name == name)
}

fn anything(_: &Value) -> bool {
    true
}

fn is_not_negative(value: &Value) -> bool {
    value.is_u64()
}

fn is_positive(value: &Value) -> bool {
    value.as_u64().is_some_and(|number| number > 0)
}

fn operators(_: &Value, operators: &Value) -> Value {
    operators.clone()
}

fn smaller(users: &Value, operators: &Value) -> Value {
    if users.as_u64() < operators.as_u64() { users.clone() } else { operators.clone() }
}

fn larger(users: &Value, operators: &Value) -> Value {
    if users.as_u64() > operators.as_u64() { users.clone() } else { operators.clone() }
}

/// The smaller of two limits, where a negative one is none.
fn smaller_limit(users: &Value, operators: &Value) -> Value {
    let limit = |value: &Value| value.as_u64().unwrap_or(u64::MAX);
    if limit(users) < limit(operators) { users.clone() } else { operators.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings(value: Value) -> Settings {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_cannot_be_is_named_in_rabbitmqs_words() {
        for (value, expected) in [
            (json!({}), "no policy provided"),
            (json!({"message-ttl": -1}), "-1 is not a valid message TTL"),
            (json!({"message-ttl": "x"}), "<<\"x\">> is not a valid message TTL"),
            (json!({"message-ttl": 1.5}), "1.5 is not a valid message TTL"),
            (json!({"expires": 0}), "0 is not a valid queue expiry"),
            (json!({"max-length": true}), "true is not a valid maximum length"),
            (json!({"max-length-bytes": -5}), "-5 is not a valid maximum length in bytes"),
            (json!({"overflow": "drop-tail"}), "<<\"drop-tail\">> is not a valid overflow value"),
            (json!({"delivery-limit": -2}), "-2 is not a valid delivery limit"),
            (json!({"dead-letter-exchange": 1}), "1 is not a valid dead letter exchange name"),
            (json!({"dead-letter-strategy": "x"}), "<<\"x\">> is not a valid dead letter strategy"),
            (json!({"alternate-exchange": null}), "null is not a valid alternate exchange name"),
            (json!({"max-age": "5"}), "<<\"5\">> is not a valid max age"),
            (json!({"queue-version": 3}), "3 is not a valid queue-version value"),
            (json!({"queue-mode": "x"}), "<<\"x\">> is not a valid queue-mode value"),
            (json!({"queue-master-locator": "x"}), "<<\"x\">> invalid queue-master-locator value"),
            (json!({"target-group-size": 0}), "0 is not a valid qq target count value"),
            (json!({"foo": 1}), "[{<<\"foo\">>,1}] are not recognised policy settings"),
            (
                json!({"foo": 1, "bar": "x", "baz": [1, true, null, {"a": 2.5}], "expires": 1}),
                "[{<<\"bar\">>,<<\"x\">>},\n {<<\"baz\">>,[1,true,null,#{<<\"a\">> => 2.5}]},\n {<<\"foo\">>,1}] \
                 are not recognised policy settings",
            ),
        ] {
            assert_eq!(check(&settings(value.clone()), false), Err(expected.to_owned()), "{value}");
        }
        for value in [
            json!({"message-ttl": 0, "delivery-limit": -1, "max-age": "7D", "ha-mode": "all"}),
            json!({"ha-mode": "exactly", "ha-params": 2, "ha-sync-mode": "automatic"}),
        ] {
            assert_eq!(check(&settings(value), false), Ok(()));
        }
    }

    #[test]
    fn operators_have_keys_of_their_own() {
        let expected = "[{<<\"dead-letter-exchange\">>,<<\"x\">>}] are not recognised policy settings";
        let value = settings(json!({"dead-letter-exchange": "x", "max-length": 5}));
        assert_eq!(check(&value, true), Err(expected.to_owned()));
        let names: Vec<_> = POLICY_KEYS.iter().filter(|key| key.for_operators).map(|key| key.name).collect();
        assert_eq!(
            names,
            [
                "delivery-limit",
                "expires",
                "max-in-memory-bytes",
                "max-in-memory-length",
                "max-length",
                "max-length-bytes",
                "message-ttl",
                "overflow",
                "queue-version",
                "target-group-size"
            ]
        );
    }

    #[test]
    fn an_operators_limit_is_never_exceeded() {
        let users = json!({"max-length": 10, "message-ttl": 5, "overflow": "drop-head", "delivery-limit": -1,
            "target-group-size": 3, "dead-letter-exchange": "x"});
        let operators = json!({"max-length": 7, "message-ttl": 9, "overflow": "reject-publish", "expires": 1,
            "delivery-limit": 4, "target-group-size": 5});
        let expected = json!({"max-length": 7, "message-ttl": 5, "overflow": "reject-publish", "expires": 1,
            "delivery-limit": 4, "target-group-size": 5, "dead-letter-exchange": "x"});
        let (users, operators) = (settings(users), settings(operators));
        assert_eq!(joined(Some(&users), Some(&operators)), settings(expected));
        assert_eq!(joined(Some(&users), None), users);
        assert_eq!(joined(None, Some(&operators)), operators);
    }

    #[test]
    fn a_policy_suits_queues_that_have_all_of_it() {
        let check = |value: Value, expected: [bool; 3]| {
            let settings = settings(value);
            let kinds = [QueueKind::Classic, QueueKind::Quorum, QueueKind::Stream];
            assert_eq!(kinds.map(|kind| suit(&settings, kind)), expected, "{settings:?}");
        };
        check(json!({"message-ttl": 1}), [true, true, false]);
        check(json!({"message-ttl": 1, "delivery-limit": 1}), [false, true, false]);
        check(json!({"max-age": "1h", "max-length-bytes": 1}), [false, false, true]);
        check(json!({"ha-mode": "all", "message-ttl": 1}), [true, false, false]);
        check(json!({"alternate-exchange": "x"}), [true, true, true]);
    }
}
