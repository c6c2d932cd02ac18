//! The workload of definitions: declares many durable queues, each of which a broker must put on disk, and deletes them again.

use super::lanes::{self, Until};
use super::options::{Common, Declare};
use super::report::{Report, rounded};
use super::topology::ask_to_declare_queue;
use super::watch::Watch;
use crate::cli::client::connection::Connection;
use crate::cli::client::error::ClientError;
use crate::cli::client::target::Target;
use crate::cli::client::topology::delete_queue;
use crate::cli::client::wire::Method;
use crate::clock::Clock;
use serde_json::json;

/// Declares queues, over several connections and several at once on each, then deletes them.
pub(super) fn run(
    target: &Target,
    common: &Common,
    own: &Declare,
    watch: &mut Watch,
    clock: Clock,
) -> Result<Report, ClientError> {
    let (count, prefix) = (own.count, &common.prefix);
    let product = {
        let mut connection = Connection::open_small(target, clock)?;
        // What an earlier run has left would make the first declarations cheaper.
        for number in 0..count {
            delete_queue(&mut connection, &name(prefix, number))?;
        }
        let product = connection.product.clone();
        connection.close()?;
        product
    };
    let rss_before_kib = watch.broker.as_mut().map(super::process::BrokerProcess::rss_kib);
    let open = || Connection::open_small(target, clock);
    let declare = |connection: &mut Connection, batch: u64| {
        let numbers = batch * own.window..count.min((batch + 1) * own.window);
        for number in numbers.clone() {
            ask_to_declare_queue(connection, &name(prefix, number), &common.queue_argument);
        }
        numbers.into_iter().try_for_each(|_| connection.answer_of(Method::QUEUE_DECLARE).map(drop))
    };
    let batches = Until::Count(count.div_ceil(own.window));
    let declared = lanes::run(own.at_a_time, batches, watch, clock, open, declare, Connection::close)?;
    let rss_kib = watch.broker.as_mut().map(super::process::BrokerProcess::rss_kib);

    let mut report = Report::default();
    report.add("broker", json!(product), product);
    report.rate(["declared", "declared_per_s"], count, declared.seconds, 0);
    report.latencies("declare_us", declared.each_us.percentiles());
    if !own.keep {
        let delete = |connection: &mut Connection, number| delete_queue(connection, &name(prefix, number));
        let all = Until::Count(count);
        let deleted = lanes::run(own.at_a_time, all, watch, clock, open, delete, Connection::close)?;
        report.rate(["deleted", "deleted_per_s"], deleted.count, deleted.seconds, 0);
        report.latencies("delete_us", deleted.each_us.percentiles());
    }
    if let Some((before, after)) = rss_before_kib.zip(rss_kib) {
        let each_kib = after.saturating_sub(before) as f64 / count.max(1) as f64;
        report.add("rss_kib_per_queue", json!(rounded(each_kib)), format!("{each_kib:.1} KiB"));
    }
    Ok(report)
}

fn name(prefix: &str, number: u64) -> String {
    format!("{prefix}-declared-{number}")
}
