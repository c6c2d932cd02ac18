//! The lock on a data directory: one process at a time. An advisory lock on `<data>/LOCK`, which the system lets go
//! when the process dies, however it dies; the file holds the process id for the error message of the second one.

use crate::error::OpenError;
use crate::limits::{DYING_HOLDER_MS, DYING_HOLDER_POLL_MS};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// Name of the lock file within the data directory.
pub const LOCK_NAME: &str = "LOCK";

/// Held as long as the store is open; dropping it lets the directory go.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Locks the data directory, which exists.
    ///
    /// # Errors
    /// [`OpenError::Locked`] if another process (or another store of this one) has it, [`OpenError::Io`] otherwise.
    pub fn acquire(dir: &Path) -> Result<DirLock, OpenError> {
        let locking = || OpenError::io(format!("locking {}", dir.display()));
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join(LOCK_NAME))
            .map_err(locking())?;
        let mut patience_ms = DYING_HOLDER_MS;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {
                    let pid = read_pid(&mut file);
                    if patience_ms == 0 || !pid.is_some_and(is_dying) {
                        return Err(OpenError::Locked { path: dir.display().to_string(), pid });
                    }
                    patience_ms -= DYING_HOLDER_POLL_MS;
                    sleep(Duration::from_millis(DYING_HOLDER_POLL_MS));
                }
                Err(TryLockError::Error(error)) => return Err(locking()(error)),
            }
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        // On a full disk the number is missing from an error message; the lock holds all the same.
        if let Err(error) = written {
            tracing::warn!(%error, "the process id could not be written to the lock file");
        }
        Ok(DirLock { _file: file })
    }
}

/// Whether a process has been killed and is about to let go of what it holds: giving much memory back takes the system
/// a while, and only then are files closed. Such a process has no memory any more. Source: proc(5), `VmSize`.
fn is_dying(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/status")) {
        Ok(status) => !status.contains("\nVmSize:"),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_and_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DirLock::acquire(dir.path()).unwrap();
        let Err(error) = DirLock::acquire(dir.path()) else { panic!("locked twice") };
        assert!(matches!(&error, OpenError::Locked { pid, .. } if *pid == Some(std::process::id())));
        let text = error.to_string();
        assert!(text.contains("in use by another process") && text.contains("pid"), "{text}");
        drop(lock);
        DirLock::acquire(dir.path()).unwrap();
    }

    #[test]
    fn a_process_that_ended_is_dying_and_one_that_runs_is_not() {
        assert!(!is_dying(std::process::id()));
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        // Nobody waits for it, so that the system keeps what is left of it.
        drop(child.stdin.take());
        while !is_dying(child.id()) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_dying(child.id()));
    }

    #[test]
    fn a_missing_directory_is_an_error_of_the_system() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(DirLock::acquire(&dir.path().join("x")), Err(OpenError::Io { .. })));
    }
}
