//! Messages that wait, in order: those put back, and the fresh ones in chunks by segment. The next is the smaller of both
//! heads, so a message put back returns to its place.
//! The middle of a long queue leaves memory: a chunk whose segment is sealed, and that stands far behind the head, keeps
//! only its bounds and counts.
//!
//! ```text
//!   put_back   3 7                                  ┐ next = the smaller head
//!   fresh     [8 9 10 …] [Paged 500..=90_000] [90_001 …]   ┘
//!              head chunk                        tail chunk
//! ```

use super::chunk::{Chunk, Paged, Resident};
use super::entry::Entry;
use ledgermq_storage::{Run, SegmentId, Seq};
use std::collections::{BTreeMap, VecDeque};

/// Messages that wait.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// Of all its messages.
    priority: u8,
    put_back: BTreeMap<Seq, Entry>,
    fresh: VecDeque<Chunk>,
    count: u64,
    bytes: u64,
    /// The part of `bytes` that is an estimate.
    estimated_bytes: u64,
}

/// What stands first.
#[derive(Debug)]
pub(super) enum Head<'a> {
    Empty,
    /// Its entries must be read first.
    Paged,
    Entry(&'a Entry),
}

impl Ready {
    /// For the messages of this priority.
    pub(super) fn of_priority(priority: u8) -> Self {
        Self { priority, ..Self::default() }
    }

    pub(super) fn len(&self) -> u64 {
        self.count
    }

    /// Sum of the body lengths.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Sum of the body lengths without what is only estimated.
    pub(super) fn bytes_min(&self) -> u64 {
        self.bytes - self.estimated_bytes
    }

    /// Adds a message behind all others.
    pub(super) fn push(&mut self, entry: Entry) {
        self.count += 1;
        self.bytes += entry.body_bytes();
        let segment = entry.is_logged().then(|| entry.lsn.segment());
        match self.fresh.back_mut() {
            Some(Chunk::Resident(chunk)) if chunk.takes(segment) => {
                if chunk.entries.is_empty() {
                    chunk.segment = None;
                }
                chunk.push(entry);
            }
            Some(Chunk::Resident(_) | Chunk::Paged(_)) | None => {
                let mut chunk = Resident::default();
                chunk.push(entry);
                self.fresh.push_back(Chunk::Resident(chunk));
            }
        }
    }

    /// Returns a message to its place.
    pub(super) fn put_back(&mut self, entry: Entry) {
        self.count += 1;
        self.bytes += entry.body_bytes();
        let before = self.put_back.insert(entry.seq, entry);
        assert!(before.is_none(), "a message is put back once");
    }

    /// Adds a stretch that is on disk only, behind all others; for recovery.
    pub(super) fn push_paged(&mut self, paged: Paged) {
        self.count += paged.live_count;
        self.bytes += paged.body_bytes;
        self.estimated_bytes += paged.estimated_bytes();
        self.fresh.push_back(Chunk::Paged(paged));
    }

