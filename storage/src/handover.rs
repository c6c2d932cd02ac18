//! The way of committed frames from the commit thread to the keeper: a bounded list with its own rules of waking, because
//! nobody waits for the keeper while confirms wait for the commit thread. A keeper that was at work lets frames gather
//! for a while or until they are many, so that a sync does not cost a wake of its own. One that found nothing for
//! a while sleeps until a frame comes. Knows nothing of what frames mean.

use crate::frame::CommittedFrame;
use crate::limits::{KEEPER_FRAMES_MAX, KEEPER_GATHER_BYTES_MAX, KEEPER_GATHER_MS, KEEPER_PAUSE_MS};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The commit thread's end. Dropping it says that no more frames come.
#[derive(Debug)]
pub(crate) struct Giver(Arc<Handover>);

/// The keeper's end. Dropping it says that nobody takes frames any more.
#[derive(Debug)]
pub(crate) struct Taker {
    handover: Arc<Handover>,
    /// The last look found frames: more will follow.
    was_busy: bool,
}

/// What the keeper finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Frames.
    Frames,
    /// None for a while: time to look at what is due.
    Nothing,
    /// None, and none will come.
    End,
}

#[derive(Debug)]
struct Handover {
    state: Mutex<State>,
    /// Wakes the keeper.
    given: Condvar,
    /// Wakes the commit thread, which waits while the list is full.
    taken: Condvar,
    /// Frames gather up to this many bytes.
    gather_bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    frames: Vec<CommittedFrame>,
    bytes: usize,
    keeper: KeeperIs,
    giver_gone: bool,
    taker_gone: bool,
}

/// What wakes the keeper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum KeeperIs {
    /// It will look again.
    #[default]
    AtWork,
    /// It lets frames gather: only many bytes.
    Gathering,
    /// Any frame.
    Asleep,
}

/// A list of frames for a log of which `staging_bytes_max` bytes may be on their way: frames gather up to a small part of
/// these, since they count until the keeper has seen them.
pub(crate) fn handover(staging_bytes_max: usize) -> (Giver, Taker) {
    let handover = Arc::new(Handover {
        state: Mutex::default(),
        given: Condvar::new(),
        taken: Condvar::new(),
        gather_bytes_max: KEEPER_GATHER_BYTES_MAX.min(staging_bytes_max / 8),
    });
    (Giver(Arc::clone(&handover)), Taker { handover, was_busy: false })
}

impl Handover {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Giver {
    /// Hands frames over, oldest first; waits while the keeper is too far behind. `false`: there is no keeper any more.
    pub(crate) fn give(&self, frames: Vec<CommittedFrame>) -> bool {
        if frames.is_empty() {
            return true;
        }
        let handover = &*self.0;
        let is_full = |state: &mut State| state.frames.len() >= KEEPER_FRAMES_MAX && !state.taker_gone;
        let waited = handover.taken.wait_while(handover.state(), is_full);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.taker_gone {
            return false;
        }
        state.bytes += frames.iter().map(|frame| frame.buffer.bytes.len()).sum::<usize>();
        state.frames.extend(frames);
        let many = state.bytes >= handover.gather_bytes_max || state.frames.len() >= KEEPER_FRAMES_MAX / 2;
        let wakes = match state.keeper {
            KeeperIs::AtWork => false,
            KeeperIs::Gathering => many,
            KeeperIs::Asleep => true,
        };
        if wakes {
            state.keeper = KeeperIs::AtWork;
        }
        drop(state);
        if wakes {
            handover.given.notify_one();
        }
        true
    }
}

impl Drop for Giver {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.giver_gone = true;
        state.keeper = KeeperIs::AtWork;
        drop(state);
        self.0.given.notify_one();
    }
}

impl Taker {
    /// Moves the frames there are into `into`, oldest first; waits for them at most a quarter of a second.
    pub(crate) fn take(&mut self, into: &mut Vec<CommittedFrame>) -> Found {
        let handover = &*self.handover;
        let mut state = handover.state();
        if self.was_busy && state.bytes < handover.gather_bytes_max {
            state = wait(handover, state, KeeperIs::Gathering, KEEPER_GATHER_MS);
        }
        if state.frames.is_empty() {
            state = wait(handover, state, KeeperIs::Asleep, KEEPER_PAUSE_MS);
        }
        self.was_busy = !state.frames.is_empty();
        let found = match (self.was_busy, state.giver_gone) {
            (true, _) => Found::Frames,
            (false, true) => Found::End,
            (false, false) => Found::Nothing,
        };
        into.append(&mut state.frames);
        state.bytes = 0;
        drop(state);
        handover.taken.notify_one();
        found
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.handover.state().taker_gone = true;
        self.handover.taken.notify_one();
    }
}

/// Waits as `is` until somebody has made it [`KeeperIs::AtWork`], or for so long.
fn wait<'a>(
    handover: &'a Handover,
    mut state: MutexGuard<'a, State>,
    is: KeeperIs,
    ms: u64,
) -> MutexGuard<'a, State> {
    if state.giver_gone {
        return state;
    }
    state.keeper = is;
    let waits = |state: &mut State| state.keeper != KeeperIs::AtWork;
    let waited = handover.given.wait_timeout_while(state, Duration::from_millis(ms), waits);
    let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
    state.keeper = KeeperIs::AtWork;
    state
}

#[cfg(test)]
mod tests;
