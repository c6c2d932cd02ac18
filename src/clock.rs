//! The one place that asks the operating system for the time. Everything else is handed `now`.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Time since the process started, and the time of day.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock whose [`Self::now_ms`] starts at 0.
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Milliseconds since the clock started; never goes back.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Nanoseconds since the clock started; never goes back.
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Milliseconds since 1970-01-01 UTC, as the operating system believes; may jump. 0 before 1970.
    pub fn unix_ms(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
