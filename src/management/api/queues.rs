//! Queues, as lists and one by one. Of a list only the rows that are shown are ever made.

use super::consumers::consumer_row;
use crate::management::Management;
use crate::management::answer::{Answer, ApiError};
use crate::management::call::Call;
use crate::management::history::{Object, Series};
use crate::management::listing::{Row, Source, bare, one, paged, row};
use crate::management::rates::Spans;
use crate::management::shape::{channel_name, connection_name, moment, table_value};
use crate::queue::Entry;
use crate::server::Acquaintance;
use crate::vhost::command::ConnectionId;
use crate::vhost::counts::MessageCounts;
use crate::vhost::report::QueueReport;
use crate::vhost::views::{Look, Seen};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// Vhost and name.
pub(in crate::management) type Place = (Arc<str>, Arc<str>);

/// `GET /api/queues`
pub(in crate::management) async fn all(call: Call) -> Answer {
    let vhosts = call.visible_vhosts();
    list(call, vhosts).await
}

/// `GET /api/queues/{vhost}`
pub(in crate::management) async fn in_vhost(call: Call) -> Answer {
    let vhost = Arc::from(call.vhost());
    list(call, vec![vhost]).await
}

/// `GET /api/queues/detailed`: with the consumers of each; always a bare array.
pub(in crate::management) async fn detailed(call: Call) -> Answer {
    let keys = places(&call.management, &call.visible_vhosts(), Look::QueueNames).await;
    let source = Queues::new(&call, true)?;
    bare(&call.query, source, keys).await
}

async fn list(call: Call, vhosts: Vec<Arc<str>>) -> Answer {
    let keys = places(&call.management, &vhosts, Look::QueueNames).await;
    let source = Queues::new(&call, false)?;
    paged(&call.query, source, keys).await
}

/// `GET /api/queues/{vhost}/{queue}`
pub(in crate::management) async fn queue(call: Call) -> Answer {
    let source = Queues::new(&call, true)?;
    let key = (Arc::from(call.vhost()), Arc::from(call.name("queue")));
    let found = source.rows(&[key]).await.into_iter().next().flatten();
    Ok(one(&call.query, found.ok_or(ApiError::NotFound)?))
}

/// Names of queues or exchanges of these vhosts, sorted.
pub(in crate::management) async fn places(
    management: &Management,
    vhosts: &[Arc<str>],
    names: Look,
) -> Vec<Place> {
    let mut places = Vec::new();
    for vhost in vhosts {
        if let Some(Seen::Names(mut names)) = management.broker.look(vhost, names.clone()).await {
            names.sort_unstable();
            places.extend(names.into_iter().map(|name| (Arc::clone(vhost), name)));
        }
    }
    places
}

/// Stretches of places in the same vhost.
pub(in crate::management) fn by_vhost(places: &[Place]) -> impl Iterator<Item = (&Arc<str>, Vec<Arc<str>>)> {
    places.chunk_by(|one, other| one.0 == other.0).filter_map(|stretch| {
        let names = stretch.iter().map(|(_, name)| Arc::clone(name)).collect();
        Some((&stretch.first()?.0, names))
    })
}

struct Queues {
    management: Arc<Management>,
    spans: Spans,
    /// Only what does not change all the time.
    without_stats: bool,
    /// But lengths all the same.
    with_totals: bool,
    is_detailed: bool,
    connections: HashMap<ConnectionId, Acquaintance>,
}

impl Queues {
    fn new(call: &Call, is_detailed: bool) -> Result<Self, ApiError> {
        Ok(Self {
            management: Arc::clone(&call.management),
            spans: Spans::asked(&call.query, call.management.broker.unix_ms())?,
            without_stats: call.query.is_true("disable_stats"),
            with_totals: call.query.is_true("enable_queue_totals"),
            is_detailed,
            connections: call.management.connections(),
        })
    }

    fn row_of(&self, vhost: &Arc<str>, queue: &QueueReport) -> Row {
        let node = self.management.broker.node_name();
        let mut fields = row([
            ("name", json!(queue.name)),
            ("vhost", json!(&**vhost)),
            ("type", json!(queue.kind)),
            ("durable", json!(queue.durable)),
            ("auto_delete", json!(queue.auto_delete)),
            ("exclusive", json!(queue.exclusive)),
            ("arguments", table_value(&queue.arguments)),
            ("node", json!(node)),
            ("state", json!(queue.state)),
        ]);
        if self.without_stats {
            if self.with_totals {
                fields.insert("messages".into(), json!(queue.messages_ready + queue.messages_unacknowledged));
                fields.insert("messages_ready".into(), json!(queue.messages_ready));
                fields.insert("messages_unacknowledged".into(), json!(queue.messages_unacknowledged));
            }
            return fields;
        }
        self.add_policies(&mut fields, queue);
        Self::add_figures(&mut fields, queue);
        let object = Object::Queue(Arc::clone(vhost), queue.name.as_str().into());
        self.management.history.read(object, self.management.broker.now_ms(), |series| {
            self.add_rates(&mut fields, queue, series);
        });
        if queue.kind != "classic" {
            // There is one node, and everything is there.
            fields.insert("leader".into(), json!(node));
            fields.insert("members".into(), json!([node]));
            fields.insert("online".into(), json!([node]));
        }
        fields
    }