    pub(super) fn head(&self) -> Head<'_> {
        let back = self.put_back.first_key_value();
        match (self.fresh.front(), back) {
            (None, None) => Head::Empty,
            (None, Some((_, entry))) => Head::Entry(entry),
            (Some(chunk), Some((seq, entry))) if chunk.first().is_none_or(|first| *seq < first) => {
                Head::Entry(entry)
            }
            (Some(Chunk::Paged(_)), _) => Head::Paged,
            (Some(Chunk::Resident(chunk)), _) => chunk.entries.front().map_or(Head::Empty, Head::Entry),
        }
    }

    /// Where the first message stands; if it is on disk only, where it stands at the earliest.
    pub(super) fn first_seq(&self) -> Option<Seq> {
        let back = self.put_back.first_key_value().map(|(seq, _)| *seq);
        let fresh = self.fresh.front().and_then(Chunk::first);
        back.into_iter().chain(fresh).min()
    }

    /// Where the first stretch begins that is on disk only.
    pub(super) fn first_paged(&self) -> Option<Seq> {
        self.fresh.iter().find(|chunk| matches!(chunk, Chunk::Paged(_)))?.first()
    }

    /// Takes the first message, if it is in memory.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = if self.next_is_put_back() {
            self.put_back.pop_first()?.1
        } else {
            let Some(Chunk::Resident(chunk)) = self.fresh.front_mut() else { return None };
            let entry = chunk.entries.pop_front()?;
            if chunk.entries.is_empty() {
                self.drop_empty_head();
            }
            entry
        };
        self.count -= 1;
        self.bytes -= entry.body_bytes();
        Some(entry)
    }

    /// The waiting message at `seq`, if it is in memory.
    pub(super) fn find_mut(&mut self, seq: Seq) -> Option<&mut Entry> {
        if self.put_back.contains_key(&seq) {
            return self.put_back.get_mut(&seq);
        }
        self.resident_chunk_of(seq)?.find_mut(seq)
    }

    /// Takes the message at `seq` out of its place, if it is in memory.
    pub(super) fn remove(&mut self, seq: Seq) -> Option<Entry> {
        let entry = match self.put_back.remove(&seq) {
            Some(entry) => entry,
            None => self.resident_chunk_of(seq)?.remove(seq)?,
        };
        self.drop_empty_head();
        self.count -= 1;
        self.bytes -= entry.body_bytes();
        Some(entry)
    }

    /// The entries in memory from `from` on, in order, up to the first stretch that is on disk only.
    pub(super) fn from(&self, from: Seq) -> impl Iterator<Item = &Entry> {
        let mut back = self.put_back.range(from..).map(|(_, entry)| entry).peekable();
        let resident = self.fresh.iter().map_while(|chunk| match chunk {
            Chunk::Resident(resident) => Some(resident),
            Chunk::Paged(_) => None,
        });
        let mut fresh = resident
            .skip_while(move |chunk| chunk.entries.back().is_some_and(|last| last.seq < from))
            .flat_map(move |chunk| chunk.entries.range(chunk.position(from)..))
            .peekable();
        std::iter::from_fn(move || match (back.peek(), fresh.peek()) {
            (Some(one), Some(other)) if one.seq < other.seq => back.next(),
            (Some(_), None) => back.next(),
            (_, Some(_)) => fresh.next(),
            (None, None) => None,
        })
    }

    /// The stretch at the head, or soon at the head, whose entries should be read now; at most once.
    pub(super) fn ask_entries(&mut self, near_count: u64) -> Option<Run> {
        let mut before = 0;
        for chunk in &mut self.fresh {
            match chunk {
                Chunk::Resident(resident) => before += resident.entries.len() as u64,
                Chunk::Paged(paged) => {
                    let wanted = !paged.asked;
                    paged.asked = true;
                    return wanted.then_some(paged.run);
                }
            }
            if before >= near_count {
                return None;
            }
        }
        None
    }

    /// Whether a stretch is on disk only.
    pub(super) fn has_paged(&self) -> bool {
        self.fresh.iter().any(|chunk| matches!(chunk, Chunk::Paged(_)))
    }

    /// Puts the entries of a stretch into its place, if somebody still waits for it. Answers how many more there are than
    /// was guessed: see [`Self::correct_guesses`].
    pub(super) fn page_in(&mut self, run: Run, entries: VecDeque<Entry>) -> i64 {
        let Some(place) = self.asked(run) else { return 0 };
        let Chunk::Paged(paged) = *place else { return 0 };
        let found = entries.len() as u64;
        let body_bytes: u64 = entries.iter().map(Entry::body_bytes).sum();
        *place = Chunk::Resident(Resident { segment: Some(run.segment), entries });
        self.bytes = self.bytes - paged.body_bytes + body_bytes;
        self.estimated_bytes -= paged.estimated_bytes();
        self.count = self.count - paged.live_count + found;
        self.drop_empty_head();
        if paged.is_guess { found.cast_signed() - paged.live_count.cast_signed() } else { 0 }
    }

    /// Forgets a stretch whose entries cannot be read; answers how many messages that were.
    pub(super) fn give_up(&mut self, run: Run) -> u64 {
        let Some(place) = self.asked(run) else { return 0 };
        let Chunk::Paged(paged) = *place else { return 0 };
        *place = Chunk::Resident(Resident::default());
        self.bytes -= paged.body_bytes;
        self.estimated_bytes -= paged.estimated_bytes();
        self.count -= paged.live_count;
        self.drop_empty_head();
        paged.live_count
    }

    /// Lets go of the entries of sealed segments that stand at least `window_count` messages behind the head, except
    /// where most bodies are in memory anyway. Answers what it let go, so that the bodies can be given back.
    pub(super) fn page_out(&mut self, sealed_below: SegmentId, window_count: u64) -> Vec<Entry> {
        let mut released = Vec::new();
        let mut before = self.put_back.len() as u64;
        for chunk in &mut self.fresh {
            let length = chunk.len();
            if let Chunk::Resident(resident) = chunk
                && before >= window_count
                && resident.segment.is_some_and(|segment| segment.is_cold() || segment < sealed_below)
                && let Some(paged) = resident.summary(self.priority)
            {
                let with_body =
                    resident.entries.iter().filter(|entry| entry.is_logged() && entry.message.is_some());
                if (with_body.count() as u64) * 2 <= paged.live_count {
                    for entry in resident.entries.drain(..) {
                        if entry.is_logged() {
                            released.push(entry);
                        } else {
                            // What the log does not hold stays in memory, in its place.
                            self.put_back.insert(entry.seq, entry);
                        }
                    }
                    *chunk = Chunk::Paged(paged);
                }
            }
            before += length;
        }
        released
    }

    /// Takes everything that is in memory; what is on disk only is forgotten.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Entry> + use<> {
        let taken = std::mem::replace(self, Self::of_priority(self.priority));
        let fresh = taken.fresh.into_iter().filter_map(|chunk| match chunk {
            Chunk::Resident(resident) => Some(resident.entries),
            Chunk::Paged(_) => None,
        });
        taken.put_back.into_values().chain(fresh.flatten())
    }

    /// The stretches that are on disk only.
    pub(super) fn into_paged(self) -> impl Iterator<Item = Paged> {
        self.fresh.into_iter().filter_map(|chunk| match chunk {
            Chunk::Resident(_) => None,
            Chunk::Paged(paged) => Some(paged),
        })
    }

    /// Every entry in memory, in no particular order.
    pub(super) fn resident(&self) -> impl Iterator<Item = &Entry> {
        let fresh = self.fresh.iter().filter_map(|chunk| match chunk {
            Chunk::Resident(resident) => Some(resident.entries.iter()),
            Chunk::Paged(_) => None,
        });
        self.put_back.values().chain(fresh.flatten())
    }

    /// Counts anew what is counted on the way: messages and bytes.
    #[cfg(test)]
    pub(super) fn recount(&self) -> (u64, u64) {
        let paged = self.fresh.iter().filter_map(|chunk| match chunk {
            Chunk::Resident(_) => None,
            Chunk::Paged(paged) => Some((paged.live_count, paged.body_bytes)),
        });
        let resident = self.resident().map(|entry| (1, entry.body_bytes()));
        paged.chain(resident).fold((0, 0), |(count, bytes), one| (count + one.0, bytes + one.1))
    }

    /// Stretches that are on disk only.
    #[cfg(test)]
    pub(super) fn paged_count(&self) -> usize {
        self.fresh.iter().filter(|chunk| matches!(chunk, Chunk::Paged(_))).count()
    }

    fn asked(&mut self, run: Run) -> Option<&mut Chunk> {
        self.fresh.iter_mut().find(|chunk| match chunk {
            Chunk::Paged(paged) => paged.asked && paged.run == run,
            Chunk::Resident(_) => false,
        })
    }

    /// Guesses were wrong: there is this `surplus` of messages over them. Others must be wrong the other way, for their sum
    /// is known. Answers what is left of the surplus.
    pub(super) fn correct_guesses(&mut self, mut surplus: i64) -> i64 {
        if surplus == 0 {
            return 0;
        }
        for chunk in &mut self.fresh {
            if let Chunk::Paged(paged) = chunk
                && paged.is_guess
            {
                let corrected = (paged.live_count.cast_signed() - surplus).max(0);
                let change = corrected - paged.live_count.cast_signed();
                surplus += change;
                paged.live_count = corrected.cast_unsigned();
                self.count = self.count.saturating_add_signed(change);
            }
        }
        surplus
    }

    fn next_is_put_back(&self) -> bool {
        let Some((seq, _)) = self.put_back.first_key_value() else { return false };
        self.fresh.front().and_then(Chunk::first).is_none_or(|first| *seq < first)
    }

    fn resident_chunk_of(&mut self, seq: Seq) -> Option<&mut Resident> {
        self.fresh.iter_mut().find_map(|chunk| match chunk {
            Chunk::Resident(resident) if resident.entries.back().is_some_and(|last| last.seq >= seq) => {
                Some(resident)
            }
            Chunk::Resident(_) | Chunk::Paged(_) => None,
        })
    }

    /// Removes empty chunks from the head. The last one stays, to be filled again, unless it is large.
    fn drop_empty_head(&mut self) {
        while let Some(Chunk::Resident(chunk)) = self.fresh.front()
            && chunk.entries.is_empty()
            && (self.fresh.len() > 1 || chunk.entries.capacity() > CAPACITY_KEPT)
        {
            self.fresh.pop_front();
        }
    }
}

