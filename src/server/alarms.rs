//! Alarms: memory or disk too low, told to every connection so that publishers are blocked. The disk's alarm comes from
//! the store; memory is measured here once a second, against the limit of the cgroup or the memory of the machine.
//! What blocking means is the connection's business.

use super::broker::Broker;
use super::mail::ConnectionMail;
use crate::limits::{MEMORY_CLEAR_PERCENT, MEMORY_HIGH_PERCENT};
use ledgermq_storage::{Alarm, Progress};
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
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
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct On {
    memory: bool,
    disk: bool,
}

impl On {
    /// The text of connection.blocked. Source: RabbitMQ, `rabbit_reader`.
    fn text(self) -> Option<Arc<str>> {
        match (self.memory, self.disk) {
            (false, false) => None,
            (true, false) => Some("low on memory".into()),
            (false, true) => Some("low on disk".into()),
            (true, true) => Some("low on memory & disk".into()),
        }
    }
}

impl Alarms {
    /// What blocked connections are told; `None` while no alarm is on.
    pub(super) fn text(&self) -> Option<Arc<str>> {
        self.now().text()
    }

    /// Names of the alarms that are on.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let On { memory, disk } = self.now();
        [(memory, "memory"), (disk, "disk")].into_iter().filter_map(|(on, name)| on.then_some(name)).collect()
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
    let limit_bytes = memory_limit_bytes();
    let mut looks = interval(Duration::from_millis(MEMORY_CHECK_MS));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {
                let resident = resident_bytes();
                set(&broker, |on| on.memory = memory_is_low(on.memory, resident, limit_bytes));
            }
            changed = progress.wait_for(|progress| disk_is_low(*progress) != broker.alarms.now().disk) => {
                let Ok(low) = changed.map(|progress| disk_is_low(*progress)) else { return };
                set(&broker, |on| on.disk = low);
            }
        }
    }
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

/// With a gap between on and off, so that it does not flutter.
fn memory_is_low(was_low: bool, resident_bytes: u64, limit_bytes: u64) -> bool {
    let percent = if was_low { MEMORY_CLEAR_PERCENT } else { MEMORY_HIGH_PERCENT };
    u128::from(resident_bytes) * 100 > u128::from(limit_bytes) * u128::from(percent)
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
    fn the_memory_alarm_does_not_flutter() {
        let limit = 1000;
        let high = limit * MEMORY_HIGH_PERCENT / 100;
        let clear = limit * MEMORY_CLEAR_PERCENT / 100;
        assert!(!memory_is_low(false, high, limit));
        assert!(memory_is_low(false, high + 1, limit));
        assert!(memory_is_low(true, high, limit), "stays on in the gap");
        assert!(!memory_is_low(true, clear, limit));
    }

    #[test]
    fn clients_read_rabbitmqs_words() {
        let text = |memory, disk| On { memory, disk }.text();
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
