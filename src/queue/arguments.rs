//! The arguments of queue.declare: which there are, which queues have them, and what they may be. Unknown arguments are
//! ignored. Known ones are checked as RabbitMQ checks them, in its order and with its texts.
//! Source: RabbitMQ `rabbit_amqqueue:declare_args`, and `capabilities` of its queue types.

use super::settings::{
    DELIVERIES_UNLIMITED, DeadLetterStrategy, Overflow, QueueArguments, QueueKind, QueueValues,
};
use crate::limits::EXPIRATION_MS_MAX;
use crate::protocol::reply::{ChannelCode, ChannelError};
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

/// What is wrong with a value, as RabbitMQ's Erlang prints it.
#[derive(Debug)]
enum Problem {
    /// `{value_zero,0}`
    Term(String),
    /// `"expected integer, got longstr"`
    Text(String),
    /// A sentence of its own.
    Sentence(String),
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

/// Time as `max-age` has it: a positive number and one of `Y M D h m s`; in ms.
pub fn age_ms(text: &str) -> Option<u64> {
    const SECOND_MS: u64 = 1000;
    const DAY_MS: u64 = 24 * 3600 * SECOND_MS;
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "Y" => 365 * DAY_MS,
        "M" => 30 * DAY_MS,
        "D" => DAY_MS,
        "h" => 3600 * SECOND_MS,
        "m" => 60 * SECOND_MS,
        "s" => SECOND_MS,
        _ => return None,
    };
    number.parse::<u64>().ok().filter(|number| *number > 0)?.checked_mul(unit_ms)
}

fn refused(text: String) -> ChannelError {
    ChannelError::new(ChannelCode::PreconditionFailed, text)
}

fn invalid(name: &str, described: &str, problem: Problem) -> ChannelError {
    refused(match problem {
        Problem::Term(term) => format!("invalid arg '{name}' for {described}: {term}"),
        Problem::Text(text) => format!("invalid arg '{name}' for {described}: \"{text}\""),
        Problem::Sentence(sentence) => sentence,
    })
}

fn term(term: &str) -> Problem {
    Problem::Term(term.to_owned())
}

fn zero() -> Problem {
    term("{value_zero,0}")
}

fn negative(number: i64) -> Problem {
    Problem::Term(format!("{{value_negative,{number}}}"))
}

fn unacceptable(value: &Value<'_>) -> Problem {
    Problem::Term(format!("{{unacceptable_type,{}}}", value.type_name()))
}

fn integer(value: &Value<'_>) -> Result<i64, Problem> {
    value.as_i64().ok_or_else(|| Problem::Text(format!("expected integer, got {}", value.type_name())))
}

fn not_negative(value: &Value<'_>) -> Result<u64, Problem> {
    let number = integer(value)?;
    u64::try_from(number).map_err(|_| negative(number))
}

fn positive(value: &Value<'_>) -> Result<u64, Problem> {
    match not_negative(value)? {
        0 => Err(zero()),
        number => Ok(number),
    }
}

fn milliseconds(value: &Value<'_>) -> Result<u64, Problem> {
    let number = not_negative(value)?;
    if number > EXPIRATION_MS_MAX {
        return Err(Problem::Term(format!("{{value_too_large,{number}}}")));
    }
    Ok(number)
}

fn text<'a>(value: &Value<'a>) -> Result<&'a str, Problem> {
    value.as_str().ok_or_else(|| unacceptable(value))
}

