//! What a queue asks to have read.

use super::test_support::message;
use super::*;
use crate::limits::{HEAD_ENTRIES_MIN, HEAD_MESSAGES_MAX, HELD_MESSAGES_MAX, LEVEL_ENTRIES_MIN};
use crate::protocol::properties::PropertyList;
use bytes::Bytes;
use ledgermq_storage::{Run, SegmentId, StoredEntry};

const MARKS: Watermarks = Watermarks { deliverable: Lsn(u64::MAX), readable: Lsn(u64::MAX) };

/// After a start: a few messages whose entries were read and whose bodies were not, and behind them so many new ones in
/// memory that half a window is full.
#[test]
fn the_first_message_is_read_however_many_are_in_memory_behind_it() {
    let segment = SegmentId(1);
    let run = Run { segment, priority: 0, first: Seq(0), last: Seq(9), count: 10, bytes: 500 };
    let waiting = WaitingRun { run, live_count: 10, body_bytes: 40, is_guess: false };
    let (settled, redelivered) = (SettledSet::new(), Redelivered::default());
    let mut queue =
        Queue::restore(QueueId(1), Budget::new(1 << 20), Seq(10), [waiting], settled, redelivered);
    let lsn = |seq: u64| Lsn::new(segment, 64 + 64 * seq as u32);
    let new = HEAD_MESSAGES_MAX as u64 - 10;
    for seq in 10..10 + new {
        queue.enqueue(&message("body", true), lsn(seq), 50, 0);
    }
    assert_eq!(queue.resident_count(), new);
    assert_eq!(queue.wanted(MARKS), (Some(run), None), "first it must be known what there is");
    let stored = |seq| StoredEntry {
        seq: Seq(seq),
        lsn: lsn(seq),
        record_bytes: 50,
        body_bytes: 4,
        expire_unix_ms: 0,
    };
    queue.entries_read(run, &(0..10).map(stored).collect::<Vec<_>>());
    let (_, wanted) = queue.wanted(MARKS);
    let wanted: Vec<_> = wanted.into_iter().flatten().map(|(seq, ..)| seq.0).collect();
    assert_eq!(wanted, (0..10).collect::<Vec<_>>());
}

/// A consumer that gives back what it was just handed, or a client that recovers, has it again at once.
#[test]
fn what_comes_back_need_not_be_read_unless_much_is_held() {
    let mut queue = Queue::new(QueueId(1), Budget::new(1 << 30));
    let channel = ChannelSlot(1);
    let owner = Owner { channel, consumer: None, since_s: 0 };
    let hand_out = |queue: &mut Queue| queue.take(Some(owner)).expect("one waits").seq;
    let count = HELD_MESSAGES_MAX as u64 + 10;
    for seq in 0..count {
        queue.enqueue(&message("body", true), Lsn::new(SegmentId(1), 64 + 64 * seq as u32), 50, 0);
    }
    let handed_out: Vec<_> = (0..count).map(|_| hand_out(&mut queue)).collect();
    assert_eq!(queue.resident_count(), HELD_MESSAGES_MAX as u64, "the last ones, when few others were left");
    for &seq in handed_out.iter().rev().take(HELD_MESSAGES_MAX) {
        let held = queue.settle(seq, channel).expect("held");
        queue.put_back(held);
        assert_eq!(queue.availability(MARKS), Availability::Ready);
    }
    let held = queue.settle(Seq(0), channel).expect("held");
    queue.put_back(held);
    assert_eq!(queue.availability(MARKS), Availability::Reading);
    for &seq in &handed_out[1..] {
        if let Some(held) = queue.settle(seq, channel) {
            queue.forget(held);
        }
    }
    queue.purge();
    assert_eq!(queue.resident_count(), 0);
}

/// Two million messages of ten priorities, mixed, bodies on disk: of each level the head is in memory, and the segment being
/// written; all of them come back, the highest first, each level in its order.
#[test]
fn two_million_messages_of_ten_priorities_are_on_disk() {
    const COUNT: u64 = 2_000_000;
    const PER_SEGMENT: u64 = 100_000;
    let priority_of = |seq: u64| (seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8 % 10;
    let lsn_of =
        |seq: u64| Lsn::new(SegmentId((seq / PER_SEGMENT) as u32 + 1), 64 + 64 * (seq % PER_SEGMENT) as u32);
    let messages: Vec<_> = (0..10)
        .map(|priority| {
            let properties = PropertyList { priority: Some(priority), ..PropertyList::default() }.encode();
            Arc::new(Message {
                properties,
                body: Bytes::from_static(b"body"),
                ..(*message("", true)).clone()
            })
        })
        .collect();
    let mut queue = Queue::new(QueueId(1), Budget::new(0));
    queue.rank(9);
    let mut resident_max = 0;
    for seq in 0..COUNT {
        queue.enqueue(&messages[usize::from(priority_of(seq))], lsn_of(seq), 50, 0);
        if (seq + 1).is_multiple_of(PER_SEGMENT) {
            resident_max = resident_max.max(queue.ready.resident().count() as u64);
            queue.page_out(lsn_of(seq + 1).segment());
        }
    }
    let head = 10 * LEVEL_ENTRIES_MIN.max(HEAD_ENTRIES_MIN / 10);
    // Chunks leave as a whole: what lies around the end of a head stays.
    let bound = head + 2 * PER_SEGMENT;
    assert!(resident_max <= bound, "{resident_max} entries in memory");
    assert_eq!((queue.ready_count(), queue.ready_bytes()), (COUNT, 4 * COUNT));
    assert!(queue.resident_count() <= 1, "the one that broke the budget");
    let mut taken = 0;
    let (mut last_priority, mut last_seq) = (9, None);
    while queue.ready_count() > 0 {
        let (run, wanted) = queue.wanted(MARKS);
        if let Some(run) = run {
            let own = (run.first.0..=run.last.0).filter(|seq| priority_of(*seq) == run.priority);
            let stored = own.map(|seq| StoredEntry {
                seq: Seq(seq),
                lsn: lsn_of(seq),
                record_bytes: 50,
                body_bytes: 4,
                expire_unix_ms: 0,
            });
            queue.entries_read(run, &stored.collect::<Vec<_>>());
        }
        for (seq, ..) in wanted.into_iter().flatten() {
            queue.body_read(seq, Arc::clone(&messages[usize::from(priority_of(seq.0))]));
        }
        queue.bodies_done();
        while queue.availability(MARKS) == Availability::Ready {
            let seq = queue.take(None).map(|taken| taken.seq.0).expect("it is ready");
            let priority = priority_of(seq);
            assert!(priority < last_priority || priority == last_priority && last_seq < Some(seq));
            (last_priority, last_seq) = (priority, Some(seq));
            taken += 1;
        }
        resident_max = resident_max.max(queue.ready.resident().count() as u64);
    }
    assert_eq!(taken, COUNT);
    assert!(resident_max <= bound, "{resident_max} entries in memory while it was read");
}
