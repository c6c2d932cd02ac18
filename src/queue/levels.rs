//! Messages that wait, by priority: a [`Ready`] for each level, of which a queue without priorities has one. The next
//! message is that of the highest level that has one; within a level the order is that of the queue, and what is put back
//! returns to its place there.
//!
//! Quorum queues have two levels that take turns ([`Levels::take_turns`]): while both have messages, two of the high one go
//! before one of the normal, unless the high one has waited longer. Source: RabbitMQ 4.1 `rabbit_fifo_q`.
//!
//! Levels leave memory like plain queues do, each keeping its head. A stretch on disk knows its level, for the log's
//! index lists messages by queue and priority; so entries that are read back need not say it.

use super::chunk::Paged;
use super::entry::Entry;
use super::ready::{Head, Ready};
use crate::limits::LEVEL_ENTRIES_MIN;
use ledgermq_storage::{Run, SegmentId, Seq};
use std::collections::VecDeque;

/// Messages that wait, the highest priority first.
#[derive(Debug, Default)]
pub(super) struct Levels {
    /// Priority 0: all of a plain queue.
    base: Ready,
    /// Priorities from 1 up, made when first needed; none in a plain queue.
    above: Vec<Ready>,
    /// How many were taken since the normal level's turn was over, if two levels take turns.
    turn: Option<u8>,
}

/// Messages of the high level that go before one of the normal.
const HIGH_BEFORE_NORMAL: u8 = 2;

impl Levels {
    /// From now on its two levels take turns; before it has messages that are not restored.
    pub(super) fn take_turns(&mut self) {
        self.turn = Some(0);
    }

    /// Whether its two levels take turns.
    pub(super) fn takes_turns(&self) -> bool {
        self.turn.is_some()
    }

    /// Messages waiting.
    pub(super) fn len(&self) -> u64 {
        self.base.len() + self.above.iter().map(Ready::len).sum::<u64>()
    }

    /// Sum of the body lengths.
    pub(super) fn bytes(&self) -> u64 {
        self.base.bytes() + self.above.iter().map(Ready::bytes).sum::<u64>()
    }

    /// Sum of the body lengths without what is only estimated.
    pub(super) fn bytes_min(&self) -> u64 {
        self.base.bytes_min() + self.above.iter().map(Ready::bytes_min).sum::<u64>()
    }

    /// The priority of the next message; 0 if there is none.
    pub(super) fn top(&self) -> u8 {
        let occupied = self.above.iter().rposition(|level| !matches!(level.head(), Head::Empty));
        match (occupied, self.turn) {
            (Some(high), Some(turn)) => {
                let first = |level: Option<&Ready>| level.and_then(Ready::first_seq);
                let is_normal = is_normals_turn(turn, first(self.above.get(high)), first(Some(&self.base)));
                if is_normal { 0 } else { high as u8 + 1 }
            }
            (Some(highest), None) => highest as u8 + 1,
            (None, _) => 0,
        }
    }

    /// Adds a message behind all others of its priority.
    pub(super) fn push(&mut self, priority: u8, entry: Entry) {
        self.level(priority).push(entry);
    }

    /// Returns a message to its place.
    pub(super) fn put_back(&mut self, priority: u8, entry: Entry) {
        self.level(priority).put_back(entry);
    }

    /// Adds a stretch that is on disk only, behind all others of its priority; for recovery.
    pub(super) fn push_paged(&mut self, paged: Paged) {
        self.level(paged.run.priority).push_paged(paged);
    }

