//! `ledgermq bench`: loads any AMQP 0-9-1 broker, checks every message, and tells how fast it was. Threads and sockets of its own, so
//! that it measures the broker and not a library. Begin with `options.rs` (what can be measured) and `traffic.rs` (a run).

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "rates and times of a report: counts stay far below 2^52, and durations are not negative"
)]

mod options;

mod content;
mod plan;
mod seen;
mod stamp;
mod topology;
mod unconfirmed;

mod consumer;
mod publisher;
mod state;
mod traffic;

mod declare;
mod lanes;
mod open;

mod latency;
mod process;
mod report;
mod watch;

use super::client::error::ClientError;
use super::client::target::Target;
use super::exit::Exit;
use crate::clock::Clock;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use options::{Backlog, Options, Workload};
use plan::{Extent, Plan};
use process::BrokerProcess;
use report::Report;
use serde_json::json;
use std::io::Write;
use watch::Watch;

/// Arguments of `bench`.
pub(super) fn grammar() -> Command {
    Options::augment_args(Command::new("bench"))
}

/// Runs `bench`.
pub(super) fn run(matches: &ArgMatches) -> Exit {
    let workload = match Options::from_arg_matches(matches) {
        Ok(options) => options.workload,
        Err(error) => {
            // A closed pipe is no reason for another exit code.
            let _ = error.print();
            return Exit::Usage;
        }
    };
    let (_, common) = workload.common();
    match measure(&workload) {
        Ok(report) => {
            let text = if common.json { report.json() } else { report.table() };
            // A reader that has gone away (`… | head`) is no error.
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
            if report.is_clean() { Exit::Success } else { Exit::Data }
        }
        Err(error) => {
            eprintln!("ledgermq bench: {error}");
            error.exit()
        }
    }
}

fn measure(workload: &Workload) -> Result<Report, ClientError> {
    let (name, common) = workload.common();
    let (target, clock) = (common.target()?, Clock::start());
    let broker = match &common.broker_pid {
        Some(text) => Some(broker_process(text, target.port)?),
        None => None,
    };
    let mut watch = Watch::new(broker, common.patience, common.quiet);
    let plan = workload.plan();
    let found = match (workload, &plan) {
        (Workload::Backlog(run), Some(plan)) => backlog(&target, plan, &run.own, &mut watch, clock)?,
        (Workload::Connections(run), _) => {
            let own = &run.own;
            open::idle(&target, own.count, own.at_a_time, own.hold, &mut watch, clock)?
        }
        (Workload::Storm(run), _) => {
            open::storm(&target, run.own.at_a_time, run.own.until(), &mut watch, clock)?
        }
        (Workload::Declare(run), _) => declare::run(&target, common, &run.own, &mut watch, clock)?,
        (_, Some(plan)) => traffic(&target, plan, &mut watch, clock)?,
        // Every other workload has a plan.
        (_, None) => Report::default(),
    };
    let mut report = Report::default();
    report.add("workload", json!(name), name);
    if let Some(plan) = &plan {
        note_plan(plan, &mut report);
    }
    report.append(found);
    if let Some(broker) = &watch.broker {
        let mib = broker.peak_rss_kib() / 1024;
        report.add("broker_peak_rss_mib", json!(mib), format!("{mib} MiB"));
    }
    Ok(report)
}

fn broker_process(text: &str, port: u16) -> Result<BrokerProcess, ClientError> {
    let pid = match text {
        "auto" => process::listener_of(port).ok_or_else(|| {
            ClientError::Usage(format!("--broker-pid: no process that we may see listens on port {port}"))
        })?,
        number => number.parse().map_err(|_| {
            ClientError::Usage(format!("--broker-pid: {number:?} is neither a number nor auto"))
        })?,
    };
    BrokerProcess::of(pid)
        .ok_or_else(|| ClientError::Usage(format!("--broker-pid: there is no process {pid}")))
}

fn traffic(target: &Target, plan: &Plan, watch: &mut Watch, clock: Clock) -> Result<Report, ClientError> {
    let mut report = Report::default();
    let found = traffic::run(target, plan, None, watch, clock)?;
    report.add("broker", json!(found.product), &*found.product);
    found.report(plan, &mut report);
    Ok(report)
}

/// Fills, drains, or both. What is drained must be all that was filled: it is known from the plan, or from the fill before.
fn backlog(
    target: &Target,
    plan: &Plan,
    own: &Backlog,
    watch: &mut Watch,
    clock: Clock,
) -> Result<Report, ClientError> {
    let mut report = Report::default();
    let mut before: Option<Vec<u64>> = (0..plan.publishers).map(|publisher| plan.quota(publisher)).collect();
    if !own.only_drain {
        let fill = Plan { consumers: 0, deletes_queues: false, ..plan.clone() };
        let found = traffic::run(target, &fill, None, watch, clock)?;
        report.add("broker", json!(found.product), &*found.product);
        found.report(&fill, &mut report);
        before = Some(found.sent_by_publisher.clone());
        if let Some(broker) = &mut watch.broker {
            let mib = broker.rss_kib() / 1024;
            report.add("filled_rss_mib", json!(mib), format!("{mib} MiB"));
        }
    }
    if !own.only_fill {
        let before = before.ok_or_else(|| {
            ClientError::Usage("--only-drain: how much is there is known with --messages only".to_owned())
        })?;
        let drain = Plan { makes_queues: false, extent: Extent::Messages(0), ..plan.clone() };
        let found = traffic::run(target, &drain, Some(&before), watch, clock)?;
        if own.only_drain {
            report.add("broker", json!(found.product), &*found.product);
        }
        found.report(&drain, &mut report);
    }
    Ok(report)
}

fn note_plan(plan: &Plan, report: &mut Report) {
    let kind = if plan.persistent { "persistent" } else { "transient" };
    let window = match plan.window {
        0 => "no confirms".to_owned(),
        window => format!("window {window}"),
    };
    let rate = plan.rate.map(|rate| format!(", {rate} a second")).unwrap_or_default();
    let text = format!(
        "{} publishers, {} queues, {} consumers, {} bytes {kind}, {window}{rate}",
        plan.publishers, plan.queues, plan.consumers, plan.size
    );
    report.add("plan", json!(text), &*text);
    for (key, value) in [
        ("publishers", json!(plan.publishers)),
        ("consumers", json!(plan.consumers)),
        ("queues", json!(plan.queues)),
        ("size", json!(plan.size)),
        ("persistent", json!(plan.persistent)),
        ("window", json!(plan.window)),
        ("rate", json!(plan.rate)),
    ] {
        report.note(key, value);
    }
}
