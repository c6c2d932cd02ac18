//! What rabbitmq-diagnostics asks: is it up, are alarms on, which doors are open. One look at the broker's status answers
//! all of it; what is made of the look is decided here. Names, texts and exit codes are those of rabbitmq-diagnostics 3.10.

use super::arguments::Options;
use super::cluster;
use super::commands::{Command, Shape, plain};
use super::doors::{check_port, check_protocol, connectivity, listeners};
use super::format::Formatter;
use crate::cli::control::{ControlRequest, Row};
use crate::cli::exit::Exit;
use crate::cli::feature_flags::{FEATURE_FLAGS, FeatureFlag, is_feature_flag};
use crate::cli::rows::StatusReport;
use serde_json::json;

/// Commands, in the order of the help.
pub(super) static COMMANDS: [Command; 25] = [
    plain("ping", "", 0, "Checks that the broker answers"),
    plain("check_running", "", 0, "Checks that the broker accepts clients"),
    plain("is_running", "", 0, "The same"),
    plain("is_booting", "", 0, "Tells whether the broker is starting"),
    plain("alarms", "", 0, "Lists alarms that are on"),
    plain("check_alarms", "", 0, "Checks that no alarm is on"),
    plain("check_local_alarms", "", 0, "The same"),
    plain("listeners", "", 0, "Lists where the broker listens"),
    plain("check_port_listener", "<port>", 1, "Checks that the broker listens on a port"),
    plain("check_protocol_listener", "<protocol>", 1, "Checks that the broker listens for a protocol"),
    plain("check_port_connectivity", "", 0, "Checks that all ports accept connections from here"),
    plain("check_virtual_hosts", "", 0, "Checks that all vhosts run"),
    plain("check_if_node_is_quorum_critical", "", 0, "For clusters: there is one node, so it never is"),
    plain("check_if_node_is_mirror_sync_critical", "", 0, "For clusters: there is one node, so it never is"),
    plain("await_online_quorum_plus_one", "", 0, "For clusters: there is one node, so it waits for none"),
    plain("await_online_synchronized_mirror", "", 0, "For clusters: there is one node, so it waits for none"),
    plain("node_health_check", "", 0, "Checks that the broker answers and no alarm is on"),
    plain("cluster_status", "", 0, "Shows the one node there is"),
    plain("server_version", "", 0, "Shows the RabbitMQ version that the broker is compatible with"),
    Command {
        name: "list_feature_flags",
        usage: "[<column>, ...]",
        help: "Lists what RabbitMQ's clients ask for by feature flags",
        least: 0,
        most: usize::MAX,
        shape: Shape::Plain,
    },
    plain("list_deprecated_features", "", 0, "Lists deprecated features in use; there are none"),
    plain("enable_feature_flag", "<feature flag> | all", 1, "Accepted: all flags are enabled"),
    plain(
        "list_unresponsive_queues",
        "[--vhost <vhost>]",
        0,
        "Lists queues that do not answer; there are none",
    ),
    plain("memory_breakdown", "", 0, "Shows what takes memory"),
    Command {
        name: "wait",
        usage: "[<pidfile>] | --pid <pid>",
        help: "Waits until the broker accepts clients",
        least: 0,
        most: 1,
        shape: Shape::Plain,
    },
];

/// Whether the command is one of these.
pub(super) fn knows(name: &str) -> bool {
    COMMANDS.iter().any(|command| command.name == name)
}

/// What is printed before it runs; `None` if it is none of these.
pub(super) fn banner(name: &str, arguments: &[String], options: &Options) -> Option<String> {
    let first = arguments.first().map_or("", String::as_str);
    Some(match name {
        "ping" => format!(
            "Will ping {NODE}. This only checks that the broker answers. Timeout: {} ms.",
            options.timeout.as_millis()
        ),
        "check_running" => format!("Checking if RabbitMQ is running on node {NODE} ..."),
        "is_running" => format!("Asking node {NODE} for its status ..."),
        "is_booting" => format!("Asking node {NODE} for its boot status ..."),
        "alarms" => format!("Asking node {NODE} to report any known resource alarms ..."),
        "check_alarms" | "check_local_alarms" => {
            format!("Asking node {NODE} to report any local resource alarms ...")
        }
        "listeners" => format!("Asking node {NODE} to report its protocol listeners ..."),
        "check_port_listener" => {
            format!("Asking node {NODE} if there's an active listener on port {first} ...")
        }
        "check_protocol_listener" => {
            format!("Asking node {NODE} if there's an active listener for protocol {first} ...")
        }
        "check_port_connectivity" => {
            format!("Testing TCP connections to all active listeners on node {NODE} ...")
        }
        "check_virtual_hosts" => format!("Checking if all vhosts are running on node {NODE} ..."),
        "check_if_node_is_quorum_critical" => {
            format!("Checking if node {NODE} is critical for quorum of any quorum queues ...")
        }
        "check_if_node_is_mirror_sync_critical" => {
            format!("Checking if node {NODE} is critical for data safety of any classic mirrored queues ...")
        }
        "await_online_quorum_plus_one" => format!(
            "Will wait for a quorum + 1 of nodes to be online for all quorum queues for {} seconds...",
            options.timeout.as_secs()
        ),
        "await_online_synchronized_mirror" => format!(
            "Will wait for a synchronised mirror be online for all classic mirrored queues for {} seconds...",
            options.timeout.as_secs()
        ),
        "node_health_check" => format!("Checking health of node {NODE} ..."),
        "cluster_status" => format!("Cluster status of node {NODE} ..."),
        "server_version" => format!("Asking node {NODE} for the RabbitMQ version it is compatible with..."),
        "list_feature_flags" => "Listing feature flags ...".to_owned(),
        "list_deprecated_features" => "Listing deprecated features ...".to_owned(),
        "enable_feature_flag" if first == "all" => "Enabling all feature flags ...".to_owned(),
        "enable_feature_flag" => format!("Enabling feature flag \"{first}\" ..."),
        "list_unresponsive_queues" => format!("Listing unresponsive queues for vhost {} ...", options.vhost),
        "memory_breakdown" => format!("Reporting memory breakdown on node {NODE}..."),
        "wait" => format!("Waiting for the broker at {} to accept clients ...", options.data_dir.display()),
        _ => return None,
    })
}

