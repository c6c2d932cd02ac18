//! The staging buffer: records appended and not yet handed to the commit thread. Each append encodes its record straight
//! into the open batch, at the place it will have on disk, so its position is known at once and nothing is copied again.
//! It plans the layout of the log: which batch goes where, when a segment is full. It does no IO and takes no lock.
//!
//! Invariants: batches are laid out back to back at multiples of 4096; the open batch keeps room for its pending
//! settles; the last page of a segment is kept free for a seal.

use crate::error::AppendError;
use crate::field::Fields;
use crate::frame::{BufferPool, FRAME_HEADER_BYTES, FrameBuffer};
use crate::ids::{GroupId, Lsn, QueueId, SegmentId, Seq};
use crate::limits::{
    ACK_FLUSH_BYTES, BATCH_BYTES_TARGET, CHANGES_MAX, DEFINITION_NAME_BYTES_MAX, DEFINITION_VALUE_BYTES_MAX,
    FRAME_PAYLOAD_BYTES_MAX, LIST_ITEMS_MAX, PAGE_BYTES, SETTLE_RANGES_MAX,
};
use crate::options::Clock;
use crate::pending::{PendingSettles, ranges_of};
use crate::record::{
    Change, DeliveredRange, Publish, RECORD_HEADER_BYTES, Settle, SettleRange, SettleReason, padded,
};
use crate::record_encode as encode;
use crate::record_encode::{Stamp, change_bytes, publish_bytes, settle_bytes};
use std::collections::VecDeque;
use std::sync::Arc;

/// Where a logged message lies: what is needed to read it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Position of its record (within a transaction: of its own record inside).
    pub lsn: Lsn,
    /// Length of the record in bytes.
    pub record_bytes: u32,
}

/// Records that will be one frame.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) segment: SegmentId,
    pub(crate) offset: u32,
    pub(crate) first_number: u64,
    pub(crate) record_count: u32,
    /// See [`crate::frame::frame_flag`].
    pub(crate) flags: u32,
    /// Whether somebody waits for it: it holds more than settles.
    pub(crate) urgent: bool,
    unix_ms: u64,
    /// Room for the frame header, then records; `None` until the first record.
    pub(crate) buffer: Option<FrameBuffer>,
}

impl Batch {
    fn at(segment: SegmentId, offset: u32) -> Self {
        Batch {
            segment,
            offset,
            first_number: 0,
            record_count: 0,
            flags: 0,
            urgent: false,
            unix_ms: 0,
            buffer: None,
        }
    }

    /// Bytes of the frame so far, its header included, padding excluded.
    pub(crate) fn bytes(&self) -> usize {
        self.buffer.as_ref().map_or(FRAME_HEADER_BYTES, |buffer| buffer.bytes.len())
    }

    /// Where the next record would start.
    fn position(&self) -> Lsn {
        Lsn::new(self.segment, self.offset + self.bytes() as u32)
    }
}

/// What somebody asked of the commit thread beyond its habit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asked {
    #[default]
    Nothing,
    /// Write what is staged now; it may be synced a little later.
    Write,
    /// Write and sync what is staged now.
    Sync,
}

/// Whether a record may be taken into a segment for which there may be no space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// A publish: refused when the next segment is not there.
    Spare,
    /// What frees space, or is small and must not be lost: may use the reserve.
    Reserve,
}

/// What the staging buffer is told when it is made.
#[derive(Clone)]
pub(crate) struct StagingSettings {
    pub(crate) seed: u32,
    pub(crate) segment_bytes: u32,
    pub(crate) unix_ms: Clock,
    pub(crate) pool: Arc<BufferPool>,
    /// Planted bug: the settles of a transaction are written with the batch behind it.
    pub(crate) acks_apart: bool,
}

/// See the file's head.
pub(crate) struct Staging {
    settings: StagingSettings,
    open: Batch,
    closed: VecDeque<Batch>,
    closed_bytes: usize,
    pending: PendingSettles,
    /// Number of the next record.
    number: u64,
    pub(crate) asked: Asked,
    /// Free space is low: a publish may not open a segment that is not prepared.
    pub(crate) scarce: bool,
    /// The next segment is prepared.
    pub(crate) spare_ready: bool,
    /// The segment being written to.
    pub(crate) current: SegmentId,
}

impl Staging {
    /// An empty buffer whose first batch starts `segment`.
    pub(crate) fn new(settings: StagingSettings, segment: SegmentId, number: u64) -> Self {
        Staging {
            settings,
            open: Batch::at(segment, PAGE_BYTES),
            closed: VecDeque::new(),
            closed_bytes: 0,
            pending: PendingSettles::default(),
            number,
            asked: Asked::Nothing,
            scarce: false,
            spare_ready: false,
            current: SegmentId(segment.0.saturating_sub(1)),
        }
    }

