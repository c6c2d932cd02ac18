//! What a queue is told to be: the arguments of queue.declare ([`QueueArguments`]), what policies say
//! ([`QueueValues`]), and both put together ([`QueueSettings`]), which is what the behaviours read.
//! An argument beats a policy; of two numbers the smaller one holds. Quorum queues and streams let the policy win where
//! RabbitMQ does. Source: RabbitMQ `rabbit_amqqueue_process:process_args_policy`, `rabbit_quorum_queue`,
//! `rabbit_stream_queue`.

use super::arguments;
use crate::protocol::reply::ChannelError;
use crate::protocol::table::Table;
use std::fmt;

/// A queue as it is in force: arguments and policies together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueSettings {
    /// `x-queue-type`: a quorum queue is one of our durable queues under another name.
    pub kind: QueueKind,
    /// `x-message-ttl`, ms.
    pub message_ttl_ms: Option<u64>,
    /// `x-expires`, ms.
    pub expires_ms: Option<u64>,
    /// `x-max-length`.
    pub length_max: Option<u64>,
    /// `x-max-length-bytes`.
    pub length_bytes_max: Option<u64>,
    /// `x-overflow`.
    pub overflow: Overflow,
    /// `x-max-priority`.
    pub priority_max: Option<u8>,
    /// `x-dead-letter-exchange`.
    pub dead_letter_exchange: Option<String>,
    /// `x-dead-letter-routing-key`.
    pub dead_letter_routing_key: Option<String>,
    /// `x-dead-letter-strategy`.
    pub dead_letter_strategy: DeadLetterStrategy,
    /// `x-delivery-limit`: how often a message may come back; `None` = as often as it likes.
    pub delivery_limit: Option<u64>,
    /// `x-single-active-consumer`.
    pub single_active_consumer: bool,
    /// `x-consumer-timeout`, ms: how long a delivery may stay unacknowledged.
    pub consumer_timeout_ms: Option<u64>,
    /// `x-max-age` of a stream, ms.
    pub max_age_ms: Option<u64>,
    /// `x-stream-max-segment-size-bytes`.
    pub stream_segment_bytes: Option<u64>,
    /// `x-stream-filter-size-bytes`.
    pub stream_filter_bytes: Option<u8>,
}

/// The arguments of queue.declare, checked and parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueArguments {
    /// `x-queue-type`.
    pub kind: QueueKind,
    /// `x-max-priority`.
    pub priority_max: Option<u8>,
    /// `x-single-active-consumer`.
    pub single_active_consumer: bool,
    /// What a policy may say as well.
    pub values: QueueValues,
}

/// What both arguments and policies may say about a queue; `None` = nothing. Units as in [`QueueSettings`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueValues {
    /// `message-ttl`, ms.
    pub message_ttl_ms: Option<u64>,
    /// `expires`, ms.
    pub expires_ms: Option<u64>,
    /// `max-length`.
    pub length_max: Option<u64>,
    /// `max-length-bytes`.
    pub length_bytes_max: Option<u64>,
    /// `overflow`.
    pub overflow: Option<Overflow>,
    /// `dead-letter-exchange`.
    pub dead_letter_exchange: Option<String>,
    /// `dead-letter-routing-key`.
    pub dead_letter_routing_key: Option<String>,
    /// `dead-letter-strategy`.
    pub dead_letter_strategy: Option<DeadLetterStrategy>,
    /// `delivery-limit`; [`DELIVERIES_UNLIMITED`] = none, said aloud.
    pub delivery_limit: Option<u64>,
    /// `consumer-timeout`, ms.
    pub consumer_timeout_ms: Option<u64>,
    /// `max-age`, ms.
    pub max_age_ms: Option<u64>,
    /// `stream-max-segment-size-bytes`.
    pub stream_segment_bytes: Option<u64>,
    /// `stream-filter-size-bytes`.
    pub stream_filter_bytes: Option<u8>,
}

/// A delivery limit of -1: larger than any other, so that the smaller of two is the one that limits.
pub const DELIVERIES_UNLIMITED: u64 = u64::MAX;