/// What operators call the one node there is.
pub(super) const NODE: &str = "ledgermq@localhost";

/// The request it becomes; `None` if it is none of these.
pub(super) fn request(name: &str) -> Option<ControlRequest> {
    match name {
        "wait" => Some(ControlRequest::AwaitStartup),
        name => knows(name).then_some(ControlRequest::Status),
    }
}

/// What is printed if it is good, or the sentence and the exit code if it is not.
pub(super) type Outcome = Result<String, (String, Exit)>;

/// What the status means for the command.
pub(super) fn outcome(
    name: &str,
    arguments: &[String],
    status: &StatusReport,
    formatter: Formatter,
) -> Outcome {
    let first = arguments.first().map_or("", String::as_str);
    let bad = |sentence: String| Err((sentence, Exit::Unavailable));
    let line = |text: String| Ok(formatter.line(&text) + "\n");
    let alarms = status.alarms.join(", ");
    match name {
        "ping" => line("Ping succeeded".to_owned()),
        "check_running" | "is_running" => {
            line(format!("RabbitMQ on node {NODE} is fully booted and running"))
        }
        "is_booting" => line(format!(
            "RabbitMQ on node {NODE} is fully booted (check with is_running), stopped or has not started booting yet"
        )),
        "alarms" | "check_alarms" if alarms.is_empty() => {
            line(format!("Node {NODE} reported no alarms, local or clusterwide"))
        }
        "alarms" => line(format!("Node {NODE} reported the following alarms: {alarms}")),
        "check_local_alarms" if alarms.is_empty() => line(format!("Node {NODE} reported no local alarms")),
        "check_alarms" | "check_local_alarms" => {
            bad(format!("Node {NODE} reported the following local alarms: {alarms}"))
        }
        "check_virtual_hosts" => line(format!("Node {NODE} reported all vhosts as running")),
        "node_health_check" if alarms.is_empty() => line("Health check passed".to_owned()),
        "node_health_check" => bad(format!("Node {NODE} is not healthy: alarms that are on: {alarms}")),
        "listeners" => Ok(listeners(status, formatter)),
        "check_port_listener" => check_port(first, status).map(|good| formatter.line(&good) + "\n"),
        "check_protocol_listener" => check_protocol(first, status).map(|good| formatter.line(&good) + "\n"),
        "check_port_connectivity" => connectivity(status).map(|good| formatter.line(&good) + "\n"),
        "check_if_node_is_quorum_critical" | "check_if_node_is_mirror_sync_critical" => line(format!(
            "Node {NODE} seems to be the only one in a single node cluster, the check does not apply"
        )),
        "await_online_quorum_plus_one" | "await_online_synchronized_mirror" => line(
            "Target node seems to be the only one in a single node cluster, the command does not apply"
                .to_owned(),
        ),
        "cluster_status" => Ok(cluster::show(status, formatter)),
        "server_version" => line(status.compatible_version().to_owned()),
        "list_feature_flags" => Ok(flags(arguments, formatter)),
        "enable_feature_flag" if first == "all" || is_feature_flag(first) => Ok(String::new()),
        "enable_feature_flag" => {
            Err((format!("This feature flag is not supported by node {NODE}"), Exit::Usage))
        }
        "list_deprecated_features" | "list_unresponsive_queues" => Ok(formatter.rows(&["name"], &[], true)),
        "memory_breakdown" => Ok(memory(status, formatter)),
        name => Err((format!("{name} says nothing of the status"), Exit::Software)),
    }
}

fn flags(columns: &[String], formatter: Formatter) -> String {
    let columns: Vec<&str> =
        if columns.is_empty() { vec!["name", "state"] } else { columns.iter().map(String::as_str).collect() };
    formatter.rows(&columns, &flag_rows(), true)
}

