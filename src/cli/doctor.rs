//! `ledgermq doctor`: whether this machine keeps the broker's promise. Looks at the configuration, the data directory, its
//! file system and how long a sync takes there, the limits of the process and the ports; says of each what is wrong and what
//! to do. Measuring is apart from judging: what a figure means is decided by the pure functions below.
//!
//! Ends with 0 if all is well, 1 if something should be better, 2 if the broker would not start or its promise not hold.

use super::exit::Exit;
use super::serve;
use crate::clock::Clock;
use crate::config::{Config, DATA_DIR};
use crate::server::OpenFiles;
use clap::{ArgMatches, Command};
use ledgermq_storage::{Disk, LOCK_NAME, RealDisk};
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Syncs that are measured.
const SYNCS: usize = 25;
/// Written before each of them, bytes.
const SYNC_BYTES: usize = 4096;
/// A sync that is faster was not one: no disk answers in less, ns.
const SYNC_LYING_NS: u64 = 15_000;
/// A sync that is slower makes every confirm slow, ns.
const SYNC_SLOW_NS: u64 = 50_000_000;
/// Open files below which clients are turned away early.
const FILES_LOW: u64 = 4_096;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Good,
    Doubtful,
    Bad,
}

/// One line: how bad, about what, and a sentence with what to do.
#[derive(Debug, PartialEq, Eq)]
struct Finding(Grade, &'static str, String);

/// Flags of `doctor`: those of `serve`, so that the same configuration is looked at.
pub(super) fn grammar() -> Command {
    serve::grammar().name("doctor").about(
        "Checks whether this machine and this configuration keep the broker's promise; ends with 0, 1 or 2",
    )
}

/// Looks and tells.
pub(super) fn run(matches: &ArgMatches) -> Exit {
    let findings = match serve::settings(matches) {
        Ok(config) => examine(&config),
        Err(error) => vec![Finding(Grade::Bad, "configuration", error.to_string())],
    };
    let mut out = io::stdout().lock();
    for Finding(grade, about, sentence) in &findings {
        let mark = match grade {
            Grade::Good => "ok  ",
            Grade::Doubtful => "warn",
            Grade::Bad => "bad ",
        };
        // A reader that has gone away is no error.
        let _ = writeln!(out, "{mark}  {about}: {sentence}");
    }
    match findings.iter().map(|finding| finding.0).max() {
        None | Some(Grade::Good) => Exit::Success,
        Some(Grade::Doubtful) => Exit::Doubtful,
        Some(Grade::Bad) => Exit::Bad,
    }
}

fn examine(config: &Config) -> Vec<Finding> {
    let dir = &config.data_dir;
    let mut findings =
        vec![Finding(Grade::Good, "configuration", "every key is known and allowed".to_owned())];
    if !config.passed_over.is_empty() {
        let keys = config.passed_over.join(", ");
        let sentence = format!("these keys of rabbitmq.conf mean nothing here: {keys}");
        findings.push(Finding(Grade::Doubtful, "configuration", sentence));
    }
    let runs = dir.join(LOCK_NAME).exists() && fs::metadata(dir.join("ctl.sock")).is_ok();
    findings.push(data_dir(dir));
    // Of a directory that is not there yet, the one it will be made in has the same disk.
    let standing = dir.ancestors().find(|path| path.is_dir()).unwrap_or_else(|| Path::new("."));
    let standing = if standing.as_os_str().is_empty() { Path::new(".") } else { standing };
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if let Ok(path) = fs::canonicalize(standing) {
        findings.push(file_system(file_system_of(&path, &mounts)));
    }
    findings.push(match RealDisk::open_read_only(standing).and_then(|disk| disk.free_bytes()) {
        Ok(free_bytes) => free_space(free_bytes, config.disk_low_bytes),
        Err(error) => {
            Finding(Grade::Doubtful, "disk", format!("cannot be asked for its free space: {error}"))
        }
    });
    findings.push(match measure_sync(standing) {
        Ok(median_ns) => sync(median_ns),
        Err(error) => {
            let sentence =
                format!("cannot be measured in {}: {error}; run as the broker's user", standing.display());
            Finding(Grade::Doubtful, "sync", sentence)
        }
    });
    findings.extend(OpenFiles::now().map(open_files));
    findings.push(clock(Clock::start().unix_ms()));
    let ports = [
        Some(config.listen),
        config.http_listen,
        config.prometheus_listen,
        config.tls_listen,
        config.https_listen,
    ];
    findings.extend(
        ports.into_iter().flatten().map(|address| port(address, TcpListener::bind(address).err(), runs)),
    );
    findings
}

fn data_dir(dir: &Path) -> Finding {
    let shown = dir.display();
    let about = "data directory";
    let metadata = match fs::symlink_metadata(dir) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let note =
                if dir == Path::new(DATA_DIR) { " (the default: name one with --data-dir)" } else { "" };
            return Finding(Grade::Good, about, format!("{shown} is not there yet and will be made{note}"));
        }
        Err(error) => return Finding(Grade::Bad, about, format!("{shown} cannot be looked at: {error}")),
    };
    let mode = metadata.permissions().mode() & 0o777;
    if !metadata.is_dir() {
        Finding(Grade::Bad, about, format!("{shown} is no directory; name another"))
    } else if mode & 0o077 != 0 {
        Finding(
            Grade::Doubtful,
            about,
            format!("{shown} is open to others (mode {mode:o}): chmod 700 {shown}"),
        )
    } else {
        Finding(Grade::Good, about, format!("{shown} belongs to user {} and to nobody else", metadata.uid()))
    }
}

