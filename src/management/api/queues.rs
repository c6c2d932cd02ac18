//! Queues, as lists and one by one. Of a list only the rows that are shown are ever made.

use super::consumers::consumer_row;
use crate::management::Management;
use crate::management::answer::{Answer, ApiError};
use crate::management::call::Call;
use crate::management::history::{Object, Sample};
use crate::management::listing::{Fields, Put, Row, Source, Text, Wanted, bare, one, paged};
use crate::management::rates::Spans;
use crate::management::shape::{channel_name, connection_name, moment, table_value};
use crate::queue::Entry;
use crate::server::{Acquaintance, Listed};
use crate::vhost::command::ConnectionId;
use crate::vhost::counts::MessageCounts;
use crate::vhost::report::QueueReport;
use crate::vhost::views::{Look, Seen};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// What there is of messages, and their rates.
const LENGTHS: [&str; 6] = [
    "messages",
    "messages_details",
    "messages_ready",
    "messages_ready_details",
    "messages_unacknowledged",
    "messages_unacknowledged_details",
];

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
    let keys = places(&call.management, &call.visible_vhosts(), Listed::Queues).await;
    let source = Queues::new(&call, true)?;
    bare(&call.query, source, keys).await
}

async fn list(call: Call, vhosts: Vec<Arc<str>>) -> Answer {
    let keys = places(&call.management, &vhosts, Listed::Queues).await;
    let source = Queues::new(&call, false)?;
    paged(&call.query, source, keys).await
}

/// `GET /api/queues/{vhost}/{queue}`
pub(in crate::management) async fn queue(call: Call) -> Answer {
    let source = Queues::new(&call, true)?;
    let key = (Arc::from(call.vhost()), Arc::from(call.name("queue")));
    let found = source.rows(&[key], &Wanted::ALL).await.into_iter().next().flatten();
    Ok(one(&call.query, found.ok_or(ApiError::NotFound)?))
}

