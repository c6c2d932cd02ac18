//! `status`: the one row that is shown as a page, in the sections rabbitmqctl has.

use super::doors::{doors, listed, purpose};
use super::format::Formatter;
use crate::cli::control::Row;
use crate::cli::rows::StatusReport;
use serde_json::{Value, json};
use std::fmt::Write;

/// The page, or the row as JSON with RabbitMQ's keys beside ours.
pub(super) fn show(row: &Row, formatter: Formatter) -> String {
    let report = serde_json::from_value(Value::Object(row.clone())).ok();
    match (report, formatter) {
        (Some(report), Formatter::Table | Formatter::PrettyTable) => page(&report),
        (Some(report), Formatter::Json | Formatter::Csv) => {
            let mut row = row.clone();
            row.extend(rabbitmqs_keys(&report));
            format!("{}\n", Value::Object(row))
        }
        // Of another release.
        (None, _) => format!("{}\n", Value::Object(row.clone())),
    }
}

/// What tools look for in rabbitmqctl's JSON, by its names; what there is no figure for is left out.
fn rabbitmqs_keys(report: &StatusReport) -> Row {
    let others = report.memory_bytes.saturating_sub(report.body_memory_bytes);
    let keys = json!({
        "rabbitmq_version": report.compatible_version(),
        "product_name": report.product,
        "product_version": report.version,
        "uptime": report.uptime_s,
        "is_under_maintenance": false,
        "data_directory": report.data_dir,
        "totals": {
            "connection_count": report.connection_count,
            "queue_count": report.queue_count,
            "virtual_host_count": report.vhost_count,
        },
        "memory": {
            "message_bodies": report.body_memory_bytes,
            "other": others,
            "strategy": "rss",
            "total": {"rss": report.memory_bytes},
        },
        "vm_memory_calculation_strategy": "rss",
        "vm_memory_high_watermark_limit": report.memory_high_bytes,
        "disk_free": report.disk_free_bytes,
        "disk_free_limit": report.disk_low_bytes,
        // There is one limit for files and sockets together.
        "file_descriptors": {
            "total_used": report.open_files,
            "total_limit": report.files_max,
            "sockets_used": report.connection_count,
            "sockets_limit": report.files_max,
        },
        "listeners": listed(report),
    });
    keys.as_object().cloned().unwrap_or_default()
}

fn page(report: &StatusReport) -> String {
    let mut page = String::new();
    let mut section = |title: &str, lines: &[String]| {
        let lines = if lines.is_empty() { "(none)".to_owned() } else { lines.join("\n") };
        // Writing to a string does not fail.
        let _ = write!(page, "{title}\n\n{lines}\n\n");
    };
    section(
        "Runtime",
        &[
            format!("OS PID: {}", report.pid),
            format!("Uptime (seconds): {}", report.uptime_s),
            // A line that tools look for; it stands first, as the product may be called anything.
            format!("RabbitMQ version: {}", report.compatible_version()),
            format!("{} version: {}", report.product, report.version),
            format!("The RabbitMQ version is the one that {} is compatible with", report.product),
        ],
    );
    section("Data directory", &[format!("Node data directory: {}", report.data_dir)]);
    section("Alarms", &report.alarms);
    section(
        "Memory",
        &[
            format!("Total memory used: {:.4} gb", gigabytes(report.memory_bytes)),
            format!("Memory high watermark: {:.4} gb", gigabytes(report.memory_high_bytes)),
            format!("message bodies: {:.4} gb", gigabytes(report.body_memory_bytes)),
        ],
    );
    section("File Descriptors", &[format!("Total: {}, limit: {}", report.open_files, report.files_max)]);
    section(
        "Free Disk Space",
        &[
            format!("Low free disk space watermark: {:.4} gb", gigabytes(report.disk_low_bytes)),
            format!("Free disk space: {:.4} gb", gigabytes(report.disk_free_bytes)),
        ],
    );
    section(
        "Totals",
        &[
            format!("Connection count: {}", report.connection_count),
            format!("Queue count: {}", report.queue_count),
            format!("Virtual host count: {}", report.vhost_count),
            format!("Message count: {}", report.message_count),
        ],
    );
    let line = |(interface, port, protocol)| {
        format!("Interface: {interface}, port: {port}, protocol: {protocol}, purpose: {}", purpose(protocol))
    };
    section("Listeners", &doors(report).map(line).collect::<Vec<_>>());
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

#[expect(clippy::cast_precision_loss, reason = "shown with four digits")]
fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_rabbitmqs_sections() {
        let report = StatusReport {
            product: "LedgerMQ".into(),
            version: "0.1.0".into(),
            rabbitmq_version: "4.1.0".into(),
            pid: 7,
            data_dir: "/x".into(),
            listeners: vec![("127.0.0.1:5672".into(), "amqp".into())],
            memory_bytes: 126_400_000,
            open_files: 9,
            files_max: 1024,
            connection_count: 2,
            ..StatusReport::default()
        };
        let page = show(&report.row(), Formatter::Table);
        assert!(
            page.starts_with(
                "Runtime\n\nOS PID: 7\nUptime (seconds): 0\nRabbitMQ version: 4.1.0\nLedgerMQ version: 0.1.0\n\
                 The RabbitMQ version is the one that LedgerMQ is compatible with\n\n"
            ),
            "{page}"
        );
        assert!(page.contains("\nFile Descriptors\n\nTotal: 9, limit: 1024\n"), "{page}");
        assert!(page.contains("\nAlarms\n\n(none)\n"), "{page}");
        assert!(page.contains("\nTotal memory used: 0.1264 gb\n"), "{page}");
        assert!(
            page.ends_with("\nInterface: 127.0.0.1, port: 5672, protocol: amqp, purpose: AMQP 0-9-1\n"),
            "{page}"
        );
        let text = show(&report.row(), Formatter::Json);
        assert!(text.starts_with("{\"product\":\"LedgerMQ\",") && text.ends_with("}\n"), "{text}");
        // What Ansible's modules and other tools look for.
        let read: Value = serde_json::from_str(&text).unwrap();
        for (pointer, expected) in [
            ("/rabbitmq_version", json!("4.1.0")),
            ("/product_name", json!("LedgerMQ")),
            ("/product_version", json!("0.1.0")),
            ("/totals/connection_count", json!(2)),
            ("/totals/virtual_host_count", json!(0)),
            ("/memory/total/rss", json!(126_400_000)),
            ("/file_descriptors/total_used", json!(9)),
            ("/disk_free", json!(0)),
            ("/listeners/0/port", json!(5672)),
            ("/listeners/0/protocol", json!("amqp")),
        ] {
            assert_eq!(read.pointer(pointer), Some(&expected), "{pointer}");
        }
    }

    #[test]
    fn a_row_of_another_release_is_still_shown() {
        let row: Row = serde_json::from_str("{\"new\":1}").unwrap();
        assert_eq!(show(&row, Formatter::Table), "{\"new\":1}\n");
    }
}
