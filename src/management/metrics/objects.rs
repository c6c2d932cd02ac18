//! The families with a sample for each object, in the groups in which `/metrics/detailed` is asked for them.

use super::text::{Kind, Page};
use crate::connection::ConnectionReport;
use crate::server::Broker;
use crate::vhost::report::{ChannelReport, QueueReport, VhostReport};
use std::collections::{BTreeMap, HashMap};

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

/// All there is to see at one moment.
pub(super) struct Seen {
    vhosts: Vec<VhostReport>,
    connections: Vec<ConnectionReport>,
}

/// Looks at these vhosts, or at all if none is named.
pub(super) async fn look(broker: &Broker, vhosts: &[String]) -> Seen {
    let (reports, mut connections) = (broker.vhost_reports(vhosts).await, broker.connection_reports().await);
    connections.retain(|connection| {
        let vhost = connection.vhost.as_deref();
        vhosts.is_empty() || vhosts.iter().any(|asked| Some(asked.as_str()) == vhost)
    });
    Seen { vhosts: reports, connections }
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
            for (vhost, exchange) in each(seen, |vhost| &vhost.exchanges) {
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
    of: impl Fn(&VhostReport) -> &Vec<T>,
) -> impl Iterator<Item = (&'a str, &'a T)> {
    seen.vhosts.iter().flat_map(move |vhost| of(vhost).iter().map(|one| (vhost.name.as_str(), one)))
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
    for vhost in &seen.vhosts {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        vhost.exchanges.iter().for_each(|exchange| *counts.entry(&exchange.name).or_default() += 0);
        vhost.bindings.iter().for_each(|binding| *counts.entry(&binding.source).or_default() += 1);
        for exchange in &vhost.exchanges {
            let count = counts.get(exchange.name.as_str()).copied().unwrap_or_default();
            let labels = [("vhost", &*vhost.name), ("exchange", &*exchange.name), ("type", &*exchange.kind)];
            family.sample(&labels, count);
        }
    }
}
