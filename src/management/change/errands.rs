//! Looking at the messages of a queue without taking them, and moving them to another queue. Of this broker alone: RabbitMQ
//! shows messages only by getting them, and moves them by shovels.

use super::messages::shown;
use super::{name, no_vhost, queues, required, text};
use crate::auth::Access;
use crate::limits::{PEEK_MESSAGES_MAX, PEEK_PAYLOAD_BYTES_MAX};
use crate::management::answer::{Answer, ApiError, Reply};
use crate::management::call::Call;
use crate::server::{ErrandError, Peeked};
use serde_json::{Value, json};

/// `GET /api/queues/{vhost}/{queue}/peek?count=20`: the first messages that wait, as `get` shows them. None is taken, none
/// is marked as redelivered. Wants the right to read.
pub(super) async fn peek(call: Call) -> Answer {
    let queue = queues::there(&call).await?;
    call.caller.check(Access::Read, call.vhost(), queue)?;
    let count = match call.query.get("count") {
        None => PEEK_MESSAGES_MAX,
        Some(count) => count.parse().map_err(|_| ApiError::bad(format!("not_integer: {count}")))?,
    };
    let peeked = call.management.broker.peek(call.vhost(), queue, count).await;
    let peeked = peeked.map_err(|error| refused(&call, error))?;
    Ok(Reply::json(&peeked.iter().map(looked_at).collect::<Vec<_>>()))
}

fn looked_at(peeked: &Peeked) -> Value {
    match &peeked.message {
        Ok(message) => shown(message, peeked.redelivered, PEEK_PAYLOAD_BYTES_MAX, true),
        Err(problem) => json!({"redelivered": peeked.redelivered, "problem": problem}),
    }
}

/// `POST /api/queues/{vhost}/{queue}/move` with `to` and, if not all that are ready are meant, `count`: answered with
/// `{"moved": n}` once that is durable. Wants the right to read here and to write there.
pub(super) async fn move_messages(call: Call) -> Answer {
    let said = call.object()?;
    let from = queues::there(&call).await?;
    required(&said, "to")?;
    let to = text(&said, "to")?;
    call.caller.check(Access::Read, call.vhost(), name(&call, "queue")?)?;
    call.caller.check(Access::Write, call.vhost(), to)?;
    let count = match said.get("count") {
        None | Some(Value::Null) => None,
        Some(count) => Some(count.as_u64().ok_or_else(|| ApiError::bad(format!("not_integer: {count}")))?),
    };
    let moved = call.management.broker.move_messages(call.vhost(), from, to, count).await;
    let moved = moved.map_err(|error| refused(&call, error))?;
    Ok(Reply::json(&json!({"moved": moved})))
}

fn refused(call: &Call, error: ErrandError) -> ApiError {
    match error {
        ErrandError::NoVhost => no_vhost(call.vhost()),
        ErrandError::Refused(why) => ApiError::bad(why),
    }
}
