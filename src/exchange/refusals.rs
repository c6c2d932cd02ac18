//! What exchanges say when an argument or a binding makes no sense to them.

use crate::protocol::reply::{ChannelCode, ChannelError};
use crate::protocol::value::Value;

pub(super) fn precondition(explanation: String) -> ChannelError {
    ChannelError::new(ChannelCode::PreconditionFailed, explanation)
}

/// A value the way RabbitMQ's texts show it: as a term of its language.
pub(super) fn term(value: Value<'_>) -> String {
    match value {
        Value::LongString([]) | Value::Binary([]) => "<<>>".to_owned(),
        Value::LongString(bytes) | Value::Binary(bytes) => match str::from_utf8(bytes) {
            Ok(text) if text.is_ascii() => format!("<<\"{}\">>", text.escape_default()),
            Ok(text) => format!("<<\"{}\"/utf8>>", text.escape_debug()),
            Err(_) => {
                let numbers: Vec<_> = bytes.iter().map(u8::to_string).collect();
                format!("<<{}>>", numbers.join(","))
            }
        },
        Value::Bool(value) => value.to_string(),
        Value::F32(value) => format!("{value:?}"),
        Value::F64(value) => format!("{value:?}"),
        Value::Timestamp(seconds) => seconds.to_string(),
        Value::Decimal { scale, value } => format!("{{{scale},{value}}}"),
        Value::Void => "undefined".to_owned(),
        Value::Array(_) => "[...]".to_owned(),
        Value::Table(_) => "[{...}]".to_owned(),
        value => value.as_i64().unwrap_or_default().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_look_like_terms() {
        for (value, expected) in [
            (Value::text("foo"), "<<\"foo\">>"),
            (Value::text("grün"), "<<\"grün\"/utf8>>"),
            (Value::Binary(&[255, 0]), "<<255,0>>"),
            (Value::text(""), "<<>>"),
            (Value::I8(-3), "-3"),
            (Value::F64(1.0), "1.0"),
            (Value::Bool(true), "true"),
            (Value::Void, "undefined"),
        ] {
            assert_eq!(term(value), expected, "{value:?}");
        }
    }
}
