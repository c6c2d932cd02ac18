//! Headers: the arguments of a binding are compared with the headers of a message. Keys play no part.
//!
//! `x-match` says how: `all` (the default) or `any` of the fields must be there with an equal value, a field of type
//! void with any value. Fields whose names begin with `x-` are passed over unless it says `all-with-x` or `any-with-x`.
//! A binding without fields matches every message under `all` and none under `any`.
//! Values are compared and not their types: numbers by what they say, be they integers, floats or timestamps, and text with
//! bytes. Inside arrays and tables the types count as well. Source: RabbitMQ, `rabbit_exchange_type_headers`, which was
//! asked for each pair in the test below.

use super::DestinationId;
use super::refusals::{precondition, term};
use crate::protocol::properties::Properties;
use crate::protocol::reply::ChannelError;
use crate::protocol::table::{Fields, Table};
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
            Some(other @ Value::LongString(_)) => {
                return Err(precondition(format!(
                    "Invalid x-match field value {}; expected all, any, all-with-x, or any-with-x",
                    term(other)
                )));
            }
            Some(other) => {
                return Err(precondition(format!(
                    "Invalid x-match field type {} (value {}); expected longstr",
                    other.type_name(),
                    term(other)
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

    pub(super) fn route(&self, properties: Properties<'_>, out: &mut impl FnMut(D)) {
        if self.patterns.is_empty() {
            return;
        }
        let headers = Headers::sort(properties.headers());
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
    fn sort(fields: Fields<'a>) -> Self {
        let mut sorted: Vec<_> = fields.iter().collect();
        // Stable, so that of a repeated name the first counts, as everywhere.
        sorted.sort_by(|one, other| one.0.cmp(other.0));
        Self { sorted }
    }

    fn get(&self, name: &str) -> Option<Value<'a>> {
        let first = self.sorted.partition_point(|(known, _)| *known < name);
        self.sorted.get(first).filter(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

fn equal(wanted: Value<'_>, found: Value<'_>) -> bool {
    match (Number::of(wanted), Number::of(found)) {
        (Some(wanted), Some(found)) => wanted.equals(found),
        (None, None) => match (wanted, found) {
            (
                Value::LongString(wanted) | Value::Binary(wanted),
                Value::LongString(found) | Value::Binary(found),
            ) => wanted == found,
            (wanted, found) => wanted == found,
        },
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// A number of any type.
#[derive(Clone, Copy)]
enum Number {
    Whole(i128),
    Float(f64),
}

impl Number {
    fn of(value: Value<'_>) -> Option<Self> {
        match value {
            Value::F32(value) => Some(Self::Float(value.into())),
            Value::F64(value) => Some(Self::Float(value)),
            Value::Timestamp(seconds) => Some(Self::Whole(seconds.into())),
            value => value.as_i64().map(|number| Self::Whole(number.into())),
        }
    }

    #[expect(clippy::float_cmp, reason = "a header matches only the very number that the binding names")]
    fn equals(self, other: Self) -> bool {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => one == other,
            (Self::Float(one), Self::Float(other)) => one == other,
            // A float without a fraction is a whole number, exactly; beyond all integers of the wire it equals none.
            (Self::Whole(whole), Self::Float(float)) | (Self::Float(float), Self::Whole(whole)) => {
                float.trunc() == float && float as i128 == whole
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::properties::PropertyList;
    use crate::protocol::reply::ChannelCode;
    use crate::protocol::value::Elements;

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
        let headers_list =
            PropertyList { headers: Some(Table::from_pairs(headers)), ..PropertyList::default() };
        table.route(Properties::new(&headers_list.encode()), &mut |_| matched = true);
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
    fn values_are_compared_and_not_their_types() {
        let size = |value| ("size", value);
        let (one, wider) =
            (Table::from_pairs(&[("n", Value::I32(1))]), Table::from_pairs(&[("n", Value::I64(1))]));
        for (wanted, found, expected) in [
            (Value::I32(7), Value::I64(7), true),
            (Value::U8(7), Value::I16(7), true),
            (Value::I32(7), Value::text("7"), false),
            (Value::I32(1), Value::Bool(true), false),
            (Value::I32(7), Value::F64(7.0), true),
            (Value::F64(7.0), Value::I32(7), true),
            (Value::I32(7), Value::F64(7.5), false),
            (Value::I64(i64::MAX), Value::F64(9.3e18), false),
            (Value::F64(f64::INFINITY), Value::I64(i64::MAX), false),
            (Value::F32(0.5), Value::F64(0.5), true),
            (Value::F64(f64::NAN), Value::F64(f64::NAN), false),
            (Value::Void, Value::text("anything"), true),
            (Value::Void, Value::Void, true),
            (Value::I32(7), Value::Void, false),
            (Value::Timestamp(7), Value::I64(7), true),
            (Value::I32(7), Value::Timestamp(7), true),
            (Value::text("a"), Value::Binary(b"a"), true),
            (Value::Binary(b"a"), Value::text("a"), true),
            (Value::text("true"), Value::Bool(true), false),
            (Value::Decimal { scale: 1, value: 15 }, Value::Decimal { scale: 1, value: 15 }, true),
            (Value::Decimal { scale: 1, value: 15 }, Value::Decimal { scale: 2, value: 150 }, false),
            (Value::Decimal { scale: 1, value: 15 }, Value::F64(1.5), false),
            (Value::Array(Elements::default()), Value::Array(Elements::default()), true),
            (Value::Table(one.fields()), Value::Table(one.fields()), true),
            (Value::Table(one.fields()), Value::Table(wider.fields()), false),
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
        assert_eq!(refuse(Value::I32(1)), "Invalid x-match field type signedint (value 1); expected longstr");
    }

    #[test]
    fn of_a_repeated_header_the_first_counts() {
        check(&[SIZE], &[SIZE, ("size", Value::I32(8))], true);
        check(&[SIZE], &[("size", Value::I32(8)), SIZE], false);
    }
}
