//! The commands about the running process and its logs, and those that need no broker. Names and texts are those of
//! rabbitmqctl; `report` is a row of other commands.

use super::commands::{Command, Shape, fixed, plain};
use crate::cli::control::ControlRequest;

/// Commands, in the order of the help.
pub(super) static COMMANDS: [Command; 7] = [
    plain("shutdown", "", 0, "Stops the broker, like stop"),
    fixed("environment", "", 0, &["key", "value"], "Lists the configuration in force"),
    plain("set_log_level", "<level>", 1, "Changes which diagnostics are written, until the next start"),
    plain("rotate_logs", "", 0, "Begins a new audit log after the old one was moved away"),
    plain("log_location", "", 0, "Tells where diagnostics and the audit log go"),
    plain("report", "", 0, "Shows what somebody who is to help wants to see"),
    Command {
        name: "hash_password",
        usage: "<password>",
        help: "Shows the hash of a password, for definitions",
        least: 0,
        most: 1,
        shape: Shape::Plain,
    },
];

/// What `report` consists of, in order.
pub(super) const REPORT: [&str; 13] = [
    "status",
    "cluster_status",
    "environment",
    "list_connections",
    "list_channels",
    "list_queues",
    "list_exchanges",
    "list_bindings",
    "list_consumers",
    "list_permissions",
    "list_policies",
    "list_parameters",
    "list_feature_flags",
];

/// What is printed before it runs; `None` if it is none of these.
pub(super) fn banner(name: &str, arguments: &[String]) -> Option<String> {
    let first = arguments.first().map_or("", String::as_str);
    Some(match name {
        "shutdown" => "Shutting down the broker ...".to_owned(),
        "environment" => "Application environment of node ledgermq@localhost ...".to_owned(),
        "set_log_level" => format!("Setting log level to \"{first}\" ..."),
        "rotate_logs" => "Rotating logs ...".to_owned(),
        "log_location" => "Log file location(s) on node ledgermq@localhost ...".to_owned(),
        "report" => "Reporting server status of node ledgermq@localhost ...".to_owned(),
        "hash_password" => "Will hash password".to_owned(),
        _ => return None,
    })
}

/// The request it becomes; `None` if it is none of these, or asks the broker nothing.
pub(super) fn request(name: &str, arguments: &[String]) -> Option<ControlRequest> {
    Some(match name {
        "shutdown" => ControlRequest::Stop,
        "environment" => ControlRequest::Environment,
        "set_log_level" => {
            ControlRequest::SetLogLevel { level: arguments.first().cloned().unwrap_or_default() }
        }
        "rotate_logs" => ControlRequest::RotateLogs,
        "log_location" => ControlRequest::LogLocation,
        _ => return None,
    })
}
