//! A queue or exchange declared again must be the one that stands: which arguments are compared, and what is said if
//! they differ. Source: RabbitMQ `rabbit_misc:assert_args_equivalence`.

use super::arguments::compared;
use super::settings::QueueKind;
use crate::protocol::reply::{ChannelCode, ChannelError};
use crate::protocol::table::Table;
use crate::protocol::value::Value;
use std::fmt;

/// Whether a queue of type `kind`, declared with `current`, may be declared again with `received`. `default` is the type
/// that is meant when none is named.
///
/// # Errors
/// 406 naming the first argument that differs. Integers of different widths are equal if their numbers are.
pub fn check_equivalent(
    kind: QueueKind,
    default: QueueKind,
    current: &Table,
    received: &Table,
    described: &str,
) -> Result<(), ChannelError> {
    for &name in compared(kind) {
        let (received, current) = (received.get(name), current.get(name));
        let is_kind = |value: &Option<Value<'_>>| match value {
            Some(value) => value.as_str() == Some(kind.name()),
            None => default == kind,
        };
        if name == "x-queue-type" && is_kind(&received) {
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
    const CLASSIC: QueueKind = QueueKind::Classic;

    fn check(current: &[(&str, Value<'_>)], received: &[(&str, Value<'_>)], expected: Option<&str>) {
        check_of(CLASSIC, CLASSIC, current, received, expected);
    }

    fn check_of(
        kind: QueueKind,
        default: QueueKind,
        current: &[(&str, Value<'_>)],
        received: &[(&str, Value<'_>)],
        expected: Option<&str>,
    ) {
        let (current, received) = (Table::from_pairs(current), Table::from_pairs(received));
        let checked = check_equivalent(kind, default, &current, &received, QUEUE);
        let error = checked.err().map(|error| error.explanation);
        let expected = expected.map(|rest| {
            let (name, rest) = rest.split_once(' ').unwrap_or_default();
            format!("inequivalent arg '{name}' for {QUEUE}: received {rest}")
        });
        assert_eq!(error, expected);
    }

    #[test]
    fn declared_again() {
        let ttl = |value| ("x-message-ttl", value);
        check(&[ttl(Value::I32(1000))], &[ttl(Value::I64(1000))], None);
        check(
            &[ttl(Value::I32(1000))],
            &[ttl(Value::I32(2000))],
            Some("x-message-ttl '2000' but current is '1000'"),
        );
        check(
            &[],
            &[ttl(Value::I32(1000))],
            Some("x-message-ttl the value '1000' of type 'signedint' but current is none"),
        );
        check(
            &[ttl(Value::I32(1000))],
            &[],
            Some("x-message-ttl none but current is the value '1000' of type 'signedint'"),
        );
    }

    #[test]
    fn only_arguments_of_its_type_are_compared() {
        check(&[("x-ours", Value::Void)], &[("x-theirs", Value::Void)], None);
        check(&[], &[("x-max-age", Value::text("1h"))], None);
        check(
            &[],
            &[("x-queue-mode", Value::text("lazy"))],
            Some("x-queue-mode the value 'lazy' of type 'longstr' but current is none"),
        );
        let quorum = &[("x-queue-type", Value::text("quorum"))];
        let with_mode = [quorum[0], ("x-queue-mode", Value::text("lazy"))];
        check_of(QueueKind::Quorum, CLASSIC, quorum, &with_mode, None);
    }

    #[test]
    fn a_type_that_is_not_named_is_the_default_one() {
        let classic = &[("x-queue-type", Value::text("classic"))];
        let quorum = &[("x-queue-type", Value::text("quorum"))];
        check(&[], classic, None);
        check(classic, &[], None);
        check_of(QueueKind::Quorum, QueueKind::Quorum, quorum, &[], None);
        check_of(
            QueueKind::Quorum,
            CLASSIC,
            quorum,
            &[],
            Some("x-queue-type none but current is the value 'quorum' of type 'longstr'"),
        );
        check_of(
            QueueKind::Quorum,
            QueueKind::Quorum,
            quorum,
            classic,
            Some("x-queue-type 'classic' but current is 'quorum'"),
        );
        check(&[], quorum, Some("x-queue-type the value 'quorum' of type 'longstr' but current is none"));
    }
}
