//! A simulated disk that takes pictures of itself: after chosen operations, in the middle of whatever the store is doing,
//! it notes what a power cut at that moment would leave and what the store had confirmed by then.

use super::Random;
use ledgermq_storage::{Allocate, Disk, FileId, Lsn, SimDisk, Wal};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a power cut would have left.
pub(crate) struct Picture {
    pub(crate) disk: SimDisk,
    /// Everything below must be found.
    pub(crate) must_hold: Lsn,
    /// Everything below is found even if the power is cut during the recovery.
    pub(crate) synced: Lsn,
    /// The operation after which it was taken.
    pub(crate) operation: String,
}

/// See the file's head.
#[derive(Clone)]
pub(crate) struct Probe {
    pub(crate) disk: SimDisk,
    state: Arc<Mutex<State>>,
}

struct State {
    random: Random,
    once_in: u64,
    wal: Option<Wal>,
    pictures: Vec<Picture>,
}

impl Probe {
    /// Takes a picture after one in `once_in` operations; 0 = never.
    pub(crate) fn new(disk: SimDisk, seed: u64, once_in: u64) -> Probe {
        let state = State { random: Random(seed), once_in, wal: None, pictures: Vec::new() };
        Probe { disk, state: Arc::new(Mutex::new(state)) }
    }

    /// Whose confirmations count.
    pub(crate) fn follow(&self, wal: Wal) {
        self.state().wal = Some(wal);
    }

    pub(crate) fn take_pictures(&self) -> Vec<Picture> {
        std::mem::take(&mut self.state().pictures)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn after<T>(&self, result: io::Result<T>) -> io::Result<T> {
        self.picture();
        result
    }

    fn picture(&self) {
        let mut state = self.state();
        let once_in = state.once_in;
        if once_in != 0 && !self.disk.is_off() && state.random.once_in(once_in) {
            let seed = state.random.next();
            let durable = state.wal.as_ref().map_or(Lsn::NONE, Wal::durable);
            let operation = self.disk.operations().last().cloned().unwrap_or_default();
            let disk = self.disk.crashed_copy(seed);
            let picture = Picture { disk, must_hold: durable, synced: durable, operation };
            state.pictures.push(picture);
        }
    }
}

impl Disk for Probe {
    fn create(&self, name: &str, size: u64, how: Allocate) -> io::Result<FileId> {
        self.after(self.disk.create(name, size, how))
    }

    fn open(&self, name: &str) -> io::Result<FileId> {
        self.disk.open(name)
    }

    fn close(&self, file: FileId) {
        self.disk.close(file);
    }

    fn len(&self, file: FileId) -> io::Result<u64> {
        self.disk.len(file)
    }

    fn write_at(&self, file: FileId, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.after(self.disk.write_at(file, offset, bytes))
    }

    fn read_at(&self, file: FileId, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.disk.read_at(file, offset, bytes)
    }

    fn sync(&self, file: FileId) -> io::Result<()> {
        // Also just before: what is confirmed then must not need this sync.
        self.picture();
        self.after(self.disk.sync(file))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.picture();
        self.after(self.disk.sync_dir(dir))
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.after(self.disk.create_dir(dir))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.after(self.disk.rename(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.after(self.disk.remove(name))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>> {
        self.disk.list(dir)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }
}
