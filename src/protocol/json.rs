//! Field tables and message properties as JSON, both ways, with the types RabbitMQ's management API gives them: texts are
//! long strings, whole numbers `long`, others `double`. What JSON cannot say (binary, decimals, widths) comes out as the
//! nearest it can, so that what goes out and comes in again means the same.
//! Source: RabbitMQ `rabbit_misc:to_amqp_table`, `rabbit_mgmt_format:basic_properties`.

use super::properties::{Properties, PropertyList};
use super::table::{Fields, Table, check};
use super::value::{Array, Value};
use crate::limits::{FRAME_BYTES_MAX, SHORT_STRING_BYTES_MAX, TABLE_DEPTH_MAX};
use bytes::Bytes;
use serde_json::{Map, Number, Value as Json};
use std::fmt;

/// Why JSON is no table or no properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// `null` has no place in a table.
    Null,
    /// A whole number beyond 64 bits with a sign.
    TooLarge(String),
    /// A name longer than a short string.
    LongName(String),
    /// Tables in tables in tables.
    TooDeep,
    /// A table that no frame could carry.
    TooLong,
    /// A property that is no whole number of its range.
    NotInteger(&'static str),
    /// A property that is no text, or too long a one.
    NotText(&'static str),
    /// Not an object.
    NotAnObject,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null_not_allowed"),
            Self::TooLarge(number) => write!(f, "the number {number} does not fit into 64 bits"),
            Self::LongName(name) => {
                let start: String = name.chars().take(32).collect();
                write!(f, "the name '{start}...' is longer than {SHORT_STRING_BYTES_MAX} bytes")
            }
            Self::TooDeep => write!(f, "values are nested deeper than {TABLE_DEPTH_MAX}"),
            Self::TooLong => write!(f, "a table has at most {FRAME_BYTES_MAX} bytes"),
            Self::NotInteger(name) => write!(f, "{name} is no whole number of its range"),
            Self::NotText(name) => write!(f, "{name} is no text of at most {SHORT_STRING_BYTES_MAX} bytes"),
            Self::NotAnObject => f.write_str("not an object"),
        }
    }
}

impl std::error::Error for JsonError {}

/// A table out of a JSON object. An empty array is an empty table: PHP and Erlang write it so.
///
/// # Errors
/// What has no place in a table.
pub fn table(json: &Json) -> Result<Table, JsonError> {
    let table = match json {
        Json::Object(fields) => object(fields, TABLE_DEPTH_MAX)?,
        Json::Array(none) if none.is_empty() => Table::default(),
        _ => return Err(JsonError::NotAnObject),
    };
    // What a client declares fits into a frame; definitions on disk count on that.
    if table.as_bytes().len() > FRAME_BYTES_MAX as usize || check(table.as_bytes()).is_err() {
        return Err(JsonError::TooLong);
    }
    Ok(table)
}

fn object(fields: &Map<String, Json>, depth: usize) -> Result<Table, JsonError> {
    let mut owned = Vec::with_capacity(fields.len());
    for (name, json) in fields {
        if name.len() > SHORT_STRING_BYTES_MAX {
            return Err(JsonError::LongName(name.clone()));
        }
        owned.push((name.as_str(), Owned::from_json(json, depth)?));
    }
    let pairs: Vec<_> = owned.iter().map(|(name, value)| (*name, value.borrow())).collect();
    Ok(Table::from_pairs(&pairs))
}

/// A value that holds its own bytes while the table around it is made.
enum Owned<'a> {
    Plain(Value<'a>),
    Table(Table),
    Array(Array),
}

impl<'a> Owned<'a> {
    fn from_json(json: &'a Json, depth: usize) -> Result<Self, JsonError> {
        let deeper = || depth.checked_sub(1).filter(|depth| *depth > 0).ok_or(JsonError::TooDeep);
        Ok(match json {
            Json::Null => return Err(JsonError::Null),
            Json::Bool(value) => Self::Plain(Value::Bool(*value)),
            Json::Number(number) => Self::Plain(read_number(number)?),
            Json::String(text) => Self::Plain(Value::text(text)),
            Json::Object(fields) => Self::Table(object(fields, deeper()?)?),
            Json::Array(elements) => {
                let depth = deeper()?;
                let owned: Vec<_> = elements
                    .iter()
                    .map(|element| Owned::from_json(element, depth))
                    .collect::<Result<_, _>>()?;
                Self::Array(Array::from_values(owned.iter().map(Owned::borrow)))
            }
        })
    }

