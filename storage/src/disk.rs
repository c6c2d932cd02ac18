//! The disk as the store sees it: a flat set of named files in one directory tree, each read and
//! written at explicit offsets and synced by hand. Two implementations: [`RealDisk`] here and the
//! simulated one in `sim_disk`, which loses power on demand.
//! Names are paths relative to the data directory, made by this crate only (`wal/0000000000000001.seg`); the empty name
//! is the data directory itself.

use crate::durations::Durations;
use crate::observer::{Observer, Work};
use crate::sync_times::SyncClock;
use rustix::fs::{Advice, FallocateFlags};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// An open file of a [`Disk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId(pub u64);

/// How the space of a new file is obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocate {
    /// Write zeros: slow once, then every overwrite is cheap and cannot fail for want of space.
    Zeroed,
    /// Empty, grows as written. For exports and other files that are written once.
    Empty,
}

/// What the store asks of a disk. Every call may block. All methods take `&self`: files are shared by threads.
pub trait Disk: Send + Sync + 'static {
    /// Creates `name` with `size` bytes. Fails if it exists. Not durable before [`Disk::sync_dir`] (and [`Disk::sync`]).
    fn create(&self, name: &str, size: u64, how: Allocate) -> io::Result<FileId>;
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<FileId>;
    /// Closes it; further use of the id is an error.
    fn close(&self, file: FileId);
    /// Length in bytes.
    fn len(&self, file: FileId) -> io::Result<u64>;
    /// Writes all of `bytes` at `offset` (loops over short writes and EINTR).
    fn write_at(&self, file: FileId, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Writes `count` zeros at `offset` and sends them on their way to the disk, so that a sync later has little left to
    /// wait for.
    fn write_zeros(&self, file: FileId, offset: u64, count: u64) -> io::Result<()> {
        for_pieces(count, |at, zeros| self.write_at(file, offset + at, zeros))
    }
    /// Gives the file `count` bytes more at `offset`, its end: they read as zeros, and writing them cannot fail for want of
    /// space. Quicker than zeros, but the first sync of what is written there takes longer.
    fn reserve(&self, file: FileId, offset: u64, count: u64) -> io::Result<()> {
        self.write_zeros(file, offset, count)
    }
    /// Reads up to `bytes.len()` bytes at `offset`; fewer only at the end of the file.
    fn read_at(&self, file: FileId, offset: u64, bytes: &mut [u8]) -> io::Result<usize>;
    /// fdatasync. After an error nothing is known of what was written since the last success.
    fn sync(&self, file: FileId) -> io::Result<()>;
    /// How long [`Disk::sync`] took since this value was made; a simulated disk takes no time.
    fn sync_times(&self) -> Durations {
        Durations::default()
    }
    /// fsync of a directory: makes create, rename and unlink in it durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// Creates a directory (parents exist); no error if it is there.
    fn create_dir(&self, dir: &str) -> io::Result<()>;
    /// Renames within the data directory, replacing the target.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Removes a directory with all it holds; for the index database, which makes files of its own.
    fn remove_tree(&self, dir: &str) -> io::Result<()> {
        let _ = dir;
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
    /// Names (without directory) and sizes of the files in `dir`, sorted by name.
    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>>;
    /// Bytes free for this user.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Whether the file has no other name. One that has, a hard link made as a backup, must not be written over.
    fn is_only_name(&self, name: &str) -> io::Result<bool> {
        let _ = name;
        Ok(true)
    }
    /// The path of `name` where the files are those of a real file system that may be written to; the index database
    /// exists only there.
    fn local_path(&self, name: &str) -> Option<PathBuf> {
        let _ = name;
        None
    }
}

/// A directory of a local file system, used by one process. Files are created 0600, directories 0700.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    access: Access,
    files: RwLock<HashMap<u64, Arc<File>>>,
    next_file: AtomicU64,
    sync_clock: SyncClock,
    /// How long a sync is slow, and who is told of one.
    slow_syncs: Option<(Duration, Observer)>,
}

/// Whether files are opened for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    ReadWrite,
    ReadOnly,
}

impl RealDisk {
    /// Opens the data directory for reading and writing, creating it (0700, parent synced) if it is missing.
    /// Refused with `PermissionDenied`: a symbolic link in place of the directory, and a directory of another user, since
    /// both let somebody else decide where the messages go.
    pub fn open(root: &Path) -> io::Result<RealDisk> {
        match fs::symlink_metadata(root) {
            Ok(metadata) => check_directory(root, &metadata)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::DirBuilder::new().mode(DIRECTORY_MODE).create(root)?;
                if let Some(parent) = root.parent() {
                    sync_directory(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
                }
            }
            Err(error) => return Err(error),
        }
        Ok(RealDisk::with_access(root, Access::ReadWrite))
    }

