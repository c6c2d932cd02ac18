//! When and what the keeper has compacted. What lives is gathered from one segment per call, so that frames never wait
//! long; the copying is the helper's.

use super::Keeper;
use crate::compaction::{Copied, CopyError, CopyJob, Source, choose};
use crate::error::is_no_space;
use crate::helper::Job;
use crate::ids::SegmentId;
use crate::limits::{COMPACT_AGE_MS, COMPACT_BYTES_PER_S, RETRY_MS};
use crate::prepare::remove_if_there;
use crate::segment::segment_name;
use crate::segment_index::index_name;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use tracing::{info, warn};

/// How far a compaction is.
#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// What lives in these segments is being gathered; the last of the list comes next.
    Gathering { left: Vec<SegmentId>, sources: Vec<Source> },
    /// The helper copies.
    Copying,
    /// The record that names this segment is on its way to the disk.
    Relocating(SegmentId),
}

/// The keeper's memory of its compactions.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    stage: Stage,
    last_target: SegmentId,
    not_before_ms: u64,
    /// Segments with a record that cannot be read: left alone.
    unreadable: BTreeSet<SegmentId>,
    /// When segments became full, those of earlier runs of the broker excepted.
    full_since_ms: BTreeMap<SegmentId, u64>,
    now_ms: u64,
}

impl Compaction {
    /// `last` is the last cold segment there ever was.
    pub(super) fn after(last: SegmentId) -> Compaction {
        Compaction { last_target: last, ..Compaction::default() }
    }

    pub(super) fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    pub(super) fn became_full(&mut self, segment: SegmentId) {
        self.full_since_ms.insert(segment, self.now_ms);
    }

    pub(super) fn forget(&mut self, segment: SegmentId) {
        self.full_since_ms.remove(&segment);
        self.unreadable.remove(&segment);
    }

    fn next_target(&mut self) -> SegmentId {
        let number = (self.last_target.0 & !SegmentId::COLD) + 1;
        assert!(number < SegmentId::COLD, "cold segments are numbered below 2^31");
        self.last_target = SegmentId(SegmentId::COLD | number);
        self.last_target
    }

    fn is_old_enough(&self, segment: SegmentId, urgent: bool) -> bool {
        let since = self.full_since_ms.get(&segment);
        urgent || since.is_none_or(|since| self.now_ms.saturating_sub(*since) >= COMPACT_AGE_MS)
    }
}

impl Keeper {
    pub(super) fn compact_if_worth_it(&mut self, now_ms: u64) {
        if !self.options.compact {
            return;
        }
        match std::mem::take(&mut self.compaction.stage) {
            Stage::Idle => self.begin_compaction(now_ms),
            Stage::Gathering { left, sources } => self.gather(left, sources),
            stage @ (Stage::Copying | Stage::Relocating(_)) => self.compaction.stage = stage,
        }
    }

    fn begin_compaction(&mut self, now_ms: u64) {
        let urgent = self.ports.space_is_low();
        if now_ms < self.compaction.not_before_ms {
            return;
        }
        // Looking at every segment is not free either.
        self.compaction.not_before_ms = now_ms.saturating_add(1000);
        let left = choose(&self.index, self.options.segment_bytes, urgent, |id| {
            !self.compaction.unreadable.contains(&id) && self.compaction.is_old_enough(id, urgent)
        });
        if !left.is_empty() {
            self.compaction.stage = Stage::Gathering { left, sources: Vec::new() };
        }
    }

    /// Gathers from one more segment, or hands the copying over.
    fn gather(&mut self, mut left: Vec<SegmentId>, mut sources: Vec<Source>) {
        if let Some(segment) = left.pop() {
            match self.live_of(segment) {
                Ok(Some(source)) => sources.push(source),
                // Nothing lives there any more.
                Ok(None) => {}
                Err(reason) => {
                    warn!(%segment, %reason, "segment left out of compaction");
                    self.compaction.unreadable.insert(segment);
                }
            }
            self.compaction.stage = Stage::Gathering { left, sources };
            return;
        }
        if sources.is_empty() || !self.helper.has_room() {
            return;
        }
        let target = self.compaction.next_target();
        info!(%target, sources = sources.len(), "compaction begins");
        if self.helper.submit(Job::Copy(CopyJob { target, sources })).is_ok() {
            self.compaction.stage = Stage::Copying;
        }
    }

    fn live_of(&self, segment: SegmentId) -> Result<Option<Source>, String> {
        let pin = match self.reader.files().pin(segment) {
            Ok(pin) if pin.segment == segment => pin,
            _ => return Ok(None),
        };
        let mut live = self.reader.all_entries(&pin).map_err(|error| error.to_string())?;
        live.retain(|entry| self.index.is_live(entry.queue, entry.stored.seq, segment));
        Ok((!live.is_empty()).then_some(Source { pin, live }))
    }

    /// The copy is durable: the log is told.
    pub(super) fn copied(&mut self, copied: Copied, now_ms: u64) -> io::Result<()> {
        self.compaction.stage = Stage::Idle;
        let end = match copied.result {
            Ok(end) => end,
            Err(CopyError::Damaged { segment, offset, reason }) => {
                warn!(%segment, offset, reason, "segment left out of compaction");
                self.compaction.unreadable.insert(segment);
                return Ok(());
            }
            Err(CopyError::Io(error)) if is_no_space(&error) => {
                warn!(%error, "no space to compact");
                self.compaction.not_before_ms = now_ms.saturating_add(RETRY_MS);
                return Ok(());
            }
            Err(CopyError::Io(error)) => return Err(error),
        };
        if !self.ports.space_is_low() {
            self.compaction.not_before_ms = now_ms.saturating_add(end * 1000 / COMPACT_BYTES_PER_S);
        }
        match self.ports.relocate(copied.target, end, &copied.sources) {
            Ok(_) => self.compaction.stage = Stage::Relocating(copied.target),
            Err(error) => {
                warn!(%error, "compaction given up");
                self.compaction.not_before_ms = now_ms.saturating_add(RETRY_MS);
                remove_if_there(&*self.disk, &index_name(copied.target))?;
                remove_if_there(&*self.disk, &segment_name(copied.target))?;
            }
        }
        Ok(())
    }

    /// The record of a relocation is durable: readers find the messages in the cold segment from now on.
    pub(super) fn switch(&mut self, target: SegmentId, end: u64, sources: impl Iterator<Item = SegmentId>) {
        let end = u32::try_from(end).unwrap_or(u32::MAX);
        self.reader.files().relocate(target, end, sources);
        self.compaction.became_full(target);
        if matches!(self.compaction.stage, Stage::Relocating(segment) if segment == target) {
            self.compaction.stage = Stage::Idle;
        }
    }
}
