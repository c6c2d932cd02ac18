//! Recovery: reads the log from where the index stands to its end, and decides what its end is.
//!
//! A frame is valid if it is of this incarnation of its segment, in its own place, whole, and continues the chain. The
//! first invalid frame of the last segment at P is a torn tail if nothing vouches for more than P: no later frame, no
//! index says that what lies behind P had been synced. If something does, confirmed bytes are damaged: the store is
//! refused, nothing is changed. A segment that has a successor must be valid up to where the successor says it ended.
//!
//! The tail that was never known to be synced is rewritten with the same bytes and synced before anything relies on it:
//! after a failed sync the page cache may show what the disk does not hold. Nothing is appended to an old tail.
//! Everything here may be cut short by another crash and done again.

mod segments;
mod tail;
mod window;

use crate::commit::LogEnd;
use crate::disk::Disk;
use crate::error::OpenError;
use crate::frame::{FRAME_HEADER_BYTES, FrameHeader, chain, frame_flag};
use crate::identity::StoreIdentity;
use crate::ids::{Lsn, SegmentId};
use crate::limits::PAGE_BYTES;
use crate::prepare::Leftovers;
use crate::record::{RecordHeader, RecordView, checksum, records};
use crate::segment::{SegmentHeader, segment_name};
use segments::{Candidate, LogSegment, read_headers, split_log};
use std::io;
use tail::{make_tail_durable, tidy};
use tracing::warn;
use window::Window;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// How far a recovery got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveryProgress {
    /// Bytes of the log read.
    pub bytes_read: u64,
    /// Bytes to read, at most.
    pub bytes_total: u64,
    /// Records applied.
    pub record_count: u64,
}

/// Who is told what the log holds.
pub(crate) trait Replay {
    /// A record, in the order of the log.
    fn apply(&mut self, at: Lsn, header: &RecordHeader, view: &RecordView<'_>);
    /// The end of a frame whose records were all applied.
    fn advance(&mut self, end: Lsn);
}

/// What recovery found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// Where the log ends.
    pub(crate) end: LogEnd,
    /// Number of the next record.
    pub(crate) next_number: u64,
    /// The last frame says that the store was closed cleanly; also true of a new store.
    pub(crate) clean: bool,
    /// Files for the preparer.
    pub(crate) leftovers: Leftovers,
    /// Records applied.
    pub(crate) record_count: u64,
}

/// What reading the log found; nothing was changed yet.
#[derive(Debug)]
pub(crate) struct Read {
    /// Where the log ends.
    pub(crate) end: LogEnd,
    /// The last frame says that the store was closed cleanly; also true of a new store.
    pub(crate) clean: bool,
    /// Records applied.
    pub(crate) record_count: u64,
    next_number: u64,
    /// The segment that the log ends in.
    last: Option<LogSegment>,
    /// Highest position that something says had been synced.
    witness: Lsn,
    unused: Vec<Candidate>,
}

/// Reads the log from `applied` on, hands its records to `replay`, makes its tail durable.
pub(crate) fn recover(
    disk: &dyn Disk,
    identity: &StoreIdentity,
    segment_bytes: u32,
    applied: Lsn,
    replay: &mut dyn Replay,
    progress: &mut dyn FnMut(RecoveryProgress),
) -> Result<Found, OpenError> {
    let read = read(disk, identity, applied, replay, progress)?;
    if let Some(last) = &read.last {
        make_tail_durable(disk, last, read.end.offset, read.witness)
            .map_err(OpenError::io("rewriting the end of the log"))?;
    }
    let leftovers = tidy(disk, segment_bytes, read.end.segment, &read.unused)
        .map_err(OpenError::io("tidying the log directory"))?;
    let Read { end, next_number, clean, record_count, .. } = read;
    Ok(Found { end, next_number, clean, leftovers, record_count })
}

