//! The broker's process as /proc shows it: processor time and memory of it and of its children (RabbitMQ is a start script, an
//! Erlang machine and helpers), and which process listens on a port.

use std::collections::HashSet;
use std::fs;

/// A broker on this machine.
#[derive(Clone, Debug)]
pub(super) struct BrokerProcess {
    root: u32,
    /// It and its descendants, as they were when last looked for.
    pids: Vec<u32>,
    peak_rss_kib: u64,
}

impl BrokerProcess {
    /// The process of that number; `None` if there is none.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let mut process = Self { root: pid, pids: Vec::new(), peak_rss_kib: 0 };
        process.find_tree();
        (!process.pids.is_empty()).then_some(process)
    }

    /// Processor seconds used so far, user and kernel, those of children that have ended included.
    pub(super) fn cpu_s(&mut self) -> f64 {
        self.find_tree();
        let ticks: u64 = self.pids.iter().filter_map(|pid| Some(Stat::read(*pid)?.ticks)).sum();
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64
    }

    /// Resident memory, KiB.
    pub(super) fn rss_kib(&mut self) -> u64 {
        self.find_tree();
        self.sample()
    }

    /// Looks at the memory, so that [`Self::peak_rss_kib`] knows of it. Returns it, KiB.
    pub(super) fn sample(&mut self) -> u64 {
        let rss_kib = self.pids.iter().filter_map(|pid| rss_kib(*pid)).sum();
        self.peak_rss_kib = self.peak_rss_kib.max(rss_kib);
        rss_kib
    }

    /// The most memory that was seen, KiB.
    pub(super) fn peak_rss_kib(&self) -> u64 {
        self.peak_rss_kib
    }

    fn find_tree(&mut self) {
        let processes: Vec<(u32, u32)> =
            pids().filter_map(|pid| Some((pid, Stat::read(pid)?.parent))).collect();
        let mut found = HashSet::new();
        if processes.iter().any(|(pid, _)| *pid == self.root) {
            found.insert(self.root);
        }
        let mut count = 0;
        while found.len() > count {
            count = found.len();
            found.extend(
                processes
                    .iter()
                    .filter(|(_, parent)| found.contains(parent))
                    .map(|(pid, _)| *pid)
                    .collect::<Vec<_>>(),
            );
        }
        self.pids = found.into_iter().collect();
    }
}

/// Processor seconds that this program has used.
pub(super) fn own_cpu_s() -> f64 {
    Stat::read(std::process::id())
        .map_or(0.0, |stat| stat.ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The process that listens on a port of this machine, if we may know.
pub(super) fn listener_of(port: u16) -> Option<u32> {
    let inodes: HashSet<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|text| listening_inodes(&text, port))
        .collect();
    pids().find(|pid| {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        files.flatten().any(|file| {
            fs::read_link(file.path())
                .ok()
                .and_then(|link| socket_inode(link.to_str()?))
                .is_some_and(|inode| inodes.contains(&inode))
        })
    })
}

/// Inodes of the sockets that listen on a port, from a table of /proc/net.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let ends_in_port = format!(":{port:04X}");
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            (local.ends_with(&ends_in_port) && *state == LISTEN).then(|| (*inode).to_owned())
        })
        .collect()
}

fn socket_inode(link: &str) -> Option<String> {
    link.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned)
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// What /proc/PID/stat says, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// User and kernel time, its own and that of children that have ended, clock ticks.
    ticks: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The name in brackets may hold anything; what follows the last bracket does not.
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let ticks = (11..15).map(number).sum::<Option<u64>>()?;
        Some(Self { parent: number(1)? as u32, ticks })
    }
}

fn rss_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_any_name() {
        let line = "7 (a ) b) S 3 7 7 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 9 0 1 2 3";
        assert_eq!(Stat::parse(line), Some(Stat { parent: 3, ticks: 100 }));
        assert_eq!(Stat::parse("7 (x) S"), None);
    }

    #[test]
    fn listeners_are_found_by_port() {
        let table = "  sl  local_address rem_address st\n\
            0: 0100007F:1628 00000000:0000 0A 0:0 0:0 0 0 0 4711 1\n\
            1: 0100007F:1628 0100007F:9000 01 0:0 0:0 0 0 0 4712 1\n\
            2: 0100007F:1629 00000000:0000 0A 0:0 0:0 0 0 0 4713 1\n";
        assert_eq!(listening_inodes(table, 0x1628), ["4711"]);
        assert_eq!(socket_inode("socket:[4711]").as_deref(), Some("4711"));
        assert_eq!(socket_inode("/dev/null"), None);
    }

    #[test]
    fn this_process_listens_and_has_memory() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(listener_of(port), Some(std::process::id()));
        let mut process = BrokerProcess::of(std::process::id()).unwrap();
        assert!(process.rss_kib() > 0);
        assert!(process.peak_rss_kib() >= 1);
        assert!(process.cpu_s() >= 0.0);
        assert!(BrokerProcess::of(u32::MAX).is_none());
    }
}
