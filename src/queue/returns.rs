//! How often each message of a queue came back from a consumer: kept only for queues that limit or show it, and only for
//! messages that did come back. What the log said at the last start is kept as it said it, in ranges.
//! Source: RabbitMQ's quorum queues (`x-delivery-count`, `x-delivery-limit`).

use ledgermq_storage::{DeliveredRange, Seq};
use std::collections::BTreeMap;

/// Consecutive messages that came back equally often: first, last, how often.
pub type ReturnedRange = (Seq, Seq, u32);

/// The counts of one queue.
#[derive(Debug, Default)]
pub(super) struct Returns {
    /// Whether returns are counted.
    is_counting: bool,
    /// A message that came back more often leaves the queue.
    limit: Option<u64>,
    counts: BTreeMap<Seq, u32>,
    /// From before the last start: last seq and count by first seq, disjoint.
    restored: BTreeMap<Seq, (Seq, u32)>,
    /// Counts the log does not know yet.
    changed: Vec<Seq>,
}

impl Returns {
    pub(super) fn set(&mut self, is_counting: bool, limit: Option<u64>) {
        (self.is_counting, self.limit) = (is_counting, limit);
    }

    pub(super) fn is_counting(&self) -> bool {
        self.is_counting
    }

    /// What the log said; of a position named twice the later word counts.
    pub(super) fn restore(&mut self, ranges: &[DeliveredRange]) {
        for range in ranges {
            let overlapping = self.restored.range(..=range.last).rev();
            let overlapping: Vec<_> = overlapping
                .take_while(|(_, (last, _))| *last >= range.first)
                .map(|(first, rest)| (*first, *rest))
                .collect();
            for (first, (last, count)) in overlapping {
                self.restored.remove(&first);
                if let Some(before) = range.first.0.checked_sub(1).filter(|before| first.0 <= *before) {
                    self.restored.insert(first, (Seq(before), count));
                }
                if last > range.last {
                    self.restored.insert(range.last.next(), (last, count));
                }
            }
            self.restored.insert(range.first, (range.last, range.count));
        }
    }

    /// How often a message came back.
    pub(super) fn of(&self, seq: Seq) -> u32 {
        if !self.is_counting {
            return 0;
        }
        self.counts.get(&seq).copied().unwrap_or_else(|| {
            let restored = self.restored.range(..=seq).next_back();
            restored.filter(|(_, (last, _))| seq <= *last).map_or(0, |(_, (_, count))| *count)
        })
    }

    /// A message came back. Answers whether that was once too often.
    pub(super) fn came_back(&mut self, seq: Seq) -> bool {
        if !self.is_counting {
            return false;
        }
        let count = self.of(seq).saturating_add(1);
        self.counts.insert(seq, count);
        self.changed.push(seq);
        self.limit.is_some_and(|limit| u64::from(count) > limit)
    }

    /// A message is gone.
    pub(super) fn forget(&mut self, seq: Seq) {
        if !self.counts.is_empty() {
            self.counts.remove(&seq);
        }
    }

    /// Only these messages are left.
    pub(super) fn keep(&mut self, is_left: impl Fn(Seq) -> bool) {
        self.counts.retain(|seq, _| is_left(*seq));
    }

    /// Messages whose count the log does not know yet.
    pub(super) fn changed(&self) -> &[Seq] {
        &self.changed
    }

    /// What the log does not know yet, of messages it knows, in ranges.
    pub(super) fn take_changed(&mut self, is_logged: impl Fn(Seq) -> bool) -> Vec<ReturnedRange> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        let counted = changed.into_iter().filter(|seq| is_logged(*seq));
        joined(counted.filter_map(|seq| Some((seq, *self.counts.get(&seq)?))))
    }

    /// All that is known of messages the log knows, for the next start; later ranges correct earlier ones. What is `held`,
    /// ascending, comes back once more.
    pub(super) fn all(
        &self,
        held: impl Iterator<Item = Seq>,
        is_logged: impl Fn(&Seq) -> bool,
    ) -> Vec<ReturnedRange> {
        if !self.is_counting {
            return Vec::new();
        }
        let restored = self.restored.iter().map(|(first, (last, count))| (*first, *last, *count));
        let counts = self.counts.iter().filter(|(seq, _)| is_logged(seq)).map(|(seq, count)| (*seq, *count));
        let held = held.filter(&is_logged).map(|seq| (seq, self.of(seq).saturating_add(1)));
        restored.chain(joined(counts)).chain(joined(held)).collect()
    }
}

