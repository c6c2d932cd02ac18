//! What streams ask of the disk, on the blocking pool: windows of messages through the index of their segment, and times.
//! Decides nothing.

use super::reads;
use crate::queue::{StreamAnswer, StreamRead};
use crate::vhost::input::Input;
use ledgermq_storage::{QueueId, ReadError, Reader, Run, Seq};
use tokio::task::spawn_blocking;

/// Reads what is asked.
pub(super) async fn answer(reader: Reader, queue: QueueId, read: StreamRead) -> Input {
    let answer = match read {
        StreamRead::Window { run, bytes_max } => return window(reader, queue, run, bytes_max).await,
        StreamRead::Since { ticket, runs, unix_ms } => {
            let last = runs.last().map_or(Seq(0), |run| run.last);
            let found = blocking(move || reader.first_since(queue, &runs, unix_ms)).await;
            StreamAnswer::Since { ticket, last, unix_ms, found }
        }
        StreamRead::Time { run } => {
            let unix_ms = blocking(move || reader.time_of(queue, &run, run.last)).await;
            StreamAnswer::Time { last: run.last, unix_ms }
        }
    };
    Input::StreamRead { queue, answer }
}

/// The messages of a run from its first on, as many as fit into `bytes_max`, at least one.
async fn window(reader: Reader, queue: QueueId, run: Run, bytes_max: usize) -> Input {
    let entries = match reads::entries(reader.clone(), queue, run).await {
        Ok(entries) => entries,
        Err(problem) => {
            let unreadable = |seq| (Seq(seq), Err(problem.clone()));
            return Input::Bodies { queue, bodies: (run.first.0..=run.last.0).map(unreadable).collect() };
        }
    };
    let mut bytes = 0;
    let fitting = entries.iter().enumerate().take_while(|(at, entry)| {
        bytes += entry.record_bytes as usize;
        *at == 0 || bytes <= bytes_max
    });
    let wanted: Vec<_> = fitting.map(|(_, entry)| (entry.seq, entry.lsn, entry.record_bytes)).collect();
    // The answer begins with the message asked for, whatever is known of it.
    let is_missing = wanted.first().is_none_or(|(seq, ..)| *seq != run.first);
    let missing =
        is_missing.then(|| (run.first, Err("the index of its segment does not list it".to_owned())));
    let found = reads::bodies(reader, queue, wanted).await;
    Input::Bodies { queue, bodies: missing.into_iter().chain(found).collect() }
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, String> {
    match spawn_blocking(read).await {
        Ok(found) => found.map_err(|error| error.to_string()),
        // The pool ends only with the runtime.
        Err(_) => Err("the broker stops".to_owned()),
    }
}
