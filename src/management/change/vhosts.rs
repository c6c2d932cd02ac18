//! Vhosts: added, described, deleted.

use super::{flag, put as answer_put};
use crate::auth::AccountsError;
use crate::management::answer::{Answer, ApiError, Reply};
use crate::management::call::Call;
use crate::server::{VhostAbout, definitions_file};
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

/// `POST` or `PUT /api/vhosts/{vhost}/deletion/protection`
pub(super) async fn protect(call: Call) -> Answer {
    set_protection(&call, true).await
}

/// `DELETE /api/vhosts/{vhost}/deletion/protection`
pub(super) async fn unprotect(call: Call) -> Answer {
    set_protection(&call, false).await
}

async fn set_protection(call: &Call, on: bool) -> Answer {
    let set = |about: &mut VhostAbout| -> Result<(), AccountsError> {
        about.is_protected = on;
        Ok(())
    };
    call.management.broker.change_vhost(call.vhost(), set).await?;
    Ok(Reply::no_content())
}

/// `POST /api/vhosts/{vhost}/start/{node}`: a vhost runs as long as it is there.
pub(super) async fn start(call: Call) -> Answer {
    if !call.management.broker.has_vhost(call.vhost()) {
        return Err(ApiError::NotFound);
    }
    Ok(Reply::no_content())
}
