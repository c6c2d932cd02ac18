//! The index: what the log amounts to. Definitions, and of every queue where its messages are and which are settled.
//! One owner, no locks: recovery while it replays, then the keeper. It changes only by [`Index::apply`], record after
//! record in the order of the log, so that a restart arrives at the same state; a record below [`Index::applied`] is
//! already in it and skipped. No clock, no chance, no IO.
//!
//! It knows messages by segment and queue only. The entries of the segment being written are kept until it is full and
//! then handed over ([`Index::take_sealed`]) to be written beside it.

mod queue;
mod rows;
pub(crate) mod sled_rows;

pub use queue::QueueState;
pub(crate) use rows::{Row, RowError};

use crate::ids::{GroupId, Lsn, QueueId, SegmentId, Seq};
use crate::limits::SEALED_ENTRIES_MAX;
use crate::record::{
    ChangesView, DefinitionKey, PublishView, PurgeView, RecordHeader, RecordView, RelocateView, SettleView,
    padded,
};
use crate::run::{IndexEntry, Run, StoredEntry};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// See the file's head.
#[derive(Clone, Debug, Default)]
pub struct Index {
    definitions: BTreeMap<(GroupId, DefinitionKey), Vec<u8>>,
    queues: HashMap<QueueId, QueueState>,
    segments: BTreeMap<SegmentId, SegmentState>,
    tail: Tail,
    /// Memory for the entries of the next segment.
    spare_entries: Vec<IndexEntry>,
    sealed: Vec<SealedSegment>,
    applied: Lsn,
    marks: Marks,
    unsaved: Unsaved,
    /// The database holds the state of this position: [`Unsaved`] is relative to it.
    saved: Option<Lsn>,
    /// Queues with a stretch that is to be recounted.
    recounts: BTreeSet<QueueId>,
    /// Reused by each record.
    shed: Shed,
}

/// The highest number of each kind ever used, so that none is used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Queue ids seen in records. A queue that never held a message is known to its definition only.
    pub queue: QueueId,
    /// Groups seen in records.
    pub group: GroupId,
    /// Record number.
    pub number: u64,
    /// Segment written by compaction; 0 if there was none.
    pub cold: SegmentId,
}

/// What the index knows of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentState {
    /// Slots written into it, one per message and queue.
    pub slots: u64,
    /// Slots not settled.
    pub live_slots: u64,
    /// Bytes of the records with slots.
    pub record_bytes: u64,
    /// Where its last frame ends.
    pub end: u32,
}

impl SegmentState {
    /// Bytes of the records still needed, estimated from the share of slots.
    pub fn live_bytes(&self) -> u64 {
        if self.slots == 0 {
            return 0;
        }
        (u128::from(self.record_bytes) * u128::from(self.live_slots) / u128::from(self.slots)) as u64
    }
}

/// A segment that is full, with the entries from which its index file is made, in the order of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSegment {
    /// Which.
    pub segment: SegmentId,
    /// Where its last frame ends.
    pub end: u32,
    /// Its messages, settled ones included.
    pub entries: Vec<IndexEntry>,
}

/// The segment being written.
#[derive(Clone, Debug, Default)]
struct Tail {
    segment: SegmentId,
    entries: Vec<IndexEntry>,
    /// Replay began in the middle of the segment: the entries are not all, the segment itself must be read.
    partial: bool,
}

/// What the last checkpoint does not hold, besides what each queue notes of itself.
#[derive(Clone, Debug, Default)]
struct Unsaved {
    queues: BTreeSet<QueueId>,
    segments: BTreeSet<SegmentId>,
    definitions: BTreeSet<(GroupId, DefinitionKey)>,
    removed: BTreeSet<Vec<u8>>,
}

/// What a change of a queue leaves to its index: segments to count down, rows that are gone.
#[derive(Clone, Debug, Default)]
struct Shed {
    slots: Vec<(SegmentId, u64)>,
    stretches: Vec<Seq>,
    pieces: Vec<u64>,
}

impl Shed {
    fn slots(&mut self, segment: SegmentId, count: u64) {
        if count > 0 {
            self.slots.push((segment, count));
        }
    }
}

impl Index {
    /// The index of an empty log.
    pub fn new() -> Self {
        Index::default()
    }

