//! A run of publishers and consumers: connects all of them, lets them go at once, waits until everything that was published has
//! come or nothing moves any more, and holds what came against what was sent.

use super::consumer::{Consumed, Consumer};
use super::latency::{Latencies, Percentiles};
use super::plan::{Extent, Plan};
use super::process::own_cpu_s;
use super::publisher::{Published, Publisher};
use super::report::{Report, rounded};
use super::seen::{Seen, Wrongs};
use super::state::State;
use super::topology;
use super::watch::{TICK, Watch};
use crate::cli::client::connection::{ANSWERS_BUFFER_BYTES, Connection, DELIVERIES_BUFFER_BYTES};
use crate::cli::client::error::ClientError;
use crate::cli::client::target::Target;
use crate::clock::Clock;
use serde_json::json;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;

/// What a run found.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) product: String,
    sent: u64,
    /// What each publisher sent.
    pub(super) sent_by_publisher: Vec<u64>,
    confirmed: u64,
    nacked: u64,
    returned: u64,
    held_count: u64,
    delivered: u64,
    redelivered: u64,
    /// From the beginning to the last confirm, and to the last delivery.
    publish_s: f64,
    deliver_s: f64,
    confirm_us: Percentiles,
    deliver_us: Percentiles,
    wrongs: Wrongs,
    /// Processor seconds of the broker and of this program.
    broker_cpu_s: Option<f64>,
    own_cpu_s: f64,
}

/// What has ended.
enum Ended {
    Publisher(Result<Published, ClientError>),
    Consumer(Result<Consumed, ClientError>),
}

/// Runs the plan. Where the messages were published by an earlier run of the same plan, `published_before` is what each publisher
/// of that run sent.
pub(super) fn run(
    target: &Target,
    plan: &Plan,
    published_before: Option<&[u64]>,
    watch: &mut Watch,
    clock: Clock,
) -> Result<Traffic, ClientError> {
    plan.check()?;
    let mut setup = Connection::open(target, clock, ANSWERS_BUFFER_BYTES)?;
    topology::make(&mut setup, plan)?;
    let publishing = published_before.is_none();
    let mut consumers = Vec::new();
    for number in 0..plan.consumers {
        let connection = Connection::open(target, clock, DELIVERIES_BUFFER_BYTES)?;
        consumers.push(Consumer::new(plan, number, connection)?);
    }
    let mut publishers = Vec::new();
    for number in 0..if publishing { plan.publishers } else { 0 } {
        let connection = Connection::open(target, clock, ANSWERS_BUFFER_BYTES)?;
        publishers.push(Publisher::new(plan, number, connection)?);
    }
    let broker_cpu_before = watch.broker.as_mut().map(super::process::BrokerProcess::cpu_s);
    let own_cpu_before = own_cpu_s();
    let seconds = match plan.extent {
        Extent::Seconds(seconds) => Some(seconds),
        Extent::Messages(_) => None,
    };
    let state = State::begin(clock, seconds)?;
    let (published, consumed) = drive(publishers, consumers, plan, published_before, &state, watch)?;
    let mut traffic = Traffic {
        product: setup.product.clone(),
        broker_cpu_s: watch
            .broker
            .as_mut()
            .zip(broker_cpu_before)
            .map(|(broker, before)| broker.cpu_s() - before),
        own_cpu_s: own_cpu_s() - own_cpu_before,
        ..Traffic::default()
    };
    traffic.sum_up(plan, &published, &consumed, published_before, &state);
    topology::remove(&mut setup, plan)?;
    setup.close()?;
    Ok(traffic)
}