/// Reads the log from `applied` on and hands its records to `replay`; changes nothing.
pub(crate) fn read(
    disk: &dyn Disk,
    identity: &StoreIdentity,
    applied: Lsn,
    replay: &mut dyn Replay,
    progress: &mut dyn FnMut(RecoveryProgress),
) -> Result<Read, OpenError> {
    let segments = read_headers(disk, identity, applied)?;
    let (log, unused) = split_log(disk, &segments, applied)?;
    let total = log.iter().map(|segment| segment.header.segment_bytes).sum();
    let mut scan = Scan {
        disk,
        seed: identity.seed,
        applied,
        expected: Expected { chain: 0, number: 1 },
        witness: applied,
        clean: true,
        progress: RecoveryProgress { bytes_total: total, ..RecoveryProgress::default() },
        replay,
        report: progress,
    };
    let mut end = LogEnd { segment: SegmentId(0), offset: 0, chain: 0 };
    for (at, segment) in log.iter().enumerate() {
        let successor = log.get(at + 1).map(|next| next.header);
        let offset = scan.segment(segment, at == 0, successor)?;
        end = LogEnd { segment: segment.id, offset, chain: scan.expected.chain };
    }
    let witness = scan.witness;
    let (next_number, clean, record_count) = (scan.expected.number, scan.clean, scan.progress.record_count);
    if applied > Lsn::new(end.segment, end.offset) {
        return Err(OpenError::corrupt(
            end.segment,
            u64::from(end.offset),
            format!(
                "the log ends here, but the index had read it up to segment {} offset {}",
                applied.segment(),
                applied.offset()
            ),
        ));
    }
    Ok(Read { end, clean, record_count, next_number, last: log.last().copied(), witness, unused })
}

/// What the next frame must continue.
#[derive(Clone, Copy, Debug)]
struct Expected {
    chain: u64,
    number: u64,
}

/// The walk over the log.
struct Scan<'a> {
    disk: &'a dyn Disk,
    seed: u32,
    applied: Lsn,
    expected: Expected,
    /// Highest position that something says had been synced.
    witness: Lsn,
    /// The last frame read was a clean shutdown.
    clean: bool,
    progress: RecoveryProgress,
    replay: &'a mut dyn Replay,
    report: &'a mut dyn FnMut(RecoveryProgress),
}

