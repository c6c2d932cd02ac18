//! The preparer: keeps the next segment ready, so that rolling over is one write and one sync, and a reserve for the
//! day the disk is full. A segment is prepared by reusing an emptied one, or by writing zeros under another name; it
//! gets its final name, made durable, before anybody writes to it. Watches free space and raises the disk alarm.
//!
//! Zeros are written in small pieces, each on its way to the disk before the next, with pauses: a sync of the log waits for
//! whatever the disk is busy with, and 64 MiB at once are 50 to 100 ms. A log that is faster than that gets the rest of
//! its next segment as blocks that are only reserved: its syncs cost more until they are written for the first time, but
//! nothing is written twice, and it does not wait.
//!
//! Invariant: a file with the name of a segment has its full size on disk. What it holds before its header is written
//! (zeros, or frames of an earlier incarnation) can never pass for frames of the new one: ids and salts differ.

use crate::disk::{Allocate, Disk, FileId};
use crate::error::is_no_space;
use crate::ids::SegmentId;
use crate::limits::{
    DISK_CHECK_MS, DISK_CLEAR_BYTES_MAX, FILL_PAUSE_MS, FILL_PIECE_BYTES, RECYCLED_SEGMENTS_MAX,
};
use crate::segment::{WAL_DIR, segment_name};
use crate::wal::Shared;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::{info, warn};

/// A segment in the making.
pub(crate) const PREPARE_NAME: &str = "wal/prepare.tmp";
/// The emergency spare: for settles, deletes and definitions when there is no space for another segment.
pub(crate) const RESERVE_NAME: &str = "wal/reserve.seg";

/// See the file's head.
pub(crate) struct Preparer {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    segment_bytes: u32,
    disk_low_bytes: AtomicU64,
    no_directory_sync: bool,
    state: Mutex<State>,
    /// Wakes the preparer's thread.
    changed: Condvar,
}

/// What is there and what is wanted.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state machine")]
struct State {
    /// The segment to be prepared, or prepared.
    next: SegmentId,
    /// Its file, once prepared.
    ready: Option<FileId>,
    /// Emptied segments, still under their old names.
    recycled: VecDeque<SegmentId>,
    /// Emptied segments that are not worth keeping.
    doomed: Vec<SegmentId>,
    reserve: bool,
    /// The new file that is being filled with zeros.
    filling: Option<Filling>,
    /// The first segment of this run is in use.
    opened: bool,
    /// The commit thread waits for `next`.
    wanted: bool,
    /// The last attempt to create a file met a full disk.
    full: bool,
    checked_ms: Option<u64>,
    /// Something was asked since the thread last looked.
    asked: bool,
    closing: bool,
}

/// A file under the temporary name, on its way to full size.
#[derive(Clone, Copy, Debug)]
struct Filling {
    file: FileId,
    /// Bytes of zeros written.
    filled: u64,
}

/// What recovery found of the preparer's files.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Leftovers {
    /// A file of the right size stands under the name of the next segment.
    pub(crate) spare: bool,
    /// The reserve is there.
    pub(crate) reserve: bool,
}

