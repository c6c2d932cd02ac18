//! When messages were written, and which was the first since some time. Records carry their time, in the order of the
//! queue, so a few probes find the place: no index by time is kept. A wall clock that was set back leaves times that do
//! not ascend; the place found then is one at which they cross the time asked for.

use super::{ReadError, Reader, Wanted};
use crate::ids::{QueueId, Seq};
use crate::run::Run;

impl Reader {
    /// When the message at `seq` of a run was written, unix ms.
    ///
    /// # Errors
    /// If its segment or its record cannot be read.
    pub fn time_of(&self, queue: QueueId, run: &Run, seq: Seq) -> Result<u64, ReadError> {
        let at = Run { first: seq, last: seq, ..*run };
        let entries = self.entries(queue, &at)?;
        let entry = entries.first().ok_or(ReadError::Gone)?;
        let wanted = Wanted { lsn: entry.lsn, record_bytes: entry.record_bytes, queue, seq };
        let message = self.messages(&[wanted]).pop().unwrap_or(Err(ReadError::Gone))?;
        Ok(message.unix_ms)
    }

    /// The first message of `runs`, which ascend and hold every position between their bounds, that was written at
    /// `unix_ms` or later; `None` if all are older. Reads about as often as the number of messages has binary digits.
    ///
    /// # Errors
    /// If a probed record cannot be read.
    pub fn first_since(&self, queue: QueueId, runs: &[Run], unix_ms: u64) -> Result<Option<Seq>, ReadError> {
        let mut failed = None;
        let mut is_before = |run: &Run, seq: Seq| match self.time_of(queue, run, seq) {
            Ok(time_ms) => time_ms < unix_ms,
            Err(error) => {
                failed.get_or_insert(error);
                false
            }
        };
        let position = runs.partition_point(|run| is_before(run, run.last));
        let found = runs.get(position).map(|run| {
            let (mut low, mut high) = (run.first.0, run.last.0);
            while low < high {
                let middle = low + (high - low) / 2;
                if is_before(run, Seq(middle)) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            Seq(low)
        });
        failed.map_or(Ok(found), Err)
    }
}
