//! The committer: takes batches from the staging buffer, writes each as a frame, syncs, and only then says so. A plain
//! struct that is stepped; the commit thread does nothing but call it. No clock is waited for between records and their
//! sync: what arrives during one sync, and right behind it, is the next batch.
//!
//! ```text
//! staged ─ take ─▶ header filled ─ write ─▶ written ─ sync ─▶ durable ─▶ watchers told ─▶ keeper
//! ```
//! Order that matters: the durable watermark is taken from what was written before the sync began; a segment's header is
//! written only after everything in the segment before it was synced; after the first error nothing more is done.

use crate::disk::{Disk, FileId};
use crate::frame::{
    BufferPool, CommittedFrame, FRAME_HEADER_BYTES, FrameHeader, chain, frame_bytes, frame_flag,
};
use crate::ids::{Lsn, SegmentId};
use crate::limits::PAGE_BYTES;
use crate::options::{Clock, Options, Planted, Random};
use crate::prepare::Preparer;
use crate::record::checksum;
use crate::segment::SegmentHeader;
use crate::staging::{Asked, Batch, Staging};
use crate::wal::{Shared, Waits};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Where the log ends before the first batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogEnd {
    /// The last segment of the log; 0 if there is none yet.
    pub(crate) segment: SegmentId,
    /// Where its last frame ends.
    pub(crate) offset: u32,
    /// Chain value of that frame.
    pub(crate) chain: u64,
}

/// What the commit thread does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Step again at once.
    Again,
    /// Sleep: until something happens that `waits` names, or until this time, ms.
    Sleep { waits: Waits, until_ms: Option<u64> },
    /// The log is closed.
    Closed,
}

/// See the file's head.
pub(crate) struct Committer {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    preparer: Arc<Preparer>,
    store: [u8; 16],
    segment_bytes: u32,
    ack_flush_ms: u64,
    seal_idle_ms: u64,
    unix_ms: Clock,
    random: Random,
    planted: Planted,
    pool: Arc<BufferPool>,
    end: LogEnd,
    file: Option<(FileId, u32)>,
    /// A batch for a segment that is not prepared yet.
    held: Option<Batch>,
    /// Frames written and not synced, oldest first; all in the current segment.
    unsynced: Vec<CommittedFrame>,
    /// When they must be synced at the latest.
    sync_by_ms: u64,
    /// Frames synced and not yet taken by the keeper.
    committed: Vec<CommittedFrame>,
    /// Since when settles wait for company.
    settles_since_ms: Option<u64>,
    /// Since when the log is idle, if its last frame is not vouched for yet.
    idle_since_ms: Option<u64>,
    /// The last frame holds records: a seal is due.
    unsealed: bool,
    closed: bool,
}