/// How often a message may come back to a quorum queue of which nobody says otherwise. Source: RabbitMQ 4.0.
const QUORUM_DELIVERY_LIMIT: u64 = 20;

/// The type a client asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueKind {
    /// Also if nothing was asked.
    #[default]
    Classic,
    /// Must be durable, shared and lasting.
    Quorum,
    /// The same, and reading does not take messages away.
    Stream,
}

/// What gives way when a queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest message.
    #[default]
    DropHead,
    /// The new one.
    RejectPublish,
    /// The new one, dead-lettered.
    RejectPublishDeadLetter,
}

/// How surely a dead letter arrives. Ours always move in one record, so the two differ in nothing but what was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeadLetterStrategy {
    /// It may be lost.
    #[default]
    AtMostOnce,
    /// It may arrive twice.
    AtLeastOnce,
}

impl QueueKind {
    /// The word of `x-queue-type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
            Self::Stream => "stream",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Classic, Self::Quorum, Self::Stream].into_iter().find(|kind| kind.name() == name)
    }

    /// What RabbitMQ's texts call it.
    pub fn module(self) -> &'static str {
        match self {
            Self::Classic => "rabbit_classic_queue",
            Self::Quorum => "rabbit_quorum_queue",
            Self::Stream => "rabbit_stream_queue",
        }
    }

    /// Whether such a queue may be transient, exclusive, deleted with its last consumer, or named by the broker.
    pub fn may_be_temporary(self) -> bool {
        match self {
            Self::Classic => true,
            Self::Quorum | Self::Stream => false,
        }
    }
}

impl fmt::Display for QueueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Overflow {
    /// The policy of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "drop-head" => Some(Self::DropHead),
            "reject-publish" => Some(Self::RejectPublish),
            "reject-publish-dlx" => Some(Self::RejectPublishDeadLetter),
            _ => None,
        }
    }
}

impl DeadLetterStrategy {
    /// The strategy of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "at-most-once" => Some(Self::AtMostOnce),
            "at-least-once" => Some(Self::AtLeastOnce),
            _ => None,
        }
    }
}

impl QueueArguments {
    /// Checks and parses the arguments of a queue that error texts call `described` (`queue 'q' in vhost '/'`).
    ///
    /// # Errors
    /// 406 for a known argument that cannot be, or that queues of this type do not have.
    pub fn parse(arguments: &Table, described: &str) -> Result<Self, ChannelError> {
        arguments::parse(arguments, described)
    }

    /// What holds for the queue under a policy.
    pub fn under(&self, policy: &QueueValues) -> QueueSettings {
        let own = &self.values;
        let (overflow, expires_ms) = match self.kind {
            QueueKind::Classic => {
                (own.overflow.or(policy.overflow), smaller(own.expires_ms, policy.expires_ms))
            }
            QueueKind::Quorum | QueueKind::Stream => {
                (policy.overflow.or(own.overflow), policy.expires_ms.or(own.expires_ms))
            }
        };
        let length_bytes_max = match self.kind {
            QueueKind::Classic | QueueKind::Quorum => smaller(own.length_bytes_max, policy.length_bytes_max),
            QueueKind::Stream => policy.length_bytes_max.or(own.length_bytes_max),
        };
        let delivery_limit = smaller(own.delivery_limit, policy.delivery_limit);
        let default_limit = (self.kind == QueueKind::Quorum).then_some(QUORUM_DELIVERY_LIMIT);
        QueueSettings {
            kind: self.kind,
            message_ttl_ms: smaller(own.message_ttl_ms, policy.message_ttl_ms),
            expires_ms,
            length_max: smaller(own.length_max, policy.length_max),
            length_bytes_max,
            overflow: overflow.unwrap_or_default(),
            priority_max: self.priority_max,
            dead_letter_exchange: either(
                own.dead_letter_exchange.as_ref(),
                policy.dead_letter_exchange.as_ref(),
            ),
            dead_letter_routing_key: either(
                own.dead_letter_routing_key.as_ref(),
                policy.dead_letter_routing_key.as_ref(),
            ),
            dead_letter_strategy: own
                .dead_letter_strategy
                .or(policy.dead_letter_strategy)
                .unwrap_or_default(),
            delivery_limit: delivery_limit.or(default_limit).filter(|limit| *limit != DELIVERIES_UNLIMITED),
            single_active_consumer: self.single_active_consumer,
            consumer_timeout_ms: smaller(own.consumer_timeout_ms, policy.consumer_timeout_ms),
            max_age_ms: policy.max_age_ms.or(own.max_age_ms),
            stream_segment_bytes: policy.stream_segment_bytes.or(own.stream_segment_bytes),
            stream_filter_bytes: policy.stream_filter_bytes.or(own.stream_filter_bytes),
        }
    }
}