impl Scan<'_> {
    /// Reads one segment; returns where its last frame ends.
    fn segment(
        &mut self,
        segment: &LogSegment,
        is_first: bool,
        successor: Option<SegmentHeader>,
    ) -> Result<u32, OpenError> {
        let reading = || OpenError::io(format!("reading segment {}", segment.id));
        let file = self.disk.open(&segment_name(segment.id)).map_err(reading())?;
        if is_first {
            self.expected = Expected { chain: segment.header.chain, number: segment.header.first_number };
        } else if self.expected.chain != segment.header.chain
            || self.expected.number != segment.header.first_number
        {
            return Err(OpenError::corrupt(segment.id, 0, "the segment does not continue the one before it"));
        }
        let mut window = Window::new(self.disk, file, segment.header.segment_bytes);
        let result = self.frames(segment, &mut window, successor);
        self.disk.close(file);
        result
    }

    fn frames(
        &mut self,
        segment: &LogSegment,
        window: &mut Window<'_>,
        successor: Option<SegmentHeader>,
    ) -> Result<u32, OpenError> {
        let reading = || OpenError::io(format!("reading segment {}", segment.id));
        let end = successor.map_or(segment.header.segment_bytes, |next| next.prev_end);
        let mut offset = PAGE_BYTES;
        while u64::from(offset) < end {
            let Some(frame) = self.frame(segment, window, offset).map_err(reading())? else { break };
            self.accept(segment, window, &frame)?;
            offset += frame.frame_bytes();
        }
        if successor.is_some() {
            if u64::from(offset) != end {
                return Err(OpenError::corrupt(
                    segment.id,
                    u64::from(offset),
                    format!("the frame here is damaged; the segment ends at {end}"),
                ));
            }
            return Ok(offset);
        }
        let later = later_witness(segment, window, offset).map_err(reading())?;
        let witness = self.witness.max(later);
        if witness > Lsn::new(segment.id, offset) {
            return Err(OpenError::corrupt(
                segment.id,
                u64::from(offset),
                format!("the frame here is damaged; the log was synced up to offset {}", witness.offset()),
            ));
        }
        if later > Lsn::NONE {
            warn!(segment = %segment.id, offset, "torn tail cut");
        }
        Ok(offset)
    }

    /// The frame at `offset` if it is valid.
    fn frame(
        &self,
        segment: &LogSegment,
        window: &mut Window<'_>,
        offset: u32,
    ) -> io::Result<Option<FrameHeader>> {
        let salt = segment.header.salt;
        let Some(bytes) = window.get(offset, FRAME_HEADER_BYTES)? else { return Ok(None) };
        let Some(frame) = FrameHeader::decode(bytes, salt, segment.id, offset) else { return Ok(None) };
        let Some(payload) = window.get(offset + FRAME_HEADER_BYTES as u32, frame.payload_bytes as usize)?
        else {
            return Ok(None);
        };
        let valid = checksum(salt, payload) == frame.payload_crc
            && frame.first_number == self.expected.number
            && frame.chain == chain(self.expected.chain, frame.payload_crc, frame.first_number);
        Ok(valid.then_some(frame))
    }

    /// Takes a valid frame for the log's next.
    fn accept(
        &mut self,
        segment: &LogSegment,
        window: &mut Window<'_>,
        frame: &FrameHeader,
    ) -> Result<(), OpenError> {
        let end = Lsn::new(segment.id, frame.offset + frame.frame_bytes());
        // The index has what lies before `applied`; the frame was only needed to find the next one.
        if end > self.applied {
            self.apply(segment, window, frame)?;
        }
        self.replay.advance(end);
        self.expected =
            Expected { chain: frame.chain, number: frame.first_number + u64::from(frame.record_count) };
        self.witness = self.witness.max(frame.durable);
        self.clean = frame.flags & frame_flag::CLEAN_SHUTDOWN != 0;
        self.progress.bytes_read += u64::from(frame.frame_bytes());
        (self.report)(self.progress);
        Ok(())
    }

    /// Hands the records of a frame over.
    fn apply(
        &mut self,
        segment: &LogSegment,
        window: &mut Window<'_>,
        frame: &FrameHeader,
    ) -> Result<(), OpenError> {
        let start = frame.offset + FRAME_HEADER_BYTES as u32;
        let payload = window
            .get(start, frame.payload_bytes as usize)
            .map_err(OpenError::io(format!("reading segment {}", segment.id)))?
            .unwrap_or_default();
        let mut count = 0;
        for record in records(payload, Lsn::new(segment.id, start), self.seed) {
            let (at, header, view) = record.map_err(|error| {
                OpenError::corrupt(segment.id, u64::from(frame.offset), error.to_string())
            })?;
            if at >= self.applied {
                self.replay.apply(at, &header, &view);
                self.progress.record_count += 1;
            }
            count += 1;
        }
        if count != frame.record_count {
            return Err(OpenError::corrupt(
                segment.id,
                u64::from(frame.offset),
                "a frame holds too few records",
            ));
        }
        Ok(())
    }
}

/// The highest durable LSN that frames behind `offset` state: whole ones or not, in sequence or not.
fn later_witness(segment: &LogSegment, window: &mut Window<'_>, offset: u32) -> io::Result<Lsn> {
    let mut witness = Lsn::NONE;
    let mut at = offset;
    while u64::from(at) + FRAME_HEADER_BYTES as u64 <= segment.header.segment_bytes {
        let Some(bytes) = window.get(at, FRAME_HEADER_BYTES)? else { break };
        if let Some(frame) = FrameHeader::decode(bytes, segment.header.salt, segment.id, at) {
            witness = witness.max(frame.durable);
        }
        at += PAGE_BYTES;
    }
    Ok(witness)
}

#[cfg(test)]
mod tests;
