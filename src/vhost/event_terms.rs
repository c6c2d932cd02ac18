//! How RabbitMQ tells tables in events: arguments as a list of Erlang tuples in text, `{<<"x-max-length">>,signedint,5}`,
//! and what policies say as a table.
//! Source: `rabbit_exchange_type_event:fmt_proplist`.

use crate::erlang_term::Term;
use crate::protocol::table::{Fields, Table};
use crate::protocol::value::{Array, Value};
use crate::queue::Shown;
use serde_json::Value as Json;

/// Arguments as events tell them: one text for each.
pub(super) fn arguments(table: &Table) -> Array {
    let texts: Vec<String> = table.iter().map(|(name, value)| tuple(name, &value)).collect();
    Array::from_values(texts.iter().map(|text| Value::text(text)))
}

fn tuple(name: &str, value: &Value<'_>) -> String {
    format!("{{{},{},{}}}", binary(name), value.type_name(), term(value))
}

fn term(value: &Value<'_>) -> String {
    match value {
        Value::LongString(bytes) | Value::Binary(bytes) => match str::from_utf8(bytes) {
            Ok(text) => binary(text),
            Err(_) => format!("<<{}>>", comma_separated(bytes.iter().map(u8::to_string))),
        },
        Value::Table(fields) => format!("[{}]", comma_separated(tuples(*fields))),
        Value::Array(elements) => {
            let items = elements.iter().map(|item| format!("{{{},{}}}", item.type_name(), term(&item)));
            format!("[{}]", comma_separated(items))
        }
        plain => Shown(plain).to_string(),
    }
}

fn tuples(fields: Fields<'_>) -> impl Iterator<Item = String> {
    fields.iter().map(|(name, value)| tuple(name, &value))
}

fn binary(text: &str) -> String {
    Term(&Json::String(text.to_owned())).to_string()
}

fn comma_separated(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(",")
}

/// What a policy says, given as JSON, as a table: integers are long, what is no text, number or truth value is its JSON.
pub(super) fn definition(json: &str) -> Table {
    let Ok(Json::Object(fields)) = serde_json::from_str::<Json>(json) else { return Table::default() };
    let texts: Vec<String> = fields
        .values()
        .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        .collect();
    let pairs = fields.iter().zip(&texts).map(|((name, value), text)| {
        let told = match value {
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => {
                number.as_i64().map_or_else(|| Value::F64(number.as_f64().unwrap_or_default()), Value::I64)
            }
            Json::Null | Json::String(_) | Json::Array(_) | Json::Object(_) => Value::text(text),
        };
        (name.as_str(), told)
    });
    Table::from_pairs(&pairs.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: Value<'_>, expected: &str) {
        let arguments = arguments(&Table::from_pairs(&[(name, value)]));
        let told: Vec<_> =
            arguments.elements().iter().map(|text| text.as_str().unwrap_or_default().to_owned()).collect();
        assert_eq!(told, [expected]);
    }

    #[test]
    fn arguments_are_told_as_tuples() {
        check("x-max-length", Value::I32(5), "{<<\"x-max-length\">>,signedint,5}");
        check("a", Value::text("b"), "{<<\"a\">>,longstr,<<\"b\">>}");
        check("a", Value::LongString(b"\xff\x01"), "{<<\"a\">>,longstr,<<255,1>>}");
        check("a", Value::Bool(true), "{<<\"a\">>,bool,true}");
        check("a", Value::Void, "{<<\"a\">>,void,undefined}");
        let inner = Table::from_pairs(&[("b", Value::I64(1)), ("c", Value::Bool(false))]);
        let expected = "{<<\"a\">>,table,[{<<\"b\">>,long,1},{<<\"c\">>,bool,false}]}";
        check("a", Value::Table(inner.fields()), expected);
        let list = Array::from_values([Value::I32(1), Value::text("x")]);
        check("a", Value::Array(list.elements()), "{<<\"a\">>,array,[{signedint,1},{longstr,<<\"x\">>}]}");
    }

    #[test]
    fn policies_are_told_as_tables() {
        let told = definition(r#"{"max-length":5,"overflow":"drop-head","ha-params":["n"]}"#);
        assert_eq!(told.get("max-length"), Some(Value::I64(5)));
        assert_eq!(told.get("overflow"), Some(Value::text("drop-head")));
        assert_eq!(told.get("ha-params"), Some(Value::text("[\"n\"]")));
        assert!(definition("nonsense").is_empty());
    }
}
