//! What the arguments of basic.consume ask of a stream: where to begin, and which messages to hand out.
//! Sources: RabbitMQ `rabbit_stream_queue:parse_offset_arg`, `filter_spec`.

use crate::message::Message;
use crate::protocol::properties::Properties;
use crate::protocol::table::Table;
use crate::protocol::value::Value;
use crate::queue::age_ms;

/// Header by which publishers say what a message is about; filters compare it.
const FILTER_VALUE: &str = "x-stream-filter-value";

/// Where a consumer begins: `x-stream-offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The oldest message that is kept.
    First,
    /// The newest message.
    Last,
    /// What is published from now on.
    Next,
    /// This offset, or the first that is kept if that is higher. One that does not exist yet is waited for.
    Offset(u64),
    /// The first message written at this time or later, unix ms.
    Since(u64),
}

impl Start {
    /// What the argument says at `now_ms` (unix ms); without one it is [`Start::Next`].
    ///
    /// # Errors
    /// The problem as reply texts show it.
    pub fn parse(value: Option<&Value<'_>>, now_ms: u64) -> Result<Self, String> {
        let Some(value) = value else { return Ok(Self::Next) };
        let shown = || format!("{{invalid_stream_offset_arg,{}}}", term(value));
        match value {
            Value::Timestamp(seconds) => Ok(Self::Since(seconds.saturating_mul(1000))),
            Value::LongString(_) => match value.as_str() {
                Some("first") => Ok(Self::First),
                Some("last") => Ok(Self::Last),
                Some("next") => Ok(Self::Next),
                Some(text) => {
                    age_ms(text).map(|age| Self::Since(now_ms.saturating_sub(age))).ok_or_else(shown)
                }
                None => Err(shown()),
            },
            _ => match value.as_i64() {
                Some(offset) => Ok(Self::Offset(u64::try_from(offset).unwrap_or(0))),
                None => Err(shown()),
            },
        }
    }
}

/// Which messages a consumer wants: `x-stream-filter` and `x-stream-match-unfiltered`. Compared message by message, so
/// that a consumer gets exactly what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    values: Vec<Box<[u8]>>,
    match_unfiltered: bool,
}

impl Filter {
    /// What the arguments of basic.consume say; `None` if they do not filter.
    pub fn parse(arguments: &Table) -> Option<Self> {
        let values = match arguments.get("x-stream-filter")? {
            Value::LongString(value) => vec![value.into()],
            Value::Array(elements) => elements
                .iter()
                .filter_map(|element| match element {
                    Value::LongString(value) => Some(value.into()),
                    _ => None,
                })
                .collect(),
            _ => return None,
        };
        let match_unfiltered =
            arguments.get("x-stream-match-unfiltered").and_then(|value| value.as_bool()).unwrap_or(false);
        Some(Self { values, match_unfiltered })
    }

    /// Whether a message is wanted.
    pub fn matches(&self, message: &Message) -> bool {
        match Properties::new(&message.properties).headers().get(FILTER_VALUE) {
            Some(Value::LongString(value)) => self.values.iter().any(|wanted| **wanted == *value),
            _ => self.match_unfiltered,
        }
    }
}

/// A value as an Erlang term.
fn term(value: &Value<'_>) -> String {
    let name = value.type_name();
    match value {
        Value::LongString(bytes) => format!("{{{name},<<\"{}\">>}}", String::from_utf8_lossy(bytes)),
        Value::Bool(value) => format!("{{{name},{value}}}"),
        _ => format!("{{{name},...}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Holders;
    use crate::protocol::properties::PropertyList;
    use bytes::Bytes;

    #[test]
    fn where_to_begin() {
        let now_ms = 10_000_000;
        for (value, expected) in [
            (None, Start::Next),
            (Some(Value::text("first")), Start::First),
            (Some(Value::text("last")), Start::Last),
            (Some(Value::text("next")), Start::Next),
            (Some(Value::I64(77)), Start::Offset(77)),
            (Some(Value::U8(0)), Start::Offset(0)),
            (Some(Value::I32(-1)), Start::Offset(0)),
            (Some(Value::Timestamp(3)), Start::Since(3000)),
            (Some(Value::text("1h")), Start::Since(6_400_000)),
            (Some(Value::text("9Y")), Start::Since(0)),
        ] {
            assert_eq!(Start::parse(value.as_ref(), now_ms), Ok(expected), "{value:?}");
        }
        for (value, expected) in [
            (Value::text("5"), "{longstr,<<\"5\">>}"),
            (Value::text("bogus"), "{longstr,<<\"bogus\">>}"),
            (Value::text(""), "{longstr,<<\"\">>}"),
            (Value::Bool(true), "{bool,true}"),
            (Value::Void, "{void,...}"),
        ] {
            let expected = format!("{{invalid_stream_offset_arg,{expected}}}");
            assert_eq!(Start::parse(Some(&value), now_ms), Err(expected));
        }
    }

    fn message(filter_value: Option<&str>) -> Message {
        let headers = filter_value.map(|value| Table::from_pairs(&[(FILTER_VALUE, Value::text(value))]));
        Message {
            exchange: "".into(),
            routing_key: "q".into(),
            properties: PropertyList { headers, ..PropertyList::default() }.encode(),
            body: Bytes::new(),
            persistent: true,
            dead_lettered: false,
            holders: Holders::default(),
        }
    }

    #[test]
    fn filters_are_exact() {
        let check = |arguments: &[(&str, Value<'_>)], wanted: [bool; 3]| {
            let filter = Filter::parse(&Table::from_pairs(arguments)).expect("a filter");
            let found = [Some("a"), Some("b"), None].map(|value| filter.matches(&message(value)));
            assert_eq!(found, wanted, "{arguments:?}");
        };
        check(&[("x-stream-filter", Value::text("a"))], [true, false, false]);
        let too = ("x-stream-match-unfiltered", Value::Bool(true));
        check(&[("x-stream-filter", Value::text("b")), too], [false, true, true]);
        assert_eq!(Filter::parse(&Table::from_pairs(&[too])), None);
        assert_eq!(Filter::parse(&Table::from_pairs(&[("x-stream-filter", Value::I32(1))])), None);
    }
}
