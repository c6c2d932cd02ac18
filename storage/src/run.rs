//! Runs: which stretch of a queue lies in which segment, so that the middle of a long queue needs no memory.

use crate::ids::{Lsn, QueueId, SegmentId, Seq};

/// The messages of one queue and priority that one sealed segment holds. Within a run, seqs ascend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// Where.
    pub segment: SegmentId,
    /// Priority of all its messages.
    pub priority: u8,
    /// Lowest seq.
    pub first: Seq,
    /// Highest seq.
    pub last: Seq,
    /// Messages logged between them, settled ones included, whether compaction has left those behind or not.
    pub count: u32,
    /// Sum of the record lengths, settled ones included.
    pub bytes: u64,
}

/// One message of a run, as the segment's index lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// Position in the queue.
    pub seq: Seq,
    /// Position of its record.
    pub lsn: Lsn,
    /// Record length in bytes.
    pub record_bytes: u32,
    /// Body length in bytes.
    pub body_bytes: u32,
    /// Wall-clock expiry in unix ms; 0 = never.
    pub expire_unix_ms: u64,
}

/// One message of a segment, with the queue it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Queue.
    pub queue: QueueId,
    /// Priority.
    pub priority: u8,
    /// The rest.
    pub stored: StoredEntry,
}
