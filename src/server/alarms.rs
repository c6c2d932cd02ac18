//! Alarms: memory or disk too low, told to every connection so that publishers are blocked. The disk's alarm comes from
//! the store; memory is measured here once a second, against the limit of the cgroup or the memory of the machine, and so
//! is the disk if an operator said where its alarm begins.
//! What blocking means is the connection's business.

use super::broker::Broker;
use super::mail::ConnectionMail;
use super::watermarks::{Mark, Watermarks};
use crate::config::{Config, MemoryMark, Part};
use ledgermq_storage::{Alarm, Progress};
use std::fs;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

/// Time between two looks at the memory, ms.
const MEMORY_CHECK_MS: u64 = 1_000;

/// Which alarms are on.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    on: Mutex<On>,
    watermarks: Mutex<Watermarks>,
    /// What this process may take, bytes.
    memory_bytes: OnceLock<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct On {
    memory: bool,
    /// The store has to keep what is left.
    disk: bool,
    /// There is less than an operator wants.
    disk_mark: bool,
}

impl On {
    /// The text of connection.blocked. Source: RabbitMQ, `rabbit_reader`.
    fn text(self) -> Option<Arc<str>> {
        match (self.memory, self.disk || self.disk_mark) {
            (false, false) => None,
            (true, false) => Some("low on memory".into()),
            (false, true) => Some("low on disk".into()),
            (true, true) => Some("low on memory & disk".into()),
        }
    }
}

impl Alarms {
    /// Alarms that begin where the configuration says.
    pub(super) fn new(config: &Config) -> Self {
        let memory = (config.memory_high != MemoryMark::default()).then(|| match config.memory_high {
            MemoryMark::Relative(part) => Mark::OfMemory(part.value()),
            MemoryMark::Absolute(bytes) => Mark::Bytes(bytes),
        });
        let part = config.disk_low_of_memory;
        let disk = (part != Part::NONE).then(|| Mark::OfMemory(part.value()));
        Self { watermarks: Mutex::new(Watermarks { memory, disk }), ..Self::default() }
    }

    /// What blocked connections are told; `None` while no alarm is on.
    pub(super) fn text(&self) -> Option<Arc<str>> {
        self.now().text()
    }

    /// Names of the alarms that are on.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let On { memory, disk, disk_mark } = self.now();
        [(memory, "memory"), (disk || disk_mark, "disk")]
            .into_iter()
            .filter_map(|(on, name)| on.then_some(name))
            .collect()
    }

    /// An operator moves a watermark; its alarm goes on or off before this returns. The limit that the store keeps by itself
    /// moves down with it, never above what is configured: beyond it the store would live on its reserve.
    pub(super) fn move_watermarks(broker: &Broker, change: impl FnOnce(&mut Watermarks)) {
        change(&mut broker.alarms.watermarks.lock().unwrap_or_else(PoisonError::into_inner));
        broker.set_disk_low_bytes(Self::disk_low_bytes(broker).min(broker.config.disk_low_bytes));
        look(broker);
    }

    /// Resident memory above which publishers are blocked, bytes.
    pub(super) fn memory_high_bytes(broker: &Broker) -> u64 {
        let alarms = &broker.alarms;
        let marks = *alarms.watermarks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.memory_high_bytes(*alarms.memory_bytes.get_or_init(memory_limit_bytes))
    }

    /// Free disk space below which publishers are blocked, bytes.
    pub(super) fn disk_low_bytes(broker: &Broker) -> u64 {
        let alarms = &broker.alarms;
        let marks = *alarms.watermarks.lock().unwrap_or_else(PoisonError::into_inner);
        let memory_bytes = *alarms.memory_bytes.get_or_init(memory_limit_bytes);
        marks.disk.map_or(broker.config.disk_low_bytes, |mark| mark.bytes(memory_bytes))
    }

    fn now(&self) -> On {
        *self.on.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the alarms; returns what they are now if that is something new.
    fn change(&self, change: impl FnOnce(&mut On)) -> Option<On> {
        let mut on = self.on.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *on;
        change(&mut on);
        (*on != before).then_some(*on)
    }
}

/// Watches disk and memory as long as the broker runs.
pub(super) async fn watch(broker: Arc<Broker>, mut progress: watch::Receiver<Progress>) {
    let mut looks = interval(Duration::from_millis(MEMORY_CHECK_MS));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {
                look(&broker);
                super::service::alive();
            }
            changed = progress.wait_for(|progress| disk_is_low(*progress) != broker.alarms.now().disk) => {
                let Ok(low) = changed.map(|progress| disk_is_low(*progress)) else { return };
                set(&broker, |on| on.disk = low);
            }
        }
    }
}

/// Measures what can be measured.
fn look(broker: &Broker) {
    let alarms = &broker.alarms;
    let marks = *alarms.watermarks.lock().unwrap_or_else(PoisonError::into_inner);
    let memory_bytes = *alarms.memory_bytes.get_or_init(memory_limit_bytes);
    let resident = resident_bytes();
    // Without an answer of the disk nothing is known, and the alarm stays as it is.
    let free_bytes = marks.disk.and_then(|_| Some(broker.store_status()?.free_bytes));
    set(broker, |on| {
        on.memory = marks.memory_is_low(on.memory, resident, memory_bytes);
        if marks.disk.is_none() {
            on.disk_mark = false;
        } else if let Some(free_bytes) = free_bytes {
            on.disk_mark = marks.disk_is_low(free_bytes, memory_bytes);
        }
    });
}

fn set(broker: &Broker, change: impl FnOnce(&mut On)) {
    let Some(on) = broker.alarms.change(change) else { return };
    if let Some(text) = on.text() {
        warn!(alarm = %text, "publishers are blocked");
    } else {
        info!("publishers may go on");
    }
    broker.connections.tell_all(|| ConnectionMail::Alarm(on.text()));
}

fn disk_is_low(progress: Progress) -> bool {
    match progress.alarm {
        Some(Alarm::Disk) => true,
        None => false,
    }
}

/// Resident memory of this process, bytes; 0 if the system does not say.
pub(super) fn resident_bytes() -> u64 {
    let read = || -> Option<u64> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    read().unwrap_or(0)
}

/// What this process may take: the cgroup's limit (version 2, then 1) or the machine's memory, whichever is less.
fn memory_limit_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    });
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let files = [
        format!("/sys/fs/cgroup{}/memory.max", path.trim_end_matches('/')),
        "/sys/fs/cgroup/memory.max".to_owned(),
        "/sys/fs/cgroup/memory/memory.limit_in_bytes".to_owned(),
    ];
    let cgroup = files.iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
    cgroup.chain(machine).min().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_read_rabbitmqs_words() {
        let text = |memory, disk| On { memory, disk, disk_mark: false }.text();
        assert_eq!(On { disk_mark: true, ..On::default() }.text().as_deref(), Some("low on disk"));
        assert_eq!(text(false, false), None);
        assert_eq!(text(true, false).as_deref(), Some("low on memory"));
        assert_eq!(text(false, true).as_deref(), Some("low on disk"));
        assert_eq!(text(true, true).as_deref(), Some("low on memory & disk"));
    }

    #[test]
    fn the_system_says_how_much_memory_there_is() {
        assert!(resident_bytes() > 0);
        assert!(memory_limit_bytes() > resident_bytes());
    }
}
