//! One queue of the index: which stretch of it lies in which segment, what of it is settled, what was delivered.
//! Counts are kept as records are applied, never recomputed. Knows no segment's counters: each call says what changed.
//!
//! Invariants: stretches ascend and do not overlap; no stretch before the last is without a live message; every settled
//! position lies in a stretch or below the floor; the live count of a stretch is never below the truth.

use super::Shed;
use crate::ids::{GroupId, QueueId, SegmentId, Seq};
use crate::record::DeliveredRange;
use crate::run::Run;
use crate::settled::{SettledSet, piece_of};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What the store knows of a queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueState {
    pub(super) group: GroupId,
    pub(super) next_seq: Seq,
    pub(super) live: u64,
    pub(super) settled: SettledSet,
    pub(super) stretches: VecDeque<Stretch>,
    /// By lowest position: highest position, deliveries.
    pub(super) delivered: BTreeMap<Seq, (Seq, u32)>,
    pub(super) unsaved: Unsaved,
}

/// The messages of one queue in one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) segment: SegmentId,
    pub(super) first: Seq,
    pub(super) last: Seq,
    pub(super) count: u32,
    pub(super) live: u32,
    pub(super) bytes: u64,
    /// By priority; empty while all are 0, which spares the memory where there are no priorities.
    pub(super) priorities: Vec<Run>,
    /// The live count is an upper bound since a purge; only the segment's entries can tell.
    pub(super) recount: bool,
}

/// What of a queue the last checkpoint does not hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Unsaved {
    pub(super) stretches: BTreeSet<Seq>,
    pub(super) pieces: BTreeSet<u64>,
    /// The last of each, which is nearly always the next one too.
    last_stretch: Option<Seq>,
    last_piece: Option<u64>,
}

impl Unsaved {
    fn stretch(&mut self, first: Seq) {
        if self.last_stretch != Some(first) {
            self.last_stretch = Some(first);
            self.stretches.insert(first);
        }
    }

    fn pieces(&mut self, first: Seq, last: Seq) {
        for piece in piece_of(first)..=piece_of(last) {
            if self.last_piece != Some(piece) {
                self.last_piece = Some(piece);
                self.pieces.insert(piece);
            }
        }
    }
}

impl QueueState {
    /// Owner.
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// No message of the queue has this position or a higher one.
    pub fn next_seq(&self) -> Seq {
        self.next_seq
    }

    /// Messages not settled.
    pub fn live(&self) -> u64 {
        self.live
    }

    /// Settled positions among those of [`QueueState::runs`].
    pub fn settled(&self) -> &SettledSet {
        &self.settled
    }

    /// Where its messages are, ascending; only segments with a message that is not settled. Runs of different
    /// priorities overlap only within one segment.
    pub fn runs(&self) -> Vec<Run> {
        let live = self.stretches.iter().filter(|stretch| stretch.live > 0);
        live.flat_map(Stretch::runs).collect()
    }

    /// What was delivered before the last clean stop, ascending, not overlapping. Some may be settled.
    pub fn delivered(&self, queue: QueueId) -> Vec<DeliveredRange> {
        let range =
            |(&first, &(last, count)): (&Seq, &(Seq, u32))| DeliveredRange { queue, first, last, count };
        self.delivered.iter().map(range).collect()
    }

    /// Adds a message of the segment being written.
    pub(super) fn add(&mut self, segment: SegmentId, seq: Seq, priority: u8, record_bytes: u32) {
        self.next_seq = self.next_seq.max(seq.next());
        self.live += 1;
        let fresh = self.stretches.back().is_none_or(|stretch| stretch.segment != segment);
        if fresh {
            self.stretches.push_back(Stretch::new(segment, seq));
        }
        if let Some(stretch) = self.stretches.back_mut() {
            stretch.add(seq, priority, record_bytes);
            self.unsaved.stretch(stretch.first);
        }
    }

