//! The store's threads: one writes and syncs, one keeps the index, one prepares segments. They only call the structs that
//! do the work, and end when the store closes, is abandoned, or a disk error poisons the log. A panic in one of them
//! poisons it too: a half-alive store is worse than none.

use crate::commit::{Committer, Next};
use crate::frame::CommittedFrame;
use crate::handover::{Found, Giver, Taker, handover};
use crate::keeper::Keeper;
use crate::limits::GATHER_LOOKS_MAX;
use crate::options::Clock;
use crate::prepare::Preparer;
use crate::wal::{Shared, Wal};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, JoinHandle};
use tracing::{debug, error};

/// Handles of the running threads.
pub(crate) struct Threads {
    commit: JoinHandle<io::Result<()>>,
    keeper: JoinHandle<io::Result<()>>,
    preparer: JoinHandle<()>,
}

/// Niceness asked for the commit thread: every commit waits for it to be scheduled.
const COMMIT_NICENESS: i32 = -10;

impl Threads {
    pub(crate) fn start(
        shared: &Arc<Shared>,
        preparer: &Arc<Preparer>,
        committer: Committer,
        keeper: Keeper,
        clock: &Clock,
    ) -> io::Result<Threads> {
        let (giver, taker) = handover(shared.staging_bytes_max);
        let preparing = {
            let (shared, preparer, clock) = (Arc::clone(shared), Arc::clone(preparer), Arc::clone(clock));
            Builder::new().name("wal-prepare".into()).spawn(move || {
                let _guard = PoisonOnPanic(shared);
                preparer.run(&*clock);
            })?
        };
        let keeping = {
            let (shared, clock) = (Arc::clone(shared), Arc::clone(clock));
            Builder::new().name("wal-keeper".into()).spawn(move || {
                let guard = PoisonOnPanic(shared);
                guard.0.note(keep(keeper, &guard.0, taker, &clock))
            })?
        };
        let committing = {
            let (shared, clock) = (Arc::clone(shared), Arc::clone(clock));
            Builder::new().name("wal-commit".into()).spawn(move || {
                let guard = PoisonOnPanic(shared);
                raise_priority();
                guard.0.note(commit(committer, &guard.0, &giver, &clock))
            })?
        };
        Ok(Threads { commit: committing, keeper: keeping, preparer: preparing })
    }

    /// Waits for all of them to end; whoever calls has told the commit thread to.
    pub(crate) fn join(self, preparer: &Preparer) -> io::Result<()> {
        let committed = self.commit.join();
        let kept = self.keeper.join();
        preparer.close();
        let done = self.preparer.join();
        let panicked = || io::Error::other("a thread of the store panicked");
        committed.map_err(|_| panicked())??;
        kept.map_err(|_| panicked())??;
        done.map_err(|_| panicked())
    }
}

impl Shared {
    /// Poisons the log if `result` is an error, and tells everybody.
    fn note(&self, result: io::Result<()>) -> io::Result<()> {
        if let Err(error) = &result {
            error!(%error, "the log failed: nothing more is confirmed");
            self.poison();
            self.wake();
            self.tell();
        }
        result
    }
}

/// Hands a frame to the keeper and gives its bytes back to the budget; tells watchers if that made room.
pub(crate) fn forward(keeper: &mut Keeper, shared: &Arc<Shared>, frame: &CommittedFrame) {
    let wal = Wal::new(Arc::clone(shared));
    let had_room = wal.has_room();
    keeper.absorb(frame);
    shared.in_flight_bytes.fetch_sub(frame.buffer.bytes.len(), Ordering::Relaxed);
    if !had_room && wal.has_room() {
        shared.tell();
    }
}

/// The commit thread.
fn commit(mut committer: Committer, shared: &Shared, keeper: &Giver, clock: &Clock) -> io::Result<()> {
    let mut seen = shared.appended();
    loop {
        if shared.is_poisoned() || shared.is_abandoned() {
            return Ok(());
        }
        gather(&mut seen, || shared.appended());
        let next = committer.step(clock());
        // The keeper ends early only when it fails; it has poisoned the log then.
        if !keeper.give(committer.take_committed()) {
            return Ok(());
        }
        match next? {
            Next::Again => {}
            Next::Sleep { waits, until_ms } => {
                shared.wait(waits, until_ms.map(|until| until.saturating_sub(clock()).max(1)));
            }
            Next::Closed => return Ok(()),
        }
    }
}

/// Lets those who are appending go on before a batch is taken: what one sync sets free comes back at once, and a batch
/// that is taken with the first of it alone costs a sync more. Gives the processor away while records keep coming, which
/// takes microseconds beside a sync of hundreds.
///
/// `appended` counts appends; `seen` is what it said last time.
fn gather(seen: &mut u64, appended: impl Fn() -> u64) {
    for _ in 0..GATHER_LOOKS_MAX {
        let now = appended();
        if now == *seen {
            return;
        }
        *seen = now;
        std::thread::yield_now();
    }
}

/// The keeper's thread.
fn keep(mut keeper: Keeper, shared: &Arc<Shared>, mut frames: Taker, clock: &Clock) -> io::Result<()> {
    let mut taken = Vec::new();
    loop {
        match frames.take(&mut taken) {
            Found::Frames => {
                for frame in taken.drain(..) {
                    forward(&mut keeper, shared, &frame);
                }
            }
            Found::Nothing => {}
            Found::End if shared.is_poisoned() || shared.is_abandoned() => return Ok(()),
            Found::End => return keeper.close(),
        }
        keeper.maintain(clock())?;
    }
}

fn raise_priority() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), COMMIT_NICENESS) {
        debug!(%error, "the commit thread runs at normal priority");
    }
}

/// Poisons the log when its thread panics.
struct PoisonOnPanic(Arc<Shared>);

impl Drop for PoisonOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison();
            self.0.tell();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// How often is looked while as many records were appended as `appended` says of each look.
    fn looks(appended: impl Fn(u32) -> u64) -> u32 {
        let looks = Cell::new(0);
        gather(&mut 0, || {
            looks.set(looks.get() + 1);
            appended(looks.get())
        });
        looks.get()
    }

    #[test]
    fn a_batch_is_waited_for_while_it_grows_and_no_longer() {
        assert_eq!(looks(|_| 0), 1, "nothing new");
        assert_eq!(looks(|_| 1), 2, "a lone record");
        assert_eq!(looks(|look| u64::from(look.min(2))), 3, "two records, one after another");
        assert_eq!(looks(u64::from), GATHER_LOOKS_MAX, "records without end");
    }
}
