//! Consumers, queue by queue.

use super::queues::{Place, by_vhost, channel_details, places};
use crate::limits::HTTP_ROWS_PER_CHUNK;
use crate::management::Management;
use crate::management::answer::{Answer, ApiError};
use crate::management::call::Call;
use crate::management::listing::{Chunks, Row, row, streamed};
use crate::management::shape::table_value;
use crate::server::{Acquaintance, Listed};
use crate::vhost::command::ConnectionId;
use crate::vhost::report::ConsumerReport;
use crate::vhost::views::{Look, Seen};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;

/// `GET /api/consumers`
pub(in crate::management) async fn all(call: Call) -> Answer {
    let vhosts = call.visible_vhosts();
    list(call, &vhosts).await
}

/// `GET /api/consumers/{vhost}`
pub(in crate::management) async fn in_vhost(call: Call) -> Answer {
    if !call.management.broker.has_vhost(call.vhost()) {
        return Err(ApiError::NotFound);
    }
    let vhosts: Vec<_> = call.visible_vhosts().into_iter().filter(|vhost| **vhost == *call.vhost()).collect();
    list(call, &vhosts).await
}

async fn list(call: Call, vhosts: &[Arc<str>]) -> Answer {
    let mut queues = places(&call.management, vhosts, Listed::Queues).await;
    queues.reverse();
    let management = Arc::clone(&call.management);
    let connections = management.connections();
    streamed(&call.query, Consumers { management, connections, queues }).await
}

struct Consumers {
    management: Arc<Management>,
    connections: HashMap<ConnectionId, Acquaintance>,
    /// Those not looked at yet, the next one last.
    queues: Vec<Place>,
}

impl Chunks for Consumers {
    async fn next(&mut self) -> Option<Vec<Row>> {
        let start = self.queues.len().saturating_sub(HTTP_ROWS_PER_CHUNK);
        let mut chunk = self.queues.split_off(start);
        chunk.reverse();
        if chunk.is_empty() {
            return None;
        }
        let mut rows = Vec::new();
        for (vhost, names) in by_vhost(&chunk) {
            let seen = self.management.broker.look(vhost, Look::Consumers(names)).await;
            if let Some(Seen::Consumers(consumers)) = seen {
                rows.extend(
                    consumers
                        .iter()
                        .map(|consumer| consumer_row(&self.management, vhost, consumer, &self.connections)),
                );
            }
        }
        Some(rows)
    }
}

/// A consumer's row.
pub(in crate::management) fn consumer_row(
    management: &Management,
    vhost: &str,
    consumer: &ConsumerReport,
    connections: &HashMap<ConnectionId, Acquaintance>,
) -> Row {
    let activity = match (consumer.single, consumer.active) {
        (false, _) => "up",
        (true, true) => "single_active",
        (true, false) => "waiting",
    };
    row([
        ("consumer_tag", json!(&*consumer.tag)),
        ("queue", json!({"name": consumer.queue, "vhost": vhost})),
        ("ack_required", json!(consumer.ack_required)),
        ("active", json!(consumer.active)),
        ("activity_status", json!(activity)),
        ("exclusive", json!(consumer.exclusive)),
        ("prefetch_count", json!(consumer.prefetch_count)),
        ("messages_unacknowledged", json!(consumer.messages_unacknowledged)),
        ("arguments", table_value(&consumer.arguments)),
        (
            "channel_details",
            channel_details(management, connections, (consumer.connection, consumer.channel)),
        ),
    ])
}
