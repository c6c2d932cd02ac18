//! Headers: the arguments of a binding are compared with the headers of a message. Keys play no part.
//!
//! `x-match` says how: `all` (the default) or `any` of the fields must be there with an equal value, a field of type
//! void with any value. Fields whose names begin with `x-` are passed over unless it says `all-with-x` or `any-with-x`.
//! A binding without fields matches every message under `all` and none under `any`.
//! Values are equal only within a class of types: integers of all widths are one, floats another.
//! Source: RabbitMQ, `rabbit_exchange_type_headers`.

use super::DestinationId;
use crate::protocol::reply::{ChannelCode, ChannelError};
use crate::protocol::table::Table;
use crate::protocol::value::Value;

/// What a binding asks of the headers, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeadersPattern {
    arguments: Table,
    any: bool,
    with_x: bool,
}

/// The patterns of an exchange.
#[derive(Debug)]
pub(super) struct HeadersTable<D> {
    patterns: Vec<(HeadersPattern, D)>,
}

impl<D> Default for HeadersTable<D> {
    fn default() -> Self {
        Self { patterns: Vec::new() }
    }
}

impl HeadersPattern {
    /// # Errors
    /// 406 if `x-match` is none of `all`, `any`, `all-with-x`, `any-with-x`.
    pub(super) fn parse(arguments: &Table) -> Result<Self, ChannelError> {
        let (any, with_x) = match arguments.get("x-match") {
            None | Some(Value::LongString(b"all")) => (false, false),
            Some(Value::LongString(b"any")) => (true, false),
            Some(Value::LongString(b"all-with-x")) => (false, true),
            Some(Value::LongString(b"any-with-x")) => (true, true),
            Some(Value::LongString(other)) => {
                return Err(invalid(format!(
                    "Invalid x-match field value <<\"{}\">>; expected all, any, all-with-x, or any-with-x",
                    other.escape_ascii()
                )));
            }
            Some(other) => {
                return Err(invalid(format!(
                    "Invalid x-match field type {}; expected longstr",
                    other.type_name()
                )));
            }
        };
        Ok(Self { arguments: arguments.clone(), any, with_x })
    }

    fn matches(&self, headers: &Headers<'_>) -> bool {
        let mut results = self
            .arguments
            .iter()
            .filter(|&(name, _)| if self.with_x { name != "x-match" } else { !name.starts_with("x-") })
            .map(|(name, wanted)| {
                headers.get(name).is_some_and(|found| wanted == Value::Void || equal(wanted, found))
            });
        if self.any { results.any(|result| result) } else { results.all(|result| result) }
    }
}

impl<D: DestinationId> HeadersTable<D> {
    /// Adds patterns with their destinations.
    pub(super) fn extend(&mut self, patterns: impl IntoIterator<Item = (HeadersPattern, D)>) {
        self.patterns.extend(patterns);
    }

    /// Removes one pattern with these arguments, if there is one: the same arguments may be bound under several keys.
    pub(super) fn remove(&mut self, arguments: &Table, destination: D) {
        let found = self
            .patterns
            .iter()
            .position(|(pattern, known)| *known == destination && pattern.arguments == *arguments);
        if let Some(position) = found {
            self.patterns.swap_remove(position);
        }
    }

    /// Removes all patterns that lead there.
    pub(super) fn remove_destination(&mut self, destination: D) {
        self.patterns.retain(|(_, known)| *known != destination);
    }

    pub(super) fn route(&self, headers: impl FnOnce() -> Table, out: &mut impl FnMut(D)) {
        if self.patterns.is_empty() {
            return;
        }
        let table = headers();
        let headers = Headers::sort(&table);
        for (pattern, destination) in &self.patterns {
            if pattern.matches(&headers) {
                out(*destination);
            }
        }
    }
}

/// A message's headers by name, sorted once for all patterns so that many headers and many patterns do not multiply.
/// This exchange type alone pays an allocation per message for it.
struct Headers<'a> {
    sorted: Vec<(&'a str, Value<'a>)>,
}

impl<'a> Headers<'a> {
    fn sort(table: &'a Table) -> Self {
        let mut sorted: Vec<_> = table.iter().collect();
        // Stable, so that of a repeated name the first counts, as everywhere.
        sorted.sort_by(|one, other| one.0.cmp(other.0));
        Self { sorted }
    }

