//! One message as its queue remembers it: forty bytes, with the body beside them while it is resident.
//! Knows where the message lies in the log, not what it says.

use crate::message::Message;
use ledgermq_storage::{Lsn, Seq, StoredEntry};
use std::sync::Arc;

/// A message in a queue.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Position in the queue.
    pub seq: Seq,
    /// Position in the log; [`Lsn::NONE`] if the message is not logged (transient, or the queue is).
    pub lsn: Lsn,
    /// Wall-clock expiry in unix ms, 0 = never. Kept for the day messages expire.
    pub expire_unix_ms: u64,
    /// The message while it is resident. One that is not logged always is.
    pub message: Option<Arc<Message>>,
    /// Length of its record in bytes.
    pub record_bytes: u32,
    /// Body length; the highest bit says that it may have been delivered before.
    body_and_flag: u32,
}

const REDELIVERED: u32 = 1 << 31;

const _: () = assert!(size_of::<Entry>() == 40, "entries are counted in tens of millions");

impl Entry {
    /// A new, resident message.
    pub fn new(seq: Seq, lsn: Lsn, record_bytes: u32, message: Arc<Message>) -> Self {
        let body_and_flag = body_bytes(message.body.len());
        Self { seq, lsn, expire_unix_ms: 0, message: Some(message), record_bytes, body_and_flag }
    }

    /// A message as the index of its segment lists it, its body not resident.
    pub fn stored(stored: &StoredEntry, redelivered: bool) -> Self {
        let mut entry = Self {
            seq: stored.seq,
            lsn: stored.lsn,
            expire_unix_ms: stored.expire_unix_ms,
            message: None,
            record_bytes: stored.record_bytes,
            body_and_flag: stored.body_bytes & !REDELIVERED,
        };
        if redelivered {
            entry.mark_redelivered();
        }
        entry
    }

    /// Whether it can be read back from the log.
    pub fn is_logged(&self) -> bool {
        self.lsn != Lsn::NONE
    }

    /// Whether the log, safe below `mark`, has yet to reach it. What compaction copied never waits:
    /// it was durable before it was named, and a cold segment's positions are above every mark of the log.
    pub fn waits_for(&self, mark: Lsn) -> bool {
        self.is_logged() && !self.lsn.segment().is_cold() && self.lsn >= mark
    }

    /// Body length in bytes.
    pub fn body_bytes(&self) -> u64 {
        u64::from(self.body_and_flag & !REDELIVERED)
    }

    /// Whether it may have been delivered before.
    pub fn is_redelivered(&self) -> bool {
        self.body_and_flag & REDELIVERED != 0
    }

    /// Notes that it was delivered.
    pub fn mark_redelivered(&mut self) {
        self.body_and_flag |= REDELIVERED;
    }
}

fn body_bytes(length: usize) -> u32 {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    assert!(length & REDELIVERED == 0, "bodies are bounded far below 2 GiB");
    length
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledgermq_storage::SegmentId;

    #[test]
    fn the_flag_leaves_the_length_alone() {
        let stored =
            StoredEntry { seq: Seq(3), lsn: Lsn(64), record_bytes: 100, body_bytes: 77, expire_unix_ms: 0 };
        let mut entry = Entry::stored(&stored, false);
        assert!(!entry.is_redelivered() && entry.is_logged());
        entry.mark_redelivered();
        assert!(entry.is_redelivered());
        assert_eq!(entry.body_bytes(), 77);
        assert!(Entry::stored(&stored, true).is_redelivered());
    }

    #[test]
    fn only_what_the_log_has_not_reached_waits_and_compacted_messages_never_do() {
        let at = |segment: u32| {
            let lsn = Lsn::new(SegmentId(segment), 4096);
            let stored = StoredEntry { seq: Seq(0), lsn, record_bytes: 9, body_bytes: 1, expire_unix_ms: 0 };
            Entry::stored(&stored, false)
        };
        let mark = Lsn::new(SegmentId(2), 0);
        assert!(!at(1).waits_for(mark));
        assert!(at(2).waits_for(mark));
        assert!(!at(SegmentId::COLD | 1).waits_for(mark));
    }
}
