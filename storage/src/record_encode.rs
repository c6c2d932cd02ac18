//! Writing records: each function appends one whole, padded record to a buffer. The body of a message is copied once,
//! from the publisher's bytes into the frame. Layouts are drawn in `record`.

use crate::field::patch;
use crate::ids::{GroupId, QueueId, SegmentId, Seq};
use crate::limits::{SHORT_STRING_BYTES_MAX, SLOTS_MAX};
use crate::record::{
    Change, DeliveredRange, PUBLISH_FIXED_BYTES, Publish, RANGE_BYTES, RECORD_ALIGN, RECORD_HEADER_BYTES,
    SLOT_BYTES, SettleRange, SettleReason, checksum, flag, kind, padded,
};

/// What every record says of itself besides its kind.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// Owner.
    pub group: GroupId,
    /// Record number.
    pub number: u64,
    /// When it is appended.
    pub unix_ms: u64,
    /// The store's seed.
    pub seed: u32,
}

/// Bytes the record of this publish takes, padding included; `None` if no record can hold it.
pub fn publish_bytes(publish: &Publish<'_>) -> Option<usize> {
    let fits = publish.slots.len() <= SLOTS_MAX
        && publish.exchange.len() <= SHORT_STRING_BYTES_MAX
        && publish.routing_key.len() <= SHORT_STRING_BYTES_MAX
        && u32::try_from(publish.properties.len()).is_ok();
    if !fits {
        return None;
    }
    let head = RECORD_HEADER_BYTES + PUBLISH_FIXED_BYTES + publish.slots.len() * SLOT_BYTES;
    let names = publish.exchange.len() + publish.routing_key.len() + publish.properties.len();
    (head + names).checked_add(publish.body.len())?.checked_next_multiple_of(RECORD_ALIGN)
}

/// Bytes a SETTLE record of this many ranges takes.
pub fn settle_bytes(ranges: usize) -> usize {
    padded(RECORD_HEADER_BYTES + 8 + ranges * RANGE_BYTES)
}

/// Bytes one definition change takes within its record.
pub fn change_bytes(change: &Change) -> usize {
    8 + change.0.name.len() + change.1.as_ref().map_or(0, Vec::len)
}

/// Appends a PUBLISH record; [`publish_bytes`] said that it can be held.
pub fn encode_publish(into: &mut Vec<u8>, stamp: &Stamp, publish: &Publish<'_>) {
    let flags = u16::from(publish.persistent) * flag::PERSISTENT
        + u16::from(publish.dead_lettered) * flag::DEAD_LETTERED;
    // One look for room, for the padding too.
    into.reserve(publish_bytes(publish).unwrap_or_default());
    let start = begin(into, stamp, kind::PUBLISH, flags);
    let (exchange, key) = (publish.exchange.len() as u64 & 0xFF, publish.routing_key.len() as u64 & 0xFF);
    let lengths =
        publish.slots.len() as u64 | exchange << 16 | key << 24 | (publish.properties.len() as u64) << 32;
    const { assert!(PUBLISH_FIXED_BYTES == 2 * 8) };
    into.extend_from_slice([lengths, publish.body.len() as u64].map(u64::to_le_bytes).as_flattened());
    for slot in publish.slots {
        const { assert!(SLOT_BYTES == 3 * 8) };
        let place = u64::from(slot.queue.0) | u64::from(slot.priority) << 32;
        into.extend_from_slice([place, slot.seq.0, slot.expire_unix_ms].map(u64::to_le_bytes).as_flattened());
    }
    into.extend_from_slice(publish.exchange.as_bytes());
    into.extend_from_slice(publish.routing_key.as_bytes());
    into.extend_from_slice(publish.properties);
    into.extend_from_slice(publish.body);
    finish(into, start, stamp.seed);
}

/// Appends a SETTLE record of at most 65535 ranges.
pub fn encode_settle(
    into: &mut Vec<u8>,
    stamp: &Stamp,
    reason: SettleReason,
    ranges: impl Iterator<Item = SettleRange>,
) {
    let start = begin(into, stamp, kind::SETTLE, 0);
    into.extend_from_slice(&[0, 0, reason as u8, 0, 0, 0, 0, 0]);
    let mut count: usize = 0;
    for range in ranges {
        let mut bytes = [0; RANGE_BYTES];
        patch(&mut bytes, 0, &range.queue.0.to_le_bytes());
        patch(&mut bytes, 8, &range.first.0.to_le_bytes());
        patch(&mut bytes, 16, &range.count.to_le_bytes());
        into.extend_from_slice(&bytes);
        count += 1;
    }
    let count = u16::try_from(count);
    assert!(count.is_ok(), "the staging buffer writes its ranges before there are 65536");
    patch(into, start + RECORD_HEADER_BYTES, &count.unwrap_or_default().to_le_bytes());
    finish(into, start, stamp.seed);
}

