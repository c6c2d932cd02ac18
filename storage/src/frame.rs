//! Frames: one group commit each. A frame starts at a multiple of 4096, so that writing it never touches a sector of
//! an earlier, confirmed one; its records follow its header, then zeros up to the next multiple.
//! The header's checksum is seeded with the segment's secret salt and covers the frame's own place, so that neither
//! stale bytes of a recycled file nor a message body holding a copy of a WAL can pass for a frame.
//!
//! ```text
//!  0 magic u32 | 4 crc32 u32 over 8..64 | 8 segment u64 | 16 offset u32 | 20 payload bytes u32
//! 24 first record number u64 | 32 records u32 | 36 crc32 of the payload u32 | 40 durable LSN u64 | 48 chain u64
//! 56 term u32 (0) | 60 flags u32 | 64 payload | zeros
//! ```
//! The durable LSN is the witness of recovery: everything below it had been synced before this frame was written.

use crate::field::{Fields, patch};
use crate::ids::{Lsn, SegmentId};
use crate::limits::{FRAME_PAYLOAD_BYTES_MAX, PAGE_BYTES};
use crate::record::{Records, checksum, own_records};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a frame header.
pub const FRAME_HEADER_BYTES: usize = 64;
/// First bytes of a frame: "FRAM".
pub const FRAME_MAGIC: u32 = 0x4D41_5246;

/// Flags of a frame.
pub mod frame_flag {
    /// Holds no record; vouches for the frames before it.
    pub const SEAL: u32 = 1;
    /// The store was closed cleanly behind this frame.
    pub const CLEAN_SHUTDOWN: u32 = 2;
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Segment it belongs to.
    pub segment: SegmentId,
    /// Its own byte offset in the segment.
    pub offset: u32,
    /// Bytes of records, without the padding behind them.
    pub payload_bytes: u32,
    /// Number of its first record (of the next record, if it holds none).
    pub first_number: u64,
    /// Records in it, those inside transactions not counted.
    pub record_count: u32,
    /// Checksum of the payload, seeded with the segment's salt.
    pub payload_crc: u32,
    /// Everything below was synced before this frame was written.
    pub durable: Lsn,
    /// Chain value, see [`chain`].
    pub chain: u64,
    /// See [`frame_flag`].
    pub flags: u32,
}

impl FrameHeader {
    /// Lays the header out over the first 64 bytes of `into`.
    pub fn encode(&self, salt: u32, into: &mut [u8]) {
        patch(into, 0, &FRAME_MAGIC.to_le_bytes());
        patch(into, 8, &u64::from(self.segment.0).to_le_bytes());
        patch(into, 16, &self.offset.to_le_bytes());
        patch(into, 20, &self.payload_bytes.to_le_bytes());
        patch(into, 24, &self.first_number.to_le_bytes());
        patch(into, 32, &self.record_count.to_le_bytes());
        patch(into, 36, &self.payload_crc.to_le_bytes());
        patch(into, 40, &self.durable.0.to_le_bytes());
        patch(into, 48, &self.chain.to_le_bytes());
        patch(into, 56, &0u32.to_le_bytes());
        patch(into, 60, &self.flags.to_le_bytes());
        let crc = checksum(salt, into.get(8..FRAME_HEADER_BYTES).unwrap_or_default());
        patch(into, 4, &crc.to_le_bytes());
    }

    /// Reads the header at the front of `bytes`; `None` unless its magic and checksum are those of this incarnation
    /// of the segment and it names `segment` and `offset` as its own place.
    pub fn decode(bytes: &[u8], salt: u32, segment: SegmentId, offset: u32) -> Option<FrameHeader> {
        let (stored_crc, header) = parse(bytes)?;
        let fits = checksum(salt, bytes.get(8..FRAME_HEADER_BYTES)?) == stored_crc
            && header.segment == segment
            && header.offset == offset
            && header.payload_bytes <= FRAME_PAYLOAD_BYTES_MAX;
        fits.then_some(header)
    }

    /// Reads the header without knowing the salt, so without its checksum: only to find out whether a segment whose
    /// own header is damaged had been in use.
    pub(crate) fn decode_unchecked(bytes: &[u8]) -> Option<FrameHeader> {
        parse(bytes).map(|(_, header)| header)
    }

    /// Bytes the frame takes in the segment, padding included.
    pub fn frame_bytes(&self) -> u32 {
        frame_bytes(self.payload_bytes)
    }
}

fn parse(bytes: &[u8]) -> Option<(u32, FrameHeader)> {
    let mut fields = Fields(bytes);
    if fields.u32()? != FRAME_MAGIC {
        return None;
    }
    let stored_crc = fields.u32()?;
    let segment = SegmentId(u32::try_from(fields.u64()?).ok()?);
    let offset = fields.u32()?;
    let payload_bytes = fields.u32()?;
    let first_number = fields.u64()?;
    let record_count = fields.u32()?;
    let payload_crc = fields.u32()?;
    let durable = fields.lsn()?;
    let chain = fields.u64()?;
    fields.u32()?;
    let flags = fields.u32()?;
    let header = FrameHeader {
        segment,
        offset,
        payload_bytes,
        first_number,
        record_count,
        payload_crc,
        durable,
        chain,
        flags,
    };
    Some((stored_crc, header))
}

