//! How long the disk takes to sync: counted where the real disk does it, read by whoever watches the broker.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Upper ends of the classes of durations, µs. Longer ones are counted in a last class without an end.
pub const SYNC_CLASSES_US: [u64; 13] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000];

/// Syncs since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncTimes {
    /// By class of duration, the last without an upper end: see [`SYNC_CLASSES_US`].
    pub counts: [u64; SYNC_CLASSES_US.len() + 1],
    /// All durations together, ns.
    pub total_ns: u64,
}

impl SyncTimes {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// Counts syncs.
#[derive(Debug, Default)]
pub(crate) struct SyncClock {
    counts: [AtomicU64; SYNC_CLASSES_US.len() + 1],
    total_ns: AtomicU64,
}

impl SyncClock {
    /// Syncs, and counts how long it took if it worked.
    pub(crate) fn time(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let began = Instant::now();
        sync()?;
        self.count(began.elapsed());
        Ok(())
    }

    fn count(&self, took: Duration) {
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let class = SYNC_CLASSES_US.partition_point(|end_us| end_us * 1000 < took_ns);
        if let Some(count) = self.counts.get(class) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.total_ns.fetch_add(took_ns, Ordering::Relaxed);
    }

    pub(crate) fn times(&self) -> SyncTimes {
        SyncTimes {
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
    fn a_sync_is_counted_in_the_class_that_its_time_ends() {
        let clock = SyncClock::default();
        for us in [0, 100, 101, 1_000_000, 1_000_001, 9_000_000] {
            clock.count(Duration::from_micros(us));
        }
        let times = clock.times();
        assert_eq!((times.count(), times.total_ns), (6, 11_000_202_000));
        assert_eq!((times.counts[0], times.counts[1], times.counts[12], times.counts[13]), (2, 1, 1, 2));
    }
}
