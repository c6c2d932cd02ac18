//! Compaction: what still lives in segments that are mostly dead is copied into a cold segment, and the old ones are
//! freed. One straggler of a hundred bytes would otherwise hold a whole segment.
//!
//! Order of a compaction, each step safe to be cut short: the copy is written and synced with its name; a RELOCATE record
//! names it and its sources; when that record is durable, the index switches and the sources hold nothing alive. A cold
//! file without such a record is removed at the next start. Cold segments are compacted in the same way and never mixed
//! with the hot log again. Settles need no copy: they are in the index.

use crate::disk::{Allocate, Disk, FileId};
use crate::files::Pin;
use crate::frame::{FRAME_HEADER_BYTES, FrameHeader, chain, frame_bytes};
use crate::identity::StoreIdentity;
use crate::ids::{Lsn, SegmentId};
use crate::index::{Index, SealedSegment};
use crate::limits::{
    COLD_FRAME_BYTES, COMPACT_DEAD_SHARE_MIN, COMPACT_LIVE_SHARE_MAX, LIST_ITEMS_MAX, PAGE_BYTES,
    READ_CHUNK_BYTES_MAX,
};
use crate::prepare::remove_if_there;
use crate::record::{Publish, RecordView, Slot, checksum, decode};
use crate::record_encode::{Stamp, encode_publish};
use crate::run::{IndexEntry, StoredEntry};
use crate::segment::{COLD_DIR, SEGMENT_COLD, SegmentHeader, segment_name};
use crate::segment_index::{self, IndexFiles};
use std::io;

/// Live messages to be copied into one cold segment.
pub(crate) struct CopyJob {
    pub(crate) target: SegmentId,
    pub(crate) sources: Vec<Source>,
}

/// A segment to be freed.
#[derive(Debug)]
pub(crate) struct Source {
    /// Keeps it from being freed meanwhile.
    pub(crate) pin: Pin,
    /// What lives in it, in the order of the segment.
    pub(crate) live: Vec<IndexEntry>,
}

/// What became of a copy.
pub(crate) struct Copied {
    pub(crate) target: SegmentId,
    pub(crate) sources: Vec<SegmentId>,
    pub(crate) result: Result<u64, CopyError>,
}

/// Why a copy was given up. The sources are as they were.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// A record cannot be read; its segment is left alone.
    #[error("segment {segment}, offset {offset}: {reason}")]
    Damaged { segment: SegmentId, offset: u32, reason: String },
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The segments most worth compacting together, the emptiest first; none if it is not worth the writing.
pub(crate) fn choose(
    index: &Index,
    segment_bytes: u32,
    urgent: bool,
    may: impl Fn(SegmentId) -> bool,
) -> Vec<SegmentId> {
    let (mut total, mut live_total) = (0, 0);
    let mut candidates: Vec<(u64, SegmentId)> = Vec::new();
    for (id, segment) in index.segments() {
        let size = u64::from(segment.end).max(1);
        let live = segment.live_bytes();
        total += size;
        live_total += live;
        let sparse = live * 100 < size * COMPACT_LIVE_SHARE_MAX;
        if segment.live_slots > 0 && sparse && id != index.current() && may(id) {
            candidates.push((live, id));
        }
    }
    let dead = u64::saturating_sub(total, live_total);
    if !urgent && dead * 100 < total * COMPACT_DEAD_SHARE_MIN {
        return Vec::new();
    }
    candidates.sort_unstable();
    let mut bytes = u64::from(PAGE_BYTES);
    let fitting = candidates.into_iter().take_while(|(live, _)| {
        // Frames and trimmed headers differ a little from what was written; three quarters leave room.
        bytes += live;
        bytes * 4 <= u64::from(segment_bytes) * 3
    });
    let chosen: Vec<SegmentId> = fitting.map(|(_, id)| id).take(LIST_ITEMS_MAX).collect();
    // One cold segment for another of the same size frees nothing.
    if chosen.len() == 1 && chosen.iter().all(|id| id.is_cold()) && !urgent { Vec::new() } else { chosen }
}

