//! What the arguments of queue.declare ask for: checked and parsed once, and compared when a queue is declared again.
//! Unknown arguments are ignored. Known ones are checked as RabbitMQ checks them, with its texts, also where their
//! behaviour is still to come: the parsed values below are where it will read them.
//! Source: RabbitMQ `rabbit_amqqueue:check_declare_arguments`, `rabbit_misc:assert_args_equivalence`.

use crate::protocol::reply::{ChannelCode, ChannelError};
use crate::protocol::table::Table;
use crate::protocol::value::Value;
use std::fmt;

/// The arguments of a queue, parsed. All but the type are kept for features to come.
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
    /// `x-single-active-consumer`.
    pub single_active_consumer: bool,
}

/// The type a client asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueKind {
    /// Also if nothing was asked.
    #[default]
    Classic,
    /// Must be durable, shared and lasting.
    Quorum,
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

/// Longest time a message or queue may be given, ms: ten years.
const EXPIRY_MS_MAX: i64 = 315_360_000_000;

/// Arguments that must not change when a queue is declared again.
const COMPARED: [&str; 13] = [
    "x-queue-type",
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-single-active-consumer",
    "x-delivery-limit",
    "x-quorum-initial-group-size",
];

impl QueueSettings {
    /// Parses the arguments of a queue that error texts call `described` (`queue 'q' in vhost '/'`).
    ///
    /// # Errors
    /// 406 for a known argument that cannot be.
    pub fn parse(arguments: &Table, described: &str) -> Result<Self, ChannelError> {
        let mut settings =
            Self { dead_letter_exchange: dead_letter_exchange(arguments, described)?, ..Self::default() };
        for (name, value) in arguments.iter() {
            settings.set(name, &value, arguments).map_err(|problem| invalid(name, described, &problem))?;
        }
        Ok(settings)
    }

    fn set(&mut self, name: &str, value: &Value<'_>, arguments: &Table) -> Result<(), Problem> {
        match name {
            "x-queue-type" => self.kind = queue_kind(value)?,
            "x-message-ttl" => self.message_ttl_ms = Some(milliseconds(value)?),
            "x-expires" => {
                let expires_ms = milliseconds(value)?;
                if expires_ms == 0 {
                    return Err(Problem::Term("{value_zero,0}".into()));
                }
                self.expires_ms = Some(expires_ms);
            }
            "x-max-length" => self.length_max = Some(not_negative(value)?),
            "x-max-length-bytes" => self.length_bytes_max = Some(not_negative(value)?),
            "x-max-priority" => {
                let priority = not_negative(value)?;
                let too_high = |_| Problem::Term(format!("{{max_value_exceeded,{priority}}}"));
                self.priority_max = Some(u8::try_from(priority).map_err(too_high)?);
            }
            "x-overflow" => self.overflow = overflow(value)?,
            "x-dead-letter-routing-key" => {
                self.dead_letter_routing_key = Some(text(value)?.into());
                if arguments.get("x-dead-letter-exchange").is_none() {
                    return Err(Problem::Term("routing_key_but_no_dlx_defined".into()));
                }
            }
            "x-single-active-consumer" => {
                self.single_active_consumer = value.as_bool().ok_or_else(|| unacceptable(value))?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a queue declared with `current` may be declared again with `received`.
///
/// # Errors
/// 406 naming the first argument that differs. Integers of different widths are equal if their numbers are.
pub fn check_equivalent(current: &Table, received: &Table, described: &str) -> Result<(), ChannelError> {
    for name in COMPARED {
        let (received, current) = (received.get(name), current.get(name));
        if name == "x-queue-type" && is_classic(received.as_ref()) && is_classic(current.as_ref()) {
            continue;
        }
        check_same(name, received.as_ref(), current.as_ref(), described)?;
    }
    Ok(())
}

/// Compares one argument of a declaration with what stands.
///
/// # Errors
/// 406 with RabbitMQ's text.
pub fn check_same(
    name: &str,
    received: Option<&Value<'_>>,
    current: Option<&Value<'_>>,
    described: &str,
) -> Result<(), ChannelError> {
    let (received, current) = match (received, current) {
        (None, None) => return Ok(()),
        (Some(received), Some(current)) if is_same(received, current) => return Ok(()),
        (Some(received), Some(current)) => {
            (format!("'{}'", Shown(received)), format!("'{}'", Shown(current)))
        }
        (received, current) => (typed(received), typed(current)),
    };
    Err(inequivalent(name, described, &received, &current))
}

/// 406 `inequivalent arg`.
pub fn inequivalent(name: &str, described: &str, received: &str, current: &str) -> ChannelError {
    ChannelError::new(
        ChannelCode::PreconditionFailed,
        format!("inequivalent arg '{name}' for {described}: received {received} but current is {current}"),
    )
}

/// A value as reply texts show it.
pub struct Shown<'a>(pub &'a Value<'a>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::LongString(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
            Value::Bool(value) => write!(f, "{value}"),
            Value::F32(number) => write!(f, "{number:?}"),
            Value::F64(number) => write!(f, "{number:?}"),
            Value::Timestamp(seconds) => write!(f, "{seconds}"),
            Value::Void => f.write_str("undefined"),
            Value::Decimal { scale, value } => write!(f, "{{{scale},{value}}}"),
            Value::Binary(bytes) => write!(f, "{bytes:?}"),
            Value::Array(elements) => write!(f, "{elements:?}"),
            Value::Table(fields) => write!(f, "{fields:?}"),
            Value::I8(_)
            | Value::U8(_)
            | Value::I16(_)
            | Value::U16(_)
            | Value::I32(_)
            | Value::U32(_)
            | Value::I64(_) => write!(f, "{}", self.0.as_i64().unwrap_or_default()),
        }
    }
}

/// What is wrong with a value, as RabbitMQ's Erlang prints it.
#[derive(Debug)]
enum Problem {
    Term(String),
    Text(String),
}

fn invalid(name: &str, described: &str, problem: &Problem) -> ChannelError {
    let problem = match problem {
        Problem::Term(term) => term.clone(),
        Problem::Text(text) => format!("\"{text}\""),
    };
    ChannelError::new(
        ChannelCode::PreconditionFailed,
        format!("invalid arg '{name}' for {described}: {problem}"),
    )
}

fn unacceptable(value: &Value<'_>) -> Problem {
    Problem::Term(format!("{{unacceptable_type,{}}}", value.type_name()))
}

fn not_negative(value: &Value<'_>) -> Result<u64, Problem> {
    let Some(number) = value.as_i64() else {
        return Err(Problem::Text(format!("expected integer, got {}", value.type_name())));
    };
    u64::try_from(number).map_err(|_| Problem::Term(format!("{{value_negative,{number}}}")))
}

fn milliseconds(value: &Value<'_>) -> Result<u64, Problem> {
    let number = not_negative(value)?;
    if number > EXPIRY_MS_MAX.unsigned_abs() {
        return Err(Problem::Term(format!("{{value_too_large,{number}}}")));
    }
    Ok(number)
}

fn text<'a>(value: &Value<'a>) -> Result<&'a str, Problem> {
    value.as_str().ok_or_else(|| unacceptable(value))
}