    fn get(&self, name: &str) -> Option<Value<'a>> {
        let first = self.sorted.partition_point(|(known, _)| *known < name);
        self.sorted.get(first).filter(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

#[expect(clippy::float_cmp, reason = "a header matches only the very number that the binding names")]
fn equal(wanted: Value<'_>, found: Value<'_>) -> bool {
    match (wanted.as_i64(), found.as_i64()) {
        (Some(wanted), Some(found)) => wanted == found,
        (None, None) => match (as_f64(wanted), as_f64(found)) {
            (Some(wanted), Some(found)) => wanted == found,
            _ => wanted == found,
        },
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn as_f64(value: Value<'_>) -> Option<f64> {
    match value {
        Value::F32(value) => Some(value.into()),
        Value::F64(value) => Some(value),
        _ => None,
    }
}

fn invalid(explanation: String) -> ChannelError {
    ChannelError::new(ChannelCode::PreconditionFailed, explanation)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLOUR: (&str, Value<'_>) = ("colour", Value::LongString(b"red"));
    const SIZE: (&str, Value<'_>) = ("size", Value::I32(7));
    const X_ID: (&str, Value<'_>) = ("x-id", Value::I32(1));

    fn mode(text: &'static str) -> (&'static str, Value<'static>) {
        ("x-match", Value::text(text))
    }

    fn check(arguments: &[(&str, Value<'_>)], headers: &[(&str, Value<'_>)], expected: bool) {
        let mut table = HeadersTable::default();
        table.extend([(HeadersPattern::parse(&Table::from_pairs(arguments)).unwrap(), 1)]);
        let mut matched = false;
        table.route(|| Table::from_pairs(headers), &mut |_| matched = true);
        assert_eq!(matched, expected, "{arguments:?} on {headers:?}");
    }

    #[test]
    fn fields_are_compared() {
        check(&[COLOUR, SIZE], &[SIZE, COLOUR], true);
        check(&[COLOUR, SIZE], &[COLOUR], false);
        check(&[COLOUR, SIZE, mode("all")], &[COLOUR, SIZE, X_ID], true);
        check(&[COLOUR, SIZE, mode("any")], &[COLOUR], true);
        check(&[COLOUR, SIZE, mode("any")], &[X_ID], false);
        check(&[COLOUR], &[("colour", Value::text("blue"))], false);
        check(&[COLOUR], &[("Colour", Value::text("red"))], false);
    }

    #[test]
    fn no_fields_match_all_or_nothing() {
        check(&[], &[], true);
        check(&[], &[COLOUR], true);
        check(&[mode("all")], &[COLOUR], true);
        check(&[mode("any")], &[COLOUR], false);
        check(&[mode("all-with-x")], &[], true);
        check(&[mode("any-with-x")], &[COLOUR], false);
    }

    #[test]
    fn fields_that_begin_with_x_count_only_on_request() {
        check(&[X_ID], &[], true);
        check(&[X_ID, mode("any")], &[X_ID], false);
        check(&[X_ID, COLOUR, mode("all")], &[COLOUR], true);
        check(&[X_ID, COLOUR, mode("all-with-x")], &[COLOUR], false);
        check(&[X_ID, COLOUR, mode("all-with-x")], &[COLOUR, X_ID], true);
        check(&[X_ID, COLOUR, mode("any-with-x")], &[X_ID], true);
    }

    #[test]
    fn values_are_equal_within_their_class() {
        let size = |value| ("size", value);
        for (wanted, found, expected) in [
            (Value::I32(7), Value::I64(7), true),
            (Value::U8(7), Value::I16(7), true),
            (Value::I32(7), Value::text("7"), false),
            (Value::I32(1), Value::Bool(true), false),
            (Value::I32(7), Value::F64(7.0), false),
            (Value::F32(0.5), Value::F64(0.5), true),
            (Value::F64(f64::NAN), Value::F64(f64::NAN), false),
            (Value::Void, Value::text("anything"), true),
            (Value::Void, Value::Void, true),
            (Value::I32(7), Value::Void, false),
            (Value::Timestamp(7), Value::I64(7), false),
        ] {
            check(&[size(wanted)], &[size(found)], expected);
        }
        check(&[size(Value::Void)], &[COLOUR], false);
    }

    #[test]
    fn a_strange_mode_is_refused() {
        let refuse = |value| {
            let error = HeadersPattern::parse(&Table::from_pairs(&[("x-match", value)])).unwrap_err();
            assert_eq!(error.code, ChannelCode::PreconditionFailed);
            error.explanation
        };
        assert_eq!(
            refuse(Value::text("foo")),
            "Invalid x-match field value <<\"foo\">>; expected all, any, all-with-x, or any-with-x"
        );
        assert_eq!(refuse(Value::I32(1)), "Invalid x-match field type signedint; expected longstr");
    }

    #[test]
    fn of_a_repeated_header_the_first_counts() {
        check(&[SIZE], &[SIZE, ("size", Value::I32(8))], true);
        check(&[SIZE], &[("size", Value::I32(8)), SIZE], false);
    }
}
