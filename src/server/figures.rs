//! Figures for somebody who watches: sums of the vhosts, the process, the log, and the queues that matter most. Vhosts are asked for
//! counts alone, in pieces, so that watching costs little.

use super::broker::Broker;
use super::survey::Listed;
use crate::cli::figures::{Figures, Passed, QueueFigures};
use crate::limits::{FIGURES_QUEUES_MAX, HTTP_ROWS_PER_CHUNK};
use crate::vhost::counts::MessageCounts;
use crate::vhost::figures::VhostFigures;
use crate::vhost::views::{Look, Seen};
use std::cmp::Reverse;

/// How the broker stands now.
pub(super) async fn now(broker: &Broker) -> Figures {
    let (mut sums, mut queues) = (VhostFigures::default(), Vec::new());
    for vhost in broker.vhost_names() {
        if let Some(here) = broker.sums(&vhost).await {
            sums.add(&here);
        }
        queues.extend(queues_of(broker, &vhost).await);
        keep_largest(&mut queues);
    }
    let node = broker.node_figures();
    let store = node.store.as_ref();
    Figures {
        product: broker.config.product.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster_name: broker.cluster_name(),
        uptime_ms: broker.now_ms(),
        alarms: broker.alarms().iter().map(|alarm| (*alarm).to_owned()).collect(),
        connections: node.connections,
        connections_opened: node.connections_opened,
        channels: sums.channels,
        consumers: sums.consumers,
        queue_count: sums.queues,
        ready: sums.messages_ready,
        unacked: sums.messages_unacknowledged,
        unconfirmed: sums.messages_unconfirmed,
        passed: passed(&sums.counts),
        memory_bytes: node.resident_bytes,
        memory_high_bytes: node.memory_high_bytes,
        disk_free_bytes: store.map_or(0, |store| store.free_bytes),
        disk_low_bytes: node.disk_low_bytes,
        wal_segments: store.map_or(0, |store| store.segment_count),
        wal_bytes: store.map_or(0, |store| store.segment_bytes),
        wal_staged_bytes: store.map_or(0, |store| store.staged_bytes),
        sync_classes: store.map_or_else(Vec::new, |store| store.sync_times.classes().collect()),
        queues,
    }
}

async fn queues_of(broker: &Broker, vhost: &str) -> Vec<QueueFigures> {
    let names = broker.names(vhost, Listed::Queues).await.unwrap_or_default();
    let mut queues = Vec::new();
    for names in names.chunks(HTTP_ROWS_PER_CHUNK) {
        let look = Look::Counts { queues: names.to_vec(), exchanges: vec![], channels: Some(vec![]) };
        let Some(Seen::Counts { queues: counts, .. }) = broker.look(vhost, look).await else { continue };
        queues.extend(names.iter().zip(counts).filter_map(|(name, counts)| {
            let (counts, ready, unacked) = counts?;
            let (vhost, name) = (vhost.to_owned(), name.to_string());
            Some(QueueFigures { vhost, name, ready, unacked, passed: passed(&counts) })
        }));
        keep_largest(&mut queues);
    }
    queues
}

/// Those with most messages stay, and of empty ones those that much went through.
fn keep_largest(queues: &mut Vec<QueueFigures>) {
    if queues.len() > FIGURES_QUEUES_MAX {
        queues.sort_by_key(|queue| Reverse((queue.ready + queue.unacked, queue.passed.publish)));
        queues.truncate(FIGURES_QUEUES_MAX);
    }
}

fn passed(counts: &MessageCounts) -> Passed {
    Passed {
        publish: counts.publish,
        confirm: counts.confirm,
        deliver: counts.deliver_get(),
        ack: counts.ack,
    }
}
