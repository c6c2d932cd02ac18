//! Lines in the log that clients cause: so many a second, and the rest as a sum, so that a flood of strangers fills neither
//! the log nor the disk it is on. Knows no texts.

use crate::limits::CLIENT_LINES_PER_SECOND_MAX;
use std::sync::{Mutex, PoisonError};

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct ClientLines {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The second that is being counted.
    second: u64,
    written: u32,
    left_out: u64,
}

impl ClientLines {
    /// Whether a line may be written now: if so, how many were left out since the last one that was.
    pub(super) fn admit(&self, now_ms: u64) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let second = now_ms / 1000;
        if state.second != second {
            *state = State { second, written: 0, left_out: state.left_out };
        }
        if state.written >= CLIENT_LINES_PER_SECOND_MAX {
            state.left_out += 1;
            return None;
        }
        state.written += 1;
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_flood_so_many_lines_a_second_are_written_and_the_rest_is_counted() {
        let lines = ClientLines::default();
        let max = u64::from(CLIENT_LINES_PER_SECOND_MAX);
        let written = (0..10_000).filter(|_| lines.admit(1_500) == Some(0)).count() as u64;
        assert_eq!(written, max);
        assert_eq!(lines.admit(1_999), None, "still that second");
        assert_eq!(lines.admit(2_000), Some(10_001 - max));
        assert_eq!(lines.admit(2_000), Some(0), "told once");
    }
}
