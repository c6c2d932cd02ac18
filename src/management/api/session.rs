//! Login and logout of the management page.

use crate::management::Management;
use crate::management::answer::{Answer, ApiError, Reply};
use crate::management::call::Call;
use crate::management::router::session_token;
use serde_json::{Value, json};
use std::sync::Arc;

/// `POST /api/session` with `{"username": …, "password": …}`: 200 with `{"token": …}`, to be sent as `Bearer`.
pub(in crate::management) async fn begin(call: Call) -> Answer {
    let fields = call.object()?;
    let text = |name: &str| match fields.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        _ => Err(ApiError::bad(format!("\"{name}\" must be a string"))),
    };
    let refused = || ApiError::Unauthenticated(Some("Login failed"));
    let peer = call.peer.ok_or_else(refused)?;
    let broker = &call.management.broker;
    let logged_in = broker.log_in(text("username")?, text("password")?, peer).await.ok_or_else(refused)?;
    // A session has the rights of the user that is kept here by that name; who logged in otherwise may be somebody else.
    let user = logged_in.kept_here().ok_or_else(refused)?;
    let password_stamp = password_stamp(&call.management, &user).ok_or_else(refused)?;
    let mut sessions = call.management.sessions();
    let token = sessions.begin(user, password_stamp, broker.secret_bytes(), broker.uptime_ms());
    Ok(Reply::json(&json!({"token": token})))
}

/// `DELETE /api/session`: ends that of the token that is sent.
pub(in crate::management) async fn end(call: Call) -> Answer {
    if let Some(token) = session_token(&call.headers) {
        call.management.sessions().end(token);
    }
    Ok(Reply::no_content())
}

/// The user of a session.
pub(in crate::management) fn user(management: &Management, token: &str) -> Option<Arc<str>> {
    let now_ms = management.broker.uptime_ms();
    management.sessions().user(token, now_ms, |user| password_stamp(management, user))
}

fn password_stamp(management: &Management, user: &str) -> Option<u64> {
    management.broker.accounts().password_stamp(user)
}