/// Neighbours with equal counts as ranges.
fn joined(counts: impl Iterator<Item = (Seq, u32)>) -> Vec<ReturnedRange> {
    let mut ranges: Vec<ReturnedRange> = Vec::new();
    for (seq, count) in counts {
        match ranges.last_mut() {
            Some(range) if range.1.next() == seq && range.2 == count => range.1 = seq,
            Some(_) | None => ranges.push((seq, seq, count)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledgermq_storage::QueueId;

    fn restored(ranges: &[(u64, u64, u32)]) -> Returns {
        let mut returns = Returns::default();
        returns.set(true, Some(2));
        let ranges: Vec<_> = ranges
            .iter()
            .map(|&(first, last, count)| DeliveredRange {
                queue: QueueId(1),
                first: Seq(first),
                last: Seq(last),
                count,
            })
            .collect();
        returns.restore(&ranges);
        returns
    }

    #[test]
    fn the_return_after_the_limit_is_one_too_many() {
        let mut returns = restored(&[]);
        assert_eq!([1, 2, 3].map(|_| returns.came_back(Seq(7))), [false, false, true]);
        assert_eq!((returns.of(Seq(7)), returns.of(Seq(8))), (3, 0));
        returns.forget(Seq(7));
        assert_eq!(returns.of(Seq(7)), 0);
        returns.set(true, None);
        assert!((0..100).all(|_| !returns.came_back(Seq(1))), "no limit");
    }

    #[test]
    fn nothing_is_counted_unless_asked() {
        let mut returns = restored(&[(0, 9, 5)]);
        returns.set(false, Some(0));
        assert!(!returns.came_back(Seq(3)));
        assert_eq!((returns.of(Seq(3)), returns.all([Seq(3)].into_iter(), |_| true)), (0, vec![]));
    }

    #[test]
    fn what_the_log_said_counts_on() {
        let mut returns = restored(&[(0, 9, 1), (4, 5, 2), (9, 12, 3), (0, 0, 4)]);
        let counts: Vec<_> = (0..14).map(|seq| returns.of(Seq(seq))).collect();
        assert_eq!(counts, [4, 1, 1, 1, 2, 2, 1, 1, 1, 3, 3, 3, 3, 0]);
        assert!(returns.came_back(Seq(4)) && !returns.came_back(Seq(1)) && !returns.came_back(Seq(2)));
        let changed = returns.take_changed(|seq| seq != Seq(1));
        assert_eq!(changed, [(Seq(2), Seq(2), 2), (Seq(4), Seq(4), 3)]);
        assert!(returns.take_changed(|_| true).is_empty(), "told once");
        let all = returns.all([Seq(2), Seq(9)].into_iter(), |_| true);
        let corrections =
            [(Seq(1), Seq(2), 2), (Seq(4), Seq(4), 3), (Seq(2), Seq(2), 3), (Seq(9), Seq(9), 4)];
        assert_eq!(all[all.len() - 4..], corrections);
        let logged = returns.all([Seq(2), Seq(9)].into_iter(), |seq| ![Seq(2), Seq(4)].contains(seq));
        assert_eq!(logged[logged.len() - 2..], [(Seq(1), Seq(1), 2), (Seq(9), Seq(9), 4)]);
    }

    #[test]
    fn neighbours_that_came_back_equally_often_are_one_range() {
        let mut returns = restored(&[]);
        for seq in [3, 1, 2, 5] {
            returns.came_back(Seq(seq));
        }
        assert_eq!(returns.take_changed(|_| true), [(Seq(1), Seq(3), 1), (Seq(5), Seq(5), 1)]);
    }
}
