//! The way of a persistent publish from the bytes of a socket to the bytes of its confirm, without socket and disk: the
//! connection machine, the vhost, the record in the log's format, and back. A batch of a thousand messages is what a busy
//! connection brings in one read.
//! Run: `cargo bench --bench publish_confirm`.

#[path = "../tests/support/mod.rs"]
mod support;

use bytes::Buf;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ledgermq::budget::Budget;
use ledgermq::vhost::command::ConnectionId;
use ledgermq::vhost::events::EventTap;
use ledgermq::vhost::input::{AdminCommand, AdminId, Effects, Input, LogProgress, Operator};
use ledgermq::vhost::log::{Log, LogRefused, LoggedPublish, LoggedSettle, Stored};
use ledgermq::vhost::{Now, Vhost, VhostConfig};
use ledgermq_storage::record_encode::{Stamp, encode_publish, publish_bytes};
use ledgermq_storage::{DefinitionKey, GroupId, Lsn, Publish, QueueId, Seq, SettleReason};
use std::hint::black_box;
use std::time::{Duration, Instant};
use support::machine::Machine;
use support::wire;

const BATCH: usize = 1000;
const NOW: Now = Now { monotonic_ms: 0, unix_ms: 1_700_000_000_000 };

/// Encodes publishes as the staging buffer does, and forgets them.
#[derive(Default)]
struct EncodingLog {
    staged: Vec<u8>,
    end: u64,
}

impl EncodingLog {
    fn append(&mut self, bytes: usize) -> Stored {
        let lsn = Lsn(self.end);
        self.end += bytes as u64;
        Stored { lsn, record_bytes: bytes as u32 }
    }
}

impl Log for EncodingLog {
    fn publish(&mut self, LoggedPublish { message, slots }: LoggedPublish<'_>) -> Result<Stored, LogRefused> {
        let publish = Publish {
            exchange: &message.exchange,
            routing_key: &message.routing_key,
            properties: &message.properties,
            body: &message.body,
            persistent: message.persistent,
            dead_lettered: message.dead_lettered,
            slots,
        };
        let bytes = publish_bytes(&publish).ok_or(LogRefused::TooLarge)?;
        let stamp = Stamp { group: GroupId(1), number: self.end, unix_ms: NOW.unix_ms, seed: 7 };
        encode_publish(&mut self.staged, &stamp, &publish);
        Ok(self.append(bytes))
    }

    fn settle(&mut self, _: LoggedSettle) -> Lsn {
        self.append(8).lsn
    }

    fn settle_range(&mut self, _: QueueId, _: (Seq, Seq), _: SettleReason) -> Lsn {
        self.append(8).lsn
    }

    fn transaction(
        &mut self,
        _: &[LoggedPublish<'_>],
        _: &[LoggedSettle],
    ) -> Result<(Lsn, Vec<Stored>), LogRefused> {
        Err(LogRefused::TooLarge)
    }

    fn define(&mut self, _: &[(DefinitionKey, Option<Vec<u8>>)]) -> Lsn {
        self.append(8).lsn
    }

    fn purge(&mut self, _: QueueId, _: Seq, _: &[Seq]) -> Lsn {
        self.append(8).lsn
    }

    fn drop_queue(&mut self, _: QueueId, _: &[(DefinitionKey, Option<Vec<u8>>)]) -> Lsn {
        self.append(8).lsn
    }

    fn delivered(&mut self, _: QueueId, _: Seq, _: Seq, _: u32) {}

    fn next_queue_id(&mut self) -> QueueId {
        QueueId(1)
    }

    fn flush(&mut self) {}

    fn group(&self) -> GroupId {
        GroupId(1)
    }
}

/// A connection, its vhost and the log, with a durable queue `q` and confirms on channel 1.
struct Broker {
    machine: Machine,
    vhost: Vhost,
    log: EncodingLog,
    effects: Effects,
}

impl Broker {
    fn new() -> Self {
        let config = VhostConfig {
            name: "/".into(),
            deliver: ledgermq::vhost::DeliverMode::default(),
            consumer_timeout_ms: 0,
            budget: Budget::new(1 << 30),
            names_seed: [0; 32],
            events: EventTap::default(),
        };
        let mut broker = Self {
            machine: Machine::open(),
            vhost: Vhost::new(config),
            log: EncodingLog { end: 64, ..EncodingLog::default() },
            effects: Effects::default(),
        };
        broker.vhost.apply(Input::Attach(ConnectionId(1)), NOW, &mut broker.log, &mut broker.effects);
        for method in ["channel.open", "confirm.select", "queue.declare queue=q durable=true"] {
            broker.machine.send(1, method);
            broker.turn();
        }
        let said = broker.machine.heard();
        assert_eq!(
            said.last().map(String::as_str),
            Some("1 queue.declare-ok queue=\"q\" message-count=0 consumer-count=0")
        );
        broker
    }

    /// What was read goes to the vhost, the log gets it to disk, and the answers go to the connection.
    fn turn(&mut self) {
        let commands = self.machine.commands();
        self.vhost.apply(Input::Commands(commands), NOW, &mut self.log, &mut self.effects);
        let end = Lsn(self.log.end);
        let progress = LogProgress { durable: end, written: end, ..LogProgress::default() };
        self.vhost.apply(Input::Progress(progress), NOW, &mut self.log, &mut self.effects);
        self.log.staged.clear();
        let notices = std::mem::take(&mut self.effects.notices);
        self.machine.connection.notices(notices.into_iter(), 0, &mut self.machine.effects);
    }

    /// From bytes to confirms; answers how many bytes of confirms there were.
    fn publish(&mut self, input: &[u8]) -> usize {
        let mut rest = input;
        while !rest.is_empty() {
            let consumed = self.machine.connection.receive(rest, 0, &mut self.machine.effects);
            assert!(consumed > 0, "whole frames are consumed");
            rest = rest.get(consumed..).unwrap_or_default();
        }
        self.turn();
        let confirms = self.machine.effects.outbound.remaining();
        self.machine.effects.outbound.advance(confirms);
        confirms
    }

    /// So that the queue does not grow from batch to batch.
    fn empty(&mut self) {
        let purge = Input::Admin(AdminId(0), Operator::default(), AdminCommand::PurgeQueue("q".into()));
        self.vhost.apply(purge, NOW, &mut self.log, &mut self.effects);
        self.turn();
        self.effects.effects.clear();
    }
}

/// A batch of publishes as a client writes them.
fn publishes(body_bytes: usize) -> Vec<u8> {
    let body = "x".repeat(body_bytes);
    let publish = format!("basic.publish routing-key=q properties={{delivery-mode=2}} body=\"{body}\"");
    wire::encode(1, &publish).repeat(BATCH)
}

fn publish_confirm(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publish_confirm");
    group.throughput(Throughput::Elements(BATCH as u64));
    for body_bytes in [16, 1024] {
        let input = publishes(body_bytes);
        let mut broker = Broker::new();
        group.bench_function(format!("{body_bytes} B"), |bencher| {
            bencher.iter_custom(|batches| {
                let mut total = Duration::ZERO;
                for _ in 0..batches {
                    let began = Instant::now();
                    assert!(black_box(broker.publish(black_box(&input))) > 0, "confirmed");
                    total += began.elapsed();
                    broker.empty();
                }
                total
            });
        });
    }
    group.finish();
}

criterion_group!(benches, publish_confirm);
criterion_main!(benches);
