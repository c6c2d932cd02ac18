//! Queues: declared, deleted, emptied.

use super::{Object, arguments, flag, holds, name, put, refused, required, visit};
use crate::management::answer::{Answer, ApiError, Reply};
use crate::management::call::Call;
use crate::protocol::client_method::ClientMethod;
use crate::vhost::Named;

/// `PUT /api/queues/{vhost}/{queue}`: `durable`, `auto_delete`, `arguments`. As in RabbitMQ the queue is never exclusive
/// and `node` says nothing.
pub(super) async fn declare(call: Call) -> Answer {
    let said: Object = call.object()?;
    let queue = name(&call, "queue")?;
    let declare = ClientMethod::QueueDeclare {
        queue,
        passive: false,
        durable: flag(&said, "durable")?,
        exclusive: false,
        auto_delete: flag(&said, "auto_delete")?,
        nowait: false,
        arguments: arguments(&said)?,
    };
    if queue.is_empty() {
        return Err(ApiError::bad("a queue has a name"));
    }
    let is_new = !holds(&call, Named::Queue(queue.into())).await?;
    visit(&call).await?.ask(declare).await.map_err(refused)?;
    put(is_new)
}

/// `DELETE /api/queues/{vhost}/{queue}?if-unused=true&if-empty=true`
pub(super) async fn delete(call: Call) -> Answer {
    let queue = there(&call).await?;
    let (if_unused, if_empty) = (call.query.is_true("if-unused"), call.query.is_true("if-empty"));
    let delete = ClientMethod::QueueDelete { queue, if_unused, if_empty, nowait: false };
    visit(&call).await?.ask(delete).await.map_err(refused)?;
    Ok(Reply::no_content())
}

/// `DELETE /api/queues/{vhost}/{queue}/contents`
pub(super) async fn purge(call: Call) -> Answer {
    let queue = there(&call).await?;
    visit(&call).await?.ask(ClientMethod::QueuePurge { queue, nowait: false }).await.map_err(refused)?;
    Ok(Reply::no_content())
}

/// `POST /api/queues/{vhost}/{queue}/actions`: what mirrors would have to do, and there are none.
pub(super) async fn act(call: Call) -> Answer {
    there(&call).await?;
    let said = call.object()?;
    match required(&said, "action")?.as_str() {
        Some("sync" | "cancel_sync") => Ok(Reply::no_content()),
        _ => Err(ApiError::bad("the action is neither 'sync' nor 'cancel_sync'")),
    }
}

/// The queue of the path, which must be there.
pub(super) async fn there(call: &Call) -> Result<&str, ApiError> {
    let queue = name(call, "queue")?;
    if holds(call, Named::Queue(queue.into())).await? { Ok(queue) } else { Err(ApiError::NotFound) }
}
