//! Vhosts: added, described, deleted.

use super::{flag, put as answer_put};
use crate::management::answer::{Answer, ApiError, Reply};
use crate::management::call::Call;
use crate::server::definitions_file;
use crate::vhost::input::AdminCommand;

/// `PUT /api/vhosts/{vhost}`: `description`, `tags`, `default_queue_type`, also within `metadata`, and `tracing`. Who adds
/// one gets all rights in it.
pub(super) async fn put(call: Call) -> Answer {
    let said = call.object()?;
    let mut entry = definitions_file::vhost(call.vhost(), &said).map_err(ApiError::BadRequest)?;
    // What is not said is nothing, as in RabbitMQ.
    entry.description.get_or_insert_default();
    entry.tags.get_or_insert_default();
    let tracing = if said.contains_key("tracing") { Some(flag(&said, "tracing")?) } else { None };
    let broker = &call.management.broker;
    let is_new = broker.put_vhost(entry, Some(&call.caller.user)).await?;
    if let Some(is_on) = tracing {
        broker.ask(call.vhost(), AdminCommand::Trace(is_on)).await;
    }
    answer_put(is_new)
}

/// `DELETE /api/vhosts/{vhost}`
pub(super) async fn delete(call: Call) -> Answer {
    call.management.broker.delete_vhost(call.vhost()).await?;
    Ok(Reply::no_content())
}

/// `POST /api/vhosts/{vhost}/start/{node}`: a vhost runs as long as it is there.
pub(super) async fn start(call: Call) -> Answer {
    if !call.management.broker.has_vhost(call.vhost()) {
        return Err(ApiError::NotFound);
    }
    Ok(Reply::no_content())
}