    /// Applies the record at `at`. Records must come in the order of the log; one below [`Index::applied`] is skipped.
    pub fn apply(&mut self, at: Lsn, header: &RecordHeader, view: &RecordView<'_>) {
        if at < self.applied {
            return;
        }
        self.write_in(at.segment());
        self.marks.number = self.marks.number.max(header.number);
        self.marks.group = self.marks.group.max(header.group);
        match view {
            RecordView::Publish(publish) => self.publish(at, header, publish),
            RecordView::Settle(settle) => self.settle(settle),
            RecordView::Transaction(transaction) => {
                for (at, header, view) in transaction.records(at) {
                    match view {
                        RecordView::Publish(publish) => self.publish(at, &header, &publish),
                        RecordView::Settle(settle) => self.settle(&settle),
                        RecordView::Unknown => {}
                        RecordView::Transaction(_)
                        | RecordView::Define(_)
                        | RecordView::Purge(_)
                        | RecordView::DropQueue(..)
                        | RecordView::Relocate(_)
                        | RecordView::Delivered(_) => {
                            unreachable!("a transaction holds publishes and settles")
                        }
                    }
                }
            }
            RecordView::Define(changes) => self.define(header.group, changes),
            RecordView::Purge(purge) => self.purge(purge),
            RecordView::DropQueue(queue, changes) => {
                self.drop_queue(*queue);
                self.define(header.group, changes);
            }
            RecordView::Relocate(relocate) => self.relocate(relocate),
            RecordView::Delivered(delivered) => {
                for range in delivered.ranges() {
                    if let Some(queue) = self.queues.get_mut(&range.queue) {
                        queue.deliver(range);
                        self.unsaved.queues.insert(range.queue);
                    }
                }
            }
            RecordView::Unknown => {}
        }
        self.applied = Lsn(at.0 + padded(header.len as usize) as u64);
    }

    /// Notes the end of a frame (as [`crate::CommittedFrame::end`] tells it), also of one without records.
    pub fn advance(&mut self, end: Lsn) {
        if end < self.applied {
            return;
        }
        // Records may fill their frame to the last byte: then the last one has brought `applied` here already.
        if end > self.applied {
            self.write_in(end.segment());
            self.applied = end;
        }
        if let Some(segment) = self.segments.get_mut(&end.segment()) {
            segment.end = end.offset();
            self.unsaved.segments.insert(end.segment());
        }
    }

    /// Ends the segment being written: whatever comes next is in a later one.
    pub fn seal(&mut self) {
        let tail = std::mem::take(&mut self.tail);
        if tail.segment == SegmentId(0) {
            return;
        }
        let queues: BTreeSet<QueueId> = if tail.partial {
            self.queues.keys().copied().collect()
        } else {
            tail.entries.iter().map(|entry| entry.queue).collect()
        };
        for id in queues {
            if let Some(queue) = self.queues.get_mut(&id) {
                queue.sealed(SegmentId(0), &mut self.shed);
                self.settle_shed(id);
            }
        }
        let end = self.segments.get(&tail.segment).map_or(0, |segment| segment.end);
        let waiting: usize = self.sealed.iter().map(|sealed| sealed.entries.len()).sum();
        if !tail.partial && (waiting == 0 || waiting + tail.entries.len() <= SEALED_ENTRIES_MAX) {
            self.sealed.push(SealedSegment { segment: tail.segment, end, entries: tail.entries });
        }
    }

    /// The segments that became full since the last call and whose every entry is known; for others the segment itself
    /// is to be read.
    pub fn take_sealed(&mut self) -> Vec<SealedSegment> {
        std::mem::take(&mut self.sealed)
    }

    /// Everything below is in the index.
    pub fn applied(&self) -> Lsn {
        self.applied
    }

    /// The highest numbers used.
    pub fn marks(&self) -> Marks {
        self.marks
    }

    /// The segment being written; 0 before the first frame.
    pub fn current(&self) -> SegmentId {
        self.tail.segment
    }

    /// All definitions, ordered by group and key.
    pub fn definitions(&self) -> impl Iterator<Item = (GroupId, &DefinitionKey, &[u8])> {
        self.definitions.iter().map(|((group, key), value)| (*group, key, value.as_slice()))
    }

    /// All queues that ever held a message and were not dropped, in no order.
    pub fn queues(&self) -> impl Iterator<Item = (QueueId, &QueueState)> {
        self.queues.iter().map(|(id, queue)| (*id, queue))
    }

    /// A queue.
    pub fn queue(&self, queue: QueueId) -> Option<&QueueState> {
        self.queues.get(&queue)
    }

    /// All segments that were written and not freed, ascending, cold ones last.
    pub fn segments(&self) -> impl Iterator<Item = (SegmentId, &SegmentState)> {
        self.segments.iter().map(|(id, segment)| (*id, segment))
    }

    /// A segment.
    pub fn segment(&self, segment: SegmentId) -> Option<&SegmentState> {
        self.segments.get(&segment)
    }

    /// Takes note of a segment that no frame was read from.
    pub(crate) fn adopt_segment(&mut self, segment: SegmentId) {
        self.segments.entry(segment).or_default();
        self.unsaved.segments.insert(segment);
    }

