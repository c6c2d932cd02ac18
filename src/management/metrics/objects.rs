//! The families with a sample for each object, in the groups in which `/metrics/detailed` is asked for them.

use super::counters::{DELIVERED, OfCounts, PUBLISHED, PUBLISHED_OF_QUEUES};
use super::output::Output;
use super::text::Kind::{self, Counter, Gauge};
use crate::connection::ConnectionReport;
use crate::limits::HTTP_ROWS_PER_CHUNK;
use crate::server::{Broker, Listed};
use crate::vhost::command::ConnectionId;
use crate::vhost::report::{ChannelReport, ExchangeReport, QueueReport};
use crate::vhost::views::{Look, Seen as Part};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Families that are asked for together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// How many messages each queue has.
    QueueCoarse,
    /// What else there is to say of each queue.
    Queue,
    /// How many consumers each queue has, which [`Self::Queue`] says as well.
    QueueConsumers,
    /// What was delivered from each queue.
    QueueDelivered,
    /// What was published to each queue.
    QueuePublished,
    /// Each channel.
    Channel,
    /// What was published on each channel.
    ChannelPublished,
    /// What was delivered on each channel.
    ChannelDelivered,
    /// How many bytes went over each connection.
    ConnectionCoarse,
    /// What else there is to say of each connection.
    Connection,
    /// Each vhost.
    Vhost,
    /// The names of exchanges.
    ExchangeNames,
    /// How many bindings lead from each exchange.
    ExchangeBindings,
}

impl Group {
    /// All, in the order of the page.
    const ALL: [Self; 13] = [
        Self::QueueCoarse,
        Self::Queue,
        Self::QueueConsumers,
        Self::QueueDelivered,
        Self::QueuePublished,
        Self::Channel,
        Self::ChannelPublished,
        Self::ChannelDelivered,
        Self::ConnectionCoarse,
        Self::Connection,
        Self::Vhost,
        Self::ExchangeNames,
        Self::ExchangeBindings,
    ];

    /// What a query calls it.
    fn name(self) -> &'static str {
        match self {
            Self::QueueCoarse => "queue_coarse_metrics",
            Self::Queue => "queue_metrics",
            Self::QueueConsumers => "queue_consumer_count",
            Self::QueueDelivered => "queue_delivery_metrics",
            Self::QueuePublished => "channel_queue_exchange_metrics",
            Self::Channel => "channel_metrics",
            Self::ChannelPublished => "channel_exchange_metrics",
            Self::ChannelDelivered => "channel_queue_metrics",
            Self::ConnectionCoarse => "connection_coarse_metrics",
            Self::Connection => "connection_metrics",
            Self::Vhost => "vhost_status",
            Self::ExchangeNames => "exchange_names",
            Self::ExchangeBindings => "exchange_bindings",
        }
    }

    /// Those of these names, in the order of the page, and no family in two of them; all, if no names are given.
    pub(super) fn chosen(names: Option<&[String]>) -> Vec<Self> {
        let mut groups = Self::ALL.to_vec();
        if let Some(names) = names {
            groups.retain(|group| names.iter().any(|name| name == group.name()));
        }
        if groups.contains(&Self::Queue) {
            groups.retain(|group| *group != Self::QueueConsumers);
        }
        groups
    }
}

/// All there is to see.
pub(super) struct Seen {
    vhosts: Vec<SeenVhost>,
    connections: BTreeMap<ConnectionId, ConnectionReport>,
}

/// What is shown of a vhost.
struct SeenVhost {
    name: Arc<str>,
    queues: Vec<SeenQueue>,
    exchanges: Vec<SeenExchange>,
    channels: Vec<ChannelReport>,
}

/// A queue, with a number for each family.
struct SeenQueue {
    /// That of the queue itself: there may be a hundred thousand.
    name: Arc<str>,
    numbers: [u64; OF_QUEUES.len()],
    published: [u64; PUBLISHED_OF_QUEUES.len()],
    delivered: [u64; DELIVERED.len()],
}

struct SeenExchange {
    name: String,
    kind: String,
    binding_count: u64,
}

/// Looks at these vhosts, or at all if none is named. A vhost is asked for a few queues at a time and serves its clients
/// in between, so the numbers of one page are not those of one moment.
pub(super) async fn look(broker: &Broker, named: &[String]) -> Seen {
    let mut vhosts = Vec::new();
    for name in broker.vhost_names() {
        if named.is_empty() || named.iter().any(|asked| **asked == *name) {
            vhosts.push(look_at(broker, name).await);
        }
    }
    let connections = broker.connection_reports().await.into_iter();
    let is_there = |connection: &ConnectionReport| {
        let vhost = connection.vhost.as_deref();
        named.is_empty() || named.iter().any(|asked| Some(asked.as_str()) == vhost)
    };
    let connections = connections.filter(is_there).map(|connection| (connection.id, connection)).collect();
    Seen { vhosts, connections }
}

