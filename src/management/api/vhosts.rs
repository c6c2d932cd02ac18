//! Vhosts, and their limits.

use super::accounts::limits_value;
use crate::management::answer::{Answer, ApiError};
use crate::management::call::Call;
use crate::management::listing::{Row, bare_rows, one, paged_rows, row};
use crate::server::VhostAbout;
use serde_json::json;

/// `GET /api/vhosts`
pub(in crate::management) async fn vhosts(call: Call) -> Answer {
    let all = call.management.broker.about_vhosts();
    let visible = all.iter().filter(|(name, _)| call.caller.sees(name));
    let rows = visible.map(|(name, about)| vhost_row(&call, name, about)).collect();
    paged_rows(&call.query, rows).await
}

/// `GET /api/vhosts/{vhost}`
pub(in crate::management) async fn vhost(call: Call) -> Answer {
    let all = call.management.broker.about_vhosts();
    let (name, about) = all.iter().find(|(name, _)| **name == *call.vhost()).ok_or(ApiError::NotFound)?;
    Ok(one(&call.query, vhost_row(&call, name, about)))
}

fn vhost_row(call: &Call, name: &str, about: &VhostAbout) -> Row {
    let default_queue_kind = about.default_queue_kind.unwrap_or(call.management.broker.default_queue_kind());
    let VhostAbout { description, tags, .. } = about;
    let default_queue_type = default_queue_kind.name();
    row([
        ("name", json!(name)),
        ("description", json!(description)),
        ("tags", json!(tags)),
        ("default_queue_type", json!(default_queue_type)),
        (
            "metadata",
            json!({"description": description, "tags": tags, "default_queue_type": default_queue_type}),
        ),
        ("tracing", json!(false)),
        ("cluster_state", json!({call.management.broker.node_name(): "running"})),
    ])
}

/// `GET /api/vhost-limits`
pub(in crate::management) async fn all_vhost_limits(call: Call) -> Answer {
    let all = call.management.broker.about_vhosts();
    let visible = all.iter().filter(|(name, _)| call.caller.sees(name));
    let rows = visible.filter_map(|(name, about)| limits_row(name, about)).collect();
    bare_rows(&call.query, rows).await
}

/// `GET /api/vhost-limits/{vhost}`
pub(in crate::management) async fn vhost_limits(call: Call) -> Answer {
    let all = call.management.broker.about_vhosts();
    let this = all.iter().filter(|(name, _)| **name == *call.vhost());
    bare_rows(&call.query, this.filter_map(|(name, about)| limits_row(name, about)).collect()).await
}

fn limits_row(name: &str, about: &VhostAbout) -> Option<Row> {
    let is_limited = !about.limits.is_empty();
    is_limited.then(|| row([("vhost", json!(name)), ("value", limits_value(&about.limits))]))
}
