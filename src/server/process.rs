//! What the operating system says of this process. What it does not say is unknown, not an error.

use std::fs;

/// Files and sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// Those that are open.
    pub open: u64,
    /// Those that may be open.
    pub limit: u64,
}

impl OpenFiles {
    /// How it stands now; `None` if the system does not say.
    pub fn now() -> Option<Self> {
        // The directory that is being read is one of them.
        let open = (fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1);
        Some(Self { open, limit: limit(&fs::read_to_string("/proc/self/limits").ok()?)? })
    }
}

/// The soft limit, out of `/proc/PID/limits`.
fn limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_files_are_counted() {
        let before = OpenFiles::now().unwrap();
        assert!(before.open >= 3 && before.limit > before.open, "{before:?}");
    }

    #[test]
    fn the_limit_is_the_soft_one() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max processes             100                  200                  processes\n\
                      Max open files            1024                 1048576              files\n";
        assert_eq!(limit(limits), Some(1024));
        assert_eq!(limit("Max open files  unlimited  unlimited  files"), Some(u64::MAX));
        assert_eq!(limit("Max cpu time"), None);
    }
}
