//! Delayed messages against a sorted list, with most of them on disk.

use super::super::test_support::message;
use super::*;
use ledgermq_storage::Lsn;
use proptest::prelude::*;

/// Messages that go into one segment of the log.
const PER_SEGMENT: u64 = 20;

/// A queue by time, the log it lies in, and the same in plain words.
struct Room {
    due: Due,
    /// Every message that was ever logged: when it is due, and whether it has left.
    logged: Vec<(u64, bool)>,
    /// Those that had left when the process last began: the log told so.
    known_gone: BTreeSet<u64>,
    reading: Option<Run>,
    resident_max: usize,
}

impl Room {
    fn new(entries_max: usize) -> Self {
        let due = Due { entries_max, ..Due::restored(&Budget::new(0), []) };
        Self { due, logged: Vec::new(), known_gone: BTreeSet::new(), reading: None, resident_max: 0 }
    }

    fn entry(&self, seq: u64) -> Entry {
        let segment = SegmentId(1 + (seq / PER_SEGMENT) as u32);
        let lsn = Lsn::new(segment, 64 + 8 * (seq % PER_SEGMENT) as u32);
        let mut entry = Entry::new(Seq(seq), lsn, 50, message("body", true));
        entry.message = None;
        entry.expire_unix_ms = self.logged[seq as usize].0;
        entry
    }

    /// The segment being written.
    fn tail(&self) -> SegmentId {
        SegmentId(1 + (self.logged.len() as u64 / PER_SEGMENT) as u32)
    }

    fn publish(&mut self, at_ms: u64) {
        let seq = self.logged.len() as u64;
        self.logged.push((at_ms, false));
        let entry = self.entry(seq);
        self.due.insert(entry);
        if (seq + 1).is_multiple_of(PER_SEGMENT) {
            self.due.page_out(self.tail());
        }
    }

    /// What the disk says to the read that is under way.
    fn answer(&mut self) {
        let Some(run) = self.reading.take() else { return };
        // Those that left since are there as well, and must not come back.
        let listed = (run.first.0..=run.last.0).filter(|seq| !self.known_gone.contains(seq));
        let entries: Vec<_> = listed.map(|seq| self.entry(seq)).collect();
        self.due.entries_read(run, entries);
    }

    fn read(&mut self) {
        if self.reading.is_none() {
            self.reading = self.due.ask();
        }
    }

    fn expected(&self) -> Option<Moment> {
        let waiting = self.logged.iter().enumerate().filter(|(_, (_, has_left))| !has_left);
        waiting.map(|(seq, (at_ms, _))| (*at_ms, Seq(seq as u64))).min()
    }

    fn check(&mut self) {
        let waiting = self.logged.iter().filter(|(_, has_left)| !has_left).count();
        assert_eq!((self.due.len(), self.due.bytes()), (waiting as u64, 4 * waiting as u64));
        match self.due.first() {
            Head::Entry(entry) => assert_eq!(Some(moment(entry)), self.expected()),
            Head::Empty => assert_eq!(self.expected(), None),
            Head::Paged => assert!(self.expected().is_some()),
        }
        self.resident_max = self.resident_max.max(self.due.resident_count());
    }

    /// The first message leaves, if it is in memory.
    fn leave(&mut self) -> bool {
        let Head::Entry(entry) = self.due.first() else { return false };
        let seq = entry.seq;
        assert!(self.due.remove(seq).is_some_and(|entry| entry.seq == seq));
        self.logged[seq.0 as usize].1 = true;
        true
    }

    /// Everything leaves.
    fn drain(&mut self) {
        let mut idle_count = 0;
        while self.expected().is_some() {
            self.read();
            self.answer();
            idle_count += 1;
            while self.leave() {
                idle_count = 0;
            }
            self.check();
            assert!(idle_count <= self.logged.len(), "each read brings it forward");
        }
        assert_eq!(self.due.len(), 0);
    }