impl Preparer {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        shared: Arc<Shared>,
        options: &crate::Options,
        next: SegmentId,
        leftovers: Leftovers,
    ) -> io::Result<Self> {
        let ready = if leftovers.spare { Some(disk.open(&segment_name(next))?) } else { None };
        shared.set_spare_ready(ready.is_some());
        let state = State {
            next,
            ready,
            recycled: VecDeque::new(),
            doomed: Vec::new(),
            reserve: leftovers.reserve,
            filling: None,
            opened: false,
            wanted: false,
            full: false,
            checked_ms: None,
            asked: false,
            closing: false,
        };
        Ok(Preparer {
            disk,
            shared,
            segment_bytes: options.segment_bytes,
            disk_low_bytes: AtomicU64::new(options.disk_low_bytes),
            no_directory_sync: options.planted().no_directory_sync,
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file of `segment` if it is prepared; then the one behind it is next. Otherwise it is prepared as soon as
    /// can be, from the reserve if nothing else helps, and the commit thread is woken.
    pub(crate) fn take(&self, segment: SegmentId) -> Option<FileId> {
        let mut state = self.state();
        assert!(state.next == segment, "segments are opened one after another");
        let taken = state.ready.take();
        match taken {
            Some(_) => {
                state.next = SegmentId(segment.0 + 1);
                state.opened = true;
                state.wanted = false;
            }
            None => state.wanted = true,
        }
        state.asked = true;
        drop(state);
        if taken.is_some() {
            self.shared.set_spare_ready(false);
        }
        self.changed.notify_one();
        taken
    }

    /// Takes a segment that holds nothing alive and that nobody reads any more: its file is used again or removed. The
    /// checkpoint that lets it go is durable.
    pub(crate) fn retire(&self, segment: SegmentId) {
        let reusable = !segment.is_cold() && self.may_be_written_over(segment);
        let mut state = self.state();
        if reusable && state.recycled.len() < RECYCLED_SEGMENTS_MAX {
            state.recycled.push_back(segment);
        } else {
            state.doomed.push(segment);
        }
        state.asked = true;
        drop(state);
        self.changed.notify_one();
    }

    /// Whether its file has the full size, and is not somebody's backup by a hard link.
    fn may_be_written_over(&self, segment: SegmentId) -> bool {
        let name = segment_name(segment);
        let Ok(file) = self.disk.open(&name) else { return false };
        let len = self.disk.len(file);
        self.disk.close(file);
        len.is_ok_and(|len| len == u64::from(self.segment_bytes))
            && self.disk.is_only_name(&name).unwrap_or(false)
    }

    /// Does one piece of work, if there is one. `Ok(false)`: nothing to do for now. A new segment takes many pieces.
    ///
    /// # Errors
    /// Of the disk, a full one excepted: the segment's fate is unknown, the process must stop.
    pub(crate) fn work(&self, now_ms: u64) -> io::Result<bool> {
        self.check_space(now_ms);
        if let Some(doomed) = self.next_doomed() {
            remove_if_there(&*self.disk, &segment_name(doomed))?;
            return Ok(true);
        }
        let (next, needs_spare, recycled, needs_reserve) = {
            let mut state = self.state();
            let needs_spare = state.ready.is_none();
            let recycled = if needs_spare || !state.reserve { state.recycled.pop_front() } else { None };
            (state.next, needs_spare, recycled, !state.reserve)
        };
        let done = match (needs_spare, recycled) {
            (true, Some(old)) => self.make_spare(next, &segment_name(old)),
            (true, None) => self.make_new_spare(next),
            (false, Some(old)) => self.make_reserve(Some(old)),
            (false, None) if needs_reserve => self.make_reserve(None),
            (false, None) => Ok(false),
        };
        match done {
            Err(error) if is_no_space(&error) => {
                self.met_full_disk();
                Ok(false)
            }
            done => done,
        }
    }

    fn next_doomed(&self) -> Option<SegmentId> {
        self.state().doomed.pop()
    }

    /// Gives the file `from`, which has its full size on disk, the name of the next segment.
    fn make_spare(&self, next: SegmentId, from: &str) -> io::Result<bool> {
        let name = segment_name(next);
        self.disk.rename(from, &name)?;
        if !self.no_directory_sync {
            self.disk.sync_dir(WAL_DIR)?;
        }
        let file = self.disk.open(&name)?;
        let mut state = self.state();
        state.ready = Some(file);
        state.full = false;
        drop(state);
        self.shared.set_spare_ready(true);
        Ok(true)
    }

    /// Creates the next segment; takes the reserve instead if the commit thread waits and there is no space.
    fn make_new_spare(&self, next: SegmentId) -> io::Result<bool> {
        let (wanted, reserve, full) = {
            let state = self.state();
            (state.wanted, state.reserve, state.full)
        };
        let low = self.shared.is_low_on_disk();
        if low && !wanted {
            return Ok(false);
        }
        if low && reserve {
            return self.use_reserve(next);
        }
        // A full disk is tried again when the space is looked at again, not in a circle.
        if full {
            return Ok(false);
        }
        match self.fill() {
            Ok(false) => Ok(true),
            Ok(true) => self.make_spare(next, PREPARE_NAME),
            Err(error) if is_no_space(&error) && wanted && reserve => {
                self.met_full_disk();
                self.use_reserve(next)
            }
            Err(error) => Err(error),
        }
    }

    fn use_reserve(&self, next: SegmentId) -> io::Result<bool> {
        warn!(segment = %next, "no space for another segment: the reserve is put to use");
        self.state().reserve = false;
        self.make_spare(next, RESERVE_NAME)
    }

    fn make_reserve(&self, recycled: Option<SegmentId>) -> io::Result<bool> {
        match recycled {
            Some(old) => self.disk.rename(&segment_name(old), RESERVE_NAME)?,
            None if self.shared.is_low_on_disk() || self.state().full => return Ok(false),
            None => {
                if !self.fill()? {
                    return Ok(true);
                }
                self.disk.rename(PREPARE_NAME, RESERVE_NAME)?;
            }
        }
        self.disk.sync_dir(WAL_DIR)?;
        self.state().reserve = true;
        Ok(true)
    }

    /// Makes the next piece of a file under the temporary name. `true`: it has its full size, synced.
    fn fill(&self) -> io::Result<bool> {
        let filled = self.fill_piece();
        if filled.as_ref().is_err_and(is_no_space) {
            // The half-made file would only take the space that just ran out.
            let filling = self.state().filling.take();
            if let Some(Filling { file, .. }) = filling {
                self.disk.close(file);
            }
            remove_if_there(&*self.disk, PREPARE_NAME)?;
        }
        filled
    }

    fn fill_piece(&self) -> io::Result<bool> {
        let begun = self.state().filling;
        let Filling { file, filled } = match begun {
            Some(filling) => filling,
            None => {
                remove_if_there(&*self.disk, PREPARE_NAME)?;
                Filling { file: self.disk.create(PREPARE_NAME, 0, Allocate::Empty)?, filled: 0 }
            }
        };
        let rest = u64::from(self.segment_bytes) - filled;
        let hurries = self.is_behind(filled);
        let piece = if hurries { rest } else { FILL_PIECE_BYTES.min(rest) };
        self.state().filling = Some(Filling { file, filled: filled + piece });
        if hurries {
            self.disk.reserve(file, filled, piece)?;
        } else {
            self.disk.write_zeros(file, filled, piece)?;
        }
        if piece < rest {
            return Ok(false);
        }
        self.disk.sync(file)?;
        self.disk.close(file);
        self.state().filling = None;
        Ok(true)
    }

    /// Whether a file filled so far is late: the commit thread waits for it, or the segment in use is filled more than
    /// half as far. Not before the first segment is in use: until then nobody counts the time.
    fn is_behind(&self, filled: u64) -> bool {
        let state = self.state();
        let written = self.shared.written();
        let used = if written.segment().0 + 1 == state.next.0 { u64::from(written.offset()) } else { 0 };
        state.opened && state.ready.is_none() && (state.wanted || filled < 2 * used)
    }

    fn met_full_disk(&self) {
        self.state().full = true;
        if self.shared.set_low_on_disk(true) {
            warn!("disk full: publishers are stopped");
            self.shared.tell();
        }
    }

    /// Looks at the free space once a second; sets and clears the alarm.
    fn check_space(&self, now_ms: u64) {
        let mut state = self.state();
        let due = state.checked_ms.is_none_or(|last| now_ms < last || now_ms - last >= DISK_CHECK_MS);
        if !due {
            return;
        }
        state.checked_ms = Some(now_ms);
        drop(state);
        let free = match self.disk.free_bytes() {
            Ok(free) => free,
            Err(error) => {
                warn!(%error, "free disk space is unknown: the alarm stays as it is");
                return;
            }
        };
        // More than the limit must be free before publishers go on, lest they stop and go every second.
        let low_bytes = self.disk_low_bytes.load(Ordering::Relaxed);
        let enough = low_bytes.saturating_add((low_bytes / 4).min(DISK_CLEAR_BYTES_MAX));
        let room = free >= u64::from(self.segment_bytes) * 2;
        self.state().full &= !room;
        let recovered = free >= enough && room;
        let low = free < low_bytes || (self.shared.is_low_on_disk() && !recovered);
        if self.shared.set_low_on_disk(low) {
            if low {
                warn!(free_bytes = free, "disk space is low: publishers are stopped");
            } else {
                info!(free_bytes = free, "disk space is back: publishers go on");
            }
            self.shared.tell();
        }
    }

    /// The preparer's thread: works, sleeps until asked or for a second, ends when the store closes.
    pub(crate) fn run(&self, monotonic_ms: &dyn Fn() -> u64) {
        loop {
            match self.work(monotonic_ms()) {
                Ok(true) => {
                    if self.pause_between_pieces() {
                        return;
                    }
                    continue;
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%error, "preparing a segment failed");
                    self.shared.poison();
                    self.shared.wake();
                    self.shared.tell();
                    return;
                }
            }
            let mut state = self.state();
            if !state.closing && !std::mem::take(&mut state.asked) {
                let slept = self.changed.wait_timeout(state, Duration::from_millis(DISK_CHECK_MS));
                state = slept.unwrap_or_else(PoisonError::into_inner).0;
            }
            if state.closing {
                return;
            }
        }
    }

    /// Lets the log go first while a file is being filled. `true`: the store closes.
    fn pause_between_pieces(&self) -> bool {
        let filling = self.state().filling;
        let waits = filling.is_some_and(|filling| !self.is_behind(filling.filled));
        let state = self.state();
        if state.closing || !waits {
            return state.closing;
        }
        let slept = self.changed.wait_timeout(state, Duration::from_millis(FILL_PAUSE_MS));
        slept.unwrap_or_else(PoisonError::into_inner).0.closing
    }

    /// Moves the limit of free space. It is looked at without waiting for the next second.
    pub(crate) fn set_disk_low_bytes(&self, bytes: u64) {
        self.disk_low_bytes.store(bytes, Ordering::Relaxed);
        let mut state = self.state();
        state.checked_ms = None;
        state.asked = true;
        drop(state);
        self.changed.notify_one();
    }

    /// Ends the thread.
    pub(crate) fn close(&self) {
        self.state().closing = true;
        self.changed.notify_one();
    }
}

/// Removes a file that may be missing.
pub(crate) fn remove_if_there(disk: &dyn Disk, name: &str) -> io::Result<()> {
    match disk.remove(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
