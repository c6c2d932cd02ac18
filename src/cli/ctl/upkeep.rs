//! What operators ask of certificates, of logins and of the members of one queue before they go on with an upgrade or home.
//! Names, texts and exit codes are those of rabbitmq-diagnostics and rabbitmq-queues 3.10.

use super::arguments::Options;
use super::commands::{Command, plain};
use super::doors::purpose;
use super::format::Formatter;
use super::health::NODE;
use crate::cli::checks::Unit;
use crate::cli::control::{ControlRequest, Row};
use crate::cli::exit::Exit;
use serde_json::{Value, json};
use std::fmt::Write;

/// Commands, in the order of the help.
pub(super) static COMMANDS: [Command; 5] = [
    plain(
        "check_certificate_expiration",
        "[--within <period>] [--unit <unit>]",
        0,
        "Checks that no certificate of a listener is over soon",
    ),
    plain("certificates", "", 0, "Shows the certificates of the listeners"),
    plain("quorum_status", "[--vhost <vhost>] <queue>", 1, "Shows the one member of a quorum queue"),
    plain("stream_status", "[--vhost <vhost>] <stream>", 1, "Shows the one member of a stream"),
    plain("list_node_auth_attempt_stats", "[--by-source]", 0, "Lists how many logins succeeded and failed"),
];

/// A time from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    /// How many units.
    pub(super) count: u32,
    /// Of what.
    pub(super) unit: Unit,
}

impl Period {
    /// What certificates are checked for if nothing else is said.
    pub(super) const DEFAULT: Self = Self { count: 4, unit: Unit::Weeks };

    fn seconds(self) -> u64 {
        u64::from(self.count) * self.unit.seconds()
    }

    fn text(self) -> String {
        format!("{} {}{}", self.count, self.unit.one(), if self.count == 1 { "" } else { "s" })
    }
}

/// Whether the command is one of these.
pub(super) fn knows(name: &str) -> bool {
    COMMANDS.iter().any(|command| command.name == name)
}

/// What is printed before it runs; `None` if it is none of these.
pub(super) fn banner(name: &str, arguments: &[String]) -> Option<String> {
    let first = arguments.first().map_or("", String::as_str);
    Some(match name {
        "check_certificate_expiration" => format!("Checking certificate expiration on node {NODE} ..."),
        "certificates" => format!("Certificates of node {NODE} ..."),
        "quorum_status" => format!("Status of quorum queue {first} on node {NODE} ..."),
        "stream_status" => format!("Status of stream {first} on node {NODE} ..."),
        "list_node_auth_attempt_stats" => format!("Listing authentication attempts for node \"{NODE}\" ..."),
        _ => return None,
    })
}

/// The request it becomes; `None` if it is none of these.
pub(super) fn request(name: &str, arguments: &[String], options: &Options) -> Option<ControlRequest> {
    let vhost = options.vhost.clone();
    let queue = arguments.first().cloned().unwrap_or_default();
    Some(match name {
        "check_certificate_expiration" => {
            ControlRequest::ExpiringCertificates { within_s: options.within.seconds() }
        }
        "certificates" => ControlRequest::Certificates,
        "quorum_status" | "stream_status" => ControlRequest::ShowQueue { vhost, queue },
        "list_node_auth_attempt_stats" => ControlRequest::LoginCounts,
        _ => return None,
    })
}

/// What is printed: if it is good, else to standard error.
pub(super) fn outcome(name: &str, rows: Vec<Row>, options: &Options) -> Result<String, (String, Exit)> {
    match name {
        "check_certificate_expiration" => expiration(rows, options),
        "certificates" => Ok(certificates(rows, options)),
        "quorum_status" => member(&rows, options, "quorum", &QUORUM_COLUMNS),
        "stream_status" => member(&rows, options, "stream", &STREAM_COLUMNS),
        "list_node_auth_attempt_stats" => Ok(logins(&rows, options)),
        name => Err((format!("Error:\n{name} says nothing of rows\n"), Exit::Software)),
    }
}

