//! Segments: the files of the WAL. Names, the header page, and what a header promises: everything before `prev_end` of
//! the previous segment had been synced before this header was written.
//!
//! ```text
//!  0 magic [8] | 8 format u32 | 12 header bytes u32 | 16 store uuid [16] | 32 segment u64 | 40 previous segment u64
//! 48 prev_end u64 | 56 first record number u64 | 64 chain in u64 | 72 segment bytes u64 | 80 frame align u32
//! 84 flags u32 | 88 salt u32 | 92 key u32 (0) | 96 created unix ms u64 | 104 zeros | 4092 crc32 u32 over 0..4092
//! ```

use crate::field::{Fields, patch};
use crate::ids::SegmentId;
use crate::limits::PAGE_BYTES;
use crate::record::checksum;

/// First bytes of a segment.
pub const SEGMENT_MAGIC: &[u8; 8] = b"LMQWSEG1";
/// Version of the segment format.
pub const SEGMENT_FORMAT: u32 = 1;
/// Bytes of the header page.
pub const SEGMENT_HEADER_BYTES: usize = PAGE_BYTES as usize;
/// Set in the flags of a segment that compaction wrote.
pub const SEGMENT_COLD: u32 = 1;

/// Directory of the hot segments.
pub(crate) const WAL_DIR: &str = "wal";
/// Directory of the segments written by compaction.
pub(crate) const COLD_DIR: &str = "cold";
const CRC_AT: usize = SEGMENT_HEADER_BYTES - 4;

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Store it belongs to.
    pub store: [u8; 16],
    /// Its own id.
    pub segment: SegmentId,
    /// The segment before it; 0 = none (also for cold segments).
    pub previous: SegmentId,
    /// Where the previous segment ends, bytes. Whatever lies behind it there is not part of the log.
    pub prev_end: u64,
    /// Number of the first record.
    pub first_number: u64,
    /// Chain value of the last frame before this segment.
    pub chain: u64,
    /// Size of the file, bytes.
    pub segment_bytes: u64,
    /// See [`SEGMENT_COLD`].
    pub flags: u32,
    /// Secret of this incarnation of the file; seeds the checksums of its frames.
    pub salt: u32,
    /// When it was put in use.
    pub created_unix_ms: u64,
}

impl SegmentHeader {
    /// The header page.
    pub fn encode(&self) -> Vec<u8> {
        let mut page = vec![0; SEGMENT_HEADER_BYTES];
        patch(&mut page, 0, SEGMENT_MAGIC);
        patch(&mut page, 8, &SEGMENT_FORMAT.to_le_bytes());
        patch(&mut page, 12, &(SEGMENT_HEADER_BYTES as u32).to_le_bytes());
        patch(&mut page, 16, &self.store);
        patch(&mut page, 32, &u64::from(self.segment.0).to_le_bytes());
        patch(&mut page, 40, &u64::from(self.previous.0).to_le_bytes());
        patch(&mut page, 48, &self.prev_end.to_le_bytes());
        patch(&mut page, 56, &self.first_number.to_le_bytes());
        patch(&mut page, 64, &self.chain.to_le_bytes());
        patch(&mut page, 72, &self.segment_bytes.to_le_bytes());
        patch(&mut page, 80, &PAGE_BYTES.to_le_bytes());
        patch(&mut page, 84, &self.flags.to_le_bytes());
        patch(&mut page, 88, &self.salt.to_le_bytes());
        patch(&mut page, 96, &self.created_unix_ms.to_le_bytes());
        let crc = checksum(0, page.get(..CRC_AT).unwrap_or_default());
        patch(&mut page, CRC_AT, &crc.to_le_bytes());
        page
    }

    /// Reads a header page; `None` unless it is whole and of this format. Whether it names the right store and segment
    /// is for the caller to ask.
    pub fn decode(page: &[u8]) -> Option<SegmentHeader> {
        let page = page.get(..SEGMENT_HEADER_BYTES)?;
        let stored_crc = Fields(page.get(CRC_AT..)?).u32()?;
        if checksum(0, page.get(..CRC_AT)?) != stored_crc {
            return None;
        }
        let mut fields = Fields(page);
        let known = fields.bytes(8)? == SEGMENT_MAGIC
            && fields.u32()? == SEGMENT_FORMAT
            && fields.u32()? == PAGE_BYTES;
        if !known {
            return None;
        }
        let store = fields.bytes(16)?.try_into().ok()?;
        let segment = SegmentId(u32::try_from(fields.u64()?).ok()?);
        let previous = SegmentId(u32::try_from(fields.u64()?).ok()?);
        let prev_end = fields.u64()?;
        let first_number = fields.u64()?;
        let chain = fields.u64()?;
        let segment_bytes = fields.u64()?;
        fields.u32()?;
        let flags = fields.u32()?;
        let salt = fields.u32()?;
        fields.u32()?;
        let created_unix_ms = fields.u64()?;
        Some(SegmentHeader {
            store,
            segment,
            previous,
            prev_end,
            first_number,
            chain,
            segment_bytes,
            flags,
            salt,
            created_unix_ms,
        })
    }
}

/// Name of a segment's file within the data directory.
pub fn segment_name(segment: SegmentId) -> String {
    let dir = if segment.is_cold() { COLD_DIR } else { WAL_DIR };
    format!("{dir}/{:016x}.seg", segment.0)
}

/// The segment a file name (without directory) stands for.
pub fn parse_segment_name(name: &str) -> Option<SegmentId> {
    let digits = name.strip_suffix(".seg").filter(|digits| digits.len() == 16)?;
    let lower = digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let id = u32::try_from(u64::from_str_radix(digits, 16).ok()?).ok()?;
    (lower && id != 0).then_some(SegmentId(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            store: *b"0123456789abcdef",
            segment: SegmentId(9),
            previous: SegmentId(8),
            prev_end: 65536,
            first_number: 1000,
            chain: 0x1122_3344_5566_7788,
            segment_bytes: 1 << 20,
            flags: 0,
            salt: 0xcafe_babe,
            created_unix_ms: 1_700_000_000_000,
        }
    }

    #[test]
    fn a_header_page_is_read_back_and_any_flipped_bit_refuses_it() {
        let page = header().encode();
        assert_eq!(SegmentHeader::decode(&page), Some(header()));
        for bit in (0..SEGMENT_HEADER_BYTES * 8).step_by(7) {
            let mut flipped = page.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&flipped), None, "bit {bit}");
        }
        assert_eq!(SegmentHeader::decode(&page[..4095]), None);
        assert_eq!(SegmentHeader::decode(&[0; SEGMENT_HEADER_BYTES]), None);
    }

    #[test]
    fn names_are_read_back() {
        let cold = SegmentId(SegmentId::COLD | 3);
        assert_eq!(segment_name(SegmentId(0x1a)), "wal/000000000000001a.seg");
        assert_eq!(segment_name(cold), "cold/0000000080000003.seg");
        assert_eq!(parse_segment_name("000000000000001a.seg"), Some(SegmentId(0x1a)));
        assert_eq!(parse_segment_name("0000000080000003.seg"), Some(cold));
        for wrong in [
            "1a.seg",
            "000000000000001A.seg",
            "0000000000000000.seg",
            "reserve.seg",
            "1.idx",
            "ffffffffffffffff.seg",
        ] {
            assert_eq!(parse_segment_name(wrong), None, "{wrong}");
        }
    }
}
