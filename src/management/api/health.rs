//! Health checks as RabbitMQ names them: 200 with `{"status":"ok"}`, or 503 with `failed` and a reason.

use crate::management::answer::{Answer, ApiError, Reply};
use crate::management::call::Call;
use serde_json::json;

/// Whether clients are accepted.
pub(in crate::management) async fn is_in_service(call: Call) -> Answer {
    verdict(call.management.broker.is_in_service(), "the broker does not accept clients")
}

/// Whether any alarm is on.
pub(in crate::management) async fn alarms(call: Call) -> Answer {
    let on = call.management.broker.alarms();
    verdict(on.is_empty(), &format!("alarms that are on: {}", on.join(", ")))
}

fn verdict(good: bool, reason: &str) -> Answer {
    if good {
        Ok(Reply::json(&json!({"status": "ok"})))
    } else {
        Err(ApiError::Unhealthy(json!({"reason": reason})))
    }
}