/// The type of the file system that a path is on, out of `/proc/self/mountinfo`.
fn file_system_of<'a>(path: &Path, mounts: &'a str) -> &'a str {
    let mounted = mounts.lines().filter_map(|line| {
        let (before, behind) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?.replace("\\040", " ");
        path.starts_with(&point).then(|| (point.len(), behind.split(' ').next().unwrap_or_default()))
    });
    // Of several at the same place the last one is seen.
    mounted.max_by_key(|(length, _)| *length).map_or("", |(_, kind)| kind)
}

fn file_system(kind: &str) -> Finding {
    let about = "file system";
    match kind {
        "ext4" | "xfs" => Finding(Grade::Good, about, format!("{kind}, which keeps what was synced")),
        "tmpfs" | "ramfs" => {
            Finding(Grade::Bad, about, format!("{kind} is memory: nothing survives a restart; use a disk"))
        }
        "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "virtiofs" => Finding(
            Grade::Bad,
            about,
            format!("{kind} is a network's: no promise holds there; use a local disk"),
        ),
        "" => Finding(Grade::Doubtful, about, "unknown; the promise is for ext4 and xfs".to_owned()),
        other => {
            let sentence = format!("{other} is not one the promise is tested with; ext4 and xfs are");
            Finding(Grade::Doubtful, about, sentence)
        }
    }
}

fn free_space(free_bytes: u64, low_bytes: u64) -> Finding {
    let gigabytes = |bytes: u64| format!("{}.{} GB", bytes / 1_000_000_000, bytes / 100_000_000 % 10);
    let (free, low) = (gigabytes(free_bytes), gigabytes(low_bytes));
    if free_bytes < low_bytes {
        let sentence =
            format!("{free} free, and below {low} publishers are blocked: make room or lower disk_low_bytes");
        Finding(Grade::Bad, "disk", sentence)
    } else if free_bytes < low_bytes.saturating_mul(2) {
        Finding(Grade::Doubtful, "disk", format!("{free} free; below {low} publishers are blocked"))
    } else {
        Finding(Grade::Good, "disk", format!("{free} free; below {low} publishers are blocked"))
    }
}

/// The median time of a sync after a small write, ns.
fn measure_sync(dir: &Path) -> io::Result<u64> {
    let path = dir.join(format!(".doctor-{}", std::process::id()));
    let measured = measure_in(&path);
    let removed = fs::remove_file(&path);
    measured.and_then(|median| removed.map(|()| median))
}

fn measure_in(path: &PathBuf) -> io::Result<u64> {
    let mut file = File::create_new(path)?;
    let clock = Clock::start();
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[0; SYNC_BYTES])?;
        let began_ns = clock.now_ns();
        file.sync_data()?;
        times.push(clock.now_ns() - began_ns);
    }
    times.sort_unstable();
    Ok(times.get(SYNCS / 2).copied().unwrap_or_default())
}

