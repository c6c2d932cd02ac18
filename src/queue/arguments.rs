//! The arguments of queue.declare: which there are, which queues have them, and what they may be. Unknown arguments are
//! ignored. Known ones are checked as RabbitMQ checks them, in its order and with its texts.
//! Source: RabbitMQ `rabbit_amqqueue:declare_args`, and `capabilities` of its queue types.

use super::argument_values::{
    Problem, age_ms, integer, invalid, milliseconds, negative, not_negative, positive, queue_kind, refused,
    term, text, unacceptable, zero,
};
use super::settings::{
    DELIVERIES_UNLIMITED, DeadLetterStrategy, Overflow, QueueArguments, QueueKind, QueueValues,
};
use crate::protocol::reply::ChannelError;
use crate::protocol::table::Table;
use crate::protocol::value::Value;

/// An argument of queue.declare.
#[derive(Debug)]
pub struct QueueArgument {
    /// Its name.
    pub name: &'static str,
    /// The types of queues that have it.
    pub kinds: &'static [QueueKind],
    /// Other types refuse it (else they pass over it), and a queue that has it is declared again with the same.
    pub is_listed: bool,
    set: fn(&mut QueueArguments, &Value<'_>, &Table) -> Result<(), Problem>,
}

const CLASSIC: &[QueueKind] = &[QueueKind::Classic];
const QUORUM: &[QueueKind] = &[QueueKind::Quorum];
const STREAM: &[QueueKind] = &[QueueKind::Stream];
const NO_STREAM: &[QueueKind] = &[QueueKind::Classic, QueueKind::Quorum];
const NO_CLASSIC: &[QueueKind] = &[QueueKind::Quorum, QueueKind::Stream];
const ALL: &[QueueKind] = &[QueueKind::Classic, QueueKind::Quorum, QueueKind::Stream];

/// Largest segment of a stream, bytes. Source: RabbitMQ `rabbit_stream_queue`.
const STREAM_SEGMENT_BYTES_MAX: u64 = 3_000_000_000;
/// The type of a queue, which is looked at first.
const QUEUE_TYPE: &str = "x-queue-type";
/// The exchange of dead letters, which must be a name before anything else is looked at.
const DEAD_LETTER_EXCHANGE: &str = "x-dead-letter-exchange";

const fn listed(
    name: &'static str,
    kinds: &'static [QueueKind],
    set: fn(&mut QueueArguments, &Value<'_>, &Table) -> Result<(), Problem>,
) -> QueueArgument {
    QueueArgument { name, kinds, is_listed: true, set }
}

/// All arguments, in the order in which they are checked. What has no effect here says so.
pub static QUEUE_ARGUMENTS: [QueueArgument; 25] = [
    listed(QUEUE_TYPE, ALL, |queue, value, _| queue_kind(value).map(|kind| queue.kind = kind)),
    listed("x-expires", NO_STREAM, |queue, value, _| {
        let expires_ms = milliseconds(value)?;
        if expires_ms == 0 {
            return Err(zero());
        }
        queue.values.expires_ms = Some(expires_ms);
        Ok(())
    }),
    listed("x-message-ttl", NO_STREAM, |queue, value, _| {
        milliseconds(value).map(|ttl_ms| queue.values.message_ttl_ms = Some(ttl_ms))
    }),
    listed(DEAD_LETTER_EXCHANGE, NO_STREAM, |queue, value, _| {
        text(value).map(|exchange| queue.values.dead_letter_exchange = Some(exchange.into()))
    }),
    listed("x-dead-letter-routing-key", NO_STREAM, |queue, value, arguments| {
        queue.values.dead_letter_routing_key = Some(text(value)?.into());
        let has_exchange = arguments.get(DEAD_LETTER_EXCHANGE).is_some();
        has_exchange.then_some(()).ok_or_else(|| term("routing_key_but_no_dlx_defined"))
    }),
    listed("x-dead-letter-strategy", QUORUM, |queue, value, _| {
        let strategy = DeadLetterStrategy::from_name(text(value)?);
        queue.values.dead_letter_strategy = Some(strategy.ok_or_else(|| term("invalid_dlx_strategy"))?);
        Ok(())
    }),
    listed("x-max-length", NO_STREAM, |queue, value, _| {
        not_negative(value).map(|length| queue.values.length_max = Some(length))
    }),
    listed("x-max-length-bytes", ALL, |queue, value, _| {
        not_negative(value).map(|bytes| queue.values.length_bytes_max = Some(bytes))
    }),
    // No effect: what a queue keeps in memory is the broker's business.
    listed("x-max-in-memory-length", QUORUM, |_, value, _| not_negative(value).map(drop)),
    listed("x-max-in-memory-bytes", QUORUM, |_, value, _| not_negative(value).map(drop)),
    listed("x-max-priority", CLASSIC, |queue, value, _| {
        let priority = not_negative(value)?;
        let too_high = |_| Problem::Term(format!("{{max_value_exceeded,{priority}}}"));
        queue.priority_max = Some(u8::try_from(priority).map_err(too_high)?);
        Ok(())
    }),
    listed("x-overflow", NO_STREAM, |queue, value, _| {
        let overflow = Overflow::from_name(text(value)?);
        queue.values.overflow = Some(overflow.ok_or_else(|| term("invalid_overflow"))?);
        Ok(())
    }),
    // No effect: every queue keeps its backlog on disk.
    listed("x-queue-mode", CLASSIC, |_, value, _| match text(value)? {
        "default" | "lazy" => Ok(()),
        other => Err(Problem::Text(format!("unsupported queue mode '{other}'"))),
    }),
    // No effect: there is one way to store a queue.
    listed("x-queue-version", CLASSIC, |_, value, _| match not_negative(value)? {
        1 | 2 => Ok(()),
        other => Err(Problem::Text(format!("unsupported queue version '{other}'"))),
    }),
    listed("x-single-active-consumer", NO_STREAM, |queue, value, _| {
        queue.single_active_consumer = value.as_bool().ok_or_else(|| unacceptable(value))?;
        Ok(())
    }),
    // No effect: there is one node. RabbitMQ does not check this one.
    listed("x-queue-master-locator", CLASSIC, |_, _, _| Ok(())),
    // No effect: there is one node.
    listed("x-quorum-initial-group-size", QUORUM, |_, value, _| positive(value).map(drop)),
    listed("x-max-age", STREAM, |queue, value, _| {
        let age_ms = age_ms(text(value)?).ok_or_else(|| term("invalid_max_age"))?;
        queue.values.max_age_ms = Some(age_ms);
        Ok(())
    }),
    listed("x-stream-max-segment-size-bytes", STREAM, |queue, value, _| {
        let bytes = not_negative(value)?;
        if bytes > STREAM_SEGMENT_BYTES_MAX {
            return Err(Problem::Sentence(
                "Exceeded max value for x-stream-max-segment-size-bytes".to_owned(),
            ));
        }
        queue.values.stream_segment_bytes = Some(bytes);
        Ok(())
    }),
    QueueArgument {
        name: "x-stream-filter-size-bytes",
        kinds: STREAM,
        is_listed: false,
        set: |queue, value, _| {
            let size = value.as_i64().and_then(|size| u8::try_from(size).ok()).filter(|size| *size >= 16);
            let wrong = || Problem::Sentence("Invalid value for  x-stream-filter-size-bytes".to_owned());
            queue.values.stream_filter_bytes = Some(size.ok_or_else(wrong)?);
            Ok(())
        },
    },
    // No effect: there is one node.
    listed("x-initial-cluster-size", STREAM, |_, value, _| positive(value).map(drop)),
    // No effect: there is one node.
    listed("x-queue-leader-locator", ALL, |_, value, _| match text(value)? {
        "client-local" | "balanced" | "random" | "least-leaders" => Ok(()),
        _ => Err(term("invalid_queue_locator_arg")),
    }),
    // RabbitMQ's classic queues refuse it; ours count deliveries as well.
    listed("x-delivery-limit", NO_STREAM, |queue, value, _| {
        queue.values.delivery_limit = Some(match integer(value)? {
            -1 => DELIVERIES_UNLIMITED,
            limit => u64::try_from(limit).map_err(|_| negative(limit))?,
        });
        Ok(())
    }),
    QueueArgument {
        name: "x-consumer-timeout",
        kinds: NO_STREAM,
        is_listed: false,
        set: |queue, value, _| {
            milliseconds(value).map(|timeout_ms| queue.values.consumer_timeout_ms = Some(timeout_ms))
        },
    },
    // No effect: there is one node.
    QueueArgument {
        name: "x-quorum-target-group-size",
        kinds: NO_CLASSIC,
        is_listed: false,
        set: |_, _, _| Ok(()),
    },
];

/// See [`QueueArguments::parse`].
pub(super) fn parse(arguments: &Table, described: &str) -> Result<QueueArguments, ChannelError> {
    check_dead_letter_exchange(arguments, described)?;
    let mut queue = QueueArguments { values: QueueValues::default(), ..QueueArguments::default() };
    for known in &QUEUE_ARGUMENTS {
        // The type comes first, so that it is known here.
        if known.kinds.contains(&queue.kind)
            && let Some(value) = arguments.get(known.name)
        {
            (known.set)(&mut queue, &value, arguments)
                .map_err(|problem| invalid(known.name, described, problem))?;
        }
    }
    for (name, _) in arguments.iter() {
        let known = QUEUE_ARGUMENTS.iter().find(|known| known.is_listed && known.name == name);
        if known.is_some_and(|known| !known.kinds.contains(&queue.kind)) {
            let kind = queue.kind.module();
            return Err(refused(format!("invalid arg '{name}' for {described} of queue type {kind}")));
        }
    }
    Ok(queue)
}

/// The arguments that are compared when a queue of this kind is declared again, in RabbitMQ's order: the first that
/// differs is named.
pub(super) fn compared(kind: QueueKind) -> &'static [&'static str] {
    match kind {
        QueueKind::Classic => &[
            "x-expires",
            "x-message-ttl",
            "x-dead-letter-exchange",
            "x-dead-letter-routing-key",
            "x-max-length",
            "x-max-length-bytes",
            "x-max-priority",
            "x-overflow",
            "x-queue-mode",
            "x-queue-version",
            "x-single-active-consumer",
            "x-queue-type",
            "x-queue-master-locator",
            "x-queue-leader-locator",
            "x-delivery-limit",
        ],
        QueueKind::Quorum => &[
            "x-dead-letter-exchange",
            "x-dead-letter-routing-key",
            "x-dead-letter-strategy",
            "x-expires",
            "x-max-length",
            "x-max-length-bytes",
            "x-max-in-memory-length",
            "x-max-in-memory-bytes",
            "x-overflow",
            "x-single-active-consumer",
            "x-queue-type",
            "x-quorum-initial-group-size",
            "x-delivery-limit",
            "x-message-ttl",
            "x-queue-leader-locator",
        ],
        QueueKind::Stream => &[
            "x-max-length-bytes",
            "x-queue-type",
            "x-max-age",
            "x-stream-max-segment-size-bytes",
            "x-initial-cluster-size",
            "x-queue-leader-locator",
        ],
    }
}

/// The type the arguments name.
pub fn asked_kind(arguments: &Table) -> Option<QueueKind> {
    QueueKind::from_name(arguments.get(QUEUE_TYPE)?.as_str()?)
}

/// The arguments with a type, where they name none.
pub fn with_kind(arguments: &Table, kind: QueueKind) -> Table {
    let mut pairs: Vec<_> = arguments.iter().collect();
    pairs.push((QUEUE_TYPE, Value::text(kind.name())));
    Table::from_pairs(&pairs)
}

/// RabbitMQ's channel looks at this one before its queue does, and says it in other words.
fn check_dead_letter_exchange(arguments: &Table, described: &str) -> Result<(), ChannelError> {
    match arguments.get(DEAD_LETTER_EXCHANGE) {
        Some(value) if value.as_str().is_none() => Err(refused(format!(
            "invalid type '{}' for arg '{DEAD_LETTER_EXCHANGE}' in {described}",
            value.type_name()
        ))),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
