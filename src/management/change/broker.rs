//! What is said to the broker as a whole. Much of it has nothing to do here, because there is one node and every feature
//! is always on; tools ask all the same.

use super::text;
use crate::auth::{Hashing, PasswordHash};
use crate::management::answer::{Answer, ApiError, Reply};
use crate::management::call::Call;
use crate::server::CLUSTER_NAME;
use serde_json::{Value, json};

/// `PUT /api/cluster-name`: `name`. Connections opened from now on are told.
pub(super) async fn name_cluster(call: Call) -> Answer {
    let said = call.object()?;
    let name = text(&said, "name")?;
    if name.is_empty() || name.len() > 255 || name.contains(char::is_control) {
        return Err(ApiError::bad("a name has 1 to 255 bytes and no control characters"));
    }
    let set = call.management.broker.set_global_parameter(CLUSTER_NAME, Value::from(name)).await;
    set.map_err(|error| ApiError::bad(error.to_string()))?;
    Ok(Reply::no_content())
}

/// `PUT /api/feature-flags/{flag}/enable`
pub(super) async fn enable_flag(_: Call) -> Answer {
    Ok(Reply::no_content())
}

/// `POST /api/rebalance/queues`
pub(super) async fn rebalance(_: Call) -> Answer {
    Ok(Reply::no_content())
}

/// `GET /api/auth/hash_password/{password}`: as RabbitMQ hashes by default, because it is for definitions files.
pub(super) async fn hash_password(call: Call) -> Answer {
    let hash = PasswordHash::new(call.name("password"), Hashing::Sha256, call.management.broker.new_salt())?;
    let (text, _) = hash.export();
    Ok(Reply::json(&json!({"ok": text})))
}

/// `GET /api/auth/attempts/{node}`
pub(super) async fn attempts(call: Call) -> Answer {
    let counted = call.management.broker.login_counts().into_iter();
    let rows: Vec<_> = counted
        .map(|(protocol, succeeded, failed)| {
            json!({
                "protocol": protocol,
                "auth_attempts": succeeded + failed,
                "auth_attempts_failed": failed,
                "auth_attempts_succeeded": succeeded,
            })
        })
        .collect();
    Ok(Reply::json(&rows))
}

/// `DELETE /api/auth/attempts/{node}`
pub(super) async fn forget_attempts(call: Call) -> Answer {
    call.management.broker.forget_logins();
    Ok(Reply::no_content())
}