    pub(super) fn head(&self) -> Head<'_> {
        if self.takes_turns() {
            let top = usize::from(self.top()).checked_sub(1).and_then(|position| self.above.get(position));
            return top.unwrap_or(&self.base).head();
        }
        let above = self.above.iter().rev().map(Ready::head).find(|head| !matches!(head, Head::Empty));
        above.unwrap_or_else(|| self.base.head())
    }

    /// Takes the first message, if it is in memory.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let top = self.top();
        let popped = self.level(top).pop();
        if let Some(turn) = &mut self.turn
            && popped.is_some()
        {
            *turn = next_turn(*turn);
        }
        popped
    }

    /// The waiting message at `seq`, if it is in memory.
    pub(super) fn find_mut(&mut self, seq: Seq) -> Option<&mut Entry> {
        self.all_mut().find_map(|level| level.find_mut(seq))
    }

    /// Takes the message at `seq` out of its place, if it is in memory.
    pub(super) fn remove(&mut self, seq: Seq) -> Option<Entry> {
        self.all_mut().find_map(|level| level.remove(seq))
    }

    /// The entries in memory in the order they will be delivered in, up to the first stretch that is on disk only.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &Entry> {
        let in_turns = self.turn.map(|turn| self.in_turns(turn));
        let mut cut = in_turns.is_some();
        let levels = self.above.iter().rev().chain([&self.base]);
        let before_cut = levels.take_while(move |level| !std::mem::replace(&mut cut, level.has_paged()));
        in_turns.into_iter().flatten().chain(before_cut.flat_map(|level| level.from(Seq(0))))
    }

    /// The same of two levels that take turns.
    fn in_turns(&self, mut turn: u8) -> impl Iterator<Item = &Entry> {
        let high = self.above.first();
        let mut high_entries = high.into_iter().flat_map(|level| level.from(Seq(0))).peekable();
        let mut base_entries = self.base.from(Seq(0)).peekable();
        let (high_paged, base_paged) = (high.and_then(Ready::first_paged), self.base.first_paged());
        std::iter::from_fn(move || {
            // What is next of a level may be on disk only.
            let high = high_entries.peek().map(|entry| entry.seq).into_iter().chain(high_paged).min();
            let normal = base_entries.peek().map(|entry| entry.seq).into_iter().chain(base_paged).min();
            let is_normal = is_normals_turn(turn, high, normal);
            turn = next_turn(turn);
            let (next, paged) = if is_normal { (normal, base_paged) } else { (high, high_paged) };
            if next == paged {
                return None;
            }
            if is_normal { base_entries.next() } else { high_entries.next() }
        })
    }

    /// The stretch at the head, or soon at the head, whose entries should be read now; each once.
    pub(super) fn ask_entries(&mut self, near_count: u64) -> Option<Run> {
        let takes_turns = self.takes_turns();
        let mut before = 0;
        for level in self.all_mut() {
            if before >= near_count {
                return None;
            }
            let run = level.ask_entries(near_count - before);
            if run.is_some() {
                return run;
            }
            // Where levels take turns, both are soon at the head.
            before += if takes_turns { 0 } else { level.len() };
        }
        None
    }

    /// Puts the entries of a stretch into its place, if somebody still waits for it.
    pub(super) fn page_in(&mut self, run: Run, entries: VecDeque<Entry>) {
        let mut surplus = self.level(run.priority).page_in(run, entries);
        // What one level guessed wrong another did the other way.
        for level in self.all_mut() {
            surplus = level.correct_guesses(surplus);
        }
    }

    /// Forgets a stretch whose entries cannot be read; answers how many messages that were.
    pub(super) fn give_up(&mut self, run: Run) -> u64 {
        self.level(run.priority).give_up(run)
    }

    /// Lets go of the entries of sealed segments that stand at least `window_count` messages behind the head (of their
    /// level: less where there are many). Answers what it let go.
    pub(super) fn page_out(&mut self, sealed_below: SegmentId, window_count: u64) -> Vec<Entry> {
        let window_count =
            (window_count / (self.above.len() as u64 + 1)).max(LEVEL_ENTRIES_MIN.min(window_count));
        let released = self.all_mut().map(|level| level.page_out(sealed_below, window_count));
        released.flatten().collect()
    }

    /// Takes everything that is in memory; what is on disk only is forgotten.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Entry> + use<> {
        let taken = std::mem::take(self);
        self.turn = taken.turn;
        taken.above.into_iter().rev().chain([taken.base]).flat_map(|mut level| level.clear())
    }

    /// Takes the stretches that are on disk only; of a queue that was just restored these are all.
    pub(super) fn take_paged(&mut self) -> Vec<Paged> {
        let taken = std::mem::take(self);
        [taken.base].into_iter().chain(taken.above).flat_map(Ready::into_paged).collect()
    }

    /// Every entry in memory, in no particular order.
    pub(super) fn resident(&self) -> impl Iterator<Item = &Entry> {
        self.above.iter().chain([&self.base]).flat_map(Ready::resident)
    }

    fn level(&mut self, priority: u8) -> &mut Ready {
        let Some(position) = usize::from(priority).checked_sub(1) else { return &mut self.base };
        while self.above.len() <= position {
            self.above.push(Ready::of_priority(self.above.len() as u8 + 1));
        }
        self.above.get_mut(position).unwrap_or(&mut self.base)
    }

    /// The highest first.
    fn all_mut(&mut self) -> impl Iterator<Item = &mut Ready> {
        self.above.iter_mut().rev().chain([&mut self.base])
    }
}