fn expiration(mut rows: Vec<Row>, options: &Options) -> Result<String, (String, Exit)> {
    let period = options.within.text();
    let is_json = options.formatter == Formatter::Json;
    if rows.is_empty() {
        return Ok(if is_json {
            json!({"result": "ok"}).to_string() + "\n"
        } else {
            format!("No certificates are expiring within {period}.\n")
        });
    }
    rows.iter_mut().for_each(place);
    if is_json {
        let object = json!({"expired": rows, "result": "error"});
        return Err((format!("{object}\n"), Exit::Unavailable));
    }
    let text = |row: &Row, name: &str| match row.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let mut told = format!("Error:\nCertificates are expiring within {period}:\n");
    for row in &rows {
        let door = ["interface", "port", "protocol"].map(|name| text(row, name));
        for (file, end) in [("certfile", "certfile_expires_on"), ("cacertfile", "cacertfile_expires_on")] {
            let (file, end) = (text(row, file), text(row, end));
            if !end.is_empty() {
                let [interface, port, protocol] = &door;
                // Writing to a string does not fail.
                let _ = writeln!(
                    told,
                    "Interface: {interface}, port: {port}, protocol: {protocol}, file: {file}, expires on: {end}"
                );
            }
        }
    }
    Err((told, Exit::Unavailable))
}

/// Says of a row which node and which door it is about.
fn place(row: &mut Row) {
    let told = row.get("protocol").and_then(Value::as_str).map(purpose).unwrap_or_default().to_owned();
    row.insert("node".to_owned(), json!(NODE));
    row.insert("purpose".to_owned(), json!(told));
}

const CERTIFICATE_COLUMNS: [&str; 7] =
    ["cacertfile", "certfile", "interface", "node", "port", "protocol", "purpose"];

fn certificates(mut rows: Vec<Row>, options: &Options) -> String {
    rows.iter_mut().for_each(place);
    match options.formatter {
        Formatter::Json | Formatter::Csv => {
            options.formatter.rows(&CERTIFICATE_COLUMNS, &rows, options.headings)
        }
        // A certificate has lines of its own, as no table does.
        Formatter::Table | Formatter::PrettyTable => rows.iter().map(door_with_certificates).collect(),
    }
}

fn door_with_certificates(row: &Row) -> String {
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
    let port = row.get("port").and_then(Value::as_u64).unwrap_or_default();
    let (interface, protocol) = (text("interface"), text("protocol"));
    let mut told =
        format!("Interface: {interface}, port: {port}, protocol: {protocol}\n{}", text("certfile"));
    if !text("cacertfile").is_empty() {
        told += "Who may sign clients' certificates:\n";
        told += text("cacertfile");
    }
    told
}

/// Columns of `quorum_status`. There is no Raft: what the member is, it is alone, and its log has no index of its own.
const QUORUM_COLUMNS: [&str; 7] =
    ["Node Name", "Raft State", "Log Index", "Commit Index", "Snapshot Index", "Term", "Machine Version"];

/// Columns of `stream_status`. Where the stream begins and ends is told by its consumers alone.
const STREAM_COLUMNS: [&str; 7] =
    ["role", "node", "offset", "committed_offset", "first_offset", "readers", "segments"];

/// The one member of a queue of this type.
fn member(rows: &[Row], options: &Options, kind: &str, columns: &[&str]) -> Result<String, (String, Exit)> {
    let text = |name: &str| rows.first().and_then(|row| row.get(name)).and_then(Value::as_str);
    match text("type") {
        Some(found) if found == kind => {}
        found => {
            let found = found.unwrap_or("nameless");
            let sentence = format!("Error:\nCannot get {kind} status of a {found} queue\n");
            return Err((sentence, Exit::Unavailable));
        }
    }
    let node = text("leader").unwrap_or(NODE);
    let row = json!({"Node Name": node, "Raft State": "leader", "role": "writer", "node": node});
    let row = row.as_object().cloned().unwrap_or_default();
    // rabbitmqctl draws these two, whatever else it does with tables.
    let formatter = match options.formatter {
        Formatter::Table => Formatter::PrettyTable,
        chosen => chosen,
    };
    Ok(formatter.rows(columns, &[row], options.headings))
}

const LOGIN_COLUMNS: [&str; 4] =
    ["protocol", "auth_attempts", "auth_attempts_failed", "auth_attempts_succeeded"];

fn logins(rows: &[Row], options: &Options) -> String {
    // They are counted by the door alone, as RabbitMQ does unless it is told otherwise.
    let rows = if options.by_source { &[] } else { rows };
    match options.formatter {
        Formatter::Json => json!({"attempts": rows, "node": NODE, "result": "ok"}).to_string() + "\n",
        _ if rows.is_empty() => format!("Node {NODE} reported no authentication attempt stats\n"),
        formatter => formatter.rows(&LOGIN_COLUMNS, rows, options.headings),
    }
}

