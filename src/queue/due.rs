//! Messages that wait for a time rather than for their turn: the soonest first, those of the same time in the order they
//! came. The soonest are in memory, at about a hundred bytes each; those behind a *horizon* are on disk only, where the
//! indexes of their segments list them with their times. When few are left before the horizon, it is moved on in a
//! *pass*: the stretches behind it are read, the soonest entries kept, the others counted and forgotten again.
//!
//! ```text
//!   time     now ·········· horizon ················································ ten years
//!   near     [ all of them ][ those of segments still being written                    ]   in memory
//!   far                     [ all others, by stretch: how many, and when the soonest   ]   on disk
//!   pass                    [ fresh: the soonest found so far ] limit
//! ```
//!
//! Invariants: a logged message before the horizon that has not left is in `near`; who leaves was the first, so nobody
//! left from behind the horizon. Hence what a stretch holds is what its index lists from the horizon on, less what is in
//! memory: no list of who left is needed, and after a start, with the horizon at the beginning of time, the same pass
//! finds everything.

use super::Queue;
use super::chunk::Paged;
use super::entry::Entry;
use super::far::Far;
use super::ready::Head;
use crate::budget::Budget;
use crate::limits::{DELAYED_BUDGET_BYTES, DELAYED_ENTRIES_MIN};
use ledgermq_storage::{Run, SegmentId, Seq};
use std::collections::{BTreeMap, BTreeSet};

/// When a message is due, unix ms, and its place among those of the same time.
pub(super) type Moment = (u64, Seq);

/// Before all messages.
const BEGIN: Moment = (0, Seq(0));
/// After all messages.
const END: Moment = (u64::MAX, Seq(u64::MAX));

pub(super) fn moment(entry: &Entry) -> Moment {
    (entry.expire_unix_ms, entry.seq)
}

/// Messages by time.
#[derive(Debug)]
pub(super) struct Due {
    near: BTreeMap<Moment, Entry>,
    /// Body bytes of these.
    near_bytes: u64,
    /// How many of these stand before the horizon.
    soon_count: usize,
    far: Far,
    horizon: Moment,
    pass: Option<Pass>,
    pass_count: u64,
    /// Bodies asked for: when they are due.
    asked: BTreeMap<Seq, u64>,
    /// Entries kept in memory when others can be on disk.
    entries_max: usize,
}

/// How far a move of the horizon is.
#[derive(Debug)]
struct Pass {
    /// The soonest found so far.
    fresh: BTreeMap<Moment, Entry>,
    /// Everything from here on stays on disk.
    limit: Moment,
    /// A stretch that is being read.
    reading: Option<Run>,
}

impl Due {
    /// The messages of these stretches, which nobody has read yet.
    pub(super) fn restored(budget: &Budget, stretches: impl IntoIterator<Item = Paged>) -> Self {
        let far = Far::restored(stretches);
        Self {
            near: BTreeMap::new(),
            near_bytes: 0,
            soon_count: 0,
            horizon: if far.is_empty() { END } else { BEGIN },
            far,
            pass: None,
            pass_count: 0,
            asked: BTreeMap::new(),
            entries_max: (budget.limit_bytes() / DELAYED_BUDGET_BYTES).max(DELAYED_ENTRIES_MIN),
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.resident_count() as u64 + self.far.count()
    }

    /// Sum of the body lengths.
    pub(super) fn bytes(&self) -> u64 {
        let fresh = self.pass.iter().flat_map(|pass| pass.fresh.values());
        self.near_bytes + self.far.bytes() + fresh.map(Entry::body_bytes).sum::<u64>()
    }

    /// Entries in memory.
    pub(super) fn resident_count(&self) -> usize {
        self.near.len() + self.pass.as_ref().map_or(0, |pass| pass.fresh.len())
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        let moment = moment(&entry);
        self.near_bytes += entry.body_bytes();
        self.soon_count += usize::from(moment < self.horizon);
        let before = self.near.insert(moment, entry);
        assert!(before.is_none(), "a seq is used once");
    }

    pub(super) fn first(&self) -> Head<'_> {
        match self.near.first_key_value() {
            Some((moment, entry)) if *moment < self.horizon => Head::Entry(entry),
            _ if !self.far.is_empty() || self.pass.is_some() => Head::Paged,
            Some((_, entry)) => Head::Entry(entry),
            None => Head::Empty,
        }
    }

