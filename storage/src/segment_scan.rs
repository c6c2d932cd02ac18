//! Walking a segment that is known to be full: its frames in order, each checked, and the records within. For making an
//! index file again, for compaction and inspection. Decides nothing about the end of the log: recovery does.

use crate::disk::{Disk, FileId};
use crate::frame::{FRAME_HEADER_BYTES, FrameHeader};
use crate::identity::StoreIdentity;
use crate::ids::{Lsn, SegmentId};
use crate::index::SealedSegment;
use crate::limits::PAGE_BYTES;
use crate::record::{RecordHeader, RecordView, checksum, records};
use crate::run::{IndexEntry, StoredEntry};
use crate::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
use std::io;

/// Why a segment cannot be read through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    /// Bytes are not what was written.
    #[error("segment {segment}, offset {offset}: {reason}")]
    Damaged { segment: SegmentId, offset: u32, reason: String },
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads the header page of a segment.
pub(crate) fn read_header(
    disk: &dyn Disk,
    file: FileId,
    segment: SegmentId,
    identity: &StoreIdentity,
) -> Result<SegmentHeader, ScanError> {
    let mut page = vec![0; SEGMENT_HEADER_BYTES];
    disk.read_at(file, 0, &mut page)?;
    let header = SegmentHeader::decode(&page);
    let ours = header.filter(|header| header.segment == segment && header.store == identity.uuid);
    ours.ok_or_else(|| damaged(segment, 0, "the header is damaged or of another segment"))
}

/// Walks the frames up to `end` (or, without one, to the first that is not valid) and calls `each` with every record,
/// `frame` with every frame before its records. Returns where the last frame ends.
pub(crate) fn walk(
    disk: &dyn Disk,
    file: FileId,
    segment: SegmentId,
    identity: &StoreIdentity,
    end: Option<u32>,
    frame: &mut dyn FnMut(&FrameHeader),
    each: &mut dyn FnMut(Lsn, &RecordHeader, &RecordView<'_>),
) -> Result<u32, ScanError> {
    let salt = read_header(disk, file, segment, identity)?.salt;
    let len = disk.len(file)?;
    let mut offset = PAGE_BYTES;
    let mut page = vec![0; PAGE_BYTES as usize];
    let stop = end.map_or(len, u64::from);
    while u64::from(offset) < stop {
        let read = disk.read_at(file, u64::from(offset), &mut page)?;
        let header = FrameHeader::decode(page.get(..read).unwrap_or_default(), salt, segment, offset);
        let header = header.filter(|header| u64::from(offset) + u64::from(header.frame_bytes()) <= len);
        let Some(header) = header else {
            return frame_ends(end, segment, offset, "a frame's header is damaged");
        };
        let rest = read_rest(disk, file, &header, &page)?;
        let payload = rest.as_deref().unwrap_or(&page);
        let payload = payload.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + header.payload_bytes as usize);
        let payload = payload.unwrap_or_default();
        if checksum(salt, payload) != header.payload_crc {
            return frame_ends(end, segment, offset, "a frame's payload is damaged");
        }
        frame(&header);
        for record in records(payload, Lsn::new(segment, offset + FRAME_HEADER_BYTES as u32), identity.seed) {
            let (at, header, view) = record.map_err(|error| damaged(segment, offset, &error.to_string()))?;
            each(at, &header, &view);
        }
        offset += header.frame_bytes();
    }
    Ok(offset)
}

/// The whole frame when it is longer than the page already read.
fn read_rest(
    disk: &dyn Disk,
    file: FileId,
    header: &FrameHeader,
    page: &[u8],
) -> Result<Option<Vec<u8>>, ScanError> {
    let len = FRAME_HEADER_BYTES + header.payload_bytes as usize;
    if len <= page.len() {
        return Ok(None);
    }
    let mut bytes = vec![0; len];
    disk.read_at(file, u64::from(header.offset), &mut bytes)?;
    Ok(Some(bytes))
}

fn frame_ends(end: Option<u32>, segment: SegmentId, offset: u32, reason: &str) -> Result<u32, ScanError> {
    if end.is_some() { Err(damaged(segment, offset, reason)) } else { Ok(offset) }
}

fn damaged(segment: SegmentId, offset: u32, reason: &str) -> ScanError {
    ScanError::Damaged { segment, offset, reason: reason.to_owned() }
}

/// Calls `each` with every publish of a record: itself, or those inside a transaction.
pub(crate) fn publishes(
    at: Lsn,
    header: &RecordHeader,
    view: &RecordView<'_>,
    each: &mut dyn FnMut(Lsn, &RecordHeader, &crate::record::PublishView<'_>),
) {
    match view {
        RecordView::Publish(publish) => each(at, header, publish),
        RecordView::Transaction(transaction) => {
            for (at, header, view) in transaction.records(at) {
                if let RecordView::Publish(publish) = view {
                    each(at, &header, &publish);
                }
            }
        }
        RecordView::Settle(_)
        | RecordView::Define(_)
        | RecordView::Purge(_)
        | RecordView::DropQueue(..)
        | RecordView::Relocate(_)
        | RecordView::Delivered(_)
        | RecordView::Unknown => {}
    }
}

/// The entries of a publish record, one per slot.
pub(crate) fn entries_of<'a>(
    at: Lsn,
    header: &'a RecordHeader,
    publish: &'a crate::record::PublishView<'_>,
) -> impl Iterator<Item = IndexEntry> + 'a {
    publish.slots().map(move |slot| IndexEntry {
        queue: slot.queue,
        priority: slot.priority,
        stored: StoredEntry {
            seq: slot.seq,
            lsn: at,
            record_bytes: header.len,
            body_bytes: publish.body.len() as u32,
            expire_unix_ms: slot.expire_unix_ms,
        },
    })
}

/// Every message of a segment, read from the segment itself.
pub(crate) fn entries(
    disk: &dyn Disk,
    file: FileId,
    segment: SegmentId,
    identity: &StoreIdentity,
    end: Option<u32>,
) -> Result<SealedSegment, ScanError> {
    let mut entries = Vec::new();
    let end = walk(disk, file, segment, identity, end, &mut |_| {}, &mut |at, header, view| {
        publishes(at, header, view, &mut |at, header, publish| {
            entries.extend(entries_of(at, header, publish));
        });
    })?;
    Ok(SealedSegment { segment, end, entries })
}
