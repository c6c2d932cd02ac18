//! The WAL behind the vhost's port: one vhost's view of the log all vhosts share. Translates types; decides nothing.

use crate::vhost::log::{Log, LogRefused, LoggedPublish, LoggedSettle, Stored};
use ledgermq_storage::{
    AppendError, DefinitionKey, DeliveredRange, GroupId, Lsn, Publish, QueueId, Seq, Settle, SettleReason,
    Wal,
};

/// One vhost's view of the log.
#[derive(Debug)]
pub struct WalLog {
    wal: Wal,
    group: GroupId,
    /// The first publish since somebody asked for it.
    first_publish: Lsn,
}

impl WalLog {
    /// The records of `group` in `wal`.
    pub fn new(wal: Wal, group: GroupId) -> Self {
        Self { wal, group, first_publish: Lsn::NONE }
    }

    /// Where the first publish since the last call is; [`Lsn::NONE`] if there was none.
    pub(super) fn take_first_publish(&mut self) -> Lsn {
        std::mem::replace(&mut self.first_publish, Lsn::NONE)
    }
}

impl Log for WalLog {
    fn publish(&mut self, publish: LoggedPublish<'_>) -> Result<Stored, LogRefused> {
        let stored = self.wal.publish(self.group, &record_of(&publish)).map(stored).map_err(refused)?;
        if self.first_publish == Lsn::NONE {
            self.first_publish = stored.lsn;
        }
        Ok(stored)
    }

    fn settle(&mut self, settle: LoggedSettle) -> Lsn {
        self.wal.settle(self.group, settle_of(&settle))
    }

    fn settle_range(&mut self, queue: QueueId, range: (Seq, Seq), reason: SettleReason) -> Lsn {
        self.wal.settle_range(self.group, queue, range, reason)
    }

    fn transaction(
        &mut self,
        publishes: &[LoggedPublish<'_>],
        settles: &[LoggedSettle],
    ) -> Result<(Lsn, Vec<Stored>), LogRefused> {
        let publishes: Vec<_> = publishes.iter().map(record_of).collect();
        let settles: Vec<_> = settles.iter().map(settle_of).collect();
        let (lsn, parts) = self.wal.transaction(self.group, &publishes, &settles).map_err(refused)?;
        Ok((lsn, parts.into_iter().map(stored).collect()))
    }

    fn define(&mut self, changes: &[(DefinitionKey, Option<Vec<u8>>)]) -> Lsn {
        self.wal.define(self.group, changes)
    }

    fn purge(&mut self, queue: QueueId, last: Seq, kept: &[Seq]) -> Lsn {
        self.wal.purge(self.group, queue, last, kept)
    }

    fn drop_queue(&mut self, queue: QueueId, changes: &[(DefinitionKey, Option<Vec<u8>>)]) -> Lsn {
        self.wal.drop_queue(self.group, queue, changes)
    }

    fn delivered(&mut self, queue: QueueId, first: Seq, last: Seq, count: u32) {
        self.wal.delivered(self.group, &[DeliveredRange { queue, first, last, count }]);
    }

    fn next_queue_id(&mut self) -> QueueId {
        self.wal.next_queue_id()
    }

    fn flush(&mut self) {
        self.wal.flush();
    }

    fn flush_written(&mut self) {
        self.wal.flush_written();
    }

    fn group(&self) -> GroupId {
        self.group
    }
}

fn record_of<'a>(publish: &LoggedPublish<'a>) -> Publish<'a> {
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

fn settle_of(settle: &LoggedSettle) -> Settle {
    Settle { queue: settle.queue, seq: settle.seq, reason: settle.reason }
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