    /// Opens an existing data directory for reading: everything that would change it fails with `PermissionDenied`.
    pub fn open_read_only(root: &Path) -> io::Result<RealDisk> {
        let metadata = fs::metadata(root)?;
        if !metadata.is_dir() {
            return Err(refused(root, "is not a directory"));
        }
        Ok(RealDisk::with_access(root, Access::ReadOnly))
    }

    fn with_access(root: &Path, access: Access) -> RealDisk {
        RealDisk {
            root: root.to_owned(),
            access,
            files: RwLock::default(),
            next_file: AtomicU64::new(1),
            sync_clock: SyncClock::default(),
            slow_syncs: None,
        }
    }

    /// Tells `observer` of each [`Disk::sync`] that takes as long as `slow`, or longer.
    pub fn tell_slow_syncs(&mut self, slow: Duration, observer: Observer) {
        self.slow_syncs = Some((slow, observer));
    }

    /// The data directory, for what needs a path of its own (the index database, the lock file).
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.root.clone() } else { self.root.join(name) }
    }

    fn file(&self, file: FileId) -> io::Result<Arc<File>> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files
            .get(&file.0)
            .cloned()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the file was closed"))
    }

    fn keep(&self, file: File) -> FileId {
        let id = self.next_file.fetch_add(1, Ordering::Relaxed);
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        files.insert(id, Arc::new(file));
        FileId(id)
    }

    fn may_write(&self) -> io::Result<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(refused(&self.root, "is open for reading only")),
        }
    }
}

impl Disk for RealDisk {
    fn create(&self, name: &str, size: u64, how: Allocate) -> io::Result<FileId> {
        self.may_write()?;
        let path = self.path(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(&path)?;
        let filled = match how {
            Allocate::Zeroed => for_pieces(size, |at, zeros| file.write_all_at(zeros, at)),
            Allocate::Empty => Ok(()),
        };
        if let Err(error) = filled {
            // The half-made file would only take the space that just ran out.
            drop(file);
            drop(fs::remove_file(&path));
            return Err(error);
        }
        Ok(self.keep(file))
    }

    fn open(&self, name: &str) -> io::Result<FileId> {
        let writable = self.access == Access::ReadWrite;
        let file = OpenOptions::new().read(true).write(writable).open(self.path(name))?;
        Ok(self.keep(file))
    }

    fn close(&self, file: FileId) {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        files.remove(&file.0);
    }

    fn len(&self, file: FileId) -> io::Result<u64> {
        Ok(self.file(file)?.metadata()?.len())
    }

    fn write_at(&self, file: FileId, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(file)?.write_all_at(bytes, offset)
    }

    fn write_zeros(&self, file: FileId, offset: u64, count: u64) -> io::Result<()> {
        let file = self.file(file)?;
        for_pieces(count, |at, zeros| file.write_all_at(zeros, offset + at))?;
        // On Linux this begins to write the pages back and drops only those that are clean. A file system that does not
        // know the call writes them when it syncs.
        let _ = rustix::fs::fadvise(&*file, offset, NonZeroU64::new(count), Advice::DontNeed);
        Ok(())
    }

    fn reserve(&self, file: FileId, offset: u64, count: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&*self.file(file)?, FallocateFlags::empty(), offset, count) {
            // Some file systems cannot.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.write_zeros(file, offset, count),
            result => Ok(result?),
        }
    }

    fn read_at(&self, file: FileId, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let file = self.file(file)?;
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn sync(&self, file: FileId) -> io::Result<()> {
        let file = self.file(file)?;
        let took = self.sync_clock.time(|| file.sync_data())?;
        if let Some((slow, observer)) = &self.slow_syncs
            && took >= *slow
        {
            observer.tell(Work::SlowSync(took));
        }
        Ok(())
    }

    fn sync_times(&self) -> Durations {
        self.sync_clock.times()
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        sync_directory(&self.path(dir))
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.may_write()?;
        match fs::DirBuilder::new().mode(DIRECTORY_MODE).create(self.path(dir)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.may_write()?;
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.may_write()?;
        fs::remove_file(self.path(name))
    }

    fn remove_tree(&self, dir: &str) -> io::Result<()> {
        self.may_write()?;
        fs::remove_dir_all(self.path(dir))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path(dir))? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            // A name that is not UTF-8 is none of ours: this crate makes every name.
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                names.push((name, metadata.len()));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let space = rustix::fs::statvfs(&self.root)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }

    fn is_only_name(&self, name: &str) -> io::Result<bool> {
        Ok(fs::metadata(self.path(name))?.nlink() == 1)
    }

    fn local_path(&self, name: &str) -> Option<PathBuf> {
        // The database writes as soon as it is opened.
        (self.access == Access::ReadWrite).then(|| self.path(name))
    }
}

const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
static ZEROS: [u8; 1 << 18] = [0; 1 << 18];

fn check_directory(root: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.is_symlink() {
        return Err(refused(root, "is a symbolic link; name the directory itself"));
    }
    if !metadata.is_dir() {
        return Err(refused(root, "is not a directory"));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(refused(root, "belongs to another user"));
    }
    Ok(())
}

fn refused(root: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, format!("data directory {} {why}", root.display()))
}

