//! A stream with a disk that holds everything: places, windows, retention, times, and coming back.

use super::super::test_support::message;
use super::retention::Trimmed;
use super::*;
use crate::protocol::properties::Properties;
use ledgermq_storage::SettleReason;

/// A stream with a disk that holds everything, ten messages of 100 bytes a segment, one message a second.
struct Rig {
    stream: Stream,
    budget: Budget,
    marks: Watermarks,
    /// Credit told to the stream.
    credit: u64,
    trims: u64,
}

impl Rig {
    fn new(count: u64) -> Self {
        let budget = Budget::new(1 << 20);
        let marks = Watermarks { deliverable: Lsn(u64::MAX), readable: Lsn(u64::MAX) };
        let mut rig = Self { stream: Stream::new(budget.clone()), budget, marks, credit: 10, trims: 0 };
        rig.push(count);
        rig
    }

    fn push(&mut self, count: u64) {
        for _ in 0..count {
            let seq = self.stream.next_offset().0;
            let message = message(&format!("m{seq}"), true);
            self.trims += u64::from(self.stream.push(&message, (lsn(seq), 100), seq * 1000, 300));
        }
    }

    fn seal(&mut self, segment: u32) {
        self.stream.seal(SegmentId(segment));
    }

    fn add(&mut self, slot: u32, start: Start) -> Option<StreamRead> {
        self.stream.add_consumer(ConsumerSlot(slot), ChannelSlot(slot), start, None)
    }

    /// What a consumer gets until it must wait for later messages.
    fn read(&mut self, slot: u32) -> Vec<u64> {
        let slot = ConsumerSlot(slot);
        let mut seen = Vec::new();
        loop {
            match self.stream.turn(slot, self.marks) {
                Turn::Ready => {
                    let (_, message) = self.stream.take(slot).expect("it is ready");
                    let headers = Properties::new(&message.properties).headers();
                    let offset = headers.get("x-stream-offset").and_then(|offset| offset.as_i64());
                    seen.push(offset.expect("it has an offset").unsigned_abs());
                }
                Turn::Passed => {}
                Turn::AtEnd | Turn::Later => {
                    self.stream.wait_at_end(slot);
                    return seen;
                }
                Turn::Reading => {
                    self.stream.await_bodies(slot);
                    let read = self.window();
                    assert!(!read.is_empty(), "what is awaited is read");
                    let bodies = read.into_iter().map(|seq| (Seq(seq), Ok(message("body", true)))).collect();
                    assert_eq!(self.stream.bodies_read(bodies), []);
                    assert_eq!(self.stream.take_awaiting(), [slot]);
                }
            }
        }
    }

    /// The offsets that are to be read now.
    fn window(&mut self) -> Vec<u64> {
        match self.stream.wanted(self.marks, |_| self.credit) {
            None => Vec::new(),
            Some(WantedFromStream::Bodies(places)) => places.iter().map(|(seq, _, _)| seq.0).collect(),
            Some(WantedFromStream::Read(StreamRead::Window { run, .. })) => {
                (run.first.0..=run.last.0).collect()
            }
            Some(WantedFromStream::Read(other)) => panic!("no window: {other:?}"),
        }
    }

    fn trim(
        &mut self,
        bytes_max: Option<u64>,
        age_max_ms: Option<u64>,
        now_ms: u64,
    ) -> Vec<(u64, u64, SettleReason)> {
        let limits = Limits { bytes_max, age_max_ms, unit_bytes: 300 };
        let (trimmed, undated) = self.stream.trim(limits, now_ms);
        assert_eq!(undated, None);
        trimmed.iter().map(|gone| (gone.first.0, gone.last.0, gone.reason)).collect()
    }
}

fn lsn(seq: u64) -> Lsn {
    Lsn::new(SegmentId(1 + (seq / 10) as u32), 64 + (seq % 10) as u32)
}

