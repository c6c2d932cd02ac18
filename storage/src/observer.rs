//! What of its work the store tells whoever observes it, as it happens: slow things only, nothing that is done for each
//! message. The store reads no clock for it; a sync was timed where the disk did it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Slow work of the store. What begins ends on the same thread, before the next piece of work begins there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A piece of work begins.
    Begins(WorkKind),
    /// The piece that began last has ended.
    Ends {
        /// Whether it did what it is for.
        worked: bool,
    },
    /// A sync took as long as [`crate::RealDisk::tell_slow_syncs`] was told to call slow, or longer.
    SlowSync(Duration),
}

/// Which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkKind {
    /// The rows of the index that changed are brought into the database: so many.
    Checkpoint {
        /// Rows.
        rows: u64,
    },
    /// The whole index is written to a file of so many bytes.
    Export {
        /// Size of the file, bytes.
        bytes: u64,
    },
    /// Live messages are moved together.
    Compaction,
}

/// Whoever is told, if anybody. Called by the store's own threads, so it must not wait.
#[derive(Clone, Default)]
pub struct Observer(Option<Arc<dyn Fn(Work) + Send + Sync>>);

impl Observer {
    /// One who is told by this.
    pub fn new(told: impl Fn(Work) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(told)))
    }

    pub(crate) fn tell(&self, work: Work) {
        if let Some(told) = &self.0 {
            told(work);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Observer(somebody)" } else { "Observer(nobody)" })
    }
}