/// Runs everybody to the end.
fn drive(
    publishers: Vec<Publisher>,
    consumers: Vec<Consumer>,
    plan: &Plan,
    published_before: Option<&[u64]>,
    state: &State,
    watch: &mut Watch,
) -> Result<(Vec<Published>, Vec<Consumed>), ClientError> {
    let (mut publishing, mut consuming) = (publishers.len(), consumers.len());
    let (mut published, mut consumed) = (Vec::new(), Vec::new());
    let mut failure = None;
    watch.begin(state.begin_ns);
    if let Some(before) = published_before {
        state.expect(deliveries_due(plan, before));
    }
    thread::scope(|scope| {
        let (sender, ended) = mpsc::channel();
        for consumer in consumers {
            let sender = sender.clone();
            scope.spawn(move || tell(&sender, Ended::Consumer(consumer.run(state))));
        }
        for publisher in publishers {
            let sender = sender.clone();
            scope.spawn(move || tell(&sender, Ended::Publisher(publisher.run(state))));
        }
        drop(sender);
        while publishing + consuming > 0 {
            let mut fail = |error: ClientError| {
                if failure.is_none() && !matches!(error, ClientError::Aborted) {
                    failure = Some(error);
                }
                state.abort();
            };
            match ended.recv_timeout(TICK) {
                Ok(Ended::Publisher(outcome)) => {
                    publishing -= 1;
                    match outcome {
                        Ok(one) => published.push(one),
                        Err(error) => fail(error),
                    }
                    if publishing == 0 && published_before.is_none() {
                        let sent: Vec<u64> = sent_by_publisher(plan, &published);
                        let nacked: u64 = published.iter().map(|one| one.nacked).sum();
                        state.expect(deliveries_due(plan, &sent).saturating_sub(nacked));
                    }
                }
                Ok(Ended::Consumer(outcome)) => {
                    consuming -= 1;
                    match outcome {
                        Ok(one) => consumed.push(one),
                        Err(error) => fail(error),
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                // A thread that panicked sent nothing; the scope passes its panic on.
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if watch.look(state.clock.now_ns(), state.progress()) {
                if publishing > 0 {
                    fail(ClientError::Silent {
                        while_doing: "with publishes that it has not confirmed".to_owned(),
                        seconds: watch.patience_ns / 1_000_000_000,
                    });
                } else {
                    state.give_up();
                }
            }
        }
    });
    match failure {
        Some(error) => Err(error),
        None => Ok((published, consumed)),
    }
}

fn tell(sender: &Sender<Ended>, ended: Ended) {
    // The receiver outlives the threads.
    let _ = sender.send(ended);
}

fn sent_by_publisher(plan: &Plan, published: &[Published]) -> Vec<u64> {
    let mut sent = vec![0; plan.publishers];
    for one in published {
        if let Some(slot) = sent.get_mut(one.publisher) {
            *slot = one.sent;
        }
    }
    sent
}

/// How many deliveries consumers are owed for what each publisher sent.
fn deliveries_due(plan: &Plan, sent: &[u64]) -> u64 {
    if plan.consumers == 0 {
        return 0;
    }
    let by_queue = sent.iter().enumerate().flat_map(|(number, sent)| plan.sent_by_queue(number, *sent));
    by_queue.map(|(_, count)| count).sum()
}

impl Traffic {
    fn sum_up(
        &mut self,
        plan: &Plan,
        published: &[Published],
        consumed: &[Consumed],
        published_before: Option<&[u64]>,
        state: &State,
    ) {
        let (mut confirm_us, mut deliver_us) = (Latencies::new(), Latencies::new());
        let seconds = |end_ns: u64| end_ns.saturating_sub(state.begin_ns) as f64 / 1e9;
        for one in published {
            self.sent += one.sent;
            self.confirmed += one.confirmed;
            self.nacked += one.nacked;
            self.returned += one.returned;
            self.held_count += one.held_count;
            self.publish_s = self.publish_s.max(seconds(one.end_ns));
            confirm_us.merge(&one.confirm_us);
        }
        let mut damaged = 0;
        for one in consumed {
            self.delivered += one.count;
            self.redelivered += one.redelivered;
            damaged += one.damaged;
            self.deliver_s = self.deliver_s.max(seconds(one.end_ns));
            deliver_us.merge(&one.deliver_us);
        }
        self.confirm_us = confirm_us.percentiles();
        if published_before.is_none() {
            // Stamps of another run tell another run's time.
            self.deliver_us = deliver_us.percentiles();
        }
        self.sent_by_publisher =
            published_before.map_or_else(|| sent_by_publisher(plan, published), <[u64]>::to_vec);
        if plan.consumers > 0 {
            self.wrongs = wrongs(plan, &self.sent_by_publisher, consumed);
            self.wrongs.damaged += damaged;
            // What was refused is not lost, and what came damaged is not missing besides.
            self.wrongs.lost = self.wrongs.lost.saturating_sub(self.nacked + damaged);
        }
    }

    /// Adds its figures to a report.
    pub(super) fn report(&self, plan: &Plan, report: &mut Report) {
        let mut count = |key, count: u64| {
            report.add(key, json!(count), if count > 0 { count.to_string() } else { String::new() });
        };
        if self.sent > 0 {
            count("nacked", self.nacked);
            count("returned", self.returned);
            count("pauses_asked_for", self.held_count);
            report.rate(["published", "published_per_s"], self.sent, self.publish_s, plan.size);
            report.note("confirmed", json!(self.confirmed));
            report.latencies("confirm_us", self.confirm_us);
        }
        if plan.consumers > 0 {
            report.rate(["delivered", "delivered_per_s"], self.delivered, self.deliver_s, plan.size);
            report.latencies("deliver_us", self.deliver_us);
            report.add("redelivered", json!(self.redelivered), "");
            report.wrongs(self.wrongs);
        }
        // What the broker did: each message in, or each copy out where there are more of them.
        let per = self.sent.max(self.delivered).max(1) as f64 / 1e6;
        let is_drain = self.sent == 0;
        let mut cpu = |key, cpu_s: f64| {
            let text = format!("{cpu_s:.2} s, {:.2} s per million messages", cpu_s / per);
            report.add(key, json!(rounded(cpu_s / per)), text);
        };
        if let Some(cpu_s) = self.broker_cpu_s {
            let key = if is_drain { "drain_broker_cpu_s_per_million" } else { "broker_cpu_s_per_million" };
            cpu(key, cpu_s);
        }
        cpu(if is_drain { "drain_own_cpu_s_per_million" } else { "own_cpu_s_per_million" }, self.own_cpu_s);
    }
}

/// Holds what all consumers saw against what each publisher sent.
fn wrongs(plan: &Plan, sent: &[u64], consumed: &[Consumed]) -> Wrongs {
    let mut due = vec![vec![0; plan.publishers]; plan.queues];
    for (publisher, sent) in sent.iter().enumerate() {
        for (queue, count) in plan.sent_by_queue(publisher, *sent) {
            if let Some(slot) = due.get_mut(queue).and_then(|by_publisher| by_publisher.get_mut(publisher)) {
                *slot = count;
            }
        }
    }
    let mut sum = Wrongs::default();
    for (queue, due) in due.iter().enumerate() {
        let mut by_publisher = vec![Seen::default(); plan.publishers];
        for one in consumed {
            let Some(seen) = one.queues.iter().position(|its| *its == queue).and_then(|at| one.seen.get(at))
            else {
                continue;
            };
            by_publisher.iter_mut().zip(seen).for_each(|(all, seen)| all.merge(seen));
        }
        for (seen, due) in by_publisher.iter().zip(due) {
            let wrongs = seen.wrongs(*due);
            sum.lost += wrongs.lost;
            sum.doubled += wrongs.doubled;
            sum.reordered += wrongs.reordered;
            sum.damaged += wrongs.damaged;
        }
    }
    sum
}
