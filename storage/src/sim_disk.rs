//! A disk in memory that loses power on demand: what was not synced may vanish sector by sector, what was not
//! directory-synced may vanish by name, and faults are injected where a test asks for them.
//! For tests of this and other crates; nothing of the broker runs on it.
//!
//! A power cut is [`SimDisk::crash`]: it returns the disk as it is found afterwards and turns this one off for ever, so
//! that a thread left over from before the crash cannot write into the time after it. The death of the process alone is
//! [`SimDisk::kill`]: the page cache survives. Everything random follows the seed that is passed in.

mod image;

use crate::disk::{Allocate, Disk, FileId};
use image::Image;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a failed sync leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncFailure {
    /// The unsynced pages are dropped: reads show what the disk holds.
    PagesDropped,
    /// The unsynced pages stay visible but count as clean: reads show them, no later sync writes them (ext4).
    PagesLookClean,
    /// Nothing is lost; the next sync writes them.
    Retryable,
}

/// The simulated disk; clones are handles of the same one.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    image: Image,
    open: BTreeMap<u64, u64>,
    next_file: u64,
    faults: Faults,
    operations: Vec<String>,
    operation_count: u64,
    off: bool,
}

/// What is to go wrong.
#[derive(Debug, Default)]
struct Faults {
    capacity_bytes: Option<u64>,
    off_at: Option<u64>,
    sync: Option<(u64, SyncFailure)>,
    syncs_lie: bool,
    lose_write: Option<u64>,
    unreadable: Vec<(String, u64, u64)>,
}

/// Operations kept in the log; older ones are forgotten.
const OPERATIONS_KEPT: usize = 4096;

impl Default for SimDisk {
    fn default() -> Self {
        SimDisk::new()
    }
}

impl SimDisk {
    /// An empty disk without faults.
    pub fn new() -> SimDisk {
        SimDisk::of(Image::default())
    }