fn queue_kind(value: &Value<'_>) -> Result<QueueKind, Problem> {
    let name = text(value)?;
    QueueKind::from_name(name).ok_or_else(|| Problem::Text(format!("unsupported queue type '{name}'")))
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
mod tests {
    use super::super::settings::QueueSettings;
    use super::*;

    const DESCRIBED: &str = "queue 'q' in vhost '/'";

    fn check_refused(pairs: &[(&str, Value<'_>)], expected: &str) {
        let error = QueueArguments::parse(&Table::from_pairs(pairs), DESCRIBED).expect_err(expected);
        assert_eq!(error.reply_text(), format!("PRECONDITION_FAILED - {expected}"));
    }

    #[test]
    fn arguments_are_parsed() {
        let arguments = Table::from_pairs(&[
            ("x-message-ttl", Value::I32(0)),
            ("x-expires", Value::I64(1000)),
            ("x-max-length", Value::U8(5)),
            ("x-max-priority", Value::I16(255)),
            ("x-overflow", Value::text("reject-publish")),
            ("x-dead-letter-exchange", Value::text("dlx")),
            ("x-dead-letter-routing-key", Value::text("key")),
            ("x-single-active-consumer", Value::Bool(true)),
            ("x-delivery-limit", Value::I32(3)),
            ("x-queue-mode", Value::text("lazy")),
            ("x-queue-version", Value::I32(2)),
            ("x-queue-master-locator", Value::Void),
            ("x-ours", Value::Void),
        ]);
        let expected = QueueSettings {
            message_ttl_ms: Some(0),
            expires_ms: Some(1000),
            length_max: Some(5),
            overflow: Overflow::RejectPublish,
            priority_max: Some(255),
            dead_letter_exchange: Some("dlx".into()),
            dead_letter_routing_key: Some("key".into()),
            single_active_consumer: true,
            delivery_limit: Some(3),
            ..QueueSettings::default()
        };
        assert_eq!(QueueSettings::parse(&arguments, DESCRIBED), Ok(expected));
        let arguments = Table::from_pairs(&[
            ("x-delivery-limit", Value::I32(-1)),
            ("x-dead-letter-strategy", Value::text("at-least-once")),
            ("x-quorum-initial-group-size", Value::I32(3)),
            ("x-queue-leader-locator", Value::text("balanced")),
            ("x-queue-type", Value::text("quorum")),
        ]);
        let expected = QueueSettings {
            kind: QueueKind::Quorum,
            dead_letter_strategy: DeadLetterStrategy::AtLeastOnce,
            ..QueueSettings::default()
        };
        assert_eq!(QueueSettings::parse(&arguments, DESCRIBED), Ok(expected));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let arg = |name: &str, problem: &str| format!("invalid arg '{name}' for {DESCRIBED}: {problem}");
        for (name, value, problem) in [
            ("x-message-ttl", Value::I32(-1), "{value_negative,-1}"),
            ("x-message-ttl", Value::I64(315_360_000_001), "{value_too_large,315360000001}"),
            ("x-message-ttl", Value::text("60"), "\"expected integer, got longstr\""),
            ("x-expires", Value::I32(0), "{value_zero,0}"),
            ("x-max-length", Value::I64(-7), "{value_negative,-7}"),
            ("x-max-length-bytes", Value::Bool(true), "\"expected integer, got bool\""),
            ("x-max-priority", Value::I32(256), "{max_value_exceeded,256}"),
            ("x-overflow", Value::text("drop-tail"), "invalid_overflow"),
            ("x-overflow", Value::I32(1), "{unacceptable_type,signedint}"),
            ("x-single-active-consumer", Value::text("yes"), "{unacceptable_type,longstr}"),
            ("x-dead-letter-routing-key", Value::text("k"), "routing_key_but_no_dlx_defined"),
            ("x-queue-mode", Value::text("busy"), "\"unsupported queue mode 'busy'\""),
            ("x-queue-mode", Value::I32(1), "{unacceptable_type,signedint}"),
            ("x-queue-version", Value::I32(3), "\"unsupported queue version '3'\""),
            ("x-queue-leader-locator", Value::text("here"), "invalid_queue_locator_arg"),
            ("x-delivery-limit", Value::I32(-2), "{value_negative,-2}"),
            ("x-queue-type", Value::text("fast"), "\"unsupported queue type 'fast'\""),
            ("x-queue-type", Value::I32(1), "{unacceptable_type,signedint}"),
        ] {
            check_refused(&[(name, value)], &arg(name, problem));
        }
        let quorum = ("x-queue-type", Value::text("quorum"));
        for (name, value, problem) in [
            ("x-dead-letter-strategy", Value::text("never"), "invalid_dlx_strategy"),
            ("x-quorum-initial-group-size", Value::I32(0), "{value_zero,0}"),
            ("x-max-in-memory-length", Value::I32(-1), "{value_negative,-1}"),
        ] {
            check_refused(&[quorum, (name, value)], &arg(name, problem));
        }
        let text = "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'";
        check_refused(&[("x-dead-letter-exchange", Value::I32(1))], text);
    }

    #[test]
    fn each_type_has_arguments_of_its_own() {
        for (kind, name, value) in [
            (QueueKind::Quorum, "x-max-priority", Value::I32(5)),
            (QueueKind::Quorum, "x-queue-mode", Value::text("lazy")),
            (QueueKind::Quorum, "x-queue-version", Value::I32(2)),
            (QueueKind::Quorum, "x-max-age", Value::text("1h")),
            (QueueKind::Classic, "x-max-age", Value::text("1h")),
            (QueueKind::Classic, "x-dead-letter-strategy", Value::text("at-least-once")),
            (QueueKind::Classic, "x-quorum-initial-group-size", Value::I32(3)),
            (QueueKind::Classic, "x-max-in-memory-bytes", Value::I32(3)),
        ] {
            let module = kind.module();
            let text = format!("invalid arg '{name}' for {DESCRIBED} of queue type {module}");
            check_refused(&[(name, value), ("x-queue-type", Value::text(kind.name()))], &text);
        }
        // What no type lists is passed over, as anything unknown is.
        let arguments = Table::from_pairs(&[("x-stream-filter-size-bytes", Value::text("x"))]);
        assert_eq!(QueueArguments::parse(&arguments, DESCRIBED), Ok(QueueArguments::default()));
    }

    #[test]
    fn what_a_type_lists_is_compared() {
        for kind in [QueueKind::Classic, QueueKind::Quorum, QueueKind::Stream] {
            let listed =
                QUEUE_ARGUMENTS.iter().filter(|known| known.is_listed && known.kinds.contains(&kind));
            let mut listed: Vec<_> = listed.map(|known| known.name).collect();
            let mut compared = compared(kind).to_vec();
            listed.sort_unstable();
            compared.sort_unstable();
            assert_eq!(compared, listed, "{kind}");
        }
    }

    #[test]
    fn ages_have_units() {
        for (text, expected) in [
            ("1s", Some(1000)),
            ("90m", Some(90 * 60_000)),
            ("1h", Some(3_600_000)),
            ("7D", Some(7 * 86_400_000)),
            ("1M", Some(30 * 86_400_000)),
            ("2Y", Some(730 * 86_400_000)),
            ("0s", None),
            ("5", None),
            ("s", None),
            ("", None),
            ("-1s", None),
            ("1 h", None),
            ("1w", None),
            ("18446744073709551615Y", None),
        ] {
            assert_eq!(age_ms(text), expected, "{text}");
        }
    }
}