    /// Appends a message.
    pub(crate) fn publish(&mut self, group: GroupId, publish: &Publish<'_>) -> Result<Stored, AppendError> {
        assert!(!publish.slots.is_empty(), "a message without a durable queue is not logged");
        let bytes = publish_bytes(publish).ok_or(AppendError::TooLarge)?;
        self.make_room(bytes, Claim::Spare)?;
        Ok(self.record(group, |into, stamp| encode::encode_publish(into, stamp, publish)))
    }

    /// Notes that a message left its queue. Its record is written at the end of the open batch.
    pub(crate) fn settle(&mut self, group: GroupId, settle: Settle) -> Lsn {
        if !self.pending.merge(group, settle) {
            if self.pending.len() >= SETTLE_RANGES_MAX {
                self.write_pending();
            }
            self.take_room(PendingSettles::GROWTH_BYTES);
            self.pending.push(group, settle);
        }
        self.open.position()
    }

    /// Notes that consecutive messages left their queue for one reason.
    pub(crate) fn settle_range(&mut self, group: GroupId, range: SettleRange, reason: SettleReason) -> Lsn {
        if self.pending.len() >= SETTLE_RANGES_MAX {
            self.write_pending();
        }
        self.take_room(PendingSettles::GROWTH_BYTES);
        self.pending.push_range(group, range, reason);
        self.open.position()
    }

