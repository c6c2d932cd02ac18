//! The listeners as operators ask after them: which there are, whether one is for a port or a protocol, and whether they accept
//! connections. Names and sentences are those of rabbitmq-diagnostics 3.10.

use super::format::Formatter;
use super::health::{NODE, Outcome};
use crate::cli::addresses::reachable;
use crate::cli::checks::protocol_named;
use crate::cli::exit::Exit;
use crate::cli::rows::StatusReport;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Time for one port to accept, ms.
const CONNECT_MS: u64 = 5_000;

/// Interface, port and protocol of each listener.
pub(super) fn doors(status: &StatusReport) -> impl Iterator<Item = (&str, u16, &str)> {
    status.listeners.iter().filter_map(|(address, protocol)| {
        let (interface, port) = address.rsplit_once(':')?;
        Some((interface, port.parse().ok()?, protocol.as_str()))
    })
}

pub(super) fn purpose(protocol: &str) -> &str {
    match protocol {
        "amqp" => "AMQP 0-9-1",
        "amqp/ssl" => "AMQP 0-9-1 over TLS",
        "http" => "HTTP API",
        "http/prometheus" => "Prometheus exporter API over HTTP",
        other => other,
    }
}

pub(super) fn listeners(status: &StatusReport, formatter: Formatter) -> String {
    if formatter.is_for_machines() {
        return json!({"listeners": listed(status), "node": NODE, "result": "ok"}).to_string() + "\n";
    }
    let line = |(interface, port, protocol): (&str, u16, &str)| {
        format!(
            "Interface: {interface}, port: {port}, protocol: {protocol}, purpose: {}\n",
            purpose(protocol)
        )
    };
    doors(status).map(line).collect()
}

pub(super) fn listed(status: &StatusReport) -> Vec<Value> {
    doors(status)
        .map(|(interface, port, protocol)| {
            json!({"interface": interface, "node": NODE, "port": port, "protocol": protocol,
                "purpose": purpose(protocol)})
        })
        .collect()
}

pub(super) fn check_port(port: &str, status: &StatusReport) -> Outcome {
    if doors(status).any(|(_, open, _)| port.parse() == Ok(open)) {
        return Ok(format!("A listener for port {port} is running on node {NODE}."));
    }
    let open: Vec<_> = doors(status).map(|(_, port, _)| port.to_string()).collect();
    let open = open.join(", ");
    let sentence = format!(
        "No listener for port {port} is active on node {NODE}. Found listeners that use the following ports: {open}"
    );
    Err((sentence, Exit::Unavailable))
}

pub(super) fn check_protocol(protocol: &str, status: &StatusReport) -> Outcome {
    let known = protocol_named(protocol);
    if doors(status).any(|(_, _, open)| open == known) {
        return Ok(format!("A listener for protocol {protocol} is running on node {NODE}."));
    }
    let open: Vec<_> = doors(status).map(|(_, _, protocol)| protocol).collect();
    let open = open.join(", ");
    let sentence = format!(
        "No listener for protocol {protocol} is active on node {NODE}. Found listeners for the following protocols: {open}"
    );
    Err((sentence, Exit::Unavailable))
}

/// Connects to each port, as a client on this machine would.
pub(super) fn connectivity(status: &StatusReport) -> Outcome {
    let mut ports = Vec::new();
    let mut failed = Vec::new();
    for (address, _) in &status.listeners {
        let Ok(address) = address.parse::<SocketAddr>() else { continue };
        ports.push(address.port().to_string());
        let patience = Duration::from_millis(CONNECT_MS);
        if let Err(error) = TcpStream::connect_timeout(&reachable(address), patience) {
            failed.push(format!("{}: {error}", address.port()));
        }
    }
    if failed.is_empty() {
        return Ok(format!("Successfully connected to ports {} on node {NODE}.", ports.join(", ")));
    }
    let sentence = format!("Connection attempts failed on node {NODE}, by port: {}", failed.join("; "));
    Err((sentence, Exit::Unavailable))
}
