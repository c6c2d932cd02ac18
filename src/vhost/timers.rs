//! When the queues of a vhost want to be looked at again: at most one time of each kind for each queue, so setting one anew
//! costs no memory. Times are monotonic ms: a wall clock that jumps wakes nobody early or late.

use super::topology::QueueSlot;
use std::collections::BTreeSet;

/// What a queue is looked at for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Its first message expires, or could not leave before.
    Tend,
    /// It may have been unused for too long.
    Lease,
}

/// A time that was set, kept with its queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SetTime(Option<u64>);

/// All times, the next one first.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(u64, QueueSlot, Timer)>,
}

impl Timers {
    /// Sets the time of a queue anew; `None` takes it back.
    pub(super) fn set(&mut self, timer: Timer, slot: QueueSlot, set: &mut SetTime, at_ms: Option<u64>) {
        if set.0 == at_ms {
            return;
        }
        if let Some(before) = set.0 {
            self.due.remove(&(before, slot, timer));
        }
        if let Some(at_ms) = at_ms {
            self.due.insert((at_ms, slot, timer));
        }
        set.0 = at_ms;
    }

    /// The next time.
    pub(super) fn next(&self) -> Option<u64> {
        self.due.first().map(|(at_ms, ..)| *at_ms)
    }

    /// Takes the next time out if it has come. Its [`SetTime`] must be told with [`SetTime::is_over`].
    pub(super) fn pop(&mut self, now_ms: u64) -> Option<(QueueSlot, Timer)> {
        let first = *self.due.first()?;
        if first.0 > now_ms {
            return None;
        }
        self.due.remove(&first);
        Some((first.1, first.2))
    }
}

impl SetTime {
    /// The time has come.
    pub(super) fn is_over(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_has_one_time_of_each_kind() {
        let mut timers = Timers::default();
        let (mut tend, mut lease, mut other) = (SetTime::default(), SetTime::default(), SetTime::default());
        timers.set(Timer::Tend, QueueSlot(1), &mut tend, Some(50));
        timers.set(Timer::Lease, QueueSlot(1), &mut lease, Some(30));
        timers.set(Timer::Tend, QueueSlot(2), &mut other, Some(30));
        timers.set(Timer::Tend, QueueSlot(1), &mut tend, Some(20));
        assert_eq!((timers.next(), timers.due.len()), (Some(20), 3));
        timers.set(Timer::Tend, QueueSlot(1), &mut tend, Some(70));
        assert_eq!(timers.pop(29), None);
        assert_eq!(timers.pop(30), Some((QueueSlot(1), Timer::Lease)));
        assert_eq!(timers.pop(30), Some((QueueSlot(2), Timer::Tend)));
        lease.is_over();
        timers.set(Timer::Lease, QueueSlot(1), &mut lease, Some(60));
        assert_eq!(timers.next(), Some(60));
        timers.set(Timer::Lease, QueueSlot(1), &mut lease, None);
        timers.set(Timer::Tend, QueueSlot(1), &mut tend, None);
        assert_eq!(timers.next(), None);
    }
}
