//! Users, permissions, topic permissions, and the limits of users.

use crate::auth::{AccountsError, PermissionView};
use crate::definitions::TopicPermissionDefinition;
use crate::management::answer::{Answer, ApiError};
use crate::management::call::Call;
use crate::management::listing::{Row, bare_rows, one, paged_rows, row};
use serde_json::{Value, json};

/// `GET /api/users`
pub(in crate::management) async fn users(call: Call) -> Answer {
    let accounts = call.caller.accounts();
    let rows = accounts.users().into_iter().filter_map(|user| user_row(&call, &user.name)).collect();
    paged_rows(&call.query, rows).await
}

/// `GET /api/users/without-permissions`
pub(in crate::management) async fn users_without_permissions(call: Call) -> Answer {
    let accounts = call.caller.accounts();
    let is_bare = |user: &str| accounts.permissions_of(user).is_ok_and(|permissions| permissions.is_empty());
    let users = accounts.users().into_iter().filter(|user| is_bare(&user.name));
    let rows = users.filter_map(|user| user_row(&call, &user.name)).collect();
    bare_rows(&call.query, rows).await
}

/// `GET /api/users/{user}`
pub(in crate::management) async fn user(call: Call) -> Answer {
    let found = user_row(&call, call.name("user")).ok_or(ApiError::NotFound)?;
    Ok(one(&call.query, found))
}

fn user_row(call: &Call, name: &str) -> Option<Row> {
    let accounts = call.caller.accounts();
    let (password_hash, hashing_algorithm) = accounts.password_hash(name)?.export();
    Some(row([
        ("name", json!(name)),
        ("password_hash", json!(password_hash)),
        ("hashing_algorithm", json!(hashing_algorithm)),
        ("tags", json!(accounts.tags(name))),
        ("limits", accounts.limits(name).map(limits_value).unwrap_or_default()),
    ]))
}

/// Limits as the JSON object that operators write.
pub(in crate::management) fn limits_value(limits: &crate::auth::Limits) -> Value {
    Value::Object(limits.as_slice().iter().map(|(name, number)| (name.clone(), json!(number))).collect())
}

/// `GET /api/permissions`
pub(in crate::management) async fn permissions(call: Call) -> Answer {
    let accounts = call.caller.accounts();
    let users = accounts.users().into_iter();
    let all = users.filter_map(|user| accounts.permissions_of(&user.name).ok()).flatten();
    bare_rows(&call.query, all.map(|permission| permission_row(&permission)).collect()).await
}

/// `GET /api/vhosts/{vhost}/permissions`
pub(in crate::management) async fn permissions_in(call: Call) -> Answer {
    let rows = call.caller.accounts().permissions_in(call.vhost()).iter().map(permission_row).collect();
    bare_rows(&call.query, rows).await
}

/// `GET /api/users/{user}/permissions`
pub(in crate::management) async fn permissions_of(call: Call) -> Answer {
    let found = call.caller.accounts().permissions_of(call.name("user")).map_err(missing)?;
    bare_rows(&call.query, found.iter().map(permission_row).collect()).await
}

/// `GET /api/permissions/{vhost}/{user}`
pub(in crate::management) async fn permission(call: Call) -> Answer {
    let all = call.caller.accounts().permissions_of(call.name("user")).map_err(missing)?;
    let found = all.into_iter().find(|permission| permission.vhost == call.vhost());
    Ok(one(&call.query, permission_row(&found.ok_or(ApiError::NotFound)?)))
}

fn permission_row(permission: &PermissionView) -> Row {
    row([
        ("user", json!(permission.user)),
        ("vhost", json!(permission.vhost)),
        ("configure", json!(permission.configure)),
        ("write", json!(permission.write)),
        ("read", json!(permission.read)),
    ])
}

/// `GET /api/topic-permissions`
pub(in crate::management) async fn topic_permissions(call: Call) -> Answer {
    let accounts = call.caller.accounts();
    let users = accounts.users().into_iter();
    let all = users.filter_map(|user| accounts.topic_permissions_of(&user.name).ok()).flatten();
    bare_rows(&call.query, all.map(|permission| topic_permission_row(&permission)).collect()).await
}

/// `GET /api/vhosts/{vhost}/topic-permissions`
pub(in crate::management) async fn topic_permissions_in(call: Call) -> Answer {
    let found = call.caller.accounts().topic_permissions_in(call.vhost());
    bare_rows(&call.query, found.iter().map(topic_permission_row).collect()).await
}

/// `GET /api/users/{user}/topic-permissions`
pub(in crate::management) async fn topic_permissions_of(call: Call) -> Answer {
    let found = call.caller.accounts().topic_permissions_of(call.name("user")).map_err(missing)?;
    bare_rows(&call.query, found.iter().map(topic_permission_row).collect()).await
}

/// `GET /api/topic-permissions/{vhost}/{user}`: all exchanges of the vhost.
pub(in crate::management) async fn topic_permissions_of_in(call: Call) -> Answer {
    let all = call.caller.accounts().topic_permissions_of(call.name("user")).map_err(missing)?;
    let here = all.into_iter().filter(|permission| permission.vhost == call.vhost());
    let rows: Vec<Row> = here.map(|permission| topic_permission_row(&permission)).collect();
    if rows.is_empty() { Err(ApiError::NotFound) } else { bare_rows(&call.query, rows).await }
}

fn topic_permission_row(permission: &TopicPermissionDefinition) -> Row {
    row([
        ("user", json!(permission.user)),
        ("vhost", json!(permission.vhost)),
        ("exchange", json!(permission.exchange)),
        ("write", json!(permission.write)),
        ("read", json!(permission.read)),
    ])
}

/// `GET /api/user-limits`
pub(in crate::management) async fn all_user_limits(call: Call) -> Answer {
    let accounts = call.caller.accounts();
    let names = accounts.users().into_iter().map(|user| user.name);
    // Others' limits are none of a plain user's business.
    let rows = names.filter(|name| call.caller.sees_user(name)).filter_map(|name| limits_row(&call, &name));
    let rows = rows.collect();
    bare_rows(&call.query, rows).await
}

/// `GET /api/user-limits/{user}`
pub(in crate::management) async fn user_limits(call: Call) -> Answer {
    let name = call.name("user");
    if !call.caller.accounts().exists(name) || !call.caller.sees_user(name) {
        return Err(ApiError::NotFound);
    }
    let rows = limits_row(&call, name).into_iter().collect();
    bare_rows(&call.query, rows).await
}

fn limits_row(call: &Call, name: &str) -> Option<Row> {
    let limits = call.caller.accounts().limits(name).filter(|limits| !limits.is_empty())?;
    Some(row([("user", json!(name)), ("value", limits_value(limits))]))
}

fn missing(_: AccountsError) -> ApiError {
    ApiError::NotFound
}