fn overflow(value: &Value<'_>) -> Result<Overflow, Problem> {
    match text(value)? {
        "drop-head" => Ok(Overflow::DropHead),
        "reject-publish" => Ok(Overflow::RejectPublish),
        "reject-publish-dlx" => Ok(Overflow::RejectPublishDeadLetter),
        _ => Err(Problem::Term("invalid_overflow".into())),
    }
}

fn queue_kind(value: &Value<'_>) -> Result<QueueKind, Problem> {
    match text(value)? {
        "classic" => Ok(QueueKind::Classic),
        "quorum" => Ok(QueueKind::Quorum),
        other => Err(Problem::Text(format!("unsupported queue type '{other}'"))),
    }
}

fn dead_letter_exchange(arguments: &Table, described: &str) -> Result<Option<String>, ChannelError> {
    let name = "x-dead-letter-exchange";
    match arguments.get(name) {
        None => Ok(None),
        Some(value) => match value.as_str() {
            Some(exchange) => Ok(Some(exchange.into())),
            None => Err(ChannelError::new(
                ChannelCode::PreconditionFailed,
                format!("invalid type '{}' for arg '{name}' in {described}", value.type_name()),
            )),
        },
    }
}

fn is_classic(value: Option<&Value<'_>>) -> bool {
    value.is_none_or(|value| value.as_str() == Some("classic"))
}

fn is_same(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one.as_i64(), other.as_i64()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

fn typed(value: Option<&Value<'_>>) -> String {
    value.map_or_else(
        || "none".into(),
        |value| format!("the value '{}' of type '{}'", Shown(value), value.type_name()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: &str = "queue 'q' in vhost '/'";

    fn check_refused(pairs: &[(&str, Value<'_>)], expected: &str) {
        let error = QueueSettings::parse(&Table::from_pairs(pairs), QUEUE).expect_err(expected);
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
            ("x-queue-type", Value::text("quorum")),
            ("x-queue-mode", Value::text("lazy")),
            ("x-ours", Value::Void),
        ]);
        let expected = QueueSettings {
            kind: QueueKind::Quorum,
            message_ttl_ms: Some(0),
            expires_ms: Some(1000),
            length_max: Some(5),
            length_bytes_max: None,
            overflow: Overflow::RejectPublish,
            priority_max: Some(255),
            dead_letter_exchange: Some("dlx".into()),
            dead_letter_routing_key: Some("key".into()),
            single_active_consumer: true,
        };
        assert_eq!(QueueSettings::parse(&arguments, QUEUE), Ok(expected));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let arg = |name: &str, problem: &str| format!("invalid arg '{name}' for {QUEUE}: {problem}");
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
            ("x-queue-type", Value::text("stream"), "\"unsupported queue type 'stream'\""),
        ] {
            check_refused(&[(name, value)], &arg(name, problem));
        }
        let text = "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'";
        check_refused(&[("x-dead-letter-exchange", Value::I32(1))], text);
    }

    #[test]
    fn declared_again() {
        let check =
            |current: &[(&str, Value<'_>)], received: &[(&str, Value<'_>)], expected: Option<&str>| {
                let (current, received) = (Table::from_pairs(current), Table::from_pairs(received));
                let error = check_equivalent(&current, &received, QUEUE).err().map(|error| error.explanation);
                let expected = expected
                    .map(|end| format!("inequivalent arg 'x-message-ttl' for {QUEUE}: received {end}"));
                assert_eq!(error, expected);
            };
        let ttl = |value| ("x-message-ttl", value);
        check(&[ttl(Value::I32(1000))], &[ttl(Value::I64(1000))], None);
        check(&[("x-ours", Value::Void)], &[("x-queue-type", Value::text("classic"))], None);
        check(&[ttl(Value::I32(1000))], &[ttl(Value::I32(2000))], Some("'2000' but current is '1000'"));
        check(
            &[],
            &[ttl(Value::I32(1000))],
            Some("the value '1000' of type 'signedint' but current is none"),
        );
        check(
            &[ttl(Value::I32(1000))],
            &[],
            Some("none but current is the value '1000' of type 'signedint'"),
        );
    }
}
