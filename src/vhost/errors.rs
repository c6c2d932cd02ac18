//! The refusals of a vhost, word for word as RabbitMQ's clients know them: one function for each.
//! Source: RabbitMQ `rabbit_misc:rs`, `rabbit_channel`, `rabbit_amqqueue`, `rabbit_exchange`.

use crate::limits::{CONSUMERS_PER_CHANNEL_MAX, TRANSACTION_BYTES_MAX};
use crate::protocol::reply::{ChannelCode, ChannelError, ConnectionCode, ConnectionError};
use crate::queue::QueueKind;
use crate::vhost::log::LogRefused;
use std::fmt;

/// `queue 'q' in vhost '/'`
pub(super) struct QueueIn<'a>(pub(super) &'a str, pub(super) &'a str);

/// `exchange 'e' in vhost '/'`
pub(super) struct ExchangeIn<'a>(pub(super) &'a str, pub(super) &'a str);

impl fmt::Display for QueueIn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "queue '{}' in vhost '{}'", self.0, self.1)
    }
}

impl fmt::Display for ExchangeIn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exchange '{}' in vhost '{}'", self.0, self.1)
    }
}

fn refused(code: ChannelCode, explanation: impl fmt::Display) -> ChannelError {
    ChannelError::new(code, explanation.to_string())
}

pub(super) fn not_found(what: impl fmt::Display) -> ChannelError {
    refused(ChannelCode::NotFound, format_args!("no {what}"))
}

pub(super) fn no_previous_queue() -> ChannelError {
    refused(ChannelCode::NotFound, "no previously declared queue")
}

pub(super) fn locked(queue: &QueueIn<'_>) -> ChannelError {
    refused(
        ChannelCode::ResourceLocked,
        format_args!(
            "cannot obtain exclusive access to locked {queue}. It could be originally declared on another connection \
             or the exclusive property value does not match that of the original declaration."
        ),
    )
}

pub(super) fn in_exclusive_use(queue: &QueueIn<'_>) -> ChannelError {
    refused(ChannelCode::AccessRefused, format_args!("{queue} in exclusive use"))
}

/// Of an argument of basic.consume; `got` is the type it has.
pub(super) fn not_an_integer(name: &str, got: &str, queue: &QueueIn<'_>) -> ChannelError {
    refused(
        ChannelCode::PreconditionFailed,
        format_args!("invalid arg '{name}' for {queue}: \"expected integer, got {got}\""),
    )
}

/// Of an argument of basic.consume that must not be.
pub(super) fn negative(name: &str, number: i64, queue: &QueueIn<'_>) -> ChannelError {
    refused(
        ChannelCode::PreconditionFailed,
        format_args!("invalid arg '{name}' for {queue}: {{value_negative,{number}}}"),
    )
}

/// basic.get from a quorum queue with a single active consumer.
pub(super) fn get_beside_single_active(queue: &QueueIn<'_>) -> ChannelError {
    refused(
        ChannelCode::ResourceLocked,
        format_args!(
            "cannot obtain access to locked {queue}. basic.get operations are not supported by quorum queues with \
             single active consumer"
        ),
    )
}

pub(super) fn reply_consumer_acknowledges() -> ChannelError {
    refused(ChannelCode::PreconditionFailed, "reply consumer cannot acknowledge")
}

pub(super) fn second_reply_consumer() -> ChannelError {
    refused(ChannelCode::PreconditionFailed, "reply consumer already set")
}

pub(super) fn no_reply_consumer() -> ChannelError {
    refused(ChannelCode::PreconditionFailed, "fast reply consumer does not exist")
}

pub(super) fn bound_reply_queue() -> ChannelError {
    refused(ChannelCode::AccessRefused, "cannot bind or unbind to a volatile (direct reply-to) queue")
}

pub(super) fn in_use(what: impl fmt::Display) -> ChannelError {
    refused(ChannelCode::PreconditionFailed, format_args!("{what} in use"))
}

pub(super) fn not_empty(queue: &QueueIn<'_>) -> ChannelError {
    refused(ChannelCode::PreconditionFailed, format_args!("{queue} not empty"))
}

/// `kind` is `queue` or `exchange`.
pub(super) fn reserved_name(kind: &str, name: &str) -> ChannelError {
    refused(ChannelCode::AccessRefused, format_args!("{kind} name '{name}' contains reserved prefix 'amq.*'"))
}

pub(super) fn default_exchange() -> ChannelError {
    refused(ChannelCode::AccessRefused, "operation not permitted on the default exchange")
}

pub(super) fn system_exchange(exchange: &ExchangeIn<'_>) -> ChannelError {
    refused(ChannelCode::AccessRefused, format_args!("deletion of system {exchange} not allowed"))
}

pub(super) fn internal_exchange(exchange: &ExchangeIn<'_>) -> ChannelError {
    refused(ChannelCode::AccessRefused, format_args!("cannot publish to internal {exchange}"))
}

