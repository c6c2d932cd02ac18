//! A budget in bytes that many hold tokens of: how much memory message bodies may take, broker-wide.
//! Knows nothing of what the bytes are for; the holder decides what to do when it is exceeded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A shared count of bytes with a limit that is asked, not enforced.
#[derive(Clone, Debug)]
pub struct Budget {
    used: Arc<AtomicUsize>,
    limit_bytes: usize,
}

impl Budget {
    /// A budget of `limit_bytes`.
    pub fn new(limit_bytes: usize) -> Self {
        Self { used: Arc::default(), limit_bytes }
    }

    /// Takes bytes, also beyond the limit.
    pub fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives bytes back.
    pub fn give(&self, bytes: usize) {
        let before = self.used.fetch_sub(bytes, Ordering::Relaxed);
        assert!(before >= bytes, "a budget gets back at most what was taken");
    }

    /// Bytes taken.
    pub fn used_bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The limit.
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// Whether more is taken than the limit allows.
    pub fn exceeded(&self) -> bool {
        self.used_bytes() > self.limit_bytes
    }
}