#[cfg(test)]
mod tests {
    use super::super::arguments::{Invocation, parse};
    use super::*;

    fn ask(line: &str, rows: &Value) -> Result<String, (String, Exit)> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let Invocation::Run(command, _, options) = parse(&words, None, "vm").unwrap() else { unreachable!() };
        outcome(command.name, serde_json::from_value(rows.clone()).unwrap(), &options)
    }

    fn check(line: &str, rows: &Value, expected: &str) {
        assert_eq!(ask(line, rows).unwrap(), expected, "{line}");
    }

    fn check_refused(line: &str, rows: &Value, expected: &str) {
        assert_eq!(ask(line, rows).unwrap_err(), (expected.to_owned(), Exit::Unavailable), "{line}");
    }

    fn doors() -> Value {
        json!([
            {"interface": "0.0.0.0", "port": 5671, "protocol": "amqp/ssl", "certfile": "/c.pem", "cacertfile": "/a.pem",
             "certfile_expires_on": ["2026-12-02"], "cacertfile_expires_on": []},
        ])
    }

    #[test]
    fn certificates_that_are_over_soon_are_told() {
        check("check_certificate_expiration", &json!([]), "No certificates are expiring within 4 weeks.\n");
        let month = "check_certificate_expiration --within 1 --unit months";
        check(month, &json!([]), "No certificates are expiring within 1 month.\n");
        check(&format!("{month} --formatter json"), &json!([]), "{\"result\":\"ok\"}\n");
        check_refused(
            month,
            &doors(),
            "Error:\nCertificates are expiring within 1 month:\n\
             Interface: 0.0.0.0, port: 5671, protocol: amqp/ssl, file: /c.pem, expires on: 2026-12-02\n",
        );
        let (text, _) = ask(&format!("{month} --formatter json"), &doors()).unwrap_err();
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&read["result"], &read["expired"][0]["node"]), (&json!("error"), &json!(NODE)));
        assert_eq!(read["expired"][0]["purpose"], "AMQP 0-9-1 over TLS");
    }

    #[test]
    fn periods_become_seconds() {
        for (count, unit, seconds) in [
            (4, Unit::Weeks, 2_419_200),
            (1, Unit::Days, 86_400),
            (12, Unit::Months, 31_536_000),
            (1, Unit::Years, 31_536_000),
        ] {
            assert_eq!(Period { count, unit }.seconds(), seconds, "{count} {unit:?}");
        }
        assert!(Unit::NAMES.iter().all(|name| Unit::from_name(name).is_some()));
    }

    #[test]
    fn a_queue_has_one_member() {
        let of = |kind: &str| json!([{"name": "q", "type": kind, "leader": "ledgermq@localhost"}]);
        let drawn = ask("quorum_status q", &of("quorum")).unwrap();
        assert!(drawn.contains("│ ledgermq@localhost │ leader     │"), "{drawn}");
        check(
            "quorum_status q --formatter json",
            &of("quorum"),
            "[\n{\"Node Name\":\"ledgermq@localhost\",\"Raft State\":\"leader\",\"Log Index\":\"\",\"Commit Index\":\"\",\
             \"Snapshot Index\":\"\",\"Term\":\"\",\"Machine Version\":\"\"}\n]\n",
        );
        assert!(ask("stream_status s", &of("stream")).unwrap().contains("│ writer │ ledgermq@localhost │"));
        let classic = "Error:\nCannot get quorum status of a classic queue\n";
        check_refused("quorum_status q", &of("classic"), classic);
        check_refused(
            "stream_status q",
            &of("quorum"),
            "Error:\nCannot get stream status of a quorum queue\n",
        );
    }

    #[test]
    fn logins_are_listed_by_their_door() {
        let counts = json!([{"protocol": "amqp091", "auth_attempts": 3, "auth_attempts_failed": 1,
            "auth_attempts_succeeded": 2}]);
        let listed =
            "protocol\tauth_attempts\tauth_attempts_failed\tauth_attempts_succeeded\namqp091\t3\t1\t2\n";
        check("list_node_auth_attempt_stats", &counts, listed);
        let none = "Node ledgermq@localhost reported no authentication attempt stats\n";
        check("list_node_auth_attempt_stats --by-source", &counts, none);
        let read: Value =
            serde_json::from_str(&ask("list_node_auth_attempt_stats --formatter json", &counts).unwrap())
                .unwrap();
        assert_eq!(read["attempts"], counts);
    }
}
