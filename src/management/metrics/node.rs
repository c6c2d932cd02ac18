//! The families about the broker as a whole: who it is, what of the machine it uses, how the log gets on.

use super::text::{Kind, Page};
use crate::server::{Broker, BrokerMetrics};
use ledgermq_storage::{DURATION_CLASSES_US, Durations};
use std::time::Duration;

/// Who this is. Each panel of RabbitMQ's dashboards joins its numbers with `rabbitmq_identity_info`, by instance.
pub(super) fn identity(page: &mut Page, broker: &Broker, metrics: &BrokerMetrics, endpoint: &str) {
    let config = broker.config();
    let node = broker.node_name();
    let store = metrics.store.map_or(0, |store| u128::from_le_bytes(store.uuid));
    let mut build = page.info("build_info", "Which broker this is");
    build.sample(
        &[
            ("rabbitmq_version", &config.product_version),
            ("prometheus_plugin_version", env!("CARGO_PKG_VERSION")),
            ("prometheus_client_version", env!("CARGO_PKG_VERSION")),
            ("erlang_version", "none"),
            ("product_name", &config.product),
            ("product_version", env!("CARGO_PKG_VERSION")),
        ],
        1,
    );
    let mut identity = page.info("identity_info", "Which node and which installation");
    identity.sample(
        &[
            ("rabbitmq_node", &node),
            ("rabbitmq_cluster", &broker.cluster_name()),
            ("rabbitmq_cluster_permanent_id", &format!("{store:032x}")),
            ("rabbitmq_endpoint", endpoint),
        ],
        1,
    );
}

/// Alarms, and what the process uses of what it may.
pub(super) fn node(page: &mut Page, metrics: &BrokerMetrics) {
    use Kind::{Counter, Gauge};
    for (alarm, name) in [("disk", "free_disk_space_watermark"), ("memory", "memory_used_watermark")] {
        let on = u8::from(metrics.alarms.contains(&alarm));
        page.theirs(&format!("alarms_{name}"), Gauge, "1 while publishers are blocked by it").value(on);
    }
    if let Some(files) = metrics.files {
        page.theirs("alarms_file_descriptor_limit", Gauge, "1 while no more files can be opened")
            .value(u8::from(files.open >= files.limit));
        page.theirs("process_open_fds", Gauge, "Open files and sockets").value(files.open);
        page.theirs("process_max_fds", Gauge, "Files and sockets that may be open").value(files.limit);
        page.theirs("process_max_tcp_sockets", Gauge, "Sockets that may be open").value(files.limit);
    }
    page.theirs("process_open_tcp_sockets", Gauge, "Connections of clients").value(metrics.connections);
    page.theirs("process_resident_memory_bytes", Gauge, "Resident memory").value(metrics.resident_bytes);
    page.theirs("resident_memory_limit_bytes", Gauge, "Resident memory above which publishers are blocked")
        .value(metrics.memory_high_bytes);
    page.theirs(
        "disk_space_available_limit_bytes",
        Gauge,
        "Free disk space below which publishers are blocked",
    )
    .value(metrics.disk_low_bytes);
    if let Some(store) = &metrics.store {
        page.theirs("disk_space_available_bytes", Gauge, "Free disk space").value(store.free_bytes);
    }
    page.theirs("erlang_uptime_seconds", Gauge, "Time since the start")
        .value(Duration::from_millis(metrics.uptime_ms).as_secs_f64());
    page.ours("body_memory_bytes", Gauge, "Memory that message bodies take").value(metrics.body_memory_bytes);
    page.ours("half_received_bytes", Gauge, "Memory that half-received messages take")
        .value(metrics.half_received_bytes);
    page.ours("logins_refused_total", Counter, "Logins refused").value(metrics.logins_refused);
    if let Some(spans) = metrics.spans {
        page.ours("otlp_spans_sent_total", Counter, "Spans that the collector took").value(spans.sent);
        page.ours(
            "otlp_spans_lost_total",
            Counter,
            "Spans that it did not take, or that found no room on the way",
        )
        .value(spans.lost);
    }
}

