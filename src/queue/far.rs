//! Messages that are due in the far future, by stretches of the log: how many there are and when the soonest of them is
//! due, at a few dozen bytes a stretch. The entries themselves are on disk.
//! Invariants: stretches ascend by seq and do not overlap; counts are exact for what was read or put here, and what the
//! start was told for the rest.

use super::chunk::Paged;
use super::due::{Moment, moment};
use super::entry::Entry;
use ledgermq_storage::{Run, SegmentId, Seq};

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct Far {
    stretches: Vec<Stretch>,
    count: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Stretch {
    run: Run,
    count: u64,
    /// Body lengths.
    bytes: u64,
    /// No message of it is due before.
    soonest: Moment,
    /// The last pass that needs not read it any more.
    pass: u64,
}

impl Far {
    /// What a start found: nobody knows when any of it is due.
    pub(super) fn restored(stretches: impl IntoIterator<Item = Paged>) -> Self {
        let mut far = Self::default();
        for Paged { run, live_count, body_bytes, .. } in stretches {
            far.count += live_count;
            far.bytes += body_bytes;
            let soonest = (0, Seq(0));
            far.stretches.push(Stretch { run, count: live_count, bytes: body_bytes, soonest, pass: 0 });
        }
        far.stretches.sort_unstable_by_key(|stretch| stretch.run.first);
        far
    }

    pub(super) fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    /// Messages.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Sum of their body lengths.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a message that leaves memory; one that `pass` has no need to look at.
    pub(super) fn add(&mut self, entry: &Entry, pass: u64) {
        let bytes = entry.body_bytes();
        self.count += 1;
        self.bytes += bytes;
        let stretch = self.stretch_for(entry.seq, entry.lsn.segment(), pass);
        stretch.count += 1;
        stretch.bytes += bytes;
        stretch.soonest = stretch.soonest.min(moment(entry));
    }

    /// The stretch that this pass reads next: of those it has not read the one with the soonest message, if that is due
    /// before `limit`.
    pub(super) fn next(&self, pass: u64, limit: Moment) -> Option<Run> {
        let open = self.stretches.iter().filter(|stretch| stretch.pass < pass && stretch.soonest < limit);
        open.min_by_key(|stretch| stretch.soonest).map(|stretch| stretch.run)
    }

    /// The messages of a stretch are about to be counted anew: those that stay are added one by one. Answers whether
    /// there is such a stretch, with these bounds.
    pub(super) fn begin_count(&mut self, run: Run, pass: u64) -> bool {
        let Some(stretch) = self.stretches.iter_mut().find(|stretch| stretch.run == run) else {
            return false;
        };
        self.count -= std::mem::take(&mut stretch.count);
        self.bytes -= std::mem::take(&mut stretch.bytes);
        stretch.soonest = (u64::MAX, Seq(u64::MAX));
        stretch.pass = pass;
        true
    }

    /// Forgets a stretch; answers how many messages that were.
    pub(super) fn give_up(&mut self, run: Run) -> u64 {
        let Some(at) = self.stretches.iter().position(|stretch| stretch.run == run) else { return 0 };
        let Stretch { count, bytes, .. } = self.stretches.remove(at);
        self.count -= count;
        self.bytes -= bytes;
        count
    }

    /// Forgets stretches without messages.
    pub(super) fn drop_empty(&mut self) {
        self.stretches.retain(|stretch| stretch.count > 0);
    }

    /// The stretch around a position, or a neighbour in the same segment that grows, or a new one. An entry that was read
    /// back may name the segment to which compaction moved it; whoever reads by either name finds the same messages.
    fn stretch_for(&mut self, seq: Seq, segment: SegmentId, pass: u64) -> &mut Stretch {
        let at = self.stretches.partition_point(|stretch| stretch.run.last < seq);
        let is_of_segment = |stretch: Option<&Stretch>| stretch.is_some_and(|one| one.run.segment == segment);
        let is_around = self.stretches.get(at).is_some_and(|stretch| stretch.run.first <= seq);
        let before = at.checked_sub(1).filter(|before| is_of_segment(self.stretches.get(*before)));
        let position = if is_around {
            at
        } else if let Some(before) = before {
            before
        } else {
            if !is_of_segment(self.stretches.get(at)) {
                let run = Run { segment, priority: 0, first: seq, last: seq, count: 0, bytes: 0 };
                let soonest = (u64::MAX, Seq(u64::MAX));
                self.stretches.insert(at, Stretch { run, count: 0, bytes: 0, soonest, pass });
            }
            at
        };
        #[expect(clippy::indexing_slicing, reason = "the position of a stretch that was found or made above")]
        let stretch = &mut self.stretches[position];
        stretch.run.first = stretch.run.first.min(seq);
        stretch.run.last = stretch.run.last.max(seq);
        stretch
    }
}
