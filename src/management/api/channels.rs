//! Channels, named after their connections.

use super::consumers::consumer_row;
use crate::management::Management;
use crate::management::answer::{Answer, ApiError};
use crate::management::call::Call;
use crate::management::history::Object;
use crate::management::listing::{Row, Source, Wanted, one, paged, row};
use crate::management::rates::Spans;
use crate::management::shape::{channel_name, connection_name};
use crate::server::Acquaintance;
use crate::vhost::command::ConnectionId;
use crate::vhost::counts::MessageCounts;
use crate::vhost::report::{ChannelReport, ConsumerReport};
use crate::vhost::views::{Look, Seen};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// `GET /api/channels`
pub(in crate::management) async fn all(call: Call) -> Answer {
    list(call, |_| true).await
}

/// `GET /api/vhosts/{vhost}/channels`
pub(in crate::management) async fn in_vhost(call: Call) -> Answer {
    let vhost = call.vhost().to_owned();
    list(call, move |connection| *connection.vhost == *vhost).await
}

/// `GET /api/connections/{name}/channels`
pub(in crate::management) async fn of_connection(call: Call) -> Answer {
    let name = call.name("name").to_owned();
    call.connection_named(&name).ok_or(ApiError::NotFound)?;
    list(call, move |connection| connection_name(&connection.peer) == name).await
}

async fn list(call: Call, chosen: impl Fn(&Acquaintance) -> bool) -> Answer {
    let source = Channels::new(&call, chosen).await?;
    let keys = (0..source.open.len()).collect();
    paged(&call.query, source, keys).await
}

/// `GET /api/channels/{channel}`
pub(in crate::management) async fn channel(call: Call) -> Answer {
    let name = call.name("channel");
    let source =
        Channels::new(&call, |connection| name.starts_with(&connection_name(&connection.peer))).await?;
    let at = source.open.iter().position(|channel| channel.name == name).ok_or(ApiError::NotFound)?;
    let found = source.rows(&[at], &Wanted::ALL).await.into_iter().next().flatten();
    let mut found = found.ok_or(ApiError::NotFound)?;
    if let Some(channel) = source.open.get(at) {
        found.insert("consumer_details".into(), consumers_of(&call, &source, channel).await);
    }
    // RabbitMQ tells these apart only with `rates_mode = detailed`.
    found.insert("publishes".into(), json!([]));
    found.insert("deliveries".into(), json!([]));
    Ok(one(&call.query, found))
}

/// All queues of the vhost are asked: a channel does not know where it consumes.
async fn consumers_of(call: &Call, source: &Channels, channel: &Channel) -> Value {
    let ChannelReport { connection, number, .. } = channel.report;
    let look = Look::ConsumersOf(connection, number);
    let consumers: Vec<ConsumerReport> = match call.management.broker.look(&channel.vhost, look).await {
        Some(Seen::Consumers(consumers)) => consumers,
        _ => Vec::new(),
    };
    let rows = consumers.iter().map(|consumer| {
        Value::Object(consumer_row(&call.management, &channel.vhost, consumer, &source.connections))
    });
    Value::Array(rows.collect())
}

struct Channels {
    management: Arc<Management>,
    spans: Spans,
    without_stats: bool,
    open: Vec<Channel>,
    connections: HashMap<ConnectionId, Acquaintance>,
}

struct Channel {
    name: String,
    vhost: Arc<str>,
    report: ChannelReport,
}

impl Channels {
    async fn new(call: &Call, chosen: impl Fn(&Acquaintance) -> bool) -> Result<Self, ApiError> {
        let management = Arc::clone(&call.management);
        let spans = Spans::asked(&call.query, management.broker.unix_ms())?;
        let mut connections = management.connections();
        connections.retain(|_, connection| call.caller.sees_user(&connection.user) && chosen(connection));
        let mut vhosts: Vec<_> =
            connections.values().map(|connection| Arc::clone(&connection.vhost)).collect();
        vhosts.sort_unstable();
        vhosts.dedup();
        let mut channels = Vec::new();
        for vhost in vhosts {
            let Some(Seen::Channels(reports)) = management.broker.look(&vhost, Look::Channels).await else {
                continue;
            };
            channels.extend(reports.into_iter().filter_map(|report| {
                let connection = connections.get(&report.connection)?;
                let name = channel_name(&connection.peer, report.number);
                Some(Channel { name, vhost: Arc::clone(&vhost), report })
            }));
        }
        let without_stats = call.query.is_true("disable_stats");
        Ok(Self { management, spans, without_stats, open: channels, connections })
    }

    fn row_of(&self, channel: &Channel) -> Option<Row> {
        let Channel { name, vhost, report } = channel;
        let connection = self.connections.get(&report.connection)?;
        let mut fields = row([
            ("name", json!(name)),
            ("number", json!(report.number)),
            ("vhost", json!(&**vhost)),
            ("user", json!(&*connection.user)),
            ("user_who_performed_action", json!(&*connection.user)),
            ("node", json!(self.management.broker.node_name())),
            ("state", json!("running")),
            ("confirm", json!(report.confirm)),
            ("transactional", json!(report.transactional)),
            ("consumer_count", json!(report.consumer_count)),
            ("prefetch_count", json!(report.prefetch_count)),
            ("global_prefetch_count", json!(report.global_prefetch_count)),
            ("messages_unacknowledged", json!(report.messages_unacknowledged)),
            ("messages_unconfirmed", json!(report.messages_unconfirmed)),
            ("messages_uncommitted", json!(report.messages_uncommitted)),
            (
                "connection_details",
                json!({
                    "name": connection_name(&connection.peer),
                    "peer_host": connection.peer.remote.ip().to_string(),
                    "peer_port": connection.peer.remote.port(),
                }),
            ),
        ]);
        if !self.without_stats {
            let object = Object::Channel(report.connection, report.number);
            let stats = self.management.history.read(object, self.management.broker.now_ms(), |series| {
                self.spans.message_stats(&report.counts, MessageCounts::CHANNEL, series)
            });
            fields.insert("message_stats".into(), stats);
        }
        Some(fields)
    }
}

impl Source for Channels {
    type Key = usize;

    fn name<'a>(&'a self, key: &'a usize) -> &'a str {
        self.open.get(*key).map(|channel| channel.name.as_str()).unwrap_or_default()
    }

    async fn rows(&self, keys: &[usize], _: &Wanted) -> Vec<Option<Row>> {
        keys.iter().map(|key| self.open.get(*key).and_then(|channel| self.row_of(channel))).collect()
    }
}