async fn look_at(broker: &Broker, vhost: Arc<str>) -> SeenVhost {
    let mut queues = Vec::new();
    for names in broker.names(&vhost, Listed::Queues).await.unwrap_or_default().chunks(HTTP_ROWS_PER_CHUNK) {
        if let Some(Part::Queues(part)) = broker.look(&vhost, Look::Queues(names.to_vec())).await {
            let there = names.iter().zip(part).filter_map(|(name, queue)| Some((name, queue?)));
            queues.extend(there.map(|(name, queue)| SeenQueue {
                name: Arc::clone(name),
                numbers: OF_QUEUES.map(|(_, _, of)| of(&queue)),
                published: PUBLISHED_OF_QUEUES.map(|(_, _, of)| of(&queue.counts)),
                delivered: DELIVERED.map(|(_, _, of)| of(&queue.counts)),
            }));
        }
    }
    let mut exchanges = Vec::new();
    for names in broker.names(&vhost, Listed::Exchanges).await.unwrap_or_default().chunks(HTTP_ROWS_PER_CHUNK)
    {
        let Some(Part::Exchanges(part)) = broker.look(&vhost, Look::Exchanges(names.to_vec())).await else {
            continue;
        };
        exchanges.extend(part.into_iter().flatten().map(
            |ExchangeReport { name, kind, binding_count, .. }| {
                // Each queue is bound to the default exchange.
                let binding_count = if name.is_empty() { queues.len() as u64 } else { binding_count };
                SeenExchange { name, kind, binding_count }
            },
        ));
    }
    let channels = match broker.look(&vhost, Look::Channels).await {
        Some(Part::Channels(channels)) => channels,
        _ => Vec::new(),
    };
    SeenVhost { name: vhost, queues, exchanges, channels }
}

/// Name, help, and the number of a queue.
type OfQueue = (&'static str, &'static str, fn(&QueueReport) -> u64);

/// The coarse ones first.
const OF_QUEUES: [OfQueue; 10] = [
    ("queue_messages_ready", "Messages waiting", |queue| queue.messages_ready),
    ("queue_messages_unacked", "Messages with consumers", |queue| queue.messages_unacknowledged),
    ("queue_messages", "Messages waiting or with consumers", messages),
    ("queue_consumers", "Consumers", |queue| queue.consumers),
    ("queue_messages_ram", "Messages in memory", |queue| queue.messages_resident),
    ("queue_messages_paged_out", "Messages on disk only", |queue| {
        messages(queue).saturating_sub(queue.messages_resident)
    }),
    ("queue_messages_ready_bytes", "Bodies of messages waiting", |queue| queue.bytes_ready),
    ("queue_messages_unacked_bytes", "Bodies of messages with consumers", |queue| queue.bytes_unacknowledged),
    ("queue_messages_bytes", "Bodies of messages waiting or with consumers", |queue| {
        queue.bytes_ready + queue.bytes_unacknowledged
    }),
    ("queue_messages_damaged", "Messages set aside as damaged", |queue| queue.messages_damaged),
];

const COARSE: Range<usize> = 0..3;
const FINE: Range<usize> = 3..OF_QUEUES.len();
/// In [`FINE`].
const CONSUMERS: Range<usize> = 3..4;

/// The same of a channel.
type OfChannel = (&'static str, &'static str, fn(&ChannelReport) -> u64);

const OF_CHANNELS: [OfChannel; 6] = [
    ("channel_consumers", "Consumers", |channel| channel.consumer_count),
    ("channel_messages_unacked", "Messages with its consumers", |channel| channel.messages_unacknowledged),
    ("channel_messages_unconfirmed", "Publishes not yet confirmed", |channel| channel.messages_unconfirmed),
    ("channel_messages_uncommitted", "Publishes in its transaction", |channel| channel.messages_uncommitted),
    ("consumer_prefetch", "Prefetch of its next consumers", |channel| channel.prefetch_count.into()),
    ("channel_prefetch", "Prefetch of all its consumers", |channel| channel.global_prefetch_count.into()),
];

/// The same of a connection, with its kind.
type OfConnection = (&'static str, &'static str, Kind, fn(&ConnectionReport) -> u64);

const OF_CONNECTIONS: [OfConnection; 5] = [
    ("connection_incoming_bytes_total", "Bytes received", Counter, |one| one.traffic.received_bytes),
    ("connection_outgoing_bytes_total", "Bytes sent", Counter, |one| one.traffic.sent_bytes),
    ("connection_incoming_packets_total", "Reads that brought some", Counter, |one| {
        one.traffic.received_count
    }),
    ("connection_outgoing_packets_total", "Writes that took some", Counter, |one| one.traffic.sent_count),
    ("connection_channels", "Open channels", Gauge, |one| one.channels.len() as u64),
];

const BYTES: Range<usize> = 0..2;
const REST: Range<usize> = 2..OF_CONNECTIONS.len();

fn messages(queue: &QueueReport) -> u64 {
    queue.messages_ready + queue.messages_unacknowledged
}

