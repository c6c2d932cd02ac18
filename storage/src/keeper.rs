//! The keeper: owns the index while the broker runs. It applies what was committed, has full segments indexed, has the
//! index saved, frees segments nobody needs and has the stragglers of the others moved together. Slow work goes to its
//! helper; what the helper did takes effect here, between frames.
//!
//! Invariants: a segment is freed only when nothing in it lives, both exports lie behind it, and nobody reads it;
//! `sealed_below` never passes a segment whose index file is still to be written.

mod compacting;
mod freeing;
mod saving;

use crate::disk::Disk;
use crate::error::{AppendError, OpenError};
use crate::export::{self, CHECKPOINT_DIR};
use crate::files::{Files, OpenFile};
use crate::frame::CommittedFrame;
use crate::helper::{Done, Helper};
use crate::identity::StoreIdentity;
use crate::ids::{Lsn, SegmentId};
use crate::index::sled_rows::Base;
use crate::index::{Index, SealedSegment};
use crate::limits::{SURVEY_MS, SURVEY_SEGMENTS_MAX};
use crate::observer::Observer;
use crate::reader::Reader;
use crate::record::RecordView;
use crate::segment::{COLD_DIR, WAL_DIR};
use crate::segment_index::IndexFiles;
use crate::survey::{Survey, SurveyedSegment};
use compacting::Compaction;
use saving::Schedule;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;

/// What the keeper may decide by itself.
#[derive(Clone, Debug)]
pub struct KeeperOptions {
    /// Size of a segment, bytes.
    pub segment_bytes: u32,
    /// Log bytes after which a checkpoint is made.
    pub checkpoint_bytes: u64,
    /// Time after which a checkpoint is made when there is something to save, ms.
    pub checkpoint_ms: u64,
    /// Log bytes after which an export is made.
    pub export_bytes: u64,
    /// Time after which an export is made when there is something to save, ms.
    pub export_ms: u64,
    /// Whether slow work is done on a thread of its own (`true`) or within [`Keeper::maintain`] (tests).
    pub threaded: bool,
    /// Whether segments with few live messages are rewritten.
    pub compact: bool,
    /// Who is told of slow work.
    pub observer: Observer,
}

/// What the keeper asks of the rest of the store.
pub trait KeeperPorts: Send {
    /// Takes an emptied hot segment's file back, for reuse or removal; it still has its name.
    fn recycle(&mut self, segment: SegmentId) -> io::Result<()>;
    /// Appends a RELOCATE record. The keeper meets it again in a committed frame.
    fn relocate(&mut self, target: SegmentId, end: u64, sources: &[SegmentId]) -> Result<Lsn, AppendError>;
    /// Segments below are sealed and have their index file: their entries may leave memory.
    fn sealed_below(&mut self, segment: SegmentId);
    /// Whether free space is low, so that compaction is urgent.
    fn space_is_low(&self) -> bool;
    /// How things stand, for people.
    fn surveyed(&mut self, survey: Survey) {
        drop(survey);
    }
}

/// See the file's head. A thread of the store calls it; it is deterministic when not threaded.
pub struct Keeper {
    disk: Arc<dyn Disk>,
    identity: StoreIdentity,
    index: Index,
    options: KeeperOptions,
    ports: Box<dyn KeeperPorts>,
    reader: Reader,
    helper: Helper,
    /// Full segments whose index file is to be written, oldest first.
    unindexed: VecDeque<SealedSegment>,
    /// Those the helper is at.
    indexing: VecDeque<SegmentId>,
    /// After a failure, index files are not tried again before.
    index_files_at_ms: u64,
    told_sealed_below: SegmentId,
    export: Schedule,
    /// Bytes of the last export of this run.
    export_size: u64,
    /// Positions of the exports there are, the newest first.
    exports: Vec<Lsn>,
    rows: Schedule,
    rows_base: Base,
    /// Segments no reader finds any more; freed when the last one that reads lets go.
    dying: Vec<(SegmentId, Option<Arc<OpenFile>>)>,
    compaction: Compaction,
    failed: Option<io::Error>,
    /// When people were last told how things stand, ms.
    surveyed_ms: Option<u64>,
}

impl Keeper {
    /// Takes over the index after recovery. Frees files nobody needs, has index files of the segments replayed written.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`] if a segment that holds live messages is missing; [`OpenError::Io`].
    pub fn new(
        disk: Arc<dyn Disk>,
        identity: StoreIdentity,
        mut index: Index,
        options: KeeperOptions,
        ports: Box<dyn KeeperPorts>,
    ) -> Result<Keeper, OpenError> {
        index.seal();
        for dir in [WAL_DIR, COLD_DIR, CHECKPOINT_DIR] {
            disk.create_dir(dir).map_err(OpenError::io("creating the store's directories"))?;
        }
        disk.sync_dir("").map_err(OpenError::io("creating the store's directories"))?;
        // Of an earlier run that was killed, a name may be visible and not durable.
        disk.sync_dir(CHECKPOINT_DIR).map_err(OpenError::io("syncing the exports"))?;
        let exports = export::list(&*disk).map_err(OpenError::io("listing the exports"))?;
        let index_files = IndexFiles::new(Arc::clone(&disk), identity.uuid);
        let helper = Helper::new(
            Arc::clone(&disk),
            identity,
            Arc::clone(&index_files),
            options.threaded,
            options.observer.clone(),
        );
        let helper = helper.map_err(OpenError::io("starting a thread"))?;
        let reader = Reader::new(Files::new(Arc::clone(&disk)), identity, index_files);
        let newest = exports.first().copied().unwrap_or_default();
        let rows_base = index.saved().map_or(Base::Nothing, Base::At);
        let mut keeper = Keeper {
            compaction: Compaction::after(index.marks().cold),
            unindexed: index.take_sealed().into(),
            indexing: VecDeque::new(),
            told_sealed_below: SegmentId(0),
            export: Schedule::after(newest),
            export_size: 0,
            rows: Schedule::after(index.saved().unwrap_or_default()),
            disk,
            identity,
            index,
            options,
            ports,
            reader,
            helper,
            index_files_at_ms: 0,
            exports,
            rows_base,
            dying: Vec::new(),
            failed: None,
            surveyed_ms: None,
        };
        keeper.take_stock()?;
        keeper.recount();
        keeper.hand_over_index_files(0);
        keeper.settle_done(0).map_err(OpenError::io("writing index files"))?;
        keeper.tell_sealed_below();
        Ok(keeper)
    }

