//! A stretch of a queue that lies in one segment of the log: in memory, or on disk only.
//! Messages leave a chunk at its head and nowhere else. So what a paged chunk holds is exactly what the index of its
//! segment lists between its bounds, less what was settled before the last start and what turned out damaged.

use super::entry::Entry;
use ledgermq_storage::{Run, SegmentId, Seq};
use std::collections::VecDeque;

/// A stretch of a queue.
#[derive(Debug)]
pub(super) enum Chunk {
    Resident(Resident),
    Paged(Paged),
}

/// Entries in memory, ascending; their bodies may be or not.
#[derive(Debug, Default)]
pub(super) struct Resident {
    /// Where the logged ones lie; `None` as long as there are none.
    pub(super) segment: Option<SegmentId>,
    pub(super) entries: VecDeque<Entry>,
}

/// Entries on disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paged {
    /// Bounds and segment.
    pub(super) run: Run,
    /// Entries that are still waiting, fewer than the run's if some were settled before the last start.
    pub(super) live_count: u64,
    /// Sum of their body lengths.
    pub(super) body_bytes: u64,
    /// The counts are guesses: see [`super::WaitingRun`].
    pub(super) is_guess: bool,
    /// `body_bytes` is an estimate, as after a start.
    pub(super) is_estimate: bool,
    /// The entries were asked for.
    pub(super) asked: bool,
}

impl Chunk {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Resident(resident) => resident.entries.len() as u64,
            Self::Paged(paged) => paged.live_count,
        }
    }

    /// A lower bound of its seqs; `None` if it is empty.
    pub(super) fn first(&self) -> Option<Seq> {
        match self {
            Self::Resident(resident) => resident.entries.front().map(|entry| entry.seq),
            Self::Paged(paged) => Some(paged.run.first),
        }
    }
}

impl Paged {
    /// The part of its bytes that is an estimate.
    pub(super) fn estimated_bytes(&self) -> u64 {
        if self.is_estimate { self.body_bytes } else { 0 }
    }
}

impl Resident {
    /// Whether a message of this segment (`None`: of no segment) belongs here.
    pub(super) fn takes(&self, segment: Option<SegmentId>) -> bool {
        self.entries.is_empty() || segment.is_none() || self.segment.is_none() || self.segment == segment
    }

    pub(super) fn push(&mut self, entry: Entry) {
        if entry.is_logged() {
            self.segment = Some(entry.lsn.segment());
        }
        self.entries.push_back(entry);
    }

    /// Where the first entry at or after `seq` stands.
    pub(super) fn position(&self, seq: Seq) -> usize {
        self.entries.partition_point(|entry| entry.seq < seq)
    }

    pub(super) fn find_mut(&mut self, seq: Seq) -> Option<&mut Entry> {
        let position = self.position(seq);
        self.entries.get_mut(position).filter(|entry| entry.seq == seq)
    }

    pub(super) fn remove(&mut self, seq: Seq) -> Option<Entry> {
        let position = self.position(seq);
        if self.entries.get(position)?.seq != seq {
            return None;
        }
        self.entries.remove(position)
    }

    /// What is left to know of these entries once they are gone from memory; `None` if none is logged.
    pub(super) fn summary(&self, priority: u8) -> Option<Paged> {
        let segment = self.segment?;
        let logged = || self.entries.iter().filter(|entry| entry.is_logged());
        let run = Run {
            segment,
            priority,
            first: logged().next()?.seq,
            last: logged().next_back()?.seq,
            count: u32::try_from(logged().count()).ok()?,
            bytes: logged().map(|entry| u64::from(entry.record_bytes)).sum(),
        };
        let body_bytes = logged().map(Entry::body_bytes).sum();
        Some(Paged {
            run,
            live_count: u64::from(run.count),
            body_bytes,
            is_guess: false,
            is_estimate: false,
            asked: false,
        })
    }
}
