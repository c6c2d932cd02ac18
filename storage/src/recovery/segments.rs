//! Which files are the log: reads their headers, refuses gaps, tells segments in use from files prepared for use.

use crate::disk::Disk;
use crate::error::OpenError;
use crate::frame::{FRAME_HEADER_BYTES, FrameHeader};
use crate::identity::StoreIdentity;
use crate::ids::{Lsn, SegmentId};
use crate::limits::PAGE_BYTES;
use crate::segment::{SEGMENT_HEADER_BYTES, SegmentHeader, WAL_DIR, parse_segment_name, segment_name};
use std::io;

/// A file with the name of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) id: SegmentId,
    pub(super) size: u64,
    /// Its header, if it is valid and names this segment.
    header: Option<SegmentHeader>,
}

/// A segment that is part of the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogSegment {
    pub(super) id: SegmentId,
    pub(super) header: SegmentHeader,
}

/// The segments from the one of `applied` on, by id, with their headers. What lies before is the index's business.
pub(super) fn read_headers(
    disk: &dyn Disk,
    identity: &StoreIdentity,
    applied: Lsn,
) -> Result<Vec<Candidate>, OpenError> {
    let mut candidates = Vec::new();
    for (name, size) in disk.list(WAL_DIR).map_err(OpenError::io("listing the log directory"))? {
        let Some(id) = parse_segment_name(&name).filter(|id| *id >= applied.segment() && !id.is_cold())
        else {
            continue;
        };
        let page = read_page(disk, id).map_err(OpenError::io(format!("reading segment {id}")))?;
        // The header of another id is that of a file prepared for use under this name.
        let header = SegmentHeader::decode(&page).filter(|header| header.segment == id);
        if let Some(header) = header {
            if header.store != identity.uuid {
                return Err(OpenError::corrupt(id, 0, "the segment belongs to another store"));
            }
            if header.segment_bytes != size {
                return Err(OpenError::corrupt(
                    id,
                    size,
                    format!("the segment has {size} bytes where its header says {}", header.segment_bytes),
                ));
            }
        }
        candidates.push(Candidate { id, size, header });
    }
    candidates.sort_by_key(|candidate| candidate.id);
    Ok(candidates)
}

fn read_page(disk: &dyn Disk, id: SegmentId) -> io::Result<Vec<u8>> {
    let file = disk.open(&segment_name(id))?;
    let mut page = vec![0; SEGMENT_HEADER_BYTES];
    let read = disk.read_at(file, 0, &mut page);
    disk.close(file);
    read?;
    Ok(page)
}

/// Tells the segments of the log from the files prepared behind it; refuses gaps.
pub(super) fn split_log(
    disk: &dyn Disk,
    candidates: &[Candidate],
    applied: Lsn,
) -> Result<(Vec<LogSegment>, Vec<Candidate>), OpenError> {
    let used = candidates.iter().rposition(|candidate| candidate.header.is_some()).map_or(0, |last| last + 1);
    let (used, unused) = candidates.split_at(used);
    let mut log: Vec<LogSegment> = Vec::new();
    for candidate in used {
        let Some(header) = candidate.header else {
            return Err(OpenError::corrupt(
                candidate.id,
                0,
                "the header of a segment within the log is damaged",
            ));
        };
        match log.last() {
            Some(previous) if previous.id.0 + 1 != candidate.id.0 => {
                let missing = SegmentId(previous.id.0 + 1);
                return Err(OpenError::corrupt(missing, 0, "a segment within the log is missing"));
            }
            None if Lsn::new(header.previous, header.prev_end as u32) > applied => {
                let missing = header.previous;
                return Err(OpenError::corrupt(
                    missing,
                    0,
                    "the segment that the index needs next is missing",
                ));
            }
            Some(_) | None => log.push(LogSegment { id: candidate.id, header }),
        }
    }
    for candidate in unused {
        let was_used =
            had_been_in_use(disk, candidate).map_err(OpenError::io("looking at a prepared segment"))?;
        if was_used {
            return Err(OpenError::corrupt(candidate.id, 0, "the header of the last segment is damaged"));
        }
    }
    Ok((log, unused.to_vec()))
}

/// Whether a file without a valid header holds frames that say that something in it had been synced. Its header was
/// then durable too, so it was damaged later. Without the header there is no salt to check frames by; that they name
/// their own place is enough, since what a file was prepared from names another.
fn had_been_in_use(disk: &dyn Disk, candidate: &Candidate) -> io::Result<bool> {
    let file = disk.open(&segment_name(candidate.id))?;
    let mut offset = PAGE_BYTES;
    let mut bytes = [0; FRAME_HEADER_BYTES];
    let mut found = Ok(false);
    while u64::from(offset) < candidate.size {
        match disk.read_at(file, u64::from(offset), &mut bytes) {
            Ok(_) => {}
            Err(error) => {
                found = Err(error);
                break;
            }
        }
        let frame = FrameHeader::decode_unchecked(&bytes)
            .filter(|frame| frame.segment == candidate.id && frame.offset == offset);
        let Some(frame) = frame else { break };
        if frame.durable > Lsn::new(candidate.id, PAGE_BYTES) {
            found = Ok(true);
            break;
        }
        let Some(next) =
            u64::from(offset).checked_add(u64::from(frame.payload_bytes) + FRAME_HEADER_BYTES as u64)
        else {
            break;
        };
        match u32::try_from(next.next_multiple_of(u64::from(PAGE_BYTES))) {
            Ok(next) => offset = next,
            Err(_) => break,
        }
    }
    disk.close(file);
    found
}
