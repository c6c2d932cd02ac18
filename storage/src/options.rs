//! What a store is opened with. Time and chance come in here, as closures: the store reads no clock of its own.

use crate::error::OpenError;
use crate::limits::{
    ACK_FLUSH_MS, CHECKPOINT_BYTES, CHECKPOINT_MS, DISK_LOW_BYTES, EXPORT_BYTES, EXPORT_MS, PAGE_BYTES,
    SEAL_IDLE_MS, SEGMENT_BYTES, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, STAGING_BYTES_MAX,
};
use crate::observer::Observer;
use std::fmt;
use std::sync::Arc;

/// A reading of some clock, ms.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;
/// A source of random bits.
pub type Random = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What a store is opened with.
#[derive(Clone)]
pub struct Options {
    /// Size of new segments, bytes: a multiple of 4096, 64 KiB to 1 GiB. Bounds the largest message.
    pub segment_bytes: u32,
    /// Bytes appended and not yet durable and indexed, above which [`crate::Wal::has_room`] is false.
    pub staging_bytes_max: usize,
    /// How long settled messages may wait for company, ms.
    pub ack_flush_ms: u64,
    /// How long the log is idle before its last frame is vouched for, ms.
    pub seal_idle_ms: u64,
    /// Free disk space below which publishers are stopped, bytes.
    pub disk_low_bytes: u64,
    /// WAL bytes between two checkpoints of the index.
    pub checkpoint_bytes: u64,
    /// Time between two checkpoints when there is something to save, ms.
    pub checkpoint_ms: u64,
    /// WAL bytes between two exports of the index.
    pub export_bytes: u64,
    /// Time between two exports when there is something to save, ms.
    pub export_ms: u64,
    /// Whether segments with few live messages are rewritten.
    pub compact: bool,
    /// Whether the store runs threads of its own; without, [`crate::Store::step`] does their work.
    pub threads: bool,
    /// Wall clock, ms since 1970; stamped on records, decides nothing.
    pub unix_ms: Clock,
    /// Monotonic clock, ms from any start.
    pub monotonic_ms: Clock,
    /// Randomness of the operating system: store identity and segment salts.
    pub random: Random,
    /// Who is told of slow work.
    pub observer: Observer,
    /// A bug put in on purpose, to see that the tests find it.
    #[cfg(feature = "planted-bugs")]
    pub planted: Option<PlantedBug>,
}

/// Bugs that the crash tests must find.
#[cfg(feature = "planted-bugs")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedBug {
    /// Records count as durable once written, before the sync.
    ConfirmBeforeSync,
    /// The sync is done before the write that it is for.
    SyncBeforeWrite,
    /// The names of new segments are not made durable.
    NoDirectorySync,
    /// The settles of a transaction are kept out of its record and written with the next batch.
    AcksApart,
}

/// The decisions a planted bug turns round; all false in a build without the feature.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one switch for each bug, asked where the bug sits")]
pub(crate) struct Planted {
    pub(crate) confirm_before_sync: bool,
    pub(crate) sync_before_write: bool,
    pub(crate) no_directory_sync: bool,
    pub(crate) acks_apart: bool,
}

impl Options {
    /// The defaults, with these clocks.
    pub fn new(unix_ms: Clock, monotonic_ms: Clock) -> Self {
        Options {
            segment_bytes: SEGMENT_BYTES,
            staging_bytes_max: STAGING_BYTES_MAX,
            ack_flush_ms: ACK_FLUSH_MS,
            seal_idle_ms: SEAL_IDLE_MS,
            disk_low_bytes: DISK_LOW_BYTES,
            checkpoint_bytes: CHECKPOINT_BYTES,
            checkpoint_ms: CHECKPOINT_MS,
            export_bytes: EXPORT_BYTES,
            export_ms: EXPORT_MS,
            compact: true,
            threads: true,
            unix_ms,
            monotonic_ms,
            random: Arc::new(system_random),
            observer: Observer::default(),
            #[cfg(feature = "planted-bugs")]
            planted: None,
        }
    }

    /// Refuses what is out of range.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let fits = (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes);
        if !fits || !self.segment_bytes.is_multiple_of(PAGE_BYTES) {
            return Err(OpenError::Options(format!(
                "segment size {} bytes: allowed are multiples of {PAGE_BYTES} from {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}",
                self.segment_bytes
            )));
        }
        Ok(())
    }

    #[cfg(feature = "planted-bugs")]
    pub(crate) fn planted(&self) -> Planted {
        let has = |bug| self.planted == Some(bug);
        Planted {
            confirm_before_sync: has(PlantedBug::ConfirmBeforeSync),
            sync_before_write: has(PlantedBug::SyncBeforeWrite),
            no_directory_sync: has(PlantedBug::NoDirectorySync),
            acks_apart: has(PlantedBug::AcksApart),
        }
    }

    #[cfg(not(feature = "planted-bugs"))]
    #[expect(clippy::unused_self, reason = "has the signature of its twin for the tests")]
    pub(crate) fn planted(&self) -> Planted {
        Planted::default()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("segment_bytes", &self.segment_bytes)
            .field("staging_bytes_max", &self.staging_bytes_max)
            .field("ack_flush_ms", &self.ack_flush_ms)
            .field("seal_idle_ms", &self.seal_idle_ms)
            .field("disk_low_bytes", &self.disk_low_bytes)
            .field("checkpoint_bytes", &self.checkpoint_bytes)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// A salt that an attacker can guess lets a message body pass for a frame: there is no going on without randomness.
fn system_random() -> u64 {
    let bits = getrandom::u64();
    assert!(bits.is_ok(), "the operating system gives random numbers: {:?}", bits.err());
    bits.unwrap_or_default()
}