#[test]
fn each_consumer_reads_everything_from_its_own_place() {
    let mut rig = Rig::new(25);
    rig.seal(3);
    for (slot, start, first) in [
        (0, Start::First, 0),
        (1, Start::Offset(7), 7),
        (2, Start::Last, 24),
        (3, Start::Next, 25),
        (4, Start::Offset(27), 27),
    ] {
        assert_eq!(rig.add(slot, start), None);
        assert_eq!(rig.read(slot), (first..25).collect::<Vec<_>>(), "{start:?}");
    }
    rig.push(5);
    for (slot, first) in [(0, 25), (1, 25), (2, 25), (3, 25), (4, 27)] {
        assert_eq!(rig.read(slot), (first..30).collect::<Vec<_>>());
    }
    assert_eq!((rig.stream.message_count(), rig.stream.bytes()), (30, 3000), "reading takes nothing away");
}

#[test]
fn those_at_the_end_share_what_comes_and_it_goes_when_all_have_it() {
    let mut rig = Rig::new(1);
    for slot in 0..3 {
        rig.add(slot, Start::Next);
        assert!(rig.read(slot).is_empty());
    }
    rig.push(100);
    assert_eq!(rig.stream.resident_count(), 100);
    let consumers = rig.stream.take_at_end();
    assert_eq!(consumers.len(), 3);
    for slot in 0..3 {
        assert_eq!(rig.read(slot).len(), 100);
        assert!(rig.window().is_empty(), "nothing is read back");
    }
    rig.stream.rest();
    assert_eq!((rig.stream.resident_count(), rig.budget.used_bytes()), (0, 0));
}

#[test]
fn what_is_not_durable_is_not_handed_out_and_not_read() {
    let mut rig = Rig::new(8);
    rig.marks = Watermarks { deliverable: lsn(5), readable: lsn(5) };
    rig.add(0, Start::First);
    assert_eq!(rig.read(0), [0, 1, 2, 3, 4]);
    assert!(rig.stream.wait_at_end(ConsumerSlot(0)), "the log has more to come");
    rig.marks = Watermarks { deliverable: lsn(8), readable: lsn(8) };
    assert_eq!(rig.read(0), [5, 6, 7]);
    assert!(!rig.stream.wait_at_end(ConsumerSlot(0)));
}

#[test]
fn windows_are_bounded_and_smaller_when_memory_is_short() {
    let mut rig = Rig::new(1000);
    rig.add(0, Start::First);
    rig.stream.await_bodies(ConsumerSlot(0));
    assert_eq!(rig.window().len(), 256, "places of several segments are read together");
    rig.stream.bodies_read((0..256).map(|seq| (Seq(seq), Ok(message("body", true)))).collect());
    rig.stream.take_awaiting();
    rig.budget.take((1 << 20) + 1);
    rig.stream.rest();
    assert_eq!(rig.stream.resident_count(), 0, "who cannot take it has no claim to it");
    rig.credit = 3;
    rig.stream.await_bodies(ConsumerSlot(0));
    assert_eq!(rig.window(), [0, 1, 2]);
    assert!(rig.window().is_empty(), "one read at a time");
}

#[test]
fn a_window_ends_where_memory_begins() {
    let mut rig = Rig::new(30);
    rig.seal(4);
    rig.add(0, Start::Offset(15));
    rig.stream.await_bodies(ConsumerSlot(0));
    assert_eq!(rig.window(), (15..20).collect::<Vec<_>>(), "a run at a time");
    rig.stream.bodies_read((15..20).map(|seq| (Seq(seq), Ok(message("body", true)))).collect());
    rig.stream.take_awaiting();
    rig.add(1, Start::Offset(12));
    rig.stream.await_bodies(ConsumerSlot(1));
    assert_eq!(rig.window(), [12, 13, 14]);
}

