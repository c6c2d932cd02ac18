//! JSON values as RabbitMQ's texts show them: as Erlang terms.

use serde_json::Value;
use std::fmt;

/// Shows a value as `~p` does, on one line.
pub(crate) struct Term<'a>(pub(crate) &'a Value);

impl fmt::Display for Term<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Number(number) => write!(f, "{number}"),
            Value::String(text) => binary(text, f),
            Value::Array(items) => {
                f.write_str("[")?;
                for (position, item) in items.iter().enumerate() {
                    write!(f, "{}{}", if position == 0 { "" } else { "," }, Term(item))?;
                }
                f.write_str("]")
            }
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_unstable_by_key(|(name, _)| *name);
                f.write_str("#{")?;
                for (position, (name, value)) in fields.into_iter().enumerate() {
                    f.write_str(if position == 0 { "" } else { "," })?;
                    binary(name, f)?;
                    write!(f, " => {}", Term(value))?;
                }
                f.write_str("}")
            }
        }
    }
}

/// `<<"text">>`, or its bytes as numbers if they are not all letters of Latin-1 that can be shown.
fn binary(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if text.is_ascii() && !text.chars().any(char::is_control) {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        return if text.is_empty() { f.write_str("<<>>") } else { write!(f, "<<\"{escaped}\">>") };
    }
    f.write_str("<<")?;
    for (position, byte) in text.bytes().enumerate() {
        write!(f, "{}{byte}", if position == 0 { "" } else { "," })?;
    }
    f.write_str(">>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn terms_look_as_erlang_prints_them() {
        for (value, expected) in [
            (json!(-1), "-1"),
            (json!(2.5), "2.5"),
            (json!(null), "null"),
            (json!([]), "[]"),
            (json!(""), "<<>>"),
            (json!("a\"b"), "<<\"a\\\"b\">>"),
            (json!("\n"), "<<10>>"),
            (json!("é"), "<<195,169>>"),
            (json!({"b": [1, true], "a": {}}), "#{<<\"a\">> => #{},<<\"b\">> => [1,true]}"),
        ] {
            assert_eq!(Term(&value).to_string(), expected);
        }
    }
}