/// Copies the live messages, syncs the copy and its name.
pub(crate) fn copy(
    disk: &dyn Disk,
    identity: &StoreIdentity,
    index_files: &IndexFiles,
    job: &CopyJob,
) -> Copied {
    let target = job.target;
    let sources = job.sources.iter().map(|source| source.pin.segment).collect();
    let result = write_cold(disk, identity, index_files, job);
    if result.is_err() {
        drop(remove_if_there(disk, &segment_name(target)));
        drop(remove_if_there(disk, &segment_index::index_name(target)));
    }
    Copied { target, sources, result }
}

fn write_cold(
    disk: &dyn Disk,
    identity: &StoreIdentity,
    index_files: &IndexFiles,
    job: &CopyJob,
) -> Result<u64, CopyError> {
    let name = segment_name(job.target);
    remove_if_there(disk, &name)?;
    let file = disk.create(&name, 0, Allocate::Empty)?;
    let mut cold = ColdWriter::new(disk, identity, job.target, file);
    let written = job
        .sources
        .iter()
        .try_for_each(|source| copy_source(disk, identity, source, &mut cold))
        .and_then(|()| Ok(cold.finish()?));
    disk.close(file);
    let sealed = written?;
    disk.sync_dir(COLD_DIR)?;
    // Derived: made again if it does not survive.
    index_files.turn().write(&sealed)?;
    Ok(u64::from(sealed.end))
}

/// Copies what lives in one source: neighbouring records are read together.
fn copy_source(
    disk: &dyn Disk,
    identity: &StoreIdentity,
    source: &Source,
    cold: &mut ColdWriter<'_>,
) -> Result<(), CopyError> {
    let mut rest = source.live.as_slice();
    while let Some(first) = rest.first() {
        let start = first.stored.lsn.offset();
        let end_of =
            |entry: &IndexEntry| u64::from(entry.stored.lsn.offset()) + u64::from(entry.stored.record_bytes);
        let fits = |entry: &&IndexEntry| {
            entry.stored.lsn == first.stored.lsn
                || end_of(entry) - u64::from(start) <= u64::from(READ_CHUNK_BYTES_MAX)
        };
        let (chunk, behind) = rest.split_at(rest.iter().take_while(fits).count());
        rest = behind;
        let end = chunk.iter().map(end_of).max().unwrap_or(u64::from(start));
        let mut bytes = vec![0; (end - u64::from(start)) as usize];
        let damaged = |offset, reason| CopyError::Damaged { segment: source.pin.segment, offset, reason };
        let read = disk.read_at(source.pin.file.id, u64::from(start), &mut bytes);
        bytes.truncate(read.map_err(|error| damaged(start, error.to_string()))?);
        for record in chunk.chunk_by(|one, next| one.stored.lsn == next.stored.lsn) {
            let Some(entry) = record.first() else { continue };
            let from = (entry.stored.lsn.offset() - start) as usize;
            let whole = bytes.get(from..from + entry.stored.record_bytes as usize).unwrap_or_default();
            copy_record(identity, whole, record, cold).map_err(|reason| match reason {
                Failure::Record(reason) => damaged(entry.stored.lsn.offset(), reason),
                Failure::Io(error) => CopyError::Io(error),
            })?;
        }
    }
    Ok(())
}

enum Failure {
    Record(String),
    Io(io::Error),
}

/// Copies one record with those of its slots that live.
fn copy_record(
    identity: &StoreIdentity,
    bytes: &[u8],
    live: &[IndexEntry],
    cold: &mut ColdWriter<'_>,
) -> Result<(), Failure> {
    let (header, view) = decode(bytes, identity.seed).map_err(|error| Failure::Record(error.to_string()))?;
    let RecordView::Publish(publish) = view else {
        return Err(Failure::Record("the record holds no message".to_owned()));
    };
    let is_live =
        |slot: &Slot| live.iter().any(|entry| entry.queue == slot.queue && entry.stored.seq == slot.seq);
    let slots: Vec<Slot> = publish.slots().filter(is_live).collect();
    if slots.len() != live.len() {
        return Err(Failure::Record("the record is not that of the messages listed".to_owned()));
    }
    let text =
        |bytes| std::str::from_utf8(bytes).map_err(|_| Failure::Record("a name is not text".to_owned()));
    let copy = Publish {
        exchange: text(publish.exchange)?,
        routing_key: text(publish.routing_key)?,
        properties: publish.properties,
        body: publish.body,
        persistent: publish.persistent,
        dead_lettered: publish.dead_lettered,
        slots: &slots,
    };
    let stamp =
        Stamp { group: header.group, number: header.number, unix_ms: header.unix_ms, seed: identity.seed };
    cold.append(&stamp, &copy).map_err(Failure::Io)
}