    /// Settles `first..=last`; reports to `shed` how many messages of which segments that were.
    pub(super) fn settle(&mut self, first: Seq, last: Seq, current: SegmentId, shed: &mut Shed) {
        let start = self.stretches.partition_point(|stretch| stretch.last < first);
        let mut emptied = false;
        for stretch in self.stretches.range_mut(start..) {
            if stretch.first > last {
                break;
            }
            let (first, last) = (first.max(stretch.first), last.min(stretch.last));
            let newly = self.settled.insert_range(first, last).min(u64::from(stretch.live));
            if newly == 0 {
                continue;
            }
            stretch.live -= newly as u32;
            self.live -= newly;
            shed.slots(stretch.segment, newly);
            self.unsaved.stretch(stretch.first);
            self.unsaved.pieces(first, last);
            emptied |= stretch.live == 0;
        }
        if emptied {
            self.drop_empty(current, shed);
        }
    }

    /// Settles everything in `first..=last` but the positions `kept`, which ascend. `recount` tells the entries of the
    /// segment being written that are not settled.
    pub(super) fn purge(
        &mut self,
        (first, last): (Seq, Seq),
        kept: &(impl Iterator<Item = Seq> + Clone),
        current: SegmentId,
        recount: impl Fn(&SettledSet) -> u32,
        shed: &mut Shed,
    ) {
        self.next_seq = self.next_seq.max(Seq(last.0.saturating_add(1)));
        let start = self.stretches.partition_point(|stretch| stretch.last < first);
        for stretch in self.stretches.range_mut(start..) {
            if stretch.first > last {
                break;
            }
            let (from, to) = (first.max(stretch.first), last.min(stretch.last));
            let kept_here = kept.clone().filter(|seq| (from..=to).contains(seq));
            let kept_live = kept_here.clone().filter(|seq| !self.settled.contains(*seq)).count() as u32;
            settle_between(&mut self.settled, from, to, kept_here);
            self.unsaved.pieces(from, to);
            let whole = from == stretch.first && to == stretch.last;
            let live = if stretch.segment == current {
                recount(&self.settled)
            } else if whole && kept_live == 0 {
                0
            } else {
                // A kept position may be that of a message never logged: only the entries can tell.
                stretch.recount = true;
                if whole { kept_live } else { stretch.live }
            };
            let gone = stretch.live.saturating_sub(live);
            stretch.live -= gone;
            self.live -= u64::from(gone);
            shed.slots(stretch.segment, u64::from(gone));
            self.unsaved.stretch(stretch.first);
        }
        self.drop_empty(current, shed);
    }

    /// Corrects the live count of the stretch that starts at `first`, after its entries were read.
    pub(super) fn set_live(&mut self, first: Seq, live: u32, current: SegmentId, shed: &mut Shed) {
        let position = self.stretches.partition_point(|stretch| stretch.first < first);
        let Some(stretch) = self.stretches.get_mut(position).filter(|stretch| stretch.first == first) else {
            return;
        };
        let gone = stretch.live.saturating_sub(live);
        stretch.live -= gone;
        stretch.recount = false;
        self.live -= u64::from(gone);
        shed.slots(stretch.segment, u64::from(gone));
        self.unsaved.stretch(first);
        self.drop_empty(current, shed);
    }

    /// The stretches of `sources` now lie in `target`; reports how many live messages came from where.
    pub(super) fn relocate(
        &mut self,
        target: SegmentId,
        is_source: impl Fn(SegmentId) -> bool,
        mut moved: impl FnMut(SegmentId, u64),
    ) {
        for stretch in self.stretches.iter_mut().filter(|stretch| is_source(stretch.segment)) {
            moved(stretch.segment, u64::from(stretch.live));
            stretch.segment = target;
            for run in &mut stretch.priorities {
                run.segment = target;
            }
            self.unsaved.stretch(stretch.first);
        }
    }

    /// The segment being written is another one now: what it left empty goes.
    pub(super) fn sealed(&mut self, current: SegmentId, shed: &mut Shed) {
        if self.stretches.back().is_some_and(|stretch| stretch.live == 0) {
            self.drop_empty(current, shed);
        }
    }