    /// Those in memory that leave before all others, the soonest first.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &Entry> {
        self.near.range(..self.horizon).map(|(_, entry)| entry)
    }

    /// Every entry in memory, in no particular order.
    pub(super) fn resident(&self) -> impl Iterator<Item = &Entry> {
        self.near.values().chain(self.pass.iter().flat_map(|pass| pass.fresh.values()))
    }

    /// These bodies are being read.
    pub(super) fn note_asked(&mut self, seqs: impl Iterator<Item = Seq>) {
        let asked: BTreeSet<Seq> = seqs.collect();
        let due = self.in_order().filter(|entry| asked.contains(&entry.seq)).take(asked.len());
        self.asked = due.map(|entry| (entry.seq, entry.expire_unix_ms)).collect();
    }

    /// A message whose body was asked for.
    pub(super) fn find_mut(&mut self, seq: Seq) -> Option<&mut Entry> {
        let at_ms = *self.asked.get(&seq)?;
        self.near.get_mut(&(at_ms, seq))
    }

    /// Takes out the first message, or one whose body was asked for.
    pub(super) fn remove(&mut self, seq: Seq) -> Option<Entry> {
        let first = self.near.first_key_value().map(|(moment, _)| *moment).filter(|moment| moment.1 == seq);
        let moment = first.or_else(|| Some((*self.asked.get(&seq)?, seq)))?;
        let entry = self.near.remove(&moment)?;
        self.asked.remove(&seq);
        self.near_bytes -= entry.body_bytes();
        self.soon_count -= usize::from(moment < self.horizon);
        Some(entry)
    }

    /// The stretch to be read next, each once: while few messages stand before the horizon.
    pub(super) fn ask(&mut self) -> Option<Run> {
        if self.pass.is_none() {
            if self.far.is_empty() || self.soon_count > self.entries_max / 4 {
                return None;
            }
            self.pass_count += 1;
            self.pass = Some(Pass { fresh: BTreeMap::new(), limit: END, reading: None });
        }
        let pass = self.pass.as_mut().filter(|pass| pass.reading.is_none())?;
        pass.reading = self.far.next(self.pass_count, pass.limit);
        pass.reading
    }

    /// The entries of a stretch were read, without those that left before the last start.
    pub(super) fn entries_read(&mut self, run: Run, entries: impl IntoIterator<Item = Entry>) {
        let Some(pass) = self.pass.as_mut().filter(|pass| pass.reading == Some(run)) else { return };
        pass.reading = None;
        // It grew meanwhile: it is read once more.
        if !self.far.begin_count(run, self.pass_count) {
            return;
        }
        for entry in entries {
            let moment = moment(&entry);
            if moment < self.horizon || self.near.contains_key(&moment) {
                continue;
            }
            if moment >= pass.limit {
                self.far.add(&entry, self.pass_count);
                continue;
            }
            pass.fresh.insert(moment, entry);
            if pass.fresh.len() > self.entries_max
                && let Some((last, entry)) = pass.fresh.pop_last()
            {
                pass.limit = last;
                self.far.add(&entry, self.pass_count);
            }
        }
        self.end_pass_if_done();
    }

    /// Forgets a stretch whose entries cannot be read; answers how many messages that were.
    pub(super) fn give_up(&mut self, run: Run) -> u64 {
        if let Some(pass) = self.pass.as_mut().filter(|pass| pass.reading == Some(run)) {
            pass.reading = None;
        }
        let count = self.far.give_up(run);
        self.end_pass_if_done();
        count
    }

    /// Segments below are sealed: when there are many entries, those that are due last leave memory. Answers what it let
    /// go.
    pub(super) fn page_out(&mut self, sealed_below: SegmentId) -> Vec<Entry> {
        let limit = match &self.pass {
            Some(pass) => pass.limit,
            None if self.near.len() > self.entries_max => {
                self.near.keys().nth(self.entries_max / 2).map_or(END, |kept| self.horizon.min(*kept))
            }
            None => self.horizon,
        };
        if limit == END {
            return Vec::new();
        }
        let mut released = Vec::new();
        for (moment, entry) in self.near.split_off(&limit) {
            let segment = entry.lsn.segment();
            if entry.is_logged() && (segment.is_cold() || segment < sealed_below) {
                self.near_bytes -= entry.body_bytes();
                self.soon_count -= usize::from(moment < self.horizon);
                self.far.add(&entry, self.pass_count);
                released.push(entry);
            } else {
                self.near.insert(moment, entry);
            }
        }
        if self.pass.is_none() && !self.far.is_empty() {
            self.set_horizon(limit);
        }
        released
    }

    fn end_pass_if_done(&mut self) {
        let is_done =
            |pass: &mut Pass| pass.reading.is_none() && self.far.next(self.pass_count, pass.limit).is_none();
        let Some(Pass { mut fresh, limit, .. }) = self.pass.take_if(is_done) else { return };
        self.near_bytes += fresh.values().map(Entry::body_bytes).sum::<u64>();
        self.near.append(&mut fresh);
        self.far.drop_empty();
        self.set_horizon(if self.far.is_empty() { END } else { limit });
    }

    fn set_horizon(&mut self, horizon: Moment) {
        self.horizon = horizon;
        self.soon_count = self.near.range(..horizon).count();
    }
}

impl Queue {
    /// Makes it a queue whose messages wait for their time. Before it has messages that are not restored.
    pub fn order_by_time(&mut self) {
        let stretches = self.ready.take_paged();
        self.due = Some(Box::new(Due::restored(self.residency.budget(), stretches)));
    }

    /// What stands first.
    pub(super) fn first(&self) -> Head<'_> {
        self.due.as_ref().map_or_else(|| self.ready.head(), |due| due.first())
    }

    /// Whether entries are still to be read that may come before the first.
    pub fn has_unread(&self) -> bool {
        matches!(self.first(), Head::Paged)
    }
}

#[cfg(test)]
mod tests;
