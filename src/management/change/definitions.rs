//! Definitions files: how things stand, and what an administrator brings in, as JSON or as a form's upload.

use crate::management::answer::{Answer, ApiError, Reply};
use crate::management::call::Call;
use crate::management::form::uploaded;
use serde_json::Value;

/// `GET /api/definitions`
pub(super) async fn export(call: Call) -> Answer {
    Ok(Reply::json(&call.management.broker.export_definitions().await))
}

/// `GET /api/definitions/{vhost}`
pub(super) async fn export_vhost(call: Call) -> Answer {
    let file = call.management.broker.export_vhost_definitions(call.vhost()).await;
    Ok(Reply::json(&file.ok_or(ApiError::NotFound)?))
}

/// `POST /api/definitions`
pub(super) async fn import(call: Call) -> Answer {
    bring_in(&call, None).await
}

/// `POST /api/definitions/{vhost}`
pub(super) async fn import_vhost(call: Call) -> Answer {
    bring_in(&call, Some(call.vhost())).await
}

async fn bring_in(call: &Call, vhost: Option<&str>) -> Answer {
    let text = match call.header("content-type") {
        Some(kind) if kind.starts_with("multipart/form-data") => {
            uploaded(kind, &call.body, "file").ok_or_else(|| ApiError::bad("the form has no field 'file'"))?
        }
        _ => &call.body,
    };
    let file: Value = serde_json::from_slice(text).map_err(|_| ApiError::bad("failed_to_parse_json"))?;
    let imported = call.management.broker.import_definitions(&file, vhost, Some(&call.caller.user)).await;
    imported.map_err(|error| ApiError::bad(error.to_string()))?;
    Ok(Reply::no_content())
}