/// Writes a cold segment: frames one after another, the header page last.
struct ColdWriter<'a> {
    disk: &'a dyn Disk,
    identity: &'a StoreIdentity,
    segment: SegmentId,
    file: FileId,
    salt: u32,
    chain: u64,
    offset: u32,
    frame: Vec<u8>,
    record_count: u32,
    first_number: u64,
    entries: Vec<IndexEntry>,
}

impl<'a> ColdWriter<'a> {
    fn new(disk: &'a dyn Disk, identity: &'a StoreIdentity, segment: SegmentId, file: FileId) -> Self {
        ColdWriter {
            disk,
            identity,
            segment,
            file,
            // Nobody searches a cold segment for frames, so nobody can be misled by a guessed salt.
            salt: checksum(identity.seed, &segment.0.to_le_bytes()),
            chain: 0,
            offset: PAGE_BYTES,
            frame: vec![0; FRAME_HEADER_BYTES],
            record_count: 0,
            first_number: 0,
            entries: Vec::new(),
        }
    }

    fn append(&mut self, stamp: &Stamp, publish: &Publish<'_>) -> io::Result<()> {
        let start = self.frame.len();
        encode_publish(&mut self.frame, stamp, publish);
        if self.record_count == 0 {
            self.first_number = stamp.number;
        }
        self.record_count += 1;
        let header = self.frame.get(start..).and_then(|record| decode(record, self.identity.seed).ok());
        let record_bytes = header.map_or(0, |(header, _)| header.len);
        let lsn = Lsn::new(self.segment, self.offset + start as u32);
        self.entries.extend(publish.slots.iter().map(|slot| IndexEntry {
            queue: slot.queue,
            priority: slot.priority,
            stored: StoredEntry {
                seq: slot.seq,
                lsn,
                record_bytes,
                body_bytes: publish.body.len() as u32,
                expire_unix_ms: slot.expire_unix_ms,
            },
        }));
        if self.frame.len() >= COLD_FRAME_BYTES { self.close_frame() } else { Ok(()) }
    }

    fn close_frame(&mut self) -> io::Result<()> {
        if self.record_count == 0 {
            return Ok(());
        }
        let payload = self.frame.get(FRAME_HEADER_BYTES..).unwrap_or_default();
        let payload_bytes = payload.len() as u32;
        let payload_crc = checksum(self.salt, payload);
        self.chain = chain(self.chain, payload_crc, self.first_number);
        let header = FrameHeader {
            segment: self.segment,
            offset: self.offset,
            payload_bytes,
            first_number: self.first_number,
            record_count: self.record_count,
            payload_crc,
            durable: Lsn::NONE,
            chain: self.chain,
            flags: 0,
        };
        header.encode(self.salt, &mut self.frame);
        self.frame.resize(frame_bytes(payload_bytes) as usize, 0);
        self.disk.write_at(self.file, u64::from(self.offset), &self.frame)?;
        self.offset = self.offset.checked_add(self.frame.len() as u32).ok_or(io::ErrorKind::FileTooLarge)?;
        self.frame.truncate(FRAME_HEADER_BYTES);
        self.record_count = 0;
        Ok(())
    }

    /// Writes the last frame and the header, syncs; the segment's entries for its index file.
    fn finish(&mut self) -> io::Result<SealedSegment> {
        self.close_frame()?;
        let header = SegmentHeader {
            store: self.identity.uuid,
            segment: self.segment,
            previous: SegmentId(0),
            prev_end: 0,
            first_number: 0,
            chain: 0,
            segment_bytes: u64::from(self.offset),
            flags: SEGMENT_COLD,
            salt: self.salt,
            // The records within carry their times.
            created_unix_ms: 0,
        };
        self.disk.write_at(self.file, 0, &header.encode())?;
        self.disk.sync(self.file)?;
        Ok(SealedSegment {
            segment: self.segment,
            end: self.offset,
            entries: std::mem::take(&mut self.entries),
        })
    }
}
