//! A flag that threads waiting on a socket notice at once: raising it makes a descriptor readable.

use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Raised once, seen by all.
pub(in crate::cli) struct Signal {
    raised: AtomicBool,
    wake: OwnedFd,
}

impl Signal {
    /// A signal that nobody has raised.
    pub(in crate::cli) fn new() -> rustix::io::Result<Self> {
        Ok(Self { raised: AtomicBool::new(false), wake: eventfd(0, EventfdFlags::CLOEXEC)? })
    }

    /// Raises it; it stays raised.
    pub(in crate::cli) fn raise(&self) {
        if !self.raised.swap(true, Ordering::AcqRel) {
            // An eventfd takes its first number always.
            let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        }
    }

    /// Whether it has been raised.
    pub(in crate::cli) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    /// Readable once it has been raised.
    pub(in crate::cli) fn descriptor(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