    fn of(image: Image) -> SimDisk {
        SimDisk { state: Arc::new(Mutex::new(State { image, ..State::default() })) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the power: returns the disk found afterwards. Of what was not synced, each 512-byte sector, each file length
    /// and each change of a name survives or not as `seed` decides. This disk answers errors from now on.
    #[must_use]
    pub fn crash(&self, seed: u64) -> SimDisk {
        let mut state = self.state();
        state.off = true;
        SimDisk::of(state.image.after_power_cut(seed))
    }

    /// What [`SimDisk::crash`] would return; this disk works on.
    #[must_use]
    pub fn crashed_copy(&self, seed: u64) -> SimDisk {
        SimDisk::of(self.state().image.after_power_cut(seed))
    }

    /// Ends the process but not the machine: the page cache survives, unsynced, and open files are closed. This disk
    /// answers errors from now on.
    #[must_use]
    pub fn kill(&self) -> SimDisk {
        let mut state = self.state();
        state.off = true;
        SimDisk::of(state.image.clone())
    }

    /// Turns the disk off at the `n`-th changing operation from now (1 = the next): that one takes effect in the cache
    /// but answers an error, later ones do nothing and answer errors.
    pub fn crash_at(&self, n: u64) {
        let mut state = self.state();
        state.faults.off_at = Some(state.operation_count + n);
    }

    /// Whether the disk is off: after [`SimDisk::crash`], [`SimDisk::kill`], or the operation named in `crash_at`.
    pub fn is_off(&self) -> bool {
        self.state().off
    }

    /// Changing operations so far: create, write, sync, directory sync, mkdir, rename, remove.
    pub fn operation_count(&self) -> u64 {
        self.state().operation_count
    }

    /// The last few thousand changing operations, one line each.
    pub fn operations(&self) -> Vec<String> {
        self.state().operations.clone()
    }

    /// Bytes all files together may take; writes that would grow a file beyond fail with ENOSPC.
    pub fn set_capacity_bytes(&self, capacity_bytes: Option<u64>) {
        self.state().faults.capacity_bytes = capacity_bytes;
    }

    /// Bytes all files take.
    pub fn used_bytes(&self) -> u64 {
        self.state().used_bytes()
    }

    /// Fails the `n`-th file sync from now (1 = the next) with EIO.
    pub fn fail_sync(&self, n: u64, how: SyncFailure) {
        self.state().faults.sync = Some((n, how));
    }

    /// While set, file syncs answer success and store nothing.
    pub fn lie_on_sync(&self, lie: bool) {
        self.state().faults.syncs_lie = lie;
    }

    /// The `n`-th write from now (1 = the next) is visible until the power cut and never reaches the disk.
    pub fn lose_write(&self, n: u64) {
        self.state().faults.lose_write = Some(n);
    }

    /// Reads that touch these bytes of `name` fail with EIO from now on.
    pub fn fail_reads(&self, name: &str, offset: u64, count: u64) {
        self.state().faults.unreadable.push((name.to_owned(), offset, offset.saturating_add(count)));
    }

    /// Ends [`SimDisk::fail_reads`].
    pub fn heal_reads(&self) {
        self.state().faults.unreadable.clear();
    }

    /// Flips one bit, in the cache and on the disk. Nothing happens beyond the end of the file.
    pub fn flip_bit(&self, name: &str, offset: u64, bit: u8) {
        if let Some(byte) = self.contents(name).and_then(|bytes| bytes.get(offset as usize).copied()) {
            self.corrupt(name, offset, &[byte ^ (1 << (bit & 7))]);
        }
    }

    /// Puts `bytes` at `offset`, in the cache and on the disk: a misdirected write, or old content come back.
    pub fn corrupt(&self, name: &str, offset: u64, bytes: &[u8]) {
        self.state().image.corrupt(name, offset, bytes);
    }

    /// Cuts a file to `len` bytes, in the cache and on the disk.
    pub fn truncate(&self, name: &str, len: u64) {
        self.state().image.truncate(name, len);
    }

    /// What a reader of `name` sees now.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        state.image.find(name).map(|inode| state.image.visible(inode).to_vec())
    }

    /// Every file there is now.
    pub fn names(&self) -> Vec<String> {
        self.state().image.names()
    }
}

impl State {
    /// Counts a changing operation; `Err` when the disk is off. `Ok(true)`: this one takes effect and then fails.
    fn begin(&mut self, operation: impl FnOnce() -> String) -> io::Result<bool> {
        if self.off {
            return Err(off());
        }
        self.operation_count += 1;
        if self.operations.len() >= OPERATIONS_KEPT {
            self.operations.drain(..OPERATIONS_KEPT / 2);
        }
        let line = format!("{} {}", self.operation_count, operation());
        self.operations.push(line);
        self.off = self.faults.off_at == Some(self.operation_count);
        Ok(self.off)
    }

    fn inode(&self, file: FileId) -> io::Result<u64> {
        if self.off {
            return Err(off());
        }
        let closed = || io::Error::new(io::ErrorKind::NotFound, "the file was closed");
        self.open.get(&file.0).copied().ok_or_else(closed)
    }

    fn keep(&mut self, inode: u64) -> FileId {
        self.next_file += 1;
        self.open.insert(self.next_file, inode);
        FileId(self.next_file)
    }

    fn used_bytes(&self) -> u64 {
        self.image.used_bytes(self.open.values().copied())
    }

