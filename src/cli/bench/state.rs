//! What the threads of a run share: the time it began, how far it is, and the signals that end it.

use crate::cli::client::error::ClientError;
use crate::cli::client::signal::Signal;
use crate::clock::Clock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Shared by publishers, consumers and the thread that watches them.
pub(super) struct State {
    pub(super) clock: Clock,
    /// When the run began, by the clock, ns.
    pub(super) begin_ns: u64,
    /// When publishers stop, by the clock, ns; `u64::MAX`: when their quota is used up.
    pub(super) deadline_ns: u64,
    pub(super) published: AtomicU64,
    pub(super) confirmed: AtomicU64,
    pub(super) delivered: AtomicU64,
    /// Deliveries after which consumers may leave; `u64::MAX` until it is known.
    expected: AtomicU64,
    /// Consumers leave.
    done: Signal,
    /// All leave: something has failed.
    abort: Signal,
}

impl State {
    /// A run that begins now.
    pub(super) fn begin(clock: Clock, seconds: Option<f64>) -> Result<Self, ClientError> {
        let begin_ns = clock.now_ns();
        Ok(Self {
            clock,
            begin_ns,
            deadline_ns: seconds.map_or(u64::MAX, |seconds| begin_ns.saturating_add((seconds * 1e9) as u64)),
            published: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            expected: AtomicU64::new(u64::MAX),
            done: Signal::new()?,
            abort: Signal::new()?,
        })
    }

    /// A stamp's time: microseconds since the beginning, modulo 2^32.
    pub(super) fn stamp_us(&self, at_ns: u64) -> u32 {
        (at_ns.saturating_sub(self.begin_ns) / 1000) as u32
    }

    /// So many deliveries are due in all; consumers leave when they have come.
    pub(super) fn expect(&self, deliveries: u64) {
        self.expected.store(deliveries, Ordering::SeqCst);
        self.leave_when_all_came();
    }

    /// More deliveries have come.
    pub(super) fn count_deliveries(&self, count: u64) {
        self.delivered.fetch_add(count, Ordering::SeqCst);
        self.leave_when_all_came();
    }

    fn leave_when_all_came(&self) {
        if self.delivered.load(Ordering::SeqCst) >= self.expected.load(Ordering::SeqCst) {
            self.done.raise();
        }
    }

    /// Lets consumers leave although deliveries are missing.
    pub(super) fn give_up(&self) {
        self.done.raise();
    }

    /// Ends everything.
    pub(super) fn abort(&self) {
        self.abort.raise();
        self.done.raise();
    }

    /// For consumers: raised when they may leave.
    pub(super) fn done(&self) -> &Signal {
        &self.done
    }

    /// For publishers: raised when they must leave.
    pub(super) fn aborted(&self) -> &Signal {
        &self.abort
    }

    /// Fails if another thread has.
    pub(super) fn check(&self) -> Result<(), ClientError> {
        if self.abort.is_raised() { Err(ClientError::Aborted) } else { Ok(()) }
    }

    /// Everything that has moved so far: it stands still when the broker does.
    pub(super) fn progress(&self) -> Progress {
        Progress {
            published: self.published.load(Ordering::Relaxed),
            confirmed: self.confirmed.load(Ordering::Relaxed),
            delivered: self.delivered.load(Ordering::Relaxed),
        }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) published: u64,
    pub(super) confirmed: u64,
    pub(super) delivered: u64,
}
