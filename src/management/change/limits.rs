//! Limits of vhosts and users, one at a time.

use super::parameters::invalid;
use super::required;
use crate::auth::{AccountsError, Limits, MAX_CHANNELS, MAX_CONNECTIONS, MAX_QUEUES};
use crate::management::answer::{Answer, ApiError, Reply};
use crate::management::call::Call;
use crate::server::VhostAbout;
use serde_json::json;

/// `PUT /api/vhost-limits/{vhost}/{limit}`: `value`.
pub(super) async fn put_of_vhost(call: Call) -> Answer {
    let limit = one(&call, &[MAX_CONNECTIONS, MAX_QUEUES], "limits")?.map_err(|why| invalid(&why))?;
    change(&call, |limits| limits.merge(limit)).await
}

/// `DELETE /api/vhost-limits/{vhost}/{limit}`
pub(super) async fn delete_of_vhost(call: Call) -> Answer {
    change(&call, |limits| limits.remove(call.name("limit"))).await
}

async fn change(call: &Call, change: impl FnOnce(&mut Limits)) -> Answer {
    let set = |about: &mut VhostAbout| {
        change(&mut about.limits);
        Ok::<_, AccountsError>(())
    };
    call.management.broker.change_vhost(call.vhost(), set).await?;
    Ok(Reply::no_content())
}

/// `PUT /api/user-limits/{user}/{limit}`: `value`.
pub(super) async fn put_of_user(call: Call) -> Answer {
    let limit = one(&call, &[MAX_CONNECTIONS, MAX_CHANNELS], "user-limits")?.map_err(ApiError::BadRequest)?;
    change_user(&call, |limits| limits.merge(limit)).await
}

/// `DELETE /api/user-limits/{user}/{limit}`
pub(super) async fn delete_of_user(call: Call) -> Answer {
    change_user(&call, |limits| limits.remove(call.name("limit"))).await
}

async fn change_user(call: &Call, change: impl FnOnce(&mut Limits)) -> Answer {
    let name = call.name("user");
    match call.management.broker.change_accounts(|accounts| accounts.change_limits(name, change)).await {
        Err(AccountsError::NoSuchUser(_)) => Err(ApiError::bad(format!("no_such_user: {name}"))),
        done => done.map_err(ApiError::from).map(|()| Reply::no_content()),
    }
}

/// The one limit that the path names, with the value of the body.
fn one(call: &Call, known: &[&str], subject: &str) -> Result<Result<Limits, String>, ApiError> {
    let said = call.object()?;
    let value = required(&said, "value")?;
    let name = call.name("limit");
    Ok(Limits::parse(&json!({name: value}).to_string(), known, subject))
}
