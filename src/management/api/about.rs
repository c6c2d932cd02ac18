//! The broker as a whole, and the one who asks.

use crate::management::answer::{Answer, Reply};
use crate::management::call::Call;
use serde_json::json;

/// `GET /api/whoami`
pub(in crate::management) async fn who_am_i(call: Call) -> Answer {
    let tags = call.caller.accounts().tags(&call.caller.user);
    Ok(Reply::json(&json!({"name": &*call.caller.user, "tags": tags})))
}

/// `GET /api/auth`
pub(in crate::management) async fn auth(_: Call) -> Answer {
    Ok(Reply::json(
        &json!({"oauth_enabled": false, "enable_uaa": false, "uaa_client_id": "", "uaa_location": ""}),
    ))
}