    /// A reader of this store; clone it for each thread.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// The index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Applies a committed frame. Never waits for slow work.
    pub fn absorb(&mut self, frame: &CommittedFrame) {
        let before = self.index.current();
        for record in frame.records() {
            let (at, header, view) = match record {
                Ok(record) => record,
                Err(error) => {
                    self.failed =
                        Some(io::Error::other(format!("a record just written cannot be read: {error}")));
                    return;
                }
            };
            self.index.apply(at, &header, &view);
            if let RecordView::Relocate(relocate) = view {
                self.switch(relocate.target, relocate.end, relocate.sources());
            }
        }
        self.index.advance(frame.end());
        let bytes = u64::from(frame.payload_bytes);
        self.export.log_bytes += bytes;
        self.rows.log_bytes += bytes;
        if self.index.current() != before && before != SegmentId(0) {
            let end = self.index.segment(before).map_or(0, |segment| segment.end);
            self.reader.files().add(before, end);
            self.unindexed.extend(self.index.take_sealed());
            self.compaction.became_full(before);
        }
    }

    /// Does what is due: index files, checkpoints, exports, freeing, compaction. Call it after each batch of frames and
    /// at least once a second.
    ///
    /// # Errors
    /// The disk failed where nothing may be trusted any more: final.
    pub fn maintain(&mut self, now_ms: u64) -> io::Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.compaction.set_now(now_ms);
        self.settle_done(now_ms)?;
        self.recount();
        self.hand_over_index_files(now_ms);
        self.save_rows_if_due(now_ms);
        self.export_if_due(now_ms);
        self.free()?;
        self.compact_if_worth_it(now_ms);
        self.settle_done(now_ms)?;
        self.tell_sealed_below();
        self.survey(now_ms);
        Ok(())
    }

    fn survey(&mut self, now_ms: u64) {
        if self.surveyed_ms.is_some_and(|last_ms| now_ms < last_ms + SURVEY_MS) {
            return;
        }
        self.surveyed_ms = Some(now_ms);
        let mut survey = Survey { saved: self.rows.saved, ..Survey::default() };
        for (id, segment) in self.index.segments() {
            let (bytes, live_bytes) = (u64::from(segment.end), segment.live_bytes());
            survey.segment_count += 1;
            survey.bytes += bytes;
            survey.live_bytes += live_bytes;
            survey.cold_bytes += if id.is_cold() { bytes } else { 0 };
            if survey.segments.len() < SURVEY_SEGMENTS_MAX {
                survey.segments.push(SurveyedSegment { id, bytes, live_bytes });
            }
        }
        self.ports.surveyed(survey);
    }

    /// Saves everything, for a clean stop: the next start replays nothing.
    ///
    /// # Errors
    /// Of the disk; a full one is no error, since the log has everything.
    pub fn close(mut self) -> io::Result<()> {
        self.index.seal();
        self.unindexed.extend(self.index.take_sealed());
        self.finish_helper()?;
        self.hand_over_index_files(u64::MAX);
        self.finish_helper()?;
        if self.index.applied() > self.export.saved {
            self.start_export(0);
        }
        if self.index.applied() > self.rows.saved {
            self.start_rows(0);
        }
        self.finish_helper()
    }

    fn finish_helper(&mut self) -> io::Result<()> {
        while let Some(done) = self.helper.wait()? {
            self.settle_one(done, 0)?;
        }
        Ok(())
    }

    /// Lets what the helper finished take effect.
    fn settle_done(&mut self, now_ms: u64) -> io::Result<()> {
        while let Some(done) = self.helper.poll()? {
            self.settle_one(done, now_ms)?;
        }
        Ok(())
    }

    fn settle_one(&mut self, done: Done, now_ms: u64) -> io::Result<()> {
        match done {
            Done::Indexed(sealed) => {
                self.indexed(sealed.segment);
                self.index.reuse(sealed.entries);
            }
            Done::NotIndexed(sealed, error) => self.not_indexed(sealed, &error, now_ms),
            Done::Exported(applied, result) => return self.exported(applied, result, now_ms),
            Done::Saved(applied, result) => self.saved(applied, result, now_ms),
            Done::Copied(copied) => return self.copied(copied, now_ms),
        }
        Ok(())
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("applied", &self.index.applied()).finish_non_exhaustive()
    }
}