    /// Appends publishes and settles as one record.
    pub(crate) fn transaction(
        &mut self,
        group: GroupId,
        publishes: &[Publish<'_>],
        settles: &[Settle],
    ) -> Result<(Lsn, Vec<Stored>), AppendError> {
        let apart = if self.settings.acks_apart { settles } else { &[] };
        let lists = if self.settings.acks_apart { Vec::new() } else { ranges_of(settles) };
        let mut bytes = RECORD_HEADER_BYTES;
        for publish in publishes {
            let more = publish_bytes(publish).ok_or(AppendError::TooLarge)?;
            bytes = bytes.checked_add(more).ok_or(AppendError::TooLarge)?;
        }
        for (_, ranges) in &lists {
            bytes += ranges.chunks(SETTLE_RANGES_MAX).map(|chunk| settle_bytes(chunk.len())).sum::<usize>();
        }
        // What only settles frees space and is not refused for want of it.
        let claim = if publishes.is_empty() { Claim::Reserve } else { Claim::Spare };
        self.make_room(bytes, claim)?;
        let mut stored = Vec::with_capacity(publishes.len());
        let whole = self.record(group, |into, stamp| {
            let start = into.len();
            encode::encode_transaction(into, stamp, |into| {
                for publish in publishes {
                    let at = into.len();
                    encode::encode_publish(into, stamp, publish);
                    stored.push((at - start, record_len(into, at)));
                }
                for (reason, ranges) in &lists {
                    for chunk in ranges.chunks(SETTLE_RANGES_MAX) {
                        encode::encode_settle(into, stamp, *reason, chunk.iter().copied());
                    }
                }
            });
        });
        if !apart.is_empty() {
            self.close();
            for settle in apart {
                self.settle(group, *settle);
            }
        }
        let stored = stored
            .into_iter()
            .map(|(at, bytes)| Stored { lsn: Lsn(whole.lsn.0 + at as u64), record_bytes: bytes })
            .collect();
        Ok((whole.lsn, stored))
    }

    /// Appends definition changes: one record, unless they are so many that they need several.
    pub(crate) fn define(&mut self, group: GroupId, changes: &[Change]) -> Lsn {
        let mut lsn = self.open.position();
        for chunk in self.change_chunks(changes) {
            self.take_room(padded(RECORD_HEADER_BYTES + 8 + chunk.iter().map(change_bytes).sum::<usize>()));
            lsn = self.record(group, |into, stamp| encode::encode_define(into, stamp, chunk)).lsn;
        }
        lsn
    }

    /// Appends the removal of a queue. Of very many definitions the first go in records of their own before it.
    pub(crate) fn drop_queue(&mut self, group: GroupId, queue: QueueId, changes: &[Change]) -> Lsn {
        let mut chunks = self.change_chunks(changes);
        let last = chunks.pop().unwrap_or_default();
        for chunk in chunks {
            self.define(group, chunk);
        }
        self.take_room(padded(RECORD_HEADER_BYTES + 16 + last.iter().map(change_bytes).sum::<usize>()));
        self.record(group, |into, stamp| encode::encode_drop_queue(into, stamp, queue, last)).lsn
    }

    /// Appends the removal of all messages of a queue up to `last`, but those in `kept`.
    pub(crate) fn purge(&mut self, group: GroupId, queue: QueueId, last: Seq, kept: &[Seq]) -> Lsn {
        let mut kept = kept.to_vec();
        kept.sort_unstable();
        let mut lsn = self.open.position();
        let mut first = Seq(0);
        let mut rest = kept.as_slice();
        loop {
            let (chunk, more) = rest.split_at(rest.len().min(LIST_ITEMS_MAX));
            let upto = if more.is_empty() { last } else { chunk.last().copied().unwrap_or(last) };
            self.take_room(padded(RECORD_HEADER_BYTES + 24 + chunk.len() * 8));
            let purge = |into: &mut Vec<u8>, stamp: &Stamp| {
                encode::encode_purge(into, stamp, queue, first, upto, chunk);
            };
            lsn = lsn.max(self.record(group, purge).lsn);
            if more.is_empty() {
                return lsn;
            }
            first = upto.next();
            rest = more;
        }
    }

    /// Appends which messages were delivered and not settled.
    pub(crate) fn delivered(&mut self, group: GroupId, ranges: &[DeliveredRange]) -> Lsn {
        let mut lsn = self.open.position();
        for chunk in ranges.chunks(LIST_ITEMS_MAX) {
            self.take_room(padded(RECORD_HEADER_BYTES + 8 + chunk.len() * 24));
            lsn = self.record(group, |into, stamp| encode::encode_delivered(into, stamp, chunk)).lsn;
        }
        lsn
    }

    /// Appends that the live messages of `sources` are in the cold segment `target`, which ends at `end`.
    pub(crate) fn relocate(&mut self, target: SegmentId, end: u64, sources: &[SegmentId]) -> Lsn {
        assert!(sources.len() <= LIST_ITEMS_MAX, "compaction reads a bounded number of segments at a time");
        self.take_room(padded(RECORD_HEADER_BYTES + 16 + sources.len() * 4));
        let relocate = |into: &mut Vec<u8>, stamp: &Stamp| {
            encode::encode_relocate(into, stamp, target, end, sources);
        };
        self.record(GroupId::GLOBAL, relocate).lsn
    }

    /// Bytes waiting.
    pub(crate) fn bytes(&self) -> usize {
        self.closed_bytes + self.open.bytes() - FRAME_HEADER_BYTES + self.pending.bytes()
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.open.record_count == 0 && self.pending.is_empty()
    }

    /// Whether what waits should be written and synced without waiting for company.
    pub(crate) fn is_urgent(&self) -> bool {
        self.open.urgent || !self.closed.is_empty() || self.pending.bytes() > ACK_FLUSH_BYTES
    }

    /// The next batch to write, or `None` if nothing waits.
    pub(crate) fn take_batch(&mut self) -> Option<Batch> {
        if self.closed.is_empty() && !self.is_empty() {
            self.close();
        }
        let batch = self.closed.pop_front()?;
        self.closed_bytes -= batch.bytes();
        Some(batch)
    }

    /// A batch without records, to vouch for those before it. `None` if records wait, or if the segment has no page
    /// left and `may_roll` is false.
    pub(crate) fn take_seal(&mut self, flags: u32, may_roll: bool) -> Option<Batch> {
        if !self.is_empty() {
            return None;
        }
        if self.open.offset + PAGE_BYTES > self.settings.segment_bytes {
            if !may_roll {
                return None;
            }
            self.open = Batch::at(SegmentId(self.open.segment.0 + 1), PAGE_BYTES);
        }
        let after = Batch::at(self.open.segment, self.open.offset + PAGE_BYTES);
        let mut seal = std::mem::replace(&mut self.open, after);
        seal.first_number = self.number;
        seal.flags = flags;
        Some(seal)
    }

    /// Splits changes into lists that each fit a record. One change always fits: the broker bounds names and values.
    fn change_chunks<'c>(&self, changes: &'c [Change]) -> Vec<&'c [Change]> {
        let bytes_max = self.payload_max() - RECORD_HEADER_BYTES - 24;
        let mut chunks = Vec::new();
        let (mut start, mut bytes) = (0, 0);
        for (at, change) in changes.iter().enumerate() {
            let value = change.1.as_ref().map_or(0, Vec::len);
            assert!(
                change.0.name.len() <= DEFINITION_NAME_BYTES_MAX
                    && value <= DEFINITION_VALUE_BYTES_MAX.min(bytes_max - DEFINITION_NAME_BYTES_MAX - 8),
                "definitions are bounded before they are logged"
            );
            let more = change_bytes(change);
            if bytes + more > bytes_max || at - start == CHANGES_MAX {
                chunks.extend(changes.get(start..at));
                (start, bytes) = (at, 0);
            }
            bytes += more;
        }
        chunks.extend(changes.get(start..).filter(|rest| !rest.is_empty()));
        chunks
    }

    /// Largest payload of a frame.
    fn payload_max(&self) -> usize {
        payload_max(self.settings.segment_bytes)
    }

    /// Room for a record that is never refused for want of space.
    fn take_room(&mut self, bytes: usize) {
        let room = self.make_room(bytes, Claim::Reserve);
        assert!(room.is_ok(), "records other than publishes fit a frame: their lists are split");
    }

    /// Makes the open batch one that has room for `bytes` more, settles included; closes it if it must.
    fn make_room(&mut self, bytes: usize, claim: Claim) -> Result<(), AppendError> {
        if bytes > self.payload_max() {
            return Err(AppendError::TooLarge);
        }
        let data_end = (self.settings.segment_bytes - PAGE_BYTES) as usize;
        let empty = self.open.record_count == 0 && self.pending.is_empty();
        let needed = self.open.bytes() + self.pending.bytes() + bytes;
        if self.open.offset as usize + needed <= data_end && (empty || needed <= BATCH_BYTES_TARGET as usize)
        {
            return Ok(());
        }
        // The batch is closed, or already empty; the record goes to the front of the next one.
        let open_bytes = if empty { 0 } else { self.closed_frame_bytes() };
        let next = self.open.offset as usize + open_bytes;
        let rolls = next + FRAME_HEADER_BYTES + bytes > data_end;
        if rolls && claim == Claim::Spare && self.refuses_to_roll() {
            return Err(AppendError::NoSpace);
        }
        if !empty {
            self.close();
        }
        if rolls {
            self.open = Batch::at(SegmentId(self.open.segment.0 + 1), PAGE_BYTES);
        }
        Ok(())
    }

    fn refuses_to_roll(&self) -> bool {
        self.scarce && !(self.spare_ready && self.open.segment == self.current)
    }

    /// Bytes the open batch will take once closed, at most: settles may need less than they reserve.
    fn closed_frame_bytes(&self) -> usize {
        (self.open.bytes() + self.pending.bytes()).next_multiple_of(PAGE_BYTES as usize)
    }

    /// Encodes one record into the open batch, which has room for it.
    fn record(&mut self, group: GroupId, write: impl FnOnce(&mut Vec<u8>, &Stamp)) -> Stored {
        self.open.urgent = true;
        self.record_quietly(group, write)
    }

    fn record_quietly(&mut self, group: GroupId, write: impl FnOnce(&mut Vec<u8>, &Stamp)) -> Stored {
        if self.open.record_count == 0 {
            self.open.first_number = self.number;
            // One look at the clock for a batch: its records are less than a sync apart.
            self.open.unix_ms = (self.settings.unix_ms)();
        }
        let stamp =
            Stamp { group, number: self.number, unix_ms: self.open.unix_ms, seed: self.settings.seed };
        let lsn = self.open.position();
        let pool = &self.settings.pool;
        let buffer = self.open.buffer.get_or_insert_with(|| {
            let mut buffer = pool.take();
            buffer.bytes.resize(FRAME_HEADER_BYTES, 0);
            buffer
        });
        let start = buffer.bytes.len();
        write(&mut buffer.bytes, &stamp);
        self.number += 1;
        self.open.record_count += 1;
        Stored { lsn, record_bytes: record_len(&buffer.bytes, start) }
    }

    /// Writes the pending settles into the open batch.
    fn write_pending(&mut self) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.drain(|group, reason: SettleReason, ranges| {
            self.record_quietly(group, |into, stamp| {
                encode::encode_settle(into, stamp, reason, ranges.iter().copied());
            });
        });
        // Its memory is used again.
        self.pending = pending;
    }

    /// Closes the open batch; the next one starts behind it.
    fn close(&mut self) {
        self.write_pending();
        let end = self.open.offset as usize + self.open.bytes().next_multiple_of(PAGE_BYTES as usize);
        let after = Batch::at(self.open.segment, end as u32);
        let batch = std::mem::replace(&mut self.open, after);
        assert!(
            end <= (self.settings.segment_bytes - PAGE_BYTES) as usize,
            "a batch ends before the page kept for the seal"
        );
        self.closed_bytes += batch.bytes();
        self.closed.push_back(batch);
    }
}

/// Length of the record just encoded at `start`, as its header says.
fn record_len(buffer: &[u8], start: usize) -> u32 {
    buffer.get(start + 4..).and_then(|rest| Fields(rest).u32()).unwrap_or_default()
}

/// Largest payload of a frame, bytes: one page is the segment's header, one is kept for its seal.
pub(crate) fn payload_max(segment_bytes: u32) -> usize {
    let room = segment_bytes - 2 * PAGE_BYTES;
    (room.min(FRAME_PAYLOAD_BYTES_MAX) as usize) - FRAME_HEADER_BYTES
}

#[cfg(test)]
mod tests;
