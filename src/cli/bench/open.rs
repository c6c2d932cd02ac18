//! Workloads of connections: many that stay, each with a channel, and what one costs while it is idle; and a storm of clients that
//! connect, open a channel and leave.

use super::lanes::{self, Until};
use super::report::{Report, rounded};
use super::watch::Watch;
use crate::cli::client::connection::Connection;
use crate::cli::client::error::ClientError;
use crate::cli::client::socket::Socket;
use crate::cli::client::target::Target;
use crate::clock::Clock;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

/// Open files this program needs besides the connections.
const OTHER_FILES: u64 = 64;

/// Opens connections with a channel each, holds them for a while, and looks whether they live.
pub(super) fn idle(
    target: &Target,
    count: u64,
    lanes: usize,
    hold_s: f64,
    watch: &mut Watch,
    clock: Clock,
) -> Result<Report, ClientError> {
    allow_files(count + OTHER_FILES)?;
    let product = product(target, clock)?;
    let rss_before_kib = watch.broker.as_mut().map(super::process::BrokerProcess::rss_kib);
    let open = || Ok(Vec::new());
    let piece = |sockets: &mut Vec<Socket>, _| {
        sockets.push(Connection::open_small(target, clock)?.into_socket());
        Ok(())
    };
    let opened = lanes::run(lanes, Until::Count(count), watch, clock, open, piece, Ok)?;
    let cpu_before = watch.broker.as_mut().map(super::process::BrokerProcess::cpu_s);
    // Idle time is what is measured here: there is no event to wait for.
    thread::sleep(Duration::from_secs_f64(hold_s));
    let mut report = Report::default();
    report.add("broker", json!(product), product);
    report.rate(["connections", "connections_per_s"], opened.count, opened.seconds, 0);
    report.latencies("open_us", opened.each_us.percentiles());
    let broker = watch.broker.as_mut();
    if let Some(((broker, before_kib), cpu_before)) = broker.zip(rss_before_kib).zip(cpu_before) {
        let idle_cpu = (broker.cpu_s() - cpu_before) / hold_s.max(f64::MIN_POSITIVE);
        let each_kib = broker.rss_kib().saturating_sub(before_kib) as f64 / opened.count.max(1) as f64;
        report.add("rss_kib_per_connection", json!(rounded(each_kib)), format!("{each_kib:.1} KiB"));
        if hold_s > 0.0 {
            report.add("idle_cpu_s_per_s", json!(rounded(idle_cpu)), format!("{idle_cpu:.3} s per second"));
        }
    }
    if opened.held.iter().flatten().any(|socket| !is_alive(socket)) {
        return Err(ClientError::HungUp { while_doing: "on a connection that was idle" });
    }
    Ok(report)
}

/// Connects, opens a channel, closes both, and again.
pub(super) fn storm(
    target: &Target,
    lanes: usize,
    until: Until,
    watch: &mut Watch,
    clock: Clock,
) -> Result<Report, ClientError> {
    allow_files(lanes as u64 + OTHER_FILES)?;
    let product = product(target, clock)?;
    let cpu_before = watch.broker.as_mut().map(super::process::BrokerProcess::cpu_s);
    let piece = |(): &mut (), _| Connection::open_small(target, clock)?.close();
    let done = lanes::run(lanes, until, watch, clock, || Ok(()), piece, Ok)?;
    let mut report = Report::default();
    report.add("broker", json!(product), product);
    report.rate(["connections", "connections_per_s"], done.count, done.seconds, 0);
    report.latencies("open_and_close_us", done.each_us.percentiles());
    if let Some((broker, before)) = watch.broker.as_mut().zip(cpu_before) {
        let each_us = (broker.cpu_s() - before) * 1e6 / done.count.max(1) as f64;
        report.add("broker_cpu_us_per_connection", json!(rounded(each_us)), format!("{each_us:.0} µs"));
    }
    Ok(report)
}

/// What the broker calls itself; also the error of a broker that is not there, before anything is counted.
fn product(target: &Target, clock: Clock) -> Result<String, ClientError> {
    let connection = Connection::open_small(target, clock)?;
    let product = connection.product.clone();
    connection.close()?;
    Ok(product)
}

/// Raises this process's limit of open files as far as it may.
fn allow_files(count: u64) -> Result<(), ClientError> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= count) {
        return Ok(());
    }
    let allowed = limit.maximum.map_or(count, |maximum| maximum.min(count));
    setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum: limit.maximum })?;
    if allowed < count {
        let text = format!("this process may open {allowed} files, {count} are needed (see `ulimit -Hn`)");
        return Err(ClientError::Usage(text));
    }
    Ok(())
}

/// Whether the broker has kept the connection open and has nothing to say.
fn is_alive(socket: &Socket) -> bool {
    match socket.tcp().peek(&mut [0]) {
        // Heartbeats were refused, so a byte can only be a close.
        Ok(_) => false,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
