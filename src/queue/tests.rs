//! What a queue asks to have read.

use super::test_support::message;
use super::*;
use crate::limits::HEAD_MESSAGES_MAX;

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