/// All flags, with every column there is.
pub(super) fn flag_rows() -> Vec<Row> {
    let row = |flag: &FeatureFlag| {
        let row = json!({"name": flag.name, "state": "enabled", "stability": flag.stability,
            "provided_by": "rabbit", "desc": flag.about, "doc_url": ""});
        row.as_object().cloned().unwrap_or_default()
    };
    FEATURE_FLAGS.iter().map(row).collect()
}

#[expect(clippy::cast_precision_loss, reason = "shown with four digits")]
fn memory(status: &StatusReport, formatter: Formatter) -> String {
    let other = status.memory_bytes.saturating_sub(status.body_memory_bytes);
    let parts = [("message_bodies", status.body_memory_bytes), ("other", other)];
    if formatter.is_for_machines() {
        return json!({"message_bodies": parts[0].1, "other": parts[1].1, "total": status.memory_bytes})
            .to_string()
            + "\n";
    }
    let total = status.memory_bytes.max(1) as f64;
    parts
        .iter()
        .map(|(name, bytes)| {
            let bytes = *bytes as f64;
            format!("{name}: {:.4} gb ({:.2}%)\n", bytes / 1e9, bytes * 100.0 / total)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> StatusReport {
        StatusReport {
            product: "LedgerMQ".into(),
            version: "0.1.0".into(),
            rabbitmq_version: "4.1.0".into(),
            cluster_name: "payments".into(),
            listeners: vec![
                ("127.0.0.1:5672".into(), "amqp".into()),
                ("[::]:15692".into(), "http/prometheus".into()),
            ],
            ..StatusReport::default()
        }
    }

    fn ask(command: &str, status: &StatusReport) -> Outcome {
        let mut words = command.split(' ').map(str::to_owned);
        let name = words.next().unwrap();
        outcome(&name, &words.collect::<Vec<_>>(), status, Formatter::Table)
    }

    /// The sentences are what rabbitmq-diagnostics 3.10 prints.
    #[test]
    fn a_broker_that_answers_is_well() {
        for (command, expected) in [
            ("ping", "Ping succeeded\n"),
            ("check_running", "RabbitMQ on node ledgermq@localhost is fully booted and running\n"),
            ("check_local_alarms", "Node ledgermq@localhost reported no local alarms\n"),
            ("check_port_listener 5672", "A listener for port 5672 is running on node ledgermq@localhost.\n"),
            (
                "check_protocol_listener prometheus",
                "A listener for protocol prometheus is running on node ledgermq@localhost.\n",
            ),
            ("server_version", "4.1.0\n"),
            ("enable_feature_flag all", ""),
            ("enable_feature_flag rabbitmq_4.0.0", ""),
            (
                "await_online_quorum_plus_one",
                "Target node seems to be the only one in a single node cluster, the command does not apply\n",
            ),
            (
                "listeners",
                "Interface: 127.0.0.1, port: 5672, protocol: amqp, purpose: AMQP 0-9-1\n\
                 Interface: [::], port: 15692, protocol: http/prometheus, purpose: Prometheus exporter API over HTTP\n",
            ),
        ] {
            assert_eq!(ask(command, &status()).unwrap(), expected, "{command}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_a_code_of_its_own() {
        let alarmed = StatusReport { alarms: vec!["disk".into()], ..status() };
        for (command, expected) in [
            ("check_local_alarms", "Node ledgermq@localhost reported the following local alarms: disk"),
            ("check_alarms", "Node ledgermq@localhost reported the following local alarms: disk"),
            ("node_health_check", "Node ledgermq@localhost is not healthy: alarms that are on: disk"),
            (
                "check_port_listener 1",
                "No listener for port 1 is active on node ledgermq@localhost. Found listeners that use the following \
                 ports: 5672, 15692",
            ),
            (
                "check_protocol_listener mqtt",
                "No listener for protocol mqtt is active on node ledgermq@localhost. Found listeners for the following \
                 protocols: amqp, http/prometheus",
            ),
        ] {
            assert_eq!(
                ask(command, &alarmed).unwrap_err(),
                (expected.to_owned(), Exit::Unavailable),
                "{command}"
            );
        }
        assert_eq!(ask("enable_feature_flag nope", &alarmed).unwrap_err().1, Exit::Usage);
        assert!(ask("alarms", &alarmed).unwrap().contains("disk"), "a listing, no check");
    }

    #[test]
    fn machines_read_json() {
        let json = |name: &str| -> serde_json::Value {
            serde_json::from_str(&outcome(name, &[], &status(), Formatter::Json).unwrap()).unwrap()
        };
        assert_eq!(json("ping")["message"], "Ping succeeded");
        assert_eq!(json("listeners")["listeners"][0]["port"], 5672);
        let flags = json("list_feature_flags");
        assert_eq!(flags.as_array().unwrap().len(), FEATURE_FLAGS.len());
        assert_eq!(flags[0]["state"], "enabled");
    }
}