/// Appends a TRANSACTION record around the records that `nested` appends.
pub fn encode_transaction(into: &mut Vec<u8>, stamp: &Stamp, nested: impl FnOnce(&mut Vec<u8>)) {
    let start = begin(into, stamp, kind::TRANSACTION, flag::MUST_UNDERSTAND);
    nested(into);
    finish(into, start, stamp.seed);
}

/// Appends a DEFINE record.
pub fn encode_define(into: &mut Vec<u8>, stamp: &Stamp, changes: &[Change]) {
    let start = begin(into, stamp, kind::DEFINE, flag::MUST_UNDERSTAND);
    encode_changes(into, changes);
    finish(into, start, stamp.seed);
}

/// Appends a PURGE record; `kept` ascends.
pub fn encode_purge(into: &mut Vec<u8>, stamp: &Stamp, queue: QueueId, first: Seq, last: Seq, kept: &[Seq]) {
    let start = begin(into, stamp, kind::PURGE, flag::MUST_UNDERSTAND);
    into.extend_from_slice(&queue.0.to_le_bytes());
    into.extend_from_slice(&(kept.len() as u32).to_le_bytes());
    into.extend_from_slice(&first.0.to_le_bytes());
    into.extend_from_slice(&last.0.to_le_bytes());
    for seq in kept {
        into.extend_from_slice(&seq.0.to_le_bytes());
    }
    finish(into, start, stamp.seed);
}

/// Appends a `DROP_QUEUE` record.
pub fn encode_drop_queue(into: &mut Vec<u8>, stamp: &Stamp, queue: QueueId, changes: &[Change]) {
    let start = begin(into, stamp, kind::DROP_QUEUE, flag::MUST_UNDERSTAND);
    into.extend_from_slice(&queue.0.to_le_bytes());
    into.extend_from_slice(&[0; 4]);
    encode_changes(into, changes);
    finish(into, start, stamp.seed);
}

/// Appends a RELOCATE record.
pub fn encode_relocate(
    into: &mut Vec<u8>,
    stamp: &Stamp,
    target: SegmentId,
    end: u64,
    sources: &[SegmentId],
) {
    let start = begin(into, stamp, kind::RELOCATE, flag::MUST_UNDERSTAND);
    into.extend_from_slice(&target.0.to_le_bytes());
    into.extend_from_slice(&(sources.len() as u32).to_le_bytes());
    into.extend_from_slice(&end.to_le_bytes());
    for source in sources {
        into.extend_from_slice(&source.0.to_le_bytes());
    }
    finish(into, start, stamp.seed);
}

/// Appends a DELIVERED record.
pub fn encode_delivered(into: &mut Vec<u8>, stamp: &Stamp, ranges: &[DeliveredRange]) {
    let start = begin(into, stamp, kind::DELIVERED, 0);
    into.extend_from_slice(&(ranges.len() as u32).to_le_bytes());
    into.extend_from_slice(&[0; 4]);
    for range in ranges {
        into.extend_from_slice(&range.queue.0.to_le_bytes());
        into.extend_from_slice(&range.count.to_le_bytes());
        into.extend_from_slice(&range.first.0.to_le_bytes());
        into.extend_from_slice(&range.last.0.to_le_bytes());
    }
    finish(into, start, stamp.seed);
}

fn encode_changes(into: &mut Vec<u8>, changes: &[Change]) {
    into.extend_from_slice(&(changes.len() as u32).to_le_bytes());
    into.extend_from_slice(&[0; 4]);
    for (key, value) in changes {
        let bytes = value.as_deref().unwrap_or_default();
        into.extend_from_slice(&[key.kind, u8::from(value.is_some())]);
        into.extend_from_slice(&(key.name.len() as u16).to_le_bytes());
        into.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        into.extend_from_slice(&key.name);
        into.extend_from_slice(bytes);
    }
}

/// Lays out a record header with its length and checksum still open. Returns where the record starts.
fn begin(into: &mut Vec<u8>, stamp: &Stamp, kind: u8, flags: u16) -> usize {
    let start = into.len();
    const { assert!(RECORD_HEADER_BYTES == 4 * 8) };
    let about = u64::from(kind) | 1 << 8 | u64::from(flags) << 16 | u64::from(stamp.group.0) << 32;
    into.extend_from_slice([0, about, stamp.number, stamp.unix_ms].map(u64::to_le_bytes).as_flattened());
    start
}

/// Fills in length and checksum of the record at `start`, then pads.
fn finish(into: &mut Vec<u8>, start: usize, seed: u32) {
    let len = into.len() - start;
    assert!(u32::try_from(len).is_ok(), "a record fits its frame: its size was asked before it was encoded");
    patch(into, start + 4, &(len as u32).to_le_bytes());
    let crc = checksum(seed, into.get(start + 4..).unwrap_or_default());
    patch(into, start, &crc.to_le_bytes());
    into.extend_from_slice([0; RECORD_ALIGN].get(..padded(len) - len).unwrap_or_default());
}