/// Room for entries that an empty queue keeps.
const CAPACITY_KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::super::test_support::message;
    use super::*;
    use ledgermq_storage::Lsn;

    /// A logged entry without its body.
    fn entry(seq: u64, segment: u32) -> Entry {
        let mut entry =
            Entry::new(Seq(seq), Lsn::new(SegmentId(segment), 64 + seq as u32), 50, message("body", true));
        entry.message = None;
        entry
    }

    fn transient(seq: u64) -> Entry {
        Entry::new(Seq(seq), Lsn::NONE, 0, message("body", false))
    }

    fn seqs(ready: &mut Ready) -> Vec<u64> {
        std::iter::from_fn(|| ready.pop()).map(|entry| entry.seq.0).collect()
    }

    fn check_counts(ready: &Ready) {
        assert_eq!(ready.recount(), (ready.len(), ready.bytes()));
    }

    #[test]
    fn put_back_to_its_place() {
        let mut ready = Ready::default();
        (0..6).for_each(|seq| ready.push(entry(seq, 1)));
        let taken: Vec<_> = (0..3).filter_map(|_| ready.pop()).collect();
        taken.into_iter().rev().for_each(|entry| ready.put_back(entry));
        check_counts(&ready);
        assert_eq!(seqs(&mut ready), [0, 1, 2, 3, 4, 5]);
        assert!(matches!(ready.head(), Head::Empty));
    }

    #[test]
    fn the_middle_leaves_memory_and_comes_back() {
        let mut ready = Ready::default();
        for seq in 0..40 {
            ready.push(entry(seq, 1 + seq as u32 / 10));
        }
        let released = ready.page_out(SegmentId(4), 10);
        assert_eq!((released.len(), ready.paged_count(), ready.len()), (20, 2, 40));
        check_counts(&ready);
        assert_eq!(ready.ask_entries(5), None, "not near enough");
        for seq in 0..10 {
            assert_eq!(ready.pop().map(|entry| entry.seq.0), Some(seq));
        }
        assert!(matches!(ready.head(), Head::Paged));
        let run = ready.ask_entries(5).expect("the head is paged");
        assert_eq!((run.segment, run.first, run.last, run.count), (SegmentId(2), Seq(10), Seq(19), 10));
        assert_eq!(ready.ask_entries(5), None, "asked once");
        ready.page_in(run, (10..20).map(|seq| entry(seq, 2)).collect());
        check_counts(&ready);
        assert_eq!(seqs(&mut ready), (10..20).collect::<Vec<_>>());
        let run = ready.ask_entries(5).expect("the next stretch");
        ready.page_in(run, (20..28).map(|seq| entry(seq, 3)).collect());
        check_counts(&ready);
        assert_eq!(seqs(&mut ready), (20..28).chain(30..40).collect::<Vec<_>>());
    }

    #[test]
    fn guesses_add_up() {
        let mut ready = Ready::default();
        let run = |segment: u32| Run {
            segment: SegmentId(segment),
            priority: 0,
            first: Seq(u64::from(segment) * 10),
            last: Seq(u64::from(segment) * 10 + 9),
            count: 5,
            bytes: 500,
        };
        for segment in 0..3 {
            let run = run(segment);
            ready.push_paged(Paged {
                run,
                live_count: 3,
                body_bytes: 12,
                is_guess: true,
                is_estimate: true,
                asked: false,
            });
        }
        for (segment, found, after) in [(0, 5, 9), (1, 1, 9), (2, 3, 9)] {
            let run = ready.ask_entries(100).expect("paged");
            assert_eq!(run.segment, SegmentId(segment));
            let first = u64::from(segment) * 10;
            let surplus = ready.page_in(run, (first..first + found).map(|seq| entry(seq, segment)).collect());
            assert_eq!(ready.correct_guesses(surplus), 0);
            assert_eq!(ready.len(), after);
            check_counts(&ready);
        }
        assert_eq!(seqs(&mut ready).len(), 9);
    }

    #[test]
    fn a_stretch_that_cannot_be_read_is_given_up() {
        let mut ready = Ready::default();
        (0..20).for_each(|seq| ready.push(entry(seq, 1 + seq as u32 / 10)));
        ready.push(entry(20, 3));
        ready.page_out(SegmentId(3), 0);
        let run = ready.ask_entries(1).expect("paged");
        assert_eq!(ready.give_up(run), 10);
        assert_eq!(ready.give_up(run), 0, "once");
        check_counts(&ready);
        assert_eq!(ready.ask_entries(1).map(|run| run.first), Some(Seq(10)));
    }

    #[test]
    fn what_is_not_logged_stays_in_its_place() {
        let mut ready = Ready::default();
        (0..10).for_each(|seq| ready.push(entry(seq, 1)));
        (10..20).for_each(|seq| ready.push(if seq % 2 == 0 { transient(seq) } else { entry(seq, 2) }));
        ready.push(entry(20, 3));
        assert_eq!(ready.page_out(SegmentId(3), 5).len(), 5);
        check_counts(&ready);
        assert_eq!(seqs(&mut ready), (0..=10).collect::<Vec<_>>(), "10 is transient and before the stretch");
        let run = ready.ask_entries(1).expect("paged");
        ready.page_in(run, [11, 13, 15, 17, 19].map(|seq| entry(seq, 2)).into());
        assert_eq!(seqs(&mut ready), (11..=20).collect::<Vec<_>>());
        check_counts(&ready);
    }

    #[test]
    fn bodies_in_memory_keep_their_entries() {
        let mut ready = Ready::default();
        (0..10).for_each(|seq| ready.push(entry(seq, 1)));
        for seq in 10..20 {
            let mut entry = entry(seq, 2);
            entry.message = (seq < 17).then(|| message("body", true));
            ready.push(entry);
        }
        assert!(ready.page_out(SegmentId(9), 5).is_empty());
        for seq in 10..13 {
            ready.find_mut(Seq(seq)).expect("resident").message = None;
        }
        assert_eq!(ready.page_out(SegmentId(9), 5).len(), 10);
    }

    #[test]
    fn entries_from_a_seq_in_order() {
        let mut ready = Ready::default();
        (0..10).for_each(|seq| ready.push(entry(seq, 1 + seq as u32 / 5)));
        let taken: Vec<_> = (0..3).filter_map(|_| ready.pop()).collect();
        for entry in taken {
            ready.put_back(entry);
        }
        let from = |seq| ready.from(Seq(seq)).map(|entry| entry.seq.0).collect::<Vec<_>>();
        assert_eq!(from(0), (0..10).collect::<Vec<_>>());
        assert_eq!(from(2), (2..10).collect::<Vec<_>>());
        assert_eq!(from(7), [7, 8, 9]);
        assert!(from(10).is_empty());
    }

    #[test]
    fn removed_from_the_middle() {
        let mut ready = Ready::default();
        (0..5).for_each(|seq| ready.push(entry(seq, 1)));
        assert!(
            ready.remove(Seq(3)).is_some()
                && ready.remove(Seq(3)).is_none()
                && ready.remove(Seq(9)).is_none()
        );
        check_counts(&ready);
        assert_eq!(seqs(&mut ready), [0, 1, 2, 4]);
        (5..7).for_each(|seq| ready.push(entry(seq, 1)));
        assert_eq!(ready.clear().count(), 2);
        assert_eq!((ready.len(), ready.bytes()), (0, 0));
    }
}
