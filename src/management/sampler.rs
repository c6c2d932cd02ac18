//! Asks the broker every few seconds for what the history keeps. While queues and exchanges are few, all of them; else
//! those that somebody looked at. No object is ever woken for it: vhosts answer between two batches, and what sockets
//! carried is read where their tasks write it.

use super::Management;
use super::history::{NodeSample, Object, Sample};
use crate::limits::{HISTORY_ALWAYS_MAX, HISTORY_SAMPLE_MS, HTTP_ROWS_PER_CHUNK};
use crate::server::Listed;
use crate::vhost::command::ConnectionId;
use crate::vhost::figures::VhostFigures;
use crate::vhost::views::{Look, Seen};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// What of a vhost is to be asked.
#[derive(Default)]
struct Wanted {
    queues: BTreeSet<Arc<str>>,
    exchanges: BTreeSet<Arc<str>>,
    channels: BTreeSet<(ConnectionId, u16)>,
}

/// Takes samples until the task is dropped.
pub(super) async fn run(management: Arc<Management>) {
    let mut ticks = interval(Duration::from_millis(HISTORY_SAMPLE_MS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        take(&management).await;
    }
}

async fn take(management: &Management) {
    let Management { broker, history, .. } = management;
    let mut samples = Vec::new();
    let mut vhosts = BTreeMap::new();
    for name in broker.vhost_names() {
        if let Some(sums) = broker.sums(&name).await {
            vhosts.insert(name, sums);
        }
    }
    let mut wanted = wanted(management, &vhosts).await;
    let connections = broker.acquaintances();
    let all_connections = connections.len() <= HISTORY_ALWAYS_MAX;
    let watched: BTreeSet<ConnectionId> = history
        .watched()
        .into_iter()
        .filter_map(|object| if let Object::Connection(id) = object { Some(id) } else { None })
        .collect();
    let mut whole = Sample::default();
    let mut carried: BTreeMap<Arc<str>, (u64, u64)> = BTreeMap::new();
    for one in &connections {
        let here = carried.entry(Arc::clone(&one.vhost)).or_default();
        here.0 += one.traffic.received_bytes;
        here.1 += one.traffic.sent_bytes;
        whole.received_bytes += one.traffic.received_bytes;
        whole.sent_bytes += one.traffic.sent_bytes;
        if all_connections || watched.contains(&one.id) {
            let (received_bytes, sent_bytes) = (one.traffic.received_bytes, one.traffic.sent_bytes);
            samples.push((
                Object::Connection(one.id),
                Sample { received_bytes, sent_bytes, ..Sample::default() },
            ));
        }
    }
    let mut all = VhostFigures::default();
    for (name, sums) in &vhosts {
        all.add(sums);
        let (received_bytes, sent_bytes) = carried.get(name).copied().unwrap_or_default();
        let sample = Sample { received_bytes, sent_bytes, ..sample_of(sums) };
        samples.push((Object::Vhost(Arc::clone(name)), sample));
        let wanted = wanted.remove(name).unwrap_or_default();
        let all_channels = sums.channels <= HISTORY_ALWAYS_MAX as u64;
        samples.extend(objects_of(management, name, wanted, all_channels).await);
    }
    whole.node = management.node_sample(&all);
    samples.push((Object::Broker, Sample { node: whole.node, ..merge(whole, &all) }));
    history.add(broker.unix_ms(), broker.now_ms(), samples);
    history.keep_vhosts(|name| vhosts.contains_key(name));
}

fn sample_of(sums: &VhostFigures) -> Sample {
    let VhostFigures { counts, messages_ready, messages_unacknowledged, .. } = *sums;
    Sample { counts, ready: messages_ready, unacked: messages_unacknowledged, ..Sample::default() }
}

fn merge(whole: Sample, all: &VhostFigures) -> Sample {
    let Sample { received_bytes, sent_bytes, .. } = whole;
    Sample { received_bytes, sent_bytes, ..sample_of(all) }
}

/// By vhost: everything while it is little, else what is watched.
async fn wanted(
    management: &Management,
    vhosts: &BTreeMap<Arc<str>, VhostFigures>,
) -> BTreeMap<Arc<str>, Wanted> {
    let mut wanted: BTreeMap<Arc<str>, Wanted> = BTreeMap::new();
    let objects: u64 = vhosts.values().map(|sums| sums.queues + sums.exchanges).sum();
    if objects <= HISTORY_ALWAYS_MAX as u64 {
        let broker = &management.broker;
        for name in vhosts.keys() {
            let here = wanted.entry(Arc::clone(name)).or_default();
            here.queues.extend(broker.names(name, Listed::Queues).await.unwrap_or_default());
            here.exchanges.extend(broker.names(name, Listed::Exchanges).await.unwrap_or_default());
        }
    }
    let connections: BTreeMap<ConnectionId, Arc<str>> =
        management.broker.acquaintances().into_iter().map(|one| (one.id, one.vhost)).collect();
    for object in management.history.watched() {
        match object {
            Object::Queue(vhost, name) => {
                wanted.entry(vhost).or_default().queues.insert(name);
            }
            Object::Exchange(vhost, name) => {
                wanted.entry(vhost).or_default().exchanges.insert(name);
            }
            Object::Channel(connection, number) => {
                if let Some(vhost) = connections.get(&connection) {
                    wanted.entry(Arc::clone(vhost)).or_default().channels.insert((connection, number));
                }
            }
            Object::Broker | Object::Vhost(_) | Object::Connection(_) => {}
        }
    }
    wanted
}

async fn objects_of(
    management: &Management,
    vhost: &Arc<str>,
    wanted: Wanted,
    all_channels: bool,
) -> Vec<(Object, Sample)> {
    let mut samples = Vec::new();
    let queues: Vec<_> = wanted.queues.into_iter().collect();
    let exchanges: Vec<_> = wanted.exchanges.into_iter().collect();
    let chunks = |names: &[Arc<str>]| -> Vec<Vec<Arc<str>>> {
        names.chunks(HTTP_ROWS_PER_CHUNK).map(<[Arc<str>]>::to_vec).collect()
    };
    let mut looks = Vec::new();
    for queues in chunks(&queues) {
        looks.push((queues, Vec::new(), Some(Vec::new())));
    }
    for exchanges in chunks(&exchanges) {
        looks.push((Vec::new(), exchanges, Some(Vec::new())));
    }
    let channels = (!all_channels).then(|| wanted.channels.into_iter().collect());
    looks.push((Vec::new(), Vec::new(), channels));
    for (queues, exchanges, channels) in looks {
        let look = Look::Counts { queues: queues.clone(), exchanges: exchanges.clone(), channels };
        let Some(Seen::Counts { queues: of_queues, exchanges: of_exchanges, channels }) =
            management.broker.look(vhost, look).await
        else {
            continue;
        };
        for (name, seen) in queues.into_iter().zip(of_queues) {
            let Some((counts, ready, unacked)) = seen else { continue };
            let sample = Sample { counts, ready, unacked, ..Sample::default() };
            samples.push((Object::Queue(Arc::clone(vhost), name), sample));
        }
        for (name, seen) in exchanges.into_iter().zip(of_exchanges) {
            let Some(counts) = seen else { continue };
            samples.push((Object::Exchange(Arc::clone(vhost), name), Sample { counts, ..Sample::default() }));
        }
        samples.extend(channels.into_iter().map(|((connection, number), counts)| {
            (Object::Channel(connection, number), Sample { counts, ..Sample::default() })
        }));
    }
    samples
}

impl Management {
    fn node_sample(&self, all: &VhostFigures) -> NodeSample {
        let node = self.broker.node_figures();
        let totals = &all.totals;
        NodeSample {
            memory_bytes: node.resident_bytes,
            files: node.open_files,
            sockets: node.connections,
            disk_free_bytes: node.store.map_or(0, |store| store.free_bytes),
            syncs: node.store.map_or(0, |store| store.sync_times.counts.iter().sum()),
            connections_created: node.connections_opened,
            connections_closed: node.connections_opened.saturating_sub(node.connections),
            channels_created: totals.channels_opened_count,
            channels_closed: totals.channels_opened_count.saturating_sub(all.channels),
            queues_declared: totals.queues_declared_count,
            queues_created: totals.queues_created_count,
            queues_deleted: totals.queues_deleted_count,
        }
    }
}
