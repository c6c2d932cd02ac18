//! Policies of users and of operators: set and removed.

use super::{ask, holds, no_vhost, put as answer_put, required, text};
use crate::management::answer::{Answer, ApiError, Reply};
use crate::management::call::Call;
use crate::server::definitions_file;
use crate::vhost::input::{AdminCommand, AdminReply};
use crate::vhost::{Named, PolicyLayer};

/// `PUT /api/policies/{vhost}/{policy}`: `pattern`, `definition`, `priority`, `apply-to`.
pub(super) async fn put(call: Call) -> Answer {
    set(&call, PolicyLayer::User).await
}

/// `PUT /api/operator-policies/{vhost}/{policy}`
pub(super) async fn put_operator(call: Call) -> Answer {
    set(&call, PolicyLayer::Operator).await
}

/// `DELETE /api/policies/{vhost}/{policy}`
pub(super) async fn delete(call: Call) -> Answer {
    clear(&call, PolicyLayer::User).await
}

/// `DELETE /api/operator-policies/{vhost}/{policy}`
pub(super) async fn delete_operator(call: Call) -> Answer {
    clear(&call, PolicyLayer::Operator).await
}

async fn set(call: &Call, layer: PolicyLayer) -> Answer {
    let said = call.object()?;
    let name = call.name("policy");
    text(&said, "pattern")?;
    required(&said, "definition")?;
    let policy = definitions_file::policy(name, &said, layer);
    let policy = policy.map_err(|error| ApiError::BadRequest(error.reason))?;
    let is_new = !holds(call, Named::Policy(layer, name.into())).await?;
    done(call, ask(call, AdminCommand::SetPolicy(layer, policy)).await?)?;
    answer_put(is_new)
}

async fn clear(call: &Call, layer: PolicyLayer) -> Answer {
    let name = call.name("policy");
    if !holds(call, Named::Policy(layer, name.into())).await? {
        return Err(ApiError::NotFound);
    }
    done(call, ask(call, AdminCommand::ClearPolicy(layer, name.into())).await?)?;
    Ok(Reply::no_content())
}

fn done(call: &Call, reply: AdminReply) -> Result<(), ApiError> {
    match reply {
        AdminReply::Done => Ok(()),
        AdminReply::Refused(why) => Err(ApiError::BadRequest(why)),
        _ => Err(no_vhost(call.vhost())),
    }
}