impl QueueSettings {
    /// What the arguments alone ask for.
    ///
    /// # Errors
    /// As [`QueueArguments::parse`].
    pub fn parse(arguments: &Table, described: &str) -> Result<Self, ChannelError> {
        Ok(QueueArguments::parse(arguments, described)?.under(&QueueValues::default()))
    }

    /// Whether returns of messages are counted and shown: quorum queues always do, others if they limit them.
    pub fn counts_returns(&self) -> bool {
        self.kind == QueueKind::Quorum || self.delivery_limit.is_some()
    }
}

fn smaller(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

fn either(own: Option<&String>, policy: Option<&String>) -> Option<String> {
    own.or(policy).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_number_holds_and_an_argument_beats_a_policy() {
        let values = QueueValues {
            message_ttl_ms: Some(1000),
            expires_ms: Some(9),
            length_max: Some(5),
            overflow: Some(Overflow::RejectPublish),
            dead_letter_exchange: Some("mine".into()),
            ..QueueValues::default()
        };
        let policy = QueueValues {
            message_ttl_ms: Some(2000),
            expires_ms: Some(4),
            length_bytes_max: Some(7),
            overflow: Some(Overflow::DropHead),
            dead_letter_exchange: Some("theirs".into()),
            dead_letter_routing_key: Some("key".into()),
            ..QueueValues::default()
        };
        let declared = QueueArguments { values, ..QueueArguments::default() };
        let expected = QueueSettings {
            message_ttl_ms: Some(1000),
            expires_ms: Some(4),
            length_max: Some(5),
            length_bytes_max: Some(7),
            overflow: Overflow::RejectPublish,
            dead_letter_exchange: Some("mine".into()),
            dead_letter_routing_key: Some("key".into()),
            ..QueueSettings::default()
        };
        assert_eq!(declared.under(&policy), expected);
    }

    #[test]
    fn a_policy_beats_the_argument_where_rabbitmq_says_so() {
        let values = |bytes, overflow, expires_ms| QueueValues {
            length_bytes_max: Some(bytes),
            overflow: Some(overflow),
            expires_ms: Some(expires_ms),
            max_age_ms: Some(expires_ms),
            ..QueueValues::default()
        };
        let policy = values(900, Overflow::DropHead, 90);
        let of = |kind| {
            let values = values(100, Overflow::RejectPublish, 10);
            let settings = QueueArguments { kind, values, ..QueueArguments::default() }.under(&policy);
            (settings.length_bytes_max, settings.overflow, settings.expires_ms)
        };
        assert_eq!(of(QueueKind::Classic), (Some(100), Overflow::RejectPublish, Some(10)));
        assert_eq!(of(QueueKind::Quorum), (Some(100), Overflow::DropHead, Some(90)));
        assert_eq!(of(QueueKind::Stream), (Some(900), Overflow::DropHead, Some(90)));
    }

    #[test]
    fn no_limit_yields_to_any_limit() {
        for (own, policy, expected) in [
            (None, None, None),
            (Some(DELIVERIES_UNLIMITED), None, None),
            (Some(DELIVERIES_UNLIMITED), Some(5), Some(5)),
            (Some(3), Some(DELIVERIES_UNLIMITED), Some(3)),
            (Some(3), Some(0), Some(0)),
        ] {
            let limit = |delivery_limit| QueueValues { delivery_limit, ..QueueValues::default() };
            let declared = QueueArguments { values: limit(own), ..QueueArguments::default() };
            assert_eq!(declared.under(&limit(policy)).delivery_limit, expected, "{own:?} {policy:?}");
        }
    }
}