/// Whether the normal level is next, of two that take turns, with the first message each has. The high one is ahead in any
/// case if its message is older.
fn is_normals_turn(turn: u8, high: Option<Seq>, normal: Option<Seq>) -> bool {
    match (high, normal) {
        (Some(high), Some(normal)) => turn == HIGH_BEFORE_NORMAL && normal < high,
        (None, _) => true,
        (Some(_), None) => false,
    }
}

fn next_turn(turn: u8) -> u8 {
    if turn == HIGH_BEFORE_NORMAL { 0 } else { turn + 1 }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::message;
    use super::*;
    use ledgermq_storage::Lsn;

    fn entry(seq: u64, segment: u32) -> Entry {
        let lsn = Lsn::new(SegmentId(segment), 64 + seq as u32);
        let mut entry = Entry::new(Seq(seq), lsn, 50, message("body", true));
        entry.message = None;
        entry
    }

    fn seqs(levels: &mut Levels) -> Vec<u64> {
        std::iter::from_fn(|| levels.pop()).map(|entry| entry.seq.0).collect()
    }

    #[test]
    fn the_highest_first_and_in_order_within_a_level() {
        let mut levels = Levels::default();
        for (seq, priority) in [0, 9, 0, 4, 9, 255].into_iter().enumerate() {
            levels.push(priority, entry(seq as u64, 1));
        }
        let order: Vec<_> = levels.in_order().map(|entry| entry.seq.0).collect();
        assert_eq!(order, [5, 1, 4, 3, 0, 2]);
        assert_eq!((levels.len(), levels.bytes(), levels.top()), (6, 24, 255));
        let (last, nine) = (levels.pop().unwrap(), levels.pop().unwrap());
        assert_eq!((last.seq, nine.seq, levels.top()), (Seq(5), Seq(1), 9));
        levels.put_back(9, nine);
        assert!(levels.find_mut(Seq(3)).is_some() && levels.remove(Seq(3)).is_some());
        assert_eq!(seqs(&mut levels), [1, 4, 0, 2], "back to its place in its level");
        assert_eq!((levels.len(), levels.bytes()), (0, 0));
    }

    #[test]
    fn each_level_leaves_memory_and_comes_back() {
        let mut levels = Levels::default();
        let priority = |seq: u64| if seq.is_multiple_of(2) { 7 } else { 0 };
        for seq in 0..4000 {
            levels.push(priority(seq), entry(seq, 1 + seq as u32 / 1000));
        }
        let released = levels.page_out(SegmentId(4), 500);
        assert_eq!((released.len(), levels.len()), (2000, 4000));
        assert_eq!(levels.in_order().count(), 500, "up to what the high level has on disk");
        let mut got = Vec::new();
        while levels.len() > 0 {
            got.extend(seqs(&mut levels));
            if let Some(run) = levels.ask_entries(1) {
                let own = run.first.0..=run.last.0;
                let entries = own.filter(|seq| priority(*seq) == run.priority);
                levels.page_in(run, entries.map(|seq| entry(seq, run.segment.0)).collect());
            }
        }
        assert_eq!(got, (0..4000).step_by(2).chain((1..4000).step_by(2)).collect::<Vec<_>>());
    }

    #[test]
    fn two_levels_take_turns() {
        let of_turns = |priorities: &[u8]| {
            let mut levels = Levels::default();
            levels.take_turns();
            for (seq, priority) in priorities.iter().enumerate() {
                levels.push(*priority, entry(seq as u64, 1));
            }
            levels
        };
        for (priorities, expected) in [
            (&[0, 0, 0, 1, 1, 1, 1, 1][..], &[3, 4, 0, 5, 6, 1, 7, 2][..]),
            (&[0, 0, 0, 0], &[0, 1, 2, 3]),
            (&[1, 1, 1], &[0, 1, 2]),
            // One that is older than the normal ones is not kept waiting for its being urgent.
            (&[1, 1, 1, 1, 0, 0], &[0, 1, 2, 3, 4, 5]),
            (&[0, 1], &[1, 0]),
        ] {
            let mut levels = of_turns(priorities);
            let in_order: Vec<_> = levels.in_order().map(|entry| entry.seq.0).collect();
            assert_eq!(in_order, expected, "{priorities:?}");
            assert_eq!(seqs(&mut levels), expected, "{priorities:?}");
        }
        let mut levels = of_turns(&[0, 0, 1, 1]);
        let (first, second) = (levels.pop().unwrap(), levels.pop().unwrap());
        assert_eq!((first.seq, second.seq, levels.top()), (Seq(2), Seq(3), 0));
        levels.put_back(1, first);
        assert_eq!(seqs(&mut levels), [0, 2, 1], "it is the normal level's turn all the same");
        levels.push(1, entry(9, 1));
        levels.clear().for_each(drop);
        assert!(levels.takes_turns(), "purging changes nothing about that");
    }

    #[test]
    fn levels_that_take_turns_leave_memory_and_come_back() {
        let mut levels = Levels::default();
        levels.take_turns();
        let priority = |seq: u64| u8::from(seq >= 2000);
        for seq in 0..4000 {
            levels.push(priority(seq), entry(seq, 1 + seq as u32 / 1000));
        }
        assert!(!levels.page_out(SegmentId(4), 500).is_empty());
        let mut got = Vec::new();
        while levels.len() > 0 {
            let announced: Vec<_> = levels.in_order().map(|entry| entry.seq.0).collect();
            let taken = seqs(&mut levels);
            assert_eq!(taken, announced, "bodies are read in the order of delivery");
            got.extend(taken);
            while let Some(run) = levels.ask_entries(1) {
                let own = run.first.0..=run.last.0;
                let entries = own.filter(|seq| priority(*seq) == run.priority);
                levels.page_in(run, entries.map(|seq| entry(seq, run.segment.0)).collect());
            }
        }
        let (high, normal): (Vec<u64>, Vec<u64>) = got.iter().partition(|seq| **seq >= 2000);
        assert!(high.into_iter().eq(2000..4000) && normal.into_iter().eq(0..2000));
        assert_eq!(got[..6], [2000, 2001, 0, 2002, 2003, 1]);
        assert_eq!(got[2997..3003], [3998, 3999, 999, 1000, 1001, 1002]);
    }

    #[test]
    fn guesses_of_all_levels_add_up() {
        let mut levels = Levels::default();
        let run = |segment, priority| Run {
            segment: SegmentId(segment),
            priority,
            first: Seq(0),
            last: Seq(99),
            count: 10,
            bytes: 500,
        };
        let paged = |run, live_count| Paged {
            run,
            live_count,
            body_bytes: 0,
            is_guess: true,
            is_estimate: true,
            asked: false,
        };
        levels.push_paged(paged(run(1, 0), 5));
        levels.push_paged(paged(run(2, 0), 5));
        levels.push_paged(paged(run(1, 3), 0));
        assert!(matches!(levels.head(), Head::Paged), "a guess of none may be wrong");
        let high = levels.ask_entries(1).unwrap();
        assert_eq!(high.priority, 3);
        levels.page_in(high, (0..10).map(|seq| entry(seq, 1)).collect());
        assert_eq!((levels.len(), levels.top()), (10, 3));
        assert_eq!(seqs(&mut levels).len(), 10);
        assert_eq!(levels.len(), 0);
        for _ in 0..2 {
            let low = levels.ask_entries(1).unwrap();
            levels.page_in(low, VecDeque::new());
        }
        assert_eq!(levels.len(), 0);
        assert!(matches!(levels.head(), Head::Empty));
    }
}
