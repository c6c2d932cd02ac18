//! `/metrics` in Prometheus's text format, with RabbitMQ's names where RabbitMQ counts the same thing.

use crate::server::{Broker, BrokerMetrics};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use ledgermq_storage::{SYNC_CLASSES_US, SyncTimes};
use std::fmt::{Display, Write};
use std::sync::Arc;
use std::time::Duration;

/// All counters, as they stand now.
pub(super) async fn metrics(State(broker): State<Arc<Broker>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page(&broker.metrics().await))
}

fn page(metrics: &BrokerMetrics) -> String {
    let mut page = Page::default();
    page.gauge("ledgermq_uptime_seconds", "Time since the start", metrics.uptime_ms / 1000);
    page.gauge("rabbitmq_connections", "Open connections", metrics.connections);
    page.gauge("rabbitmq_channels", "Open channels", metrics.channels);
    page.gauge("rabbitmq_queues", "Queues", metrics.queues);
    page.gauge("rabbitmq_consumers", "Consumers", metrics.consumers);
    page.gauge("rabbitmq_queue_messages_ready", "Messages waiting", metrics.ready);
    page.gauge("rabbitmq_queue_messages_unacked", "Messages with consumers", metrics.unacked);
    page.gauge("rabbitmq_process_resident_memory_bytes", "Resident memory", metrics.resident_bytes);
    page.gauge("ledgermq_body_memory_bytes", "Memory that message bodies take", metrics.body_memory_bytes);
    for alarm in ["memory", "disk"] {
        let on = u8::from(metrics.alarms.contains(&alarm));
        page.gauge(&format!("ledgermq_alarm_{alarm}"), "1 while the alarm is on", on);
    }
    let half_received = metrics.half_received_bytes;
    page.gauge("ledgermq_half_received_bytes", "Memory that half-received messages take", half_received);
    page.counter("ledgermq_logins_refused_total", "Logins refused", metrics.logins_refused);
    let totals = &metrics.totals;
    let counters = [
        ("rabbitmq_global_messages_received_total", "Publishes received", totals.published_count),
        ("rabbitmq_global_messages_confirmed_total", "Publishes confirmed", totals.confirmed_count),
        ("ledgermq_messages_refused_total", "Publishes refused", totals.refused_count),
        ("ledgermq_messages_unroutable_total", "Publishes no queue took", totals.unroutable_count),
        ("rabbitmq_global_messages_unroutable_returned_total", "Publishes sent back", totals.returned_count),
        ("rabbitmq_global_messages_delivered_total", "Messages delivered", totals.delivered_count),
        ("rabbitmq_global_messages_acknowledged_total", "Messages acknowledged", totals.acked_count),
        ("ledgermq_messages_requeued_total", "Messages put back", totals.requeued_count),
        ("ledgermq_messages_damaged_total", "Messages set aside as damaged", totals.damaged_count),
    ];
    for (name, help, value) in counters {
        page.counter(name, help, value);
    }
    if let Some(store) = &metrics.store {
        page.gauge("ledgermq_wal_durable_lsn", "Records below survive a power cut", store.progress.durable.0);
        page.gauge("ledgermq_wal_written_lsn", "Records below survive a crash", store.progress.written.0);
        page.gauge("ledgermq_wal_staged_bytes", "Bytes appended and not yet written", store.staged_bytes);
        page.gauge("ledgermq_wal_segments", "Files of the log", store.segment_count);
        page.gauge("ledgermq_wal_segment_bytes", "Bytes of the files of the log", store.segment_bytes);
        page.gauge("rabbitmq_disk_space_available_bytes", "Free disk space", store.free_bytes);
        page.sync_times(&store.sync_times);
    }
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.line(name, help, "gauge", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.line(name, help, "counter", value);
    }

    /// A histogram: each class counts also what the shorter ones do.
    fn sync_times(&mut self, times: &SyncTimes) {
        let name = "ledgermq_disk_sync_seconds";
        let _ = writeln!(self.text, "# HELP {name} Time of fdatasync\n# TYPE {name} histogram");
        let mut count = 0;
        let ends = SYNC_CLASSES_US.map(|end_us| Duration::from_micros(end_us).as_secs_f64().to_string());
        let ends = ends.iter().map(String::as_str).chain(["+Inf"]);
        for (end, in_class) in ends.zip(times.counts) {
            count += in_class;
            let _ = writeln!(self.text, "{name}_bucket{{le=\"{end}\"}} {count}");
        }
        let seconds = Duration::from_nanos(times.total_ns).as_secs_f64();
        let _ = writeln!(self.text, "{name}_sum {seconds}\n{name}_count {count}");
    }

    fn line(&mut self, name: &str, help: &str, kind: &str, value: impl Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_help_and_its_type() {
        let text = page(&BrokerMetrics { connections: 3, alarms: vec!["disk"], ..BrokerMetrics::default() });
        assert!(text.contains("# TYPE rabbitmq_connections gauge\nrabbitmq_connections 3\n"));
        assert!(text.contains("\nledgermq_alarm_disk 1\n"));
        assert!(text.contains("\nledgermq_alarm_memory 0\n"));
        assert!(!text.contains("wal_durable"), "what is not known is not said");
    }

    #[test]
    fn syncs_are_a_histogram() {
        let mut times = SyncTimes { total_ns: 1_500_000_000, ..SyncTimes::default() };
        (times.counts[0], times.counts[3], times.counts[13]) = (2, 3, 1);
        let mut page = Page::default();
        page.sync_times(&times);
        for line in [
            "ledgermq_disk_sync_seconds_bucket{le=\"0.0001\"} 2\n",
            "ledgermq_disk_sync_seconds_bucket{le=\"0.001\"} 5\n",
            "ledgermq_disk_sync_seconds_bucket{le=\"1\"} 5\n",
            "ledgermq_disk_sync_seconds_bucket{le=\"+Inf\"} 6\n",
            "ledgermq_disk_sync_seconds_sum 1.5\nledgermq_disk_sync_seconds_count 6\n",
        ] {
            assert!(page.text.contains(line), "{line}in:\n{}", page.text);
        }
    }
}
