//! The segments' files as readers and the keeper share them: which exist, where compaction moved their messages, which
//! are open. A reader pins a file while it reads; the keeper frees a segment's file only when nobody has it pinned, so
//! that a recycled file is never read as what it was.

use crate::disk::{Disk, FileId};
use crate::ids::SegmentId;
use crate::limits::OPEN_SEGMENTS_MAX;
use crate::reader::ReadError;
use crate::segment::segment_name;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the file's head.
pub(crate) struct Files {
    disk: Arc<dyn Disk>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Full segments and where each ends.
    ends: BTreeMap<SegmentId, u32>,
    /// The newest hot segment that was freed or is full. Newer ones may be read before the keeper has heard of them.
    newest: SegmentId,
    /// Where compaction moved a segment's live messages. Kept as long as the process runs: eight bytes each.
    moved: HashMap<SegmentId, SegmentId>,
    open: HashMap<SegmentId, (Arc<OpenFile>, u64)>,
    /// Counts uses, to find the file that was not used for longest.
    uses: u64,
}

/// An open file, closed when the last who holds it lets go.
pub(crate) struct OpenFile {
    disk: Arc<dyn Disk>,
    pub(crate) id: FileId,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.disk.close(self.id);
    }
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

impl OpenFile {
    pub(crate) fn open(disk: &Arc<dyn Disk>, name: &str) -> std::io::Result<OpenFile> {
        Ok(OpenFile { disk: Arc::clone(disk), id: disk.open(name)? })
    }
}

/// A segment kept from being freed.
#[derive(Debug)]
pub(crate) struct Pin {
    /// The segment asked for, or the cold one that has its messages now.
    pub(crate) segment: SegmentId,
    /// Where it ends; `None` while it is being written.
    pub(crate) end: Option<u32>,
    pub(crate) file: Arc<OpenFile>,
}

impl Files {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Arc<Self> {
        Arc::new(Files { disk, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// A segment is full and ends at `end`.
    pub(crate) fn add(&self, segment: SegmentId, end: u32) {
        let mut state = self.state();
        state.ends.insert(segment, end);
        if !segment.is_cold() {
            state.newest = state.newest.max(segment);
        }
    }

    /// The live messages of `sources` are in `target` now, a full segment.
    pub(crate) fn relocate(&self, target: SegmentId, end: u32, sources: impl Iterator<Item = SegmentId>) {
        self.add(target, end);
        let mut state = self.state();
        for source in sources {
            state.moved.insert(source, target);
        }
    }

    /// Opens a segment (or the one that has its messages now) and keeps it from being freed.
    pub(crate) fn pin(&self, segment: SegmentId) -> Result<Pin, ReadError> {
        let mut state = self.state();
        let mut segment = segment;
        while let Some(target) = state.moved.get(&segment) {
            segment = *target;
        }
        let end = state.ends.get(&segment).copied();
        if end.is_none() && (segment.is_cold() || segment <= state.newest) {
            return Err(ReadError::Gone);
        }
        state.uses += 1;
        let uses = state.uses;
        if let Some((file, used)) = state.open.get_mut(&segment) {
            *used = uses;
            return Ok(Pin { segment, end, file: Arc::clone(file) });
        }
        let opened = OpenFile::open(&self.disk, &segment_name(segment));
        let file = Arc::new(opened.map_err(|error| ReadError::Io(format!("segment {segment}: {error}")))?);
        state.make_room();
        state.open.insert(segment, (Arc::clone(&file), uses));
        Ok(Pin { segment, end, file })
    }

    /// No new reader finds the segment from now on. The file, if it is open: as long as others hold it too, somebody
    /// reads from it.
    pub(crate) fn retire(&self, segment: SegmentId) -> Option<Arc<OpenFile>> {
        let mut state = self.state();
        state.ends.remove(&segment);
        if !segment.is_cold() {
            state.newest = state.newest.max(segment);
        }
        state.open.remove(&segment).map(|(file, _)| file)
    }
}

impl State {
    /// Closes files nobody reads, the longest unused first, until one more may be opened.
    fn make_room(&mut self) {
        while self.open.len() >= OPEN_SEGMENTS_MAX {
            let idle = self.open.iter().filter(|(_, (file, _))| Arc::strong_count(file) == 1);
            let Some(oldest) = idle.min_by_key(|(_, (_, used))| *used).map(|(segment, _)| *segment) else {
                return;
            };
            self.open.remove(&oldest);
        }
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("full", &self.state().ends.len()).finish_non_exhaustive()
    }
}