/// Adds the families of a group.
pub(super) async fn show(out: &mut Output, group: Group, seen: &Seen) {
    match group {
        Group::QueueCoarse => queues(out, COARSE, seen).await,
        Group::Queue => queues(out, FINE, seen).await,
        Group::QueueConsumers => queues(out, CONSUMERS, seen).await,
        Group::QueueDelivered => queues_counted(out, &DELIVERED, seen, |queue| &queue.delivered).await,
        Group::QueuePublished => {
            queues_counted(out, &PUBLISHED_OF_QUEUES, seen, |queue| &queue.published).await;
        }
        Group::Channel => {
            for (name, help, of) in OF_CHANNELS {
                out.page().theirs(name, Gauge, help);
                channels(out, seen, of).await;
            }
        }
        Group::ChannelPublished => channels_counted(out, &PUBLISHED, seen).await,
        Group::ChannelDelivered => channels_counted(out, &DELIVERED, seen).await,
        Group::ConnectionCoarse => connections(out, BYTES, seen).await,
        Group::Connection => connections(out, REST, seen).await,
        Group::Vhost => {
            out.page().cluster("vhost_status", "1 while the vhost runs");
            out.samples(seen.vhosts.iter(), |family, vhost| family.sample(&[("vhost", &vhost.name)], 1))
                .await;
        }
        Group::ExchangeNames => {
            out.page().cluster("exchange_name", "Exchanges there are");
            exchanges(out, seen, |_| 1).await;
        }
        Group::ExchangeBindings => {
            out.page().cluster("exchange_bindings", "Bindings that lead from an exchange");
            exchanges(out, seen, |exchange| exchange.binding_count).await;
        }
    }
}

/// What each vhost has of something, with the vhost's name.
fn each<'a, T: 'a>(
    seen: &'a Seen,
    of: impl Fn(&SeenVhost) -> &Vec<T>,
) -> impl Iterator<Item = (&'a str, &'a T)> {
    seen.vhosts.iter().flat_map(move |vhost| of(vhost).iter().map(|one| (&*vhost.name, one)))
}

async fn queues(out: &mut Output, families: Range<usize>, seen: &Seen) {
    for (at, (name, help, _)) in OF_QUEUES.iter().enumerate().filter(|(at, _)| families.contains(at)) {
        out.page().theirs(name, Gauge, help);
        out.samples(each(seen, |vhost| &vhost.queues), |family, (vhost, queue)| {
            let number = queue.numbers.get(at).copied().unwrap_or_default();
            family.sample(&[("vhost", vhost), ("queue", &queue.name)], number);
        })
        .await;
    }
}

/// Of a hundred thousand queues few do anything: what never happened is not told, as in RabbitMQ.
async fn queues_counted(
    out: &mut Output,
    families: &[OfCounts],
    seen: &Seen,
    of: impl Fn(&SeenQueue) -> &[u64],
) {
    for (at, (name, help, _)) in families.iter().enumerate() {
        out.page().theirs(&format!("queue_{name}"), Counter, help);
        out.samples(each(seen, |vhost| &vhost.queues), |family, (vhost, queue)| {
            let number = of(queue).get(at).copied().unwrap_or_default();
            if number > 0 {
                family.sample(&[("vhost", vhost), ("queue", &queue.name)], number);
            }
        })
        .await;
    }
}

/// Sums over all exchanges or queues: a channel counts no others, so their names are no labels.
async fn channels_counted(out: &mut Output, families: &[OfCounts], seen: &Seen) {
    for (name, help, of) in families {
        out.page().theirs(&format!("channel_{name}"), Counter, help);
        channels(out, seen, |channel| of(&channel.counts)).await;
    }
}

async fn channels(out: &mut Output, seen: &Seen, of: impl Fn(&ChannelReport) -> u64) {
    out.samples(each(seen, |vhost| &vhost.channels), |family, (_, channel)| {
        let connection = seen.connections.get(&channel.connection);
        let name = connection.map(crate::cli::rows::connection_name).unwrap_or_default();
        family.sample(&[("channel", &format!("{name} ({})", channel.number))], of(channel));
    })
    .await;
}

async fn connections(out: &mut Output, families: Range<usize>, seen: &Seen) {
    for (name, help, kind, of) in OF_CONNECTIONS.get(families).unwrap_or_default() {
        out.page().theirs(name, *kind, help);
        out.samples(seen.connections.values(), |family, connection| {
            let name = crate::cli::rows::connection_name(connection);
            family.sample(&[("connection", &name)], of(connection));
        })
        .await;
    }
}

async fn exchanges(out: &mut Output, seen: &Seen, of: impl Fn(&SeenExchange) -> u64) {
    out.samples(each(seen, |vhost| &vhost.exchanges), |family, (vhost, exchange)| {
        let labels = [("vhost", vhost), ("exchange", &*exchange.name), ("type", &*exchange.kind)];
        family.sample(&labels, of(exchange));
    })
    .await;
}
