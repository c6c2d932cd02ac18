//! Everything that can go wrong in the store, by type. A sentence for a person is each error's `Display`.

use crate::ids::SegmentId;
use std::io;

/// Why the WAL did not take a record. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The disk is full; settles, definitions and purges are still taken.
    #[error("no space left for the write-ahead log")]
    NoSpace,
    /// The record does not fit a frame.
    #[error("the message is larger than the write-ahead log can hold")]
    TooLarge,
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the data directory {path} is in use by another process{}", pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Locked {
        /// The directory.
        path: String,
        /// Who holds it, if the lock file tells.
        pid: Option<u32>,
    },
    /// The disk failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The error of the system.
        source: io::Error,
    },
    /// Bytes that were durable are damaged. Nothing was changed.
    #[error("the store is damaged: {0}")]
    Corrupt(Damage),
    /// The directory was written by a version this one does not understand.
    #[error("the store has format {found}, this version reads {known}")]
    Version {
        /// Format of the store.
        found: u32,
        /// Format of this version.
        known: u32,
    },
    /// An option is out of its range.
    #[error("{0}")]
    Options(String),
}

/// The first damage found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Segment, or 0 where the damage is not in a segment.
    pub segment: SegmentId,
    /// Byte offset in it.
    pub offset: u64,
    /// What is wrong there.
    pub reason: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "segment {}, offset {}: {}", self.segment, self.offset, self.reason)
    }
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A length does not fit what encloses it.
    #[error("a record's length does not fit its frame")]
    Length,
    /// The checksum differs.
    #[error("a record's checksum does not match")]
    Checksum,
    /// The parts do not add up to the record.
    #[error("the parts of a record of kind {kind:#04x} do not add up")]
    Body {
        /// Kind, see [`crate::record::kind`].
        kind: u8,
    },
    /// Written by a later version, and not to be skipped.
    #[error("a record of kind {kind:#04x}, version {version} was written by a later version")]
    NotUnderstood {
        /// Kind.
        kind: u8,
        /// Version of the kind.
        version: u8,
    },
}

impl OpenError {
    /// Wraps an error of the system with what was being done.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| OpenError::Io { what, source }
    }

    /// Damage at a place.
    pub(crate) fn corrupt(segment: SegmentId, offset: u64, reason: impl Into<String>) -> Self {
        OpenError::Corrupt(Damage { segment, offset, reason: reason.into() })
    }
}

/// Whether an error of the system means that the disk is full (or a quota is).
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
