//! What the keeper saves and when: index files of full segments, rows of the database, exports.

use super::Keeper;
use crate::error::is_no_space;
use crate::export;
use crate::helper::Job;
use crate::ids::{Lsn, SegmentId};
use crate::index::SealedSegment;
use crate::index::sled_rows::{Base, RowsError};
use crate::limits::{EXPORT_BYTES_MIN, EXPORT_LOG_SHARE, EXPORTS_KEPT, RETRY_MS};
use std::io;
use tracing::{debug, warn};

/// When something is to be saved.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// State of the index saved last.
    pub(super) saved: Lsn,
    /// Bytes of records since then.
    pub(super) log_bytes: u64,
    /// When it was saved or tried last.
    last_ms: Option<u64>,
    /// After a failure: not before.
    not_before_ms: u64,
    under_way: bool,
}

/// Shortest time between two exports that are made to free segments, ms.
const URGENT_MS: u64 = 1000;

impl Schedule {
    pub(super) fn after(saved: Lsn) -> Schedule {
        Schedule { saved, ..Schedule::default() }
    }

    fn is_due(&mut self, now_ms: u64, applied: Lsn, bytes_max: u64, ms_max: u64) -> bool {
        let last_ms = *self.last_ms.get_or_insert(now_ms);
        let ripe = self.log_bytes >= bytes_max || now_ms.saturating_sub(last_ms) >= ms_max;
        ripe && applied > self.saved && now_ms >= self.not_before_ms && !self.under_way
    }

    fn start(&mut self, now_ms: u64) {
        self.under_way = true;
        self.log_bytes = 0;
        self.last_ms = Some(now_ms);
    }

    fn failed(&mut self, now_ms: u64) {
        self.not_before_ms = now_ms.saturating_add(RETRY_MS);
    }
}

impl Keeper {
    pub(super) fn hand_over_index_files(&mut self, now_ms: u64) {
        while now_ms >= self.index_files_at_ms && self.helper.has_room() {
            let Some(sealed) = self.unindexed.pop_front() else { return };
            let segment = sealed.segment;
            match self.helper.submit(Job::WriteIndex(sealed)) {
                Ok(()) => self.indexing.push_back(segment),
                Err(job) => {
                    if let Job::WriteIndex(sealed) = job {
                        self.unindexed.push_front(sealed);
                    }
                    return;
                }
            }
        }
    }

    pub(super) fn indexed(&mut self, segment: SegmentId) {
        self.indexing.retain(|indexing| *indexing != segment);
    }

    pub(super) fn not_indexed(&mut self, sealed: SealedSegment, error: &io::Error, now_ms: u64) {
        warn!(segment = %sealed.segment, %error, "index file not written, to be tried again");
        self.indexed(sealed.segment);
        let place = self.unindexed.partition_point(|waiting| waiting.segment < sealed.segment);
        self.unindexed.insert(place, sealed);
        self.index_files_at_ms = now_ms.saturating_add(RETRY_MS);
    }

    /// Tells the store which segments' entries may leave memory.
    pub(super) fn tell_sealed_below(&mut self) {
        let current = self.index.current();
        let hot = self.index.segments().map(|(id, _)| id).filter(|id| !id.is_cold());
        let full = if current == SegmentId(0) {
            hot.max().map_or(SegmentId(1), |newest| SegmentId(newest.0 + 1))
        } else {
            current
        };
        let waiting = self.unindexed.front().map(|sealed| sealed.segment);
        let indexing = self.indexing.iter().min().copied();
        let below = [waiting, indexing].into_iter().flatten().min().map_or(full, |segment| segment.min(full));
        if below > self.told_sealed_below {
            self.told_sealed_below = below;
            self.ports.sealed_below(below);
        }
    }

    pub(super) fn export_if_due(&mut self, now_ms: u64) {
        let applied = self.index.applied();
        // A small index is exported sooner: a log of short queues then lives in few segments, used again while their
        // pages are still in memory. An export costs the disk at most a small share of what was logged since the last.
        let worth = (self.export_size.saturating_mul(EXPORT_LOG_SHARE)).max(EXPORT_BYTES_MIN);
        let (bytes_max, ms_max) = (self.options.export_bytes.min(worth), self.options.export_ms);
        let due = self.export.is_due(now_ms, applied, bytes_max, ms_max)
            || (self.ports.space_is_low()
                && self.export.is_due(now_ms, applied, bytes_max, URGENT_MS)
                && self.an_export_would_free());
        if due {
            self.start_export(now_ms);
        }
    }

    /// Whether a dead segment waits only for the exports to pass it.
    fn an_export_would_free(&self) -> bool {
        let passed = self.passed_by_exports();
        let current = self.index.current();
        let mut hot = self.index.segments().filter(|(id, _)| !id.is_cold() && *id < current && *id >= passed);
        hot.any(|(_, segment)| segment.live_slots == 0)
    }

    /// Hot segments below are behind every export that is kept.
    pub(super) fn passed_by_exports(&self) -> SegmentId {
        self.exports.get(EXPORTS_KEPT - 1).map_or(SegmentId(0), |older| older.segment())
    }

    pub(super) fn start_export(&mut self, now_ms: u64) {
        self.index.compress();
        let applied = self.index.applied();
        let bytes = export::encode(&self.index, &self.identity.uuid);
        self.export_size = bytes.len() as u64;
        if self.helper.submit(Job::Export { applied, bytes }).is_ok() {
            self.export.start(now_ms);
        }
    }

    pub(super) fn exported(&mut self, applied: Lsn, result: io::Result<()>, now_ms: u64) -> io::Result<()> {
        self.export.under_way = false;
        match result {
            Ok(()) => {
                debug!(%applied, "index exported");
                self.export.saved = applied;
                self.exports.retain(|other| *other != applied);
                self.exports.insert(0, applied);
                self.exports.truncate(EXPORTS_KEPT);
            }
            Err(error) if is_no_space(&error) => {
                warn!(%error, "no space for an export: segments are kept until there is");
                self.export.failed(now_ms);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    pub(super) fn save_rows_if_due(&mut self, now_ms: u64) {
        let applied = self.index.applied();
        let (bytes_max, ms_max) = (self.options.checkpoint_bytes, self.options.checkpoint_ms);
        if self.has_database() && self.rows.is_due(now_ms, applied, bytes_max, ms_max) {
            self.start_rows(now_ms);
        }
    }

    pub(super) fn has_database(&self) -> bool {
        self.disk.local_path("").is_some()
    }

    pub(super) fn start_rows(&mut self, now_ms: u64) {
        if !self.has_database() || !self.helper.has_room() {
            return;
        }
        let applied = self.index.applied();
        let base = self.rows_base;
        let mut rows = self.index.take_unsaved();
        if base == Base::Nothing {
            rows.clear();
            self.index.all_rows(|row| rows.push(row));
        }
        match self.helper.submit(Job::SaveRows { rows, base, applied }) {
            // Until it fails, the next rows are relative to these.
            Ok(()) => self.rows_base = Base::At(applied),
            Err(_) => self.rows_base = Base::Nothing,
        }
        self.rows.start(now_ms);
    }

    pub(super) fn saved(&mut self, applied: Lsn, result: Result<(), RowsError>, now_ms: u64) {
        self.rows.under_way = false;
        match result {
            Ok(()) => {
                debug!(%applied, "checkpoint made");
                self.rows.saved = applied;
            }
            Err(error) => {
                warn!(%error, "checkpoint not made; starting relies on the exports until one is");
                self.rows_base = Base::Nothing;
                self.rows.failed(now_ms);
            }
        }
    }
}