    /// Forgets a segment without live messages, after its file is gone.
    pub(crate) fn forget_segment(&mut self, segment: SegmentId) {
        let live = self.segments.remove(&segment).map_or(0, |state| state.live_slots);
        assert!(live == 0, "only a segment without live messages is freed");
        self.unsaved.removed.insert(rows::segment_key(segment));
        self.unsaved.segments.remove(&segment);
    }

    /// Whether a message is not settled, its queue exists, and `segment` is where it is.
    pub(crate) fn is_live(&self, queue: QueueId, seq: Seq, segment: SegmentId) -> bool {
        self.queues.get(&queue).is_some_and(|queue| {
            let position = queue.stretches.partition_point(|stretch| stretch.last < seq);
            let stretch = queue.stretches.get(position);
            stretch.is_some_and(|stretch| stretch.segment == segment && stretch.first <= seq)
                && !queue.settled.contains(seq)
        })
    }

    /// First positions of the stretches in `segment` whose live count is only an upper bound.
    pub(crate) fn uncounted_in(&self, segment: SegmentId) -> Vec<(QueueId, Seq)> {
        let mut uncounted = Vec::new();
        for id in &self.recounts {
            let Some(queue) = self.queues.get(id) else { continue };
            let there = |stretch: &&queue::Stretch| stretch.recount && stretch.segment == segment;
            uncounted.extend(queue.stretches.iter().filter(there).map(|stretch| (*id, stretch.first)));
        }
        uncounted
    }

    /// Stretches of full segments whose live messages only their entries can tell, a few at a time.
    pub(crate) fn recounts(&self) -> Vec<(QueueId, Vec<Run>)> {
        let mut recounts = Vec::new();
        for id in &self.recounts {
            let Some(queue) = self.queues.get(id) else { continue };
            let full = |stretch: &&queue::Stretch| stretch.recount && stretch.segment != self.tail.segment;
            recounts.extend(queue.stretches.iter().filter(full).map(|stretch| (*id, stretch.runs())));
        }
        recounts
    }

    /// The position of the database's state, if it holds one that this index came from.
    pub(crate) fn saved(&self) -> Option<Lsn> {
        self.saved
    }

