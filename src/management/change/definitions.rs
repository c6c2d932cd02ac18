//! Definitions files: how things stand, and what an administrator brings in, as JSON or as a form's upload.

use crate::management::answer::{Answer, ApiError, Reply};
use crate::management::call::Call;
use crate::management::form::uploaded;
use crate::server::Export;
use serde_json::Value;
use std::sync::Arc;

/// `GET /api/definitions`
pub(super) async fn export(call: Call) -> Answer {
    Ok(sent(Export::of_broker(Arc::clone(&call.management.broker))))
}

/// `GET /api/definitions/{vhost}`
pub(super) async fn export_vhost(call: Call) -> Answer {
    let export = Export::of_vhost(Arc::clone(&call.management.broker), call.vhost());
    Ok(sent(export.ok_or(ApiError::NotFound)?))
}

/// Sends a file while it is made. One that cannot be made whole is cut off.
fn sent(mut export: Export) -> Reply {
    let (reply, mut sink) = Reply::in_parts();
    tokio::spawn(async move {
        while let Ok(piece) = export.next().await {
            let Some(piece) = piece else { return sink.finish(Vec::new()).await };
            if !sink.send(piece).await {
                return;
            }
        }
    });
    reply
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
