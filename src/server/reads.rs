//! Reads from the log for a vhost, on the blocking pool. A disk that fails once may answer the next time (too many open
//! files, a path that comes back): what failed is asked for again before messages are given up. No broker rules here.

use crate::limits::{READ_ATTEMPTS_MAX, READ_RETRY_MS};
use crate::message::Message;
use ledgermq_storage::{Lsn, QueueId, ReadError, Reader, Run, Seq, StoredEntry, Wanted};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::warn;

const RETRY: Duration = Duration::from_millis(READ_RETRY_MS);

/// Bodies by position, in the order asked; an error is a sentence for a person.
pub(super) type Bodies = Vec<(Seq, Result<Arc<Message>, String>)>;

/// Reads bodies back: `wanted` is position in the queue, position in the log, record length in bytes.
pub(super) async fn bodies(reader: Reader, queue: QueueId, wanted: Vec<(Seq, Lsn, u32)>) -> Bodies {
    let asked: Vec<_> =
        wanted.into_iter().map(|(seq, lsn, record_bytes)| Wanted { lsn, record_bytes, queue, seq }).collect();
    let seqs: Vec<_> = asked.iter().map(|wanted| wanted.seq).collect();
    let found = patiently(queue, asked, RETRY, move |asked| reader.messages(asked)).await;
    seqs.into_iter().zip(found.into_iter().map(|found| found.map(|stored| Arc::new(stored.into())))).collect()
}

/// Reads the entries of a run; an error is a sentence for a person.
pub(super) async fn entries(reader: Reader, queue: QueueId, run: Run) -> Result<Vec<StoredEntry>, String> {
    let read = move |runs: &[Run]| runs.iter().map(|run| reader.entries(queue, run)).collect();
    let mut found = patiently(queue, vec![run], RETRY, read).await;
    found.pop().unwrap_or_else(|| Err("the read has ended without an answer".to_owned()))
}

/// Reads all that is asked, in that order; what fails by the disk's fault is tried [`READ_ATTEMPTS_MAX`] times.
async fn patiently<A, T, R>(queue: QueueId, asked: Vec<A>, pause: Duration, read: R) -> Vec<Result<T, String>>
where
    A: Copy + Send + 'static,
    T: Send + 'static,
    R: Fn(&[A]) -> Vec<Result<T, ReadError>> + Send + Sync + 'static,
{
    let read = Arc::new(read);
    let mut results: Vec<Option<Result<T, String>>> = asked.iter().map(|_| None).collect();
    let mut open: Vec<usize> = (0..asked.len()).collect();
    for attempt in 1..=READ_ATTEMPTS_MAX {
        let batch: Vec<A> = open.iter().filter_map(|place| asked.get(*place).copied()).collect();
        let reading = Arc::clone(&read);
        // The pool ends only with the runtime.
        let Ok(found) = spawn_blocking(move || reading(&batch)).await else { break };
        let mut failed = Vec::new();
        for (place, found) in open.into_iter().zip(found) {
            match found {
                Err(ReadError::Io(problem)) if attempt < READ_ATTEMPTS_MAX => {
                    if failed.is_empty() {
                        warn!(%queue, attempt, %problem, "messages cannot be read, to be tried again");
                    }
                    failed.push(place);
                }
                found => {
                    if let Some(result) = results.get_mut(place) {
                        *result = Some(found.map_err(|error| error.to_string()));
                    }
                }
            }
        }
        open = failed;
        if open.is_empty() {
            break;
        }
        sleep(pause).await;
    }
    let unread = || Err("the broker stops".to_owned());
    results.into_iter().map(|result| result.unwrap_or_else(unread)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Reads 0..4; 1 is damaged, and 2 fails by the disk's fault `failures` times.
    async fn read(failures: u32) -> (Vec<Result<u32, String>>, u32) {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        let found = patiently(QueueId(1), vec![0, 1, 2, 3], Duration::ZERO, move |asked: &[u32]| {
            let call = counted.fetch_add(1, Ordering::SeqCst);
            let one = |number: &u32| match number {
                1 => Err(ReadError::Damaged("bits".into())),
                2 if call < failures => Err(ReadError::Io("no".into())),
                number => Ok(number * 10),
            };
            asked.iter().map(one).collect()
        });
        (found.await, calls.load(Ordering::SeqCst))
    }

    fn expected(two: Result<u32, String>) -> Vec<Result<u32, String>> {
        vec![Ok(0), Err("damaged: bits".into()), two, Ok(30)]
    }

    #[tokio::test]
    async fn what_the_disk_failed_to_read_is_asked_for_again_and_only_that() {
        assert_eq!(read(0).await, (expected(Ok(20)), 1));
        assert_eq!(read(3).await, (expected(Ok(20)), 4));
    }

    #[tokio::test]
    async fn a_disk_that_goes_on_failing_is_given_up() {
        assert_eq!(read(u32::MAX).await, (expected(Err("no".into())), READ_ATTEMPTS_MAX));
    }
}
