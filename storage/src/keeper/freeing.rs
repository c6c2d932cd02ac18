//! How the keeper frees segments: what nothing lives in, no export needs and nobody reads goes back to the preparer.

use super::Keeper;
use crate::error::OpenError;
use crate::ids::{SegmentId, Seq};
use crate::prepare::remove_if_there;
use crate::segment::{COLD_DIR, WAL_DIR, parse_segment_name, segment_name};
use crate::segment_index::{index_name, is_temporary};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use tracing::{debug, info, warn};

impl Keeper {
    /// Compares the files there are with those the index knows; frees what was freed or copied in vain before the stop.
    pub(super) fn take_stock(&mut self) -> Result<(), OpenError> {
        let mut there: BTreeSet<SegmentId> = BTreeSet::new();
        for dir in [WAL_DIR, COLD_DIR] {
            for (name, _) in self.disk.list(dir).map_err(OpenError::io("listing the segments"))? {
                there.extend(parse_segment_name(&name));
                if is_temporary(&name) {
                    let removed = remove_if_there(&*self.disk, &format!("{dir}/{name}"));
                    removed.map_err(OpenError::io("removing a temporary file"))?;
                }
            }
        }
        let known: Vec<(SegmentId, u64, u32)> =
            self.index.segments().map(|(id, segment)| (id, segment.live_slots, segment.end)).collect();
        let newest = known.iter().map(|(id, ..)| *id).filter(|id| !id.is_cold()).max().unwrap_or_default();
        for (id, live, end) in known {
            if there.remove(&id) {
                self.reader.files().add(id, end);
                continue;
            }
            let live = if live > 0 { self.live_in_missing(id) } else { 0 };
            if live > 0 {
                let what = format!("the segment is missing; {live} messages are in it");
                return Err(OpenError::corrupt(id, 0, what));
            }
            self.index.forget_segment(id);
        }
        // Hot files behind the newest are prepared ones. One that the exports have not passed may be a segment whose
        // frames were lost with a torn tail: replaying from an export goes through it, so it stays until they pass.
        let passed = self.passed_by_exports();
        for id in there.into_iter().filter(|id| id.is_cold() || *id < newest) {
            if id.is_cold() || id < passed {
                info!(segment = %id, "left-over segment freed");
                self.release(id).map_err(OpenError::io("freeing a segment"))?;
            } else {
                self.index.adopt_segment(id);
            }
        }
        Ok(())
    }

    /// Messages known to live in a segment whose file is gone. What a purge left uncounted does not speak for it: before
    /// the stop its entries were counted, found settled, and the segment freed; the log does not repeat the counting.
    fn live_in_missing(&mut self, segment: SegmentId) -> u64 {
        for (queue, first) in self.index.uncounted_in(segment) {
            self.index.set_live(queue, first, 0);
        }
        self.index.segment(segment).map_or(0, |state| state.live_slots)
    }

    /// Frees what can be freed.
    pub(super) fn free(&mut self) -> io::Result<()> {
        let passed = self.passed_by_exports();
        let current = self.index.current();
        let newest_full = |id: SegmentId| id.is_cold() || (id < current && id < passed);
        let dead: Vec<SegmentId> = self
            .index
            .segments()
            .filter(|(id, segment)| segment.live_slots == 0 && newest_full(*id))
            .map(|(id, _)| id)
            .filter(|id| !self.is_unindexed(*id))
            .collect();
        for segment in dead {
            self.index.forget_segment(segment);
            self.compaction.forget(segment);
            let file = self.reader.files().retire(segment);
            self.dying.push((segment, file));
        }
        let is_read = |file: &Arc<_>| Arc::strong_count(file) > 1;
        let (dying, free): (Vec<_>, Vec<_>) = std::mem::take(&mut self.dying)
            .into_iter()
            .partition(|(_, file)| file.as_ref().is_some_and(is_read));
        self.dying = dying;
        for (segment, file) in free {
            drop(file);
            debug!(%segment, "segment freed");
            self.release(segment)?;
        }
        Ok(())
    }

    /// Whether the index file of a segment is still to be written: it would come back after it was removed.
    fn is_unindexed(&self, segment: SegmentId) -> bool {
        self.indexing.contains(&segment) || self.unindexed.iter().any(|sealed| sealed.segment == segment)
    }

    /// Gives a segment's file back. Its index file goes first: it must never stand beside another incarnation.
    fn release(&mut self, segment: SegmentId) -> io::Result<()> {
        self.reader.forget_directory(segment);
        remove_if_there(&*self.disk, &index_name(segment))?;
        if segment.is_cold() {
            remove_if_there(&*self.disk, &segment_name(segment))
        } else {
            self.ports.recycle(segment)
        }
    }

    /// Counts what a purge has left in a segment where only the entries can tell.
    pub(super) fn recount(&mut self) {
        for (queue, runs) in self.index.recounts() {
            let Some(run) = runs.first() else { continue };
            let first = runs.iter().map(|run| run.first).min().unwrap_or_default();
            let last = runs.iter().map(|run| run.last).max().unwrap_or(Seq(u64::MAX));
            let entries = self
                .reader
                .files()
                .pin(run.segment)
                .and_then(|pin| self.reader.entries_between(&pin, queue, None, (first, last)));
            match entries {
                Ok(entries) => {
                    let live =
                        entries.iter().filter(|entry| self.index.is_live(queue, entry.seq, run.segment));
                    self.index.set_live(queue, first, live.count() as u32);
                }
                Err(error) => {
                    warn!(%queue, segment = %run.segment, %error, "live messages not counted: the segment is kept");
                    self.index.give_up_recount(queue, first);
                }
            }
        }
    }
}
