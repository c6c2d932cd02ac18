//! `status`: the one row that is shown as a page, in the sections rabbitmqctl has.

use super::format::Formatter;
use crate::cli::control::Row;
use crate::cli::rows::StatusReport;
use serde_json::Value;
use std::fmt::Write;

/// The page, or the row as JSON.
pub(super) fn show(row: &Row, formatter: Formatter) -> String {
    let report = match formatter {
        Formatter::Table | Formatter::PrettyTable => serde_json::from_value(Value::Object(row.clone())).ok(),
        Formatter::Json | Formatter::Csv => None,
    };
    report.map_or_else(|| format!("{}\n", Value::Object(row.clone())), |report| page(&report))
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
            format!("{} version: {}", report.product, report.version),
        ],
    );
    section("Data directory", &[format!("Node data directory: {}", report.data_dir)]);
    section("Alarms", &report.alarms);
    section(
        "Memory",
        &[
            format!("Total memory used: {:.4} gb", gigabytes(report.memory_bytes)),
            format!("message bodies: {:.4} gb", gigabytes(report.body_memory_bytes)),
        ],
    );
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
    let listeners: Vec<_> = report.listeners.iter().map(listener).collect();
    section("Listeners", &listeners);
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn listener((address, protocol): &(String, String)) -> String {
    let (interface, port) = address.rsplit_once(':').unwrap_or((address, ""));
    format!("Interface: {interface}, port: {port}, protocol: {protocol}")
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
            pid: 7,
            data_dir: "/x".into(),
            listeners: vec![("127.0.0.1:5672".into(), "amqp".into())],
            memory_bytes: 126_400_000,
            ..StatusReport::default()
        };
        let page = show(&report.row(), Formatter::Table);
        assert!(
            page.starts_with("Runtime\n\nOS PID: 7\nUptime (seconds): 0\nLedgerMQ version: 0.1.0\n\n"),
            "{page}"
        );
        assert!(page.contains("\nAlarms\n\n(none)\n"), "{page}");
        assert!(page.contains("\nTotal memory used: 0.1264 gb\n"), "{page}");
        assert!(page.ends_with("\nInterface: 127.0.0.1, port: 5672, protocol: amqp\n"), "{page}");
        let json = show(&report.row(), Formatter::Json);
        assert!(json.starts_with("{\"product\":\"LedgerMQ\",") && json.ends_with("}\n"), "{json}");
    }

    #[test]
    fn a_row_of_another_release_is_still_shown() {
        let row: Row = serde_json::from_str("{\"new\":1}").unwrap();
        assert_eq!(show(&row, Formatter::Table), "{\"new\":1}\n");
    }
}