    fn room_for(&self, growth: u64) -> io::Result<()> {
        match self.faults.capacity_bytes {
            Some(capacity) if self.used_bytes().saturating_add(growth) > capacity => {
                Err(io::Error::from(rustix::io::Errno::NOSPC))
            }
            _ => Ok(()),
        }
    }
}

fn off() -> io::Error {
    io::Error::other("the simulated disk is off")
}

fn eio() -> io::Error {
    io::Error::from(rustix::io::Errno::IO)
}

/// The result of an operation that took effect: an error when it was the last one.
fn done<T>(fails: bool, value: T) -> io::Result<T> {
    if fails { Err(off()) } else { Ok(value) }
}

/// Counts a fault down; `true` when this is the one.
fn counted(countdown: &mut Option<u64>) -> bool {
    match countdown {
        Some(1) => {
            *countdown = None;
            true
        }
        Some(n) => {
            *n = n.saturating_sub(1);
            false
        }
        None => false,
    }
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{name}: no such file"))
}

impl Disk for SimDisk {
    fn create(&self, name: &str, size: u64, how: Allocate) -> io::Result<FileId> {
        let mut state = self.state();
        let fails = state.begin(|| format!("create {name} {size} {how:?}"))?;
        if state.image.find(name).is_some() {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        let size = match how {
            Allocate::Zeroed => size,
            Allocate::Empty => 0,
        };
        state.room_for(size)?;
        let inode = state.image.create(name, size)?;
        let file = state.keep(inode);
        done(fails, file)
    }

    fn open(&self, name: &str) -> io::Result<FileId> {
        let mut state = self.state();
        if state.off {
            return Err(off());
        }
        let inode = state.image.find(name).ok_or_else(|| missing(name))?;
        Ok(state.keep(inode))
    }

    fn close(&self, file: FileId) {
        self.state().open.remove(&file.0);
    }

    fn len(&self, file: FileId) -> io::Result<u64> {
        let state = self.state();
        let inode = state.inode(file)?;
        Ok(state.image.visible(inode).len() as u64)
    }

    fn write_at(&self, file: FileId, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let inode = state.inode(file)?;
        let name = state.image.name_of(inode);
        let fails = state.begin(|| format!("write {name} {offset} +{}", bytes.len()))?;
        let growth = (offset + bytes.len() as u64).saturating_sub(state.image.visible(inode).len() as u64);
        state.room_for(growth)?;
        let lost = counted(&mut state.faults.lose_write);
        state.image.write(inode, offset, bytes, lost);
        done(fails, ())
    }

    fn read_at(&self, file: FileId, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let state = self.state();
        let inode = state.inode(file)?;
        let end = offset.saturating_add(bytes.len() as u64);
        if !state.faults.unreadable.is_empty() {
            let name = state.image.name_of(inode);
            let touches = |bad: &(String, u64, u64)| bad.0 == name && bad.1 < end && offset < bad.2;
            if state.faults.unreadable.iter().any(touches) {
                return Err(eio());
            }
        }
        let visible = state.image.visible(inode);
        let from = visible.get((offset as usize).min(visible.len())..).unwrap_or_default();
        let count = from.len().min(bytes.len());
        if let (Some(to), Some(from)) = (bytes.get_mut(..count), from.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn sync(&self, file: FileId) -> io::Result<()> {
        let mut state = self.state();
        let inode = state.inode(file)?;
        let name = state.image.name_of(inode);
        let fails = state.begin(|| format!("sync {name}"))?;
        let mut countdown = state.faults.sync.map(|(n, _)| n);
        if counted(&mut countdown)
            && let Some((_, how)) = state.faults.sync.take()
        {
            state.image.fail_sync(inode, how);
            return Err(eio());
        }
        state.faults.sync = state.faults.sync.and_then(|(_, how)| countdown.map(|n| (n, how)));
        // A sync cut short by the power cut has stored some sectors or none: the crash decides.
        if !state.faults.syncs_lie && !fails {
            state.image.sync(inode);
        }
        done(fails, ())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state();
        let fails = state.begin(|| format!("sync_dir {dir:?}"))?;
        if !state.image.has_dir(dir) {
            return Err(missing(dir));
        }
        if !fails {
            state.image.sync_dir(dir);
        }
        done(fails, ())
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state();
        let fails = state.begin(|| format!("create_dir {dir}"))?;
        state.image.create_dir(dir)?;
        done(fails, ())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let fails = state.begin(|| format!("rename {from} {to}"))?;
        state.image.rename(from, to)?;
        done(fails, ())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        let fails = state.begin(|| format!("remove {name}"))?;
        state.image.remove(name)?;
        done(fails, ())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>> {
        let state = self.state();
        if state.off {
            return Err(off());
        }
        if !state.image.has_dir(dir) {
            return Err(missing(dir));
        }
        Ok(state.image.list(dir))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state();
        if state.off {
            return Err(off());
        }
        Ok(state
            .faults
            .capacity_bytes
            .map_or(u64::MAX >> 1, |capacity| capacity.saturating_sub(state.used_bytes())))
    }
}

#[cfg(test)]
mod tests;