    /// Flags messages as delivered; the latest word on a position counts.
    pub(super) fn deliver(&mut self, range: DeliveredRange) {
        let (first, last) = (range.first.max(self.settled.floor()), range.last);
        if first > last {
            return;
        }
        let overlapping: Vec<(Seq, (Seq, u32))> = self
            .delivered
            .range(..=last)
            .rev()
            .take_while(|(_, (end, _))| *end >= first)
            .map(|(start, rest)| (*start, *rest))
            .collect();
        for (start, (end, count)) in overlapping {
            self.delivered.remove(&start);
            if start < first {
                self.delivered.insert(start, (Seq(first.0 - 1), count));
            }
            if end > last {
                self.delivered.insert(last.next(), (end, count));
            }
        }
        // Neighbours that were delivered equally often are one: a queue may note every message that comes back.
        let (mut first, mut last) = (first, last);
        if let Some((&start, &(end, count))) = self.delivered.range(..first).next_back()
            && end.next() == first
            && count == range.count
        {
            self.delivered.remove(&start);
            first = start;
        }
        if let Some(&(end, count)) = self.delivered.get(&last.next())
            && count == range.count
        {
            self.delivered.remove(&last.next());
            last = end;
        }
        self.delivered.insert(first, (last, range.count));
    }

    /// Removes stretches without a live message and what was known of their positions. The segment being written keeps
    /// its stretch: it may grow again.
    fn drop_empty(&mut self, current: SegmentId, shed: &mut Shed) {
        self.stretches.retain(|stretch| {
            let keep = stretch.live > 0 || stretch.segment == current;
            if !keep {
                shed.stretches.push(stretch.first);
            }
            keep
        });
        let floor = self.stretches.front().map_or(self.next_seq, |stretch| stretch.first);
        if floor > self.settled.floor() {
            let gone = self.settled.pieces().take_while(|piece| *piece < piece_of(floor));
            shed.pieces.extend(gone);
            self.settled.raise_floor(floor);
            self.unsaved.pieces(floor, floor);
            let above = self.delivered.split_off(&floor);
            let across = self.delivered.last_key_value().filter(|(_, (last, _))| *last >= floor);
            let across = across.map(|(_, rest)| *rest);
            self.delivered = above;
            if let Some(rest) = across {
                self.delivered.insert(floor, rest);
            }
        }
    }
}

impl Stretch {
    fn new(segment: SegmentId, first: Seq) -> Self {
        Stretch {
            segment,
            first,
            last: first,
            count: 0,
            live: 0,
            bytes: 0,
            priorities: Vec::new(),
            recount: false,
        }
    }

    fn run(&self, priority: u8) -> Run {
        Run {
            segment: self.segment,
            priority,
            first: self.first,
            last: self.last,
            count: self.count,
            bytes: self.bytes,
        }
    }

    pub(super) fn runs(&self) -> Vec<Run> {
        if self.priorities.is_empty() { vec![self.run(0)] } else { self.priorities.clone() }
    }

    fn add(&mut self, seq: Seq, priority: u8, record_bytes: u32) {
        if priority != 0 && self.priorities.is_empty() && self.count > 0 {
            self.priorities.push(self.run(0));
        }
        self.last = self.last.max(seq);
        self.count += 1;
        self.live += 1;
        self.bytes += u64::from(record_bytes);
        if priority == 0 && self.priorities.is_empty() {
            return;
        }
        match self.priorities.iter_mut().find(|run| run.priority == priority) {
            Some(run) => {
                run.last = run.last.max(seq);
                run.count += 1;
                run.bytes += u64::from(record_bytes);
            }
            None => self.priorities.push(Run {
                segment: self.segment,
                priority,
                first: seq,
                last: seq,
                count: 1,
                bytes: u64::from(record_bytes),
            }),
        }
    }
}

/// Settles `from..=to` but `kept`, which ascend and lie within.
fn settle_between(settled: &mut SettledSet, from: Seq, to: Seq, kept: impl Iterator<Item = Seq>) {
    let mut next = from;
    for kept in kept {
        if kept > next {
            settled.insert_range(next, Seq(kept.0 - 1));
        }
        next = kept.next();
    }
    if next <= to {
        settled.insert_range(next, to);
    }
}
