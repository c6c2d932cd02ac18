//! The families with a sample for each object, in the groups in which `/metrics/detailed` is asked for them.

use super::text::{Kind, Page};
use crate::connection::ConnectionReport;
use crate::limits::HTTP_ROWS_PER_CHUNK;
use crate::server::{Broker, Listed};
use crate::vhost::report::{ChannelReport, ExchangeReport, QueueReport};
use crate::vhost::views::{Look, Seen as Part};
use std::collections::HashMap;
use std::sync::Arc;

/// Families that are asked for together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// How many messages each queue has.
    QueueCoarse,
    /// What else there is to say of each queue.
    Queue,
    /// Each channel.
    Channel,
    /// Each connection.
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
    pub(super) const ALL: [Self; 7] = [
        Self::QueueCoarse,
        Self::Queue,
        Self::Channel,
        Self::Connection,
        Self::Vhost,
        Self::ExchangeNames,
        Self::ExchangeBindings,
    ];

    /// What a query calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::QueueCoarse => "queue_coarse_metrics",
            Self::Queue => "queue_metrics",
            Self::Channel => "channel_metrics",
            Self::Connection => "connection_metrics",
            Self::Vhost => "vhost_status",
            Self::ExchangeNames => "exchange_names",
            Self::ExchangeBindings => "exchange_bindings",
        }
    }
}

/// All there is to see.
pub(super) struct Seen {
    vhosts: Vec<SeenVhost>,
    connections: Vec<ConnectionReport>,
}

/// What is shown of a vhost.
struct SeenVhost {
    name: Arc<str>,
    queues: Vec<QueueReport>,
    /// Each with the number of bindings that lead from it.
    exchanges: Vec<(ExchangeReport, u64)>,
    channels: Vec<ChannelReport>,
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
    let mut connections = broker.connection_reports().await;
    connections.retain(|connection| {
        let vhost = connection.vhost.as_deref();
        named.is_empty() || named.iter().any(|asked| Some(asked.as_str()) == vhost)
    });
    Seen { vhosts, connections }
}

async fn look_at(broker: &Broker, vhost: Arc<str>) -> SeenVhost {
    let mut queues = Vec::new();
    for names in broker.names(&vhost, Listed::Queues).await.unwrap_or_default().chunks(HTTP_ROWS_PER_CHUNK) {
        if let Some(Part::Queues(part)) = broker.look(&vhost, Look::Queues(names.to_vec())).await {
            queues.extend(part.into_iter().flatten());
        }
    }
    let mut exchanges = Vec::new();
    for names in broker.names(&vhost, Listed::Exchanges).await.unwrap_or_default().chunks(HTTP_ROWS_PER_CHUNK)
    {
        let Some(Part::Exchanges(part)) = broker.look(&vhost, Look::Exchanges(names.to_vec())).await else {
            continue;
        };
        for exchange in part.into_iter().flatten() {
            // Each queue is bound to the default exchange.
            let bindings =
                if exchange.name.is_empty() { queues.len() as u64 } else { exchange.binding_count };
            exchanges.push((exchange, bindings));
        }
    }
    let channels = match broker.look(&vhost, Look::Channels).await {
        Some(Part::Channels(channels)) => channels,
        _ => Vec::new(),
    };
    SeenVhost { name: vhost, queues, exchanges, channels }
}

/// Name, help, and the number of a queue.
type OfQueue = (&'static str, &'static str, fn(&QueueReport) -> u64);

const COARSE: [OfQueue; 3] = [
    ("queue_messages_ready", "Messages waiting", |queue| queue.messages_ready),
    ("queue_messages_unacked", "Messages with consumers", |queue| queue.messages_unacknowledged),
    ("queue_messages", "Messages waiting or with consumers", messages),
];

const FINE: [OfQueue; 7] = [
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

fn messages(queue: &QueueReport) -> u64 {
    queue.messages_ready + queue.messages_unacknowledged
}

/// Adds the families of a group.
pub(super) fn show(page: &mut Page, group: Group, seen: &Seen) {
    match group {
        Group::QueueCoarse => queues(page, &COARSE, seen),
        Group::Queue => queues(page, &FINE, seen),
        Group::Channel => channels(page, seen),
        Group::Connection => {
            let mut family = page.theirs("connection_channels", Kind::Gauge, "Open channels");
            for connection in &seen.connections {
                let name = crate::cli::rows::connection_name(connection);
                family.sample(&[("connection", &name)], connection.channels.len());
            }
        }
        Group::Vhost => {
            let mut family = page.cluster("vhost_status", "1 while the vhost runs");
            seen.vhosts.iter().for_each(|vhost| family.sample(&[("vhost", &vhost.name)], 1));
        }
        Group::ExchangeNames => {
            let mut family = page.cluster("exchange_name", "Exchanges there are");
            for (vhost, (exchange, _)) in each(seen, |vhost| &vhost.exchanges) {
                let labels = [("vhost", vhost), ("exchange", &exchange.name), ("type", &exchange.kind)];
                family.sample(&labels, 1);
            }
        }
        Group::ExchangeBindings => bindings(page, seen),
    }
}

/// What each vhost has of something, with the vhost's name.
fn each<'a, T: 'a>(
    seen: &'a Seen,
    of: impl Fn(&SeenVhost) -> &Vec<T>,
) -> impl Iterator<Item = (&'a str, &'a T)> {
    seen.vhosts.iter().flat_map(move |vhost| of(vhost).iter().map(|one| (&*vhost.name, one)))
}

fn queues(page: &mut Page, families: &[OfQueue], seen: &Seen) {
    for (name, help, of) in families {
        let mut family = page.theirs(name, Kind::Gauge, help);
        for (vhost, queue) in each(seen, |vhost| &vhost.queues) {
            family.sample(&[("vhost", vhost), ("queue", &queue.name)], of(queue));
        }
    }
}

fn channels(page: &mut Page, seen: &Seen) {
    let names: HashMap<_, _> = seen
        .connections
        .iter()
        .map(|connection| (connection.id, crate::cli::rows::connection_name(connection)))
        .collect();
    let channels: Vec<_> = each(seen, |vhost| &vhost.channels)
        .map(|(_, channel)| {
            let connection = names.get(&channel.connection).map_or("", String::as_str);
            (format!("{connection} ({})", channel.number), channel)
        })
        .collect();
    for (name, help, of) in OF_CHANNELS {
        let mut family = page.theirs(name, Kind::Gauge, help);
        channels.iter().for_each(|(name, channel)| family.sample(&[("channel", name)], of(channel)));
    }
}

fn bindings(page: &mut Page, seen: &Seen) {
    let mut family = page.cluster("exchange_bindings", "Bindings that lead from an exchange");
    for (vhost, (exchange, count)) in each(seen, |vhost| &vhost.exchanges) {
        let labels = [("vhost", vhost), ("exchange", &*exchange.name), ("type", &*exchange.kind)];
        family.sample(&labels, count);
    }
}