impl Committer {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        shared: Arc<Shared>,
        preparer: Arc<Preparer>,
        pool: Arc<BufferPool>,
        store: [u8; 16],
        options: &Options,
        end: LogEnd,
    ) -> Self {
        Committer {
            disk,
            shared,
            preparer,
            store,
            segment_bytes: options.segment_bytes,
            ack_flush_ms: options.ack_flush_ms,
            seal_idle_ms: options.seal_idle_ms,
            unix_ms: Arc::clone(&options.unix_ms),
            random: Arc::clone(&options.random),
            planted: options.planted(),
            pool,
            end,
            file: None,
            held: None,
            unsynced: Vec::new(),
            sync_by_ms: 0,
            committed: Vec::new(),
            settles_since_ms: None,
            idle_since_ms: None,
            unsealed: true,
            closed: false,
        }
    }

    /// Opens the first segment of this run with an empty frame in it, so that whatever lies behind the end of the old log
    /// can never be read again. `false`: the segment is not prepared yet; ask again.
    pub(crate) fn start(&mut self) -> io::Result<bool> {
        if self.held.is_none() {
            let seal = self.shared.lock().staging.take_seal(frame_flag::SEAL, true);
            assert!(seal.is_some(), "nothing is appended before the log is open");
            self.held = seal;
        }
        let Some(seal) = self.held.take() else { return Ok(true) };
        if !self.write(seal)? {
            return Ok(false);
        }
        self.sync()?;
        self.unsealed = false;
        Ok(true)
    }

    /// Does the next piece of work.
    ///
    /// # Errors
    /// The first error of the disk: nothing that waits for it will be confirmed, nothing may be tried again.
    pub(crate) fn step(&mut self, now_ms: u64) -> io::Result<Next> {
        if self.closed {
            return Ok(Next::Closed);
        }
        if let Some(batch) = self.held.take() {
            return self.commit(batch, Asked::Sync, now_ms);
        }
        let mut staged = self.shared.lock();
        let (taken, asked, closing) =
            (self.due(&staged.staging, now_ms), staged.staging.asked, staged.closing);
        let (batch, settles_wait) = if taken || closing {
            staged.staging.asked = Asked::Nothing;
            (staged.staging.take_batch(), false)
        } else {
            (None, !staged.staging.is_empty())
        };
        drop(staged);
        if let Some(batch) = batch {
            self.settles_since_ms = None;
            let lazily = asked == Asked::Write && !batch.urgent && !closing;
            return self.commit(batch, if lazily { Asked::Write } else { Asked::Sync }, now_ms);
        }
        if asked == Asked::Sync || closing || (!self.unsynced.is_empty() && now_ms >= self.sync_by_ms) {
            self.shared.lock().staging.asked = Asked::Nothing;
            if !self.unsynced.is_empty() {
                self.sync()?;
                return Ok(Next::Again);
            }
        }
        if closing {
            return self.close();
        }
        if settles_wait {
            self.settles_since_ms.get_or_insert(now_ms);
        }
        self.rest(now_ms, settles_wait)
    }

    /// Frames synced since the last call, oldest first.
    pub(crate) fn take_committed(&mut self) -> Vec<CommittedFrame> {
        std::mem::take(&mut self.committed)
    }

    /// Whether what is staged is to be written now: somebody waits for it, or it has waited long enough.
    fn due(&self, staging: &Staging, now_ms: u64) -> bool {
        let waited =
            self.settles_since_ms.is_some_and(|since| now_ms >= since + self.ack_flush_ms || now_ms < since);
        !staging.is_empty() && (staging.is_urgent() || staging.asked != Asked::Nothing || waited)
    }

    /// Writes the batch; syncs it too unless it may wait.
    fn commit(&mut self, batch: Batch, asked: Asked, now_ms: u64) -> io::Result<Next> {
        if self.planted.sync_before_write
            && let Some((file, _)) = self.file
        {
            self.disk.sync(file)?;
        }
        if !self.write(batch)? {
            return Ok(Next::Sleep { waits: Waits::Segment, until_ms: None });
        }
        self.unsealed = true;
        self.idle_since_ms = None;
        match asked {
            Asked::Nothing | Asked::Sync => self.sync()?,
            Asked::Write => {
                if self.unsynced.len() == 1 {
                    self.sync_by_ms = now_ms + self.ack_flush_ms;
                }
                self.shared.tell();
            }
        }
        Ok(Next::Again)
    }

    /// Fills the frame header in and writes the frame. `false`: its segment is not prepared; the batch is kept.
    fn write(&mut self, mut batch: Batch) -> io::Result<bool> {
        if (batch.segment != self.end.segment || self.file.is_none()) && !self.roll(&batch)? {
            self.held = Some(batch);
            return Ok(false);
        }
        let Some((file, salt)) = self.file else { return Ok(false) };
        assert!(
            batch.segment == self.end.segment && batch.offset == self.end.offset,
            "batches are laid out back to back"
        );
        let mut buffer = batch.buffer.take().unwrap_or_else(|| self.pool.take());
        buffer.bytes.resize(buffer.bytes.len().max(FRAME_HEADER_BYTES), 0);
        let payload_bytes = (buffer.bytes.len() - FRAME_HEADER_BYTES) as u32;
        let payload_crc = checksum(salt, buffer.bytes.get(FRAME_HEADER_BYTES..).unwrap_or_default());
        buffer.bytes.resize(frame_bytes(payload_bytes) as usize, 0);
        let header = FrameHeader {
            segment: batch.segment,
            offset: batch.offset,
            payload_bytes,
            first_number: batch.first_number,
            record_count: batch.record_count,
            payload_crc,
            durable: self.shared.durable(),
            chain: chain(self.end.chain, payload_crc, batch.first_number),
            flags: batch.flags,
        };
        header.encode(salt, &mut buffer.bytes);
        self.disk.write_at(file, u64::from(batch.offset), &buffer.bytes)?;
        self.shared.in_flight_bytes.fetch_add(buffer.bytes.len(), Ordering::Relaxed);
        self.end.offset += header.frame_bytes();
        self.end.chain = header.chain;
        let (segment, offset, flags) = (batch.segment, batch.offset, batch.flags);
        self.unsynced.push(CommittedFrame { segment, offset, payload_bytes, flags, buffer });
        self.shared.set_written(Lsn::new(self.end.segment, self.end.offset));
        if self.planted.confirm_before_sync {
            self.shared.set_durable(self.shared.written());
            self.shared.tell();
        }
        if self.planted.sync_before_write {
            self.synced();
        }
        Ok(true)
    }

    /// Puts the segment of `batch` in use: syncs the old one, then writes the header that says where it ended.
    fn roll(&mut self, batch: &Batch) -> io::Result<bool> {
        assert!(
            batch.segment.0 == self.end.segment.0 + 1 && batch.offset == PAGE_BYTES,
            "segments are filled one after another"
        );
        if !self.unsynced.is_empty() {
            self.sync()?;
        }
        let Some(file) = self.preparer.take(batch.segment) else { return Ok(false) };
        if let Some((old, _)) = self.file.take() {
            self.disk.close(old);
        }
        let salt = (self.random)() as u32;
        let header = SegmentHeader {
            store: self.store,
            segment: batch.segment,
            previous: self.end.segment,
            prev_end: u64::from(self.end.offset),
            first_number: batch.first_number,
            chain: self.end.chain,
            segment_bytes: u64::from(self.segment_bytes),
            flags: 0,
            salt,
            created_unix_ms: (self.unix_ms)(),
        };
        self.disk.write_at(file, 0, &header.encode())?;
        self.file = Some((file, salt));
        self.end.segment = batch.segment;
        self.end.offset = PAGE_BYTES;
        self.shared.lock().staging.current = batch.segment;
        Ok(true)
    }

    /// Syncs what was written, then says so.
    fn sync(&mut self) -> io::Result<()> {
        if let Some((file, _)) = self.file
            && !self.planted.sync_before_write
        {
            self.disk.sync(file)?;
        }
        self.synced();
        Ok(())
    }

    /// Everything written is durable: nothing was written between the start of the sync and now, because this thread
    /// is the only writer.
    fn synced(&mut self) {
        self.shared.set_durable(Lsn::new(self.end.segment, self.end.offset));
        self.shared.tell();
        self.committed.append(&mut self.unsynced);
    }

    /// Nothing to write: vouches for the last frame once the log was idle for a while, or says how long to sleep.
    fn rest(&mut self, now_ms: u64, settles_wait: bool) -> io::Result<Next> {
        if self.unsealed && self.unsynced.is_empty() && !settles_wait {
            let since = *self.idle_since_ms.get_or_insert(now_ms);
            if now_ms >= since + self.seal_idle_ms || now_ms < since {
                return self.seal();
            }
        }
        let settles_by = self.settles_since_ms.map(|since| since + self.ack_flush_ms);
        let sync_by = (!self.unsynced.is_empty()).then_some(self.sync_by_ms);
        let seal_by = self.idle_since_ms.filter(|_| self.unsealed).map(|since| since + self.seal_idle_ms);
        let until_ms = settles_by.into_iter().chain(sync_by).chain(seal_by).min();
        Ok(Next::Sleep { waits: if settles_wait { Waits::Urgent } else { Waits::Any }, until_ms })
    }

    fn seal(&mut self) -> io::Result<Next> {
        self.unsealed = false;
        self.idle_since_ms = None;
        // Not the first frame of a segment, and no segment is opened for a seal: then the next frame's header vouches.
        let seal = self.shared.lock().staging.take_seal(frame_flag::SEAL, false);
        if let Some(seal) = seal
            && self.write(seal)?
        {
            self.sync()?;
        }
        Ok(Next::Again)
    }

    /// Ends the log cleanly: everything is synced, the last frame says so.
    fn close(&mut self) -> io::Result<Next> {
        let flags = frame_flag::SEAL | frame_flag::CLEAN_SHUTDOWN;
        let seal = self.shared.lock().staging.take_seal(flags, true);
        if let Some(seal) = seal {
            if !self.write(seal)? {
                return Ok(Next::Sleep { waits: Waits::Segment, until_ms: None });
            }
            self.sync()?;
        }
        self.closed = true;
        Ok(Next::Closed)
    }
}

#[cfg(test)]
mod tests;
