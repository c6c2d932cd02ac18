//! How long something takes that happens often, such as a sync: counted by class, without a lock, and read by whoever watches
//! the broker.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends of the classes, µs. Longer durations are counted in a last class without an end.
pub const DURATION_CLASSES_US: [u64; 13] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000];

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// By class, the last without an upper end: see [`DURATION_CLASSES_US`].
    pub counts: [u64; DURATION_CLASSES_US.len() + 1],
    /// All durations together, ns.
    pub total_ns: u64,
}

impl Durations {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The upper end of each class, µs, and how many there were in it.
    pub fn classes(&self) -> impl Iterator<Item = (Option<u64>, u64)> + Clone {
        DURATION_CLASSES_US.into_iter().map(Some).chain([None]).zip(self.counts)
    }
}

/// Time that so many percent took at most: the upper end of a class. `None` before the first, or if it is in the last class,
/// which has no end.
pub fn quantile(classes: impl Iterator<Item = (Option<u64>, u64)> + Clone, percent: u64) -> Option<u64> {
    let count: u64 = classes.clone().map(|(_, count)| count).sum();
    let wanted = (count * percent).div_ceil(100);
    if wanted == 0 {
        return None;
    }
    let mut seen = 0;
    let mut ends = classes.skip_while(|(_, count)| {
        seen += count;
        seen < wanted
    });
    ends.next()?.0
}

/// Counts durations. A reader that comes between two additions sees one of them.
#[derive(Debug, Default)]
pub struct DurationCounter {
    counts: [AtomicU64; DURATION_CLASSES_US.len() + 1],
    total_ns: AtomicU64,
}

impl DurationCounter {
    /// Something took so long.
    pub fn note(&self, took: Duration) {
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let class = DURATION_CLASSES_US.partition_point(|end_us| end_us * 1000 < took_ns);
        if let Some(count) = self.counts.get(class) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.total_ns.fetch_add(took_ns, Ordering::Relaxed);
    }

    /// What was counted.
    pub fn durations(&self) -> Durations {
        Durations {
            counts: std::array::from_fn(|class| {
                self.counts.get(class).map_or(0, |count| count.load(Ordering::Relaxed))
            }),
            total_ns: self.total_ns.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_class_that_it_ends() {
        let counter = DurationCounter::default();
        for us in [0, 100, 101, 1_000_000, 1_000_001, 9_000_000] {
            counter.note(Duration::from_micros(us));
        }
        let found = counter.durations();
        assert_eq!((found.count(), found.total_ns), (6, 11_000_202_000));
        assert_eq!((found.counts[0], found.counts[1], found.counts[12], found.counts[13]), (2, 1, 1, 2));
    }

    #[test]
    fn quantiles_are_the_ends_of_their_classes() {
        let mut times = Durations::default();
        assert_eq!(quantile(times.classes(), 50), None, "nothing was counted");
        (times.counts[0], times.counts[2]) = (98, 2);
        let [first, _, third, ..] = DURATION_CLASSES_US;
        assert_eq!(
            (quantile(times.classes(), 50), quantile(times.classes(), 99)),
            (Some(first), Some(third))
        );
        times.counts[DURATION_CLASSES_US.len()] = 100;
        assert_eq!(quantile(times.classes(), 99), None, "the last class has no end");
        assert_eq!(quantile(std::iter::empty(), 50), None);
    }
}