#[test]
fn a_message_that_cannot_be_read_is_passed_over() {
    let mut rig = Rig::new(6);
    rig.add(0, Start::First);
    rig.stream.await_bodies(ConsumerSlot(0));
    assert_eq!(rig.window(), [0, 1, 2, 3, 4, 5]);
    let body = |seq: u64| if seq == 2 { Err("torn".to_owned()) } else { Ok(message("body", true)) };
    let damaged = rig.stream.bodies_read((0..6).map(|seq| (Seq(seq), body(seq))).collect());
    assert_eq!(damaged, [(Seq(2), "torn".to_owned())]);
    rig.stream.take_awaiting();
    assert_eq!(rig.read(0), [0, 1, 3, 4, 5]);
    assert_eq!(rig.stream.damaged_count(), 1);
    rig.add(1, Start::First);
    assert_eq!(rig.read(1), [0, 1, 3, 4, 5], "reported once, passed over by all");
}

#[test]
fn a_message_its_index_does_not_list_is_passed_over() {
    let mut rig = Rig::new(12);
    rig.seal(2);
    rig.add(0, Start::First);
    rig.stream.await_bodies(ConsumerSlot(0));
    assert_eq!(rig.window().len(), 10);
    let damaged = rig.stream.bodies_read(vec![(Seq(1), Ok(message("body", true)))]);
    assert_eq!(damaged.iter().map(|(seq, _)| seq.0).collect::<Vec<_>>(), [0]);
}

#[test]
fn retention_by_bytes_keeps_the_newest() {
    let mut rig = Rig::new(30);
    rig.seal(3);
    rig.add(0, Start::First);
    assert_eq!(rig.trim(None, None, 0), []);
    assert_eq!(rig.trim(Some(3000), None, 0), []);
    assert_eq!(rig.trim(Some(1000), None, 0), [(0, 19, SettleReason::MaxLength)]);
    assert_eq!((rig.stream.first_offset(), rig.stream.bytes()), (Seq(20), 1000));
    assert_eq!(
        rig.read(0),
        (20..30).collect::<Vec<_>>(),
        "who fell behind goes on at the oldest that is left"
    );
    assert_eq!(rig.trim(Some(0), None, 0), [(20, 25, SettleReason::MaxLength)], "the newest unit stays");
    assert_eq!(rig.stream.message_count(), 4);
    assert!(rig.trims > 10, "a new piece is the moment to look");
}

#[test]
fn retention_by_age_keeps_the_young_and_the_newest() {
    let mut rig = Rig::new(20);
    assert_eq!(rig.trim(None, Some(60_000), 61_000), []);
    assert_eq!(rig.trim(None, Some(60_000), 62_000), [(0, 2, SettleReason::Expired)]);
    assert_eq!(rig.trim(None, Some(60_000), 66_500), [(3, 5, SettleReason::Expired)]);
    assert_eq!(rig.trim(None, Some(60_000), 1_000_000), [(6, 15, SettleReason::Expired)]);
    assert_eq!(rig.stream.message_count(), 4);
}

#[test]
fn a_stream_comes_back_with_its_offsets_and_learns_its_ages() {
    let run = |segment: u32, first: u64| Run {
        segment: SegmentId(segment),
        priority: 0,
        first: Seq(first),
        last: Seq(first + 9),
        count: 10,
        bytes: 1000,
    };
    let mut settled = SettledSet::new();
    settled.insert_range(Seq(0), Seq(5));
    let budget = Budget::new(1 << 20);
    let runs = [run(1, 0), run(SegmentId::COLD | 1, 10), run(3, 20)];
    let mut stream = Stream::restore(budget.clone(), Seq(30), &runs, &settled);
    assert_eq!((stream.first_offset(), stream.next_offset(), stream.bytes()), (Seq(6), Seq(30), 2400));
    let limits = Limits { bytes_max: None, age_max_ms: Some(1000), unit_bytes: 300 };
    let (trimmed, undated) = stream.trim(limits, 60_000);
    let undated = undated.expect("its time is not known");
    assert_eq!((trimmed, undated.first, undated.last), (vec![], Seq(6), Seq(9)));
    assert_eq!(stream.trim(limits, 60_000), (vec![], None), "asked once");
    stream.dated(Seq(9), Some(7000));
    let (trimmed, undated) = stream.trim(limits, 60_000);
    assert_eq!(trimmed, [Trimmed { first: Seq(6), last: Seq(9), reason: SettleReason::Expired }]);
    stream.dated(undated.expect("the next one").last, None);
    assert_eq!(stream.trim(limits, 60_000), (vec![], None), "what cannot be dated stays");
    let limits = Limits { bytes_max: Some(500), ..limits };
    assert_eq!(
        stream.trim(limits, 60_000).0.first().map(|gone| gone.last),
        Some(Seq(19)),
        "size needs no date"
    );
    settled.insert_range(Seq(6), Seq(29));
    let empty = Stream::restore(budget, Seq(30), &[], &settled);
    assert_eq!((empty.first_offset(), empty.next_offset()), (Seq(30), Seq(30)));
}