/// Calls `write` with pieces of zeros, each with its place, until they come to `count` bytes.
fn for_pieces(count: u64, mut write: impl FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut at = 0;
    while at < count {
        let bytes = (count - at).min(ZEROS.len() as u64);
        write(at, ZEROS.get(..bytes as usize).unwrap_or_default())?;
        at += bytes;
    }
    Ok(())
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn disk() -> (tempfile::TempDir, RealDisk) {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(&dir.path().join("data")).unwrap();
        (dir, disk)
    }

    #[test]
    fn a_zeroed_file_has_its_size_and_reads_as_written() {
        let (_dir, disk) = disk();
        disk.create_dir("wal").unwrap();
        disk.create_dir("wal").unwrap();
        let size = ZEROS.len() as u64 + 5;
        let file = disk.create("wal/a.seg", size, Allocate::Zeroed).unwrap();
        assert_eq!(disk.len(file).unwrap(), size);
        disk.write_at(file, 3, b"hello").unwrap();
        disk.sync(file).unwrap();
        disk.sync_dir("wal").unwrap();
        let mut bytes = [9; 10];
        assert_eq!(disk.read_at(file, 0, &mut bytes).unwrap(), 10);
        assert_eq!(&bytes, b"\0\0\0hello\0\0");
        assert_eq!(disk.read_at(file, size - 2, &mut bytes).unwrap(), 2, "reads stop at the end");
        assert!(disk.create("wal/a.seg", 0, Allocate::Empty).is_err(), "create never replaces");
        disk.rename("wal/a.seg", "wal/b.seg").unwrap();
        assert_eq!(disk.list("wal").unwrap(), vec![("b.seg".to_owned(), size)]);
        disk.close(file);
        assert!(disk.len(file).is_err());
        disk.remove("wal/b.seg").unwrap();
        assert!(disk.open("wal/b.seg").is_err());
        assert!(disk.free_bytes().unwrap() > 0);
    }

    #[test]
    fn a_file_grows_by_zeros_and_by_reserved_bytes() {
        let (_dir, disk) = disk();
        let file = disk.create("a", 0, Allocate::Empty).unwrap();
        disk.write_zeros(file, 0, 4096).unwrap();
        disk.reserve(file, 4096, 8192).unwrap();
        assert_eq!(disk.len(file).unwrap(), 3 * 4096);
        let mut bytes = vec![9; 3 * 4096];
        assert_eq!(disk.read_at(file, 0, &mut bytes).unwrap(), bytes.len());
        assert!(bytes.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn files_are_private() {
        let (_dir, disk) = disk();
        disk.create("STORE", 1, Allocate::Zeroed).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(disk.root()), 0o700);
        assert_eq!(mode(&disk.root().join("STORE")), 0o600);
    }

    #[test]
    fn a_symbolic_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("real"), dir.path().join("link")).unwrap();
        assert!(RealDisk::open(&dir.path().join("link")).is_err());
        assert!(RealDisk::open(&dir.path().join("real")).is_ok());
    }

    #[test]
    fn read_only_changes_nothing() {
        let (_dir, disk) = disk();
        disk.create("STORE", 1, Allocate::Zeroed).unwrap();
        let reader = RealDisk::open_read_only(disk.root()).unwrap();
        assert!(reader.create("x", 0, Allocate::Empty).is_err());
        assert!(reader.remove("STORE").is_err());
        assert!(reader.rename("STORE", "x").is_err());
        assert!(reader.create_dir("wal").is_err());
        let file = reader.open("STORE").unwrap();
        assert!(reader.write_at(file, 0, b"x").is_err());
        assert_eq!(reader.read_at(file, 0, &mut [0; 4]).unwrap(), 1);
    }

    #[test]
    fn slow_syncs_are_told_and_others_are_not() {
        for (slow, expected) in [(Duration::ZERO, 1), (Duration::MAX, 0)] {
            let dir = tempfile::tempdir().unwrap();
            let mut disk = RealDisk::open(&dir.path().join("data")).unwrap();
            let told = Arc::new(AtomicU64::new(0));
            let count = Arc::clone(&told);
            let observer = Observer::new(move |work| {
                assert!(matches!(work, Work::SlowSync(_)), "{work:?}");
                count.fetch_add(1, Ordering::Relaxed);
            });
            disk.tell_slow_syncs(slow, observer);
            let file = disk.create("a", 1, Allocate::Zeroed).unwrap();
            disk.sync(file).unwrap();
            assert_eq!(told.load(Ordering::Relaxed), expected);
            assert_eq!(disk.sync_times().count(), 1, "it is counted in any case");
        }
    }
}
