//! The real store under a vhost, on a simulated disk and without threads: every step of it happens when the test says so.

use ledgermq::message::Message;
use ledgermq::vhost::input::{Effect, Input, LogProgress};
use ledgermq::vhost::log::{Log, LogRefused, LoggedPublish, LoggedSettle, Stored};
use ledgermq_storage::{
    AppendError, DefinitionKey, DeliveredRange, Disk, GroupId, Lsn, Options, Publish, QueueId, Reader,
    Recovered, Seq, Settle, SettleReason, SimDisk, Store, StoredMessage, Wal, Wanted,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) const GROUP: GroupId = GroupId(1);

/// Opens the store on a disk. Segments are small, so that a test goes through many.
pub(super) fn open(disk: &SimDisk, seed: u64) -> (Store, Recovered) {
    let counter = AtomicU64::new(seed);
    let mut options = Options::new(Arc::new(|| 1_700_000_000_000), Arc::new(|| 0));
    options.segment_bytes = 64 * 1024;
    options.disk_low_bytes = 0;
    options.threads = false;
    options.checkpoint_bytes = 96 * 1024;
    options.checkpoint_ms = 50;
    options.export_bytes = 128 * 1024;
    options.export_ms = 100;
    options.random = Arc::new(move || {
        counter.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    });
    Store::open(Arc::new(disk.clone()), options, &mut |_| {}).expect("every crash can be recovered from")
}

/// Whether a file of the store is of this kind.
fn is_of(name: &str, kind: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| extension == kind)
}

/// Removes what a store can do without: the indexes of segments, and of the whole index the newest copy, or all of them
/// where the log is there from its beginning. (The database is a further copy, which simulated disks do not have.)
pub(super) fn remove_index(disk: &SimDisk) {
    let mut names = disk.names();
    names.sort_unstable();
    let has_beginning = names.iter().any(|name| name == "wal/0000000000000001.seg");
    let mut copies: Vec<_> = names.iter().filter(|name| is_of(name, "ckpt")).collect();
    if !has_beginning {
        copies.drain(..copies.len().saturating_sub(1));
        if names.iter().filter(|name| is_of(name, "ckpt")).count() < 2 {
            copies.clear();
        }
    }
    let of_segments = names.iter().filter(|name| is_of(name, "idx"));
    for name in of_segments.chain(copies) {
        disk.remove(name).expect("a file that is there can be removed");
    }
}

/// How far the store is.
pub(super) fn progress(store: &Store) -> LogProgress {
    let progress = store.status().expect("the disk is on").progress;
    LogProgress { durable: progress.durable, written: progress.written, sealed_below: progress.sealed_below }
}

/// Does what a vhost asks of the disk.
pub(super) fn answer(reader: &Reader, read: Effect) -> Input {
    match read {
        Effect::ReadBodies { queue, wanted } => {
            Input::Bodies { queue, bodies: bodies(reader, queue, &wanted) }
        }
        Effect::ReadEntries { queue, run } => {
            let entries = reader.entries(queue, &run).map_err(|error| error.to_string());
            Input::Entries { queue, run, entries }
        }
        other => panic!("not asked for here: {other:?}"),
    }
}

pub(super) type Bodies = Vec<(Seq, Result<Arc<Message>, String>)>;

pub(super) fn bodies(reader: &Reader, queue: QueueId, wanted: &[(Seq, Lsn, u32)]) -> Bodies {
    let of = |&(seq, lsn, record_bytes): &(Seq, Lsn, u32)| Wanted { lsn, record_bytes, queue, seq };
    let asked: Vec<_> = wanted.iter().map(of).collect();
    let read = reader.messages(&asked).into_iter().map(|found| match found {
        Ok(StoredMessage { exchange, routing_key, properties, body, persistent, dead_lettered, .. }) => {
            Ok(Arc::new(Message { exchange, routing_key, properties, body, persistent, dead_lettered }))
        }
        Err(error) => Err(error.to_string()),
    });
    wanted.iter().map(|(seq, ..)| *seq).zip(read).collect()
}

/// The store's log as a vhost sees it.
pub(super) struct StoreLog(pub(super) Wal);

impl Log for StoreLog {
    fn publish(&mut self, publish: LoggedPublish<'_>) -> Result<Stored, LogRefused> {
        self.0.publish(GROUP, &record(&publish)).map(stored).map_err(refused)
    }

    fn settle(&mut self, LoggedSettle { queue, seq, reason }: LoggedSettle) -> Lsn {
        self.0.settle(GROUP, Settle { queue, seq, reason })
    }

    fn settle_range(&mut self, queue: QueueId, range: (Seq, Seq), reason: SettleReason) -> Lsn {
        self.0.settle_range(GROUP, queue, range, reason)
    }

    fn transaction(
        &mut self,
        publishes: &[LoggedPublish<'_>],
        settles: &[LoggedSettle],
    ) -> Result<(Lsn, Vec<Stored>), LogRefused> {
        let publishes: Vec<_> = publishes.iter().map(record).collect();
        let settle = |one: &LoggedSettle| Settle { queue: one.queue, seq: one.seq, reason: one.reason };
        let settles: Vec<_> = settles.iter().map(settle).collect();
        let (lsn, parts) = self.0.transaction(GROUP, &publishes, &settles).map_err(refused)?;
        Ok((lsn, parts.into_iter().map(stored).collect()))
    }

    fn define(&mut self, changes: &[(DefinitionKey, Option<Vec<u8>>)]) -> Lsn {
        self.0.define(GROUP, changes)
    }

    fn purge(&mut self, queue: QueueId, last: Seq, kept: &[Seq]) -> Lsn {
        self.0.purge(GROUP, queue, last, kept)
    }

    fn drop_queue(&mut self, queue: QueueId, changes: &[(DefinitionKey, Option<Vec<u8>>)]) -> Lsn {
        self.0.drop_queue(GROUP, queue, changes)
    }

    fn delivered(&mut self, queue: QueueId, first: Seq, last: Seq, count: u32) {
        self.0.delivered(GROUP, &[DeliveredRange { queue, first, last, count }]);
    }

    fn next_queue_id(&mut self) -> QueueId {
        self.0.next_queue_id()
    }

    fn flush(&mut self) {
        self.0.flush();
    }

    fn flush_written(&mut self) {
        self.0.flush_written();
    }

    fn group(&self) -> GroupId {
        GROUP
    }
}

fn record<'a>(publish: &LoggedPublish<'a>) -> Publish<'a> {
    let message = publish.message;
    Publish {
        exchange: &message.exchange,
        routing_key: &message.routing_key,
        properties: &message.properties,
        body: &message.body,
        persistent: message.persistent,
        dead_lettered: message.dead_lettered,
        slots: publish.slots,
    }
}

fn stored(stored: ledgermq_storage::Stored) -> Stored {
    Stored { lsn: stored.lsn, record_bytes: stored.record_bytes }
}

fn refused(error: AppendError) -> LogRefused {
    match error {
        AppendError::NoSpace => LogRefused::NoSpace,
        AppendError::TooLarge => LogRefused::TooLarge,
    }
}
