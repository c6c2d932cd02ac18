//! Settled messages that wait for their batch. Consecutive positions of a queue become one range, so that a consumer
//! that acknowledges in order costs 24 bytes a batch, not 24 bytes a message.
//! Invariant: `bytes()` is at least what `drain` writes; the staging buffer keeps that much room.

use crate::ids::GroupId;
use crate::record::{RANGE_BYTES, Settle, SettleRange, SettleReason};
use crate::record_encode::settle_bytes;

/// Ranges looked at, newest first, for one that a settle continues. Few consumers are active within one batch; a
/// settle that finds none costs a range of its own, nothing else.
const LOOK_BACK: usize = 8;

/// The settles of the open batch.
#[derive(Debug, Default)]
pub(crate) struct PendingSettles {
    ranges: Vec<Pending>,
    /// Upper bound of the records they need: how often group or reason changed.
    records: usize,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    group: GroupId,
    reason: SettleReason,
    range: SettleRange,
}

impl PendingSettles {
    /// Room that one more settle may need, bytes.
    pub(crate) const GROWTH_BYTES: usize = 40 + RANGE_BYTES;

    /// Adds the settle to a range that it continues, if there is one.
    pub(crate) fn merge(&mut self, group: GroupId, settle: Settle) -> bool {
        let found = self.ranges.iter_mut().rev().take(LOOK_BACK).find(|pending| {
            pending.group == group
                && pending.reason == settle.reason
                && pending.range.queue == settle.queue
                && pending.range.count < u32::MAX
                && pending.range.first.0 + u64::from(pending.range.count) == settle.seq.0
        });
        match found {
            Some(pending) => {
                pending.range.count += 1;
                true
            }
            None => false,
        }
    }

    /// Adds a range of its own.
    pub(crate) fn push(&mut self, group: GroupId, settle: Settle) {
        let range = SettleRange { queue: settle.queue, first: settle.seq, count: 1 };
        self.push_range(group, range, settle.reason);
    }

    /// Adds a range of more than one.
    pub(crate) fn push_range(&mut self, group: GroupId, range: SettleRange, reason: SettleReason) {
        let same = |last: &Pending| last.group == group && last.reason == reason;
        if !self.ranges.last().is_some_and(same) {
            self.records += 1;
        }
        self.ranges.push(Pending { group, reason, range });
    }

    /// Ranges waiting.
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Room their records need, at most.
    pub(crate) fn bytes(&self) -> usize {
        self.records * settle_bytes(0) + self.ranges.len() * RANGE_BYTES
    }

    /// Hands the ranges over, one call for each group and reason, and forgets them.
    pub(crate) fn drain(&mut self, mut write: impl FnMut(GroupId, SettleReason, &[SettleRange])) {
        self.ranges.sort_by_key(|pending| (pending.group, pending.reason));
        for record in self.ranges.chunk_by(|a, b| (a.group, a.reason) == (b.group, b.reason)) {
            let Some(first) = record.first() else { continue };
            let ranges: Vec<SettleRange> = record.iter().map(|pending| pending.range).collect();
            write(first.group, first.reason, &ranges);
        }
        self.ranges.clear();
        self.records = 0;
    }
}

/// The settles of a transaction as ranges, one list for each reason.
pub(crate) fn ranges_of(settles: &[Settle]) -> Vec<(SettleReason, Vec<SettleRange>)> {
    let mut sorted = settles.to_vec();
    sorted.sort_by_key(|settle| (settle.reason, settle.queue, settle.seq));
    sorted.dedup();
    let mut lists: Vec<(SettleReason, Vec<SettleRange>)> = Vec::new();
    for settle in sorted {
        if lists.last().is_none_or(|(reason, _)| *reason != settle.reason) {
            lists.push((settle.reason, Vec::new()));
        }
        let Some((_, ranges)) = lists.last_mut() else { continue };
        let next = |range: &SettleRange| range.first.0 + u64::from(range.count);
        match ranges.last_mut() {
            Some(last) if last.queue == settle.queue && next(last) == settle.seq.0 => last.count += 1,
            _ => ranges.push(SettleRange { queue: settle.queue, first: settle.seq, count: 1 }),
        }
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{QueueId, Seq};

    fn settle(queue: u32, seq: u64) -> Settle {
        Settle { queue: QueueId(queue), seq: Seq(seq), reason: SettleReason::Ack }
    }

    fn check(settles: &[(u32, u64)], expected: &[(u32, u64, u32)]) {
        let mut pending = PendingSettles::default();
        for &(queue, seq) in settles {
            if !pending.merge(GroupId(1), settle(queue, seq)) {
                pending.push(GroupId(1), settle(queue, seq));
            }
        }
        let room = pending.bytes();
        let (mut found, mut written) = (Vec::new(), 0);
        pending.drain(|group, reason, ranges| {
            assert_eq!((group, reason), (GroupId(1), SettleReason::Ack));
            found.extend(ranges.iter().map(|r| (r.queue.0, r.first.0, r.count)));
            written += settle_bytes(ranges.len());
        });
        assert_eq!(found, expected, "{settles:?}");
        assert!(written <= room, "{written} bytes written, {room} reserved");
        assert!(pending.is_empty());
    }

    #[test]
    fn consecutive_positions_of_a_queue_become_one_range() {
        check(&[], &[]);
        check(&[(1, 5), (1, 6), (1, 7)], &[(1, 5, 3)]);
        check(&[(1, 5), (2, 9), (1, 6), (2, 10)], &[(1, 5, 2), (2, 9, 2)]);
        check(&[(1, 6), (1, 5)], &[(1, 6, 1), (1, 5, 1)]);
        check(&[(1, 5), (1, 7), (1, 8)], &[(1, 5, 1), (1, 7, 2)]);
    }

    #[test]
    fn a_reason_or_group_of_its_own_is_a_record_of_its_own() {
        let mut pending = PendingSettles::default();
        pending.push(GroupId(1), settle(1, 1));
        let expired = Settle { reason: SettleReason::Expired, ..settle(1, 2) };
        assert!(!pending.merge(GroupId(1), expired));
        pending.push(GroupId(1), expired);
        assert!(!pending.merge(GroupId(2), settle(1, 2)));
        pending.push(GroupId(2), settle(1, 2));
        pending.push(GroupId(1), settle(1, 9));
        let room = pending.bytes();
        let (mut records, mut written) = (Vec::new(), 0);
        pending.drain(|group, reason, ranges| {
            records.push((group.0, reason, ranges.len()));
            written += settle_bytes(ranges.len());
        });
        assert_eq!(
            records,
            [(1, SettleReason::Ack, 2), (1, SettleReason::Expired, 1), (2, SettleReason::Ack, 1)]
        );
        assert!(written <= room);
    }

    #[test]
    fn a_transactions_settles_are_sorted_into_ranges() {
        let list = [settle(2, 3), settle(1, 8), settle(2, 2), settle(2, 3), settle(1, 6)];
        let ranges = |queue, first, count| SettleRange { queue: QueueId(queue), first: Seq(first), count };
        assert_eq!(
            ranges_of(&list),
            [(SettleReason::Ack, vec![ranges(1, 6, 1), ranges(1, 8, 1), ranges(2, 2, 2)])]
        );
        assert_eq!(ranges_of(&[]), []);
    }
}