#[test]
fn a_time_is_looked_up_on_disk_and_then_in_memory() {
    let mut rig = Rig::new(25);
    assert_eq!(rig.add(0, Start::Since(12_000)), None, "nothing is on disk only");
    assert_eq!(rig.read(0), (12..25).collect::<Vec<_>>());
    rig.seal(3);
    let Some(StreamRead::Since { ticket, runs, unix_ms: 12_000 }) = rig.add(1, Start::Since(12_000)) else {
        panic!("the disk knows")
    };
    assert_eq!(runs.iter().map(|run| (run.first.0, run.last.0)).collect::<Vec<_>>(), [(0, 9), (10, 19)]);
    assert_eq!(rig.stream.turn(ConsumerSlot(1), rig.marks), Turn::Reading);
    let answer = rig.stream.sought(ticket, Seq(19), 12_000, &Ok(Some(Seq(12))));
    assert_eq!(answer, (Some(ConsumerSlot(1)), None));
    assert_eq!(rig.read(1), (12..25).collect::<Vec<_>>());
    assert_eq!(rig.stream.sought(ticket, Seq(19), 12_000, &Ok(None)), (None, None), "answered once");
    for (slot, since_ms, expected) in [(2, 22_000, vec![22, 23, 24]), (3, 99_000, vec![])] {
        let Some(StreamRead::Since { ticket, .. }) = rig.add(slot, Start::Since(since_ms)) else {
            panic!("the disk knows")
        };
        assert_eq!(rig.stream.sought(ticket, Seq(19), since_ms, &Ok(None)).0, Some(ConsumerSlot(slot)));
        assert_eq!(rig.read(slot), expected);
    }
    let Some(StreamRead::Since { ticket, .. }) = rig.add(4, Start::Since(22_000)) else {
        panic!("the disk knows")
    };
    rig.push(10);
    rig.seal(4);
    let (None, Some(StreamRead::Since { ticket, runs, .. })) =
        rig.stream.sought(ticket, Seq(19), 22_000, &Ok(None))
    else {
        panic!("a segment was sealed meanwhile")
    };
    assert_eq!(runs.iter().map(|run| (run.first.0, run.last.0)).collect::<Vec<_>>(), [(20, 29)]);
    rig.stream.sought(ticket, Seq(29), 22_000, &Err("torn".into()));
    assert_eq!(rig.read(4).first(), Some(&0), "rather too much than too little");
}

#[test]
fn settling_gives_credit_back_and_takes_nothing_away() {
    let mut rig = Rig::new(3);
    rig.add(0, Start::First);
    assert_eq!(rig.read(0), [0, 1, 2]);
    assert_eq!(rig.stream.settle(Seq(1), ChannelSlot(0)), Some(ConsumerSlot(0)));
    assert_eq!(rig.stream.settle(Seq(1), ChannelSlot(0)), None);
    assert_eq!(rig.stream.holders().count(), 2);
    assert_eq!(rig.stream.settle_all_of(ChannelSlot(0)).len(), 2);
    assert!(rig.read(0).is_empty(), "nothing comes twice");
    assert_eq!(rig.stream.message_count(), 3);
}

