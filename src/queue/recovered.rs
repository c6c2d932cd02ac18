//! What a queue knows of the time before the last start: which stretches of it still hold messages, and which of these may
//! have been delivered.

use ledgermq_storage::{Run, Seq, SettledSet};

/// A stretch of messages in one segment, with what of it still waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingRun {
    /// Segment and bounds.
    pub run: Run,
    /// Messages of it that were not settled.
    pub live_count: u64,
    /// About the sum of their body lengths.
    pub body_bytes: u64,
    /// `live_count` is a guess: transient messages stood between the logged ones, so that the settled positions do not
    /// tell how many logged ones are settled. Only the sum over all guesses is right.
    pub is_guess: bool,
}

impl WaitingRun {
    /// Counts what waits in each run. `live_count` messages wait in all of them together.
    pub fn counted(runs: &[Run], settled: &SettledSet, live_count: u64) -> Vec<Self> {
        let mut waiting: Vec<_> = runs.iter().map(|run| Self::count(run, settled)).collect();
        let sure_count: u64 = waiting.iter().filter(|run| !run.is_guess).map(|run| run.live_count).sum();
        let mut rest_count = live_count.saturating_sub(sure_count);
        let mut guesses = waiting.iter_mut().filter(|run| run.is_guess).peekable();
        while let Some(guess) = guesses.next() {
            let is_last = guesses.peek().is_none();
            guess.live_count = if is_last { rest_count } else { guess.live_count.min(rest_count) };
            rest_count -= guess.live_count;
        }
        waiting
    }

    fn count(run: &Run, settled: &SettledSet) -> Self {
        let count = u64::from(run.count);
        let settled_count = settled.count(run.first, run.last);
        let is_guess = run.last.0 - run.first.0 + 1 != count;
        let live_count = if is_guess { count } else { count.saturating_sub(settled_count) };
        Self { run: *run, live_count, body_bytes: run.bytes * live_count / count.max(1), is_guess }
    }
}

/// Which messages may have been delivered before the last start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Redelivered {
    /// None.
    #[default]
    None,
    /// Ranges a clean stop noted.
    Ranges(Ranges),
    /// The last stop was not clean: everything before this seq.
    Before(Seq),
}

/// Seqs as disjoint ranges, bounds included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    ranges: Vec<(Seq, Seq)>,
}

impl Ranges {
    /// From ranges in any order, which may overlap and touch.
    pub fn new(mut ranges: Vec<(Seq, Seq)>) -> Self {
        ranges.sort_unstable();
        ranges.dedup_by(|next, range| {
            let joins = next.0 <= range.1.next();
            if joins {
                range.1 = range.1.max(next.1);
            }
            joins
        });
        Self { ranges }
    }

    /// Ascending, neither overlapping nor touching.
    pub fn into_vec(self) -> Vec<(Seq, Seq)> {
        self.ranges
    }

    /// Whether a seq is in one of the ranges.
    pub fn contains(&self, seq: Seq) -> bool {
        let after = self.ranges.partition_point(|range| range.0 <= seq);
        after
            .checked_sub(1)
            .and_then(|position| self.ranges.get(position))
            .is_some_and(|range| seq <= range.1)
    }
}

impl Redelivered {
    /// Whether this message may have been delivered.
    pub fn contains(&self, seq: Seq) -> bool {
        match self {
            Self::None => false,
            Self::Ranges(ranges) => ranges.contains(seq),
            Self::Before(end) => seq < *end,
        }
    }

    /// What the next start must be told, too.
    pub(super) fn ranges_before(&self, end: Seq) -> Vec<(Seq, Seq)> {
        match self {
            Self::None => Vec::new(),
            Self::Ranges(ranges) => ranges.ranges.clone(),
            Self::Before(seq) => {
                seq.min(&end).0.checked_sub(1).map(|last| (Seq(0), Seq(last))).into_iter().collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledgermq_storage::SegmentId;

    #[test]
    fn ranges_include_their_bounds() {
        let ranges = Ranges::new(vec![(Seq(10), Seq(20)), (Seq(0), Seq(0)), (Seq(22), Seq(22))]);
        let inside = (0..30).filter(|&seq| ranges.contains(Seq(seq))).collect::<Vec<_>>();
        assert_eq!(inside, [0].into_iter().chain(10..=20).chain([22]).collect::<Vec<_>>());
        assert!(!Ranges::default().contains(Seq(0)));
    }

    #[test]
    fn ranges_that_overlap_are_one() {
        let ranges = |pairs: &[(u64, u64)]| {
            Ranges::new(pairs.iter().map(|&(first, last)| (Seq(first), Seq(last))).collect()).into_vec()
        };
        assert_eq!(
            ranges(&[(3, 4), (0, 50), (51, 51), (53, 60), (53, 53)]),
            [(Seq(0), Seq(51)), (Seq(53), Seq(60))]
        );
        assert_eq!(ranges(&[]), []);
    }

    #[test]
    fn what_waits_is_counted_run_by_run() {
        let run = |segment, first, last, count| Run {
            segment: SegmentId(segment),
            priority: 0,
            first: Seq(first),
            last: Seq(last),
            count,
            bytes: u64::from(count) * 100,
        };
        let mut settled = SettledSet::new();
        settled.insert_range(Seq(0), Seq(3));
        settled.insert(Seq(15));
        let counted = |runs: &[Run], live| {
            let runs = WaitingRun::counted(runs, &settled, live);
            runs.iter().map(|run| (run.live_count, run.is_guess)).collect::<Vec<_>>()
        };
        let (dense, sparse) = (run(1, 0, 9, 10), run(2, 10, 19, 6));
        assert_eq!(counted(&[dense], 6), [(6, false)]);
        assert_eq!(counted(&[dense, sparse], 11), [(6, false), (5, true)]);
        assert_eq!(counted(&[dense, sparse, run(3, 20, 39, 9)], 18), [(6, false), (6, true), (6, true)]);
    }

    #[test]
    fn after_an_unclean_stop_everything_may_have_been_delivered() {
        let redelivered = Redelivered::Before(Seq(5));
        assert!(redelivered.contains(Seq(4)) && !redelivered.contains(Seq(5)));
        assert_eq!(redelivered.ranges_before(Seq(9)), [(Seq(0), Seq(4))]);
        assert_eq!(Redelivered::Before(Seq(0)).ranges_before(Seq(9)), []);
        assert_eq!(Redelivered::None.ranges_before(Seq(9)), []);
    }
}
