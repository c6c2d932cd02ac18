//! What the value of an argument of queue.declare may be, and what RabbitMQ says of one that cannot be.

use super::settings::QueueKind;
use crate::limits::EXPIRATION_MS_MAX;
use crate::protocol::reply::{ChannelCode, ChannelError};
use crate::protocol::value::Value;

/// What is wrong with a value, as RabbitMQ's Erlang prints it.
#[derive(Debug)]
pub(super) enum Problem {
    /// `{value_zero,0}`
    Term(String),
    /// `"expected integer, got longstr"`
    Text(String),
    /// A sentence of its own.
    Sentence(String),
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

pub(super) fn refused(text: String) -> ChannelError {
    ChannelError::new(ChannelCode::PreconditionFailed, text)
}

pub(super) fn invalid(name: &str, described: &str, problem: Problem) -> ChannelError {
    refused(match problem {
        Problem::Term(term) => format!("invalid arg '{name}' for {described}: {term}"),
        Problem::Text(text) => format!("invalid arg '{name}' for {described}: \"{text}\""),
        Problem::Sentence(sentence) => sentence,
    })
}

pub(super) fn term(term: &str) -> Problem {
    Problem::Term(term.to_owned())
}

pub(super) fn zero() -> Problem {
    term("{value_zero,0}")
}

pub(super) fn negative(number: i64) -> Problem {
    Problem::Term(format!("{{value_negative,{number}}}"))
}

pub(super) fn unacceptable(value: &Value<'_>) -> Problem {
    Problem::Term(format!("{{unacceptable_type,{}}}", value.type_name()))
}

pub(super) fn integer(value: &Value<'_>) -> Result<i64, Problem> {
    value.as_i64().ok_or_else(|| Problem::Text(format!("expected integer, got {}", value.type_name())))
}

pub(super) fn not_negative(value: &Value<'_>) -> Result<u64, Problem> {
    let number = integer(value)?;
    u64::try_from(number).map_err(|_| negative(number))
}

pub(super) fn positive(value: &Value<'_>) -> Result<u64, Problem> {
    match not_negative(value)? {
        0 => Err(zero()),
        number => Ok(number),
    }
}

pub(super) fn milliseconds(value: &Value<'_>) -> Result<u64, Problem> {
    let number = not_negative(value)?;
    if number > EXPIRATION_MS_MAX {
        return Err(Problem::Term(format!("{{value_too_large,{number}}}")));
    }
    Ok(number)
}

pub(super) fn text<'a>(value: &Value<'a>) -> Result<&'a str, Problem> {
    value.as_str().ok_or_else(|| unacceptable(value))
}

pub(super) fn queue_kind(value: &Value<'_>) -> Result<QueueKind, Problem> {
    let name = text(value)?;
    QueueKind::from_name(name).ok_or_else(|| Problem::Text(format!("unsupported queue type '{name}'")))
}