fn sync(median_ns: u64) -> Finding {
    let shown = format!("{:?} in the median", Duration::from_nanos(median_ns));
    if median_ns < SYNC_LYING_NS {
        let sentence = format!(
            "{shown}: no disk is that fast. Something answers for it (a cache without a battery, a hypervisor told to \
             ignore flushes, memory): confirms would not survive a power cut"
        );
        Finding(Grade::Bad, "sync", sentence)
    } else if median_ns > SYNC_SLOW_NS {
        let sentence = format!("{shown}: each confirm waits at least as long; give the store a faster disk");
        Finding(Grade::Doubtful, "sync", sentence)
    } else {
        Finding(Grade::Good, "sync", format!("{shown}, which is what a lone confirm waits"))
    }
}

fn open_files(files: OpenFiles) -> Finding {
    let limit = files.limit;
    if limit < FILES_LOW {
        let sentence =
            format!("only {limit} may be open, one for each client: LimitNOFILE=1048576, or ulimit -n");
        return Finding(Grade::Doubtful, "open files", sentence);
    }
    Finding(Grade::Good, "open files", format!("{limit} may be open"))
}

/// 2025-01-01, ms since 1970: this program is younger.
const NOT_BEFORE_UNIX_MS: u64 = 1_735_689_600_000;

fn clock(unix_ms: u64) -> Finding {
    if unix_ms < NOT_BEFORE_UNIX_MS {
        let sentence =
            "the clock is years behind: messages with a time to live expire wrongly; run a time service";
        return Finding(Grade::Doubtful, "clock", sentence.to_owned());
    }
    Finding(Grade::Good, "clock", "the date is possible".to_owned())
}

fn port(address: SocketAddr, failed: Option<io::Error>, runs: bool) -> Finding {
    match failed {
        None => Finding(Grade::Good, "port", format!("{address} is free")),
        Some(_) if runs => {
            Finding(Grade::Good, "port", format!("{address} is in use, and a broker runs here"))
        }
        Some(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let sentence = format!("{address} is in use by another program: stop it, or listen elsewhere");
            Finding(Grade::Bad, "port", sentence)
        }
        Some(error) => Finding(Grade::Bad, "port", format!("{address} cannot be listened on: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:20 / /tmp rw - tmpfs tmpfs rw
24 22 8:2 / /var/lib/my\\040store rw - xfs /dev/sdb rw
";

    #[test]
    fn the_file_system_is_that_of_the_nearest_mount() {
        for (path, expected) in
            [("/var/lib/x", "ext4"), ("/tmp/x", "tmpfs"), ("/tmpfoo", "ext4"), ("/var/lib/my store/x", "xfs")]
        {
            assert_eq!(file_system_of(Path::new(path), MOUNTS), expected, "{path}");
        }
        assert_eq!(file_system_of(Path::new("/x"), ""), "");
    }

    #[test]
    fn each_figure_has_its_grade() {
        use Grade::{Bad, Doubtful, Good};
        let cases = [
            (sync(1_000), Bad),
            (sync(500_000), Good),
            (sync(80_000_000), Doubtful),
            (file_system("ext4"), Good),
            (file_system("tmpfs"), Bad),
            (file_system("nfs4"), Bad),
            (file_system("overlay"), Doubtful),
            (free_space(1, 2), Bad),
            (free_space(3, 2), Doubtful),
            (free_space(5, 2), Good),
            (open_files(OpenFiles { open: 3, limit: 1024 }), Doubtful),
            (open_files(OpenFiles { open: 3, limit: 65_536 }), Good),
            (clock(0), Doubtful),
            (port("127.0.0.1:1".parse().unwrap(), Some(io::ErrorKind::AddrInUse.into()), false), Bad),
            (port("127.0.0.1:1".parse().unwrap(), Some(io::ErrorKind::AddrInUse.into()), true), Good),
        ];
        for (finding, grade) in cases {
            assert_eq!(finding.0, grade, "{finding:?}");
        }
    }

    #[test]
    fn a_sync_is_measured_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(measure_sync(dir.path()).unwrap() > 0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_for_others_is_told() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let Finding(grade, _, sentence) = data_dir(dir.path());
        assert_eq!(grade, Grade::Doubtful);
        assert!(sentence.contains("chmod 700"), "{sentence}");
        assert_eq!(data_dir(&dir.path().join("new")).0, Grade::Good);
    }
}
