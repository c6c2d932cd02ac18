//! The data directory before anything is in it: made if it is not there, and refused if others could reach into it. And
//! what the process may leave behind elsewhere: nothing that others can read.

use super::error::ServeError;
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// Only the broker's user.
const MODE: u32 = 0o700;

/// Closes all files to others that this process or a library of it will make, whatever mode is asked for, and has a crash
/// leave no core file: messages and passwords would be in it. Who needs one raises the limit of the running process.
pub(super) fn leave_nothing_for_others() -> Result<(), ServeError> {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let none = Rlimit { current: Some(0), ..rustix::process::getrlimit(Resource::Core) };
    rustix::process::setrlimit(Resource::Core, none)
        .map_err(std::io::Error::from)
        .map_err(ServeError::io("forbidding core files"))
}

/// Makes sure that `dir` is a directory of ours that nobody else can enter.
pub(super) fn prepare(dir: &Path) -> Result<(), ServeError> {
    let doing = |what: &str| ServeError::io(format!("{what} the data directory {}", dir.display()));
    let refuse = |why: &str| Err(ServeError::Io(format!("the data directory {} {why}", dir.display())));
    fs::DirBuilder::new().recursive(true).mode(MODE).create(dir).map_err(doing("creating"))?;
    let found = fs::symlink_metadata(dir).map_err(doing("looking at"))?;
    if found.file_type().is_symlink() {
        return refuse("is a symbolic link; name the directory itself");
    }
    // Files we make are ours; the directory must be, too.
    let ours = fs::metadata("/proc/self").map_err(doing("looking at"))?.uid();
    if found.uid() != ours {
        return refuse(&format!("belongs to user {}, the broker runs as user {ours}", found.uid()));
    }
    if found.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(MODE)).map_err(doing("closing"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(dir: &Path) -> u32 {
        fs::metadata(dir).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_directory_is_ours_alone() {
        let parent = tempfile::tempdir().unwrap();
        let fresh = parent.path().join("a/b");
        prepare(&fresh).unwrap();
        assert_eq!(mode(&fresh), MODE);

        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)).unwrap();
        prepare(&fresh).unwrap();
        assert_eq!(mode(&fresh), MODE, "closed to others");

        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&fresh, &link).unwrap();
        assert!(prepare(&link).unwrap_err().to_string().contains("symbolic link"));

        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(prepare(&file).is_err());
    }
}