/// Bytes a frame with this payload takes in the segment: a multiple of 4096. The payload is at most
/// [`FRAME_PAYLOAD_BYTES_MAX`].
pub fn frame_bytes(payload_bytes: u32) -> u32 {
    (FRAME_HEADER_BYTES as u32 + payload_bytes).next_multiple_of(PAGE_BYTES)
}

/// The chain value of a frame: depends on every payload since the store was made, so that a frame is accepted only
/// behind the one it was written behind.
pub fn chain(previous: u64, payload_crc: u32, first_number: u64) -> u64 {
    let mut z = previous ^ (u64::from(payload_crc) << 32 | u64::from(payload_crc));
    z = (z ^ first_number).wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A frame on disk, synced, on its way to the keeper. Its buffer goes back to the pool when it is dropped.
#[derive(Debug)]
pub struct CommittedFrame {
    /// Where it is.
    pub segment: SegmentId,
    /// Byte offset of its header.
    pub offset: u32,
    /// Bytes of records.
    pub payload_bytes: u32,
    /// See [`frame_flag`].
    pub flags: u32,
    /// Header, payload, padding.
    pub(crate) buffer: FrameBuffer,
}

impl CommittedFrame {
    /// Where the frame behind it would start: the durable LSN once it was synced.
    pub fn end(&self) -> Lsn {
        Lsn::new(self.segment, self.offset + frame_bytes(self.payload_bytes))
    }

    /// The records' bytes.
    pub fn payload(&self) -> &[u8] {
        let end = FRAME_HEADER_BYTES + self.payload_bytes as usize;
        self.buffer.bytes.get(FRAME_HEADER_BYTES..end).unwrap_or_default()
    }

    /// The records, each with its position.
    pub fn records(&self) -> Records<'_> {
        let base = Lsn::new(self.segment, self.offset + FRAME_HEADER_BYTES as u32);
        own_records(self.payload(), base)
    }
}

/// Buffers of frames, used again and again: memory fresh from the system costs a page fault for every 4 KiB.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    free: Mutex<Vec<Vec<u8>>>,
    bytes_max: usize,
}

impl BufferPool {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(BufferPool { free: Mutex::default(), bytes_max })
    }

    /// An empty buffer.
    pub(crate) fn take(self: &Arc<Self>) -> FrameBuffer {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = free.pop().unwrap_or_default();
        drop(free);
        FrameBuffer { bytes, pool: Arc::clone(self) }
    }

    fn give_back(&self, mut bytes: Vec<u8>) {
        bytes.clear();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let kept: usize = free.iter().map(Vec::capacity).sum();
        if kept + bytes.capacity() <= self.bytes_max {
            free.push(bytes);
        }
    }
}

/// The bytes of one frame, on loan from a [`BufferPool`].
#[derive(Debug)]
pub(crate) struct FrameBuffer {
    pub(crate) bytes: Vec<u8>,
    pool: Arc<BufferPool>,
}

impl Drop for FrameBuffer {
    fn drop(&mut self) {
        self.pool.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_only_in_its_own_place_and_incarnation() {
        let header = FrameHeader {
            segment: SegmentId(7),
            offset: 8192,
            payload_bytes: 120,
            first_number: 99,
            record_count: 2,
            payload_crc: 0xdead_beef,
            durable: Lsn(77),
            chain: 5,
            flags: frame_flag::SEAL,
        };
        let mut bytes = [0; FRAME_HEADER_BYTES];
        header.encode(42, &mut bytes);
        assert_eq!(FrameHeader::decode(&bytes, 42, SegmentId(7), 8192), Some(header));
        assert_eq!(FrameHeader::decode(&bytes, 43, SegmentId(7), 8192), None, "another incarnation");
        assert_eq!(FrameHeader::decode(&bytes, 42, SegmentId(8), 8192), None, "another segment");
        assert_eq!(FrameHeader::decode(&bytes, 42, SegmentId(7), 4096), None, "another place");
        for bit in 0..FRAME_HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::decode(&flipped, 42, SegmentId(7), 8192), None, "bit {bit}");
        }
        assert_eq!(FrameHeader::decode(&[0; FRAME_HEADER_BYTES], 0, SegmentId(0), 0), None, "zeros");
    }

    #[test]
    fn buffers_come_back_and_the_pool_is_bounded() {
        let pool = BufferPool::new(100);
        let mut small = pool.take();
        small.bytes.reserve_exact(60);
        drop(small);
        assert_eq!(pool.take().bytes.capacity(), 60);
        let (mut one, mut two) = (pool.take(), pool.take());
        one.bytes.reserve_exact(60);
        two.bytes.reserve_exact(60);
        drop((one, two));
        assert_eq!(pool.free.lock().unwrap().len(), 1);
    }
}
