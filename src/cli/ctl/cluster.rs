//! `cluster_status`: the one node there is, in the sections rabbitmqctl 3.10 has.

use super::doors::{doors, listed, purpose};
use super::format::Formatter;
use super::health::{NODE, flag_rows};
use crate::cli::feature_flags::FEATURE_FLAGS;
use crate::cli::rows::StatusReport;
use serde_json::{Value, json};
use std::fmt::Write;

/// The page, or the same as JSON.
pub(super) fn show(status: &StatusReport, formatter: Formatter) -> String {
    if formatter.is_for_machines() { format!("{}\n", object(status)) } else { page(status) }
}

fn object(status: &StatusReport) -> Value {
    json!({"alarms": status.alarms, "cluster_name": status.cluster_name, "disk_nodes": [NODE],
        "feature_flags": flag_rows(), "listeners": {NODE: listed(status)},
        "maintenance_status": {NODE: "not under maintenance"}, "partitions": {}, "ram_nodes": [],
        "running_nodes": [NODE], "versions": {NODE: {"product_name": status.product,
        "product_version": status.version, "rabbitmq_name": status.product,
        "rabbitmq_version": status.compatible_version()}}})
}

fn page(status: &StatusReport) -> String {
    let mut page = String::new();
    let mut section = |title: &str, text: &str| {
        // Writing to a string does not fail.
        let _ = write!(page, "{title}\n\n{}\n\n", if text.is_empty() { "(none)" } else { text });
    };
    section("Basics", &format!("Cluster name: {}", status.cluster_name));
    section("Disk Nodes", NODE);
    section("Running Nodes", NODE);
    let (product, version) = (&status.product, &status.version);
    let compatible = status.compatible_version();
    section("Versions", &format!("{NODE}: {product} {version}, compatible with RabbitMQ {compatible}"));
    section("Maintenance status", &format!("Node: {NODE}, status: not under maintenance"));
    section("Alarms", &status.alarms.join("\n"));
    section("Network Partitions", "");
    let lines: Vec<_> = doors(status)
        .map(|(interface, port, protocol)| {
            format!(
                "Node: {NODE}, interface: {interface}, port: {port}, protocol: {protocol}, purpose: {}",
                purpose(protocol)
            )
        })
        .collect();
    section("Listeners", &lines.join("\n"));
    let flags: Vec<_> =
        FEATURE_FLAGS.iter().map(|flag| format!("Flag: {}, state: enabled", flag.name)).collect();
    section("Feature flags", &flags.join("\n"));
    page.truncate(page.trim_end().len());
    page + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_says_what_it_is_and_what_it_is_compatible_with() {
        let status = StatusReport {
            product: "LedgerMQ".into(),
            version: "0.1.0".into(),
            rabbitmq_version: "4.1.0".into(),
            cluster_name: "payments".into(),
            ..StatusReport::default()
        };
        let page = show(&status, Formatter::Table);
        let versions = "\nVersions\n\nledgermq@localhost: LedgerMQ 0.1.0, compatible with RabbitMQ 4.1.0\n\n";
        assert!(page.contains(versions), "{page}");
        let read: Value = serde_json::from_str(&show(&status, Formatter::Json)).unwrap();
        assert_eq!(read["versions"][NODE]["rabbitmq_version"], "4.1.0");
        assert_eq!(read["versions"][NODE]["product_version"], "0.1.0");
        assert_eq!(read["running_nodes"][0], NODE);
        assert_eq!(read["cluster_name"], "payments");
    }
}