/// Four windows are read at once, for whoever has waited longest; nobody waits for what another reads.
#[test]
fn consumers_far_behind_get_their_windows_in_turn() {
    let mut rig = Rig::new(10_000);
    rig.seal(2000);
    for slot in 0..6 {
        rig.add(slot, Start::Offset(u64::from(slot) * 1000));
        assert_eq!(rig.stream.turn(ConsumerSlot(slot), rig.marks), Turn::Reading);
        rig.stream.await_bodies(ConsumerSlot(slot));
    }
    let windows: Vec<_> = (0..4).map(|_| rig.window()).collect();
    let firsts: Vec<_> = windows.iter().map(|window| window[0]).collect();
    assert_eq!((firsts, rig.window()), (vec![0, 1000, 2000, 3000], vec![]), "no more at once");
    let answer = |window: &[u64]| window.iter().map(|seq| (Seq(*seq), Ok(message("body", true)))).collect();
    assert_eq!(rig.stream.bodies_read(answer(&windows[2])), []);
    assert_eq!(rig.stream.take_awaiting(), [ConsumerSlot(2)], "the others still wait");
    assert_eq!(rig.window()[0], 4000, "who has waited longest");
    assert!(rig.window().is_empty());
    assert_eq!(rig.stream.bodies_read(answer(&windows[0])), []);
    assert_eq!(rig.stream.take_awaiting(), [ConsumerSlot(0)]);
    assert_eq!(rig.window()[0], 5000);
    // Under pressure one at a time, and no more than may be taken.
    rig.budget.take(1 << 20);
    rig.credit = 3;
    for window in [1, 3] {
        assert_eq!(rig.stream.bodies_read(answer(&windows[window])), []);
        assert!(rig.window().is_empty());
    }
}

/// Segments long enough for whole windows.
#[test]
fn the_next_window_is_read_while_one_is_used_up() {
    let mut rig = Rig::new(0);
    for seq in 0..2000 {
        let at = Lsn::new(SegmentId(1), 64 + seq);
        rig.stream.push(&message("body", true), (at, 100), 0, 1_000_000);
    }
    rig.seal(2);
    rig.credit = 1000;
    let slot = ConsumerSlot(0);
    rig.add(0, Start::First);
    assert_eq!(rig.stream.turn(slot, rig.marks), Turn::Reading);
    rig.stream.await_bodies(slot);
    let mut reads = 0;
    for seq in 0..2000 {
        // Read as soon as it is asked for: after the first nobody ever waits.
        loop {
            let window = rig.window();
            if window.is_empty() {
                break;
            }
            reads += 1;
            let bodies = window.iter().map(|seq| (Seq(*seq), Ok(message("body", true)))).collect();
            assert_eq!(rig.stream.bodies_read(bodies), []);
            rig.stream.take_awaiting();
        }
        assert_eq!(rig.stream.turn(slot, rig.marks), Turn::Ready, "{seq}");
        rig.stream.take(slot);
        rig.stream.rest();
        assert!(rig.stream.resident_count() <= 4 * STREAM_WINDOW_MESSAGES_MAX);
    }
    assert_eq!(reads, 8, "a window each time");
    assert_eq!(rig.stream.turn(slot, rig.marks), Turn::AtEnd);
}

#[test]
fn nothing_is_read_ahead_for_who_cannot_take_it() {
    let mut rig = Rig::new(100);
    rig.seal(100);
    rig.credit = 0;
    let slot = ConsumerSlot(0);
    rig.add(0, Start::First);
    assert_eq!(rig.stream.turn(slot, rig.marks), Turn::Reading);
    rig.stream.await_bodies(slot);
    let bodies = rig.window().iter().map(|seq| (Seq(*seq), Ok(message("body", true)))).collect();
    assert_eq!(rig.stream.bodies_read(bodies), []);
    rig.stream.take_awaiting();
    for _ in 0..10 {
        assert!(rig.stream.take(slot).is_some());
    }
    assert!(rig.window().is_empty());
}