    fn add_policies(&self, fields: &mut Row, queue: &QueueReport) {
        let name = |policy: &String| if policy.is_empty() { Value::Null } else { json!(policy) };
        fields.insert("policy".into(), name(&queue.policy));
        fields.insert("operator_policy".into(), name(&queue.operator_policy));
        let effective: Map<String, Value> = queue.effective_policy.iter().cloned().collect();
        fields.insert("effective_policy_definition".into(), Value::Object(effective));
        if let Some(limit) = queue.delivery_limit {
            fields.insert("delivery_limit".into(), json!(limit));
        }
        let sole = queue.sole_consumer.as_ref().map(|(_, _, tag)| json!(&**tag)).unwrap_or_default();
        let (single, exclusive) =
            if queue.single_active_consumer { (sole, Value::Null) } else { (Value::Null, sole) };
        fields.insert("single_active_consumer_tag".into(), single);
        fields.insert("exclusive_consumer_tag".into(), exclusive);
        if let Some(owner) = queue.owner.and_then(|owner| self.connections.get(&owner)) {
            let details = json!({
                "name": connection_name(&owner.peer),
                "peer_host": owner.peer.remote.ip().to_string(),
                "peer_port": owner.peer.remote.port(),
            });
            fields.insert("owner_pid_details".into(), details);
        }
    }

    fn add_figures(fields: &mut Row, queue: &QueueReport) {
        let total = queue.messages_ready + queue.messages_unacknowledged;
        // Whether somebody could take a message this moment, not over time as in RabbitMQ.
        let capacity = if queue.has_ready_consumer { 1.0 } else { 0.0 };
        for (name, value) in [
            ("consumers", json!(queue.consumers)),
            ("consumer_capacity", json!(capacity)),
            ("consumer_utilisation", json!(capacity)),
            ("message_bytes", json!(queue.bytes_ready + queue.bytes_unacknowledged)),
            ("message_bytes_ready", json!(queue.bytes_ready)),
            ("message_bytes_unacknowledged", json!(queue.bytes_unacknowledged)),
            ("messages_ram", json!(queue.messages_resident)),
            ("messages_paged_out", json!(total.saturating_sub(queue.messages_resident))),
            ("messages_damaged", json!(queue.messages_damaged)),
            // Of its entries; bodies belong to all queues they are in, and count in the memory of the node.
            ("memory", json!(queue.messages_resident * size_of::<Entry>() as u64)),
            ("head_message_timestamp", json!(queue.head_timestamp_s)),
        ] {
            fields.insert(name.into(), value);
        }
        if queue.active_unix_ms > 0 {
            fields.insert("idle_since".into(), json!(moment(queue.active_unix_ms)));
        }
    }

    fn add_rates(&self, fields: &mut Row, queue: &QueueReport, series: &Series) {
        let QueueReport { messages_ready, messages_unacknowledged, counts, .. } = queue;
        self.spans.add_lengths(fields, *messages_ready, *messages_unacknowledged, series);
        let stats = self.spans.message_stats(counts, MessageCounts::QUEUE, series);
        fields.insert("message_stats".into(), stats);
    }

    async fn add_consumers(&self, vhost: &Arc<str>, names: Vec<Arc<str>>, rows: &mut [Option<Row>]) {
        let Some(Seen::Consumers(consumers)) =
            self.management.broker.look(vhost, Look::Consumers(names)).await
        else {
            return;
        };
        for fields in rows.iter_mut().flatten() {
            let of_this =
                consumers.iter().filter(|consumer| fields.get("name") == Some(&json!(consumer.queue)));
            let details: Vec<Value> = of_this
                .map(|consumer| {
                    Value::Object(consumer_row(&self.management, vhost, consumer, &self.connections))
                })
                .collect();
            fields.insert("consumer_details".into(), json!(details));
            // RabbitMQ tells these apart only with `rates_mode = detailed`.
            fields.insert("incoming".into(), json!([]));
            fields.insert("deliveries".into(), json!([]));
        }
    }
}

impl Source for Queues {
    type Key = Place;

    fn name<'a>(&'a self, (_, name): &'a Place) -> &'a str {
        name
    }

    async fn rows(&self, keys: &[Place]) -> Vec<Option<Row>> {
        let mut all = Vec::with_capacity(keys.len());
        for (vhost, names) in by_vhost(keys) {
            let count = names.len();
            let look = Look::Queues(names.clone());
            let Some(Seen::Queues(queues)) = self.management.broker.look(vhost, look).await else {
                all.resize(all.len() + count, None);
                continue;
            };
            let mut rows: Vec<Option<Row>> =
                queues.iter().map(|queue| queue.as_ref().map(|queue| self.row_of(vhost, queue))).collect();
            if self.is_detailed && !self.without_stats {
                self.add_consumers(vhost, names, &mut rows).await;
            }
            all.append(&mut rows);
        }
        all
    }
}

/// The channel of a consumer or of a delivery.
pub(in crate::management) fn channel_details(
    management: &Management,
    connections: &HashMap<ConnectionId, Acquaintance>,
    (connection, number): (ConnectionId, u16),
) -> Value {
    let Some(found) = connections.get(&connection) else { return json!({"number": number}) };
    json!({
        "name": channel_name(&found.peer, number),
        "number": number,
        "connection_name": connection_name(&found.peer),
        "peer_host": found.peer.remote.ip().to_string(),
        "peer_port": found.peer.remote.port(),
        "node": management.broker.node_name(),
        "user": &*found.user,
    })
}
