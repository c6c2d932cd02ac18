//! The families of sums over all queues, channels and connections, and of what messages did since the start.

use super::counters::{DELIVERED, OfCounts, PUBLISHED, PUBLISHED_OF_QUEUES};
use super::text::{Kind, Page};
use crate::queue::QueueKind;
use crate::server::BrokerMetrics;
use crate::vhost::counts::MessageCounts;
use crate::vhost::figures::VhostFigures;
use crate::vhost::sizes::MESSAGE_SIZE_ENDS;

/// The label of all that came over AMQP 0-9-1.
const PROTOCOL: (&str, &str) = ("protocol", "amqp091");

/// Sums in place of the samples that [`super::objects`] shows one by one.
pub(super) fn objects(page: &mut Page, metrics: &BrokerMetrics) {
    let figures = &metrics.figures;
    let messages = figures.messages_ready + figures.messages_unacknowledged;
    let bytes = figures.bytes_ready + figures.bytes_unacknowledged;
    let gauges = [
        ("queue_messages_ready", "Messages waiting", figures.messages_ready),
        ("queue_messages_unacked", "Messages with consumers", figures.messages_unacknowledged),
        ("queue_messages", "Messages waiting or with consumers", messages),
        ("queue_messages_ready_bytes", "Bodies of messages waiting", figures.bytes_ready),
        ("queue_messages_unacked_bytes", "Bodies of messages with consumers", figures.bytes_unacknowledged),
        ("queue_messages_bytes", "Bodies of messages waiting or with consumers", bytes),
        ("queue_messages_ram", "Messages in memory", figures.messages_resident),
        (
            "queue_messages_paged_out",
            "Messages on disk only",
            messages.saturating_sub(figures.messages_resident),
        ),
        ("queue_consumers", "Consumers", figures.consumers),
        ("channel_consumers", "Consumers", figures.consumers),
        ("channel_messages_unacked", "Messages with consumers", figures.messages_unacknowledged),
        ("channel_messages_unconfirmed", "Publishes not yet confirmed", figures.messages_unconfirmed),
        ("channel_messages_uncommitted", "Publishes in open transactions", figures.messages_uncommitted),
        ("connection_channels", "Open channels", figures.channels),
    ];
    for (name, help, value) in gauges {
        page.theirs(name, Kind::Gauge, help).value(value);
    }
    let mut of_queues = MessageCounts::default();
    figures.queue_counts.each().into_iter().for_each(|(_, counts)| of_queues += *counts);
    for (name, help, of) in PUBLISHED.iter().chain(&DELIVERED) {
        page.theirs(&format!("channel_{name}"), Kind::Counter, help).value(of(&figures.counts));
    }
    for (name, help, of) in PUBLISHED_OF_QUEUES.iter().chain(&DELIVERED) {
        page.theirs(&format!("queue_{name}"), Kind::Counter, help).value(of(&of_queues));
    }
    page.ours("queue_messages_damaged", Kind::Gauge, "Messages set aside as damaged")
        .value(figures.messages_damaged);
    counts(page, metrics);
}

/// How many of each there are.
pub(super) fn counts(page: &mut Page, metrics: &BrokerMetrics) {
    let figures = &metrics.figures;
    let gauges = [
        ("connections", "Open connections", metrics.connections),
        ("channels", "Open channels", figures.channels),
        ("consumers", "Consumers", figures.consumers),
        ("queues", "Queues", figures.queues),
        ("exchanges", "Exchanges", figures.exchanges),
    ];
    for (name, help, value) in gauges {
        page.theirs(name, Kind::Gauge, help).value(value);
    }
    for (name, help, value) in [
        ("global_publishers", "Channels that published", figures.publishers),
        ("global_consumers", "Consumers", figures.consumers),
    ] {
        page.theirs(name, Kind::Gauge, help).sample(&[PROTOCOL], value);
    }
}

/// What each kind of queues did.
const OF_KINDS: [OfCounts; 8] = [
    ("delivered", "Messages delivered", MessageCounts::deliver_get),
    ("delivered_consume_manual_ack", "Messages delivered to consumers that acknowledge", |counts| {
        counts.deliver
    }),
    ("delivered_consume_auto_ack", "Messages delivered to consumers that do not", |counts| {
        counts.deliver_no_ack
    }),
    ("delivered_get_manual_ack", "Messages got that are to be acknowledged", |counts| counts.get),
    ("delivered_get_auto_ack", "Messages got that are not", |counts| counts.get_no_ack),
    ("get_empty", "Calls of basic.get that found nothing", |counts| counts.get_empty),
    ("redelivered", "Deliveries of what was delivered before", |counts| counts.redeliver),
    ("acknowledged", "Messages acknowledged", |counts| counts.ack),
];

/// The value of RabbitMQ's label `queue_type`: the module that implements it.
fn queue_type(kind: QueueKind) -> &'static str {
    match kind {
        QueueKind::Classic => "rabbit_classic_queue",
        QueueKind::Quorum => "rabbit_quorum_queue",
        QueueKind::Stream => "rabbit_stream_queue",
    }
}

/// What messages did.
pub(super) fn messages(page: &mut Page, figures: &VhostFigures) {
    let (totals, counts) = (&figures.totals, &figures.counts);
    let dropped = totals.unroutable_count.saturating_sub(totals.returned_count);
    let routed = totals.published_count.saturating_sub(totals.unroutable_count);
    let counters = [
        ("received", "Publishes received", totals.published_count),
        ("received_confirm", "Publishes received that are to be confirmed", counts.publish_confirm),
        ("confirmed", "Publishes confirmed", totals.confirmed_count),
        ("routed", "Publishes that a queue took", routed),
        ("unroutable_dropped", "Publishes that no queue took and nobody wanted back", dropped),
        ("unroutable_returned", "Publishes sent back", totals.returned_count),
    ];
    for (name, help, value) in counters {
        let mut family = page.theirs(&format!("global_messages_{name}_total"), Kind::Counter, help);
        family.sample(&[PROTOCOL], value);
    }
    for (name, help, of) in OF_KINDS {
        let mut family = page.theirs(&format!("global_messages_{name}_total"), Kind::Counter, help);
        for (kind, counts) in figures.queue_counts.each() {
            family.sample(&[PROTOCOL, ("queue_type", queue_type(kind))], of(counts));
        }
    }
    let sizes = &figures.sizes;
    page.theirs("message_size_bytes", Kind::Histogram, "Bodies of publishes by size").histogram(
        &[PROTOCOL],
        MESSAGE_SIZE_ENDS.iter().map(u64::to_string),
        &sizes.counts,
        sizes.bytes,
    );
    let ours = [
        ("messages_refused_total", "Publishes refused", totals.refused_count),
        ("messages_requeued_total", "Messages put back", totals.requeued_count),
        ("messages_damaged_total", "Messages set aside as damaged", totals.damaged_count),
        ("messages_rejected_total", "Messages rejected where there are dead letters", totals.rejected_count),
        ("messages_expired_total", "Messages whose time was over", totals.expired_count),
        ("messages_overflowed_total", "Messages that a length limit pushed out", totals.overflowed_count),
        ("messages_undeliverable_total", "Messages that came back too often", totals.undeliverable_count),
    ];
    for (name, help, value) in ours {
        page.ours(name, Kind::Counter, help).value(value);
    }
}
