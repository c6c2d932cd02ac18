//! Users, and what they may do.

use super::{Object, put, required, text};
use crate::auth::{Accounts, AccountsError, PasswordHash};
use crate::definitions::{PermissionDefinition, TopicPermissionDefinition};
use crate::management::answer::{Answer, ApiError, Reply};
use crate::management::call::Call;
use crate::server::definitions_file::tags;
use serde_json::Value;

/// `PUT /api/users/{user}`: `tags`, and `password` or `password_hash` with `hashing_algorithm`; without either the user
/// has no password from now on, as in RabbitMQ.
pub(super) async fn put_user(call: Call) -> Answer {
    let said = call.object()?;
    let broker = &call.management.broker;
    let tags = tags(said.get("tags").ok_or_else(|| ApiError::bad("tags_not_present"))?);
    let tags = tags.map_err(ApiError::BadRequest)?;
    let secret = match (said.get("password"), said.get("password_hash")) {
        (Some(_), Some(_)) => return Err(ApiError::bad("both_password_and_password_hash_are_provided")),
        (Some(_), None) if text(&said, "password")?.is_empty() => PasswordHash::none(),
        (Some(_), None) => broker.hash_password(text(&said, "password")?).await?,
        (None, Some(_)) => {
            let algorithm = said.get("hashing_algorithm").and_then(Value::as_str);
            PasswordHash::import(text(&said, "password_hash")?, algorithm)?
        }
        (None, None) => PasswordHash::none(),
    };
    let name = call.name("user");
    let mut is_new = false;
    let change = |accounts: &mut Accounts| {
        is_new = !accounts.exists(name);
        accounts.put_user(name, Some(secret), tags)
    };
    broker.change_accounts(change).await?;
    put(is_new)
}

/// `DELETE /api/users/{user}`
pub(super) async fn delete_user(call: Call) -> Answer {
    let name = call.name("user");
    call.management.broker.change_accounts(|accounts| accounts.delete_user(name)).await?;
    Ok(Reply::no_content())
}

/// `POST /api/users/bulk-delete`: `users`. All of them or, if one is not there, none.
pub(super) async fn delete_users(call: Call) -> Answer {
    let said = call.object()?;
    let names = required(&said, "users")?.as_array().ok_or_else(|| ApiError::bad("users is no list"))?;
    let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
    let names = names.ok_or_else(|| ApiError::bad("users is no list of names"))?;
    let change = |accounts: &mut Accounts| {
        let mut changes = Vec::new();
        for name in names {
            changes.extend(accounts.delete_user(name)?);
        }
        Ok(changes)
    };
    match call.management.broker.change_accounts(change).await {
        Err(AccountsError::NoSuchUser(name)) => Err(ApiError::bad(format!("no_such_user: {name}"))),
        done => done.map_err(ApiError::from).map(|()| Reply::no_content()),
    }
}

/// `PUT /api/permissions/{vhost}/{user}`: `configure`, `write`, `read`.
pub(super) async fn set_permissions(call: Call) -> Answer {
    let said = call.object()?;
    let own = |key: &str| text(&said, key).map(str::to_owned);
    let (vhost, user) = there(&call)?;
    let permission = PermissionDefinition {
        user: user.to_owned(),
        vhost: vhost.to_owned(),
        configure: own("configure")?,
        write: own("write")?,
        read: own("read")?,
    };
    let mut is_new = false;
    let change = |accounts: &mut Accounts| {
        is_new = !accounts.has_access(user, vhost);
        accounts.set_permissions(permission)
    };
    call.management.broker.change_accounts(change).await?;
    put(is_new)
}

/// `DELETE /api/permissions/{vhost}/{user}`
pub(super) async fn clear_permissions(call: Call) -> Answer {
    let (vhost, user) = (call.vhost(), call.name("user"));
    if !call.caller.accounts().has_access(user, vhost) {
        return Err(ApiError::NotFound);
    }
    call.management.broker.change_accounts(|accounts| accounts.clear_permissions(user, vhost)).await?;
    Ok(Reply::no_content())
}

/// `PUT /api/topic-permissions/{vhost}/{user}`: `exchange`, `write`, `read`.
pub(super) async fn set_topic_permissions(call: Call) -> Answer {
    let said: Object = call.object()?;
    let own = |key: &str| text(&said, key).map(str::to_owned);
    let (vhost, user) = there(&call)?;
    let permission = TopicPermissionDefinition {
        user: user.to_owned(),
        vhost: vhost.to_owned(),
        exchange: own("exchange")?,
        write: own("write")?,
        read: own("read")?,
    };
    let exchange = permission.exchange.clone();
    let mut is_new = false;
    let change = |accounts: &mut Accounts| {
        is_new = !accounts.has_topic_permission(user, vhost, &exchange);
        accounts.set_topic_permissions(permission)
    };
    call.management.broker.change_accounts(change).await?;
    put(is_new)
}

/// `DELETE /api/topic-permissions/{vhost}/{user}`: at all exchanges; with `/{exchange}` at that one.
pub(super) async fn clear_topic_permissions(call: Call) -> Answer {
    let (vhost, user) = (call.vhost(), call.name("user"));
    let exchange = call.has_name("exchange").then(|| call.exchange("exchange"));
    let known = call.caller.accounts().topic_permissions_of(user)?;
    let is_meant = |known: &str| exchange.is_none_or(|exchange| exchange == known);
    if !known.iter().any(|permission| permission.vhost == vhost && is_meant(&permission.exchange)) {
        return Err(ApiError::NotFound);
    }
    let clear = |accounts: &mut Accounts| accounts.clear_topic_permissions(user, vhost, exchange);
    call.management.broker.change_accounts(clear).await?;
    Ok(Reply::no_content())
}

/// The vhost and the user of the path, which must be there.
fn there(call: &Call) -> Result<(&str, &str), ApiError> {
    let (vhost, user) = (call.vhost(), call.name("user"));
    if call.management.broker.has_vhost(vhost) && call.caller.accounts().exists(user) {
        Ok((vhost, user))
    } else {
        Err(ApiError::bad("vhost_or_user_not_found"))
    }
}