pub(super) fn unknown_exchange_type(kind: &str) -> ChannelError {
    refused(ChannelCode::PreconditionFailed, format_args!("unknown exchange type '{kind}'"))
}

pub(super) fn alternate_exchange_type(type_name: &str, exchange: &ExchangeIn<'_>) -> ChannelError {
    refused(
        ChannelCode::PreconditionFailed,
        format_args!("invalid type '{type_name}' for arg 'alternate-exchange' in {exchange}"),
    )
}

/// `property` is `non-durable`, `exclusive-owner` or `auto-delete`.
pub(super) fn invalid_property(property: &str, queue: &QueueIn<'_>) -> ChannelError {
    refused(ChannelCode::PreconditionFailed, format_args!("invalid property '{property}' for {queue}"))
}

pub(super) fn server_named(kind: QueueKind) -> ChannelError {
    refused(
        ChannelCode::PreconditionFailed,
        format_args!("Cannot declare a server-named queue for type {}", kind.module()),
    )
}

pub(super) fn queue_limit(queue: &str, vhost: &str, limit: u64) -> ChannelError {
    refused(
        ChannelCode::PreconditionFailed,
        format_args!("cannot declare queue '{queue}': queue limit in vhost '{vhost}' ({limit}) is reached"),
    )
}

pub(super) fn exchange_limit(exchange: &ExchangeIn<'_>, limit: u64) -> ChannelError {
    refused(
        ChannelCode::PreconditionFailed,
        format_args!("cannot declare {exchange}: exchange limit of {limit} is reached"),
    )
}

/// Ours: RabbitMQ does not bound bindings.
pub(super) fn binding_limit(vhost: &str, limit: u64) -> ChannelError {
    refused(
        ChannelCode::PreconditionFailed,
        format_args!("cannot bind: binding limit in vhost '{vhost}' ({limit}) is reached"),
    )
}

/// Ours: RabbitMQ bounds the consumers of a channel alone.
pub(super) fn consumer_limit(queue: &QueueIn<'_>, limit: u64) -> ChannelError {
    refused(
        ChannelCode::PreconditionFailed,
        format_args!("cannot consume from {queue}: consumer limit of the vhost ({limit}) is reached"),
    )
}

pub(super) fn invalid_argument(name: &str, queue: &QueueIn<'_>, problem: &str) -> ChannelError {
    refused(ChannelCode::PreconditionFailed, format_args!("invalid arg '{name}' for {queue}: {problem}"))
}

pub(super) fn argument_not_of(kind: QueueKind, name: &str, queue: &QueueIn<'_>) -> ChannelError {
    let kind = kind.module();
    refused(
        ChannelCode::PreconditionFailed,
        format_args!("invalid arg '{name}' for {queue} of queue type {kind}"),
    )
}

pub(super) fn stream_without_prefetch(queue: &QueueIn<'_>) -> ChannelError {
    refused(
        ChannelCode::PreconditionFailed,
        format_args!("consumer prefetch count is not set for stream {queue}"),
    )
}

pub(super) fn stream_without_acks(queue: &QueueIn<'_>) -> ConnectionError {
    ConnectionError::new(
        ConnectionCode::NotImplemented,
        format!("automatic acknowledgement not supported by stream {queue}"),
    )
}

/// `method` is `basic.get` or `queue.purge`.
pub(super) fn not_by_streams(method: &str, queue: &QueueIn<'_>) -> ConnectionError {
    ConnectionError::new(
        ConnectionCode::NotImplemented,
        format!("{method} not supported by stream queues {queue}"),
    )
}

pub(super) fn not_transactional() -> ChannelError {
    refused(ChannelCode::PreconditionFailed, "channel is not transactional")
}

/// A queue refused a publish of a transaction. RabbitMQ has stored the others then; here none is.
pub(super) fn partial_commit() -> ChannelError {
    refused(ChannelCode::PreconditionFailed, "partial tx completion")
}

/// Ours: nobody else bounds a transaction.
pub(super) fn transaction_too_large() -> ChannelError {
    refused(
        ChannelCode::PreconditionFailed,
        format_args!("transaction is larger than {TRANSACTION_BYTES_MAX} bytes"),
    )
}

/// Ours: nobody else's commit is all or nothing.
pub(super) fn transaction_refused(why: LogRefused) -> ChannelError {
    let why = match why {
        LogRefused::NoSpace => "no space left on the disk",
        LogRefused::TooLarge => "it is larger than a record of the log",
    };
    refused(ChannelCode::PreconditionFailed, format_args!("transaction rolled back as a whole: {why}"))
}

pub(super) fn too_many_consumers() -> ConnectionError {
    ConnectionError::new(
        ConnectionCode::NotAllowed,
        format!("reached maximum ({CONSUMERS_PER_CHANNEL_MAX}) of consumers per channel"),
    )
}
