//! What a vhost asks of the WAL, as a port: the broker puts `ledgermq_storage::Wal` behind it, tests a list.
//! Everything here is append-only and answers at once with a position; durability is told later as a watermark.

use crate::message::Message;
use ledgermq_storage::{DefinitionKey, GroupId, Lsn, QueueId, Seq, SettleReason, Slot};

/// Why a record was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRefused {
    /// No space on the disk: the publish must be refused (basic.nack, or 406 in a transaction). Acks, deletes and purges
    /// are never refused for space: a reserve keeps room for them.
    NoSpace,
    /// The record is larger than the log can hold.
    TooLarge,
}

/// A publish inside a transaction or alone: one message, its place in every queue that stores it.
#[derive(Clone, Copy, Debug)]
pub struct LoggedPublish<'a> {
    /// The message.
    pub message: &'a Message,
    /// One slot per durable queue; at least one.
    pub slots: &'a [Slot],
}

/// One settled message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedSettle {
    /// Queue.
    pub queue: QueueId,
    /// Position in it.
    pub seq: Seq,
    /// Why it is gone.
    pub reason: SettleReason,
}

/// Where a logged message lies: what its queue entries keep to read it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Position of its record (within a transaction: of its part of the record).
    pub lsn: Lsn,
    /// Length of the record in bytes, as given back in [`super::input::Effect::ReadBodies`].
    pub record_bytes: u32,
}

/// The WAL as a vhost sees it. `Lsn`s returned grow; a record is durable once its `Lsn` is below the durable LSN.
pub trait Log {
    /// Appends a message with its slots.
    fn publish(&mut self, publish: LoggedPublish<'_>) -> Result<Stored, LogRefused>;
    /// Notes that a logged message is gone. Merged with its neighbours and written with the next batch.
    fn settle(&mut self, settle: LoggedSettle) -> Lsn;
    /// Notes that the logged messages from `first` to `last` are gone, all for one reason; as [`Log::settle`] for each.
    fn settle_range(&mut self, queue: QueueId, range: (Seq, Seq), reason: SettleReason) -> Lsn;
    /// Appends publishes and settles as one record: after any crash all of them are there or none. Returns the position
    /// of the record and, for each publish in order, what its queue entries keep for reading it back.
    fn transaction(
        &mut self,
        publishes: &[LoggedPublish<'_>],
        settles: &[LoggedSettle],
    ) -> Result<(Lsn, Vec<Stored>), LogRefused>;
    /// Sets (`Some`) or removes definitions of this vhost, all in one record.
    fn define(&mut self, changes: &[(DefinitionKey, Option<Vec<u8>>)]) -> Lsn;
    /// Removes every message of the queue up to and including `last`, but those in `kept` (unacked ones).
    fn purge(&mut self, queue: QueueId, last: Seq, kept: &[Seq]) -> Lsn;
    /// Removes a queue with all its messages and its definitions (`changes`, all `None`), in one record.
    fn drop_queue(&mut self, queue: QueueId, changes: &[(DefinitionKey, Option<Vec<u8>>)]) -> Lsn;
    /// Notes, at a clean stop, that the messages from `first` to `last` were delivered `count` times without being
    /// settled, so that the next start flags them as redelivered.
    fn delivered(&mut self, queue: QueueId, first: Seq, last: Seq, count: u32);
    /// A queue id never used before in this store.
    fn next_queue_id(&mut self) -> QueueId;
    /// Asks that everything appended so far be written and synced without waiting for company.
    fn flush(&mut self);
    /// Asks that everything appended so far be written now, so that it outlives the process; it may be synced later.
    fn flush_written(&mut self) {
        self.flush();
    }
    /// The group of this vhost's records.
    fn group(&self) -> GroupId;
}