    fn borrow(&self) -> Value<'_> {
        match self {
            Self::Plain(value) => *value,
            Self::Table(table) => Value::Table(table.fields()),
            Self::Array(array) => Value::Array(array.elements()),
        }
    }
}

fn read_number(number: &Number) -> Result<Value<'static>, JsonError> {
    if let Some(whole) = number.as_i64() {
        return Ok(Value::I64(whole));
    }
    if number.is_u64() {
        return Err(JsonError::TooLarge(number.to_string()));
    }
    number.as_f64().map(Value::F64).ok_or_else(|| JsonError::TooLarge(number.to_string()))
}

/// A table as a JSON object. Of names that stand in it twice, the first counts.
pub fn from_fields(fields: Fields<'_>) -> Json {
    let mut object = Map::new();
    for (name, value) in fields.iter() {
        if !object.contains_key(name) {
            object.insert(name.to_owned(), from_value(&value));
        }
    }
    Json::Object(object)
}

/// One value as JSON. Tables are bounded in depth, so this is, too.
pub fn from_value(value: &Value<'_>) -> Json {
    match *value {
        Value::Bool(value) => Json::Bool(value),
        Value::F32(number) => Number::from_f64(number.into()).map_or(Json::Null, Json::Number),
        Value::F64(number) => Number::from_f64(number).map_or(Json::Null, Json::Number),
        Value::Decimal { scale, value } => {
            let number = f64::from(value) / 10f64.powi(scale.into());
            Number::from_f64(number).map_or(Json::Null, Json::Number)
        }
        Value::LongString(bytes) | Value::Binary(bytes) => String::from_utf8_lossy(bytes).into(),
        Value::Array(elements) => Json::Array(elements.iter().map(|element| from_value(&element)).collect()),
        Value::Table(fields) => from_fields(fields),
        Value::Timestamp(seconds) => seconds.into(),
        Value::Void => Json::Null,
        Value::I8(_)
        | Value::U8(_)
        | Value::I16(_)
        | Value::U16(_)
        | Value::I32(_)
        | Value::U32(_)
        | Value::I64(_) => value.as_i64().into(),
    }
}

/// The properties of a message out of a JSON object; names that are none are passed over. An empty array is fine, too.
///
/// # Errors
/// A property of the wrong type.
pub fn properties(json: &Json) -> Result<Bytes, JsonError> {
    let none = Map::new();
    let fields = match json {
        Json::Object(fields) => fields,
        Json::Array(elements) if elements.is_empty() => &none,
        _ => return Err(JsonError::NotAnObject),
    };
    let text = |name: &'static str| match fields.get(name) {
        None => Ok(None),
        Some(Json::String(text)) if text.len() <= SHORT_STRING_BYTES_MAX => Ok(Some(text.as_str())),
        Some(_) => Err(JsonError::NotText(name)),
    };
    let whole = |name: &'static str, max: u64| match fields.get(name) {
        None => Ok(None),
        Some(json) => {
            json.as_u64().filter(|number| *number <= max).map(Some).ok_or(JsonError::NotInteger(name))
        }
    };
    let octet = |name| whole(name, u8::MAX.into()).map(|number| number.map(|number| number as u8));
    let list = PropertyList {
        content_type: text("content_type")?,
        content_encoding: text("content_encoding")?,
        headers: fields.get("headers").map(table).transpose()?,
        delivery_mode: octet("delivery_mode")?,
        priority: octet("priority")?,
        correlation_id: text("correlation_id")?,
        reply_to: text("reply_to")?,
        expiration: text("expiration")?,
        message_id: text("message_id")?,
        timestamp: whole("timestamp", u64::MAX)?,
        kind: text("type")?,
        user_id: text("user_id")?,
        app_id: text("app_id")?,
        cluster_id: text("cluster_id")?,
    };
    Ok(list.encode())
}

