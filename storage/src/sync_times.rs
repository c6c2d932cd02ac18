//! How long the disk takes to sync: timed where the real disk does it.

use crate::durations::{DurationCounter, Durations};
use std::io;
use std::time::{Duration, Instant};

/// Counts syncs by how long they took.
#[derive(Debug, Default)]
pub(crate) struct SyncClock(DurationCounter);

impl SyncClock {
    /// Syncs, and counts how long it took if it worked, which it tells.
    pub(crate) fn time(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<Duration> {
        let began = Instant::now();
        sync()?;
        let took = began.elapsed();
        self.0.note(took);
        Ok(took)
    }

    /// Syncs since the start.
    pub(crate) fn times(&self) -> Durations {
        self.0.durations()
    }
}