    /// The process dies: what comes back are the stretches, of which nobody knows when they are due.
    fn restart(&mut self) {
        // A new segment begins.
        while !(self.logged.len() as u64).is_multiple_of(PER_SEGMENT) {
            self.logged.push((1, true));
        }
        let gone = self.logged.iter().enumerate().filter(|(_, (_, has_left))| *has_left);
        self.known_gone = gone.map(|(seq, _)| seq as u64).collect();
        let stretches = (0..self.logged.len() as u64 / PER_SEGMENT).filter_map(|segment| {
            let (first, last) = (segment * PER_SEGMENT, (segment + 1) * PER_SEGMENT - 1);
            let live_count = (first..=last).filter(|seq| !self.logged[*seq as usize].1).count() as u64;
            let segment = SegmentId(1 + segment as u32);
            let run =
                Run { segment, priority: 0, first: Seq(first), last: Seq(last), count: 20, bytes: 1000 };
            let body_bytes = live_count * 4;
            let paged =
                Paged { run, live_count, body_bytes, is_guess: false, is_estimate: true, asked: false };
            (live_count > 0).then_some(paged)
        });
        let entries_max = self.due.entries_max;
        self.due = Due { entries_max, ..Due::restored(&Budget::new(0), stretches.collect::<Vec<_>>()) };
        self.reading = None;
    }
}

#[test]
fn the_soonest_first_and_equals_in_the_order_they_came() {
    let mut room = Room::new(100);
    for at_ms in [50, 10, 50, 20] {
        room.publish(at_ms);
        room.check();
    }
    let order: Vec<_> = room.due.in_order().map(|entry| entry.seq.0).collect();
    assert_eq!(order, [1, 3, 0, 2]);
    assert!(room.due.find_mut(Seq(2)).is_none(), "nobody asked for it");
    room.due.note_asked([Seq(2), Seq(0)].into_iter());
    assert!(room.due.find_mut(Seq(2)).is_some() && room.due.remove(Seq(9)).is_none());
    assert!(room.due.remove(Seq(2)).is_some());
    room.logged[2].1 = true;
    for _ in 0..3 {
        assert!(room.leave());
        room.check();
    }
    assert!(matches!(room.due.first(), Head::Empty));
}

#[test]
fn few_of_many_are_in_memory_and_all_leave_in_their_order() {
    // The same delay for all; the later the sooner; all at once; in no order.
    let times: [fn(u64) -> u64; 4] =
        [|seq| 1000 + seq, |seq| 100_000 - seq, |_| 5000, |seq| 1000 + seq * 7919 % 10_007];
    for (number, at_ms) in times.into_iter().enumerate() {
        let mut room = Room::new(100);
        for seq in 0..10_000 {
            room.publish(at_ms(seq));
        }
        room.drain();
        // The soonest, those of the segment being written, and what a pass has found so far.
        let bound = 100 + PER_SEGMENT as usize + 100 + 1;
        assert!(room.resident_max <= bound, "{number}: {} entries in memory", room.resident_max);
    }
}

#[test]
fn a_stretch_that_cannot_be_read_is_given_up_and_the_others_go_on() {
    let mut room = Room::new(30);
    (0..200).for_each(|seq| room.publish(1000 + seq % 10));
    room.restart();
    room.read();
    let run = room.reading.take().unwrap();
    assert_eq!(room.due.give_up(run), PER_SEGMENT);
    for seq in run.first.0..=run.last.0 {
        room.logged[seq as usize].1 = true;
    }
    room.drain();
}

/// What happens to a room.
#[derive(Clone, Debug)]
enum Step {
    Publish(u64),
    Read,
    Answer,
    Leave(u8),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (1..400u64).prop_map(Step::Publish),
        4 => Just(Step::Read),
        4 => Just(Step::Answer),
        2 => (1..20u8).prop_map(Step::Leave),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_messages_leave_in_their_order(
        entries_max in 1..60usize,
        steps in prop::collection::vec(step(), 1..600),
    ) {
        let mut room = Room::new(entries_max);
        let mut now_ms = 0;
        for step in steps {
            match step {
                // Who comes is due later than who left: time goes on.
                Step::Publish(delay_ms) => room.publish(now_ms + delay_ms),
                Step::Read => room.read(),
                Step::Answer => room.answer(),
                Step::Leave(count) => {
                    for _ in 0..count {
                        if let Head::Entry(entry) = room.due.first() {
                            now_ms = now_ms.max(entry.expire_unix_ms);
                        }
                        room.leave();
                    }
                }
                Step::Restart => room.restart(),
            }
            room.check();
        }
        room.drain();
    }
}
