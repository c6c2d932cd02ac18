//! Messages: published and got by HTTP. For a look and for tests: each is a conversation of its own with the vhost.

use super::{refused, required, text, visit};
use crate::channel::{Publication, Refusal};
use crate::limits::{GET_BYTES_MAX, GET_MESSAGES_MAX};
use crate::management::answer::{Answer, ApiError, Reply};
use crate::management::call::Call;
use crate::message::Message;
use crate::protocol::json::{self, JsonError};
use crate::protocol::reply::ChannelCode;
use crate::server::visit::Got;
use crate::vhost::command::Outcome;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

/// `POST /api/exchanges/{vhost}/{exchange}/publish`: answered once the message is safe, with whether a queue took it.
pub(super) async fn publish(call: Call) -> Answer {
    let said = call.object()?;
    let routing_key = text(&said, "routing_key")?;
    let properties = required(&said, "properties")?;
    let payload = required(&said, "payload")?.as_str().ok_or_else(|| ApiError::bad("payload_not_string"))?;
    let body = match text(&said, "payload_encoding")? {
        "string" => Bytes::copy_from_slice(payload.as_bytes()),
        "base64" => {
            let decoded = STANDARD.decode(payload).map_err(|_| ApiError::bad("not_base64: the payload"))?;
            decoded.into()
        }
        other => return Err(ApiError::bad(format!("unsupported_encoding: {other}"))),
    };
    let properties = json::properties(properties).map_err(|error| match error {
        JsonError::NotInteger(name) => ApiError::bad(format!("not_int: {name}")),
        JsonError::NotText(name) => ApiError::bad(format!("not_string: {name}")),
        error => error.into(),
    })?;
    if let Some(alarm) = call.management.broker.publishing_is_blocked() {
        return Err(ApiError::Unavailable(alarm.to_string()));
    }
    let exchange = super::exchange(&call, "exchange")?;
    let routing_key = crate::channel::short_string(routing_key).map_err(refused)?;
    let publication = Publication { exchange, routing_key, properties, body };
    match visit(&call).await?.publish(publication).await {
        Ok(is_routed) => Ok(Reply::json(&json!({"routed": is_routed}))),
        // RabbitMQ shows the whole text of AMQP here.
        Err(Refusal::Channel(error)) => Err(ApiError::BadRequest(error.to_string())),
        Err(refusal) => Err(refused(refusal)),
    }
}

/// How many messages, and what becomes of them.
struct Wanted {
    count: usize,
    outcome: Outcome,
    is_auto: bool,
    truncate_bytes: usize,
}

/// `POST /api/queues/{vhost}/{queue}/get`: `count`, `ackmode`, `encoding`, `truncate`. A client that goes away meanwhile
/// has got nothing: messages are settled when all are there.
pub(super) async fn get(call: Call) -> Answer {
    let wanted = wanted(&call)?;
    let queue = super::name(&call, "queue")?;
    if queue.is_empty() {
        return Err(ApiError::NotFound);
    }
    let mut visit = visit(&call).await?;
    let (mut got, mut bytes): (Vec<Got>, usize) = (Vec::new(), 0);
    while got.len() < wanted.count && bytes < GET_BYTES_MAX {
        let next = visit.get(queue, false).await.map_err(|refusal| match refusal {
            Refusal::Channel(error) if error.code == ChannelCode::NotFound => {
                ApiError::Missing(error.reply_text())
            }
            refusal => refused(refusal),
        })?;
        let Some(next) = next else { break };
        bytes += next.message.resident_bytes();
        got.push(next);
    }
    let shown: Vec<Value> = got.iter().map(|got| show(got, &wanted)).collect();
    visit.settle(&got, wanted.outcome);
    visit.end().await;
    Ok(Reply::json(&shown))
}

fn wanted(call: &Call) -> Result<Wanted, ApiError> {
    let said = call.object()?;
    let number = |value: &Value| match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_i64(),
    };
    let mode = text(&said, "ackmode")?;
    let count = required(&said, "count")?;
    let count = number(count).ok_or_else(|| ApiError::bad(format!("not_integer: {count}")))?;
    // A negative number never counts down to nothing: all there are.
    let count = usize::try_from(count).unwrap_or(GET_MESSAGES_MAX).min(GET_MESSAGES_MAX);
    let outcome = match mode {
        "ack_requeue_true" | "reject_requeue_true" => Outcome::Requeue,
        "ack_requeue_false" => Outcome::Ack,
        "reject_requeue_false" => Outcome::Discard,
        other => return Err(ApiError::bad(format!("unknown ackmode: {other}"))),
    };
    let is_auto = match text(&said, "encoding")? {
        "auto" => true,
        "base64" => false,
        _ => return Err(ApiError::bad("Unsupported encoding. Please use auto or base64.")),
    };
    let truncate_bytes = match said.get("truncate") {
        None | Some(Value::Null) => usize::MAX,
        Some(value) => number(value)
            .and_then(|bytes| usize::try_from(bytes).ok())
            .ok_or_else(|| ApiError::bad(format!("not_integer: {value}")))?,
    };
    Ok(Wanted { count, outcome, is_auto, truncate_bytes })
}

fn show(got: &Got, wanted: &Wanted) -> Value {
    let Got { message, redelivered, message_count, .. } = got;
    let mut shown = shown(message, *redelivered, wanted.truncate_bytes, wanted.is_auto);
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("message_count".to_owned(), json!(message_count));
    }
    shown
}

/// A message as JSON; of its body at most so many bytes, as text if it is one and that is fine.
pub(super) fn shown(message: &Message, redelivered: bool, bytes_max: usize, as_text: bool) -> Value {
    let body = message.body.get(..bytes_max).unwrap_or(&message.body);
    let (payload, encoding) = match str::from_utf8(body) {
        Ok(text) if as_text => (text.to_owned(), "string"),
        _ => (STANDARD.encode(body), "base64"),
    };
    json!({
        "payload_bytes": message.body.len(),
        "redelivered": redelivered,
        "exchange": &*message.exchange,
        "routing_key": &*message.routing_key,
        "properties": json::from_properties(&message.shown_properties()),
        "payload": payload,
        "payload_encoding": encoding,
    })
}
