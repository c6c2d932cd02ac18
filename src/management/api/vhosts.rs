//! Vhosts, and their limits.

use super::accounts::limits_value;
use crate::management::answer::{Answer, ApiError};
use crate::management::call::Call;
use crate::management::history::{Object, SampledNumber};
use crate::management::listing::{Row, bare_rows, one, paged_rows, row};
use crate::management::rates::Spans;
use crate::server::VhostAbout;
use crate::vhost::counts::MessageCounts;
use serde_json::json;
use std::sync::Arc;

/// `GET /api/vhosts`
pub(in crate::management) async fn vhosts(call: Call) -> Answer {
    let all = call.management.broker.about_vhosts();
    let mut rows = Vec::new();
    for (name, about) in all.iter().filter(|(name, _)| call.caller.sees(name)) {
        rows.push(vhost_row(&call, name, about).await?);
    }
    paged_rows(&call.query, rows).await
}

/// `GET /api/vhosts/{vhost}`
pub(in crate::management) async fn vhost(call: Call) -> Answer {
    let all = call.management.broker.about_vhosts();
    let (name, about) = all.iter().find(|(name, _)| **name == *call.vhost()).ok_or(ApiError::NotFound)?;
    Ok(one(&call.query, vhost_row(&call, name, about).await?))
}

async fn vhost_row(call: &Call, name: &Arc<str>, about: &VhostAbout) -> Result<Row, ApiError> {
    let broker = &call.management.broker;
    let spans = Spans::asked(&call.query, broker.unix_ms())?;
    let default_queue_kind = about.default_queue_kind.unwrap_or(broker.default_queue_kind());
    let VhostAbout { description, tags, .. } = about;
    let default_queue_type = default_queue_kind.name();
    let sums = broker.sums(name).await.unwrap_or_default();
    let mut fields = row([
        ("name", json!(&**name)),
        ("description", json!(description)),
        ("tags", json!(tags)),
        ("default_queue_type", json!(default_queue_type)),
        (
            "metadata",
            json!({
                "description": description, "tags": tags, "default_queue_type": default_queue_type,
                "protected_from_deletion": about.is_protected,
            }),
        ),
        ("tracing", json!(sums.tracing)),
        ("protected_from_deletion", json!(about.is_protected)),
        ("cluster_state", json!({broker.node_name(): "running"})),
    ]);
    if call.query.is_true("disable_stats") {
        return Ok(fields);
    }
    call.management.history.read(Object::Vhost(Arc::clone(name)), broker.now_ms(), |series| {
        spans.add_lengths(&mut fields, sums.messages_ready, sums.messages_unacknowledged, series);
        let stats = spans.message_stats(&sums.counts, MessageCounts::CHANNEL, series);
        fields.insert("message_stats".into(), stats);
        for (name, number) in TRAFFIC {
            spans.add(&mut fields, (name, number(&series.last())), series, spans.data, number);
        }
    });
    Ok(fields)
}

/// Bytes on the sockets of the vhost's connections.
const TRAFFIC: [SampledNumber; 2] =
    [("recv_oct", |sample| sample.received_bytes), ("send_oct", |sample| sample.sent_bytes)];

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