    /// Puts the counted number of live messages of a stretch into place.
    pub(crate) fn set_live(&mut self, id: QueueId, first: Seq, live: u32) {
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.set_live(first, live, self.tail.segment, &mut self.shed);
            if !queue.stretches.iter().any(|stretch| stretch.recount) {
                self.recounts.remove(&id);
            }
            self.settle_shed(id);
        }
    }

    /// Leaves the live count of a stretch at its upper bound: its entries cannot be read.
    pub(crate) fn give_up_recount(&mut self, id: QueueId, first: Seq) {
        if let Some(queue) = self.queues.get_mut(&id) {
            queue
                .stretches
                .iter_mut()
                .filter(|stretch| stretch.first == first)
                .for_each(|stretch| stretch.recount = false);
        }
        self.recounts.remove(&id);
    }

    /// Gives memory of long settled runs back.
    pub(crate) fn compress(&mut self) {
        for queue in self.queues.values_mut() {
            queue.settled.compress();
        }
    }

    /// Makes `segment` the one being written.
    /// Uses the memory of a full segment's entries for those of a later one: of small messages they are tens of megabytes.
    pub(crate) fn reuse(&mut self, mut entries: Vec<IndexEntry>) {
        entries.clear();
        self.spare_entries = entries;
    }

    fn write_in(&mut self, segment: SegmentId) {
        if self.tail.segment == segment {
            return;
        }
        // A state loaded in the middle of a segment has not seen the entries before.
        let partial = self.applied.segment() == segment && self.tail.segment == SegmentId(0);
        self.seal();
        self.tail = Tail { segment, entries: std::mem::take(&mut self.spare_entries), partial };
        self.segments.entry(segment).or_default();
        self.unsaved.segments.insert(segment);
    }

    fn publish(&mut self, at: Lsn, header: &RecordHeader, publish: &PublishView<'_>) {
        let slots = publish.slots();
        let segment = self.segments.entry(at.segment()).or_default();
        segment.slots += slots.len() as u64;
        segment.live_slots += slots.len() as u64;
        segment.record_bytes += u64::from(header.len);
        for slot in slots {
            let queue = self.queues.entry(slot.queue).or_default();
            queue.group = header.group;
            queue.add(at.segment(), slot.seq, slot.priority, header.len);
            self.unsaved.queues.insert(slot.queue);
            self.marks.queue = self.marks.queue.max(slot.queue);
            if !self.tail.partial {
                self.tail.entries.push(IndexEntry {
                    queue: slot.queue,
                    priority: slot.priority,
                    stored: StoredEntry {
                        seq: slot.seq,
                        lsn: at,
                        record_bytes: header.len,
                        body_bytes: publish.body.len() as u32,
                        expire_unix_ms: slot.expire_unix_ms,
                    },
                });
            }
        }
    }

    fn settle(&mut self, settle: &SettleView<'_>) {
        for range in settle.ranges().filter(|range| range.count > 0) {
            if let Some(queue) = self.queues.get_mut(&range.queue) {
                let last = Seq(range.first.0 + u64::from(range.count) - 1);
                queue.settle(range.first, last, self.tail.segment, &mut self.shed);
                self.settle_shed(range.queue);
            }
        }
    }

    fn purge(&mut self, purge: &PurgeView<'_>) {
        self.marks.queue = self.marks.queue.max(purge.queue);
        let Some(queue) = self.queues.get_mut(&purge.queue) else { return };
        let entries = &self.tail.entries;
        let partial = self.tail.partial;
        let recount = |settled: &crate::settled::SettledSet| {
            let of_queue = entries.iter().filter(|entry| entry.queue == purge.queue);
            of_queue.filter(|entry| !settled.contains(entry.stored.seq)).count() as u32
        };
        // Entries that are not all known cannot be counted; the stretch is then treated as one of a full segment.
        let current = if partial { SegmentId(0) } else { self.tail.segment };
        queue.purge((purge.first, purge.last), &purge.kept(), current, recount, &mut self.shed);
        if queue.stretches.iter().any(|stretch| stretch.recount) {
            self.recounts.insert(purge.queue);
        }
        self.settle_shed(purge.queue);
    }

    fn drop_queue(&mut self, id: QueueId) {
        self.marks.queue = self.marks.queue.max(id);
        let Some(queue) = self.queues.remove(&id) else { return };
        for stretch in &queue.stretches {
            self.shed.slots(stretch.segment, u64::from(stretch.live));
        }
        self.shed.stretches.extend(queue.stretches.iter().map(|stretch| stretch.first));
        self.shed.pieces.extend(queue.settled.pieces());
        // One that became empty since it was saved still has its row.
        self.shed.pieces.extend(&queue.unsaved.pieces);
        self.settle_shed(id);
        self.unsaved.removed.insert(rows::queue_key(id));
        self.unsaved.queues.remove(&id);
    }

    fn define(&mut self, group: GroupId, changes: &ChangesView<'_>) {
        for change in changes.changes() {
            let key = (group, DefinitionKey { kind: change.kind, name: change.name.to_vec() });
            if let Some(value) = change.value {
                self.definitions.insert(key.clone(), value.to_vec());
                self.unsaved.definitions.insert(key);
            } else {
                self.definitions.remove(&key);
                self.unsaved.definitions.remove(&key);
                self.unsaved.removed.insert(rows::definition_key(&key));
            }
        }
    }

    fn relocate(&mut self, relocate: &RelocateView<'_>) {
        let sources: BTreeSet<SegmentId> = relocate.sources().collect();
        let mut target = SegmentState {
            slots: 0,
            live_slots: 0,
            record_bytes: relocate.end,
            end: u32::try_from(relocate.end).unwrap_or(u32::MAX),
        };
        for (id, queue) in &mut self.queues {
            let mut touched = false;
            queue.relocate(
                relocate.target,
                |segment| sources.contains(&segment),
                |from, live| {
                    touched = true;
                    target.live_slots += live;
                    if let Some(source) = self.segments.get_mut(&from) {
                        source.live_slots = source.live_slots.saturating_sub(live);
                    }
                },
            );
            if touched {
                self.unsaved.queues.insert(*id);
            }
        }
        target.slots = target.live_slots;
        self.marks.cold = self.marks.cold.max(relocate.target);
        self.segments.insert(relocate.target, target);
        self.unsaved.segments.insert(relocate.target);
        self.unsaved.segments.extend(sources.iter().filter(|source| self.segments.contains_key(source)));
    }

    /// Carries out what a change of queue `id` left behind.
    fn settle_shed(&mut self, id: QueueId) {
        for (segment, count) in self.shed.slots.drain(..) {
            if let Some(state) = self.segments.get_mut(&segment) {
                state.live_slots = state.live_slots.saturating_sub(count);
                self.unsaved.segments.insert(segment);
            }
        }
        self.unsaved.removed.extend(self.shed.stretches.drain(..).map(|first| rows::stretch_key(id, first)));
        self.unsaved.removed.extend(self.shed.pieces.drain(..).map(|piece| rows::piece_key(id, piece)));
        self.unsaved.queues.insert(id);
    }
}

#[cfg(test)]
pub(crate) mod tests;