/// Names of queues or exchanges of these vhosts, sorted.
pub(in crate::management) async fn places(
    management: &Management,
    vhosts: &[Arc<str>],
    kind: Listed,
) -> Vec<Place> {
    let mut places = Vec::new();
    for vhost in vhosts {
        if let Some(names) = management.broker.names(vhost, kind).await {
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

    fn fill<P: Put>(&self, row: P, vhost: &Arc<str>, queue: &QueueReport, wanted: &Wanted) -> P {
        let node = self.management.broker.node_name();
        let mut fields = Fields::new(wanted, row);
        fields.add("name", || &queue.name);
        fields.add("vhost", || &**vhost);
        fields.add("type", || queue.kind);
        fields.add("durable", || queue.durable);
        fields.add("auto_delete", || queue.auto_delete);
        fields.add("exclusive", || queue.exclusive);
        fields.add("arguments", || table_value(&queue.arguments));
        fields.add("node", || node.as_str());
        fields.add("state", || queue.state);
        if self.without_stats {
            if self.with_totals {
                fields.add("messages", || queue.messages_ready + queue.messages_unacknowledged);
                fields.add("messages_ready", || queue.messages_ready);
                fields.add("messages_unacknowledged", || queue.messages_unacknowledged);
            }
            return fields.finish();
        }
        self.add_policies(&mut fields, queue);
        Self::add_figures(&mut fields, queue);
        self.add_rates(&mut fields, vhost, queue);
        if queue.kind != "classic" {
            // There is one node, and everything is there.
            fields.add("leader", || node.as_str());
            fields.add("members", || json!([node]));
            fields.add("online", || json!([node]));
        }
        fields.finish()
    }

    fn add_policies(&self, fields: &mut Fields<'_, impl Put>, queue: &QueueReport) {
        let name = |policy: &String| if policy.is_empty() { Value::Null } else { json!(policy) };
        fields.add("policy", || name(&queue.policy));
        fields.add("operator_policy", || name(&queue.operator_policy));
        fields.add("effective_policy_definition", || {
            let effective: Map<String, Value> = queue.effective_policy.iter().cloned().collect();
            Value::Object(effective)
        });
        if let Some(limit) = queue.delivery_limit {
            fields.add("delivery_limit", || json!(limit));
        }
        let sole = queue.sole_consumer.as_ref().map(|(_, _, tag)| json!(&**tag)).unwrap_or_default();
        let (single, exclusive) =
            if queue.single_active_consumer { (sole, Value::Null) } else { (Value::Null, sole) };
        fields.add("single_active_consumer_tag", || single);
        fields.add("exclusive_consumer_tag", || exclusive);
        if let Some(owner) = queue.owner.and_then(|owner| self.connections.get(&owner)) {
            fields.add("owner_pid_details", || {
                json!({
                    "name": connection_name(&owner.peer),
                    "peer_host": owner.peer.remote.ip().to_string(),
                    "peer_port": owner.peer.remote.port(),
                })
            });
        }
    }

    fn add_figures(fields: &mut Fields<'_, impl Put>, queue: &QueueReport) {
        let total = queue.messages_ready + queue.messages_unacknowledged;
        // Whether somebody could take a message this moment, not over time as in RabbitMQ.
        let capacity = if queue.has_ready_consumer { 1.0 } else { 0.0 };
        let bytes = queue.bytes_ready + queue.bytes_unacknowledged;
        fields.add("consumers", || queue.consumers);
        fields.add("consumer_capacity", || capacity);
        fields.add("consumer_utilisation", || capacity);
        fields.add("message_bytes", || bytes);
        fields.add("message_bytes_ready", || queue.bytes_ready);
        fields.add("message_bytes_unacknowledged", || queue.bytes_unacknowledged);
        fields.add("messages_ram", || queue.messages_resident);
        fields.add("messages_paged_out", || total.saturating_sub(queue.messages_resident));
        fields.add("messages_damaged", || queue.messages_damaged);
        // Of its entries; bodies belong to all queues they are in, and count in the memory of the node.
        fields.add("memory", || queue.messages_resident * size_of::<Entry>() as u64);
        fields.add("head_message_timestamp", || queue.head_timestamp_s);
        if queue.active_unix_ms > 0 {
            fields.add("idle_since", || json!(moment(queue.active_unix_ms)));
        }
    }

    fn add_rates(&self, fields: &mut Fields<'_, impl Put>, vhost: &Arc<str>, queue: &QueueReport) {
        let QueueReport { messages_ready, messages_unacknowledged, counts, .. } = queue;
        let wanted = fields.wanted();
        // Made together, as seldom as only one of them is asked for.
        let lengths = LENGTHS.iter().any(|name| wanted.has(&[name]));
        let stats = wanted.has(&["message_stats"]);
        if !lengths && !stats {
            return;
        }
        let object = Object::Queue(Arc::clone(vhost), queue.name.as_str().into());
        self.management.series(object, wanted, |series| {
            if lengths {
                self.spans.add_lengths(fields.row(), *messages_ready, *messages_unacknowledged, series);
            }
            if stats {
                fields.row().put_object("message_stats", |stats| {
                    self.spans.add_message_stats(stats, counts, MessageCounts::QUEUE, series, wanted);
                });
            }
        });
    }

    async fn add_consumers(&self, vhost: &Arc<str>, names: Vec<Arc<str>>, rows: &mut [Option<Row>]) {
        let look = Look::Consumers(names.clone());
        let Some(Seen::Consumers(consumers)) = self.management.broker.look(vhost, look).await else {
            return;
        };
        for (name, fields) in names.iter().zip(rows) {
            let Some(fields) = fields else { continue };
            let of_this = consumers.iter().filter(|consumer| *consumer.queue == **name);
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

/// A number of a queue that changes all the time, by which people sort.
struct Figure {
    number: Box<dyn Fn(&Sample) -> u64 + Send + Sync>,
    /// Not the number itself but how fast it grows.
    is_rate: bool,
}

impl Figure {
    /// The one that this path leads to; `None` if it leads elsewhere.
    fn at(path: &[String]) -> Option<Self> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let (path, is_rate) = match path.as_slice() {
            [path @ .., "rate"] => (path, true),
            path => (path, false),
        };
        let (name, above) = path.split_last()?;
        let name = if is_rate { name.strip_suffix("_details")? } else { name };
        let number: Box<dyn Fn(&Sample) -> u64 + Send + Sync> = match (above, name) {
            ([], "messages") => Box::new(|sample| sample.ready + sample.unacked),
            ([], "messages_ready") => Box::new(|sample| sample.ready),
            ([], "messages_unacknowledged") => Box::new(|sample| sample.unacked),
            (["message_stats"], name) => {
                let (_, count) = MessageCounts::QUEUE.iter().find(|(one, _)| *one == name)?;
                Box::new(move |sample| count(&sample.counts))
            }
            _ => return None,
        };
        Some(Self { number, is_rate })
    }

    fn of(&self, management: &Management, place: &Place, sample: &Sample) -> Value {
        if self.is_rate {
            let object = Object::Queue(Arc::clone(&place.0), Arc::clone(&place.1));
            return management.history.peek(&object, |series| json!(series.rate(&self.number)));
        }
        json!((self.number)(sample))
    }
}

impl Source for Queues {
    type Key = Place;

    async fn texts(&self, keys: &[Place], wanted: &Wanted) -> Vec<Vec<u8>> {
        if self.is_detailed || !wanted.is_all() {
            return self.texts_of_rows(keys, wanted).await;
        }
        let mut texts = Vec::with_capacity(keys.len());
        for (vhost, names) in by_vhost(keys) {
            let seen = self.management.broker.look(vhost, Look::Queues(names)).await;
            let Some(Seen::Queues(queues)) = seen else { continue };
            let text = |queue: &QueueReport| self.fill(Text::new(), vhost, queue, wanted).finish();
            texts.extend(queues.iter().flatten().map(text));
        }
        texts
    }

    async fn fields(&self, keys: &[Place], path: &[String]) -> Vec<Option<Value>> {
        let figure = Figure::at(path).filter(|_| !self.without_stats);
        let Some(figure) = figure else { return self.fields_of_rows(keys, path).await };
        let mut all = Vec::with_capacity(keys.len());
        for (vhost, queues) in by_vhost(keys) {
            let look = Look::Counts { queues: queues.clone(), exchanges: vec![], channels: Some(vec![]) };
            let Some(Seen::Counts { queues: counts, .. }) = self.management.broker.look(vhost, look).await
            else {
                all.resize(all.len() + queues.len(), None);
                continue;
            };
            all.extend(queues.into_iter().zip(counts).map(|(name, counts)| {
                let (counts, ready, unacked) = counts?;
                let sample = Sample { counts, ready, unacked, ..Sample::default() };
                Some(figure.of(&self.management, &(Arc::clone(vhost), name), &sample))
            }));
        }
        all
    }

    fn name<'a>(&'a self, (_, name): &'a Place) -> &'a str {
        name
    }

    async fn rows(&self, keys: &[Place], wanted: &Wanted) -> Vec<Option<Row>> {
        let mut all = Vec::with_capacity(keys.len());
        for (vhost, names) in by_vhost(keys) {
            let count = names.len();
            let look = Look::Queues(names.clone());
            let Some(Seen::Queues(queues)) = self.management.broker.look(vhost, look).await else {
                all.resize(all.len() + count, None);
                continue;
            };
            let row =
                |queue: &Option<QueueReport>| Some(self.fill(Row::new(), vhost, queue.as_ref()?, wanted));
            let mut rows: Vec<Option<Row>> = queues.iter().map(row).collect();
            if self.is_detailed && !self.without_stats && wanted.is_shown() {
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