/// What came and went.
pub(super) fn churn(page: &mut Page, metrics: &BrokerMetrics) {
    let mut counter = |name, help, value| page.theirs(name, Kind::Counter, help).value(value);
    counter("connections_opened_total", "Connections since the start", metrics.connections_opened);
    let closed = metrics.connections_opened.saturating_sub(metrics.connections);
    counter("connections_closed_total", "Those of them that are gone", closed);
    let (totals, open) = (&metrics.figures.totals, metrics.figures.channels);
    counter("channels_opened_total", "Channels since the start", totals.channels_opened_count);
    let closed = totals.channels_opened_count.saturating_sub(open);
    counter("channels_closed_total", "Those of them that are gone", closed);
    let declared = "Declarations of queues, of those that were there as well";
    counter("queues_declared_total", declared, totals.queues_declared_count);
    counter("queues_created_total", "Queues that came", totals.queues_created_count);
    counter("queues_deleted_total", "Queues that went", totals.queues_deleted_count);
}

/// An amount of logins by door: how many succeeded and how many failed.
type OfLogins = (&'static str, &'static str, fn(u64, u64) -> u64);

const OF_LOGINS: [OfLogins; 3] = [
    ("auth_attempts_total", "Logins tried", |succeeded, failed| succeeded + failed),
    ("auth_attempts_succeeded_total", "Those of them that succeeded", |succeeded, _| succeeded),
    ("auth_attempts_failed_total", "Those of them that failed", |_, failed| failed),
];

/// Who tried to get in.
pub(super) fn logins(page: &mut Page, metrics: &BrokerMetrics) {
    for (name, help, of) in OF_LOGINS {
        let mut family = page.theirs(name, Kind::Counter, help);
        for (protocol, succeeded, failed) in &metrics.logins {
            family.sample(&[("protocol", protocol)], of(*succeeded, *failed));
        }
    }
}

/// The log and its disk.
pub(super) fn store(page: &mut Page, metrics: &BrokerMetrics) {
    use Kind::{Counter, Gauge};
    let Some(store) = &metrics.store else { return };
    let (durable, written) = (store.progress.durable.0, store.progress.written.0);
    let synced_s = Duration::from_nanos(store.sync_times.total_ns).as_secs_f64();
    page.theirs("io_sync_ops_total", Counter, "Syncs of the disk").value(store.sync_times.count());
    page.theirs("io_sync_time_seconds_total", Counter, "Time they took together").value(synced_s);
    // There is one node: what is on its disk is committed. So RabbitMQ's panels of Raft show how the log gets on.
    page.theirs("raft_log_commit_index", Gauge, "Records below survive a power cut").value(durable);
    page.theirs("raft_log_last_applied_index", Gauge, "Records below survive a power cut").value(durable);
    page.theirs("raft_log_last_written_index", Gauge, "Records below survive a crash").value(written);
    page.ours("wal_durable_lsn", Gauge, "Records below survive a power cut").value(durable);
    page.ours("wal_written_lsn", Gauge, "Records below survive a crash").value(written);
    page.ours("wal_staged_bytes", Gauge, "Bytes appended and not yet written").value(store.staged_bytes);
    page.ours("wal_segments", Gauge, "Files of the log").value(store.segment_count);
    page.ours("wal_segment_bytes", Gauge, "Bytes of the files of the log").value(store.segment_bytes);
    histogram(page, "disk_sync_seconds", "Time of fdatasync", &store.sync_times);
}

/// How long publishers wait.
pub(super) fn confirms(page: &mut Page, metrics: &BrokerMetrics) {
    let help = "Time from the arrival of a persistent publish at its vhost to its confirm, sampled";
    histogram(page, "confirm_seconds", help, &metrics.confirms);
}

fn histogram(page: &mut Page, name: &str, help: &str, found: &Durations) {
    let ends_us = DURATION_CLASSES_US.into_iter();
    let classes_s = ends_us.map(|end_us| Duration::from_micros(end_us).as_secs_f64().to_string());
    let sum_s = Duration::from_nanos(found.total_ns).as_secs_f64();
    page.ours(name, Kind::Histogram, help).histogram(&[], classes_s, &found.counts, sum_s);
}
