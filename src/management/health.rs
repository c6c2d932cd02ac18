//! Health checks as RabbitMQ names them: 200 with `{"status":"ok"}`, or 503 with `failed` and a reason.

use crate::server::Broker;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

/// Whether clients are accepted.
pub(super) async fn is_in_service(State(broker): State<Arc<Broker>>) -> (StatusCode, Json<Value>) {
    verdict(broker.is_in_service(), "the broker does not accept clients")
}

/// Whether any alarm is on.
pub(super) async fn alarms(State(broker): State<Arc<Broker>>) -> (StatusCode, Json<Value>) {
    let on = broker.alarms();
    verdict(on.is_empty(), &format!("alarms that are on: {}", on.join(", ")))
}

fn verdict(good: bool, reason: &str) -> (StatusCode, Json<Value>) {
    if good {
        (StatusCode::OK, Json(json!({"status": "ok"})))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "failed", "reason": reason})))
    }
}