/// The properties of a message as a JSON object, an empty array if there are none, as RabbitMQ has it.
pub fn from_properties(bytes: &[u8]) -> Json {
    let properties = Properties::new(bytes);
    let mut object = Map::new();
    let headers = properties.headers();
    let known: [(&str, Option<Json>); 14] = [
        ("cluster_id", properties.cluster_id().map(Json::from)),
        ("app_id", properties.app_id().map(Json::from)),
        ("user_id", properties.user_id().map(Json::from)),
        ("type", properties.kind().map(Json::from)),
        ("timestamp", properties.timestamp().map(Json::from)),
        ("message_id", properties.message_id().map(Json::from)),
        ("expiration", properties.expiration().map(Json::from)),
        ("reply_to", properties.reply_to().map(Json::from)),
        ("correlation_id", properties.correlation_id().map(Json::from)),
        ("priority", properties.priority().map(Json::from)),
        ("delivery_mode", properties.delivery_mode().map(Json::from)),
        ("headers", (!headers.is_empty()).then(|| from_fields(headers))),
        ("content_encoding", properties.content_encoding().map(Json::from)),
        ("content_type", properties.content_type().map(Json::from)),
    ];
    for (name, value) in known {
        object.extend(value.map(|value| (name.to_owned(), value)));
    }
    if object.is_empty() { Json::Array(Vec::new()) } else { Json::Object(object) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_comes_back_as_it_went_in() {
        let said = json!({
            "text": "x", "n": -5, "big": 9_007_199_254_740_993_i64, "d": 1.5, "yes": true,
            "list": [1, "a", {"b": true}, []], "inner": {"c": {}},
        });
        let table = table(&said).unwrap();
        assert_eq!(from_fields(table.fields()), said);
        assert_eq!(table.get("n"), Some(Value::I64(-5)), "whole numbers are long");
        assert_eq!(table.get("d"), Some(Value::F64(1.5)));
        assert!(Table::from_wire(table.as_bytes()).is_ok(), "it passes the check of what comes from outside");
    }

    #[test]
    fn what_has_no_place_in_a_table_is_refused() {
        for (said, expected) in [
            (json!({"a": null}), JsonError::Null),
            (json!({"a": [null]}), JsonError::Null),
            (json!({"a": u64::MAX}), JsonError::TooLarge(u64::MAX.to_string())),
            (json!({"a": "x".repeat(200_000)}), JsonError::TooLong),
            (json!([1]), JsonError::NotAnObject),
            (json!("x"), JsonError::NotAnObject),
            (json!({"n".repeat(256): 1}), JsonError::LongName("n".repeat(256))),
        ] {
            assert_eq!(table(&said), Err(expected), "{said}");
        }
        assert_eq!(table(&json!([])).unwrap(), Table::default());
    }

    #[test]
    fn no_nesting_is_deeper_than_the_wire_allows() {
        let nested = |depth: usize| (1..depth).fold(json!({}), |inner, _| json!({ "a": inner }));
        let deepest = table(&nested(TABLE_DEPTH_MAX)).unwrap();
        assert!(Table::from_wire(deepest.as_bytes()).is_ok());
        assert_eq!(table(&nested(TABLE_DEPTH_MAX + 1)), Err(JsonError::TooDeep));
    }

    #[test]
    fn values_that_json_lacks_come_out_as_the_nearest() {
        let table = Table::from_pairs(&[
            ("binary", Value::Binary(b"b")),
            ("decimal", Value::Decimal { scale: 2, value: 325 }),
            ("time", Value::Timestamp(7)),
            ("void", Value::Void),
            ("nan", Value::F64(f64::NAN)),
            ("short", Value::I16(3)),
        ]);
        let expected =
            json!({"binary": "b", "decimal": 3.25, "time": 7, "void": null, "nan": null, "short": 3});
        assert_eq!(from_fields(table.fields()), expected);
    }

    #[test]
    fn properties_come_back_as_they_went_in() {
        let said = json!({
            "cluster_id": "c", "app_id": "a", "user_id": "u", "type": "t", "timestamp": 5, "message_id": "m",
            "expiration": "1000", "reply_to": "r", "correlation_id": "ci", "priority": 3, "delivery_mode": 2,
            "headers": {"a": 1}, "content_encoding": "ce", "content_type": "ct",
        });
        assert_eq!(from_properties(&properties(&said).unwrap()), said);
        assert_eq!(from_properties(&properties(&json!({"unknown": 1})).unwrap()), json!([]));
    }

    #[test]
    fn properties_of_the_wrong_type_are_named() {
        for (said, expected) in [
            (json!({"priority": "x"}), JsonError::NotInteger("priority")),
            (json!({"delivery_mode": 256}), JsonError::NotInteger("delivery_mode")),
            (json!({"timestamp": -1}), JsonError::NotInteger("timestamp")),
            (json!({"expiration": 5}), JsonError::NotText("expiration")),
            (json!({"app_id": "a".repeat(256)}), JsonError::NotText("app_id")),
            (json!({"headers": 1}), JsonError::NotAnObject),
            (json!("x"), JsonError::NotAnObject),
        ] {
            assert_eq!(properties(&said), Err(expected), "{said}");
        }
    }
}
