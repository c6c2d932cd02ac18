//! Parameters: of a vhost, where limits are all there is, and of the broker as a whole, which are the operators' own.

use super::{put as answer_put, required};
use crate::auth::{AccountsError, Limits};
use crate::management::answer::{Answer, ApiError, Reply};
use crate::management::call::Call;
use crate::server::VhostAbout;
use crate::server::definitions_file::vhost_limits;

/// `PUT /api/parameters/{component}/{vhost}/{parameter}`: `value`.
pub(super) async fn put(call: Call) -> Answer {
    let said = call.object()?;
    let value = required(&said, "value")?;
    is_limits(&call, "set")?;
    let limits = vhost_limits(value).map_err(|why| invalid(&why))?;
    set_limits(&call, limits).await?;
    Ok(Reply::no_content())
}

/// `DELETE /api/parameters/{component}/{vhost}/{parameter}`
pub(super) async fn delete(call: Call) -> Answer {
    is_limits(&call, "cleared").map_err(|error| match error {
        ApiError::BadRequest(why) if !why.starts_with("policies") => ApiError::NotFound,
        error => error,
    })?;
    let vhosts = call.management.broker.about_vhosts();
    let is_limited = vhosts.iter().any(|(name, about)| **name == *call.vhost() && !about.limits.is_empty());
    if !is_limited {
        return Err(ApiError::NotFound);
    }
    set_limits(&call, Limits::default()).await?;
    Ok(Reply::no_content())
}

async fn set_limits(call: &Call, limits: Limits) -> Result<(), ApiError> {
    let set = |about: &mut VhostAbout| {
        about.limits = limits;
        Ok::<_, AccountsError>(())
    };
    Ok(call.management.broker.change_vhost(call.vhost(), set).await?)
}

/// The one parameter that a vhost has.
fn is_limits(call: &Call, done: &str) -> Result<(), ApiError> {
    match (call.name("component"), call.name("parameter")) {
        ("vhost-limits", "limits") => Ok(()),
        ("policy" | "operator_policy", _) => {
            Err(ApiError::bad(format!("policies may not be {done} using this method")))
        }
        ("vhost-limits", _) => Err(invalid("vhost-limits has one name, limits")),
        (component, _) => Err(invalid(&format!("component {component} not found"))),
    }
}

/// RabbitMQ's form.
pub(super) fn invalid(why: &str) -> ApiError {
    ApiError::BadRequest(format!("Validation failed\n\n{why}\n"))
}

/// `PUT /api/global-parameters/{parameter}`: `value`, any JSON.
pub(super) async fn put_global(call: Call) -> Answer {
    let mut said = call.object()?;
    required(&said, "value")?;
    let value = said.remove("value").unwrap_or_default();
    let set = call.management.broker.set_global_parameter(call.name("parameter"), value).await;
    answer_put(set.map_err(|error| ApiError::bad(error.to_string()))?)
}

/// `DELETE /api/global-parameters/{parameter}`
pub(super) async fn delete_global(call: Call) -> Answer {
    let was_there = call.management.broker.clear_global_parameter(call.name("parameter")).await;
    if was_there { Ok(Reply::no_content()) } else { Err(ApiError::NotFound) }
}
